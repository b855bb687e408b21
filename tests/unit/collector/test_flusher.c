/* SPDX-License-Identifier: Apache-2.0 */
/* Table to sink: real sinks that fail, heal, forget and refuse; in the end they have exactly what was counted. */
#include <inttypes.h>

#include "collector/flusher.h"
#include "support/aof.h"
#include "support/sink.h"
#include "unit/table/fixture.h"

#define SHARDS 2
#define USERS 350 /* several chunks */
#define ID_BYTES 24
#define LIMIT_MS PROCESS_PATIENCE_MS
#define FINISH_MS 10000
_Static_assert(CYCLE == SINK_TEST_CYCLE, "the sink's helpers look at the same cycle");

struct fixture {
    struct table table[SHARDS];
    struct tkr_post post[SHARDS];
    struct tkr_collector_config config;
    struct tkr_flusher *flusher;
    struct redis_server server;
    tkr_sink *look; /* another connection, to see what the sink has */
    char dir[TEMPDIR_BYTES];
    int64_t expected[USERS];
};

static int set_up_tables(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL || tempdir_make(f->dir) != 0)
        return -1;
    for (uint32_t i = 0; i < SHARDS; i++) {
        table_make(&f->table[i], 10000);
        f->table[i].options.number = i;
        table_reopen(&f->table[i]);
        f->post[i].shard = f->table[i].shard;
    }
    f->config.flush_interval_ms = 10;
    f->config.parked_retry_ms = 30000;
    f->config.attempts = 1;
    f->config.retry_delay_ms = 100;
    f->config.sink.connect_timeout_ms = 2000;
    f->config.sink.command_timeout_ms = 5000;
    *state = f;
    return 0;
}

static int open_look(struct fixture *f)
{
    tkr_message message;

    return tkr_sink_open(&f->config.sink, &f->look, &message);
}

static int set_up_sqlite(void **state)
{
    struct fixture *f;

    if (set_up_tables(state) != 0)
        return -1;
    f = *state;
    f->config.sink.kind = TKR_SINK_SQLITE;
    (void)snprintf(f->config.sink.ledger, sizeof(f->config.sink.ledger), "%s/ledger.db", f->dir);
    return open_look(f);
}

static int set_up_redis_with(void **state, const char *const extra[])
{
    struct fixture *f;

    if (set_up_tables(state) != 0)
        return -1;
    f = *state;
    if (redis_server_start(&f->server, extra) != 0)
        return -1;
    f->config.sink.kind = TKR_SINK_REDIS;
    (void)snprintf(f->config.sink.socket, sizeof(f->config.sink.socket), "%s", f->server.socket);
    return open_look(f);
}

static int set_up_redis(void **state)
{
    return set_up_redis_with(state, NULL);
}

static int set_up_aof(void **state)
{
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};

    return set_up_redis_with(state, extra);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_flusher_close(f->flusher);
    f->look->ops->close(f->look);
    redis_server_stop(&f->server);
    for (int i = 0; i < SHARDS; i++)
        table_remove(&f->table[i]);
    tempdir_remove(f->dir);
    free(f);
    return 0;
}

/* --- the worker and the flusher --- */

static void id_of(int user, char ret_id[ID_BYTES])
{
    (void)snprintf(ret_id, ID_BYTES, "user %d", user);
}

static void charge(struct fixture *f, int shard, int user, int64_t n)
{
    char id[ID_BYTES];

    id_of(user, id);
    assert_true(table_charge(&f->table[shard], id, n));
    f->expected[user] += n;
}

static void charge_all(struct fixture *f, int64_t n)
{
    for (int user = 0; user < USERS; user++)
        charge(f, user % SHARDS, user, n + user);
}

static void start(struct fixture *f)
{
    tkr_message message = {""};

    if (tkr_flusher_open(&f->config, f->table[0].directory, f->post, SHARDS, &f->flusher, &message) != 0 ||
        tkr_flusher_start(f->flusher, &message) != 0)
        fail_msg("%s", message.text);
}

static uint64_t finish(struct fixture *f)
{
    uint64_t left = tkr_flusher_finish(f->flusher, FINISH_MS);

    tkr_flusher_close(f->flusher);
    f->flusher = NULL;
    return left;
}

