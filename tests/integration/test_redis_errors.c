/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every way in which a real Redis refuses a collector: it is told in words, once; usage waits in memory; and when it is mended all
 * is there, once.
 */
#include "integration/sink_health.h"

#define MINIMAL_ACL "~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset +hdel +hincrby"

/* An operator's connection, which was there before the trouble. */
struct scene {
    struct stage *stage;
    redisContext *admin;
    redisContext *other; /* another client */
};

struct trouble {
    void (*begin)(struct scene *scene);
    void (*end)(struct scene *scene);
    const char *words; /* that an operator understands */
    const char *error; /* that Redis gives; NULL: that of a command that is denied inside a script */
};

static void as_user(struct scene *scene)
{
    admin_command(scene->admin, "ACL SETUSER collector reset on >secret " MINIMAL_ACL);
    stage_env(scene->stage, "REDIS_USERNAME", "collector");
    stage_env(scene->stage, "REDIS_PASSWORD", "secret");
}

/* From a good state through the trouble to a good state. */
static void go_through(struct scene *scene, const struct trouble *trouble)
{
    struct stage *stage = scene->stage;
    const char *const told[] = {"sink: redis at unix:", "DOES NOT TAKE USAGE since", trouble->words, "accounts waiting 40", NULL};
    const char *const good[] = {"takes usage since", "accounts waiting 0, parked 0", NULL};

    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    health_wait(stage, "good", 0, "");
    trouble->begin(scene);
    record(stage, 2); /* counted all the same */
    health_wait(stage, "failing", 3, trouble->words);
    health_wait(stage, "failing", 3, trouble->error != NULL ? trouble->error : redis_server_script_denial(&stage->server));
    health_assert_told(stage, told);
    trouble->end(scene);
    wait_exact(stage);
    health_wait(stage, "good", 0, "");
    record(stage, 3);
    wait_exact(stage);
    health_assert_told(stage, good);
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_said(stage, "the sink does not take usage", 1);
    assert_said(stage, trouble->words, 1);
    assert_said(stage, "the sink takes usage again", 1);
}

static void with_admin(void **state, struct scene *ret_scene)
{
    ret_scene->stage = *state;
    ret_scene->other = NULL;
    ret_scene->admin = redis_server_context(&ret_scene->stage->server);
    assert_non_null(ret_scene->admin);
}

static void run_trouble(void **state, bool user, const struct trouble *trouble)
{
    struct scene scene;

    with_admin(state, &scene);
    if (user)
        as_user(&scene);
    go_through(&scene, trouble);
    redisFree(scene.admin);
}

/* A trouble that one command begins and another one ends. */
#define COMMANDS(name, begin_command, end_command)  \
    static void name##_begin(struct scene *scene)   \
    {                                               \
        admin_command(scene->admin, begin_command); \
    }                                               \
    static void name##_end(struct scene *scene)     \
    {                                               \
        admin_command(scene->admin, end_command);   \
    }

COMMANDS(oom, "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0")

static void test_out_of_memory_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {oom_begin, oom_end, "Redis is out of memory: raise its maxmemory", "OOM "};

    run_trouble(state, false, &trouble);
}

COMMANDS(replica, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE")

static void test_read_only_replica_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {replica_begin, replica_end, "this Redis is a read-only replica", "READONLY "};

    run_trouble(state, false, &trouble);
}

COMMANDS(replicas, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0")

static void test_missing_replicas_are_told_and_heal(void **state)
{
    static const struct trouble trouble = {replicas_begin, replicas_end, "Redis lacks the replicas", "NOREPLICAS "};

    run_trouble(state, false, &trouble);
}

COMMANDS(evalsha, "ACL SETUSER collector -evalsha", "ACL SETUSER collector +evalsha")

static void test_denied_evalsha_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {evalsha_begin, evalsha_end, "Redis denies this user", "NOPERM "};

    run_trouble(state, true, &trouble);
}

COMMANDS(hincrby, "ACL SETUSER collector -hincrby", "ACL SETUSER collector +hincrby")

static void test_command_denied_inside_the_script_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {hincrby_begin, hincrby_end, "Redis denies this user", NULL};

    run_trouble(state, true, &trouble);
}

COMMANDS(hset, "ACL SETUSER collector -hset", "ACL SETUSER collector +hset")

static void test_record_denied_inside_the_script_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {hset_begin, hset_end, "Redis denies this user", NULL};

    run_trouble(state, true, &trouble);
}

/* --- who comes in --- */

static void noauth_begin(struct scene *scene)
{
    admin_command(scene->admin, "CONFIG SET requirepass hidden");
    admin_command(scene->admin, "CLIENT KILL TYPE normal");
}

static void noauth_end(struct scene *scene)
{
    admin_command(scene->admin, "ACL SETUSER default nopass");
}

static void test_missing_password_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {noauth_begin, noauth_end, "Redis wants a password", "NOAUTH "};

    run_trouble(state, false, &trouble);
}

