/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of `tokenring top`: what stands in which line, at widths and heights of terminals, of a look that is made up here. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/text.h"
#include "command/top/json.h"
#include "command/top/picture.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define USERS 30
#define REGIONS 3
#define NOW_NS (INT64_C(1795757575) * TKR_NS_PER_S) /* 05:32:55Z */
#define RUNNING 1

static struct tkr_top_usage usage[USERS + 3];
static char names[USERS + 3][32];
static struct tkr_balance_shard shard;
static struct tkr_balance_region region[REGIONS];
static struct tkr_top_region done[REGIONS];
static struct tkr_board_account near_limit;
static struct tkr_health health;

static void put_usage(size_t i, bool model, uint64_t kind, const char *name, int64_t total, int64_t since)
{
    (void)snprintf(names[i], sizeof(names[i]), "%s", name);
    usage[i] =
        (struct tkr_top_usage){.model = model, .kind = kind, .name = names[i], .name_len = (uint32_t)strlen(name), .look = 2};
    usage[i].total = (struct tkr_top_figures){.tokens = total, .calls = total / 100, .errors = 1};
    usage[i].since = (struct tkr_top_figures){
        .tokens = since, .calls = since / 100, .cost_nano_usd = since * 1000, .duration_ms = since / 100 * 250};
}

/* Users use the less the higher their number; a team; two models; two seconds lie between the looks. */
static struct tkr_top_look make_look(void)
{
    struct tkr_top_look look = {.time_ns = NOW_NS, .span_ns = 2 * TKR_NS_PER_S};
    char name[32];

    for (int i = 0; i < USERS; i++) {
        (void)snprintf(name, sizeof(name), "user-%02d", i);
        put_usage((size_t)i, false, TKR_KIND_USER, name, 1000000 + i, 2000 * (USERS - i));
    }
    put_usage(USERS, false, TKR_KIND_TEAM, "red", 5000000, 0);
    put_usage(USERS + 1, true, 0, "openai/gpt-4o", 7000000, 4000);
    put_usage(USERS + 2, true, 0, "o1", 10, 2);
    look.rates = (struct tkr_top_rates){.usage = usage, .count = USERS + 3, .accounts = USERS + 1, .look = 2};
    look.rates.users_since.tokens = 930000;
    for (uint32_t i = 0; i < REGIONS; i++) {
        region[i] = (struct tkr_balance_region){.pid = 4242 + i, .alive = i != 2, .shard = 0, .standing = TKR_REGION_ACTIVE};
        (void)snprintf(region[i].name, sizeof(region[i].name), "region-%08x%024d", 0xabcdef00u + i, 0);
        (void)snprintf(region[i].command, sizeof(region[i].command), "gateway");
        region[i].balance = (struct tkr_balance){.offered = 5000 * (i + 1), .counted = 5000 * (i + 1), .open_calls = i};
        done[i] = (struct tkr_top_region){.offered = 400 * i, .counted = 300 * i};
    }
    shard.name = 0x0123456789abcdef;
    look.balance = (struct tkr_host_balance){
        .collector_running = RUNNING, .shard_count = 1, .region_count = REGIONS, .shard = &shard, .region = region};
    look.balance.host = (struct tkr_balance){.offered = 30010, .counted = 30000, .in_lanes = 7, .open_calls = 3};
    look.balance.host.dropped[TKR_DROP_LANES_FULL] = 3;
    look.before = (struct tkr_balance){.offered = 29010};
    look.region = done;
    (void)snprintf(health.sink, sizeof(health.sink), "sqlite at /var/lib/tokenring/ledger.db");
    health.state = TKR_HEALTH_GOOD;
    health.since_ns = NOW_NS;
    look.balance.health = &health;
    near_limit = (struct tkr_board_account){.cycle = 20261101, .id_len = 5, .id = "alice"};
    near_limit.figures =
        (struct tkr_board_figures){.limit = 1000, .used = 900, .reserved = 50, .fresh_ns = tkr_clock_monotonic_ns()};
    look.limits = (struct tkr_command_board_accounts){.account = &near_limit, .count = 1};
    return look;
}

