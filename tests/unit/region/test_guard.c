/* SPDX-License-Identifier: Apache-2.0 */
/* Faults in files that are cut are answers, within a guarded access and within a guarded run, one in the other too. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region/guard.h"
#include "support/test.h"

#define BYTES 8192

static unsigned char *mapped;
static int file;

static int set_up(void **state)
{
    (void)state;
    file = memfd_create("guard", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, BYTES) != 0)
        return -1;
    mapped = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return mapped != MAP_FAILED ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    (void)munmap(mapped, BYTES);
    (void)close(file);
    return 0;
}

/* Within the test: cmocka has handlers of its own before it. */
static void cut(void)
{
    assert_true(tkr_guard_install());
    assert_int_equal(ftruncate(file, 0), 0);
}

struct run {
    bool guarded_answer;
    int sum;
    bool to_its_end;
};

static void touch(void *argument)
{
    struct run *run = argument;

    for (int i = 0; i < BYTES; i++)
        run->sum += ((volatile unsigned char *)mapped)[i];
    run->to_its_end = true;
}

/* First through a guarded access, whose fault is its own, then without. */
static void ask_and_touch(void *argument)
{
    struct run *run = argument;
    unsigned char byte;

    run->guarded_answer = tkr_guarded_copy(&byte, mapped, 1);
    touch(argument);
}

static void test_run_over_a_whole_file_comes_to_its_end(void **state)
{
    struct run run = {.sum = 0};

    (void)state;
    assert_true(tkr_guarded_run(ask_and_touch, &run));
    assert_true(run.to_its_end);
    assert_true(run.guarded_answer);
}

static void test_run_is_left_where_it_faults(void **state)
{
    struct run run = {.sum = 0};

    (void)state;
    cut();
    assert_false(tkr_guarded_run(touch, &run));
    assert_false(run.to_its_end);
    assert_false(tkr_guarded_run(touch, &run)); /* and again: nothing stays blocked */
}

static void test_guarded_access_within_a_run_answers_for_itself(void **state)
{
    struct run run = {.guarded_answer = true};

    (void)state;
    cut();
    assert_false(tkr_guarded_run(ask_and_touch, &run));
    assert_false(run.guarded_answer);
    assert_false(run.to_its_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_run_over_a_whole_file_comes_to_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_is_left_where_it_faults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_guarded_access_within_a_run_answers_for_itself, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
