/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers of one's own: functions and a pointer. What they answer other than 0 is a failure, counted, and no more. */
#include <stdlib.h>
#include <string.h>

#include "callback/callback.h"

struct custom {
    struct tkr_callback callback;
    tkr_callback_functions functions;
    void *user;
};

static struct custom *of(struct tkr_callback *callback)
{
    return (struct custom *)callback;
}

static int outcome(struct tkr_callback *callback, int answer, const tkr_callback_context *context)
{
    if (answer == 0)
        return 0;
    tkr_callback_count(callback, TKR_CALLBACK_FAILED, 1);
    tkr_callback_tell(callback, TKR_NOTICE_FAILED, context, TKR_NOTICE_OWN_ANSWER + (uint32_t)answer, 0);
    return 1;
}

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    const struct custom *custom = of(callback);

    if (custom->functions.on_llm_start == NULL)
        return 0;
    return outcome(callback, custom->functions.on_llm_start(custom->user, messages, count, context), context);
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    const struct custom *custom = of(callback);

    if (custom->functions.on_llm_end == NULL)
        return 0;
    return outcome(callback, custom->functions.on_llm_end(custom->user, response, context), context);
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    const struct custom *custom = of(callback);

    if (custom->functions.on_llm_error == NULL)
        return 0;
    return outcome(callback, custom->functions.on_llm_error(custom->user, call_error, context), context);
}

static void destroy(struct tkr_callback *callback)
{
    if (of(callback)->functions.destroy != NULL)
        of(callback)->functions.destroy(of(callback)->user);
    free(callback);
}

static const struct tkr_callback_ops ops = {.start = start, .end = end, .error = error, .destroy = destroy};

static bool type_fits(const char *type)
{
    size_t len = type != NULL ? strnlen(type, TKR_CALLBACK_TYPE_BYTES_MAX + 1) : 0;

    return len > 0 && len <= TKR_CALLBACK_TYPE_BYTES_MAX && strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

int tkr_custom_callback(const tkr_callback_functions *functions, void *user, tkr_producer *producer, tkr_callback **ret_callback)
{
    struct custom *custom;

    if (functions == NULL || ret_callback == NULL)
        return TKR_EINVAL;
    if (functions->size != sizeof(*functions))
        return TKR_ESIZE;
    if (!type_fits(functions->type))
        return TKR_ETEXT;
    custom = tkr_callback_make(sizeof(*custom), &ops, functions->type, producer);
    if (custom == NULL)
        return TKR_ENOMEM;
    custom->functions = *functions;
    custom->functions.type = custom->callback.type;
    custom->user = user;
    *ret_callback = &custom->callback;
    return TKR_OK;
}
