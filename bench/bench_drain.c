/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes into the usage table: charges a second of one worker, by the number of accounts, how skewed they are and how many a call
 * charges; against floors without protection (harness/floor.h) that read the same lanes. All of them end with the tokens that were
 * recorded, or nothing is printed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/drain.h"
#include "harness/bench.h"
#include "harness/consumer.h"
#include "harness/crowd.h"
#include "harness/floor.h"
#include "region/guard.h"
#include "region/name.h"
#include "support/tempdir.h"
#include "table/shard.h"
#include "tokenring/tokenring.h"

#define LANES 4
#define LANE_BYTES (32u << 20)
#define REGION_BYTES (UINT64_C(64) << 20)
#define CHARGES 400000 /* of a round, in all lanes */
#define BYTES_AT_ONCE (32u << 10)
#define PROMPT 812
#define COMPLETION 94
#define TOKENS (PROMPT + COMPLETION)
#define CYCLE 20261101u

struct setting {
    uint32_t accounts;
    enum bench_skew skew;
    uint32_t per_call; /* accounts that a call charges */
};

static struct {
    char runtime[TEMPDIR_BYTES];
    char state[TEMPDIR_BYTES];
    struct bench_consumer consumer; /* for its views only */
    int shard_directory;
    tkr_producer *producer[LANES];
    struct tkr_feed feed[LANES];
    uint64_t floor_position[2][LANES]; /* how far each floor has read */
    struct tkr_shard *shard;
    struct tkr_drain *drain;
    struct bench_crowd crowd;
    struct bench_floor floor[2];
    uint64_t charges; /* recorded */
} stage;

/* --- producers, feeds, a shard --- */

static int open_producers(void)
{
    tkr_options options = TKR_OPTIONS_INIT;

    options.runtime_dir = stage.runtime;
    options.lane_bytes = LANE_BYTES;
    options.region_bytes_max = REGION_BYTES;
    for (int i = 0; i < LANES; i++) {
        if (tkr_open(&options, &stage.producer[i]) != TKR_OK)
            return bench_wrong("no producer");
    }
    return 0;
}

static int record(tkr_producer *producer, uint32_t per_call)
{
    static const char *const kinds[] = {"user", "team", "key", "organisation"};
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.account_count = per_call;
    start.cycle = CYCLE;
    for (uint32_t i = 0; i < per_call; i++) {
        start.account[i].id = stage.crowd.id[bench_crowd_draw(&stage.crowd)];
        start.account[i].len = BENCH_ID_BYTES;
        if (tkr_kind(kinds[i], &start.account[i].kind) != TKR_OK)
            return TKR_EKIND;
    }
    usage.prompt = PROMPT;
    usage.completion = COMPLETION;
    return tkr_record(producer, &start, &usage);
}

/* The same calls in each lane's order whenever it is asked for. */
static int fill(uint64_t charges, uint32_t per_call)
{
    for (uint64_t i = 0; i < charges / per_call; i++) {
        int result = record(stage.producer[i % LANES], per_call);
        if (result != TKR_OK)
            return bench_wrong("a call was not accepted: %s", tkr_strerror(result));
        stage.charges += per_call;
    }
    return 0;
}

static int open_shard(uint32_t accounts)
{
    struct tkr_shard_options options = {.name = 1, .number = 0, .accounts_max = accounts + 1000};
    tkr_message why;

    if (tkr_shard_open(stage.shard_directory, &options, &stage.shard, &why) != 0)
        return bench_wrong("%s", why.text);
    for (int i = 0; i < LANES; i++) {
        struct tkr_feed *feed = &stage.feed[i];
        *feed = (struct tkr_feed){.next = i + 1 < LANES ? feed + 1 : NULL, .view = stage.consumer.view[i]};
        if (!tkr_feed_adopt(stage.shard, feed))
            return bench_wrong("a region is not taken");
    }
    return 0;
}

/* --- the three ways to aggregate a round --- */

static double drain(void)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    bool more = true;

    while (more)
        (void)tkr_drain_batch(stage.drain, stage.shard, stage.feed, &more);
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

typedef size_t floor_way(struct bench_floor *, const unsigned char *, size_t);

static int read_lane(int number, floor_way *way, int lane)
{
    static unsigned char bytes[BYTES_AT_ONCE];
    uint64_t *position = &stage.floor_position[number][lane];
    uint64_t head;
    size_t count;

    do {
        if (!tkr_view_lane_read(stage.feed[lane].view, 0, *position, bytes, sizeof(bytes), &count, &head))
            return bench_wrong("a lane cannot be read");
        *position += way(&stage.floor[number], bytes, count);
    } while (*position != head);
    return 0;
}

static double read_all(int number, floor_way *way)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();

    for (int lane = 0; lane < LANES; lane++) {
        if (read_lane(number, way, lane) != 0)
            return 0;
    }
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

/* --- accounting --- */

static int64_t shard_total(void)
{
    uint64_t used = atomic_load_explicit(&stage.shard->header->law.arena_used, memory_order_relaxed);
    int64_t total = 0;

    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(stage.shard->arena + at);
        total += atomic_load_explicit(&entry->counts[TKR_COUNTER_TOTAL], memory_order_relaxed);
        at += tkr_entry_size(entry);
    }
    return total;
}

static int check(void)
{
    int64_t expected = (int64_t)stage.charges * TOKENS;

    if (shard_total() != expected || bench_floor_total(&stage.floor[0]) != expected ||
        bench_floor_total(&stage.floor[1]) != expected)
        return bench_wrong("tokens recorded %lld, in the shard %lld, in the floors %lld and %lld", (long long)expected,
                           (long long)shard_total(), (long long)bench_floor_total(&stage.floor[0]),
                           (long long)bench_floor_total(&stage.floor[1]));
    return 0;
}

