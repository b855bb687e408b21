/* SPDX-License-Identifier: Apache-2.0 */
/* Random charges in random batches, some of them lost, against a naive map; and the lists of what has changed. */
#include "support/random.h"
#include "unit/table/fixture.h"

#define ACCOUNTS 4500u
#define LABELS 2u /* of every third account */
#define KEYS (ACCOUNTS + ACCOUNTS / 3 * LABELS)
#define CHARGES 200000u

/* A key with what is committed of it and what the batch under way adds. */
struct key {
    uint64_t kind;
    uint32_t cycle;
    uint32_t id_len;
    uint32_t label_len; /* 0: an account */
    char id[TKR_ID_BYTES_MAX + TKR_ENTRY_LABEL_MAX];
    tkr_counts committed;
    tkr_counts pending;
    uint64_t life;
    bool exists;
};

struct model {
    struct key *key;
    struct test_random random;
    struct table table;
    uint64_t life_max;
};

static int set_up(void **state)
{
    struct model *model = calloc(1, sizeof(*model));

    if (model == NULL)
        return -1;
    model->key = calloc(KEYS, sizeof(*model->key));
    model->random = test_random_start();
    table_make(&model->table, KEYS);
    model->table.options.models_max = TKR_MODELS_MAX;
    table_reopen(&model->table);
    *state = model;
    return model->key != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct model *model = *state;

    table_remove(&model->table);
    free(model->key);
    free(model);
    return 0;
}

/* Number of the key of a label of an account. */
static uint32_t label_of(uint32_t account, uint32_t label)
{
    return ACCOUNTS + account / 3 * LABELS + label;
}

/* The key of an account, and behind its id a label of any length; the two labels of an account differ in the last byte. */
static void make_label(struct model *model, uint32_t i)
{
    uint32_t account = (i - ACCOUNTS) / LABELS * 3;
    struct key *key = &model->key[i];

    *key = model->key[account];
    key->label_len = 1 + account / 3 % TKR_ENTRY_LABEL_MAX;
    memset(key->id + key->id_len, 'm', key->label_len - 1);
    key->id[key->id_len + key->label_len - 1] = (char)('a' + i % LABELS);
}

/* Ids of all lengths; many share the id and differ in kind or cycle alone. */
static void make_keys(struct model *model)
{
    static const uint64_t kind[] = {TKR_KIND_USER, TKR_KIND_TEAM, TKR_KIND_KEY, TKR_KIND_ORGANISATION};

    for (uint32_t i = 0; i < ACCOUNTS; i++) {
        struct key *key = &model->key[i];
        uint32_t family = i / 12;
        key->kind = kind[i % 4];
        key->cycle = 20261101 + i / 4 % 3;
        key->id_len = 1 + family % TKR_ID_BYTES_MAX;
        for (uint32_t j = 0; j < key->id_len; j++)
            key->id[j] = (char)('a' + (family / TKR_ID_BYTES_MAX + j) % 23);
        if (key->id_len >= 3) /* one byte tells families of a length apart */
            key->id[key->id_len - 1] = (char)(0x80 + family / TKR_ID_BYTES_MAX);
        else
            key->id[0] = (char)(0x80 + family / TKR_ID_BYTES_MAX);
    }
    for (uint32_t i = ACCOUNTS; i < KEYS; i++)
        make_label(model, i);
}

static void assert_entry_is(struct model *model, struct key *key, const struct tkr_entry *entry)
{
    for (int c = 0; c < TKR_COUNTER_COUNT; c++)
        assert_int_equal(atomic_load(&entry->counts[c]), key->committed.value[c]);
    if (key->life == 0) {
        key->life = entry->life;
    } else {
        assert_int_equal(key->life, entry->life); /* for good */
    }
    if (entry->life > model->life_max)
        model->life_max = entry->life;
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = *(const struct key *const *)a;
    const struct key *y = *(const struct key *const *)b;

    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->cycle != y->cycle)
        return x->cycle < y->cycle ? -1 : 1;
    if (x->id_len != y->id_len)
        return x->id_len < y->id_len ? -1 : 1;
    if (x->label_len != y->label_len)
        return x->label_len < y->label_len ? -1 : 1;
    return memcmp(x->id, y->id, x->id_len + x->label_len);
}