static int set_up(void **state)
{
    (void)state;
    memset(&health, 0, sizeof(health));
    return setlocale(LC_CTYPE, "C.UTF-8") != NULL ? 0 : -1;
}

static struct tkr_top_picture draw(const struct tkr_top_look *look, const struct tkr_top_wish *wish, size_t columns, size_t rows)
{
    struct tkr_top_picture picture = {.line = NULL};

    assert_true(tkr_top_picture_draw(look, wish, columns, rows, &picture));
    for (size_t i = 0; i < picture.count; i++)
        assert_int_equal(tkr_command_text_width(picture.line[i].text), columns); /* never more, which would wrap, nor less */
    if (rows > 0)
        assert_int_equal(picture.count, rows);
    return picture;
}

/* The first line that begins so; NULL: none does. */
static const char *line_of(const struct tkr_top_picture *picture, const char *begin)
{
    for (size_t i = 0; i < picture->count; i++) {
        if (strncmp(picture->line[i].text, begin, strlen(begin)) == 0)
            return picture->line[i].text;
    }
    return NULL;
}

static void expect_line(const struct tkr_top_picture *picture, const char *begin, const char *all)
{
    const char *line = line_of(picture, begin);
    size_t len = line != NULL ? strlen(line) : 0;

    while (len > 0 && line[len - 1] == ' ')
        len--;
    if (len != strlen(all) || memcmp(line, all, len) != 0)
        fail_msg("\"%s\" instead of \"%s\"", line != NULL ? line : "no line", all);
}

static void expect_none(const struct tkr_top_picture *picture, const char *begin)
{
    if (line_of(picture, begin) != NULL)
        fail_msg("there is a line \"%s\"", line_of(picture, begin));
}

static void test_wide_picture_has_all_parts(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.interval_s = 2, .limit = SIZE_MAX};
    struct tkr_top_picture picture = draw(&look, &wish, 100, 30);

    (void)state;
    expect_line(&picture, "tokenring top", "tokenring top 05:32:55Z  collector 0123456789abcdef  every 2 s");
    expect_line(&picture, "calls/s", "calls/s 500  users' tokens/s 465k  open calls 3");
    expect_line(&picture, "offered", "offered 30010 = counted 30000  + in lanes 7 + dropped 3: holds");
    expect_line(&picture, "dropped", "dropped, lanes_full: 3");
    expect_line(&picture, "sink", "sink sqlite at /var/lib/tokenring/ledger.db: takes usage  waiting 0  parked 0");
    expect_line(&picture, "account",
                "account 31                          tokens/s*  calls/s   tokens   calls  errors/s     USD/s  ms/call");
    expect_line(&picture, "user-00",
                "user-00                                 30000      300    1.00M   10000         0    0.0300      250");
    expect_line(&picture, "model",
                "model 2                             tokens/s*  calls/s   tokens   calls  errors/s     USD/s  ms/call");
    expect_line(&picture, "openai/gpt-4o",
                "openai/gpt-4o                            2000     20.0    7.00M   70000         0    0.0020      250");
    expect_line(&picture, "region",
                "region 3                                calls/s  in lanes  dropped   open    calls  counted/s  shard");
    expect_line(&picture, "4244",
                "4244 gateway abcdef02 dead                  400         0        0      2    15000        300      0");
    assert_non_null(
        strstr(line_of(&picture, "alice"), " 95.0         50     soft     1000        50  2026-11-01 ")); /* and its age */
    assert_int_equal(picture.line[0].style, TKR_TOP_TITLE);
    assert_int_equal(picture.line[29].style, TKR_TOP_FOOT);
    assert_non_null(strstr(picture.line[29].text, "q quit"));
    tkr_top_picture_free(&picture);
}

