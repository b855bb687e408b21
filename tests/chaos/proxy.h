/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies between the collector and Redis, and between a replica and its primary: a thread that forwards bytes, and on
 * command cuts, delays and holds them back at any byte.
 *
 *     collector --> TCP, loopback --+                         PROXY_COLLECTOR
 *                                   +--> Unix socket of the server that is the target
 *     replica ----> TCP, loopback --+                         PROXY_REPLICA
 *
 * As a network does, it delivers what a side sent before it went away, also after it is gone: a request that was held back
 * lands when the collector that sent it is long dead.
 *
 * Threads: commands come from one thread. Times are in milliseconds from now.
 */
#ifndef TESTS_CHAOS_PROXY_H
#define TESTS_CHAOS_PROXY_H

#include <stdint.h>

#include "support/redis.h"

struct proxy;

enum proxy_side { PROXY_COLLECTOR, PROXY_REPLICA, PROXY_SIDES };
enum proxy_way { PROXY_UP, PROXY_DOWN, PROXY_WAYS }; /* towards the server, and from it */

/* Listens on TCP ports of its own choice; target is a server's Unix socket. 0, or -1 with errno. */
int proxy_start(const char *target, struct proxy **ret_proxy);

/* Ends the thread and all connections; NULL is allowed. */
void proxy_end(struct proxy *proxy);

/* The TCP port of a side. */
int proxy_port(const struct proxy *proxy, enum proxy_side side);

/* Connections go to another server from now on. Those that stand are cut; the collector's, when late_ms is not negative,
 * only at the collector's side, and what it had sent lands at the old server after late_ms. */
void proxy_target(struct proxy *proxy, const char *target, int late_ms);

/* After that many more bytes of a side went a way: both ends are cut. */
void proxy_cut(struct proxy *proxy, enum proxy_side side, enum proxy_way way, uint64_t bytes);

/* At the next contributions that the collector sends: its end is cut, and they land after late_ms. */
void proxy_cut_late(struct proxy *proxy, int late_ms);

/* Nothing of a side goes that way for so long. */
void proxy_hold(struct proxy *proxy, enum proxy_side side, enum proxy_way way, int for_ms);

/* The collector's bytes take so much longer, both ways, for so long. */
void proxy_delay(struct proxy *proxy, int delay_ms, int for_ms);

/* The collector's connections are closed as soon as they are made, for so long. */
void proxy_refuse(struct proxy *proxy, int for_ms);

/* All that was commanded ends; what was held back is delivered. */
void proxy_heal(struct proxy *proxy);

/* Bytes forwarded so far. */
uint64_t proxy_passed(struct proxy *proxy, enum proxy_side side, enum proxy_way way);

#endif