/* Walks the arena: each entry is a key of the model, once, with its figures; no key is missing. */
static void assert_model(struct model *model)
{
    const struct tkr_shard *shard = model->table.shard;
    uint64_t used = atomic_load(&shard->header->law.arena_used);
    struct key **sorted = malloc(KEYS * sizeof(struct key *));
    uint32_t expected = 0;
    uint32_t found = 0;
    uint64_t life = 0;

    assert_non_null(sorted);
    for (uint32_t i = 0; i < KEYS; i++) {
        sorted[i] = &model->key[i];
        expected += model->key[i].exists;
    }
    qsort(sorted, KEYS, sizeof(struct key *), compare_keys);
    for (uint64_t at = 0; at < used;) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(shard->arena + at);
        struct key wanted = {.kind = entry->kind,
                             .cycle = tkr_entry_word_cycle(entry->cycle),
                             .id_len = entry->id_len,
                             .label_len = tkr_entry_word_label_len(entry->cycle)};
        const struct key *pointer = &wanted;
        struct key **match;
        memcpy(wanted.id, entry->id, wanted.id_len + wanted.label_len);
        match = bsearch(&pointer, sorted, KEYS, sizeof(struct key *), compare_keys);
        if (match == NULL) {
            fail_msg("an entry that nobody charged");
            abort(); /* for compilers that do not know that the test ends above */
        }
        assert_true((*match)->exists);
        assert_entry_is(model, *match, entry);
        assert_true(entry->life > life); /* in the order of their creation */
        life = entry->life;
        found++;
        at += tkr_entry_size(entry);
    }
    free(sorted);
    assert_int_equal(found, expected);
    assert_int_equal(table_accounts(&model->table), expected);
}

/* Adds what the charge says to the key, and makes it. */
static struct tkr_charge make_charge(struct key *key, const tkr_counts *counts, uint32_t event)
{
    for (int c = 0; c < TKR_COUNTER_COUNT; c++)
        key->pending.value[c] += counts->value[c];
    return (struct tkr_charge){.kind = key->kind,
                               .id = key->id,
                               .id_len = key->id_len,
                               .cycle = key->cycle,
                               .model = key->id + key->id_len,
                               .model_len = key->label_len,
                               .counts = counts,
                               .event = event};
}

/* One event of 1..4 accounts, and of models of some, into the model and into charge[]. Returns the charges. */
static uint32_t make_event(struct model *model, struct tkr_charge *charge, tkr_counts *counts, uint32_t event)
{
    uint32_t accounts = 1 + (uint32_t)test_random_below(&model->random, TKR_ACCOUNTS_MAX);
    uint32_t range = 1 + (uint32_t)test_random_below(&model->random, ACCOUNTS); /* low keys are hot */
    uint32_t count = 0;

    for (int c = 0; c < TKR_COUNTER_COUNT; c++)
        counts->value[c] = (int64_t)test_random_below(&model->random, 1000000);
    for (uint32_t i = 0; i < accounts; i++) {
        uint32_t account = (uint32_t)test_random_below(&model->random, range);
        uint32_t label = (uint32_t)test_random_below(&model->random, LABELS + 1);
        charge[count++] = make_charge(&model->key[account], counts, event);
        if (account % 3 == 0 && label < LABELS)
            charge[count++] = make_charge(&model->key[label_of(account, label)], counts, event);
    }
    return count;
}

static void end_batch(const struct tkr_charge *charge, uint32_t count, bool committed)
{
    for (uint32_t i = 0; i < count; i++) {
        struct key *key = (struct key *)(uintptr_t)(charge[i].id - offsetof(struct key, id));
        if (committed) {
            key->exists = true;
            for (int c = 0; c < TKR_COUNTER_COUNT; c++)
                key->committed.value[c] += key->pending.value[c];
        }
        key->pending = counts_of(0);
    }
}

