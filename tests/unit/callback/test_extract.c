/* SPDX-License-Identifier: Apache-2.0 */
/* What a response says of the tokens used: a row for each thing that a provider may or may not tell. The ratio is 4. */
#include <string.h>

#include "callback/extract.h"
#include "support/test.h"

#define A TKR_ABSENT
#define MAX TKR_TOKENS_MAX
#define BOTH (TKR_ESTIMATED_PROMPT | TKR_ESTIMATED_COMPLETION)
#define SHOWN(symbol) (1u << TKR_CONTRADICTION_##symbol)
#define ZERO_USAGE SHOWN(ZERO_USAGE)
#define ZERO_COMPLETION SHOWN(ZERO_COMPLETION)
#define ZERO_PROMPT SHOWN(ZERO_PROMPT)
#define TOTAL_ABOVE SHOWN(TOTAL_ABOVE_PARTS)
#define TOTAL_BELOW SHOWN(TOTAL_BELOW_PARTS)
#define SUM_ABOVE SHOWN(SUM_ABOVE_MAX)
#define EMOJI "\xf0\x9f\x98\x80"         /* one code point of four bytes */
#define KANJI "\xe6\xbc\xa2\xe5\xad\x97" /* two of three */
#define UMLAUT "\xc3\xa4"

struct row {
    const char *what;
    const char *prompt;  /* the one message's content; NULL: none */
    const char *content; /* of the response */
    int64_t total;       /* tokens_used, prompt_tokens, completion_tokens as reported */
    int64_t in;
    int64_t out;
    int64_t prompt_counted;
    int64_t completion_counted;
    uint32_t estimated;
    uint32_t corrected;
    bool missing;
    int64_t total_counted; /* A: the sum */
    uint32_t shows;        /* contradictions */
};

