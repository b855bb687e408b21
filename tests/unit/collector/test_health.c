/* SPDX-License-Identifier: Apache-2.0 */
/* What is published of the sink: whole at any moment, of the last one who published, and never trusted too far. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/health.h"
#include "support/tempdir.h"
#include "support/test.h"

#define ROUNDS 1000
#define LOOKS 3000

struct place {
    char dir[TEMPDIR_BYTES];
    int directory;
    struct tkr_health_file *file;
    atomic_bool stop;
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    if (place == NULL || tempdir_make(place->dir) != 0)
        return -1;
    place->directory = open(place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    place->file = tkr_health_open(place->directory);
    *state = place;
    return place->file != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    tkr_health_close(place->file);
    (void)close(place->directory);
    tempdir_remove(place->dir);
    free(place);
    return 0;
}

/* Of which every number and text tells of the same n. */
static void make(struct tkr_health *health, int64_t n)
{
    memset(health, 0, sizeof(*health));
    health->state = TKR_HEALTH_FAILING;
    health->since_ns = health->answered_ns = n;
    health->failures = health->parked = (uint64_t)n;
    health->named = TKR_HEALTH_NAMED_MAX;
    (void)snprintf(health->error, sizeof(health->error), "%lld", (long long)n);
    (void)snprintf(health->advice, sizeof(health->advice), "%lld", (long long)n);
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++)
        (void)snprintf(health->problem[i], sizeof(health->problem[i]), "%lld", (long long)n);
    for (uint32_t i = 0; i < TKR_HEALTH_NAMED_MAX; i++) {
        health->account[i].since_ns = n;
        health->account[i].id_len =
            (uint32_t)snprintf(health->account[i].id, sizeof(health->account[i].id), "%lld", (long long)n);
        (void)snprintf(health->account[i].reason, sizeof(health->account[i].reason), "%lld", (long long)n);
    }
}

static void assert_whole(const struct tkr_health *health)
{
    struct tkr_health expected;

    make(&expected, health->since_ns);
    assert_memory_equal(health, &expected, sizeof(expected));
}

static void test_health_before_anything_is_published_is_empty(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    struct tkr_health empty;

    memset(&empty, 0, sizeof(empty));
    assert_true(tkr_health_read(place->directory, &health));
    assert_memory_equal(&health, &empty, sizeof(empty));
    assert_int_equal(empty.state, TKR_HEALTH_STARTING);
}

static void test_health_is_what_was_published_last(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    struct tkr_health seen;

    for (int64_t n = 1; n <= 5; n++) {
        make(&health, n);
        tkr_health_publish(place->file, &health);
        assert_true(tkr_health_read(place->directory, &seen));
        assert_memory_equal(&seen, &health, sizeof(health));
    }
    tkr_health_publish(NULL, &health); /* a collector that could make no file */
}

static void *publish_on(void *argument)
{
    struct place *place = argument;
    static struct tkr_health health;

    for (int64_t n = 1; !atomic_load(&place->stop) || n < ROUNDS; n++) {
        make(&health, n);
        tkr_health_publish(place->file, &health);
    }
    return NULL;
}

static void test_health_read_while_it_is_published_is_whole(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    pthread_t thread;
    int64_t last = 0;

    make(&health, 0);
    tkr_health_publish(place->file, &health);
    assert_int_equal(pthread_create(&thread, NULL, publish_on, place), 0);
    for (int looks = 0; looks < LOOKS; looks++) {
        if (!tkr_health_read(place->directory, &health))
            continue; /* overtaken each time: it says so */
        assert_whole(&health);
        assert_true(health.since_ns >= last);
        last = health.since_ns;
    }
    atomic_store(&place->stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tkr_health_read(place->directory, &health)); /* at rest it always is */
    assert_whole(&health);
}

/* The next collector begins anew; who still looks at the old file is not disturbed. */
static void test_health_of_the_next_collector_begins_anew(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    struct tkr_health_file *next;

    make(&health, 7);
    tkr_health_publish(place->file, &health);
    next = tkr_health_open(place->directory);
    assert_non_null(next);
    assert_true(tkr_health_read(place->directory, &health));
    assert_int_equal(health.state, TKR_HEALTH_STARTING);
    make(&health, 8);
    tkr_health_publish(place->file, &health); /* still mapped */
    assert_true(tkr_health_read(place->directory, &health));
    assert_int_equal(health.state, TKR_HEALTH_STARTING);
    tkr_health_close(next);
    assert_true(tkr_health_read(place->directory, &health)); /* it stays behind */
}

static int open_file(const struct place *place, int flags)
{
    int fd = openat(place->directory, "health", flags | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void test_health_of_another_layout_or_length_is_none(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    uint64_t word;
    int fd = open_file(place, O_RDWR);

    for (off_t at = 0; at < 24; at += 8) { /* magic, major and minor, bytes */
        uint64_t wrong = UINT64_C(0x7777777777777777);
        assert_int_equal(pread(fd, &word, sizeof(word), at), sizeof(word));
        assert_int_equal(pwrite(fd, &wrong, sizeof(wrong), at), sizeof(wrong));
        assert_false(tkr_health_read(place->directory, &health));
        assert_int_equal(pwrite(fd, &word, sizeof(word), at), sizeof(word));
        assert_true(tkr_health_read(place->directory, &health));
    }
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_false(tkr_health_read(place->directory, &health));
    (void)close(fd);
    assert_int_equal(unlinkat(place->directory, "health", 0), 0);
    assert_false(tkr_health_read(place->directory, &health));
}

static void test_health_of_any_bytes_is_clamped(void **state)
{
    struct place *place = *state;
    struct tkr_health health;
    struct stat status;
    unsigned char *base;
    int fd = open_file(place, O_RDWR);

    assert_int_equal(fstat(fd, &status), 0);
    base = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(base != MAP_FAILED);
    memset(base + 128, 0xff, (size_t)status.st_size - 128); /* both copies */
    assert_true(tkr_health_read(place->directory, &health));
    assert_int_equal(health.named, TKR_HEALTH_NAMED_MAX);
    assert_in_range(strlen(health.error), 0, sizeof(health.error) - 1);
    assert_in_range(strlen(health.advice), 0, sizeof(health.advice) - 1);
    assert_in_range(strlen(health.sink), 0, sizeof(health.sink) - 1);
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++)
        assert_in_range(strlen(health.problem[i]), 0, sizeof(health.problem[i]) - 1);
    for (uint32_t i = 0; i < health.named; i++) {
        assert_int_equal(health.account[i].id_len, TKR_ENTRY_ID_MAX);
        assert_int_equal(health.account[i].model_len, TKR_ENTRY_LABEL_MAX);
        assert_in_range(strlen(health.account[i].reason), 0, TKR_REASON_BYTES - 1);
    }
    (void)munmap(base, (size_t)status.st_size);
    (void)close(fd);
}

static void test_health_that_cannot_be_made_is_none(void **state)
{
    (void)state;
    assert_null(tkr_health_open(-1));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_health_before_anything_is_published_is_empty), CASE(test_health_is_what_was_published_last),
        CASE(test_health_read_while_it_is_published_is_whole),   CASE(test_health_of_the_next_collector_begins_anew),
        CASE(test_health_of_another_layout_or_length_is_none),   CASE(test_health_of_any_bytes_is_clamped),
        CASE(test_health_that_cannot_be_made_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
