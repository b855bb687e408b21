/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holdings: all that a sink has of an account's cycle at one moment. Of the account itself and of each of its models, the
 * totals, the records of sources, and the rest: what of the totals no record explains. The rest is what older lives added, and
 * sources whose records were removed since (collector/forget.h, retire.h), and other programs, less what was reset; so its
 * figures may be below 0.
 *
 *     totals = records + rest, in each counter
 *
 * Borrowed memory: none. What is not said otherwise is false, or -1, when there is no memory.
 */
#ifndef TKR_SINK_HOLDINGS_H
#define TKR_SINK_HOLDINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/account.h"
#include "base/counters.h"
#include "base/settings.h"
#include "sink/sink.h"
#include "tokenring/tokenring.h"

#define TKR_HOLDINGS_MODELS_MAX 1024u /* of one account and cycle */

/* A field or row of this name notes that a backup was restored into the account: see sink/restore.h. */
#define TKR_MARK_PREFIX "backup."

/* A record and whose it is. */
struct tkr_share {
    char source[TKR_SOURCE_BYTES];
    struct tkr_record record; /* of a life */
};

/* Of an account's cycle, or of one of its models. */
struct tkr_holding {
    char model[TKR_LABEL_BYTES_MAX];
    uint32_t model_len; /* 0: the account's own */
    tkr_counts total;   /* may be below 0 where somebody else wrote */
    tkr_counts rest;
    struct tkr_share *share; /* by source, once finished */
    uint32_t share_count;
    uint32_t share_max;
};

/* Zeroed: empty and valid. */
struct tkr_holdings {
    uint64_t kind;
    char id[TKR_ID_BYTES_MAX];
    uint32_t id_len;
    uint32_t cycle;    /* 0: only the account's standing limit */
    int64_t limit;     /* of the cycle, as sink/limit.h has it; TKR_LIMIT_UNREADABLE also where what somebody wrote is no limit */
    bool marked;       /* a backup that was asked for was restored into it */
    uint64_t restored; /* the highest chunk number known to a backup that was restored into it; 0: none was, or it does not say */
    bool forgotten;    /* somebody had it forgotten (sink/sink.h) */
    uint32_t foreign;  /* fields that are none of ours */
    uint32_t count;
    uint32_t max;
    struct tkr_holding *holding; /* the first is the account's own; the others by model, once finished */
};

/* What a collector's shard is named as a source: the collector's name, and the shard's number. */
void tkr_source_name(uint64_t collector, uint32_t shard, char ret_source[TKR_SOURCE_BYTES]);

/* Is this what a source is named: 1..23 bytes from '!' to '~' without a ':', and no mark? */
bool tkr_source_valid(const char *text, size_t len);

/* Makes it that of an account and cycle of which nothing is known; keeps the memory. */
bool tkr_holdings_begin(struct tkr_holdings *holdings, uint64_t kind, const char *id, uint32_t id_len, uint32_t cycle);

/* Those of a model (len 0: the account's own), made where they are missing. NULL: no memory, or more than
 * TKR_HOLDINGS_MODELS_MAX. */
struct tkr_holding *tkr_holdings_of(struct tkr_holdings *holdings, const char *model, size_t len);

/* The same, or NULL where there are none. Of holdings that are finished. */
const struct tkr_holding *tkr_holdings_find(const struct tkr_holdings *holdings, const char *model, size_t len);

/* Adds a record of a source. */
bool tkr_holding_add(struct tkr_holding *holding, const char *source, size_t source_len, const struct tkr_record *record);

/* The record of a source, or NULL. Of holdings that are finished. */
const struct tkr_record *tkr_holding_record(const struct tkr_holding *holding, const char *source);

/* Puts all in order. false: a source has two records. */
bool tkr_holdings_sort(struct tkr_holdings *holdings);

/* Finishes what has totals and records: puts it in order and says what the rest is. false with the reason. */
bool tkr_holdings_finish_totals(struct tkr_holdings *holdings, tkr_message *ret_why);

/* Finishes what has records and a rest: puts it in order and says what the totals are. false with the reason. */
bool tkr_holdings_finish_rest(struct tkr_holdings *holdings, tkr_message *ret_why);

/* to += more. false, with to in any state, when a sum does not fit. */
bool tkr_counts_add(tkr_counts *to, const tkr_counts *more);

/* to -= less; likewise. */
bool tkr_counts_subtract(tkr_counts *to, const tkr_counts *less);

/* Is every counter 0? */
bool tkr_counts_zero(const tkr_counts *counts);

/* Frees all; it is empty and valid again. */
void tkr_holdings_free(struct tkr_holdings *holdings);

#endif
