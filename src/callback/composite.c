/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composites. The members are published as a list that never changes; adding and removing publish another one.
 *
 *     composite -> list { references, members... }, with a reference to each member
 *
 * Who writes what: `list` and the lists' making are serialised by the process' lock (base/process.h), one for all composites, so
 * that no circle can be made by two threads. A list is freed with its last reference, and gives back those to its members.
 *
 * Invariants
 *   I1  A list that was published does not change.
 *   I2  Who has a reference to a list may use its members.
 *   I3  A call's end goes to the members that saw its start: it keeps the list of its start until then. So what a member began it
 *       also ends, whoever was added or removed meanwhile.
 *
 * Taking a reference needs the pointer and the count in one step: a list might be freed in between. `taking` is held for those two
 * instructions by readers, and by a writer for the one that changes the pointer. The alternative, hazard pointers, is more than
 * a thousand calls' worth of code here.
 *
 * Fork. A child inherits lists with references of calls that end in the parent only, and perhaps `taking` held by a thread that
 * it does not have. So `taking` holds the generation of its holder's process, and one of another process is free: what it guards
 * is a pointer and a count, neither half changed. And a list belongs to the process that made it (I4).
 *   I4  The first use in a child copies the parent's list. The copy takes over the references to members, so that a member is
 *       freed with the child's last one, whatever was in flight in the parent at the fork. The parent's list is never used nor
 *       freed before the composite is: a call of the parent's, which names it, ends in the parent.
 */
#include <ck_pr.h>
#include <sched.h>
#include <stdlib.h>

#include "base/process.h"
#include "callback/claims.h"
#include "callback/context.h"
#include "callback/ending.h"

#define SPINS_BEFORE_YIELD 100

struct list {
    _Atomic uint64_t references; /* of the composite, and of calls */
    uint64_t generation;         /* of the process that made it */
    struct list *inherited;      /* once it is inherited: the one before that was */
    uint32_t count;
    struct tkr_callback *member[];
};

struct composite {
    struct tkr_callback callback;
    _Atomic uint64_t taking; /* generation of the process whose thread holds it; 0: free */
    struct list *list;       /* under `taking` */
    struct list *inherited;  /* lists of parents, until the composite is freed; under the process' lock */
};

static const struct tkr_callback_ops ops;

static struct composite *of(struct tkr_callback *callback)
{
    return (struct composite *)callback;
}

/* --- lists --- */

static void list_release(struct list *list)
{
    if (atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1)
        return; /* acq_rel: as tkr_callback_release */
    for (uint32_t i = 0; i < list->count; i++)
        tkr_callback_release(list->member[i]);
    free(list);
}

static void lock(struct composite *composite)
{
    uint64_t here = tkr_process_generation();

    for (int spins = 0;; spins++) {
        uint64_t holder = atomic_load_explicit(&composite->taking, memory_order_relaxed); /* tried below */
        if (holder != here && atomic_compare_exchange_weak_explicit(&composite->taking, &holder, here, memory_order_acquire,
                                                                    memory_order_relaxed)) /* pairs with unlock */
            return;
        if (spins < SPINS_BEFORE_YIELD)
            ck_pr_stall();
        else
            (void)sched_yield(); /* the holder may have been preempted */
    }
}

static void unlock(struct composite *composite)
{
    atomic_store_explicit(&composite->taking, 0, memory_order_release); /* pairs with the acquire of the next locker */
}

static struct list *list_make(uint32_t count)
{
    struct list *list = calloc(1, sizeof(*list) + count * sizeof(void *));

    if (list != NULL) {
        atomic_store_explicit(&list->references, 1, memory_order_relaxed); /* not published yet */
        list->generation = tkr_process_generation();
        list->count = count;
    }
    return list;
}

/* I4. Without memory for the copy it stays the parent's. The process' lock is held: the list does not change. */
static void adopt_locked(struct composite *composite)
{
    struct list *inherited = composite->list;
    struct list *list = inherited->generation != tkr_process_generation() ? list_make(inherited->count) : NULL;

    if (list == NULL)
        return;
    for (uint32_t i = 0; i < list->count; i++)
        list->member[i] = inherited->member[i];
    lock(composite);
    composite->list = list;
    unlock(composite);
    inherited->inherited = composite->inherited;
    composite->inherited = inherited;
}

