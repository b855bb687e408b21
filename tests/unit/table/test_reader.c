/* SPDX-License-Identifier: Apache-2.0 */
/* Readers beside a writer: no torn copy, nothing that is not committed, nothing that was taken back; no waiting. */
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/process.h"
#include "table/reader.h"
#include "unit/table/fixture.h"

#define USERS 4
#define READERS 2
#define RUN_MS 700
#define BROKEN_LIMIT_MS 20000

static const char *const users[USERS] = {"a", "b", "c", "d"};

static struct tkr_reader *reader_open(const struct table *table)
{
    struct tkr_reader *reader = NULL;
    tkr_message message = {""};

    if (tkr_reader_open(table->directory, 0, &reader, &message) != 1)
        fail_msg("%s", message.text);
    return reader;
}

/* Looks a user up from the beginning. false: not there, or not readable. */
static bool read_user(struct tkr_reader *reader, const char *id, struct tkr_entry_copy *ret_copy)
{
    tkr_reader_rewind(reader);
    while (tkr_reader_next(reader, ret_copy)) {
        if (strcmp(ret_copy->id, id) == 0)
            return true;
    }
    return false;
}

/* --- beside a writer at work --- */

struct race {
    struct table *table;
    struct tkr_entry *entry[USERS];
    bool (*read)(const struct tkr_shard_header *header, const struct tkr_entry *entry, tkr_counts *ret_counts);
    atomic_bool stop;
    _Atomic uint64_t good;
    _Atomic uint64_t bad;
};

/* In every committed state all counters of an entry are equal and even: each batch adds one twice. */
static void *write_batches(void *argument)
{
    struct race *race = argument;
    tkr_counts one = counts_of(1);
    struct tkr_charge charge[2 * USERS];

    while (!atomic_load(&race->stop)) {
        for (uint32_t i = 0; i < 2 * USERS; i++)
            charge[i] = charge_of(users[i % USERS], &one, i);
        if (!tkr_batch_begin(race->table->shard))
            break;
        tkr_batch_apply(race->table->shard, charge, 2 * USERS);
        tkr_batch_commit(race->table->shard);
    }
    return NULL;
}

static bool committed_state(const tkr_counts *counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (counts->value[i] != counts->value[0])
            return false;
    }
    return counts->value[0] % 2 == 0;
}

static void *read_entries(void *argument)
{
    struct race *race = argument;
    int64_t last[USERS] = {0};

    for (unsigned i = 0; !atomic_load(&race->stop); i = (i + 1) % USERS) {
        tkr_counts counts;
        if (!race->read(race->table->shard->header, race->entry[i], &counts))
            continue;
        if (committed_state(&counts) && counts.value[0] >= last[i]) /* nor does it ever go back */
            atomic_fetch_add(&race->good, 1);
        else
            atomic_fetch_add(&race->bad, 1);
        last[i] = counts.value[0];
    }
    return NULL;
}

static bool read_right(const struct tkr_shard_header *header, const struct tkr_entry *entry, tkr_counts *ret_counts)
{
    struct tkr_entry_copy copy;

    if (!tkr_entry_copy_read(header, entry, &copy))
        return false;
    *ret_counts = copy.counts;
    return true;
}

/* A reader that does not ask whether the batch is committed: the number unchanged is all it looks at. */
static bool read_uncommitted(const struct tkr_shard_header *header, const struct tkr_entry *entry, tkr_counts *ret_counts)
{
    uint64_t stamp = atomic_load_explicit(&entry->stamp, memory_order_acquire);

    (void)header;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_counts->value[i] = atomic_load_explicit(&entry->counts[i], memory_order_acquire);
    return atomic_load_explicit(&entry->stamp, memory_order_relaxed) == stamp;
}

/* And one that does not look whether the number changed meanwhile. */
static bool read_torn(const struct tkr_shard_header *header, const struct tkr_entry *entry, tkr_counts *ret_counts)
{
    uint64_t committed = atomic_load_explicit(&header->committed, memory_order_acquire);

    if (atomic_load_explicit(&entry->stamp, memory_order_acquire) > committed)
        return false;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_counts->value[i] = atomic_load_explicit(&entry->counts[i], memory_order_acquire);
    return true;
}

