/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changed accounts into Redis: the collector's own delivery and sink against as many plain HINCRBY as counters changed, 1000 deep on
 * one connection, on the same server in turn. Another client, a process of its own, meanwhile asks PING and GET and notes how long
 * each took. Every account is compared in the end, on both sides. Also what is sent for a million events, and the ledger.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/delivery.h"
#include "harness/bench.h"
#include "harness/stock.h"
#include "sink/redis/wire.h"
#include "support/redis.h"

#define ACCOUNTS 100000
#define EVENTS 1000000
#define EVENT_ACCOUNTS 10000
#define HALF 500 /* plain commands that are sent together; two of these are in flight: 1000 deep */
#define BUCKETS 10000
#define BUCKET_NS (10 * TKR_NS_PER_US)
#define ASK_NS (500 * TKR_NS_PER_US)

/* The other client: what it is to note, and what it noted. */
struct neighbour {
    atomic_int ask;
    _Atomic uint32_t took[BUCKETS];
};

static struct {
    struct redis_server server;
    redisContext *context; /* of the plain commands, and for questions */
    struct tkr_sink_config config;
    struct tkr_redis_wire wire;
    struct bench_stock stock;
    struct tkr_delivery delivery;
    struct neighbour *neighbour;
    pid_t neighbour_pid;
    uint64_t plain_rounds[TKR_COUNTER_COUNT];
} stage;

/* --- the other client --- */

static void ask_on(struct neighbour *neighbour, redisContext *context)
{
    static const char *const commands[] = {"PING", "GET nothing"};

    for (unsigned n = 0;; n++) {
        int64_t begun_ns = tkr_clock_monotonic_ns();
        bool noted = atomic_load_explicit(&neighbour->ask, memory_order_relaxed) != 0; /* a flag */
        redisReply *reply = noted ? redisCommand(context, commands[n % 2]) : NULL;
        int64_t took = (tkr_clock_monotonic_ns() - begun_ns) / BUCKET_NS;
        if (noted && reply == NULL)
            _exit(1);
        freeReplyObject(reply);
        if (noted)
            atomic_fetch_add_explicit(&neighbour->took[took < BUCKETS ? took : BUCKETS - 1], 1, memory_order_relaxed);
        tkr_clock_sleep_ns(ASK_NS);
    }
}

