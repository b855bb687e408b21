/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handler of one's own beside the detailed token handler: it keeps the start of each call, and prints a line when the call ends.
 * What it answers concerns nobody but its counters: here it fails for calls without a model, and the usage is counted all the same.
 *
 *     cc -std=c17 -o custom_handler custom_handler.c $(pkg-config --cflags --libs tokenring)
 */
#include <stdio.h>
#include <tokenring/callback.h>

struct line {
    uint32_t messages;
};

static int on_start(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct line *line = tkr_callback_state(context, sizeof(*line)); /* of this call, and of this handler */

    (void)user;
    (void)messages;
    if (line == NULL || context->start.model_len == 0)
        return -1;
    line->messages = count;
    return 0;
}

static int on_end(void *user, const tkr_response *response, tkr_callback_context *context)
{
    const struct line *line = tkr_callback_state(context, sizeof(*line));

    if (line == NULL || context->start.model_len == 0)
        return -1;
    printf("%s: %.*s, %u messages, %lld tokens\n", (const char *)user, (int)context->start.model_len, context->start.model,
           line->messages, (long long)response->tokens_used);
    return 0;
}

static void call(tkr_callback *handlers, const char *model, uint32_t model_len)
{
    const tkr_chat_message messages[] = {
        {.role = "system", .role_len = 6, .content = "Be brief.", .content_len = 9},
        {.role = "user", .role_len = 4, .content = "What is a token?", .content_len = 16},
    };
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    int failed;

    context.start.account_count = 1;
    context.start.account[0] = (tkr_account){.id = "carol", .len = 5};
    context.start.model = model;
    context.start.model_len = model_len;
    failed = tkr_on_llm_start(handlers, messages, 2, &context);
    response.prompt_tokens = 14; /* what the provider reports */
    response.completion_tokens = 28;
    response.tokens_used = 42;
    failed += tkr_on_llm_end(handlers, &response, &context);
    if (failed > 0)
        printf("%d times a handler failed\n", failed);
}

int main(void)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *handlers = NULL;
    tkr_callback *detailed = NULL;
    tkr_callback *own = NULL;
    tkr_producer *producer = NULL;
    tkr_stat stat = TKR_STAT_INIT;
    int result = tkr_open(NULL, &producer);

    options.producer = producer;
    functions.type = "printing";
    functions.on_llm_start = on_start;
    functions.on_llm_end = on_end;
    if (result == 0)
        result = tkr_composite_callback(&handlers);
    if (result == 0)
        result = tkr_detailed_token_callback(&options, &detailed);
    if (result == 0)
        result = tkr_custom_callback(&functions, "a call", producer, &own);
    if (result == 0)
        result = tkr_composite_add(handlers, detailed, TKR_CALLBACK_OWN);
    if (result == 0)
        result = tkr_composite_add(handlers, own, TKR_CALLBACK_OWN);
    if (result == 0) {
        call(handlers, "gpt-4o", 6);
        call(handlers, NULL, 0);
        result = tkr_stat_read(producer, &stat);
        printf("calls recorded: %llu\n", (unsigned long long)stat.offered);
    }
    tkr_callback_release(handlers); /* and its members */
    tkr_close(producer);
    if (result != 0)
        (void)fprintf(stderr, "custom_handler: %s\n", tkr_strerror(result));
    return result != 0;
}
