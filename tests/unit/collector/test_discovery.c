/* SPDX-License-Identifier: Apache-2.0 */
/* Regions found, followed and forgotten, by a real worker: a collector that begins at each stage of their life. */
#include "collector/balance.h"
#include "collector/discovery.h"
#include "support/process.h"
#include "unit/collector/bench.h"

#define LIMIT_MS PROCESS_PATIENCE_MS
#define STRANGER 65534
#define USER "a"

struct fixture {
    struct bench *bench; /* its runtime directory is where regions are made; its table is not used */
    struct tkr_collector_config config;
    struct tkr_home home;
    struct tkr_post post[2];
    uint32_t posts;
    struct tkr_discovery *discovery;
    struct tkr_worker *worker;
    atomic_bool stop;
    bool running;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    void *bench = NULL;

    if (f == NULL || bench_set_up(&bench) != 0)
        return -1;
    f->bench = bench;
    f->worker = aligned_alloc(64, sizeof(*f->worker));
    f->home = (struct tkr_home)TKR_HOME_NONE;
    f->posts = 1;
    (void)snprintf(f->config.runtime_path, sizeof(f->config.runtime_path), "%s", f->bench->runtime);
    *state = f;
    return f->worker != NULL ? 0 : -1;
}

static void collector_end(struct fixture *f)
{
    if (!f->running)
        return;
    atomic_store(&f->stop, true);
    (void)pthread_join(f->worker->thread, NULL);
    tkr_discovery_close(f->discovery);
    for (uint32_t i = 0; i < f->posts; i++) {
        tkr_shard_close(f->post[i].shard);
        f->post[i] = (struct tkr_post){0};
    }
    tkr_home_close(&f->home);
    f->running = false;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *bench = f->bench;

    if (geteuid() == STRANGER)
        assert_int_equal(seteuid(0), 0);
    collector_end(f);
    (void)bench_tear_down(&bench);
    free(f->worker);
    free(f);
    return 0;
}

/* Shards, discovery; the worker is started apart, so that a test can look in between. */
static void collector_open(struct fixture *f)
{
    tkr_message message = {""};

    assert_true(tkr_guard_install());
    if (tkr_home_open(&f->config, &f->home, &message) != 0)
        fail_msg("%s", message.text);
    for (uint32_t i = 0; i < f->posts; i++) {
        struct tkr_shard_options options = {.name = f->home.name, .number = i, .accounts_max = 10000};
        if (tkr_shard_open(f->home.folder, &options, &f->post[i].shard, &message) != 0)
            fail_msg("%s", message.text);
    }
    if (tkr_discovery_open(&f->home, f->post, f->posts, NULL, &f->discovery, &message) != 0)
        fail_msg("%s", message.text);
}

static void collector_begin(struct fixture *f)
{
    collector_open(f);
    atomic_store(&f->stop, false);
    memset(f->worker, 0, offsetof(struct tkr_worker, drain));
    f->worker->posts = f->post;
    f->worker->post_count = f->posts;
    f->worker->stride = 1;
    f->worker->stop = &f->stop;
    assert_int_equal(pthread_create(&f->worker->thread, NULL, tkr_worker_run, f->worker), 0);
    f->running = true;
}

/* The sum over shards, as a reader sees it. */
static int64_t counted(const struct fixture *f)
{
    int64_t sum = 0;

    for (uint32_t i = 0; i < f->posts; i++) {
        const struct tkr_shard *shard = f->post[i].shard;
        uint64_t used = atomic_load(&shard->header->arena_committed);
        for (uint64_t at = 0; at < used;) {
            const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
            sum += atomic_load(&entry->counts[TKR_COUNTER_CALLS]);
            at += tkr_entry_size(entry);
        }
    }
    return sum;
}

static uint64_t regions_gone(const struct fixture *f)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < f->posts; i++)
        sum += atomic_load(&f->post[i].shard->header->law.gone_regions);
    return sum;
}

