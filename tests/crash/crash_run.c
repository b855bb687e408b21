/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash_run [--broken NAME] POINT...: for each crash point, kills a process of the real system when it passes there, lets it go on, and
 * compares the ledger with what the gateways know. Exit status 0 if all is exact and the law holds, 1 if not.
 *
 *   a producer's point   the first of three gateways dies there
 *   a collector's point  the collector dies there, at the first or a later pass; a gateway is killed too, so that there are
 *                        open calls to settle; then a collector with another number of workers goes on
 *   a command's point    `tokenring` dies there, at work on what an ended collector has left in the ledger, and is run again; of a
 *                        restore, the ledger is lost before, and what a backup had of it is there after; of a repair, rows are
 *                        deleted before, and others are where a retirement leaves them
 *   a recovery's point   a collector is killed in the middle of a batch of many calls, the next one in its recovery; another
 *                        goes on
 *   a point of carrying  collectors of this version leave shards, one of them in the middle of a batch; one of a later version,
 *   over (CARR...)       with another layout and a counter more, is killed while it puts that back, the next while it takes
 *                        them over; another such goes on
 *
 * Where a point is one of holding tokens (HOLD_...) or of the board (BOARD_...), the law of reservations is looked at too: with the
 * other gateways' calls open, and again when they have ended, each account's reserved comes to what they hold, and what is left of
 * its limit is not refused.
 *
 * A call that a kill interrupted may count wholly, as the settled remainder of an open call, or not at all; all others must
 * count exactly once. Which it was must explain every account at once.
 *
 * With --broken, the collector does without a protection (base/crash.h), and the points must show that: exit status 0 if not all
 * is exact.
 */
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/crash.h"
#include "crash/calls.h"
#include "producer/limits.h"
#include "sink/sink.h"
#include "support/process.h"
#include "support/procfs.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define GATEWAYS 3
#define VICTIM 1     /* of the gateways, killed by us */
#define CALLS "1200" /* at least */
#define CALLS_OF_A_BATCH 300
#define DEADLINE_MS PROCESS_PATIENCE_MS
#define LIMIT_TOKENS INT64_C(1000000000) /* of each account: calls of a run do not come near it */
#define SWEEPS_MS 600                    /* the collector looks four times a second for what nobody holds */
#define BOARD_FOUND_MS 500               /* gateways look for a new board ten times a second */
#define KILLED (128 + SIGKILL)
#define PENDING_MAX (GATEWAYS * CRASH_THREADS)

enum side { PRODUCER, COLLECTOR, COMMAND };

static const struct point {
    const char *name;
    enum side side;
} points[] = {
#define TKR_CRASH_POINT(symbol, side, where) {#symbol, side},
#include "base/crash_points.def"
#undef TKR_CRASH_POINT
};

/* Points that are passed once in a process' life can be killed at once. */
static int passed_often(const struct point *point)
{
    static const char *const once[] = {"REGION_",       "SLOTS_ALLOCATED", "NAME_",         "SHARD_",     "RECOVERY_BEGUN",
                                       "RECOVERY_DONE", "LANE_ALLOCATED",  "LANE_GEOMETRY", "LANE_ADDED", "SETTLE",
                                       "FOLDED",        "LANES_WIPED",     "CURSOR_FREED",  "FORG",       "LEDGER_FOLDED",
                                       "RETIRE_",       "RESET_",          "ERASE_",        "BOARD_",     "BACKUP_",
                                       "RESTORE_",      "REPAIR_",         "HOLD_CLEARED"};

    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++) {
        if (strncmp(point->name, once[i], strlen(once[i])) == 0)
            return 0;
    }
    return 1;
}

/* Entries are forgotten when nobody adds to them any more. */
static int passed_in_peace(const struct point *point)
{
    return strncmp(point->name, "FORG", strlen("FORG")) == 0 || strcmp(point->name, "LEDGER_FOLDED") == 0;
}

/* What an account has, or what a call adds: prompt, completion, total, estimated, calls, errors. */
enum { PROMPT, COMPLETION, TOTAL, ESTIMATED, CALLS_MADE, ERRORS, FIGURES };
struct figures {
    int64_t of[FIGURES];
};

/* One run of the system in directories of its own. */
struct run {
    const struct point *point;
    char runtime[TEMPDIR_BYTES];
    char state[TEMPDIR_BYTES];
    char env_runtime[96];
    char env_ledger[128];
    char env_crash[96];
    char env_broken[96];
    char env_board[48];
    char elsewhere[96];
    char file[96]; /* a backup */
    bool reset;    /* user 0 */
    char truth_path[GATEWAYS][96];
    struct crash_truth *truth[GATEWAYS];
    struct process gateway[GATEWAYS];
    struct process collector;
    int pass;
    unsigned board_accounts; /* few: boards are made often */
    const char *daemon;      /* of the version that is at work */
    const char *command;
    char what[128];
    tkr_producer *watcher; /* our own, while we look at reservations */
    int broken;            /* without a protection: the totals have to show it */
};

static int fail(struct run *run, const char *why)
{
    (void)fprintf(stderr, "%s: %s\n%s", run->what, why, process_text(&run->collector, PROCESS_STDERR));
    for (int g = 0; g < GATEWAYS; g++)
        (void)fputs(process_text(&run->gateway[g], PROCESS_STDERR), stderr);
    return -1;
}

