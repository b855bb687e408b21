/* SPDX-License-Identifier: Apache-2.0 */
/* The way to Redis, below its protocol: a socket that is connected. */
#ifndef TKR_SINK_REDIS_DIAL_H
#define TKR_SINK_REDIS_DIAL_H

#include "sink/sink.h"

/*
 * Connects to the Unix socket or to the host's port that config names. All addresses of the host are tried, in the order of
 * getaddrinfo. All of it takes command_timeout_ms at most: resolving a half of it at most; then each address gets an equal share
 * of what is left, and connect_timeout_ms at most. Addresses that are found too late are there for the next who asks
 * (sink/redis/resolve.h).
 * 0 with a blocking descriptor of the caller's, closed by exec, with TCP_NODELAY where that is to be had; or -1 with the reason.
 * Any thread; after a fork, too.
 */
int tkr_redis_dial(const struct tkr_sink_config *config, const struct tkr_give_up *give_up, int *ret_fd,
                   tkr_message *ret_message);

#endif
