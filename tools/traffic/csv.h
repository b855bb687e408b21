/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call traces as CSV, read row by row from a borrowed buffer: nothing is allocated, nothing outside the buffer is read,
 * any bytes may stand in it.
 *
 *     TIMESTAMP,ContextTokens,GeneratedTokens,User,Model
 *     2023-11-16 18:17:03.9799600,4808,10,alice,gpt-4o
 *
 * Columns are found by the names in the first row, in any order; User and Model may be missing, others are ignored.
 *  - TIMESTAMP: YYYY-MM-DD HH:MM:SS[.fraction] in UTC; 'T' for the blank and a final 'Z' or '+00:00' are taken too.
 *  - ContextTokens, GeneratedTokens: integers from 0 to 2^40, and so is their sum.
 *  - User: 1..255 bytes, Model: 0..255 bytes, neither with control characters.
 * Form: RFC 4180 (quoted fields, "" for a quote, CRLF or LF, no newline needed after the last row), and a UTF-8 byte
 * order mark is skipped. Whatever else there is, is an error with line, column, value and what is allowed.
 */
#ifndef TOOLS_TRAFFIC_CSV_H
#define TOOLS_TRAFFIC_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "base/settings.h"
#include "tokenring/tokenring.h"

enum tkr_traffic_column {
    TKR_TRAFFIC_TIMESTAMP,
    TKR_TRAFFIC_CONTEXT,
    TKR_TRAFFIC_GENERATED,
    TKR_TRAFFIC_REQUIRED_COUNT,
    TKR_TRAFFIC_USER = TKR_TRAFFIC_REQUIRED_COUNT,
    TKR_TRAFFIC_MODEL,
    TKR_TRAFFIC_COLUMN_COUNT
};

/* The reader; its fields are its own. The buffer is borrowed until the last row is read. */
struct tkr_traffic_csv {
    const char *at;
    const char *end;
    uint64_t line;                            /* where `at` stands, from 1 */
    uint32_t field_count;                     /* fields of the first row */
    uint32_t place[TKR_TRAFFIC_COLUMN_COUNT]; /* field of each column, from 1; 0: not there */
};

/* One call of the trace. Texts are copies and need no NUL. */
struct tkr_traffic_row {
    uint64_t line;    /* where the row begins */
    int64_t start_ns; /* Unix time, above 0 */
    int64_t prompt_tokens;
    int64_t completion_tokens;
    uint32_t user_len;  /* bytes; 0: the trace has no such column */
    uint32_t model_len; /* bytes; 0: not told */
    char user[TKR_ID_BYTES_MAX];
    char model[TKR_MODEL_BYTES_MAX];
};

/* Reads the first row of bytes[0..len); bytes is not NULL. 0, or -1 with the reason. */
int tkr_traffic_csv_open(const char *bytes, size_t len, struct tkr_traffic_csv *ret_csv, tkr_message *ret_message);

/* Reads the next row: 1 with *ret_row, 0 when there is none, or -1 with the reason; nothing may be read after that. */
int tkr_traffic_csv_next(struct tkr_traffic_csv *csv, struct tkr_traffic_row *ret_row, tkr_message *ret_message);

#endif