/* --- the system --- */

static int start_gateway(struct run *run, int g, const char *crash)
{
    char number[8];
    const char *argv[] = {TEST_BIN_DIR "/../tests/crash_gateway", run->truth_path[g], number, CALLS, NULL};
    const char *env[] = {run->env_runtime, crash, NULL};

    (void)snprintf(number, sizeof(number), "%d", g);
    return process_start(&run->gateway[g], argv, env);
}

static bool is_repair(const struct run *run)
{
    return strncmp(run->point->name, "REPAIR_", strlen("REPAIR_")) == 0;
}

static int start_collector(struct run *run, const char *workers, const char *crash)
{
    const char *argv[] = {run->daemon, NULL};
    const char *env[] = {run->env_runtime,
                         run->env_ledger,
                         "TOKENRING_SINK=sqlite",
                         "TOKENRING_FLUSH_INTERVAL_MS=10",
                         is_repair(run) ? "TOKENRING_FORGET_AFTER_S=0" : "TOKENRING_FORGET_AFTER_S=1",
                         run->env_board,
                         workers,
                         run->env_broken,
                         crash,
                         NULL};

    (void)snprintf(run->env_board, sizeof(run->env_board), "TOKENRING_BOARD_ACCOUNTS=%u", run->board_accounts);
    process_end(&run->collector);
    return process_start(&run->collector, argv, env);
}

static int make_truth(struct run *run, int g)
{
    int fd;

    (void)snprintf(run->truth_path[g], sizeof(run->truth_path[g]), "%s/truth-%d", run->state, g);
    fd = open(run->truth_path[g], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct crash_truth)) != 0)
        return -1;
    run->truth[g] = mmap(NULL, sizeof(struct crash_truth), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    return run->truth[g] == MAP_FAILED ? -1 : 0;
}

static int prepare(struct run *run)
{
    if (tempdir_make(run->runtime) != 0 || tempdir_make(run->state) != 0)
        return -1;
    (void)snprintf(run->env_runtime, sizeof(run->env_runtime), "TOKENRING_RUNTIME_DIR=%s", run->runtime);
    (void)snprintf(run->env_ledger, sizeof(run->env_ledger), "TOKENRING_LEDGER=%s/ledger.db", run->state);
    for (int g = 0; g < GATEWAYS; g++) {
        if (make_truth(run, g) != 0)
            return -1;
    }
    return 0;
}

static void clean_up(struct run *run)
{
    tkr_close(run->watcher);
    process_end(&run->collector);
    for (int g = 0; g < GATEWAYS; g++) {
        process_end(&run->gateway[g]);
        if (run->truth[g] != NULL && run->truth[g] != MAP_FAILED)
            (void)munmap(run->truth[g], sizeof(struct crash_truth));
    }
    tempdir_remove(run->runtime);
    tempdir_remove(run->state);
}

static int wait_killed(struct run *run, struct process *process)
{
    if (process_wait(process, DEADLINE_MS) != 0 || process_exit_code(process) != KILLED)
        return fail(run, "did not pass the point");
    return 0;
}

/* Waits until somebody has made some more calls. */
static int wait_calls(struct run *run, int g)
{
    long until = process_now_ms() + DEADLINE_MS;
    uint64_t calls = atomic_load(&run->truth[g]->finished[0]) + CALLS_OF_A_BATCH;

    while (atomic_load(&run->truth[g]->finished[0]) < calls) {
        if (process_now_ms() > until || !process_running(&run->gateway[g]))
            return fail(run, "a gateway does not make its calls");
        process_sleep_ms(1);
    }
    return 0;
}

/* --- the law, as others see it --- */

/* One number of the host's part of `tokenring stat --json`; -1 when it is not there. */
static json_int_t host_number(const json_t *stat, const char *key)
{
    const json_t *number = json_object_get(json_object_get(stat, "host"), key);

    return json_is_integer(number) ? json_integer_value(number) : -1;
}

/* The law, with all regions gone and nothing open. 1: so it is; 0: not yet; -1: it is broken. */
static int look_at_law(struct run *run)
{
    const char *argv[] = {run->command, "stat", "--json", NULL};
    const char *env[] = {run->env_runtime, NULL};
    struct process stat;
    json_t *answer;
    int settled = -1;

    if (process_run(&stat, argv, env, DEADLINE_MS) != 0)
        return fail(run, "tokenring stat does not end");
    answer = json_loads(process_text(&stat, PROCESS_STDOUT), 0, NULL);
    if (process_exit_code(&stat) == 0 && answer != NULL)
        settled = host_number(answer, "in_lanes") == 0 && host_number(answer, "open_calls") == 0 &&
                  json_array_size(json_object_get(answer, "regions")) == 0;
    if (settled < 0)
        (void)fprintf(stderr, "stat: %s%s\n", process_text(&stat, PROCESS_STDOUT), process_text(&stat, PROCESS_STDERR));
    json_decref(answer);
    process_end(&stat);
    return settled < 0 ? fail(run, "the law does not hold") : settled;
}

/* Whatever the collector was at when it died, and though nobody has repaired it: the law can be read, and holds. */
static int look_at_the_dead(struct run *run)
{
    return run->broken || look_at_law(run) >= 0 ? 0 : -1;
}

