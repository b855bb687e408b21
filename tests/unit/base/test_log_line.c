/* SPDX-License-Identifier: Apache-2.0 */
/* How lines of the log look: text and JSON, ids of any bytes, redacted, too long; and what README says of their fields. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log_line.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"
#include "tokenring/tokenring.h"

#define TIME_BYTES (sizeof("2026-11-23T12:50:31.123Z") - 1)
#define KEY ((struct tkr_digest_key){{UINT64_C(1), UINT64_C(2)}})

static const struct tkr_log_style as_text = {.format = TKR_LOG_TEXT};
static const struct tkr_log_style as_json = {.format = TKR_LOG_JSON};

/* The line with its line feed, NUL-terminated; valid until the next call. */
static const char *line_of(const struct tkr_log_style *style, enum tkr_log_level level, const struct tkr_log_more *more,
                           const char *message, const struct tkr_field *fields, size_t count)
{
    static const struct tkr_log_more none;
    static char line[TKR_LOG_LINE_BYTES + 1];
    static struct tkr_log_second second;
    struct tkr_log_body body;
    size_t len;

    tkr_log_body_make(style, level, message, fields, count, &body);
    len = tkr_log_line_make(style, &body, more != NULL ? more : &none, &second, line);
    assert_in_range(len, 1, TKR_LOG_LINE_BYTES);
    assert_ptr_equal(memchr(line, '\n', len), line + len - 1); /* one line */
    line[len] = '\0';
    return line;
}

#define LINE(style, message, ...)                                                        \
    line_of(style, TKR_LOG_INFO, NULL, message, (const struct tkr_field[]){__VA_ARGS__}, \
            sizeof((const struct tkr_field[]){__VA_ARGS__}) / sizeof(struct tkr_field))

static struct tkr_field user(const char *id, size_t len)
{
    return tkr_field_account(TKR_KIND_USER, id, len);
}

static json_t *parse(const char *line)
{
    json_error_t error;
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &error);

    if (object == NULL)
        fail_msg("%s: %s", error.text, line);
    return object;
}

static void assert_member(const json_t *object, const char *name, const char *value)
{
    const char *found = json_string_value(json_object_get(object, name));

    if (value == NULL ? found != NULL : found == NULL || strcmp(found, value) != 0)
        fail_msg("%s is %s, not %s", name, found != NULL ? found : "not there", value != NULL ? value : "missing");
}

/* --- the two formats --- */

static void test_text_line_has_time_level_message_and_the_other_fields(void **state)
{
    const char *line = LINE(&as_text, "Recorded {tokens} tokens for {kind} {account}", tkr_field_tokens(906),
                            tkr_field_kind(TKR_KIND_USER), user("alice", 5), tkr_field_cycle(20261101), tkr_field_failures(3));

    (void)state;
    assert_string_equal(line + TIME_BYTES, " info    Recorded 906 tokens for user alice cycle=2026-11-01 failures=3\n");
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[TIME_BYTES - 1], 'Z');
}

static void test_json_line_has_all_fields_as_members(void **state)
{
    const char *line = LINE(&as_json, "Recorded {tokens} tokens for {kind} {account}", tkr_field_tokens(906),
                            tkr_field_kind(TKR_KIND_USER), user("alice", 5), tkr_field_cycle(20261101));

    (void)state;
    assert_string_equal(line + strlen("{\"timestamp\":\"") + TIME_BYTES,
                        "\",\"level\":\"info\",\"logger\":\"tokenring\",\"message\":\"Recorded 906 tokens for user alice\","
                        "\"tokens\":906,\"kind\":\"user\",\"account\":\"alice\",\"cycle\":\"2026-11-01\"}\n");
}

