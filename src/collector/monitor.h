/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: what a running collector has to say of itself, for whoever serves it to others: signs of life of its loops, how
 * the flusher fares, what was counted of models and users. Nothing that counting or flushing depends on.
 *
 * Who writes: each word, one thread, as its comment says. Threads: any reads; no reader is waited for.
 */
#ifndef TKR_COLLECTOR_MONITOR_H
#define TKR_COLLECTOR_MONITOR_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buckets.h"
#include "base/clock.h"
#include "base/settings.h"
#include "collector/health.h"
#include "collector/meter.h"
#include "collector/ranking.h"

/* A loop's sign of life: the moment of its last round. */
struct tkr_pulse {
    alignas(
        64) _Atomic int64_t moved_ns; /* monotonic; 0: it has not begun, or has ended; INT64_MAX: it waits, and may for ever */
};

static inline void tkr_pulse_beat(struct tkr_pulse *pulse)
{
    if (pulse != NULL)
        atomic_store_explicit(&pulse->moved_ns, tkr_clock_monotonic_coarse_ns(), memory_order_relaxed); /* a sign */
}

static inline void tkr_pulse_set(struct tkr_pulse *pulse, int64_t moved_ns)
{
    if (pulse != NULL)
        atomic_store_explicit(&pulse->moved_ns, moved_ns, memory_order_relaxed); /* a sign */
}

/* What the flusher has done since it began. */
struct tkr_flush_figures {
    struct tkr_buckets duration;        /* of passes that sent something, microseconds */
    _Atomic uint64_t acknowledged;      /* accounts, and models of them, as often as the sink took something of them */
    _Atomic uint64_t failures;          /* tries after which the connection was given up */
    _Atomic uint64_t resent;            /* accounts sent again because the sink had something else */
    _Atomic uint64_t parked;            /* accounts put aside, each time */
    _Atomic uint64_t healed;            /* accounts that the sink lacked after it had gone back */
    _Atomic uint64_t rechecks;          /* times that the sink had gone back */
    _Atomic uint64_t waiting;           /* accounts queued at the end of the last pass; falls too */
    _Atomic uint64_t parked_now;        /* accounts put aside at present; falls too */
    _Atomic int64_t unflushed_since_ns; /* monotonic: the oldest change that has not been sent was made since; 0: none waits */
};

/* Milliseconds to a minute. */
extern const struct tkr_bounds tkr_flush_bounds;

/* What is lost, and what waits for memory (collector/losses.h). */
struct tkr_shortage {
    _Atomic uint64_t lanes;           /* that wait: the tmpfs has no memory for accounts in them; falls too */
    _Atomic uint64_t dropped_recent;  /* records dropped in the last ten minutes: in a row of times less far apart */
    _Atomic uint64_t tmpfs_bytes;     /* 0: it has no bound */
    _Atomic uint64_t tmpfs_available; /* of them, free */
};

/* What the collector cannot read of the runtime directory at present, and why. */
struct tkr_unreadable {
    uint64_t count; /* regions, and the directory itself */
    uint64_t named; /* of them, in region[] */
    struct tkr_health_region region[TKR_HEALTH_REGIONS_MAX];
};

/* How limits fare. The keeper writes; its workers `backlog` too. */
struct tkr_limit_figures {
    _Atomic uint64_t unreadable; /* accounts on the board about which something cannot be understood, at present; falls too */
    _Atomic uint64_t no_room;    /* times that an account that was asked for found no room on the board */
    _Atomic int64_t no_room_ns;  /* monotonic: the last time; 0: never */
    _Atomic uint64_t backlog;    /* times that an account that was asked for was passed over, since too many waited */
    pthread_mutex_t mutex;
    tkr_message named; /* under the mutex: one of the unreadable, and what stands there; empty: none */
};

struct tkr_guarded_board;

struct tkr_monitor {
    int64_t started_ns; /* Unix time */
    uint32_t workers;
    struct tkr_pulse main;
    struct tkr_pulse flusher;
    struct tkr_pulse keeper;
    struct tkr_pulse *worker; /* of each */
    struct tkr_meter_names names;
    struct tkr_meter **meter; /* of each worker */
    struct tkr_ranking *ranking;
    struct tkr_flush_figures flush;
    struct tkr_limit_figures limits;
    struct tkr_shortage shortage;
    _Atomic(const struct tkr_guarded_board *) board; /* main; NULL: there is none, perhaps later */
    _Atomic uint64_t gateways;                       /* processes that are attached, as the main loop saw last */
    _Atomic int64_t linger_until_ns;  /* monotonic: the collector was asked to leave and waits for them; 0: not so */
    pthread_mutex_t unreadable_mutex; /* held for a copy: a text is no word */
    struct tkr_unreadable unreadable; /* the main loop's */
};

/* Zeroed before. false: no memory; to be closed all the same. */
bool tkr_monitor_open(struct tkr_monitor *monitor, uint32_t workers, uint32_t users_shown);
void tkr_monitor_close(struct tkr_monitor *monitor);

/*
 * How long the loop has not moved that has not for longest, ns; *ret_who names it: main, flusher, keeper, or worker for those.
 * 0 while nothing runs.
 */
int64_t tkr_monitor_stalled_ns(const struct tkr_monitor *monitor, int64_t now_ns, const char **ret_who);

/* What cannot be read: as the main loop says, and as anybody may ask. */
void tkr_monitor_unreadable_set(struct tkr_monitor *monitor, const struct tkr_unreadable *unreadable);
void tkr_monitor_unreadable(struct tkr_monitor *monitor, struct tkr_unreadable *ret_unreadable);

/* Do gateways know no limits? */
bool tkr_monitor_no_board(const struct tkr_monitor *monitor);

/* Accounts whose limits cannot be read, and one of them. */
uint64_t tkr_monitor_limits_unreadable(struct tkr_monitor *monitor, tkr_message *ret_named);

/* Times that an account found no room on the board, if the last was within the last minute; else 0. */
uint64_t tkr_monitor_no_room(const struct tkr_monitor *monitor, int64_t now_ns);

#endif
