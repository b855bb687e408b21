/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Honest reserves on one host: gateways whose calls use at most what they reserve, with limits closed, of which one is killed
 * again and again, and the collector too. What is used in the end is not a token beyond the limit; and nothing stays reserved,
 * so that the limit can be used to its last token.
 *
 * TOKENRING_TEST_HONEST_RUNS: how many times, in each sink; 3.
 */
#include "callback/callback.h"
#include "integration/collector_stage.h"
#include "support/procfs.h"
#include "support/random.h"

#define WAIT_MS PROCESS_PATIENCE_MS
#define GATEWAYS 12
#define LIMIT 60000
#define RESERVE_MIN 20
#define RESERVE_MAX 400
#define NAP_MS 12 /* a call takes up to so long, and so does the time to the next */
#define KILL_EVERY_MS 40
#define COLLECTOR_KILLS 2
#define ACCOUNT "honest"
#define TEAM "honest-team"

/* What gateways note. */
enum { ENDED, ENDED_TOKENS, REFUSED };

static tkr_producer *open_producer(const struct stage *stage)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer = NULL;

    options.runtime_dir = stage->runtime;
    options.flags = TKR_LIMIT_CLOSED;
    options.lane_bytes = 16384;
    return tkr_open(&options, &producer) == TKR_OK ? producer : NULL;
}

static tkr_account account_of(const char *id)
{
    return (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
}

/* Both accounts have the same limit, and each call charges both. */
static tkr_start start_of(int64_t reserve)
{
    tkr_start start = TKR_START_INIT;

    start.cycle = STAGE_CYCLE;
    start.account_count = 2;
    start.account[0] = account_of(ACCOUNT);
    start.account[1] = account_of(TEAM);
    start.account[1].kind = TKR_KIND_TEAM;
    start.reserve = reserve;
    return start;
}

static void note_end(struct stage *stage, int64_t tokens)
{
    (void)atomic_fetch_add(&stage->truth->note[ENDED], 1);
    (void)atomic_fetch_add(&stage->truth->note[ENDED_TOKENS], (uint64_t)tokens);
}

/* A call that may be killed anywhere: what it estimated and streamed is within its reserve, too. */
static int call_directly(struct stage *stage, tkr_producer *producer, struct test_random *random, int64_t reserve)
{
    tkr_start start = start_of(reserve);
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_call call;
    int result;

    usage.prompt = (int64_t)test_random_below(random, (uint64_t)reserve / 2) + 1;
    usage.completion = (int64_t)test_random_below(random, (uint64_t)(reserve - usage.prompt) + 1);
    start.prompt_estimate = usage.prompt;
    result = tkr_call_begin(producer, &start, &call);
    if (result != TKR_OK)
        return result;
    process_sleep_ms((int)test_random_below(random, NAP_MS));
    result = tkr_call_progress(producer, call, usage.completion / 2);
    if (result == TKR_OK)
        result = tkr_call_end(producer, call, &usage);
    if (result == TKR_OK)
        note_end(stage, usage.prompt + usage.completion);
    return result;
}

/* The same by handlers, of which the one that holds stands first. */
static int call_by_handlers(struct stage *stage, tkr_callback *composite, struct test_random *random, int64_t reserve)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_call_error error = TKR_CALL_ERROR_INIT;

    context.start = start_of(reserve);
    response.tokens_used = (int64_t)test_random_below(random, (uint64_t)reserve) + 1;
    error.kind = TKR_ERROR_CANCELLED;
    if (tkr_on_llm_start(composite, NULL, 0, &context) != 0)
        return TKR_ESYSTEM;
    if (tkr_callback_refusal(&context, NULL) != 0)
        return tkr_on_llm_error(composite, &error, &context) == 0 ? TKR_ELIMIT : TKR_ESYSTEM;
    process_sleep_ms((int)test_random_below(random, NAP_MS));
    if (tkr_on_llm_end(composite, &response, &context) != 0)
        return TKR_ESYSTEM;
    note_end(stage, response.tokens_used);
    return TKR_OK;
}