static void test_each_level_is_written_in_its_column_and_to_the_journal_with_its_priority(void **state)
{
    static const char *const texts[] = {" error   x\n", " warning x\n", " info    x\n", " debug   x\n"};
    static const char *const journal[] = {"<3>error   x\n", "<4>warning x\n", "<6>info    x\n", "<7>debug   x\n"};
    const struct tkr_log_style journal_text = {.format = TKR_LOG_TEXT, .journal = true};
    const struct tkr_log_style journal_json = {.format = TKR_LOG_JSON, .journal = true};

    (void)state;
    for (int level = TKR_LOG_ERROR; level <= TKR_LOG_DEBUG; level++) {
        assert_string_equal(line_of(&as_text, (enum tkr_log_level)level, NULL, "x", NULL, 0) + TIME_BYTES, texts[level]);
        assert_string_equal(line_of(&journal_text, (enum tkr_log_level)level, NULL, "x", NULL, 0), journal[level]);
    }
    assert_memory_equal(line_of(&journal_json, TKR_LOG_WARNING, NULL, "x", NULL, 0), "<4>{\"timestamp\":\"2", 18);
}

static void test_numbers_are_whole_at_both_ends(void **state)
{
    json_t *object = parse(LINE(&as_json, "", tkr_field_tokens(INT64_MAX), tkr_field_answer(INT64_MIN), tkr_field_shard(0),
                                tkr_field_collector(UINT64_C(0x0123456789abcdef))));

    (void)state;
    assert_true(json_integer_value(json_object_get(object, "tokens")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(object, "answer")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(object, "shard")) == 0);
    assert_member(object, "collector", "0123456789abcdef");
    json_decref(object);
    assert_string_equal(LINE(&as_text, "{lines}", tkr_field_lines(UINT64_MAX)) + TIME_BYTES, " info    9223372036854775807\n");
}

static void test_what_names_no_field_that_is_given_stays(void **state)
{
    (void)state;
    assert_string_equal(LINE(&as_text, "{ {} {tokens {token} {accounts} }", tkr_field_tokens(1)) + TIME_BYTES,
                        " info    { {} {tokens {token} {accounts} } tokens=1\n");
}

static void test_what_was_left_out_is_told_behind_the_message(void **state)
{
    const struct tkr_log_more more = {.times = 997, .seconds = 60};
    const struct tkr_field shard = tkr_field_shard(2);
    json_t *object = parse(line_of(&as_json, TKR_LOG_WARNING, &more, "again", &shard, 1));

    (void)state;
    assert_member(object, "message", "again (said 997 times more in the last 60 s)");
    assert_int_equal(json_integer_value(json_object_get(object, "repeats")), 997);
    assert_int_equal(json_integer_value(json_object_get(object, "seconds")), 60);
    assert_int_equal(json_integer_value(json_object_get(object, "shard")), 2);
    json_decref(object);
    assert_string_equal(line_of(&as_text, TKR_LOG_WARNING, &more, "again", &shard, 1) + TIME_BYTES,
                        " warning again (said 997 times more in the last 60 s) shard=2\n");
}

/* --- bytes of strangers --- */