/* Runs until the time is over, or with until_bad until a bad copy was seen. */
static void race_run(struct race *race, struct table *table,
                     bool (*read)(const struct tkr_shard_header *, const struct tkr_entry *, tkr_counts *), bool until_bad)
{
    pthread_t thread[1 + READERS];
    long end;

    memset(race, 0, sizeof(*race));
    race->table = table;
    race->read = read;
    for (int i = 0; i < USERS; i++) {
        assert_true(table_charge(table, users[i], 0));
        race->entry[i] = table_find(table, users[i]);
    }
    assert_int_equal(pthread_create(&thread[0], NULL, write_batches, race), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&thread[1 + i], NULL, read_entries, race), 0);
    end = process_now_ms() + (until_bad ? BROKEN_LIMIT_MS : RUN_MS);
    while (process_now_ms() < end && !(until_bad && atomic_load(&race->bad) > 0))
        process_sleep_ms(2);
    while (!until_bad && atomic_load(&race->good) < 100 && process_now_ms() < end + BROKEN_LIMIT_MS)
        process_sleep_ms(2); /* a machine that is very busy */
    atomic_store(&race->stop, true);
    for (int i = 0; i < 1 + READERS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void test_copy_beside_a_writer_is_a_committed_state(void **state)
{
    struct race race;

    race_run(&race, *state, read_right, false);
    assert_int_equal(atomic_load(&race.bad), 0);
    assert_true(atomic_load(&race.good) >= 100);
}

static void test_reader_that_ignores_the_commit_is_caught(void **state)
{
    struct race race;

    race_run(&race, *state, read_uncommitted, true);
    assert_true(atomic_load(&race.bad) > 0);
}

static void test_reader_that_ignores_the_change_is_caught(void **state)
{
    struct race race;

    race_run(&race, *state, read_torn, true);
    assert_true(atomic_load(&race.bad) > 0);
}

/* --- a writer that stops in mid-batch --- */

static int64_t read_value(struct tkr_reader *reader, const char *id)
{
    struct tkr_entry_copy copy;

    if (!read_user(reader, id, &copy))
        return -1;
    assert_true(copy.stamp <= atomic_load(&tkr_reader_header(reader)->committed));
    for (int i = 1; i < TKR_COUNTER_COUNT; i++)
        assert_int_equal(copy.counts.value[i], copy.counts.value[0]);
    return copy.counts.value[0];
}

static void test_batch_of_a_stopped_writer_is_read_as_it_was_before(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    int status;
    pid_t child;

    assert_true(table_charge(table, "a", 5));
    assert_true(table_charge(table, "b", 6));
    reader = reader_open(table);
    child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (tkr_batch_begin(table->shard) && table_add(table, "a", 100) && table_add(table, "new", 100))
            (void)raise(SIGSTOP);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(read_value(reader, "a"), 5);
    assert_int_equal(read_value(reader, "b"), 6);
    assert_int_equal(read_value(reader, "new"), -1);
    (void)kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(read_value(reader, "a"), 5);
    table_reopen(table);
    assert_true(table->shard->recovered);
    assert_int_equal(read_value(reader, "a"), 5);
    assert_int_equal(read_value(reader, "new"), -1);
    tkr_reader_close(reader);
}

/* As many entries as a batch may touch, one of them changed in part: all are read, and none is waited for. */
static void test_largest_batch_left_unfinished_is_read_as_it_was_before(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    struct tkr_entry_copy copy;
    struct tkr_entry *torn;
    long begun;
    char id[16];
    int rows = 0;

    for (int batch = 1; batch <= 2; batch++) {
        assert_true(tkr_batch_begin(table->shard));
        for (int i = 0; i < 900; i++) {
            (void)snprintf(id, sizeof(id), "%d", i);
            assert_true(table_add(table, id, 1000 * batch + i));
        }
        if (batch == 1)
            tkr_batch_commit(table->shard);
    }
    torn = table_find(table, "7");
    atomic_store(&torn->counts[3], -1);
    reader = reader_open(table);
    begun = process_now_ms();
    while (tkr_reader_next(reader, &copy)) {
        assert_int_equal(copy.counts.value[0], 1000 + atoi(copy.id));
        assert_int_equal(copy.counts.value[3], 1000 + atoi(copy.id));
        rows++;
    }
    assert_int_equal(rows, 900);
    assert_true(process_now_ms() - begun < BROKEN_LIMIT_MS); /* waiting for each would take minutes */
    tkr_reader_close(reader);
}

/* The recovery has died too: this one is put back in part under the recovery's number, that one not at all. */
static void test_recovery_left_unfinished_is_read_as_it_will_be(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    struct tkr_entry *entry;

    assert_true(table_charge(table, "a", 5));
    assert_true(table_charge(table, "b", 6));
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "a", 100));
    assert_true(table_add(table, "b", 100));
    entry = table_find(table, "a");
    atomic_store(&entry->stamp, table->shard->batch + 1);
    for (int i = 0; i < 4; i++)
        atomic_store(&entry->counts[i], 5);
    assert_int_equal(read_value(reader, "a"), 5);
    assert_int_equal(read_value(reader, "b"), 6);
    table_reopen(table);
    assert_int_equal(read_value(reader, "a"), 5);
    assert_int_equal(read_value(reader, "b"), 6);
    tkr_reader_close(reader);
}

