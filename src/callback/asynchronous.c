/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous handlers: events are copied and queued by the caller, and handed on by a thread of the handler's own.
 *
 *     caller --copy--> queue --semaphore--> thread --> member
 *
 * Of a call, `kept` in the caller's context says where its copy is; no copy, and the call's events pass. Each event on its way holds
 * the copy, so the caller's context may end first.
 *
 * The end. Whoever gives back the last reference closes it: the thread is told, goes on with what is queued until the deadline, and
 * is waited for so long. If it is still in the member then, it is left alone (`left`), and frees all when it comes back; the mutex
 * decides between the two. A thread of a forked parent is not there: then there is nothing to wait for, nor to free it by.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "callback/parcel.h"
#include "callback/queue.h"

#define EVENTS_DEFAULT 1024u
#define EVENTS_MAX (UINT32_C(1) << 20)
#define BYTES_DEFAULT (UINT64_C(16) << 20)
#define TIMEOUT_DEFAULT_MS 1000u

struct asynchronous {
    struct tkr_callback callback;
    struct tkr_callback *member;
    struct tkr_queue *queue;
    sem_t waiting; /* one for each event queued, and one to close */
    _Atomic uint64_t bytes;
    uint64_t bytes_max;
    int64_t timeout_ns;
    uint64_t generation; /* of the process, see forks */
    atomic_bool closing;
    int64_t deadline_ns; /* set before closing */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* on the monotonic clock */
    bool done;            /* the thread has gone through the queue; under the mutex */
    bool left;            /* nobody waits for it any more; under the mutex */
};

static _Atomic uint64_t forks; /* that led to this process */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_failure;

static struct asynchronous *of(struct tkr_callback *callback)
{
    return (struct asynchronous *)callback;
}

static void count_fork(void)
{
    (void)atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); /* the child's only thread */
}

static void prepare(void)
{
    once_failure = pthread_atfork(NULL, NULL, count_fork);
}

/* --- the thread --- */

/* The next event, NULL: none is there. Nothing of it may be read before `whole`: its acquire pairs with the event's making. */
static struct tkr_event_parcel *take(struct asynchronous *self)
{
    struct tkr_event_parcel *parcel = tkr_queue_take(self->queue);

    return parcel != NULL && atomic_load_explicit(&parcel->whole, memory_order_acquire) ? parcel : NULL;
}

static void hand_on(struct asynchronous *self, struct tkr_event_parcel *parcel)
{
    tkr_callback_context *context = &parcel->call->context;

    if (parcel->kind == TKR_PARCEL_START)
        (void)tkr_callback_run_start(self->member, parcel->message, parcel->count, context); /* it counts its failures itself */
    else if (parcel->kind == TKR_PARCEL_END)
        (void)tkr_callback_run_end(self->member, &parcel->response, context);
    else
        (void)tkr_callback_run_error(self->member, &parcel->error, context);
}

static void let_go(struct asynchronous *self, struct tkr_event_parcel *parcel)
{
    (void)atomic_fetch_sub_explicit(&self->bytes, tkr_event_parcel_free(parcel), memory_order_relaxed); /* a sum */
}

static bool late(const struct asynchronous *self)
{
    return atomic_load_explicit(&self->closing, memory_order_acquire) && tkr_clock_monotonic_ns() > self->deadline_ns;
}

/* Hands on until it is closed and the queue is empty, or its time is over. */
static void serve(struct asynchronous *self)
{
    struct tkr_event_parcel *parcel;

    for (;;) {
        while (sem_wait(&self->waiting) != 0)
            continue; /* a signal */
        parcel = take(self);
        if (parcel == NULL && atomic_load_explicit(&self->closing, memory_order_acquire))
            return;
        if (parcel == NULL)
            continue; /* another put is not through yet: its own post follows */
        if (late(self))
            tkr_callback_count(&self->callback, TKR_CALLBACK_DROPPED_ENDED, 1);
        else
            hand_on(self, parcel);
        let_go(self, parcel);
    }
}

static void free_all(struct asynchronous *self)
{
    struct tkr_event_parcel *parcel;

    while ((parcel = take(self)) != NULL)
        let_go(self, parcel);
    tkr_callback_release(self->member);
    tkr_queue_close(self->queue);
    (void)sem_destroy(&self->waiting);
    (void)pthread_mutex_destroy(&self->mutex);
    (void)pthread_cond_destroy(&self->ended);
    free(self);
}

