/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/truth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "chaos/servers.h"

#define ADDS_MAX 2
#define WAYS_MAX 4

/* What an account in a cycle has. */
struct row {
    char key[TRUTH_KEY_BYTES];
    size_t key_len;
    int64_t expected[TKR_COUNTER_COUNT];
    int64_t found[TKR_COUNTER_COUNT];     /* with what was reset knowingly */
    int64_t in_models[TKR_COUNTER_COUNT]; /* the sums over its models: all calls tell one */
};

struct table {
    struct row *row;     /* number account * CHAOS_CYCLES + cycle */
    struct row **by_key; /* in the order of their keys */
    size_t count;
};

enum outcome { WHOLLY, SETTLED };

/* A call and how it counts. */
struct add {
    uint64_t call;
    enum outcome outcome;
    int64_t told;
};

/* What may have come of an interrupted step: at most two calls count. */
struct way {
    struct add add[ADDS_MAX];
    int count;
};

/* --- what a call adds --- */

static int64_t estimated_of(const struct chaos_call *call, int64_t total)
{
    int64_t part = call->estimated & TKR_ESTIMATED_COMPLETION ? call->completion : 0;

    return part < total ? part : total;
}

static void figures_whole(const struct chaos_call *call, int64_t ret_figure[TKR_COUNTER_COUNT])
{
    int64_t total = call->total != TKR_ABSENT ? call->total : call->prompt + call->completion;

    ret_figure[TKR_COUNTER_PROMPT] = call->prompt;
    ret_figure[TKR_COUNTER_COMPLETION] = call->completion;
    ret_figure[TKR_COUNTER_TOTAL] = total;
    ret_figure[TKR_COUNTER_CACHED] = call->cached;
    ret_figure[TKR_COUNTER_CACHE_WRITE] = call->cache_write;
    ret_figure[TKR_COUNTER_REASONING] = call->reasoning;
    ret_figure[TKR_COUNTER_ESTIMATED] = estimated_of(call, total);
    ret_figure[TKR_COUNTER_CALLS] = 1;
    ret_figure[TKR_COUNTER_ERRORS] = call->error != TKR_ERROR_NONE;
    ret_figure[TKR_COUNTER_COST] = call->cost_nano_usd;
    ret_figure[TKR_COUNTER_DURATION] = call->duration_ms;
}

static void figures_settled(const struct chaos_call *call, int64_t told, int64_t ret_figure[TKR_COUNTER_COUNT])
{
    ret_figure[TKR_COUNTER_PROMPT] = call->estimate;
    ret_figure[TKR_COUNTER_COMPLETION] = told;
    ret_figure[TKR_COUNTER_TOTAL] = call->estimate + told;
    ret_figure[TKR_COUNTER_ESTIMATED] = call->estimate + told;
    ret_figure[TKR_COUNTER_CALLS] = 1;
    ret_figure[TKR_COUNTER_ERRORS] = 1;
}

/* Adds (sign 1) or takes away (-1) a call of a thread. */
static void add_call(struct table *table, uint32_t g, uint32_t thread, const struct add *add, int sign)
{
    struct chaos_call call = chaos_call_make(g, thread, add->call);
    int64_t figure[TKR_COUNTER_COUNT] = {0};

    if (add->outcome == WHOLLY)
        figures_whole(&call, figure);
    else
        figures_settled(&call, add->told, figure);
    for (uint32_t a = 0; a < call.account_count; a++) {
        struct row *row = &table->row[call.account[a] * CHAOS_CYCLES + call.cycle];
        for (int f = 0; f < TKR_COUNTER_COUNT; f++)
            row->expected[f] += sign * figure[f];
    }
}

static void add_way(struct table *table, uint32_t g, uint32_t thread, const struct way *way, int sign)
{
    for (int i = 0; i < way->count; i++)
        add_call(table, g, thread, &way->add[i], sign);
}

/* --- finished steps --- */

