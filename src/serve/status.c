/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/status.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

#define DROPPED_NS (600 * TKR_NS_PER_S) /* records that were dropped are a reason for so long */

const char *const tkr_status_word[] = {
    [TKR_STATUS_HEALTHY] = "healthy", [TKR_STATUS_DEGRADED] = "degraded", [TKR_STATUS_UNHEALTHY] = "unhealthy"};

bool tkr_status_moves(const struct tkr_monitor *monitor, const struct tkr_collector_config *config, tkr_message *ret_reason)
{
    const char *who;
    int64_t stalled_ns = tkr_monitor_stalled_ns(monitor, tkr_clock_monotonic_ns(), &who);
    int64_t waits_ns = (int64_t)(config->sink.connect_timeout_ms + config->sink.command_timeout_ms) * TKR_NS_PER_MS;

    if (stalled_ns <= TKR_STALLED_NS + waits_ns)
        return true;
    (void)tkr_message_set(ret_reason, "the loop of the %s has not moved for %" PRId64 " s", who, stalled_ns / TKR_NS_PER_S);
    return false;
}

/* Adds a reason, which the caller writes. NULL: there are too many already. */
static tkr_message *add(struct tkr_status *status, enum tkr_status_grade grade)
{
    status->grade = grade > status->grade ? grade : status->grade;
    return status->reasons < TKR_STATUS_REASONS_MAX ? &status->reason[status->reasons++] : NULL;
}

static void judge_law(const struct tkr_snapshot *snapshot, struct tkr_status *status)
{
    tkr_message *reason;

    if (!snapshot->has_balance) {
        reason = add(status, TKR_STATUS_DEGRADED);
        if (reason != NULL)
            (void)tkr_message_set(reason, "the law's numbers cannot be read: %s", snapshot->why_not.text);
        return;
    }
    if (!tkr_balance_holds(&snapshot->balance.host)) {
        reason = add(status, TKR_STATUS_UNHEALTHY);
        if (reason != NULL)
            (void)tkr_message_set(reason, "the law does not hold: offered is not counted + in lanes + dropped");
    }
    if (snapshot->dropped_ns != 0 && snapshot->now_ns - snapshot->dropped_ns < DROPPED_NS) {
        reason = add(status, TKR_STATUS_DEGRADED);
        if (reason != NULL)
            (void)tkr_message_set(reason, "records were dropped in the last ten minutes; %" PRIu64 " in all",
                                  tkr_balance_dropped(&snapshot->grown));
    }
}

static void judge_sink(const struct tkr_snapshot *snapshot, struct tkr_status *status)
{
    const struct tkr_health *health = snapshot->balance.health;
    tkr_message *reason;

    if (health == NULL)
        return;
    if (health->state == TKR_HEALTH_FAILING) {
        reason = add(status, TKR_STATUS_DEGRADED);
        if (reason != NULL)
            (void)tkr_message_set(reason, "the sink has not taken usage for %" PRId64 " s: %.180s",
                                  (tkr_clock_unix_ns() - health->since_ns) / TKR_NS_PER_S, health->error);
    }
    if (health->parked > 0) {
        reason = add(status, TKR_STATUS_DEGRADED);
        if (reason != NULL)
            (void)tkr_message_set(reason, "the sink cannot take %" PRIu64 " accounts as they are; tokenring stat names them",
                                  health->parked);
    }
}

static void judge_limits(const struct tkr_snapshot *snapshot, struct tkr_status *status)
{
    struct tkr_guarded_board *board = tkr_collector_board(snapshot->collector);
    tkr_message *reason;

    if (board != NULL && !atomic_load_explicit(&board->given_up, memory_order_relaxed)) /* a flag */
        return;
    reason = add(status, TKR_STATUS_DEGRADED);
    if (reason != NULL)
        (void)tkr_message_set(reason, "limits are not known to gateways: there is no board; the log says why");
}

static void judge_table(const struct tkr_snapshot *snapshot, struct tkr_status *status)
{
    tkr_message *reason;

    if (snapshot->overflow_charges == 0)
        return;
    reason = add(status, TKR_STATUS_DEGRADED);
    if (reason != NULL)
        (void)tkr_message_set(reason, "%" PRIu64 " charges went to the account ~overflow: TOKENRING_MAX_ACCOUNTS is too small",
                              snapshot->overflow_charges);
}

void tkr_status_judge(const struct tkr_snapshot *snapshot, struct tkr_status *ret_status)
{
    tkr_message stopped;

    memset(ret_status, 0, sizeof(*ret_status));
    if (!tkr_status_moves(snapshot->monitor, snapshot->config, &stopped)) {
        tkr_message *reason = add(ret_status, TKR_STATUS_UNHEALTHY);
        if (reason != NULL)
            *reason = stopped;
    }
    judge_law(snapshot, ret_status);
    judge_sink(snapshot, ret_status);
    judge_limits(snapshot, ret_status);
    judge_table(snapshot, ret_status);
}
