/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a thread's last opening failed, in words, for tkr_open_error.
 *
 * The library's thread-local space is scarce (it comes out of what libc keeps for dlopen), so a thread has only the number of its
 * last failure; the sentences of the last TKR_FAILURES failures of the process are kept beside it. One that was pushed out, or
 * that another thread is just writing over, is "": never another thread's.
 *
 * Threads: any. A lock of a slot is tried, never waited for: a fork may have left it held in the child for ever.
 */
#ifndef TKR_BASE_FAILURE_H
#define TKR_BASE_FAILURE_H

#include <stddef.h>

#include "base/settings.h"

#define TKR_FAILURES 16u

/* Text of an errno. It takes no lock of libc, which in a forked child may be held for ever by a thread that is not there. */
const char *tkr_errno_text(int error);

/* Notes it as this thread's last one. */
void tkr_failure_set(const tkr_message *message);

/* This thread has none any more. */
void tkr_failure_clear(void);

/* Copies this thread's, cut to bytes with its NUL; "" where there is none. bytes is not 0. */
void tkr_failure_copy(char *ret_text, size_t bytes);

#endif
