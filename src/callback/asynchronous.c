/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous handlers: events are copied and queued by the caller, and handed on by a thread of the handler's own.
 *
 *     caller --copy--> line { queue --semaphore--> thread } --> member
 *
 * Of a call, what the caller's context keeps says where its copy is, and of which line; no copy, and the call's events pass. Each
 * event on its way holds the copy, so the caller's context may end first.
 *
 * Fork. A line (queue, thread, locks, bytes that are taken) belongs to the process whose generation it holds (base/process.h);
 * the handler points to the line of the process that used it last. A child makes its own at its first event, under the process'
 * lock, and then publishes it (release; pairs with line_of). It never looks into its parent's line: whatever lock the parent's
 * threads held, however far an event was, what was queued is the parent's, which hands it on. That line stays as it was, and its
 * memory, but for events that it held, is freed with the handler. A call whose start went into the parent's line ends in the
 * parent; in the child its end is unmatched. Where the child cannot start a thread, events are counted (dropped_thread), each
 * fails, and it is tried again RETRY_NS later.
 *
 * The end. Whoever gives back the last reference closes it: the thread is told, goes on with what is queued until the deadline, and
 * is waited for so long. If it is still in the member then, it is left alone (`left`), and frees all when it comes back; the mutex
 * decides between the two. In a child that never used the handler there is no thread to wait for.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/process.h"
#include "callback/context.h"
#include "callback/parcel.h"
#include "callback/queue.h"

#define EVENTS_DEFAULT 1024u
#define EVENTS_MAX (UINT32_C(1) << 20)
#define BYTES_DEFAULT (UINT64_C(16) << 20)
#define TIMEOUT_DEFAULT_MS 1000u
#define RETRY_NS (100 * TKR_NS_PER_MS)

struct asynchronous;

/* What hands events on: of one process. */
struct line {
    struct asynchronous *handler;
    struct line *inherited; /* the one before, of the parent, until the handler is freed; NULL: none */
    uint64_t generation;    /* of the process */
    struct tkr_queue *queue;
    sem_t waiting; /* one for each event queued, and one to close */
    _Atomic uint64_t bytes;
    atomic_bool closing;
    int64_t deadline_ns; /* set before closing */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t ended; /* on the monotonic clock */
    bool done;            /* the thread has gone through the queue; under the mutex */
    bool left;            /* nobody waits for it any more; under the mutex */
};

struct asynchronous {
    struct tkr_callback callback;
    struct tkr_callback *member;
    uint32_t queue_events;
    uint64_t bytes_max;
    int64_t timeout_ns;
    _Atomic(struct line *) line;
    int64_t retry_ns; /* monotonic; before it no line is tried again; under the process' lock */
};

/* Of a call, in the caller's context. */
struct kept {
    struct tkr_parcel_call *call; /* NULL: its start was dropped */
    struct line *line;            /* that its start went into */
};

static struct asynchronous *of(struct tkr_callback *callback)
{
    return (struct asynchronous *)callback;
}

/* --- the thread --- */

/* The next event, NULL: none is there. Nothing of it may be read before `whole`: its acquire pairs with the event's making. */
static struct tkr_event_parcel *take(struct line *line)
{
    struct tkr_event_parcel *parcel = tkr_queue_take(line->queue);

    return parcel != NULL && atomic_load_explicit(&parcel->whole, memory_order_acquire) ? parcel : NULL;
}

static void hand_on(struct tkr_callback *member, struct tkr_event_parcel *parcel)
{
    tkr_callback_context *context = &parcel->call->context;

    if (parcel->kind == TKR_PARCEL_START)
        (void)tkr_callback_run_start(member, parcel->message, parcel->count, context); /* it counts its failures itself */
    else if (parcel->kind == TKR_PARCEL_END)
        (void)tkr_callback_run_end(member, &parcel->response, context);
    else
        (void)tkr_callback_run_error(member, &parcel->error, context);
}

static void let_go(struct line *line, struct tkr_event_parcel *parcel)
{
    (void)atomic_fetch_sub_explicit(&line->bytes, tkr_event_parcel_free(parcel), memory_order_relaxed); /* a sum */
}

static bool late(const struct line *line)
{
    return atomic_load_explicit(&line->closing, memory_order_acquire) && tkr_clock_monotonic_ns() > line->deadline_ns;
}

