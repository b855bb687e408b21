/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two real redis-servers with AOF: a primary, and a replica that follows it through the proxy. What can happen to them.
 *
 * After a kill the AOF is repaired by redis-check-aof --fix before the next start.
 *
 * Functions return 0, or -1 with a line on standard error where that is no part of the game.
 */
#ifndef TESTS_CHAOS_SERVERS_H
#define TESTS_CHAOS_SERVERS_H

#include <stdbool.h>

#include "chaos/proxy.h"
#include "support/random.h"
#include "support/redis.h"

#define SERVERS 2
#define SNAPSHOTS 8

struct servers {
    struct redis_server server[SERVERS];
    bool up[SERVERS];      /* started and not killed; may be stopped */
    bool stopped[SERVERS]; /* SIGSTOP */
    int primary;
    struct proxy *proxy;
    char dir[TEMPDIR_BYTES]; /* of the snapshots */
    int snapshots;           /* taken so far; the last SNAPSHOTS are kept */
};

/* Starts both, and the proxy. */
int servers_start(struct servers *ret_servers);

/* Ends all and removes the directories; accepts a zeroed structure. */
void servers_end(struct servers *servers);

static inline int servers_replica(const struct servers *servers)
{
    return 1 - servers->primary;
}

/* May server i be asked something? */
static inline bool servers_answers(const struct servers *servers, int i)
{
    return servers->up[i] && !servers->stopped[i];
}

/* SIGKILL; and up again, with what its AOF has. The replica goes on as such. */
void servers_kill(struct servers *servers, int i);
int servers_restart(struct servers *servers, int i);

void servers_stop(struct servers *servers, int i);
void servers_continue(struct servers *servers, int i);

/* Takes up to `bytes` off the end of the AOF of a server that is down; how many: *ret_bytes. */
int servers_tear(struct servers *servers, int i, long bytes, long *ret_bytes);

/* Saves what the primary has; and puts snapshot n (of those kept) in the place of what a server that is down has. */
int servers_snapshot(struct servers *servers);
int servers_restore(struct servers *servers, int i, int n);

/* The replica becomes the primary as it is. The old one is left to the caller; late_ms as for proxy_target. 0, or -1: it
 * did not want to. */
int servers_promote(struct servers *servers, int late_ms);

/* Makes server i, which is not the primary, follow it. */
int servers_follow(struct servers *servers, int i);

/* A command without arguments to the primary, such as "FLUSHALL". 0, or -1 when it was refused. */
int servers_command(struct servers *servers, const char *command);

/*
 * Deletes a hash of totals, knowingly. In the same script it adds what was in it to the hash CHAOS_RESET_PREFIX key, which
 * goes through every loss and restoration together with it: the two together are what was counted, in every state that Redis
 * ever comes back to.
 */
#define CHAOS_RESET_PREFIX "chaos:reset:"
int servers_reset(struct servers *servers, const char *key, size_t len);

#endif
