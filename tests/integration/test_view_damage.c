/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of what is damaged: real files, cut, zeroed, with bits turned, words put in, and random bytes. Whatever is in them, `tokenring
 * dump`, top, tail, doctor and stat end in time with exit code 0 or 1, say something, and no sanitizer has anything to say.
 */
#include <errno.h>
#include <sys/stat.h>

#include "integration/view_files.h"
#include "region/layout.h"
#include "support/light.h"
#include "support/random.h"

#define PATH_BYTES 256
#define FILES_MAX 12
#define DUMPS 240   /* each of one file */
#define HOSTS 40    /* runtime directories, each looked at by four commands */
#define LOOKS_MS 60 /* that tail is left to run */
#define COPY_BYTES 65536

struct specimen {
    char name[PATH_BYTES]; /* relative to the runtime directory */
};

static struct specimen specimens[FILES_MAX];
static int specimen_count;
static char pristine[PATH_BYTES]; /* directory of what the files were */

/* --- copies --- */

/* Copies what is in a file, and leaves its holes. */
static void copy_file(const char *from, const char *to)
{
    static char bytes[COPY_BYTES];
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    off_t data = 0;
    off_t end;

    assert_true(in >= 0 && out >= 0);
    end = lseek(in, 0, SEEK_END);
    assert_int_equal(ftruncate(out, end), 0);
    while ((data = lseek(in, data, SEEK_DATA)) >= 0) {
        off_t hole = lseek(in, data, SEEK_HOLE);
        for (; data < hole; data += COPY_BYTES) {
            ssize_t n = pread(in, bytes, hole - data < COPY_BYTES ? (size_t)(hole - data) : COPY_BYTES, data);
            assert_true(n > 0 && pwrite(out, bytes, (size_t)n, data) == n);
        }
        data = hole;
    }
    (void)close(in);
    (void)close(out);
}

/* A region knows its inode: a copy is told apart, and then nothing in it is looked at. */
static void mend_inode(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;
    uint64_t inode;

    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    inode = status.st_ino;
    if (strstr(path, "/" TKR_REGION_PREFIX) != NULL)
        assert_int_equal(pwrite(fd, &inode, sizeof(inode), offsetof(struct tkr_region_header, inode)), sizeof(inode));
    (void)close(fd);
}

static void copy_specimen(const struct specimen *specimen, const char *directory, char ret_path[2 * PATH_BYTES])
{
    char from[2 * PATH_BYTES];

    (void)snprintf(from, sizeof(from), "%s/%s", pristine, specimen->name);
    (void)snprintf(ret_path, 2 * PATH_BYTES, "%s/%s", directory, specimen->name);
    copy_file(from, ret_path);
    mend_inode(ret_path);
}

/* --- damage --- */

/* Mostly where something is: in a header, near the beginning, or anywhere but in a hole. */
static off_t any_place(struct test_random *random, int fd, off_t size)
{
    off_t place = (off_t)test_random_below(random, (uint64_t)size + 1);
    uint64_t where = test_random_below(random, 6);

    if (where < 3)
        place = (off_t)test_random_below(random, 512) % (size + 1);
    else if (where < 4)
        place = (off_t)test_random_below(random, 8192) % (size + 1);
    else if (lseek(fd, place, SEEK_DATA) >= 0)
        place = lseek(fd, place, SEEK_DATA) + (off_t)test_random_below(random, 4096);
    return place < size ? place : size;
}

static void put_word(struct test_random *random, int fd, off_t size)
{
    static const uint64_t odd[] = {
        0, 1, 7, 8, 255, 4096, UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 40};
    uint64_t value = odd[test_random_below(random, sizeof(odd) / sizeof(odd[0]))];

    (void)!pwrite(fd, &value, sizeof(value), any_place(random, fd, size) & ~(off_t)7);
}

static void fill(struct test_random *random, int fd, off_t size, bool zeros)
{
    unsigned char bytes[4096] = {0};
    size_t count = (size_t)test_random_below(random, sizeof(bytes)) + 1;

    for (size_t i = 0; i < count && !zeros; i++)
        bytes[i] = (unsigned char)test_random_next(random);
    (void)!pwrite(fd, bytes, count, any_place(random, fd, size));
}

static void turn_bits(struct test_random *random, int fd, off_t size)
{
    for (uint64_t n = test_random_below(random, 16) + 1; n > 0; n--) {
        off_t place = any_place(random, fd, size);
        unsigned char byte = 0;
        (void)!pread(fd, &byte, 1, place);
        byte = (unsigned char)(byte ^ 1u << test_random_below(random, 8));
        (void)!pwrite(fd, &byte, 1, place);
    }
}