/* An event whose time is over. The one who closes may still wait for us, and the producer be there; afterwards nothing is
 * told. */
static void drop_late(struct line *line, const struct tkr_event_parcel *parcel)
{
    struct tkr_callback *callback = &line->handler->callback;

    tkr_callback_count(callback, TKR_CALLBACK_DROPPED_ENDED, 1);
    (void)pthread_mutex_lock(&line->mutex);
    if (!line->left)
        tkr_callback_tell(callback, TKR_NOTICE_DROPPED, &parcel->call->context, 1, 0);
    (void)pthread_mutex_unlock(&line->mutex);
}

/* Hands on until it is closed and the queue is empty, or its time is over. */
static void serve(struct line *line)
{
    struct tkr_event_parcel *parcel;

    for (;;) {
        while (sem_wait(&line->waiting) != 0)
            continue; /* a signal */
        parcel = take(line);
        if (parcel == NULL && atomic_load_explicit(&line->closing, memory_order_acquire))
            return;
        if (parcel == NULL)
            continue; /* another put is not through yet: its own post follows */
        if (late(line))
            drop_late(line, parcel);
        else
            hand_on(line->handler->member, parcel);
        let_go(line, parcel);
    }
}

static void line_free(struct line *line)
{
    struct tkr_event_parcel *parcel;

    while ((parcel = take(line)) != NULL)
        let_go(line, parcel);
    tkr_queue_close(line->queue);
    (void)sem_destroy(&line->waiting);
    (void)pthread_mutex_destroy(&line->mutex);
    (void)pthread_cond_destroy(&line->ended);
    free(line);
}

/* Of the parent: its memory, and nothing else of it. */
static void inherited_free(struct line *line)
{
    while (line != NULL) {
        struct line *before = line->inherited;
        tkr_queue_close(line->queue);
        free(line);
        line = before;
    }
}

static void handler_free(struct asynchronous *self, struct line *inherited)
{
    inherited_free(inherited);
    tkr_callback_release(self->member);
    free(self);
}

static void *run(void *argument)
{
    struct line *line = argument;
    struct asynchronous *handler = line->handler;
    struct line *inherited = line->inherited;
    bool left;

    serve(line);
    (void)pthread_mutex_lock(&line->mutex);
    line->done = true;
    left = line->left;
    (void)pthread_cond_signal(&line->ended);
    (void)pthread_mutex_unlock(&line->mutex);
    if (left) {
        line_free(line);
        handler_free(handler, inherited);
    }
    return NULL;
}

/* --- making a line --- */

static bool prepare_waiting(struct line *line)
{
    pthread_condattr_t monotonic;

    if (sem_init(&line->waiting, 0, 0) != 0 || pthread_condattr_init(&monotonic) != 0)
        return false;
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&line->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return pthread_mutex_init(&line->mutex, NULL) == 0;
}