static void test_hostile_ids_stand_in_quotes_in_text_and_whole_in_json(void **state)
{
    static const struct {
        const char *id;
        const char *text;
        const char *json; /* the member, decoded */
        const char *hex;  /* NULL: there is none */
    } cases[] = {
        {"a.b-c_d:e/f@g+h~i#j{k}", "a.b-c_d:e/f@g+h~i#j{k}", "a.b-c_d:e/f@g+h~i#j{k}", NULL},
        {"al ice", "\"al ice\"", "al ice", NULL},
        {"a cycle=2020-01-01", "\"a cycle=2020-01-01\"", "a cycle=2020-01-01", NULL},
        {"a=b", "\"a=b\"", "a=b", NULL},
        {"say \"hi\"", "\"say \\\"hi\\\"\"", "say \"hi\"", NULL},
        {"\\", "\"\\\\\"", "\\", NULL},
        {"\\xff", "\"\\\\xff\"", "\\xff", NULL},
        {"\",\"tokens\":0,\"x\":\"", "\"\\\",\\\"tokens\\\":0,\\\"x\\\":\\\"\"", "\",\"tokens\":0,\"x\":\"", NULL},
        {"{tokens}", "{tokens}", "{tokens}", NULL},
        {"", "\"\"", "", NULL},
        {"J\xc3\xb6rg", "J\xc3\xb6rg", "J\xc3\xb6rg", NULL},
        {"a\xff", "\"a\\xff\"", "a\xef\xbf\xbd", "61ff"},
        {"a\xc3", "\"a\\xc3\"", "a\xef\xbf\xbd", "61c3"},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\"", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", "eda080"},
        {"\xc2\x85", "\"\\xc2\\x85\"", "\xef\xbf\xbd\xef\xbf\xbd", "c285"},
        {"a\nb", "\"a\\x0ab\"",
         "a\xef\xbf\xbd"
         "b",
         "610a62"},
        {"\x1b[2J", "\"\\x1b[2J\"", "\xef\xbf\xbd[2J", "1b5b324a"},
    };
    char expected[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *id = cases[i].id;
        json_t *object = parse(LINE(&as_json, "of {account}", user(id, strlen(id)), tkr_field_tokens(7)));
        assert_member(object, "account", cases[i].json);
        assert_member(object, "account_hex", cases[i].hex);
        assert_int_equal(json_integer_value(json_object_get(object, "tokens")), 7);
        (void)snprintf(expected, sizeof(expected), "of %s", cases[i].text);
        assert_member(object, "message", expected);
        json_decref(object);
        (void)snprintf(expected, sizeof(expected), " info    of %s tokens=7\n", cases[i].text);
        assert_string_equal(LINE(&as_text, "of {account}", user(id, strlen(id)), tkr_field_tokens(7)) + TIME_BYTES, expected);
        (void)snprintf(expected, sizeof(expected), " info    of account=%s\n", cases[i].text);
        assert_string_equal(LINE(&as_text, "of", user(id, strlen(id))) + TIME_BYTES, expected);
    }
}

static void test_sentences_keep_their_bytes_but_for_controls(void **state)
{
    json_t *object = parse(LINE(&as_json, "it fails: {error}", tkr_field_error("a \"b\" \\ \xff\n")));

    (void)state;
    assert_member(object, "message", "it fails: a \"b\" \\ ??");
    assert_member(object, "error", "a \"b\" \\ \xef\xbf\xbd\xef\xbf\xbd");
    json_decref(object);
    assert_string_equal(LINE(&as_text, "it fails: {error}", tkr_field_error("a \"b\" \\ \xff\nx")) + TIME_BYTES,
                        " info    it fails: a \"b\" \\ ??x\n");
}

static unsigned hex_value(const char digits[2])
{
    unsigned value = 0;

    assert_int_equal(sscanf(digits, "%2x", &value), 1);
    return value;
}

/* Reads the word at text as the header of base/log_line.h says; returns its bytes, and how many were read. */
static size_t unquote(const char *text, char *ret_bytes, size_t *ret_len)
{
    size_t at = 1;
    size_t len = 0;

    if (text[0] != '"') {
        *ret_len = strcspn(text, " \n");
        memcpy(ret_bytes, text, *ret_len);
        return *ret_len;
    }
    while (text[at] != '"') {
        if (text[at] == '\\' && text[at + 1] == 'x') {
            ret_bytes[len++] = (char)hex_value(text + at + 2);
            at += 4;
        } else {
            at += text[at] == '\\';
            ret_bytes[len++] = text[at++];
        }
    }
    *ret_len = len;
    return at + 1;
}

static size_t random_id(struct test_random *random, char id[TKR_ID_BYTES_MAX])
{
    static const char often[] = "\"\\= x{}\n\x7f\xc3\xb6\xe2\x82\xac\xff";
    size_t len = 1 + test_random_below(random, test_random_below(random, 4) == 0 ? TKR_ID_BYTES_MAX : 12);

    for (size_t i = 0; i < len; i++)
        id[i] = (char)(test_random_below(random, 3) != 0 ? often[test_random_below(random, sizeof(often))]
                                                         : (char)test_random_next(random));
    return len;
}

