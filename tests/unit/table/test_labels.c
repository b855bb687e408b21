/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of models beside those of their accounts: how many there may be, where the rest goes, and in which order they go. */
#include "table/reader.h"
#include "unit/table/fixture.h"

#define MODELS 4u

static int set_up(void **state)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return -1;
    table_make(table, 1000);
    table->options.models_max = MODELS;
    table_reopen(table);
    *state = table;
    return 0;
}

static struct tkr_charge of_model(const char *id, const char *model, const tkr_counts *counts)
{
    struct tkr_charge charge = charge_of(id, counts, 0);

    charge.model = model;
    charge.model_len = (uint32_t)strlen(model);
    return charge;
}

/* One event of a user and a model, within a batch. true: counted. */
static bool add_model(struct table *table, const char *id, const char *model, int64_t n)
{
    tkr_counts counts = counts_of(n);
    struct tkr_charge charge[2] = {charge_of(id, &counts, 0), of_model(id, model, &counts)};

    tkr_batch_apply(table->shard, charge, 2);
    assert_int_equal(charge[0].refused, charge[1].refused);
    return !charge[0].refused;
}

static bool charge_model(struct table *table, const char *id, const char *model, int64_t n)
{
    bool counted;

    assert_true(tkr_batch_begin(table->shard));
    counted = add_model(table, id, model, n);
    tkr_batch_commit(table->shard);
    return counted;
}

/* -1: no entry. */
static int64_t model_value(const struct table *table, const char *id, const char *model)
{
    const struct tkr_entry *entry = table_find_model(table, id, model);

    return entry != NULL ? atomic_load(&entry->counts[TKR_COUNTER_COUNT - 1]) : -1;
}

static void charge_models(struct table *table, const char *id, int from, int to)
{
    for (int i = from; i < to; i++) {
        char model[16];
        (void)snprintf(model, sizeof(model), "model-%d", i);
        assert_true(charge_model(table, id, model, 1));
    }
}

/* As the flusher asks for, of an entry that the sink has. Is it done? */
static bool forget(struct table *table, struct tkr_entry *entry)
{
    struct tkr_shard *shard = table->shard;
    struct tkr_changed *changed = table_handover(table);
    tkr_counts counts;
    bool done;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counts.value[i] = entry->counts[i];
    tkr_entry_known_set(entry, entry->life, &counts);
    if (changed != NULL)
        tkr_shard_changed_return(shard, changed);
    shard->request[0] =
        (struct tkr_request){.kind = TKR_REQUEST_FORGET,
                             .reference = (uint32_t)(((unsigned char *)entry - shard->arena) / TKR_ENTRY_UNIT) + 1,
                             .life = entry->life,
                             .stamp_max = shard->batch};
    shard->request_count = 1;
    assert_null(table_handover(table));
    done = shard->request[0].done;
    shard->request_count = 0;
    return done;
}

static void test_models_count_parts_beside_the_account(void **state)
{
    struct table *table = *state;

    assert_true(charge_model(table, "alice", "gpt-4o", 5));
    assert_true(charge_model(table, "alice", "openai/o3", 7));
    assert_true(table_charge(table, "alice", 1));
    assert_true(charge_model(table, "bob", "gpt-4o", 2));
    assert_int_equal(table_value(table, "alice"), 13);
    assert_int_equal(model_value(table, "alice", "gpt-4o"), 5);
    assert_int_equal(model_value(table, "alice", "openai/o3"), 7);
    assert_int_equal(model_value(table, "bob", "gpt-4o"), 2);
    assert_int_equal(table_accounts(table), 5);
    table_reopen(table);
    assert_true(charge_model(table, "alice", "gpt-4o", 5));
    assert_int_equal(model_value(table, "alice", "gpt-4o"), 10);
    assert_int_equal(table_accounts(table), 5);
}

/* The same bytes, parted otherwise, are another key. */
static void test_id_and_model_are_told_apart(void **state)
{
    struct table *table = *state;

    assert_true(charge_model(table, "ab", "c", 1));
    assert_true(charge_model(table, "a", "bc", 2));
    assert_true(table_charge(table, "abc", 3));
    assert_int_equal(table_value(table, "ab"), 1);
    assert_int_equal(table_value(table, "a"), 2);
    assert_int_equal(table_value(table, "abc"), 3);
    assert_int_equal(model_value(table, "ab", "c"), 1);
    assert_int_equal(model_value(table, "a", "bc"), 2);
}

