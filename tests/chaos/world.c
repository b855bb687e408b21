/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/world.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEADLINE_MS PROCESS_PATIENCE_MS
#define LEAVE_MS 15000 /* its own last flush takes up to 10 s */
#define TICK_MS 3
#define PATH_BYTES 128
#define TERMINATED (128 + SIGTERM)

void world_complain(struct world *world, const char *why)
{
    (void)fprintf(stderr, "%s\n%s", why, process_text(&world->collector, PROCESS_STDERR));
    for (int i = 0; i < WORLD_SEATS; i++)
        (void)fputs(process_text(&world->seat[i].process, PROCESS_STDERR), stderr);
}

static int fail(struct world *world, const char *why)
{
    world_complain(world, why);
    return -1;
}

static bool is_due(long at_ms)
{
    return at_ms != WORLD_NEVER && process_now_ms() >= at_ms;
}

static void make_due(long *at_ms)
{
    if (*at_ms != WORLD_NEVER)
        *at_ms = 1;
}

/* --- gateways --- */

static void *map_new(const char *path, size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    void *bytes = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
        bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    return bytes == MAP_FAILED ? NULL : bytes;
}

/* Settings by which a program has a wall clock of the place. */
static void tell_clock(const struct world *world, enum place_clock clock, char ret_setting[2][PATH_BYTES * 4])
{
    (void)snprintf(ret_setting[0], PATH_BYTES * 4, "LD_PRELOAD=%s/../tests/libchaos_clock.so", world->bin_dir);
    (void)snprintf(ret_setting[1], PATH_BYTES * 4, "CHAOS_CLOCK=%d:%s", (int)clock, world->place.clocks_path);
}

static int start_gateway(struct world *world, struct world_seat *seat)
{
    char runtime[PATH_BYTES];
    char program[PATH_BYTES * 4];
    char truth[PATH_BYTES];
    char number[16];
    char shim[2][PATH_BYTES * 4];
    const char *argv[] = {program, world->control_path, truth, number, NULL};
    const char *env[] = {runtime, shim[0], shim[1], NULL};
    struct truth_gateway *gateway = &world->gateway[world->gateways];

    if (world->gateways == world->gateways_max)
        return fail(world, "there are more gateways than there can be");
    (void)snprintf(runtime, sizeof(runtime), "TOKENRING_RUNTIME_DIR=%s", world->place.runtime);
    (void)snprintf(program, sizeof(program), "%s/../tests/chaos_gateway", world->bin_dir);
    tell_clock(world, PLACE_GATEWAYS, shim);
    (void)snprintf(truth, sizeof(truth), "%s/truth-%u", world->state, world->gateways);
    (void)snprintf(number, sizeof(number), "%u", world->gateways);
    process_end(&seat->process);
    gateway->truth = map_new(truth, sizeof(*gateway->truth));
    if (gateway->truth == NULL || process_start(&seat->process, argv, env) != 0)
        return fail(world, "cannot start a gateway");
    seat->number = world->gateways++;
    seat->up = true;
    seat->again_ms = WORLD_NEVER;
    return 0;
}

void world_gateway_kill(struct world *world, int i, int again_ms)
{
    struct world_seat *seat = &world->seat[i];

    process_signal(&seat->process, SIGKILL);
    (void)process_wait(&seat->process, DEADLINE_MS);
    seat->up = false;
    seat->again_ms = process_now_ms() + again_ms;
    world->gateway[seat->number].ended = true;
}

static int tick_gateways(struct world *world)
{
    for (int i = 0; i < WORLD_SEATS; i++) {
        struct world_seat *seat = &world->seat[i];
        if (seat->up && !process_running(&seat->process))
            return fail(world, "a gateway ended by itself");
        if (!seat->up && is_due(seat->again_ms) && start_gateway(world, seat) != 0)
            return -1;
    }
    return 0;
}

