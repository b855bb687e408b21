/* SPDX-License-Identifier: Apache-2.0 */
#include "sink/redis/connection.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sink/redis/advice.h"
#include "sink/redis/dial.h"

#define ARGS_MAX 8
#define LAST_WORDS_BYTES 200

/* While it holds, SIGPIPE is blocked in this thread; one raised meanwhile by our own write is taken away again. */
struct pipe_guard {
    sigset_t before;
    bool was_pending;
};

static sigset_t only_sigpipe(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

static bool sigpipe_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static void guard_begin(struct pipe_guard *guard)
{
    sigset_t set = only_sigpipe();

    guard->was_pending = sigpipe_pending();
    (void)pthread_sigmask(SIG_BLOCK, &set, &guard->before); /* fails only for a bad first argument */
}

static void guard_end(const struct pipe_guard *guard)
{
    sigset_t set = only_sigpipe();
    const struct timespec now = {0, 0};
    int saved = errno;

    if (!guard->was_pending && sigpipe_pending()) {
        while (sigtimedwait(&set, NULL, &now) < 0 && errno == EINTR)
            continue;
    }
    (void)pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = saved;
}

static struct timeval milliseconds(int ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
}

static bool timed_out(const redisContext *context, int error_number)
{
#ifdef REDIS_ERR_TIMEOUT
    if (context->err == REDIS_ERR_TIMEOUT)
        return true;
#endif
    return context->err == REDIS_ERR_IO && (error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == ETIMEDOUT);
}

/* Bytes of an error before it repeats arguments of ours: keys hold ids, and what follows AUTH is a password; neither has a
 * place in a sentence about the sink. */
static size_t words_of_its_own(const char *error)
{
    static const char *const keys[] = {"token_usage", "token_limit", "tr1:", "with args beginning with"};
    size_t len = strlen(error);

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *key = strstr(error, keys[i]);
        if (key != NULL && (size_t)(key - error) < len)
            len = (size_t)(key - error);
    }
    return len;
}

int tkr_redis_refused_text(const char *error, tkr_message *ret_message)
{
    const char *means = tkr_redis_advice(error);
    int len = (int)words_of_its_own(error);
    const char *more = error[len] != '\0' ? "..." : "";

    if (means == NULL)
        return tkr_message_set(ret_message, "Redis answered: %.*s%s", len, error, more);
    return tkr_message_set(ret_message, "%s; it answered: %.*s%s", means, len, error, more);
}

/* A Redis that turns us away (maxclients) says why and hangs up, which our own write may notice first. */
static bool last_words(const redisContext *context, tkr_message *ret_message)
{
    char words[LAST_WORDS_BYTES];
    ssize_t n = recv(context->fd, words, sizeof(words) - 1, MSG_DONTWAIT);

    if (n <= 0 || words[0] != '-')
        return false;
    words[n] = '\0';
    words[strcspn(words, "\r\n")] = '\0';
    (void)tkr_redis_refused_text(words + 1, ret_message);
    return true;
}

static int lost(const redisContext *context, int error_number, tkr_message *ret_message)
{
    if (timed_out(context, error_number))
        return tkr_message_set(ret_message, "the connection to Redis failed: no answer in time (TOKENRING_REDIS_TIMEOUT_MS)");
    if (context->err == REDIS_ERR_IO && last_words(context, ret_message))
        return -1;
    return tkr_message_set(ret_message, "the connection to Redis failed: %s",
                           context->errstr[0] != '\0' ? context->errstr : "broken");
}

int tkr_redis_refused(const redisReply *reply, tkr_message *ret_message)
{
    return tkr_redis_refused_text(reply->str, ret_message);
}

int tkr_redis_append(redisContext *context, const char *command, size_t len, tkr_message *ret_message)
{
    if (redisAppendFormattedCommand(context, command, len) == REDIS_OK)
        return 0;
    return lost(context, 0, ret_message);
}

int tkr_redis_flush(redisContext *context, tkr_message *ret_message)
{
    struct pipe_guard guard;
    int done = 0;
    int rc;

    guard_begin(&guard);
    do {
        errno = 0;
        rc = redisBufferWrite(context, &done);
    } while (rc == REDIS_OK && !done);
    guard_end(&guard);
    return rc == REDIS_OK ? 0 : lost(context, errno, ret_message);
}

int tkr_redis_reply(redisContext *context, redisReply **ret_reply, tkr_message *ret_message)
{
    struct pipe_guard guard;
    void *reply = NULL;
    int rc;

    guard_begin(&guard);
    errno = 0;
    rc = redisGetReply(context, &reply);
    guard_end(&guard);
    if (rc != REDIS_OK || reply == NULL)
        return lost(context, errno, ret_message);
    *ret_reply = reply;
    return 0;
}