static tkr_sink *open_ledger(struct run *run)
{
    static struct tkr_sink_config config;
    tkr_message message = {""};
    tkr_sink *sink = NULL;

    config.kind = TKR_SINK_SQLITE;
    (void)snprintf(config.ledger, sizeof(config.ledger), "%s/ledger.db", run->state);
    if (tkr_sink_open(&config, &sink, &message) != 0)
        (void)fail(run, message.text);
    return sink;
}

/* --- the law of reservations --- */

/* What is asked for one of CRASH_ACCOUNTS; id has room for it. */
static tkr_start start_of(int a, char id[16])
{
    tkr_start start = TKR_START_INIT;

    start.account_count = 1;
    start.cycle = CRASH_CYCLE;
    start.account[0].kind = a < CRASH_USERS ? TKR_KIND_USER : TKR_KIND_TEAM;
    start.account[0].id = id;
    start.account[0].len =
        (uint32_t)(a < CRASH_USERS ? snprintf(id, 16, "user-%02d", a) : snprintf(id, 16, "team-%d", a - CRASH_USERS));
    return start;
}

static tkr_limit check(struct run *run, int a)
{
    tkr_limit limit = TKR_LIMIT_INIT;
    char id[16];
    tkr_start start = start_of(a, id);

    if (tkr_limit_check(run->watcher, &start.account[0], CRASH_CYCLE, 0, &limit) != TKR_OK)
        limit.verdict = TKR_LIMIT_UNKNOWN;
    return limit;
}

/* Before there is a collector. */
static int set_limits(struct run *run)
{
    tkr_sink *sink = open_ledger(run);
    tkr_message message = {""};
    int result = sink == NULL ? -1 : 0;

    for (int a = 0; a < CRASH_ACCOUNTS && result == 0; a++) {
        char id[16];
        tkr_start start = start_of(a, id);
        struct tkr_usage_row row = {.kind = start.account[0].kind, .id = id, .id_len = start.account[0].len};
        result = sink->ops->limit_set(sink, &row, LIMIT_TOKENS, &message);
    }
    if (sink != NULL)
        sink->ops->close(sink);
    return result == 0 ? 0 : fail(run, message.text);
}

/* Asks for all accounts, with a producer of our own, until the board has them, and until gateways have found the board: from then
 * on it holds what calls reserve. */
static int watch_accounts(struct run *run)
{
    tkr_options options = TKR_OPTIONS_INIT;
    long until = process_now_ms() + DEADLINE_MS;

    options.runtime_dir = run->runtime;
    if (run->watcher == NULL && tkr_open(&options, &run->watcher) != TKR_OK)
        return fail(run, "cannot open a producer");
    for (int a = 0; a < CRASH_ACCOUNTS; a++) {
        while (check(run, a).verdict == TKR_LIMIT_UNKNOWN) {
            if (process_now_ms() > until)
                return fail(run, "an account's limit stays unknown");
            process_sleep_ms(1);
        }
    }
    process_sleep_ms(BOARD_FOUND_MS);
    return 0;
}

/* Gives a gateway an order; of those that ask for it, waits until it is done. */
static int tell(struct run *run, int g, enum crash_order order)
{
    long until = process_now_ms() + DEADLINE_MS;

    atomic_store(&run->truth[g]->order, order);
    for (int t = 0; t < CRASH_THREADS && order != CRASH_GO_ON; t++) {
        while (atomic_load(&run->truth[g]->obeyed[t]) != order) {
            if (process_now_ms() > until || !process_running(&run->gateway[g]))
                return fail(run, "a gateway does not do as it is told");
            process_sleep_ms(1);
        }
    }
    return 0;
}

static void add_reserve(int64_t held[CRASH_ACCOUNTS], const struct crash_call *call)
{
    held[call->user] += call->reserve;
    if (call->team >= 0)
        held[CRASH_USERS + call->team] += call->reserve;
}

/* What the open calls of those hold that have been told to keep them open. */
static void sum_held(const struct run *run, int64_t held[CRASH_ACCOUNTS])
{
    for (uint32_t g = 0; g < GATEWAYS; g++) {
        for (uint32_t t = 0; t < CRASH_THREADS && atomic_load(&run->truth[g]->order) == CRASH_HOLD; t++) {
            for (uint64_t i = atomic_load(&run->truth[g]->finished[t]); i < atomic_load(&run->truth[g]->begun[t]); i++) {
                struct crash_call call = crash_call_make(g, t, i);
                add_reserve(held, &call);
            }
        }
    }
}

/* When it must have come to what the living hold, after something that happened now. */
static long settled_ms(void)
{
    return process_now_ms() + DEADLINE_MS; /* what has ended is held until it is counted: sanitizers, and load, slow that down */
}

/* By until_ms each account's reserved is what the living hold. */
static int look_at_reserved(struct run *run, long until_ms)
{
    int64_t held[CRASH_ACCOUNTS] = {0};

    sum_held(run, held);
    for (int a = 0; a < CRASH_ACCOUNTS; a++) {
        int64_t reserved;
        while ((reserved = check(run, a).reserved) != held[a]) {
            if (process_now_ms() > until_ms) {
                (void)fprintf(stderr, "account %d: reserved %lld, held %lld\n", a, (long long)reserved, (long long)held[a]);
                return fail(run, "what is reserved is not what the living hold");
            }
            process_sleep_ms(1);
        }
    }
    return 0;
}

