/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/bench.h"
#include "table/reader.h"

#define START_MS 30000
#define END_MS 60000
#define VALUES 8

bool bench_host_has_redis(void)
{
    static const char *const argv[] = {"redis-server", "--version", NULL};
    struct process process;
    bool found = process_run(&process, argv, NULL, START_MS) == 0 && process_exit_code(&process) == 0;

    process_end(&process);
    return found;
}

const char *bench_host_sink_name(enum tkr_sink_kind kind)
{
    return kind == TKR_SINK_REDIS ? "Redis" : kind == TKR_SINK_SQLITE ? "SQLite" : "null";
}

static int make_sink(struct bench_host *host, enum tkr_sink_kind kind)
{
    host->sink = (struct tkr_sink_config){.kind = kind, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    (void)snprintf(host->sink.ledger, sizeof(host->sink.ledger), "%s/ledger.db", host->directory);
    if (kind != TKR_SINK_REDIS)
        return 0;
    if (redis_server_start(&host->server, NULL) != 0)
        return bench_wrong("redis-server does not start");
    (void)snprintf(host->sink.socket, sizeof(host->sink.socket), "%s", host->server.socket);
    return 0;
}

static int start_collector(struct bench_host *host, const struct bench_host_options *options)
{
    static const char *const names[] = {[TKR_SINK_REDIS] = "redis", [TKR_SINK_SQLITE] = "sqlite", [TKR_SINK_NULL] = "null"};
    const char *const argv[] = {BENCH_BIN_DIR "/tokenringd", NULL};
    char value[VALUES][TKR_SINK_PATH_BYTES + 32];
    const char *env[VALUES + 1] = {NULL};
    int n = 0;

    (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_RUNTIME_DIR=%s", host->runtime);
    (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_SINK=%s", names[options->sink]);
    (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_WORKERS=%u", options->workers);
    (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_LEDGER=%s", host->sink.ledger);
    (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_HTTP=unix:%s", host->http);
    if (options->sink == TKR_SINK_REDIS)
        (void)snprintf(value[n++], sizeof(value[0]), "REDIS_SOCKET=%s", host->sink.socket);
    if (options->flush_ms != 0)
        (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_FLUSH_INTERVAL_MS=%u", options->flush_ms);
    if (options->board_accounts != 0)
        (void)snprintf(value[n++], sizeof(value[0]), "TOKENRING_BOARD_ACCOUNTS=%u", options->board_accounts);
    for (int i = 0; i < n; i++)
        env[i] = value[i];
    if (process_start(&host->collector, argv, env) != 0 ||
        process_wait_text(&host->collector, PROCESS_STDERR, "collecting in", START_MS) != 0)
        return bench_wrong("the collector does not start: %s", process_text(&host->collector, PROCESS_STDERR));
    return 0;
}

static int open_readers(struct bench_host *host, uint32_t shards)
{
    char path[BENCH_HOST_PATH_BYTES + 16];
    tkr_message why = {""};
    int directory;

    (void)snprintf(path, sizeof(path), "%s/collector", host->runtime);
    directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return bench_wrong("%s: %s", path, strerror(errno));
    while (host->readers < shards && tkr_reader_open(directory, host->readers, &host->reader[host->readers], &why) == 1)
        host->readers++;
    (void)close(directory);
    return host->readers == shards ? 0 : bench_wrong("shard %u cannot be read: %s", host->readers, why.text);
}

int bench_host_start(struct bench_host *host, const struct bench_host_options *options)
{
    memset(host, 0, sizeof(*host));
    if (tempdir_make(host->directory) != 0)
        return bench_wrong("no directory: %s", strerror(errno));
    (void)snprintf(host->runtime, sizeof(host->runtime), "%s/run", host->directory);
    (void)snprintf(host->http, sizeof(host->http), "%s/http", host->directory);
    if (mkdir(host->runtime, 0700) != 0)
        return bench_wrong("%s: %s", host->runtime, strerror(errno));
    if (make_sink(host, options->sink) != 0 || start_collector(host, options) != 0)
        return -1;
    return open_readers(host, options->workers);
}

int64_t bench_host_counted(struct bench_host *host)
{
    struct tkr_entry_copy copy;
    int64_t total = 0;

    for (uint32_t i = 0; i < host->readers; i++) {
        tkr_reader_rewind(host->reader[i]);
        while (tkr_reader_next(host->reader[i], &copy))
            total += copy.counts.value[TKR_COUNTER_TOTAL];
    }
    return total;
}

int bench_host_end_collector(struct bench_host *host)
{
    process_signal(&host->collector, SIGTERM);
    if (process_wait(&host->collector, END_MS) != 0 || process_exit_code(&host->collector) != 0)
        return bench_wrong("the collector does not end well: %s", process_text(&host->collector, PROCESS_STDERR));
    return 0;
}

static int add_row(const struct tkr_usage_row *row, void *total)
{
    *(int64_t *)total += row->counts.value[TKR_COUNTER_TOTAL];
    return 0;
}

int64_t bench_host_in_sink(const struct bench_host *host)
{
    struct tkr_usage_query query = {.any_kind = 1};
    tkr_message why = {""};
    int64_t total = 0;
    tkr_sink *sink;

    if (tkr_sink_open(&host->sink, &sink, &why) != 0)
        return bench_wrong("%s", why.text);
    if (sink->ops->read(sink, &query, add_row, &total, &why) != 0)
        total = bench_wrong("%s", why.text);
    sink->ops->close(sink);
    return total;
}

void bench_host_remove(struct bench_host *host)
{
    while (host->readers > 0)
        tkr_reader_close(host->reader[--host->readers]);
    process_end(&host->collector);
    redis_server_stop(&host->server);
    tempdir_remove(host->directory);
    memset(host, 0, sizeof(*host));
}
