/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX 64
#define FLOW_BYTES (1u << 18)
#define POLL_BUSY_MS 2 /* while something is held back */
#define POLL_IDLE_MS 500
#define ORPHAN_MS 2000 /* a server's end whose collector's end is gone lives so long after its last byte */
#define NEVER INT64_MAX
#define CONTRIBUTES "EVALSHA" /* in a request that changes something */

/* One way of a connection. */
struct flow {
    uint8_t *bytes;
    size_t begin;
    size_t end;
    int64_t not_before_ms;
    bool eof;  /* the sender has sent all */
    bool shut; /* and the receiver was told */
};

/* A connection: the collector's or the replica's end, and the server's. */
struct pair {
    bool used;
    enum proxy_side side;
    int fd[PROXY_WAYS]; /* [PROXY_UP]: the client's, from which bytes go up; -1: closed */
    struct flow flow[PROXY_WAYS];
    int64_t dies_ms; /* an orphan: the client's end is cut */
};

/* What was commanded for a side. */
struct rule {
    uint64_t cut[PROXY_WAYS]; /* UINT64_MAX: not */
    int64_t hold_until_ms[PROXY_WAYS];
    int64_t refuse_until_ms;
    int64_t delay_until_ms;
    int delay_ms;
    int late_ms; /* -1: none */
    uint64_t passed[PROXY_WAYS];
};

struct proxy {
    pthread_t thread;
    pthread_mutex_t mutex;
    int wake;
    int listener[PROXY_SIDES];
    int port[PROXY_SIDES];
    bool end;
    char target[REDIS_SERVER_PATH_BYTES];
    struct rule rule[PROXY_SIDES];
    struct pair pair[PAIRS_MAX];
};

static enum proxy_way other(enum proxy_way way)
{
    return way == PROXY_UP ? PROXY_DOWN : PROXY_UP;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void pair_end(struct pair *pair)
{
    for (int way = 0; way < PROXY_WAYS; way++) {
        close_fd(&pair->fd[way]);
        free(pair->flow[way].bytes);
    }
    memset(pair, 0, sizeof(*pair));
}

/* --- connections --- */

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        close_fd(&fd);
    return fd;
}

static struct pair *pair_unused(struct proxy *proxy)
{
    for (int i = 0; i < PAIRS_MAX; i++) {
        if (!proxy->pair[i].used)
            return &proxy->pair[i];
    }
    return NULL;
}

