/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/metrics.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/text.h"
#include "region/spent.h"
#include "tokenring/tokenring.h"

#define MICROSECONDS 1e6 /* of a second */
#define NANOSECONDS 1e9

enum metric {
#define TKR_METRIC(symbol, type, name, labels, help) symbol,
#include "serve/metrics.def"
#undef TKR_METRIC
};

static const struct tkr_metric metrics[] = {
#define TKR_METRIC(symbol, type, name, labels, help) [symbol] = {name, TKR_METRIC_##type, help},
#include "serve/metrics.def"
#undef TKR_METRIC
};

/* What is written, and from what. */
struct page {
    const struct tkr_exposition *exposition;
    const struct tkr_snapshot *snapshot;
};

static struct tkr_label label_of(const char *name, const char *value)
{
    return (struct tkr_label){name, value, (uint32_t)strlen(value)};
}

static void family(const struct page *page, enum metric metric)
{
    tkr_exposition_family(page->exposition, &metrics[metric]);
}

static void count(const struct page *page, enum metric metric, const struct tkr_label *label, uint32_t labels, uint64_t value)
{
    tkr_exposition_count(page->exposition, &metrics[metric], label, labels, value);
}

/* Families of one sample. */
static void count_one(const struct page *page, enum metric metric, uint64_t value)
{
    family(page, metric);
    count(page, metric, NULL, 0, value);
}

static void real_one(const struct page *page, enum metric metric, double value)
{
    family(page, metric);
    tkr_exposition_real(page->exposition, &metrics[metric], NULL, 0, value);
}

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* figures of their own moments */
}

static double seconds(int64_t ns)
{
    return ns > 0 ? (double)ns / TKR_NS_PER_S : 0;
}

/* --- users --- */

static void write_users(const struct page *page)
{
    static const char *const parts[] = {
        [TKR_RANKING_PROMPT] = "prompt", [TKR_RANKING_COMPLETION] = "completion", [TKR_RANKING_REST] = "rest"};
    const struct tkr_snapshot *snapshot = page->snapshot;

    family(page, USER_TOKENS);
    for (uint32_t i = 0; i < snapshot->users; i++) {
        const struct tkr_ranking_row *row = &snapshot->user[i];
        struct tkr_label label[2] = {label_of("user_id", TKR_RANKING_OTHER)};
        if (row->id_len > 0)
            label[0] = (struct tkr_label){"user_id", row->id, row->id_len};
        for (int part = 0; part < TKR_RANKING_PARTS; part++) {
            label[1] = label_of("type", parts[part]);
            count(page, USER_TOKENS, label, 2, (uint64_t)row->tokens[part]);
        }
    }
    count_one(page, USERS_SHOWN, snapshot->users - 1);
    count_one(page, USERS_ENDED, snapshot->users_ended);
}

/* --- handlers --- */

/* A handler's type is a gateway's word. */
static struct tkr_label handler_label(const struct tkr_health_handler *handler)
{
    return label_of("handler_type", tkr_text_valid(handler->type, strlen(handler->type)) ? handler->type : "?");
}

static void write_handlers(const struct page *page)
{
    static const char *const notices[TKR_NOTICE_CONTRADICTORY] = {[TKR_NOTICE_SLOW] = "slow_call",
                                                                  [TKR_NOTICE_CORRECTED] = "corrected",
                                                                  [TKR_NOTICE_USAGE_MISSING] = "usage_missing",
                                                                  [TKR_NOTICE_DROPPED] = "dropped",
                                                                  [TKR_NOTICE_UNMATCHED] = "unmatched"};
    const struct tkr_health *health = page->snapshot->balance.health;
    uint64_t handlers = health != NULL ? health->handlers : 0;
    struct tkr_buckets_sum spent = {0};

    for (uint32_t i = 0; i < page->snapshot->monitor->workers; i++)
        tkr_buckets_sum_up(&page->snapshot->monitor->meter[i]->spent, &spent);
    family(page, HANDLER_DURATION);
    tkr_exposition_histogram(page->exposition, &metrics[HANDLER_DURATION], NULL, 0, &tkr_spent_bounds, &spent, NANOSECONDS);
    family(page, HANDLER_ERRORS);
    for (uint64_t i = 0; i < handlers; i++) {
        struct tkr_label label = handler_label(&health->handler[i]);
        count(page, HANDLER_ERRORS, &label, 1, health->handler[i].told[TKR_NOTICE_FAILED]);
    }
    family(page, HANDLER_NOTICES);
    for (uint64_t i = 0; i < handlers; i++) {
        struct tkr_label label[2] = {handler_label(&health->handler[i])};
        for (int notice = TKR_NOTICE_SLOW; notice < TKR_NOTICE_COUNT; notice++) {
            label[1] =
                label_of("notice", notice < TKR_NOTICE_CONTRADICTORY ? notices[notice]
                                                                     : tkr_contradiction_key[notice - TKR_NOTICE_CONTRADICTORY]);
            count(page, HANDLER_NOTICES, label, 2, health->handler[i].told[notice]);
        }
    }
}