static int start_neighbour(void)
{
    struct neighbour *neighbour = mmap(NULL, sizeof(*neighbour), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (neighbour == MAP_FAILED)
        return bench_wrong("no memory");
    stage.neighbour = neighbour;
    stage.neighbour_pid = fork();
    if (stage.neighbour_pid == 0) {
        redisContext *context = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 ? redis_server_context(&stage.server) : NULL;
        if (context != NULL)
            ask_on(neighbour, context);
        _exit(1);
    }
    return stage.neighbour_pid > 0 ? 0 : bench_wrong("no process");
}

static void listen_begin(void)
{
    for (int i = 0; i < BUCKETS; i++)
        atomic_store_explicit(&stage.neighbour->took[i], 0, memory_order_relaxed);
    atomic_store_explicit(&stage.neighbour->ask, 1, memory_order_relaxed);
}

/* Milliseconds that a share of the questions stayed below. */
static double percentile(double share)
{
    uint64_t all = 0;
    uint64_t below = 0;
    int i = 0;

    for (int bucket = 0; bucket < BUCKETS; bucket++)
        all += atomic_load_explicit(&stage.neighbour->took[bucket], memory_order_relaxed);
    for (; i < BUCKETS - 1 && (double)below <= share * (double)all; i++)
        below += atomic_load_explicit(&stage.neighbour->took[i], memory_order_relaxed);
    return (double)i * BUCKET_NS / TKR_NS_PER_MS;
}

static void listen_end(void)
{
    atomic_store_explicit(&stage.neighbour->ask, 0, memory_order_relaxed);
}

/* --- the collector's way --- */

static int open_delivery(void)
{
    struct tkr_outlet *outlet;
    tkr_sink *sink;
    tkr_message why;

    memset(&stage.delivery, 0, sizeof(stage.delivery));
    if (tkr_sink_open(&stage.config, &sink, &why) != 0)
        return bench_wrong("%s", why.text);
    if (!tkr_delivery_open(&stage.delivery, sink, 1))
        return bench_wrong("no memory");
    outlet = &stage.delivery.outlet[0];
    outlet->shard = stage.stock.shard;
    (void)snprintf(outlet->source, sizeof(outlet->source), "%016" PRIx64 ".0", stage.stock.options.name);
    if (tkr_delivery_serve(&stage.delivery, &why) != 0) /* connected, and known to the sink */
        return bench_wrong("%s", why.text);
    return 0;
}

/* Sends all that has changed. Nanoseconds, or a negative number. */
static double flush(void)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    struct tkr_changed *list;
    tkr_message why;

    tkr_shard_changed_ask(stage.stock.shard);
    tkr_shard_changed_answer(stage.stock.shard);
    list = tkr_shard_changed_take(stage.stock.shard);
    if (list == NULL)
        return bench_wrong("nothing has changed");
    tkr_outlet_enqueue(&stage.delivery.outlet[0], list);
    while (tkr_delivery_queued(&stage.delivery)) {
        if (tkr_delivery_serve(&stage.delivery, &why) != 0)
            return bench_wrong("%s", why.text);
    }
    tkr_recorded_say(&stage.delivery.told.recorded);
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

/* --- the plain way --- */

static void put_plain(uint32_t account, int counter)
{
    char key[64] = "plain_usage:";
    char id[BENCH_STOCK_ID_BYTES + 1];
    const char *command;
    size_t len;

    bench_stock_id(account, id);
    memcpy(key + 12, id, BENCH_STOCK_ID_BYTES);
    memcpy(key + 12 + BENCH_STOCK_ID_BYTES, ":2026-11-01", 11);
    tkr_redis_wire_begin(&stage.wire);
    tkr_redis_wire_text(&stage.wire, "HINCRBY");
    tkr_redis_wire_bytes(&stage.wire, key, 12 + BENCH_STOCK_ID_BYTES + 11);
    tkr_redis_wire_text(&stage.wire, tkr_counter_name[counter]);
    tkr_redis_wire_number(&stage.wire, (uint64_t)bench_stock_value(account, counter));
    if (tkr_redis_wire_end(&stage.wire, &command, &len))
        (void)redisAppendFormattedCommand(stage.context, command, len); /* a failure shows in the replies */
}

static int take_plain(uint64_t count)
{
    for (; count > 0; count--) {
        redisReply *reply = NULL;
        bool taken =
            redisGetReply(stage.context, (void **)&reply) == REDIS_OK && reply != NULL && reply->type == REDIS_REPLY_INTEGER;
        freeReplyObject(reply);
        if (!taken)
            return bench_wrong("a plain HINCRBY was not answered");
    }
    return 0;
}

static double increment(int counters)
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    uint64_t sent = 0;
    uint64_t taken = 0;
    int done = 0;

    for (uint32_t account = 0; account < stage.stock.accounts; account++) {
        for (int n = 0; n < counters; n++, sent++) {
            put_plain(account, bench_stock_counter(n));
            if ((sent + 1) % HALF != 0)
                continue;
            while (redisBufferWrite(stage.context, &done) == REDIS_OK && !done)
                continue;
            if (sent + 1 - taken < 2 * HALF)
                continue;
            if (take_plain(HALF) != 0)
                return -1;
            taken += HALF;
        }
    }
    if (take_plain(sent - taken) != 0)
        return -1;
    for (int n = 0; n < counters; n++)
        stage.plain_rounds[bench_stock_counter(n)]++;
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

/* --- accounting --- */

static int check_row(const struct tkr_usage_row *row, void *arg)
{
    int64_t account = bench_stock_account(row->id, row->id_len);

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (account < 0 || row->counts.value[i] != bench_stock_expected(&stage.stock, (uint32_t)account, i))
            return 1;
    }
    ++*(uint32_t *)arg;
    return 0;
}

