/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system under chaos: several gateways, a collector, the proxy, two Redis; who is up, and when who comes back.
 *
 * What dies or is stopped gets a time at which it returns; world_tick brings back what is due. Whoever ends without having
 * been told to makes the run fail.
 *
 * Functions return 0, or -1 with the reason on standard error.
 */
#ifndef TESTS_CHAOS_WORLD_H
#define TESTS_CHAOS_WORLD_H

#include <stdbool.h>
#include <stdio.h>

#include "chaos/calls.h"
#include "chaos/place.h"
#include "chaos/servers.h"
#include "chaos/truth.h"
#include "support/process.h"
#include "support/tempdir.h"

#define WORLD_SEATS 3 /* gateways at a time */
#define WORLD_NEVER 0

enum world_collector { COLLECTOR_DOWN, COLLECTOR_UP, COLLECTOR_LEAVING };

/* A place for a gateway. */
struct world_seat {
    struct process process;
    uint32_t number;
    bool up;
    long again_ms; /* of process_now_ms */
};

struct world {
    const char *bin_dir;
    FILE *log; /* what collectors say; NULL: nowhere */
    struct place place;
    char state[TEMPDIR_BYTES];
    char control_path[TEMPDIR_BYTES + 16];
    struct chaos_control *control;
    uint32_t pauses;
    struct world_seat seat[WORLD_SEATS];
    struct truth_gateway *gateway; /* all that ever were */
    uint32_t gateways;
    uint32_t gateways_max;
    struct process collector;
    enum world_collector standing;
    bool collector_stopped;
    int workers;
    long collector_at_ms; /* DOWN: it comes again; LEAVING: it is killed; stopped: it goes on */
    struct servers servers;
    long server_again_ms[SERVERS];
    long server_continue_ms[SERVERS];
    long server_dies_ms[SERVERS]; /* an old primary that was left alive */
    long room_at_ms;              /* the tmpfs is emptied */
    long names_at_ms;             /* names are answered again */
};

/* Starts everything. apart: place_enter went well. gateways_max: how many may ever be started. */
int world_start(struct world *ret_world, const char *bin_dir, bool apart, uint32_t gateways_max, FILE *log);

/* Kills everything that runs and removes all files; accepts a zeroed structure. */
void world_end(struct world *world);

/* Brings back what is due. -1: somebody ended who should not have. */
int world_tick(struct world *world);

/* Ticks for so long. */
int world_wait(struct world *world, int ms);

/* Brings everybody back now, with a healthy proxy. */
int world_heal(struct world *world);

void world_gateway_kill(struct world *world, int seat, int again_ms);

/* All gateways hold still between two steps; world_resume lets them go on. */
int world_pause(struct world *world);
void world_resume(struct world *world);

/* All gateways end in order. */
int world_gateways_end(struct world *world);

void world_collector_kill(struct world *world, int workers, int again_ms);
void world_collector_stop(struct world *world, int for_ms);

/* The tmpfs has so many bytes left, for so long. 0; -1: it has no more already. */
int world_fill(struct world *world, int64_t left_bytes, int for_ms);

/* No name is resolved, and the collector has to resolve one, for so long. */
void world_silence(struct world *world, int for_ms);

/* SIGTERM; when it has left, one with so many workers follows. */
void world_collector_leave(struct world *world, int workers);

/* SIGTERM, and it leaves with 0. */
int world_collector_end(struct world *world);

/* All that the collector says so far goes to standard error. */
void world_complain(struct world *world, const char *why);

/* `tokenring stat`: 1: all is counted and flushed, and the law holds; 0: not yet; -1: it does not hold. gone: no gateway is
 * left either. */
int world_settled(struct world *world, bool gone);

#endif
