/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/faults.h"

#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "chaos/operator.h"

#define TRIES_MAX 200
#define WEIGHT_FIRST 30
#define WORKERS_MAX 4
#define BURST_STEPS 1500           /* given to gateways just before somebody is killed */
#define BURST_GATEWAY_NS 400000    /* and how long at most until then: a gateway is at its steps at once, */
#define BURST_COLLECTOR_NS 4000000 /* the collector comes behind, */
#define BURST_REDIS_NS 30000000    /* and Redis is told at the next flush */
#define AWAY_MS 200                /* the longest that somebody who was killed stays away */
#define STOPPED_MS 700             /* the longest that somebody is stopped, or bytes are held back, but for one in */
#define TIMEOUT_ONE_IN 10
#define TIMEOUT_MS 6000 /* where it outlasts the collector's time for a command, of 5 s */
#define TEAR_BYTES 3000
#define CUT_BYTES 20000 /* some chunks */
#define REPLICATION_LAG_MS 2500
#define FULL_MS 1500
#define CALM_MS 5000
#define CALM_STEP_MS 20
#define LEFT_BYTES_LOG2_MAX 22 /* what a full tmpfs has left: as often pages as megabytes */
#define NS_PER_S INT64_C(1000000000)
#define DAY_S 86400u
#define YEAR_DAYS 400u

static uint32_t below(struct faults *faults, uint32_t n)
{
    return (uint32_t)test_random_below(&faults->random, n);
}

/* Mostly short, at times up to most. */
static int some_ms(struct faults *faults, uint32_t most)
{
    return (int)below(faults, 2 + below(faults, most));
}

/* How long Redis does not answer. At times the collector gives up first: then nothing else happens, or that would be cut short. */
static int silent_ms(struct faults *faults)
{
    if (below(faults, TIMEOUT_ONE_IN) > 0)
        return some_ms(faults, STOPPED_MS);
    faults->rest_ms = TIMEOUT_MS;
    return TIMEOUT_MS + some_ms(faults, STOPPED_MS);
}

/* Bytes until a cut: as often in the first bytes as anywhere. */
static uint64_t some_bytes(struct faults *faults, uint32_t most)
{
    return 1 + below(faults, 1 + below(faults, most));
}

__attribute__((format(printf, 2, 3))) static bool told(char *ret_detail, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(ret_detail, FAULT_DETAIL_BYTES, format, args);
    va_end(args);
    return true;
}

/* --- gateways and the collector --- */

/* Gives the gateways some steps, so that who is killed then is in the middle of its work. */
static void work_first(struct faults *faults, uint32_t most_ns)
{
    const struct timespec while_it_works = {.tv_nsec = (long)below(faults, most_ns)};

    (void)atomic_fetch_add(&faults->world->control->allowed, BURST_STEPS);
    (void)nanosleep(&while_it_works, NULL);
}

static bool do_kill_gateway(struct faults *faults, char *ret_detail)
{
    struct world *world = faults->world;
    int seat = (int)below(faults, WORLD_SEATS);
    int again = some_ms(faults, AWAY_MS);

    if (!world->seat[seat].up)
        return false;
    work_first(faults, BURST_GATEWAY_NS);
    world_gateway_kill(world, seat, again);
    return told(ret_detail, "number %u, the next in %d ms", world->seat[seat].number, again);
}

static bool do_kill_collector(struct faults *faults, char *ret_detail)
{
    struct world *world = faults->world;
    int workers = below(faults, 3) == 0 ? 1 + (int)below(faults, WORKERS_MAX) : world->workers;
    int again = some_ms(faults, AWAY_MS);
    bool stopped = world->collector_stopped;

    if (world->standing == COLLECTOR_DOWN)
        return false;
    work_first(faults, BURST_COLLECTOR_NS);
    world_collector_kill(world, workers, again);
    return told(ret_detail, "%sthe next in %d ms with %d workers", stopped ? "stopped; " : "", again, workers);
}

static bool do_stop_collector(struct faults *faults, char *ret_detail)
{
    int ms = some_ms(faults, STOPPED_MS);

    if (faults->world->standing != COLLECTOR_UP || faults->world->collector_stopped)
        return false;
    world_collector_stop(faults->world, ms);
    return told(ret_detail, "for %d ms", ms);
}

static bool do_change_workers(struct faults *faults, char *ret_detail)
{
    struct world *world = faults->world;
    int workers = 1 + (int)below(faults, WORKERS_MAX);

    if (world->standing != COLLECTOR_UP || world->collector_stopped)
        return false;
    world_collector_leave(world, workers);
    return told(ret_detail, "to %d", workers);
}