static void test_random_charges_equal_a_naive_map(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;
    static struct tkr_charge charge[TKR_BATCH_CHARGES_MAX];
    static tkr_counts counts[TKR_BATCH_CHARGES_MAX];
    uint32_t done = 0;
    uint32_t batches = 0;

    make_keys(model);
    while (done < CHARGES) {
        uint32_t wanted = 1 + (uint32_t)test_random_below(&model->random, TKR_BATCH_CHARGES_MAX - 2 * TKR_ACCOUNTS_MAX);
        uint32_t count = 0;
        bool commit = test_random_below(&model->random, 10) != 0;
        assert_true(tkr_batch_begin(table->shard));
        for (uint32_t event = 0; count < wanted; event++)
            count += make_event(model, &charge[count], &counts[event], event);
        if (test_random_below(&model->random, 2) == 0) {
            tkr_batch_apply(table->shard, charge, count);
        } else { /* in two parts, cut between events */
            uint32_t half = count / 2;
            while (half < count && half > 0 && charge[half].event == charge[half - 1].event)
                half++;
            tkr_batch_apply(table->shard, charge, half);
            tkr_batch_apply(table->shard, charge + half, count - half);
        }
        if (commit)
            tkr_batch_commit(table->shard);
        end_batch(charge, count, commit);
        done += count;
        if (!commit || test_random_below(&model->random, 20) == 0) {
            table_reopen(table);
            assert_int_equal(table->shard->recovered, !commit);
        }
        if (++batches % 25 == 0)
            assert_model(model);
    }
    assert_model(model);
    assert_true(table_accounts(table) > KEYS / 2);
    assert_int_equal(atomic_load(&table->shard->header->law.overflow_charges), 0);
}

/* --- lists of what has changed --- */

#define USERS 300

static void id_of(int i, char ret_id[16])
{
    (void)snprintf(ret_id, 16, "user %d", i);
}

static uint32_t reference_of(const struct table *table, const struct tkr_entry *entry)
{
    return (uint32_t)((uint64_t)((const unsigned char *)entry - table->shard->arena) / TKR_ENTRY_UNIT) + 1;
}

static int times_listed(const struct table *table, const struct tkr_changed *list, const char *id)
{
    uint32_t reference = reference_of(table, table_entry(table, id));
    int times = 0;

    for (size_t i = 0; list != NULL && i < list->count; i++)
        times += list->reference[i] == reference;
    return times;
}

/* Every user changed since the last handover is listed exactly once, and nobody else. */
static void test_changed_entry_is_handed_over_once(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;
    char id[16];

    for (int round = 0; round < 30; round++) {
        bool changed[USERS] = {false};
        struct tkr_changed *list;
        size_t expected = 0;
        for (int batch = 0; batch < 3; batch++) {
            assert_true(tkr_batch_begin(table->shard));
            for (int i = 0; i < 50; i++) {
                int user = (int)test_random_below(&model->random, USERS);
                id_of(user, id);
                assert_true(table_add(table, id, 1));
                changed[user] = true;
            }
            tkr_batch_commit(table->shard);
        }
        list = table_handover(table);
        assert_non_null(list);
        for (int i = 0; i < USERS; i++) {
            id_of(i, id);
            expected += changed[i];
            if (changed[i])
                assert_int_equal(times_listed(table, list, id), 1);
        }
        assert_int_equal(list->count, expected);
        tkr_shard_changed_return(table->shard, list);
        assert_null(table_handover(table)); /* nothing since */
    }
}

