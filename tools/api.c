/* SPDX-License-Identifier: Apache-2.0 */
#include "api.h"

#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "collector/balance.h"
#include "command/law_json.h"
#include "command/limit_json.h"
#include "command/stat_json.h"
#include "command/top/json.h"
#include "command/usage_report.h"
#include "region/guard.h"

#define BAD_REQUEST 400
#define NOT_FOUND 404
#define BAD_GATEWAY 502
#define UNAVAILABLE 503
#define ROWS_DEFAULT 100
#define ROWS_MAX 10000
#define INTERVAL_MS_DEFAULT 1000
#define INTERVAL_MS_MIN 100
#define INTERVAL_MS_MAX 10000
#define WAIT_NS (50 * TKR_NS_PER_MS)

/* --- parameters --- */

static int take_kind(struct tkr_ask *ask, struct tkr_usage_query *query)
{
    const char *text = tkr_ask_value(ask, "kind");

    query->any_kind = text == NULL;
    if (text == NULL || tkr_kind(text, &query->kind) == TKR_OK)
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST,
                          "kind=%s: allowed is a name of 1 to 12 letters a-z or '_', which neither begins nor ends it", text);
}

static int take_cycle(struct tkr_ask *ask, struct tkr_usage_query *query)
{
    const char *text = tkr_ask_value(ask, "cycle");

    if (text == NULL || strcmp(text, "all") == 0 || tkr_cycle_parse(text, &query->cycle))
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST, "cycle=%s: allowed is a date YYYY-MM-DD or all", text);
}

static int take_sort(struct tkr_ask *ask, enum tkr_counter *by)
{
    const char *text = tkr_ask_value(ask, "sort");
    char list[TKR_COMMAND_COUNTERS_BYTES];

    if (text == NULL || tkr_command_usage_counter(text, by, list))
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST, "sort=%s: allowed are %s", text, list);
}

static int take_near(struct tkr_ask *ask, double *near)
{
    const char *text = tkr_ask_value(ask, "near");

    if (text == NULL || tkr_command_limits_fraction(text, near))
        return 0;
    return tkr_ask_refuse(ask, BAD_REQUEST, "near=%s: allowed is a number above 0, at most 1, as 0.8", text);
}

static int take_top_key(struct tkr_ask *ask, enum tkr_top_key *key)
{
    const char *text = tkr_ask_value(ask, "sort");

    for (int i = 0; text != NULL && i < TKR_TOP_KEY_COUNT; i++) {
        *key = (enum tkr_top_key)i;
        if (strcmp(text, tkr_top_key_name[i]) == 0)
            return 0;
    }
    return text == NULL ? 0
                        : tkr_ask_refuse(ask, BAD_REQUEST, "sort=%s: allowed are rate, calls, errors, cost, total, name", text);
}

/* --- of the sink --- */

static int read_usage(struct tkr_ask *ask, const struct tkr_api_about *about, struct tkr_command_usage_report *report)
{
    tkr_message why;

    report->query.id = ask->operand_len > 0 ? ask->operand : NULL;
    report->query.id_len = ask->operand_len;
    report->query.give_up = (struct tkr_give_up){tkr_ask_given_up, ask};
    if (tkr_command_usage_read(report, about->sink, about->runtime_dir, &why) != 0)
        return tkr_ask_refuse(ask, BAD_GATEWAY, "%s", why.text);
    if (report->query.id != NULL && report->rows.count == 0)
        return tkr_ask_refuse(ask, NOT_FOUND, "there is nothing about this account");
    return 0;
}

static json_t *answer_usage(struct tkr_ask *ask, void *argument)
{
    struct tkr_command_usage_report report = {.by = TKR_COUNTER_TOTAL};
    int64_t top = ROWS_DEFAULT;
    json_t *object = NULL;

    if (take_kind(ask, &report.query) != 0 || take_cycle(ask, &report.query) != 0 || take_sort(ask, &report.by) != 0 ||
        tkr_ask_integer(ask, "top", 1, ROWS_MAX, &top) != 0 || tkr_ask_flag(ask, "by_model", &report.query.by_model) != 0)
        return NULL;
    report.top = (size_t)top;
    if (read_usage(ask, argument, &report) == 0)
        object = tkr_command_usage_json(&report);
    tkr_command_usage_free(&report.rows);
    return object;
}

static int read_limits(struct tkr_ask *ask, const struct tkr_api_about *about, const struct tkr_usage_query *query, double near,
                       struct tkr_command_limit_rows *rows)
{
    tkr_message why;
    tkr_sink *sink;
    int result;

    if (tkr_sink_open(about->sink, &sink, &why) != 0)
        return tkr_ask_refuse(ask, BAD_GATEWAY, "%s", why.text);
    result = near > 0 ? tkr_command_limits_near(rows, sink, query, near, &why) : tkr_command_limits_read(rows, sink, query, &why);
    sink->ops->close(sink);
    return result == 0 ? 0 : tkr_ask_refuse(ask, BAD_GATEWAY, "%s", why.text);
}