/* All that a limit leaves can be held. Only what was counted since we looked, of the dead, excuses a refusal. */
static int look_at_room(struct run *run, int a)
{
    struct tkr_limits_held held = {0};
    char id[16];
    tkr_start start = start_of(a, id);
    tkr_limit limit;
    int result;

    do {
        limit = check(run, a);
        start.reserve = limit.remaining;
        result = tkr_limits_reserve(run->watcher, &start, &held);
    } while (result == TKR_ELIMIT && check(run, a).used > limit.used);
    if (result != TKR_OK || held.slot == 0 || limit.remaining != LIMIT_TOKENS - limit.used)
        return fail(run, "an account that has room is refused");
    tkr_limits_release(run->watcher, &held);
    return 0;
}

/*
 * Two gateways live, of which one may keep calls open already: both do, then end them, then go on. What they hold is what is
 * reserved, by until_ms and for some sweeps of the collector's from then on.
 */
static int look_at_reservations(struct run *run, int one, int other, long until_ms)
{
    if (tell(run, one, CRASH_HOLD) != 0 || tell(run, other, CRASH_HOLD) != 0 || look_at_reserved(run, until_ms) != 0)
        return -1;
    process_sleep_ms(SWEEPS_MS);
    if (look_at_reserved(run, 0) != 0)
        return -1;
    if (tell(run, one, CRASH_REST) != 0 || tell(run, other, CRASH_REST) != 0 || look_at_reserved(run, settled_ms()) != 0)
        return -1;
    for (int a = 0; a < CRASH_ACCOUNTS; a++) {
        if (look_at_room(run, a) != 0)
            return -1;
    }
    tkr_close(run->watcher);
    run->watcher = NULL;
    return tell(run, one, CRASH_GO_ON) != 0 || tell(run, other, CRASH_GO_ON) != 0 ? -1 : 0;
}

/* --- the ways to die --- */

static int crash_producer(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=1", NULL) != 0 || start_gateway(run, 0, run->env_crash) != 0 ||
        start_gateway(run, 1, NULL) != 0 || start_gateway(run, 2, NULL) != 0)
        return fail(run, "cannot start");
    return wait_killed(run, &run->gateway[0]);
}

static int start_gateways(struct run *run)
{
    for (int g = 0; g < GATEWAYS; g++) {
        if (start_gateway(run, g, NULL) != 0)
            return fail(run, "cannot start a gateway");
    }
    return wait_calls(run, VICTIM);
}

static void tell_enough(struct run *run)
{
    for (int g = 0; g < GATEWAYS; g++)
        atomic_store(&run->truth[g]->enough, 1);
}

/* One of the others keeps calls open while the first dies, the last makes them. */
static int crash_holder(struct run *run)
{
    if (set_limits(run) != 0 || start_collector(run, "TOKENRING_WORKERS=1", NULL) != 0 || start_gateway(run, 1, NULL) != 0 ||
        start_gateway(run, 2, NULL) != 0)
        return fail(run, "cannot start");
    if (watch_accounts(run) != 0 || tell(run, 1, CRASH_HOLD) != 0)
        return -1;
    if (start_gateway(run, 0, run->env_crash) != 0 || wait_killed(run, &run->gateway[0]) != 0)
        return -1;
    return look_at_reservations(run, 1, 2, settled_ms());
}

static int crash_collector(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=2", run->env_crash) != 0)
        return fail(run, "cannot start");
    if (start_gateways(run) != 0)
        return -1;
    process_signal(&run->gateway[VICTIM], SIGKILL);
    if (passed_in_peace(run->point))
        tell_enough(run);
    if (wait_killed(run, &run->collector) != 0 || look_at_the_dead(run) != 0)
        return -1;
    return start_collector(run, "TOKENRING_WORKERS=1", NULL);
}

/* A collector, and gateways, of which the victim may die by itself. */
static int start_gateways_of(struct run *run, const char *workers, const char *crash, const char *victim_crash)
{
    if (start_collector(run, workers, crash) != 0)
        return fail(run, "cannot start");
    for (int g = 0; g < GATEWAYS; g++) {
        if (start_gateway(run, g, g == VICTIM ? victim_crash : NULL) != 0)
            return fail(run, "cannot start a gateway");
    }
    return 0;
}

/* The next collector: once it collects, what the one before said of limits is not known, however fresh it was. */
static int go_on_collecting(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=1", NULL) != 0 ||
        process_wait_text(&run->collector, PROCESS_STDERR, "collecting in", DEADLINE_MS) != 0)
        return fail(run, "cannot start");
    return 0;
}

/* A collector dies there, and another one goes on. */
static int crash_making_board(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=1", run->env_crash) != 0 || wait_killed(run, &run->collector) != 0)
        return fail(run, "cannot make a board");
    return look_at_the_dead(run) != 0 ? -1 : go_on_collecting(run);
}

/*
 * The first board is made, and then one of another size that takes the place of the first: limits are not known before the calls
 * have ended that hold on that one.
 */