/* What the log had of an earlier batch is nothing to go by. */
static void test_log_of_a_batch_that_is_over_is_not_read(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    uint64_t words[2];
    uint64_t at;

    assert_true(table_charge(table, "a", 5));
    assert_true(table_charge(table, "a", 5)); /* logged, committed */
    at = (uint64_t)((unsigned char *)table_find(table, "a") - table->shard->base);
    assert_false(tkr_undo_read(table->shard->undo, tkr_reader_header(reader)->undo_bytes, &table->shard->header->committed, at,
                               sizeof(words), words));
    assert_int_equal(read_value(reader, "a"), 10);
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "a", 1));
    assert_true(tkr_undo_read(table->shard->undo, tkr_reader_header(reader)->undo_bytes, &table->shard->header->committed, at,
                              sizeof(words), words));
    assert_int_equal(words[1], 10);
    atomic_store(&table->shard->undo->used, UINT64_MAX); /* damage leads nowhere */
    assert_false(tkr_undo_read(table->shard->undo, tkr_reader_header(reader)->undo_bytes, &table->shard->header->committed, at,
                               sizeof(words), words));
    tkr_reader_close(reader);
}

static void test_law_of_an_unfinished_batch_is_read_as_it_was_before(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    struct tkr_law law;

    assert_true(table_charge(table, "a", 5));
    assert_true(tkr_reader_law(reader, &law));
    assert_int_equal(law.accounts, 1);
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_add(&tkr_batch_law(table->shard)->gone_counted, 9);
    assert_true(tkr_reader_law(reader, &law));
    assert_int_equal(law.gone_counted, 0);
    assert_int_equal(law.accounts, 1);
    tkr_batch_commit(table->shard);
    assert_true(tkr_reader_law(reader, &law));
    assert_int_equal(law.gone_counted, 9);
    tkr_reader_close(reader);
}

/* --- what was taken back --- */

/* A reader that was halfway through its copy when all this happened must not find the number that it began with. */
static void test_number_of_what_was_put_back_does_not_come_back(void **state)
{
    struct table *table = *state;
    uint64_t before;
    uint64_t lost;

    assert_true(table_charge(table, "a", 5));
    before = atomic_load(&table_entry(table, "a")->stamp);
    for (int i = 0; i < 3; i++) {
        uint64_t after;
        assert_true(tkr_batch_begin(table->shard));
        assert_true(table_add(table, "a", 100));
        lost = atomic_load(&table_entry(table, "a")->stamp);
        table_reopen(table);
        after = atomic_load(&table_entry(table, "a")->stamp);
        assert_true(lost > before);
        assert_true(after > lost);
        assert_true(table_charge(table, "b", 1));
        assert_true(atomic_load(&table_entry(table, "b")->stamp) > after);
        before = after;
    }
    assert_int_equal(table_value(table, "a"), 5);
}

struct walker {
    struct tkr_reader *reader;
    atomic_bool begun;
    bool saw_lost;
    int rows;
};

static void *walk(void *argument)
{
    struct walker *walker = argument;
    struct tkr_entry_copy copy;

    atomic_store(&walker->begun, true);
    while (tkr_reader_next(walker->reader, &copy)) {
        walker->saw_lost |= strncmp(copy.id, "lost", 4) == 0;
        walker->rows++;
    }
    return NULL;
}

