/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that somebody deleted in the sink: they are missed although their accounts are idle, and a repair adds only what the
 * totals lack. Whatever is deleted by hand, alone or with more, nothing is added twice; what cannot be known waits for a choice.
 */
#include <sqlite3.h>

#include "integration/backup_stage.h"

#define USER 5
#define USAGE "token_usage:user-05:2026-11-01"
#define RECORD "tr1:{0}:user-05:2026-11-01"
#define MODELS_USAGE "token_usage.models:user-05:2026-11-01"
#define MODELS_RECORD "tr1:{0}.models:user-05:2026-11-01"
#define LOST "the sink has lost this collector's record of it"

static void wait_said(struct stage *stage, const char *text)
{
    if (process_wait_text(&stage->collector, PROCESS_STDERR, text, STAGE_DEADLINE_MS) != 0)
        fail_msg("the collector does not say \"%s\": %s", text, process_text(&stage->collector, PROCESS_STDERR));
}

/* A collector that has flushed all it counted. */
static void start(struct stage *stage)
{
    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", "100");
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
}

/* All totals are what was recorded, now and after more of it, and nobody misses a record. */
static void assert_whole(struct stage *stage)
{
    wait_exact(stage);
    record(stage, 2);
    wait_exact(stage);
    EXPECT(stage, 0, "0 missing, 0 forgotten, 0 ahead, 0 unwritable", "verify");
}

static void ledger_do(const struct stage *stage, const char *sql)
{
    sqlite3 *db = NULL;
    char *why = NULL;

    assert_int_equal(sqlite3_open_v2(stage->ledger, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, STAGE_DEADLINE_MS);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    assert_true(sqlite3_changes(db) > 0);
    (void)sqlite3_close_v2(db);
}

static void delete_all_of(const struct stage *stage, const char *pattern)
{
    redisReply *reply =
        redis_server_command(&stage->server, "EVAL %s 0 %s",
                             "for _,k in ipairs(redis.call('KEYS',ARGV[1])) do redis.call('DEL',k) end return 1", pattern);

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
}

/* --- one record --- */

static void test_deleted_record_is_missed_without_traffic(void **state)
{
    struct stage *stage = *state;

    start(stage);
    if (stage->redis)
        redis_do(stage, "DEL " RECORD);
    else
        ledger_do(stage, "DELETE FROM contribution WHERE account='user-05'");
    wait_said(stage, LOST);
    EXPECT(stage, 1, "1 missing", "verify");
    EXPECT(stage, 0, "degraded", "health");
    EXPECT(stage, 0, "user-05", "stat");
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "has gone back ("));
}

/* Whoever looks for records that are missing leaves what was forgotten: nothing of it comes back. */
static void test_forgotten_account_stays_gone_without_traffic(void **state)
{
    struct stage *stage = *state;
    redisReply *reply;

    start(stage);
    stage_collector_end(stage, 0); /* nothing of it is under way */
    EXPECT(stage, 0, "cycles with totals or records: 1", "forget", "user-05", "--yes");
    redis_do(stage, "DEL tr1:{0}:user-06:2026-11-01");
    stage_collector_start(stage, "1");
    wait_said(stage, LOST); /* of user-06, which lies behind user-05 */
    reply = redis_server_command(&stage->server, "KEYS *user-05*");
    assert_non_null(reply);
    assert_int_equal(reply->elements, 0);
    freeReplyObject(reply);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), "user-05"));
    EXPECT(stage, 0, "0 missing, 2 forgotten", "verify", "--repair=resend", "user-05");
}

/* 100 calls; the record is deleted; a repair: once it was twice as many tokens. */
static void test_repair_of_a_record_whose_total_is_there_adds_nothing(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "DEL " RECORD);
    EXPECT(stage, 1, "the total has it", "verify");
    EXPECT(stage, 0, "1 missing", "verify", "--repair");
    assert_int_equal(count_wrong(stage), 0);
    EXPECT(stage, 0, "0 missing", "verify", "--repair");
    assert_whole(stage);
}

/* What was counted since waits, and is sent after the repair. */
static void test_repair_of_a_record_adds_what_was_counted_since(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "DEL " RECORD " " MODELS_RECORD);
    record(stage, 2);
    wait_said(stage, LOST);
    EXPECT(stage, 0, "2 missing", "verify", "--repair");
    assert_whole(stage);
}

