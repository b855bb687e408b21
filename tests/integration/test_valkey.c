/* SPDX-License-Identifier: Apache-2.0 */
/* Valkey instead of Redis: usage arrives, what it refuses is understood, and `tokenring doctor` knows what it is. */
#include "integration/sink_health.h"

static void expect_doctor_says(struct stage *stage, const char *words)
{
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "doctor", NULL};
    struct process process;

    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    if (strstr(process_text(&process, PROCESS_STDOUT), words) == NULL)
        fail_msg("doctor lacks \"%s\": %s", words, process_text(&process, PROCESS_STDOUT));
    process_end(&process);
}

static void test_valkey_takes_usage_and_is_named(void **state)
{
    struct stage *stage = *state;

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    expect_doctor_says(stage, "it is valkey ");
    expect_doctor_says(stage, ", compatible with Redis 7.");
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

static void test_valkey_that_denies_a_command_inside_the_script_is_told_and_heals(void **state)
{
    struct stage *stage = *state;
    redisContext *admin = redis_server_context(&stage->server);

    assert_non_null(admin);
    admin_command(admin,
                  "ACL SETUSER collector reset on >secret ~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset "
                  "+hdel");
    stage_env(stage, "REDIS_USERNAME", "collector");
    stage_env(stage, "REDIS_PASSWORD", "secret");
    stage_collector_start(stage, "1");
    record(stage, 1);
    health_wait(stage, "failing", 1, "Redis denies this user");
    health_wait(stage, "failing", 1, "ERR ACL failure in script: User collector has no permissions to run the 'hincrby' command");
    admin_command(admin, "ACL SETUSER collector +hincrby");
    wait_exact(stage);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    redisFree(admin);
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_valkey_takes_usage_and_is_named),
        R(test_valkey_that_denies_a_command_inside_the_script_is_told_and_heals),
    };

    redis_server_program = "valkey-server";
    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
