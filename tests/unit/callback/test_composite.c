/* SPDX-License-Identifier: Apache-2.0 */
/* Composites: isolation, order, nesting, who counts an account, members that come and go while calls are in flight. */
#include <pthread.h>
#include <stdatomic.h>

#include "support/light.h"
#include "unit/callback/fixture.h"

/* A handler that notes its calls in order. */
struct noted {
    char text[64];
    int answer;
    int destroyed;
    tkr_callback *self;
    tkr_callback *composite;
    void *state_at_start;
    void *state_at_end;
};

static struct noted notes[4];
static char order[256];

static int note_start(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct noted *noted = user;
    unsigned *state = tkr_callback_state(context, sizeof(*state));

    (void)messages;
    (void)count;
    assert_non_null(state);
    assert_int_equal(*state, 0);
    *state = 7;
    (void)snprintf(order + strlen(order), sizeof(order) - strlen(order), "s%s ", noted->text);
    return noted->answer;
}

static int note_end(void *user, const tkr_response *response, tkr_callback_context *context)
{
    struct noted *noted = user;
    const unsigned *state = tkr_callback_state(context, sizeof(*state));

    (void)response;
    assert_non_null(state);
    assert_int_equal(*state, 7); /* what the start left: of this call and this handler */
    (void)snprintf(order + strlen(order), sizeof(order) - strlen(order), "e%s ", noted->text);
    return noted->answer;
}

static int note_error(void *user, const tkr_call_error *error, tkr_callback_context *context)
{
    struct noted *noted = user;

    (void)context;
    (void)snprintf(order + strlen(order), sizeof(order) - strlen(order), "x%s%d ", noted->text, error->kind);
    return noted->answer;
}

static void note_destroy(void *user)
{
    ((struct noted *)user)->destroyed++;
}

static tkr_callback *noting(int i, int answer)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *callback = NULL;

    notes[i] = (struct noted){.text = {(char)('a' + i)}, .answer = answer};
    order[0] = '\0';
    functions.type = "noting";
    functions.on_llm_start = note_start;
    functions.on_llm_end = note_end;
    functions.on_llm_error = note_error;
    functions.destroy = note_destroy;
    assert_int_equal(tkr_custom_callback(&functions, &notes[i], producer, &callback), TKR_OK);
    return callback;
}

static void test_composite_runs_all_in_order_whatever_they_answer(void **state)
{
    tkr_callback *b = noting(1, -5);
    tkr_callback *composite = composite_of(noting(0, 0), b);
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);
    tkr_call_error error = TKR_CALL_ERROR_INIT;
    tkr_callback_context context = context_for("alice");

    (void)state;
    assert_int_equal(tkr_composite_add(composite, noting(2, 3), TKR_CALLBACK_OWN), TKR_OK);
    assert_int_equal(call_through(composite, &response), 4); /* two failed, each twice */
    assert_string_equal(order, "sa sb sc ea eb ec ");
    assert_int_equal(callback_stat(b).failed, 2);
    assert_int_equal(callback_stat(composite).failed, 0);
    order[0] = '\0';
    error.kind = TKR_ERROR_NETWORK;
    assert_int_equal(tkr_on_llm_start(composite, NULL, 0, &context), 2);
    assert_int_equal(tkr_on_llm_error(composite, &error, &context), 2);
    assert_string_equal(order, "sa sb sc xa5 xb5 xc5 ");
    tkr_callback_release(composite);
    assert_int_equal(notes[0].destroyed + notes[1].destroyed + notes[2].destroyed, 3);
}

