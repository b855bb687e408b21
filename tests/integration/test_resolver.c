/* SPDX-License-Identifier: Apache-2.0 */
/* A collector whose Redis is a name: the resolver is silent, and neither its loops nor its end wait for that; then the name is
 * known, with an address in front where nobody answers, and all that was counted meanwhile arrives. */
#include <netdb.h>
#include <netinet/in.h>

#include "integration/http_stage.h"
#include "integration/sink_health.h"
#include "support/network.h"

#define NAME "redis.test"
#define PORT "6390"
#define TIMEOUT_MS 300
#define END_MS 25000 /* of a collector; the resolver makes who waits for it wait for a minute */

static struct network_name_server *name_server;
static struct network_dead dead = {{-1, -1, -1, -1}};

/* Redis on a port of the second address that the name will have. */
static int set_up(void **state)
{
    static char address[NI_MAXHOST];
    const char *const extra[] = {"--port", PORT, "--bind", address, NULL};
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    struct stage *stage;

    if (network_set_hosts("127.0.0.1 " NAME "\n127.0.0.2 " NAME "\n") != 0 || stage_set_up(state) != 0 ||
        getaddrinfo(NAME, PORT, &hints, &list) != 0 || list->ai_next == NULL)
        return -1;
    stage = *state;
    if (network_dead_start(&dead, list->ai_addr, list->ai_addrlen) != 0 ||
        getnameinfo(list->ai_next->ai_addr, list->ai_next->ai_addrlen, address, sizeof(address), NULL, 0, NI_NUMERICHOST) != 0 ||
        redis_server_start(&stage->server, extra) != 0)
        return -1;
    freeaddrinfo(list);
    stage->redis = true;
    stage_env(stage, "TOKENRING_SINK", "redis");
    stage_env(stage, "REDIS_HOST", NAME);
    stage_env(stage, "REDIS_PORT", PORT);
    stage_env(stage, "CALLBACK_RETRY_DELAY", "10");
    stage_env(stage, "CALLBACK_RETRY_ATTEMPTS", "1");
    name_server = network_name_server_start(-1);
    return name_server != NULL && network_set_hosts("") == 0 && network_use_name_server(30) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    network_name_server_stop(name_server);
    name_server = NULL;
    network_dead_stop(&dead);
    return stage_tear_down(state);
}

static void expect_status(const char *where, const char *path, const char *status)
{
    char *answer = get(where, path);

    if (strstr(answer, status) == NULL)
        fail_msg("%s: %s", path, answer);
    free(answer);
}

static void end_in_time(struct stage *stage, int exit_code)
{
    long begun = process_now_ms();

    stage_collector_end(stage, exit_code);
    if (process_now_ms() - begun > END_MS)
        fail_msg("it took %ld ms to end", process_now_ms() - begun);
}

static void test_silent_resolver_holds_neither_loops_nor_the_end(void **state)
{
    struct stage *stage = *state;
    char timeout[16];
    char where[WHERE_BYTES];

    (void)snprintf(timeout, sizeof(timeout), "%d", TIMEOUT_MS);
    stage_env(stage, "TOKENRING_REDIS_TIMEOUT_MS", timeout);
    start_collector(stage, where);
    record(stage, 1);
    health_wait(stage, "failing", 4, "cannot connect to Redis: cannot resolve " NAME ": the resolver does not answer in time");
    expect_status(where, "/healthz", " 200 ");
    end_in_time(stage, 1);
}

static void test_calls_of_a_time_without_a_resolver_arrive(void **state)
{
    struct stage *stage = *state;

    stage_env(stage, "TOKENRING_REDIS_TIMEOUT_MS", "2000"); /* of which the dead address gets a half */
    stage_collector_start(stage, "1");
    record(stage, 1);
    health_wait(stage, "failing", 1, "the resolver does not answer in time");
    network_name_server_stop(name_server);
    name_server = NULL;
    assert_int_equal(network_set_hosts("127.0.0.1 " NAME "\n127.0.0.2 " NAME "\n"), 0);
    end_in_time(stage, 1);
    stage_collector_start(stage, "1");
    record(stage, 2);
    wait_exact(stage);
    health_wait(stage, "good", 0, "");
    end_in_time(stage, 0);
    stage_assert_exact(stage);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_silent_resolver_holds_neither_loops_nor_the_end),
        T(test_calls_of_a_time_without_a_resolver_arrive),
    };

    redis_server_require();
    network_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