static tkr_callback *make_handlers(tkr_producer *producer)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback *limit = NULL;
    tkr_callback *token = NULL;
    tkr_callback *composite = NULL;

    options.producer = producer;
    if (tkr_limit_callback(&options, &limit) != TKR_OK || tkr_token_callback(&options, &token) != TKR_OK ||
        tkr_composite_callback(&composite) != TKR_OK || tkr_composite_add(composite, limit, TKR_CALLBACK_OWN) != TKR_OK ||
        tkr_composite_add(composite, token, TKR_CALLBACK_OWN) != TKR_OK)
        return NULL;
    return composite;
}

/* Calls until it is told to stop. */
static int gateway(struct stage *stage, int number)
{
    struct test_random random = {(uint64_t)number * 7919 + (uint64_t)getpid()};
    tkr_producer *producer = open_producer(stage);
    tkr_callback *composite = producer != NULL ? make_handlers(producer) : NULL;

    if (composite == NULL)
        return 2;
    while (!atomic_load(&stage->truth->stop)) {
        int64_t reserve = RESERVE_MIN + (int64_t)test_random_below(&random, RESERVE_MAX - RESERVE_MIN + 1);
        int result = number % 3 == 0 ? call_by_handlers(stage, composite, &random, reserve)
                                     : call_directly(stage, producer, &random, reserve);
        if (result != TKR_OK && result != TKR_ELIMIT)
            return 3;
        if (result == TKR_ELIMIT)
            (void)atomic_fetch_add(&stage->truth->note[REFUSED], 1);
        process_sleep_ms((int)test_random_below(&random, NAP_MS) + 1);
    }
    tkr_callback_release(composite);
    if (tkr_sync(producer, WAIT_MS) != TKR_OK)
        return 4;
    tkr_close(producer);
    return 0;
}

static void set_limits(const struct stage *stage)
{
    tkr_sink *sink = stage_sink(stage);
    struct tkr_usage_row row = {.id = ACCOUNT, .id_len = (uint32_t)strlen(ACCOUNT)};
    tkr_message message = {""};

    assert_int_equal(sink->ops->limit_set(sink, &row, LIMIT, &message), 0);
    row = (struct tkr_usage_row){.kind = TKR_KIND_TEAM, .id = TEAM, .id_len = (uint32_t)strlen(TEAM)};
    assert_int_equal(sink->ops->limit_set(sink, &row, LIMIT, &message), 0);
    sink->ops->close(sink);
}

static tkr_limit check(tkr_producer *producer, int which)
{
    tkr_start start = start_of(0);
    tkr_limit limit = TKR_LIMIT_INIT;

    assert_int_equal(tkr_limit_check(producer, &start.account[which], STAGE_CYCLE, 0, &limit), TKR_OK);
    return limit;
}

/* Kills gateways and, some of the time, the collector, and starts others, until no gateway finds room for its least call. */
static void kill_and_start(struct stage *stage, struct test_random *random, pid_t pid[GATEWAYS], tkr_producer *watcher)
{
    long end_ms = process_now_ms() + WAIT_MS * (procfs_instrumented() ? 4 : 1);
    int collector_kills = 0;
    int kills = 0;

    for (;;) {
        tkr_limit limit = check(watcher, 0);
        if (limit.age_ns >= 0 && limit.used > LIMIT - RESERVE_MIN)
            break;
        if (process_now_ms() > end_ms)
            fail_msg("the limit is not used up: used %lld reserved %lld", (long long)limit.used, (long long)limit.reserved);
        process_sleep_ms((int)test_random_below(random, 2 * KILL_EVERY_MS));
        if (collector_kills < COLLECTOR_KILLS && limit.used > LIMIT / (COLLECTOR_KILLS + 1) * (collector_kills + 1)) {
            process_signal(&stage->collector, SIGKILL);
            assert_int_equal(process_wait(&stage->collector, WAIT_MS), 0);
            stage_collector_start(stage, collector_kills % 2 == 0 ? "2" : "1");
            collector_kills++;
        }
        if (limit.used < LIMIT - LIMIT / 10) { /* the last part is used by who lives */
            int i = (int)test_random_below(random, GATEWAYS);
            assert_int_equal(kill(pid[i], SIGKILL), 0);
            assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
            pid[i] = stage_fork(stage, gateway, i);
            kills++;
        }
    }
    print_message("%d gateways and %d collectors killed\n", kills, collector_kills);
}