static bool all_paused(const struct world *world)
{
    for (int i = 0; i < WORLD_SEATS; i++) {
        const struct chaos_truth *truth = world->gateway[world->seat[i].number].truth;
        for (int t = 0; t < CHAOS_THREADS; t++) {
            if (world->seat[i].up && atomic_load(&truth->thread[t].paused) != world->pauses)
                return false;
        }
    }
    return true;
}

int world_pause(struct world *world)
{
    long until = process_now_ms() + DEADLINE_MS;

    make_due(&world->room_at_ms); /* a gateway that finds no room for a step does not come to its end */
    atomic_store(&world->control->pause, ++world->pauses);
    while (!all_paused(world)) {
        if (process_now_ms() > until)
            return fail(world, "a gateway does not pause");
        if (world_wait(world, TICK_MS) != 0)
            return -1;
    }
    return 0;
}

void world_resume(struct world *world)
{
    atomic_store(&world->control->pause, 0);
}

int world_gateways_end(struct world *world)
{
    atomic_store(&world->control->stop, 1);
    atomic_store(&world->control->pause, 0);
    for (int i = 0; i < WORLD_SEATS; i++) {
        struct world_seat *seat = &world->seat[i];
        if (!seat->up)
            continue;
        if (process_wait(&seat->process, DEADLINE_MS) != 0 || process_exit_code(&seat->process) != 0)
            return fail(world, "a gateway does not end in order");
        seat->up = false;
        seat->again_ms = WORLD_NEVER;
        world->gateway[seat->number].ended = true;
    }
    return 0;
}

/* --- the collector --- */

static void collector_forget(struct world *world)
{
    if (world->log != NULL) {
        (void)fputs(process_text(&world->collector, PROCESS_STDERR), world->log);
        (void)fflush(world->log);
    }
    process_end(&world->collector);
    world->collector_stopped = false;
}

static int start_collector(struct world *world)
{
    char program[PATH_BYTES * 4];
    char setting[5][PATH_BYTES];
    char shim[2][PATH_BYTES * 4];
    const char *argv[] = {program, NULL};
    const char *env[] = {setting[0],
                         setting[1],
                         setting[2],
                         setting[3],
                         setting[4],
                         shim[0],
                         shim[1],
                         "TOKENRING_FLUSH_INTERVAL_MS=20",
                         "TOKENRING_MAX_ACCOUNTS=100000",
                         "TOKENRING_MODELS=2",
                         NULL};

    (void)snprintf(program, sizeof(program), "%s/tokenringd", world->bin_dir);
    (void)snprintf(setting[0], PATH_BYTES, "TOKENRING_RUNTIME_DIR=%s", world->place.runtime);
    (void)snprintf(setting[1], PATH_BYTES, "TOKENRING_STATE_DIR=%s", world->state);
    (void)snprintf(setting[2], PATH_BYTES, "REDIS_HOST=%s", world->place.apart ? PLACE_NAME : "127.0.0.1");
    (void)snprintf(setting[3], PATH_BYTES, "REDIS_PORT=%d", proxy_port(world->servers.proxy, PROXY_COLLECTOR));
    (void)snprintf(setting[4], PATH_BYTES, "TOKENRING_WORKERS=%d", world->workers);
    tell_clock(world, PLACE_COLLECTOR, shim);
    collector_forget(world);
    if (process_start(&world->collector, argv, env) != 0)
        return fail(world, "cannot start the collector");
    world->standing = COLLECTOR_UP;
    world->collector_at_ms = WORLD_NEVER;
    return 0;
}

void world_collector_kill(struct world *world, int workers, int again_ms)
{
    process_signal(&world->collector, SIGKILL);
    (void)process_wait(&world->collector, DEADLINE_MS);
    world->standing = COLLECTOR_DOWN;
    world->collector_stopped = false;
    world->workers = workers;
    world->collector_at_ms = process_now_ms() + again_ms;
}

void world_collector_stop(struct world *world, int for_ms)
{
    process_signal(&world->collector, SIGSTOP);
    world->collector_stopped = true;
    world->collector_at_ms = process_now_ms() + for_ms;
}

