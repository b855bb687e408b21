/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a backup: what is printed is read back as it was; anything else is refused with what is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/parse.h"
#include "backup/print.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"

struct fixture {
    struct tkr_backup_counters counters;
    struct tkr_backup_line line;
    struct tkr_holdings holdings;
    tkr_message why;
};

/* The figures are numbered as this program numbers them. */
static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return -1;
    f->counters.count = TKR_COUNTER_COUNT;
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        f->counters.counter[i] = i;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    tkr_holdings_free(&f->line.holdings);
    tkr_holdings_free(&f->holdings);
    free(f);
    return 0;
}

static int read_text(struct fixture *f, const char *text)
{
    return tkr_backup_parse(text, strlen(text), &f->counters, &f->line, &f->why);
}

/* Prints the fixture's holdings and reads them into its line; frees the text. */
static void print_and_read(struct fixture *f)
{
    char *text = tkr_backup_print_account(&f->holdings);

    assert_non_null(text);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_null(memchr(text, '\n', strlen(text) - 1));
    if (tkr_backup_parse(text, strlen(text) - 1, &f->counters, &f->line, &f->why) != 0)
        fail_msg("%s: %s", text, f->why.text);
    assert_int_equal(f->line.kind, TKR_BACKUP_ACCOUNT);
    free(text);
}

static bool same_holding(const struct tkr_holding *a, const struct tkr_holding *b)
{
    if (a->model_len != b->model_len || memcmp(a->model, b->model, a->model_len) != 0 || a->share_count != b->share_count ||
        memcmp(&a->rest, &b->rest, sizeof(a->rest)) != 0 || memcmp(&a->total, &b->total, sizeof(a->total)) != 0)
        return false;
    for (uint32_t i = 0; i < a->share_count; i++) {
        if (strcmp(a->share[i].source, b->share[i].source) != 0 ||
            memcmp(&a->share[i].record, &b->share[i].record, sizeof(a->share[i].record)) != 0)
            return false;
    }
    return true;
}

static void assert_same(const struct tkr_holdings *a, const struct tkr_holdings *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->id_len, b->id_len);
    assert_memory_equal(a->id, b->id, a->id_len);
    assert_int_equal(a->cycle, b->cycle);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++)
        assert_true(same_holding(&a->holding[i], &b->holding[i]));
}

/* --- round trips --- */

static int64_t random_figure(struct test_random *random, bool negative)
{
    int64_t figure = (int64_t)(test_random_next(random) >> (2 + test_random_below(random, 62)));

    return negative && test_random_below(random, 2) == 0 ? -figure : figure;
}

static void random_counts(struct test_random *random, bool negative, tkr_counts *ret_counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_counts->value[i] = test_random_below(random, 3) == 0 ? random_figure(random, negative) >> 4 : 0;
}

/* Any bytes that a name may have. */
static size_t random_name(struct test_random *random, size_t max, char *ret_name)
{
    size_t len = 1 + test_random_below(random, test_random_below(random, 8) == 0 ? max : 12);
    bool bytes = test_random_below(random, 2) == 0;

    for (size_t i = 0; i < len; i++) {
        do
            ret_name[i] = (char)(bytes ? test_random_below(random, 256) : ' ' + test_random_below(random, 95));
        while ((unsigned char)ret_name[i] < 0x20 || ret_name[i] == 0x7f);
    }
    return len;
}

static void random_holding(struct test_random *random, struct tkr_holding *holding)
{
    uint64_t shares = test_random_below(random, 6);

    random_counts(random, true, &holding->rest);
    for (uint64_t i = 0; i < shares; i++) {
        struct tkr_record record = {.life = 1 + (test_random_next(random) >> test_random_below(random, 64))};
        char source[TKR_SOURCE_BYTES];

        record.life += record.life == 0;
        random_counts(random, false, &record.counts);
        (void)snprintf(source, sizeof(source), "%016llx.%d", (unsigned long long)test_random_next(random), (int)i);
        assert_true(tkr_holding_add(holding, source, strlen(source), &record));
    }
}

