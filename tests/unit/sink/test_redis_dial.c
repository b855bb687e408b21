/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a Redis whose host is a name: several addresses, some of them dead; a resolver that is slow, or silent. */
#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <netdb.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/network.h"
#include "tokenring/repository.h"
#include "unit/sink/redis_fixture.h"

#define PORT "6390"
#define NAME "redis.test"
#define LONG_MS 20000 /* no test takes so long, and a resolver that is waited for takes longer */
#define TRIES 12
#define PLACES_MAX 4

/* What a test has started besides the Redis; ended after it, whatever came of it. */
static struct network_dead dead[PLACES_MAX];
static size_t deads;
static struct network_name_server *name_server;

static int tear_down(void **state)
{
    (void)state;
    redis_server_stop(&server);
    while (deads > 0)
        network_dead_stop(&dead[--deads]);
    network_name_server_stop(name_server);
    name_server = NULL;
    return 0;
}

static struct tkr_sink_config config_for(const char *name, int timeout_ms)
{
    struct tkr_sink_config config = {
        .kind = TKR_SINK_REDIS, .connect_timeout_ms = 2000, .command_timeout_ms = timeout_ms, .port = 6390};

    (void)snprintf(config.host, sizeof(config.host), "%s", name);
    return config;
}

/* Connects and says how long that took, ms. */
static int try_connect(const char *name, int timeout_ms, long *ret_ms, tkr_message *ret_message)
{
    struct tkr_sink_config config = config_for(name, timeout_ms);
    tkr_sink *sink = fixture_sink(&config);
    long begun = process_now_ms();
    int rc;

    ret_message->text[0] = '\0';
    rc = sink->ops->connect(sink, ret_message);
    *ret_ms = process_now_ms() - begun;
    sink->ops->close(sink);
    return rc;
}

static void expect_connects(const char *name)
{
    tkr_message message;
    long took;

    if (try_connect(name, 8000, &took, &message) != 0)
        fail_msg("%s: %s", name, message.text);
    assert_in_range(took, 0, LONG_MS);
}

/* --- addresses --- */

struct place {
    struct sockaddr_storage at;
    socklen_t len;
    char text[64];
};

/* Addresses of a name as getaddrinfo orders them; how many. */
static size_t places_of(const char *name, struct place ret_places[PLACES_MAX])
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    size_t n = 0;

    assert_int_equal(getaddrinfo(name, PORT, &hints, &list), 0);
    for (const struct addrinfo *info = list; info != NULL && n < PLACES_MAX; info = info->ai_next, n++) {
        memcpy(&ret_places[n].at, info->ai_addr, info->ai_addrlen);
        ret_places[n].len = info->ai_addrlen;
        assert_int_equal(
            getnameinfo(info->ai_addr, info->ai_addrlen, ret_places[n].text, sizeof(ret_places[n].text), NULL, 0, NI_NUMERICHOST),
            0);
    }
    freeaddrinfo(list);
    return n;
}

static bool has_v6(void)
{
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0;

    if (fd >= 0)
        (void)close(fd);
    return has;
}

/* Nobody answers there. */
static void start_dead(const struct place *place)
{
    assert_int_equal(network_dead_start(&dead[deads++], (const struct sockaddr *)&place->at, place->len), 0);
}

/* Names are asked of a name server that answers after such a time; -1: never. */
static void start_name_server(int delay_ms)
{
    name_server = network_name_server_start(delay_ms);
    assert_non_null(name_server);
    assert_int_equal(network_set_hosts(""), 0);
    assert_int_equal(network_use_name_server(30), 0);
}

static void start_redis(const char *address)
{
    const char *const extra[] = {"--port", PORT, "--bind", address, "--protected-mode", "no", NULL};

    assert_int_equal(redis_server_start(&server, extra), 0);
}

/* Redis is behind the last address of the name; nobody answers at the others, or nobody listens there. */
static void expect_last_is_found(const char *hosts, bool silent)
{
    struct place place[PLACES_MAX];
    size_t n;

    assert_int_equal(network_set_hosts(hosts), 0);
    n = places_of(NAME, place);
    assert_in_range(n, 2, 4);
    for (size_t i = 0; silent && i + 1 < n; i++)
        start_dead(&place[i]);
    start_redis(place[n - 1].text);
    expect_connects(NAME);
}

static void test_dial_address_where_nobody_listens_is_passed_over(void **state)
{
    (void)state;
    expect_last_is_found("127.0.0.1 " NAME "\n127.0.0.2 " NAME "\n127.0.0.3 " NAME "\n", false);
}

static void test_dial_address_that_does_not_answer_is_passed_over(void **state)
{
    (void)state;
    expect_last_is_found("127.0.0.1 " NAME "\n127.0.0.2 " NAME "\n127.0.0.3 " NAME "\n", true);
}

