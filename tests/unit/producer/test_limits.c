/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tkr_limit_check, and calls that reserve, on a board that the test keeps itself: there, missing, old, replaced, of another kind.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "collector/board.h"
#include "producer/limits.h"
#include "unit/producer/fixture.h"

#define AGE_MS 60000
#define OTHER_BOARD_MS 3000

static int directory;
static struct tkr_board board;
static tkr_producer *producer;

static void make_board(void)
{
    tkr_message message;

    tkr_board_unmap(&board);
    if (tkr_board_make(directory, TKR_BOARD_ACCOUNTS_MIN, &board, &message) != 0)
        fail_msg("%s", message.text);
}

static void open_producer(uint32_t flags)
{
    tkr_options options = fixture_options();

    options.flags = flags;
    options.limit_max_age_ms = AGE_MS;
    options.region_bytes_max = SMALL_BUDGET;
    tkr_close(producer);
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
}

static int setup(void **state)
{
    memset(&board, 0, sizeof(board));
    producer = NULL;
    if (fixture_setup(state) != 0 || (directory = open(fixture_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return -1;
    return 0;
}

static int teardown(void **state)
{
    tkr_close(producer);
    tkr_board_unmap(&board);
    (void)close(directory);
    return fixture_teardown(state);
}

static tkr_account account_of(const char *id)
{
    return (tkr_account){.id = id, .len = (uint32_t)strlen(id)};
}

/* Takes an account up and says this of it, age_ms ago. */
static void put(const char *id, int64_t limit, int64_t used, int64_t age_ms)
{
    struct tkr_board_key key;
    uint32_t number;
    uint64_t seq;

    tkr_board_key(&board, TKR_KIND_USER, id, (uint32_t)strlen(id), CYCLE, &key);
    if (!tkr_board_find(&board, &key, &number, &seq))
        assert_true(tkr_board_take(&board, &key, UINT64_MAX, &number));
    tkr_board_publish(&board, number, limit, used, tkr_clock_monotonic_ns() - age_ms * TKR_NS_PER_MS);
}

static tkr_limit check(const char *id, int64_t want)
{
    tkr_account account = account_of(id);
    tkr_limit limit = TKR_LIMIT_INIT;

    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, want, &limit), TKR_OK);
    return limit;
}

static int begin(const char *first, const char *second, int64_t reserve, tkr_call *ret_call)
{
    tkr_start start = TKR_START_INIT;

    start.account_count = second != NULL ? 2 : 1;
    start.account[0] = account_of(first);
    if (second != NULL)
        start.account[1] = account_of(second);
    start.cycle = CYCLE;
    start.reserve = reserve;
    return tkr_call_begin(producer, &start, ret_call);
}

static void end(tkr_call call)
{
    tkr_usage usage = TKR_USAGE_INIT;

    usage.prompt = 1;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
}

/* A collector counts all that has ended, and obeys its releases. */
static struct drained count_all(void)
{
    struct drained sum;

    drain_board = &board;
    assert_true(drain_directory(fixture_dir, true, &sum));
    drain_board = NULL;
    return sum;
}

/* Asks until the producer has found the board that is there now. */
static tkr_limit check_new_board(const char *id, int64_t limit)
{
    int64_t deadline = tkr_clock_monotonic_ns() + OTHER_BOARD_MS * TKR_NS_PER_MS;
    tkr_limit found = check(id, 0);

    while (found.limit != limit && tkr_clock_monotonic_ns() < deadline)
        found = check(id, 0);
    assert_int_equal(found.limit, limit);
    return found;
}

static void test_verdict_follows_the_figures(void **state)
{
    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    assert_int_equal(check("alice", 799).verdict, TKR_LIMIT_ALLOWED);
    assert_int_equal(check("alice", 800).verdict, TKR_LIMIT_SOFT);
    assert_int_equal(check("alice", 1000).verdict, TKR_LIMIT_SOFT);
    assert_int_equal(check("alice", 1001).verdict, TKR_LIMIT_REFUSED);
    put("alice", 1000, 999, 0);
    assert_int_equal(check("alice", TKR_ABSENT).verdict, TKR_LIMIT_SOFT);
    assert_int_equal(check("alice", 1).remaining, 1);
    put("alice", 1000, 1000, 0);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_REFUSED);
    put("alice", 1000, 5000, 0);
    assert_int_equal(check("alice", 0).remaining, 0);
    put("alice", 0, 5000, 0);
    assert_int_equal(check("alice", TKR_TOKENS_MAX).verdict, TKR_LIMIT_ALLOWED);
    put("alice", INT64_MAX, INT64_MAX, 0); /* written into the sink by hand */
    (void)check("alice", TKR_TOKENS_MAX);
    put("alice", INT64_MAX, INT64_MIN, 0);
    assert_int_equal(check("alice", TKR_TOKENS_MAX).used, 0);
}

