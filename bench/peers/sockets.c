/* SPDX-License-Identifier: Apache-2.0 */
/* A statsd datagram, or a line of JSON, for each call: into a Unix socket that another process reads. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "peers/payload.h"
#include "peers/peers.h"
#include "support/process.h"

#define MESSAGE_BYTES 512
#define READ_BYTES 65536
#define DEADLINE_MS 20000

/* What the reader has seen; in shared memory. */
struct seen {
    _Atomic uint64_t messages;
    _Atomic uint64_t bytes;
};

static struct line {
    int fd;
    pid_t reader;
    struct seen *seen;
    uint64_t bytes; /* sent */
} datagrams, stream;

static _Noreturn void read_all(const struct line *line, int fd, int type)
{
    static char bytes[READ_BYTES];
    ssize_t count;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while ((count = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        uint64_t messages = type == SOCK_DGRAM;
        for (const char *at = bytes; type == SOCK_STREAM; at++, messages++) {
            at = memchr(at, '\n', (size_t)(bytes + count - at));
            if (at == NULL)
                break;
        }
        atomic_fetch_add(&line->seen->bytes, (uint64_t)count);
        atomic_fetch_add(&line->seen->messages, messages);
    }
    _exit(0);
}

static int open_pair(struct line *line, int type)
{
    int pair[2];

    memset(line, 0, sizeof(*line));
    line->fd = -1;
    line->seen = mmap(NULL, sizeof(*line->seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (line->seen == MAP_FAILED || socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
        return bench_wrong("no socket: %s", strerror(errno));
    line->fd = pair[0];
    line->reader = fork();
    if (line->reader == 0)
        read_all(line, pair[1], type);
    (void)close(pair[1]);
    return line->reader > 0 ? 0 : bench_wrong("no process: %s", strerror(errno));
}

static int open_datagrams(void)
{
    return open_pair(&datagrams, SOCK_DGRAM);
}

static int open_stream(void)
{
    return open_pair(&stream, SOCK_STREAM);
}

static void close_pair(struct line *line)
{
    if (line->reader > 0) {
        (void)kill(line->reader, SIGKILL);
        (void)waitpid(line->reader, NULL, 0);
    }
    if (line->fd >= 0)
        (void)close(line->fd);
    (void)munmap(line->seen, sizeof(*line->seen));
}

static int check(struct line *line, uint64_t calls)
{
    long end = process_now_ms() + DEADLINE_MS;

    while (atomic_load(&line->seen->messages) < calls && process_now_ms() < end)
        process_sleep_ms(1);
    if (atomic_load(&line->seen->messages) != calls || atomic_load(&line->seen->bytes) != line->bytes)
        return bench_wrong("messages sent %" PRIu64 ", read %" PRIu64, calls, atomic_load(&line->seen->messages));
    return 0;
}

static int put_statsd(char text[MESSAGE_BYTES])
{
    return snprintf(text, MESSAGE_BYTES,
                    "llm.prompt_tokens:%d|c|#user:%s\nllm.completion_tokens:%d|c|#user:%s\nllm.total_tokens:%d|c|#user:%s",
                    PAYLOAD_PROMPT, PAYLOAD_ID, PAYLOAD_COMPLETION, PAYLOAD_ID, PAYLOAD_TOKENS, PAYLOAD_ID);
}

static int put_json(char text[MESSAGE_BYTES])
{
    return snprintf(text, MESSAGE_BYTES,
                    "{\"user\":\"%s\",\"start_ns\":%" PRId64
                    ",\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}\n",
                    PAYLOAD_ID, tkr_clock_coarse_ns(), PAYLOAD_PROMPT, PAYLOAD_COMPLETION, PAYLOAD_TOKENS);
}

static double emit(struct line *line, uint64_t calls, int (*put)(char text[MESSAGE_BYTES]))
{
    int64_t begun_ns = tkr_clock_monotonic_ns();
    char text[MESSAGE_BYTES];

    for (uint64_t i = 0; i < calls; i++) {
        int count = put(text);
        if (send(line->fd, text, (size_t)count, MSG_NOSIGNAL) != count)
            return bench_wrong("send: %s", strerror(errno));
        line->bytes += (uint64_t)count;
    }
    return (double)(tkr_clock_monotonic_ns() - begun_ns);
}

static double emit_statsd(uint64_t calls)
{
    return emit(&datagrams, calls, put_statsd);
}

static int check_statsd(uint64_t calls)
{
    return check(&datagrams, calls);
}

static void close_statsd(void)
{
    close_pair(&datagrams);
}

static double emit_json(uint64_t calls)
{
    return emit(&stream, calls, put_json);
}

static int check_json(uint64_t calls)
{
    return check(&stream, calls);
}

static void close_json(void)
{
    close_pair(&stream);
}

const struct peer peer_statsd = {.name = "statsd datagram on a Unix socket",
                                 .calls = 20000,
                                 .open = open_datagrams,
                                 .emit = emit_statsd,
                                 .check = check_statsd,
                                 .close = close_statsd};
const struct peer peer_json = {.name = "JSON line on a Unix socket",
                               .calls = 20000,
                               .open = open_stream,
                               .emit = emit_json,
                               .check = check_json,
                               .close = close_json};