/* The flusher asks twice, takes late, and keeps a list for a while: what changes meanwhile waits and is not lost. */
static void test_list_taken_late_loses_nothing(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;
    struct tkr_changed *first;
    struct tkr_changed *second;

    assert_true(table_charge(table, "a", 1));
    tkr_shard_changed_ask(table->shard);
    assert_false(tkr_shard_changed_answered(table->shard));
    tkr_shard_changed_answer(table->shard);
    assert_true(table_charge(table, "a", 1));
    assert_true(table_charge(table, "b", 1));
    tkr_shard_changed_ask(table->shard); /* asks again without having taken */
    tkr_shard_changed_answer(table->shard);
    assert_true(tkr_shard_changed_answered(table->shard));
    first = tkr_shard_changed_take(table->shard);
    assert_int_equal(times_listed(table, first, "a"), 1);
    assert_int_equal(times_listed(table, first, "b"), 0);
    assert_null(tkr_shard_changed_take(table->shard));
    assert_null(table_handover(table)); /* the only other list is out */
    assert_true(table_charge(table, "c", 1));
    tkr_shard_changed_return(table->shard, first);
    second = table_handover(table);
    assert_int_equal(times_listed(table, second, "a"), 1);
    assert_int_equal(times_listed(table, second, "b"), 1);
    assert_int_equal(times_listed(table, second, "c"), 1);
    assert_int_equal(second->count, 3);
    tkr_shard_changed_return(table->shard, second);
}

static void test_unasked_worker_hands_nothing_over(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;

    assert_true(table_charge(table, "a", 1));
    tkr_shard_changed_answer(table->shard);
    assert_null(tkr_shard_changed_take(table->shard));
}

/* A new collector does not know what the one before had queued: all that the sink may not have is listed. */
static void test_reopened_shard_lists_what_the_sink_does_not_know(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;
    tkr_counts known = counts_of(5);
    tkr_counts behind = counts_of(4);
    struct tkr_changed *list;

    for (int i = 0; i < 4; i++)
        assert_true(table_charge(table, i == 0 ? "flushed" : i == 1 ? "behind" : i == 2 ? "never" : "older life", 5));
    tkr_entry_known_set(table_find(table, "flushed"), table_entry(table, "flushed")->life, &known);
    tkr_entry_known_set(table_find(table, "behind"), table_entry(table, "behind")->life, &behind);
    tkr_entry_known_set(table_find(table, "older life"), table_entry(table, "older life")->life - 1, &known);
    table_reopen(table);
    list = table_handover(table);
    assert_int_equal(list->count, 3);
    assert_int_equal(times_listed(table, list, "flushed"), 0);
    assert_int_equal(times_listed(table, list, "behind"), 1);
    assert_int_equal(times_listed(table, list, "never"), 1);
    assert_int_equal(times_listed(table, list, "older life"), 1);
    tkr_shard_changed_return(table->shard, list);
    assert_true(table_charge(table, "flushed", 1));
    list = table_handover(table);
    assert_int_equal(times_listed(table, list, "flushed"), 1);
    assert_int_equal(list->count, 1);
    tkr_shard_changed_return(table->shard, list);
}

/* Put back by a recovery: the sink may have an older state, so it is listed; the lost batch's new entry is not. */
static void test_recovered_shard_lists_what_was_put_back(void **state)
{
    struct model *model = *state;
    struct table *table = &model->table;
    struct tkr_changed *list;

    assert_true(table_charge(table, "a", 5));
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "a", 1));
    assert_true(table_add(table, "lost", 1));
    table_reopen(table);
    list = table_handover(table);
    assert_int_equal(list->count, 1);
    assert_int_equal(times_listed(table, list, "a"), 1);
    tkr_shard_changed_return(table->shard, list);
    assert_true(table_charge(table, "a", 1)); /* its number is above that of all handovers until now */
    list = table_handover(table);
    assert_int_equal(times_listed(table, list, "a"), 1);
    tkr_shard_changed_return(table->shard, list);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_random_charges_equal_a_naive_map),
        T(test_changed_entry_is_handed_over_once),
        T(test_list_taken_late_loses_nothing),
        T(test_unasked_worker_hands_nothing_over),
        T(test_reopened_shard_lists_what_the_sink_does_not_know),
        T(test_recovered_shard_lists_what_was_put_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