static void test_composite_owns_or_borrows(void **state)
{
    tkr_callback *composite = composite_of(NULL, NULL);
    tkr_callback *owned = noting(0, 0);
    tkr_callback *borrowed = noting(1, 0);

    (void)state;
    assert_int_equal(tkr_composite_add(composite, owned, TKR_CALLBACK_OWN), TKR_OK);
    assert_int_equal(tkr_composite_add(composite, borrowed, TKR_CALLBACK_BORROW), TKR_OK);
    assert_int_equal(tkr_composite_add(composite, owned, TKR_CALLBACK_BORROW), TKR_EINVAL); /* twice */
    assert_int_equal(tkr_composite_add(composite, borrowed, 2), TKR_EINVAL);
    assert_int_equal(tkr_composite_remove(composite, owned), TKR_OK);
    assert_int_equal(notes[0].destroyed, 1);
    assert_int_equal(tkr_composite_remove(composite, borrowed), TKR_OK);
    assert_int_equal(tkr_composite_remove(composite, borrowed), TKR_EINVAL);
    assert_int_equal(notes[1].destroyed, 0);
    tkr_callback_release(borrowed);
    assert_int_equal(notes[1].destroyed, 1);
    tkr_callback_release(composite);
}

static void test_composite_takes_no_circles(void **state)
{
    tkr_callback *inner = composite_of(NULL, NULL);
    tkr_callback *outer = composite_of(inner, NULL);

    (void)state;
    assert_int_equal(tkr_composite_add(inner, inner, TKR_CALLBACK_BORROW), TKR_EINVAL);
    assert_int_equal(tkr_composite_add(inner, outer, TKR_CALLBACK_BORROW), TKR_EINVAL);
    assert_int_equal(tkr_composite_add(NULL, inner, TKR_CALLBACK_BORROW), TKR_EINVAL);
    assert_int_equal(tkr_composite_add(outer, NULL, TKR_CALLBACK_BORROW), TKR_EINVAL);
    tkr_callback_release(outer);
}

/* --- who counts --- */

static int64_t total_of(tkr_callback *composite)
{
    tkr_response response = response_of(100, 60, 40);
    struct drained before = found();

    assert_int_equal(call_through(composite, &response), 0);
    assert_int_equal(found().open_calls, 0);
    tkr_callback_release(composite);
    return found().counts.value[TKR_COUNTER_TOTAL] - before.counts.value[TKR_COUNTER_TOTAL];
}

static void test_composite_counts_an_account_once_and_the_detailed_wins(void **state)
{
    tkr_callback *twice = token_for("alice");
    tkr_callback *outer = composite_of(twice, NULL);

    (void)state;
    assert_int_equal(total_of(composite_of(token_for("alice"), detailed_for("alice"))), 100);
    assert_int_equal(total_of(composite_of(detailed_for("alice"), token_for("alice"))), 100);
    assert_int_equal(total_of(composite_of(detailed_for("alice"), detailed_for("alice"))), 100);
    assert_int_equal(total_of(composite_of(token_for("alice"), token_for("alice"))), 100);
    assert_int_equal(total_of(composite_of(token_for(NULL), detailed_for("alice"))), 100);  /* the context's is alice */
    assert_int_equal(total_of(composite_of(token_for("bob"), detailed_for("alice"))), 200); /* two accounts */
    assert_int_equal(total_of(composite_of(composite_of(token_for(NULL), NULL), detailed_for("alice"))), 100);
    assert_int_equal(total_of(composite_of(token_for(NULL), composite_of(detailed_for(NULL), NULL))), 100);
    assert_int_equal(tkr_composite_add(outer, composite_of(tkr_callback_hold(twice), NULL), TKR_CALLBACK_OWN), TKR_OK);
    assert_int_equal(total_of(outer), 100); /* the same handler in two places */
    assert_int_equal(found().counts.value[TKR_COUNTER_CALLS], 10);
}

/* The detailed handler charges one of the context's accounts, the token handler the other. */
static void test_composite_parts_the_accounts_of_a_call(void **state)
{
    tkr_callback *composite = composite_of(token_for(NULL), detailed_for("alice"));
    tkr_callback_context context = context_for("alice");
    tkr_response response = response_of(100, 60, 40);
    struct drained sum;

    (void)state;
    context.start.account[context.start.account_count++] = (tkr_account){.id = "crew", .len = 4, .kind = TKR_KIND_TEAM};
    assert_int_equal(tkr_on_llm_start(composite, NULL, 0, &context), 0);
    assert_int_equal(tkr_on_llm_end(composite, &response, &context), 0);
    sum = found();
    assert_int_equal(sum.frames, 2);
    assert_int_equal(sum.counts.value[TKR_COUNTER_TOTAL], 200);
    assert_int_equal(sum.counts.value[TKR_COUNTER_PROMPT], 60); /* of alice */
    assert_true(sum.mix == drain_mix("alice", 5, 60) + drain_mix("crew", 4, 0));
    tkr_callback_release(composite);
}