/* --- Redis --- */

static bool primary_answers(const struct faults *faults)
{
    return servers_answers(&faults->world->servers, faults->world->servers.primary);
}

/* Kills a server that is up. */
static int kill_server(struct faults *faults, int i)
{
    struct world *world = faults->world;
    int again = some_ms(faults, AWAY_MS);

    work_first(faults, BURST_REDIS_NS);
    servers_kill(&world->servers, i);
    world->server_again_ms[i] = process_now_ms() + again;
    world->server_continue_ms[i] = WORLD_NEVER;
    world->server_dies_ms[i] = WORLD_NEVER;
    return again;
}

static bool do_kill_redis(struct faults *faults, char *ret_detail)
{
    struct servers *servers = &faults->world->servers;

    if (!servers->up[servers->primary])
        return false;
    return told(ret_detail, "up again in %d ms", kill_server(faults, servers->primary));
}

static bool do_kill_replica(struct faults *faults, char *ret_detail)
{
    struct servers *servers = &faults->world->servers;

    if (!servers->up[servers_replica(servers)])
        return false;
    return told(ret_detail, "up again in %d ms", kill_server(faults, servers_replica(servers)));
}

static bool do_stop_redis(struct faults *faults, char *ret_detail)
{
    struct servers *servers = &faults->world->servers;
    int ms;

    if (!primary_answers(faults))
        return false;
    ms = silent_ms(faults);
    servers_stop(servers, servers->primary);
    faults->world->server_continue_ms[servers->primary] = process_now_ms() + ms;
    return told(ret_detail, "for %d ms", ms);
}

static bool do_tear_aof(struct faults *faults, char *ret_detail)
{
    struct servers *servers = &faults->world->servers;
    long bytes = (long)some_bytes(faults, TEAR_BYTES);

    if (!servers->up[servers->primary])
        return false;
    (void)kill_server(faults, servers->primary);
    if (servers_tear(servers, servers->primary, bytes, &bytes) != 0)
        bytes = 0; /* killed before it had one */
    return told(ret_detail, "%ld bytes off its tail", bytes);
}

static bool do_rewrite_aof(struct faults *faults, char *ret_detail)
{
    if (!primary_answers(faults) || servers_command(&faults->world->servers, "BGREWRITEAOF") != 0)
        return false;
    return told(ret_detail, "begun");
}

static bool do_restore_rdb(struct faults *faults, char *ret_detail)
{
    struct servers *servers = &faults->world->servers;
    int kept = servers->snapshots < SNAPSHOTS ? servers->snapshots : SNAPSHOTS;
    int back;

    if (kept == 0 || !servers->up[servers->primary])
        return false;
    back = (int)below(faults, (uint32_t)kept);
    (void)kill_server(faults, servers->primary);
    if (servers_restore(servers, servers->primary, servers->snapshots - 1 - back) != 0)
        return false;
    return told(ret_detail, "snapshot %d of %d", servers->snapshots - back, servers->snapshots);
}

static bool do_flush_all(struct faults *faults, char *ret_detail)
{
    if (!primary_answers(faults) || servers_command(&faults->world->servers, "FLUSHALL") != 0)
        return false;
    return told(ret_detail, "done");
}

/* The old primary dies at once or goes on for a while, with or without what the collector had sent to it. */
static bool do_promote_replica(struct faults *faults, char *ret_detail)
{
    struct world *world = faults->world;
    struct servers *servers = &world->servers;
    int old = servers->primary;
    int late = below(faults, 2) == 0 ? some_ms(faults, AWAY_MS) : -1;
    int lives = below(faults, 2) == 0 ? some_ms(faults, STOPPED_MS) : 0;

    if (!servers_answers(servers, servers_replica(servers)) || world->server_dies_ms[servers_replica(servers)] != WORLD_NEVER)
        return false;
    if (lives == 0 && servers->up[old])
        (void)kill_server(faults, old);
    if (servers_promote(servers, late) != 0)
        return false;
    if (servers->up[old])
        world->server_dies_ms[old] = process_now_ms() + lives;
    world->server_again_ms[old] = process_now_ms() + lives + some_ms(faults, AWAY_MS);
    return told(ret_detail, "server %d; the old primary lives for %d ms%s", servers->primary, lives,
                late >= 0 ? " and gets late what was sent to it" : "");
}

static bool do_forget_scripts(struct faults *faults, char *ret_detail)
{
    if (!primary_answers(faults) || servers_command(&faults->world->servers, "SCRIPT FLUSH") != 0)
        return false;
    return told(ret_detail, "done");
}