/* The collector ends and another one begins. */
static void restart(struct fixture *f)
{
    for (int i = 0; i < SHARDS; i++) {
        table_reopen(&f->table[i]);
        f->post[i].shard = f->table[i].shard;
    }
    start(f);
}

static void answer(struct fixture *f)
{
    for (int i = 0; i < SHARDS; i++)
        tkr_shard_changed_answer(f->table[i].shard);
}

static int take_total(const struct tkr_usage_row *row, void *arg)
{
    int64_t *total = arg;
    char id[ID_BYTES] = "";
    int user;

    memcpy(id, row->id, row->id_len < ID_BYTES ? row->id_len : ID_BYTES - 1);
    user = strlen(id) > 5 ? atoi(id + 5) : -1; /* "user N" */
    if (user >= 0 && user < USERS && row->cycle == CYCLE)
        total[user] = row->counts.value[TKR_COUNTER_TOTAL];
    return 0;
}

/* Totals of all users; -1: none. false: the sink does not answer. */
static bool read_totals(struct fixture *f, int64_t ret_total[USERS])
{
    struct tkr_usage_query query = {.any_kind = 1};
    tkr_message message = {""};

    for (int user = 0; user < USERS; user++)
        ret_total[user] = -1;
    return f->look->ops->read(f->look, &query, take_total, ret_total, &message) == 0;
}

static int64_t expected(const struct fixture *f, int user)
{
    return f->expected[user] > 0 ? f->expected[user] : -1;
}

static bool exact(struct fixture *f)
{
    int64_t total[USERS];
    bool same = read_totals(f, total);

    for (int user = 0; same && user < USERS; user++)
        same = total[user] == expected(f, user);
    return same;
}

static void assert_exact(struct fixture *f)
{
    int64_t total[USERS];

    assert_true(read_totals(f, total));
    for (int user = 0; user < USERS; user++) {
        if (total[user] != expected(f, user))
            fail_msg("user %d: the sink has %" PRId64 " of %" PRId64, user, total[user], expected(f, user));
    }
}

/* Works on until the sink has all. */
static void wait_exact(struct fixture *f)
{
    long end = process_now_ms() + LIMIT_MS;

    while (!exact(f)) {
        if (process_now_ms() > end)
            assert_exact(f);
        answer(f);
        process_sleep_ms(5);
    }
}

/* --- every sink --- */