static void wait_for_figures(tkr_producer *producer, int which, int64_t used)
{
    long end_ms = process_now_ms() + WAIT_MS;
    tkr_limit limit = check(producer, which);

    while (limit.verdict == TKR_LIMIT_UNKNOWN || limit.age_ns < 0 || limit.reserved != 0 || limit.used != used) {
        if (process_now_ms() > end_ms)
            fail_msg("account %d: used %lld, not %lld, reserved %lld", which, (long long)limit.used, (long long)used,
                     (long long)limit.reserved);
        process_sleep_ms(1);
        limit = check(producer, which);
    }
}

static int64_t total_of(const struct stage *stage, uint64_t kind, const char *id)
{
    struct stage_rows *rows = stage_read(stage);
    tkr_counts counts = stage_counts(rows, kind, id, (uint32_t)strlen(id));

    free(rows);
    return counts.value[TKR_COUNTER_TOTAL];
}

/* Waits until the sink has what is counted. */
static int64_t total_when_flushed(const struct stage *stage, tkr_producer *producer)
{
    long end_ms = process_now_ms() + WAIT_MS;
    int64_t total = total_of(stage, TKR_KIND_USER, ACCOUNT);

    while (total != check(producer, 0).used || total != total_of(stage, TKR_KIND_TEAM, TEAM)) {
        if (process_now_ms() > end_ms)
            fail_msg("the sink has %lld, counted is %lld", (long long)total, (long long)check(producer, 0).used);
        process_sleep_ms(5);
        total = total_of(stage, TKR_KIND_USER, ACCOUNT);
    }
    return total;
}

/* The rest of the limit is there to be reserved, and not a token more. */
static void use_the_rest(tkr_producer *producer, int64_t rest)
{
    tkr_start start = start_of(rest + 1);
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_call call;

    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_ELIMIT);
    if (rest == 0)
        return;
    start.reserve = rest;
    assert_int_equal(tkr_call_begin(producer, &start, &call), TKR_OK);
    usage.prompt = rest;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
    assert_int_equal(tkr_sync(producer, WAIT_MS), TKR_OK);
    wait_for_figures(producer, 0, LIMIT);
    wait_for_figures(producer, 1, LIMIT);
}

static void run_once(struct stage *stage, struct test_random *random)
{
    pid_t pid[GATEWAYS];
    tkr_producer *producer;
    int64_t total;

    set_limits(stage);
    stage_collector_start(stage, "2");
    producer = open_producer(stage);
    assert_non_null(producer);
    for (int i = 0; i < GATEWAYS; i++)
        pid[i] = stage_fork(stage, gateway, i);
    kill_and_start(stage, random, pid, producer);
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < GATEWAYS; i++)
        assert_int_equal(stage_exit_code(pid[i]), 0);
    stage_wait_regions(stage, 1);
    total = total_when_flushed(stage, producer);
    print_message("limit %d, used %lld in %llu calls that ended, %llu refused\n", LIMIT, (long long)total,
                  (unsigned long long)atomic_load(&stage->truth->note[ENDED]),
                  (unsigned long long)atomic_load(&stage->truth->note[REFUSED]));
    if (total > LIMIT)
        fail_msg("%lld tokens beyond the limit", (long long)(total - LIMIT));
    assert_true(total >= (int64_t)atomic_load(&stage->truth->note[ENDED_TOKENS]));
    wait_for_figures(producer, 0, total);
    wait_for_figures(producer, 1, total);
    use_the_rest(producer, LIMIT - total);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static int runs(void)
{
    const char *text = getenv("TOKENRING_TEST_HONEST_RUNS");
    int count = text != NULL ? atoi(text) : 3;

    return count > 0 ? count : 1;
}

/* A host of its own for each. */
static void run_all(int (*set_up)(void **state))
{
    struct test_random random = test_random_start();

    for (int i = 0; i < runs(); i++) {
        void *stage = NULL;
        assert_int_equal(set_up(&stage), 0);
        run_once(stage, &random);
        assert_int_equal(stage_tear_down(&stage), 0);
    }
}

static void test_honest_reserves_stay_within_the_limit_through_kills_in_redis(void **state)
{
    (void)state;
    run_all(stage_set_up_redis);
}

static void test_honest_reserves_stay_within_the_limit_through_kills_in_the_ledger(void **state)
{
    (void)state;
    run_all(stage_set_up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest_reserves_stay_within_the_limit_through_kills_in_redis),
        cmocka_unit_test(test_honest_reserves_stay_within_the_limit_through_kills_in_the_ledger),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