/* The records of all workers that counted the account are deleted at once; some count more of it before the repair. */
static void test_repair_of_records_of_several_workers_adds_nothing(void **state)
{
    struct stage *stage = *state;
    redisReply *reply;

    tkr_producer *producer[6];

    stage_env(stage, "TOKENRING_PARKED_RETRY_MS", "100");
    stage_collector_start(stage, "3");
    for (int i = 0; i < 6; i++) { /* all there at once: each worker has some */
        producer[i] = stage_producer(stage);
        assert_non_null(producer[i]);
    }
    for (int i = 0; i < 6; i++) {
        assert_int_equal(record_call(stage, producer[i], USER, 100 + i, 7), 0);
        assert_int_equal(tkr_sync(producer[i], SETTLE_MS), TKR_OK);
    }
    for (int i = 0; i < 6; i++)
        tkr_close(producer[i]);
    record(stage, 1);
    wait_exact(stage);
    reply = redis_server_command(&stage->server, "HLEN " RECORD);
    assert_non_null(reply);
    assert_true(reply->integer > 1);
    freeReplyObject(reply);
    redis_do(stage, "DEL " RECORD " " MODELS_RECORD);
    EXPECT(stage, 1, "the total has it", "verify");
    record(stage, 7);
    wait_said(stage, LOST);
    EXPECT(stage, 0, "0 forgotten, 0 ahead", "verify", "--repair");
    assert_whole(stage);
}

static void test_repair_without_a_collector_is_exact(void **state)
{
    struct stage *stage = *state;

    start(stage);
    stage_collector_end(stage, 0);
    redis_do(stage, "DEL " RECORD " " MODELS_RECORD);
    EXPECT(stage, 0, "2 repaired", "verify", "--repair");
    assert_int_equal(count_wrong(stage), 0);
    stage_collector_start(stage, "1");
    assert_whole(stage);
}

static void test_record_and_total_that_are_both_deleted_are_sent_again(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "DEL " RECORD " " USAGE " " MODELS_RECORD " " MODELS_USAGE);
    EXPECT(stage, 1, "the total lacks it", "verify");
    EXPECT(stage, 0, "2 missing", "verify", "--repair");
    assert_int_equal(count_wrong(stage), 0);
    assert_whole(stage);
}

/* In a ledger the total is the sum of its rows: with a row its share of the total is gone. */
static void test_deleted_row_of_a_ledger_is_sent_again(void **state)
{
    struct stage *stage = *state;

    start(stage);
    EXPECT(stage, 0, "now 0", "reset", "user-07", "--cycle", "2026-11-01", "--yes"); /* has a row of its own, which stays */
    atomic_store(&stage->truth->prompt[7], 0);
    atomic_store(&stage->truth->completion[7], 0);
    atomic_store(&stage->truth->calls[7], 0);
    ledger_do(stage, "DELETE FROM contribution WHERE account IN ('user-05','user-07') AND source<>'reset'");
    ledger_do(stage, "DELETE FROM model_contribution WHERE account='user-05'");
    EXPECT(stage, 1, "the total lacks it", "verify");
    EXPECT(stage, 0, "3 missing", "verify", "--repair");
    record(stage, 2); /* user-07's model was reset with it */
    wait_exact(stage);
    EXPECT(stage, 0, "0 missing", "verify");
}

/* --- more of it --- */

/* Somebody takes tr1:* for rubbish. Its records are written anew by the collector itself: all totals say what they stood for. */
static void test_all_that_is_tokenrings_own_is_deleted_and_nothing_doubles(void **state)
{
    struct stage *stage = *state;
    struct stage *other = host_make(stage, 2);

    stage_collector_start(other, "2");
    record(other, 1);
    start(stage);
    delete_all_of(stage, "tr1:*");
    wait_said(stage, "the sink has gone back");
    wait_said(stage, "all accounts are compared");
    wait_said(other, "all accounts are compared");
    /* Of accounts that both had charged neither collector can tell its share: those wait, named. */
    (void)run_command(stage, (const char *const[]){"verify", "--repair", NULL}, (char[SAID_BYTES]){""});
    assert_int_equal(count_wrong(stage), 0);
    EXPECT(stage, 0, "as was chosen", "verify", "--repair=record");
    assert_int_equal(count_wrong(stage), 0);
    EXPECT(other, 0, "the total has it", "verify", "--repair"); /* known, now that the other's are */
    assert_whole(stage);
    EXPECT(other, 0, "0 missing", "verify");
    host_free(other);
}