static __attribute__((noinline)) void adopt(struct composite *composite)
{
    tkr_process_lock();
    adopt_locked(composite);
    tkr_process_unlock();
}

static struct list *list_take(struct composite *composite)
{
    struct list *list;
    bool inherited;

    lock(composite);
    inherited = composite->list->generation != tkr_process_generation();
    if (inherited) {
        unlock(composite);
        adopt(composite);
        lock(composite);
    }
    list = composite->list;
    (void)atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed); /* the composite has one, under the lock */
    unlock(composite);
    return list;
}

/* Publishes a list, which becomes the composite's, and gives back the one before. */
static void list_publish(struct composite *composite, struct list *list)
{
    struct list *before;

    lock(composite);
    before = composite->list;
    composite->list = list;
    unlock(composite);
    list_release(before);
}

/* --- calls --- */

static void claim_members(const struct list *list, const tkr_callback_context *context, struct tkr_claims *claims)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct tkr_callback *member = list->member[i];
        if (member->ops->claim != NULL)
            member->ops->claim(member, context, claims);
    }
}

static void claim(struct tkr_callback *callback, const tkr_callback_context *context, struct tkr_claims *claims)
{
    struct list *list = list_take(of(callback));

    claim_members(list, context, claims);
    list_release(list);
}

static int start_members(const struct list *list, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    int failed = 0;

    for (uint32_t i = 0; i < list->count; i++)
        failed += tkr_callback_run_start(list->member[i], messages, count, context);
    return failed;
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct list **kept;
    struct tkr_claims claims;
    int failed;

    if (tkr_context_kept(context, callback) != NULL)
        return 0; /* it is in another composite twice */
    kept = tkr_context_keep(context, callback, sizeof(void *));
    if (kept == NULL)
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    *kept = list_take(of(callback));
    if (tkr_context_claims(context) != NULL) /* it is a member: the outermost has asked all */
        return start_members(*kept, messages, count, context);
    tkr_claims_open(&claims);
    claim_members(*kept, context, &claims);
    tkr_context_claims_set(context, &claims);
    failed = start_members(*kept, messages, count, context);
    tkr_context_claims_set(context, NULL);
    tkr_claims_close(&claims);
    return failed;
}

/* The list of the call's start, for its end to give back. NULL: it has seen none. */
static struct list *list_of(struct tkr_callback *callback, tkr_callback_context *context)
{
    struct list **kept = tkr_context_kept(context, callback);

    return kept != NULL ? *kept : NULL;
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    struct list *list = list_of(callback, context);
    struct tkr_ending ending;
    bool outermost;
    int failed = 0;

    if (list == NULL)
        return 0;
    if (list->generation != tkr_process_generation())
        return tkr_callback_unmatched(callback, context);
    outermost = tkr_ending_begin(&ending, context);
    for (uint32_t i = 0; i < list->count; i++)
        failed += tkr_callback_run_end(list->member[i], response, context);
    if (outermost)
        tkr_ending_finish(&ending);
    list_release(list);
    return failed;
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    struct list *list = list_of(callback, context);
    struct tkr_ending ending;
    bool outermost;
    int failed = 0;

    if (list == NULL)
        return 0;
    if (list->generation != tkr_process_generation())
        return tkr_callback_unmatched(callback, context);
    outermost = tkr_ending_begin(&ending, context);
    for (uint32_t i = 0; i < list->count; i++)
        failed += tkr_callback_run_error(list->member[i], call_error, context);
    if (outermost)
        tkr_ending_finish(&ending);
    list_release(list);
    return failed;
}

/* --- changing --- */

/* A composite's notices go by a member that has a producer. */
static bool tell(struct tkr_callback *callback, const struct tkr_notice_told *told)
{
    struct list *list = list_take(of(callback));
    bool done = false;

    for (uint32_t i = 0; i < list->count && !done; i++)
        done = tkr_callback_tell_by(list->member[i], told);
    list_release(list);
    return done;
}

