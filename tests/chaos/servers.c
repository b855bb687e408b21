/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/servers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 160
#define AOF_DIR "appendonlydir"
#define MANIFEST "appendonly.aof.manifest"
#define BASE "appendonly.aof.1.base.rdb"
#define INCREMENT "appendonly.aof.1.incr.aof"
#define CHECK_MS 60000

static const char *const extra[] = {"--appendonly",
                                    "yes",
                                    "--appendfsync",
                                    "no", /* a kill of Redis is no power failure; what that loses, a torn tail shows */
                                    "--repl-diskless-sync-delay",
                                    "0",
                                    "--auto-aof-rewrite-min-size",
                                    "32mb",
                                    NULL};

static void path_of(char ret_path[PATH_BYTES], const char *dir, const char *name)
{
    (void)snprintf(ret_path, PATH_BYTES, "%s/%s", dir, name);
}

static int complain(const char *what, const char *detail)
{
    (void)fprintf(stderr, "%s: %s\n", what, detail);
    return -1;
}

/* --- commands --- */

/* 0, or -1 when there was no answer or a refusal. */
static int take_reply(redisReply *reply)
{
    int result = reply != NULL && reply->type != REDIS_REPLY_ERROR ? 0 : -1;

    freeReplyObject(reply);
    return result;
}

int servers_command(struct servers *servers, const char *command)
{
    return take_reply(redis_server_command(&servers->server[servers->primary], command));
}

int servers_follow(struct servers *servers, int i)
{
    return take_reply(
        redis_server_command(&servers->server[i], "REPLICAOF 127.0.0.1 %d", proxy_port(servers->proxy, PROXY_REPLICA)));
}

int servers_reset(struct servers *servers, const char *key, size_t len)
{
    static const char script[] = "local v=redis.call('HGETALL',KEYS[1]) "
                                 "for i=1,#v,2 do redis.call('HINCRBY',KEYS[2],v[i],v[i+1]) end "
                                 "return redis.call('DEL',KEYS[1])";

    return take_reply(redis_server_command(&servers->server[servers->primary], "EVAL %s 2 %b " CHAOS_RESET_PREFIX "%b", script,
                                           key, len, key, len));
}

/* --- deaths --- */

void servers_kill(struct servers *servers, int i)
{
    redis_server_kill(&servers->server[i]);
    servers->up[i] = false;
    servers->stopped[i] = false;
}

void servers_stop(struct servers *servers, int i)
{
    process_signal(&servers->server[i].process, SIGSTOP);
    servers->stopped[i] = true;
}

void servers_continue(struct servers *servers, int i)
{
    if (servers->stopped[i])
        process_signal(&servers->server[i].process, SIGCONT);
    servers->stopped[i] = false;
}

/* redis-check-aof asks before it cuts. */
static int repair(const struct redis_server *server)
{
    char manifest[PATH_BYTES];
    const char *argv[] = {"sh", "-c", "echo y | redis-check-aof --fix \"$0\"", manifest, NULL};
    struct process check;
    int result = 0;

    path_of(manifest, server->dir, AOF_DIR "/" MANIFEST);
    if (access(manifest, F_OK) != 0)
        return 0;
    if (process_run(&check, argv, NULL, CHECK_MS) != 0 || process_exit_code(&check) != 0)
        result = complain("redis-check-aof", process_text(&check, PROCESS_STDOUT));
    process_end(&check);
    return result;
}

int servers_restart(struct servers *servers, int i)
{
    if (repair(&servers->server[i]) != 0 || redis_server_restart(&servers->server[i]) != 0)
        return complain("redis-server", "does not start again");
    servers->up[i] = true;
    return i == servers->primary ? 0 : servers_follow(servers, i);
}

/* --- the AOF --- */