/* The reader stands before a new entry of the unfinished batch when the recovery takes that batch back. */
static void test_entry_of_a_lost_batch_is_never_read(void **state)
{
    struct table *table = *state;

    assert_true(table_charge(table, "a", 5));
    for (int i = 0; i < 5; i++) {
        struct walker walker = {.reader = reader_open(table)};
        pthread_t thread;
        assert_true(tkr_batch_begin(table->shard));
        assert_true(table_add(table, "lost one", 100));
        assert_true(table_add(table, "lost two", 100));
        assert_int_equal(pthread_create(&thread, NULL, walk, &walker), 0);
        while (!atomic_load(&walker.begun))
            process_sleep_ms(1);
        process_sleep_ms(5); /* it may be before, at or behind the batch's entries */
        table_reopen(table);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_false(walker.saw_lost);
        assert_int_equal(walker.rows, 1);
        tkr_reader_close(walker.reader);
    }
}

/* Its place is taken by an entry of another length: the walk goes from entry to entry all the same. */
static void test_walk_goes_on_rightly_where_a_lost_entry_was_replaced(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    struct tkr_entry_copy copy;
    char longer[200];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_true(table_charge(table, "a", 5));
    reader = reader_open(table);
    assert_true(tkr_batch_begin(table->shard));
    assert_true(table_add(table, "lost one", 100));
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, "a");
    assert_false(tkr_reader_next(reader, &copy)); /* not committed */
    table_reopen(table);
    assert_true(table_charge(table, longer, 1));
    assert_true(table_charge(table, "z", 2));
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, longer);
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, "z");
    assert_false(tkr_reader_next(reader, &copy));
    tkr_reader_close(reader);
}

/* --- the file --- */

static void test_reader_copies_all_of_an_entry(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    struct tkr_entry_copy copy;
    tkr_counts counts = counts_of(9);
    struct tkr_charge charge = charge_of("a team", &counts, 0);
    char id[TKR_ID_BYTES_MAX];

    memset(id, 0xc3, sizeof(id));
    charge.kind = TKR_KIND_TEAM;
    charge.cycle = 20270228;
    assert_true(tkr_batch_begin(table->shard));
    tkr_batch_apply(table->shard, &charge, 1);
    charge.id = id;
    charge.id_len = sizeof(id);
    tkr_batch_apply(table->shard, &charge, 1);
    tkr_batch_commit(table->shard);
    reader = reader_open(table);
    assert_true(tkr_reader_next(reader, &copy));
    assert_string_equal(copy.id, "a team");
    assert_int_equal(copy.id_len, 6);
    assert_true(copy.kind == TKR_KIND_TEAM);
    assert_int_equal(copy.cycle, 20270228);
    assert_int_equal(copy.counts.value[TKR_COUNTER_COST], 9);
    assert_int_equal(copy.known_life, 0);
    assert_true(copy.life != 0);
    assert_true(tkr_reader_next(reader, &copy));
    assert_int_equal(copy.id_len, sizeof(id));
    assert_memory_equal(copy.id, id, sizeof(id));
    assert_int_equal(copy.id[sizeof(id)], 0);
    assert_false(tkr_reader_next(reader, &copy));
    tkr_reader_rewind(reader);
    assert_true(tkr_reader_next(reader, &copy));
    tkr_reader_close(reader);
}

static void test_unflushed_is_what_the_sink_does_not_know(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    struct tkr_entry_copy copy;
    tkr_counts counts = counts_of(3);
    tkr_counts unflushed;

    assert_true(table_charge(table, "a", 5));
    assert_true(read_user(reader, "a", &copy));
    tkr_entry_copy_unflushed(&copy, &unflushed);
    assert_int_equal(unflushed.value[0], 5);
    tkr_entry_known_set(table_find(table, "a"), copy.life, &counts);
    assert_true(read_user(reader, "a", &copy));
    assert_int_equal(copy.known.value[0], 3);
    tkr_entry_copy_unflushed(&copy, &unflushed);
    assert_int_equal(unflushed.value[0], 2);
    tkr_entry_known_set(table_find(table, "a"), copy.life - 1, &counts); /* of an older life: says nothing of this one */
    assert_true(read_user(reader, "a", &copy));
    tkr_entry_copy_unflushed(&copy, &unflushed);
    assert_int_equal(unflushed.value[0], 5);
    counts = counts_of(7); /* ahead of us, after damage: never negative */
    tkr_entry_known_set(table_find(table, "a"), copy.life, &counts);
    assert_true(read_user(reader, "a", &copy));
    tkr_entry_copy_unflushed(&copy, &unflushed);
    assert_int_equal(unflushed.value[0], 0);
    tkr_reader_close(reader);
}

