/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_line.h"

#include <stdio.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/text.h"

#define MESSAGE_BYTES 1400u /* what a message may take of the body; the rest is for fields */
#define NUMBER_BYTES 24
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define DIGEST_DIGITS 12
#define DIGEST_BYTES_MAX 512u /* of a key or of kind and id; what is longer is cut */

const char *const tkr_log_level_name[] = {"error", "warning", "info", "debug"};

const struct tkr_field_about tkr_field_about[] = {
#define TKR_LOG_FIELD(symbol, name, form, help) {#name, help, TKR_FORM_##form, sizeof(#name) - 1},
#include "base/log_fields.def"
#undef TKR_LOG_FIELD
};

/* --- writing within bounds --- */

struct out {
    char *at;
    char *end;
    bool json;
    bool cut; /* something did not fit: nothing more is written */
};

static void put(struct out *out, const char *bytes, size_t len)
{
    out->cut = out->cut || (size_t)(out->end - out->at) < len;
    if (out->cut)
        return;
    memcpy(out->at, bytes, len);
    out->at += len;
}

static void put_text(struct out *out, const char *text)
{
    put(out, text, strlen(text));
}

/* Digits, the last ones of the number when there are more; at most NUMBER_BYTES. */
static void put_digits(struct out *out, uint64_t number, int digits)
{
    char text[NUMBER_BYTES];

    for (int i = digits; i > 0; i--, number /= 10)
        text[i - 1] = (char)('0' + number % 10);
    put(out, text, (size_t)digits);
}

static void put_integer(struct out *out, uint64_t number)
{
    int digits = 1;

    for (uint64_t rest = number / 10; rest > 0; rest /= 10)
        digits++;
    put_digits(out, number, digits);
}

/* What readers of JSON take for an integer ends at 63 bits. */
static void put_count(struct out *out, uint64_t count)
{
    put_integer(out, count < INT64_MAX ? count : INT64_MAX);
}

static void put_hex(struct out *out, uint64_t number, int digits)
{
    for (int i = digits - 1; i >= 0; i--)
        put(out, &"0123456789abcdef"[number >> 4 * i & 15], 1);
}

static void put_cycle(struct out *out, uint32_t cycle)
{
    put_digits(out, cycle / 10000, 4);
    put(out, "-", 1);
    put_digits(out, cycle / 100 % 100, 2);
    put(out, "-", 1);
    put_digits(out, cycle % 100, 2);
}

/* --- texts of any bytes --- */

/* One character of the line's text; in JSON that is within a string. */
static void put_character(struct out *out, const char *character, size_t bytes)
{
    char escaped[2] = {'\\', *character};

    if (out->json && (*character == '"' || *character == '\\'))
        put(out, escaped, sizeof(escaped));
    else
        put(out, character, bytes);
}

static bool bare_byte(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '=';
}

/* Bytes at its beginning that need no quotes, and in JSON no escape. */
static size_t bare_bytes(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len) {
        size_t bytes = bare_byte((unsigned char)text[i]) ? 1 : 0;

        if (bytes == 0 && (unsigned char)text[i] >= 0x80)
            bytes = tkr_text_character_bytes(text + i, len - i);
        if (bytes == 0)
            break;
        i += bytes;
    }
    return i;
}

static void put_quoted(struct out *out, const char *text, size_t len)
{
    put_character(out, "\"", 1);
    for (size_t i = 0; i < len;) {
        size_t bytes = tkr_text_character_bytes(text + i, len - i);

        if (bytes == 0) {
            put_character(out, "\\", 1);
            put(out, "x", 1);
            put_hex(out, (unsigned char)text[i], 2);
        } else if (text[i] == '"' || text[i] == '\\') {
            put_character(out, "\\", 1);
            put_character(out, text + i, 1);
        } else {
            put(out, text + i, bytes);
        }
        i += bytes > 0 ? bytes : 1;
    }
    put_character(out, "\"", 1);
}

/* An id or a name within text. */
static void put_word(struct out *out, const char *text, size_t len)
{
    if (len > 0 && bare_bytes(text, len) == len)
        put(out, text, len);
    else
        put_quoted(out, text, len);
}

