/* SPDX-License-Identifier: Apache-2.0 */
/* Limit handlers, alone and beside others, on a board that the test keeps. */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "collector/board.h"
#include "unit/callback/fixture.h"

static struct tkr_board board;

static int limit_setup(void **state)
{
    tkr_message message;
    int directory;
    int made;

    if (callback_setup(state) != 0 || (directory = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    made = tkr_board_make(directory, TKR_BOARD_ACCOUNTS_MIN, &board, &message);
    (void)close(directory);
    return made;
}

static int limit_teardown(void **state)
{
    tkr_board_unmap(&board);
    return callback_teardown(state);
}

static void put(const char *id, int64_t limit, int64_t used)
{
    struct tkr_board_key key;
    uint32_t number;
    uint64_t seq;

    tkr_board_key(&board, TKR_KIND_USER, id, (uint32_t)strlen(id), CYCLE, &key);
    if (!tkr_board_find(&board, &key, &number, &seq))
        assert_true(tkr_board_take(&board, &key, UINT64_MAX, &number));
    tkr_board_publish(&board, number, limit, used, tkr_clock_monotonic_ns());
}

static int64_t reserved(const char *id)
{
    tkr_account account = {.id = id, .len = (uint32_t)strlen(id)};
    tkr_limit limit = TKR_LIMIT_INIT;

    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, 0, &limit), TKR_OK);
    return limit.reserved;
}

/* A collector counts all that has ended, and obeys its releases. */
static struct drained count_all(void)
{
    struct drained sum;

    drain_board = &board;
    assert_true(drain_directory(fixture_dir, true, &sum));
    drain_board = NULL;
    return sum;
}

static tkr_callback *limit_handler(void)
{
    tkr_callback_options options = options_for(NULL);
    tkr_callback *callback = NULL;

    assert_int_equal(tkr_limit_callback(&options, &callback), TKR_OK);
    return callback;
}

static tkr_callback_context context_of(const char *first, const char *second, int64_t reserve)
{
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;

    context.start.account_count = second != NULL ? 2 : 1;
    context.start.account[0] = (tkr_account){.id = first, .len = (uint32_t)strlen(first)};
    if (second != NULL)
        context.start.account[1] = (tkr_account){.id = second, .len = (uint32_t)strlen(second)};
    context.start.cycle = CYCLE;
    context.start.reserve = reserve;
    return context;
}

static void test_call_holds_from_its_start_to_its_end(void **state)
{
    tkr_callback *limit = limit_handler();
    tkr_callback_context context = context_of("alice", "bob", 300);
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_call_error error = TKR_CALL_ERROR_INIT;

    (void)state;
    put("alice", 1000, 0);
    put("bob", 300, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tkr_on_llm_start(limit, NULL, 0, &context), 0);
        assert_int_equal(tkr_callback_refusal(&context, NULL), 0);
        assert_int_equal(reserved("alice"), 300);
        assert_int_equal(reserved("bob"), 300);
        assert_int_equal(i == 0 ? tkr_on_llm_end(limit, &response, &context) : tkr_on_llm_error(limit, &error, &context), 0);
        assert_int_equal(reserved("alice"), 300); /* what it used may not be counted yet */
        assert_int_equal(count_all().releases, 1);
        assert_int_equal(reserved("alice"), 0);
        assert_int_equal(reserved("bob"), 0);
    }
    tkr_callback_release(limit);
}

/* Whatever the order of the members, of composites in composites too: the usage is in the lane first. */
static void test_what_is_held_is_released_after_what_all_members_count(void **state)
{
    tkr_callback *first = composite_of(limit_handler(), token_for("first"));
    tkr_callback *composite = composite_of(composite_of(limit_handler(), first), token_for("last"));
    tkr_callback_context context = context_of("alice", NULL, 300);
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    struct drained sum;

    (void)state;
    put("alice", 1000, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tkr_on_llm_start(composite, NULL, 0, &context), 0);
        assert_int_equal(reserved("alice"), 600); /* by each of two */
        assert_int_equal(i == 0 ? tkr_on_llm_end(composite, &response, &context) : tkr_on_llm_error(composite, &error, &context),
                         0);
        assert_int_equal(reserved("alice"), 600);
        sum = count_all();
        assert_int_equal(sum.frames, 2);
        assert_int_equal(sum.releases, 2);
        assert_int_equal(sum.frames_released, 2);
        assert_int_equal(reserved("alice"), 0);
    }
    tkr_callback_release(composite);
}

