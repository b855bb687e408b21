/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one user of a host can do to another's usage and to the collector: nothing. Alice is a gateway, Mallory wants to read,
 * change, remove or block what is hers; the collector is a third user. All of them are real to the kernel.
 */
#include "integration/users.h"
#include "region/layout.h"

enum { NOTE_READY, NOTE_GO, NOTE_ALICE };

static void wait_note(int note, uint64_t least)
{
    long end = process_now_ms() + STAGE_DEADLINE_MS;

    while (atomic_load(&users.stage->truth->note[note]) < least) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(1);
    }
}

static bool record_some(struct stage *stage, tkr_producer *producer, int calls)
{
    for (int i = 0; i < calls; i++) {
        if (stage_record(stage, producer, i % STAGE_USERS, 10 + i, 3) != TKR_OK)
            return false;
    }
    return true;
}

/* A gateway that records, says that it is there, records on when it is told, and leaves. */
static int gateway(struct stage *stage, int calls)
{
    tkr_producer *producer = stage_producer(stage);

    if (producer == NULL || !record_some(stage, producer, calls))
        return 1;
    atomic_fetch_add(&stage->truth->note[NOTE_READY], 1);
    while (atomic_load(&stage->truth->note[NOTE_GO]) == 0)
        process_sleep_ms(1);
    if (!record_some(stage, producer, calls))
        return 2;
    tkr_close(producer);
    return 0;
}

static void name_in_runtime(const char *name, char ret_path[2 * STAGE_PATH_BYTES])
{
    (void)snprintf(ret_path, 2 * STAGE_PATH_BYTES, "%s/%.60s", users.stage->runtime, name);
}

/* The region that a user has in the directory. */
static void find_region(uid_t uid, char ret_path[2 * STAGE_PATH_BYTES])
{
    DIR *directory = opendir(users.stage->runtime);
    const struct dirent *item;
    bool found = false;

    assert_non_null(directory);
    while (!found && (item = readdir(directory)) != NULL) {
        struct stat status;
        name_in_runtime(item->d_name, ret_path);
        found = strncmp(item->d_name, "region-", 7) == 0 && lstat(ret_path, &status) == 0 && status.st_uid == uid;
    }
    (void)closedir(directory);
    assert_true(found);
}

/* --- reaching for what is another's --- */

static char victim[2 * STAGE_PATH_BYTES]; /* Alice's region; set before Mallory's process is made */

#define REFUSED(call) ((call) == -1 && (errno == EACCES || errno == EPERM))
#define MUST(condition)                                                          \
    do {                                                                         \
        if (!(condition)) {                                                      \
            (void)fprintf(stderr, "not so: %s (errno %d)\n", #condition, errno); \
            return 1;                                                            \
        }                                                                        \
    } while (0)

static int reach_for_a_region(struct stage *stage, int number)
{
    char mine[2 * STAGE_PATH_BYTES];
    int fd;

    (void)stage;
    (void)number;
    name_in_runtime("mine", mine);
    fd = open(mine, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); /* creating is what everybody may */
    MUST(fd >= 0);
    MUST(REFUSED(open(victim, O_RDONLY | O_CLOEXEC)));
    MUST(REFUSED(open(victim, O_RDWR | O_CLOEXEC)));
    MUST(REFUSED(open(victim, O_WRONLY | O_TRUNC | O_CLOEXEC)));
    MUST(REFUSED(truncate(victim, 0)));
    MUST(REFUSED(unlink(victim)));
    MUST(REFUSED(rename(victim, mine)));
    MUST(REFUSED(rename(mine, victim)));
    MUST(REFUSED(chmod(victim, 0666)));
    MUST(REFUSED(chown(victim, user.mallory, user.mallory)));
    MUST(unlink(mine) == 0);
    return close(fd);
}

/* A second name for another's file does no harm where the kernel grants it: the file then says that it is another. */
static int link_a_region(struct stage *stage, int number)
{
    char second[2 * STAGE_PATH_BYTES];

    (void)stage;
    (void)number;
    name_in_runtime("region-00000000000000000000000000000002", second);
    MUST(link(victim, second) == 0 || errno == EPERM || errno == EACCES);
    return 0;
}

static int reach_for_the_collectors_files(struct stage *stage, int number)
{
    static const char *const files[] = {"collector/lock", "collector/name", "collector/shard-0"};
    char path[2 * STAGE_PATH_BYTES];
    char other[2 * STAGE_PATH_BYTES];

    (void)number;
    MUST(opendir(stage->runtime) == NULL && errno == EACCES); /* whose regions there are is not told either */
    name_in_runtime("other", other);
    name_in_runtime("collector", path);
    MUST(opendir(path) == NULL && errno == EACCES);
    MUST(REFUSED(rename(path, other)));
    MUST(REFUSED(rmdir(path)));
    MUST(REFUSED(chmod(path, 0777)));
    name_in_runtime("collector/new", path);
    MUST(REFUSED(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600)));
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        name_in_runtime(files[i], path);
        MUST(REFUSED(open(path, O_RDONLY | O_CLOEXEC)));
        MUST(REFUSED(open(path, O_RDWR | O_CLOEXEC)));
        MUST(REFUSED(unlink(path)));
        MUST(REFUSED(rename(path, other)));
        MUST(REFUSED(link(path, other)));
    }
    return 0;
}

