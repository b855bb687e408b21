/* SPDX-License-Identifier: Apache-2.0 */
/* What calls of each model come to, by workers of their own, and what cannot have a row. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/meter.h"
#include "support/test.h"

#define WORKERS 3u

struct fixture {
    struct tkr_meter_names names;
    struct tkr_meter *meter[WORKERS];
    struct tkr_drain *drain;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    bool made = f != NULL;

    if (!made)
        return -1;
    tkr_meter_names_open(&f->names);
    for (uint32_t i = 0; i < WORKERS; i++) {
        f->meter[i] = tkr_meter_open(&f->names);
        made &= f->meter[i] != NULL;
    }
    f->drain = aligned_alloc(64, sizeof(*f->drain));
    if (!made || f->drain == NULL)
        return -1;
    memset(f->drain, 0, sizeof(*f->drain));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < WORKERS; i++)
        tkr_meter_close(f->meter[i]);
    tkr_meter_names_close(&f->names);
    free(f->drain);
    free(f);
    return 0;
}

static struct tkr_drain_call *add(struct tkr_drain *drain, const char *provider, const char *model, int64_t tokens)
{
    struct tkr_drain_call *call = &drain->call[drain->events];

    *call = (struct tkr_drain_call){.provider = provider,
                                    .provider_len = (uint32_t)strlen(provider),
                                    .model = model,
                                    .model_len = (uint32_t)strlen(model),
                                    .present = 1u << TKR_COUNTER_TOTAL,
                                    .is_call = true};
    memset(&drain->counts[drain->events], 0, sizeof(drain->counts[0]));
    drain->counts[drain->events].value[TKR_COUNTER_TOTAL] = tokens;
    drain->events++;
    return call;
}

/* Number of a name; 0: it has none. */
static uint32_t number_of(const struct fixture *f, const char *provider, const char *model)
{
    for (uint32_t i = 1; i < atomic_load(&f->names.count); i++) {
        const struct tkr_meter_name *name = &f->names.name[i];
        if (name->provider_len == strlen(provider) && memcmp(name->provider, provider, name->provider_len) == 0 &&
            name->model_len == strlen(model) && memcmp(name->model, model, name->model_len) == 0)
            return i;
    }
    return 0;
}

static uint64_t calls_of(const struct fixture *f, uint32_t number)
{
    uint64_t calls = 0;

    for (uint32_t i = 0; i < WORKERS; i++)
        calls += atomic_load(&f->meter[i]->row[number].calls);
    return calls;
}

static void test_calls_are_counted_by_provider_and_model(void **state)
{
    struct fixture *f = *state;
    struct tkr_drain_call *call;
    const struct tkr_meter_row *row;
    uint32_t number;

    call = add(f->drain, "openai", "gpt-4o", 100);
    call->duration_us = 2500000; /* at a bound, and in its bucket */
    call->first_token_us = 1;
    call = add(f->drain, "openai", "gpt-4o", 50);
    call->error = TKR_ERROR_TIMEOUT;
    call->duration_us = 2500001;
    add(f->drain, "openai", "gpt-4o", 7)->is_call = false; /* an increment */
    add(f->drain, "openai", "gpt-4o", 9)->refused = true;
    add(f->drain, "azure", "gpt-4o", 1)->error = 200; /* of a later version */
    add(f->drain, "", "", 3);
    tkr_meter_count(f->meter[0], f->drain);
    number = number_of(f, "openai", "gpt-4o");
    assert_int_not_equal(number, 0);
    row = &f->meter[0]->row[number];
    assert_int_equal(atomic_load(&row->calls), 2);
    assert_int_equal(atomic_load(&row->errors[TKR_ERROR_TIMEOUT]), 1);
    assert_int_equal(atomic_load(&row->tokens[TKR_COUNTER_TOTAL]), 157);
    assert_int_equal(atomic_load(&row->duration.in[7]), 1);
    assert_int_equal(atomic_load(&row->duration.in[8]), 1);
    assert_int_equal(atomic_load(&row->duration.sum), 5000001);
    assert_int_equal(atomic_load(&row->first_token.in[0]), 1);
    assert_int_equal(atomic_load(&f->meter[0]->row[number_of(f, "azure", "gpt-4o")].errors[TKR_ERROR_OTHER]), 1);
    assert_int_equal(atomic_load(&f->meter[0]->row[number_of(f, "", "")].calls), 1);
    tkr_meter_count(NULL, f->drain); /* nobody wants it */
}