/* A flusher killed while it noted what the sink has: the note stays odd, the entry is readable. */
static void test_what_the_sink_is_said_to_know_below_nothing_is_nothing(void **state)
{
    struct tkr_entry_copy copy = {.life = 1, .known_life = 1};
    tkr_counts unflushed;

    (void)state;
    copy.counts.value[TKR_COUNTER_TOTAL] = 5;
    copy.known.value[TKR_COUNTER_TOTAL] = INT64_MIN; /* damage alone */
    tkr_entry_copy_unflushed(&copy, &unflushed);
    assert_int_equal(unflushed.value[TKR_COUNTER_TOTAL], 5);
}

static void test_note_left_half_written_does_not_hide_the_entry(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    struct tkr_entry_copy copy;
    tkr_counts counts = counts_of(5);

    assert_true(table_charge(table, "a", 5));
    atomic_store(&table_find(table, "a")->known_sequence, 7);
    assert_true(read_user(reader, "a", &copy));
    assert_int_equal(copy.counts.value[0], 5);
    tkr_entry_known_set(table_find(table, "a"), copy.life, &counts);
    assert_int_equal(atomic_load(&table_entry(table, "a")->known_sequence), 8);
    tkr_reader_close(reader);
}

static void test_missing_shard_is_told_from_a_bad_one(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = NULL;
    tkr_message message = {""};
    int fd;

    assert_int_equal(tkr_reader_open(table->directory, 1, &reader, &message), 0);
    fd = openat(table->directory, "shard-2", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(tkr_reader_open(table->directory, 2, &reader, &message), -1);
    assert_int_equal(ftruncate(fd, TKR_SHARD_HEADER_BYTES), 0);
    assert_int_equal(tkr_reader_open(table->directory, 2, &reader, &message), -1);
    assert_non_null(strstr(message.text, "shard-2"));
    (void)close(fd);
    table->shard->header->boot_id[3] ^= 1;
    assert_int_equal(tkr_reader_open(table->directory, 0, &reader, &message), -1);
    assert_non_null(strstr(message.text, "another boot"));
    assert_null(reader);
}

/* The collector comes back with a larger maximum and fills it: the reader keeps to the file as it knew it. */
static void test_reader_outlives_a_file_that_is_made_larger(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    struct tkr_entry_copy copy;
    char id[256];
    int rows = 0;

    table->options.accounts_max = 40000;
    table_reopen(table);
    for (int i = 0; i < 40000; i++) {
        if (i % 1000 == 0)
            assert_true(tkr_batch_begin(table->shard));
        (void)snprintf(id, sizeof(id), "%0250d", i);
        assert_true(table_add(table, id, 1));
        if (i % 1000 == 999)
            tkr_batch_commit(table->shard);
    }
    while (tkr_reader_next(reader, &copy))
        rows++;
    assert_in_range(rows, 1000, 40000);
    tkr_reader_close(reader);
    reader = reader_open(table);
    for (rows = 0; tkr_reader_next(reader, &copy);)
        rows++;
    assert_int_equal(rows, 40000);
    tkr_reader_close(reader);
}

static void test_cursor_without_memory_is_none(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = reader_open(table);
    const struct tkr_cursor *cursor;
    struct tkr_cursor copy;

    assert_null(tkr_reader_cursor(reader, 0));
    assert_non_null(tkr_shard_cursor_unused(table->shard));
    cursor = tkr_reader_cursor(reader, 0);
    assert_non_null(cursor);
    assert_true(tkr_stamped_copy(tkr_reader_header(reader), cursor, TKR_CURSOR_HEAD_BYTES, &copy));
    assert_int_equal(copy.state, TKR_CURSOR_FREE);
    assert_null(tkr_reader_cursor(reader, 1));
    tkr_reader_close(reader);
}

/* Stamps beyond what was ever committed, as damage leaves them, and no kill: the whole table is passed over, and none is waited for. */
static void test_entries_of_no_committed_batch_are_given_up_at_once(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    struct tkr_entry_copy copy;
    struct tkr_law law;
    char id[16];
    long begun_ms;

    for (int i = 0; i < 500; i++) {
        (void)snprintf(id, sizeof(id), "user-%d", i);
        assert_true(table_charge(table, id, 1));
    }
    atomic_store(&table->shard->header->committed, 0);
    atomic_store((_Atomic uint64_t *)((char *)table->shard->header + table->shard->header->undo_offset), 0);
    reader = reader_open(table);
    begun_ms = process_now_ms();
    assert_false(tkr_reader_next(reader, &copy));
    assert_false(tkr_reader_law(reader, &law));
    assert_in_range(process_now_ms() - begun_ms, 0, 5000); /* waiting for each would take a minute */
    tkr_reader_close(reader);
}

static void test_parts_that_do_not_lie_where_they_must_are_refused(void **state)
{
    struct table *table = *state;
    struct tkr_shard_header *header = table->shard->header;
    struct tkr_reader *reader = NULL;
    tkr_message message = {""};
    uint64_t *offsets[] = {&header->undo_offset, &header->cursors_offset, &header->arena_offset};

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        uint64_t right = *offsets[i];
        *offsets[i] = right + 4;
        assert_int_equal(tkr_reader_open(table->directory, 0, &reader, &message), -1);
        assert_non_null(strstr(message.text, "impossible geometry"));
        *offsets[i] = right;
    }
    reader = reader_open(table);
    tkr_reader_close(reader);
}