static void assert_modes(void)
{
    struct stat status;

    assert_int_equal(stat(users.stage->runtime, &status), 0);
    assert_int_equal(status.st_mode & 07777, 03773);
    assert_int_equal(status.st_uid, user.collector);
    assert_int_equal(lstat(victim, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    assert_int_equal(status.st_uid, user.alice);
    assert_int_equal(status.st_gid, user.collector); /* the directory's: so the collector may read it */
}

static void assert_all_exact(void)
{
    stage_wait_regions(users.stage, 0); /* the collector could remove what others have made */
    users_collector_end();
    stage_assert_exact(users.stage);
    stage_assert_law(users.stage, atomic_load(&users.stage->truth->recorded));
}

static void test_users_cannot_touch_what_is_anothers_and_are_counted_exactly(void **state)
{
    const uid_t both[] = {user.alice, user.mallory};
    struct stage *stage = *state;
    pid_t child[2];

    assert_int_equal(rmdir(stage->runtime), 0);
    assert_int_equal(chown(stage->dir, user.collector, user.collector), 0); /* the collector makes it itself */
    users_collector_start();
    for (int i = 0; i < 2; i++)
        child[i] = users_fork(both[i], gateway, 300);
    wait_note(NOTE_READY, 2);
    find_region(user.alice, victim);
    assert_modes();
    assert_int_equal(users_run(user.mallory, reach_for_a_region, 0), 0);
    assert_int_equal(users_run(user.mallory, reach_for_the_collectors_files, 0), 0);
    assert_int_equal(users_run(user.alice, reach_for_the_collectors_files, 0), 0);
    assert_int_equal(users_run(user.mallory, link_a_region, 0), 0);
    assert_int_equal(users_run(user.alice, link_a_region, 0), 0); /* its owner may */
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(stage_exit_code(child[i]), 0);
    stage_wait_regions(stage, 1); /* the second name, which is no region's */
    name_in_runtime("region-00000000000000000000000000000002", victim);
    assert_int_equal(unlink(victim), 0);
    assert_all_exact();
}

/* --- what was there before --- */

enum prepared { A_FOLDER, A_LINK, A_FILE, A_FIFO, PREPARED_COUNT };

static int prepare(const char *path, const char *target, int what)
{
    int result = -1;

    (void)umask(0);
    switch (what) {
    case A_FOLDER:
        result = mkdir(path, 0777);
        break;
    case A_LINK:
        result = mkdir(target, 0777) == 0 ? symlink(target, path) : -1;
        break;
    case A_FILE:
        result = mknod(path, S_IFREG | 0666, 0);
        break;
    default:
        result = mkfifo(path, 0666);
        break;
    }
    return result == 0 ? 0 : 1;
}

static int prepare_the_collectors_folder(struct stage *stage, int what)
{
    char folder[2 * STAGE_PATH_BYTES];
    char target[2 * STAGE_PATH_BYTES];

    (void)stage;
    name_in_runtime("collector", folder);
    name_in_runtime("target", target);
    return prepare(folder, target, what);
}

static void assert_empty(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *item;

    while (directory != NULL && (item = readdir(directory)) != NULL)
        assert_true(item->d_name[0] == '.');
    if (directory != NULL)
        (void)closedir(directory);
}

static void test_folder_prepared_by_another_user_is_refused_by_the_collector(void **state)
{
    char folder[2 * STAGE_PATH_BYTES];
    char target[2 * STAGE_PATH_BYTES];

    (void)state;
    atomic_store(users.stop, 1); /* one that is not refused leaves at once */
    name_in_runtime("collector", folder);
    name_in_runtime("target", target);
    for (int what = 0; what < PREPARED_COUNT; what++) {
        assert_int_equal(users_run(user.mallory, prepare_the_collectors_folder, what), 0);
        assert_int_equal(users_run(user.collector, users_collect, 0), 1); /* neither waits nor works in it */
        assert_int_equal(users_log_lines("error"), what + 1);
        assert_empty(folder);
        assert_empty(target);
        assert_int_equal(remove(folder), 0);
        if (what == A_LINK)
            assert_int_equal(remove(target), 0);
    }
    assert_int_equal(users_log_lines("/collector belongs to another user or can be written by others"), 1);
    assert_int_equal(users_log_lines("/collector: Not a directory"), PREPARED_COUNT - 1); /* a link is not followed */
}

/* --- the directory that a user has for himself --- */

static char own_directory[64]; /* that Alice would use, where nobody names one */
static char own_target[2 * STAGE_PATH_BYTES];

static int prepare_own_directory(struct stage *stage, int what)
{
    (void)stage;
    return prepare(own_directory, own_target, what);
}

/* Opens a producer where nobody names a directory. The exit status is the code without its sign. */
static int open_by_default(struct stage *stage, int number)
{
    tkr_producer *producer = NULL;
    int result;

    (void)stage;
    (void)number;
    (void)unsetenv("TOKENRING_RUNTIME_DIR");
    result = tkr_open(NULL, &producer);
    tkr_close(producer);
    return -result;
}

/* The real user is another: what counts is whose files it makes. */
static int open_by_default_under_another_effective_user(struct stage *stage, int number)
{
    if (setgroups(0, NULL) != 0 || setresgid(user.mallory, user.alice, user.alice) != 0 ||
        setresuid(user.mallory, user.alice, user.alice) != 0)
        return 125;
    return open_by_default(stage, number);
}

static int collect_by_default(struct stage *stage, int number)
{
    stage_env(stage, "TOKENRING_RUNTIME_DIR", ""); /* as good as not set */
    return users_collect(stage, number);
}

static void clear_own_directory(void)
{
    const char *argv[] = {"rm", "-rf", own_directory, own_target, NULL};
    struct process rm;

    assert_int_equal(process_run(&rm, argv, NULL, STAGE_DEADLINE_MS), 0);
    process_end(&rm);
}

static int clear_up(void **state)
{
    clear_own_directory();
    return users_tear_down(state);
}

static bool system_directory_is_there(void)
{
    if (access("/run/tokenring", F_OK) != 0)
        return false;
    (void)puts("skipped: /run/tokenring is there, which is the default then");
    return true;
}

static void test_own_directory_prepared_by_another_user_is_refused_by_both_sides(void **state)
{
    struct stage *stage = *state;
    int refusals = 0;

    if (system_directory_is_there())
        skip();
    atomic_store(users.stop, 1);
    for (int what = 0; what < PREPARED_COUNT; what++) {
        clear_own_directory();
        assert_int_equal(users_run(user.mallory, prepare_own_directory, what), 0);
        assert_int_equal(users_run(user.alice, open_by_default, 0), -TKR_ENODIR);
        assert_int_equal(users_run(user.alice, collect_by_default, 0), 1);
        assert_int_equal(users_log_lines("; set TOKENRING_RUNTIME_DIR to another"), ++refusals);
        assert_empty(own_directory);
        assert_empty(own_target);
    }
    clear_own_directory();
    assert_int_equal(stage_regions(stage), 0);
}

static void test_own_directory_is_closed_to_other_users(void **state)
{
    struct stage *stage = *state;
    struct stat status;

    if (system_directory_is_there())
        skip();
    clear_own_directory();
    assert_int_equal(stage_exit_code(stage_fork(stage, open_by_default_under_another_effective_user, 0)), 0);
    assert_int_equal(stat(own_directory, &status), 0);
    assert_int_equal(status.st_uid, user.alice);
    assert_int_equal(status.st_mode & 07777, 0700);
    (void)snprintf(stage->runtime, sizeof(stage->runtime), "%s", own_directory);
    assert_int_equal(stage_regions(stage), 1);
    assert_int_equal(users_run(user.mallory, gateway, 1), 1); /* told to go there, it cannot */
    assert_int_equal(stage_regions(stage), 1);
    assert_int_equal(chmod(own_directory, 0777), 0); /* opened to all, it is no directory for one */
    assert_int_equal(users_run(user.alice, open_by_default, 0), -TKR_ENODIR);
}

/* --- a nuisance --- */

#define NUISANCES 4000

static int fill_the_directory(struct stage *stage, int number)
{
    static const char garbage[8192] = "no region";
    int directory = open(stage->runtime, O_PATH | O_DIRECTORY | O_CLOEXEC);

    (void)number;
    for (int i = 0; i < NUISANCES; i++) {
        char name[64];
        int fd = -1;
        int result = 0;
        (void)snprintf(name, sizeof(name), "%sregion-%032x", i % 8 == 7 ? "." : "", (unsigned)i * 2654435761u);
        switch (i % 8) {
        case 0:
            result = symlinkat("/etc/passwd", directory, name);
            break;
        case 1:
            result = mkfifoat(directory, name, 0666);
            break;
        case 2:
            result = mkdirat(directory, name, 0777);
            break;
        default:
            fd = openat(directory, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, i % 8 == 3 ? 0000 : 0666);
            result = fd >= 0 && write(fd, garbage, i % 2 == 0 ? sizeof(garbage) : 0) >= 0 ? 0 : -1;
            (void)close(fd);
            break;
        }
        MUST(result == 0);
    }
    return close(directory);
}

static void test_user_who_fills_the_directory_is_named_briefly_and_stops_nobody(void **state)
{
    struct stage *stage = *state;
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    pid_t alice;

    users_collector_start();
    alice = users_fork(user.alice, gateway, 300);
    wait_note(NOTE_READY, 1);
    assert_int_equal(users_run(user.mallory, fill_the_directory, 0), 0);
    while (users_log_lines("more files in the runtime directory") == 0) { /* it has seen them */
        assert_true(process_now_ms() < end);
        process_sleep_ms(5);
    }
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    assert_int_equal(stage_exit_code(alice), 0);
    assert_int_equal(users_run(user.alice, gateway, 300), 0); /* one that comes now */
    stage_wait_regions(stage, NUISANCES);
    assert_in_range(users_log_lines("warning"), 2, 40); /* a few in each minute that the test takes */
    assert_int_equal(kill(users.collector, 0), 0);
    users_collector_end();
    stage_assert_exact(stage);
    stage_assert_law(stage, atomic_load(&stage->truth->recorded));
    users_collector_start(); /* and one that finds them all there */
    assert_int_equal(users_run(user.alice, gateway, 300), 0);
    stage_wait_regions(stage, NUISANCES);
    assert_in_range(users_log_lines("warning"), 2, 40);
    users_collector_end();
    stage_assert_exact(stage);
}

/* --- a producer that harms its own --- */

static int change_mode(struct stage *stage, int mode)
{
    (void)stage;
    return chmod(victim, (mode_t)mode) == 0 ? 0 : 1;
}

static void test_region_whose_owner_closes_it_waits_until_it_is_opened(void **state)
{
    struct stage *stage = *state;
    long end = process_now_ms() + STAGE_DEADLINE_MS;
    pid_t alice = users_fork(user.alice, gateway, 200);
    pid_t mallory;

    wait_note(NOTE_READY, 1);
    mallory = users_fork(user.mallory, gateway, 200);
    wait_note(NOTE_READY, 2);
    find_region(user.mallory, victim);
    assert_int_equal(users_run(user.mallory, change_mode, 0), 0);
    users_collector_start();
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    assert_int_equal(stage_exit_code(alice), 0);
    assert_int_equal(stage_exit_code(mallory), 0);
    stage_wait_regions(stage, 1); /* hers is counted and gone; his waits */
    while (users_log_lines("cannot be opened: Permission denied") == 0) {
        assert_true(process_now_ms() < end);
        process_sleep_ms(5);
    }
    assert_int_equal(users_run(user.mallory, change_mode, 0660), 0);
    assert_all_exact();
}

/* Records an account of its own, so many calls, has them counted, and as many more when it is told; what is lost is its own. */
static int careless_gateway(struct stage *stage, int calls)
{
    tkr_producer *producer = stage_producer(stage);
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;

    start.cycle = STAGE_CYCLE;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "careless", .len = 8};
    usage.prompt = 1;
    if (producer == NULL)
        return 1;
    for (int i = 0; i < calls; i++) {
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 2;
    }
    if (tkr_sync(producer, STAGE_DEADLINE_MS) != TKR_OK)
        return 3;
    atomic_fetch_add(&stage->truth->note[NOTE_READY], 1);
    while (atomic_load(&stage->truth->note[NOTE_GO]) == 0)
        process_sleep_ms(1);
    for (int i = 0; i < calls; i++) {
        if (tkr_record(producer, &start, &usage) != TKR_OK)
            return 4;
    }
    tkr_close(producer);
    return 0;
}

static int64_t careless_calls(void)
{
    struct stage_rows *rows = stage_read(users.stage);
    int64_t calls = stage_counts(rows, TKR_KIND_USER, "careless", 8).value[TKR_COUNTER_CALLS];

    free(rows);
    return calls;
}

static void test_region_that_is_closed_once_the_collector_has_it_goes_on(void **state)
{
    struct stage *stage = *state;
    pid_t mallory;

    users_collector_start();
    mallory = users_fork(user.mallory, careless_gateway, 200);
    wait_note(NOTE_READY, 1);
    find_region(user.mallory, victim);
    assert_int_equal(users_run(user.mallory, change_mode, 0), 0);
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    assert_int_equal(stage_exit_code(mallory), 0);
    stage_wait_regions(stage, 0);
    users_collector_end();
    assert_int_equal(careless_calls(), 400);
    stage_assert_law(stage, 400);
}

static int cut(struct stage *stage, int bytes)
{
    (void)stage;
    return truncate(victim, bytes) == 0 ? 0 : 1;
}

static void stop_collector(void)
{
    int status = 0;

    assert_int_equal(kill(users.collector, SIGSTOP), 0);
    assert_int_equal(waitpid(users.collector, &status, WUNTRACED), users.collector);
    assert_true(WIFSTOPPED(status));
}

#define CUT_CALLS 100

/* Cuts Mallory's region to so many bytes while calls wait in it. */
static void cut_region(struct stage *stage, int bytes)
{
    pid_t mallory;

    atomic_store(&stage->truth->note[NOTE_GO], 0);
    atomic_store(&stage->truth->note[NOTE_READY], 0);
    mallory = users_fork(user.mallory, careless_gateway, CUT_CALLS);
    wait_note(NOTE_READY, 1);
    stop_collector();
    find_region(user.mallory, victim);
    atomic_store(&stage->truth->note[NOTE_GO], 1);
    assert_int_equal(stage_exit_code(mallory), 0);
    assert_int_equal(users_run(user.mallory, cut, bytes), 0);
    assert_int_equal(kill(users.collector, SIGCONT), 0);
    stage_wait_regions(stage, 0);
}

static void test_region_that_its_owner_cuts_is_set_aside_and_no_other(void **state)
{
    const int lanes_end = (int)(TKR_REGION_HEADER_BYTES + TKR_REGION_LANES_MAX * sizeof(struct tkr_lane));
    const int bytes[] = {0, TKR_REGION_HEADER_BYTES, lanes_end};
    struct stage *stage = *state;
    struct stage_law law;

    users_collector_start();
    for (int i = 0; i < 3; i++) {
        cut_region(stage, bytes[i]);
        assert_int_equal(users_log_lines("broke the rules of its format and is set aside"), i + 1);
        assert_int_equal(users_run(user.alice, gateway, 200), 0); /* while GO is set */
    }
    stage_wait_regions(stage, 0);
    users_collector_end();
    stage_assert_exact(stage);
    assert_int_equal(careless_calls(), 3 * CUT_CALLS); /* what had been counted stays */
    law = stage_law(stage);
    assert_int_equal(law.counted, atomic_load(&stage->truth->recorded) + 3 * CUT_CALLS);
    assert_int_equal(law.offered, law.counted + law.dropped);
    assert_in_range(law.dropped, CUT_CALLS + 2, 3 * CUT_CALLS); /* with its lanes gone a region says no number: one */
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, users_set_up, users_tear_down)
    const struct CMUnitTest tests[] = {
        T(test_users_cannot_touch_what_is_anothers_and_are_counted_exactly),
        T(test_folder_prepared_by_another_user_is_refused_by_the_collector),
        cmocka_unit_test_setup_teardown(test_own_directory_prepared_by_another_user_is_refused_by_both_sides, users_set_up,
                                        clear_up),
        cmocka_unit_test_setup_teardown(test_own_directory_is_closed_to_other_users, users_set_up, clear_up),
        T(test_user_who_fills_the_directory_is_named_briefly_and_stops_nobody),
        T(test_region_whose_owner_closes_it_waits_until_it_is_opened),
        T(test_region_that_is_closed_once_the_collector_has_it_goes_on),
        T(test_region_that_its_owner_cuts_is_set_aside_and_no_other),
    };

    users_require();
    (void)snprintf(own_directory, sizeof(own_directory), "/dev/shm/tokenring-%d", user.alice);
    (void)snprintf(own_target, sizeof(own_target), "/dev/shm/tokenring-test-target-%d", user.alice);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