static void test_account_that_is_not_known_is_let_through_or_refused(void **state)
{
    tkr_call call;

    (void)state;
    open_producer(0);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN); /* no board */
    assert_int_equal(begin("alice", NULL, 10, &call), TKR_OK);
    end(call);
    make_board();
    open_producer(0);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN); /* not on it */
    assert_int_equal(check("alice", 0).age_ns, TKR_ABSENT);
    put("alice", 1000, 100, AGE_MS + 1000);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN); /* too old, and told all the same */
    assert_int_equal(check("alice", 0).limit, 1000);
    assert_true(check("alice", 0).age_ns > AGE_MS * TKR_NS_PER_MS);
    assert_int_equal(begin("alice", NULL, 5000, &call), TKR_OK);
    assert_int_equal(check("alice", 0).reserved, 0); /* it holds nothing */
    end(call);
    open_producer(TKR_LIMIT_CLOSED);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(begin("alice", NULL, 1, &call), TKR_ELIMIT);
    assert_int_equal(begin("alice", NULL, 0, &call), TKR_OK); /* who reserves nothing is not asked */
    end(call);
}

static void test_reserve_is_held_on_all_accounts_or_none(void **state)
{
    tkr_call call;
    tkr_call other;
    struct drained sum;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    put("team", 500, 100, 0);
    assert_int_equal(begin("alice", "team", 401, &call), TKR_ELIMIT);
    assert_int_equal(check("alice", 0).reserved, 0);
    assert_int_equal(check("team", 0).reserved, 0);
    assert_int_equal(begin("alice", "team", 400, &call), TKR_OK);
    assert_int_equal(check("alice", 0).reserved, 400);
    assert_int_equal(check("team", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(begin("alice", "unknown", 600, &other), TKR_OK); /* of those that are known */
    assert_int_equal(check("alice", 0).remaining, 0);
    end(other);
    end(call);
    assert_int_equal(check("alice", 0).reserved, 2); /* what each used, until it is counted */
    assert_int_equal(check("team", 0).reserved, 1);
    sum = count_all();
    assert_int_equal(sum.releases, 2);
    assert_int_equal(check("alice", 0).reserved, 0);
    assert_int_equal(check("team", 0).reserved, 0);
    assert_int_equal(sum.frames, 2);
    assert_int_equal(sum.open_calls, 0);
    assert_int_equal(sum.refused[-TKR_ELIMIT], 1);
}

static void expect_held(const char *id, int64_t tokens)
{
    assert_int_equal(check(id, 0).reserved, tokens);
}

/* What is held of a call that has ended is what it used, at most what it reserved, until that is counted. */
static void test_what_a_call_used_is_held_until_it_is_counted(void **state)
{
    static const struct {
        int64_t prompt;
        int64_t total;
        int64_t held;
    } cases[] = {{100, TKR_ABSENT, 100}, {400, TKR_ABSENT, 400}, {450, TKR_ABSENT, 400}, {0, TKR_ABSENT, 0}, {10, 90, 90}};
    tkr_call call;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_usage usage = TKR_USAGE_INIT;
        struct drained sum;
        usage.prompt = cases[i].prompt;
        usage.total = cases[i].total;
        assert_int_equal(begin("alice", NULL, 400, &call), TKR_OK);
        expect_held("alice", 400);
        assert_int_equal(tkr_call_end(producer, call, &usage), TKR_OK);
        expect_held("alice", cases[i].held);
        sum = count_all();
        assert_int_equal(sum.frames_released, 1);
        expect_held("alice", 0);
    }
}

/* Nothing is left for a collector to count or to give back. */
static void test_call_that_is_dropped_gives_back_all_at_once(void **state)
{
    tkr_usage usage = TKR_USAGE_INIT;
    tkr_start start = TKR_START_INIT;
    tkr_call call;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    start.account_count = 1;
    start.account[0] = account_of("filler");
    start.cycle = CYCLE;
    usage.prompt = 1;
    assert_int_equal(begin("alice", NULL, 400, &call), TKR_OK);
    while (tkr_record(producer, &start, &usage) == TKR_OK)
        continue;
    assert_int_equal(tkr_call_end(producer, call, &usage), TKR_EFULL);
    expect_held("alice", 0);
}

/* A release without a call follows what its thread recorded, in the same lane; where that cannot be told, none is published. */
static void test_release_without_a_call_is_published_only_behind_its_usage(void **state)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    struct tkr_limits_held held = {0};
    uint64_t lanes = 1;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    start.account_count = 1;
    start.account[0] = account_of("alice");
    start.cycle = CYCLE;
    usage.prompt = 1;
    while (lanes < 2) { /* until the thread has left a lane that is not drained */
        struct tkr_stat stat = {.size = sizeof(stat)};
        assert_int_equal(tkr_record(producer, &start, &usage), TKR_OK);
        assert_int_equal(tkr_stat_read(producer, &stat), TKR_OK);
        lanes = stat.lanes;
    }
    start.reserve = 300;
    assert_int_equal(tkr_limits_reserve(producer, &start, &held), TKR_OK);
    tkr_limits_release(producer, &held);
    assert_int_equal(count_all().releases, 0);
    expect_held("alice", 300); /* for a collector's sweep to mend */
    memset(&held, 0, sizeof(held));
    assert_int_equal(tkr_limits_reserve(producer, &start, &held), TKR_OK);
    tkr_limits_release(producer, &held);
    expect_held("alice", 600);
    assert_int_equal(count_all().releases, 1); /* by now all is drained */
    expect_held("alice", 300);
}

