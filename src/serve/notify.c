/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/notify.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/snapshot.h"

#ifdef TOKENRING_SYSTEMD
#include <systemd/sd-daemon.h>
#else
static int sd_notify(int unset_environment, const char *state)
{
    (void)unset_environment;
    (void)state;
    return 0;
}

static int sd_watchdog_enabled(int unset_environment, uint64_t *ret_us)
{
    (void)unset_environment;
    *ret_us = 0;
    return 0;
}
#endif

#define TURN_NS TKR_NS_PER_S
#define SIGNS 3 /* within the time that the manager waits */

void tkr_notify_ready(struct tkr_notify *notify, struct tkr_collector *collector, const atomic_bool *stop)
{
    uint64_t watchdog_us = 0;

    *notify = (struct tkr_notify){.collector = collector, .stop = stop};
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        notify->watchdog_ns = (int64_t)watchdog_us * TKR_NS_PER_US / SIGNS;
    (void)sd_notify(0, "READY=1"); /* nobody listens: as good, here and below */
}

/* What `systemctl status` shows. */
static void tell_status(const struct tkr_monitor *monitor)
{
    int64_t since_ns = atomic_load_explicit(&monitor->flush.unflushed_since_ns, memory_order_relaxed); /* figures */
    uint64_t parked = atomic_load_explicit(&monitor->flush.parked_now, memory_order_relaxed);
    char text[TKR_MESSAGE_BYTES];

    if (since_ns != 0)
        (void)snprintf(text, sizeof(text), "STATUS=usage waits for the sink since %" PRId64 " s; accounts put aside: %" PRIu64,
                       (tkr_clock_monotonic_ns() - since_ns) / TKR_NS_PER_S, parked);
    else
        (void)snprintf(text, sizeof(text), "STATUS=collecting; accounts put aside: %" PRIu64, parked);
    (void)sd_notify(0, text);
}

/* A loop that does not move is left to the service manager, which hears nothing more. */
static void tell_alive(struct tkr_notify *notify)
{
    tkr_message reason;
    bool moves = tkr_snapshot_moves(notify->collector, &reason);

    if (moves)
        (void)sd_notify(0, "WATCHDOG=1");
    else if (!notify->stalled)
        TKR_LOG(TKR_LOG_ERROR, "{error}; the service manager is given no sign of life", tkr_field_error(reason.text));
    notify->stalled = !moves;
}

void tkr_notify_turn(void *argument)
{
    struct tkr_notify *notify = argument;
    int64_t now_ns = tkr_clock_monotonic_ns();

    if (atomic_load_explicit(notify->stop, memory_order_relaxed)) { /* a flag */
        (void)sd_notify(0, "STOPPING=1\nSTATUS=flushing what is left");
        return;
    }
    if (now_ns < notify->next_ns)
        return;
    notify->next_ns = now_ns + (notify->watchdog_ns != 0 && notify->watchdog_ns < TURN_NS ? notify->watchdog_ns : TURN_NS);
    tell_status(tkr_collector_monitor(notify->collector));
    if (notify->watchdog_ns != 0)
        tell_alive(notify);
}
