/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restarting a Redis that keeps an append-only file after a kill. Redis 7.0.15 cuts a tail that was torn within a MULTI
 * in memory only: at the restart after the next one it applies increments that it had reverted. Operators mend the file
 * first, and so does this.
 */
#ifndef TESTS_SUPPORT_AOF_H
#define TESTS_SUPPORT_AOF_H

#include <stdio.h>

#include "support/redis.h"

#define AOF_CHECK_MS 20000

/* Mends the file of a server that was killed and starts it again. 0 or -1. */
static inline int redis_server_restart_aof(struct redis_server *server)
{
    char manifest[TEMPDIR_BYTES + 64];
    const char *const argv[] = {"/bin/sh", "-c", "echo y | redis-check-aof --fix \"$0\"", manifest, NULL};
    struct process check;
    int result;

    (void)snprintf(manifest, sizeof(manifest), "%s/appendonlydir/appendonly.aof.manifest", server->dir);
    result = process_run(&check, argv, NULL, AOF_CHECK_MS);
    if (result == 0 && process_exit_code(&check) != 0) {
        (void)fprintf(stderr, "%s", process_text(&check, PROCESS_STDOUT));
        result = -1;
    }
    process_end(&check);
    return result == 0 ? redis_server_restart(server) : -1;
}

#endif
