/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which data set a sink holds. The first backup, or a restore, draws a number for it and leaves it in the sink, where it lies
 * with the totals and is lost with them: whoever has a backup's number and finds it in the sink knows that nothing was lost. The
 * same line says which backup was restored into the data set: one at most, for what two of them would bring overlaps.
 *
 *     ID BEGUN_S BACKUP OF STATE          one line of text; BACKUP, OF and STATE are '-' where none was restored
 *
 * It is only ever replaced where it still is as it was read. In Redis: field `identity` of the hash tr1:{0}:dataset; in a
 * ledger: the row of that name in the table `dataset`.
 */
#ifndef TKR_SINK_DATASET_H
#define TKR_SINK_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"

#define TKR_DATASET_ID_BYTES 17 /* 16 hexadecimal digits and the NUL */
#define TKR_DATASET_TEXT_BYTES 96

struct tkr_dataset {
    char id[TKR_DATASET_ID_BYTES];     /* "": the sink has none */
    int64_t begun_s;                   /* Unix time */
    char backup[TKR_DATASET_ID_BYTES]; /* that was restored into it, or is being; "": none */
    char of[TKR_DATASET_ID_BYTES];     /* whose backup it is */
    bool whole;                        /* all of it was restored */
};

/* Is this 16 digits 0-9 and a-f? */
bool tkr_dataset_id_valid(const char *text);

/* Draws one. false: no random bytes. */
bool tkr_dataset_id_draw(char ret_id[TKR_DATASET_ID_BYTES]);

/* Writes the line; "" for none. */
void tkr_dataset_format(const struct tkr_dataset *dataset, char ret_text[TKR_DATASET_TEXT_BYTES]);

/* Reads it. false: not understood. */
bool tkr_dataset_parse(const char *text, size_t len, struct tkr_dataset *ret_dataset);

#endif
