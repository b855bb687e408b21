/* SPDX-License-Identifier: Apache-2.0 */
/* Limits as gateways see them, with a real collector, on Redis and on the ledger. */
#include "integration/collector_stage.h"
#include "support/procfs.h"
#include "support/sink.h"

#define WAIT_MS PROCESS_PATIENCE_MS
#define GATEWAYS 16
#define CALLS_EACH 63
#define RESERVE 1000
#define ROOM_FOR 400
#define STATED_AGE_MS 10000 /* limit_max_age_ms, where it is 0 */
#define TICK_MS 20          /* of the clock that a check reads, at most */

static void set_limit(const struct stage *stage, const char *id, uint32_t cycle, int64_t tokens)
{
    tkr_sink *sink = stage_sink(stage);
    struct tkr_usage_row row = {.id = id, .id_len = (uint32_t)strlen(id), .cycle = cycle};
    tkr_message message = {""};

    if (sink->ops->limit_set(sink, &row, tokens, &message) != 0)
        fail_msg("%s", message.text);
    sink->ops->close(sink);
}

static tkr_producer *open_producer(const struct stage *stage, uint32_t max_age_ms)
{
    tkr_options options = TKR_OPTIONS_INIT;
    tkr_producer *producer;

    options.runtime_dir = stage->runtime;
    options.limit_max_age_ms = max_age_ms;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    return producer;
}

static tkr_account account_of(const char *id)
{
    return (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
}

static tkr_limit check(tkr_producer *producer, const char *id, int64_t want)
{
    tkr_account account = account_of(id);
    tkr_limit limit = TKR_LIMIT_INIT;

    assert_int_equal(tkr_limit_check(producer, &account, STAGE_CYCLE, want, &limit), TKR_OK);
    return limit;
}

static void nap(void)
{
    process_sleep_ms(2);
}

/* Asks until the verdict is this one. */
static tkr_limit wait_for_verdict(tkr_producer *producer, const char *id, int64_t want, int32_t verdict)
{
    int64_t deadline = process_now_ms() + WAIT_MS;
    tkr_limit limit = check(producer, id, want);

    while (limit.verdict != verdict && process_now_ms() < deadline) {
        nap();
        limit = check(producer, id, want);
    }
    if (limit.verdict != verdict)
        fail_msg("%s: verdict %d, not %d; limit %lld used %lld reserved %lld age %lld", id, limit.verdict, verdict,
                 (long long)limit.limit, (long long)limit.used, (long long)limit.reserved, (long long)limit.age_ns);
    return limit;
}

/* A collector that knows alice's limit of 1,000 tokens, and a producer that has seen it. */
static tkr_producer *start_with_alice(struct stage *stage, uint32_t max_age_ms)
{
    tkr_producer *producer;

    set_limit(stage, "alice", 0, 1000);
    stage_collector_start(stage, "1");
    producer = open_producer(stage, max_age_ms);
    (void)wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED);
    return producer;
}

static void wait_for_reserved(tkr_producer *producer, const char *id, int64_t reserved, int64_t within_ms)
{
    int64_t deadline = process_now_ms() + within_ms;

    while (check(producer, id, 0).reserved != reserved && process_now_ms() < deadline)
        nap();
    assert_int_equal(check(producer, id, 0).reserved, reserved);
}

static void record(tkr_producer *producer, const char *id, int64_t tokens)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.account_count = 1;
    start.account[0] = account_of(id);
    start.cycle = STAGE_CYCLE;
    usage.prompt = tokens;
    assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
    assert_int_equal(tkr_sync(producer, WAIT_MS), TKR_OK);
}

/* What is flushed while the sink is asked is in it twice until it is asked again. */
static void wait_for_used(tkr_producer *producer, const char *id, int64_t used)
{
    int64_t deadline = process_now_ms() + WAIT_MS;

    while (check(producer, id, 0).used != used && process_now_ms() < deadline)
        nap();
    assert_int_equal(check(producer, id, 0).used, used);
}