static void random_holdings(struct test_random *random, struct tkr_holdings *holdings)
{
    static const uint64_t kinds[] = {TKR_KIND_USER, TKR_KIND_TEAM, TKR_KIND_KEY, TKR_KIND_ORGANISATION};
    uint64_t models = test_random_below(random, 5);
    char name[TKR_ID_BYTES_MAX];
    tkr_message why;
    size_t len = random_name(random, TKR_ID_BYTES_MAX, name);

    assert_true(tkr_holdings_begin(holdings, kinds[test_random_below(random, 4)], name, (uint32_t)len, 20261101));
    holdings->limit = test_random_below(random, 2) == 0 ? -1 : 1 + random_figure(random, false);
    random_holding(random, &holdings->holding[0]);
    for (uint64_t i = 0; i < models; i++) {
        struct tkr_holding *holding = tkr_holdings_of(holdings, name, random_name(random, TKR_LABEL_BYTES_MAX, name));
        assert_non_null(holding);
        if (holding->share_count == 0)
            random_holding(random, holding);
    }
    assert_true(tkr_holdings_finish_rest(holdings, &why));
}

static void test_any_account_is_read_back_as_it_was(void **state)
{
    struct test_random random = test_random_start();
    struct fixture *f = *state;

    for (int i = test_light(20000); i > 0; i--) {
        random_holdings(&random, &f->holdings);
        print_and_read(f);
        assert_same(&f->holdings, &f->line.holdings);
    }
}

static void test_ids_that_are_no_utf8_are_in_hexadecimal(void **state)
{
    struct fixture *f = *state;
    char *text;

    assert_true(tkr_holdings_begin(&f->holdings, 0, "\xff\x61", 2, 0));
    f->holdings.limit = 7;
    text = tkr_backup_print_account(&f->holdings);
    assert_non_null(text);
    assert_string_equal(text, "{\"account_hex\":\"ff61\",\"kind\":\"user\",\"standing\":7}\n");
    free(text);
    print_and_read(f);
    assert_same(&f->holdings, &f->line.holdings);
}

static void test_head_source_and_end_are_read_back_as_they_were(void **state)
{
    const struct tkr_backup_head head = {.backup = "0123456789abcdef", .dataset = "fedcba9876543210", .made_s = 1795000000};
    const struct tkr_backup_end end = {.sources = 1, .accounts = 2, .limits = 3, .left_out = 4, .xxh64 = UINT64_MAX - 1};
    struct fixture *f = *state;
    char *texts[] = {tkr_backup_print_head(&head), tkr_backup_print_source("aa.0", UINT64_MAX), tkr_backup_print_end(&end)};

    for (int i = 0; i < 3; i++) {
        assert_non_null(texts[i]);
        if (tkr_backup_parse(texts[i], strlen(texts[i]) - 1, &f->counters, &f->line, &f->why) != 0)
            fail_msg("%s: %s", texts[i], f->why.text);
        free(texts[i]);
    }
    assert_string_equal(f->line.head.backup, head.backup);
    assert_string_equal(f->line.head.dataset, head.dataset);
    assert_int_equal(f->line.head.made_s, head.made_s);
    assert_string_equal(f->line.source.source, "aa.0");
    assert_true(f->line.source.seen == UINT64_MAX);
    assert_memory_equal(&f->line.end, &end, sizeof(end));
    assert_int_equal(f->counters.count, TKR_COUNTER_COUNT);
}

/* A later version numbers its counters as it likes: this one reads those that it knows by name. */
static void test_figures_are_numbered_by_the_head(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        read_text(f, "{\"tokenring_backup\":1,\"backup\":\"0123456789abcdef\",\"dataset\":\"0123456789abcdef\",\"made_s\":1,"
                     "\"counters\":[\"calls\",\"prompt_tokens\"]}"),
        0);
    assert_int_equal(read_text(f, "{\"account\":\"u\",\"kind\":\"user\",\"cycle\":\"2026-11-01\",\"rest\":[5,-6]}"), 0);
    assert_int_equal(f->line.holdings.holding[0].rest.value[TKR_COUNTER_CALLS], 5);
    assert_int_equal(f->line.holdings.holding[0].rest.value[TKR_COUNTER_PROMPT], -6);
    assert_int_equal(read_text(f, "{\"account\":\"u\",\"kind\":\"user\",\"cycle\":\"2026-11-01\",\"rest\":[5,6,7]}"), -1);
}