static void test_model_beyond_the_maximum_goes_to_other(void **state)
{
    struct table *table = *state;

    charge_models(table, "alice", 0, 7);
    charge_models(table, "bob", 2, 4);
    for (int i = 0; i < 7; i++) {
        char model[16];
        (void)snprintf(model, sizeof(model), "model-%d", i);
        assert_int_equal(model_value(table, "alice", model), i < (int)MODELS ? 1 : -1);
    }
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 3);
    assert_int_equal(model_value(table, "bob", TKR_LABEL_OTHER), -1);
    assert_int_equal(table_value(table, "alice"), 7);
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 0);
}

static void test_other_told_first_takes_no_place(void **state)
{
    struct table *table = *state;

    assert_true(charge_model(table, "alice", TKR_LABEL_OTHER, 5));
    charge_models(table, "alice", 0, (int)MODELS);
    assert_int_equal(model_value(table, "alice", "model-3"), 1);
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 5);
    charge_models(table, "alice", (int)MODELS, 6);
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 7);
}

/* A batch that is lost takes the models back that it brought. */
static void test_models_are_counted_again_after_a_recovery(void **state)
{
    struct table *table = *state;

    charge_models(table, "alice", 0, 2);
    assert_true(charge_model(table, "alice", TKR_LABEL_OTHER, 1));
    assert_true(tkr_batch_begin(table->shard));
    assert_true(add_model(table, "alice", "lost-1", 1));
    assert_true(add_model(table, "alice", "lost-2", 1));
    assert_true(add_model(table, "alice", "lost-3", 1));
    table_reopen(table);
    assert_true(table->shard->recovered);
    charge_models(table, "alice", 2, 5);
    assert_int_equal(model_value(table, "alice", "model-3"), 1);
    assert_int_equal(model_value(table, "alice", "model-4"), -1);
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 2);
    assert_int_equal(table_value(table, "alice"), 6);
}

/* What is there goes on, whatever may come new. */
static void test_smaller_maximum_keeps_the_models_that_are_there(void **state)
{
    struct table *table = *state;

    charge_models(table, "alice", 0, 3);
    table->options.models_max = 1;
    table_reopen(table);
    charge_models(table, "alice", 0, 4);
    charge_models(table, "bob", 0, 2);
    assert_int_equal(model_value(table, "alice", "model-2"), 2);
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 1);
    assert_int_equal(model_value(table, "bob", "model-0"), 1);
    assert_int_equal(model_value(table, "bob", TKR_LABEL_OTHER), 1);
}

static void fill_table(struct table *table, int accounts)
{
    assert_true(tkr_batch_begin(table->shard));
    for (int i = 0; i < accounts; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "user-%d", i);
        assert_true(table_add(table, id, 1));
    }
    tkr_batch_commit(table->shard);
}

static void test_full_table_charges_models_to_other_of_overflow(void **state)
{
    struct table *table = *state;

    fill_table(table, 998);
    assert_true(charge_model(table, "alice", "first", 1)); /* takes the last two places */
    assert_true(charge_model(table, "alice", "first", 1));
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 0);
    assert_true(charge_model(table, "alice", "second", 1));
    assert_int_equal(model_value(table, "alice", "first"), 2);
    assert_int_equal(model_value(table, TKR_OVERFLOW_ID, TKR_LABEL_OTHER), 1);
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), -1);
    assert_true(charge_model(table, "stranger", "third", 4));
    assert_int_equal(table_value(table, TKR_OVERFLOW_ID), 4);
    assert_int_equal(model_value(table, TKR_OVERFLOW_ID, TKR_LABEL_OTHER), 5);
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 3);
    table_reopen(table);
    assert_true(charge_model(table, "stranger", "fourth", 1));
    assert_int_equal(model_value(table, TKR_OVERFLOW_ID, TKR_LABEL_OTHER), 6);
    assert_int_equal(table_accounts(table), 1002);
}

static void test_model_at_its_end_refuses_the_event_for_all(void **state)
{
    struct table *table = *state;
    tkr_counts few = counts_of(1);
    tkr_counts many = counts_of(INT64_MAX - 1);
    struct tkr_charge charge[2] = {charge_of("alice", &few, 0), of_model("alice", "m", &many)};

    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, charge, 2);
    tkr_batch_commit(table->shard);
    assert_false(charge[0].refused);
    assert_false(charge_model(table, "alice", "m", 2));
    assert_int_equal(table_value(table, "alice"), 1);
    assert_true(charge_model(table, "alice", "n", 2));
    assert_int_equal(table_value(table, "alice"), 3);
}

