/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_file.h"
#include "base/log_repeats.h"

#define BUFFER_BYTES (512u << 10)
#define KEPT_BYTES (BUFFER_BYTES / 4) /* of it, for lines that do not come in masses */
#define END_NS TKR_NS_PER_S           /* what is waiting at the end may take so long, and a write under way as long again */
#define END_POLL_NS (TKR_NS_PER_MS / 2)
#define GATHER_NS (200 * TKR_NS_PER_US) /* lines that come together are written together */
#define PATH_SHOWN 120
#define RETRY_NS TKR_NS_PER_S /* between tries to open a file that cannot be opened */

/* Lines, whole, one after another. */
struct buffer {
    char *bytes;
    size_t len;
};

static struct {
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows, up to the gap */
    struct buffer filled;
    struct tkr_log_repeats repeats;
    struct tkr_log_second second;
    uint64_t lost; /* lines that found no room, not told of yet */
    bool asleep;   /* the thread waits to be woken */
    bool finish;

    struct buffer written; /* from here on the thread's own */
    uint64_t refused;      /* lines that the file did not take, not told of yet */
    int refused_errno;
    bool torn;        /* the last line in the file has no end */
    bool works;       /* the file took what it was given last */
    int64_t retry_ns; /* monotonic: when a file that cannot be opened is tried again */

    const char *path; /* NULL: standard error */
    struct tkr_log_style style;
    int fd;
    _Atomic int failure; /* errno of a file that cannot be opened: lines go to standard error; 0: it is open */
    _Atomic int wake;    /* eventfd; -1: none */
    atomic_bool reopen;
    atomic_bool ended;
    _Atomic int64_t give_up_ns; /* nothing is waited for any longer; INT64_MAX: it is */
} writer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = -1};

static const struct tkr_log_more no_more;

/* --- with the lock --- */

/* true: there was room for it, and for so much besides. */
static bool append(const struct tkr_log_body *body, const struct tkr_log_more *more, size_t besides)
{
    struct buffer *filled = &writer.filled;

    if (BUFFER_BYTES - filled->len < TKR_LOG_LINE_BYTES + besides)
        return false;
    filled->len += tkr_log_line_make(&writer.style, body, more, &writer.second, filled->bytes + filled->len);
    return true;
}

static void append_due(int64_t now_ns, bool all)
{
    const struct tkr_log_body *body;
    struct tkr_log_more more;

    while ((body = tkr_log_repeats_due(&writer.repeats, now_ns, all, &more)) != NULL)
        writer.lost += !append(body, &more, 0);
}

static void append_told(const char *message, const struct tkr_field *fields, size_t count)
{
    struct tkr_log_body body;

    tkr_log_body_make(&writer.style, TKR_LOG_WARNING, message, fields, count, &body);
    writer.lost += !append(&body, &no_more, 0);
}

/* --- any thread --- */

static void wake(void)
{
    const uint64_t one = 1;

    (void)!write(atomic_load_explicit(&writer.wake, memory_order_relaxed), &one, sizeof(one)); /* full: it is awake */
}

bool tkr_log_writer_put(const struct tkr_log_body *body, bool each)
{
    bool limited = !each && body->level != TKR_LOG_DEBUG; /* who asks for so much wants all of it */
    int64_t now_ns = limited ? tkr_clock_monotonic_ns() : 0;
    bool room = true;
    bool asleep;

    (void)pthread_mutex_lock(&writer.mutex);
    if (limited)
        append_due(now_ns, false);
    if (!limited || tkr_log_repeats_take(&writer.repeats, body, now_ns))
        room = append(body, &no_more, each ? KEPT_BYTES : 0);
    writer.lost += !room && !each;
    asleep = writer.asleep;
    writer.asleep = false;
    (void)pthread_mutex_unlock(&writer.mutex);
    if (asleep)
        wake();
    return room;
}

void tkr_log_writer_reopen(void)
{
    int saved = errno;

    atomic_store_explicit(&writer.reopen, true, memory_order_relaxed); /* the write orders it */
    wake();
    errno = saved;
}

/* --- the thread --- */

static bool give_up(void *argument)
{
    (void)argument;
    return tkr_clock_monotonic_ns() >= atomic_load_explicit(&writer.give_up_ns, memory_order_relaxed); /* a hint */
}

static uint64_t count_lines(const char *bytes, size_t len)
{
    uint64_t lines = 0;

    for (const char *end; (end = memchr(bytes, '\n', len)) != NULL; bytes = end + 1) {
        len -= (size_t)(end + 1 - bytes);
        lines++;
    }
    return lines;
}

/* As many whole lines as fit one write; each line fits one. */
static size_t piece_bytes(const char *bytes, size_t len)
{
    const char *end;

    if (len <= TKR_LOG_LINE_BYTES)
        return len;
    end = memrchr(bytes, '\n', TKR_LOG_LINE_BYTES);
    return (size_t)(end + 1 - bytes);
}