static const struct row rows[] = {
    /* reported whole */
    {"both parts", "abcdefgh", "xxxx", 30, 10, 20, 10, 20, 0, 0, false, A, 0},
    {"both parts, no total", "abcdefgh", "xxxx", A, 10, 20, 10, 20, 0, 0, false, A, 0},
    {"both parts beside a larger total, which stays", "abcdefgh", "xxxx", 99, 10, 20, 10, 20, 0, 0, false, 99, TOTAL_ABOVE},
    {"both parts win over a smaller total", "abcdefgh", "xxxx", 5, 10, 20, 10, 20, 0, 0, false, A, TOTAL_BELOW},
    {"both parts beside a total of zero", "abcdefgh", "xxxx", 0, 10, 20, 10, 20, 0, 0, false, A, TOTAL_BELOW},
    {"both parts without texts", NULL, NULL, A, 1, 1, 1, 1, 0, 0, false, A, 0},
    {"the largest figures", "a", "a", A, MAX, MAX, MAX, MAX, 0, 0, false, A, SUM_ABOVE},
    /* zero is a report */
    {"completion of zero", "abcdefgh", "xxxx", A, 10, 0, 10, 0, 0, 0, false, A, ZERO_COMPLETION},
    {"completion of zero beside its total", "abcdefgh", "xxxx", 10, 10, 0, 10, 0, 0, 0, false, A, ZERO_COMPLETION},
    {"prompt of zero", "abcdefgh", "xxxx", A, 0, 20, 0, 20, 0, 0, false, A, ZERO_PROMPT},
    {"both of zero", "abcdefgh", "xxxx", A, 0, 0, 0, 0, 0, 0, false, A, ZERO_USAGE},
    {"all of zero", "abcdefgh", "xxxx", 0, 0, 0, 0, 0, 0, 0, false, A, ZERO_USAGE},
    {"both of zero, without texts", NULL, NULL, A, 0, 0, 0, 0, 0, 0, false, A, 0},
    {"both of zero are no report beside a total", "abcdefgh", "xxxx", 12, 0, 0, 2, 10, BOTH, 0, false, A, TOTAL_ABOVE},
    {"both of zero beside a total below the estimate", "abcdefghijkl", "xxxx", 2, 0, 0, 2, 0, BOTH, 0, false, A, TOTAL_ABOVE},
    /* one part, and the total */
    {"prompt and total", "abcdefgh", "xxxx", 30, 10, A, 10, 20, 0, 0, false, A, 0},
    {"prompt that is the total", "abcdefgh", "xxxx", 10, 10, A, 10, 0, 0, 0, false, A, 0},
    {"prompt above the total", "abcdefgh", "xxxx", 7, 10, A, 10, 0, 0, 0, false, A, TOTAL_BELOW},
    {"prompt of zero and total", "abcdefgh", "xxxx", 30, 0, A, 0, 30, 0, 0, false, A, 0},
    {"prompt and a total of zero", "abcdefgh", "xxxx", 0, 10, A, 10, 0, 0, 0, false, A, TOTAL_BELOW},
    {"completion and total", "abcdefgh", "xxxx", 30, A, 20, 10, 20, 0, 0, false, A, 0},
    {"completion that is the total", "abcdefgh", "xxxx", 20, A, 20, 0, 20, 0, 0, false, A, 0},
    {"completion above the total", "abcdefgh", "xxxx", 7, A, 20, 0, 20, 0, 0, false, A, TOTAL_BELOW},
    {"completion of zero and total", "abcdefgh", "xxxx", 30, A, 0, 30, 0, 0, 0, false, A, ZERO_COMPLETION},
    {"completion and a total of zero", "abcdefgh", "xxxx", 0, A, 20, 0, 20, 0, 0, false, A, TOTAL_BELOW},
    /* one part alone */
    {"prompt alone", "abcdefgh", "xxxxyyyy", A, 10, A, 10, 2, TKR_ESTIMATED_COMPLETION, 0, false, A, 0},
    {"prompt alone, nothing came back", "abcdefgh", NULL, A, 10, A, 10, 0, TKR_ESTIMATED_COMPLETION, 0, false, A, 0},
    {"prompt of zero alone", "abcdefgh", "xxxxyyyy", A, 0, A, 0, 2, TKR_ESTIMATED_COMPLETION, 0, false, A, 0},
    {"completion alone", "abcdefgh", "xxxx", A, A, 20, 2, 20, TKR_ESTIMATED_PROMPT, 0, false, A, 0},
    {"completion alone, no prompt", NULL, "xxxx", A, A, 20, 0, 20, TKR_ESTIMATED_PROMPT, 0, false, A, 0},
    {"completion of zero alone", "abcdefgh", "xxxx", A, A, 0, 2, 0, TKR_ESTIMATED_PROMPT, 0, false, A, ZERO_COMPLETION},
    /* the total alone */
    {"total alone", "abcdefgh", "xxxx", 30, A, A, 2, 28, BOTH, 0, false, A, 0},
    {"total alone, no prompt", NULL, "xxxx", 30, A, A, 0, 30, BOTH, 0, false, A, 0},
    {"total that is the estimate", "abcdefgh", "xxxx", 2, A, A, 2, 0, BOTH, 0, false, A, 0},
    {"total below the estimate", "abcdefgh", "xxxx", 1, A, A, 1, 0, BOTH, 0, false, A, 0},
    {"total of one", NULL, NULL, 1, A, A, 0, 1, BOTH, 0, false, A, 0},
    {"the largest total", "abcdefgh", "xxxx", MAX, A, A, 2, MAX - 2, BOTH, 0, false, A, 0},
    /* content alone */
    {"content alone", "abcdefgh", "xxxxyyyyzzzz", A, A, A, 2, 3, BOTH, 0, true, A, 0},
    {"content, and a total of zero", "abcdefgh", "xxxxyyyyzzzz", 0, A, A, 2, 3, BOTH, 0, true, A, 0},
    {"content is rounded down", "abcdefgh", "xxxxyyy", A, A, A, 2, 1, BOTH, 0, true, A, 0},
    {"content of three", "abcdefgh", "xxx", A, A, A, 2, 0, BOTH, 0, true, A, 0},
    {"empty content", "abcdefgh", "", A, A, A, 2, 0, BOTH, 0, true, A, 0},
    {"nothing at all", "abcdefgh", NULL, A, A, A, 2, 0, BOTH, 0, true, A, 0},
    {"nothing at all, no prompt", NULL, NULL, A, A, A, 0, 0, BOTH, 0, true, A, 0},
    {"empty prompt", "", "xxxx", A, A, A, 0, 1, BOTH, 0, true, A, 0},
    {"an estimate makes no sum beyond a call", "abcdefgh", "xxxxyyyy", A, MAX, A, MAX, 0, TKR_ESTIMATED_COMPLETION, 0, false, A,
     0},
    {"an estimated prompt neither", "abcdefgh", "xxxx", A, A, MAX - 1, 1, MAX - 1, TKR_ESTIMATED_PROMPT, 0, false, A, 0},
    /* code points, not bytes */
    {"emoji are one each", EMOJI EMOJI EMOJI EMOJI, EMOJI EMOJI EMOJI EMOJI EMOJI, A, A, A, 1, 1, BOTH, 0, true, A, 0},
    {"kanji", KANJI KANJI, KANJI KANJI KANJI KANJI, A, A, A, 1, 2, BOTH, 0, true, A, 0},
    {"umlauts among letters", "a" UMLAUT "b" UMLAUT, UMLAUT UMLAUT UMLAUT UMLAUT "abcd", A, A, A, 1, 2, BOTH, 0, true, A, 0},
    {"three code points of many bytes", EMOJI KANJI, EMOJI KANJI, A, A, A, 0, 0, BOTH, 0, true, A, 0},
    {"combining marks are code points",
     "e\xcc\x81"
     "e\xcc\x81",
     "e\xcc\x81", A, A, A, 1, 0, BOTH, 0, true, A, 0},
    {"total and emoji", EMOJI EMOJI EMOJI EMOJI, NULL, 10, A, A, 1, 9, BOTH, 0, false, A, 0},
    /* no UTF-8 */
    {"lone continuations are none", "\x80\x80\x80\x80\x80\x80\x80\x80", "abcd", A, A, A, 0, 1, BOTH, 0, true, A, 0},
    {"lone leads are one each", "\xf0\xf0\xf0\xf0", "\xc3\xc3\xc3\xc3", A, A, A, 1, 1, BOTH, 0, true, A, 0},
    {"a cut sequence", "abc\xe6\xbc", "abc\xe6\xbc", A, A, A, 1, 1, BOTH, 0, true, A, 0},
    {"bytes that are never UTF-8", "\xff\xfe\xff\xfe", "\xff\xff\xff\xff", A, A, A, 1, 1, BOTH, 0, true, A, 0},
    /* what no call can have */
    {"negative prompt counts as zero", "abcdefgh", "xxxx", A, -7, 20, 0, 20, 0, 1, false, A, ZERO_PROMPT},
    {"negative completion counts as zero", "abcdefgh", "xxxx", A, 10, -7, 10, 0, 0, 1, false, A, ZERO_COMPLETION},
    {"both negative", "abcdefgh", "xxxx", A, -7, -8, 0, 0, 0, 2, false, A, ZERO_USAGE},
    {"both negative beside a total", "abcdefgh", "xxxx", 12, -7, -8, 2, 10, BOTH, 2, false, A, TOTAL_ABOVE},
    {"negative total", "abcdefgh", "xxxx", -9, A, A, 2, 1, BOTH, 1, true, A, 0},
    {"negative total beside parts", "abcdefgh", "xxxx", -9, 10, 20, 10, 20, 0, 1, false, A, TOTAL_BELOW},
    {"the least number", "abcdefgh", "xxxx", INT64_MIN, INT64_MIN, INT64_MIN, 0, 0, 0, 3, false, A, ZERO_USAGE},
    {"a prompt above what a call can use", "abcdefgh", "xxxx", A, MAX + 1, 20, 2, 20, TKR_ESTIMATED_PROMPT, 1, false, A, 0},
    {"a completion above it", "abcdefgh", "xxxx", A, 10, MAX + 1, 10, 1, TKR_ESTIMATED_COMPLETION, 1, false, A, 0},
    {"a total above it", "abcdefgh", "xxxx", INT64_MAX, A, A, 2, 1, BOTH, 1, true, A, 0},
    {"all above it", "abcdefgh", "xxxx", INT64_MAX, INT64_MAX, INT64_MAX, 2, 1, BOTH, 3, true, A, 0},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS >= 60, "the table has at least 60 rows");