static int check_sink(void)
{
    struct tkr_usage_query query = {.any_kind = 1};
    uint32_t accounts = 0;
    tkr_message why = {"an account is not what it was charged"};

    if (stage.delivery.sink->ops->read(stage.delivery.sink, &query, check_row, &accounts, &why) != 0)
        return bench_wrong("%s", why.text);
    if (accounts != stage.stock.accounts)
        return bench_wrong("the sink has %u accounts of %u", accounts, stage.stock.accounts);
    return bench_stock_check(&stage.stock);
}

static int check_plain_account(uint32_t account, int counters)
{
    char id[BENCH_STOCK_ID_BYTES + 1];
    redisReply *reply;
    bool right;

    for (int n = 0; n < counters; n++) {
        int counter = bench_stock_counter(n);
        bench_stock_id(account, id);
        reply = redisCommand(stage.context, "HGET plain_usage:%s:2026-11-01 %s", id, tkr_counter_name[counter]);
        right = reply != NULL && reply->type == REDIS_REPLY_STRING &&
                strtoll(reply->str, NULL, 10) == (int64_t)stage.plain_rounds[counter] * bench_stock_value(account, counter);
        freeReplyObject(reply);
        if (!right)
            return bench_wrong("a plain account is not what it was charged");
    }
    return 0;
}

/* One in ten: each costs a round trip. */
static int check_plain(int counters)
{
    for (uint32_t account = 0; account < stage.stock.accounts; account += 10) {
        if (check_plain_account(account, counters) != 0)
            return -1;
    }
    return 0;
}

/* --- cases --- */

struct round {
    double ns;
    double p50_ms;
    double p99_ms;
};

static int run_round(bool plain, int counters, struct round *ret_round)
{
    if (!plain && bench_stock_change(&stage.stock, counters) != 0)
        return -1;
    listen_begin();
    ret_round->ns = plain ? increment(counters) : flush();
    listen_end();
    ret_round->p50_ms = percentile(0.5);
    ret_round->p99_ms = percentile(0.99);
    return ret_round->ns < 0 ? -1 : 0;
}

static int run_rounds(int counters, struct bench_series figures[2][3])
{
    struct round round;

    for (unsigned i = 0; i <= bench_repeats(); i++) { /* the first makes the accounts */
        for (int turn = 0; turn < 2; turn++) {
            int way = (int)(i + (unsigned)turn) % 2;
            if (run_round(way == 1, counters, &round) != 0)
                return -1;
            if (i == 0)
                continue;
            bench_add(&figures[way][0], stage.stock.accounts / round.ns * TKR_NS_PER_S / 1e3);
            bench_add(&figures[way][1], round.p50_ms);
            bench_add(&figures[way][2], round.p99_ms);
        }
    }
    return check_sink() == 0 ? check_plain(counters) : -1;
}

static void print_rounds(int counters, struct bench_series figures[2][3])
{
    static const char *const ways[] = {"flush", "floor: plain HINCRBY"};
    struct bench_series ratio = bench_ratio(&figures[0][0], &figures[1][0]);
    char name[96];

    for (int way = 0; way < 2; way++) {
        (void)snprintf(name, sizeof(name), "%s, %u accounts, %d counters", ways[way], stage.stock.accounts, counters);
        bench_figure(name, "rate", "k accounts/s", &figures[way][0]);
        bench_figure(name, "neighbour p50", "ms", &figures[way][1]);
        bench_figure(name, "neighbour p99", "ms", &figures[way][2]);
    }
    (void)snprintf(name, sizeof(name), "flush against as many plain HINCRBY, %d counters changed", counters);
    bench_bound(name, &ratio, BENCH_AT_LEAST, counters == 3 ? 0.45 : 0.62);
    if (counters == 3)
        bench_bound("another client's p99 on the same Redis during a flush, ms", &figures[0][2], BENCH_AT_MOST, 4);
}