static void test_refused_calls_leave_slots_to_others(void **state)
{
    tkr_options options = fixture_options();
    tkr_call call[4];

    (void)state;
    make_board();
    options.max_open_calls = 4;
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    put("alice", 10, 10, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(begin("alice", NULL, 1, &call[0]), TKR_ELIMIT);
    for (int i = 0; i < 4; i++)
        assert_int_equal(begin("alice", NULL, 0, &call[i]), TKR_OK);
    for (int i = 0; i < 4; i++)
        end(call[i]);
}

static void test_replaced_board_is_found_and_what_was_held_goes_with_it(void **state)
{
    tkr_call call;
    tkr_call other;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    assert_int_equal(begin("alice", NULL, 400, &call), TKR_OK);
    make_board();
    assert_int_equal(check("alice", 0).limit, TKR_ABSENT);
    put("alice", 2000, 0, 0);
    assert_int_equal(check_new_board("alice", 2000).reserved, 0);
    assert_int_equal(begin("alice", NULL, 70, &other), TKR_OK);
    end(call);
    assert_int_equal(check("alice", 0).reserved, 70);
    end(other);
    assert_int_equal(check("alice", 0).reserved, 1);
    (void)count_all(); /* the release of the other board, too */
    assert_int_equal(check("alice", 0).reserved, 0);
}

/* Mappings of files of reservations that are there no more. */
static uint32_t count_left_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    uint32_t count = 0;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, "/reservations (deleted)") != NULL;
    (void)fclose(maps);
    return count;
}

