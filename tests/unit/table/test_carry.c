/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carrying over: shards with fewer counters, fewer cursors or a smaller log are taken over whole. Files of an older layout are
 * made here from one of this layout, by leaving counters out of its entries.
 */
#include "table/carry.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "support/random.h"
#include "table/file.h"
#include "unit/table/fixture.h"

#define COUNTERS 9u /* of the older layout */
#define OLDER_ID (8 * (5 + 2 * (uint64_t)COUNTERS))
#define LIFE_AT (8 * (1 + (uint64_t)COUNTERS))
#define KNOWN_AT (LIFE_AT + 24)

static int set_up(void **state)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return -1;
    table_make(table, 1000);
    *state = table;
    return 0;
}

static int tear_down(void **state)
{
    table_remove(*state);
    free(*state);
    return 0;
}

static void *map_file(const struct table *table, size_t *ret_bytes)
{
    struct stat status;
    int fd = openat(table->directory, "shard-0", O_RDWR | O_CLOEXEC);
    void *base;

    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(base != MAP_FAILED);
    (void)close(fd);
    *ret_bytes = (size_t)status.st_size;
    return base;
}

static uint32_t text_len(const struct tkr_entry *entry)
{
    return entry->id_len + tkr_entry_word_label_len(entry->cycle);
}

static uint64_t narrow_bytes(uint32_t len)
{
    return (OLDER_ID + len + TKR_ENTRY_UNIT - 1) / TKR_ENTRY_UNIT * TKR_ENTRY_UNIT;
}

/* An entry without its last counters. */
static void narrow_entry(const struct tkr_entry *entry, unsigned char *to)
{
    const unsigned char *from = (const unsigned char *)entry;

    memcpy(to, from, LIFE_AT);
    memcpy(to + LIFE_AT, &entry->life, 24);
    memcpy(to + KNOWN_AT, &entry->known_life, 8 + 8 * COUNTERS);
    memcpy(to + OLDER_ID, entry->id, text_len(entry));
}

/* Makes the closed shard one of COUNTERS counters. Each is as long as before or shorter, so it can be done in place. */
static void narrow(const struct table *table)
{
    size_t bytes;
    struct tkr_shard_header *header = map_file(table, &bytes);
    unsigned char *arena = (unsigned char *)header + header->arena_offset;
    uint64_t used = 0;
    uint64_t recheck[2] = {0, 0};

    for (uint64_t at = 0; at < header->law.arena_used;) {
        unsigned char copy[1024] = {0};
        const struct tkr_entry *entry = (const struct tkr_entry *)(arena + at);
        uint64_t length = tkr_entry_size(entry);
        uint64_t shorter = narrow_bytes(text_len(entry));
        narrow_entry(entry, copy);
        for (int i = 0; i < 2; i++)
            recheck[i] += at < (i == 0 ? header->recheck_at : header->recheck_end) ? shorter : 0;
        memcpy(arena + used, copy, shorter);
        used += shorter;
        at += length;
    }
    header->law.arena_used = used;
    header->arena_committed = used;
    header->recheck_at = recheck[0];
    header->recheck_end = recheck[1];
    header->counters = COUNTERS;
    (void)munmap(header, bytes);
}

/* Adds n to the counters that the older layout has. */
static void charge(struct table *table, const char *id, uint32_t id_len, int64_t n)
{
    tkr_counts counts = {{0}};
    struct tkr_charge one = {.kind = TKR_KIND_TEAM, .id = id, .id_len = id_len, .cycle = CYCLE, .counts = &counts};

    for (uint32_t i = 0; i < COUNTERS; i++)
        counts.value[i] = n + i;
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, &one, 1);
    assert_false(one.refused);
    tkr_batch_commit(table->shard);
}

/* The sink has all of an entry. */
static void acknowledge(struct tkr_entry *entry)
{
    tkr_counts counts;

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        counts.value[i] = entry->counts[i];
    tkr_entry_known_set(entry, entry->life, &counts);
}

static void hand_over(struct table *table)
{
    struct tkr_changed *changed = table_handover(table);

    if (changed != NULL)
        tkr_shard_changed_return(table->shard, changed);
}

