/* SPDX-License-Identifier: Apache-2.0 */
/* A real redis-server for one test: on a Unix socket in a directory of its own, no port, nothing written to disk. */
#ifndef TESTS_SUPPORT_REDIS_H
#define TESTS_SUPPORT_REDIS_H

#include <hiredis/hiredis.h>

#include "support/process.h"
#include "support/tempdir.h"

#define REDIS_SERVER_ARGS_MAX 32
#define REDIS_SERVER_PATH_BYTES (TEMPDIR_BYTES + 16)

struct redis_server {
    struct process process;
    char dir[TEMPDIR_BYTES];
    char socket[REDIS_SERVER_PATH_BYTES];
    const char *arg[REDIS_SERVER_ARGS_MAX];
};

/* What is started: "redis-server", unless a test names another server that came of it before it calls any function. */
extern const char *redis_server_program;

/* Ends the test program with 77 and "skipped: redis-server is not installed" when that is so. Call it first in main, or
 * second. */
void redis_server_require(void);

/*
 * Starts the server and waits until it answers PING. extra: further arguments, which win over the defaults, such as
 * {"--appendonly", "yes", NULL}; may be NULL; the strings live as long as the server. 0, or -1 with its output printed.
 */
int redis_server_start(struct redis_server *ret_server, const char *const extra[]);

/* Kills it as a crash would (SIGKILL); directory and socket path stay, so that it can be started again. */
void redis_server_kill(struct redis_server *server);

/* Starts it again with the same directory and arguments; what it kept is what its persistence kept. 0 or -1. */
int redis_server_restart(struct redis_server *server);

/* Ends the server and removes its directory. Accepts a zeroed structure and a second call. */
void redis_server_stop(struct redis_server *server);

/* A connection with a timeout of 5 s, freed by redisFree; NULL when it cannot be made. */
redisContext *redis_server_context(const struct redis_server *server);

/*
 * One command on a connection of its own, formatted as redisCommand does. The reply (freed by freeReplyObject), or NULL
 * when there was none.
 */
redisReply *redis_server_command(const struct redis_server *server, const char *format, ...);

/* Begins what the server's scripts are told of a command that the user may not run: Redis 7.2 and later say it in other words.
 * "" when the server does not answer. */
const char *redis_server_script_denial(const struct redis_server *server);

/* The value of a hash's field as text in a static buffer, "" when it is not there. Not for threads. */
const char *redis_server_hget(const struct redis_server *server, const char *key, const char *field);

#endif
