/* SPDX-License-Identifier: Apache-2.0 */
/* The shared ring, for several threads at once. */
#ifndef BENCH_PEERS_RING_H
#define BENCH_PEERS_RING_H

#include <stdint.h>

/* slots is a power of two; one of them stays empty. 0, or -1 after bench_wrong. */
int ring_make(uint32_t slots);
void ring_free(void);

/* Any thread. 0, or 1 when it was full. */
int ring_put(uint64_t calls);

/* Reads what is there; one thread. Returns the calls read since it was made. */
uint64_t ring_read(void);

#endif