static int open_all(uint32_t accounts, const char *const extra[])
{
    if (redis_server_start(&stage.server, extra) != 0)
        return bench_wrong("no Redis");
    stage.config = (struct tkr_sink_config){.kind = TKR_SINK_REDIS, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    (void)snprintf(stage.config.socket, sizeof(stage.config.socket), "%s", stage.server.socket);
    stage.context = redis_server_context(&stage.server);
    if (stage.context == NULL)
        return bench_wrong("no connection to Redis");
    memset(stage.plain_rounds, 0, sizeof(stage.plain_rounds));
    if (bench_stock_open(&stage.stock, (uint64_t)tkr_clock_unix_ns(), accounts) != 0)
        return -1;
    return open_delivery();
}

static void close_all(void)
{
    if (stage.neighbour_pid > 0) {
        (void)kill(stage.neighbour_pid, SIGKILL);
        (void)waitpid(stage.neighbour_pid, NULL, 0);
    }
    stage.neighbour_pid = 0;
    if (stage.neighbour != NULL)
        (void)munmap(stage.neighbour, sizeof(*stage.neighbour));
    stage.neighbour = NULL;
    if (stage.delivery.sink != NULL)
        tkr_delivery_close(&stage.delivery);
    memset(&stage.delivery, 0, sizeof(stage.delivery));
    bench_stock_close(&stage.stock);
    if (stage.context != NULL)
        redisFree(stage.context);
    stage.context = NULL;
    redis_server_stop(&stage.server);
}

static void bench_rate(int counters)
{
    struct bench_series figures[2][3] = {{{.count = 0}}};

    if (open_all((uint32_t)bench_work(ACCOUNTS), NULL) == 0 && start_neighbour() == 0 && run_rounds(counters, figures) == 0)
        print_rounds(counters, figures);
    close_all();
}

/* --- what is sent for a million events --- */

static double info(const char *section, const char *field)
{
    redisReply *reply = redisCommand(stage.context, "INFO %s", section);
    const char *at = reply != NULL && reply->type == REDIS_REPLY_STRING ? strstr(reply->str, field) : NULL;
    double value = at != NULL ? strtod(at + strlen(field), NULL) : 0;

    freeReplyObject(reply);
    return value;
}

/* Commands that came over the wire for scripts; those within a script are not sent. */
static double scripts_sent(void)
{
    return info("commandstats", "cmdstat_evalsha:calls=") + info("commandstats", "cmdstat_script|load:calls=");
}

/* The longest command since the last reset of the slow log, in ms. */
static double longest_ms(void)
{
    redisReply *reply = redisCommand(stage.context, "SLOWLOG GET 100000");
    long long longest = 0;

    for (size_t i = 0; reply != NULL && i < reply->elements; i++) {
        if (reply->element[i]->element[2]->integer > longest)
            longest = reply->element[i]->element[2]->integer;
    }
    freeReplyObject(reply);
    return (double)longest / 1e3;
}

static int send_events(double ret_sent[3])
{
    double commands;
    double bytes;

    for (uint64_t i = 0; i < bench_work(EVENTS) / stage.stock.accounts; i++) {
        if (bench_stock_change(&stage.stock, 3) != 0)
            return -1;
    }
    freeReplyObject(redisCommand(stage.context, "SLOWLOG RESET"));
    commands = scripts_sent();
    bytes = info("stats", "total_net_input_bytes:");
    if (flush() < 0)
        return -1;
    ret_sent[0] = scripts_sent() - commands;
    ret_sent[1] = info("stats", "total_net_input_bytes:") - bytes;
    ret_sent[2] = longest_ms();
    return 0;
}

static void bench_sent(void)
{
    static const char *const slow[] = {"--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000", NULL};
    struct bench_series figures[3] = {{.count = 0}};
    int result = open_all((uint32_t)bench_work(EVENT_ACCOUNTS), slow);

    for (unsigned i = 0; result == 0 && i < bench_repeats(); i++) {
        double sent[3];
        result = send_events(sent);
        for (int k = 0; result == 0 && k < 3; k++)
            bench_add(&figures[k], sent[k]);
    }
    if (result == 0 && check_sink() == 0) {
        bench_figure("1M events of 10k accounts, one flush", "bytes", "bytes", &figures[1]);
        bench_figure("1M events of 10k accounts, one flush", "longest stall", "ms", &figures[2]);
        bench_bound("commands sent for 1M events of 10k accounts within one interval", &figures[0], BENCH_AT_MOST, 250);
    }
    close_all();
}

/* --- with a line in the log about each account --- */

/* The log's lines about accounts; -1: it cannot be read. */
static int64_t lines_recorded(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[256];
    int64_t lines = 0;

    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL)
        lines += strstr(line, " info    Recorded ") != NULL && strstr(line, " more accounts\n") == NULL;
    (void)fclose(file);
    return lines;
}

