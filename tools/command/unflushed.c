/* SPDX-License-Identifier: Apache-2.0 */
#include "command/unflushed.h"

#include "collector/folder.h"
#include "table/reader.h"

static bool any(const tkr_counts *counts)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (counts->value[i] != 0)
            return true;
    }
    return false;
}

static int add_shard(struct tkr_reader *reader, const struct tkr_usage_query *query, struct tkr_command_usage_rows *rows,
                     tkr_message *ret_message)
{
    struct tkr_entry_copy copy;

    while (tkr_reader_next(reader, &copy)) {
        struct tkr_command_usage_key key = {.kind = copy.kind,
                                            .id = copy.id,
                                            .id_len = copy.id_len,
                                            .cycle = copy.cycle,
                                            .model = copy.model,
                                            .model_len = copy.model_len};
        tkr_counts unflushed;

        tkr_entry_copy_unflushed(&copy, &unflushed);
        if (any(&unflushed) && tkr_command_usage_wanted(query, &key) &&
            tkr_command_usage_add_unflushed(rows, &key, &unflushed) != 0)
            return tkr_message_set(ret_message, "there is no memory for so many accounts");
    }
    return 0;
}

/* Shards are numbered from 0 without a gap. */
static int add_shards(int directory, const struct tkr_usage_query *query, struct tkr_command_usage_rows *rows, bool *ret_found,
                      tkr_message *ret_message)
{
    for (uint32_t number = 0;; number++) {
        struct tkr_reader *reader;
        int opened = tkr_reader_open(directory, number, &reader, ret_message);
        int added;

        if (opened != 1)
            return opened;
        *ret_found = true;
        added = add_shard(reader, query, rows, ret_message);
        tkr_reader_close(reader);
        if (added != 0)
            return -1;
    }
}

int tkr_command_unflushed_read(const char *runtime_dir, const struct tkr_usage_query *query, struct tkr_command_usage_rows *rows,
                               bool *ret_found, tkr_message *ret_message)
{
    struct tkr_folder at;
    int result = tkr_folder_open(runtime_dir, &at, ret_message);

    *ret_found = false;
    if (result == 1)
        result = add_shards(at.folder, query, rows, ret_found, ret_message);
    tkr_folder_close(&at);
    return result;
}