/* Gives an entry up, as the flusher asks for. */
static void forget(struct table *table, struct tkr_entry *entry)
{
    struct tkr_shard *shard = table->shard;

    acknowledge(entry);
    hand_over(table);
    shard->request[0] =
        (struct tkr_request){.kind = TKR_REQUEST_FORGET,
                             .reference = (uint32_t)(((unsigned char *)entry - shard->arena) / TKR_ENTRY_UNIT) + 1,
                             .life = entry->life,
                             .stamp_max = shard->batch};
    shard->request_count = 1;
    hand_over(table);
    assert_true(shard->request[0].done);
    shard->request_count = 0;
}

static void make_id(uint32_t i, char ret_id[TKR_ENTRY_ID_MAX + 1], uint32_t *ret_len)
{
    *ret_len = 1 + i * 37 % TKR_ENTRY_ID_MAX; /* of all sizes */
    for (uint32_t at = 0; at < *ret_len; at++)
        ret_id[at] = (char)('a' + (i + at) % 26);
    if (*ret_len >= 4)
        (void)snprintf(ret_id, 5, "%04u", i);
    if (*ret_len >= 5)
        ret_id[4] = '-';
}

#define MANY 300u

static struct tkr_entry *entry_of(const struct table *table, uint32_t i)
{
    char id[TKR_ENTRY_ID_MAX + 1];
    uint32_t len;

    make_id(i, id, &len);
    return table_find_key(table, TKR_KIND_TEAM, id, len, CYCLE);
}

/* What one looks like that must be the same before and after; references are not. */
struct picture {
    bool there;
    uint64_t life;
    uint64_t stamp;
    uint64_t known_life;
    int64_t counts[TKR_COUNTER_COUNT];
    int64_t known[TKR_COUNTER_COUNT];
};

static struct picture picture_of(const struct table *table, uint32_t i)
{
    const struct tkr_entry *entry = entry_of(table, i);
    struct picture picture;

    memset(&picture, 0, sizeof(picture));
    if (entry == NULL || entry->life == 0)
        return picture;
    picture.there = true;
    picture.life = entry->life;
    picture.stamp = entry->stamp;
    picture.known_life = entry->known_life;
    memcpy(picture.counts, (const void *)entry->counts, sizeof(picture.counts));
    memcpy(picture.known, (const void *)entry->known, sizeof(picture.known));
    return picture;
}

/* Accounts of ids of all lengths; some acknowledged, wholly or in part, some forgotten. */
static void fill(struct table *table)
{
    for (uint32_t i = 0; i < MANY; i++) {
        char id[TKR_ENTRY_ID_MAX + 1];
        uint32_t len;
        make_id(i, id, &len);
        if (len < 5)
            continue; /* not unique */
        charge(table, id, len, (int64_t)i);
        if (i % 3 == 0)
            acknowledge(entry_of(table, i));
        if (i % 6 == 0)
            charge(table, id, len, 1000000);
    }
    for (uint32_t i = 1; i < MANY; i += 4) {
        if (entry_of(table, i) != NULL)
            forget(table, entry_of(table, i));
    }
}

/* Numbers that are a shard's besides its entries. */
static void mark(struct tkr_shard *shard)
{
    struct tkr_law *law;

    assert_non_null(tkr_shard_cursor_unused(shard));
    assert_true(tkr_batch_begin(shard));
    law = tkr_batch_law(shard);
    tkr_batch_add(&law->gone_offered, 17);
    tkr_batch_add(&law->gone_counted, 16);
    tkr_batch_add(&law->gone_dropped[TKR_DROP_CORRUPT], 1);
    tkr_batch_touch(shard, &shard->cursor[0], TKR_CURSOR_HEAD_BYTES);
    tkr_batch_set(&shard->cursor[0].state, TKR_CURSOR_ACTIVE);
    tkr_batch_set(&shard->cursor[0].id[1], 77);
    tkr_batch_touch(shard, &shard->cursor[0].lane[200], sizeof(shard->cursor[0].lane[0]));
    tkr_batch_set(&shard->cursor[0].lane[200].position, 4096);
    tkr_batch_commit(shard);
    shard->header->seen = 12345;
    shard->header->marks = 2;
    shard->header->mark_boot_s[1] = 99;
    shard->header->mark_batch[1] = 3;
}

