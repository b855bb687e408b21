/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callback handlers: what a gateway calls when an LLM call starts, ends or fails, and what then counts, measures or warns.
 *
 *     tkr_callback *usage;
 *     tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
 *     options.producer = producer;
 *     int result = tkr_detailed_token_callback(&options, &usage);
 *
 *     tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;     // one per call; stays until it has ended
 *     context.start.account_count = 1;
 *     context.start.account[0] = (tkr_account){.id = "alice", .len = 5};
 *     failed = tkr_on_llm_start(usage, messages, message_count, &context);
 *     ...
 *     failed = tkr_on_llm_end(usage, &response, &context);          // or tkr_on_llm_error
 *     tkr_callback_release(usage);
 *
 * Isolation: what a handler answers concerns nobody but its counters. The others run, and the caller is told at most how many
 * failed. Failures, corrected figures, slow calls and missing usage also travel to the collector, which counts and logs them; the
 * library prints nothing. So do contradictory figures, and ends that match no start.
 *
 * What is NOT promised
 *  - A handler that crashes takes its process down: C has nothing to catch it with.
 *  - Message text is looked at to estimate, and copied only into the process' own memory by tkr_asynchronous_callback.
 *  - A call that was started and is never ended keeps what its handlers keep of it; an open call of a token handler is settled
 *    when its process ends, as one of tkr_call_begin is.
 *
 * Handles are counted: a factory gives one reference, tkr_callback_release takes one back, and the handler is freed with the
 * last. Whoever calls a handler holds a reference until the calls that it started have ended; a composite holds those of its
 * members for its calls, so a member may be removed, and remove itself, while calls are in flight.
 *
 * Threads: any handle may be used by any number of threads at once; one context by one thread at a time.
 * Fork: a child may go on using handlers that its parent made. An asynchronous handler starts a thread of the child's own at its
 * first event there; what was queued in the parent is handed on in the parent only. A call ends in the process in which it began:
 * in the other its end is unmatched, or fails with TKR_EHANDLE, and is not counted. Composites must not be changed by another
 * thread while one forks.
 */
#ifndef TOKENRING_CALLBACK_H
#define TOKENRING_CALLBACK_H

#include "tokenring/tokenring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TKR_CALLBACK_TYPE_BYTES_MAX 31    /* name of a handler's type, without its NUL */
#define TKR_CALLBACK_STATE_BYTES_MAX 4096 /* that one handler keeps of one call */

typedef struct tkr_callback tkr_callback; /* a handler; opaque */

/* One message of the prompt. Lengths are bytes; texts are UTF-8, need not end in NUL, and may be NULL. */
typedef struct tkr_chat_message {
    const char *role;
    const char *content;
    size_t role_len;
    size_t content_len;
} tkr_chat_message;

/* What came back. Every figure is TKR_ABSENT when the provider did not report it; 0 is a report. */
typedef struct tkr_response {
    uint32_t size;
    uint32_t model_len;  /* bytes at model, 0..TKR_MODEL_BYTES_MAX */
    const char *content; /* NULL: none */
    size_t content_len;  /* bytes */
    const char *model;   /* that answered, for handlers of one's own: usage is split by the model asked for; NULL: not told */
    int64_t tokens_used; /* prompt and completion together */
    int64_t prompt_tokens;
    int64_t completion_tokens;
    int64_t cached_tokens;      /* part of prompt */
    int64_t cache_write_tokens; /* part of prompt */
    int64_t reasoning_tokens;   /* part of completion */
    int64_t cost_nano_usd;
    int64_t first_token_ns; /* Unix time of the first token */
} tkr_response;
#define TKR_RESPONSE_INIT                                                      \
    {                                                                          \
        sizeof(tkr_response), 0, NULL, 0, NULL, -1, -1, -1, -1, -1, -1, -1, -1 \
    }

/* Why a call failed. */
typedef struct tkr_call_error {
    uint32_t size;
    int32_t kind;                 /* TKR_ERROR_*, not 0 */
    const char *message;          /* for handlers of one's own; may be NULL */
    size_t message_len;           /* bytes */
    const tkr_response *response; /* what it used and gave all the same; NULL: nothing is known */
} tkr_call_error;
#define TKR_CALL_ERROR_INIT                                    \
    {                                                          \
        sizeof(tkr_call_error), TKR_ERROR_OTHER, NULL, 0, NULL \
    }

/* Something the gateway knows of the call, for handlers that ask for it by its key. */
typedef struct tkr_attribute {
    const char *key;
    const char *value;
    uint32_t key_len;   /* bytes */
    uint32_t value_len; /* bytes */
} tkr_attribute;

