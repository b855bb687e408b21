/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a peer answers, the Redis sink returns: with an answer for each contribution, or with a reason, and leaves
 * nothing behind. The peer is a thread on a Unix socket that says its part as soon as it is called and then hangs up.
 *
 * The input: flags, number of contributions, then what is said on each connection, parted by "--".
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "sink/contribution.h"
#include "support/sink.h"
#include "support/tempdir.h"
#include "tokenring/tokenring.h"

#define PARTS_MAX 4
#define ITEMS_MAX 16
#define PASSWORD "s3cret"
#define SOCKET_NAME "/redis"
#define TIMEOUT_MS 5000

enum {
    WITH_PASSWORD = 1,
    WITH_DB = 2,
    WITH_PRELUDE = 4, /* the answers up to the script's are right, the input begins behind them */
    BY_ID = 8,
    TWO_CHUNKS = 16,
    CONNECT_AGAIN = 32,
    STOP_EARLY = 64,
    BY_MODEL = 128
};

/* What is said, and how much of it has been. Set while nobody is connected. */
static struct {
    char directory[TEMPDIR_BYTES];
    struct sockaddr_un address;
    int listener;
    struct fuzz_input part[PARTS_MAX];
    uint8_t flags;
    atomic_uint answered;
    int open_fd[PARTS_MAX];
} peer;

static void say(int fd, const void *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* hung up on us */
        bytes = (const char *)bytes + sent;
        count -= (size_t)sent;
    }
}

static void say_prelude(int fd, bool script)
{
    static const char ok[] = "+OK\r\n";
    static const char loaded[] = "$40\r\n0123456789012345678901234567890123456789\r\n";

    if ((peer.flags & WITH_PRELUDE) == 0)
        return;
    if (peer.flags & WITH_PASSWORD)
        say(fd, ok, sizeof(ok) - 1);
    if (peer.flags & WITH_DB)
        say(fd, ok, sizeof(ok) - 1);
    if (script)
        say(fd, loaded, sizeof(loaded) - 1);
}

/* The connection that reads totals is the last one and needs no script. */
static bool is_reader(unsigned number)
{
    return number == (peer.flags & CONNECT_AGAIN ? 2u : 1u);
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        int fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
        unsigned number = atomic_load(&peer.answered);

        FUZZ_CHECK(fd >= 0 && number < PARTS_MAX);
        peer.open_fd[number] = fd;
        say_prelude(fd, !is_reader(number));
        say(fd, peer.part[number].at, peer.part[number].left);
        (void)shutdown(fd, SHUT_WR);
        atomic_store(&peer.answered, number + 1);
    }
    return NULL;
}

static void remove_directory(void)
{
    tempdir_remove(peer.directory);
}

static void start_peer(void)
{
    pthread_t thread;

    FUZZ_CHECK(tempdir_make(peer.directory) == 0 && atexit(remove_directory) == 0);
    peer.address.sun_family = AF_UNIX;
    (void)snprintf(peer.address.sun_path, sizeof(peer.address.sun_path), "%s" SOCKET_NAME, peer.directory);
    peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(peer.listener >= 0 && bind(peer.listener, (const struct sockaddr *)&peer.address, sizeof(peer.address)) == 0 &&
               listen(peer.listener, PARTS_MAX) == 0);
    FUZZ_CHECK(pthread_create(&thread, NULL, serve, NULL) == 0 && pthread_detach(thread) == 0);
}

/* A connection that the sink gave up at once may still be in the listener's queue: whoever comes is answered. */
static void wait_until_answered(unsigned connections)
{
    while (atomic_load(&peer.answered) < connections)
        (void)usleep(1);
    for (unsigned i = 0; i < connections; i++)
        (void)close(peer.open_fd[i]);
}

static void set_parts(struct fuzz_input in)
{
    for (unsigned i = 0; i < PARTS_MAX; i++) {
        const uint8_t *end = memmem(in.at, in.left, "--", 2);
        size_t count = end != NULL ? (size_t)(end - in.at) : in.left;
        peer.part[i] = (struct fuzz_input){in.at, count};
        in.at += count + (end != NULL ? 2 : 0);
        in.left -= count + (end != NULL ? 2 : 0);
    }
    atomic_store(&peer.answered, 0);
}

static struct tkr_sink_config configuration(void)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_REDIS,
                                     .db = peer.flags & WITH_DB ? 3 : 0,
                                     .connect_timeout_ms = TIMEOUT_MS,
                                     .command_timeout_ms = TIMEOUT_MS};

    memcpy(config.socket, peer.address.sun_path, sizeof(peer.address.sun_path));
    if (peer.flags & WITH_PASSWORD)
        memcpy(config.password, PASSWORD, sizeof(PASSWORD));
    return config;
}