static void test_narrow_picture_keeps_the_first_columns(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.interval_s = 2, .limit = SIZE_MAX};
    struct tkr_top_picture picture = draw(&look, &wish, 40, 15);

    (void)state;
    expect_line(&picture, "tokenring top", "tokenring top 05:32:55Z  every 2 s");
    expect_line(&picture, "calls/s", "calls/s 500  tokens/s 465k  open 3");
    expect_line(&picture, "offered", "offered 30010 = counted 30000");
    expect_line(&picture, "+ in", "+ in lanes 7 + dropped 3: holds");
    expect_line(&picture, "sink", "sink: takes usage  waiting 0  parked 0");
    expect_line(&picture, "account", "account 31   tokens/s*  calls/s   tokens");
    expect_line(&picture, "user-00", "user-00          30000      300    1.00M");
    assert_non_null(strstr(picture.line[14].text, "q quit"));
    tkr_top_picture_free(&picture);
}

/* From one column and one row to more than there is to show. */
static void test_picture_of_any_size_fills_it_exactly(void **state)
{
    struct tkr_top_look look = make_look();

    (void)state;
    (void)snprintf(look.missed.text, sizeof(look.missed.text), "regions come and go faster than they can be read");
    for (size_t columns = 1; columns <= 220; columns += columns < 60 ? 1 : 40) {
        for (size_t rows = 1; rows <= 60; rows += rows < 20 ? 1 : 20) {
            for (int part = TKR_TOP_ALL; part < TKR_TOP_PART_COUNT; part++) {
                struct tkr_top_wish wish = {.interval_s = 2, .limit = SIZE_MAX, .part = (enum tkr_top_part)part};
                struct tkr_top_picture picture = draw(&look, &wish, columns, rows);
                tkr_top_picture_free(&picture);
                wish.help = true;
                picture = draw(&look, &wish, columns, rows);
                tkr_top_picture_free(&picture);
            }
        }
    }
}

static void test_help_fits_a_small_terminal(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.help = true, .limit = SIZE_MAX};
    struct tkr_top_picture picture = draw(&look, &wish, 40, 15);

    (void)state;
    expect_line(&picture, "q ", "q           quit");
    for (size_t i = 0; i + 1 < picture.count; i++)
        assert_null(strchr(picture.line[i].text, '~'));
    tkr_top_picture_free(&picture);
}

static void test_part_is_scrolled(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = SIZE_MAX, .part = TKR_TOP_ACCOUNTS, .first = 25};
    struct tkr_top_picture picture = draw(&look, &wish, 80, 20);

    (void)state;
    assert_int_equal(picture.rows, USERS + 1);
    expect_none(&picture, "user-24");
    expect_none(&picture, "model");
    assert_non_null(line_of(&picture, "user-25"));
    assert_non_null(line_of(&picture, "user-29"));
    assert_non_null(line_of(&picture, "team:red")); /* which used nothing of late */
    tkr_top_picture_free(&picture);
}

static void test_filter_is_told_and_counted(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = SIZE_MAX, .order = {.filter = "USER-0"}};
    struct tkr_top_picture picture = draw(&look, &wish, 100, 40);

    (void)state;
    expect_line(&picture, "only", "only names with \"USER-0\"");
    assert_int_equal(strncmp(line_of(&picture, "account"), "account 10/31 ", 14), 0);
    expect_none(&picture, "user-1");
    expect_none(&picture, "openai");
    expect_none(&picture, "4242");
    tkr_top_picture_free(&picture);
}

static void test_first_look_knows_no_rates(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = SIZE_MAX};
    struct tkr_top_picture picture;

    (void)state;
    look.span_ns = 0;
    picture = draw(&look, &wish, 100, 60);
    expect_line(&picture, "calls/s", "calls/s -  users' tokens/s -  open calls 3");
    expect_line(&picture, "user-29",
                "user-29                                     -        -    1.00M   10000         -         -      250");
    tkr_top_picture_free(&picture);
}

