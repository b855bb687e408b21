/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in Redis's wire format (RESP2), written by hand into one buffer that is kept and grows: several times
 * cheaper than hiredis's own formatting. A command is
 *
 *     "*" arguments CRLF, then per argument "$" bytes CRLF the bytes CRLF
 *
 * The number of arguments is known at the end, so room is left in front and the head written backwards into it.
 * Out of memory is remembered and told once, by tkr_redis_wire_end.
 */
#ifndef TKR_SINK_REDIS_WIRE_H
#define TKR_SINK_REDIS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed: empty and valid. */
struct tkr_redis_wire {
    char *buffer;
    size_t len;
    size_t size;
    uint32_t args;
    bool out_of_memory;
};

/* Starts a command; what the buffer held is gone. */
void tkr_redis_wire_begin(struct tkr_redis_wire *wire);

/* Adds an argument: bytes, a text with its NUL left out, a number in decimal. */
void tkr_redis_wire_bytes(struct tkr_redis_wire *wire, const void *bytes, size_t len);
void tkr_redis_wire_text(struct tkr_redis_wire *wire, const char *text);
void tkr_redis_wire_number(struct tkr_redis_wire *wire, uint64_t value);

/* Ends the command: where it lies, valid until the next begin. False when memory did not suffice. */
bool tkr_redis_wire_end(struct tkr_redis_wire *wire, const char **ret_command, size_t *ret_len);

/* Frees the buffer; it is empty and valid again. */
void tkr_redis_wire_free(struct tkr_redis_wire *wire);

#endif