/* What is known of one call, and what its handlers keep of it. Borrowed from its start to its end; `own` is the library's. */
typedef struct tkr_callback_context {
    uint32_t size;
    uint32_t attribute_count;
    const tkr_attribute *attribute;
    tkr_start start; /* accounts, model, provider, call id and attempt, cycle, start time, reserve; as for tkr_call_begin */
    uint64_t own[14];
} tkr_callback_context;
#define TKR_CALLBACK_CONTEXT_INIT                              \
    {                                                          \
        sizeof(tkr_callback_context), 0, NULL, TKR_START_INIT, \
        {                                                      \
            0                                                  \
        }                                                      \
    }

/* --- calling handlers --- */

/*
 * Tell a handler that a call starts, has ended, has failed: one of the last two follows the first, with the same context. Return
 * how many handlers failed (of a composite, of all its members); 0: none. An end or error without a start, a second one, or a
 * second start returns 1, counts as unmatched and does nothing else; not of handlers of one's own, which need not see each.
 * TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT... when the arguments themselves are no good: then nothing was called. messages may be NULL
 * when count is 0.
 * Progress: as the handlers'. The library's own make no system call but for the growth of a lane, and allocate only what a
 * third and further handler of one call keep of it.
 */
TKR_API int tkr_on_llm_start(tkr_callback *callback, const tkr_chat_message *messages, uint32_t count,
                             tkr_callback_context *context);
TKR_API int tkr_on_llm_end(tkr_callback *callback, const tkr_response *response, tkr_callback_context *context);
TKR_API int tkr_on_llm_error(tkr_callback *callback, const tkr_call_error *error, tkr_callback_context *context);

/* One more reference. Returns callback. */
TKR_API tkr_callback *tkr_callback_hold(tkr_callback *callback);

/* Gives a reference back; NULL is allowed. With the last, an asynchronous handler waits for its queue, at most its timeout. */
TKR_API void tkr_callback_release(tkr_callback *callback);

/*
 * What a handler has done; each number only grows, in a forked child from what the parent had. Set size first. Those from
 * zero_usage on are of token handlers: responses whose figures contradict each other, by cause; what is counted then stands at
 * tkr_detailed_token_callback.
 */