/* --- models --- */

/* A name's rows of all workers, added up. */
struct model {
    struct tkr_label label[3]; /* provider, model, and a place for one more */
    uint64_t calls;
    uint64_t errors[TKR_METER_ERRORS];
    uint64_t tokens[TKR_COUNTER_CALLS];
    struct tkr_buckets_sum duration;
    struct tkr_buckets_sum first_token;
};

static void add_row(struct model *model, const struct tkr_meter_row *row)
{
    model->calls += get(&row->calls);
    for (uint32_t i = 0; i < TKR_METER_ERRORS; i++)
        model->errors[i] += get(&row->errors[i]);
    for (uint32_t i = 0; i < TKR_COUNTER_CALLS; i++)
        model->tokens[i] += get(&row->tokens[i]);
    tkr_buckets_sum_up(&row->duration, &model->duration);
    tkr_buckets_sum_up(&row->first_token, &model->first_token);
}

static void sum_model(const struct tkr_monitor *monitor, uint32_t number, struct model *ret_model)
{
    const struct tkr_meter_name *name = &monitor->names.name[number];

    memset(ret_model, 0, sizeof(*ret_model));
    ret_model->label[0] = (struct tkr_label){"provider", name->provider, name->provider_len};
    ret_model->label[1] = (struct tkr_label){"model", name->model, name->model_len};
    for (uint32_t i = 0; i < monitor->workers; i++)
        add_row(ret_model, &monitor->meter[i]->row[number]);
}

static void write_calls(const struct page *page, struct model *model)
{
    count(page, MODEL_CALLS, model->label, 2, model->calls);
}

static void write_errors(const struct page *page, struct model *model)
{
    static const char *const errors[TKR_METER_ERRORS] = {
        [TKR_ERROR_OTHER] = "other",           [TKR_ERROR_TIMEOUT] = "timeout",
        [TKR_ERROR_RATE_LIMIT] = "rate_limit", [TKR_ERROR_CANCELLED] = "cancelled",
        [TKR_ERROR_NETWORK] = "network",       [TKR_ERROR_PROVIDER] = "provider",
        [TKR_ERROR_REQUEST] = "request",       [TKR_ERROR_CONTENT_FILTER] = "content_filter",
        [TKR_ERROR_ORPHANED] = "orphaned"};

    for (uint32_t i = TKR_ERROR_OTHER; i < TKR_METER_ERRORS; i++) {
        model->label[2] = label_of("error", errors[i]);
        if (model->errors[i] > 0)
            count(page, MODEL_ERRORS, model->label, 3, model->errors[i]);
    }
}

static void write_tokens(const struct page *page, struct model *model)
{
    for (uint32_t i = 0; i < TKR_COUNTER_CALLS; i++) {
        model->label[2] = label_of("type", tkr_counter_name[i]);
        if (model->tokens[i] > 0 || i <= TKR_COUNTER_TOTAL)
            count(page, MODEL_TOKENS, model->label, 3, model->tokens[i]);
    }
}

static void write_duration(const struct page *page, struct model *model)
{
    tkr_exposition_histogram(page->exposition, &metrics[MODEL_DURATION], model->label, 2, &tkr_meter_bounds, &model->duration,
                             MICROSECONDS);
}

static void write_first_token(const struct page *page, struct model *model)
{
    tkr_exposition_histogram(page->exposition, &metrics[MODEL_FIRST_TOKEN], model->label, 2, &tkr_meter_bounds,
                             &model->first_token, MICROSECONDS);
}

/* A family follows itself: so all models are gone through for each. */
static void write_models(const struct page *page)
{
    static const struct {
        enum metric metric;
        void (*write)(const struct page *page, struct model *model);
    } families[] = {{MODEL_CALLS, write_calls},
                    {MODEL_ERRORS, write_errors},
                    {MODEL_TOKENS, write_tokens},
                    {MODEL_DURATION, write_duration},
                    {MODEL_FIRST_TOKEN, write_first_token}};
    const struct tkr_monitor *monitor = page->snapshot->monitor;
    uint32_t names = atomic_load_explicit(&monitor->names.count, memory_order_acquire); /* names before their number */

    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
        family(page, families[f].metric);
        for (uint32_t i = 0; i < names; i++) {
            struct model model;
            sum_model(monitor, i, &model);
            families[f].write(page, &model);
        }
    }
    count_one(page, MODELS_SHOWN, names - 1);
}