static void test_dial_dead_ipv6_address_is_passed_over(void **state)
{
    (void)state;
    if (!has_v6())
        skip();
    expect_last_is_found("::1 " NAME "\n127.0.0.1 " NAME "\n", true);
}

/* The order is that of RFC 6724: an IPv4 address that is dead is not even tried. */
static void test_dial_ipv6_goes_first(void **state)
{
    struct place place[PLACES_MAX];
    tkr_message message;
    long took;

    (void)state;
    if (!has_v6())
        skip();
    assert_int_equal(network_set_hosts("127.0.0.1 " NAME "\n::1 " NAME "\n"), 0);
    assert_int_equal(places_of(NAME, place), 2);
    assert_int_equal(place[0].at.ss_family, AF_INET6);
    start_dead(&place[1]);
    start_redis("::1");
    if (try_connect(NAME, 60000, &took, &message) != 0)
        fail_msg("%s", message.text);
}

static void test_dial_name_with_ipv6_alone_connects(void **state)
{
    (void)state;
    if (!has_v6())
        skip();
    assert_int_equal(network_set_hosts("::1 " NAME "\n"), 0);
    start_redis("::1");
    expect_connects(NAME);
    expect_connects("::1");
}

static void test_dial_all_addresses_dead_ends_within_the_timeout(void **state)
{
    struct place place[PLACES_MAX];
    tkr_message message;
    size_t n;
    long took;

    (void)state;
    assert_int_equal(network_set_hosts("127.0.0.1 " NAME "\n127.0.0.2 " NAME "\n127.0.0.3 " NAME "\n"), 0);
    n = places_of(NAME, place);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++)
        start_dead(&place[i]);
    assert_int_equal(try_connect(NAME, 600, &took, &message), -1);
    assert_in_range(took, 500, LONG_MS);
    assert_non_null(strstr(message.text, "none of the 3 addresses of " NAME " can be reached; the last, 127.0.0."));
    assert_non_null(strstr(message.text, "timed out"));
}

static void test_dial_one_address_says_only_why(void **state)
{
    tkr_message message;
    long took;

    (void)state;
    assert_int_equal(network_set_hosts("127.0.0.1 " NAME "\n"), 0);
    assert_int_equal(try_connect(NAME, 5000, &took, &message), -1);
    assert_string_equal(message.text, "cannot connect to Redis: Connection refused");
    assert_int_equal(try_connect("nowhere.test", 5000, &took, &message), -1);
    assert_non_null(strstr(message.text, "nowhere.test"));
}

/* --- the resolver --- */

static int threads_here(void)
{
    DIR *directory = opendir("/proc/self/task");
    int n = 0;

    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        n += entry->d_name[0] != '.';
    (void)closedir(directory);
    return n;
}

static void *do_nothing(void *argument)
{
    return argument;
}

/* ThreadSanitizer starts a thread of its own with the first: it is there before any is counted. */
static int begin_threads(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, do_nothing, NULL) == 0 ? pthread_join(thread, NULL) : -1;
}

/* Waits in a process of its own, whose resolver threads end with it; ends it with the test's own result. */
static void in_child(void (*test)(void))
{
    int status;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (begin_threads() != 0)
            _exit(2);
        test();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                                     \
        }                                                                                 \
    } while (0)

/* POSIX promises that a function's address survives this; ISO C does not, hence no cast. */
static void find(void *library, const char *name, void *ret_function)
{
    void *address = dlsym(library, name);

    CHECK(address != NULL);
    memcpy(ret_function, &address, sizeof(address));
}

static void silent_child(void)
{
    tkr_message message;
    sigset_t before = {{0}};
    sigset_t after = {{0}};
    int threads = threads_here();
    char other[32];
    long took;
    int status;
    pid_t child;

    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    for (int i = 0; i < TRIES; i++) { /* one name, and many */
        (void)snprintf(other, sizeof(other), "redis%d.test", i);
        CHECK(try_connect(i % 2 == 0 ? NAME : other, 100, &took, &message) == -1);
        CHECK(took < LONG_MS);
        CHECK(strstr(message.text, "cannot connect to Redis: cannot resolve redis") != NULL);
    }
    CHECK(strstr(message.text, "lookups of other names still wait for the resolver") != NULL);
    CHECK(threads_here() <= threads + 4);
    CHECK(try_connect("127.0.0.1", 100, &took, &message) == -1); /* an address needs no resolver */
    CHECK(strstr(message.text, "Connection refused") != NULL);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0 && memcmp(&before, &after, sizeof(before)) == 0);
#ifdef __SANITIZE_THREAD__ /* it lets no child of several threads start one */
    return;
