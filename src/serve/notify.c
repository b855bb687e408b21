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

#define EXTEND_S 60 /* what it may take from now on until it has ended or says so again: the last flush is ten seconds at most */
#define TEXT(number) #number
#define STRING(number) TEXT(number)
#define EXTEND "EXTEND_TIMEOUT_USEC=" STRING(EXTEND_S) "000000"

void tkr_notify_ready(struct tkr_notify *notify, struct tkr_collector *collector, const atomic_uint *stops)
{
    uint64_t watchdog_us = 0;

    *notify = (struct tkr_notify){.collector = collector, .stops = stops};
    if (sd_watchdog_enabled(0, &watchdog_us) > 0)
        notify->watchdog_ns = (int64_t)watchdog_us * TKR_NS_PER_US / SIGNS;
    (void)sd_notify(0, "READY=1"); /* nobody listens: as good, here and below */
}

/* Of a collector that waits for gateways to go. */
static void tell_lingering(const struct tkr_monitor *monitor, int64_t until_ns)
{
    uint64_t gateways = atomic_load_explicit(&monitor->gateways, memory_order_relaxed); /* a figure */
    int64_t left_s = (until_ns - tkr_clock_monotonic_ns()) / TKR_NS_PER_S;
    char text[TKR_MESSAGE_BYTES];

    (void)snprintf(text, sizeof(text),
                   EXTEND "\nSTATUS=asked to leave; gateways still attached: %" PRIu64 ", waiting %" PRId64 " s more", gateways,
                   left_s > 0 ? left_s : 0);
    (void)sd_notify(0, text);
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
    const struct tkr_monitor *monitor = tkr_collector_monitor(notify->collector);
    int64_t now_ns = tkr_clock_monotonic_ns();
    int64_t until_ns = atomic_load_explicit(&monitor->linger_until_ns, memory_order_relaxed); /* a figure */
    bool stopping = atomic_load_explicit(notify->stops, memory_order_relaxed) > 0;            /* the same */

    if (stopping && until_ns == 0) {
        (void)sd_notify(0,
                        notify->stopping ? EXTEND "\nSTATUS=flushing what is left" : "STOPPING=1\nSTATUS=flushing what is left");
        return;
    }
    if (stopping && !notify->stopping) {
        (void)sd_notify(0, "STOPPING=1");
        notify->next_ns = now_ns;
    }
    notify->stopping = stopping;
    if (now_ns < notify->next_ns)
        return;
    notify->next_ns = now_ns + (notify->watchdog_ns != 0 && notify->watchdog_ns < TURN_NS ? notify->watchdog_ns : TURN_NS);
    if (stopping)
        tell_lingering(monitor, until_ns);
    else
        tell_status(monitor);
    if (notify->watchdog_ns != 0)
        tell_alive(notify);
}