/* --- the law --- */

static void write_by_cause(const struct page *page)
{
    const struct tkr_balance *grown = &page->snapshot->grown;

    family(page, DROPPED);
    for (int i = 0; i < TKR_DROP_COUNT; i++) {
        struct tkr_label label = label_of("cause", tkr_drop_key[i]);
        count(page, DROPPED, &label, 1, grown->dropped[i]);
    }
    family(page, REFUSED);
    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        struct tkr_label label = label_of("reason", tkr_result_key(i));
        count(page, REFUSED, &label, 1, grown->refused[i]);
    }
}

static void write_regions(const struct page *page)
{
    static const char *const standings[] = {"new", "active", "quarantined", "newer_layout", "older_layout", "unreadable"};
    const struct tkr_host_balance *balance = &page->snapshot->balance;
    uint64_t regions[sizeof(standings) / sizeof(standings[0])] = {0};

    for (uint32_t i = 0; i < balance->region_count; i++)
        regions[balance->region[i].standing]++;
    family(page, REGIONS);
    for (uint32_t i = 0; i < sizeof(standings) / sizeof(standings[0]); i++) {
        struct tkr_label label = label_of("standing", standings[i]);
        count(page, REGIONS, &label, 1, regions[i]);
    }
}

static void write_law(const struct page *page)
{
    const struct tkr_balance *grown = &page->snapshot->grown;
    const struct tkr_balance *host = &page->snapshot->balance.host;

    count_one(page, OFFERED, grown->offered);
    count_one(page, COUNTED, grown->counted);
    count_one(page, IN_LANES, host->in_lanes);
    write_by_cause(page);
    count_one(page, LAW_HOLDS, tkr_balance_holds(host));
    count_one(page, OPEN_CALLS, host->open_calls);
    count_one(page, ORPHANS, grown->settled);
    count_one(page, SKIPPED, grown->unknown);
    count_one(page, BAD_TIMES, grown->bad_times);
}

static void write_lanes(const struct page *page)
{
    const struct tkr_snapshot *snapshot = page->snapshot;
    struct tkr_unreadable unreadable;
    uint64_t high = 0;
    uint64_t accounts = 0;

    for (uint32_t i = 0; i < snapshot->monitor->workers; i++) {
        uint64_t of_one = get(&snapshot->monitor->meter[i]->lane_high);
        high = of_one > high ? of_one : high;
    }
    for (uint32_t i = 0; i < snapshot->balance.shard_count; i++)
        accounts += snapshot->balance.shard[i].accounts;
    write_regions(page);
    tkr_monitor_unreadable(page->snapshot->monitor, &unreadable);
    count_one(page, UNREADABLE, unreadable.count);
    count_one(page, LANES, snapshot->balance.host.lanes);
    count_one(page, LANE_BYTES, snapshot->balance.host.lane_bytes);
    count_one(page, LANE_USED, snapshot->balance.host.lane_used);
    count_one(page, LANE_HIGH, high);
    count_one(page, LANES_WAITING, get(&snapshot->monitor->shortage.lanes));
    count_one(page, TMPFS_BYTES, get(&snapshot->monitor->shortage.tmpfs_bytes));
    count_one(page, TMPFS_AVAILABLE, get(&snapshot->monitor->shortage.tmpfs_available));
    count_one(page, ACCOUNTS, accounts);
    count_one(page, OVERFLOW, snapshot->overflow_charges);
}

/* --- the flusher and its sink --- */

static void write_flush(const struct page *page)
{
    const struct tkr_flush_figures *flush = &page->snapshot->monitor->flush;
    int64_t since_ns = atomic_load_explicit(&flush->unflushed_since_ns, memory_order_relaxed); /* a figure */
    struct tkr_buckets_sum duration = {0};

    tkr_buckets_sum_up(&flush->duration, &duration);
    family(page, FLUSH_DURATION);
    tkr_exposition_histogram(page->exposition, &metrics[FLUSH_DURATION], NULL, 0, &tkr_flush_bounds, &duration, MICROSECONDS);
    count_one(page, FLUSHED, get(&flush->acknowledged));
    count_one(page, FLUSH_FAILURES, get(&flush->failures));
    count_one(page, FLUSH_RESENT, get(&flush->resent));
    count_one(page, FLUSH_WAITING, get(&flush->waiting));
    real_one(page, FLUSH_AGE, since_ns != 0 ? seconds(page->snapshot->now_ns - since_ns) : 0);
    count_one(page, FLUSH_PARKED, get(&flush->parked));
    count_one(page, PARKED_ACCOUNTS, get(&flush->parked_now));
    count_one(page, FLUSH_HEALED, get(&flush->healed));
    count_one(page, SINK_WENT_BACK, get(&flush->rechecks));
}

