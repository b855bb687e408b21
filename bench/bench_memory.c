/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: of an idle collector; per account and cycle in a collector with many, the shard's file and what the process has of its
 * own; of a producer's region in shared memory, idle and busy. All calls are in the table at the end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/bench.h"
#include "harness/daemon.h"
#include "support/procfs.h"

#define ACCOUNTS 1000000
#define MIB 1048576.0

/* Bytes of memory that the files of a directory below the runtime directory ("." itself) take whose names begin so. */
static double file_bytes(const struct bench_daemon *daemon, const char *below, const char *prefix)
{
    char path[TEMPDIR_BYTES + 32];
    struct stat status;
    double bytes = 0;
    DIR *listing;

    (void)snprintf(path, sizeof(path), "%s/%s", daemon->runtime, below);
    listing = opendir(path);
    for (const struct dirent *file; listing != NULL && (file = readdir(listing)) != NULL;) {
        if (strncmp(file->d_name, prefix, strlen(prefix)) == 0 && fstatat(dirfd(listing), file->d_name, &status, 0) == 0 &&
            S_ISREG(status.st_mode))
            bytes += 512.0 * (double)status.st_blocks;
    }
    if (listing != NULL)
        (void)closedir(listing);
    return bytes;
}

/* What the collector takes: its own pages and the shard's file. */
static double collector_bytes(const struct bench_daemon *daemon)
{
    struct procfs_usage usage = {0};

    if (procfs_read(daemon->process.pid, &usage) != 0)
        return 0;
    return (double)usage.anonymous_bytes + file_bytes(daemon, "collector", "shard-");
}

static double region_bytes(const struct bench_daemon *daemon)
{
    return file_bytes(daemon, ".", "region-");
}

/* One collector from nothing to so many accounts. Figures: idle collector, per account, region idle, region busy. */
static int weigh(struct bench_series figures[4])
{
    struct bench_daemon daemon;
    uint32_t accounts = (uint32_t)bench_work(ACCOUNTS);
    double idle;
    int result = bench_daemon_open(&daemon, "TOKENRING_SINK=null");

    if (result == 0)
        result = bench_daemon_start(&daemon);
    if (result == 0)
        result = bench_daemon_fill(&daemon, 1);
    bench_add(&figures[2], region_bytes(&daemon) / MIB);
    idle = collector_bytes(&daemon);
    bench_add(&figures[0], idle / MIB);
    if (result == 0)
        result = bench_daemon_fill(&daemon, accounts);
    bench_add(&figures[3], region_bytes(&daemon) / MIB);
    bench_add(&figures[1], (collector_bytes(&daemon) - idle) / accounts);
    if (result == 0)
        result = bench_daemon_check(&daemon);
    bench_daemon_close(&daemon);
    return result;
}

int main(int argc, char **argv)
{
    struct bench_series figures[4] = {{.count = 0}};
    int result = 0;

    bench_begin(argc, argv, "memory");
    if (!bench_wants("memory", true))
        return bench_end();
    for (unsigned i = 0; result == 0 && i < bench_repeats(); i++)
        result = weigh(figures);
    if (result != 0)
        return bench_end();
    bench_figure("idle collector, its own and its shard", "memory", "MiB", &figures[0]);
    bench_figure("producer that ran far ahead of the collector", "shared memory", "MiB", &figures[3]);
    bench_bound("idle producer process, shared memory, MiB", &figures[2], BENCH_AT_MOST, 2);
    bench_bound("collector, 1M accounts with ids of 36 bytes: bytes per account and cycle", &figures[1], BENCH_AT_MOST, 320);
    return bench_end();
}
