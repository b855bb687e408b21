/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What handlers keep of a call, within its context, by their owner: in two places of the context itself, further ones on the
 * heap. Here, inline, is what each event of a call asks; how things are kept is in callback/context.c.
 *
 * Threads: those of one call, one at a time.
 */
#ifndef TKR_CALLBACK_CONTEXT_H
#define TKR_CALLBACK_CONTEXT_H

#include "callback/callback.h"

#define TKR_CALLBACK_KEPT 2u

struct tkr_context_node;

struct tkr_context_own {
    struct tkr_context_node *nodes; /* on the heap */
    struct tkr_claims *claims;
    const struct tkr_callback *running; /* whose function is being called */
    const tkr_limit *refusal;           /* of a limit handler, which keeps it; NULL: none refused */
    struct {
        const struct tkr_callback *owner; /* NULL: free */
        uint64_t payload[TKR_CALLBACK_KEPT_WORDS];
    } place[TKR_CALLBACK_KEPT];
};
_Static_assert(sizeof(struct tkr_context_own) <= sizeof(((tkr_callback_context *)0)->own), "the context has room for its own");

static inline struct tkr_context_own *tkr_context_own(tkr_callback_context *context)
{
    return (struct tkr_context_own *)(void *)context->own;
}

/* Zeros, bytes long, kept for this owner until its end. NULL: no memory. */
void *tkr_context_keep(tkr_callback_context *context, const struct tkr_callback *owner, size_t bytes);

void *tkr_context_kept_on_heap(const struct tkr_context_own *own, const struct tkr_callback *owner);
void tkr_context_drop_on_heap(struct tkr_context_own *own, const struct tkr_callback *owner);

/* What it keeps; NULL: nothing. */
static inline void *tkr_context_kept(tkr_callback_context *context, const struct tkr_callback *owner)
{
    struct tkr_context_own *own = tkr_context_own(context);

    for (unsigned i = 0; i < TKR_CALLBACK_KEPT; i++) {
        if (own->place[i].owner == owner)
            return own->place[i].payload;
    }
    return own->nodes != NULL ? tkr_context_kept_on_heap(own, owner) : NULL;
}

static inline void tkr_context_drop(tkr_callback_context *context, const struct tkr_callback *owner)
{
    struct tkr_context_own *own = tkr_context_own(context);

    for (unsigned i = 0; i < TKR_CALLBACK_KEPT; i++) {
        if (own->place[i].owner == owner)
            own->place[i].owner = NULL;
    }
    if (own->nodes != NULL)
        tkr_context_drop_on_heap(own, owner);
}

/* Says whose function is about to be called; returns who it was before. */
static inline const struct tkr_callback *tkr_context_running_set(tkr_callback_context *context,
                                                                 const struct tkr_callback *running)
{
    struct tkr_context_own *own = tkr_context_own(context);
    const struct tkr_callback *before = own->running;

    own->running = running;
    return before;
}

/* Whose claims hold while a composite starts a call (callback/claims.h); NULL: everybody counts what it is made for. */
struct tkr_claims *tkr_context_claims(const tkr_callback_context *context);
void tkr_context_claims_set(tkr_callback_context *context, struct tkr_claims *claims);

/* Which figures a limit handler refused the call with, borrowed from what that handler keeps; NULL: none did. */
const tkr_limit *tkr_context_refusal(const tkr_callback_context *context);
void tkr_context_refusal_set(tkr_callback_context *context, const tkr_limit *refusal);

#endif
