/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator does by hand to the records of an account: deletes them in Redis, and repairs them with `tokenring verify`. */
#ifndef TESTS_CHAOS_OPERATOR_H
#define TESTS_CHAOS_OPERATOR_H

#include "chaos/world.h"

/* An account in a cycle, both by number. */
struct operator_account {
    uint32_t account;
    uint32_t cycle;
};

/* Does `tokenring verify` say that Redis has all that was counted of it, and was it never reset? Then what its total has is known. */
bool operator_agrees(struct world *world, struct operator_account account);

/* Is no record of it missing? Who resets an account while the sink lacks some of it leaves nobody a way to know what its total had. */
bool operator_misses_nothing(struct world *world, struct operator_account account);

/*
 * Where the sink lost an account that was reset before, a collector cannot know whether its total has what is missing, and waits.
 * Here it never has: tells the collector so (--repair=resend). How many there were; -1.
 */
int operator_resend(struct world *world);

/* Deletes its records, or those of its models; the totals stay. 1; 0: it has none. -1: Redis does not answer. */
int operator_delete(struct world *world, struct operator_account account, bool of_models);

/*
 * Runs `tokenring verify --repair` until nothing is missing of it, and where it cannot know, once with --repair=record, which is
 * true: totals were left alone. 0; -1 with what it says on standard error.
 */
int operator_repair(struct world *world, struct operator_account account, bool *ret_chosen);

#endif