static int begin(tkr_producer *producer, const char *id, int64_t reserve, tkr_call *ret_call)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = 1;
    start.account[0] = account_of(id);
    start.cycle = STAGE_CYCLE;
    start.reserve = reserve;
    return tkr_call_begin(producer, &start, ret_call);
}

static void end(tkr_producer *producer, tkr_call call, int64_t tokens)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = tokens;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
}

/* --- verdicts --- */

static void test_verdict_follows_what_is_counted(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_limit limit;

    set_limit(stage, "alice", 0, 1000);
    stage_collector_start(stage, "2");
    producer = open_producer(stage, 0);
    record(producer, "alice", 500);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    limit = wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED);
    assert_int_equal(limit.limit, 1000);
    assert_int_equal(limit.remaining, limit.limit - limit.used);
    assert_true(limit.age_ns >= 0 && limit.age_ns < INT64_C(10000000000));
    record(producer, "alice", 350); /* counted: seen at once, flushed or not */
    assert_true(check(producer, "alice", 0).used >= 850);
    assert_int_equal(wait_for_verdict(producer, "alice", 0, TKR_LIMIT_SOFT).limit, 1000);
    assert_int_equal(check(producer, "alice", 151).verdict, TKR_LIMIT_REFUSED);
    record(producer, "alice", 150);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_REFUSED);
    set_limit(stage, "alice", STAGE_CYCLE, 10000); /* the cycle's own is before the standing one */
    assert_int_equal(wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED).limit, 10000);
    wait_for_used(producer, "alice", 1000);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_account_without_limit_is_allowed(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_limit limit;

    stage_collector_start(stage, "1");
    producer = open_producer(stage, 0);
    limit = wait_for_verdict(producer, "bob", 5, TKR_LIMIT_ALLOWED);
    assert_int_equal(limit.limit, TKR_ABSENT);
    assert_int_equal(limit.remaining, TKR_ABSENT);
    assert_int_equal(limit.used, 0);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_limit_is_unknown_while_no_collector_looks_and_comes_back(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;

    producer = start_with_alice(stage, 500);
    stage_collector_end(stage, 0);
    assert_true(wait_for_verdict(producer, "alice", 0, TKR_LIMIT_UNKNOWN).age_ns > 500000000);
    assert_int_equal(check(producer, "alice", 0).limit, 1000); /* what was known last is told all the same */
    stage_collector_start(stage, "1");
    (void)wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* --- holding --- */

static void test_reserve_is_held_until_the_end_and_refused_beyond_the_limit(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_call call;
    tkr_call other;

    producer = start_with_alice(stage, 0);
    assert_int_equal(begin(producer, "alice", 600, &call), TKR_OK);
    assert_int_equal(check(producer, "alice", 0).reserved, 600);
    assert_int_equal(begin(producer, "alice", 401, &other), TKR_ELIMIT);
    assert_int_equal(check(producer, "alice", 0).reserved, 600);
    assert_int_equal(begin(producer, "alice", 400, &other), TKR_OK);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_REFUSED);
    end(producer, call, 10);
    end(producer, other, 10);
    assert_in_range(check(producer, "alice", 0).reserved, 0, 20); /* what they used, until that is counted */
    wait_for_reserved(producer, "alice", 0, WAIT_MS);
    assert_in_range(check(producer, "alice", 0).used, 20, 40);
    wait_for_used(producer, "alice", 20);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* What gateways of a crowd note. */
enum { CROWD_EXCESS_STEP, CROWD_CALLS_A_ROUND, CROWD_ARRIVED, CROWD_BEGUN, CROWD_EXCESS };

/* Tokens that a call uses beyond its reserve: seven in eight do. */
static int64_t excess_of(const struct stage *stage, int call)
{
    return (int64_t)atomic_load(&stage->truth->note[CROWD_EXCESS_STEP]) * (call % 8);
}

/* Waits until all gateways are here. */
static void meet(const struct stage *stage)
{
    _Atomic uint64_t *arrived = &stage->truth->note[CROWD_ARRIVED];
    uint64_t all = (atomic_fetch_add(arrived, 1) / GATEWAYS + 1) * GATEWAYS;

    while (atomic_load(arrived) < all)
        nap();
}

/* Begins what it can of the calls from first to before last, waits for the others, ends them all, and until all is counted. */
static void make_a_round(const struct stage *stage, tkr_producer *producer, int first, int last)
{
    tkr_call call[CALLS_EACH];
    int64_t used[CALLS_EACH];
    int64_t excess = 0;
    int open = 0;

    for (int i = first; i < last; i++) {
        int result = begin(producer, "crowd", RESERVE, &call[open]);
        if (result != TKR_OK && result != TKR_ELIMIT)
            exit(2);
        if (result != TKR_OK)
            continue;
        excess += excess_of(stage, i);
        used[open++] = RESERVE + excess_of(stage, i);
    }
    (void)atomic_fetch_add(&stage->truth->note[CROWD_BEGUN], (uint64_t)open);
    (void)atomic_fetch_add(&stage->truth->note[CROWD_EXCESS], (uint64_t)excess);
    meet(stage);
    while (open-- > 0)
        end(producer, call[open], used[open]);
    if (tkr_sync(producer, WAIT_MS) != TKR_OK)
        exit(3);
    meet(stage);
}

static int gateway_of_a_crowd(struct stage *stage, int number)
{
    const int calls = (int)atomic_load(&stage->truth->note[CROWD_CALLS_A_ROUND]);
    tkr_producer *producer = open_producer(stage, 0);

    (void)wait_for_verdict(producer, "crowd", 0, TKR_LIMIT_ALLOWED);
    meet(stage);
    for (int i = 0; i < CALLS_EACH; i += calls)
        make_a_round(stage, producer, number * CALLS_EACH + i, number * CALLS_EACH + i + calls);
    tkr_close(producer);
    return 0;
}

/*
 * A crowd of gateways that all make so many calls at once, wait until they have ended, and begin again, with an account that has
 * room for ROOM_FOR. Returns what is used in the end, when nothing is held.
 */
static int64_t let_a_crowd_call(struct stage *stage, uint64_t calls_a_round, uint64_t excess_step)
{
    _Atomic uint64_t *note = stage->truth->note;
    pid_t gateway[GATEWAYS];
    tkr_producer *producer;
    int64_t used;

    set_limit(stage, "crowd", 0, (int64_t)ROOM_FOR * RESERVE);
    atomic_store(&note[CROWD_CALLS_A_ROUND], calls_a_round);
    atomic_store(&note[CROWD_EXCESS_STEP], excess_step);
    stage_collector_start(stage, "2");
    for (int i = 0; i < GATEWAYS; i++)
        gateway[i] = stage_fork(stage, gateway_of_a_crowd, i);
    for (int i = 0; i < GATEWAYS; i++)
        assert_int_equal(stage_exit_code(gateway[i]), 0);
    used = (int64_t)(atomic_load(&note[CROWD_BEGUN]) * RESERVE + atomic_load(&note[CROWD_EXCESS]));
    producer = open_producer(stage, 0);
    (void)wait_for_verdict(producer, "crowd", RESERVE, used > (ROOM_FOR - 1) * RESERVE ? TKR_LIMIT_REFUSED : TKR_LIMIT_SOFT);
    wait_for_reserved(producer, "crowd", 0, WAIT_MS);
    wait_for_used(producer, "crowd", used);
    tkr_close(producer);
    stage_collector_end(stage, 0);
    return used;
}

static void test_crowd_of_reserving_calls_stays_within_the_limit(void **state)
{
    struct stage *stage = *state;
    int64_t used = let_a_crowd_call(stage, CALLS_EACH, 0);

    print_message("%d reserving calls from %d processes: %lld begun, room for %d\n", GATEWAYS * CALLS_EACH, GATEWAYS,
                  (long long)used / RESERVE, ROOM_FOR);
    assert_true(used <= (int64_t)ROOM_FOR * RESERVE && used > (int64_t)ROOM_FOR * RESERVE / 2);
}

/* Calls that were begun within the limit use more than they had reserved, which leaves less to those of the rounds that follow. */
static void test_crowd_that_reserves_too_little_exceeds_the_limit_by_no_more_than_it_reserved_too_little(void **state)
{
    const int64_t limit = (int64_t)ROOM_FOR * RESERVE;
    struct stage *stage = *state;
    int64_t used = let_a_crowd_call(stage, CALLS_EACH / 9, RESERVE / 10);
    int64_t excess = (int64_t)atomic_load(&stage->truth->note[CROWD_EXCESS]);
    uint64_t begun = atomic_load(&stage->truth->note[CROWD_BEGUN]);

    print_message("%d calls that reserve too little: %llu begun, limit %lld, used %lld, beyond it %lld, bound %lld\n",
                  GATEWAYS * CALLS_EACH, (unsigned long long)begun, (long long)limit, (long long)used, (long long)(used - limit),
                  (long long)excess);
    assert_true(begun < ROOM_FOR);
    assert_true(used <= limit + excess);
    assert_true(used > limit - RESERVE); /* the last round was refused */
}

static void gateway_that_is_killed(const struct stage *stage, unsigned number)
{
    tkr_producer *producer = open_producer(stage, 0);
    tkr_call call;

    (void)wait_for_verdict(producer, "dead", 0, TKR_LIMIT_ALLOWED);
    for (unsigned i = 0; i <= number; i++) {
        if (begin(producer, "dead", RESERVE, &call) != TKR_OK)
            exit(2);
    }
    (void)atomic_fetch_add(&stage->truth->note[0], 1);
    for (;;)
        (void)pause();
}

static void test_reserve_of_the_killed_is_given_back_while_the_living_keep_theirs(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    pid_t pid[4];
    int64_t left = (1 + 2 + 3 + 4) * RESERVE;

    set_limit(stage, "dead", 0, 1000 * RESERVE);
    stage_collector_start(stage, "1");
    for (unsigned i = 0; i < 4; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            gateway_that_is_killed(stage, i);
    }
    while (atomic_load(&stage->truth->note[0]) < 4)
        nap();
    producer = open_producer(stage, 0);
    (void)wait_for_verdict(producer, "dead", 0, TKR_LIMIT_ALLOWED);
    wait_for_reserved(producer, "dead", left, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(kill(pid[i], SIGKILL), 0);
        assert_int_equal(waitpid(pid[i], NULL, 0), pid[i]);
        left -= (int64_t)(i + 1) * RESERVE;
        wait_for_reserved(producer, "dead", left, 2000);
    }
    assert_int_equal(left, 0);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_open_calls_go_on_with_the_board_of_the_next_collector(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_call other;
    tkr_call call;

    producer = start_with_alice(stage, 0);
    assert_int_equal(begin(producer, "alice", 600, &call), TKR_OK);
    assert_int_equal(begin(producer, "alice", 200, &other), TKR_OK);
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, WAIT_MS), 0);
    end(producer, other, 100); /* counted by the next one */
    assert_int_equal(check(producer, "alice", 0).reserved, 700);
    stage_collector_start(stage, "1");
    wait_for_reserved(producer, "alice", 600, WAIT_MS);
    (void)wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED);
    wait_for_used(producer, "alice", 100);
    assert_int_equal(check(producer, "alice", 0).reserved, 600);
    assert_int_equal(begin(producer, "alice", 301, &other), TKR_ELIMIT);
    end(producer, call, 10);
    wait_for_reserved(producer, "alice", 0, WAIT_MS);
    wait_for_used(producer, "alice", 110);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* What stands in its way goes away; all else went on meanwhile. */
static void test_board_that_could_not_be_made_is_tried_again(void **state)
{
    const char *const health[] = {TEST_BIN_DIR "/tokenring", "health", NULL};
    struct stage *stage = *state;
    struct process process;
    tkr_producer *producer;
    char path[2 * STAGE_PATH_BYTES];

    set_limit(stage, "alice", 0, 1000);
    (void)snprintf(path, sizeof(path), "%s/board", stage->runtime);
    assert_int_equal(mkdir(path, 0700), 0);
    stage_collector_start(stage, "1");
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the board of limits cannot be made", WAIT_MS), 0);
    producer = open_producer(stage, 0);
    record(producer, "alice", 5); /* counting goes on */
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    assert_int_equal(process_run(&process, health, stage->env_list, WAIT_MS), 0);
    if (strstr(process_text(&process, PROCESS_STDOUT), "there is no board") == NULL)
        fail_msg("health: %s", process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "the board of limits is made", WAIT_MS), 0);
    (void)wait_for_verdict(producer, "alice", 0, TKR_LIMIT_ALLOWED);
    wait_for_used(producer, "alice", 5);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void test_collector_outlives_reservations_that_somebody_cuts(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    char path[2 * STAGE_PATH_BYTES];

    producer = start_with_alice(stage, 0);
    tkr_close(producer); /* it would not survive: limit/layout.h */
    (void)snprintf(path, sizeof(path), "%s/reservations", stage->runtime);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "somebody cut the file", WAIT_MS), 0);
    producer = open_producer(stage, 0);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    record(producer, "alice", 5); /* counting goes on */
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* --- a collector that is away, under load --- */

