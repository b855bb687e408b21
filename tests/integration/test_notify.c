/* SPDX-License-Identifier: Apache-2.0 */
/* What a service manager hears of a real collector: the test is the service manager. */
#include <sys/socket.h>
#include <sys/un.h>

#include "integration/collector_stage.h"

#define WAIT_MS PROCESS_PATIENCE_MS

struct manager {
    int fd;
    char heard[1 << 16]; /* messages, a line feed behind each */
    size_t bytes;
};

static void listen_at(struct manager *manager, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_usec = 50000};

    memset(manager, 0, sizeof(*manager));
    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(manager->fd >= 0);
    assert_int_equal(bind(manager->fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)setsockopt(manager->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void hear(struct manager *manager)
{
    size_t room = sizeof(manager->heard) - manager->bytes - 2;
    ssize_t n = recv(manager->fd, manager->heard + manager->bytes, room, 0);

    if (n <= 0)
        return;
    manager->bytes += (size_t)n;
    manager->heard[manager->bytes++] = '\n';
    manager->heard[manager->bytes] = '\0';
}

static void wait_heard(struct manager *manager, const char *text)
{
    long end = process_now_ms() + WAIT_MS;

    while (strstr(manager->heard, text) == NULL) {
        if (process_now_ms() > end)
            fail_msg("%s was not heard, but: %s", text, manager->heard);
        hear(manager);
    }
}

static void forget(struct manager *manager)
{
    manager->bytes = 0;
    manager->heard[0] = '\0';
}

static void start(struct stage *stage, struct manager *manager, const char *watchdog_us)
{
    char path[STAGE_PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s/notify", stage->dir);
    listen_at(manager, path);
    stage_env(stage, "NOTIFY_SOCKET", path);
    if (watchdog_us != NULL)
        stage_env(stage, "WATCHDOG_USEC", watchdog_us);
    stage_collector_start(stage, "1");
}

static void test_service_manager_hears_ready_signs_of_life_and_the_end(void **state)
{
    struct stage *stage = *state;
    struct manager manager;

    start(stage, &manager, "300000");
    wait_heard(&manager, "READY=1\n");
    wait_heard(&manager, "STATUS=collecting");
    for (int i = 0; i < 5; i++) {
        forget(&manager);
        wait_heard(&manager, "WATCHDOG=1\n");
    }
    stage_collector_end(stage, 0);
    wait_heard(&manager, "STOPPING=1\n");
    (void)close(manager.fd);
}

static int stay(struct stage *stage, int number)
{
    tkr_producer *producer = stage_producer(stage);

    (void)number;
    if (producer == NULL || stage_record(stage, producer, 0, 1, 1) != 0)
        return 1;
    atomic_store(&stage->truth->note[0], 1);
    while (!atomic_load(&stage->truth->stop))
        process_sleep_ms(1);
    tkr_close(producer);
    return 0;
}

/* While it waits for a gateway to go, it asks for more time, and lives. */
static void test_lingering_collector_asks_for_time_and_gives_signs_of_life(void **state)
{
    struct stage *stage = *state;
    struct manager manager;
    long end = process_now_ms() + WAIT_MS;
    pid_t child;

    stage_env(stage, "TOKENRING_LINGER_S", "600");
    start(stage, &manager, "300000");
    child = stage_fork(stage, stay, 0);
    while (atomic_load(&stage->truth->note[0]) == 0 && process_now_ms() < end)
        process_sleep_ms(1);
    process_signal(&stage->collector, SIGTERM);
    wait_heard(&manager, "STOPPING=1\n");
    for (int i = 0; i < 3; i++) {
        forget(&manager);
        wait_heard(&manager, "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=asked to leave; gateways still attached: 1,");
        wait_heard(&manager, "WATCHDOG=1\n");
    }
    atomic_store(&stage->truth->stop, true);
    assert_int_equal(stage_exit_code(child), 0);
    wait_heard(&manager, "STATUS=flushing what is left");
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    assert_int_equal(process_exit_code(&stage->collector), 0);
    (void)close(manager.fd);
}

static void test_process_that_stands_still_gives_no_sign_of_life(void **state)
{
    struct stage *stage = *state;
    struct manager manager;
    long end;

    start(stage, &manager, "300000");
    wait_heard(&manager, "WATCHDOG=1\n");
    process_signal(&stage->collector, SIGSTOP);
    process_sleep_ms(100);
    for (int i = 0; i < 50; i++) /* what was sent before */
        hear(&manager);
    forget(&manager);
    end = process_now_ms() + 1000;
    while (process_now_ms() < end)
        hear(&manager);
    assert_string_equal(manager.heard, "");
    process_signal(&stage->collector, SIGCONT);
    wait_heard(&manager, "WATCHDOG=1\n");
    stage_collector_end(stage, 0);
    (void)close(manager.fd);
}

static void test_nobody_watches_and_no_sign_of_life_is_given(void **state)
{
    struct stage *stage = *state;
    struct manager manager;

    start(stage, &manager, NULL);
    wait_heard(&manager, "READY=1\n");
    stage_collector_end(stage, 0);
    wait_heard(&manager, "STOPPING=1\n");
    assert_null(strstr(manager.heard, "WATCHDOG"));
    (void)close(manager.fd);
}

static void test_status_tells_that_usage_waits(void **state)
{
    struct stage *stage = *state;
    tkr_producer *producer;
    struct manager manager;

    start(stage, &manager, NULL);
    redis_server_stop(&stage->server);
    producer = stage_producer(stage);
    assert_int_equal(stage_record(stage, producer, 0, 1, 1), 0);
    wait_heard(&manager, "STATUS=usage waits for the sink since");
    tkr_close(producer);
    (void)close(manager.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_LEDGER(test_service_manager_hears_ready_signs_of_life_and_the_end),
        IN_LEDGER(test_lingering_collector_asks_for_time_and_gives_signs_of_life),
        IN_LEDGER(test_process_that_stands_still_gives_no_sign_of_life),
        IN_LEDGER(test_nobody_watches_and_no_sign_of_life_is_given),
        IN_REDIS(test_status_tells_that_usage_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