static void assert_marked(const struct tkr_shard *shard)
{
    const struct tkr_law *law = &shard->header->law;

    assert_int_equal(law->gone_offered, 17);
    assert_int_equal(law->gone_counted, 16);
    assert_int_equal(law->gone_dropped[TKR_DROP_CORRUPT], 1);
    assert_int_equal(tkr_shard_cursor_count(shard), 1);
    assert_int_equal(shard->cursor[0].state, TKR_CURSOR_ACTIVE);
    assert_int_equal(shard->cursor[0].id[1], 77);
    assert_int_equal(shard->cursor[0].lane[200].position, 4096);
    assert_int_equal(shard->header->seen, 12345);
    assert_int_equal(shard->header->marks, 2);
    assert_int_equal(shard->header->mark_boot_s[1], 99);
    assert_int_equal(shard->header->mark_batch[1], 3);
}

static int count_other_files(const struct table *table)
{
    char command[2 * TEMPDIR_BYTES];
    char answer[16] = "";
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "ls -A %s | grep -vcx shard-0", table->dir);
    pipe = popen(command, "r"); /* NOLINT: a fixed command in a directory of our own */
    assert_non_null(pipe);
    assert_non_null(fgets(answer, sizeof(answer), pipe));
    (void)pclose(pipe);
    return atoi(answer);
}

static void test_shard_with_fewer_counters_is_carried_over_whole(void **state)
{
    struct table *table = *state;
    static struct picture before[MANY];
    uint64_t life_last;
    uint64_t batch;
    uint64_t accounts;
    uint32_t left = 0;

    table->options.name = 0x1234; /* another by now: the file keeps its own */
    fill(table);
    mark(table->shard);
    for (uint32_t i = 0; i < MANY; i++)
        before[i] = picture_of(table, i);
    accounts = table_accounts(table);
    life_last = table->shard->header->law.life_last;
    batch = table->shard->batch;
    table_close(table);
    narrow(table);
    table_open(table);

    assert_int_equal(count_other_files(table), 0);
    assert_int_equal(table->shard->header->counters, TKR_COUNTER_COUNT);
    assert_int_equal(table->shard->header->name, 0xabcdef);
    assert_int_equal(table->shard->header->law.life_last, life_last);
    assert_int_equal(table->shard->batch, batch);
    assert_int_equal(table_accounts(table), accounts);
    assert_marked(table->shard);
    for (uint32_t i = 0; i < MANY; i++) {
        struct picture after = picture_of(table, i);
        if (memcmp(&after, &before[i], sizeof(after)) != 0)
            fail_msg("account %u is not what it was", i);
        left += after.there;
    }
    assert_int_equal(left, accounts);
    for (uint64_t at = 0; at < table->shard->header->law.arena_used; left--) { /* forgotten ones stayed behind */
        const struct tkr_entry *entry = (const struct tkr_entry *)(table->shard->arena + at);
        assert_int_not_equal(entry->life, 0);
        at += tkr_entry_size(entry);
    }
    assert_int_equal(left, 0);
}

/* An event of a user and of a model of lengths that i tells. */
static void charge_model(struct table *table, uint32_t i)
{
    static const char model[] = "a model of which the name is as long as a name of a model may be: ninety-six bytes and not one";
    tkr_counts counts = {{0}};
    char id[16];
    struct tkr_charge both[2];

    for (uint32_t c = 0; c < COUNTERS; c++)
        counts.value[c] = 1 + i;
    (void)snprintf(id, sizeof(id), "user-%u", i);
    both[0] = both[1] = charge_of(id, &counts, 0);
    both[1].model = model;
    both[1].model_len = 1 + i % (sizeof(model) - 1);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, both, 2);
    tkr_batch_commit(table->shard);
    assert_false(both[0].refused);
}

#define USERS 200u

/* Entries of models are carried as any, and found again under their key. */
static void test_models_are_carried_over(void **state)
{
    struct table *table = *state;
    uint64_t life_last;

    table->options.models_max = 1;
    table_reopen(table);
    for (uint32_t i = 0; i < USERS; i++)
        charge_model(table, i);
    life_last = table->shard->header->law.life_last;
    table_close(table);
    narrow(table);
    table_open(table);
    assert_int_equal(table_accounts(table), 2 * USERS);
    for (uint32_t i = 0; i < USERS; i++)
        charge_model(table, i);
    assert_int_equal(table_accounts(table), 2 * USERS);
    assert_int_equal(table->shard->header->law.life_last, life_last); /* none is new */
    for (uint64_t at = 0, i = 0; at < table->shard->header->law.arena_used; i++) {
        const struct tkr_entry *entry = (const struct tkr_entry *)(table->shard->arena + at);
        assert_int_equal(entry->counts[0], 2 * (1 + i / 2));
        at += tkr_entry_size(entry);
    }
}