/* --- cases --- */

static void print_setting(const struct setting *setting, const struct bench_series rate[3])
{
    static const char *const ways[] = {"drain", "floor: unprotected", "floor: ck_hs"};
    char name[96];

    for (int way = 0; way < 3; way++) {
        (void)snprintf(name, sizeof(name), "%s, %u accounts, %s, %u a call", ways[way], setting->accounts,
                       bench_skew_name(setting->skew), setting->per_call);
        bench_figure(name, "rate", "M charges/s", &rate[way]);
    }
}

static void print_bounds(const struct setting *setting, const struct bench_series rate[3])
{
    struct bench_series ratio;
    char name[96];

    if (setting->skew != BENCH_ZIPF || setting->per_call != 1 || setting->accounts < 100000)
        return;
    ratio = bench_ratio(&rate[0], &rate[1]);
    (void)snprintf(name, sizeof(name), "drain against the unprotected floor, %u accounts, Zipf", setting->accounts);
    bench_bound(name, &ratio, BENCH_AT_LEAST, 0.75);
    if (setting->accounts < 1000000)
        return;
    ratio = bench_ratio(&rate[0], &rate[2]);
    bench_bound("drain against one ck_hs lookup per event, 1000000 accounts, Zipf", &ratio, BENCH_AT_LEAST, 2.2);
}

/* One round: the drain gives the lanes back, so it is last or the floors read before; who is first takes turns. */
static void run_round(struct bench_series rate[3], double charges, bool drain_first)
{
    double ns[3];

    ns[0] = drain_first ? drain() : 0;
    ns[1] = read_all(0, bench_floor_batched);
    ns[2] = read_all(1, bench_floor_ck_hs);
    ns[0] = drain_first ? ns[0] : drain();
    for (int way = 0; way < 3 && rate != NULL; way++)
        bench_add(&rate[way], charges * 1e3 / ns[way]);
}

static int run_rounds(const struct setting *setting, struct bench_series rate[3])
{
    uint64_t warm = setting->accounts; /* charges, so that nearly all accounts are there */

    for (uint64_t left = warm; left > 0; left -= left < CHARGES ? left : CHARGES) {
        if (fill(left < CHARGES ? left : CHARGES, setting->per_call) != 0)
            return -1;
        run_round(NULL, 0, true);
    }
    for (unsigned i = 0; i < bench_repeats(); i++) {
        uint64_t charges = bench_work(CHARGES);
        if (fill(charges, setting->per_call) != 0)
            return -1;
        run_round(rate, (double)charges, i % 2 == 0);
    }
    return check();
}

static int set_up(const struct setting *setting)
{
    memset(&stage.floor_position, 0, sizeof(stage.floor_position));
    stage.charges = 0;
    if (tempdir_make(stage.runtime) != 0 || tempdir_make(stage.state) != 0 || open_producers() != 0 ||
        bench_consumer_open(&stage.consumer, stage.runtime) != 0 || bench_consumer_take_up(&stage.consumer) != 0)
        return -1;
    stage.shard_directory = open(stage.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (bench_crowd_make(&stage.crowd, setting->accounts, setting->skew) != 0)
        return -1;
    for (int i = 0; i < 2; i++) { /* a call's accounts differ in kind */
        if (bench_floor_make(&stage.floor[i], setting->accounts * setting->per_call) != 0)
            return -1;
    }
    return open_shard(setting->accounts * setting->per_call);
}

static void tear_down(void)
{
    for (int i = 0; i < LANES; i++)
        tkr_close(stage.producer[i]);
    tkr_shard_close(stage.shard);
    bench_consumer_close(&stage.consumer);
    bench_crowd_free(&stage.crowd);
    bench_floor_free(&stage.floor[0]);
    bench_floor_free(&stage.floor[1]);
    (void)close(stage.shard_directory);
    tempdir_remove(stage.runtime);
    tempdir_remove(stage.state);
}

int main(int argc, char **argv)
{
    static const struct setting settings[] = {
        {1000, BENCH_UNIFORM, 1},     {1000, BENCH_ZIPF, 1},       {1000, BENCH_SERVEGEN, 1},   {100000, BENCH_UNIFORM, 1},
        {100000, BENCH_ZIPF, 1},      {100000, BENCH_SERVEGEN, 1}, {1000000, BENCH_UNIFORM, 1}, {1000000, BENCH_ZIPF, 1},
        {1000000, BENCH_SERVEGEN, 1}, {100000, BENCH_ZIPF, 2},     {100000, BENCH_ZIPF, 4},
    };

    bench_begin(argc, argv, "drain");
    bench_pin(1);
    stage.drain = aligned_alloc(64, sizeof(*stage.drain));
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct bench_series rate[3] = {{.count = 0}};
        char name[64];
        (void)snprintf(name, sizeof(name), "%u accounts %s %u", settings[i].accounts, bench_skew_name(settings[i].skew),
                       settings[i].per_call);
        if (!bench_wants(name, settings[i].skew == BENCH_ZIPF && settings[i].per_call == 1 && settings[i].accounts >= 100000))
            continue;
        if (set_up(&settings[i]) == 0 && run_rounds(&settings[i], rate) == 0) {
            print_setting(&settings[i], rate);
            print_bounds(&settings[i], rate);
        }
        tear_down();
    }
    free(stage.drain);
    return bench_end();
}