static void wrongpass_begin(struct scene *scene)
{
    admin_command(scene->admin, "ACL SETUSER collector resetpass >changed");
    admin_command(scene->admin, "CLIENT KILL USER collector");
}

static void wrongpass_end(struct scene *scene)
{
    admin_command(scene->admin, "ACL SETUSER collector resetpass >secret");
}

static void test_wrong_password_is_told_without_it_and_heals(void **state)
{
    static const struct trouble trouble = {wrongpass_begin, wrongpass_end, "Redis does not know this user and password",
                                           "WRONGPASS "};
    struct stage *stage = *state;

    run_trouble(state, true, &trouble);
    assert_said(stage, "secret", 0);
}

static void maxclients_begin(struct scene *scene)
{
    admin_command(scene->admin, "CONFIG SET maxclients 1");
    admin_command(scene->admin, "CLIENT KILL TYPE normal");
}

static void maxclients_end(struct scene *scene)
{
    admin_command(scene->admin, "CONFIG SET maxclients 1000");
}

static void test_no_connection_left_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {maxclients_begin, maxclients_end, "Redis has no connection left",
                                           "ERR max number of clients"};

    run_trouble(state, false, &trouble);
}

/* --- its disk, its data, its time --- */

static void wait_bgsave(struct scene *scene, const char *status)
{
    char line[64];
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    bool there = false;

    (void)snprintf(line, sizeof(line), "rdb_last_bgsave_status:%s\r\n", status);
    while (!there) {
        redisReply *reply = redisCommand(scene->admin, "INFO persistence");
        assert_non_null(reply);
        there = strstr(reply->str, line) != NULL && strstr(reply->str, "rdb_bgsave_in_progress:0") != NULL;
        freeReplyObject(reply);
        assert_true(there || process_now_ms() < end);
        process_sleep_ms(5);
    }
}

static void dump_path(const struct scene *scene, char ret_path[REDIS_SERVER_PATH_BYTES])
{
    (void)snprintf(ret_path, REDIS_SERVER_PATH_BYTES, "%s/dump.rdb", scene->stage->server.dir);
}

/* A directory stands where the dump belongs: not even root can save over it. */
static void misconf_begin(struct scene *scene)
{
    char path[REDIS_SERVER_PATH_BYTES];

    dump_path(scene, path);
    assert_int_equal(mkdir(path, 0700), 0);
    freeReplyObject(redisCommand(scene->admin, "CONFIG SET save %s", "3600 1000000")); /* refuses only who means to save */
    admin_command(scene->admin, "BGSAVE");
    wait_bgsave(scene, "err");
}

static void misconf_end(struct scene *scene)
{
    char path[REDIS_SERVER_PATH_BYTES];

    dump_path(scene, path);
    assert_int_equal(rmdir(path), 0);
    admin_command(scene->admin, "BGSAVE");
    wait_bgsave(scene, "ok");
}

static void test_disk_that_cannot_be_written_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {misconf_begin, misconf_end, "Redis cannot save to its disk", "MISCONF "};

    run_trouble(state, false, &trouble);
}

/* Comes back from its dump with so much to load that it takes minutes, unless told to hurry. */
static void loading_begin(struct scene *scene)
{
    static const char *const slow[] = {"--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"};
    struct redis_server *server = &scene->stage->server;
    size_t n = 0;
    redisReply *reply = redisCommand(scene->admin, "EVAL %s 0",
                                     "for i=1,3000 do redis.call('SET','filler:'..i,string.rep(i..'.',200)) end return 1");

    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    freeReplyObject(reply);
    admin_command(scene->admin, "CONFIG SET rdbcompression no");
    admin_command(scene->admin, "SAVE");
    redisFree(scene->admin);
    redis_server_kill(server);
    while (server->arg[n] != NULL)
        n++;
    assert_true(n + 4 < REDIS_SERVER_ARGS_MAX);
    memcpy(&server->arg[n], slow, sizeof(slow));
    assert_int_equal(process_start(&server->process, server->arg, NULL), 0);
    while ((scene->admin = redis_server_context(server)) == NULL) {
        assert_true(process_running(&server->process));
        process_sleep_ms(5);
    }
}

static void loading_end(struct scene *scene)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    bool loaded = false;

    admin_command(scene->admin, "CONFIG SET key-load-delay 0");
    while (!loaded) {
        redisReply *reply = redisCommand(scene->admin, "PING");
        assert_non_null(reply);
        loaded = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        assert_true(loaded || process_now_ms() < end);
        process_sleep_ms(5);
    }
}

static void test_loading_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {loading_begin, loading_end, "Redis is still loading its data", "LOADING "};

    run_trouble(state, false, &trouble);
}

static void busy_begin(struct scene *scene)
{
    scene->other = redis_server_context(&scene->stage->server);
    assert_non_null(scene->other);
    admin_command(scene->admin, "CONFIG SET busy-reply-threshold 50");
    assert_int_equal(redisAppendCommand(scene->other, "EVAL %s 0", "while true do end"), REDIS_OK);
    for (int done = 0; !done;)
        assert_int_equal(redisBufferWrite(scene->other, &done), REDIS_OK);
}

