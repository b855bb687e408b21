/* SPDX-License-Identifier: Apache-2.0 */
/* Calls without a trace: users by shares, tokens log-normal (traffic/users.h), found from the seed and their number. */
#ifndef TOOLS_TRAFFIC_SIMULATED_H
#define TOOLS_TRAFFIC_SIMULATED_H

#include <stdint.h>

#include "base/settings.h"
#include "traffic/gateway.h"
#include "traffic/users.h"

struct tkr_traffic_simulated {
    struct tkr_traffic_users users;
    struct tkr_traffic_names names;
    uint64_t seed;
    uint32_t producer_count;
    double gap_ns; /* between two calls of one producer; 0: none */
};

/* Makes the users; the other fields are the caller's. 0, or -1 with the reason. Start with a zeroed structure. */
int tkr_traffic_simulated_make(struct tkr_traffic_simulated *simulated, uint32_t user_count, tkr_message *ret_message);

/* A tkr_traffic_source; arg is the structure. */
void tkr_traffic_simulated_source(const void *arg, uint64_t n, struct tkr_traffic_call *ret_call);

/* Frees all; accepts a zeroed or half-made structure. */
void tkr_traffic_simulated_free(struct tkr_traffic_simulated *simulated);

#endif
