/* SPDX-License-Identifier: Apache-2.0 */
#include "backup/text.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define BYTES_MAX 255
#define KEY_BYTES 32

static bool is_clean(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t character = tkr_text_character_bytes(bytes + i, len - i);

        if (character == 0)
            return false;
        i += character;
    }
    return true;
}

bool tkr_backup_set_bytes(json_t *object, const char *key, const char *bytes, size_t len)
{
    char hex[2 * BYTES_MAX + 1];
    char key_hex[KEY_BYTES];

    if (is_clean(bytes, len))
        return json_object_set_new(object, key, json_stringn(bytes, len)) == 0;
    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    (void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
    return json_object_set_new(object, key_hex, json_string(hex)) == 0;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

static bool take_hex(const json_t *value, size_t max, char *ret_bytes, size_t *ret_len)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (len % 2 != 0 || len < 2 || len / 2 > max)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = digit(text[i]);
        int low = digit(text[i + 1]);

        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        ret_bytes[i / 2] = (char)(16 * high + low);
    }
    *ret_len = len / 2;
    return true;
}

bool tkr_backup_get_bytes(const json_t *object, const char *key, size_t max, char *ret_bytes, size_t *ret_len)
{
    char key_hex[KEY_BYTES];
    const json_t *text = json_object_get(object, key);
    const json_t *hex;
    size_t len;

    (void)snprintf(key_hex, sizeof(key_hex), "%s_hex", key);
    hex = json_object_get(object, key_hex);
    if (json_is_string(hex) && text == NULL)
        return take_hex(hex, max, ret_bytes, ret_len);
    if (!json_is_string(text) || hex != NULL)
        return false;
    len = json_string_length(text);
    if (len < 1 || len > max)
        return false;
    memcpy(ret_bytes, json_string_value(text), len); /* without NULs, which jansson refuses */
    *ret_len = len;
    return true;
}
