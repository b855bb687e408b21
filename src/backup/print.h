/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a backup (backup/line.h), written: texts that end in a newline, freed by the caller. NULL: no memory. */
#ifndef TKR_BACKUP_PRINT_H
#define TKR_BACKUP_PRINT_H

#include "backup/line.h"

char *tkr_backup_print_head(const struct tkr_backup_head *head);
char *tkr_backup_print_source(const char *source, uint64_t seen);

/* Of what is finished; a cycle 0 is the standing limit. */
char *tkr_backup_print_account(const struct tkr_holdings *holdings);

/* The checksum is the last of it: its digits begin TKR_BACKUP_END_REST bytes before the newline. */
char *tkr_backup_print_end(const struct tkr_backup_end *end);

#endif