static void test_everything_is_flushed_exactly(void **state)
{
    struct fixture *f = *state;

    charge_all(f, 100);
    start(f);
    wait_exact(f);
    charge_all(f, 1);
    for (int user = 0; user < USERS; user += 3)
        charge(f, 1 - user % SHARDS, user, 50); /* from the other shard too: both add up */
    wait_exact(f);
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

static void test_finish_alone_flushes_all(void **state)
{
    struct fixture *f = *state;

    charge_all(f, 7);
    start(f);
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

static void test_entries_changed_while_in_flight_are_sent_again(void **state)
{
    struct fixture *f = *state;
    long end = process_now_ms() + 500;

    start(f);
    for (int i = 0; process_now_ms() < end; i++) {
        charge(f, i % SHARDS, i % 20, 1);
        answer(f);
    }
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

static void test_next_collector_sends_nothing_twice(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++) {
        charge_all(f, 10);
        if (i == 0)
            start(f);
        else
            restart(f);
        assert_int_equal(finish(f), 0);
        assert_exact(f);
    }
}

/* The note of what the sink has is only a hint: of an older state or none at all, it costs a round, never a token. */
static void test_note_that_is_behind_or_lost_doubles_nothing(void **state)
{
    struct fixture *f = *state;
    tkr_counts none = counts_of(0);

    charge_all(f, 10);
    start(f);
    assert_int_equal(finish(f), 0);
    for (int user = 0; user < USERS; user++) {
        char id[ID_BYTES];
        struct tkr_entry *entry;
        id_of(user, id);
        entry = table_find(&f->table[user % SHARDS], id);
        tkr_entry_known_set(entry, user % 2 == 0 ? 0 : entry->life, &none);
    }
    for (int i = 0; i < SHARDS; i++)
        atomic_store(&f->table[i].shard->header->seen, i == 0 ? 0 : 1);
    charge_all(f, 5);
    restart(f);
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

/* --- Redis --- */

static void test_redis_that_never_ran_keeps_the_accounts_until_it_does(void **state)
{
    struct fixture *f = *state;

    redis_server_kill(&f->server);
    charge_all(f, 10);
    start(f);
    for (int i = 0; i < 20; i++) {
        answer(f);
        process_sleep_ms(5);
    }
    assert_int_equal(redis_server_restart(&f->server), 0);
    charge_all(f, 3);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

static void test_sink_that_is_down_at_the_end_leaves_what_it_did_not_take(void **state)
{
    struct fixture *f = *state;

    charge_all(f, 10);
    redis_server_kill(&f->server);
    start(f);
    assert_int_equal(tkr_flusher_finish(f->flusher, 300), USERS);
    tkr_flusher_close(f->flusher);
    f->flusher = NULL;
    assert_int_equal(redis_server_restart(&f->server), 0);
    restart(f);
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

static void test_redis_killed_and_restarted_with_its_data_is_exact(void **state)
{
    struct fixture *f = *state;

    start(f);
    for (int round = 0; round < 4; round++) {
        long end = process_now_ms() + 100;
        for (int i = 0; process_now_ms() < end; i++) {
            charge(f, i % SHARDS, i % USERS, 1 + round);
            answer(f);
        }
        redis_server_kill(&f->server);
        charge_all(f, 2);
        answer(f);
        assert_int_equal(redis_server_restart_aof(&f->server), 0);
    }
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

/* Redis comes back without what it had acknowledged, and no account changes any more: all is sent again by itself. */
static void test_redis_that_forgot_everything_is_healed(void **state)
{
    struct fixture *f = *state;

    charge_all(f, 10);
    start(f);
    wait_exact(f);
    redis_server_kill(&f->server);
    assert_int_equal(redis_server_restart(&f->server), 0);
    assert_false(exact(f));
    wait_exact(f);
    charge_all(f, 1);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

static void test_redis_that_went_back_to_a_snapshot_is_healed(void **state)
{
    struct fixture *f = *state;
    redisReply *reply;

    charge_all(f, 10);
    start(f);
    wait_exact(f);
    reply = redis_server_command(&f->server, "SAVE");
    assert_non_null(reply);
    freeReplyObject(reply);
    charge_all(f, 5); /* after the snapshot: will be forgotten */
    charge(f, 0, USERS - 1, 1000);
    wait_exact(f);
    redis_server_kill(&f->server);
    assert_int_equal(redis_server_restart(&f->server), 0);
    for (int user = 0; user < USERS; user += 7)
        charge(f, user % SHARDS, user, 3);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

/*
 * What Redis applied of a chunk whose number it did not take up is not acknowledged: were it, Redis could lose it again and have
 * the number that it should have. Here the note of the last number is behind, so that the next collector's first chunks, which
 * carry usage, are such; and Redis goes back to the moment before them.
 */
static void test_chunk_out_of_step_acknowledges_nothing(void **state)
{
    struct fixture *f = *state;
    tkr_message message = {""};
    redisReply *reply;

    charge_all(f, 10);
    start(f);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
    reply = redis_server_command(&f->server, "SAVE");
    assert_non_null(reply);
    freeReplyObject(reply);
    for (int i = 0; i < SHARDS; i++)
        atomic_store(&f->table[i].shard->header->seen, 1);
    charge_all(f, 5);
    if (tkr_flusher_open(&f->config, f->table[0].directory, f->post, SHARDS, &f->flusher, &message) != 0)
        fail_msg("%s", message.text);
    assert_int_equal(finish(f), 0); /* never started: its only passes take what has changed */
    assert_exact(f);
    redis_server_kill(&f->server);
    assert_int_equal(redis_server_restart(&f->server), 0);
    assert_false(exact(f));
    restart(f);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

/* The collector ends in the middle of that, several times; the comparison goes on where it stood. */
static void test_healing_survives_the_collector(void **state)
{
    struct fixture *f = *state;

    charge_all(f, 10);
    start(f);
    wait_exact(f);
    redis_server_kill(&f->server);
    assert_int_equal(redis_server_restart(&f->server), 0);
    for (int i = 0; i < 5; i++) {
        process_sleep_ms(1 + i);
        (void)tkr_flusher_finish(f->flusher, 1);
        tkr_flusher_close(f->flusher);
        restart(f);
    }
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

/* A key of another type: that account waits, everybody else's go out; mended, it is exact. */
static void test_poisoned_account_waits_alone(void **state)
{
    struct fixture *f = *state;
    redisReply *reply = redis_server_command(&f->server, "SET %s %s", "token_usage:user 5:2026-11-01", "not a hash");
    int64_t poisoned;

    assert_non_null(reply);
    freeReplyObject(reply);
    charge_all(f, 10);
    poisoned = f->expected[5];
    start(f);
    assert_int_equal(finish(f), 1);
    f->expected[5] = 0;
    assert_exact(f);
    reply = redis_server_command(&f->server, "GET %s", "token_usage:user 5:2026-11-01");
    assert_non_null(reply);
    assert_string_equal(reply->str, "not a hash"); /* untouched */
    freeReplyObject(reply);
    reply = redis_server_command(&f->server, "DEL %s", "token_usage:user 5:2026-11-01");
    freeReplyObject(reply);
    f->expected[5] = poisoned;
    charge_all(f, 1);
    restart(f);
    assert_int_equal(finish(f), 0);
    assert_exact(f);
}

/* The sink has more of an entry than we counted: never subtract, say so, keep it. */
static void test_record_ahead_of_us_is_kept_and_reported(void **state)
{
    struct fixture *f = *state;
    struct tkr_entry *entry;

    charge_all(f, 10);
    start(f);
    assert_int_equal(finish(f), 0);
    entry = table_find(&f->table[0], "user 0");
    atomic_store(&entry->counts[TKR_COUNTER_TOTAL], 3); /* as if an older state of the table had come back */
    restart(f);
    assert_int_equal(finish(f), 1);
    assert_exact(f); /* the sink's stands */
}

/* An account reset by an administrator (its hash deleted) counts on from there: that is no loss of ours. */
static void test_account_that_was_reset_gets_only_what_is_new(void **state)
{
    struct fixture *f = *state;
    redisReply *reply;

    charge_all(f, 10);
    start(f);
    wait_exact(f);
    reply = redis_server_command(&f->server, "DEL %s", "token_usage:user 5:2026-11-01");
    assert_non_null(reply);
    assert_int_equal(reply->integer, 1);
    freeReplyObject(reply);
    f->expected[5] = 0;
    charge(f, 1, 5, 4);
    wait_exact(f);
    assert_int_equal(finish(f), 0);
}

int main(void)
{
#define S(name) cmocka_unit_test_setup_teardown(name, set_up_sqlite, tear_down)
#define R(name) cmocka_unit_test_setup_teardown(name, set_up_redis, tear_down)
    const struct CMUnitTest tests[] = {
        S(test_everything_is_flushed_exactly),
        R(test_everything_is_flushed_exactly),
        S(test_finish_alone_flushes_all),
        R(test_finish_alone_flushes_all),
        S(test_entries_changed_while_in_flight_are_sent_again),
        R(test_entries_changed_while_in_flight_are_sent_again),
        S(test_next_collector_sends_nothing_twice),
        R(test_next_collector_sends_nothing_twice),
        S(test_note_that_is_behind_or_lost_doubles_nothing),
        R(test_note_that_is_behind_or_lost_doubles_nothing),
        R(test_redis_that_never_ran_keeps_the_accounts_until_it_does),
        R(test_sink_that_is_down_at_the_end_leaves_what_it_did_not_take),
        cmocka_unit_test_setup_teardown(test_redis_killed_and_restarted_with_its_data_is_exact, set_up_aof, tear_down),
        R(test_redis_that_forgot_everything_is_healed),
        R(test_redis_that_went_back_to_a_snapshot_is_healed),
        R(test_chunk_out_of_step_acknowledges_nothing),
        R(test_healing_survives_the_collector),
        R(test_poisoned_account_waits_alone),
        R(test_record_ahead_of_us_is_kept_and_reported),
        R(test_account_that_was_reset_gets_only_what_is_new),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
