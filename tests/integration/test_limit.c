/* SPDX-License-Identifier: Apache-2.0 */
/* `tokenring limit`, `usage --sort` and `report` on totals that are known, in Redis and in the ledger. */
#include <jansson.h>

#include "integration/collector_stage.h"
#include "support/sink.h"

#define DEADLINE_MS PROCESS_PATIENCE_MS

/* Runs `tokenring` and gives its exit status; *ret_text, freed by the caller, is all that it wrote, results first. */
static int run(struct stage *stage, const char *const arg[12], char **ret_text)
{
    const char *argv[14] = {TEST_BIN_DIR "/tokenring"};
    struct process process;
    const char *out;
    int status;

    memcpy(argv + 1, arg, 12 * sizeof(arg[0]));
    assert_int_equal(process_run(&process, argv, stage->env_list, DEADLINE_MS), 0);
    out = process_text(&process, PROCESS_STDOUT);
    assert_true(asprintf(ret_text, "%s%s", out, process_text(&process, PROCESS_STDERR)) >= 0);
    status = process_exit_code(&process);
    process_end(&process);
    return status;
}

/* Runs it; its exit status is this one and it says the text. */
static void expect(struct stage *stage, int status, const char *says, const char *const arg[12])
{
    char *text;
    int found = run(stage, arg, &text);

    if (found != status || strstr(text, says) == NULL)
        fail_msg("%s %s: status %d, \"%s\" expected: %s", arg[0], arg[1] != NULL ? arg[1] : "", found, says, text);
    free(text);
}

#define EXPECT(stage, status, says, ...) expect(stage, status, says, (const char *const[12]){__VA_ARGS__})

/* Totals of users: alice has three months, bob one, and one whose id is not UTF-8. */
static void fill(const struct stage *stage)
{
    tkr_sink *sink = stage_sink(stage);
    struct test_chunk chunk;
    struct tkr_contribution *item;
    tkr_message message = {""};

    test_chunk_begin(&chunk, "test.0", 0, 1);
    test_chunk_add(&chunk, "alice", test_record_none(), test_record(1, 100, 0))->cycle = 20260901;
    item = test_chunk_add(&chunk, "alice", test_record_none(), test_record(1, 150, 0));
    item->cycle = 20261001;
    item->now.counts.value[TKR_COUNTER_COST] = INT64_C(12345678901);
    item = test_chunk_add(&chunk, "alice", test_record_none(), test_record(1, 50, 10));
    item->now.counts.value[TKR_COUNTER_COST] = INT64_C(345678901);
    (void)test_chunk_add(&chunk, "bob", test_record_none(), test_record(1, 900, 0));
    item = test_chunk_add(&chunk, "o,\"\xff", test_record_none(), test_record(1, 1, 0));
    item->now.counts.value[TKR_COUNTER_REASONING] = 7;
    test_chunk_add(&chunk, "alice", test_record_none(), test_record(1, 5, 0))->kind = TKR_KIND_TEAM;
    assert_int_equal(test_chunk_send(sink, &chunk, &message), 0);
    sink->ops->close(sink);
}