static void destroy(struct tkr_callback *callback)
{
    struct list *inherited;

    adopt(of(callback));
    inherited = of(callback)->inherited;
    list_release(of(callback)->list);
    free(callback);
    while (inherited != NULL) {
        struct list *before = inherited->inherited;
        free(inherited); /* its references to members are another list's */
        inherited = before;
    }
}

static const struct tkr_callback_ops ops = {
    .keeps = true, .start = start, .end = end, .error = error, .claim = claim, .tell = tell, .destroy = destroy};

int tkr_composite_callback(tkr_callback **ret_callback)
{
    struct composite *composite;

    if (ret_callback == NULL)
        return TKR_EINVAL;
    composite = tkr_callback_make(sizeof(*composite), &ops, "composite", NULL);
    if (composite == NULL)
        return TKR_ENOMEM;
    composite->list = list_make(0);
    if (composite->list == NULL) {
        free(composite);
        return TKR_ENOMEM;
    }
    *ret_callback = &composite->callback;
    return TKR_OK;
}

/* Is it the callback, or does it contain it? The process' lock is held: lists below do not change. */
static bool contains(struct tkr_callback *callback, const struct tkr_callback *sought)
{
    const struct list *list;

    if (callback == sought)
        return true;
    if (callback->ops != &ops)
        return false;
    list = of(callback)->list;
    for (uint32_t i = 0; i < list->count; i++) {
        if (contains(list->member[i], sought))
            return true;
    }
    return false;
}

static bool has_member(const struct list *list, const struct tkr_callback *callback, uint32_t *ret_place)
{
    for (uint32_t i = 0; i < list->count; i++) {
        *ret_place = i;
        if (list->member[i] == callback)
            return true;
    }
    return false;
}

/* A list of those of another but the one at `without`, with room for one more at the end where `more` says so. */
static struct list *list_copy(const struct list *list, uint32_t without, uint32_t more)
{
    uint32_t kept = list->count - (without < list->count);
    struct list *copy = list_make(kept + more);

    for (uint32_t i = 0; copy != NULL && i < kept; i++)
        copy->member[i] = tkr_callback_hold(list->member[i + (i >= without)]);
    return copy;
}

static int add(struct composite *composite, struct tkr_callback *callback)
{
    struct list *list;
    uint32_t place;

    adopt_locked(composite);
    if (has_member(composite->list, callback, &place) || contains(callback, &composite->callback))
        return TKR_EINVAL;
    list = list_copy(composite->list, UINT32_MAX, 1);
    if (list == NULL)
        return TKR_ENOMEM;
    list->member[list->count - 1] = callback;
    list_publish(composite, list);
    return TKR_OK;
}

int tkr_composite_add(tkr_callback *composite, tkr_callback *member, uint32_t ownership)
{
    int result;

    if (composite == NULL || member == NULL || composite->ops != &ops || ownership > TKR_CALLBACK_BORROW)
        return TKR_EINVAL;
    if (ownership == TKR_CALLBACK_BORROW)
        (void)tkr_callback_hold(member);
    tkr_process_lock();
    result = add(of(composite), member);
    tkr_process_unlock();
    if (result != TKR_OK && ownership == TKR_CALLBACK_BORROW)
        tkr_callback_release(member);
    return result;
}

/* The list before is given back outside the lock: with it goes the member, perhaps, whose end may call us. */
static int take_out(struct composite *composite, const struct tkr_callback *callback, struct list **ret_before)
{
    struct list *list;
    uint32_t place;

    adopt_locked(composite);
    if (!has_member(composite->list, callback, &place))
        return TKR_EINVAL;
    list = list_copy(composite->list, place, 0);
    if (list == NULL)
        return TKR_ENOMEM;
    *ret_before = list_take(composite);
    list_publish(composite, list);
    return TKR_OK;
}

int tkr_composite_remove(tkr_callback *composite, tkr_callback *member)
{
    struct list *before = NULL;
    int result;

    if (composite == NULL || member == NULL || composite->ops != &ops)
        return TKR_EINVAL;
    tkr_process_lock();
    result = take_out(of(composite), member, &before);
    tkr_process_unlock();
    if (before != NULL)
        list_release(before);
    return result;
}
