/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis that refuses, forgets, hangs or dies: the sink fails as a whole, and what is sent again ends exact. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sink/contribution.h"
#include "support/random.h"
#include "unit/sink/redis_fixture.h"

#define TIMEOUT_MS 300 /* for the tests that wait for it */

static int set_up(void **state)
{
    struct tkr_sink_config config;

    if (redis_server_start(&server, NULL) != 0)
        return -1;
    config = fixture_config(5000);
    *state = fixture_sink(&config);
    return 0;
}

static int tear_down(void **state)
{
    tkr_sink *sink = *state;

    sink->ops->close(sink);
    redis_server_stop(&server);
    return 0;
}

/* One contribution of 7 to "u", in a chunk of its own, with a number that was never given before. */
static int send_seven(tkr_sink *sink, struct test_chunk *ret_chunk, tkr_message *ret_message)
{
    static uint64_t number = 100;

    test_chunk_begin(ret_chunk, "test.0", 0, ++number);
    (void)test_chunk_add(ret_chunk, "u", NONE, test_record(1, 3, 4));
    return test_chunk_send(sink, ret_chunk, ret_message);
}

static void assert_fails(tkr_sink *sink, const char *part)
{
    struct test_chunk chunk;
    tkr_message message = {""};

    assert_int_equal(send_seven(sink, &chunk, &message), -1);
    if (strstr(message.text, part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", message.text, part);
    assert_int_equal(chunk.item[0].outcome, TKR_OUTCOME_PENDING);
}

/* After the trouble: connects again, sends again, and all is there once. */
static void assert_heals(tkr_sink *sink)
{
    struct test_chunk chunk;
    tkr_message message = {""};

    if (send_seven(sink, &chunk, &message) != 0)
        fail_msg("%s", message.text);
    assert_int_equal(tkr_contribution_decide(&chunk.item[0], true), TKR_DECIDE_ACKNOWLEDGED);
    assert_string_equal(hash_text(USER_KEY("u")), "completion_tokens=4 prompt_tokens=3 total_tokens=7");
}

static void test_redis_out_of_memory_fails_the_sink_and_changes_nothing(void **state)
{
    tkr_message message;
    tkr_sink *sink = *state;

    assert_int_equal(sink->ops->connect(sink, &message), 0);
    RUN("CONFIG SET maxmemory 1");
    assert_fails(sink, "OOM");
    assert_int_equal(integer_of("EXISTS", USER_KEY("u")), 0);
    assert_int_equal(integer_of("EXISTS", RECORD_KEY("u")), 0);
    RUN("CONFIG SET maxmemory 0");
    assert_heals(sink);
}

static void test_redis_out_of_memory_with_other_seen_fails_the_sink(void **state)
{
    tkr_message message;
    tkr_sink *sink = *state;

    assert_int_equal(sink->ops->connect(sink, &message), 0);
    RUN("HSET tr1:{0}:seen test.0 99"); /* so that the first write is an account's */
    RUN("CONFIG SET maxmemory 1");
    assert_fails(sink, "OOM");
    assert_int_equal(integer_of("EXISTS", RECORD_KEY("u")), 0);
    RUN("CONFIG SET maxmemory 0");
    assert_heals(sink);
}

static void test_redis_read_only_replica_fails_the_sink(void **state)
{
    RUN("REPLICAOF 127.0.0.1 1");
    assert_fails(*state, "READONLY");
    RUN("REPLICAOF NO ONE");
    assert_heals(*state);
}

static void test_redis_missing_replicas_fail_the_sink(void **state)
{
    RUN("CONFIG SET min-replicas-to-write 1");
    assert_fails(*state, "NOREPLICAS");
    RUN("CONFIG SET min-replicas-to-write 0");
    assert_heals(*state);
}

static void test_redis_forgotten_script_fails_once_and_is_loaded_again(void **state)
{
    tkr_sink *sink = *state;
    tkr_message message;

    assert_int_equal(sink->ops->connect(sink, &message), 0);
    RUN("SCRIPT FLUSH");
    assert_fails(sink, "NOSCRIPT");
    assert_heals(sink);
}

static void test_redis_seen_of_wrong_type_or_text_fails_the_sink(void **state)
{
    RUN("SET tr1:{0}:seen x");
    assert_fails(*state, "WRONGTYPE");
    RUN("DEL tr1:{0}:seen");
    RUN("HSET tr1:{0}:seen test.0 12x");
    assert_fails(*state, "chunk's number");
    RUN("HSET tr1:{0}:seen test.0 99999999999999999999");
    assert_fails(*state, "chunk's number");
    RUN("DEL tr1:{0}:seen");
    assert_heals(*state);
}

static tkr_sink *sink_as(const char *user, const char *password)
{
    struct tkr_sink_config config = fixture_config(5000);

    memcpy(config.username, user, strlen(user) + 1);
    memcpy(config.password, password, strlen(password) + 1);
    return fixture_sink(&config);
}

static int ignore_row(const struct tkr_usage_row *row, void *arg)
{
    (void)row;
    (void)arg;
    return 0;
}

#define MINIMAL "~token_usage* ~token_limit* ~tr1:* +evalsha +script|load +hget +hset +hdel +hincrby"

static void test_redis_minimal_acl_suffices(void **state)
{
    tkr_sink *sink = sink_as("collector", "secret");

    (void)state;
    RUN("ACL SETUSER collector on >secret " MINIMAL);
    assert_heals(sink);
    RUN("HSET %s total_tokens abc", USER_KEY("bad"));
    assert_int_equal(test_contribute(sink, "bad", NONE, test_record(1, 1, 1), NULL), TKR_OUTCOME_POISON);
    assert_string_equal(hash_text(USER_KEY("bad")), "total_tokens=abc");
    sink->ops->close(sink);
}

/* What tools need besides: README.md says so too. */
#define TOOLS MINIMAL " +scan +hgetall"

static void test_redis_acl_of_tools_suffices_and_forgetting_needs_two_more(void **state)
{
    tkr_sink *sink = sink_as("collector", "secret");
    const struct tkr_usage_row account = {.id = "u", .id_len = 1, .cycle = SINK_TEST_CYCLE};
    struct tkr_usage_query all = {.any_kind = 1};
    struct tkr_usage_found found;
    tkr_message message = {""};
    tkr_counts before;
    uint32_t cycles;

    (void)state;
    RUN("FLUSHALL");
    RUN("ACL SETUSER collector reset on >secret " TOOLS);
    assert_heals(sink);
    assert_int_equal(sink->ops->limit_set(sink, &account, 5, &message), 0);
    assert_int_equal(sink->ops->lookup(sink, &account, 1, &found, &message), 0);
    assert_int_equal(found.limit, 5);
    assert_int_equal(sink->ops->limits(sink, &(struct tkr_give_up){NULL, NULL}, ignore_row, NULL, &message), 0);
    assert_true(test_usage_count(sink, &all) > 0);
    assert_int_equal(sink->ops->reset(sink, &account, &before, &message), 0);
    assert_int_equal(sink->ops->limit_set(sink, &account, TKR_LIMIT_NONE, &message), 0);
    assert_int_equal(sink->ops->forget(sink, &account, &cycles, &message), -1);
    assert_non_null(strstr(message.text, "ACL"));
    RUN("ACL SETUSER collector +del +expire");
    assert_int_equal(sink->ops->forget(sink, &account, &cycles, &message), 0);
    assert_int_equal(cycles, 1);
    sink->ops->close(sink);
}

static void test_redis_denied_commands_and_keys_fail_the_sink_and_change_nothing(void **state)
{
    const char *const denials[] = {"-hincrby", "-hget", "-hset", "resetkeys ~tr1:*", "resetkeys ~token_usage*"};

    (void)state;
    for (size_t i = 0; i < sizeof(denials) / sizeof(denials[0]); i++) {
        tkr_sink *sink = sink_as("collector", "secret");
        char denial[32];

        memcpy(denial, denials[i], strlen(denials[i]) + 1);
        RUN("FLUSHALL");
        RUN("ACL SETUSER collector reset on >secret " MINIMAL);
        if (strchr(denial, ' ') == NULL)
            RUN("ACL SETUSER collector %s", denial);
        else
            RUN("ACL SETUSER collector resetkeys %s", strchr(denial, ' ') + 1);
        assert_fails(sink, strchr(denial, ' ') == NULL ? redis_server_script_denial(&server) : "");
        assert_int_equal(integer_of("EXISTS", USER_KEY("u")), 0);
        assert_int_equal(integer_of("HLEN", RECORD_KEY("u")), 0);
        RUN("ACL SETUSER collector reset on >secret " MINIMAL);
        assert_heals(sink);
        sink->ops->close(sink);
    }
}

static void test_redis_denied_evalsha_fails_the_sink(void **state)
{
    tkr_sink *sink = sink_as("collector", "secret");

    (void)state;
    RUN("ACL SETUSER collector on >secret ~* +script|load");
    assert_fails(sink, "NOPERM");
    RUN("ACL SETUSER collector reset on >secret " MINIMAL);
    assert_heals(sink);
    sink->ops->close(sink);
}

static void test_redis_password_is_needed_and_not_told(void **state)
{
    tkr_sink *wrong = sink_as("", "wrong-secret");
    tkr_sink *right = sink_as("", "right-secret");
    tkr_message message;

    RUN("CONFIG SET requirepass right-secret");
    assert_int_equal(((tkr_sink *)*state)->ops->connect(*state, &message), -1);
    assert_non_null(strstr(message.text, "NOAUTH"));
    assert_int_equal(wrong->ops->connect(wrong, &message), -1);
    assert_non_null(strstr(message.text, "WRONGPASS"));
    assert_null(strstr(message.text, "secret"));
    assert_int_equal(right->ops->connect(right, &message), 0);
    wrong->ops->close(wrong);
    right->ops->close(right);
}

static void test_redis_db_out_of_range_fails_to_connect(void **state)
{
    struct tkr_sink_config config = fixture_config(5000);
    tkr_message message;
    tkr_sink *sink;

    (void)state;
    config.db = 65535;
    sink = fixture_sink(&config);
    assert_int_equal(sink->ops->connect(sink, &message), -1);
    assert_non_null(strstr(message.text, "out of range"));
    sink->ops->close(sink);
}

static void test_redis_nobody_there_fails_to_connect(void **state)
{
    tkr_sink *sink = *state;
    struct tkr_usage_query all = {.any_kind = 1};
    tkr_message message = {""};

    redis_server_kill(&server);
    assert_int_equal(sink->ops->connect(sink, &message), -1);
    assert_non_null(strstr(message.text, "No such file"));
    assert_int_equal(sink->ops->read(sink, &all, NULL, NULL, &message), -1);
    assert_int_equal(redis_server_restart(&server), 0);
    assert_heals(sink);
}

static void test_redis_hang_ends_at_the_timeout_and_heals(void **state)
{
    struct tkr_sink_config config = fixture_config(TIMEOUT_MS);
    tkr_sink *sink = fixture_sink(&config);
    tkr_message message;
    long begin;

    (void)state;
    assert_int_equal(sink->ops->connect(sink, &message), 0);
    process_signal(&server.process, SIGSTOP);
    begin = process_now_ms();
    assert_fails(sink, "no answer in time");
    assert_in_range(process_now_ms() - begin, TIMEOUT_MS - 50, 20 * TIMEOUT_MS);
    process_signal(&server.process, SIGCONT);
    sink->ops->close(sink);
    assert_heals(*state); /* applied in the meantime, or now; not twice */
}

static void test_redis_gone_peer_raises_no_sigpipe(void **state)
{
    tkr_sink *sink = *state;
    struct test_chunk chunk;
    struct tkr_chunk *collected;
    sigset_t pending;
    tkr_message message;

    (void)signal(SIGPIPE, SIG_DFL); /* it would end this program */
    assert_heals(sink);
    redis_server_kill(&server);
    test_chunk_begin(&chunk, "test.0", 1, 2);
    assert_true(sink->ops->submit(sink, &chunk.chunk, &message) != 0 || sink->ops->collect(sink, &collected, &message) != 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
}

/* A peer that is no Redis: what it answers, one text for each thing it hears; then it hangs up. */
struct peer {
    char path[REDIS_SERVER_PATH_BYTES];
    const char *const *answer;
    int listener;
    atomic_bool let_go;
    pthread_t thread;
};

static void *peer_run(void *arg)
{
    struct peer *peer = arg;
    char heard[65536];
    int fd = accept(peer->listener, NULL, NULL);

    for (const char *const *answer = peer->answer; *answer != NULL; answer++) {
        if (recv(fd, heard, sizeof(heard), 0) <= 0 || send(fd, *answer, strlen(*answer), MSG_NOSIGNAL) < 0)
            break;
    }
    (void)shutdown(fd, SHUT_WR);
    while (recv(fd, heard, sizeof(heard), 0) > 0) /* so that no answer is lost to a reset */
        continue;
    (void)close(fd);
    return NULL;
}

/* Answers once and, when it is let go, says why it hangs up, and does so without listening. */
static void *peer_turn_away(void *arg)
{
    static const char last_words[] = "-ERR max number of clients reached\r\n";
    struct peer *peer = arg;
    char heard[65536];
    int fd = accept(peer->listener, NULL, NULL);

    if (recv(fd, heard, sizeof(heard), 0) > 0)
        (void)send(fd, peer->answer[0], strlen(peer->answer[0]), MSG_NOSIGNAL);
    while (!atomic_load(&peer->let_go))
        process_sleep_ms(1);
    (void)send(fd, last_words, sizeof(last_words) - 1, MSG_NOSIGNAL);
    (void)close(fd);
    return NULL;
}

static void peer_start(struct peer *peer, const char *const answer[], void *(*run)(void *arg))
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(peer->path, sizeof(peer->path), "%s/peer.sock", server.dir);
    memcpy(address.sun_path, peer->path, strlen(peer->path) + 1);
    peer->answer = answer;
    atomic_store(&peer->let_go, false);
    peer->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(peer->listener >= 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(peer->listener, 1), 0);
    assert_int_equal(pthread_create(&peer->thread, NULL, run, peer), 0);
}

static void peer_stop(struct peer *peer)
{
    assert_int_equal(pthread_join(peer->thread, NULL), 0);
    (void)close(peer->listener);
    (void)unlink(peer->path);
}

#define SHA "$40\r\n0123456789012345678901234567890123456789\r\n"

static void test_redis_garbage_answers_fail_the_sink(void **state)
{
    const char *const answers[][3] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", NULL},
        {"+OK\r\n", NULL},
        {"$5\r\nshort\r\n", NULL},
        {SHA, "garbage\r\n", NULL},
        {SHA, "+OK\r\n", NULL},
        {SHA, "*0\r\n", NULL},
        {SHA, "*-1\r\n", NULL},
        {SHA, "$-1\r\n", NULL},
        {SHA, ":1\r\n", NULL},
        {SHA, "*1\r\n$0\r\n\r\n", NULL},                         /* no outcome */
        {SHA, "*3\r\n$0\r\n\r\n:1\r\n:1\r\n", NULL},             /* one too many */
        {SHA, "*2\r\n:1\r\n:1\r\n", NULL},                       /* seen is no text */
        {SHA, "*2\r\n$2\r\n-1\r\n:1\r\n", NULL},                 /* seen is no number */
        {SHA, "*2\r\n$0\r\n\r\n:2\r\n", NULL},                   /* 2 is no outcome */
        {SHA, "*2\r\n$0\r\n\r\n$0\r\n\r\n", NULL},               /* nor is nothing */
        {SHA, "*2\r\n$0\r\n\r\n$1\r\nx\r\n", NULL},              /* nor x */
        {SHA, "*2\r\n$0\r\n\r\n*1\r\n:1\r\n", NULL},             /* nor an array */
        {SHA, "*2\r\n$0\r\n\r\n$-1\r\n", NULL},                  /* nor nil */
        {SHA, "*2\r\n$0\r\n\r\n$12\r\n!OOM no space\r\n", NULL}, /* an error that is not the account's */
        {SHA, "*2\r\n$0\r\n\r\n", NULL},                         /* cut */
        {SHA, "-BUSY Redis is busy running a script\r\n", NULL},
        {SHA, "-LOADING Redis is loading the dataset in memory\r\n", NULL},
        {SHA, "-MISCONF Redis is configured to save\r\n", NULL},
        {SHA, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct tkr_sink_config config = fixture_config(5000);
        struct peer peer;
        tkr_sink *sink;

        peer_start(&peer, answers[i], peer_run);
        memcpy(config.socket, peer.path, sizeof(peer.path));
        sink = fixture_sink(&config);
        assert_fails(sink, "");
        sink->ops->close(sink);
        peer_stop(&peer);
    }
}

/* It has hung up before our next write: what it said is told, not only that it is gone. */
static void test_redis_last_words_of_a_peer_that_hung_up_are_told(void **state)
{
    const char *const answers[] = {SHA, NULL};
    struct tkr_sink_config config = fixture_config(5000);
    struct test_chunk chunk;
    struct peer peer;
    tkr_message message = {""};
    tkr_sink *sink;

    (void)state;
    peer_start(&peer, answers, peer_turn_away);
    memcpy(config.socket, peer.path, sizeof(peer.path));
    sink = fixture_sink(&config);
    assert_int_equal(sink->ops->connect(sink, &message), 0);
    atomic_store(&peer.let_go, true);
    peer_stop(&peer);
    assert_int_equal(send_seven(sink, &chunk, &message), -1);
    if (strstr(message.text, "Redis has no connection left") == NULL)
        fail_msg("%s", message.text);
    sink->ops->close(sink);
}

static void test_redis_peer_that_repeats_the_password_is_not_quoted(void **state)
{
    const char *const answers[] = {"-ERR unknown command `AUTH`, with args beginning with: `secret`, \r\n", NULL};
    struct tkr_sink_config config = fixture_config(5000);
    struct peer peer;
    tkr_message message;
    tkr_sink *sink;

    (void)state;
    peer_start(&peer, answers, peer_run);
    memcpy(config.socket, peer.path, sizeof(peer.path));
    memcpy(config.password, "secret", 7);
    sink = fixture_sink(&config);
    assert_int_equal(sink->ops->connect(sink, &message), -1);
    assert_null(strstr(message.text, "secret"));
    sink->ops->close(sink);
    peer_stop(&peer);
}

/* A flusher in small: an account that grows by a chunk at a time, a window of them in flight. */
struct flow {
    struct tkr_record known;
    int64_t total;
    uint64_t seen;
};

static void flow_submit(tkr_sink *sink, struct flow *flow, struct test_chunk chunk[], uint32_t count)
{
    struct tkr_record known = flow->known;
    tkr_message message;

    for (uint32_t i = 0; i < count; i++) {
        flow->total += 1 + i;
        test_chunk_begin(&chunk[i], "test.0", flow->seen, flow->seen + 1);
        flow->seen++;
        (void)test_chunk_add(&chunk[i], "u", known, test_record(1, flow->total, 0));
        known = chunk[i].item[0].now;
        if (sink->ops->submit(sink, &chunk[i].chunk, &message) != 0)
            return;
    }
}

/* What the sink has is asked for until it has all. */
static void flow_settle(tkr_sink *sink, struct flow *flow)
{
    struct test_chunk chunk;
    tkr_message message;

    sink->ops->disconnect(sink);
    for (int i = 0; i < 3; i++) {
        test_chunk_begin(&chunk, "test.0", flow->seen, flow->seen + 1);
        (void)test_chunk_add(&chunk, "u", flow->known, test_record(1, flow->total, 0));
        if (test_chunk_send(sink, &chunk, &message) != 0)
            fail_msg("%s", message.text);
        flow->seen = chunk.chunk.seen_found;
        if (tkr_contribution_decide(&chunk.item[0], false) == TKR_DECIDE_ACKNOWLEDGED)
            break;
        flow->known = chunk.item[0].known;
    }
    flow->known = chunk.item[0].known;
    assert_int_equal(test_usage_total(sink, "u"), flow->total);
}

static void kill_in_flight(const char *const arguments[], int rounds)
{
    static struct test_chunk chunk[8];
    struct test_random random = test_random_start();
    struct tkr_sink_config config;
    struct flow flow = {0};
    struct tkr_chunk *collected;
    tkr_sink *sink;
    tkr_message message;

    redis_server_stop(&server);
    assert_int_equal(redis_server_start(&server, arguments), 0);
    config = fixture_config(5000);
    sink = fixture_sink(&config);
    for (int round = 0; round < rounds; round++) {
        assert_int_equal(sink->ops->connect(sink, &message), 0);
        flow_submit(sink, &flow, chunk, 8);
        (void)usleep((useconds_t)test_random_below(&random, 400));
        redis_server_kill(&server);
        for (uint64_t i = test_random_below(&random, 10); i > 0; i--) { /* other replies are lost */
            if (sink->ops->collect(sink, &collected, &message) != 0)
                break;
            flow.known = collected->item[0].outcome == TKR_OUTCOME_APPLIED ? collected->item[0].now : flow.known;
        }
        assert_int_equal(redis_server_restart(&server), 0);
        flow_settle(sink, &flow);
    }
    sink->ops->close(sink);
}

static void test_redis_killed_in_flight_with_a_log_ends_exact(void **state)
{
    const char *const arguments[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};

    (void)state;
    kill_in_flight(arguments, 10);
}

static void test_redis_killed_in_flight_without_a_log_ends_exact(void **state)
{
    (void)state;
    kill_in_flight(NULL, 5); /* all is lost each time, and sent again */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_redis_out_of_memory_fails_the_sink_and_changes_nothing),
        CASE(test_redis_out_of_memory_with_other_seen_fails_the_sink),
        CASE(test_redis_read_only_replica_fails_the_sink),
        CASE(test_redis_missing_replicas_fail_the_sink),
        CASE(test_redis_forgotten_script_fails_once_and_is_loaded_again),
        CASE(test_redis_seen_of_wrong_type_or_text_fails_the_sink),
        CASE(test_redis_minimal_acl_suffices),
        CASE(test_redis_acl_of_tools_suffices_and_forgetting_needs_two_more),
        CASE(test_redis_denied_commands_and_keys_fail_the_sink_and_change_nothing),
        CASE(test_redis_denied_evalsha_fails_the_sink),
        CASE(test_redis_password_is_needed_and_not_told),
        CASE(test_redis_db_out_of_range_fails_to_connect),
        CASE(test_redis_nobody_there_fails_to_connect),
        CASE(test_redis_hang_ends_at_the_timeout_and_heals),
        CASE(test_redis_gone_peer_raises_no_sigpipe),
        CASE(test_redis_garbage_answers_fail_the_sink),
        CASE(test_redis_last_words_of_a_peer_that_hung_up_are_told),
        CASE(test_redis_peer_that_repeats_the_password_is_not_quoted),
        CASE(test_redis_killed_in_flight_with_a_log_ends_exact),
        CASE(test_redis_killed_in_flight_without_a_log_ends_exact),
    };

    redis_server_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