/* What gateways under load note: how many are at work, and what their calls used. */
enum { LOAD_GATEWAYS = 4, LOAD_STARTED = 0, LOAD_CALLS, LOAD_USED };

/* A gateway that makes honest calls and checks, some hundred a second, until it is told to stop and all is counted. */
static int gateway_under_load(struct stage *stage, int number)
{
    tkr_producer *producer = open_producer(stage, 0);
    int64_t used = 0;
    uint64_t calls = 0;
    tkr_call call;

    (void)wait_for_verdict(producer, "busy", 0, TKR_LIMIT_ALLOWED);
    (void)atomic_fetch_add(&stage->truth->note[LOAD_STARTED], 1);
    for (; !atomic_load(&stage->truth->stop); calls++) {
        int64_t tokens = 1 + (number + (int64_t)calls) % RESERVE;
        if (begin(producer, "busy", RESERVE, &call) != TKR_OK)
            return 2;
        nap();
        (void)check(producer, "busy", RESERVE);
        end(producer, call, tokens);
        used += tokens;
    }
    (void)atomic_fetch_add(&stage->truth->note[LOAD_CALLS], calls);
    (void)atomic_fetch_add(&stage->truth->note[LOAD_USED], (uint64_t)used);
    if (tkr_sync(producer, WAIT_MS) != TKR_OK)
        return 3;
    tkr_close(producer);
    return 0;
}