/* Mostly one that all gateways charge. */
static struct operator_account some_account(struct faults *faults)
{
    uint32_t accounts = below(faults, 4) == 0 ? CHAOS_SHARED + faults->world->gateways * CHAOS_THREADS : CHAOS_SHARED;
    uint32_t account = below(faults, accounts);

    return (struct operator_account){account, below(faults, CHAOS_CYCLES)};
}

static bool do_reset_account(struct faults *faults, char *ret_detail)
{
    char key[TRUTH_KEY_BYTES];
    struct operator_account account = some_account(faults);
    size_t len = truth_key(account.account, account.cycle, key);

    if (!primary_answers(faults) || !operator_misses_nothing(faults->world, account) ||
        servers_reset(&faults->world->servers, key, len) != 0)
        return false;
    return told(ret_detail, "%s", key);
}

/* --- connections --- */

static bool do_hold_replication(struct faults *faults, char *ret_detail)
{
    int ms = some_ms(faults, REPLICATION_LAG_MS);

    proxy_hold(faults->world->servers.proxy, PROXY_REPLICA, PROXY_DOWN, ms);
    return told(ret_detail, "for %d ms", ms);
}

static bool do_cut_replication(struct faults *faults, char *ret_detail)
{
    uint64_t bytes = some_bytes(faults, CUT_BYTES);

    proxy_cut(faults->world->servers.proxy, PROXY_REPLICA, PROXY_DOWN, bytes);
    return told(ret_detail, "in %llu bytes", (unsigned long long)bytes);
}

static bool do_cut_request(struct faults *faults, char *ret_detail)
{
    uint64_t bytes = some_bytes(faults, CUT_BYTES);

    proxy_cut(faults->world->servers.proxy, PROXY_COLLECTOR, PROXY_UP, bytes);
    return told(ret_detail, "in %llu bytes", (unsigned long long)bytes);
}

static bool do_cut_reply(struct faults *faults, char *ret_detail)
{
    uint64_t bytes = some_bytes(faults, CUT_BYTES / 50); /* replies are so much shorter */

    proxy_cut(faults->world->servers.proxy, PROXY_COLLECTOR, PROXY_DOWN, bytes);
    return told(ret_detail, "in %llu bytes", (unsigned long long)bytes);
}

static bool do_cut_late(struct faults *faults, char *ret_detail)
{
    int ms = some_ms(faults, STOPPED_MS);

    proxy_cut_late(faults->world->servers.proxy, ms);
    return told(ret_detail, "the next request lands after %d ms", ms);
}

static bool do_hold_request(struct faults *faults, char *ret_detail)
{
    int ms = silent_ms(faults);

    proxy_hold(faults->world->servers.proxy, PROXY_COLLECTOR, PROXY_UP, ms);
    return told(ret_detail, "for %d ms", ms);
}

static bool do_hold_reply(struct faults *faults, char *ret_detail)
{
    int ms = silent_ms(faults);

    proxy_hold(faults->world->servers.proxy, PROXY_COLLECTOR, PROXY_DOWN, ms);
    return told(ret_detail, "for %d ms", ms);
}

static bool do_delay(struct faults *faults, char *ret_detail)
{
    int delay = 1 + some_ms(faults, 60);
    int ms = some_ms(faults, 2 * STOPPED_MS);

    proxy_delay(faults->world->servers.proxy, delay, ms);
    return told(ret_detail, "%d ms each way, for %d ms", delay, ms);
}

static bool do_refuse(struct faults *faults, char *ret_detail)
{
    int ms = some_ms(faults, STOPPED_MS);

    proxy_refuse(faults->world->servers.proxy, ms);
    proxy_cut(faults->world->servers.proxy, PROXY_COLLECTOR, PROXY_UP, 1);
    return told(ret_detail, "for %d ms", ms);
}

/* --- the place --- */

static bool do_fill_tmpfs(struct faults *faults, char *ret_detail)
{
    int64_t left = (int64_t)below(faults, 1u << below(faults, LEFT_BYTES_LOG2_MAX + 1));
    int ms = some_ms(faults, FULL_MS);

    if (!faults->world->place.apart || world_fill(faults->world, left, ms) != 0)
        return false;
    (void)atomic_fetch_add(&faults->world->control->allowed, BURST_STEPS);
    return told(ret_detail, "but for %lld bytes, for %d ms", (long long)left, ms);
}

static bool do_silence_names(struct faults *faults, char *ret_detail)
{
    int ms = silent_ms(faults);

    if (!faults->world->place.apart)
        return false;
    world_silence(faults->world, ms);
    return told(ret_detail, "for %d ms", ms);
}

