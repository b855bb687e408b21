/* SPDX-License-Identifier: Apache-2.0 */
/* Other ways to tell of a call: how each is opened, used, accounted for and closed. Threads: one. */
#ifndef BENCH_PEERS_PEERS_H
#define BENCH_PEERS_PEERS_H

#include <stdint.h>

#define PEER_NOT_INSTALLED 1

struct peer {
    const char *name;
    const char *package;            /* Debian's, that bring what it needs */
    uint64_t calls;                 /* of a repeat */
    int (*open)(void);              /* 0; PEER_NOT_INSTALLED; -1 after bench_wrong */
    double (*emit)(uint64_t calls); /* nanoseconds that they took; negative after bench_wrong */
    int (*check)(uint64_t calls);   /* that so many in all have arrived: 0, or -1 after bench_wrong */
    void (*close)(void);            /* after open, whatever that said */
};

extern const struct peer peer_ring;
extern const struct peer peer_lttng;
extern const struct peer peer_statsd;
extern const struct peer peer_json;
extern const struct peer peer_prometheus;
extern const struct peer peer_redis;

#endif