/* The host's signals are for the host's threads. */
static int start_thread(struct line *line)
{
    sigset_t all;
    sigset_t before;
    int result;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    result = pthread_create(&line->thread, NULL, run, line);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* NULL: no memory, or no thread. */
static struct line *line_make(struct asynchronous *handler, struct line *inherited)
{
    struct line *line = calloc(1, sizeof(*line));

    if (line == NULL)
        return NULL;
    line->handler = handler;
    line->inherited = inherited;
    line->generation = tkr_process_generation();
    line->queue = tkr_queue_open(handler->queue_events);
    if (line->queue != NULL && prepare_waiting(line) && start_thread(line) == 0)
        return line;
    tkr_queue_close(line->queue);
    free(line);
    return NULL;
}

static struct line *line_published(const struct asynchronous *self)
{
    /* What the line was made with before it; pairs with the release in line_renew. */
    struct line *line = atomic_load_explicit(&self->line, memory_order_acquire);

    return line->generation == tkr_process_generation() ? line : NULL;
}

/* A child's first event. NULL: no line can be made at present. */
static __attribute__((noinline)) struct line *line_renew(struct asynchronous *self)
{
    struct line *line;
    int64_t now_ns;

    tkr_process_lock();
    line = line_published(self); /* another thread was first */
    now_ns = line == NULL ? tkr_clock_monotonic_ns() : 0;
    if (line == NULL && now_ns >= self->retry_ns) {
        line = line_make(self, atomic_load_explicit(&self->line, memory_order_relaxed)); /* under the lock */
        if (line != NULL)
            atomic_store_explicit(&self->line, line, memory_order_release);
        else
            self->retry_ns = now_ns + RETRY_NS;
    }
    tkr_process_unlock();
    return line;
}

static struct line *line_of(struct asynchronous *self)
{
    struct line *line = line_published(self);

    return line != NULL ? line : line_renew(self);
}

/* --- the caller's side --- */

/* Counts an event that is not handed on, by cause, and tells the collector. */
static void drop(struct asynchronous *self, enum tkr_callback_counter cause, const tkr_callback_context *context)
{
    tkr_callback_count(&self->callback, cause, 1);
    tkr_callback_tell(&self->callback, TKR_NOTICE_DROPPED, context, 1, 0);
}

/* The same where the handler itself failed: there is no thread. Returns 1. */
static int drop_without_thread(struct asynchronous *self, const tkr_callback_context *context)
{
    drop(self, TKR_CALLBACK_DROPPED_THREAD, context);
    return tkr_callback_failed(&self->callback, TKR_ENOMEM, context);
}

static void give_bytes(struct line *line, size_t bytes)
{
    (void)atomic_fetch_sub_explicit(&line->bytes, bytes, memory_order_relaxed); /* a sum */
}

/* Takes so many bytes of the budget. false: they are not there. */
static bool take_bytes(struct line *line, size_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&line->bytes, bytes, memory_order_relaxed); /* a sum */

    if (before + bytes <= line->handler->bytes_max)
        return true;
    give_bytes(line, bytes);
    return false;
}

/* Queues an event, for which so many bytes were taken; NULL: there was no memory for it. What is not queued is dropped. */
static bool queue(struct line *line, struct tkr_event_parcel *parcel, size_t bytes, const tkr_callback_context *context)
{
    if (parcel != NULL && tkr_queue_put(line->queue, parcel)) {
        (void)sem_post(&line->waiting);
        return true;
    }
    if (parcel != NULL)
        let_go(line, parcel);
    else
        give_bytes(line, bytes);
    drop(line->handler, parcel != NULL ? TKR_CALLBACK_DROPPED_FULL : TKR_CALLBACK_DROPPED_BYTES, context);
    return false;
}

/* NULL: there is no memory for it, or within the budget. */
static struct tkr_parcel_call *copy_call(struct line *line, const tkr_callback_context *context)
{
    size_t bytes = tkr_parcel_call_bytes(context);
    struct tkr_parcel_call *call;

    if (!take_bytes(line, bytes))
        return NULL;
    call = tkr_parcel_call_make(context, bytes);
    if (call == NULL)
        give_bytes(line, bytes);
    return call;
}

static void forget_call(struct line *line, struct tkr_parcel_call *call)
{
    give_bytes(line, tkr_parcel_call_release(call));
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    size_t bytes = tkr_parcel_start_bytes(messages, count);
    struct tkr_parcel_call *call;
    struct kept *kept;

    if (tkr_context_kept(context, callback) != NULL)
        return 0; /* it is in a composite twice */
    kept = tkr_context_keep(context, callback, sizeof(*kept));
    if (kept == NULL) {
        drop(self, TKR_CALLBACK_DROPPED_BYTES, context);
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    }
    kept->line = line_of(self);
    if (kept->line == NULL)
        return drop_without_thread(self, context);
    call = copy_call(kept->line, context);
    if (call == NULL || !take_bytes(kept->line, bytes)) {
        drop(self, TKR_CALLBACK_DROPPED_BYTES, context);
    } else if (queue(kept->line, tkr_parcel_start(call, messages, count, bytes), bytes, context)) {
        kept->call = call;
        return 0;
    }
    if (call != NULL)
        forget_call(kept->line, call);
    return 0;
}