/* As often seconds as days, and back to the true time. */
static bool do_step_clock(struct faults *faults, char *ret_detail)
{
    static const uint32_t most_s[] = {1, 1, 5, 3600, DAY_S, 40 * DAY_S, YEAR_DAYS * DAY_S};
    enum place_clock clock = below(faults, 2) == 0 ? PLACE_COLLECTOR : PLACE_GATEWAYS;
    int64_t s = (int64_t)below(faults, most_s[below(faults, sizeof(most_s) / sizeof(most_s[0]))]);
    int64_t ns = s * NS_PER_S + (s > 0 ? (int64_t)below(faults, NS_PER_S) : 0);

    if (below(faults, 2) == 0)
        ns = -ns;
    place_step(&faults->world->place, clock, ns);
    return told(ret_detail, "the %s: %.3f s off", clock == PLACE_COLLECTOR ? "collector's" : "gateways'",
                (double)ns / (double)NS_PER_S);
}

/* --- by hand --- */

/* What goes on before the operator sees what he did. */
static const char *go_on(struct faults *faults)
{
    switch (below(faults, 3)) {
    case 0:
        work_first(faults, BURST_REDIS_NS);
        return "its gateways went on";
    case 1:
        world_collector_kill(faults->world, faults->world->workers, some_ms(faults, AWAY_MS));
        return "the collector was killed";
    default:
        return "nothing went on";
    }
}

/* What a total has is known of accounts of which all is counted and acknowledged. */
static bool is_calm(struct faults *faults)
{
    struct world *world = faults->world;
    long until = process_now_ms() + CALM_MS;

    if (world_heal(world) != 0)
        return false;
    while (world_settled(world, false) != 1) {
        if (process_now_ms() > until || world_wait(world, CALM_STEP_MS) != 0)
            return false;
    }
    return primary_answers(faults) && world->standing == COLLECTOR_UP && !world->collector_stopped;
}

/* Deletes records of an account that Redis has all of, and mends it. */
static bool do_delete_record(struct faults *faults, char *ret_detail)
{
    struct world *world = faults->world;
    struct operator_account account = some_account(faults);
    uint32_t which = below(faults, 3);
    char key[TRUTH_KEY_BYTES];
    const char *meanwhile;
    bool chosen;
    int deleted = 0;

    if (!is_calm(faults) || !operator_agrees(world, account))
        return false;
    for (int of_models = 0; of_models < 2; of_models++)
        deleted += which != (of_models == 0 ? 1u : 0u) && operator_delete(world, account, of_models != 0) == 1;
    if (deleted == 0)
        return false;
    meanwhile = go_on(faults);
    (void)truth_key(account.account, account.cycle, key);
    if (operator_repair(world, account, &chosen) != 0)
        return told(ret_detail, "%s cannot be repaired", key);
    return told(ret_detail, "%s: %d, %s; repaired%s", key, deleted, meanwhile, chosen ? " by choice" : "");
}

/* --- the choice --- */

static const struct {
    const char *name;
    uint32_t weight;
    bool (*act)(struct faults *faults, char *ret_detail); /* false: not possible at present, nothing was done */
} kinds[FAULT_KINDS] = {
#define FAULT_ROW(name, weight) {#name, weight, do_##name},
    FAULT_LIST(FAULT_ROW)
#undef FAULT_ROW
};

const char *fault_name(enum fault fault)
{
    return kinds[fault].name;
}

enum fault fault_find(const char *name)
{
    enum fault fault = 0;

    while (fault < FAULT_KINDS && strcmp(kinds[fault].name, name) != 0)
        fault++;
    return fault;
}

/* A kind that has not been yet goes before the others, so that a short run has each. */
static uint32_t weight_of(const struct faults *faults, enum fault i)
{
    if (!faults->allowed[i])
        return 0;
    return faults->count[i] > 0 ? kinds[i].weight : WEIGHT_FIRST;
}

static enum fault choose(struct faults *faults)
{
    uint32_t sum = 0;
    uint32_t at;
    enum fault fault = 0;

    for (enum fault i = 0; i < FAULT_KINDS; i++)
        sum += weight_of(faults, i);
    for (at = below(faults, sum); at >= weight_of(faults, fault); fault++)
        at -= weight_of(faults, fault);
    return fault;
}

int faults_do(struct faults *faults, enum fault *ret_fault, char ret_detail[FAULT_DETAIL_BYTES])
{
    faults->rest_ms = 0;
    for (int i = 0; i < TRIES_MAX; i++) {
        enum fault fault = choose(faults);
        if (kinds[fault].act(faults, ret_detail)) {
            faults->count[fault]++;
            *ret_fault = fault;
            return 0;
        }
    }
    return -1;
}
