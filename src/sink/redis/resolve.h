/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to addresses, as getaddrinfo(3) gives them, without waiting for a resolver longer than the caller wants to.
 *
 * getaddrinfo cannot be interrupted, and takes minutes where a name server is silent. It runs in a thread of its own, which
 * nobody joins. Its result goes into a place in static memory, so it may come when its caller has left, or closed everything:
 *
 *     free -> pending    by who asks, who starts the thread
 *     pending -> done    by the thread, which found addresses
 *     pending -> free    by the thread, which found none and whom nobody waits for
 *     done -> free       by the last who waited; where nobody did, by the next who asks for the name, or by age
 *
 * All of it is under one mutex, which is never held while something waits. A thread works on its own place alone, and a pending
 * place is given to nobody else, so there are at most TKR_LOOKUPS_MAX threads. Who asks for a name that is pending waits for that
 * lookup, unless it has taken very long: the configuration of the resolver may have changed since.
 *
 * A child of a fork has no such threads: it starts with all places free. A host that closes the library has them until they end:
 * the shared form stays in memory (-z nodelete).
 */
#ifndef TKR_SINK_REDIS_RESOLVE_H
#define TKR_SINK_REDIS_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

#include "sink/sink.h"

#define TKR_LOOKUPS_MAX 4    /* of a process at a time */
#define TKR_ADDRESSES_MAX 16 /* of a name; others are left out */

struct tkr_address {
    struct sockaddr_storage at;
    socklen_t len; /* bytes of it */
};

/* In the order of RFC 6724, which is getaddrinfo's: IPv6 and IPv4. */
struct tkr_addresses {
    uint32_t count;
    struct tkr_address address[TKR_ADDRESSES_MAX];
};

/*
 * The TCP addresses of a host, a name or a numeric address, with the port in them; at least one. Waits until until_ns of
 * tkr_clock_monotonic_ns at most, and less where it is given up.
 * 0, or -1 with the reason and *ret_addresses untouched. Any thread; after a fork, too. Leaves the host's signals alone.
 */
int tkr_redis_resolve(const char *host, int port, int64_t until_ns, const struct tkr_give_up *give_up,
                      struct tkr_addresses *ret_addresses, tkr_message *ret_message);

#endif