/* Another cycle is another entry: both are counted. */
static void test_composite_tells_cycles_apart(void **state)
{
    tkr_callback_options options = options_for("alice");
    tkr_callback *other;

    (void)state;
    options.cycle = "2030-01-01";
    assert_int_equal(tkr_token_callback(&options, &other), TKR_OK);
    assert_int_equal(total_of(composite_of(other, detailed_for("alice"))), 200);
}

static void test_composite_of_many_members_keeps_what_each_keeps(void **state)
{
    tkr_callback *composite = composite_of(NULL, NULL);

    (void)state;
    for (int i = 0; i < 40; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "user-%d", i);
        assert_int_equal(tkr_composite_add(composite, i % 2 ? token_for(id) : detailed_for(id), TKR_CALLBACK_OWN), TKR_OK);
    }
    assert_int_equal(total_of(composite), 4000);
}

/* --- members that come and go --- */

static int remove_self(void *user, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    struct noted *noted = user;

    (void)note_start(user, messages, count, context);
    return tkr_composite_remove(noted->composite, noted->self);
}

static void test_member_removes_itself_and_ends_what_it_began(void **state)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *composite = composite_of(NULL, NULL);
    tkr_callback *self = NULL;
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);

    (void)state;
    notes[0] = (struct noted){.text = "r", .composite = composite};
    order[0] = '\0';
    functions.type = "removing";
    functions.on_llm_start = remove_self;
    functions.on_llm_end = note_end;
    functions.destroy = note_destroy;
    assert_int_equal(tkr_custom_callback(&functions, &notes[0], producer, &self), TKR_OK);
    notes[0].self = self;
    assert_int_equal(tkr_composite_add(composite, self, TKR_CALLBACK_OWN), TKR_OK);
    assert_int_equal(call_through(composite, &response), 0);
    assert_int_equal(call_through(composite, &response), 0);
    assert_string_equal(order, "sr er ");
    assert_int_equal(notes[0].destroyed, 1);
    tkr_callback_release(composite);
}

static int reenter(void *user, const tkr_response *response, tkr_callback_context *context)
{
    tkr_response inner = response_of(11, TKR_ABSENT, TKR_ABSENT);

    (void)response;
    (void)context;
    return call_through(user, &inner); /* another call, by another handler, with another context */
}

static void test_member_may_call_the_api(void **state)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *token = token_for("bob");
    tkr_callback *self = NULL;

    (void)state;
    functions.type = "reentering";
    functions.on_llm_end = reenter;
    assert_int_equal(tkr_custom_callback(&functions, token, producer, &self), TKR_OK);
    assert_int_equal(total_of(composite_of(self, token_for("alice"))), 111);
    tkr_callback_release(token);
}

static void test_custom_types_are_named_and_functions_optional(void **state)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    static const char *const bad[] = {NULL, "", "Upper", "with blank", "a_name_of_more_than_thirty_one_b"};
    tkr_response response = response_of(1, TKR_ABSENT, TKR_ABSENT);
    tkr_callback *callback = NULL;

    (void)state;
    for (int i = 0; i < 5; i++) {
        functions.type = bad[i];
        assert_int_equal(tkr_custom_callback(&functions, NULL, NULL, &callback), TKR_ETEXT);
    }
    functions.type = "nothing";
    assert_int_equal(tkr_custom_callback(&functions, NULL, NULL, &callback), TKR_OK);
    assert_int_equal(call_through(callback, &response), 0);
    assert_string_equal(tkr_callback_type(callback), "nothing");
    tkr_callback_release(callback);
}

/* --- threads --- */

#define CALLERS 8
#define CHANGERS 2