static void test_sole_collector_mends_the_deletion_of_all_its_records_itself(void **state)
{
    struct stage *stage = *state;

    start(stage);
    delete_all_of(stage, "tr1:*");
    wait_said(stage, "all accounts are compared");
    assert_int_equal(count_wrong(stage), 0);
    EXPECT(stage, 0, "0 missing", "verify");
    assert_whole(stage);
    assert_null(strstr(process_text(&stage->collector, PROCESS_STDERR), LOST));
}

/* A record is deleted, then saved so, then Redis goes back to that: its total is there. */
static void test_rollback_to_where_a_record_was_deleted_doubles_nothing(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "DEL " RECORD);
    redis_do(stage, "SAVE");
    EXPECT(stage, 0, "1 missing", "verify", "--repair");
    record(stage, 2);
    wait_exact(stage);
    redis_server_kill(&stage->server);
    assert_int_equal(redis_server_restart(&stage->server), 0);
    wait_said(stage, "all accounts are compared");
    EXPECT(stage, 1, "1 of the missing left as they are", "verify", "--repair"); /* less than acknowledged is in the total */
    EXPECT(stage, 0, "as was chosen", "verify", "--repair=unexplained");
    assert_whole(stage);
}

/* --- what cannot be known --- */

/* To the user, and to its model, so that these still add up. */
static void add_as_another_program(struct stage *stage)
{
    redis_do(stage, "HINCRBY " USAGE " prompt_tokens 12345");
    redis_do(stage, "HINCRBY " MODELS_USAGE " m:\xfe"
                    "1:prompt_tokens 12345");
    atomic_fetch_add(&stage->truth->prompt[USER], 12345);
}

static void test_total_that_others_added_to_waits_for_a_choice(void **state)
{
    struct stage *stage = *state;

    start(stage);
    add_as_another_program(stage);
    redis_do(stage, "DEL " RECORD);
    EXPECT(stage, 1, "prompt_tokens: total", "verify");
    EXPECT(stage, 1, "--repair=resend adds", "verify", "--repair"); /* is left as it is */
    assert_int_equal(count_wrong(stage), 0);
    record(stage, 2);
    EXPECT(stage, 0, "as was chosen", "verify", "--repair=record");
    assert_whole(stage);
}

static void test_total_that_was_deleted_before_others_added_is_resent_by_choice(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "DEL " RECORD " " USAGE);
    add_as_another_program(stage);
    EXPECT(stage, 1, "1 of the missing left as they are", "verify", "--repair");
    EXPECT(stage, 0, "lacks it, as was chosen", "verify", "--repair=resend", "user-05", "--kind", "user", "--cycle",
           "2026-11-01");
    assert_int_equal(count_wrong(stage), 0);
    assert_whole(stage);
}

static void test_choice_holds_for_the_account_that_is_named(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "HINCRBY " USAGE " prompt_tokens 5");
    redis_do(stage, "HINCRBY token_usage:user-06:2026-11-01 prompt_tokens 6");
    redis_do(stage, "DEL " RECORD " tr1:{0}:user-06:2026-11-01");
    EXPECT(stage, 0, "2 accounts", "verify", "user-05", "--repair=record"); /* the user's, and its model */
    EXPECT(stage, 0, "0 missing", "verify", "user-05");
    EXPECT(stage, 1, "1 missing", "verify", "user-06");
    EXPECT(stage, 1, "1 missing", "verify", "--repair");
    EXPECT(stage, 2, "allowed are record, unexplained and resend", "verify", "--repair=all");
}

static void test_field_that_is_missing_makes_it_unknown(void **state)
{
    struct stage *stage = *state;

    start(stage);
    redis_do(stage, "HDEL " USAGE " calls");
    redis_do(stage, "HDEL " MODELS_USAGE " m:\xfe"
                    "1:calls");
    redis_do(stage, "DEL " RECORD);
    EXPECT(stage, 1, "calls: total 0", "verify", "--repair");
    EXPECT(stage, 0, "1 repaired", "verify", "--repair=record");
    atomic_store(&stage->truth->calls[USER], 0);
    assert_whole(stage);
}

/* --- others who remove records --- */

/* Taken for dead, its records removed, it comes back with its memory: the totals have all of it. */
static void test_retired_collector_that_comes_back_is_repaired(void **state)
{
    struct stage *stage = *state;
    char elsewhere[STAGE_PATH_BYTES + 8];
    json_t *stat;

    start(stage);
    stage_collector_end(stage, 0);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/none", stage->dir);
    stat = json_of(stage, (const char *const[]){"stat", "--json", NULL});
    EXPECT(stage, 0, "0 left alone", "gc", json_string_value(json_object_get(stat, "collector")), "--wait", "1", "--runtime-dir",
           elsewhere);
    json_decref(stat);
    assert_int_equal(count_wrong(stage), 0);
    EXPECT(stage, 0, "the total has it", "verify", "--repair");
    assert_int_equal(count_wrong(stage), 0);
    stage_collector_start(stage, "1");
    assert_whole(stage);
}

