/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a line of the log looks:
 *
 *     2026-11-23T12:50:31.123Z info    Recorded 906 tokens for user alice cycle=2026-11-01
 *     {"timestamp":"2026-11-23T12:50:31.123Z","level":"info","logger":"tokenring","message":"Recorded 906 tokens for user alice",
 *      "tokens":906,"kind":"user","account":"alice","cycle":"2026-11-01"}       (one line)
 *
 * A message is a constant text in which {name} stands for the field of that name; in text the fields that it does not name follow it.
 * Where standard error is the journal, "<6>" or its like goes first, and text leaves the time to the journal.
 *
 * Ids and names are bytes of strangers' choice. In text, and in a JSON line's message, one that is not made of printable characters
 * without blank, quote, backslash and '=' stands in quotes, in which quotes and backslashes have a backslash in front and bytes that
 * are no printable UTF-8 are \xNN: so nothing that is in an id looks like another field, or begins a line. As members of JSON, bytes that
 * are no UTF-8 are U+FFFD, and the member NAME_hex then has them all. Sentences stand as they are, such bytes a '?'.
 *
 * Redacted, an account is '#' and 12 hex digits of a digest of kind and id, a key likewise, of its own: the same in each line of one
 * run, and nobody's id.
 *
 * A line has at most 4096 bytes, so that a pipe takes it whole. A message that is too long is cut; a field that then still does not
 * fit is left out.
 */
#ifndef TKR_BASE_LOG_LINE_H
#define TKR_BASE_LOG_LINE_H

#include <stdbool.h>
#include <time.h>

#include "base/digest.h"
#include "base/log_field.h"

enum tkr_log_level { TKR_LOG_ERROR, TKR_LOG_WARNING, TKR_LOG_INFO, TKR_LOG_DEBUG };
enum tkr_log_format { TKR_LOG_TEXT, TKR_LOG_JSON };

#define TKR_LOG_LINE_BYTES 4096u /* PIPE_BUF */
#define TKR_LOG_BODY_BYTES (TKR_LOG_LINE_BYTES - 256u)

struct tkr_log_style {
    enum tkr_log_format format;
    bool journal; /* priorities in front */
    bool redact;
    struct tkr_digest_key key; /* under which ids are redacted */
};

/* What a line says, without when. */
struct tkr_log_body {
    enum tkr_log_level level;
    uint32_t message_bytes;        /* the message, as it is written */
    uint32_t bytes;                /* and the fields behind it */
    char text[TKR_LOG_BODY_BYTES]; /* no NUL behind it */
};

/* How often it was said besides, within which time; times 0: this is not about that. */
struct tkr_log_more {
    uint64_t times;
    int64_t seconds;
};

/* A second, and how it is written; zeroed: none yet. */
struct tkr_log_second {
    time_t second;
    char text[sizeof("2026-11-23T12:50:31")];
};

extern const char *const tkr_log_level_name[TKR_LOG_DEBUG + 1];

/* Makes a body of a message and its fields; a message of sentences from elsewhere has none, and braces in it are braces. */
void tkr_log_body_make(const struct tkr_log_style *style, enum tkr_log_level level, const char *message,
                       const struct tkr_field *fields, size_t count, struct tkr_log_body *ret_body);

/*
 * Writes the line of a body with the time of now and a line feed. Returns its bytes. second is kept between calls: the calendar is
 * asked once in a second.
 */
size_t tkr_log_line_make(const struct tkr_log_style *style, const struct tkr_log_body *body, const struct tkr_log_more *more,
                         struct tkr_log_second *second, char ret_line[TKR_LOG_LINE_BYTES]);

#endif