static void add_finished(struct table *table, uint32_t g, uint32_t thread, uint64_t finished)
{
    struct chaos_call none = {0};

    for (uint64_t i = 0; i < finished; i++) {
        struct chaos_step step = chaos_step_make(&none, i);
        struct add add = {step.call, WHOLLY, 0};
        if (step.kind == CHAOS_SHORT || step.kind == CHAOS_LONG_END)
            add_call(table, g, thread, &add, 1);
    }
}

static uint64_t calls_in(uint64_t steps)
{
    uint64_t at = steps % CHAOS_LONG_STEPS;
    uint64_t tellings = at > 0 ? (at - 1) / CHAOS_LONG_EVERY : 0;
    uint64_t of_long = CHAOS_LONG_STEPS / CHAOS_LONG_EVERY; /* begin and tellings, which are no calls */

    return steps / CHAOS_LONG_STEPS * (CHAOS_LONG_STEPS - of_long) + at - (at > 0) - tellings;
}

uint64_t truth_calls_finished(const struct truth_gateway *gateway, uint32_t count)
{
    uint64_t calls = 0;

    for (uint32_t g = 0; g < count; g++) {
        for (int t = 0; t < CHAOS_THREADS; t++)
            calls += calls_in(atomic_load(&gateway[g].truth->thread[t].finished));
    }
    return calls;
}

/* --- what a death interrupted --- */

static void way_settle(struct way *way, uint64_t call, int64_t told)
{
    way->add[way->count++] = (struct add){call, SETTLED, told};
}

static void way_whole(struct way *way, uint64_t call)
{
    way->add[way->count++] = (struct add){call, WHOLLY, 0};
}

/* The long call that is open when so many steps are done, settled. */
static void way_settle_long(struct way *way, uint32_t g, uint32_t thread, uint64_t steps)
{
    uint64_t call;
    int64_t told;

    if (chaos_long_open(g, thread, steps, &call, &told))
        way_settle(way, call, told);
}

/* All ways in which a thread that ended after `finished` steps may count beyond these; the last step may have been begun. */
static int find_ways(uint32_t g, uint32_t thread, uint64_t finished, bool begun, struct way ret_way[WAYS_MAX])
{
    struct chaos_call none = {0};
    struct chaos_step step = chaos_step_make(&none, finished);
    struct chaos_call call = chaos_call_make(g, thread, step.call);
    int n = 0;

    memset(ret_way, 0, WAYS_MAX * sizeof(*ret_way));
    way_settle_long(&ret_way[n++], g, thread, finished);
    if (!begun)
        return n;
    if (step.kind == CHAOS_LONG_BEGIN || step.kind == CHAOS_LONG_TELL) {
        way_settle_long(&ret_way[n++], g, thread, finished + 1);
    } else if (step.kind == CHAOS_LONG_END) {
        way_whole(&ret_way[n++], step.call);
        n++; /* it was dropped, and not told once more yet */
    } else {
        for (int outcome = 0; outcome < (call.one_shot ? 1 : 3); outcome++, n++) {
            way_settle_long(&ret_way[n], g, thread, finished);
            if (outcome == 0)
                way_whole(&ret_way[n], step.call);
            else
                way_settle(&ret_way[n], step.call, outcome == 1 ? 0 : call.completion / 2);
        }
    }
    return n;
}

/* Are all rows of the thread's private account as expected? */
static bool private_explained(const struct table *table, uint32_t g, uint32_t thread)
{
    const struct row *row = &table->row[chaos_private(g, thread) * CHAOS_CYCLES];

    for (int cycle = 0; cycle < CHAOS_CYCLES; cycle++) {
        if (memcmp(row[cycle].expected, row[cycle].found, sizeof(row->found)) != 0)
            return false;
    }
    return true;
}

static void note_way(const struct way *way, uint32_t number, bool begun, struct truth_report *report)
{
    for (int i = 0; i < way->count; i++)
        report->settled += way->add[i].outcome == SETTLED;
    report->calls += (uint64_t)way->count;
    if (!begun)
        return;
    report->interrupted++;
    if (number == 0)
        report->nothing++;
    else if (way->count > 0 && way->add[way->count - 1].outcome == WHOLLY)
        report->wholly++;
    else
        report->partly++;
}