static void accept_one(struct proxy *proxy, enum proxy_side side, int64_t now)
{
    int fd = accept4(proxy->listener[side], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct pair *pair = pair_unused(proxy);
    int server = fd >= 0 && pair != NULL && now >= proxy->rule[side].refuse_until_ms ? dial(proxy->target) : -1;

    if (server < 0) { /* as when nobody listens */
        close_fd(&fd);
        return;
    }
    pair->used = true;
    pair->side = side;
    pair->fd[PROXY_UP] = fd;
    pair->fd[PROXY_DOWN] = server;
    pair->dies_ms = NEVER;
    for (int way = 0; way < PROXY_WAYS; way++)
        pair->flow[way].bytes = malloc(FLOW_BYTES);
    if (pair->flow[PROXY_UP].bytes == NULL || pair->flow[PROXY_DOWN].bytes == NULL)
        pair_end(pair);
}

/* Cuts the client's end; what it has sent lands later. */
static void orphan(struct pair *pair, int64_t at_ms)
{
    close_fd(&pair->fd[PROXY_UP]);
    pair->flow[PROXY_UP].eof = true;
    pair->flow[PROXY_UP].not_before_ms = at_ms;
    pair->dies_ms = at_ms + ORPHAN_MS;
}

/* --- forwarding --- */

static bool has_room(const struct flow *flow)
{
    return !flow->eof && flow->end - flow->begin < FLOW_BYTES;
}

static bool may_go(const struct proxy *proxy, const struct pair *pair, enum proxy_way way, int64_t now)
{
    return now >= pair->flow[way].not_before_ms && now >= proxy->rule[pair->side].hold_until_ms[way];
}

static void make_room(struct flow *flow)
{
    if (flow->begin == 0)
        return;
    memmove(flow->bytes, flow->bytes + flow->begin, flow->end - flow->begin);
    flow->end -= flow->begin;
    flow->begin = 0;
}

static void receive(struct proxy *proxy, struct pair *pair, enum proxy_way way, int64_t now)
{
    struct rule *rule = &proxy->rule[pair->side];
    struct flow *flow = &pair->flow[way];
    ssize_t n;

    make_room(flow);
    n = recv(pair->fd[way], flow->bytes + flow->end, FLOW_BYTES - flow->end, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        flow->eof = true;
        if (way == PROXY_UP) /* what it has sent is delivered all the same */
            close_fd(&pair->fd[PROXY_UP]);
        return;
    }
    if (flow->begin == flow->end && now < rule->delay_until_ms)
        flow->not_before_ms = now + rule->delay_ms;
    flow->end += (size_t)n;
    if (way == PROXY_UP && rule->late_ms >= 0 &&
        memmem(flow->bytes + flow->begin, flow->end - flow->begin, CONTRIBUTES, strlen(CONTRIBUTES)) != NULL) {
        orphan(pair, now + rule->late_ms);
        rule->late_ms = -1;
    }
}

/* Counts bytes that went; false: the connection is cut here. */
static bool count_passed(struct rule *rule, enum proxy_way way, size_t n)
{
    rule->passed[way] += n;
    if (rule->cut[way] == UINT64_MAX)
        return true;
    rule->cut[way] -= n;
    if (rule->cut[way] > 0)
        return true;
    rule->cut[way] = UINT64_MAX;
    return false;
}

/* Sends what may go. false: the connection is at its end. */
static bool forward(struct proxy *proxy, struct pair *pair, enum proxy_way way)
{
    struct rule *rule = &proxy->rule[pair->side];
    struct flow *flow = &pair->flow[way];
    int fd = pair->fd[other(way)];
    size_t most = flow->end - flow->begin;
    ssize_t n;

    if (fd < 0) { /* replies to an orphan */
        flow->begin = flow->end = 0;
        return true;
    }
    if (most > rule->cut[way])
        most = rule->cut[way];
    n = most > 0 ? send(fd, flow->bytes + flow->begin, most, MSG_NOSIGNAL) : 0;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->begin += (size_t)n;
    return n == 0 || count_passed(rule, way, (size_t)n);
}

/* Once all has been delivered, the receiver learns that no more comes. false: both ways are done. */
static bool finish(struct pair *pair, enum proxy_way way)
{
    struct flow *flow = &pair->flow[way];

    if (!flow->eof || flow->begin < flow->end)
        return true;
    if (way == PROXY_DOWN) /* the server has gone, and what it said is delivered */
        return false;
    if (!flow->shut)
        (void)shutdown(pair->fd[PROXY_DOWN], SHUT_WR);
    flow->shut = true;
    return true;
}

static void serve(struct proxy *proxy, struct pair *pair, int64_t now)
{
    for (enum proxy_way way = PROXY_UP; way < PROXY_WAYS; way++) {
        if (pair->fd[way] >= 0 && has_room(&pair->flow[way]))
            receive(proxy, pair, way, now);
    }
    for (enum proxy_way way = PROXY_UP; way < PROXY_WAYS; way++) {
        if (may_go(proxy, pair, way, now) && (!forward(proxy, pair, way) || !finish(pair, way))) {
            pair_end(pair);
            return;
        }
    }
    if (now >= pair->dies_ms)
        pair_end(pair);
}

/* --- the thread --- */

static bool is_waiting(const struct pair *pair)
{
    for (int way = 0; way < PROXY_WAYS; way++) {
        if (pair->flow[way].begin < pair->flow[way].end)
            return true;
    }
    return pair->dies_ms != NEVER || pair->flow[PROXY_UP].eof;
}

/* Fills in what to wait for; returns for how long. Called with the mutex. */
static int prepare(struct proxy *proxy, struct pollfd *set, nfds_t *ret_count)
{
    int timeout = POLL_IDLE_MS;
    nfds_t n = 0;

    set[n++] = (struct pollfd){.fd = proxy->wake, .events = POLLIN};
    for (int side = 0; side < PROXY_SIDES; side++)
        set[n++] = (struct pollfd){.fd = proxy->listener[side], .events = POLLIN};
    for (int i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &proxy->pair[i];
        for (int way = 0; pair->used && way < PROXY_WAYS; way++) {
            if (pair->fd[way] >= 0 && has_room(&pair->flow[way]))
                set[n++] = (struct pollfd){.fd = pair->fd[way], .events = POLLIN};
        }
        if (pair->used && is_waiting(pair))
            timeout = POLL_BUSY_MS;
    }
    *ret_count = n;
    return timeout;
}

static void *run(void *argument)
{
    struct proxy *proxy = argument;
    struct pollfd set[1 + PROXY_SIDES + PROXY_WAYS * PAIRS_MAX];

    (void)pthread_mutex_lock(&proxy->mutex);
    while (!proxy->end) {
        nfds_t count;
        uint64_t woken;
        int64_t now;
        int timeout = prepare(proxy, set, &count);
        (void)pthread_mutex_unlock(&proxy->mutex);
        (void)poll(set, count, timeout);
        (void)pthread_mutex_lock(&proxy->mutex);
        now = process_now_ms();
        if ((set[0].revents & POLLIN) != 0 && read(proxy->wake, &woken, sizeof(woken)) < 0)
            continue;
        for (int side = 0; side < PROXY_SIDES; side++) {
            if (set[1 + side].revents != 0)
                accept_one(proxy, (enum proxy_side)side, now);
        }
        for (int i = 0; i < PAIRS_MAX; i++) {
            if (proxy->pair[i].used)
                serve(proxy, &proxy->pair[i], now);
        }
    }
    (void)pthread_mutex_unlock(&proxy->mutex);
    return NULL;
}

/* --- commands --- */

static void begin_command(struct proxy *proxy)
{
    (void)pthread_mutex_lock(&proxy->mutex);
}

static void end_command(struct proxy *proxy)
{
    const uint64_t one = 1;

    (void)pthread_mutex_unlock(&proxy->mutex);
    if (write(proxy->wake, &one, sizeof(one)) < 0)
        return; /* it is awake: the counter is full */
}

void proxy_target(struct proxy *proxy, const char *target, int late_ms)
{
    int64_t now = process_now_ms();

    begin_command(proxy);
    (void)snprintf(proxy->target, sizeof(proxy->target), "%s", target);
    for (int i = 0; i < PAIRS_MAX; i++) {
        struct pair *pair = &proxy->pair[i];
        if (pair->used && pair->side == PROXY_COLLECTOR && late_ms >= 0)
            orphan(pair, now + late_ms);
        else if (pair->used)
            pair_end(pair);
    }
    end_command(proxy);
}

void proxy_cut(struct proxy *proxy, enum proxy_side side, enum proxy_way way, uint64_t bytes)
{
    begin_command(proxy);
    proxy->rule[side].cut[way] = bytes;
    end_command(proxy);
}

void proxy_cut_late(struct proxy *proxy, int late_ms)
{
    begin_command(proxy);
    proxy->rule[PROXY_COLLECTOR].late_ms = late_ms;
    end_command(proxy);
}

void proxy_hold(struct proxy *proxy, enum proxy_side side, enum proxy_way way, int for_ms)
{
    begin_command(proxy);
    proxy->rule[side].hold_until_ms[way] = process_now_ms() + for_ms;
    end_command(proxy);
}

void proxy_delay(struct proxy *proxy, int delay_ms, int for_ms)
{
    begin_command(proxy);
    proxy->rule[PROXY_COLLECTOR].delay_ms = delay_ms;
    proxy->rule[PROXY_COLLECTOR].delay_until_ms = process_now_ms() + for_ms;
    end_command(proxy);
}

void proxy_refuse(struct proxy *proxy, int for_ms)
{
    begin_command(proxy);
    proxy->rule[PROXY_COLLECTOR].refuse_until_ms = process_now_ms() + for_ms;
    end_command(proxy);
}

static void rule_clear(struct rule *rule)
{
    for (int way = 0; way < PROXY_WAYS; way++) {
        rule->cut[way] = UINT64_MAX;
        rule->hold_until_ms[way] = 0;
    }
    rule->refuse_until_ms = 0;
    rule->delay_until_ms = 0;
    rule->late_ms = -1;
}

void proxy_heal(struct proxy *proxy)
{
    begin_command(proxy);
    for (int side = 0; side < PROXY_SIDES; side++)
        rule_clear(&proxy->rule[side]);
    for (int i = 0; i < PAIRS_MAX; i++) {
        for (int way = 0; way < PROXY_WAYS; way++)
            proxy->pair[i].flow[way].not_before_ms = 0;
    }
    end_command(proxy);
}

uint64_t proxy_passed(struct proxy *proxy, enum proxy_side side, enum proxy_way way)
{
    uint64_t passed;

    begin_command(proxy);
    passed = proxy->rule[side].passed[way];
    end_command(proxy);
    return passed;
}

/* --- life --- */

static int listen_tcp(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, PAIRS_MAX) != 0 ||
                    getsockname(fd, (struct sockaddr *)&address, &len) != 0))
        close_fd(&fd);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

