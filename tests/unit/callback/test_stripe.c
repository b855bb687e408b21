/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of handlers that many threads use: more than there are stripes, at once and one after the other. */
#include <pthread.h>

#include "callback/stripe.h"
#include "support/light.h"
#include "unit/callback/fixture.h"

#define AT_ONCE (2 * TKR_STRIPES)
#define CALLS 5000

static struct {
    pthread_barrier_t barrier;
    tkr_callback *callback;
} many;

static void *make_calls(void *calls)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;

    for (int i = 0; i < *(const int *)calls; i++) {
        (void)tkr_on_llm_start(many.callback, NULL, 0, &context);
        (void)tkr_on_llm_end(many.callback, &response, &context);
    }
    return NULL;
}

/* All have a stripe at the same time. */
static void *make_calls_together(void *calls)
{
    (void)tkr_stripe();
    (void)pthread_barrier_wait(&many.barrier);
    return make_calls(calls);
}

static void assert_counted(uint64_t calls)
{
    assert_int_equal(callback_stat(many.callback).started, calls);
    assert_int_equal(callback_stat(many.callback).ended, calls);
}

static void make_handler(void)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;

    functions.type = "nothing";
    assert_int_equal(tkr_custom_callback(&functions, NULL, NULL, &many.callback), TKR_OK);
}

static void test_more_threads_than_stripes_add_up(void **state)
{
    int calls = test_light(CALLS);
    pthread_t thread[AT_ONCE];

    (void)state;
    make_handler();
    assert_int_equal(pthread_barrier_init(&many.barrier, NULL, AT_ONCE), 0);
    for (unsigned i = 0; i < AT_ONCE; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, make_calls_together, &calls), 0);
    for (unsigned i = 0; i < AT_ONCE; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_counted((uint64_t)AT_ONCE * (uint64_t)calls);
    (void)pthread_barrier_destroy(&many.barrier);
    tkr_callback_release(many.callback);
}

static void *which(void *ret_stripe)
{
    *(uint32_t *)ret_stripe = tkr_stripe();
    return NULL;
}

/* A thread that ends leaves its stripe to the next: however many there were, each owns one. */
static void test_stripes_are_handed_over(void **state)
{
    enum { THREADS = 4 * TKR_STRIPES };
    uint32_t stripe = TKR_STRIPES;
    pthread_t thread;
    int calls = 10;

    (void)state;
    make_handler();
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread, NULL, which, &stripe), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(stripe < TKR_STRIPES_OWNED);
        assert_int_equal(pthread_create(&thread, NULL, make_calls, &calls), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_counted(THREADS * 10);
    tkr_callback_release(many.callback);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_threads_than_stripes_add_up),
        cmocka_unit_test(test_stripes_are_handed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
