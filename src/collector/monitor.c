/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/monitor.h"

#include <stdlib.h>

#include "collector/board.h"

#define MS UINT64_C(1000) /* in microseconds */
#define LATELY_NS (60 * TKR_NS_PER_S)

const struct tkr_bounds tkr_flush_bounds = {15,
                                            {1 * MS, 2 * MS, 5 * MS, 10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS,
                                             1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS, 30000 * MS, 60000 * MS}};

bool tkr_monitor_open(struct tkr_monitor *monitor, uint32_t workers, uint32_t users_shown)
{
    monitor->started_ns = tkr_clock_unix_ns();
    (void)pthread_mutex_init(&monitor->unreadable_mutex, NULL); /* of the plain kind: cannot fail */
    (void)pthread_mutex_init(&monitor->limits.mutex, NULL);     /* a default one cannot fail */
    monitor->workers = workers;
    tkr_meter_names_open(&monitor->names);
    monitor->worker = aligned_alloc(64, workers * sizeof(*monitor->worker));
    monitor->meter = calloc(workers, sizeof(struct tkr_meter *));
    monitor->ranking = tkr_ranking_open(users_shown);
    if (monitor->worker == NULL || monitor->meter == NULL || monitor->ranking == NULL)
        return false;
    for (uint32_t i = 0; i < workers; i++) {
        tkr_pulse_set(&monitor->worker[i], 0);
        monitor->meter[i] = tkr_meter_open(&monitor->names);
        if (monitor->meter[i] == NULL)
            return false;
    }
    return true;
}

void tkr_monitor_close(struct tkr_monitor *monitor)
{
    for (uint32_t i = 0; monitor->meter != NULL && i < monitor->workers; i++)
        tkr_meter_close(monitor->meter[i]);
    tkr_ranking_close(monitor->ranking);
    free((void *)monitor->meter);
    free(monitor->worker);
    tkr_meter_names_close(&monitor->names);
    (void)pthread_mutex_destroy(&monitor->unreadable_mutex);
    (void)pthread_mutex_destroy(&monitor->limits.mutex);
}

void tkr_monitor_unreadable_set(struct tkr_monitor *monitor, const struct tkr_unreadable *unreadable)
{
    (void)pthread_mutex_lock(&monitor->unreadable_mutex);
    monitor->unreadable = *unreadable;
    (void)pthread_mutex_unlock(&monitor->unreadable_mutex);
}

void tkr_monitor_unreadable(struct tkr_monitor *monitor, struct tkr_unreadable *ret_unreadable)
{
    (void)pthread_mutex_lock(&monitor->unreadable_mutex);
    *ret_unreadable = monitor->unreadable;
    (void)pthread_mutex_unlock(&monitor->unreadable_mutex);
}

bool tkr_monitor_no_board(const struct tkr_monitor *monitor)
{
    const struct tkr_guarded_board *board = atomic_load_explicit(&monitor->board, memory_order_acquire);

    return board == NULL || atomic_load_explicit(&board->given_up, memory_order_relaxed); /* a flag */
}

uint64_t tkr_monitor_limits_unreadable(struct tkr_monitor *monitor, tkr_message *ret_named)
{
    (void)pthread_mutex_lock(&monitor->limits.mutex);
    *ret_named = monitor->limits.named;
    (void)pthread_mutex_unlock(&monitor->limits.mutex);
    return atomic_load_explicit(&monitor->limits.unreadable, memory_order_relaxed); /* a figure; so below */
}

uint64_t tkr_monitor_no_room(const struct tkr_monitor *monitor, int64_t now_ns)
{
    int64_t last_ns = atomic_load_explicit(&monitor->limits.no_room_ns, memory_order_relaxed);

    if (last_ns == 0 || now_ns - last_ns > LATELY_NS)
        return 0;
    return atomic_load_explicit(&monitor->limits.no_room, memory_order_relaxed);
}

static void look(const struct tkr_pulse *pulse, const char *who, int64_t now_ns, int64_t *longest_ns, const char **ret_who)
{
    int64_t moved_ns = atomic_load_explicit(&pulse->moved_ns, memory_order_relaxed); /* a sign */

    if (moved_ns == 0 || moved_ns == INT64_MAX || now_ns - moved_ns <= *longest_ns)
        return;
    *longest_ns = now_ns - moved_ns;
    *ret_who = who;
}

int64_t tkr_monitor_stalled_ns(const struct tkr_monitor *monitor, int64_t now_ns, const char **ret_who)
{
    int64_t longest_ns = 0;

    *ret_who = "main";
    look(&monitor->main, "main", now_ns, &longest_ns, ret_who);
    look(&monitor->flusher, "flusher", now_ns, &longest_ns, ret_who);
    look(&monitor->keeper, "keeper", now_ns, &longest_ns, ret_who);
    for (uint32_t i = 0; i < monitor->workers; i++)
        look(&monitor->worker[i], "worker", now_ns, &longest_ns, ret_who);
    return longest_ns;
}