static int crash_board(struct run *run)
{
    if (set_limits(run) != 0 || start_gateways(run) != 0 || crash_making_board(run) != 0 || watch_accounts(run) != 0 ||
        tell(run, 0, CRASH_HOLD) != 0)
        return -1;
    process_signal(&run->collector, SIGKILL);
    process_signal(&run->gateway[VICTIM], SIGKILL);
    run->board_accounts *= 2;
    if (crash_making_board(run) != 0)
        return -1;
    process_sleep_ms(SWEEPS_MS);
    for (int a = 0; a < CRASH_ACCOUNTS; a++) {
        if (check(run, a).verdict != TKR_LIMIT_UNKNOWN)
            return fail(run, "a limit is known while calls hold on the board before");
    }
    if (tell(run, 0, CRASH_REST) != 0 || tell(run, 0, CRASH_GO_ON) != 0 || watch_accounts(run) != 0)
        return -1;
    return look_at_reservations(run, 0, 2, settled_ms());
}

/* The second collector dies while it takes the board of the first over; the third has what calls hold on it. */
static int crash_taking_over(struct run *run)
{
    if (set_limits(run) != 0 || start_gateways_of(run, "TOKENRING_WORKERS=1", NULL, NULL) != 0 || watch_accounts(run) != 0 ||
        tell(run, 0, CRASH_HOLD) != 0)
        return -1;
    process_signal(&run->collector, SIGKILL);
    process_signal(&run->gateway[VICTIM], SIGKILL);
    if (crash_making_board(run) != 0 || watch_accounts(run) != 0)
        return -1;
    return look_at_reservations(run, 0, 2, settled_ms());
}

/* A collector dies while it takes off what calls held that have ended, or a gateway that it has seen die; the next one mends it.
 * */
static int crash_releasing(struct run *run)
{
    bool of_the_dead = strcmp(run->point->name, "HOLD_CLEARED") == 0;

    if (set_limits(run) != 0 ||
        start_gateways_of(run, "TOKENRING_WORKERS=1", run->env_crash, of_the_dead ? "TOKENRING_CRASH=HOLD_HELD" : NULL) != 0)
        return -1;
    if (wait_killed(run, &run->collector) != 0 || look_at_the_dead(run) != 0)
        return -1;
    process_signal(&run->gateway[VICTIM], SIGKILL);
    if (go_on_collecting(run) != 0 || watch_accounts(run) != 0)
        return -1;
    return look_at_reservations(run, 0, 2, settled_ms());
}

/*
 * The first collector makes entries. What comes into being without one is a batch of the second, of many calls on those entries,
 * of whichever gateway it finds first.
 */
static int crash_recovery(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=1", "TOKENRING_CRASH=KNOWN_NOTED:20") != 0)
        return fail(run, "cannot start");
    if (start_gateways(run) != 0 || wait_killed(run, &run->collector) != 0)
        return -1;
    for (int g = 0; g < GATEWAYS; g++) {
        if (wait_calls(run, g) != 0)
            return -1;
    }
    process_signal(&run->gateway[VICTIM], SIGKILL);
    if (start_collector(run, "TOKENRING_WORKERS=1", "TOKENRING_CRASH=CURSOR_MOVED") != 0 ||
        wait_killed(run, &run->collector) != 0)
        return fail(run, "no batch is cut");
    if (start_collector(run, "TOKENRING_WORKERS=1", run->env_crash) != 0 || wait_killed(run, &run->collector) != 0)
        return fail(run, "cannot recover");
    if (look_at_the_dead(run) != 0)
        return -1;
    return start_collector(run, "TOKENRING_WORKERS=2", NULL);
}

/* Of three shards the first or the last is being carried over at the kill, and one has an unfinished batch. */
static int crash_carrying(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=3", "TOKENRING_CRASH=KNOWN_NOTED:20") != 0)
        return fail(run, "cannot start");
    if (start_gateways(run) != 0 || wait_killed(run, &run->collector) != 0)
        return -1;
    process_signal(&run->gateway[VICTIM], SIGKILL);
    if (start_collector(run, "TOKENRING_WORKERS=3", "TOKENRING_CRASH=CURSOR_MOVED") != 0 ||
        wait_killed(run, &run->collector) != 0)
        return fail(run, "no batch is cut");
    run->daemon = TEST_BIN_DIR "/../tests/tokenringd_major";
    run->command = TEST_BIN_DIR "/../tests/tokenring_major";
    /* May carry over what comes before: so not where the third is to be passed. */
    if (run->pass == 1 && (start_collector(run, "TOKENRING_WORKERS=3", "TOKENRING_CRASH=RECOVERY_HALF") != 0 ||
                           wait_killed(run, &run->collector) != 0))
        return fail(run, "puts no batch back");
    if (start_collector(run, "TOKENRING_WORKERS=3", run->env_crash) != 0 || wait_killed(run, &run->collector) != 0)
        return fail(run, "cannot carry over");
    if (start_collector(run, "TOKENRING_WORKERS=2", NULL) != 0 ||
        process_wait_text(&run->collector, PROCESS_STDERR, "collecting in", DEADLINE_MS) != 0)
        return fail(run, "cannot carry over once more"); /* until then only the version before could read the shards */
    return 0;
}

