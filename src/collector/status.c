/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

const char *const tkr_status_word[] = {
    [TKR_STATUS_HEALTHY] = "healthy", [TKR_STATUS_DEGRADED] = "degraded", [TKR_STATUS_UNHEALTHY] = "unhealthy"};

bool tkr_status_stopped(const char *loop, int64_t stalled_ns, int64_t patience_ns, tkr_message *ret_reason)
{
    if (stalled_ns <= TKR_STALLED_NS + patience_ns)
        return false;
    (void)tkr_message_set(ret_reason, "the loop of the %s has not moved for %" PRId64 " s", loop, stalled_ns / TKR_NS_PER_S);
    return true;
}

/* Adds a reason; those that find no place have counted for the grade. */
static void __attribute__((format(printf, 3, 4)))
add(struct tkr_status *status, enum tkr_status_grade grade, const char *format, ...)
{
    va_list args;

    status->grade = grade > status->grade ? grade : status->grade;
    if (status->reasons == TKR_STATUS_REASONS_MAX)
        return;
    va_start(args, format);
    (void)vsnprintf(status->reason[status->reasons++].text, TKR_MESSAGE_BYTES, format, args); /* cut, not lost */
    va_end(args);
}

static void judge_sink(const struct tkr_health *health, struct tkr_status *status)
{
    if (health == NULL)
        return;
    if (health->state == TKR_HEALTH_FAILING)
        add(status, TKR_STATUS_DEGRADED, "the sink has not taken usage for %" PRId64 " s: %s",
            (tkr_clock_monotonic_ns() - health->since_monotonic_ns) / TKR_NS_PER_S, health->error);
    if (health->parked > 0)
        add(status, TKR_STATUS_DEGRADED, "the sink cannot take %" PRIu64 " accounts as they are; tokenring stat names them",
            health->parked);
    if (health->advice[0] != '\0')
        add(status, TKR_STATUS_DEGRADED, "%s", health->advice);
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++) {
        if (health->problem[i][0] != '\0')
            add(status, TKR_STATUS_DEGRADED, "%s", health->problem[i]);
    }
}

/* What is named first stands for all. */
static void judge_unreadable(const struct tkr_health *health, struct tkr_status *status)
{
    if (health == NULL || health->unreadable == 0)
        return;
    add(status, TKR_STATUS_DEGRADED,
        "%" PRIu64 " region%s of gateways cannot be read, and what they hold is not counted; tried again%s%s", health->unreadable,
        health->unreadable == 1 ? "" : "s", health->unreadable_named > 0 ? ": " : "",
        health->unreadable_named > 0 ? health->unreadable_region[0].reason : "");
}

static void judge_limits(const struct tkr_health *health, struct tkr_status *status)
{
    if (health == NULL)
        return;
    if (health->limits_unreadable > 0)
        add(status, TKR_STATUS_DEGRADED, "limits that cannot be read: %" PRIu64 "%s%s", health->limits_unreadable,
            health->limit_unreadable[0] != '\0' ? ", one of " : "", health->limit_unreadable);
    if (health->limits_no_room > 0)
        add(status, TKR_STATUS_DEGRADED,
            "the board of limits is full: accounts beyond TOKENRING_BOARD_ACCOUNTS stay unknown to gateways (asked for %" PRIu64
            " times)",
            health->limits_no_room);
}

static void judge_balance(const struct tkr_host_balance *balance, struct tkr_status *status)
{
    uint64_t overflow = 0;

    if (!balance->collector_running)
        add(status, TKR_STATUS_UNHEALTHY, "no collector runs");
    if (!tkr_balance_holds(&balance->host))
        add(status, TKR_STATUS_UNHEALTHY, "the law does not hold: offered is not counted + in lanes + dropped");
    judge_sink(balance->health, status);
    judge_unreadable(balance->health, status);
    judge_limits(balance->health, status);
    for (uint32_t i = 0; i < balance->shard_count; i++)
        overflow += balance->shard[i].overflow_charges;
    if (overflow > 0)
        add(status, TKR_STATUS_DEGRADED, "%" PRIu64 " charges went to the account ~overflow: TOKENRING_MAX_ACCOUNTS is too small",
            overflow);
}

void tkr_status_judge(const struct tkr_status_known *known, struct tkr_status *ret_status)
{
    tkr_message stopped;

    memset(ret_status, 0, sizeof(*ret_status));
    if (tkr_status_stopped(known->stalled, known->stalled_ns, known->patience_ns, &stopped))
        add(ret_status, TKR_STATUS_UNHEALTHY, "%s", stopped.text);
    if (known->balance != NULL)
        judge_balance(known->balance, ret_status);
    else
        add(ret_status, TKR_STATUS_DEGRADED, "the law's numbers cannot be read: %s", known->why_not.text);
    if (known->dropped_recent > 0)
        add(ret_status, TKR_STATUS_DEGRADED,
            "%" PRIu64 " records were dropped in the last ten minutes; tokenring stat has the causes", known->dropped_recent);
    if (known->waiting_lanes > 0)
        add(ret_status, TKR_STATUS_DEGRADED,
            "%" PRIu64 " lanes wait, since the tmpfs of the runtime directory has no memory for more accounts (%" PRIu64
            " of %" PRIu64 " KiB are free); nothing is lost; make it larger (mount -o remount,size=...)",
            known->waiting_lanes, known->tmpfs_available / 1024, known->tmpfs_bytes / 1024);
    if (known->no_board)
        add(ret_status, TKR_STATUS_DEGRADED, "limits are not known to gateways: there is no board; the log says why");
}