static void *run(void *argument)
{
    struct asynchronous *self = argument;
    bool left;

    serve(self);
    (void)pthread_mutex_lock(&self->mutex);
    self->done = true;
    left = self->left;
    (void)pthread_cond_signal(&self->ended);
    (void)pthread_mutex_unlock(&self->mutex);
    if (left)
        free_all(self);
    return NULL;
}

/* --- the caller's side --- */

/* Takes so many bytes of the budget. false: they are not there, which is counted. */
static bool take_bytes(struct asynchronous *self, size_t bytes, const tkr_callback_context *context)
{
    uint64_t before = atomic_fetch_add_explicit(&self->bytes, bytes, memory_order_relaxed); /* a sum */

    if (before + bytes <= self->bytes_max)
        return true;
    (void)atomic_fetch_sub_explicit(&self->bytes, bytes, memory_order_relaxed);
    tkr_callback_count(&self->callback, TKR_CALLBACK_DROPPED_BYTES, 1);
    tkr_callback_tell(&self->callback, TKR_NOTICE_DROPPED, context, 1, 0);
    return false;
}

static bool is_here(const struct asynchronous *self)
{
    return self->generation == atomic_load_explicit(&forks, memory_order_relaxed) && /* changes with the process only */
           !atomic_load_explicit(&self->closing, memory_order_relaxed);
}

/* Queues an event; NULL: there was no memory for it. What is not queued is counted as dropped. */
static bool queue(struct asynchronous *self, struct tkr_event_parcel *parcel, size_t bytes, const tkr_callback_context *context)
{
    if (parcel != NULL && tkr_queue_put(self->queue, parcel)) {
        (void)sem_post(&self->waiting);
        return true;
    }
    if (parcel != NULL)
        let_go(self, parcel);
    else
        (void)atomic_fetch_sub_explicit(&self->bytes, bytes, memory_order_relaxed); /* that were taken for it */
    tkr_callback_count(&self->callback, parcel != NULL ? TKR_CALLBACK_DROPPED_FULL : TKR_CALLBACK_DROPPED_BYTES, 1);
    tkr_callback_tell(&self->callback, TKR_NOTICE_DROPPED, context, 1, 0);
    return false;
}

static struct tkr_parcel_call *copy_call(struct asynchronous *self, const tkr_callback_context *context)
{
    size_t bytes = tkr_parcel_call_bytes(context);
    struct tkr_parcel_call *call = take_bytes(self, bytes, context) ? tkr_parcel_call_make(context, bytes) : NULL;

    return call;
}

static void forget_call(struct asynchronous *self, struct tkr_parcel_call *call)
{
    (void)atomic_fetch_sub_explicit(&self->bytes, tkr_parcel_call_release(call), memory_order_relaxed); /* a sum */
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    size_t bytes = tkr_parcel_start_bytes(messages, count);
    struct tkr_parcel_call **kept;
    struct tkr_parcel_call *call;

    if (!is_here(self)) {
        tkr_callback_count(callback, TKR_CALLBACK_DROPPED_ENDED, 1);
        return 0;
    }
    kept = tkr_context_kept(context, callback) == NULL ? tkr_context_keep(context, callback, sizeof(void *)) : NULL;
    call = kept != NULL ? copy_call(self, context) : NULL;
    if (call == NULL)
        return 0;
    if (take_bytes(self, bytes, context) && queue(self, tkr_parcel_start(call, messages, count, bytes), bytes, context))
        *kept = call;
    else
        forget_call(self, call);
    return 0;
}

/* The copy of a call whose start was queued; NULL: there is none, and what follows is dropped like it. */
static struct tkr_parcel_call *call_of(struct tkr_callback *callback, tkr_callback_context *context)
{
    struct tkr_parcel_call **kept = tkr_context_kept(context, callback);

    if (kept != NULL && *kept != NULL && is_here(of(callback)))
        return *kept;
    tkr_callback_count(callback, kept == NULL || !is_here(of(callback)) ? TKR_CALLBACK_DROPPED_ENDED : TKR_CALLBACK_DROPPED_FULL,
                       1);
    return NULL;
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    struct tkr_parcel_call *call = call_of(callback, context);
    size_t bytes = tkr_parcel_end_bytes(response);

    if (call == NULL)
        return 0;
    if (take_bytes(self, bytes, context))
        (void)queue(self, tkr_parcel_end(call, response, bytes), bytes, context); /* it has counted what did not go */
    forget_call(self, call);
    return 0;
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    struct tkr_parcel_call *call = call_of(callback, context);
    size_t bytes = tkr_parcel_error_bytes(call_error);

    if (call == NULL)
        return 0;
    if (take_bytes(self, bytes, context))
        (void)queue(self, tkr_parcel_error(call, call_error, bytes), bytes, context); /* as in end */
    forget_call(self, call);
    return 0;
}