int proxy_start(const char *target, struct proxy **ret_proxy)
{
    struct proxy *proxy = calloc(1, sizeof(*proxy));

    if (proxy == NULL)
        return -1;
    for (int side = 0; side < PROXY_SIDES; side++)
        rule_clear(&proxy->rule[side]);
    (void)snprintf(proxy->target, sizeof(proxy->target), "%s", target);
    proxy->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (int side = 0; side < PROXY_SIDES; side++)
        proxy->listener[side] = listen_tcp(&proxy->port[side]);
    if (proxy->wake < 0 || proxy->listener[PROXY_COLLECTOR] < 0 || proxy->listener[PROXY_REPLICA] < 0 ||
        pthread_mutex_init(&proxy->mutex, NULL) != 0 || pthread_create(&proxy->thread, NULL, run, proxy) != 0) {
        close_fd(&proxy->wake);
        for (int side = 0; side < PROXY_SIDES; side++)
            close_fd(&proxy->listener[side]);
        free(proxy);
        return -1;
    }
    *ret_proxy = proxy;
    return 0;
}

void proxy_end(struct proxy *proxy)
{
    if (proxy == NULL)
        return;
    begin_command(proxy);
    proxy->end = true;
    end_command(proxy);
    (void)pthread_join(proxy->thread, NULL);
    for (int i = 0; i < PAIRS_MAX; i++) {
        if (proxy->pair[i].used)
            pair_end(&proxy->pair[i]);
    }
    close_fd(&proxy->wake);
    for (int side = 0; side < PROXY_SIDES; side++)
        close_fd(&proxy->listener[side]);
    (void)pthread_mutex_destroy(&proxy->mutex);
    free(proxy);
}

int proxy_port(const struct proxy *proxy, enum proxy_side side)
{
    return proxy->port[side];
}
