/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous handlers: what they pass on, drop by cause, and leave behind when their member hangs. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "support/light.h"
#include "unit/callback/fixture.h"

#define WAIT_NS (20 * TKR_NS_PER_S)

/* A member that waits in its start until it is let go, and notes what it was handed. */
static struct {
    sem_t gate;
    atomic_bool gated;
    _Atomic int starts;
    _Atomic int ends;
    _Atomic int errors;
    _Atomic int destroyed;
    char seen[512];
} member;

static int member_start(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    const tkr_attribute *attribute = tkr_callback_attribute(context, "tier");

    (void)user;
    atomic_fetch_add(&member.starts, 1);
    if (atomic_load(&member.gated))
        assert_int_equal(sem_wait(&member.gate), 0);
    (void)snprintf(member.seen, sizeof(member.seen), "%u %.*s %.*s %.*s %.*s %.*s", count, (int)messages[0].content_len,
                   messages[0].content, (int)context->start.account[0].len, context->start.account[0].id,
                   (int)context->start.model_len, context->start.model, (int)context->start.provider_len, context->start.provider,
                   attribute != NULL ? (int)attribute->value_len : 0, attribute != NULL ? attribute->value : "");
    return 0;
}

static int member_end(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)context;
    (void)snprintf(member.seen + strlen(member.seen), sizeof(member.seen) - strlen(member.seen), " | %.*s %lld",
                   (int)response->content_len, response->content != NULL ? response->content : "",
                   (long long)response->tokens_used);
    atomic_fetch_add(&member.ends, 1);
    return 0;
}

static int member_error(void *user, const tkr_call_error *error, tkr_callback_context *context)
{
    (void)user;
    (void)context;
    (void)snprintf(member.seen, sizeof(member.seen), "%d %.*s %lld", error->kind, (int)error->message_len, error->message,
                   error->response != NULL ? (long long)error->response->tokens_used : -2);
    atomic_fetch_add(&member.errors, 1);
    return 0;
}

static void member_destroy(void *user)
{
    (void)user;
    atomic_fetch_add(&member.destroyed, 1);
}

static tkr_callback *asynchronous(const tkr_asynchronous_options *options, bool gated)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *inner = NULL;
    tkr_callback *callback = NULL;

    memset(&member, 0, sizeof(member));
    assert_int_equal(sem_init(&member.gate, 0, 0), 0);
    atomic_store(&member.gated, gated);
    functions.type = "member";
    functions.on_llm_start = member_start;
    functions.on_llm_end = member_end;
    functions.on_llm_error = member_error;
    functions.destroy = member_destroy;
    assert_int_equal(tkr_custom_callback(&functions, NULL, producer, &inner), TKR_OK);
    assert_int_equal(tkr_asynchronous_callback(inner, options, &callback), TKR_OK);
    return callback;
}

/* Waits until the number is reached; then it is no more than that. */
static void wait_for(_Atomic int *number, int reached)
{
    int64_t end_ns = tkr_clock_monotonic_ns() + WAIT_NS;

    while (atomic_load(number) < reached && tkr_clock_monotonic_ns() < end_ns)
        (void)sched_yield();
    assert_int_equal(atomic_load(number), reached);
}

static void test_asynchronous_passes_on_copies_of_all(void **state)
{
    tkr_callback *callback = asynchronous(NULL, true);
    char prompt[] = "what the user said";
    char content[] = "what came back";
    char tier[] = "gold";
    char id[] = "alice";
    const tkr_chat_message message = {.content = prompt, .content_len = strlen(prompt)};
    const tkr_attribute attribute = {.key = "tier", .key_len = 4, .value = tier, .value_len = 4};
    tkr_response response = response_of(77, TKR_ABSENT, TKR_ABSENT);
    tkr_callback_context context = context_for(id);

    (void)state;
    context.start.model = "gpt-4o";
    context.start.model_len = 6;
    context.start.provider = "openai";
    context.start.provider_len = 6;
    context.attribute = &attribute;
    context.attribute_count = 1;
    response.content = content;
    response.content_len = strlen(content);
    assert_int_equal(tkr_on_llm_start(callback, &message, 1, &context), 0);
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 0);
    memset(prompt, 'x', sizeof(prompt)); /* the caller's memory is its own again */
    memset(content, 'x', sizeof(content));
    memset(tier, 'x', sizeof(tier));
    memset(id, 'x', sizeof(id));
    assert_int_equal(sem_post(&member.gate), 0);
    wait_for(&member.ends, 1);
    tkr_callback_release(callback);
    assert_string_equal(member.seen, "1 what the user said alice gpt-4o openai gold | what came back 77");
    assert_int_equal(atomic_load(&member.destroyed), 1);
}

