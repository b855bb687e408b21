/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/wire.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 16                 /* "*4294967295\r\n" fits */
#define DIGITS_MAX 20                 /* of 2^64 - 1 */
#define AROUND_BYTES (DIGITS_MAX + 5) /* '$', digits, CRLF, CRLF */
#define SIZE_FIRST 16384

/* Writes value so that it ends at end; returns its first digit. */
static char *digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + (int)(value % 10));
        value /= 10;
    } while (value != 0);
    return end;
}

static char *put_digits(char *at, uint64_t value)
{
    char digits[DIGITS_MAX];
    char *first = digits_before(digits + DIGITS_MAX, value);
    size_t len = (size_t)(digits + DIGITS_MAX - first);

    memcpy(at, first, len);
    return at + len;
}

static char *put_crlf(char *at)
{
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

static bool reserve(struct tkr_redis_wire *wire, size_t more)
{
    size_t size = wire->size != 0 ? wire->size : SIZE_FIRST;
    char *buffer;

    if (wire->size - wire->len >= more)
        return true;
    while (size - wire->len < more)
        size *= 2;
    buffer = realloc(wire->buffer, size);
    if (buffer == NULL)
        return false;
    wire->buffer = buffer;
    wire->size = size;
    return true;
}

void tkr_redis_wire_begin(struct tkr_redis_wire *wire)
{
    wire->len = 0;
    wire->args = 0;
    wire->out_of_memory = !reserve(wire, HEAD_BYTES);
    wire->len = wire->out_of_memory ? 0 : HEAD_BYTES;
}

void tkr_redis_wire_bytes(struct tkr_redis_wire *wire, const void *bytes, size_t len)
{
    char *at;

    if (wire->out_of_memory || !reserve(wire, len + AROUND_BYTES)) {
        wire->out_of_memory = true;
        return;
    }
    at = wire->buffer + wire->len;
    *at++ = '$';
    at = put_crlf(put_digits(at, len));
    if (len > 0)
        memcpy(at, bytes, len);
    at = put_crlf(at + len);
    wire->len = (size_t)(at - wire->buffer);
    wire->args++;
}

void tkr_redis_wire_text(struct tkr_redis_wire *wire, const char *text)
{
    tkr_redis_wire_bytes(wire, text, strlen(text));
}

void tkr_redis_wire_number(struct tkr_redis_wire *wire, uint64_t value)
{
    char digits[DIGITS_MAX];
    char *first = digits_before(digits + DIGITS_MAX, value);

    tkr_redis_wire_bytes(wire, first, (size_t)(digits + DIGITS_MAX - first));
}

bool tkr_redis_wire_end(struct tkr_redis_wire *wire, const char **ret_command, size_t *ret_len)
{
    char *head;

    if (wire->out_of_memory)
        return false;
    head = wire->buffer + HEAD_BYTES - 2;
    (void)put_crlf(head);
    head = digits_before(head, wire->args);
    *--head = '*';
    *ret_command = head;
    *ret_len = (size_t)(wire->buffer + wire->len - head);
    return true;
}

void tkr_redis_wire_free(struct tkr_redis_wire *wire)
{
    free(wire->buffer);
    *wire = (struct tkr_redis_wire){0};
}
