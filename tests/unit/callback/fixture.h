/* SPDX-License-Identifier: Apache-2.0 */
/* A producer whose frames are read back, handlers on it, and calls to tell them of. */
#ifndef TESTS_UNIT_CALLBACK_FIXTURE_H
#define TESTS_UNIT_CALLBACK_FIXTURE_H

#include "tokenring/callback.h"
#include "unit/producer/fixture.h"

static tkr_producer *producer;

static inline int callback_setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    producer = fixture_open(1u << 20, 8u << 20, 64);
    return 0;
}

static inline int callback_teardown(void **state)
{
    tkr_close(producer);
    return fixture_teardown(state);
}

#define CALLBACK_TEST(name) cmocka_unit_test_setup_teardown(name, callback_setup, callback_teardown)

static inline tkr_callback_options options_for(const char *id)
{
    tkr_callback_options options = TKR_CALLBACK_OPTIONS_INIT;

    options.producer = producer;
    if (id != NULL)
        options.account = (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
    return options;
}

static inline tkr_callback *token_for(const char *id)
{
    tkr_callback_options options = options_for(id);
    tkr_callback *callback = NULL;

    assert_int_equal(tkr_token_callback(&options, &callback), TKR_OK);
    return callback;
}

static inline tkr_callback *detailed_for(const char *id)
{
    tkr_callback_options options = options_for(id);
    tkr_callback *callback = NULL;

    assert_int_equal(tkr_detailed_token_callback(&options, &callback), TKR_OK);
    return callback;
}

static inline tkr_callback *composite_of(tkr_callback *a, tkr_callback *b)
{
    tkr_callback *composite = NULL;

    assert_int_equal(tkr_composite_callback(&composite), TKR_OK);
    if (a != NULL)
        assert_int_equal(tkr_composite_add(composite, a, TKR_CALLBACK_OWN), TKR_OK);
    if (b != NULL)
        assert_int_equal(tkr_composite_add(composite, b, TKR_CALLBACK_OWN), TKR_OK);
    return composite;
}

static inline tkr_callback_context context_for(const char *id)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;

    context.start = start_for(id);
    return context;
}

static inline tkr_response response_of(int64_t total, int64_t prompt, int64_t completion)
{
    tkr_response response = TKR_RESPONSE_INIT;

    response.tokens_used = total;
    response.prompt_tokens = prompt;
    response.completion_tokens = completion;
    return response;
}

/* A whole call of "alice" with a prompt of 16 characters. Returns how many handlers failed, at its start and its end. */
static inline int call_through(tkr_callback *callback, const tkr_response *response)
{
    static const tkr_chat_message message = {.role = "user", .role_len = 4, .content = "sixteen letters.", .content_len = 16};
    tkr_callback_context context = context_for("alice");
    int failed = tkr_on_llm_start(callback, &message, 1, &context);

    return failed + tkr_on_llm_end(callback, response, &context);
}

static inline struct drained found(void)
{
    struct drained sum;

    assert_true(drain_directory(fixture_dir, false, &sum));
    return sum;
}

static inline tkr_callback_stat callback_stat(tkr_callback *callback)
{
    tkr_callback_stat stat = TKR_CALLBACK_STAT_INIT;

    assert_int_equal(tkr_callback_stat_read(callback, &stat), TKR_OK);
    return stat;
}

#endif
