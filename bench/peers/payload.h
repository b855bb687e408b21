/* SPDX-License-Identifier: Apache-2.0 */
/* The call that record() and its peers tell of. */
#ifndef BENCH_PEERS_PAYLOAD_H
#define BENCH_PEERS_PAYLOAD_H

#define PAYLOAD_ID "c0ffee00-1234-4567-89ab-0123456789ab"
#define PAYLOAD_ID_BYTES (sizeof(PAYLOAD_ID) - 1)
#define PAYLOAD_PROMPT 812
#define PAYLOAD_COMPLETION 94
#define PAYLOAD_TOKENS (PAYLOAD_PROMPT + PAYLOAD_COMPLETION)

#endif