#endif
    child = fork();
    if (child == 0) { /* which starts anew */
        CHECK(threads_here() == 1);
        CHECK(try_connect(NAME, 100, &took, &message) == -1);
        CHECK(strstr(message.text, "the resolver does not answer in time (TOKENRING_REDIS_TIMEOUT_MS)") != NULL);
        CHECK(took < LONG_MS);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_dial_silent_resolver_is_not_waited_for(void **state)
{
    (void)state;
    start_name_server(-1);
    in_child(silent_child);
}

static bool given_up(void *asked)
{
    return ++*(int *)asked > 2;
}

static int visit_none(const struct tkr_usage_row *row, void *argument)
{
    (void)row;
    (void)argument;
    return 0;
}

static void give_up_child(void)
{
    struct tkr_sink_config config = config_for(NAME, 600000);
    int asked = 0;
    struct tkr_usage_query query = {.any_kind = 1, .give_up = {given_up, &asked}};
    tkr_sink *sink = fixture_sink(&config);
    long begun = process_now_ms();
    tkr_message message;

    CHECK(sink->ops->read(sink, &query, visit_none, NULL, &message) == -1);
    asked = 0;
    CHECK(sink->ops->limits(sink, &query.give_up, visit_none, NULL, &message) == -1);
    CHECK(process_now_ms() - begun < LONG_MS);
    sink->ops->close(sink);
}

static void test_dial_reading_is_given_up_while_it_resolves(void **state)
{
    (void)state;
    start_name_server(-1);
    in_child(give_up_child);
}

/* A host that closes the library while a lookup is pending: the thread of that lookup ends later, in code that is still there. */
static void plug_in_child(void)
{
    void *library = dlopen(TEST_BIN_DIR "/../libtokenring_repository.so", RTLD_NOW | RTLD_LOCAL);
    int (*open_repository)(const tkr_repository_options *options, tkr_repository **ret_repository);
    int (*clear)(tkr_repository * repository, const tkr_account *account, uint32_t cycle);
    void (*close_repository)(tkr_repository * repository);
    const tkr_account alice = {.id = "alice", .len = 5};
    int threads = threads_here();
    long end = process_now_ms() + 60000;
    tkr_repository *repository;

    CHECK(library != NULL);
    find(library, "tkr_repository_open", &open_repository);
    find(library, "tkr_repository_clear_usage_limit", &clear);
    find(library, "tkr_repository_close", &close_repository);
    CHECK(setenv("REDIS_HOST", NAME, 1) == 0 && setenv("TOKENRING_REDIS_TIMEOUT_MS", "100", 1) == 0);
    CHECK(open_repository(NULL, &repository) == TKR_OK);
    CHECK(clear(repository, &alice, 20261101) == TKR_ESINK);
    CHECK(threads_here() == threads + 1);
    close_repository(repository);
    CHECK(dlclose(library) == 0);
    while (threads_here() > threads) { /* the name server answers */
        CHECK(process_now_ms() < end);
        process_sleep_ms(5);
    }
}

static void test_dial_library_is_closed_while_it_resolves(void **state)
{
    (void)state;
    start_name_server(1000);
    in_child(plug_in_child);
}

/* An answer later than the timeout is of use to a later try, and the name server is not asked once a try. */
static void test_dial_slow_resolver_is_understood_in_the_end(void **state)
{
    long end = process_now_ms() + 60000;
    tkr_message message;
    int tries = 0;
    long took;

    (void)state;
    start_name_server(3000);
    start_redis("127.0.0.1");
    while (try_connect(NAME, 1000, &took, &message) != 0) {
        tries++;
        if (strstr(message.text, "the resolver does not answer in time") == NULL)
            fail_msg("%s", message.text);
        if (process_now_ms() > end)
            fail_msg("after %d tries still: %s", tries, message.text);
    }
    assert_in_range(tries, 1, 1000);
    assert_int_equal(network_name_server_questions(name_server), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        /* Those that fork are first, while no resolver's thread is about: a child of many threads may start none. */
        T(test_dial_silent_resolver_is_not_waited_for),
        T(test_dial_reading_is_given_up_while_it_resolves),
        T(test_dial_library_is_closed_while_it_resolves),
        T(test_dial_address_where_nobody_listens_is_passed_over),
        T(test_dial_address_that_does_not_answer_is_passed_over),
        T(test_dial_dead_ipv6_address_is_passed_over),
        T(test_dial_ipv6_goes_first),
        T(test_dial_name_with_ipv6_alone_connects),
        T(test_dial_all_addresses_dead_ends_within_the_timeout),
        T(test_dial_one_address_says_only_why),
        T(test_dial_slow_resolver_is_understood_in_the_end),
    };

    redis_server_require();
    network_require();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