static tkr_response response_of(const struct row *row)
{
    tkr_response response = TKR_RESPONSE_INIT;

    response.content = row->content;
    response.content_len = row->content != NULL ? strlen(row->content) : 0;
    response.tokens_used = row->total;
    response.prompt_tokens = row->in;
    response.completion_tokens = row->out;
    return response;
}

static int64_t estimate_of(const struct row *row)
{
    const tkr_chat_message message = {.content = row->prompt, .content_len = row->prompt != NULL ? strlen(row->prompt) : 99};

    return tkr_extract_prompt_estimate(&message, 1, 4);
}

static void test_extract_each_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        tkr_response response = response_of(row);
        struct tkr_extracted found;
        tkr_extract_detailed(&response, estimate_of(row), 4, &found);
        if (found.usage.prompt != row->prompt_counted || found.usage.completion != row->completion_counted ||
            found.usage.estimated != row->estimated || found.corrected != row->corrected || found.missing != row->missing ||
            found.usage.total != row->total_counted || found.contradictions != row->shows)
            fail_msg("%s: prompt %lld, completion %lld, total %lld, estimated %u, corrected %u, missing %d, shows %#x", row->what,
                     (long long)found.usage.prompt, (long long)found.usage.completion, (long long)found.usage.total,
                     found.usage.estimated, found.corrected, found.missing, found.contradictions);
    }
}

