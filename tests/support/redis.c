/* SPDX-License-Identifier: Apache-2.0 */
#include "support/redis.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/test.h"

#define START_MS 20000
#define COMMAND_S 5

const char *redis_server_program = "redis-server";

void redis_server_require(void)
{
    const char *const argv[] = {redis_server_program, "--version", NULL};
    struct process process;
    bool found = process_run(&process, argv, NULL, START_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    if (found)
        return;
    (void)printf("skipped: %s is not installed\n", redis_server_program);
    exit(TEST_SKIPPED);
}

redisContext *redis_server_context(const struct redis_server *server)
{
    struct timeval timeout = {COMMAND_S, 0};
    redisContext *context = redisConnectUnixWithTimeout(server->socket, timeout);

    if (context == NULL)
        return NULL;
    if (context->err != 0 || redisSetTimeout(context, timeout) != REDIS_OK) {
        redisFree(context);
        return NULL;
    }
    return context;
}

static bool answers(const struct redis_server *server)
{
    redisReply *reply = redis_server_command(server, "PING");
    bool ready = reply != NULL && (reply->type != REDIS_REPLY_ERROR || strncmp(reply->str, "NOAUTH", 6) == 0);

    freeReplyObject(reply);
    return ready;
}

static int start_and_wait(struct redis_server *server)
{
    long end = process_now_ms() + START_MS;

    if (process_start(&server->process, server->arg, NULL) != 0)
        return -1;
    while (!answers(server)) {
        if (!process_running(&server->process) || process_now_ms() >= end) {
            (void)fprintf(stderr, "%s%s", process_text(&server->process, PROCESS_STDOUT),
                          process_text(&server->process, PROCESS_STDERR));
            return -1;
        }
        process_sleep_ms(2);
    }
    return 0;
}

int redis_server_start(struct redis_server *ret_server, const char *const extra[])
{
    struct redis_server *s = ret_server;
    const char *const fixed[] = {
        redis_server_program, "--port", "0",          "--unixsocket", s->socket, "--dir", s->dir, "--save", "",
        "--appendonly",       "no",     "--loglevel", "notice"};
    size_t n = sizeof(fixed) / sizeof(fixed[0]);

    memset(s, 0, sizeof(*s));
    if (tempdir_make(s->dir) != 0)
        return -1;
    (void)snprintf(s->socket, sizeof(s->socket), "%s/redis.sock", s->dir);
    memcpy(s->arg, fixed, sizeof(fixed));
    for (; extra != NULL && *extra != NULL && n < REDIS_SERVER_ARGS_MAX - 1; n++, extra++)
        s->arg[n] = *extra;
    if (start_and_wait(s) == 0)
        return 0;
    redis_server_stop(s);
    return -1;
}

void redis_server_kill(struct redis_server *server)
{
    process_end(&server->process);
    (void)unlink(server->socket); /* a killed server leaves it; connecting to it must fail as to a stopped one */
}

int redis_server_restart(struct redis_server *server)
{
    redis_server_kill(server);
    return start_and_wait(server);
}

void redis_server_stop(struct redis_server *server)
{
    process_end(&server->process);
    tempdir_remove(server->dir);
    server->dir[0] = '\0';
}

redisReply *redis_server_command(const struct redis_server *server, const char *format, ...)
{
    redisContext *context = redis_server_context(server);
    redisReply *reply;
    va_list args;

    if (context == NULL)
        return NULL;
    va_start(args, format);
    reply = redisvCommand(context, format, args);
    va_end(args);
    redisFree(context);
    return reply;
}

const char *redis_server_script_denial(const struct redis_server *server)
{
    redisReply *reply = redis_server_command(server, "INFO server");
    const char *version = reply != NULL && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, "redis_version:") : NULL;
    int major = 0;
    int minor = 0;
    bool newer;

    if (version != NULL)
        (void)sscanf(version, "redis_version:%d.%d", &major, &minor);
    newer = major > 7 || (major == 7 && minor >= 2);
    freeReplyObject(reply);
    if (version == NULL)
        return "";
    return newer ? "ERR ACL failure in script: User " : "ERR The user executing the script can't run this command";
}

const char *redis_server_hget(const struct redis_server *server, const char *key, const char *field)
{
    static char text[256];
    redisReply *reply = redis_server_command(server, "HGET %s %s", key, field);

    text[0] = '\0';
    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        (void)snprintf(text, sizeof(text), "%s", reply->str);
    freeReplyObject(reply);
    return text;
}
