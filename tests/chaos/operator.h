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

/* Deletes its records, or those of its models; the totals stay. 1; 0: it has none. -1: Redis does not answer. */
int operator_delete(struct world *world, struct operator_account account, bool of_models);

/*
 * Runs `tokenring verify --repair` until nothing is missing of it, and where it cannot know, once with --repair=record, which is
 * true: totals were left alone. 0; -1 with what it says on standard error.
 */
int operator_repair(struct world *world, struct operator_account account, bool *ret_chosen);

#endif