static void write_sink(const struct page *page)
{
    static const char *const states[] = {
        [TKR_HEALTH_STARTING] = "starting", [TKR_HEALTH_GOOD] = "good", [TKR_HEALTH_FAILING] = "failing"};
    const struct tkr_health *health = page->snapshot->balance.health;

    family(page, SINK_STATE);
    for (uint64_t i = TKR_HEALTH_STARTING; i <= TKR_HEALTH_FAILING; i++) {
        struct tkr_label label = label_of("state", states[i]);
        count(page, SINK_STATE, &label, 1, health != NULL && health->state == i);
    }
    count_one(page, SINK_ENDANGERED, health != NULL && health->advice[0] != '\0');
    count_one(page, LEDGER_WAL, health != NULL ? health->wal_bytes : 0);
    family(page, SINK_AGE);
    if (health != NULL && health->answered_ns != 0)
        tkr_exposition_real(page->exposition, &metrics[SINK_AGE], NULL, 0,
                            seconds(tkr_clock_monotonic_ns() - health->answered_monotonic_ns));
}

/* --- limits, and the process --- */

static void write_limits(const struct page *page)
{
    family(page, LIMITS);
    for (int i = 0; i < TKR_BOARD_VERDICTS; i++) {
        struct tkr_label label = label_of("verdict", tkr_board_verdict_word[i]);
        count(page, LIMITS, &label, 1, page->snapshot->limits[i]);
    }
    count_one(page, BOARD_ACCOUNTS, page->snapshot->board_accounts);
    count_one(page, BOARD_MAX, page->snapshot->config->board_accounts);
    count_one(page, BOARD_NO_ROOM, atomic_load_explicit(&page->snapshot->monitor->limits.no_room, memory_order_relaxed));
    count_one(page, BOARD_PASSED_OVER, atomic_load_explicit(&page->snapshot->monitor->limits.backlog, memory_order_relaxed));
    count_one(page, LIMITS_UNREADABLE, atomic_load_explicit(&page->snapshot->monitor->limits.unreadable, memory_order_relaxed));
}

static uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    uint64_t descriptors = 0;

    while (directory != NULL && readdir(directory) != NULL)
        descriptors++;
    if (directory != NULL)
        (void)closedir(directory);
    return descriptors > 3 ? descriptors - 3 : 0; /* ".", ".." and this one */
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    (void)fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static double timeval_seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / MICROSECONDS;
}

static void write_process(const struct page *page, uint64_t scrapes)
{
    const struct tkr_monitor *monitor = page->snapshot->monitor;
    char version[32];
    struct tkr_label label = {"version", version, 0};
    struct rusage usage;
    const char *who;

    count_one(page, WORKERS, monitor->workers);
    real_one(page, STALLED, seconds(tkr_monitor_stalled_ns(monitor, page->snapshot->now_ns, &who)));
    count_one(page, SCRAPES, scrapes);
    label.len = (uint32_t)snprintf(version, sizeof(version), "%d.%d.%d", TKR_VERSION_MAJOR, TKR_VERSION_MINOR, TKR_VERSION_PATCH);
    family(page, BUILD_INFO);
    count(page, BUILD_INFO, &label, 1, 1);
    family(page, START_TIME);
    count(page, START_TIME, NULL, 0, (uint64_t)(monitor->started_ns / TKR_NS_PER_S));
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        real_one(page, CPU, timeval_seconds(&usage.ru_utime) + timeval_seconds(&usage.ru_stime));
    count_one(page, RESIDENT, resident_bytes());
    count_one(page, OPEN_FDS, count_descriptors());
}

void tkr_metrics_write(const struct tkr_exposition *exposition, const struct tkr_snapshot *snapshot, uint64_t scrapes)
{
    const struct page page = {exposition, snapshot};

    write_users(&page);
    write_handlers(&page);
    write_models(&page);
    write_law(&page);
    write_lanes(&page);
    write_flush(&page);
    write_sink(&page);
    write_limits(&page);
    write_process(&page, scrapes);
    tkr_exposition_end(exposition);
}
