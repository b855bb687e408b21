/* SPDX-License-Identifier: Apache-2.0 */
#include "command/dump/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/host.h"
#include "base/settings.h"
#include "command/text.h"

#define DOUBTS_MAX 50 /* that are kept */

bool tkr_dump_read(const struct tkr_dump *dump, uint64_t offset, void *ret_bytes, size_t count)
{
    size_t done = 0;
    ssize_t n = 1;

    while (done < count && n > 0 && offset + done <= INT64_MAX) {
        n = pread(dump->fd, (char *)ret_bytes + done, count - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            done += (size_t)n;
    }
    memset((char *)ret_bytes + done, 0, count - done);
    return done == count;
}

uint64_t tkr_dump_word(const struct tkr_dump *dump, uint64_t offset)
{
    uint64_t word;

    (void)tkr_dump_read(dump, offset, &word, sizeof(word)); /* what is not there is 0 */
    return word;
}

const unsigned char *tkr_dump_window_at(struct tkr_dump_window *window, uint64_t offset, uint64_t count)
{
    if (offset < window->at || offset - window->at > window->count || count > window->count - (offset - window->at)) {
        (void)tkr_dump_read(window->dump, offset, window->bytes, TKR_DUMP_WINDOW_BYTES); /* zeros are an answer */
        window->at = offset;
        window->count = TKR_DUMP_WINDOW_BYTES;
    }
    return window->bytes + (offset - window->at);
}

void tkr_dump_doubt(struct tkr_dump *dump, const char *format, ...)
{
    char text[TKR_MESSAGE_BYTES];
    va_list args;

    if (dump->doubted++ >= DOUBTS_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)json_array_append_new(dump->doubts, json_string(text));
}

uint64_t tkr_dump_clamp(struct tkr_dump *dump, const char *what, uint64_t said, uint64_t most)
{
    if (said <= most)
        return said;
    tkr_dump_doubt(dump, "%s: it says %" PRIu64 ", where %" PRIu64 " is the most", what, said, most);
    return most;
}

bool tkr_dump_within(struct tkr_dump *dump, const char *what, uint64_t offset, uint64_t bytes, uint64_t end)
{
    if (offset <= end && bytes <= end - offset)
        return true;
    tkr_dump_doubt(dump, "%s: %" PRIu64 " bytes from %" PRIu64 " on do not lie within %" PRIu64, what, bytes, offset, end);
    return false;
}

void tkr_dump_set(json_t *object, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    (void)json_object_set_new(object, key, value <= INT64_MAX ? json_integer((json_int_t)value) : json_string(text));
}

void tkr_dump_set_signed(json_t *object, const char *key, int64_t value)
{
    (void)json_object_set_new(object, key, json_integer(value));
}

void tkr_dump_set_text(json_t *object, const char *key, const char *text)
{
    (void)json_object_set_new(object, key, json_string(text));
}

void tkr_dump_set_hex(json_t *object, const char *key, const void *bytes, size_t count)
{
    (void)json_object_set_new(object, key, tkr_command_json_hex(bytes, count));
}

void tkr_dump_set_layout(json_t *object, uint32_t major, uint32_t minor)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%u.%u", major, minor);
    tkr_dump_set_text(object, "layout", text);
}

void tkr_dump_set_boot(struct tkr_dump *dump, json_t *object, const uint8_t *boot_id)
{
    uint8_t now[TKR_BOOT_ID_BYTES];

    if (!tkr_boot_id(now))
        tkr_dump_doubt(dump, "the boot's identifier cannot be read at present");
    else
        tkr_dump_set_text(object, "boot", memcmp(now, boot_id, sizeof(now)) == 0 ? "this" : "another");
}

bool tkr_dump_list_takes(const struct tkr_dump *dump, struct tkr_dump_list *list)
{
    return list->count++ < dump->limit;
}

void tkr_dump_list_end(json_t *object, const char *key, struct tkr_dump_list *list)
{
    char in_all[64];

    (void)snprintf(in_all, sizeof(in_all), "%s_in_all", key);
    tkr_dump_set(object, in_all, list->count);
    (void)json_object_set_new(object, key, list->array);
}
