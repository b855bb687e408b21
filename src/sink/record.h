/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as bytes: what Redis keeps per source, account and cycle. Two records are equal if and only if their bytes
 * are, so the script in Redis compares them without understanding them.
 *
 *     byte 0            life, not 0                           varint, 1..10 bytes; 9 for a clock in ns
 *     then, in the order of base/counters.def, for each counter:
 *                       its value                             varint, 1..9 bytes
 *                       total_tokens instead as the zigzag of total - prompt - completion (modulo 2^64): 1 byte, 0,
 *                       for all who add up                    varint, 1..10 bytes
 *     the zeros at the end are left out.
 *
 * varint is unsigned LEB128: 7 bits a byte, lowest first, bit 7 set in all but the last; no longer than needed.
 * zigzag(d) is 2d for d >= 0 and -2d - 1 for d < 0.
 *
 * Eleven counters of a busy account are some 50 bytes; up to 64 a Redis hash stays a compact listpack.
 *
 * New counters come at the end and are 0 in old records. The reader takes only what the writer would write of the same
 * record: more values than this program has counters, a longer varint than needed, a value above INT64_MAX or a cut
 * number are not understood. So a record by a newer version is left alone rather than shortened.
 */
#ifndef TKR_SINK_RECORD_H
#define TKR_SINK_RECORD_H

#include <stdbool.h>
#include <stddef.h>

#include "sink/sink.h"

#define TKR_VARINT_BYTES_MAX 10
#define TKR_RECORD_BYTES_MAX ((1 + TKR_COUNTER_COUNT) * TKR_VARINT_BYTES_MAX)

/* Writes the record; 0 bytes for life 0, "no record". Returns the number of bytes. */
size_t tkr_record_encode(const struct tkr_record *record, unsigned char ret_bytes[TKR_RECORD_BYTES_MAX]);

/* Reads exactly len bytes of anything; 0 bytes are life 0. False, and nothing written, when not understood. */
bool tkr_record_decode(const void *bytes, size_t len, struct tkr_record *ret_record);

#endif