/* --- refusals --- */

#define HEAD(more) "{\"tokenring_backup\":1,\"backup\":\"0123456789abcdef\",\"dataset\":\"0123456789abcdef\"," more "}"
#define ACCOUNT(more) "{\"account\":\"u\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"" more "}"
#define END(more) "{\"end\":{\"sources\":1,\"accounts\":1,\"limits\":1," more "}}"

static void test_what_is_none_of_a_backups_lines_is_refused(void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        {"", "no JSON object, from byte 0"},
        {"x", "no JSON object"},
        {"[]", "no JSON object"},
        {"{}", "none of a backup's lines"},
        {"{\"a\":1}", "none of a backup's lines"},
        {"{\"source\":\"a.0\",\"source\":\"b.0\",\"seen\":\"1\"}", "no JSON object"}, /* which one? */
        {"{\"tokenring_backup\":\"1\"}", "its format is no number"},
        {"{\"tokenring_backup\":0}", "its format is no number"},
        {"{\"tokenring_backup\":2,\"what\":\"ever\"}", "its format is 2, known is 1: it was made by a newer tokenring"},
        {HEAD("\"made_s\":1"), "it lacks \"counters\""},
        {HEAD("\"made_s\":1,\"counters\":[\"calls\"],\"more\":1"), "a key that this version does not know"},
        {HEAD("\"made_s\":-1,\"counters\":[\"calls\"]"), "is no time"},
        {HEAD("\"made_s\":1,\"counters\":[]"), "no list of counters"},
        {HEAD("\"made_s\":1,\"counters\":\"calls\""), "no list of counters"},
        {HEAD("\"made_s\":1,\"counters\":[\"calls\",\"sheep\"]"), "a counter that this version does not know"},
        {HEAD("\"made_s\":1,\"counters\":[\"calls\",1]"), "a counter that this version does not know"},
        {HEAD("\"made_s\":1,\"counters\":[\"calls\",\"calls\"]"), "a counter twice"},
        {"{\"tokenring_backup\":1,\"backup\":\"0123456789abcdeF\",\"dataset\":\"0123456789abcdef\",\"made_s\":1,\"counters\":[]}",
         "is not 16 digits"},
        {"{\"source\":\"a.0\",\"seen\":1}", "its \"seen\" is no number"},
        {"{\"source\":\"a.0\",\"seen\":\"01\"}", "its \"seen\" is no number"},
        {"{\"source\":\"a.0\",\"seen\":\"18446744073709551616\"}", "its \"seen\" is no number"},
        {"{\"source\":\"a:0\",\"seen\":\"1\"}", "its \"source\" is none"},
        {"{\"source\":\"\",\"seen\":\"1\"}", "its \"source\" is none"},
        {"{\"source\":\"backup.0123\",\"seen\":\"1\"}", "its \"source\" is none"},
        {"{\"source\":\"123456789012345678901234\",\"seen\":\"1\"}", "its \"source\" is none"},
        {"{\"account\":\"u\",\"cycle\":\"2026-11-01\"}", "none of a backup's lines"},
        {"{\"account\":\"u\",\"kind\":\"User\",\"cycle\":\"2026-11-01\"}", "its \"kind\" is no kind"},
        {"{\"account\":\"u\",\"kind\":\"user\",\"cycle\":\"2026-02-30\"}", "its \"cycle\" is no date"},
        {"{\"account\":\"u\",\"kind\":\"user\",\"cycle\":20261101}", "its \"cycle\" is no date"},
        {"{\"account\":\"u\",\"kind\":\"user\"}", "it lacks \"cycle\""},
        {"{\"account\":\"\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not 1 to 255 bytes"},
        {"{\"account\":\"\\u0001\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account\":\"a\\u0000b\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "no JSON object"},
        {"{\"account\":\"\xff\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "no JSON object"},
        {"{\"account_hex\":\"f\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account_hex\":\"fg\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account_hex\":\"0041\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account_hex\":\"0a\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account_hex\":\"41\",\"account\":\"A\",\"kind\":\"user\",\"cycle\":\"2026-11-01\"}", "its \"account\" is not"},
        {"{\"account\":\"u\",\"kind\":\"user\",\"standing\":-1}", "its limit is no number from 0 on"},
        {"{\"account\":\"u\",\"kind\":\"user\",\"standing\":1,\"cycle\":\"2026-11-01\"}",
         "a key that this version does not know"},
        {ACCOUNT(",\"limit\":\"5\""), "its limit is no number from 0 on"},
        {ACCOUNT(",\"limit\":9223372036854775808"), "no JSON object"},
        {ACCOUNT(",\"rest\":5"), "its \"rest\" is no list"},
        {ACCOUNT(",\"rest\":[1.5]"), "its \"rest\" is no list"},
        {ACCOUNT(",\"rest\":[1,2,3,4,5,6,7,8,9,10,11,12]"), "its \"rest\" is no list"},
        {ACCOUNT(",\"records\":[]"), "its \"records\" are no object"},
        {ACCOUNT(",\"records\":{\"a.0\":[]}"), "one of its records is none"},
        {ACCOUNT(",\"records\":{\"a.0\":[\"0\",1]}"), "one of its records is none"},
        {ACCOUNT(",\"records\":{\"a.0\":[7,1]}"), "one of its records is none"},
        {ACCOUNT(",\"records\":{\"a.0\":[\"7\",-1]}"), "one of its records is none"},
        {ACCOUNT(",\"records\":{\"a:0\":[\"7\",1]}"), "one of its records is none"},
        {ACCOUNT(",\"records\":{\"a.0\":[\"7\",9223372036854775807],\"b.0\":[\"7\",1]}"), "more than 2^63-1"},
        {ACCOUNT(",\"models\":{}"), "its \"models\" are no list"},
        {ACCOUNT(",\"models\":[5]"), "one of its models is none"},
        {ACCOUNT(",\"models\":[{\"model\":\"\"}]"), "one of its models is none"},
        {ACCOUNT(",\"models\":[{\"model\":\"m\",\"more\":1}]"), "one of its models is none"},
        {ACCOUNT(",\"models\":[{\"model\":\"m\"},{\"model_hex\":\"6d\"}]"), "it has a model twice"},
        {ACCOUNT(",\"color\":\"blue\""), "a key that this version does not know"},
        {END("\"left_out\":0"), "it lacks \"xxh64\""},
        {END("\"left_out\":-1,\"xxh64\":\"0123456789abcdef\""), "its counts or its checksum"},
        {END("\"left_out\":0,\"xxh64\":\"0123456789abcde\""), "its counts or its checksum"},
        {"{\"end\":1}", "it lacks"},
        {"{\"end\":{},\"more\":1}", "a key that this version does not know"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_text(f, bad[i].text) == 0)
            fail_msg("%s is taken", bad[i].text);
        if (strstr(f->why.text, bad[i].why) == NULL)
            fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].text, f->why.text, bad[i].why);
    }
}