/* Notes what a refusal left behind: a line is lost when its end is. */
static void note_refused(const char *bytes, size_t len, size_t written, int error)
{
    writer.refused += count_lines(bytes + written, len - written);
    writer.refused_errno = error;
    writer.torn = written > 0 ? bytes[written - 1] != '\n' : writer.torn;
}

static void write_piece(const char *bytes, size_t len)
{
    size_t written;

    if (writer.torn)
        writer.torn = tkr_log_file_write(writer.fd, "\n", 1, give_up, NULL) == 0;
    written = writer.torn ? 0 : tkr_log_file_write(writer.fd, bytes, len, give_up, NULL);
    writer.works = written == len;
    if (!writer.works)
        note_refused(bytes, len, written, errno);
}

static void write_all(const struct buffer *buffer)
{
    for (size_t at = 0; at < buffer->len;) {
        size_t len = piece_bytes(buffer->bytes + at, buffer->len - at);

        write_piece(buffer->bytes + at, len);
        at += len;
    }
}

static int failure(void)
{
    return atomic_load_explicit(&writer.failure, memory_order_relaxed); /* a figure of its own */
}

/* From now on lines go there; what is torn stays where it is. */
static void go_on_in(int fd, int error)
{
    if (writer.fd != STDERR_FILENO)
        (void)close(writer.fd);
    writer.fd = fd;
    writer.torn = false;
    writer.works = true;
    atomic_store_explicit(&writer.failure, error, memory_order_relaxed); /* a figure of its own */
}

/* Opens the file under its name. While it cannot be opened, lines go to standard error, and it is tried again. */
static void reopen(void)
{
    int fd = tkr_log_file_open(writer.path);
    int error = fd < 0 ? errno : 0;
    int before = failure();
    const struct tkr_field fields[] = {tkr_field_file(writer.path, strlen(writer.path)), tkr_field_error(strerror(error))};

    writer.retry_ns = tkr_clock_monotonic_ns() + RETRY_NS;
    if (fd >= 0 || before == 0)
        go_on_in(fd >= 0 ? fd : STDERR_FILENO, error);
    (void)pthread_mutex_lock(&writer.mutex);
    writer.style.journal = error != 0 && tkr_log_file_is_journal(STDERR_FILENO);
    if (error != 0 && before == 0)
        append_told("the log file {file} cannot be opened: {error}; the log goes to standard error, trying again", fields, 2);
    else if (error == 0 && before != 0)
        append_told("the log goes to {file} again; lines since it could not be opened are on standard error", fields, 1);
    (void)pthread_mutex_unlock(&writer.mutex);
}

/* Lines in a file that has no name any more would be lost. */
static bool was_removed(void)
{
    struct stat status;

    return writer.path != NULL && failure() == 0 && fstat(writer.fd, &status) == 0 && S_ISREG(status.st_mode) &&
           status.st_nlink == 0;
}

/* Asked for, or due. */
static bool is_to_reopen(void)
{
    bool asked = atomic_exchange_explicit(&writer.reopen, false, memory_order_relaxed); /* the write orders it */

    return writer.path != NULL && (asked || (failure() != 0 && tkr_clock_monotonic_ns() >= writer.retry_ns));
}

static void sleep_until(int64_t at_ns)
{
    struct pollfd woken = {.fd = atomic_load_explicit(&writer.wake, memory_order_relaxed), .events = POLLIN};
    int64_t left_ms = (at_ns - tkr_clock_monotonic_ns()) / TKR_NS_PER_MS + 1;
    int timeout_ms = at_ns == INT64_MAX ? -1 : left_ms > 0 ? (int)left_ms : 0;
    uint64_t times;

    if (poll(&woken, 1, timeout_ms) != 1)
        return;
    (void)!read(woken.fd, &times, sizeof(times)); /* how often does not matter */
    tkr_clock_sleep_ns(GATHER_NS);
}

/* With the lock. What has been lost, if the file takes lines again and the buffer has room. */
static void tell_lost(void)
{
    if (!writer.works || BUFFER_BYTES - writer.filled.len < 2 * TKR_LOG_LINE_BYTES)
        return;
    if (writer.lost > 0) {
        const struct tkr_field lines = tkr_field_lines(writer.lost);
        writer.lost = 0;
        append_told("{lines} lines of the log were lost: they were said faster than they could be written", &lines, 1);
    }
    if (writer.refused > 0) {
        const struct tkr_field fields[] = {tkr_field_lines(writer.refused), tkr_field_error(strerror(writer.refused_errno))};
        writer.refused = 0;
        append_told("{lines} lines of the log were lost: {error}", fields, 2);
    }
}

