/* SPDX-License-Identifier: Apache-2.0 */
#include "base/failure.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

struct slot {
    atomic_flag busy;
    uint64_t number; /* of the failure; 0: none yet */
    tkr_message message;
};

static struct slot slots[TKR_FAILURES]; /* zeroed flags are clear, on all that there is */
static _Atomic uint64_t failures;
static _Thread_local uint64_t last; /* number of this thread's; 0: none */

const char *tkr_errno_text(int error)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
    const char *text = strerrordesc_np(error); /* strerror translates, by catalogues under a lock */

    return text != NULL ? text : "unknown error";
#else
    return strerror(error);
#endif
}

static struct slot *slot_of(uint64_t number)
{
    return &slots[number % TKR_FAILURES];
}

/* false: somebody else has it. Acquire: what was written under it before; pairs with the release in give_back. */
static bool take(struct slot *slot)
{
    return !atomic_flag_test_and_set_explicit(&slot->busy, memory_order_acquire);
}

static void give_back(struct slot *slot)
{
    atomic_flag_clear_explicit(&slot->busy, memory_order_release);
}

void tkr_failure_set(const tkr_message *message)
{
    uint64_t number = atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed) + 1; /* a number */
    struct slot *slot = slot_of(number);

    last = number;
    if (!take(slot))
        return;
    slot->number = number;
    slot->message = *message;
    give_back(slot);
}

void tkr_failure_clear(void)
{
    last = 0;
}

void tkr_failure_copy(char *ret_text, size_t bytes)
{
    struct slot *slot = slot_of(last);

    ret_text[0] = '\0';
    if (last == 0 || !take(slot))
        return;
    if (slot->number == last)
        (void)snprintf(ret_text, bytes, "%s", slot->message.text); /* cut, not lost */
    give_back(slot);
}