/* May the end of a call be queued? Else what came of it: how many failed. */
static bool may_end(struct asynchronous *self, const struct kept *kept, const tkr_callback_context *context, int *ret_failed)
{
    *ret_failed = 0;
    if (kept == NULL)
        return false; /* it is in a composite twice */
    if (kept->line == NULL)
        *ret_failed = drop_without_thread(self, context);
    else if (kept->line != line_published(self))
        *ret_failed = tkr_callback_unmatched(&self->callback, context); /* its start is the parent's */
    else if (kept->call == NULL)
        tkr_callback_count(&self->callback, TKR_CALLBACK_DROPPED_FULL, 1); /* as its start was, which was told */
    else
        return true;
    return false;
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    const struct kept *kept = tkr_context_kept(context, callback);
    size_t bytes = tkr_parcel_end_bytes(response);
    int failed;

    if (!may_end(self, kept, context, &failed))
        return failed;
    if (take_bytes(kept->line, bytes))
        (void)queue(kept->line, tkr_parcel_end(kept->call, response, bytes), bytes, context); /* it has counted what did not go */
    else
        drop(self, TKR_CALLBACK_DROPPED_BYTES, context);
    forget_call(kept->line, kept->call);
    return 0;
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    struct asynchronous *self = of(callback);
    const struct kept *kept = tkr_context_kept(context, callback);
    size_t bytes = tkr_parcel_error_bytes(call_error);
    int failed;

    if (!may_end(self, kept, context, &failed))
        return failed;
    if (take_bytes(kept->line, bytes))
        (void)queue(kept->line, tkr_parcel_error(kept->call, call_error, bytes), bytes, context); /* as in end */
    else
        drop(self, TKR_CALLBACK_DROPPED_BYTES, context);
    forget_call(kept->line, kept->call);
    return 0;
}

static void claim(struct tkr_callback *callback, const tkr_callback_context *context, struct tkr_claims *claims)
{
    struct tkr_callback *member = of(callback)->member;

    if (member->ops->claim != NULL)
        member->ops->claim(member, context, claims);
}

/* A member without a producer, which a composite is, has members that may have one. */
static bool tell(struct tkr_callback *callback, const struct tkr_notice_told *told)
{
    return tkr_callback_tell_by(of(callback)->member, told);
}

/* --- the end --- */

/* Waits for the thread until the deadline. true: it has ended; false: from now on it frees all itself. */
static bool wait_for_thread(struct line *line)
{
    const struct timespec deadline = {.tv_sec = (time_t)(line->deadline_ns / TKR_NS_PER_S),
                                      .tv_nsec = (long)(line->deadline_ns % TKR_NS_PER_S)};
    bool own = pthread_equal(line->thread, pthread_self()) != 0; /* the member gives back what it is in */
    int result = 0;
    bool done;

    (void)pthread_mutex_lock(&line->mutex);
    while (!own && !line->done && result != ETIMEDOUT)
        result = pthread_cond_timedwait(&line->ended, &line->mutex, &deadline);
    done = line->done;
    line->left = !done;
    (void)pthread_mutex_unlock(&line->mutex);
    return done;
}

static void destroy(struct tkr_callback *callback)
{
    struct asynchronous *self = of(callback);
    struct line *line = line_published(self);
    struct line *inherited;
    pthread_t thread;

    if (line == NULL) {                                                              /* a child that never used it */
        handler_free(self, atomic_load_explicit(&self->line, memory_order_relaxed)); /* nobody else has it any more */
        return;
    }
    inherited = line->inherited;
    line->deadline_ns = tkr_clock_monotonic_ns() + self->timeout_ns;
    thread = line->thread;
    atomic_store_explicit(&line->closing, true, memory_order_release); /* the deadline before it */
    (void)sem_post(&line->waiting);
    if (wait_for_thread(line)) {
        (void)pthread_join(thread, NULL);
        line_free(line);
        handler_free(self, inherited);
    } else {
        (void)pthread_detach(thread);
    }
}

static const struct tkr_callback_ops ops = {
    .keeps = true, .start = start, .end = end, .error = error, .claim = claim, .tell = tell, .destroy = destroy};

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
    self = tkr_callback_make(sizeof(*self), &ops, "asynchronous", member->producer);
    if (self == NULL)
        return TKR_ENOMEM;
    self->member = member;
    self->callback.account = member->account;
    self->queue_events = options.queue_events;
    self->bytes_max = options.queue_bytes_max;
    self->timeout_ns = options.close_timeout_ms * TKR_NS_PER_MS;
    atomic_init(&self->line, line_make(self, NULL));
    if (atomic_load_explicit(&self->line, memory_order_relaxed) == NULL) { /* nobody else has it yet */
        free(self);
        return TKR_ENOMEM;
    }
    *ret_callback = &self->callback;
    return TKR_OK;
}
