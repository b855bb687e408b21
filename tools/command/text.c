/* SPDX-License-Identifier: Apache-2.0 */
#include "command/text.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/account.h"
#include "base/text.h"

#define ID_MAX 255
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define REPLACEMENT_POINT 0xfffd

bool tkr_command_text_clean(const char *text, size_t len, char *ret_clean)
{
    bool clean = true;

    for (size_t i = 0; i < len;) {
        size_t bytes = tkr_text_character_bytes(text + i, len - i);

        if (bytes == 0) {
            clean = false;
            memcpy(ret_clean, REPLACEMENT, sizeof(REPLACEMENT) - 1);
            ret_clean += sizeof(REPLACEMENT) - 1;
            i++;
        } else {
            memcpy(ret_clean, text + i, bytes);
            ret_clean += bytes;
            i += bytes;
        }
    }
    *ret_clean = '\0';
    return clean;
}

size_t tkr_command_text_columns(const char *clean)
{
    size_t columns = 0;

    for (; *clean != '\0'; clean++)
        columns += ((unsigned char)*clean & 0xc0) != 0x80;
    return columns;
}

void tkr_command_text_locale(void)
{
    const char *charset;

    (void)setlocale(LC_CTYPE, "");
    charset = nl_langinfo(CODESET);
    if (strcmp(charset, "ANSI_X3.4-1968") == 0) /* "C", which says nothing */
        (void)setlocale(LC_CTYPE, "C.UTF-8");   /* where there is none, it stays as it was */
}

/* The code point of a clean character of so many bytes. */
static wchar_t code_point(const char *text, size_t bytes)
{
    static const unsigned char lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned long point = (unsigned char)text[0] & lead_mask[bytes];

    for (size_t i = 1; i < bytes; i++)
        point = point << 6 | ((unsigned char)text[i] & 0x3f);
    return (wchar_t)point;
}

/* Marks, embeddings, overrides and isolates of direction; separators of lines. */
static bool turns(wchar_t point)
{
    return point == 0x061c || point == 0x200e || point == 0x200f || (point >= 0x2028 && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069);
}

/* What is shown for the character at *text, which is moved on, its bytes, and the columns they take. */
static const char *shown(const char **text, size_t *ret_bytes, size_t *ret_columns)
{
    const char *at = *text;
    size_t bytes = tkr_text_character_bytes(at, strlen(at) < 4 ? strlen(at) : 4);
    wchar_t point;
    int columns;

    *text += bytes > 0 ? bytes : 1;
    point = bytes > 0 ? code_point(at, bytes) : 0;
    columns = point < 0x80 && bytes > 0 ? 1 : wcwidth(point);
    if (bytes == 0 || turns(point) || columns == 0) {
        at = REPLACEMENT;
        bytes = sizeof(REPLACEMENT) - 1;
        columns = wcwidth(REPLACEMENT_POINT);
    }
    *ret_bytes = columns < 0 ? 1 : bytes;
    *ret_columns = columns < 0 ? 1 : (size_t)columns;
    return columns < 0 ? "?" : at;
}

size_t tkr_command_text_width(const char *clean)
{
    size_t width = 0;

    while (*clean != '\0') {
        size_t bytes;
        size_t columns;

        (void)shown(&clean, &bytes, &columns);
        width += columns;
    }
    return width;
}

void tkr_command_text_fit(const char *clean, size_t columns, char *ret_fitted)
{
    size_t left = columns;
    bool cut = tkr_command_text_width(clean) > columns;

    while (left > (size_t)cut) {
        size_t bytes;
        size_t wide;
        const char *character;

        if (*clean == '\0')
            break;
        character = shown(&clean, &bytes, &wide);
        if (wide > left - (size_t)cut)
            break;
        memcpy(ret_fitted, character, bytes);
        ret_fitted += bytes;
        left -= wide;
    }
    for (; left > (size_t)cut; left--)
        *ret_fitted++ = ' ';
    if (cut && columns > 0)
        *ret_fitted++ = '~';
    *ret_fitted = '\0';
}

const char *tkr_command_kind_text(uint64_t kind, char ret_text[TKR_COMMAND_KIND_BYTES])
{
    if (tkr_kind_valid(kind))
        tkr_kind_name(kind, ret_text);
    else
        (void)snprintf(ret_text, TKR_COMMAND_KIND_BYTES, "%#" PRIx64, kind);
    return ret_text;
}

json_t *tkr_command_json_hex(const char *bytes, size_t len)
{
    char hex[2 * ID_MAX + 1] = "";

    for (size_t i = 0; i < len && i < ID_MAX; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    return json_string(hex);
}

void tkr_command_json_set_id(json_t *object, const char *key, const char *id, size_t len)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(ID_MAX)];
    char key_hex[32];
    bool was_clean = tkr_command_text_clean(id, len < ID_MAX ? len : ID_MAX, clean);

    (void)json_object_set_new(object, key, json_string(clean)); /* without memory the dump fails as a whole */
    if (was_clean)
        return;
    (void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
    (void)json_object_set_new(object, key_hex, tkr_command_json_hex(id, len));
}