static void test_asynchronous_passes_on_errors(void **state)
{
    tkr_callback *callback = asynchronous(NULL, false);
    const tkr_chat_message message = {.content = "x", .content_len = 1};
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    tkr_callback_context context = context_for("alice");

    (void)state;
    error.kind = TKR_ERROR_PROVIDER;
    error.message = "503";
    error.message_len = 3;
    error.response = &response;
    assert_int_equal(tkr_on_llm_start(callback, &message, 1, &context), 0);
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 0);
    wait_for(&member.errors, 1);
    tkr_callback_release(callback);
    assert_string_equal(member.seen, "6 503 5");
}

/* With the last reference, what is queued is still handed on. */
static void test_asynchronous_close_hands_on_what_is_queued(void **state)
{
    tkr_callback *callback = asynchronous(NULL, false);
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);

    (void)state;
    for (int i = 0; i < 300; i++)
        assert_int_equal(call_through(callback, &response), 0);
    tkr_callback_release(callback);
    assert_int_equal(atomic_load(&member.ends), 300);
}

static void test_asynchronous_queue_that_is_full_drops_whole_calls(void **state)
{
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_callback_stat stat;
    tkr_callback *callback;
    uint64_t dropped;

    (void)state;
    options.queue_events = 8;
    callback = asynchronous(&options, true);
    for (int i = 0; i < 50; i++)
        assert_int_equal(call_through(callback, &response), 0); /* nobody waits, nothing fails */
    stat = callback_stat(callback);
    dropped = stat.dropped_full;
    assert_true(dropped >= 100 - 8 - 2 && dropped < 100);
    assert_int_equal(stat.dropped_bytes + stat.dropped_ended, 0);
    atomic_store(&member.gated, false);
    for (int i = 0; i < 50; i++)
        assert_int_equal(sem_post(&member.gate), 0);
    tkr_callback_release(callback);
    assert_int_equal((uint64_t)atomic_load(&member.starts) + (uint64_t)atomic_load(&member.ends) + dropped, 100);
    assert_true(atomic_load(&member.ends) <= atomic_load(&member.starts));
}

static void test_asynchronous_memory_that_is_used_up_drops(void **state)
{
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    static char text[3000];
    tkr_callback *callback;

    (void)state;
    options.queue_bytes_max = 4000;
    callback = asynchronous(&options, true);
    response.content = text;
    response.content_len = sizeof(text);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < 4; i++)
        assert_int_equal(call_through(callback, &response), 0);
    assert_true(callback_stat(callback).dropped_bytes > 0);
    atomic_store(&member.gated, false);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sem_post(&member.gate), 0);
    tkr_callback_release(callback);
}

/* A member that hangs: neither the call waits for it, nor the close beyond its timeout. When it comes back all is freed. */
static void test_asynchronous_member_that_hangs_is_left_behind(void **state)
{
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    int64_t begun_ns;
    tkr_callback *callback;

    (void)state;
    options.close_timeout_ms = 50;
    callback = asynchronous(&options, true);
    begun_ns = tkr_clock_monotonic_ns();
    assert_int_equal(call_through(callback, &response), 0);
    wait_for(&member.starts, 1);
    tkr_callback_release(callback);
    assert_true(tkr_clock_monotonic_ns() - begun_ns < 10 * TKR_NS_PER_S);
    assert_int_equal(atomic_load(&member.destroyed), 0);
    assert_int_equal(sem_post(&member.gate), 0);
    wait_for(&member.destroyed, 1);
    assert_int_equal(atomic_load(&member.ends), 0); /* its time was over */
}

