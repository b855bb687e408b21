/* SPDX-License-Identifier: Apache-2.0 */
/* One producer process of the gateway, and the memory that it shares with the parent. */
#ifndef TOOLS_TRAFFIC_PRODUCER_H
#define TOOLS_TRAFFIC_PRODUCER_H

#include <stdatomic.h>
#include <stdint.h>

#include "traffic/cost.h"
#include "traffic/gateway.h"

/* What the library accepted; added to by all children, and by the parent for those that are to be killed. */
struct tkr_gateway_sum {
    _Atomic uint64_t calls;
    _Atomic uint64_t prompt_tokens;
    _Atomic uint64_t completion_tokens;
};

/* How far a child is, and how it ended; written by that child only. */
struct tkr_gateway_child {
    _Atomic uint64_t begun;  /* of a child to be killed: calls that it began to make, in the order of their numbers */
    _Atomic uint64_t made;   /* of a child to be killed: calls of these that the library accepted */
    _Atomic int failed_code; /* of a child to be killed: of the first call that was not accepted; after it begun and made rest */
    _Atomic int open_code;   /* of tkr_open */
    char open_error[TKR_OPEN_ERROR_BYTES]; /* then why; written before open_code, read when the child has ended */
    _Atomic int sync_code;                 /* of tkr_sync */
    _Atomic uint64_t offered;              /* calls accepted or dropped, as the child counted them */
    _Atomic uint64_t stat_offered;         /* the same as the library counted them */
};

/* All of it is zero at first, and relaxed but for go_ns: the parent reads when the children have ended. */
struct tkr_gateway_shared {
    _Atomic uint32_t ready; /* children whose producer is open */
    _Atomic uint32_t stop;  /* set by the parent's signal handler: end early */
    _Atomic int64_t go_ns;  /* monotonic time of the start; 0: wait */
    _Atomic uint64_t done;  /* calls made, whatever came of them */
    _Atomic uint64_t refused[TKR_RESULT_COUNT];
    _Atomic uint64_t dropped[TKR_RESULT_COUNT];
    struct tkr_cost record_cost;
    struct tkr_cost open_call_cost;
    struct tkr_gateway_child child[TKR_GATEWAY_PRODUCERS_MAX];
    struct tkr_gateway_sum user[]; /* one for each of the users' names */
};

/* Adds a call that the library accepted. */
void tkr_gateway_sum_add(struct tkr_gateway_sum *sum, const struct tkr_traffic_call *call);

/* Makes the calls of process `index`. Returns its exit status: 0, or 1 with the codes set. */
int tkr_gateway_produce(const struct tkr_gateway_config *config, struct tkr_gateway_shared *shared, uint32_t index);

#endif