static void test_trouble_is_told_in_alarm(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = SIZE_MAX};
    struct tkr_top_picture picture;
    bool alarmed = false;

    (void)state;
    look.balance.collector_running = false;
    health.state = TKR_HEALTH_FAILING;
    (void)snprintf(health.error, sizeof(health.error), "cannot connect to Redis:\x1b[2J Connection refused");
    look.balance.host.counted = 1;
    picture = draw(&look, &wish, 100, 30);
    assert_non_null(line_of(&picture, "the collector is not running"));
    assert_non_null(strstr(line_of(&picture, "sink"), "DOES NOT TAKE USAGE"));
    assert_non_null(strstr(line_of(&picture, "offered"), "DOES NOT HOLD"));
    for (size_t i = 0; i < picture.count; i++) {
        assert_null(strchr(picture.line[i].text, '\x1b'));
        alarmed |= picture.line[i].style == TKR_TOP_ALARM && strstr(picture.line[i].text, "cannot connect to Redis") != NULL;
    }
    assert_true(alarmed);
    tkr_top_picture_free(&picture);
    health.state = TKR_HEALTH_GOOD;
    (void)snprintf(health.advice, sizeof(health.advice), "Redis may evict any key");
    picture = draw(&look, &wish, 100, 30);
    assert_non_null(strstr(line_of(&picture, "sink"), "takes usage"));
    assert_non_null(line_of(&picture, "Redis may evict any key"));
    tkr_top_picture_free(&picture);
}

static void test_plain_picture_has_as_many_rows_as_are_wanted(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = 2};
    struct tkr_top_picture picture = draw(&look, &wish, 100, 0);

    (void)state;
    assert_non_null(line_of(&picture, "user-01"));
    expect_none(&picture, "user-02");
    assert_non_null(line_of(&picture, "o1"));
    expect_none(&picture, "a all"); /* keys are for screens */
    tkr_top_picture_free(&picture);
}

static void test_json_has_the_figures_of_the_picture(void **state)
{
    struct tkr_top_look look = make_look();
    struct tkr_top_wish wish = {.limit = 2};
    json_t *json = tkr_top_json(&look, &wish);
    const json_t *first = json_array_get(json_object_get(json, "accounts"), 0);

    (void)state;
    assert_int_equal(json_array_size(json_object_get(json, "accounts")), 2);
    assert_string_equal(json_string_value(json_object_get(first, "account")), "user-00");
    assert_true(json_real_value(json_object_get(first, "tokens_per_s")) == 30000);
    assert_true(json_real_value(json_object_get(first, "calls_per_s")) == 300);
    assert_int_equal(json_integer_value(json_object_get(first, "tokens")), 1000000);
    assert_int_equal(json_integer_value(json_object_get(json, "account_count")), USERS + 1);
    assert_true(json_real_value(json_object_get(json, "calls_per_s")) == 500);
    assert_int_equal(json_array_size(json_object_get(json, "regions")), 2);
    assert_int_equal(json_array_size(json_object_get(json, "limits")), 1);
    json_decref(json);
    look.span_ns = 0;
    json = tkr_top_json(&look, &wish);
    assert_true(json_is_null(json_object_get(json, "calls_per_s")));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_wide_picture_has_all_parts, set_up),
        cmocka_unit_test_setup(test_narrow_picture_keeps_the_first_columns, set_up),
        cmocka_unit_test_setup(test_picture_of_any_size_fills_it_exactly, set_up),
        cmocka_unit_test_setup(test_help_fits_a_small_terminal, set_up),
        cmocka_unit_test_setup(test_part_is_scrolled, set_up),
        cmocka_unit_test_setup(test_filter_is_told_and_counted, set_up),
        cmocka_unit_test_setup(test_first_look_knows_no_rates, set_up),
        cmocka_unit_test_setup(test_trouble_is_told_in_alarm, set_up),
        cmocka_unit_test_setup(test_plain_picture_has_as_many_rows_as_are_wanted, set_up),
        cmocka_unit_test_setup(test_json_has_the_figures_of_the_picture, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