static void test_account_is_forgotten_after_its_models(void **state)
{
    struct table *table = *state;

    charge_models(table, "alice", 0, 6); /* and `other` */
    assert_false(forget(table, table_find(table, "alice")));
    assert_true(forget(table, table_find_model(table, "alice", "model-0")));
    assert_true(forget(table, table_find_model(table, "alice", TKR_LABEL_OTHER)));
    assert_false(forget(table, table_find(table, "alice")));
    charge_models(table, "alice", 7, 9); /* there is room for one again */
    assert_int_equal(model_value(table, "alice", "model-7"), 1);
    assert_int_equal(model_value(table, "alice", TKR_LABEL_OTHER), 1);
    table_reopen(table);
    assert_false(forget(table, table_find(table, "alice")));
    assert_true(forget(table, table_find_model(table, "alice", "model-1")));
    assert_true(forget(table, table_find_model(table, "alice", "model-2")));
    assert_true(forget(table, table_find_model(table, "alice", "model-3")));
    assert_true(forget(table, table_find_model(table, "alice", "model-7")));
    assert_false(forget(table, table_find(table, "alice")));
    assert_true(forget(table, table_find_model(table, "alice", TKR_LABEL_OTHER)));
    assert_true(forget(table, table_find(table, "alice")));
    assert_int_equal(table_accounts(table), 0);
}

static struct tkr_reader *reader_of(const struct table *table)
{
    struct tkr_reader *reader = NULL;
    tkr_message message = {""};

    if (tkr_reader_open(table->directory, 0, &reader, &message) != 1)
        fail_msg("%s", message.text);
    return reader;
}

/* Id and label of the next one have other lengths, and as many units: a reader on its way still finds the end of each. */
static void test_memory_of_a_model_is_used_again(void **state)
{
    struct table *table = *state;
    struct tkr_entry_copy copy;
    struct tkr_reader *reader;
    uint64_t used;

    assert_true(charge_model(table, "an account with a long name", "m", 1));
    assert_true(charge_model(table, "zoe", "n", 1));
    reader = reader_of(table);
    assert_true(tkr_reader_next(reader, &copy));
    used = atomic_load(&table->shard->header->law.arena_used);
    assert_true(forget(table, table_find_model(table, "an account with a long name", "m")));
    assert_true(charge_model(table, "zoe", "another model with a long na", 1));
    assert_int_equal(atomic_load(&table->shard->header->law.arena_used), used);
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, "zoe");
    assert_string_equal(copy.model, "another model with a long na");
    assert_true(tkr_reader_next(reader, &copy));
    assert_int_equal(copy.model_len, 0);
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.model, "n");
    assert_false(tkr_reader_next(reader, &copy));
    tkr_reader_close(reader);
}

static void test_longest_id_and_model_are_read_back(void **state)
{
    struct table *table = *state;
    char id[TKR_ENTRY_ID_MAX + 1];
    char model[TKR_ENTRY_LABEL_MAX + 1];
    struct tkr_entry_copy copy;
    struct tkr_reader *reader;

    memset(id, 'i', TKR_ENTRY_ID_MAX);
    memset(model, 'm', TKR_ENTRY_LABEL_MAX);
    id[TKR_ENTRY_ID_MAX] = model[TKR_ENTRY_LABEL_MAX] = '\0';
    assert_true(charge_model(table, id, model, 9));
    assert_int_equal(tkr_entry_size(table_find_model(table, id, model)), TKR_ENTRY_UNITS_MAX * TKR_ENTRY_UNIT);
    table_reopen(table);
    reader = reader_of(table);
    assert_true(tkr_reader_next(reader, &copy));
    assert_int_equal(copy.model_len, 0);
    assert_string_equal(copy.id, id);
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, id);
    assert_string_equal(copy.model, model);
    assert_int_equal(copy.cycle, CYCLE);
    assert_int_equal(copy.counts.value[0], 9);
    assert_false(tkr_reader_next(reader, &copy));
    tkr_reader_close(reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, table_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_models_count_parts_beside_the_account),
        T(test_id_and_model_are_told_apart),
        T(test_model_beyond_the_maximum_goes_to_other),
        T(test_other_told_first_takes_no_place),
        T(test_models_are_counted_again_after_a_recovery),
        T(test_smaller_maximum_keeps_the_models_that_are_there),
        T(test_full_table_charges_models_to_other_of_overflow),
        T(test_model_at_its_end_refuses_the_event_for_all),
        T(test_account_is_forgotten_after_its_models),
        T(test_memory_of_a_model_is_used_again),
        T(test_longest_id_and_model_are_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
