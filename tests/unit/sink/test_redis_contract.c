/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sinks, against a real Redis. */
#include "unit/sink/contract_accounts.h"
#include "unit/sink/contract_backup.h"
#include "unit/sink/contract_models.h"
#include "unit/sink/contract_repair.h"
#include "unit/sink/redis_fixture.h"

static tkr_sink *contract_sink(void **state)
{
    return *state;
}

static tkr_sink *contract_emptied(void **state)
{
    RUN("FLUSHALL");
    return *state;
}

static int set_up(void **state)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_REDIS, .db = 3, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    tkr_sink *sink;
    tkr_message message;

    freeReplyObject(redis_server_command(&server, "FLUSHALL"));
    memcpy(config.socket, server.socket, sizeof(server.socket));
    if (tkr_sink_open(&config, &sink, &message) != 0 || sink->ops->connect(sink, &message) != 0)
        return -1;
    *state = sink;
    return 0;
}

/* Sends one contribution of user "late" in a chunk of its own, as on a connection that is not waited for by anybody any more. */
static enum tkr_outcome send_numbered(tkr_sink *sink, uint64_t expected, uint64_t next, struct tkr_record known,
                                      struct tkr_record now)
{
    struct test_chunk chunk;
    tkr_message message = {""};

    test_chunk_begin(&chunk, "late.0", expected, next);
    (void)test_chunk_add(&chunk, "late", known, now);
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    return chunk.item[0].outcome;
}

/*
 * An entry's first contribution was held up on its way, sent again and acknowledged; the entry was forgotten and its record
 * removed. What was held up arrives at last, and finds no record, as it expects.
 */
static void test_first_contribution_that_arrives_after_its_record_was_removed_adds_nothing(void **state)
{
    tkr_sink *sink = *state;
    struct tkr_record five = test_record(7, 2, 3);

    assert_int_equal(send_numbered(sink, 0, 96, test_record_none(), five), TKR_OUTCOME_APPLIED);  /* the second try */
    assert_int_equal(send_numbered(sink, 96, 97, five, test_record_none()), TKR_OUTCOME_APPLIED); /* the removal */
    assert_int_equal(send_numbered(sink, 0, 95, test_record_none(), five), TKR_OUTCOME_FOUND);
    assert_int_equal(send_numbered(sink, 0, 97, test_record_none(), five), TKR_OUTCOME_FOUND);
    assert_int_equal(send_numbered(sink, 0, 9, test_record_none(), five), TKR_OUTCOME_FOUND);
    assert_int_equal(test_usage_total(sink, "late"), 5);
}

/* Whose number is higher is not late, however many digits it has, and though it does not follow what is there. */
static void test_chunk_with_a_higher_number_is_not_late(void **state)
{
    tkr_sink *sink = *state;
    struct tkr_record one = test_record(7, 1, 0);
    struct tkr_record two = test_record(7, 2, 0);
    struct tkr_record three = test_record(7, 3, 0);

    assert_int_equal(send_numbered(sink, 0, 99, test_record_none(), one), TKR_OUTCOME_APPLIED);
    assert_int_equal(send_numbered(sink, 0, 100, one, two), TKR_OUTCOME_APPLIED);
    assert_int_equal(send_numbered(sink, 5, UINT64_MAX / 2, two, three), TKR_OUTCOME_APPLIED);
    assert_int_equal(test_usage_total(sink, "late"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONTRACT_TESTS(set_up, fixture_sink_close),
        CONTRACT_ACCOUNTS_TESTS(set_up, fixture_sink_close),
        CONTRACT_MODELS_TESTS(set_up, fixture_sink_close),
        CONTRACT_BACKUP_TESTS(set_up, fixture_sink_close),
        CONTRACT_REPAIR_TESTS(set_up, fixture_sink_close),
        cmocka_unit_test_setup_teardown(test_first_contribution_that_arrives_after_its_record_was_removed_adds_nothing, set_up,
                                        fixture_sink_close),
        cmocka_unit_test_setup_teardown(test_chunk_with_a_higher_number_is_not_late, set_up, fixture_sink_close),
    };
    int failed;

    redis_server_require();
    failed = cmocka_run_group_tests(tests, fixture_server_start, NULL);
    redis_server_stop(&server);
    return failed;
}