static void test_limits_are_set_got_listed_and_cleared(void **state)
{
    struct stage *stage = *state;

    fill(stage);
    EXPECT(stage, 1, "alice: there is no limit", "limit", "get", "alice", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "standing: 80 tokens", "limit", "set", "alice", "80");
    EXPECT(stage, 0, "\"limit\":1000", "limit", "set", "bob", "1000", "--cycle", "2026-11-01", "--json");
    EXPECT(stage, 0, "2026-11-01: limit 80 tokens (standing), used 60, left 20", "limit", "get", "alice", "--cycle",
           "2026-11-01");
    EXPECT(stage, 0, "limit 1000 tokens, used 900, left 100", "limit", "get", "bob", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "\"remaining\":0,\"exceeded\":true", "limit", "get", "alice", "--cycle", "2026-09-01", "--json");
    EXPECT(stage, 0, "\"standing\":80,\"holds\":80,", "limit", "get", "alice", "--json"); /* this month */
    EXPECT(stage, 0, "\"account\":\"alice\",\"kind\":\"user\",\"cycle\":null,\"limit\":80", "limit", "list", "--json");
    EXPECT(stage, 0, "alice", "limit", "list");
    EXPECT(stage, 0, "{\"rows\":[]}", "limit", "list", "--kind", "team", "--json");
    EXPECT(stage, 0,
           "{\"rows\":[{\"account\":\"bob\",\"kind\":\"user\",\"cycle\":\"2026-11-01\",\"limit\":1000,\"standing\":false,"
           "\"used\":900}]}",
           "limit", "list", "--near", "0.9", "--cycle", "2026-11-01", "--json");
    EXPECT(stage, 0,
           "{\"rows\":[{\"account\":\"alice\",\"kind\":\"user\",\"cycle\":\"2026-10-01\",\"limit\":80,\"standing\":true,"
           "\"used\":150},{\"account\":\"alice\",\"kind\":\"user\",\"cycle\":\"2026-09-01\"",
           "limit", "list", "--near", "1", "--json");
    EXPECT(stage, 0, "standing: no limit", "limit", "clear", "alice", "--standing");
    EXPECT(stage, 1, "there is no limit to clear", "limit", "clear", "alice");
    EXPECT(stage, 1, "there is no limit to clear, 2026-10-01", "limit", "clear", "bob", "--cycle", "2026-10-01");
    EXPECT(stage, 0, "no limit", "limit", "clear", "bob", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "{\"rows\":[]}", "limit", "list", "--json");
}

static void test_limits_of_a_cycle_stay_in_a_reset_unless_they_are_to_go(void **state)
{
    struct stage *stage = *state;

    fill(stage);
    EXPECT(stage, 0, "", "limit", "set", "bob", "1000", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "", "limit", "set", "bob", "1", "--cycle", "2026-12-01");
    EXPECT(stage, 0, "", "limit", "set", "bob", "2");
    EXPECT(stage, 0, "900 tokens", "reset", "bob", "--cycle", "all", "--yes");
    EXPECT(stage, 0, "limit 1000 tokens, used 0", "limit", "get", "bob", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "2026-12-01", "reset", "bob", "--cycle", "all", "--limits", "--yes");
    EXPECT(stage, 0, "limit 2 tokens (standing)", "limit", "get", "bob", "--cycle", "2026-11-01");
    EXPECT(stage, 0, "limit 2 tokens (standing)", "limit", "get", "bob", "--cycle", "2026-12-01");
}

static void test_limit_of_bad_input_says_what_is_allowed(void **state)
{
    struct stage *stage = *state;

    EXPECT(stage, 2, "allowed is an integer from 0 (blocks the account) to 9223372036854775807", "limit", "set", "alice", "1.5");
    EXPECT(stage, 2, "allowed is an integer", "limit", "set", "alice", "9223372036854775808");
    EXPECT(stage, 2, "ACCOUNT and TOKENS are needed", "limit", "set", "alice");
    EXPECT(stage, 2, "one ACCOUNT is needed", "limit", "get");
    EXPECT(stage, 2, "no operand is allowed", "limit", "list", "alice");
    EXPECT(stage, 2, "allowed are set, get, list, clear and watch", "limit", "drop", "alice");
    EXPECT(stage, 2, "what to do is missing", "limit");
    EXPECT(stage, 2, "allowed is a number above 0", "limit", "list", "--near", "1.5");
    EXPECT(stage, 2, "only list takes it", "limit", "get", "alice", "--near", "0.5");
    EXPECT(stage, 2, "only set and clear take it", "limit", "get", "alice", "--standing");
    EXPECT(stage, 2, "one of them is allowed", "limit", "set", "alice", "5", "--standing", "--cycle", "2026-11-01");
    EXPECT(stage, 2, "allowed is a date", "limit", "set", "alice", "5", "--cycle", "soon");
    EXPECT(stage, 0, "tokenring limit set", "limit", "--help");
}

