/* SPDX-License-Identifier: Apache-2.0 */
/* The tracepoint that tells as much of a call as record() does. LTTng reads this file several times over. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tokenring_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "peers/lttng_event.h"

#if !defined(BENCH_PEERS_LTTNG_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_PEERS_LTTNG_EVENT_H

#include <lttng/tracepoint.h>
#include <stdint.h>

LTTNG_UST_TRACEPOINT_EVENT(tokenring_bench, call,
                           LTTNG_UST_TP_ARGS(const char *, id, uint32_t, id_len, int64_t, start_ns, uint32_t, prompt, uint32_t,
                                             completion),
                           LTTNG_UST_TP_FIELDS(lttng_ust_field_sequence_text(char, id, id, uint8_t, id_len)
                                                   lttng_ust_field_integer(int64_t, start_ns, start_ns)
                                                       lttng_ust_field_integer(uint32_t, cycle, 20261101)
                                                           lttng_ust_field_integer(uint32_t, prompt, prompt)
                                                               lttng_ust_field_integer(uint32_t, completion, completion)
                                                                   lttng_ust_field_integer(uint32_t, total, prompt + completion)))

#endif

#include <lttng/tracepoint-event.h>
