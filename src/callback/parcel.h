/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event of a call as an asynchronous handler keeps it: copied whole, texts included, into one block of the process' own memory.
 * The context is copied once a call, and serves all of its events.
 */
#ifndef TKR_CALLBACK_PARCEL_H
#define TKR_CALLBACK_PARCEL_H

#include "callback/callback.h"

/* A call, as its handler's thread sees it. References: of the caller's context, and of each event on its way. */
struct tkr_parcel_call {
    _Atomic uint64_t references;
    size_t bytes;
    tkr_callback_context context; /* its texts lie behind */
};

enum tkr_parcel_kind { TKR_PARCEL_START, TKR_PARCEL_END, TKR_PARCEL_ERROR };

struct tkr_event_parcel {
    atomic_bool whole; /* stored last (release): what it is read with pairs with it, whatever the queue does */
    enum tkr_parcel_kind kind;
    size_t bytes;
    struct tkr_parcel_call *call;
    uint32_t count; /* of messages */
    tkr_chat_message *message;
    tkr_response response;
    tkr_call_error error; /* its response is the one above */
};

/* Bytes that copying takes. */
size_t tkr_parcel_call_bytes(const tkr_callback_context *context);
size_t tkr_parcel_start_bytes(const tkr_chat_message *messages, uint32_t count);
size_t tkr_parcel_end_bytes(const tkr_response *response);
size_t tkr_parcel_error_bytes(const tkr_call_error *error);

/* Copies, in so many bytes. NULL: no memory. An event holds its call. */
struct tkr_parcel_call *tkr_parcel_call_make(const tkr_callback_context *context, size_t bytes);
struct tkr_event_parcel *tkr_parcel_start(struct tkr_parcel_call *call, const tkr_chat_message *messages, uint32_t count,
                                          size_t bytes);
struct tkr_event_parcel *tkr_parcel_end(struct tkr_parcel_call *call, const tkr_response *response, size_t bytes);
struct tkr_event_parcel *tkr_parcel_error(struct tkr_parcel_call *call, const tkr_call_error *error, size_t bytes);

/* Gives a call's reference back; returns the bytes freed. */
size_t tkr_parcel_call_release(struct tkr_parcel_call *call);

/* Frees an event, and its reference; returns the bytes freed. */
size_t tkr_event_parcel_free(struct tkr_event_parcel *parcel);

#endif