/* The file that was appended to last: of the highest number. */
static int last_increment(const struct redis_server *server, char ret_path[PATH_BYTES])
{
    char dir_path[PATH_BYTES];
    DIR *dir;
    struct dirent *entry;
    long best = -1;

    path_of(dir_path, server->dir, AOF_DIR);
    dir = opendir(dir_path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char *end;
        long number = strncmp(entry->d_name, "appendonly.aof.", 15) == 0 ? strtol(entry->d_name + 15, &end, 10) : -1;
        if (number <= best || strcmp(end, ".incr.aof") != 0)
            continue;
        best = number;
        (void)snprintf(ret_path, PATH_BYTES, "%.64s/%.64s", dir_path, entry->d_name);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return best < 0 ? -1 : 0;
}

int servers_tear(struct servers *servers, int i, long bytes, long *ret_bytes)
{
    char path[PATH_BYTES];
    struct stat status;

    if (last_increment(&servers->server[i], path) != 0 || stat(path, &status) != 0)
        return -1;
    if (bytes > status.st_size)
        bytes = status.st_size;
    *ret_bytes = bytes;
    return truncate(path, status.st_size - bytes);
}

static int copy_file(const char *from, const char *to)
{
    struct stat status;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = 1;
    off_t at = 0;

    while (source >= 0 && target >= 0 && fstat(source, &status) == 0 && at < status.st_size && n > 0)
        n = sendfile(target, source, &at, (size_t)(status.st_size - at));
    if (source >= 0)
        (void)close(source);
    if (target >= 0)
        (void)close(target);
    return source >= 0 && target >= 0 && n > 0 ? 0 : -1;
}

static int write_file(const char *dir, const char *name, const char *text)
{
    char path[PATH_BYTES];
    FILE *file;
    int written;

    path_of(path, dir, name);
    file = fopen(path, "we");
    if (file == NULL)
        return -1;
    written = fputs(text, file);
    return fclose(file) == 0 && written >= 0 ? 0 : -1;
}

static void empty_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0); /* "." and "..": it does not */
    if (dir != NULL)
        (void)closedir(dir);
}

static void snapshot_path(const struct servers *servers, int n, char ret_path[PATH_BYTES])
{
    (void)snprintf(ret_path, PATH_BYTES, "%s/%d.rdb", servers->dir, n % SNAPSHOTS);
}

int servers_snapshot(struct servers *servers)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];

    if (servers_command(servers, "SAVE") != 0)
        return -1;
    path_of(from, servers->server[servers->primary].dir, "dump.rdb");
    snapshot_path(servers, servers->snapshots, to);
    if (copy_file(from, to) != 0)
        return complain(to, strerror(errno));
    servers->snapshots++;
    return 0;
}

/* A server with AOF reads nothing else: the snapshot becomes the AOF's base. */
int servers_restore(struct servers *servers, int i, int n)
{
    char from[PATH_BYTES];
    char dir[PATH_BYTES];
    char to[PATH_BYTES + 32];

    snapshot_path(servers, n, from);
    path_of(dir, servers->server[i].dir, AOF_DIR);
    (void)snprintf(to, sizeof(to), "%s/" BASE, dir);
    empty_dir(dir);
    if (copy_file(from, to) != 0 || write_file(dir, INCREMENT, "") != 0 ||
        write_file(dir, MANIFEST, "file " BASE " seq 1 type b\nfile " INCREMENT " seq 1 type i\n") != 0)
        return complain("restore", strerror(errno));
    return 0;
}

/* --- roles --- */

int servers_promote(struct servers *servers, int late_ms)
{
    int replica = servers_replica(servers);

    if (take_reply(redis_server_command(&servers->server[replica], "REPLICAOF NO ONE")) != 0)
        return -1;
    servers->primary = replica;
    proxy_target(servers->proxy, servers->server[replica].socket, late_ms);
    return 0;
}

/* --- life --- */

int servers_start(struct servers *ret_servers)
{
    struct servers *servers = ret_servers;

    memset(servers, 0, sizeof(*servers));
    if (tempdir_make(servers->dir) != 0)
        return complain("/dev/shm", strerror(errno));
    for (int i = 0; i < SERVERS; i++) {
        if (redis_server_start(&servers->server[i], extra) != 0)
            return complain("redis-server", "does not start");
        servers->up[i] = true;
    }
    if (proxy_start(servers->server[0].socket, &servers->proxy) != 0)
        return complain("proxy", strerror(errno));
    return servers_follow(servers, 1);
}

void servers_end(struct servers *servers)
{
    for (int i = 0; i < SERVERS; i++)
        redis_server_stop(&servers->server[i]);
    proxy_end(servers->proxy);
    tempdir_remove(servers->dir);
    memset(servers, 0, sizeof(*servers));
}