static void test_what_cannot_be_a_label_is_other(void **state)
{
    struct fixture *f = *state;

    add(f->drain, "other", "other", 1);
    add(f->drain, "openai", "broken \xff", 1);
    add(f->drain, "\xc3", "gpt-4o", 1);
    add(f->drain, "other", "gpt-4o", 1); /* this one can */
    tkr_meter_count(f->meter[0], f->drain);
    assert_int_equal(calls_of(f, 0), 3);
    assert_int_equal(calls_of(f, number_of(f, "other", "gpt-4o")), 1);
    assert_int_equal(atomic_load(&f->names.count), 2);
}

static void test_names_beyond_the_last_are_other_and_known_ones_stay(void **state)
{
    struct fixture *f = *state;
    char model[2 * TKR_METER_NAMES_MAX][16];

    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 2 * TKR_METER_NAMES_MAX; i++) {
            (void)snprintf(model[i], sizeof(model[i]), "model-%u", i);
            f->drain->events = 0;
            add(f->drain, "p", model[i], 1);
            tkr_meter_count(f->meter[round], f->drain);
        }
    }
    assert_int_equal(atomic_load(&f->names.count), TKR_METER_NAMES_MAX);
    assert_int_equal(calls_of(f, 0), 2 * (2 * TKR_METER_NAMES_MAX - (TKR_METER_NAMES_MAX - 1)));
    assert_int_equal(calls_of(f, number_of(f, "p", "model-0")), 2);
    assert_int_equal(calls_of(f, number_of(f, "p", "model-126")), 2);
    assert_int_equal(number_of(f, "p", "model-127"), 0);
}

/* --- many workers --- */

struct work {
    struct tkr_meter *meter;
    uint32_t seed;
};

#define BATCHES 2000u
#define MODELS 40u

static void *count_on(void *argument)
{
    const struct work *work = argument;
    struct tkr_drain *drain = aligned_alloc(64, sizeof(*drain));
    char model[MODELS][16];

    if (drain == NULL)
        return NULL;
    memset(drain, 0, sizeof(*drain));
    for (uint32_t i = 0; i < MODELS; i++)
        (void)snprintf(model[i], sizeof(model[i]), "model-%u", i);
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        drain->events = 0;
        for (uint32_t i = 0; i < 8; i++)
            add(drain, "p", model[(batch * 7 + i * work->seed) % MODELS], 1);
        tkr_meter_count(work->meter, drain);
    }
    free(drain);
    return NULL;
}

static void test_workers_agree_on_names_while_others_read(void **state)
{
    struct fixture *f = *state;
    struct work work[WORKERS];
    pthread_t thread[WORKERS];
    uint64_t calls = 0;
    uint64_t before = 0;

    for (uint32_t i = 0; i < WORKERS; i++) {
        work[i] = (struct work){f->meter[i], i + 1};
        assert_int_equal(pthread_create(&thread[i], NULL, count_on, &work[i]), 0);
    }
    while (calls < WORKERS * BATCHES * 8) {
        uint32_t names = atomic_load_explicit(&f->names.count, memory_order_acquire);
        calls = 0;
        for (uint32_t i = 0; i < names; i++) {
            assert_true(i == 0 || f->names.name[i].provider_len == 1);
            calls += calls_of(f, i);
        }
        assert_true(calls >= before);
        before = calls;
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(atomic_load(&f->names.count), MODELS + 1);
    assert_int_equal(calls_of(f, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_are_counted_by_provider_and_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_a_label_is_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_beyond_the_last_are_other_and_known_ones_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_workers_agree_on_names_while_others_read, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
