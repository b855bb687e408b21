/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of pointers within the process: ck_ring, many producers and one consumer. In a file of its own, which
 * ThreadSanitizer does not instrument: it does not see ck's fences. What is queued carries its own order (callback/asynchronous.c).
 */
#ifndef TKR_CALLBACK_QUEUE_H
#define TKR_CALLBACK_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

struct tkr_queue;

/* For size - 1 pointers; size is a power of two, 2..2^20. NULL: no memory. */
struct tkr_queue *tkr_queue_open(uint32_t size);
void tkr_queue_close(struct tkr_queue *queue);

/* false: it is full. Any thread; lock-free. */
bool tkr_queue_put(struct tkr_queue *queue, void *item);

/* The oldest; NULL: it is empty. One thread. */
void *tkr_queue_take(struct tkr_queue *queue);

#endif
