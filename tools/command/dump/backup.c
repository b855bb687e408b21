/* SPDX-License-Identifier: Apache-2.0 */
/* A backup, read as a restore reads it: what it is of, how many lines of each kind it has, whether it is whole. */
#include "backup/reader.h"
#include "base/clock.h"
#include "command/dump/file.h"
#include "command/moment.h"

static void set_moment(json_t *object, const char *key, int64_t moment_s)
{
    char text[TKR_COMMAND_MOMENT_BYTES];

    if (moment_s > 0 && moment_s < INT64_MAX / TKR_NS_PER_S)
        tkr_dump_set_text(object, key, tkr_command_moment(moment_s * TKR_NS_PER_S, text));
    else
        tkr_dump_set_signed(object, key, moment_s);
}

static void set_sources(struct tkr_dump *dump, const struct tkr_backup_reader *reader)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;

    for (uint32_t i = 0; i < reader->source_count; i++) {
        if (tkr_dump_list_takes(dump, &list)) {
            json_t *row = json_object();
            tkr_dump_set_text(row, "source", reader->source[i].source);
            tkr_dump_set(row, "seen", reader->source[i].seen);
            (void)json_array_append_new(list.array, row);
        }
    }
    tkr_dump_list_end(dump->object, "sources", &list);
}

void tkr_dump_backup(struct tkr_dump *dump)
{
    struct tkr_backup_reader reader;
    tkr_message message = {""};
    const struct tkr_backup_end *counted;
    bool whole = tkr_backup_reader_open(dump->path, &reader, &message) == 0 && tkr_backup_reader_check(&reader, &message) == 0;

    if (!whole)
        tkr_dump_doubt(dump, "%s", message.text);
    counted = whole ? &reader.end : &reader.counted;
    tkr_dump_set_text(dump->object, "backup", reader.head.backup);
    tkr_dump_set_text(dump->object, "data_set", reader.head.dataset);
    set_moment(dump->object, "made", reader.head.made_s);
    tkr_dump_set(dump->object, "accounts_and_cycles", counted->accounts);
    tkr_dump_set(dump->object, "standing_limits", counted->limits);
    tkr_dump_set(dump->object, "left_out", counted->left_out);
    set_sources(dump, &reader);
    tkr_backup_reader_close(&reader);
}