static uint32_t cursors_in_use(const struct fixture *f)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < f->posts; i++) {
        for (uint32_t c = 0; c < tkr_shard_cursor_count(f->post[i].shard); c++)
            used += atomic_load(&f->post[i].shard->cursor[c].state) != TKR_CURSOR_FREE;
    }
    return used;
}

#define WAIT(f, condition)                                  \
    do {                                                    \
        long end_ms = process_now_ms() + LIMIT_MS;          \
        while (!(condition)) {                              \
            tkr_discovery_look((f)->discovery);             \
            if (process_now_ms() > end_ms)                  \
                fail_msg("waited in vain: %s", #condition); \
            process_sleep_ms(2);                            \
        }                                                   \
    } while (0)

/* Looks on for a while in which nothing should happen. */
static void look_on(struct fixture *f)
{
    for (int i = 0; i < 60; i++) {
        tkr_discovery_look(f->discovery);
        process_sleep_ms(5);
    }
}

static void put_calls(struct hand *hand, int count)
{
    for (int i = 0; i < count; i++)
        assert_true(hand_put(hand, 0, USER, 1));
}

/* A region of 5 calls, counted by a collector that has left again. */
static void make_counted_region(struct fixture *f, struct hand *hand)
{
    hand_open(hand, f->bench);
    put_calls(hand, 5);
    collector_begin(f);
    WAIT(f, counted(f) == 5);
    collector_end(f);
}

/* --- from the beginning --- */

static void test_region_is_found_drained_and_removed(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    collector_begin(f);
    hand_open(&hand, f->bench);
    put_calls(&hand, 5);
    WAIT(f, counted(f) == 5);
    put_calls(&hand, 2);
    WAIT(f, counted(f) == 7);
    assert_int_equal(regions_gone(f), 0);
    hand_close(&hand);
    WAIT(f, regions_gone(f) == 1 && !bench_file_is_there(f->bench, hand.name));
    WAIT(f, cursors_in_use(f) == 0);
    look_on(f);
    assert_int_equal(counted(f), 7);
    assert_int_equal(regions_gone(f), 1);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_counted), 7);
}

static void test_regions_are_shared_out_and_stay_with_their_shard(void **state)
{
    struct fixture *f = *state;
    struct hand hand[6];

    f->posts = 2;
    for (int i = 0; i < 6; i++) {
        hand_open(&hand[i], f->bench);
        put_calls(&hand[i], 3);
    }
    for (int round = 1; round <= 3; round++) {
        collector_begin(f);
        WAIT(f, counted(f) == round * 18);
        assert_int_equal(cursors_in_use(f), 6);
        assert_int_equal(tkr_shard_cursor_count(f->post[0].shard), 3);
        assert_int_equal(tkr_shard_cursor_count(f->post[1].shard), 3);
        collector_end(f);
        for (int i = 0; i < 6; i++)
            put_calls(&hand[i], 3);
    }
    for (int i = 0; i < 6; i++)
        hand_close(&hand[i]);
    collector_begin(f);
    WAIT(f, regions_gone(f) == 6 && cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 6 * 12);
}

/* --- a collector that begins when the region is ... --- */

static void test_adopted_region_goes_on_where_it_stood(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    put_calls(&hand, 3);
    collector_begin(f);
    WAIT(f, counted(f) == 8);
    hand_close(&hand);
    WAIT(f, cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 8);
}

static void test_region_whose_owner_died_meanwhile_is_drained_and_folded(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    put_calls(&hand, 3);
    hand_close(&hand);
    collector_begin(f);
    WAIT(f, regions_gone(f) == 1 && cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 8);
    assert_false(bench_file_is_there(f->bench, hand.name));
}

/* The batch that says GONE was committed, and then the collector died. */
static void fold_and_die(struct fixture *f)
{
    struct tkr_cursor *cursor;

    collector_open(f);
    cursor = &f->post[0].shard->cursor[0];
    assert_int_equal(atomic_load(&cursor->state), TKR_CURSOR_ACTIVE);
    assert_true(tkr_batch_begin(f->post[0].shard));
    tkr_batch_add(&tkr_batch_law(f->post[0].shard)->gone_regions, 1);
    tkr_batch_add(&tkr_batch_law(f->post[0].shard)->gone_offered, 5);
    tkr_batch_add(&tkr_batch_law(f->post[0].shard)->gone_counted, 5);
    tkr_batch_touch(f->post[0].shard, cursor, TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&cursor->state, TKR_CURSOR_GONE);
    tkr_batch_commit(f->post[0].shard);
    tkr_discovery_close(f->discovery);
    tkr_shard_close(f->post[0].shard);
    f->post[0] = (struct tkr_post){0};
    tkr_home_close(&f->home);
}

