/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/losses.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/tmpfs.h"

#define RECENT_NS (600 * TKR_NS_PER_S) /* what status.h calls the last ten minutes */
#define SAY_NS (10 * TKR_NS_PER_S)     /* between sentences of one kind */

static const char *const cause[TKR_DROP_COUNT] = {
#define TKR_DROP(symbol, key, help) [TKR_DROP_##symbol] = (help),
#include "base/drops.def"
#undef TKR_DROP
};

void tkr_losses_open(struct tkr_losses *losses, int directory, const char *path)
{
    memset(losses, 0, sizeof(*losses));
    losses->directory = directory;
    losses->path = path;
}

/* --- what was dropped --- */

static uint64_t sum_dropped(const struct tkr_monitor *monitor, int why)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < monitor->workers; i++)
        sum += atomic_load_explicit(&monitor->meter[i]->dropped[why], memory_order_relaxed); /* figures, here and below */
    return sum;
}

static void say_dropped(struct tkr_losses *losses, const uint64_t dropped[TKR_DROP_MAX])
{
    for (int why = 0; why < TKR_DROP_MAX; why++) {
        if (dropped[why] > losses->said[why])
            TKR_LOG(TKR_LOG_WARNING, "{records} records were dropped: {reason}",
                    tkr_field_records(dropped[why] - losses->said[why]),
                    tkr_field_reason(why < TKR_DROP_COUNT ? cause[why] : "a cause that only a newer version knows"));
        losses->said[why] = dropped[why];
    }
}

static void look_at_dropped(struct tkr_losses *losses, struct tkr_monitor *monitor, int64_t now_ns, bool last)
{
    uint64_t recent = atomic_load_explicit(&monitor->shortage.dropped_recent, memory_order_relaxed);
    uint64_t dropped[TKR_DROP_MAX];
    uint64_t sum = 0;
    uint64_t unsaid = 0;

    for (int why = 0; why < TKR_DROP_MAX; why++) {
        dropped[why] = sum_dropped(monitor, why);
        sum += dropped[why];
        unsaid += dropped[why] - losses->said[why];
    }
    if (now_ns - losses->dropped_ns > RECENT_NS)
        recent = 0;
    if (sum > losses->dropped)
        losses->dropped_ns = now_ns;
    atomic_store_explicit(&monitor->shortage.dropped_recent, recent + sum - losses->dropped, memory_order_relaxed);
    losses->dropped = sum;
    if (unsaid == 0 || (!last && now_ns < losses->say_dropped_ns))
        return;
    say_dropped(losses, dropped);
    losses->say_dropped_ns = now_ns + SAY_NS;
}

/* --- what waits --- */

static uint64_t sum_waiting(const struct tkr_monitor *monitor)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < monitor->workers; i++)
        sum += atomic_load_explicit(&monitor->meter[i]->waiting, memory_order_relaxed);
    return sum;
}

static void say_waiting(struct tkr_losses *losses, uint64_t waiting, int64_t now_ns)
{
    if (waiting > 0 && !losses->waiting && now_ns >= losses->say_waiting_ns) {
        losses->say_waiting_ns = now_ns + SAY_NS;
        losses->waiting = true;
        TKR_LOG(TKR_LOG_WARNING,
                "the tmpfs of {directory} has no memory for more accounts: {lanes} lanes wait, nothing is lost; make the tmpfs "
                "larger (mount -o remount,size=...) or remove what else fills it",
                tkr_field_directory(losses->path, strlen(losses->path)), tkr_field_lanes(waiting));
    } else if (waiting == 0 && losses->waiting) {
        losses->waiting = false;
        TKR_LOG(TKR_LOG_INFO, "the tmpfs of {directory} has memory again: no lane waits",
                tkr_field_directory(losses->path, strlen(losses->path)));
    }
}

static void look_at_waiting(struct tkr_losses *losses, struct tkr_monitor *monitor, int64_t now_ns)
{
    struct tkr_tmpfs tmpfs = {0};
    uint64_t waiting = sum_waiting(monitor);

    atomic_store_explicit(&monitor->shortage.lanes, waiting, memory_order_relaxed);
    if (tkr_tmpfs_read(losses->directory, &tmpfs)) {
        atomic_store_explicit(&monitor->shortage.tmpfs_bytes, tmpfs.bytes, memory_order_relaxed);
        atomic_store_explicit(&monitor->shortage.tmpfs_available, tmpfs.bytes == 0 ? 0 : tmpfs.available, memory_order_relaxed);
    }
    say_waiting(losses, waiting, now_ns);
}

void tkr_losses_look(struct tkr_losses *losses, struct tkr_monitor *monitor, int64_t now_ns, bool last)
{
    look_at_dropped(losses, monitor, now_ns, last);
    look_at_waiting(losses, monitor, now_ns);
}
