/* SPDX-License-Identifier: Apache-2.0 */
/* Peers in processes of their own: an LTTng-UST tracepoint in a session of a private home, and Python's prometheus_client. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/bench.h"
#include "harness/child.h"
#include "peers/payload.h"
#include "peers/peers.h"
#include "support/process.h"
#include "support/tempdir.h"

#define DEADLINE_MS 20000
#define NOBODY 65534
#define PYTHON "/usr/bin/python3" /* Debian's: another has not Debian's packages */
#define TEXT(number) #number
#define TEXT_OF(number) TEXT(number)
#define ARGUMENTS_MAX 24

static struct bench_child tracer;
static struct bench_child python;

static double ask_calls(struct bench_child *child, uint64_t calls)
{
    char line[32];

    (void)snprintf(line, sizeof(line), "%" PRIu64, calls);
    return bench_child_ask(child, line);
}

static bool runs(const char *const argv[])
{
    struct process process;
    bool well = process_run(&process, argv, NULL, DEADLINE_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    return well;
}

/* --- LTTng-UST --- */

/*
 * root's session daemon would be the host's, so as root all of it is nobody's: daemon, session and tracepoint. The ring has room for
 * what is traced before the consumer daemon comes by; an event that it had to discard is none that was told.
 */
static struct {
    char home[TEMPDIR_BYTES];
    char home_is[TEMPDIR_BYTES + 16];
    char lttng_home_is[TEMPDIR_BYTES + 16];
    char trace[TEMPDIR_BYTES + 16];
    char output[TEMPDIR_BYTES + 32];
    const char *env[4];
    struct process daemon;
    bool waits[2]; /* files in shared memory that were there before us */
} tracing;

static const char *wait_name(int number, char name[48])
{
    if (number == 0)
        return "/lttng-ust-wait-8";
    (void)snprintf(name, 48, "/lttng-ust-wait-8-%u", geteuid() == 0 ? NOBODY : (unsigned)geteuid());
    return name;
}

static void note_waits(void)
{
    char name[48];

    for (int i = 0; i < 2; i++) {
        int fd = shm_open(wait_name(i, name), O_RDONLY, 0);
        tracing.waits[i] = fd >= 0 || errno != ENOENT;
        if (fd >= 0)
            (void)close(fd);
    }
}

static void remove_waits(void)
{
    char name[48];

    for (int i = 0; i < 2; i++) {
        if (!tracing.waits[i])
            (void)shm_unlink(wait_name(i, name));
    }
}

/* argv as nobody, when we are root; of ordinary priority in any case: the daemon's threads wait for each other by spinning. */
static void start_as(struct process *ret_process, const char *const argv[], bool to_its_end)
{
    static const char *const before[] = {"chrt", "--other", "0", "setpriv", "--pdeathsig=KILL"};
    static const char *const nobody[] = {"--reuid=" TEXT_OF(NOBODY), "--regid=" TEXT_OF(NOBODY), "--clear-groups"};
    const char *all[ARGUMENTS_MAX] = {NULL};
    size_t n = 0;

    for (; n < sizeof(before) / sizeof(before[0]); n++)
        all[n] = before[n];
    for (size_t i = 0; geteuid() == 0 && i < sizeof(nobody) / sizeof(nobody[0]); i++, n++)
        all[n] = nobody[i];
    for (; *argv != NULL && n < ARGUMENTS_MAX - 1; argv++, n++)
        all[n] = *argv;
    if (to_its_end)
        (void)process_run(ret_process, all, tracing.env, DEADLINE_MS);
    else
        (void)process_start(ret_process, all, tracing.env);
}

#define LTTNG(...) lttng((const char *const[]){"lttng", "--no-sessiond", __VA_ARGS__, NULL})

static bool lttng(const char *const argv[])
{
    struct process process;
    bool well;

    start_as(&process, argv, true);
    well = process_exit_code(&process) == 0;
    process_end(&process);
    return well;
}

static bool installed(void)
{
    return access(BENCH_LTTNG_CHILD, X_OK) == 0 && runs((const char *const[]){"lttng", "--version", NULL}) &&
           runs((const char *const[]){"lttng-sessiond", "--version", NULL}) &&
           runs((const char *const[]){"babeltrace2", "--version", NULL});
}

static bool make_home(void)
{
    if (tempdir_make(tracing.home) != 0 || (geteuid() == 0 && chown(tracing.home, NOBODY, NOBODY) != 0))
        return false;
    (void)snprintf(tracing.home_is, sizeof(tracing.home_is), "HOME=%s", tracing.home);
    (void)snprintf(tracing.lttng_home_is, sizeof(tracing.lttng_home_is), "LTTNG_HOME=%s", tracing.home);
    (void)snprintf(tracing.trace, sizeof(tracing.trace), "%s/trace", tracing.home);
    (void)snprintf(tracing.output, sizeof(tracing.output), "--output=%s", tracing.trace);
    tracing.env[0] = tracing.home_is;
    tracing.env[1] = tracing.lttng_home_is;
    tracing.env[2] = "LTTNG_UST_REGISTER_TIMEOUT=" TEXT_OF(DEADLINE_MS);
    return true;
}

static bool make_session(void)
{
    long end = process_now_ms() + DEADLINE_MS;

    while (!LTTNG("create", "peers", tracing.output)) { /* until the daemon listens */
        if (process_now_ms() > end || !process_running(&tracing.daemon))
            return false;
        process_sleep_ms(20);
    }
    return LTTNG("enable-channel", "-u", "--discard", "--subbuf-size=16M", "--num-subbuf=4", "-s", "peers", "calls") &&
           LTTNG("enable-event", "-u", "tokenring_bench:call", "-s", "peers", "-c", "calls") && LTTNG("start", "peers");
}

static int open_lttng(void)
{
    static const char *const daemon[] = {"lttng-sessiond", "--no-kernel", NULL};
    static const char *const argv[] = {BENCH_LTTNG_CHILD, NULL};
    const struct bench_child_options options = {
        .argv = argv, .env = tracing.env, .processor = 1, .user = geteuid() == 0 ? NOBODY : 0};

    memset(&tracing, 0, sizeof(tracing));
    if (!installed())
        return PEER_NOT_INSTALLED;
    note_waits();
    if (!make_home())
        return bench_wrong("no home for LTTng: %s", strerror(errno));
    start_as(&tracing.daemon, daemon, false);
    if (!make_session())
        return bench_wrong("no LTTng session: %s", process_text(&tracing.daemon, PROCESS_STDERR));
    return bench_child_start(&tracer, &options);
}

/* The number in front of a word in what babeltrace2 counts. */
static uint64_t counted(const char *text, const char *word)
{
    const char *line = strstr(text, word);

    while (line != NULL && line > text && line[-1] != '\n')
        line--;
    return line == NULL ? 0 : strtoull(line, NULL, 10);
}

static int check_lttng(uint64_t calls)
{
    const char *const argv[] = {"babeltrace2", tracing.trace, "-c", "sink.utils.counter", "-p", "step=+0", NULL};
    struct process process;
    uint64_t recorded;
    uint64_t discarded;

    if (!LTTNG("stop", "peers"))
        return bench_wrong("LTTng's session does not stop");
    (void)process_run(&process, argv, NULL, 3 * DEADLINE_MS);
    recorded = counted(process_text(&process, PROCESS_STDOUT), "Event message");
    discarded = counted(process_text(&process, PROCESS_STDOUT), "Discarded events message");
    process_end(&process);
    if (recorded != calls || discarded != 0)
        return bench_wrong("tracepoints %" PRIu64 ", recorded %" PRIu64 "%s", calls, recorded,
                           discarded != 0 ? ", and LTTng discarded some" : "");
    return 0;
}

static void close_lttng(void)
{
    bench_child_end(&tracer);
    if (tracing.home[0] == '\0')
        return;
    (void)LTTNG("destroy", "peers");
    process_signal(&tracing.daemon, SIGTERM); /* it ends its consumer daemon */
    (void)process_wait(&tracing.daemon, DEADLINE_MS);
    process_end(&tracing.daemon);
    remove_waits();
    tempdir_remove(tracing.home);
}

static double trace(uint64_t calls)
{
    return ask_calls(&tracer, calls);
}

const struct peer peer_lttng = {.name = "LTTng-UST tracepoint",
                                .package = "liblttng-ust-dev lttng-tools babeltrace2",
                                .calls = 200000,
                                .open = open_lttng,
                                .emit = trace,
                                .check = check_lttng,
                                .close = close_lttng};

/* --- prometheus_client --- */

static struct {
    char directory[TEMPDIR_BYTES];
    char directory_is[TEMPDIR_BYTES + 32];
} scraped;

static int open_prometheus(void)
{
    static const char *const argv[] = {
        PYTHON, BENCH_PEERS_DIR "/prometheus.py", PAYLOAD_ID, TEXT_OF(PAYLOAD_PROMPT), TEXT_OF(PAYLOAD_COMPLETION), NULL};
    const char *const env[] = {scraped.directory_is, "PYTHONDONTWRITEBYTECODE=1", NULL};
    const struct bench_child_options options = {.argv = argv, .env = env, .processor = 1};

    scraped.directory[0] = '\0';
    if (access(PYTHON, X_OK) != 0 || !runs((const char *const[]){PYTHON, "-c", "import prometheus_client", NULL}))
        return PEER_NOT_INSTALLED;
    if (tempdir_make(scraped.directory) != 0)
        return bench_wrong("no directory");
    (void)snprintf(scraped.directory_is, sizeof(scraped.directory_is), "PROMETHEUS_MULTIPROC_DIR=%s", scraped.directory);
    return bench_child_start(&python, &options);
}

static double count(uint64_t calls)
{
    return ask_calls(&python, calls);
}

static int check_prometheus(uint64_t calls)
{
    double total = bench_child_ask(&python, "total");

    return total == (double)(calls * PAYLOAD_TOKENS) ? 0 : bench_wrong("calls %" PRIu64 ", tokens scraped %.0f", calls, total);
}

static void close_prometheus(void)
{
    bench_child_end(&python);
    tempdir_remove(scraped.directory);
}

const struct peer peer_prometheus = {.name = "prometheus_client, multiprocess, 3 counters",
                                     .package = "python3-prometheus-client",
                                     .calls = 2000,
                                     .open = open_prometheus,
                                     .emit = count,
                                     .check = check_prometheus,
                                     .close = close_prometheus};