/* Calls of each board end under later ones; each touches its own board's cells or none. */
static void test_calls_that_outlive_boards_touch_no_later_one(void **state)
{
    enum { BOARDS = 12 };
    tkr_call call[BOARDS];

    (void)state;
    make_board();
    open_producer(0);
    for (int64_t i = 0; i < BOARDS; i++) {
        make_board();
        put("alice", 1000 + i, 0, 0);
        (void)check_new_board("alice", 1000 + i);
        assert_int_equal(begin("alice", NULL, 100 + i, &call[i]), TKR_OK);
        assert_int_equal(check("alice", 0).reserved, 100 + i);
        if (i >= 2) {
            end(call[i - 2]);
            assert_int_equal(check("alice", 0).reserved, 100 + i);
        }
        assert_int_equal(count_left_mappings(), 0);
    }
    end(call[BOARDS - 2]);
    assert_int_equal(check("alice", 0).reserved, 100 + BOARDS - 1);
    end(call[BOARDS - 1]);
    assert_int_equal(check("alice", 0).reserved, 1);
    assert_int_equal(count_all().releases, BOARDS);
    assert_int_equal(check("alice", 0).reserved, 0);
}

static void test_board_of_another_size_takes_the_place_of_the_last(void **state)
{
    tkr_message message;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    assert_int_equal(check("alice", 0).limit, 1000);
    for (uint32_t accounts = 16 * TKR_BOARD_ACCOUNTS_MIN; accounts >= TKR_BOARD_ACCOUNTS_MIN; accounts /= 4) {
        tkr_board_unmap(&board);
        assert_int_equal(tkr_board_make(directory, accounts, &board, &message), 0);
        put("alice", accounts, 0, 0);
        (void)check_new_board("alice", accounts);
    }
}

static void spoil(const char *name, off_t at, const void *bytes, size_t count, off_t cut)
{
    int fd = openat(directory, name, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    if (bytes != NULL)
        assert_int_equal(pwrite(fd, bytes, count, at), (ssize_t)count);
    if (cut >= 0)
        assert_int_equal(ftruncate(fd, cut), 0);
    (void)close(fd);
}

static void test_files_that_are_no_board_are_passed_over(void **state)
{
    const uint32_t major = TKR_BOARD_MAJOR + 1;
    const uint8_t boot_id[TKR_BOOT_ID_BYTES] = {1};
    const struct {
        const char *what;
        const char *name;
        off_t at;
        const void *bytes;
        size_t count;
        off_t cut;
    } bad[] = {
        {"another layout", "board", offsetof(struct tkr_board_header, major), &major, sizeof(major), -1},
        {"another boot", "board", offsetof(struct tkr_board_header, boot_id), boot_id, sizeof(boot_id), -1},
        {"an empty file", "board", 0, NULL, 0, 0},
        {"a cut header", "board", 0, NULL, 0, 40},
        {"a cut board", "board", 0, NULL, 0, 100000},
        {"a cut file of reservations", "reservations", 0, NULL, 0, 5000},
        {"no reservations", "reservations", 0, NULL, 0, 0},
        {"reservations of another board", "reservations", offsetof(struct tkr_board_header, generation), boot_id, 8, -1},
    };
    tkr_call call;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        make_board();
        put("alice", 1000, 0, 0);
        tkr_board_unmap(&board); /* the test, too, would not survive a cut */
        spoil(bad[i].name, bad[i].at, bad[i].bytes, bad[i].count, bad[i].cut);
        open_producer(0);
        if (check("alice", 0).verdict != TKR_LIMIT_UNKNOWN)
            fail_msg("%s: it was believed", bad[i].what);
        assert_int_equal(begin("alice", NULL, 10, &call), TKR_OK);
        end(call);
    }
}

static void test_directory_or_link_of_that_name_is_no_board(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(directory, "board", 0700), 0);
    open_producer(0);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    assert_int_equal(unlinkat(directory, "board", AT_REMOVEDIR), 0);
    assert_int_equal(symlinkat("/dev/zero", directory, "board"), 0);
    open_producer(0);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    assert_int_equal(unlinkat(directory, "board", 0), 0);
}