/* Takes what has been put. false: there is nothing, and it has been waited for; *ret_end says that nothing will come. */
static bool take(bool *ret_end)
{
    struct buffer filled;
    int64_t next_ns;
    bool finish;

    (void)pthread_mutex_lock(&writer.mutex);
    finish = writer.finish;
    append_due(tkr_clock_monotonic_ns(), finish);
    tell_lost();
    filled = writer.filled;
    writer.filled = writer.written;
    writer.filled.len = 0;
    tell_lost(); /* behind a buffer that was full */
    writer.asleep = filled.len == 0 && !finish;
    next_ns = tkr_log_repeats_next_ns(&writer.repeats);
    if (failure() != 0 && writer.retry_ns < next_ns)
        next_ns = writer.retry_ns;
    (void)pthread_mutex_unlock(&writer.mutex);
    writer.written = filled;
    *ret_end = filled.len == 0 && finish;
    if (filled.len == 0 && !finish && !atomic_load_explicit(&writer.reopen, memory_order_relaxed))
        sleep_until(next_ns);
    return filled.len > 0;
}

static void *run(void *argument)
{
    bool end = false;

    (void)argument;
    while (!end) {
        if (take(&end)) {
            if (was_removed())
                reopen();
            write_all(&writer.written);
        }
        if (is_to_reopen())
            reopen();
    }
    atomic_store_explicit(&writer.ended, true, memory_order_relaxed); /* join orders the rest */
    return NULL;
}

/* --- life --- */

static void release(void)
{
    int wake_fd = atomic_exchange_explicit(&writer.wake, -1, memory_order_relaxed); /* from now on a signal finds none */

    if (writer.fd > STDERR_FILENO)
        (void)close(writer.fd);
    if (wake_fd >= 0)
        (void)close(wake_fd);
    free(writer.filled.bytes);
    free(writer.written.bytes);
    writer.filled = writer.written = (struct buffer){0};
}

/* Signals are for other threads: one of theirs sleeps so that they end it. */
static bool start(void)
{
    sigset_t all;
    sigset_t before;
    bool started;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_create(&writer.thread, NULL, run, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

int tkr_log_writer_open(const char *path, const struct tkr_log_style *style, int64_t repeats_ns, tkr_message *ret_message)
{
    int wake_fd;

    writer.path = path;
    writer.style = *style;
    writer.finish = writer.torn = writer.asleep = false;
    writer.works = true;
    atomic_store_explicit(&writer.ended, false, memory_order_relaxed);
    atomic_store_explicit(&writer.failure, 0, memory_order_relaxed); /* no thread yet */
    writer.lost = writer.refused = 0;
    memset(writer.repeats.kept, 0, sizeof(writer.repeats.kept));
    writer.repeats.window_ns = repeats_ns;
    atomic_store_explicit(&writer.give_up_ns, INT64_MAX, memory_order_relaxed); /* no thread yet */
    writer.fd = path != NULL ? tkr_log_file_open(path) : STDERR_FILENO;
    if (writer.fd < 0)
        return tkr_message_set(ret_message, "TOKENRING_LOG_FILE=%.*s: cannot be opened: %s; allowed is a file to append to",
                               PATH_SHOWN, path, strerror(errno));
    writer.filled.bytes = malloc(BUFFER_BYTES);
    writer.written.bytes = malloc(BUFFER_BYTES);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_store_explicit(&writer.wake, wake_fd, memory_order_relaxed);
    if (writer.filled.bytes != NULL && writer.written.bytes != NULL && wake_fd >= 0 && start())
        return 0;
    release();
    return tkr_message_set(ret_message, "cannot start the thread that writes the log");
}

bool tkr_log_writer_problem(tkr_message *ret_message)
{
    int error = failure();

    if (error == 0)
        return false;
    (void)tkr_message_set(ret_message,
                          "TOKENRING_LOG_FILE=%.*s: cannot be opened: %s; the log goes to standard error until it can be",
                          PATH_SHOWN, writer.path, strerror(error));
    return true;
}

void tkr_log_writer_close(void)
{
    int64_t give_up_ns = tkr_clock_monotonic_ns() + END_NS;

    atomic_store_explicit(&writer.give_up_ns, give_up_ns, memory_order_relaxed); /* a hint */
    (void)pthread_mutex_lock(&writer.mutex);
    writer.finish = true;
    (void)pthread_mutex_unlock(&writer.mutex);
    wake();
    while (!atomic_load_explicit(&writer.ended, memory_order_relaxed) && tkr_clock_monotonic_ns() < give_up_ns + END_NS)
        tkr_clock_sleep_ns(END_POLL_NS);
    if (!atomic_load_explicit(&writer.ended, memory_order_relaxed)) {
        (void)pthread_detach(writer.thread); /* its write may never return: what it uses stays */
        return;
    }
    (void)pthread_join(writer.thread, NULL);
    release();
}