static void test_usage_is_sorted_by_any_counter(void **state)
{
    struct stage *stage = *state;

    fill(stage);
    EXPECT(stage, 0, "\"rows\":[{\"kind\":\"user\",\"id\":\"bob\"", "usage", "--top", "1", "--json");
    EXPECT(stage, 0, "\"id_hex\":\"6f2c22ff\",\"cycle\":\"2026-11-01\"", "usage", "--top", "1", "--sort", "reasoning_tokens",
           "--json");
    EXPECT(stage, 0, "cost_nano_usd", "usage", "--top", "1", "--sort", "cost_nano_usd");
    EXPECT(stage, 0, "12345678901", "usage", "--top", "1", "--sort", "cost_nano_usd");
    EXPECT(stage, 2, "allowed are prompt_tokens, completion_tokens,", "usage", "--sort", "tokens");
}

static const char csv_head[] = "account,account_hex,kind,cycle"
#define TKR_COUNTER(symbol, name, letter, help) "," #name
#include "base/counters.def"
#undef TKR_COUNTER
                               ",change_tokens,change_tokens_percent,change_cost_nano_usd,change_cost_percent\r\n";

static void test_report_tells_changes_from_cycle_to_cycle(void **state)
{
    struct stage *stage = *state;
    char *text;

    fill(stage);
    EXPECT(stage, 0,
           "\"change_tokens\":50,\"change_tokens_percent\":50.0,\"change_cost_nano_usd\":12345678901,"
           "\"change_cost_percent\":null",
           "report", "alice", "--from", "2026-09-01", "--to", "2026-11-01", "--kind", "user", "--json");
    EXPECT(stage, 0, "\"change_tokens\":-90,\"change_tokens_percent\":-60.0", "report", "--from", "2026-10-01", "--to",
           "2026-11-01", "--json");
    EXPECT(stage, 0, "\"total\":{\"prompt_tokens\":300,\"completion_tokens\":10,\"total_tokens\":310", "report", "alice",
           "--from", "2026-09-01", "--to", "2026-11-30", "--kind", "user", "--json");
    EXPECT(stage, 0, "\"o,\"\"\xef\xbf\xbd\",6f2c22ff,user,2026-11-01,1,0,1,", "report", "--from", "2026-11-01", "--to",
           "2026-11-01", "--csv");
    EXPECT(stage, 0, "-12.000000000", "report", "alice", "--from", "2026-09-01", "--to", "2026-11-01");
    EXPECT(stage, 0, "12.691357802", "report", "alice", "--from", "2026-09-01", "--to", "2026-11-01", "--kind", "user");
    EXPECT(stage, 1, "nothing about this account in these cycles", "report", "bob", "--from", "2026-01-01", "--to", "2026-10-31");
    EXPECT(stage, 2, "--from and --to are needed", "report", "--from", "2026-11-01");
    EXPECT(stage, 2, "not before --from", "report", "--from", "2026-11-01", "--to", "2026-10-01");
    EXPECT(stage, 2, "allowed is a date", "report", "--from", "2026-13-01", "--to", "2026-10-01");
    EXPECT(stage, 2, "one of them", "report", "--from", "2026-10-01", "--to", "2026-11-01", "--csv", "--json");
    assert_int_equal(run(stage, (const char *const[12]){"report", "--from", "2026-01-01", "--to", "2026-01-01", "--csv"}, &text),
                     0);
    assert_string_equal(text, csv_head);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_BOTH(test_limits_are_set_got_listed_and_cleared),
        IN_BOTH(test_limits_of_a_cycle_stay_in_a_reset_unless_they_are_to_go),
        IN_BOTH(test_limit_of_bad_input_says_what_is_allowed),
        IN_BOTH(test_usage_is_sorted_by_any_counter),
        IN_BOTH(test_report_tells_changes_from_cycle_to_cycle),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
