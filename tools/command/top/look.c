/* SPDX-License-Identifier: Apache-2.0 */
#include "command/top/look.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "collector/folder.h"

/* Looks from *at on, behind which the last one was found: the order of a directory hardly changes. */
static const struct tkr_balance_region *find_region(const struct tkr_host_balance *balance, const char *name, uint32_t *at)
{
    for (uint32_t i = 0; i < balance->region_count; i++) {
        uint32_t here = (*at + i) % balance->region_count;
        if (strcmp(balance->region[here].name, name) == 0) {
            *at = here + 1;
            return &balance->region[here];
        }
    }
    return NULL;
}

/* Figures of one region may be of two moments, a little apart: what seems to have shrunk has not grown. */
static uint64_t grown(uint64_t now, uint64_t before)
{
    return now > before && now - before <= INT64_MAX ? now - before : 0;
}

/* A region that was not there before has done all it did since. */
static struct tkr_top_region compare_region(const struct tkr_balance_region *now, const struct tkr_balance_region *before)
{
    static const struct tkr_balance nothing;
    const struct tkr_balance *then = before != NULL ? &before->balance : &nothing;

    return (struct tkr_top_region){
        .offered = grown(now->balance.offered, then->offered),
        .counted = grown(now->balance.counted, then->counted),
        .dropped = grown(tkr_balance_dropped(&now->balance), tkr_balance_dropped(then)),
    };
}

/* false: no memory. */
static bool compare_regions(const struct tkr_host_balance *now, const struct tkr_host_balance *before, bool first,
                            struct tkr_top_region **ret_region)
{
    struct tkr_top_region *region = calloc((size_t)now->region_count + 1, sizeof(*region));
    uint32_t at = 0;

    if (region == NULL)
        return false;
    for (uint32_t i = 0; !first && i < now->region_count; i++)
        region[i] = compare_region(&now->region[i], find_region(before, now->region[i].name, &at));
    *ret_region = region;
    return true;
}

static int look_at_rates(struct tkr_top_rates *rates, const char *runtime_dir, tkr_message *ret_message)
{
    struct tkr_folder at;
    int result = tkr_folder_open(runtime_dir, &at, ret_message);

    if (result >= 0)
        result = tkr_top_rates_look(rates, at.folder, ret_message);
    tkr_folder_close(&at);
    return result;
}

/* Puts the new figures in the place of those before. */
static void turn_over(struct tkr_top_look *look, const struct tkr_host_balance *now, struct tkr_top_region *region)
{
    bool first = look->time_ns == 0;

    look->before = first ? now->host : look->balance.host;
    tkr_balance_free(&look->balance);
    free(look->region);
    look->balance = *now;
    look->region = region;
}

static int take(struct tkr_top_look *look, const char *runtime_dir, tkr_message *ret_message)
{
    struct tkr_host_balance now;
    struct tkr_top_region *region;

    if (tkr_balance_read(runtime_dir, &now, ret_message) != 0)
        return -1;
    if (look_at_rates(&look->rates, runtime_dir, ret_message) != 0) {
        tkr_balance_free(&now);
        return -1;
    }
    if (!compare_regions(&now, &look->balance, look->time_ns == 0, &region)) {
        tkr_balance_free(&now);
        return tkr_message_set(ret_message, "there is no memory for so many regions");
    }
    turn_over(look, &now, region);
    return 0;
}

int tkr_top_look_take(struct tkr_top_look *look, const char *runtime_dir, tkr_message *ret_message)
{
    int64_t now_ns = tkr_clock_monotonic_ns();
    tkr_message ignored;

    ret_message->text[0] = '\0';
    if (take(look, runtime_dir, ret_message) != 0) {
        look->missed = *ret_message;
        return -1;
    }
    look->missed.text[0] = '\0';
    tkr_command_board_free(&look->limits);
    (void)tkr_command_board_read(runtime_dir, true, &look->limits, &ignored); /* without a board nobody is near a limit */
    look->span_ns = look->time_ns == 0 ? 0 : now_ns - look->taken_ns;
    look->taken_ns = now_ns;
    look->time_ns = tkr_clock_unix_ns();
    return 0;
}

double tkr_top_per_second(const struct tkr_top_look *look, int64_t added)
{
    return look->span_ns <= 0 || added <= 0 ? 0 : (double)added * (double)TKR_NS_PER_S / (double)look->span_ns;
}

void tkr_top_look_free(struct tkr_top_look *look)
{
    tkr_balance_free(&look->balance);
    free(look->region);
    tkr_top_rates_free(&look->rates);
    tkr_command_board_free(&look->limits);
    *look = (struct tkr_top_look){.time_ns = 0};
}
