/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forgetting in a ledger: all rows of an account are deleted in one transaction, which puts a digest of each of its cycles into
 * the table `forgotten`. That tells collectors that count on that their rows did not get lost. Digests older than
 * TKR_FORGOTTEN_KEPT_S are deleted on the way. What was deleted is overwritten in the file (PRAGMA secure_delete).
 */
#ifndef TKR_SINK_SQLITE_FORGET_H
#define TKR_SINK_SQLITE_FORGET_H

#include <stdint.h>

#include "sink/sink.h"

/* Of an account's cycle: FNV-1a of 64 bits over the kind, a zero byte, the id, a zero byte and the cycle as text. */
int64_t tkr_ledger_digest(uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle);

/* 0 with the cycles erased; 1: there was nothing; -1 with the reason, and nothing is changed. */
int tkr_ledger_forget(const char *path, int timeout_ms, const struct tkr_usage_row *account, uint32_t *ret_cycles,
                      tkr_message *ret_message);

#endif