static void test_refusal_tells_the_figures_and_lets_the_others_run(void **state)
{
    tkr_callback *limit = limit_handler();
    tkr_callback *composite = composite_of(limit, token_for(NULL));
    tkr_callback_context context = context_of("alice", "bob", 300);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    tkr_limit refusal = TKR_LIMIT_INIT;
    struct drained sum;

    (void)state;
    put("alice", 1000, 100);
    put("bob", 300, 200);
    assert_int_equal(tkr_on_llm_start(composite, NULL, 0, &context), 0); /* nobody has failed */
    assert_int_equal(tkr_callback_refusal(&context, &refusal), 1);
    assert_int_equal(refusal.verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(refusal.limit, 300);
    assert_int_equal(refusal.used, 200);
    assert_int_equal(refusal.remaining, 100);
    assert_int_equal(reserved("alice"), 0);
    assert_int_equal(tkr_on_llm_error(composite, &error, &context), 0);
    assert_int_equal(tkr_callback_refusal(&context, NULL), 0);
    assert_true(drain_directory(fixture_dir, false, &sum));
    assert_int_equal(sum.counts.value[TKR_COUNTER_CALLS], 1);
    assert_int_equal(sum.counts.value[TKR_COUNTER_ERRORS], 1);
    assert_int_equal(sum.open_calls, 0);
    tkr_callback_release(composite);
}

static void test_estimate_of_the_prompt_is_held_where_no_reserve_is_told(void **state)
{
    const tkr_chat_message message = {.content = "0123456789abcdef0123", .content_len = 20};
    tkr_callback *composite = composite_of(limit_handler(), detailed_for(NULL));
    tkr_callback_context context = context_of("alice", NULL, 0);
    tkr_response response = TKR_RESPONSE_INIT;

    (void)state;
    put("alice", 10, 0);
    assert_int_equal(tkr_on_llm_start(composite, &message, 1, &context), 0);
    assert_int_equal(reserved("alice"), 5); /* once: token handlers hold nothing */
    assert_int_equal(tkr_on_llm_end(composite, &response, &context), 0);
    (void)count_all();
    assert_int_equal(reserved("alice"), 0);
    put("alice", 10, 10);
    assert_int_equal(tkr_on_llm_start(composite, NULL, 0, &context), 0);
    assert_int_equal(tkr_callback_refusal(&context, NULL), 1); /* nothing is left for even a token */
    assert_int_equal(tkr_on_llm_end(composite, &response, &context), 0);
    tkr_callback_release(composite);
}

static void test_unknown_account_holds_nothing(void **state)
{
    tkr_callback *limit = limit_handler();
    tkr_callback_context context = context_of("nobody", NULL, 300);
    tkr_response response = TKR_RESPONSE_INIT;

    (void)state;
    assert_int_equal(tkr_on_llm_start(limit, NULL, 0, &context), 0);
    assert_int_equal(tkr_callback_refusal(&context, NULL), 0);
    assert_int_equal(tkr_on_llm_end(limit, &response, &context), 0);
    tkr_callback_release(limit);
}

static void test_bad_arguments_are_refused(void **state)
{
    tkr_callback_options options = options_for(NULL);
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_limit refusal = {.size = 8};
    tkr_callback *callback = NULL;

    (void)state;
    assert_int_equal(tkr_limit_callback(NULL, &callback), TKR_EINVAL);
    assert_int_equal(tkr_limit_callback(&options, NULL), TKR_EINVAL);
    options.producer = NULL;
    assert_int_equal(tkr_limit_callback(&options, &callback), TKR_EINVAL);
    options = options_for("");
    assert_int_equal(tkr_limit_callback(&options, &callback), TKR_EACCOUNT);
    assert_int_equal(tkr_callback_refusal(NULL, NULL), TKR_EINVAL);
    assert_int_equal(tkr_callback_refusal(&context, &refusal), TKR_ESIZE);
}

#define LIMIT_TEST(name) cmocka_unit_test_setup_teardown(name, limit_setup, limit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LIMIT_TEST(test_call_holds_from_its_start_to_its_end),
        LIMIT_TEST(test_what_is_held_is_released_after_what_all_members_count),
        LIMIT_TEST(test_refusal_tells_the_figures_and_lets_the_others_run),
        LIMIT_TEST(test_estimate_of_the_prompt_is_held_where_no_reserve_is_told),
        LIMIT_TEST(test_unknown_account_holds_nothing),
        LIMIT_TEST(test_bad_arguments_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