/* A token handler that works asynchronously beside a detailed one: the account is still counted once. */
static void test_asynchronous_member_keeps_to_the_composites_claims(void **state)
{
    tkr_response response = response_of(TKR_ABSENT, 60, 40);
    tkr_callback *slow = NULL;
    tkr_callback *composite;

    (void)state;
    response.tokens_used = 100;
    assert_int_equal(tkr_asynchronous_callback(token_for(NULL), NULL, &slow), TKR_OK);
    composite = composite_of(slow, detailed_for("alice"));
    for (int i = 0; i < 100; i++)
        assert_int_equal(call_through(composite, &response), 0);
    tkr_callback_release(composite);
    assert_int_equal(found().counts.value[TKR_COUNTER_TOTAL], 10000);
    assert_int_equal(found().open_calls, 0);
}

static void *many_calls(void *callback)
{
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);

    for (int i = 0; i < test_light(2000); i++)
        assert_int_equal(call_through(callback, &response), 0);
    return NULL;
}

/* Handed on or dropped: every event of many threads is one or the other. */
static void test_asynchronous_accounts_for_events_of_many_threads(void **state)
{
    enum { THREADS = 4 };
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    pthread_t thread[THREADS];
    tkr_callback_stat stat;
    tkr_callback *callback;

    (void)state;
    options.queue_events = 64;
    options.close_timeout_ms = 60000;
    callback = asynchronous(&options, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, many_calls, callback), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    stat = callback_stat(callback);
    tkr_callback_release(callback);
    assert_int_equal((uint64_t)(atomic_load(&member.starts) + atomic_load(&member.ends)) + stat.dropped_full,
                     (uint64_t)(2 * THREADS * test_light(2000)));
    assert_int_equal(stat.dropped_bytes + stat.dropped_ended, 0);
}

/* Ends and errors without a start, and second ones, are told: nothing of them reaches the member. */
static void test_asynchronous_end_without_a_start_is_told(void **state)
{
    tkr_callback *callback = asynchronous(NULL, false);
    tkr_response response = response_of(5, TKR_ABSENT, TKR_ABSENT);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    const tkr_chat_message message = {.content = "x", .content_len = 1};
    tkr_callback_context context = context_for("alice");

    (void)state;
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 1);
    assert_int_equal(tkr_on_llm_error(callback, &error, &context), 1);
    assert_int_equal(tkr_on_llm_start(callback, &message, 1, &context), 0);
    assert_int_equal(tkr_on_llm_start(callback, &message, 1, &context), 1);
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 0);
    assert_int_equal(tkr_on_llm_end(callback, &response, &context), 1);
    assert_int_equal(callback_stat(callback).unmatched, 4);
    tkr_callback_release(callback);
    assert_int_equal(atomic_load(&member.starts), 1);
    assert_int_equal(atomic_load(&member.ends), 1);
    assert_int_equal(atomic_load(&member.errors), 0);
}

static void test_asynchronous_options_that_are_no_good_are_refused(void **state)
{
    tkr_asynchronous_options options = TKR_ASYNCHRONOUS_OPTIONS_INIT;
    tkr_callback *inner = token_for("alice");
    tkr_callback *callback = NULL;

    (void)state;
    options.queue_events = 1;
    assert_int_equal(tkr_asynchronous_callback(inner, &options, &callback), TKR_ERANGE);
    options.queue_events = (1u << 20) + 1;
    assert_int_equal(tkr_asynchronous_callback(inner, &options, &callback), TKR_ERANGE);
    options.size = 3;
    assert_int_equal(tkr_asynchronous_callback(inner, &options, &callback), TKR_ESIZE);
    assert_int_equal(tkr_asynchronous_callback(NULL, NULL, &callback), TKR_EINVAL);
    assert_null(callback);
    tkr_callback_release(inner); /* still ours */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLBACK_TEST(test_asynchronous_passes_on_copies_of_all),
        CALLBACK_TEST(test_asynchronous_passes_on_errors),
        CALLBACK_TEST(test_asynchronous_close_hands_on_what_is_queued),
        CALLBACK_TEST(test_asynchronous_queue_that_is_full_drops_whole_calls),
        CALLBACK_TEST(test_asynchronous_memory_that_is_used_up_drops),
        CALLBACK_TEST(test_asynchronous_member_that_hangs_is_left_behind),
        CALLBACK_TEST(test_asynchronous_member_keeps_to_the_composites_claims),
        CALLBACK_TEST(test_asynchronous_accounts_for_events_of_many_threads),
        CALLBACK_TEST(test_asynchronous_end_without_a_start_is_told),
        CALLBACK_TEST(test_asynchronous_options_that_are_no_good_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