void world_collector_leave(struct world *world, int workers)
{
    process_signal(&world->collector, SIGTERM);
    world->standing = COLLECTOR_LEAVING;
    world->workers = workers;
    world->collector_at_ms = process_now_ms() + LEAVE_MS;
}

/* 1: Redis did not take all, which stays in memory. TERMINATED: it had not come so far as to catch the signal. */
static bool has_left(const struct world *world)
{
    int code = process_exit_code(&world->collector);

    return code == 0 || code == 1 || code == TERMINATED;
}

static int tick_collector(struct world *world)
{
    bool running = process_running(&world->collector);

    if (world->standing == COLLECTOR_UP && !running)
        return fail(world, "the collector ended by itself");
    if (world->standing == COLLECTOR_LEAVING && !running)
        return has_left(world) ? start_collector(world) : fail(world, "the collector broke down");
    if (!is_due(world->collector_at_ms))
        return 0;
    if (world->standing == COLLECTOR_DOWN)
        return start_collector(world);
    if (world->standing == COLLECTOR_LEAVING)
        return fail(world, "the collector does not leave");
    process_signal(&world->collector, SIGCONT);
    world->collector_stopped = false;
    world->collector_at_ms = WORLD_NEVER;
    return 0;
}

int world_collector_end(struct world *world)
{
    process_signal(&world->collector, SIGTERM);
    if (process_wait(&world->collector, DEADLINE_MS) != 0 || process_exit_code(&world->collector) != 0)
        return fail(world, "the collector does not leave in order");
    world->standing = COLLECTOR_DOWN;
    world->collector_at_ms = WORLD_NEVER;
    collector_forget(world);
    return 0;
}

/* --- Redis --- */

static int tick_server(struct world *world, int i)
{
    struct servers *servers = &world->servers;

    if (servers->up[i] && !process_running(&servers->server[i].process)) {
        (void)fputs(process_text(&servers->server[i].process, PROCESS_STDOUT), stderr);
        return fail(world, "redis-server ended by itself");
    }
    if (servers->up[i] && is_due(world->server_continue_ms[i])) {
        servers_continue(servers, i);
        world->server_continue_ms[i] = WORLD_NEVER;
    }
    if (servers->up[i] && is_due(world->server_dies_ms[i])) {
        servers_kill(servers, i);
        world->server_dies_ms[i] = WORLD_NEVER;
    }
    if (!servers->up[i] && is_due(world->server_again_ms[i])) {
        world->server_again_ms[i] = WORLD_NEVER;
        world->server_continue_ms[i] = WORLD_NEVER;
        return servers_restart(servers, i);
    }
    return 0;
}

/* --- the place --- */

int world_fill(struct world *world, int64_t left_bytes, int for_ms)
{
    world->room_at_ms = process_now_ms() + for_ms;
    return place_fill(&world->place, left_bytes);
}

void world_silence(struct world *world, int for_ms)
{
    world->names_at_ms = process_now_ms() + for_ms;
    place_silence(&world->place, true);
    proxy_cut(world->servers.proxy, PROXY_COLLECTOR, PROXY_UP, 1);
}

static void tick_place(struct world *world)
{
    if (is_due(world->room_at_ms)) {
        place_empty(&world->place);
        world->room_at_ms = WORLD_NEVER;
    }
    if (is_due(world->names_at_ms)) {
        place_silence(&world->place, false);
        world->names_at_ms = WORLD_NEVER;
    }
}

/* --- all of it --- */

int world_tick(struct world *world)
{
    tick_place(world);
    if (tick_gateways(world) != 0 || tick_collector(world) != 0)
        return -1;
    for (int i = 0; i < SERVERS; i++) {
        if (tick_server(world, i) != 0)
            return -1;
    }
    return 0;
}

int world_wait(struct world *world, int ms)
{
    long until = process_now_ms() + ms;

    do {
        if (world_tick(world) != 0)
            return -1;
        process_sleep_ms(TICK_MS);
    } while (process_now_ms() < until);
    return 0;
}