/* Adds what came of the end of a thread: the way that explains the private account; none does: the first. */
static void add_end(struct table *table, uint32_t g, uint32_t thread, const struct chaos_thread *at, struct truth_report *report)
{
    struct way way[WAYS_MAX];
    uint64_t finished = atomic_load(&at->finished);
    bool begun = atomic_load(&at->begun) > finished;
    int count = find_ways(g, thread, finished, begun, way);
    int chosen = 0;

    for (int i = 0; i < count; i++) {
        add_way(table, g, thread, &way[i], 1);
        if (private_explained(table, g, thread)) {
            chosen = i;
            add_way(table, g, thread, &way[i], -1);
            break;
        }
        add_way(table, g, thread, &way[i], -1);
    }
    add_way(table, g, thread, &way[chosen], 1);
    note_way(&way[chosen], (uint32_t)chosen, begun, report);
}

static void expect(struct table *table, const struct truth_gateway *gateway, uint32_t count, struct truth_report *report)
{
    report->calls = truth_calls_finished(gateway, count);
    for (uint32_t g = 0; g < count; g++) {
        for (uint32_t t = 0; t < CHAOS_THREADS; t++) {
            const struct chaos_thread *at = &gateway[g].truth->thread[t];
            add_finished(table, g, t, atomic_load(&at->finished));
            if (gateway[g].ended)
                add_end(table, g, t, at, report);
        }
    }
}

/* --- what Redis has --- */

/* As include/ and DESIGN promise it to other readers; written here once more, not taken from what is tested. */
size_t truth_key(uint32_t account, uint32_t cycle, char ret_key[TRUTH_KEY_BYTES])
{
    char id[CHAOS_ID_BYTES];
    uint32_t date = chaos_cycle(cycle);
    const char *kind = account >= CHAOS_SHARED                ? "_gateway"
                       : account >= CHAOS_USERS + CHAOS_TEAMS ? "_organisation"
                       : account >= CHAOS_USERS               ? "_team"
                                                              : "";

    (void)chaos_account_id(account, id);
    return (size_t)snprintf(ret_key, TRUTH_KEY_BYTES, "token_usage%s:%s:%04u-%02u-%02u", kind, id, date / 10000, date / 100 % 100,
                            date % 100);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp((*(struct row *const *)a)->key, (*(struct row *const *)b)->key);
}

static int compare_key(const void *key, const void *row)
{
    return strcmp(key, (*(struct row *const *)row)->key);
}

static int table_make(struct table *table, uint32_t gateways)
{
    table->count = ((size_t)CHAOS_SHARED + (size_t)gateways * CHAOS_THREADS) * CHAOS_CYCLES;
    table->row = calloc(table->count, sizeof(*table->row));
    table->by_key = calloc(table->count, sizeof(*table->by_key));
    if (table->row == NULL || table->by_key == NULL)
        return -1;
    for (size_t i = 0; i < table->count; i++) {
        struct row *row = &table->row[i];
        row->key_len = truth_key((uint32_t)(i / CHAOS_CYCLES), (uint32_t)(i % CHAOS_CYCLES), row->key);
        table->by_key[i] = row;
    }
    qsort(table->by_key, table->count, sizeof(*table->by_key), compare_rows);
    return 0;
}

static void table_free(struct table *table)
{
    free(table->row);
    free(table->by_key);
}

static int counter_of(const char *name)
{
    static const char *const names[] = {
#define TKR_COUNTER(symbol, name, letter, help) [TKR_COUNTER_##symbol] = #name,
#include "base/counters.def"
#undef TKR_COUNTER
    };

    for (int f = 0; f < TKR_COUNTER_COUNT; f++) {
        if (strcmp(names[f], name) == 0)
            return f;
    }
    return -1;
}

/* Fields of models are "MODEL:counter". */
static void take_fields(int64_t sum[TKR_COUNTER_COUNT], const redisReply *fields, bool of_models, struct truth_report *report)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        int64_t value = strtoll(fields->element[i + 1]->str, NULL, 10);
        const char *colon = strrchr(fields->element[i]->str, ':');
        int f = (colon != NULL) != of_models ? -1 : counter_of(of_models ? colon + 1 : fields->element[i]->str);
        report->negative += value < 0;
        if (f < 0)
            report->strangers++;
        else
            sum[f] += value;
    }
}

