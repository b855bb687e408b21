/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers keep of a call, within its context. */
#include <stdlib.h>
#include <string.h>

#include "callback/context.h"

/* On the heap. */
struct tkr_context_node {
    struct tkr_context_node *next;
    const struct tkr_callback *owner;
    size_t bytes;
    alignas(max_align_t) unsigned char payload[];
};

static void *keep_on_heap(struct tkr_context_own *own, const struct tkr_callback *owner, size_t bytes)
{
    struct tkr_context_node *node = calloc(1, sizeof(*node) + bytes);

    if (node == NULL)
        return NULL;
    node->owner = owner;
    node->bytes = bytes;
    node->next = own->nodes;
    own->nodes = node;
    return node->payload;
}

void *tkr_context_keep(tkr_callback_context *context, const struct tkr_callback *owner, size_t bytes)
{
    struct tkr_context_own *own = tkr_context_own(context);

    for (unsigned i = 0; bytes <= sizeof(own->place[0].payload) && i < TKR_CALLBACK_KEPT; i++) {
        if (own->place[i].owner != NULL)
            continue;
        own->place[i].owner = owner;
        memset(own->place[i].payload, 0, sizeof(own->place[i].payload));
        return own->place[i].payload;
    }
    return keep_on_heap(own, owner, bytes);
}

static struct tkr_context_node *node_of(const struct tkr_context_own *own, const struct tkr_callback *owner)
{
    struct tkr_context_node *node = own->nodes;

    while (node != NULL && node->owner != owner)
        node = node->next;
    return node;
}

void *tkr_context_kept_on_heap(const struct tkr_context_own *own, const struct tkr_callback *owner)
{
    struct tkr_context_node *node = node_of(own, owner);

    return node != NULL ? node->payload : NULL;
}

void tkr_context_drop_on_heap(struct tkr_context_own *own, const struct tkr_callback *owner)
{
    struct tkr_context_node **link = &own->nodes;

    while (*link != NULL) {
        struct tkr_context_node *node = *link;
        if (node->owner == owner) {
            *link = node->next;
            free(node);
        } else {
            link = &node->next;
        }
    }
}

struct tkr_claims *tkr_context_claims(const tkr_callback_context *context)
{
    return ((const struct tkr_context_own *)(const void *)context->own)->claims;
}

void tkr_context_claims_set(tkr_callback_context *context, struct tkr_claims *claims)
{
    tkr_context_own(context)->claims = claims;
}

const tkr_limit *tkr_context_refusal(const tkr_callback_context *context)
{
    return ((const struct tkr_context_own *)(const void *)context->own)->refusal;
}

void tkr_context_refusal_set(tkr_callback_context *context, const tkr_limit *refusal)
{
    tkr_context_own(context)->refusal = refusal;
}

/* Memory that functions of one's own ask for lies on the heap: it is aligned for anything. */
void *tkr_callback_state(tkr_callback_context *context, size_t bytes)
{
    struct tkr_context_own *own = tkr_context_own(context);
    struct tkr_context_node *node;

    if (context == NULL || own->running == NULL || bytes == 0 || bytes > TKR_CALLBACK_STATE_BYTES_MAX)
        return NULL;
    node = node_of(own, own->running);
    if (node != NULL)
        return node->bytes == bytes ? node->payload : NULL;
    return keep_on_heap(own, own->running, bytes);
}

const tkr_attribute *tkr_callback_attribute(const tkr_callback_context *context, const char *key)
{
    size_t len;

    if (context == NULL || key == NULL || context->attribute == NULL)
        return NULL;
    len = strlen(key);
    for (uint32_t i = 0; i < context->attribute_count; i++) {
        const tkr_attribute *attribute = &context->attribute[i];
        if (attribute->key != NULL && attribute->key_len == len && memcmp(attribute->key, key, len) == 0)
            return attribute;
    }
    return NULL;
}
