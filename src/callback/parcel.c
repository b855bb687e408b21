/* SPDX-License-Identifier: Apache-2.0 */
#include "callback/parcel.h"

#include <stdlib.h>
#include <string.h>

#include "callback/claims.h"
#include "callback/context.h"

/* Where the next text goes. */
static const char *put(unsigned char **at, const char *text, size_t len)
{
    char *copy = (char *)*at;

    if (text == NULL)
        return NULL;
    memcpy(copy, text, len);
    *at += len;
    return copy;
}

static size_t len_of(const char *text, size_t len)
{
    return text != NULL ? len : 0;
}

/* --- calls --- */

static uint32_t accounts_of(const tkr_callback_context *context)
{
    return context->start.account_count < TKR_ACCOUNTS_MAX ? context->start.account_count : TKR_ACCOUNTS_MAX;
}

size_t tkr_parcel_call_bytes(const tkr_callback_context *context)
{
    size_t bytes = sizeof(struct tkr_parcel_call) + len_of(context->start.model, context->start.model_len) +
                   len_of(context->start.provider, context->start.provider_len) +
                   context->attribute_count * sizeof(tkr_attribute) + tkr_claims_copy_bytes(tkr_context_claims(context));

    for (uint32_t i = 0; i < accounts_of(context); i++)
        bytes += len_of(context->start.account[i].id, context->start.account[i].len);
    for (uint32_t i = 0; i < context->attribute_count; i++)
        bytes += len_of(context->attribute[i].key, context->attribute[i].key_len) +
                 len_of(context->attribute[i].value, context->attribute[i].value_len);
    return bytes;
}

static void copy_attributes(const tkr_callback_context *from, tkr_attribute *attribute, unsigned char **at)
{
    for (uint32_t i = 0; i < from->attribute_count; i++) {
        attribute[i] = from->attribute[i];
        attribute[i].key = put(at, from->attribute[i].key, from->attribute[i].key_len);
        attribute[i].value = put(at, from->attribute[i].value, from->attribute[i].value_len);
    }
}

struct tkr_parcel_call *tkr_parcel_call_make(const tkr_callback_context *context, size_t bytes)
{
    struct tkr_parcel_call *call = malloc(bytes);
    const struct tkr_claims *claims = tkr_context_claims(context);
    tkr_attribute *attribute;
    unsigned char *at;

    if (call == NULL)
        return NULL;
    atomic_init(&call->references, 1);
    call->bytes = bytes;
    call->context = *context;
    memset(call->context.own, 0, sizeof(call->context.own));
    attribute = (tkr_attribute *)(call + 1);
    at = (unsigned char *)(attribute + context->attribute_count);
    if (claims != NULL) { /* who counts an account was decided among all of the composite, and is so still when its turn comes */
        tkr_context_claims_set(&call->context, tkr_claims_copy(claims, at));
        at += tkr_claims_copy_bytes(claims);
    }
    copy_attributes(context, attribute, &at);
    call->context.attribute = attribute;
    for (uint32_t i = 0; i < accounts_of(context); i++)
        call->context.start.account[i].id = put(&at, context->start.account[i].id, context->start.account[i].len);
    call->context.start.model = put(&at, context->start.model, context->start.model_len);
    call->context.start.provider = put(&at, context->start.provider, context->start.provider_len);
    return call;
}

size_t tkr_parcel_call_release(struct tkr_parcel_call *call)
{
    size_t bytes = call->bytes;

    if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) != 1)
        return 0; /* acq_rel: what the other side did with it comes before it is freed */
    free(call);
    return bytes;
}

/* --- events --- */

static struct tkr_event_parcel *make(struct tkr_parcel_call *call, enum tkr_parcel_kind kind, size_t bytes)
{
    struct tkr_event_parcel *parcel = malloc(bytes);

    if (parcel == NULL)
        return NULL;
    atomic_init(&parcel->whole, false);
    parcel->kind = kind;
    parcel->bytes = bytes;
    parcel->call = call;
    (void)atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed); /* the caller has one */
    return parcel;
}

static struct tkr_event_parcel *made(struct tkr_event_parcel *parcel)
{
    atomic_store_explicit(&parcel->whole, true, memory_order_release); /* pairs with the acquire of the handler's thread */
    return parcel;
}

size_t tkr_parcel_start_bytes(const tkr_chat_message *messages, uint32_t count)
{
    size_t bytes = sizeof(struct tkr_event_parcel) + count * sizeof(tkr_chat_message);

    for (uint32_t i = 0; i < count; i++)
        bytes += len_of(messages[i].role, messages[i].role_len) + len_of(messages[i].content, messages[i].content_len);
    return bytes;
}

struct tkr_event_parcel *tkr_parcel_start(struct tkr_parcel_call *call, const tkr_chat_message *messages, uint32_t count,
                                          size_t bytes)
{
    struct tkr_event_parcel *parcel = make(call, TKR_PARCEL_START, bytes);
    unsigned char *at;

    if (parcel == NULL)
        return NULL;
    parcel->count = count;
    parcel->message = (tkr_chat_message *)(parcel + 1);
    at = (unsigned char *)(parcel->message + count);
    for (uint32_t i = 0; i < count; i++) {
        parcel->message[i] = messages[i];
        parcel->message[i].role = put(&at, messages[i].role, messages[i].role_len);
        parcel->message[i].content = put(&at, messages[i].content, messages[i].content_len);
    }
    return made(parcel);
}

static size_t response_bytes(const tkr_response *response)
{
    return len_of(response->content, response->content_len) + len_of(response->model, response->model_len);
}

static void copy_response(struct tkr_event_parcel *parcel, const tkr_response *response, unsigned char **at)
{
    parcel->response = *response;
    parcel->response.content = put(at, response->content, response->content_len);
    parcel->response.model = put(at, response->model, response->model_len);
}

size_t tkr_parcel_end_bytes(const tkr_response *response)
{
    return sizeof(struct tkr_event_parcel) + response_bytes(response);
}

struct tkr_event_parcel *tkr_parcel_end(struct tkr_parcel_call *call, const tkr_response *response, size_t bytes)
{
    struct tkr_event_parcel *parcel = make(call, TKR_PARCEL_END, bytes);
    unsigned char *at = (unsigned char *)(parcel + 1);

    if (parcel == NULL)
        return NULL;
    copy_response(parcel, response, &at);
    return made(parcel);
}

size_t tkr_parcel_error_bytes(const tkr_call_error *error)
{
    return sizeof(struct tkr_event_parcel) + len_of(error->message, error->message_len) +
           (error->response != NULL ? response_bytes(error->response) : 0);
}

struct tkr_event_parcel *tkr_parcel_error(struct tkr_parcel_call *call, const tkr_call_error *error, size_t bytes)
{
    struct tkr_event_parcel *parcel = make(call, TKR_PARCEL_ERROR, bytes);
    unsigned char *at = (unsigned char *)(parcel + 1);

    if (parcel == NULL)
        return NULL;
    parcel->error = *error;
    parcel->error.message = put(&at, error->message, error->message_len);
    if (error->response != NULL) {
        copy_response(parcel, error->response, &at);
        parcel->error.response = &parcel->response;
    }
    return made(parcel);
}

size_t tkr_event_parcel_free(struct tkr_event_parcel *parcel)
{
    size_t bytes = parcel->bytes + tkr_parcel_call_release(parcel->call);

    free(parcel);
    return bytes;
}