/* The basic handler counts the total when it is above 0, and nothing else. */
static void test_extract_total_is_counted_when_it_is_above_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        tkr_response response = response_of(&rows[i]);
        bool counted = rows[i].total > 0 && rows[i].total <= MAX;
        struct tkr_extracted found;
        tkr_extract_total(&response, &found);
        if (found.usage.total != (counted ? rows[i].total : 0) || found.missing == counted || found.usage.prompt != TKR_ABSENT ||
            found.usage.completion != TKR_ABSENT || found.usage.estimated != 0)
            fail_msg("%s: total %lld, missing %d", rows[i].what, (long long)found.usage.total, found.missing);
    }
}

static void test_extract_estimate_adds_all_messages_and_rounds_once(void **state)
{
    const tkr_chat_message messages[] = {
        {.role = "system", .role_len = 6, .content = "abc", .content_len = 3},
        {.role = "user", .role_len = 4, .content = NULL, .content_len = 40}, /* NULL counts 0, whatever its length */
        {.content = "defgh", .content_len = 5},
        {.content = "", .content_len = 0},
    };

    (void)state;
    assert_int_equal(tkr_extract_prompt_estimate(messages, 4, 4), 2); /* 3 + 5 code points, not 0 + 1 tokens */
    assert_int_equal(tkr_extract_prompt_estimate(messages, 4, 1), 8);
    assert_int_equal(tkr_extract_prompt_estimate(messages, 4, 1000), 0);
    assert_int_equal(tkr_extract_prompt_estimate(NULL, 0, 4), 0);
}

static void test_extract_more_figures_are_taken_over(void **state)
{
    tkr_response response = TKR_RESPONSE_INIT;
    struct tkr_extracted found;

    (void)state;
    response.cached_tokens = 3;
    response.cache_write_tokens = 4;
    response.reasoning_tokens = -5;
    response.cost_nano_usd = TKR_COST_MAX + 1;
    response.first_token_ns = 77;
    tkr_extract_detailed(&response, 0, 4, &found);
    assert_int_equal(found.usage.cached, 3);
    assert_int_equal(found.usage.cache_write, 4);
    assert_int_equal(found.usage.reasoning, 0);
    assert_int_equal(found.usage.cost_nano_usd, TKR_ABSENT);
    assert_int_equal(found.usage.first_token_ns, 77);
    assert_int_equal(found.corrected, 2);
}

/* Rows of their own: figures that are parts of others. Gemini reports thoughts outside of its candidates, and inside its
 * total. */