/* The version before models: the same layout under another number. */
static void test_file_of_the_layout_before_models_is_carried_over(void **state)
{
    struct table *table = *state;
    struct tkr_shard_header *header;
    uint64_t life;
    size_t bytes;

    assert_true(table_charge(table, "alice", 7));
    life = table_entry(table, "alice")->life;
    table_close(table);
    header = map_file(table, &bytes);
    header->major = 1;
    header->minor = 1;
    (void)munmap(header, bytes);
    table->options.models_max = 16;
    table_open(table);
    assert_int_equal(table->shard->header->major, TKR_SHARD_MAJOR);
    assert_int_equal(table_value(table, "alice"), 7);
    assert_int_equal(table_entry(table, "alice")->life, life);
    charge_model(table, 3);
    assert_int_equal(table_accounts(table), 3);
}

/* What the sink has is not sent again, the rest is; and the shard works as any. */
static void test_carried_shard_hands_over_what_is_not_acknowledged(void **state)
{
    struct table *table = *state;
    struct tkr_changed *changed;
    uint32_t expected = 0;

    fill(table);
    for (uint32_t i = 0; i < MANY; i++) {
        struct picture picture = picture_of(table, i);
        expected += picture.there && (picture.known_life != picture.life || picture.known[0] != picture.counts[0]);
    }
    table_close(table);
    narrow(table);
    table_open(table);
    changed = table_handover(table);
    assert_non_null(changed);
    assert_int_equal(changed->count, expected);
    tkr_shard_changed_return(table->shard, changed);
    for (int i = 0; i < 400; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "later-%d", i);
        assert_true(table_charge(table, id, i));
    }
    table_reopen(table);
    assert_int_equal(table_value(table, "later-399"), 399);
}

static void test_comparison_under_way_goes_on_at_the_same_accounts(void **state)
{
    struct table *table = *state;
    struct tkr_shard_header *header = table->shard->header;
    uint64_t end[2];

    for (uint32_t i = 5; i < 30; i++) {
        char id[TKR_ENTRY_ID_MAX + 1];
        uint32_t len;
        make_id(i, id, &len);
        charge(table, id, len, i);
        if (i == 12)
            header->recheck_at = header->law.arena_used;
        if (i == 20)
            header->recheck_end = header->law.arena_used;
    }
    forget(table, entry_of(table, 8));
    forget(table, entry_of(table, 15));
    table_close(table);
    narrow(table);
    table_open(table);
    for (uint32_t i = 0; i < 2; i++) {
        const struct tkr_entry *last = entry_of(table, i == 0 ? 12 : 20);
        end[i] = (uint64_t)((const unsigned char *)last - table->shard->arena) + tkr_entry_size(last);
    }
    assert_int_equal(table->shard->header->recheck_at, end[0]);
    assert_int_equal(table->shard->header->recheck_end, end[1]);
}

/* --- other reasons than counters --- */

static void patch(const struct table *table, size_t offset, uint32_t value)
{
    size_t bytes;
    unsigned char *base = map_file(table, &bytes);

    memcpy(base + offset, &value, sizeof(value));
    (void)munmap(base, bytes);
}

static void test_shard_for_fewer_regions_is_carried_over(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    mark(table->shard);
    table_close(table);
    patch(table, offsetof(struct tkr_shard_header, regions_max), 4);
    table_open(table);
    assert_int_equal(count_other_files(table), 0);
    assert_int_equal(table->shard->header->regions_max, TKR_SHARD_REGIONS_MAX);
    assert_int_equal(table_value(table, "alice"), 5);
    assert_marked(table->shard);
}

static void test_unfinished_batch_is_put_back_before(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "alice", 5));
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "alice", 100));
    assert_true(table_add(table, "bob", 100));
    table_close(table);
    patch(table, offsetof(struct tkr_shard_header, regions_max), 4);
    table_open(table);
    assert_int_equal(table_value(table, "alice"), 5);
    assert_int_equal(table_value(table, "bob"), -1);
    assert_int_equal(table_accounts(table), 1);
    assert_true(table_charge(table, "bob", 1));
    assert_int_equal(table_value(table, "bob"), 1);
}