static void assert_finished_once(struct fixture *f, const struct hand *hand)
{
    collector_begin(f);
    WAIT(f, cursors_in_use(f) == 0);
    look_on(f);
    assert_false(bench_file_is_there(f->bench, hand->name));
    assert_int_equal(counted(f), 5);
    assert_int_equal(regions_gone(f), 1);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_offered), 5);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_counted), 5);
}

static void test_folded_region_whose_file_is_there_is_unlinked(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    hand_close(&hand);
    fold_and_die(f);
    assert_true(bench_file_is_there(f->bench, hand.name));
    assert_finished_once(f, &hand);
}

static void test_folded_region_whose_file_is_gone_frees_its_cursor(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    hand_close(&hand);
    fold_and_die(f);
    assert_int_equal(unlinkat(f->bench->directory, hand.name, 0), 0);
    assert_finished_once(f, &hand);
}

static void test_region_that_vanished_is_folded_as_far_as_it_was_counted(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    hand_close(&hand);
    assert_int_equal(unlinkat(f->bench->directory, hand.name, 0), 0);
    assert_finished_once(f, &hand);
}

/* Another file under the same name: what the cursor says is not about it. */
static void test_file_replaced_by_another_is_not_gone_on_with(void **state)
{
    struct fixture *f = *state;
    struct hand hand;
    char command[4 * TEMPDIR_BYTES + 4 * TKR_REGION_NAME_BYTES];

    make_counted_region(f, &hand);
    hand_close(&hand);
    (void)snprintf(command, sizeof(command), "cd %s && cp %s copy && mv copy %s", f->bench->runtime, hand.name, hand.name);
    assert_int_equal(system(command), 0); /* NOLINT: a fixed command in a directory of our own */
    collector_begin(f);
    WAIT(f, cursors_in_use(f) == 0);
    look_on(f);
    assert_int_equal(regions_gone(f), 1);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_counted), 5);
    assert_int_equal(counted(f), 5);
}

/* Runs a fixed line of the shell in the runtime directory. */
static void shell(const struct fixture *f, const char *line)
{
    char command[sizeof("cd  && ") + TEMPDIR_BYTES + 4 * TKR_REGION_NAME_BYTES];

    (void)snprintf(command, sizeof(command), "cd %s && %s", f->bench->runtime, line);
    assert_int_equal(system(command), 0); /* NOLINT: in a directory of our own */
}

/* Whoever kept the region of a live process by one of these and puts it back once it is counted, to its end, adds nothing. */
static void assert_put_back_adds_nothing(struct fixture *f, const char *keep)
{
    struct hand hand;
    char line[4 * TKR_REGION_NAME_BYTES];

    hand_open(&hand, f->bench);
    put_calls(&hand, 5);
    (void)snprintf(line, sizeof(line), "%s %s kept", keep, hand.name); /* with none of it counted */
    shell(f, line);
    collector_begin(f);
    WAIT(f, counted(f) == 5);
    hand_close(&hand);
    WAIT(f, regions_gone(f) == 1 && cursors_in_use(f) == 0);
    assert_false(bench_file_is_there(f->bench, hand.name));
    (void)snprintf(line, sizeof(line), "mv kept %s", hand.name);
    shell(f, line);
    look_on(f);
    collector_end(f);
    collector_begin(f); /* nor at the next start */
    look_on(f);
    assert_int_equal(regions_gone(f), 1);
    assert_int_equal(counted(f), 5);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_offered), 5);
}

static void test_region_that_was_copied_and_put_back_is_not_counted_again(void **state)
{
    assert_put_back_adds_nothing(*state, "cp");
}

