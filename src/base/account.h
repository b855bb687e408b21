/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts: kinds packed into 64 bits, checks of ids. */
#ifndef TKR_BASE_ACCOUNT_H
#define TKR_BASE_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TKR_KIND_NAME_MAX 12
#define TKR_KIND_NAME_BYTES (TKR_KIND_NAME_MAX + 1) /* with the NUL */

/* Is this what tkr_kind() makes of some name? (TKR_KIND_USER is.) */
bool tkr_kind_valid(uint64_t kind);

/* Writes the kind's name with its NUL; "user" for TKR_KIND_USER. kind is valid. */
void tkr_kind_name(uint64_t kind, char ret_name[TKR_KIND_NAME_BYTES]);

/* No byte below 0x20 and no 0x7f in text[0..len). UTF-8 is not required: ids are bytes. */
bool tkr_text_clean(const char *text, size_t len);

#endif