/*
 * Watches the verdict until so long after the collector went away: it is known until the stated age has passed since the last
 * look at the sink, and from then on unknown. Returns that age, in ms, when it was first unknown.
 */
static long watch_it_go(tkr_producer *producer, long away_ms)
{
    long end_ms = process_now_ms() + away_ms;
    long looked_ms = 0;
    long unknown_ms = 0;

    while (process_now_ms() < end_ms) {
        long before_ms = process_now_ms();
        tkr_limit limit = check(producer, "busy", RESERVE);
        if (limit.verdict == TKR_LIMIT_UNKNOWN && unknown_ms == 0)
            unknown_ms = process_now_ms();
        if (unknown_ms == 0)
            looked_ms = before_ms - (long)(limit.age_ns / 1000000);
        assert_int_equal(limit.verdict, unknown_ms == 0 ? TKR_LIMIT_ALLOWED : TKR_LIMIT_UNKNOWN);
        nap();
    }
    assert_true(unknown_ms > 0);
    return unknown_ms - looked_ms;
}

/* The collector is away for a minute, while gateways make calls that reserve: away and back are what happens to it. */
static void go_without_a_collector(struct stage *stage, void (*away)(struct stage *stage), void (*back)(struct stage *stage))
{
    const long away_ms = procfs_instrumented() ? STATED_AGE_MS + 2000 : 60000;
    pid_t gateway[LOAD_GATEWAYS];
    tkr_producer *producer;
    long unknown_ms;
    long back_ms;

    set_limit(stage, "busy", 0, INT64_C(1000000000));
    stage_collector_start(stage, "1");
    for (int i = 0; i < LOAD_GATEWAYS; i++)
        gateway[i] = stage_fork(stage, gateway_under_load, i);
    while (atomic_load(&stage->truth->note[LOAD_STARTED]) < LOAD_GATEWAYS)
        nap();
    producer = open_producer(stage, 0);
    (void)wait_for_verdict(producer, "busy", 0, TKR_LIMIT_ALLOWED);
    away(stage);
    unknown_ms = watch_it_go(producer, away_ms);
    back_ms = process_now_ms();
    back(stage);
    (void)wait_for_verdict(producer, "busy", 0, TKR_LIMIT_ALLOWED);
    back_ms = process_now_ms() - back_ms;
    print_message("away for %ld ms: unknown at an age of %ld ms, known again within %ld ms\n", away_ms, unknown_ms, back_ms);
    assert_true(unknown_ms >= STATED_AGE_MS - TICK_MS && unknown_ms <= STATED_AGE_MS + 1000);
    assert_true(back_ms < 5000);
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < LOAD_GATEWAYS; i++)
        assert_int_equal(stage_exit_code(gateway[i]), 0);
    wait_for_reserved(producer, "busy", 0, 1000);
    wait_for_used(producer, "busy", (int64_t)atomic_load(&stage->truth->note[LOAD_USED]));
    print_message("%llu calls went on, and came to %llu tokens\n",
                  (unsigned long long)atomic_load(&stage->truth->note[LOAD_CALLS]),
                  (unsigned long long)atomic_load(&stage->truth->note[LOAD_USED]));
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