static void test_region_that_was_linked_and_put_back_is_not_counted_again(void **state)
{
    assert_put_back_adds_nothing(*state, "ln");
}

/* A copy under a name of its own, whose identity is not that of the name. */
static void test_copy_of_a_region_under_another_name_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct hand hand;
    char line[4 * TKR_REGION_NAME_BYTES];

    hand_open(&hand, f->bench);
    put_calls(&hand, 5);
    (void)snprintf(line, sizeof(line), "cp %s " TKR_REGION_PREFIX "0123456789abcdef0123456789abcdef", hand.name);
    shell(f, line);
    collector_begin(f);
    WAIT(f, counted(f) == 5);
    look_on(f);
    assert_int_equal(cursors_in_use(f), 1);
    assert_int_equal(counted(f), 5);
    hand_close(&hand);
}

/* The file says already that it is counted, and then the collector died. */
static void test_retired_region_whose_file_is_there_is_unlinked(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    atomic_store(&hand.region.header->magic, TKR_REGION_MAGIC_RETIRED);
    hand_close(&hand);
    fold_and_die(f);
    assert_finished_once(f, &hand);
}

static struct tkr_balance balance_of_host(const struct fixture *f)
{
    struct tkr_host_balance balance;
    tkr_message message = {""};
    struct tkr_balance host;

    if (tkr_balance_read(f->config.runtime_path, &balance, &message) != 0)
        fail_msg("%s", message.text);
    assert_true(tkr_balance_holds(&balance.host));
    host = balance.host;
    tkr_balance_free(&balance);
    return host;
}

/* What a quarantined region goes on publishing is in the law at once, and the same once its owner is dead. */
static void test_law_holds_beside_a_quarantined_region_whose_owner_goes_on(void **state)
{
    struct fixture *f = *state;
    struct tkr_balance host;
    struct hand hand;

    hand_open(&hand, f->bench);
    put_calls(&hand, 5);
    collector_begin(f);
    WAIT(f, counted(f) == 5);
    atomic_fetch_add(&hand.region.lanes[0].head, 4); /* no frame ends there */
    WAIT(f, atomic_load(&f->post[0].shard->cursor[0].state) == TKR_CURSOR_QUARANTINED);
    atomic_fetch_sub(&hand.region.lanes[0].head, 4);
    put_calls(&hand, 7);
    host = balance_of_host(f);
    assert_int_equal(host.offered, 12);
    assert_int_equal(host.dropped[TKR_DROP_CORRUPT], 7);
    hand_close(&hand);
    WAIT(f, regions_gone(f) == 1 && cursors_in_use(f) == 0);
    host = balance_of_host(f);
    assert_int_equal(host.offered, 12);
    assert_int_equal(host.counted, 5);
    assert_int_equal(host.dropped[TKR_DROP_CORRUPT], 7);
}

/* The shard was set aside (another layout, an operator's rm) while gateways live: their records go on being counted. */
static void test_region_whose_shard_was_lost_goes_on_behind_what_was_counted(void **state)
{
    struct fixture *f = *state;
    struct hand hand;
    uint64_t calls = 0;

    hand_open(&hand, f->bench);
    hand_add_lane(&hand);
    collector_begin(f);
    while (atomic_load(&hand.region.lanes[0].head) < 5 * TKR_LANE_BYTES_MIN) { /* positions far from 0 */
        while (hand_put(&hand, 0, USER, 1))
            calls++;
        WAIT(f, (uint64_t)counted(f) == calls);
    }
    collector_end(f);
    assert_int_equal(unlinkat(f->bench->directory, TKR_COLLECTOR_FOLDER "/shard-0", 0), 0);
    put_calls(&hand, 5);
    assert_true(hand_put(&hand, 1, USER, 1));
    collector_begin(f);
    WAIT(f, counted(f) == 6);
    put_calls(&hand, 2);
    WAIT(f, counted(f) == 8);
    hand_close(&hand);
    WAIT(f, regions_gone(f) == 1 && cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 8);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_offered),
                     atomic_load(&f->post[0].shard->header->law.gone_counted));
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_counted), 8); /* the rest was the lost shard's */
}

