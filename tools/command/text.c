/* SPDX-License-Identifier: Apache-2.0 */
#include "command/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define ID_MAX 255
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

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