static void stop_it(struct stage *stage)
{
    process_signal(&stage->collector, SIGSTOP);
}

static void continue_it(struct stage *stage)
{
    process_signal(&stage->collector, SIGCONT);
}

static void kill_it(struct stage *stage)
{
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, WAIT_MS), 0);
}

static void start_another(struct stage *stage)
{
    stage_collector_start(stage, "2");
}

static void test_limit_is_unknown_at_the_stated_age_while_the_collector_is_stopped_and_comes_back(void **state)
{
    go_without_a_collector(*state, stop_it, continue_it);
}

static void test_limit_is_unknown_at_the_stated_age_after_the_collector_died_and_comes_back(void **state)
{
    go_without_a_collector(*state, kill_it, start_another);
}

/* --- two hosts --- */

/* One honest call; false: refused. */
static bool make_call(tkr_producer *producer, const char *id)
{
    tkr_call call;
    int result = begin(producer, id, RESERVE, &call);

    if (result == TKR_ELIMIT)
        return false;
    assert_int_equal(result, TKR_OK);
    end(producer, call, RESERVE);
    return true;
}

/*
 * Two collectors, as on two hosts, and a gateway at each, that calls once a millisecond at most until it is refused for long.
 * What goes beyond the limit is bounded by what either did not know of yet: what the other had counted since the last look, whose
 * age is told, and flushed an interval later, and what was not counted yet.
 */