static void test_file_that_is_none_is_refused_and_not_waited_for(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader = NULL;
    tkr_message message = {""};

    assert_int_equal(mkfifoat(table->directory, "shard-1", 0600), 0);
    assert_int_equal(tkr_reader_open(table->directory, 1, &reader, &message), -1);
    assert_null(reader);
}

/* What walks the places sees each of them, forgotten ones too, in the same order each time. */
static void test_places_of_entries_stay_where_they_are(void **state)
{
    struct table *table = *state;
    struct tkr_reader *reader;
    const struct tkr_entry *place[3];

    for (int i = 0; i < 3; i++)
        assert_true(table_charge(table, users[i], 1));
    reader = reader_open(table);
    for (int i = 0; i < 3; i++)
        assert_non_null(place[i] = tkr_reader_step(reader));
    assert_null(tkr_reader_step(reader));
    assert_true(table_charge(table, users[3], 1));
    tkr_reader_rewind(reader);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(tkr_reader_step(reader), place[i]);
    assert_non_null(tkr_reader_step(reader));
    tkr_reader_close(reader);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, table_set_up, table_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_copy_beside_a_writer_is_a_committed_state),
        T(test_reader_that_ignores_the_commit_is_caught),
        T(test_reader_that_ignores_the_change_is_caught),
        T(test_batch_of_a_stopped_writer_is_read_as_it_was_before),
        T(test_largest_batch_left_unfinished_is_read_as_it_was_before),
        T(test_recovery_left_unfinished_is_read_as_it_will_be),
        T(test_log_of_a_batch_that_is_over_is_not_read),
        T(test_law_of_an_unfinished_batch_is_read_as_it_was_before),
        T(test_number_of_what_was_put_back_does_not_come_back),
        T(test_entry_of_a_lost_batch_is_never_read),
        T(test_walk_goes_on_rightly_where_a_lost_entry_was_replaced),
        T(test_reader_copies_all_of_an_entry),
        T(test_unflushed_is_what_the_sink_does_not_know),
        T(test_what_the_sink_is_said_to_know_below_nothing_is_nothing),
        T(test_note_left_half_written_does_not_hide_the_entry),
        T(test_missing_shard_is_told_from_a_bad_one),
        T(test_reader_outlives_a_file_that_is_made_larger),
        T(test_cursor_without_memory_is_none),
        T(test_entries_of_no_committed_batch_are_given_up_at_once),
        T(test_parts_that_do_not_lie_where_they_must_are_refused),
        T(test_file_that_is_none_is_refused_and_not_waited_for),
        T(test_places_of_entries_stay_where_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