static void test_more_accounts_than_allowed_are_carried_over_all(void **state)
{
    struct table *table = *state;
    char id[16];

    for (int i = 0; i < 900; i++) {
        (void)snprintf(id, sizeof(id), "user-%d", i);
        assert_true(table_charge(table, id, i));
    }
    table_close(table);
    patch(table, offsetof(struct tkr_shard_header, regions_max), 4);
    table->options.accounts_max = 10;
    table_open(table);
    assert_int_equal(table_accounts(table), 900);
    assert_int_equal(table_value(table, "user-899"), 899);
}

static void test_empty_shard_is_carried_over(void **state)
{
    struct table *table = *state;

    table_close(table);
    narrow(table);
    table_open(table);
    assert_int_equal(table_accounts(table), 0);
    assert_true(table_charge(table, "alice", 1));
}

/* --- when it cannot be done --- */

static void test_damaged_entries_refuse_and_nothing_is_lost(void **state)
{
    struct table *table = *state;
    tkr_message message;
    size_t bytes;
    struct tkr_shard_header *header;

    assert_true(table_charge(table, "alice", 5));
    table_close(table);
    narrow(table);
    header = map_file(table, &bytes);
    header->law.arena_used += 64;
    assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
    assert_non_null(strstr(message.text, "damaged"));
    assert_int_equal(count_other_files(table), 0);
    header->law.arena_used -= 64;
    (void)munmap(header, bytes);
    table_open(table);
    assert_int_equal(table_accounts(table), 1);
}

static void test_damaged_number_of_accounts_is_refused(void **state)
{
    static const uint64_t wrong[] = {0, 1, 3, 4};
    struct table *table = *state;
    tkr_message message;

    assert_true(table_charge(table, "alice", 5));
    assert_true(table_charge(table, "bob", 5));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t bytes;
        struct tkr_shard_header *header;
        table_close(table);
        header = map_file(table, &bytes);
        header->law.accounts = wrong[i];
        assert_int_equal(tkr_shard_open(table->directory, &table->options, &table->shard, &message), -1);
        header->law.accounts = 2;
        (void)munmap(header, bytes);
        table_open(table);
        assert_int_equal(table_accounts(table), 2);
    }
}

/* No kill leaves this; whatever did, the answer is a shard or a sentence, never a signal. */
static void test_damaged_headers_are_answered(void **state)
{
    struct table *table = *state;
    struct test_random random = test_random_start();
    int refused = 0;

    fill(table);
    mark(table->shard);
    for (int round = 0; round < 400; round++) {
        tkr_message message = {""};
        size_t bytes;
        struct tkr_shard_header *header;
        table_close(table);
        if (round % 2 == 0)
            patch(table, offsetof(struct tkr_shard_header, regions_max), 4);
        header = map_file(table, &bytes);
        ((uint64_t *)header)[7 + test_random_next(&random) % 60] = test_random_next(&random) >> test_random_next(&random) % 64;
        (void)munmap(header, bytes);
        if (tkr_shard_open(table->directory, &table->options, &table->shard, &message) == 0)
            continue;
        assert_true(message.text[0] != '\0');
        assert_int_equal(unlinkat(table->directory, "shard-0", 0), 0);
        refused++;
        table_open(table);
        fill(table);
    }
    (void)printf("%d of 400 refused\n", refused);
}

/* A death in the middle leaves the older file, and a half-made one that the next start removes. */
static void test_half_made_file_is_thrown_away(void **state)
{
    struct table *table = *state;
    int fd;

    assert_true(table_charge(table, "alice", 5));
    table_close(table);
    fd = openat(table->directory, ".shard-0", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    (void)close(fd);
    table_open(table);
    assert_int_equal(count_other_files(table), 0);
    assert_int_equal(table_value(table, "alice"), 5);
}

#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_shard_with_fewer_counters_is_carried_over_whole),
        T(test_carried_shard_hands_over_what_is_not_acknowledged),
        T(test_models_are_carried_over),
        T(test_file_of_the_layout_before_models_is_carried_over),
        T(test_comparison_under_way_goes_on_at_the_same_accounts),
        T(test_shard_for_fewer_regions_is_carried_over),
        T(test_unfinished_batch_is_put_back_before),
        T(test_more_accounts_than_allowed_are_carried_over_all),
        T(test_empty_shard_is_carried_over),
        T(test_damaged_entries_refuse_and_nothing_is_lost),
        T(test_damaged_number_of_accounts_is_refused),
        T(test_damaged_headers_are_answered),
        T(test_half_made_file_is_thrown_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