static json_t *answer_limits(struct tkr_ask *ask, void *argument)
{
    struct tkr_command_limit_rows rows = {.row = NULL};
    struct tkr_usage_query query = {.any_kind = 1, .give_up = {tkr_ask_given_up, ask}};
    int64_t top = ROWS_DEFAULT;
    json_t *object = NULL;
    double near = 0;

    if (take_kind(ask, &query) != 0 || take_cycle(ask, &query) != 0 || take_near(ask, &near) != 0 ||
        tkr_ask_integer(ask, "top", 1, ROWS_MAX, &top) != 0)
        return NULL;
    if (read_limits(ask, argument, &query, near, &rows) == 0) {
        rows.count = rows.count < (size_t)top ? rows.count : (size_t)top;
        object = tkr_command_limits_json(&rows);
    }
    tkr_command_limits_free(&rows);
    return object;
}

/* --- of shared memory --- */

/* What looks at files that gateways may cut. */
struct looking {
    const char *runtime_dir;
    struct tkr_host_balance balance;
    struct tkr_top_look *top; /* NULL: the balance */
    json_t *object;
    tkr_message why;
    int result;
};

/* Runs it. 0, or -1: refused. What a fault interrupts is lost: a rare leak, of a stranger's making, is told. */
static int look(struct tkr_ask *ask, void (*run)(void *looking), struct looking *looking)
{
    looking->result = -1;
    if (!tkr_guarded_run(run, looking))
        return tkr_ask_refuse(ask, UNAVAILABLE, "a file in the runtime directory was cut short while it was read");
    return looking->result == 0 ? 0 : tkr_ask_refuse(ask, UNAVAILABLE, "%s", looking->why.text);
}

static void run_stat(void *argument)
{
    struct looking *looking = argument;

    looking->result = tkr_balance_read(looking->runtime_dir, &looking->balance, &looking->why);
    if (looking->result != 0)
        return;
    looking->object = tkr_command_stat_json(looking->runtime_dir, &looking->balance);
    tkr_balance_free(&looking->balance);
}

static json_t *lanes_json(const struct tkr_host_balance *balance)
{
    json_t *regions = json_array();

    for (uint32_t i = 0; i < balance->region_count; i++)
        (void)json_array_append_new(regions, tkr_command_region_json(&balance->region[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "lanes", (json_int_t)balance->host.lanes, "lane_bytes",
                     (json_int_t)balance->host.lane_bytes, "lane_used_bytes", (json_int_t)balance->host.lane_used, "in_lanes",
                     (json_int_t)balance->host.in_lanes, "regions", regions);
}

static void run_lanes(void *argument)
{
    struct looking *looking = argument;

    looking->result = tkr_balance_read_law(looking->runtime_dir, &looking->balance, &looking->why);
    if (looking->result != 0)
        return;
    looking->object = lanes_json(&looking->balance);
    tkr_balance_free(&looking->balance);
}

static json_t *answer_stat(struct tkr_ask *ask, void *argument)
{
    struct looking looking = {.runtime_dir = ((const struct tkr_api_about *)argument)->runtime_dir};

    return look(ask, run_stat, &looking) == 0 ? looking.object : NULL;
}

static json_t *answer_lanes(struct tkr_ask *ask, void *argument)
{
    struct looking looking = {.runtime_dir = ((const struct tkr_api_about *)argument)->runtime_dir};

    return look(ask, run_lanes, &looking) == 0 ? looking.object : NULL;
}

static void run_top(void *argument)
{
    struct looking *looking = argument;

    looking->result = tkr_top_look_take(looking->top, looking->runtime_dir, &looking->why);
}

static void wait_until(struct tkr_ask *ask, int64_t at_ns)
{
    while (tkr_clock_monotonic_ns() < at_ns && !tkr_ask_given_up(ask))
        tkr_clock_sleep_ns(WAIT_NS);
}

/* Two looks, as far apart as is asked for: what lies between them makes the rates. */
static json_t *answer_top(struct tkr_ask *ask, void *argument)
{
    struct tkr_top_look top = {.time_ns = 0};
    struct looking looking = {.runtime_dir = ((const struct tkr_api_about *)argument)->runtime_dir, .top = &top};
    struct tkr_top_wish wish = {.limit = ROWS_DEFAULT};
    int64_t interval_ms = INTERVAL_MS_DEFAULT;
    int64_t rows = ROWS_DEFAULT;
    json_t *object = NULL;

    if (take_top_key(ask, &wish.order.key) != 0 || tkr_ask_integer(ask, "top", 1, ROWS_MAX, &rows) != 0 ||
        tkr_ask_integer(ask, "interval_ms", INTERVAL_MS_MIN, INTERVAL_MS_MAX, &interval_ms) != 0)
        return NULL;
    wish.limit = (size_t)rows;
    if (look(ask, run_top, &looking) == 0) {
        wait_until(ask, top.taken_ns + interval_ms * TKR_NS_PER_MS);
        if (!tkr_ask_given_up(ask) && look(ask, run_top, &looking) == 0)
            object = tkr_top_json(&top, &wish);
    }
    tkr_top_look_free(&top);
    return object;
}

static const char *const usage_parameters[] = {"kind", "cycle", "top", "sort", "by_model", NULL};
static const char *const top_parameters[] = {"top", "sort", "interval_ms", NULL};
static const char *const limits_parameters[] = {"kind", "cycle", "near", "top", NULL};
static const char *const no_parameters[] = {NULL};

const struct tkr_route tkr_api_routes[] = {
    {"/api/usage", true, usage_parameters, answer_usage},     {"/api/top", false, top_parameters, answer_top},
    {"/api/limits", false, limits_parameters, answer_limits}, {"/api/lanes", false, no_parameters, answer_lanes},
    {"/api/stat", false, no_parameters, answer_stat},         {.path = NULL}};