/* An older collector takes over a shard that has cursors of regions which only the newer one reads. */
static void test_region_of_an_unknown_layout_keeps_its_cursor_for_who_reads_it(void **state)
{
    static const uint32_t unknown[] = {TKR_REGION_MAJOR + 1, TKR_REGION_MAJOR_OLDEST - 1};
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    put_calls(&hand, 3);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        hand.region.header->major = unknown[i];
        collector_begin(f);
        look_on(f);
        assert_int_equal(counted(f), 5);
        assert_int_equal(regions_gone(f), 0);
        assert_int_equal(cursors_in_use(f), 1);
        collector_end(f);
    }
    hand.region.header->major = TKR_REGION_MAJOR;
    collector_begin(f);
    WAIT(f, counted(f) == 8);
    hand_close(&hand);
    WAIT(f, cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 8);
    assert_int_equal(regions_gone(f), 1);
    assert_false(bench_file_is_there(f->bench, hand.name));
}

/* --- a region that may not be opened at present --- */

/* Denies the region to the collector, which is not root from here on. */
static void deny(struct fixture *f, const struct hand *hand)
{
    if (geteuid() == 0) {
        assert_int_equal(chmod(f->bench->runtime, 0711), 0);
        assert_int_equal(fchownat(f->bench->directory, ".", STRANGER, STRANGER, 0), 0);
        assert_int_equal(fchownat(f->bench->directory, TKR_COLLECTOR_FOLDER, STRANGER, STRANGER, 0), 0);
        assert_int_equal(fchownat(f->bench->directory, TKR_COLLECTOR_FOLDER "/lock", STRANGER, STRANGER, 0), 0);
        assert_int_equal(fchownat(f->bench->directory, TKR_COLLECTOR_FOLDER "/name", STRANGER, STRANGER, 0), 0);
        assert_int_equal(fchownat(f->bench->directory, TKR_COLLECTOR_FOLDER "/shard-0", STRANGER, STRANGER, 0), 0);
        assert_int_equal(fchmodat(f->bench->directory, hand->name, 0600, 0), 0);
        assert_int_equal(chmod(f->bench->runtime, 0755), 0);
        assert_int_equal(seteuid(STRANGER), 0);
    } else {
        assert_int_equal(fchmodat(f->bench->directory, hand->name, 0, 0), 0);
    }
}

static void allow(struct fixture *f, const struct hand *hand)
{
    bool dropped = geteuid() == STRANGER;

    assert_int_equal(dropped ? seteuid(0) : 0, 0);
    assert_int_equal(fchmodat(f->bench->directory, hand->name, 0666, 0), 0);
    assert_int_equal(dropped ? seteuid(STRANGER) : 0, 0);
}

static void test_region_denied_at_the_start_is_gone_on_with_once_allowed(void **state)
{
    struct fixture *f = *state;
    struct hand hand;

    make_counted_region(f, &hand);
    put_calls(&hand, 3);
    deny(f, &hand);
    collector_begin(f);
    look_on(f);
    assert_int_equal(counted(f), 5);
    assert_int_equal(regions_gone(f), 0); /* not folded: it would be counted again when it comes back */
    assert_int_equal(cursors_in_use(f), 1);
    allow(f, &hand);
    WAIT(f, counted(f) == 8);
    assert_int_equal(cursors_in_use(f), 1);
    hand_close(&hand);
    WAIT(f, cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 8);
    assert_int_equal(regions_gone(f), 1);
}

static void test_region_denied_at_the_start_that_vanishes_is_folded(void **state)
{
    struct fixture *f = *state;
    struct hand hand;
    bool dropped;

    make_counted_region(f, &hand);
    hand_close(&hand);
    deny(f, &hand);
    collector_begin(f);
    look_on(f);
    assert_int_equal(cursors_in_use(f), 1);
    dropped = geteuid() == STRANGER;
    assert_int_equal(dropped ? seteuid(0) : 0, 0);
    assert_int_equal(unlinkat(f->bench->directory, hand.name, 0), 0);
    assert_int_equal(dropped ? seteuid(STRANGER) : 0, 0);
    WAIT(f, cursors_in_use(f) == 0);
    assert_int_equal(counted(f), 5);
    assert_int_equal(regions_gone(f), 1);
}