static void test_overshoot_of_two_hosts_is_within_its_bound(void **state)
{
    const int64_t limit = 1000 * RESERVE;
    const char *const argv[] = {COLLECTOR, NULL};
    struct stage *stage = *state;
    struct stage other = *stage;
    tkr_producer *producer[2];
    int64_t made = 0;
    int64_t unknown_ms = 0;
    int64_t bound;
    int refused = 0;

    set_limit(stage, "both", 0, limit);
    stage_collector_start(stage, "1");
    for (int i = 0; i < STAGE_ENV_MAX; i++)
        other.env_list[i] = stage->env_list[i] != NULL ? other.env[i] : NULL;
    (void)snprintf(other.runtime, sizeof(other.runtime), "%s/other", stage->dir);
    assert_int_equal(mkdir(other.runtime, 0700), 0);
    stage_env(&other, "TOKENRING_RUNTIME_DIR", other.runtime);
    memset(&other.collector, 0, sizeof(other.collector));
    assert_int_equal(process_start(&other.collector, argv, other.env_list), 0);
    producer[0] = open_producer(stage, 0);
    producer[1] = open_producer(&other, 0);
    (void)wait_for_verdict(producer[0], "both", 0, TKR_LIMIT_ALLOWED);
    (void)wait_for_verdict(producer[1], "both", 0, TKR_LIMIT_ALLOWED);
    while (refused < 300) {
        bool any = false;
        for (int i = 0; i < 2; i++) {
            int64_t age_ms = check(producer[i], "both", 0).age_ns / 1000000;
            unknown_ms = age_ms > unknown_ms ? age_ms : unknown_ms;
            if (make_call(producer[i], "both")) {
                any = true;
                made += RESERVE;
            }
        }
        refused = any ? 0 : refused + 1;
        process_sleep_ms(1);
    }
    bound =
        2 * RESERVE * (unknown_ms + 2 * 50 + 2 * 8); /* two flush intervals, since a pass may be under way; and two idle rounds */
    print_message("two hosts, limit %lld: used %lld, beyond it %lld, bound %lld (oldest look %lld ms)\n", (long long)limit,
                  (long long)made, (long long)(made - limit), (long long)bound, (long long)unknown_ms);
    assert_true(made >= limit - 2 * RESERVE && made <= limit + bound);
    tkr_close(producer[0]);
    tkr_close(producer[1]);
    process_end(&other.collector);
    stage_collector_end(stage, 0);
}

