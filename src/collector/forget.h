/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting: an entry that the sink has whole and that nobody has touched for TOKENRING_FORGET_AFTER_S leaves the table, and
 * then its record leaves the sink, so that memory follows the accounts in use and not all that ever were.
 *
 * How old a stamp is, marks in the shard's header tell: every so often the time and the batch committed last. An entry whose
 * stamp is not above a mark has not been touched since. Time is CLOCK_BOOTTIME (base/clock.h), which never steps: an account is
 * not forgotten before it has been idle for so long. Marks of minor 2.0, in Unix time, are not read: what they say of entries
 * cannot be told from a step, so those are young from the day of the upgrade on.
 *
 * An account's own entry goes after those of its models, which are never younger: the worker refuses it until then.
 *
 * The table first, the sink second. A late event in between makes a new entry, of a newer life, which counts from zero; the sink
 * finds the older life's record and takes all of the new one. The other order would leave an entry whose record is gone.
 * A death in between leaves a record that nobody needs.
 *
 * Also here: the new life of an entry whose record in the sink is ahead of it, or which was forgotten there, since that is a request to the worker too.
 *
 * Threads: the flusher's.
 */
#ifndef TKR_COLLECTOR_FORGET_H
#define TKR_COLLECTOR_FORGET_H

#include "collector/outlet.h"

/* Notes the time (CLOCK_BOOTTIME, here and below), so often that forgetting is late by a sixtieth at most. */
void tkr_forget_mark(struct tkr_outlet *outlet, uint64_t now_s, uint64_t after_s);

/*
 * Fills the shard's requests, while the worker is not at them: new lives that wait, then entries to forget (after_s 0: none),
 * looking at a part of the arena each time. Nothing is forgotten while records of forgotten entries still wait to be removed.
 */
void tkr_forget_request(struct tkr_outlet *outlet, uint64_t now_s, uint64_t after_s);

/* Takes the worker's answers, once it has answered: records to remove, new lives to send. */
void tkr_forget_take(struct tkr_outlet *outlet);

/* Asks for a new life of an entry, which stays in the outlet until then. false: no room; park it. */
bool tkr_forget_relive(struct tkr_outlet *outlet, uint32_t reference, uint64_t life, uint64_t life_above);

#endif