/* Of one that lives the records are known: what is left of the total is the other's. */
static void test_records_of_others_are_taken_off_the_total(void **state)
{
    struct stage *stage = *state;
    struct stage *other = host_make(stage, 2);
    char delete[160];
    json_t *stat;

    stage_collector_start(other, "1");
    record(other, 1);
    start(stage);
    stat = json_of(stage, (const char *const[]){"stat", "--json", NULL});
    (void)snprintf(delete, sizeof(delete), "HDEL " RECORD " %s",
                   json_string_value(json_object_get(json_array_get(json_object_get(stat, "shards"), 0), "source")));
    json_decref(stat);
    redis_do(stage, delete);
    EXPECT(stage, 0, "the total has it", "verify", "--repair");
    assert_whole(stage);
    EXPECT(other, 0, "0 missing", "verify");
    host_free(other);
}

/* --- at work --- */

#define BUSY 2 /* gateways that record on */

static void begin_load(struct stage *stage, pid_t ret_gateway[BUSY])
{
    start(stage);
    for (int i = 0; i < BUSY; i++)
        ret_gateway[i] = stage_fork(stage, record_on, 10 + i);
}

static void end_load(struct stage *stage, const pid_t gateway[BUSY])
{
    atomic_store(&stage->truth->stop, true);
    for (int i = 0; i < BUSY; i++)
        assert_int_equal(stage_exit_code(gateway[i]), 0);
    atomic_store(&stage->truth->stop, false);
}

/* What a collector counts and flushes while it is looked at is no difference. */
static void test_verify_beside_a_busy_collector_finds_nothing(void **state)
{
    struct stage *stage = *state;
    pid_t gateway[BUSY];

    begin_load(stage, gateway);
    for (int i = 0; i < 40; i++)
        EXPECT(stage, 0, "0 missing, 0 forgotten, 0 ahead", "verify");
    end_load(stage, gateway);
    wait_exact(stage);
}

static void test_repairs_under_load_end_exact(void **state)
{
    struct stage *stage = *state;
    pid_t gateway[BUSY];

    begin_load(stage, gateway);
    for (int i = 0; i < 30; i++) {
        char delete[128];

        (void)snprintf(delete, sizeof(delete), "DEL tr1:{0}:user-%02d:2026-11-01 tr1:{0}.models:user-%02d:2026-11-01", i, 39 - i);
        redis_do(stage, delete);
        (void)run_command(stage, (const char *const[]){"verify", "--repair", NULL}, (char[SAID_BYTES]){""});
    }
    end_load(stage, gateway);
    /* What the command sent of what was not flushed, the collector did not know of when its record was deleted. */
    EXPECT(stage, 0, "repaired", "verify", "--repair=unexplained");
    assert_whole(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_deleted_record_is_missed_without_traffic),
        IN_REDIS(test_forgotten_account_stays_gone_without_traffic),
        IN_REDIS(test_repair_of_a_record_whose_total_is_there_adds_nothing),
        IN_REDIS(test_repair_of_a_record_adds_what_was_counted_since),
        IN_REDIS(test_repair_of_records_of_several_workers_adds_nothing),
        IN_REDIS(test_repair_without_a_collector_is_exact),
        IN_REDIS(test_record_and_total_that_are_both_deleted_are_sent_again),
        IN_LEDGER(test_deleted_row_of_a_ledger_is_sent_again),
        IN_REDIS(test_all_that_is_tokenrings_own_is_deleted_and_nothing_doubles),
        IN_REDIS(test_sole_collector_mends_the_deletion_of_all_its_records_itself),
        IN_REDIS(test_rollback_to_where_a_record_was_deleted_doubles_nothing),
        IN_REDIS(test_total_that_others_added_to_waits_for_a_choice),
        IN_REDIS(test_total_that_was_deleted_before_others_added_is_resent_by_choice),
        IN_REDIS(test_choice_holds_for_the_account_that_is_named),
        IN_REDIS(test_field_that_is_missing_makes_it_unknown),
        IN_BOTH(test_retired_collector_that_comes_back_is_repaired),
        IN_REDIS(test_records_of_others_are_taken_off_the_total),
        IN_BOTH(test_verify_beside_a_busy_collector_finds_nothing),
        IN_REDIS(test_repairs_under_load_end_exact),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
