/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composites. The members are published as a list that never changes; adding and removing publish another one.
 *
 *     composite -> list { references, members... }, with a reference to each member
 *
 * Who writes what: `list` and the lists' making are serialised by `changing`, one lock for all composites, so that no circle can be
 * made by two threads. A list is freed with its last reference, and gives back those to its members.
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
 */
#include <ck_pr.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "callback/claims.h"
#include "callback/ending.h"

#define SPINS_BEFORE_YIELD 100

struct list {
    _Atomic uint64_t references; /* of the composite, and of calls */
    uint32_t count;
    struct tkr_callback *member[];
};

struct composite {
    struct tkr_callback callback;
    atomic_flag taking;
    struct list *list; /* under `taking` */
};

static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
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
    for (int spins = 0; atomic_flag_test_and_set_explicit(&composite->taking, memory_order_acquire); spins++) {
        if (spins < SPINS_BEFORE_YIELD)
            ck_pr_stall();
        else
            (void)sched_yield(); /* the holder may have been preempted */
    }
}

static void unlock(struct composite *composite)
{
    atomic_flag_clear_explicit(&composite->taking, memory_order_release); /* pairs with the acquire of the next locker */
}

static struct list *list_take(struct composite *composite)
{
    struct list *list;

    lock(composite);
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

static struct list *list_make(uint32_t count)
{
    struct list *list = calloc(1, sizeof(*list) + count * sizeof(void *));

    if (list != NULL) {
        atomic_store_explicit(&list->references, 1, memory_order_relaxed); /* not published yet */
        list->count = count;
    }
    return list;
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
    outermost = tkr_ending_begin(&ending, context);
    for (uint32_t i = 0; i < list->count; i++)
        failed += tkr_callback_run_error(list->member[i], call_error, context);
    if (outermost)
        tkr_ending_finish(&ending);
    list_release(list);
    return failed;
}

/* --- changing --- */

static void destroy(struct tkr_callback *callback)
{
    list_release(of(callback)->list);
    free(callback);
}

static const struct tkr_callback_ops ops = {.start = start, .end = end, .error = error, .claim = claim, .destroy = destroy};

int tkr_composite_callback(tkr_callback **ret_callback)
{
    struct composite *composite;
    struct list *list;

    if (ret_callback == NULL)
        return TKR_EINVAL;
    list = list_make(0);
    composite = list != NULL ? tkr_callback_make(sizeof(*composite), &ops, "composite", NULL) : NULL;
    if (composite == NULL) {
        free(list);
        return TKR_ENOMEM;
    }
    composite->list = list;
    *ret_callback = &composite->callback;
    return TKR_OK;
}

/* Is it the callback, or does it contain it? `changing` is held: lists below do not change. */
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
    (void)pthread_mutex_lock(&changing);
    result = add(of(composite), member);
    (void)pthread_mutex_unlock(&changing);
    if (result != TKR_OK && ownership == TKR_CALLBACK_BORROW)
        tkr_callback_release(member);
    return result;
}

/* The list before is given back outside the lock: with it goes the member, perhaps, whose end may call us. */
static int take_out(struct composite *composite, const struct tkr_callback *callback, struct list **ret_before)
{
    struct list *list;
    uint32_t place;

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
    (void)pthread_mutex_lock(&changing);
    result = take_out(of(composite), member, &before);
    (void)pthread_mutex_unlock(&changing);
    if (before != NULL)
        list_release(before);
    return result;
}
