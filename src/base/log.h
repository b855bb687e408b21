/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's log. How its lines look: base/log_line.h; its fields: base/log_fields.def. The producer library never calls it: it
 * prints nothing in its host.
 *
 * Until tkr_log_open, and in programs that never call it, each line is written to standard error at once. From then on a thread
 * writes (base/log_writer.h), repeats are limited (base/log_repeats.h), and who says a line never waits for a file.
 *
 * Threads: any, except for what says otherwise. No line allocates.
 */
#ifndef TKR_BASE_LOG_H
#define TKR_BASE_LOG_H

#include "base/log_line.h"
#include "base/settings.h"

#define TKR_LOG_PATH_BYTES 4096

struct tkr_log_settings {
    enum tkr_log_level level; /* lines above it are not written */
    enum tkr_log_format format;
    bool redact;                   /* account ids */
    int64_t repeats_ms;            /* within which a line that is said again is one that is repeated */
    char file[TKR_LOG_PATH_BYTES]; /* empty: standard error */
};

/*
 * LOG_LEVEL (error, warning, info, debug; default info) and LOG_FORMAT (text or json; default text), in any case; TOKENRING_LOG_FILE;
 * TOKENRING_LOG_REDACT (0 or 1; default 0).
 * 0, or -1 with a sentence that names the variable, its value and what is allowed.
 */
int tkr_log_settings_read(struct tkr_log_settings *ret_settings, tkr_message *ret_message);

/* Takes up level, format and redaction, with a key of its own. Before threads start. false: no random bytes are to be had. */
bool tkr_log_set(const struct tkr_log_settings *settings);

/*
 * Takes the settings up, which stay the caller's until the log is closed, opens the file and starts the writer. Before other threads
 * start. 0, or -1 with the reason.
 */
int tkr_log_open(const struct tkr_log_settings *settings, tkr_message *ret_message);

/* Writes what is waiting and ends the writer, after at most two seconds; after other threads have ended. */
void tkr_log_close(void);

/* Opens the file again under its name; where there is none, nothing happens. Async-signal-safe. */
void tkr_log_reopen(void);

/* Does the log go to standard error, because its file cannot be opened? Then with a sentence for people. Any thread. */
bool tkr_log_problem(tkr_message *ret_message);

/* Is a line of this level written at all? */
bool tkr_log_wants(enum tkr_log_level level);

/* Says a sentence without fields; what is in it of others' choice is not told from ours. Beyond 1023 bytes it is cut. */
void tkr_log(enum tkr_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Says a message, in which {name} stands for the field of that name: TKR_LOG(TKR_LOG_INFO, "{tokens} tokens", tkr_field_tokens(3)). */
#define TKR_LOG(level, message, ...)                                                                                 \
    do {                                                                                                             \
        if (tkr_log_wants(level))                                                                                    \
            (void)tkr_log_fields(level, message, (const struct tkr_field[]){__VA_ARGS__},                            \
                                 sizeof((const struct tkr_field[]){__VA_ARGS__}) / sizeof(struct tkr_field), false); \
    } while (0)

/*
 * The same as a function. each: the line is one of many of a kind that has a limit of its own: it is no repeat of another one.
 * false: there is no room for it at present; with each set, nobody is told of that but the caller, who may say it later.
 */
bool tkr_log_fields(enum tkr_log_level level, const char *message, const struct tkr_field *fields, size_t count, bool each);

#endif