static void claim(struct tkr_callback *callback, const tkr_callback_context *context, struct tkr_claims *claims)
{
    struct tkr_callback *member = of(callback)->member;

    if (member->ops->claim != NULL)
        member->ops->claim(member, context, claims);
}

/* --- the end --- */

/* Waits for the thread until the deadline. true: it has ended; false: from now on it frees all itself. */
static bool wait_for_thread(struct asynchronous *self)
{
    const struct timespec deadline = {.tv_sec = (time_t)(self->deadline_ns / TKR_NS_PER_S),
                                      .tv_nsec = (long)(self->deadline_ns % TKR_NS_PER_S)};
    bool own = pthread_equal(self->thread, pthread_self()) != 0; /* the member gives back what it is in */
    int result = 0;
    bool done;

    (void)pthread_mutex_lock(&self->mutex);
    while (!own && !self->done && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&self->ended, &self->mutex, &deadline);
    done = self->done;
    self->left = !done;
    (void)pthread_mutex_unlock(&self->mutex);
    return done;
}

static void destroy(struct tkr_callback *callback)
{
    struct asynchronous *self = of(callback);

    if (!is_here(self))
        return; /* the parent's: its thread is not here, what it holds stays as it was */
    self->deadline_ns = tkr_clock_monotonic_ns() + self->timeout_ns;
    atomic_store_explicit(&self->closing, true, memory_order_release); /* the deadline before it */
    (void)sem_post(&self->waiting);
    if (wait_for_thread(self)) {
        (void)pthread_join(self->thread, NULL);
        free_all(self);
    } else {
        (void)pthread_detach(self->thread);
    }
}

static const struct tkr_callback_ops ops = {.start = start, .end = end, .error = error, .claim = claim, .destroy = destroy};

/* --- making --- */

static int take_options(const tkr_asynchronous_options *given, tkr_asynchronous_options *ret_options)
{
    uint32_t events = 2;

    *ret_options = (tkr_asynchronous_options)TKR_ASYNCHRONOUS_OPTIONS_INIT;
    if (given != NULL && given->size != sizeof(*given))
        return TKR_ESIZE;
    if (given != NULL)
        *ret_options = *given;
    if (ret_options->queue_events == 1 || ret_options->queue_events > EVENTS_MAX)
        return TKR_ERANGE;
    if (ret_options->queue_events == 0)
        ret_options->queue_events = EVENTS_DEFAULT;
    while (events < ret_options->queue_events)
        events *= 2;
    ret_options->queue_events = events;
    if (ret_options->queue_bytes_max == 0)
        ret_options->queue_bytes_max = BYTES_DEFAULT;
    if (ret_options->close_timeout_ms == 0)
        ret_options->close_timeout_ms = TIMEOUT_DEFAULT_MS;
    return TKR_OK;
}

/* The host's signals are for the host's threads. */
static int start_thread(struct asynchronous *self)
{
    sigset_t all;
    sigset_t before;
    int result;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&self->thread, NULL, run, self);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

static bool prepare_waiting(struct asynchronous *self)
{
    pthread_condattr_t monotonic;

    if (sem_init(&self->waiting, 0, 0) != 0 || pthread_condattr_init(&monotonic) != 0)
        return false;
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&self->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return pthread_mutex_init(&self->mutex, NULL) == 0;
}

int tkr_asynchronous_callback(tkr_callback *member, const tkr_asynchronous_options *given, tkr_callback **ret_callback)
{
    tkr_asynchronous_options options;
    struct asynchronous *self;
    int result;

    if (member == NULL || ret_callback == NULL)
        return TKR_EINVAL;
    result = take_options(given, &options);
    if (result != TKR_OK)
        return result;
    (void)pthread_once(&once, prepare);
    self = once_failure == 0 ? tkr_callback_make(sizeof(*self), &ops, "asynchronous", member->producer) : NULL;
    if (self == NULL)
        return TKR_ENOMEM;
    self->member = member;
    self->bytes_max = options.queue_bytes_max;
    self->timeout_ns = options.close_timeout_ms * TKR_NS_PER_MS;
    self->generation = atomic_load_explicit(&forks, memory_order_relaxed); /* changes with the process only */
    self->queue = tkr_queue_open(options.queue_events);
    if (self->queue == NULL || !prepare_waiting(self) || start_thread(self) != 0) {
        tkr_queue_close(self->queue);
        free(self);
        return TKR_ENOMEM;
    }
    *ret_callback = &self->callback;
    return TKR_OK;
}