int world_heal(struct world *world)
{
    proxy_heal(world->servers.proxy);
    make_due(&world->room_at_ms);
    make_due(&world->names_at_ms);
    for (int i = 0; i < WORLD_SEATS; i++)
        make_due(&world->seat[i].again_ms);
    if (world->standing != COLLECTOR_LEAVING)
        make_due(&world->collector_at_ms);
    for (int i = 0; i < SERVERS; i++) {
        make_due(&world->server_again_ms[i]);
        make_due(&world->server_continue_ms[i]);
        make_due(&world->server_dies_ms[i]);
    }
    return world_tick(world);
}

static int start_all(struct world *world, bool apart)
{
    if (tempdir_make(world->state) != 0 || place_start(&world->place, apart, world->state) != 0) {
        perror("the run's own place");
        return -1;
    }
    (void)snprintf(world->control_path, sizeof(world->control_path), "%s/control", world->state);
    world->control = map_new(world->control_path, sizeof(*world->control));
    world->gateway = calloc(world->gateways_max, sizeof(*world->gateway));
    if (world->control == NULL || world->gateway == NULL)
        return fail(world, "no memory");
    if (servers_start(&world->servers) != 0 || start_collector(world) != 0)
        return -1;
    for (int i = 0; i < WORLD_SEATS; i++) {
        if (start_gateway(world, &world->seat[i]) != 0)
            return -1;
    }
    return 0;
}

int world_start(struct world *ret_world, const char *bin_dir, bool apart, uint32_t gateways_max, FILE *log)
{
    memset(ret_world, 0, sizeof(*ret_world));
    ret_world->bin_dir = bin_dir;
    ret_world->log = log;
    ret_world->workers = 2;
    ret_world->gateways_max = gateways_max;
    return start_all(ret_world, apart);
}

void world_end(struct world *world)
{
    for (int i = 0; i < WORLD_SEATS; i++)
        process_end(&world->seat[i].process);
    collector_forget(world);
    servers_end(&world->servers);
    for (uint32_t g = 0; g < world->gateways; g++)
        (void)munmap(world->gateway[g].truth, sizeof(*world->gateway[g].truth));
    if (world->control != NULL)
        (void)munmap(world->control, sizeof(*world->control));
    free(world->gateway);
    place_end(&world->place);
    tempdir_remove(world->state);
    memset(world, 0, sizeof(*world));
}

/* --- the law --- */

static json_int_t number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);

    return json_is_integer(number) ? json_integer_value(number) : -1;
}

static bool is_settled(const json_t *stat, bool gone)
{
    const json_t *host = json_object_get(stat, "host");
    const json_t *shard;
    size_t i;

    json_array_foreach (json_object_get(stat, "shards"), i, shard) {
        if (number_of(shard, "unflushed_accounts") != 0)
            return false;
    }
    if (gone && (number_of(host, "open_calls") != 0 || json_array_size(json_object_get(stat, "regions")) != 0))
        return false;
    return number_of(host, "in_lanes") == 0;
}

int world_settled(struct world *world, bool gone)
{
    char program[PATH_BYTES * 4];
    char runtime[PATH_BYTES];
    const char *argv[] = {program, "stat", "--json", NULL};
    const char *env[] = {runtime, NULL};
    struct process stat;
    json_t *answer;
    int result = -1;

    (void)snprintf(program, sizeof(program), "%s/tokenring", world->bin_dir);
    (void)snprintf(runtime, sizeof(runtime), "TOKENRING_RUNTIME_DIR=%s", world->place.runtime);
    if (process_run(&stat, argv, env, DEADLINE_MS) != 0) {
        process_end(&stat);
        return fail(world, "tokenring stat does not end");
    }
    answer = json_loads(process_text(&stat, PROCESS_STDOUT), 0, NULL);
    if (process_exit_code(&stat) == 0 && answer != NULL)
        result = is_settled(answer, gone);
    if (result < 0)
        (void)fprintf(stderr, "stat: %s%s\n", process_text(&stat, PROCESS_STDOUT), process_text(&stat, PROCESS_STDERR));
    json_decref(answer);
    process_end(&stat);
    return result;
}