typedef struct tkr_callback_stat {
    uint32_t size;
    uint32_t pad;
    uint64_t started;
    uint64_t ended;  /* well */
    uint64_t errors; /* calls that failed, as tkr_on_llm_error told */
    uint64_t failed; /* times that the handler itself failed */
    uint64_t usage_missing;
    uint64_t corrected;         /* figures below zero, counted as 0 */
    uint64_t slow;              /* calls over the threshold */
    uint64_t dropped_full;      /* events that found an asynchronous handler's queue full */
    uint64_t dropped_bytes;     /* events whose texts would have gone beyond its memory */
    uint64_t dropped_ended;     /* events that waited in its queue when it was closed, or came after */
    uint64_t dropped_thread;    /* events that found no thread: a forked child could not start one; each also counts in failed */
    uint64_t unmatched;         /* ends without a start, second ends, second starts: nothing was counted for them */
    uint64_t zero_usage;        /* prompt, completion and total are 0 beside a text */
    uint64_t zero_completion;   /* the completion is 0 beside a text */
    uint64_t zero_prompt;       /* the prompt is 0 beside a completion */
    uint64_t total_above_parts; /* the total is above prompt and completion */
    uint64_t total_below_parts; /* the total is below prompt and completion */
    uint64_t cached_above_prompt;        /* cached and cache-write tokens are above the prompt */
    uint64_t reasoning_above_completion; /* reasoning is above the completion */
    uint64_t sum_above_max;              /* prompt and completion are together above what one call can use */
} tkr_callback_stat;
#define TKR_CALLBACK_STAT_INIT                                                                   \
    {                                                                                            \
        sizeof(tkr_callback_stat), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* Reads them: as many as the size that the caller states has room for. Results: 0; TKR_EINVAL, TKR_ESIZE. */
TKR_API TKR_MUST_CHECK int tkr_callback_stat_read(tkr_callback *callback, tkr_callback_stat *ret_stat);

/* Name of the handler's type: "token", "detailed", "composite", ..., or what a custom one said. Lives as long as the handler. */
TKR_API const char *tkr_callback_type(const tkr_callback *callback);

/* --- token handlers --- */

typedef struct tkr_callback_options {
    uint32_t size;
    uint32_t characters_per_token; /* 1..1000; 0: $TOKEN_ESTIMATION_RATIO, else 4 */
    tkr_producer *producer;        /* borrowed, must outlive the handler; NULL is refused where something is to be counted */
    tkr_account account;           /* id NULL: the context's accounts are charged; an empty id is refused */
    const char *cycle;             /* "YYYY-MM-DD", a real date; NULL: the context's, else the default of the producer */
} tkr_callback_options;
#define TKR_CALLBACK_OPTIONS_INIT                                    \
    {                                                                \
        sizeof(tkr_callback_options), 0, NULL, {0, NULL, 0, 0}, NULL \
    }

/*
 * A token handler: at the end adds response.tokens_used to total_tokens when it is above 0, else counts "usage missing"; the call
 * and its duration are counted either way, after an error with its kind.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_EACCOUNT, TKR_EKIND, TKR_ECYCLE, TKR_ERANGE, TKR_ENOMEM.
 */
TKR_API TKR_MUST_CHECK int tkr_token_callback(const tkr_callback_options *options, tkr_callback **ret_callback);

/*
 * A detailed token handler: prompt, completion and the total. The estimate of the prompt is the Unicode code points of all
 * contents, divided by characters_per_token and rounded down. What is counted, by what the response reports:
 *
 *   prompt and completion      both as reported; but both 0 beside tokens_used above 0 are no report. The total is tokens_used
 *                              where that is above their sum (thoughts outside of the completion, say), else the sum
 *   one of them, tokens_used   it, and for the other what is left of tokens_used, at least 0
 *   one of them                it, and the other estimated
 *   tokens_used above 0        prompt: the estimate, at most tokens_used; completion: the rest of tokens_used
 *   nothing, but content       prompt: the estimate; completion: the content's code points, divided and rounded down
 *   nothing                    prompt: the estimate; completion 0
 *
 * What was estimated, or follows from an estimate, also counts in estimated_tokens. A figure below 0 other than TKR_ABSENT counts
 * as 0, one above TKR_TOKENS_MAX as not reported; both are counted as corrected. After an error only what it reports is counted.
 * Figures that contradict each other (zero_usage and what follows in tkr_callback_stat) are counted as above, as reported, and
 * reported to the collector by cause, once a minute and account. Of parts that are together above TKR_TOKENS_MAX nothing but the
 * call is counted, and the handler fails with TKR_ERANGE.
 * Results: as tkr_token_callback.
 */
TKR_API TKR_MUST_CHECK int tkr_detailed_token_callback(const tkr_callback_options *options, tkr_callback **ret_callback);

/* --- limit handlers --- */

/*
 * A limit handler: when a call starts, holds the reserve of the context's start, or, where it has none, the estimate of the
 * prompt (as tkr_detailed_token_callback has it), at least 1 token, against the limits of the accounts: of all, or of none. Where
 * one has no room the call is refused, which tkr_callback_refusal tells; the handler has not failed, and the other handlers of a
 * composite run all the same. When the call ends, well or not, or its process dies, it is given back: once the collector has
 * counted what the handlers of the same composite recorded of the call, in whatever order they stand; without a composite, what
 * was recorded by the same thread before this handler's end. What an asynchronous handler records may come later, so that a
 * limit may be exceeded by what is under way there: make the composite asynchronous as a whole, or the token handlers not.
 * Accounts that are not known hold nothing, or refuse, as the producer's TKR_LIMIT_CLOSED has it. It counts nothing: token
 * handlers do, and those hold nothing. A handler that is asynchronous, or a member of one that is, refuses nobody in time.
 * Results: as tkr_token_callback.
 */
TKR_API TKR_MUST_CHECK int tkr_limit_callback(const tkr_callback_options *options, tkr_callback **ret_callback);

/*
 * Asked between tkr_on_llm_start and the call's end: has a limit handler refused it? Then it is not to be made, and to be ended
 * by tkr_on_llm_error: token handlers count it as a call that failed. ret_limit, whose size is set first, may be NULL: the
 * figures of the account that has least left, as tkr_limit_check tells them; absent where it was refused for not being known.
 * Results: 1: refused; 0: not; TKR_EINVAL, TKR_ESIZE. Progress: wait-free.
 */
TKR_API TKR_MUST_CHECK int tkr_callback_refusal(const tkr_callback_context *context, tkr_limit *ret_limit);

/* --- composites --- */

/* Who gives back the reference with which a handler was added. */
enum {
    TKR_CALLBACK_OWN = 0,   /* the composite: the caller's reference is now its own */
    TKR_CALLBACK_BORROW = 1 /* the caller keeps its reference, and gives it back itself; the composite takes one more */
};

/*
 * A handler that calls others, in the order in which they were added; those that are asynchronous only take note, and work in
 * parallel. A call's end goes to the members that saw its start. Composites nest; one cannot be added to itself, nor below
 * itself. An account is counted once a call: where handlers of one composite would charge the same account, a detailed handler
 * wins over a token handler, and else the first.
 * Results: 0; TKR_EINVAL, TKR_ENOMEM.
 */
TKR_API TKR_MUST_CHECK int tkr_composite_callback(tkr_callback **ret_callback);

/*
 * Add and remove members, while calls are in flight and from any thread, a member's own functions included. After a removal no
 * new call reaches the member by this composite; those that it saw start still end in it, and hold it until then.
 * Results: 0; TKR_EINVAL (no composite, an unknown flag, a member twice or a circle; to be removed: no member), TKR_ENOMEM.
 */
TKR_API TKR_MUST_CHECK int tkr_composite_add(tkr_callback *composite, tkr_callback *member, uint32_t ownership);
TKR_API TKR_MUST_CHECK int tkr_composite_remove(tkr_callback *composite, tkr_callback *member);

/* --- asynchronous handlers --- */

typedef struct tkr_asynchronous_options {
    uint32_t size;
    uint32_t queue_events;     /* 2..1,048,576, rounded up to a power of two; 0: 1024 */
    uint64_t queue_bytes_max;  /* of texts that wait, copied; 0: 16 MiB */
    uint32_t close_timeout_ms; /* how long the last release waits for what is queued and under way; 0: 1000 */
    uint32_t pad;
} tkr_asynchronous_options;
#define TKR_ASYNCHRONOUS_OPTIONS_INIT                \
    {                                                \
        sizeof(tkr_asynchronous_options), 0, 0, 0, 0 \
    }

/*
 * Makes a handler that hands the events on to `member` by a thread of its own: the caller copies and never waits. What finds no
 * room is dropped and counted by cause; of a call whose start was dropped, the end is too. Where a forked child cannot start the
 * thread, each event fails and counts as dropped_thread, and it is tried again ten times a second. The member's reference goes to
 * the new handler. A member that hangs keeps its thread, and memory, beyond the close; nobody waits longer than the timeout for
 * it. options may be NULL. Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_ERANGE, TKR_ENOMEM (then the member is still the caller's).
 */
TKR_API TKR_MUST_CHECK int tkr_asynchronous_callback(tkr_callback *member, const tkr_asynchronous_options *options,
                                                     tkr_callback **ret_callback);

/* --- performance --- */

/* A call that took longer than the threshold. Borrowed for the report. */
typedef struct tkr_slow_call {
    const char *model;
    const char *provider;
    uint32_t model_len;
    uint32_t provider_len;
    int64_t duration_ns;
    int32_t error; /* TKR_ERROR_*; 0: it succeeded */
    uint32_t pad;
} tkr_slow_call;

typedef struct tkr_performance_options {
    uint32_t size;
    uint32_t slow_ms;       /* 1..86,400,000; 0: $PERFORMANCE_LOG_THRESHOLD, else 1000 */
    const char *label;      /* key of the attribute whose value tells configurations apart; NULL: "variant" */
    tkr_producer *producer; /* borrowed; slow calls travel to the collector by it; NULL: they do not */
    void (*on_slow)(void *user, const tkr_slow_call *call); /* NULL: none; on the thread that ends the call */
    void *user;
} tkr_performance_options;
#define TKR_PERFORMANCE_OPTIONS_INIT                               \
    {                                                              \
        sizeof(tkr_performance_options), 0, NULL, NULL, NULL, NULL \
    }

/* Of calls of one model, provider and label, or of several together. Durations are by a histogram: at most 1/16 too high. */
typedef struct tkr_performance {
    uint32_t size;
    uint32_t groups; /* model, provider and label: how many are in it; 0: no call */
    uint64_t calls;
    uint64_t errors;
    uint64_t slow;
    double success_rate; /* 0..1; 1 without calls */
    int64_t mean_ns;
    int64_t p50_ns;
    int64_t p95_ns;
    int64_t p99_ns;
    int64_t max_ns;
} tkr_performance;
#define TKR_PERFORMANCE_INIT                                  \
    {                                                         \
        sizeof(tkr_performance), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* Two configurations side by side: b against a. */
typedef struct tkr_comparison {
    uint32_t size;
    uint32_t pad;
    tkr_performance a;
    tkr_performance b;
    double mean_ratio;         /* b's mean duration by a's; 0 where a has none */
    double p95_ratio;          /* the same of the 95th percentiles */
    double success_difference; /* b's success rate less a's */
    double success_z;          /* z of the two-proportion test; beyond +-1.96 chance explains it in less than 5 % */
} tkr_comparison;
#define TKR_COMPARISON_INIT                                                                                         \
    {                                                                                                               \
        sizeof(tkr_comparison), 0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, 0 \
    }

/*
 * A performance handler: duration by a monotonic clock from start to end, per model, provider and label (64 groups; what comes
 * beyond is counted in the last). options may be NULL. With ENABLE_PERFORMANCE_MONITORING=false it measures nothing and costs
 * nothing. Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_ERANGE (a variable that does not parse, too), TKR_ENOMEM.
 */
TKR_API TKR_MUST_CHECK int tkr_performance_callback(const tkr_performance_options *options, tkr_callback **ret_callback);

/*
 * Reads what such a handler has of a model, provider and label; NULL stands for all. Exact when no call is ending meanwhile.
 * Results: 0; TKR_EINVAL (no performance handler), TKR_ESIZE.
 */
TKR_API TKR_MUST_CHECK int tkr_performance_read(tkr_callback *performance, const char *model, const char *provider,
                                                const char *label, tkr_performance *ret_performance);

/* Compares the calls of two labels, over all models. Results: 0; TKR_EINVAL, TKR_ESIZE. */
TKR_API TKR_MUST_CHECK int tkr_performance_compare(tkr_callback *performance, const char *label_a, const char *label_b,
                                                   tkr_comparison *ret_comparison);

/* --- handlers of one's own --- */

/*
 * Functions that may be NULL: then the event is passed over. What they return other than 0 is a failure. user is what
 * tkr_custom_callback was given. Threads: they are called by those that call tkr_on_llm_*, many at once.
 */
typedef struct tkr_callback_functions {
    uint32_t size;
    uint32_t pad;
    const char *type; /* 1..TKR_CALLBACK_TYPE_BYTES_MAX of a-z, 0-9, '_': names it in counters and logs */
    int (*on_llm_start)(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context);
    int (*on_llm_end)(void *user, const tkr_response *response, tkr_callback_context *context);
    int (*on_llm_error)(void *user, const tkr_call_error *error, tkr_callback_context *context);
    void (*destroy)(void *user); /* with the last reference */
} tkr_callback_functions;
#define TKR_CALLBACK_FUNCTIONS_INIT                                     \
    {                                                                   \
        sizeof(tkr_callback_functions), 0, NULL, NULL, NULL, NULL, NULL \
    }

/*
 * Makes a handler of functions; they are copied. producer (borrowed, may be NULL) carries its failures to the collector.
 * Results: 0; TKR_EINVAL, TKR_ESIZE, TKR_ETEXT (type), TKR_ENOMEM.
 */
TKR_API TKR_MUST_CHECK int tkr_custom_callback(const tkr_callback_functions *functions, void *user, tkr_producer *producer,
                                               tkr_callback **ret_callback);

/*
 * Memory of the handler whose function is running, for this call, until the handler's end. bytes is the same
 * each time, 1..TKR_CALLBACK_STATE_BYTES_MAX; aligned for anything. Who asks first gets zeros, be it at the end.
 * NULL: not called by a handler's function, other bytes than before, or no memory.
 */
TKR_API void *tkr_callback_state(tkr_callback_context *context, size_t bytes);

/* The value of an attribute; NULL: the call has none of this key. */
TKR_API const tkr_attribute *tkr_callback_attribute(const tkr_callback_context *context, const char *key);

/* --- settings --- */

typedef struct tkr_callback_settings {
    uint32_t size;
    uint32_t characters_per_token; /* TOKEN_ESTIMATION_RATIO, 1..1000; 4 */
    uint32_t performance;          /* ENABLE_PERFORMANCE_MONITORING, true or false; 1 */
    uint32_t slow_ms;              /* PERFORMANCE_LOG_THRESHOLD, 1..86,400,000; 1000 */
} tkr_callback_settings;
#define TKR_CALLBACK_SETTINGS_INIT             \
    {                                          \
        sizeof(tkr_callback_settings), 0, 0, 0 \
    }

/*
 * Reads what the environment says of handlers. Results: 0; TKR_ERANGE: a variable holds what is not allowed, and text (text_bytes
 * long, may be NULL) has a sentence with its name, its value and what is allowed; TKR_EINVAL, TKR_ESIZE. Handlers whose options
 * leave such a value open read them when they are made, and give TKR_ERANGE too; tkr_open_error then has the sentence.
 */
TKR_API TKR_MUST_CHECK int tkr_callback_settings_read(tkr_callback_settings *ret_settings, char *text, size_t text_bytes);

#ifdef __cplusplus
}
#endif
#endif