/* What all of it becomes: nothing, zeros, or random bytes, perhaps behind the first eight, which say what it is. */
static void replace(struct test_random *random, int fd)
{
    uint64_t magic = 0;
    bool keep = test_random_below(random, 2) == 0;

    (void)!pread(fd, &magic, sizeof(magic), 0);
    (void)!ftruncate(fd, 0);
    (void)!ftruncate(fd, (off_t)test_random_below(random, 200000));
    if (test_random_below(random, 3) != 0) {
        for (int i = 0; i < 48; i++)
            fill(random, fd, (off_t)lseek(fd, 0, SEEK_END), false);
    }
    if (keep)
        (void)!pwrite(fd, &magic, sizeof(magic), 0);
}

static void damage(struct test_random *random, const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat status;

    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    for (uint64_t n = test_random_below(random, 4) + 1; n > 0; n--) {
        uint64_t what = test_random_below(random, 16);
        if (what < 6)
            put_word(random, fd, status.st_size);
        else if (what < 10)
            turn_bits(random, fd, status.st_size);
        else if (what < 12)
            fill(random, fd, status.st_size, true);
        else if (what < 13)
            fill(random, fd, status.st_size, false);
        else if (what < 15)
            (void)!ftruncate(fd, any_place(random, fd, status.st_size));
        else
            replace(random, fd);
    }
    (void)close(fd);
}

/* --- verdicts --- */

static void judge(struct process *process, const char *what, uint64_t seed, int round)
{
    const char *out = process_text(process, PROCESS_STDOUT);
    const char *err = process_text(process, PROCESS_STDERR);
    int code = process_exit_code(process);

    if ((code != 0 && code != 1) || strstr(err, "Sanitizer") != NULL || strstr(err, "runtime error") != NULL ||
        (out[0] == '\0' && err[0] == '\0'))
        fail_msg("seed %llu, round %d, %s: exit code %d: %.2000s%.4000s", (unsigned long long)seed, round, what, code, out, err);
}

static void check(struct stage *stage, const char *what, uint64_t seed, int round, const char *const words[])
{
    struct process process;

    view_run(stage, &process, words);
    judge(&process, what, seed, round);
    process_end(&process);
}

static void check_tail(struct stage *stage, uint64_t seed, int round)
{
    const char *argv[] = {VIEW_COMMAND, "tail", "--backlog", "--json", NULL};
    struct process process;

    assert_int_equal(process_start(&process, argv, stage->env_list), 0);
    process_sleep_ms(LOOKS_MS);
    process_signal(&process, SIGINT);
    if (process_wait(&process, VIEW_DEADLINE_MS) != 0)
        fail_msg("seed %llu, round %d: tail does not end", (unsigned long long)seed, round);
    if (process_exit_code(&process) != 128 + SIGINT) /* before it had come so far as to catch it */
        judge(&process, "tail", seed, round);
    process_end(&process);
}

/* --- the host whose files these are --- */

static void add_specimen(const char *name)
{
    assert_true(specimen_count < FILES_MAX);
    (void)snprintf(specimens[specimen_count++].name, PATH_BYTES, "%s", name);
}

/* Regions that a collector has taken up, one of them of a dead process, then the collector is killed; and one that none has seen. */
static void make_specimens(struct stage *stage)
{
    static const char *const fixed[] = {"board", "reservations", "collector/shard-0", "collector/health", "collector/name"};
    tkr_producer *producer;
    DIR *directory;
    const struct dirent *item;

    stage_env(stage, "TOKENRING_MAX_ACCOUNTS", "1000");
    stage_env(stage, "TOKENRING_BOARD_ACCOUNTS", "1024");
    stage_collector_start(stage, "1");
    producer = view_producer(stage);
    view_do_everything(producer, VIEW_CALLS);
    assert_int_equal(tkr_sync(producer, STAGE_DEADLINE_MS), TKR_OK);
    process_sleep_ms(300); /* a flush, and the board */
    process_signal(&stage->collector, SIGKILL);
    assert_int_equal(process_wait(&stage->collector, STAGE_DEADLINE_MS), 0);
    view_do_everything(producer, 50);
    (void)stage_exit_code(stage_fork(stage, view_die, 0));
    (void)snprintf(pristine, sizeof(pristine), "%s/pristine", stage->dir);
    assert_int_equal(rename(stage->runtime, pristine), 0);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        add_specimen(fixed[i]);
    directory = opendir(pristine);
    assert_non_null(directory);
    while ((item = readdir(directory)) != NULL) {
        if (strncmp(item->d_name, TKR_REGION_PREFIX, sizeof(TKR_REGION_PREFIX) - 1) == 0)
            add_specimen(item->d_name);
    }
    (void)closedir(directory);
    assert_int_equal(specimen_count, 7);
    tkr_close(producer);
}