static void test_extract_parts_that_are_larger_than_their_whole_are_seen(void **state)
{
    static const struct {
        int64_t total, in, out, cached, written, reasoning;
        uint32_t shows;
        int64_t counted;
    } cases[] = {
        {30, 10, 20, 10, A, 20, 0, A},
        {30, 10, 20, 4, 6, A, 0, A},
        {30, 10, 20, 11, A, A, SHOWN(CACHED_ABOVE_PROMPT), A},
        {30, 10, 20, 5, 6, A, SHOWN(CACHED_ABOVE_PROMPT), A},
        {A, A, 20, 500, A, A, 0, A}, /* an estimate does not contradict */
        {30, 10, 20, A, A, 21, SHOWN(REASONING_ABOVE_COMPLETION), A},
        {A, 10, A, A, A, 21, 0, A},
        {13, 3, 10, 66360, 32435, A, SHOWN(CACHED_ABOVE_PROMPT), A},
        {623, 20, 198, A, A, 405, TOTAL_ABOVE | SHOWN(REASONING_ABOVE_COMPLETION), 623},
        {913, 3, 10, A, A, 900, TOTAL_ABOVE | SHOWN(REASONING_ABOVE_COMPLETION), 913},
        {120, 100, 50, A, A, A, TOTAL_BELOW, A},
    };
    struct tkr_extracted found;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_response response = TKR_RESPONSE_INIT;
        response.tokens_used = cases[i].total;
        response.prompt_tokens = cases[i].in;
        response.completion_tokens = cases[i].out;
        response.cached_tokens = cases[i].cached;
        response.cache_write_tokens = cases[i].written;
        response.reasoning_tokens = cases[i].reasoning;
        tkr_extract_detailed(&response, 2, 4, &found);
        assert_int_equal(found.contradictions, cases[i].shows);
        assert_int_equal(found.usage.total, cases[i].counted);
        assert_int_equal(found.usage.reasoning, cases[i].reasoning);
        tkr_extract_reported(&response, &found);
        assert_int_equal(found.contradictions, cases[i].shows);
        tkr_extract_total(&response, &found);
        assert_int_equal(found.contradictions, cases[i].shows);
        assert_int_equal(found.corrected, 0);
    }
}

/* After an error nothing is estimated. */
static void test_extract_after_an_error_only_what_is_reported(void **state)
{
    static const struct {
        int64_t total, in, out;
        int64_t prompt, completion, counted;
    } cases[] = {
        {A, A, A, A, A, A},   {50, A, A, A, A, 50}, {50, 20, A, 20, 30, A}, {50, A, 20, 30, 20, A}, {A, 20, A, 20, A, A},
        {A, 20, 7, 20, 7, A}, {50, 0, 0, 0, 0, 50}, {0, 0, 0, 0, 0, 0},     {50, 20, 7, 20, 7, 50}, {20, 20, 7, 20, 7, A},
    };
    struct tkr_extracted found;

    (void)state;
    tkr_extract_reported(NULL, &found);
    assert_int_equal(found.usage.total, TKR_ABSENT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tkr_response response = TKR_RESPONSE_INIT;
        response.content = "abcdefgh";
        response.content_len = 8;
        response.tokens_used = cases[i].total;
        response.prompt_tokens = cases[i].in;
        response.completion_tokens = cases[i].out;
        tkr_extract_reported(&response, &found);
        assert_int_equal(found.usage.prompt, cases[i].prompt);
        assert_int_equal(found.usage.completion, cases[i].completion);
        assert_int_equal(found.usage.total, cases[i].counted);
        assert_int_equal(found.usage.estimated, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extract_each_row),
        cmocka_unit_test(test_extract_total_is_counted_when_it_is_above_zero),
        cmocka_unit_test(test_extract_estimate_adds_all_messages_and_rounds_once),
        cmocka_unit_test(test_extract_more_figures_are_taken_over),
        cmocka_unit_test(test_extract_parts_that_are_larger_than_their_whole_are_seen),
        cmocka_unit_test(test_extract_after_an_error_only_what_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