/* What the command works on: a collector that has counted it all and ended. */
static int prepare_command(struct run *run)
{
    if (start_collector(run, "TOKENRING_WORKERS=2", NULL) != 0)
        return fail(run, "cannot start");
    return start_gateways(run);
}

/* The collector's name, of the sources in the ledger. */
static int take_name(const char *source, uint64_t seen, void *argument)
{
    (void)seen;
    (void)snprintf(argument, 17, "%s", source);
    return 1;
}

static bool is_forget(const struct run *run)
{
    return strncmp(run->point->name, "ERASE_", strlen("ERASE_")) == 0;
}

/* Does user 0 begin from zero? */
static bool is_reset(const struct run *run)
{
    return is_forget(run) || strncmp(run->point->name, "RESET_", strlen("RESET_")) == 0;
}

static bool is_restore(const struct run *run)
{
    return strncmp(run->point->name, "RESTORE_", strlen("RESTORE_")) == 0;
}

static bool is_backup(const struct run *run)
{
    return strncmp(run->point->name, "BACKUP_", strlen("BACKUP_")) == 0;
}

/* Runs the command on the ledger. Returns its exit status. */
static int run_argv(struct run *run, const char *const argv[], const char *crash)
{
    const char *env[] = {run->env_ledger, "TOKENRING_SINK=sqlite", crash, NULL};
    struct process process;
    int status;

    if (process_run(&process, argv, env, DEADLINE_MS) != 0)
        return fail(run, "the command does not end");
    status = process_exit_code(&process);
    if (status != 0 && status != KILLED)
        (void)fputs(process_text(&process, PROCESS_STDERR), stderr);
    process_end(&process);
    return status;
}

static int run_backup(struct run *run, const char *crash)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "backup", run->file, NULL};

    return run_argv(run, argv, crash);
}

/* User 0 is reset or forgotten, or gc as on another host, where the collector's memory is not; or a backup or its restore. */
static int run_command(struct run *run, const char *name, const char *crash)
{
    const char *gc[] = {TEST_BIN_DIR "/tokenring", "gc", name, "--wait", "1", "--runtime-dir", run->elsewhere, NULL};
    const char *reset[] = {TEST_BIN_DIR "/tokenring", "reset", "user-00", "--cycle", "all", "--yes", NULL};
    const char *forget[] = {TEST_BIN_DIR "/tokenring", "forget", "user-00", "--yes", NULL};
    const char *restore[] = {TEST_BIN_DIR "/tokenring", "restore", run->file, NULL};
    const char *repair[] = {TEST_BIN_DIR "/tokenring", "verify", "--repair", "--runtime-dir", run->runtime, NULL};

    (void)snprintf(run->elsewhere, sizeof(run->elsewhere), "%s/elsewhere", run->state);
    if (is_backup(run))
        return run_backup(run, crash);
    if (is_restore(run))
        return run_argv(run, restore, crash);
    if (is_repair(run))
        return run_argv(run, repair, crash);
    return run_argv(run, is_forget(run) ? forget : is_reset(run) ? reset : gc, crash);
}