int tkr_redis_command(redisContext *context, const char *const args[], redisReply **ret_reply, tkr_message *ret_message)
{
    const char *argv[ARGS_MAX];
    size_t len[ARGS_MAX];
    redisReply *reply;
    int n = 0;

    for (; n < ARGS_MAX && args[n] != NULL; n++) {
        argv[n] = args[n];
        len[n] = strlen(args[n]);
    }
    if (redisAppendCommandArgv(context, n, argv, len) != REDIS_OK)
        return lost(context, 0, ret_message);
    if (tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_ERROR) {
        (void)tkr_redis_refused(reply, ret_message); /* -1, as we return */
        freeReplyObject(reply);
        return -1;
    }
    *ret_reply = reply;
    return 0;
}

int tkr_redis_misunderstood(tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "Redis answered something that the script does not return");
}

int tkr_redis_flag(redisContext *context, bool *ret_done, tkr_message *ret_message)
{
    redisReply *reply;
    int rc = 0;

    if (tkr_redis_reply(context, &reply, ret_message) != 0)
        return -1;
    if (reply->type == REDIS_REPLY_ERROR)
        rc = tkr_redis_refused(reply, ret_message);
    else if (reply->type != REDIS_REPLY_INTEGER)
        rc = tkr_redis_misunderstood(ret_message);
    else
        *ret_done = reply->integer != 0;
    freeReplyObject(reply);
    return rc;
}

int tkr_redis_script_load(redisContext *context, const char *script, char ret_sha[TKR_REDIS_SHA_BYTES], tkr_message *ret_message)
{
    const char *const args[] = {"SCRIPT", "LOAD", script, NULL};
    redisReply *reply;
    bool loaded;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    loaded = reply->type == REDIS_REPLY_STRING && reply->len == TKR_REDIS_SHA_BYTES - 1;
    if (loaded)
        memcpy(ret_sha, reply->str, TKR_REDIS_SHA_BYTES);
    freeReplyObject(reply);
    return loaded ? 0 : tkr_message_set(ret_message, "the answer to SCRIPT LOAD is not that of a Redis");
}

/* A command whose reply only matters when it is an error. */
static int demand(redisContext *context, const char *const args[], tkr_message *ret_message)
{
    redisReply *reply;

    if (tkr_redis_command(context, args, &reply, ret_message) != 0)
        return -1;
    freeReplyObject(reply);
    return 0;
}

static int authenticate(redisContext *context, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    const char *const with_user[] = {"AUTH", config->username, config->password, NULL};
    const char *const without[] = {"AUTH", config->password, NULL};

    if (config->password[0] == '\0')
        return 0;
    if (demand(context, config->username[0] != '\0' ? with_user : without, ret_message) == 0)
        return 0;
    if (strstr(ret_message->text, config->password) != NULL) /* a server that repeats what it does not understand */
        return tkr_message_set(ret_message, "Redis refused to authenticate us");
    return -1;
}

static int select_db(redisContext *context, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    char digits[8];
    size_t at = sizeof(digits) - 1;
    int db = config->db;
    const char *args[] = {"SELECT", NULL, NULL};

    if (db == 0)
        return 0;
    digits[at] = '\0';
    for (; db > 0 && at > 0; db /= 10)
        digits[--at] = (char)('0' + db % 10);
    args[1] = digits + at;
    return demand(context, args, ret_message);
}

static int set_up(redisContext *context, const struct tkr_sink_config *config, tkr_message *ret_message)
{
    if (redisSetTimeout(context, milliseconds(config->command_timeout_ms)) != REDIS_OK)
        return lost(context, 0, ret_message);
    if (config->socket[0] == '\0' && redisEnableKeepAlive(context) != REDIS_OK)
        return lost(context, 0, ret_message);
    if (authenticate(context, config, ret_message) != 0)
        return -1;
    return select_db(context, config, ret_message);
}

/* hiredis resolves and connects by itself, but to the first IPv4 address only, and waits for the resolver. */
static redisContext *adopt(int fd)
{
    redisContext *context = redisConnectFd(fd);

    if (context == NULL)
        (void)close(fd);
    return context;
}

int tkr_redis_open(const struct tkr_sink_config *config, const struct tkr_give_up *give_up, redisContext **ret_context,
                   tkr_message *ret_message)
{
    redisContext *context;
    int fd;

    if (tkr_redis_dial(config, give_up, &fd, ret_message) != 0)
        return -1;
    context = adopt(fd);
    if (context == NULL)
        return tkr_message_set(ret_message, "out of memory");
    if (set_up(context, config, ret_message) == 0) {
        *ret_context = context;
        return 0;
    }
    redisFree(context);
    return -1;
}