static void test_child_of_a_fork_has_a_window_of_its_own(void **state)
{
    tkr_call call;
    int status;
    pid_t pid;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 0, 0);
    assert_int_equal(begin("alice", NULL, 400, &call), TKR_OK);
    pid = fork();
    if (pid == 0) {
        bool good = check("alice", 0).reserved == 400 && begin("alice", NULL, 700, &call) == TKR_ELIMIT &&
                    begin("alice", NULL, 600, &call) == TKR_OK && check("alice", 0).reserved == 1000;
        end(call);
        _exit(good && check("alice", 0).reserved == 401 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    end(call);
    assert_int_equal(check("alice", 0).reserved, 2);
    assert_int_equal(count_all().releases, 2);
    assert_int_equal(check("alice", 0).reserved, 0);
}

/* --- what the collector is told --- */

/* Watches in the first lane. */
static uint32_t count_watches(void)
{
    struct tkr_view *view = NULL;
    unsigned char bytes[TKR_LANE_BYTES_MIN * 4];
    uint32_t watches = 0;
    size_t count = 0;
    uint64_t head;
    DIR *listing = opendir(fixture_dir);
    tkr_message message;

    for (struct dirent *entry; view == NULL && (entry = readdir(listing)) != NULL;) {
        if (strncmp(entry->d_name, TKR_REGION_PREFIX, strlen(TKR_REGION_PREFIX)) == 0)
            assert_int_equal(tkr_view_open(directory, entry->d_name, true, &view, &message), TKR_VIEW_OK);
    }
    (void)closedir(listing);
    assert_non_null(view);
    assert_true(tkr_view_lanes_refresh(view));
    assert_true(tkr_view_lane_read(view, 0, 0, bytes, sizeof(bytes), &count, &head));
    for (size_t at = 0; at < count; at += tkr_frame_length(bytes + at, count - at)) {
        struct tkr_event event;
        assert_true(tkr_frame_decode(bytes + at, tkr_frame_length(bytes + at, count - at), &event));
        watches += event.type == TKR_FRAME_WATCH && event.cycle == CYCLE && event.account_count == 1;
    }
    tkr_view_close(view);
    return watches;
}

static void test_collector_is_told_of_an_account_once_a_second(void **state)
{
    int64_t began = tkr_clock_monotonic_ns();
    uint32_t watches;

    (void)state;
    make_board();
    open_producer(0);
    put("known", 1000, 0, 0);
    for (int i = 0; i < 1000; i++) {
        (void)check("alice", 0);
        (void)check("known", 0);
    }
    watches = count_watches();
    assert_in_range(watches, 1, 2 + (tkr_clock_monotonic_ns() - began) / TKR_NS_PER_S);
}

/* All accounts that are asked for within a moment, and not some a second. */
static void test_collector_is_told_of_as_many_accounts_as_half_a_lane_holds(void **state)
{
    char id[16];

    (void)state;
    make_board();
    open_producer(0);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(id, sizeof(id), "user-%d", i);
        (void)check(id, 0);
    }
    assert_true(count_watches() >= 100); /* more where the second changed meanwhile */
    for (int i = 100; i < 100000; i++) {
        (void)snprintf(id, sizeof(id), "user-%d", i);
        (void)check(id, 0);
    }
    assert_true(count_watches() <= 2048); /* the rest of the lane is for records */
    for (int i = 0; i < 100; i++) {
        tkr_call call;
        assert_int_equal(begin("alice", NULL, 0, &call), TKR_OK);
        end(call);
    }
}

