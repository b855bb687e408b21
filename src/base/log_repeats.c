/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_repeats.h"

#include "base/clock.h"

static bool is_over(const struct tkr_log_repeats *repeats, const struct tkr_log_repeat *kept, int64_t now_ns)
{
    return now_ns - kept->begin_ns >= repeats->window_ns;
}

static bool is_of(const struct tkr_log_repeats *repeats, uint32_t i, const struct tkr_log_body *body)
{
    const struct tkr_log_body *kept = &repeats->body[i];

    return repeats->kept[i].said > 0 && repeats->kept[i].bytes == body->bytes && kept->level == body->level &&
           memcmp(kept->text, body->text, body->bytes) == 0;
}

/* A place for another line: one that nothing is counted in, the longest ago. TKR_LOG_REPEATS_MAX: there is none. */
static uint32_t find_place(const struct tkr_log_repeats *repeats)
{
    uint32_t best = TKR_LOG_REPEATS_MAX;

    for (uint32_t i = 0; i < TKR_LOG_REPEATS_MAX; i++) {
        const struct tkr_log_repeat *kept = &repeats->kept[i];

        if (kept->said == 0)
            return i;
        if (kept->more == 0 && (best == TKR_LOG_REPEATS_MAX || kept->begin_ns < repeats->kept[best].begin_ns))
            best = i;
    }
    return best;
}

static void keep(struct tkr_log_repeats *repeats, uint32_t i, const struct tkr_log_body *body, int64_t now_ns)
{
    struct tkr_log_body *kept = &repeats->body[i];

    repeats->kept[i] = (struct tkr_log_repeat){.begin_ns = now_ns, .said = 1, .bytes = body->bytes};
    kept->level = body->level;
    kept->message_bytes = body->message_bytes;
    kept->bytes = body->bytes;
    memcpy(kept->text, body->text, body->bytes);
}

bool tkr_log_repeats_take(struct tkr_log_repeats *repeats, const struct tkr_log_body *body, int64_t now_ns)
{
    uint32_t i = 0;

    while (i < TKR_LOG_REPEATS_MAX && !is_of(repeats, i, body))
        i++;
    if (i < TKR_LOG_REPEATS_MAX && !is_over(repeats, &repeats->kept[i], now_ns)) {
        bool say = repeats->kept[i].said < TKR_LOG_REPEATS_SAID;

        repeats->kept[i].said += say;
        repeats->kept[i].more += !say;
        return say;
    }
    if (i == TKR_LOG_REPEATS_MAX)
        i = find_place(repeats);
    if (i < TKR_LOG_REPEATS_MAX)
        keep(repeats, i, body, now_ns);
    return true;
}

const struct tkr_log_body *tkr_log_repeats_due(struct tkr_log_repeats *repeats, int64_t now_ns, bool all,
                                               struct tkr_log_more *ret_more)
{
    for (uint32_t i = 0; i < TKR_LOG_REPEATS_MAX; i++) {
        struct tkr_log_repeat *kept = &repeats->kept[i];

        if (kept->more == 0 || (!all && !is_over(repeats, kept, now_ns)))
            continue;
        ret_more->times = kept->more;
        ret_more->seconds = (now_ns - kept->begin_ns + TKR_NS_PER_S - 1) / TKR_NS_PER_S;
        kept->said = 0;
        kept->more = 0;
        return &repeats->body[i];
    }
    return NULL;
}

int64_t tkr_log_repeats_next_ns(const struct tkr_log_repeats *repeats)
{
    int64_t next_ns = INT64_MAX;

    for (uint32_t i = 0; i < TKR_LOG_REPEATS_MAX; i++) {
        const struct tkr_log_repeat *kept = &repeats->kept[i];
        int64_t due_ns = kept->more > 0 ? kept->begin_ns + repeats->window_ns : INT64_MAX;

        next_ns = due_ns < next_ns ? due_ns : next_ns;
    }
    return next_ns;
}
