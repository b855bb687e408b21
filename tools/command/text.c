/* SPDX-License-Identifier: Apache-2.0 */
#include "command/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ID_MAX 255
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Bytes that follow the lead byte, and what the first of them may be; 0 for a byte that leads nothing. */
static unsigned followers(unsigned char lead, unsigned char *ret_low, unsigned char *ret_high)
{
    *ret_low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    *ret_high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef)
        return 2;
    return lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
}

/* Bytes of the printable character at text[0..len), len > 0; 0 when there is none. */
static size_t character_bytes(const char *text, size_t len)
{
    unsigned char low;
    unsigned char high;
    unsigned char lead = (unsigned char)text[0];
    unsigned count = followers(lead, &low, &high);

    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f;
    if (count == 0 || count >= len)
        return 0;
    for (unsigned i = 1; i <= count; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte < (i == 1 ? low : 0x80) || byte > (i == 1 ? high : 0xbf))
            return 0;
    }
    if (lead == 0xc2 && (unsigned char)text[1] < 0xa0)
        return 0; /* the control characters U+0080..U+009F */
    return count + 1;
}

bool tkr_command_text_clean(const char *text, size_t len, char *ret_clean)
{
    bool clean = true;

    for (size_t i = 0; i < len;) {
        size_t bytes = character_bytes(text + i, len - i);

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