static int run_recorded(struct bench_series figures[2])
{
    for (unsigned i = 0; i <= bench_repeats(); i++) { /* the first makes the accounts */
        for (unsigned turn = 0; turn < 2; turn++) {
            unsigned way = (i + turn) % 2;
            double ns;
            stage.delivery.told.recorded.lines_max = way == 1 ? stage.stock.accounts : 0;
            ns = bench_stock_change(&stage.stock, 3) == 0 ? flush() : -1;
            if (ns < 0)
                return -1;
            if (i > 0)
                bench_add(&figures[way], stage.stock.accounts / ns * TKR_NS_PER_S / 1e3);
        }
    }
    return check_sink();
}

static int open_recorded(struct tkr_log_settings *settings)
{
    tkr_message why;

    if (open_all((uint32_t)bench_work(ACCOUNTS), NULL) != 0 || !tkr_recorded_open(&stage.delivery.told.recorded, 0))
        return -1;
    (void)snprintf(settings->file, sizeof(settings->file), "%s/log", stage.server.dir);
    return tkr_log_open(settings, &why) == 0 ? 0 : bench_wrong("%s", why.text);
}

static void bench_recorded(void)
{
    static struct tkr_log_settings settings = {.level = TKR_LOG_INFO, .repeats_ms = 60000};
    struct bench_series figures[2] = {{.count = 0}};
    struct bench_series ratio;
    int result = open_recorded(&settings);

    if (result == 0)
        result = run_recorded(figures);
    tkr_log_close();
    if (result == 0 && lines_recorded(settings.file) != (int64_t)(bench_repeats() + 1) * stage.stock.accounts)
        result = bench_wrong("the log has not a line of each account and flush");
    if (result == 0) {
        ratio = bench_ratio(&figures[1], &figures[0]);
        bench_figure("flush, each account recorded in the log", "rate", "k accounts/s", &figures[1]);
        bench_figure("flush, each account recorded in the log", "against none", "ratio", &ratio);
    }
    close_all();
}

/* --- the ledger --- */

static void bench_ledger(void)
{
    struct bench_series rate = {.count = 0};
    char name[96];
    int result = bench_stock_open(&stage.stock, (uint64_t)tkr_clock_unix_ns(), (uint32_t)bench_work(ACCOUNTS));

    stage.config = (struct tkr_sink_config){.kind = TKR_SINK_SQLITE};
    (void)snprintf(stage.config.ledger, sizeof(stage.config.ledger), "%s/ledger.db", stage.stock.path);
    if (result == 0)
        result = open_delivery();
    for (unsigned i = 0; result == 0 && i <= bench_repeats(); i++) {
        double ns = bench_stock_change(&stage.stock, 3) == 0 ? flush() : -1;
        result = ns < 0 ? -1 : 0;
        if (i > 0 && ns > 0)
            bench_add(&rate, stage.stock.accounts / ns * TKR_NS_PER_S / 1e3);
    }
    (void)snprintf(name, sizeof(name), "flush to a SQLite ledger on a tmpfs, %u accounts, 3 counters", stage.stock.accounts);
    if (result == 0 && check_sink() == 0)
        bench_figure(name, "rate", "k accounts/s", &rate);
    close_all();
}

int main(int argc, char **argv)
{
    bench_begin(argc, argv, "flush");
    redis_server_require();
    if (bench_wants("3 counters", true))
        bench_rate(3);
    if (bench_wants("8 counters", true))
        bench_rate(8);
    if (bench_wants("sent", true))
        bench_sent();
    if (bench_wants("recorded", false))
        bench_recorded();
    if (bench_wants("ledger", false))
        bench_ledger();
    tkr_redis_wire_free(&stage.wire);
    return bench_end();
}