/* Bytes at its beginning that stand for themselves everywhere; most texts are made of nothing else. */
static size_t plain_bytes(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len && text[i] >= ' ' && text[i] < 0x7f && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

/* The text as it is, or a JSON string's; what is no printable UTF-8 is replaced. true: nothing was. */
static bool put_sentence(struct out *out, const char *text, size_t len, const char *replacement)
{
    bool whole = true;

    for (size_t i = 0; i < len;) {
        size_t plain = plain_bytes(text + i, len - i);
        size_t bytes = plain > 0 ? plain : tkr_text_character_bytes(text + i, len - i);

        if (plain > 0)
            put(out, text + i, plain);
        else if (bytes == 0)
            put_text(out, replacement);
        else
            put_character(out, text + i, bytes);
        whole = whole && bytes > 0;
        i += bytes > 0 ? bytes : 1;
    }
    return whole;
}

/* --- fields --- */

static void put_digest(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    unsigned char bytes[DIGEST_BYTES_MAX];
    size_t len = field->len < sizeof(bytes) - sizeof(field->number) ? field->len : sizeof(bytes) - sizeof(field->number);

    memcpy(bytes, &field->number, sizeof(field->number)); /* the same id of another kind is another account */
    memcpy(bytes + sizeof(field->number), field->text, len);
    put(out, "#", 1);
    put_hex(out, tkr_digest(&style->key, bytes, sizeof(field->number) + len), DIGEST_DIGITS);
}

static bool is_redacted(const struct tkr_log_style *style, enum tkr_field_form form)
{
    return style->redact && (form == TKR_FORM_account || form == TKR_FORM_key);
}

/* One whose value no stranger has chosen the bytes of. */
static void put_own_value(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    char kind[TKR_KIND_NAME_BYTES];

    switch (tkr_field_about[field->name].form) {
    case TKR_FORM_kind:
        tkr_kind_name(field->number, kind);
        put_text(out, kind);
        break;
    case TKR_FORM_cycle:
        put_cycle(out, (uint32_t)field->number);
        break;
    case TKR_FORM_name64:
        put_hex(out, field->number, 16);
        break;
    case TKR_FORM_number:
        if ((int64_t)field->number < 0)
            put(out, "-", 1);
        put_integer(out, (int64_t)field->number < 0 ? 0 - field->number : field->number);
        break;
    case TKR_FORM_count:
        put_count(out, field->number);
        break;
    default:
        put_digest(out, style, field); /* redacted */
    }
}

static bool is_own_value(const struct tkr_log_style *style, enum tkr_field_form form)
{
    return form > TKR_FORM_text || is_redacted(style, form);
}

/* Within a message. */
static void put_in_message(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    enum tkr_field_form form = tkr_field_about[field->name].form;

    if (is_own_value(style, form))
        put_own_value(out, style, field);
    else if (form == TKR_FORM_text)
        (void)put_sentence(out, field->text, field->len, "?");
    else
        put_word(out, field->text, field->len);
}

/* Behind a message of text. */
static void put_behind(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    const struct tkr_field_about *about = &tkr_field_about[field->name];

    put(out, " ", 1);
    put(out, about->name, about->len);
    put(out, "=", 1);
    if (is_own_value(style, about->form))
        put_own_value(out, style, field);
    else
        put_word(out, field->text, field->len);
}

static void put_member_name(struct out *out, const struct tkr_field_about *about, const char *more)
{
    put(out, ",\"", 2);
    put(out, about->name, about->len);
    put_text(out, more);
    put(out, "\":", 2);
}

/* All of a text that cannot be shown whole. */
static void put_member_hex(struct out *out, const struct tkr_field *field)
{
    put_member_name(out, &tkr_field_about[field->name], "_hex");
    put(out, "\"", 1);
    for (uint32_t i = 0; i < field->len; i++)
        put_hex(out, (unsigned char)field->text[i], 2);
    put(out, "\"", 1);
}

static void put_member(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    const struct tkr_field_about *about = &tkr_field_about[field->name];
    bool number = about->form == TKR_FORM_count || about->form == TKR_FORM_number;
    bool whole = true;

    put_member_name(out, about, "");
    if (!number)
        put(out, "\"", 1);
    if (is_own_value(style, about->form))
        put_own_value(out, style, field);
    else
        whole = put_sentence(out, field->text, field->len, REPLACEMENT);
    if (!number)
        put(out, "\"", 1);
    if (!whole && about->form != TKR_FORM_text)
        put_member_hex(out, field);
}

/* --- bodies --- */

/* The number in fields of the name at text, which a '}' ends; count: it is none of them. */
static size_t find_named(const struct tkr_field *fields, size_t count, const char *text)
{
    size_t i = 0;

    for (; i < count; i++) {
        const struct tkr_field_about *about = &tkr_field_about[fields[i].name];

        if (strncmp(text, about->name, about->len) == 0 && text[about->len] == '}')
            break;
    }
    return i;
}

/* Returns a bit for each field that the message has named. */
static uint64_t put_message(struct out *out, const struct tkr_log_style *style, const char *message,
                            const struct tkr_field *fields, size_t count)
{
    uint64_t named = 0;

    while (*message != '\0') {
        size_t plain = strcspn(message, "{");
        size_t i = message[plain] == '{' ? find_named(fields, count, message + plain + 1) : count;

        if (message[plain] == '{' && i == count)
            plain++; /* a brace */
        (void)put_sentence(out, message, plain, "?");
        message += plain;
        if (i == count)
            continue;
        put_in_message(out, style, &fields[i]);
        named |= UINT64_C(1) << i;
        message += 2 + tkr_field_about[fields[i].name].len;
    }
    return named;
}

/* A field that does not fit is not there at all. */
static void put_field(struct out *out, const struct tkr_log_style *style, const struct tkr_field *field)
{
    char *begin = out->at;

    if (out->json)
        put_member(out, style, field);
    else
        put_behind(out, style, field);
    if (out->cut)
        out->at = begin;
    out->cut = false;
}

void tkr_log_body_make(const struct tkr_log_style *style, enum tkr_log_level level, const char *message,
                       const struct tkr_field *fields, size_t count, struct tkr_log_body *ret_body)
{
    struct out out = {.at = ret_body->text, .end = ret_body->text + MESSAGE_BYTES, .json = style->format == TKR_LOG_JSON};
    uint64_t named = put_message(&out, style, message, fields, count);

    ret_body->level = level;
    ret_body->message_bytes = (uint32_t)(out.at - ret_body->text);
    out.end = ret_body->text + sizeof(ret_body->text);
    out.cut = false;
    for (size_t i = 0; i < count; i++) {
        if (out.json || (named >> i & 1) == 0)
            put_field(&out, style, &fields[i]);
    }
    ret_body->bytes = (uint32_t)(out.at - ret_body->text);
}

/* --- lines --- */

static void put_time(struct out *out, struct tkr_log_second *second)
{
    struct timespec now;
    struct tm utc;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (now.tv_sec != second->second || second->text[0] == '\0') {
        (void)gmtime_r(&now.tv_sec, &utc);
        (void)strftime(second->text, sizeof(second->text), "%Y-%m-%dT%H:%M:%S", &utc);
        second->second = now.tv_sec;
    }
    put_text(out, second->text);
    put(out, ".", 1);
    put_digits(out, (uint64_t)now.tv_nsec / (uint64_t)TKR_NS_PER_MS, 3);
    put(out, "Z", 1);
}

/* As sd-daemon(3) has it: the priorities of syslog(3). */
static void put_priority(struct out *out, enum tkr_log_level level)
{
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};

    put_text(out, priorities[level]);
}

