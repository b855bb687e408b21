/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/accept.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#define QUALITY_MAX 1000u

enum specificity { NO_MATCH, ANY, TYPE, SUBTYPE, PARAMETERS };

const char *const tkr_accept_type[TKR_ACCEPT_FORMS] = {[TKR_ACCEPT_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
                                                       [TKR_ACCEPT_OPENMETRICS] =
                                                           "application/openmetrics-text; version=1.0.0; charset=utf-8"};

/* The same in parts, as ranges are compared with it. */
static const struct form {
    const char *type;
    const char *subtype;
    const char *version;
} forms[TKR_ACCEPT_FORMS] = {
    [TKR_ACCEPT_TEXT] = {"text", "plain", "0.0.4"}, [TKR_ACCEPT_OPENMETRICS] = {"application", "openmetrics-text", "1.0.0"}};

/* A piece of the header. */
struct word {
    const char *text;
    size_t len;
};

/* One member of the list, as far as it matters here. */
struct range {
    struct word type;
    struct word subtype;
    struct word version; /* text NULL: not given */
    struct word charset;
    unsigned quality;
};

/* --- lexing: each takes what it names at *at, and moves *at behind it --- */

static void take_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take_byte(const char **at, char byte)
{
    if (**at != byte)
        return false;
    (*at)++;
    return true;
}

static bool take_token(const char **at, struct word *ret_word)
{
    size_t len = strspn(*at, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

    *ret_word = (struct word){*at, len};
    *at += len;
    return len > 0;
}

/* Of a quoted string the text between the quotes; a value that matters here has no escapes. */
static bool take_value(const char **at, struct word *ret_word)
{
    const char *begin;

    if (!take_byte(at, '"'))
        return take_token(at, ret_word);
    begin = *at;
    while (**at != '\0' && **at != '"')
        *at += **at == '\\' && (*at)[1] != '\0' ? 2 : 1;
    *ret_word = (struct word){begin, (size_t)(*at - begin)};
    return take_byte(at, '"');
}

/* To the comma behind the member, or to the end: commas in quoted strings do not count. */
static void skip_member(const char **at)
{
    struct word ignored;

    while (**at != '\0' && **at != ',') {
        if (**at != '"')
            (*at)++;
        else if (!take_value(at, &ignored))
            return; /* the string has no end */
    }
}

/* --- parsing --- */

static bool is(const struct word *word, const char *text)
{
    return word->len == strlen(text) && strncasecmp(word->text, text, word->len) == 0;
}

/* qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ) */
static bool parse_quality(const struct word *word, unsigned *ret_quality)
{
    unsigned weight = QUALITY_MAX / 10;

    if (word->len > 5 || (word->text[0] != '0' && word->text[0] != '1') || (word->len > 1 && word->text[1] != '.'))
        return false;
    *ret_quality = word->text[0] == '1' ? QUALITY_MAX : 0;
    for (size_t i = 2; i < word->len; i++, weight /= 10) {
        if (word->text[i] < '0' || word->text[i] > '9')
            return false;
        *ret_quality += weight * (unsigned)(word->text[i] - '0');
    }
    return *ret_quality <= QUALITY_MAX;
}

/* What follows q was for extensions (RFC 7231) and is ignored. */
static bool take_parameter(const char **at, bool *weighted, struct range *range)
{
    struct word name;
    struct word value;

    if (!take_token(at, &name) || !take_byte(at, '=') || !take_value(at, &value))
        return false;
    if (*weighted)
        return true;
    *weighted = is(&name, "q");
    if (*weighted)
        return value.len > 0 && parse_quality(&value, &range->quality);
    if (is(&name, "version"))
        range->version = value;
    else if (is(&name, "charset"))
        range->charset = value;
    return true;
}

static bool take_range(const char **at, struct range *ret_range)
{
    bool weighted = false;

    *ret_range = (struct range){.quality = QUALITY_MAX};
    if (!take_token(at, &ret_range->type) || !take_byte(at, '/') || !take_token(at, &ret_range->subtype))
        return false;
    for (take_blanks(at); take_byte(at, ';'); take_blanks(at)) {
        take_blanks(at);
        if (**at != ';' && **at != ',' && **at != '\0' && !take_parameter(at, &weighted, ret_range))
            return false;
    }
    return **at == ',' || **at == '\0';
}

/* --- matching --- */

static enum specificity match(const struct range *range, const struct form *form)
{
    if ((range->version.text != NULL && !is(&range->version, form->version)) ||
        (range->charset.text != NULL && !is(&range->charset, "utf-8")))
        return NO_MATCH;
    if (is(&range->type, "*"))
        return is(&range->subtype, "*") ? ANY : NO_MATCH;
    if (!is(&range->type, form->type))
        return NO_MATCH;
    if (is(&range->subtype, "*"))
        return TYPE;
    if (!is(&range->subtype, form->subtype))
        return NO_MATCH;
    return range->version.text != NULL || range->charset.text != NULL ? PARAMETERS : SUBTYPE;
}

void tkr_accept_take(struct tkr_accept *accept, const char *value)
{
    while (*value != '\0') {
        struct range range;
        bool valid;

        value += strspn(value, " \t,"); /* members may be empty */
        valid = take_range(&value, &range);
        skip_member(&value);
        for (int i = 0; valid && i < TKR_ACCEPT_FORMS; i++) {
            enum specificity specificity = match(&range, &forms[i]);
            if (specificity == NO_MATCH || specificity < accept->form[i].specificity ||
                (specificity == accept->form[i].specificity && range.quality <= accept->form[i].quality))
                continue;
            accept->form[i].specificity = specificity;
            accept->form[i].quality = range.quality;
        }
    }
}

enum tkr_accept_form tkr_accept_choose(const struct tkr_accept *accept)
{
    unsigned text = accept->form[TKR_ACCEPT_TEXT].quality;
    unsigned openmetrics = accept->form[TKR_ACCEPT_OPENMETRICS].quality;
    bool named = accept->form[TKR_ACCEPT_OPENMETRICS].specificity >= SUBTYPE;

    return openmetrics > text || (openmetrics == text && openmetrics > 0 && named) ? TKR_ACCEPT_OPENMETRICS : TKR_ACCEPT_TEXT;
}