static void assert_hex(const json_t *object, const char *id, size_t len)
{
    const char *hex = json_string_value(json_object_get(object, "account_hex"));

    if (hex == NULL) {
        assert_memory_equal(json_string_value(json_object_get(object, "account")), id, len);
        assert_int_equal(json_string_length(json_object_get(object, "account")), len);
        return;
    }
    assert_int_equal(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(hex_value(hex + 2 * i), (unsigned char)id[i]);
}

static void test_any_two_ids_can_be_had_back_from_either_line(void **state)
{
    struct test_random random = test_random_start();
    char id[2][TKR_ID_BYTES_MAX];
    char back[TKR_ID_BYTES_MAX + 1];

    (void)state;
    for (int i = 0; i < test_light(20000); i++) {
        size_t len = random_id(&random, id[0]);
        size_t model_room = random_id(&random, id[1]);
        size_t model_len = model_room < 96 ? model_room : 96;
        const char *line = LINE(&as_text, "of {account} and", user(id[0], len), tkr_field_model(id[1], model_len));
        size_t back_len;
        json_t *object;

        line += TIME_BYTES + strlen(" info    of ");
        line += unquote(line, back, &back_len);
        assert_int_equal(back_len, len);
        assert_memory_equal(back, id[0], len);
        assert_memory_equal(line, " and model=", strlen(" and model="));
        line += strlen(" and model=");
        line += unquote(line, back, &back_len);
        assert_int_equal(back_len, model_len);
        assert_memory_equal(back, id[1], model_len);
        assert_string_equal(line, "\n");
        object = parse(LINE(&as_json, "of {account} and", user(id[0], len), tkr_field_model(id[1], model_len)));
        assert_hex(object, id[0], len);
        json_decref(object);
    }
}

/* --- redacted --- */

static void test_redacted_accounts_have_one_word_each(void **state)
{
    const struct tkr_log_style redacted = {.format = TKR_LOG_JSON, .redact = true, .key = KEY};
    json_t *alice = parse(LINE(&redacted, "of {account}", user("alice", 5)));
    json_t *again = parse(LINE(&redacted, "{account}", user("alice", 5)));
    json_t *team = parse(LINE(&redacted, "{account}", tkr_field_account(1, "alice", 5)));
    const char *word = json_string_value(json_object_get(alice, "account"));
    char message[32];

    (void)state;
    assert_int_equal(strlen(word), 13);
    assert_int_equal(word[0], '#');
    assert_int_equal(strspn(word + 1, "0123456789abcdef"), 12);
    (void)snprintf(message, sizeof(message), "of %s", word);
    assert_member(alice, "message", message);
    assert_member(again, "account", word);
    assert_member(alice, "account_hex", NULL);
    assert_string_not_equal(json_string_value(json_object_get(team, "account")), word);
    json_decref(alice);
    json_decref(again);
    json_decref(team);
}

static void test_redacted_lines_hold_no_byte_of_an_id_or_a_key(void **state)
{
    static const enum tkr_log_format formats[] = {TKR_LOG_TEXT, TKR_LOG_JSON};
    struct test_random random = test_random_start();
    char id[TKR_ID_BYTES_MAX];

    (void)state;
    for (int i = 0; i < test_light(4000); i++) {
        const struct tkr_log_style redacted = {.format = formats[i % 2], .redact = true, .key = KEY};
        size_t len = random_id(&random, id);
        const char *line = LINE(&redacted, "{account} {key}", user(id, len), tkr_field_key(id, len), tkr_field_tokens(1));

        if (len > 3) /* else it may be among our own words */
            assert_null(memmem(line, strlen(line), id, len));
        for (; *line != '\n'; line++)
            assert_true(*line >= ' ' && *line < 0x7f && *line != '\\');
    }
}

static void test_other_key_other_words(void **state)
{
    const struct tkr_log_style one = {.format = TKR_LOG_TEXT, .redact = true, .key = KEY};
    const struct tkr_log_style other = {.format = TKR_LOG_TEXT, .redact = true, .key = {{UINT64_C(1), UINT64_C(3)}}};
    char line[TKR_LOG_LINE_BYTES + 1];

    (void)state;
    (void)snprintf(line, sizeof(line), "%s", LINE(&one, "{account}", user("alice", 5)) + TIME_BYTES);
    assert_string_not_equal(LINE(&other, "{account}", user("alice", 5)) + TIME_BYTES, line);
}

/* --- too long --- */

static void test_message_that_is_too_long_is_cut_and_its_fields_follow(void **state)
{
    char text[3000];
    json_t *object;

    (void)state;
    memset(text, '"', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    object = parse(LINE(&as_json, text, tkr_field_tokens(5)));
    assert_in_range(json_string_length(json_object_get(object, "message")), 600, 1400);
    assert_int_equal(json_integer_value(json_object_get(object, "tokens")), 5);
    json_decref(object);
}

static void test_fields_that_do_not_fit_are_left_out_whole(void **state)
{
    static const struct tkr_log_more most = {.times = UINT64_MAX, .seconds = INT64_MAX};
    char id[TKR_ID_BYTES_MAX];
    struct tkr_field field[8];
    const char *line;
    json_t *object;

    (void)state;
    memset(id, 0xff, sizeof(id));
    for (size_t i = 0; i < 7; i++)
        field[i] = tkr_field_make((enum tkr_field_name[]){TKR_FIELD_ACCOUNT, TKR_FIELD_MODEL, TKR_FIELD_KEY, TKR_FIELD_HANDLER,
                                                          TKR_FIELD_SOURCE, TKR_FIELD_FILE, TKR_FIELD_COMMAND}[i],
                                  id, sizeof(id), 0);
    field[7] = tkr_field_tokens(5);
    line = line_of(&as_json, TKR_LOG_WARNING, &most, "{account} {model} {key} {handler} {source} {file} {command}", field, 8);
    object = parse(line);
    assert_non_null(json_object_get(object, "account_hex"));
    assert_null(json_object_get(object, "handler"));
    assert_int_equal(json_integer_value(json_object_get(object, "tokens")), 5); /* which does */
    json_decref(object);
    line = line_of(&as_text, TKR_LOG_WARNING, &most, "too much", field, 8);
    assert_non_null(strstr(line, " tokens=5\n"));
    assert_null(strstr(line, " command="));
}

/* --- README --- */

static char *read_readme(void)
{
    FILE *file = fopen(TEST_SOURCE_DIR "/README.md", "r");
    char *text = calloc(1, 1 << 20);

    assert_non_null(file);
    assert_non_null(text);
    assert_in_range(fread(text, 1, (1 << 20) - 1, file), 1, (1 << 20) - 2);
    (void)fclose(file);
    return text;
}

static void test_readme_has_the_list_of_fields(void **state)
{
    char *readme = read_readme();
    const char *at = strstr(readme, "\n| field | is |\n|---|---|\n");
    char row[256];

    (void)state;
    if (at == NULL)
        fail_msg("README has no table of fields");
    at += strlen("\n| field | is |\n|---|---|\n");
    for (int i = 0; i < TKR_FIELD_COUNT; i++) {
        int len = snprintf(row, sizeof(row), "| `%s` | %s |\n", tkr_field_about[i].name, tkr_field_about[i].help);
        if (strncmp(at, row, (size_t)len) != 0)
            fail_msg("README's table of fields should go on with: %s", row);
        at += len;
    }
    assert_int_equal(*at, '\n');
    free(readme);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_line_has_time_level_message_and_the_other_fields),
        cmocka_unit_test(test_json_line_has_all_fields_as_members),
        cmocka_unit_test(test_each_level_is_written_in_its_column_and_to_the_journal_with_its_priority),
        cmocka_unit_test(test_numbers_are_whole_at_both_ends),
        cmocka_unit_test(test_what_names_no_field_that_is_given_stays),
        cmocka_unit_test(test_what_was_left_out_is_told_behind_the_message),
        cmocka_unit_test(test_hostile_ids_stand_in_quotes_in_text_and_whole_in_json),
        cmocka_unit_test(test_sentences_keep_their_bytes_but_for_controls),
        cmocka_unit_test(test_any_two_ids_can_be_had_back_from_either_line),
        cmocka_unit_test(test_redacted_accounts_have_one_word_each),
        cmocka_unit_test(test_redacted_lines_hold_no_byte_of_an_id_or_a_key),
        cmocka_unit_test(test_other_key_other_words),
        cmocka_unit_test(test_message_that_is_too_long_is_cut_and_its_fields_follow),
        cmocka_unit_test(test_fields_that_do_not_fit_are_left_out_whole),
        cmocka_unit_test(test_readme_has_the_list_of_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
