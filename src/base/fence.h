/* SPDX-License-Identifier: Apache-2.0 */
/* Barriers that C11 has no name for. */
#ifndef TKR_BASE_FENCE_H
#define TKR_BASE_FENCE_H

#include <stdatomic.h>

/*
 * Follows an atomic read-modify-write: all stores before that come before all loads after this, for any other thread that has a
 * sequentially consistent fence, or a read-modify-write and this, between its own two. On x86 the locked instruction is such a barrier
 * already (Intel SDM 3A 8.2.3.9; Linux: smp_mb__after_atomic).
 */
static inline void tkr_fence_after_atomic(void)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

#endif
