/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/csv.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"

#define VALUE_BYTES 64 /* longest number or timestamp worth looking at, with its NUL */
#define SHOWN_BYTES 40 /* of a bad value in a message */
#define FRACTION_DIGITS 9
#define S_PER_DAY INT64_C(86400)

static const char *const column_name[TKR_TRAFFIC_COLUMN_COUNT] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens", "User",
                                                                  "Model"};

/* A field where it stands in the buffer: without the quotes around it, with "" still doubled. */
struct field {
    const char *text;
    size_t len;
    bool quoted;
    bool last; /* of its row */
};

static int fail_form(const struct tkr_traffic_csv *csv, uint32_t number, const char *allowed, tkr_message *ret_message)
{
    return tkr_message_set(ret_message, "line %" PRIu64 ", field %" PRIu32 ": %s", csv->line, number, allowed);
}

/* Steps over what ends a field: a comma, LF, CRLF or the end of the buffer. False when something else stands there. */
static bool end_field(struct tkr_traffic_csv *csv, struct field *field)
{
    field->last = true;
    if (csv->at == csv->end)
        return true;
    if (*csv->at == ',') {
        csv->at++;
        field->last = false;
        return true;
    }
    if (*csv->at == '\r' && csv->end - csv->at > 1 && csv->at[1] == '\n')
        csv->at++;
    if (*csv->at != '\n')
        return false;
    csv->at++;
    csv->line++;
    return true;
}

/* at stands behind the opening quote. */
static int scan_quoted(struct tkr_traffic_csv *csv, uint32_t number, struct field *ret_field, tkr_message *ret_message)
{
    const char *from = csv->at;
    uint64_t line = csv->line;

    for (;; csv->at++) {
        if (csv->at == csv->end) {
            csv->line = line;
            return fail_form(csv, number, "the quote is never closed", ret_message);
        }
        csv->line += *csv->at == '\n';
        if (*csv->at != '"')
            continue;
        if (csv->end - csv->at == 1 || csv->at[1] != '"')
            break;
        csv->at++;
    }
    *ret_field = (struct field){.text = from, .len = (size_t)(csv->at - from), .quoted = true};
    csv->at++;
    if (!end_field(csv, ret_field))
        return fail_form(csv, number, "after a closing quote only a comma or the end of the line is allowed", ret_message);
    return 0;
}

static int scan_plain(struct tkr_traffic_csv *csv, uint32_t number, struct field *ret_field, tkr_message *ret_message)
{
    const char *from = csv->at;

    while (csv->at != csv->end && *csv->at != ',' && *csv->at != '\n' && *csv->at != '\r' && *csv->at != '"')
        csv->at++;
    *ret_field = (struct field){.text = from, .len = (size_t)(csv->at - from)};
    if (csv->at != csv->end && *csv->at == '"')
        return fail_form(csv, number, "a quote is allowed only in a field that begins with one", ret_message);
    if (!end_field(csv, ret_field))
        return fail_form(csv, number, "a carriage return is allowed only before a newline or in quotes", ret_message);
    return 0;
}

static int scan_field(struct tkr_traffic_csv *csv, uint32_t number, struct field *ret_field, tkr_message *ret_message)
{
    if (csv->at != csv->end && *csv->at == '"') {
        csv->at++;
        return scan_quoted(csv, number, ret_field, ret_message);
    }
    return scan_plain(csv, number, ret_field, ret_message);
}

/* Writes the field's value, each "" as one quote, cut at room bytes. Returns the length that it would have. */
static size_t copy_field(const struct field *field, char *ret_text, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < field->len; i++, len++) {
        if (len < room)
            ret_text[len] = field->text[i];
        i += field->quoted && field->text[i] == '"';
    }
    return len;
}

static int fail_value(uint64_t line, enum tkr_traffic_column column, const struct field *field, const char *allowed,
                      tkr_message *ret_message)
{
    char shown[SHOWN_BYTES];
    size_t len = copy_field(field, shown, sizeof(shown));
    bool cut = len > sizeof(shown);

    len = cut ? sizeof(shown) : len;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)shown[i] < 0x20 || (unsigned char)shown[i] > 0x7e)
            shown[i] = '?';
    }
    return tkr_message_set(ret_message, "line %" PRIu64 ", %s=%.*s%s: allowed is %s", line, column_name[column], (int)len, shown,
                           cut ? "..." : "", allowed);
}

/* The field's value with its NUL; false when it is longer or holds a NUL itself. */
static bool copy_value(const struct field *field, char ret_value[VALUE_BYTES])
{
    size_t len = copy_field(field, ret_value, VALUE_BYTES);

    if (len >= VALUE_BYTES || memchr(ret_value, '\0', len) != NULL)
        return false;
    ret_value[len] = '\0';
    return true;
}

