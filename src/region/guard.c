/* SPDX-License-Identifier: Apache-2.0 */
#include "region/guard.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static _Thread_local sigjmp_buf jump;
static _Thread_local volatile sig_atomic_t guarded;
static _Thread_local sigjmp_buf way_out; /* of what tkr_guarded_run runs */
static _Thread_local volatile sig_atomic_t running;

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    bool inner = guarded;

    (void)info;
    if (inner || running) {
        *(inner ? &guarded : &running) = 0;
        /* What was blocked before the fault; saving it at each sigsetjmp would be a system call. */
        (void)pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(inner ? jump : way_out, 1);
    }
    (void)signal(number, SIG_DFL); /* the access is repeated and ends the process */
}

bool tkr_guard_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGBUS, &action, NULL) == 0;
}

/* Thread sanitizer would hold a lock of its own where the access faults, and wait for it for ever at the next one. */
#define UNSEEN __attribute__((no_sanitize("thread")))

UNSEEN bool tkr_guarded_copy(void *ret_bytes, const void *mapped, size_t count)
{
    if (sigsetjmp(jump, 0) != 0)
        return false;
    guarded = 1;
    atomic_signal_fence(memory_order_seq_cst); /* the access stays between the marks */
    memcpy(ret_bytes, mapped, count);
    atomic_signal_fence(memory_order_seq_cst);
    guarded = 0;
    return true;
}

UNSEEN bool tkr_guarded_load(const _Atomic uint64_t *mapped, uint64_t *ret_value)
{
    if (sigsetjmp(jump, 0) != 0)
        return false;
    guarded = 1;
    atomic_signal_fence(memory_order_seq_cst);
    *ret_value = atomic_load_explicit(mapped, memory_order_acquire);
    atomic_signal_fence(memory_order_seq_cst);
    guarded = 0;
    return true;
}

UNSEEN bool tkr_guarded_store(_Atomic uint64_t *mapped, uint64_t value)
{
    if (sigsetjmp(jump, 0) != 0)
        return false;
    guarded = 1;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(mapped, value, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst);
    guarded = 0;
    return true;
}

UNSEEN bool tkr_guarded_call(void (*call)(void *argument), void *argument)
{
    if (sigsetjmp(jump, 0) != 0)
        return false;
    guarded = 1;
    atomic_signal_fence(memory_order_seq_cst);
    call(argument);
    atomic_signal_fence(memory_order_seq_cst);
    guarded = 0;
    return true;
}

UNSEEN bool tkr_guarded_run(void (*run)(void *argument), void *argument)
{
    if (sigsetjmp(way_out, 0) != 0)
        return false;
    running = 1;
    atomic_signal_fence(memory_order_seq_cst);
    run(argument);
    atomic_signal_fence(memory_order_seq_cst);
    running = 0;
    return true;
}
