/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Huge pages, where the kernel has some: memory that is looked at anywhere costs a walk of the page tables besides each cache
 * miss. All of it is at best: without any, everything works as before.
 *
 * Threads: any.
 */
#ifndef TKR_BASE_HUGE_H
#define TKR_BASE_HUGE_H

#include <stdint.h>

#define TKR_HUGE_BYTES (UINT64_C(2) << 20) /* of x86-64, and of arm64 with pages of 4 KiB */

/* Reserves private zeros of so many bytes at an address at which huge pages can be mapped. munmap gives them back. NULL: none. */
void *tkr_huge_reserve(uint64_t bytes, int protection);

/* Gathers the pages of a file in shared memory, mapped at such an address and allocated, into huge ones. */
void tkr_huge_gather(void *base, uint64_t bytes);

#endif