static bool take_digits(const char **at, int count, uint32_t *ret_number)
{
    uint32_t number = 0;

    for (; count > 0; count--, (*at)++) {
        if (!isdigit((unsigned char)**at))
            return false;
        number = number * 10 + (uint32_t)(**at - '0');
    }
    *ret_number = number;
    return true;
}

/* HH:MM:SS, in seconds. */
static bool take_clock(const char **at, int64_t *ret_seconds)
{
    uint32_t part[3];

    for (int i = 0; i < 3; i++) {
        if (i > 0 && *(*at)++ != ':')
            return false;
        if (!take_digits(at, 2, &part[i]) || part[i] > (i == 0 ? 23U : 59U))
            return false;
    }
    *ret_seconds = (int64_t)part[0] * 3600 + (int64_t)part[1] * 60 + part[2];
    return true;
}

/* [.d{1,9}], in nanoseconds. */
static bool take_fraction(const char **at, int64_t *ret_ns)
{
    int64_t ns = 0;
    int digits = 0;

    *ret_ns = 0;
    if (**at != '.')
        return true;
    for ((*at)++; isdigit((unsigned char)**at); (*at)++, digits++)
        ns = digits < FRACTION_DIGITS ? ns * 10 + (**at - '0') : ns;
    if (digits == 0 || digits > FRACTION_DIGITS)
        return false;
    for (; digits < FRACTION_DIGITS; digits++)
        ns *= 10;
    *ret_ns = ns;
    return true;
}

static bool parse_timestamp(const char *text, int64_t *ret_ns)
{
    char date[TKR_CYCLE_TEXT_BYTES];
    uint32_t cycle;
    int64_t seconds;
    int64_t ns;

    if (strlen(text) < TKR_CYCLE_TEXT_BYTES)
        return false;
    memcpy(date, text, TKR_CYCLE_TEXT_BYTES - 1);
    date[TKR_CYCLE_TEXT_BYTES - 1] = '\0';
    text += TKR_CYCLE_TEXT_BYTES - 1;
    if (!tkr_cycle_parse(date, &cycle) || (*text != ' ' && *text != 'T'))
        return false;
    text++;
    if (!take_clock(&text, &seconds) || !take_fraction(&text, &ns))
        return false;
    if (strcmp(text, "") != 0 && strcmp(text, "Z") != 0 && strcmp(text, "+00:00") != 0)
        return false;
    seconds += tkr_days_from_civil(cycle / 10000, cycle / 100 % 100, cycle % 100) * S_PER_DAY;
    ns += seconds * TKR_NS_PER_S;
    if (ns == 0)
        return false; /* the producer takes 0 as "now" */
    *ret_ns = ns;
    return true;
}

static int read_timestamp(const struct field *field, struct tkr_traffic_row *row, tkr_message *ret_message)
{
    char value[VALUE_BYTES];

    if (copy_value(field, value) && parse_timestamp(value, &row->start_ns))
        return 0;
    return fail_value(row->line, TKR_TRAFFIC_TIMESTAMP, field,
                      "YYYY-MM-DD HH:MM:SS[.fraction] in UTC, after 1970-01-01 00:00:00 and before 2262", ret_message);
}

static int read_tokens(const struct field *field, enum tkr_traffic_column column, uint64_t line, int64_t *ret_tokens,
                       tkr_message *ret_message)
{
    char value[VALUE_BYTES];

    if (copy_value(field, value) && value[0] != '-' && tkr_parse_integer(value, 0, TKR_TOKENS_MAX, ret_tokens))
        return 0;
    return fail_value(line, column, field, "an integer from 0 to 1099511627776", ret_message);
}

static int read_text(const struct field *field, enum tkr_traffic_column column, const struct tkr_traffic_row *row,
                     char ret_text[TKR_ID_BYTES_MAX], uint32_t *ret_len, tkr_message *ret_message)
{
    size_t len = copy_field(field, ret_text, TKR_ID_BYTES_MAX);
    bool empty_allowed = column == TKR_TRAFFIC_MODEL;

    if (len > TKR_ID_BYTES_MAX || (len == 0 && !empty_allowed) || !tkr_text_clean(ret_text, len))
        return fail_value(row->line, column, field,
                          empty_allowed ? "0 to 255 bytes without control characters"
                                        : "1 to 255 bytes without control characters",
                          ret_message);
    *ret_len = (uint32_t)len;
    return 0;
}
_Static_assert(TKR_MODEL_BYTES_MAX == TKR_ID_BYTES_MAX, "read_text serves both");