static void test_blocked_account_is_refused_whatever_it_wants(void **state)
{
    tkr_limit limit;
    tkr_call call;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", TKR_BOARD_BLOCKED_LIMIT, TKR_BOARD_BLOCKED_BASE + 7, 0);
    limit = check("alice", 0);
    assert_int_equal(limit.verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(limit.limit, 0);
    assert_int_equal(limit.used, 7);
    assert_int_equal(limit.remaining, 0);
    assert_int_equal(begin("alice", NULL, 1, &call), TKR_ELIMIT);
    put("alice", 1, 0, 0); /* which is a limit */
    assert_int_equal(check("alice", 1).verdict, TKR_LIMIT_SOFT);
    assert_int_equal(check("alice", 2).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(check("alice", 1).limit, 1);
}

static uint32_t number_of(const char *id)
{
    struct tkr_board_key key;
    uint32_t number = 0;
    uint64_t seq;

    tkr_board_key(&board, TKR_KIND_USER, id, (uint32_t)strlen(id), CYCLE, &key);
    assert_true(tkr_board_find(&board, &key, &number, &seq));
    return number;
}

/* The limit may have been raised since: it is let through until it was looked at, for which the collector is asked. */
static void test_idle_account_is_not_refused_by_figures_that_are_old(void **state)
{
    uint64_t now_s = (uint64_t)(tkr_clock_monotonic_ns() / TKR_NS_PER_S);
    tkr_call call;

    (void)state;
    make_board();
    open_producer(0);
    put("alice", 1000, 2000, 3000);
    put("team", 500, 0, 3000);
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_UNKNOWN);
    assert_int_equal(check("alice", 0).limit, 1000); /* told all the same */
    assert_true(count_watches() >= 1);
    assert_int_equal(begin("alice", "team", 100, &call), TKR_OK);
    assert_int_equal(check("alice", 0).reserved, 0);
    assert_int_equal(check("team", 0).reserved, 100);             /* by old figures it has room */
    assert_int_equal(begin("alice", "team", 401, &call), TKR_OK); /* and is unknown where it has none */
    assert_int_equal(check("team", 0).reserved, 100);
    put("alice", 1000, 2000, 1000); /* it was looked at */
    assert_int_equal(check("alice", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(begin("alice", "team", 100, &call), TKR_ELIMIT);
    put("bob", 1000, 2000, 8000);
    tkr_board_ask(&board, number_of("bob"), now_s - 3); /* somebody asks, and the sink is away: known is what was known last */
    assert_int_equal(check("bob", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(begin("bob", NULL, 1, &call), TKR_ELIMIT);
    open_producer(TKR_LIMIT_CLOSED);
    put("carol", 1000, 2000, 3000);
    assert_int_equal(check("carol", 0).verdict, TKR_LIMIT_REFUSED);
    assert_int_equal(begin("carol", NULL, 1, &call), TKR_ELIMIT);
}

static int64_t end_of_cycle(int32_t anchor_day, int32_t offset_minutes, uint32_t flags, uint32_t cycle)
{
    tkr_options options = fixture_options();
    tkr_account account = account_of("alice");
    tkr_limit limit = TKR_LIMIT_INIT;

    options.anchor_day = anchor_day;
    options.utc_offset_minutes = offset_minutes;
    options.flags = flags;
    tkr_close(producer);
    assert_int_equal(tkr_open(&options, &producer), TKR_OK);
    for (int i = 0; i < 2; i++) { /* the second one from what the thread remembers */
        assert_int_equal(tkr_limit_check(producer, &account, cycle, 0, &limit), TKR_OK);
        assert_true(limit.cycle_end_ns != TKR_ABSENT);
    }
    return limit.cycle_end_ns;
}

#define AT(year, month, day) (tkr_days_from_civil(year, month, day) * INT64_C(86400000000000))
#define MINUTE INT64_C(60000000000)

static void test_end_of_the_cycle_is_told(void **state)
{
    uint32_t cycle;
    int64_t now_ns = tkr_clock_unix_ns();
    tkr_account account = account_of("alice");
    tkr_limit older = {.size = offsetof(tkr_limit, cycle_end_ns), .cycle_end_ns = 55};

    (void)state;
    assert_int_equal(end_of_cycle(1, 0, 0, 20261101), AT(2026, 12, 1));
    assert_int_equal(end_of_cycle(1, 0, 0, 20261201), AT(2027, 1, 1));
    assert_int_equal(end_of_cycle(31, 0, 0, 20260228), AT(2026, 3, 31));
    assert_int_equal(end_of_cycle(31, 0, 0, 20260131), AT(2026, 2, 28));
    assert_int_equal(end_of_cycle(15, 330, 0, 20261115), AT(2026, 12, 15) - 330 * MINUTE);
    assert_int_equal(end_of_cycle(15, -480, 0, 20261115), AT(2026, 12, 15) + 480 * MINUTE);
    assert_int_equal(end_of_cycle(1, 60, 0, 20261120), AT(2026, 12, 20) - 60 * MINUTE); /* another's month */
    assert_int_equal(end_of_cycle(1, 0, TKR_CYCLE_DAY, 20260210), AT(2026, 2, 11));     /* tests run in UTC */
    assert_int_equal(tkr_cycle(end_of_cycle(7, 120, 0, 0), 7, 120, &cycle), TKR_OK);
    assert_int_equal(cycle % 100, 7); /* what begins where this month's ends */
    assert_true(end_of_cycle(7, 120, 0, 0) > now_ns);
    assert_true(end_of_cycle(7, 120, 0, 0) < now_ns + INT64_C(32) * 86400 * TKR_NS_PER_S);
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, 0, &older), TKR_OK);
    assert_int_equal(older.cycle_end_ns, 55);
}

static void test_bad_arguments_are_refused_by_their_code(void **state)
{
    tkr_account account = account_of("alice");
    tkr_account bad = account_of("");
    tkr_limit limit = TKR_LIMIT_INIT;
    tkr_options options = fixture_options();
    tkr_producer *other;

    (void)state;
    open_producer(0);
    assert_int_equal(tkr_limit_check(NULL, &account, CYCLE, 0, &limit), TKR_EINVAL);
    assert_int_equal(tkr_limit_check(producer, NULL, CYCLE, 0, &limit), TKR_EINVAL);
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, 0, NULL), TKR_EINVAL);
    assert_int_equal(tkr_limit_check(producer, &bad, CYCLE, 0, &limit), TKR_EACCOUNT);
    assert_int_equal(tkr_limit_check(producer, &account, 20261301, 0, &limit), TKR_ECYCLE);
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, -2, &limit), TKR_ERANGE);
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, TKR_TOKENS_MAX + 1, &limit), TKR_ERANGE);
    assert_int_equal(tkr_limit_check(producer, &account, 0, 0, &limit), TKR_OK);
    limit.size = 4;
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, 0, &limit), TKR_ESIZE);
    limit = (tkr_limit){.size = 16, .used = 55};
    assert_int_equal(tkr_limit_check(producer, &account, CYCLE, 0, &limit), TKR_OK); /* an older caller */
    assert_int_equal(limit.used, 55);
    options.limit_warn_percent = 101;
    assert_int_equal(tkr_open(&options, &other), TKR_ERANGE);
    options.limit_warn_percent = 0;
    options.limit_max_age_ms = 86400001;
    assert_int_equal(tkr_open(&options, &other), TKR_ERANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_verdict_follows_the_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_account_that_is_not_known_is_let_through_or_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserve_is_held_on_all_accounts_or_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_call_used_is_held_until_it_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_that_is_dropped_gives_back_all_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_release_without_a_call_is_published_only_behind_its_usage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_calls_leave_slots_to_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replaced_board_is_found_and_what_was_held_goes_with_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_that_outlive_boards_touch_no_later_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_board_of_another_size_takes_the_place_of_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_are_no_board_are_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_or_link_of_that_name_is_no_board, setup, teardown),
        cmocka_unit_test_setup_teardown(test_child_of_a_fork_has_a_window_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collector_is_told_of_an_account_once_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collector_is_told_of_as_many_accounts_as_half_a_lane_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocked_account_is_refused_whatever_it_wants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_account_is_not_refused_by_figures_that_are_old, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_of_the_cycle_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_arguments_are_refused_by_their_code, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
