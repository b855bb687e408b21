/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a backup (backup/line.h), read: any bytes are either understood whole, or refused with what is wrong. */
#ifndef TKR_BACKUP_PARSE_H
#define TKR_BACKUP_PARSE_H

#include <stddef.h>

#include "backup/line.h"

/*
 * Reads a line, without its newline. counters is written by a head, and read by accounts. 0, or -1 with what is wrong, as
 * "its \"cycle\" is no date YYYY-MM-DD"; the line is then in any state, and may be used again.
 */
int tkr_backup_parse(const char *text, size_t len, struct tkr_backup_counters *counters, struct tkr_backup_line *line,
                     tkr_message *ret_why);

#endif
