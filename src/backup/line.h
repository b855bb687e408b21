/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backup's file, a JSON object a line:
 *
 *     {"tokenring_backup":1,"backup":ID,"dataset":ID,"made_s":SECONDS,"counters":["prompt_tokens",...]}       the first line
 *     {"source":NAME,"seen":"NUMBER"}                                                    each source that the sink knows
 *     {"account":TEXT,"kind":KIND,"cycle":"YYYY-MM-DD",...}                              each account and cycle, in any order
 *     {"account":TEXT,"kind":KIND,"standing":TOKENS}                                     each standing limit
 *     {"end":{"sources":N,"accounts":N,"limits":N,"left_out":N,"xxh64":HEX}}             the last line
 *
 * An account's line goes on with what it has, of:
 *
 *     "limit":TOKENS                            the limit of the cycle; 0, as of a standing limit: the account is blocked
 *     "records":{SOURCE:["LIFE",value,...]}     what each source has added in its life: values in the order of "counters"
 *     "rest":[value,...]                        what no record explains; may be below 0
 *     "models":[{"model":TEXT,"records":{...},"rest":[...]}]
 *
 * so that its totals are the sum of the records and the rest. Zeros at the end of values are left out. A text that is not UTF-8
 * is in hexadecimal digits instead, under "account_hex" or "model_hex". Numbers that are strings are above what JSON's readers
 * keep.
 *
 * xxh64 is XXH64 (seed 0) of all bytes before its own 16 digits: without a last line that says so, a file is no backup. An
 * account may come more than once; whichever comes first is as good as the other. Files with counters or keys that this program
 * does not know are refused, not shortened.
 */
#ifndef TKR_BACKUP_LINE_H
#define TKR_BACKUP_LINE_H

#include <stdint.h>

#include "sink/dataset.h"
#include "sink/holdings.h"
#include "sink/restore.h"

#define TKR_BACKUP_FORMAT 1
#define TKR_BACKUP_END_REST 19 /* of the last line, without its newline: the digits of xxh64 and what follows them */
#define TKR_BACKUP_LINE_BYTES_MAX (UINT32_C(16) << 20)

enum tkr_backup_kind { TKR_BACKUP_HEAD, TKR_BACKUP_SOURCE, TKR_BACKUP_ACCOUNT, TKR_BACKUP_END };

struct tkr_backup_head {
    char backup[TKR_DATASET_ID_BYTES];
    char dataset[TKR_DATASET_ID_BYTES]; /* that it is of */
    int64_t made_s;                     /* Unix time at which it was begun */
};

struct tkr_backup_end {
    uint64_t sources;
    uint64_t accounts; /* and cycles */
    uint64_t limits;   /* standing ones */
    uint64_t left_out; /* accounts and cycles that could not be read */
    uint64_t xxh64;
};

/* How the figures of a file are numbered: its number i is counter[i]. */
struct tkr_backup_counters {
    int counter[TKR_COUNTER_MAX];
    uint32_t count;
};

/* A line that was read; kind says which of the rest. Zeroed: empty and valid. */
struct tkr_backup_line {
    enum tkr_backup_kind kind;
    struct tkr_backup_head head;
    struct tkr_source_seen source;
    struct tkr_holdings holdings; /* finished; of cycle 0 with the standing limit */
    struct tkr_backup_end end;
};

#endif