static void make_host(const struct stage *stage)
{
    char path[2 * PATH_BYTES];

    assert_true(mkdir(stage->runtime, 0700) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof(path), "%s/collector", stage->runtime);
    assert_true(mkdir(path, 0750) == 0 || errno == EEXIST);
    for (int i = 0; i < specimen_count; i++)
        copy_specimen(&specimens[i], stage->runtime, path);
}

static uint64_t test_seed;

static void test_dump_of_any_bytes_ends_with_a_message_and_a_code(void **state)
{
    struct stage *stage = *state;
    struct test_random random = test_random_start();
    char path[2 * PATH_BYTES];

    test_seed = random.state;
    make_host(stage);
    for (int round = 0; round < test_light(DUMPS); round++) {
        const struct specimen *specimen = &specimens[test_random_below(&random, (uint64_t)specimen_count)];
        copy_specimen(specimen, stage->runtime, path);
        damage(&random, path);
        check(stage, specimen->name, test_seed, round, (const char *const[]){"dump", path, NULL});
        if (round % 4 == 0)
            check(stage, specimen->name, test_seed, round,
                  (const char *const[]){"dump", path, "--json", "--limit", "1000000", NULL});
    }
}

static void test_views_of_a_damaged_host_end_with_a_message_and_a_code(void **state)
{
    struct stage *stage = *state;
    struct test_random random = test_random_start();
    char path[2 * PATH_BYTES];

    for (int round = 0; round < test_light(HOSTS); round++) {
        uint64_t seed = random.state;
        make_host(stage);
        for (uint64_t n = test_random_below(&random, 3) + 1; n > 0; n--) {
            copy_specimen(&specimens[test_random_below(&random, (uint64_t)specimen_count)], stage->runtime, path);
            damage(&random, path);
        }
        check(stage, "stat", seed, round, (const char *const[]){"stat", round % 2 == 0 ? NULL : "--json", NULL});
        check(stage, "top", seed, round,
              (const char *const[]){"top", "--once", "--interval", "0.1", round % 2 == 0 ? NULL : "--json", NULL});
        check(stage, "doctor", seed, round, (const char *const[]){"doctor", round % 2 == 0 ? NULL : "--json", NULL});
        check(stage, "limit", seed, round, (const char *const[]){"limit", "watch", "--once", NULL});
        check_tail(stage, seed, round);
    }
}

/* The sound files first: all of this says nothing if they are refused. */
static void test_files_are_read_before_they_are_damaged(void **state)
{
    struct stage *stage = *state;
    char path[2 * PATH_BYTES];

    make_host(stage);
    for (int i = 0; i < specimen_count; i++) {
        struct process process;
        copy_specimen(&specimens[i], stage->runtime, path);
        VIEW_RUN(stage, &process, "dump", path);
        if (process_exit_code(&process) != (strcmp(specimens[i].name, "collector/name") == 0))
            fail_msg("%s: %s%s", specimens[i].name, process_text(&process, PROCESS_STDOUT),
                     process_text(&process, PROCESS_STDERR));
        process_end(&process);
    }
    json_decref(VIEW_JSON(stage, 0, "stat", "--json"));
    json_decref(VIEW_JSON(stage, 0, "top", "--once", "--json", "--interval", "0.1"));
    json_decref(VIEW_JSON(stage, 0, "doctor", "--json"));
}

static void *the_stage; /* of all tests */

static int set_up_all(void **state)
{
    if (stage_set_up(&the_stage) != 0)
        return -1;
    *state = the_stage;
    make_specimens(the_stage);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_read_before_they_are_damaged),
        cmocka_unit_test(test_dump_of_any_bytes_ends_with_a_message_and_a_code),
        cmocka_unit_test(test_views_of_a_damaged_host_end_with_a_message_and_a_code),
    };
    int failed = cmocka_run_group_tests(tests, set_up_all, NULL);

    if (the_stage != NULL)
        (void)stage_tear_down(&the_stage);
    return failed;
}