/* Of which there is a backup. */
static int lose_ledger(struct run *run)
{
    const char *path = strchr(run->env_ledger, '=') + 1;
    char beside[160];

    if (run_backup(run, NULL) != 0)
        return fail(run, "there is no backup");
    for (int i = 0; i < 3; i++) {
        (void)snprintf(beside, sizeof(beside), "%s%s", path, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
        (void)unlink(beside); /* of the last two there may be none */
    }
    return access(path, F_OK) != 0 ? 0 : fail(run, "the ledger is still there");
}

/* Half of the users and the models lose a row, and with it its share of the total; of the others one lives on in the base row. */
static int lose_records(struct run *run)
{
    static const char sql[] =
        "BEGIN IMMEDIATE;"
        "DELETE FROM contribution WHERE source<>'' AND account<'user-20' AND kind='user';"
        "DELETE FROM model_contribution WHERE source<>'' AND account='team-0';"
        "DELETE FROM contribution WHERE source='' AND account>='user-20' AND kind='user';"
        "UPDATE contribution SET source='', life=0 WHERE account>='user-20' AND kind='user'"
        " AND (account, source) IN (SELECT account, min(source) FROM contribution WHERE kind='user' GROUP BY account);"
        "COMMIT";
    const char *path = strchr(run->env_ledger, '=') + 1;
    sqlite3 *db = NULL;
    int done = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

    if (done == SQLITE_OK)
        done = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (done != SQLITE_OK)
        (void)fail(run, sqlite3_errmsg(db));
    (void)sqlite3_close_v2(db);
    return done == SQLITE_OK ? 0 : -1;
}

/* Lets everybody finish, the collector last. */
static int finish(struct run *run)
{
    tell_enough(run);
    for (int g = 0; g < GATEWAYS; g++) {
        if (process_wait(&run->gateway[g], DEADLINE_MS) != 0)
            return fail(run, "a gateway does not end");
        if (process_exit_code(&run->gateway[g]) != 0 && process_exit_code(&run->gateway[g]) != KILLED)
            return fail(run, "a gateway failed");
    }
    return 0;
}

/* --- what must have come of it --- */

/* How a call that was interrupted may count. */
enum outcome { NOT_AT_ALL, WHOLLY, SETTLED_UNSTREAMED, SETTLED, OUTCOMES };

static void add_call(struct figures account[CRASH_ACCOUNTS], const struct crash_call *call, enum outcome outcome)
{
    int64_t completion = outcome == WHOLLY ? call->completion : outcome == SETTLED ? call->completion / 2 : 0;
    int settled = outcome == SETTLED || outcome == SETTLED_UNSTREAMED;
    struct figures more = {
        {call->prompt, completion, call->prompt + completion, settled ? call->prompt + completion : 0, 1, settled}};
    int charged[2] = {(int)call->user, call->team < 0 ? -1 : CRASH_USERS + call->team};

    for (int c = 0; c < 2 && outcome != NOT_AT_ALL; c++) {
        for (int f = 0; charged[c] >= 0 && f < FIGURES; f++)
            account[charged[c]].of[f] += more.of[f];
    }
}

static void sum_finished(const struct run *run, struct figures account[CRASH_ACCOUNTS], struct crash_call pending[],
                         int *ret_pending)
{
    *ret_pending = 0;
    for (uint32_t g = 0; g < GATEWAYS; g++) {
        for (uint32_t t = 0; t < CRASH_THREADS; t++) {
            uint64_t finished = atomic_load(&run->truth[g]->finished[t]);
            for (uint64_t i = 0; i < finished; i++) {
                struct crash_call call = crash_call_make(g, t, i);
                add_call(account, &call, WHOLLY);
            }
            if (atomic_load(&run->truth[g]->begun[t]) > finished)
                pending[(*ret_pending)++] = crash_call_make(g, t, finished);
        }
    }
}

/* Is there a way for the interrupted calls from number n on that explains every account? */
static int explains(const struct figures expected[CRASH_ACCOUNTS], const struct figures found[CRASH_ACCOUNTS],
                    const struct crash_call pending[], int n, int count)
{
    if (n == count)
        return memcmp(expected, found, CRASH_ACCOUNTS * sizeof(*found)) == 0;
    for (enum outcome outcome = NOT_AT_ALL; outcome < OUTCOMES; outcome++) {
        struct figures with[CRASH_ACCOUNTS];
        if (pending[n].one_shot && outcome > WHOLLY)
            break;
        memcpy(with, expected, sizeof(with));
        add_call(with, &pending[n], outcome);
        if (explains(with, found, pending, n + 1, count))
            return 1;
    }
    return 0;
}

/* Calls of teams all tell a model: the models of a team come to the team. */
static int check_models(struct run *run)
{
    static const char question[] =
        "SELECT count(*) FROM usage u LEFT JOIN (SELECT kind, account, cycle, sum(prompt_tokens) p, sum(completion_tokens) c,"
        " sum(total_tokens) t, sum(calls) n FROM usage_by_model GROUP BY kind, account, cycle)"
        " USING (kind, account, cycle) WHERE kind='team' AND (p, c, t, n) IS NOT"
        " (prompt_tokens, completion_tokens, total_tokens, calls)";
    const char *path = strchr(run->env_ledger, '=') + 1;
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    int wrong = -1;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(db, question, -1, &row, NULL) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        wrong = sqlite3_column_int(row, 0);
    (void)sqlite3_finalize(row);
    if (wrong != 0)
        (void)fail(run, wrong < 0 ? sqlite3_errmsg(db) : "the models of a team are not what the team has");
    (void)sqlite3_close_v2(db);
    return wrong == 0 ? 0 : -1;
}

/* Asks the view that is promised to people, whichever version keeps the ledger. */
static int read_ledger(struct run *run, struct figures found[CRASH_ACCOUNTS])
{
    static const char question[] =
        "SELECT account, prompt_tokens, completion_tokens, total_tokens, estimated_tokens, calls, errors"
        " FROM usage";
    const char *path = strchr(run->env_ledger, '=') + 1;
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    int answer = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);

    if (answer == SQLITE_OK)
        answer = sqlite3_prepare_v2(db, question, -1, &row, NULL);
    while (answer == SQLITE_OK && (answer = sqlite3_step(row)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(row, 0);
        int number = atoi(id + strlen("user-"));
        struct figures *account = &found[id[0] == 'u' ? number : CRASH_USERS + number];
        for (int f = 0; f < FIGURES; f++)
            account->of[f] = sqlite3_column_int64(row, f + 1);
        answer = SQLITE_OK;
    }
    (void)sqlite3_finalize(row);
    if (answer != SQLITE_DONE)
        (void)fail(run, sqlite3_errmsg(db));
    (void)sqlite3_close_v2(db);
    return answer == SQLITE_DONE ? 0 : -1;
}

static int check_ledger(struct run *run)
{
    struct figures expected[CRASH_ACCOUNTS] = {{{0}}};
    struct figures found[CRASH_ACCOUNTS] = {{{0}}};
    struct crash_call pending[PENDING_MAX];
    int count;

    sum_finished(run, expected, pending, &count);
    if (run->reset)
        memset(&expected[0], 0, sizeof(expected[0]));
    if (read_ledger(run, found) != 0)
        return -1;
    if (explains(expected, found, pending, 0, count))
        return check_models(run);
    for (int a = 0; a < CRASH_ACCOUNTS; a++) {
        if (memcmp(&expected[a], &found[a], sizeof(*found)) != 0)
            (void)fprintf(stderr, "account %d: calls %lld, known %lld; total %lld, known %lld\n", a,
                          (long long)found[a].of[CALLS_MADE], (long long)expected[a].of[CALLS_MADE],
                          (long long)found[a].of[TOTAL], (long long)expected[a].of[TOTAL]);
    }
    return fail(run, "the ledger is not what the gateways know");
}

static int wait_settled(struct run *run)
{
    long until = process_now_ms() + DEADLINE_MS;
    int settled;

    while ((settled = look_at_law(run)) == 0) {
        if (process_now_ms() > until)
            return fail(run, "regions of the dead are not reclaimed");
        process_sleep_ms(20);
    }
    return settled < 0 ? -1 : 0;
}

static int end_collector(struct run *run)
{
    if (process_wait_text(&run->collector, PROCESS_STDERR, "collecting in", DEADLINE_MS) != 0)
        return fail(run, "the collector does not start"); /* before, it would not catch the signal */
    process_signal(&run->collector, SIGTERM);
    if (process_wait(&run->collector, DEADLINE_MS) != 0 || process_exit_code(&run->collector) != 0)
        return fail(run, "the collector does not leave in order");
    return 0;
}

static int crash_command(struct run *run)
{
    tkr_sink *sink = open_ledger(run);
    tkr_message message = {""};
    char name[17] = "";
    int named;
    int again;

    if (sink == NULL)
        return -1;
    named = sink->ops->sources(sink, take_name, name, &message);
    sink->ops->close(sink);
    if (named != 1)
        return fail(run, "the ledger knows no collector");
    (void)snprintf(run->file, sizeof(run->file), "%s/backup.jsonl", run->state);
    if ((is_restore(run) && lose_ledger(run) != 0) || (is_repair(run) && lose_records(run) != 0))
        return -1;
    if (run_command(run, name, run->env_crash) != KILLED)
        return fail(run, "the command did not pass the point");
    run->reset = is_reset(run) && strstr(run->point->name, "_COMMITTED") != NULL;
    if (is_backup(run) && access(run->file, F_OK) == 0)
        return fail(run, "a backup that is not whole has its name");
    if (!is_restore(run) && !is_repair(run) && check_ledger(run) != 0)
        return -1;
    again = run->reset && is_forget(run); /* then there is nothing about it, which is 1 */
    run->reset = is_reset(run);
    return run_command(run, name, NULL) == again ? 0 : fail(run, "the command cannot be repeated");
}

static int run_once(const struct point *point, int pass, const char *broken)
{
    struct run run = {.point = point, .pass = pass, .board_accounts = 1024, .broken = broken[0] != '\0'};
    int result;

    (void)snprintf(run.what, sizeof(run.what), "%s, pass %d", point->name, pass);
    (void)snprintf(run.env_crash, sizeof(run.env_crash), "TOKENRING_CRASH=%s:%d", point->name, pass);
    (void)snprintf(run.env_broken, sizeof(run.env_broken), "TOKENRING_BROKEN=%s", broken);
    run.daemon = TEST_BIN_DIR "/tokenringd";
    run.command = TEST_BIN_DIR "/tokenring";
    result = prepare(&run);
    if (result == 0 && strncmp(point->name, "HOLD_", strlen("HOLD_")) == 0)
        result = point->side == PRODUCER ? crash_holder(&run) : crash_releasing(&run);
    else if (result == 0 && (strcmp(point->name, "BOARD_RESUMED") == 0 || strcmp(point->name, "BOARD_TAKEN") == 0))
        result = crash_taking_over(&run);
    else if (result == 0 && strncmp(point->name, "BOARD_", strlen("BOARD_")) == 0)
        result = crash_board(&run);
    else if (result == 0 && point->side == PRODUCER)
        result = crash_producer(&run);
    else if (result == 0 && point->side == COMMAND)
        result = prepare_command(&run);
    else if (result == 0 && strncmp(point->name, "RECOVERY_", strlen("RECOVERY_")) == 0)
        result = crash_recovery(&run);
    else if (result == 0 && strncmp(point->name, "CARR", strlen("CARR")) == 0)
        result = crash_carrying(&run);
    else if (result == 0)
        result = crash_collector(&run);
    if (result == 0)
        result = finish(&run);
    if (result == 0)
        result = wait_settled(&run);
    if (result == 0)
        result = end_collector(&run);
    if (result == 0 && point->side == COMMAND)
        result = crash_command(&run);
    if (result == 0)
        result = check_ledger(&run);
    clean_up(&run);
    return result;
}

static const struct point *find_point(const char *name)
{
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        if (strcmp(points[i].name, name) == 0)
            return &points[i];
    }
    (void)fprintf(stderr, "%s is no crash point\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    const char *broken = argc > 2 && strcmp(argv[1], "--broken") == 0 ? argv[2] : "";
    int first = broken[0] != '\0' ? 3 : 1;
    int failed = 0;

    for (int a = first; a < argc; a++) {
        const struct point *point = find_point(argv[a]);
        for (int pass = 1; pass <= (passed_often(point) ? 3 : 1); pass += 2)
            failed += run_once(point, pass, broken) != 0;
    }
    return first == 1 ? failed > 0 : failed == 0;
}