/* The row of a key, which may be that of the account's models. */
static struct row *row_of(const struct table *table, const char *key, bool *ret_of_models)
{
    static const char infix[] = ".models:";
    const char *at = strstr(key, infix);
    char account[2 * TRUTH_KEY_BYTES];
    struct row **row;

    *ret_of_models = at != NULL;
    if (at != NULL)
        (void)snprintf(account, sizeof(account), "%.*s:%s", (int)(at - key), key, at + sizeof(infix) - 1);
    row = bsearch(at != NULL ? account : key, table->by_key, table->count, sizeof(*table->by_key), compare_key);
    return row != NULL ? *row : NULL;
}

/* The hash of one key, whose reply is due. */
static int take_hash(struct table *table, redisContext *redis, const char *key, bool verbose, struct truth_report *report)
{
    bool of_models;
    struct row *row = row_of(table, key, &of_models);
    redisReply *fields;

    if (redisGetReply(redis, (void **)&fields) != REDIS_OK)
        return -1;
    if (fields->type != REDIS_REPLY_ARRAY || row == NULL) {
        report->strangers++;
        if (verbose)
            (void)fprintf(stderr, "a key that nobody should have made: %s\n", key);
    } else {
        take_fields(of_models ? row->in_models : row->found, fields, of_models, report);
    }
    freeReplyObject(fields);
    return 0;
}

/* Reads all hashes whose keys begin with prefix. */
static int read_hashes(struct table *table, redisContext *redis, const char *prefix, const char *skip, bool verbose,
                       struct truth_report *report)
{
    redisReply *keys = redisCommand(redis, "KEYS %s%s*", prefix, skip);
    int result = keys != NULL && keys->type == REDIS_REPLY_ARRAY ? 0 : -1;

    for (size_t i = 0; result == 0 && i < keys->elements; i++)
        result = redisAppendCommand(redis, "HGETALL %b", keys->element[i]->str, keys->element[i]->len) == REDIS_OK ? 0 : -1;
    for (size_t i = 0; result == 0 && i < keys->elements; i++)
        result = take_hash(table, redis, keys->element[i]->str + strlen(prefix), verbose, report);
    freeReplyObject(keys);
    return result;
}

/* --- the comparison --- */

static void compare_row(const struct row *row, const int64_t found[TKR_COUNTER_COUNT], const char *what, bool verbose,
                        struct truth_report *report)
{
    for (int f = 0; f < TKR_COUNTER_COUNT; f++) {
        int64_t difference = found[f] - row->expected[f];
        if (difference == 0)
            continue;
        report->differences++;
        if (f == TKR_COUNTER_TOTAL && difference < 0)
            report->lost -= difference;
        if (f == TKR_COUNTER_TOTAL && difference > 0)
            report->doubled += difference;
        if (verbose)
            (void)fprintf(stderr, "%s%s, counter %d: %" PRId64 ", should be %" PRId64 "\n", row->key, what, f, found[f],
                          row->expected[f]);
    }
}

static void compare_account(const struct row *row, bool verbose, struct truth_report *report)
{
    compare_row(row, row->found, "", verbose, report);
    compare_row(row, row->in_models, " by its models", verbose, report);
    report->accounts += row->expected[TKR_COUNTER_CALLS] > 0;
}

int truth_compare(const struct truth_gateway *gateway, uint32_t count, redisContext *redis, bool verbose,
                  struct truth_report *ret_report)
{
    struct truth_report report = {0};
    struct table table = {0};
    int result = table_make(&table, count);

    if (result == 0)
        result = read_hashes(&table, redis, "", "token_usage", verbose, &report);
    if (result == 0)
        result = read_hashes(&table, redis, CHAOS_RESET_PREFIX, "", verbose, &report);
    if (result == 0) {
        expect(&table, gateway, count, &report);
        for (size_t i = 0; i < table.count; i++)
            compare_account(&table.row[i], verbose, &report);
        *ret_report = report;
    }
    table_free(&table);
    return result;
}