static void put_more(struct out *out, const struct tkr_log_more *more)
{
    put_text(out, " (said ");
    put_count(out, more->times);
    put_text(out, " times more in the last ");
    put_count(out, (uint64_t)more->seconds);
    put_text(out, " s)");
}

static void put_text_line(struct out *out, const struct tkr_log_style *style, const struct tkr_log_body *body,
                          const struct tkr_log_more *more, struct tkr_log_second *second)
{
    static const char blanks[] = "        "; /* levels stand in a column of 8 */
    const char *level = tkr_log_level_name[body->level];

    if (!style->journal) {
        put_time(out, second);
        put(out, " ", 1);
    }
    put_text(out, level);
    put_text(out, blanks + strlen(level));
    put(out, body->text, body->message_bytes);
    if (more->times > 0)
        put_more(out, more);
    put(out, body->text + body->message_bytes, body->bytes - body->message_bytes);
}

static void put_json_line(struct out *out, const struct tkr_log_body *body, const struct tkr_log_more *more,
                          struct tkr_log_second *second)
{
    put_text(out, "{\"timestamp\":\"");
    put_time(out, second);
    put_text(out, "\",\"level\":\"");
    put_text(out, tkr_log_level_name[body->level]);
    put_text(out, "\",\"logger\":\"tokenring\",\"message\":\"");
    put(out, body->text, body->message_bytes);
    if (more->times > 0)
        put_more(out, more);
    put(out, "\"", 1);
    put(out, body->text + body->message_bytes, body->bytes - body->message_bytes);
    if (more->times > 0) {
        put_member_name(out, &tkr_field_about[TKR_FIELD_REPEATS], "");
        put_count(out, more->times);
        put_member_name(out, &tkr_field_about[TKR_FIELD_SECONDS], "");
        put_count(out, (uint64_t)more->seconds);
    }
    put(out, "}", 1);
}

size_t tkr_log_line_make(const struct tkr_log_style *style, const struct tkr_log_body *body, const struct tkr_log_more *more,
                         struct tkr_log_second *second, char ret_line[TKR_LOG_LINE_BYTES])
{
    struct out out = {.at = ret_line, .end = ret_line + TKR_LOG_LINE_BYTES};

    if (style->journal)
        put_priority(&out, body->level);
    if (style->format == TKR_LOG_JSON)
        put_json_line(&out, body, more, second);
    else
        put_text_line(&out, style, body, more, second);
    put(&out, "\n", 1);
    return (size_t)(out.at - ret_line);
}
