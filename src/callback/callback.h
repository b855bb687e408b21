/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handler as the library sees it: functions, references, counters; and what a context keeps of a call.
 *
 *   public function -> tkr_callback_run_* -> ops of the handler (a composite's call tkr_callback_run_* for each member)
 *
 * What a handler keeps of a call lies in the context, by its owner: two places in the context itself, more on the heap. It is there
 * from the handler's start to its end, whoever calls; nothing of a call lies in a handler, so one serves any number at once.
 *
 * Counters are striped by thread (callback/stripe.h): handlers are shared by all threads of a gateway, and one line would travel between them with
 * every call. A reader sums the stripes.
 *
 * References: a handler is freed by whoever gives back the last one. The count is stored with release when it falls and read with
 * acquire by who frees: what others did with the handler comes before.
 */
#ifndef TKR_CALLBACK_CALLBACK_H
#define TKR_CALLBACK_CALLBACK_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "callback/stripe.h"
#include "producer/notice.h"
#include "ring/lane.h"
#include "tokenring/callback.h"

#define TKR_CALLBACK_KEPT_WORDS 4u

enum tkr_callback_counter {
    TKR_CALLBACK_STARTED,
    TKR_CALLBACK_ENDED,
    TKR_CALLBACK_ERRORS,
    TKR_CALLBACK_FAILED,
    TKR_CALLBACK_USAGE_MISSING,
    TKR_CALLBACK_CORRECTED,
    TKR_CALLBACK_SLOW,
    TKR_CALLBACK_DROPPED_FULL,
    TKR_CALLBACK_DROPPED_BYTES,
    TKR_CALLBACK_DROPPED_ENDED,
    TKR_CALLBACK_DROPPED_THREAD,
    TKR_CALLBACK_UNMATCHED,
    TKR_CALLBACK_CONTRADICTORY, /* and above, one for each of event/contradictions.def */
    TKR_CALLBACK_COUNTERS = TKR_CALLBACK_CONTRADICTORY + TKR_CONTRADICTIONS
};

struct tkr_claims;
struct tkr_notice_told;

/* What a kind of handler does. Functions return how many handlers failed; NULL: none is needed. */
struct tkr_callback_ops {
    bool keeps; /* something of each call, from its start to its end: so an end without a start is seen */
    int (*start)(struct tkr_callback *self, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context);
    int (*end)(struct tkr_callback *self, const tkr_response *response, tkr_callback_context *context);
    int (*error)(struct tkr_callback *self, const tkr_call_error *error, tkr_callback_context *context);
    void (*claim)(struct tkr_callback *self, const tkr_callback_context *context, struct tkr_claims *claims);
    bool (*tell)(struct tkr_callback *self, const struct tkr_notice_told *told); /* where it has no producer: by whom it calls */
    void (*destroy)(struct tkr_callback *self);                                  /* frees it: all of its memory is its own */
};

/* First in each handler's own structure. */
struct tkr_callback {
    const struct tkr_callback_ops *ops;
    _Atomic uint64_t references;
    tkr_producer *producer;     /* by which its notices travel; may be NULL */
    const tkr_account *account; /* that it charges, its own; NULL: the context's */
    char type[TKR_CALLBACK_TYPE_BYTES_MAX + 1];
    struct {
        alignas(TKR_LINE_SEPARATION) _Atomic uint64_t counter[TKR_CALLBACK_COUNTERS];
    } stripe[TKR_STRIPES];
};

/* Memory for a handler's own structure, zeros, with one reference. NULL: none. */
void *tkr_callback_make(size_t bytes, const struct tkr_callback_ops *ops, const char *type, tkr_producer *producer);

/* Adds to a counter of the handler. */
void tkr_callback_count(struct tkr_callback *callback, enum tkr_callback_counter counter, uint64_t more);

uint64_t tkr_callback_counted(const struct tkr_callback *callback, enum tkr_callback_counter counter);

/* Counts that a handler of the library failed with TKR_E*, and tells the collector. Returns 1. */
int tkr_callback_failed(struct tkr_callback *callback, int result, const tkr_callback_context *context);

/* Counts an end without a start, a second end or a second start, and tells the collector. Returns 1. */
int tkr_callback_unmatched(struct tkr_callback *callback, const tkr_callback_context *context);

/* Tells the collector something by the handler's producer, or by whom it calls. true: it is on its way. */
bool tkr_callback_tell_by(struct tkr_callback *callback, const struct tkr_notice_told *told);

/* Tells the collector something about the call's first account, or the handler's own where the call has none. */
void tkr_callback_tell(struct tkr_callback *callback, enum tkr_notice what, const tkr_callback_context *context, int64_t figure,
                       int64_t duration_ns);

/* Calls a handler, whose arguments have been checked, counts, and at the end lets go of what it kept. */
int tkr_callback_run_start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count,
                           tkr_callback_context *context);
int tkr_callback_run_end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context);
int tkr_callback_run_error(struct tkr_callback *callback, const tkr_call_error *error, tkr_callback_context *context);

#endif
