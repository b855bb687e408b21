/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in JSON: as text where they are clean UTF-8, else in hexadecimal digits under another key. Back they are the same. */
#ifndef TKR_BACKUP_TEXT_H
#define TKR_BACKUP_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Sets object[key] or object[key_hex]. len is at most 255. false: no memory. */
bool tkr_backup_set_bytes(json_t *object, const char *key, const char *bytes, size_t len);

/* Takes the one that is there. ret_bytes has room for max bytes; no byte is 0. false: not exactly one is there, of 1..max bytes. */
bool tkr_backup_get_bytes(const json_t *object, const char *key, size_t max, char *ret_bytes, size_t *ret_len);

#endif