/* --- what others see of it --- */

/* What a command says on stdout; the caller frees it. */
static char *run(struct stage *stage, const char *const argv[])
{
    struct process process;
    char *text;

    assert_int_equal(process_run(&process, argv, stage->env_list, WAIT_MS), 0);
    if (process_exit_code(&process) != 0)
        fail_msg("%s", process_text(&process, PROCESS_STDERR));
    text = strdup(process_text(&process, PROCESS_STDOUT));
    process_end(&process);
    assert_non_null(text);
    return text;
}

static void expect(const char *text, const char *says)
{
    if (strstr(text, says) == NULL)
        fail_msg("\"%s\" expected: %s", says, text);
}

static void test_commands_show_what_gateways_see(void **state)
{
    const char *const watch[] = {TEST_BIN_DIR "/tokenring", "limit", "watch", "--once", "--json", NULL};
    const char *const text[] = {TEST_BIN_DIR "/tokenring", "limit", "watch", "--once", NULL};
    const char *const stat[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    struct stage *stage = *state;
    tkr_producer *producer;
    tkr_call call;
    char *said;

    set_limit(stage, "near", 0, 1000);
    set_limit(stage, "far", 0, 1000);
    stage_collector_start(stage, "1");
    producer = open_producer(stage, 0);
    record(producer, "near", 500);
    (void)wait_for_verdict(producer, "far", 0, TKR_LIMIT_ALLOWED);
    (void)wait_for_verdict(producer, "near", 0, TKR_LIMIT_ALLOWED);
    wait_for_used(producer, "near", 500);
    assert_int_equal(begin(producer, "near", 400, &call), TKR_OK);
    said = run(stage, watch);
    expect(said, "\"account\":\"near\",\"kind\":\"user\",\"cycle\":\"2026-11-01\",\"limit\":1000,\"used\":500,\"reserved\":400,"
                 "\"remaining\":100,\"age_ms\":");
    expect(said, "\"verdict\":\"soft\"");
    expect(said, "\"account\":\"far\"");
    free(said);
    said = run(stage, text);
    expect(said, "near");
    free(said);
    said = run(stage, stat);
    expect(said, "\"limits\":[{\"account\":\"near\"");
    assert_null(strstr(said, "\"account\":\"far\""));
    free(said);
    end(producer, call, 10);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

/* --- Redis away --- */

/* The age in ms that a command tells of an account, which it has to name. */
static int64_t told_age_ms(struct stage *stage, const char *const argv[], const char *id)
{
    char *said = run(stage, argv);
    char account[64];
    const char *at;
    int64_t age_ms;

    (void)snprintf(account, sizeof(account), "{\"account\":\"%s\"", id);
    expect(said, account);
    at = strstr(strstr(said, account), "\"age_ms\":");
    assert_non_null(at);
    age_ms = atoll(at + strlen("\"age_ms\":"));
    free(said);
    return age_ms;
}

/* What is known, held and counted here goes on; how old the rest is, gateways and commands are told. */
static void test_limits_go_on_and_tell_their_age_while_redis_is_away(void **state)
{
    const char *const watch[] = {TEST_BIN_DIR "/tokenring", "limit", "watch", "--once", "--json", NULL};
    const char *const stat[] = {TEST_BIN_DIR "/tokenring", "stat", "--json", NULL};
    const int64_t waited_ms = 1500;
    struct stage *stage = *state;
    tkr_producer *producer;
    int64_t age_ms;
    tkr_call call;
    tkr_call other;

    producer = start_with_alice(stage, 600000);
    redis_server_kill(&stage->server);
    age_ms = check(producer, "alice", 0).age_ns / 1000000;
    process_sleep_ms((int)waited_ms);
    assert_true(check(producer, "alice", 0).age_ns / 1000000 >= waited_ms - TICK_MS);
    assert_true(check(producer, "alice", 0).age_ns / 1000000 <= age_ms + waited_ms + 1000);
    record(producer, "alice", 500);
    assert_int_equal(check(producer, "alice", 0).used, 500);
    assert_int_equal(begin(producer, "alice", 400, &call), TKR_OK);
    assert_int_equal(check(producer, "alice", 0).reserved, 400);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_SOFT);
    assert_int_equal(begin(producer, "alice", 101, &other), TKR_ELIMIT);
    assert_true(told_age_ms(stage, watch, "alice") >= waited_ms);
    assert_true(told_age_ms(stage, stat, "alice") >= waited_ms);
    end(producer, call, 500);
    assert_int_equal(tkr_sync(producer, WAIT_MS), TKR_OK);
    wait_for_reserved(producer, "alice", 0, WAIT_MS);
    assert_int_equal(check(producer, "alice", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(redis_server_restart(&stage->server), 0);
    while (check(producer, "alice", 0).age_ns > 200000000)
        nap();
    assert_true(check(producer, "alice", 0).used >= 1000);
    tkr_close(producer);
    stage_collector_end(stage, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_verdict_follows_what_is_counted),
        IN_BOTH(test_account_without_limit_is_allowed),
        IN_BOTH(test_limit_is_unknown_while_no_collector_looks_and_comes_back),
        IN_BOTH(test_reserve_is_held_until_the_end_and_refused_beyond_the_limit),
        IN_BOTH(test_crowd_of_reserving_calls_stays_within_the_limit),
        IN_BOTH(test_crowd_that_reserves_too_little_exceeds_the_limit_by_no_more_than_it_reserved_too_little),
        IN_BOTH(test_reserve_of_the_killed_is_given_back_while_the_living_keep_theirs),
        {"test_overshoot_of_two_hosts_is_within_its_bound", test_overshoot_of_two_hosts_is_within_its_bound, stage_set_up_redis,
         stage_tear_down, NULL},
        IN_REDIS(test_limit_is_unknown_at_the_stated_age_while_the_collector_is_stopped_and_comes_back),
        IN_LEDGER(test_limit_is_unknown_at_the_stated_age_after_the_collector_died_and_comes_back),
        IN_LEDGER(test_board_that_could_not_be_made_is_tried_again),
        IN_BOTH(test_collector_outlives_reservations_that_somebody_cuts),
        IN_BOTH(test_commands_show_what_gateways_see),
        IN_REDIS(test_limits_go_on_and_tell_their_age_while_redis_is_away),
        IN_BOTH(test_open_calls_go_on_with_the_board_of_the_next_collector),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