static int read_value(enum tkr_traffic_column column, const struct field *field, struct tkr_traffic_row *row,
                      tkr_message *ret_message)
{
    switch (column) {
    case TKR_TRAFFIC_TIMESTAMP:
        return read_timestamp(field, row, ret_message);
    case TKR_TRAFFIC_CONTEXT:
        return read_tokens(field, column, row->line, &row->prompt_tokens, ret_message);
    case TKR_TRAFFIC_GENERATED:
        return read_tokens(field, column, row->line, &row->completion_tokens, ret_message);
    case TKR_TRAFFIC_USER:
        return read_text(field, column, row, row->user, &row->user_len, ret_message);
    case TKR_TRAFFIC_MODEL:
        return read_text(field, column, row, row->model, &row->model_len, ret_message);
    case TKR_TRAFFIC_COLUMN_COUNT:
        break;
    }
    return 0;
}

/* The column that stands in field number; TKR_TRAFFIC_COLUMN_COUNT: none that is read. */
static enum tkr_traffic_column column_at(const struct tkr_traffic_csv *csv, uint32_t number)
{
    int column = 0;

    while (column < TKR_TRAFFIC_COLUMN_COUNT && csv->place[column] != number)
        column++;
    return (enum tkr_traffic_column)column;
}

static enum tkr_traffic_column column_called(const struct field *field)
{
    char name[VALUE_BYTES];
    int column = 0;

    if (!copy_value(field, name))
        return TKR_TRAFFIC_COLUMN_COUNT;
    while (column < TKR_TRAFFIC_COLUMN_COUNT && strcmp(column_name[column], name) != 0)
        column++;
    return (enum tkr_traffic_column)column;
}

static int check_columns(const struct tkr_traffic_csv *csv, tkr_message *ret_message)
{
    for (int column = 0; column < TKR_TRAFFIC_REQUIRED_COUNT; column++) {
        if (csv->place[column] == 0)
            return tkr_message_set(ret_message, "line 1: column %s is missing; required are %s, %s and %s", column_name[column],
                                   column_name[TKR_TRAFFIC_TIMESTAMP], column_name[TKR_TRAFFIC_CONTEXT],
                                   column_name[TKR_TRAFFIC_GENERATED]);
    }
    return 0;
}

static int read_header(struct tkr_traffic_csv *csv, tkr_message *ret_message)
{
    struct field field = {.last = false};

    while (!field.last) {
        enum tkr_traffic_column column;

        if (scan_field(csv, csv->field_count + 1, &field, ret_message) != 0)
            return -1;
        csv->field_count++;
        column = column_called(&field);
        if (column == TKR_TRAFFIC_COLUMN_COUNT)
            continue;
        if (csv->place[column] != 0)
            return tkr_message_set(ret_message, "line 1: column %s stands there twice; once is allowed", column_name[column]);
        csv->place[column] = csv->field_count;
    }
    return check_columns(csv, ret_message);
}

int tkr_traffic_csv_open(const char *bytes, size_t len, struct tkr_traffic_csv *ret_csv, tkr_message *ret_message)
{
    static const char mark[] = {'\xef', '\xbb', '\xbf'};
    struct tkr_traffic_csv csv = {.at = bytes, .end = bytes + len, .line = 1};

    if (len >= sizeof(mark) && memcmp(bytes, mark, sizeof(mark)) == 0)
        csv.at += sizeof(mark);
    if (csv.at == csv.end)
        return tkr_message_set(ret_message, "line 1: the file is empty; a first row with the columns' names is needed");
    if (read_header(&csv, ret_message) != 0)
        return -1;
    *ret_csv = csv;
    return 0;
}

int tkr_traffic_csv_next(struct tkr_traffic_csv *csv, struct tkr_traffic_row *ret_row, tkr_message *ret_message)
{
    struct field field = {.last = false};
    uint32_t number = 0;

    if (csv->at == csv->end)
        return 0;
    ret_row->line = csv->line;
    ret_row->user_len = 0;
    ret_row->model_len = 0;
    while (!field.last && number < csv->field_count) {
        if (scan_field(csv, ++number, &field, ret_message) != 0 ||
            read_value(column_at(csv, number), &field, ret_row, ret_message) != 0)
            return -1;
    }
    if (!field.last || number < csv->field_count)
        return tkr_message_set(ret_message, "line %" PRIu64 ": the row has %s fields than the first row's %" PRIu32,
                               ret_row->line, field.last ? "fewer" : "more", csv->field_count);
    if (ret_row->completion_tokens > TKR_TOKENS_MAX - ret_row->prompt_tokens)
        return tkr_message_set(ret_message,
                               "line %" PRIu64 ": ContextTokens and GeneratedTokens are %" PRId64
                               " in all: allowed is up to 1099511627776",
                               ret_row->line, ret_row->prompt_tokens + ret_row->completion_tokens);
    return 1;
}