static void busy_end(struct scene *scene)
{
    void *reply = NULL;

    admin_command(scene->admin, "SCRIPT KILL");
    assert_int_equal(redisGetReply(scene->other, &reply), REDIS_OK); /* it is told when its script has ended */
    freeReplyObject(reply);
    redisFree(scene->other);
}

static void test_endless_script_of_another_client_is_told_and_heals(void **state)
{
    static const struct trouble trouble = {busy_begin, busy_end, "Redis is kept busy by somebody's script", "BUSY "};

    run_trouble(state, false, &trouble);
}

/* Heals by itself at once. */
static void test_forgotten_script_is_told_and_heals_by_itself(void **state)
{
    struct stage *stage = *state;
    struct scene scene;

    with_admin(state, &scene);
    stage_env(stage, "LOG_LEVEL", "debug"); /* one try that fails is not told otherwise */
    stage_collector_start(stage, "1");
    for (int i = 1; i <= 3; i++) {
        record(stage, i);
        wait_exact(stage);
        admin_command(scene.admin, "SCRIPT FLUSH");
        assert_int_equal(process_wait_text(&stage->collector, PROCESS_STDERR, "NOSCRIPT", STAGE_DEADLINE_MS), 0);
    }
    record(stage, 4);
    wait_exact(stage);
    health_wait(stage, "good", 0, "");
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
    assert_true(times_said(stage, "Redis has forgotten the script") <= 3);
    assert_int_equal(times_said(stage, "the sink takes usage again"), times_said(stage, "the sink does not take usage"));
    redisFree(scene.admin);
}

/* It hangs, for longer than it is waited for: what was sent before lands late, and once. */
static void test_command_that_lands_after_its_timeout_counts_once(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_REDIS_TIMEOUT_MS", "100");
    stage_collector_start(stage, "1");
    record(stage, 1);
    wait_exact(stage);
    for (int i = 2; i <= 4; i++) {
        process_signal(&stage->server.process, SIGSTOP);
        record(stage, i);
        health_wait(stage, "failing", 2, "no answer in time (TOKENRING_REDIS_TIMEOUT_MS)");
        process_signal(&stage->server.process, SIGCONT);
        wait_exact(stage);
        health_wait(stage, "good", 0, "");
    }
    stage_collector_end(stage, 0);
    stage_assert_exact(stage);
}

/* A node that has all slots to itself: it runs no script over keys of several. */
static void test_node_of_a_cluster_is_told(void **state)
{
    struct stage *stage = *state;
    const char *argv[] = {TEST_BIN_DIR "/tokenring", "doctor", NULL};
    struct process process;

    stage_collector_start(stage, "1");
    record(stage, 1);
    health_wait(stage, "failing", 1, "this Redis is part of a cluster"); /* of which it has no part yet */
    freeReplyObject(redis_server_command(&stage->server, "CLUSTER ADDSLOTSRANGE 0 16383"));
    health_wait(stage, "failing", 1, "this Redis is part of a cluster, which is not supported yet; it answered: CROSSSLOT ");
    assert_int_equal(process_run(&process, argv, stage->env_list, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&process), 1);
    assert_non_null(strstr(process_text(&process, PROCESS_STDOUT), "it is part of a cluster, which is not supported yet"));
    process_end(&process);
    stage_collector_end(stage, 1); /* all that was counted is kept */
}

static int set_up_cluster(void **state)
{
    static const char *const extra[] = {"--cluster-enabled", "yes", NULL};
    struct stage *stage;

    if (stage_set_up(state) != 0)
        return -1;
    stage = *state;
    if (redis_server_start(&stage->server, extra) != 0)
        return -1;
    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_SOCKET", stage->server.socket);
    return 0;
}

int main(void)
{
#define R(name) cmocka_unit_test_setup_teardown(name, stage_set_up_redis, stage_tear_down)
    const struct CMUnitTest tests[] = {
        R(test_out_of_memory_is_told_and_heals),
        R(test_read_only_replica_is_told_and_heals),
        R(test_missing_replicas_are_told_and_heal),
        R(test_denied_evalsha_is_told_and_heals),
        R(test_command_denied_inside_the_script_is_told_and_heals),
        R(test_record_denied_inside_the_script_is_told_and_heals),
        R(test_missing_password_is_told_and_heals),
        R(test_wrong_password_is_told_without_it_and_heals),
        R(test_no_connection_left_is_told_and_heals),
        R(test_disk_that_cannot_be_written_is_told_and_heals),
        R(test_loading_is_told_and_heals),
        R(test_endless_script_of_another_client_is_told_and_heals),
        R(test_forgotten_script_is_told_and_heals_by_itself),
        R(test_command_that_lands_after_its_timeout_counts_once),
        cmocka_unit_test_setup_teardown(test_node_of_a_cluster_is_told, set_up_cluster, stage_tear_down),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