/* --- what is no region --- */

static void test_what_is_no_region_is_left_alone(void **state)
{
    struct fixture *f = *state;
    struct hand hand;
    char name[64];

    hand_open(&hand, f->bench);
    put_calls(&hand, 1);
    hand.region.header->boot_id[0] ^= 1; /* of another boot */
    assert_int_equal(mkdirat(f->bench->directory, "region-00000000000000000000000000000001", 0700), 0);
    assert_int_equal(symlinkat("/etc/passwd", f->bench->directory, "region-00000000000000000000000000000002"), 0);
    assert_int_equal(mkfifoat(f->bench->directory, "region-00000000000000000000000000000003", 0600), 0);
    for (int i = 4; i < 6; i++) {
        int fd;
        (void)snprintf(name, sizeof(name), "%sregion-0000000000000000000000000000000%d", i == 4 ? "" : ".", i);
        fd = openat(f->bench->directory, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void)close(fd);
    }
    collector_begin(f);
    look_on(f);
    assert_int_equal(counted(f), 0);
    assert_int_equal(cursors_in_use(f), 0);
    assert_true(bench_file_is_there(f->bench, hand.name));
    for (int i = 1; i < 6; i++) { /* the half made one is too young to be swept */
        (void)snprintf(name, sizeof(name), "%sregion-0000000000000000000000000000000%d", i == 5 ? "." : "", i);
        assert_true(bench_file_is_there(f->bench, name));
    }
    hand_close(&hand);
}

static void test_damaged_region_does_not_stop_the_others(void **state)
{
    struct fixture *f = *state;
    struct hand bad;
    struct hand good;

    collector_begin(f);
    hand_open(&bad, f->bench);
    hand_open(&good, f->bench);
    put_calls(&bad, 2);
    put_calls(&good, 2);
    WAIT(f, counted(f) == 4);
    atomic_store(&bad.region.lanes[0].head, UINT64_MAX - 7);
    put_calls(&good, 2);
    WAIT(f, counted(f) == 6);
    hand_close(&bad);
    WAIT(f, regions_gone(f) == 1 && !bench_file_is_there(f->bench, bad.name));
    put_calls(&good, 2);
    WAIT(f, counted(f) == 8);
    hand_close(&good);
    WAIT(f, cursors_in_use(f) == 0);
    assert_int_equal(atomic_load(&f->post[0].shard->header->law.gone_dropped[TKR_DROP_CORRUPT]), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_region_is_found_drained_and_removed),
        T(test_regions_are_shared_out_and_stay_with_their_shard),
        T(test_adopted_region_goes_on_where_it_stood),
        T(test_region_whose_owner_died_meanwhile_is_drained_and_folded),
        T(test_folded_region_whose_file_is_there_is_unlinked),
        T(test_folded_region_whose_file_is_gone_frees_its_cursor),
        T(test_region_that_vanished_is_folded_as_far_as_it_was_counted),
        T(test_file_replaced_by_another_is_not_gone_on_with),
        T(test_region_that_was_copied_and_put_back_is_not_counted_again),
        T(test_region_that_was_linked_and_put_back_is_not_counted_again),
        T(test_copy_of_a_region_under_another_name_is_left_alone),
        T(test_retired_region_whose_file_is_there_is_unlinked),
        T(test_law_holds_beside_a_quarantined_region_whose_owner_goes_on),
        T(test_region_whose_shard_was_lost_goes_on_behind_what_was_counted),
        T(test_region_of_an_unknown_layout_keeps_its_cursor_for_who_reads_it),
        T(test_region_denied_at_the_start_is_gone_on_with_once_allowed),
        T(test_region_denied_at_the_start_that_vanishes_is_folded),
        T(test_what_is_no_region_is_left_alone),
        T(test_damaged_region_does_not_stop_the_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