/* Bytes of a good line changed, left out and put in: refused, or read as something; never read beyond. */
static void test_hostile_bytes_are_refused_or_read(void **state)
{
    struct test_random random = test_random_start();
    struct fixture *f = *state;

    for (int i = test_light(20000); i > 0; i--) {
        char *text;
        size_t len;

        random_holdings(&random, &f->holdings);
        text = tkr_backup_print_account(&f->holdings);
        assert_non_null(text);
        len = strlen(text) - 1;
        for (uint64_t changes = 1 + test_random_below(&random, 3); changes > 0; changes--)
            text[test_random_below(&random, len)] = (char)test_random_below(&random, 256);
        (void)tkr_backup_parse(text, test_random_below(&random, 4) == 0 ? test_random_below(&random, len) : len, &f->counters,
                               &f->line, &f->why);
        free(text);
    }
}

#define LINE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINE_TEST(test_any_account_is_read_back_as_it_was),
        LINE_TEST(test_ids_that_are_no_utf8_are_in_hexadecimal),
        LINE_TEST(test_head_source_and_end_are_read_back_as_they_were),
        LINE_TEST(test_figures_are_numbered_by_the_head),
        LINE_TEST(test_what_is_none_of_a_backups_lines_is_refused),
        LINE_TEST(test_hostile_bytes_are_refused_or_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