static void check_message(const tkr_message *message)
{
    FUZZ_CHECK(message->text[0] != '\0' && memchr(message->text, '\0', sizeof(message->text)) != NULL);
}

static void fill_chunk(struct test_chunk *chunk, uint32_t items)
{
    test_chunk_begin(chunk, "0123456789abcdef.0", 4, 5);
    for (uint32_t i = 0; i < items; i++) {
        struct tkr_record known = i % 2 != 0 ? test_record(7, i, 1) : test_record_none();
        struct tkr_record now = i % 5 == 4 ? test_record(7, 0, 0) : test_record(7, i + 2, 3); /* the former shrinks */
        (void)test_chunk_add(chunk, "alice", known, now);
    }
}

static void check_answers(struct tkr_chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->count; i++) {
        struct tkr_contribution *item = &chunk->item[i];
        FUZZ_CHECK(item->outcome != TKR_OUTCOME_PENDING);
        FUZZ_CHECK((item->outcome == TKR_OUTCOME_POISON) == (item->reason[0] != '\0'));
        FUZZ_CHECK(memchr(item->reason, '\0', sizeof(item->reason)) != NULL);
        for (int c = 0; c < TKR_COUNTER_COUNT; c++)
            FUZZ_CHECK(item->found.counts.value[c] >= 0);
        (void)tkr_contribution_decide(item, i % 2 != 0);
    }
}

static int collect(tkr_sink *sink, struct tkr_chunk *expected)
{
    struct tkr_chunk *chunk = NULL;
    tkr_message message = {""};

    if (sink->ops->collect(sink, &chunk, &message) != 0) {
        check_message(&message);
        for (uint32_t i = 0; i < expected->count; i++) /* what failed is as if it had not been sent */
            FUZZ_CHECK(expected->item[i].outcome == TKR_OUTCOME_PENDING);
        return -1;
    }
    FUZZ_CHECK(chunk == expected);
    check_answers(chunk);
    return 0;
}

static void exchange(tkr_sink *sink, uint32_t items)
{
    static struct test_chunk first;
    static struct test_chunk second;
    tkr_message message = {""};
    bool two = (peer.flags & TWO_CHUNKS) != 0;

    fill_chunk(&first, items);
    fill_chunk(&second, 1);
    if (sink->ops->connect(sink, &message) != 0 || sink->ops->submit(sink, &first.chunk, &message) != 0 ||
        (two && sink->ops->submit(sink, &second.chunk, &message) != 0)) {
        check_message(&message);
        return;
    }
    if ((peer.flags & STOP_EARLY) == 0 && collect(sink, &first.chunk) == 0 && two)
        (void)collect(sink, &second.chunk);
}

static int visit(const struct tkr_usage_row *row, void *rows)
{
    FUZZ_CHECK(row->id_len >= 1 && row->id_len <= TKR_ID_BYTES_MAX && row->limit >= TKR_LIMIT_UNREADABLE);
    FUZZ_CHECK((row->model_len > 0) == ((peer.flags & BY_MODEL) != 0) && row->model_len <= TKR_LABEL_BYTES_MAX);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        FUZZ_CHECK(row->counts.value[i] >= 0);
    return ++*(int *)rows > 1000;
}

static void read_totals(tkr_sink *sink)
{
    struct tkr_usage_query query = {.any_kind = 1};
    tkr_message message = {""};
    int rows = 0;

    if (peer.flags & BY_ID)
        query = (struct tkr_usage_query){.id = "alice", .id_len = 5, .cycle = SINK_TEST_CYCLE};
    query.by_model = (peer.flags & BY_MODEL) != 0;
    if (sink->ops->read(sink, &query, visit, &rows, &message) < 0)
        check_message(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input in = {bytes, count};
    tkr_message message = {""};
    struct tkr_sink_config config;
    tkr_sink *sink;
    uint32_t items;

    if (peer.listener == 0)
        start_peer();
    peer.flags = fuzz_u8(&in);
    items = fuzz_u8(&in) % ITEMS_MAX;
    set_parts(in);
    config = configuration();
    FUZZ_CHECK(tkr_sink_redis_open(&config, &sink, &message) == 0);
    exchange(sink, items);
    if (peer.flags & CONNECT_AGAIN) {
        sink->ops->disconnect(sink);
        exchange(sink, items);
    }
    read_totals(sink);
    sink->ops->close(sink);
    wait_until_answered(peer.flags & CONNECT_AGAIN ? 3 : 2);
    return 0;
}