static struct {
    tkr_callback *composite;
    tkr_callback *always;
    atomic_bool stop;
    _Atomic uint64_t calls;
    int per_thread;
} storm;

static void *storm_calls(void *arg)
{
    tkr_response response = response_of(TKR_ABSENT, 2, 3);

    (void)arg;
    for (int i = 0; i < storm.per_thread; i++) {
        (void)call_through(storm.composite, &response); /* some members fail */
        atomic_fetch_add(&storm.calls, 1);
    }
    return NULL;
}

static int fail_now(void *user, const tkr_response *response, tkr_callback_context *context)
{
    (void)user;
    (void)response;
    (void)context;
    return -1;
}

static tkr_callback *comer(int i)
{
    tkr_callback_functions functions = TKR_CALLBACK_FUNCTIONS_INIT;
    tkr_callback *callback = NULL;

    if (i % 3 == 0)
        return composite_of(token_for("alice"), NULL); /* whom the detailed handler counts already */
    functions.type = "failing";
    functions.on_llm_end = fail_now;
    assert_int_equal(tkr_custom_callback(&functions, NULL, producer, &callback), TKR_OK);
    return callback;
}

static void *storm_changes(void *arg)
{
    (void)arg;
    for (int i = 0; !atomic_load(&storm.stop); i++) {
        tkr_callback *member = comer(i);
        assert_int_equal(tkr_composite_add(storm.composite, member, i % 2 ? TKR_CALLBACK_OWN : TKR_CALLBACK_BORROW), TKR_OK);
        assert_int_equal(tkr_composite_remove(storm.composite, member), TKR_OK);
        if (i % 2 == 0)
            tkr_callback_release(member);
    }
    return NULL;
}

static void test_eight_threads_call_while_others_add_and_remove(void **state)
{
    pthread_t caller[CALLERS];
    pthread_t changer[CHANGERS];
    struct drained sum;
    uint64_t calls;

    (void)state;
    storm.per_thread = test_light(1000);
    storm.composite = composite_of(detailed_for("alice"), NULL);
    atomic_store(&storm.stop, false);
    atomic_store(&storm.calls, 0);
    for (int i = 0; i < CHANGERS; i++)
        assert_int_equal(pthread_create(&changer[i], NULL, storm_changes, NULL), 0);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&caller[i], NULL, storm_calls, NULL), 0);
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_join(caller[i], NULL), 0);
    atomic_store(&storm.stop, true);
    for (int i = 0; i < CHANGERS; i++)
        assert_int_equal(pthread_join(changer[i], NULL), 0);
    calls = atomic_load(&storm.calls);
    assert_int_equal(callback_stat(storm.composite).started, calls);
    assert_int_equal(callback_stat(storm.composite).ended, calls);
    sum = found();
    assert_int_equal(sum.open_calls, 0);
    assert_int_equal(sum.counts.value[TKR_COUNTER_CALLS] + (int64_t)sum.dropped[TKR_DROP_LANES_FULL], (int64_t)calls);
    assert_int_equal(sum.counts.value[TKR_COUNTER_TOTAL], 5 * sum.counts.value[TKR_COUNTER_CALLS]);
    tkr_callback_release(storm.composite);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLBACK_TEST(test_composite_runs_all_in_order_whatever_they_answer),
        CALLBACK_TEST(test_composite_owns_or_borrows),
        CALLBACK_TEST(test_composite_takes_no_circles),
        CALLBACK_TEST(test_composite_counts_an_account_once_and_the_detailed_wins),
        CALLBACK_TEST(test_composite_parts_the_accounts_of_a_call),
        CALLBACK_TEST(test_composite_tells_cycles_apart),
        CALLBACK_TEST(test_composite_of_many_members_keeps_what_each_keeps),
        CALLBACK_TEST(test_member_removes_itself_and_ends_what_it_began),
        CALLBACK_TEST(test_member_may_call_the_api),
        CALLBACK_TEST(test_custom_types_are_named_and_functions_optional),
        CALLBACK_TEST(test_eight_threads_call_while_others_add_and_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
