/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system works, so that it can be disturbed there: a tmpfs, names and wall clocks of the run's own. Tmpfs and names need
 * namespaces; where the host allows none, the system works in an ordinary directory, with addresses, and these two stay in order.
 *
 * Functions return 0, or -1 with errno.
 */
#ifndef TESTS_CHAOS_PLACE_H
#define TESTS_CHAOS_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "support/clock_state.h"
#include "support/tempdir.h"

#define PLACE_NAME "redis.test" /* resolved by a name server of ours, where apart */
#define PLACE_TMPFS_BYTES (INT64_C(64) << 20)

enum place_clock { PLACE_COLLECTOR, PLACE_GATEWAYS, PLACE_CLOCKS };

/* A file that clock_shim.c maps into the programs. */
struct place_clocks {
    struct clock_step clock[PLACE_CLOCKS];
};

struct network_name_server;

struct place {
    bool apart; /* tmpfs and names are our own */
    char runtime[TEMPDIR_BYTES];
    char filler[TEMPDIR_BYTES + 16];
    char clocks_path[TEMPDIR_BYTES + 16];
    struct place_clocks *clocks;
    struct network_name_server *names;
};

/* Enters namespaces; first in main, before there are threads. 0; -1: the host does not let us, and all stays as it is. */
int place_enter(void);

/* apart: place_enter went well. state: a directory for what the place needs. */
int place_start(struct place *ret_place, bool apart, const char *state);

/* Takes back everything; accepts a zeroed structure. */
void place_end(struct place *place);

/* Takes the tmpfs' free bytes but so many; and gives them back. Only where apart. */
int place_fill(struct place *place, int64_t left_bytes);
void place_empty(struct place *place);

/* Names are not answered any more, or again. Only where apart. */
void place_silence(struct place *place, bool silent);

void place_step(struct place *place, enum place_clock clock, int64_t ahead_ns);

#endif
