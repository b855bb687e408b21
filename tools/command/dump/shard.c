/* SPDX-License-Identifier: Apache-2.0 */
/* A shard: its header, the law, the undo log, cursors of regions, and entries of accounts and models. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cycle.h"
#include "base/errors.h"
#include "command/dump/file.h"
#include "command/moment.h"
#include "command/text.h"
#include "sink/holdings.h"
#include "table/layout.h"
#include "table/undo.h"

#define ENTRY_BYTES_MAX (TKR_ENTRY_UNITS_MAX * TKR_ENTRY_UNIT)
_Static_assert(TKR_DUMP_WINDOW_BYTES >= 2 * ENTRY_BYTES_MAX && TKR_DUMP_WINDOW_BYTES >= sizeof(struct tkr_cursor),
               "any object fits a window");

static uint64_t get(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* of private copies */
}

/* --- header and law --- */

static json_t *drops_json(const _Atomic uint64_t dropped[TKR_DROP_MAX])
{
    json_t *object = json_object();

    for (int i = 0; i < TKR_DROP_COUNT; i++)
        tkr_dump_set(object, tkr_drop_key[i], get(&dropped[i]));
    return object;
}

static void put_header(struct tkr_dump *dump, const struct tkr_shard_header *header)
{
    json_t *object = json_object();
    char source[32];
    uint64_t marks = get(&header->marks);
    char when[TKR_COMMAND_MOMENT_BYTES] = "never";

    tkr_source_name(header->name, header->number, source);
    if (marks > 0)
        (void)snprintf(when, sizeof(when), "%" PRIu64 " s after the boot", get(&header->mark_boot_s[(marks - 1) % TKR_MARKS]));
    tkr_dump_set_layout(object, header->major, header->minor);
    tkr_dump_set(object, "counters", header->counters);
    tkr_dump_set_text(object, "source", source);
    tkr_dump_set_boot(dump, object, header->boot_id);
    (void)json_object_set_new(object, "is_a_copy", json_boolean(header->inode != dump->inode));
    tkr_dump_set(object, "bytes", header->bytes);
    tkr_dump_set(object, "undo_offset", header->undo_offset);
    tkr_dump_set(object, "undo_bytes", header->undo_bytes);
    tkr_dump_set(object, "cursors_offset", header->cursors_offset);
    tkr_dump_set(object, "cursors_used", get(&header->cursors_used));
    tkr_dump_set(object, "regions_max", header->regions_max);
    tkr_dump_set(object, "arena_offset", header->arena_offset);
    tkr_dump_set(object, "arena_bytes", header->arena_bytes);
    tkr_dump_set(object, "arena_committed", get(&header->arena_committed));
    tkr_dump_set(object, "accounts_max", header->accounts_max);
    tkr_dump_set(object, "committed", get(&header->committed));
    tkr_dump_set(object, "seen", get(&header->seen));
    tkr_dump_set(object, "sent", get(&header->sent));
    tkr_dump_set(object, "recheck_at", get(&header->recheck_at));
    tkr_dump_set(object, "recheck_end", get(&header->recheck_end));
    tkr_dump_set(object, "recheck_seen", get(&header->recheck_seen));
    tkr_dump_set_text(object, "last_mark", when);
    (void)json_object_set_new(dump->object, "header", object);
    if (header->bytes > dump->bytes)
        tkr_dump_doubt(dump, "the header says %" PRIu64 " bytes, the file has %" PRIu64, header->bytes, dump->bytes);
}

static void put_law(struct tkr_dump *dump, const struct tkr_shard_header *header)
{
    const struct tkr_law *law = &header->law;
    json_t *object = json_object();
    json_t *refused = json_object();

    for (unsigned i = 1; i < TKR_RESULT_COUNT; i++) {
        if (get(&law->gone_refused[i]) > 0)
            tkr_dump_set(refused, tkr_result_key(i), get(&law->gone_refused[i]));
    }
    tkr_dump_set(object, "stamp", get(&law->stamp));
    (void)json_object_set_new(object, "is_committed", json_boolean(get(&law->stamp) <= get(&header->committed)));
    tkr_dump_set(object, "accounts", get(&law->accounts));
    tkr_dump_set(object, "arena_used", get(&law->arena_used));
    tkr_dump_set(object, "life_last", get(&law->life_last));
    tkr_dump_set(object, "gone_regions", get(&law->gone_regions));
    tkr_dump_set(object, "gone_offered", get(&law->gone_offered));
    tkr_dump_set(object, "gone_counted", get(&law->gone_counted));
    tkr_dump_set(object, "gone_settled", get(&law->gone_settled));
    (void)json_object_set_new(object, "gone_dropped", drops_json(law->gone_dropped));
    (void)json_object_set_new(object, "gone_refused", refused);
    tkr_dump_set(object, "gone_skipped_frames", get(&law->gone_unknown));
    tkr_dump_set(object, "gone_bad_times", get(&law->gone_bad_times));
    tkr_dump_set(object, "overflow_charges", get(&law->overflow_charges));
    (void)json_object_set_new(dump->object, "law", object);
}

/* --- undo log --- */

/* What an object of the file is, by where it lies. */
static void set_what(json_t *row, const struct tkr_shard_header *header, uint64_t offset)
{
    uint64_t at = offset - header->cursors_offset;
    uint64_t within = at % sizeof(struct tkr_cursor);
    const char *what = "nothing";

    if (offset == offsetof(struct tkr_shard_header, law)) {
        what = "law";
    } else if (offset >= header->arena_offset) {
        what = "entry";
    } else if (offset >= header->cursors_offset && header->cursors_offset < header->arena_offset) {
        what = within == 0 ? "cursor" : "lane";
        tkr_dump_set(row, "cursor", at / sizeof(struct tkr_cursor));
        if (within >= TKR_CURSOR_HEAD_BYTES)
            tkr_dump_set(row, "lane", (within - TKR_CURSOR_HEAD_BYTES) / sizeof(struct tkr_lane_cursor));
    }
    tkr_dump_set_text(row, "of", what);
}

static void put_records(struct tkr_dump *dump, const struct tkr_shard_header *header, struct tkr_dump_window *window,
                        uint64_t begin, uint64_t used, struct tkr_dump_list *list)
{
    uint64_t at = 0;

    while (used - at >= 3 * sizeof(uint64_t)) {
        uint64_t word[3]; /* offset and bytes of an object, and the stamp that it had */
        json_t *row;
        memcpy(word, tkr_dump_window_at(window, begin + at, sizeof(word)), sizeof(word));
        if (word[1] == 0 || word[1] % sizeof(uint64_t) != 0 || word[1] > used - at - 2 * sizeof(uint64_t)) {
            tkr_dump_doubt(dump, "the undo log's record at %" PRIu64 " says that it has %" PRIu64 " bytes", at, word[1]);
            return;
        }
        at += 2 * sizeof(uint64_t) + word[1];
        if (!tkr_dump_list_takes(dump, list))
            continue;
        row = json_object();
        set_what(row, header, word[0]);
        tkr_dump_set(row, "offset", word[0]);
        tkr_dump_set(row, "bytes", word[1]);
        tkr_dump_set(row, "stamp_before", word[2]);
        (void)json_array_append_new(list->array, row);
    }
    if (at != used)
        tkr_dump_doubt(dump, "the undo log ends within a record");
}

static void put_undo(struct tkr_dump *dump, const struct tkr_shard_header *header, struct tkr_dump_window *window)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    json_t *object = json_object();
    uint64_t head[2] = {0, 0}; /* as struct tkr_undo begins */

    if (tkr_dump_within(dump, "the undo log", header->undo_offset, header->undo_bytes, dump->bytes) &&
        header->undo_bytes >= sizeof(struct tkr_undo)) {
        memcpy(head, tkr_dump_window_at(window, header->undo_offset, sizeof(head)), sizeof(head));
        head[1] = tkr_dump_clamp(dump, "bytes of the undo log", head[1], header->undo_bytes - sizeof(struct tkr_undo));
        put_records(dump, header, window, header->undo_offset + sizeof(struct tkr_undo), head[1], &list);
    }
    tkr_dump_set(object, "batch", head[0]);
    tkr_dump_set(object, "used", head[1]);
    (void)json_object_set_new(object, "unfinished", json_boolean(head[0] > get(&header->committed)));
    tkr_dump_list_end(object, "records", &list);
    (void)json_object_set_new(dump->object, "undo", object);
}

/* --- cursors --- */

static json_t *lane_json(uint32_t number, const struct tkr_lane_cursor *lane)
{
    json_t *object = json_object();

    tkr_dump_set(object, "lane", number);
    tkr_dump_set(object, "position", get(&lane->position));
    tkr_dump_set(object, "sequence", get(&lane->sequence));
    tkr_dump_set(object, "counted", get(&lane->counted));
    tkr_dump_set(object, "stamp", get(&lane->stamp));
    return object;
}

static json_t *cursor_json(uint64_t number, const struct tkr_cursor *cursor)
{
    static const char *const states[] = {"free", "active", "quarantined", "gone"};
    uint64_t state = get(&cursor->state);
    json_t *object = json_object();
    json_t *lanes = json_array();

    for (uint32_t i = 0; i < TKR_SHARD_LANES_MAX; i++) {
        if (get(&cursor->lane[i].position) != 0)
            (void)json_array_append_new(lanes, lane_json(i, &cursor->lane[i]));
    }
    tkr_dump_set(object, "cursor", number);
    tkr_dump_set_text(object, "state", state < 4 ? states[state] : "unknown");
    tkr_dump_set_hex(object, "region", (const void *)cursor->id, sizeof(cursor->id));
    tkr_dump_set(object, "inode", get(&cursor->inode));
    tkr_dump_set(object, "stamp", get(&cursor->stamp));
    tkr_dump_set(object, "slots_settled", get(&cursor->slots_settled));
    tkr_dump_set(object, "orphans", get(&cursor->orphans));
    tkr_dump_set(object, "settled", get(&cursor->settled));
    (void)json_object_set_new(object, "dropped", drops_json(cursor->dropped));
    tkr_dump_set(object, "skipped_frames", get(&cursor->unknown));
    tkr_dump_set(object, "adopted", get(&cursor->adopted));
    tkr_dump_set(object, "set_aside", get(&cursor->set_aside));
    (void)json_object_set_new(object, "lanes", lanes);
    return object;
}

static void put_cursors(struct tkr_dump *dump, const struct tkr_shard_header *header, struct tkr_dump_window *window)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    uint64_t room = header->cursors_offset < dump->bytes ? (dump->bytes - header->cursors_offset) / sizeof(struct tkr_cursor) : 0;
    uint64_t count = tkr_dump_clamp(dump, "cursors", get(&header->cursors_used), header->regions_max);
    struct tkr_cursor cursor;

    count = tkr_dump_clamp(dump, "cursors", count, room);
    for (uint64_t i = 0; i < count; i++) {
        memcpy((void *)&cursor, tkr_dump_window_at(window, header->cursors_offset + i * sizeof(cursor), sizeof(cursor)),
               sizeof(cursor));
        if (get(&cursor.state) != TKR_CURSOR_FREE && tkr_dump_list_takes(dump, &list))
            (void)json_array_append_new(list.array, cursor_json(i, &cursor));
    }
    tkr_dump_list_end(dump->object, "cursors", &list);
}

/* --- entries --- */

static json_t *counts_json(const _Atomic int64_t counts[TKR_COUNTER_COUNT])
{
    json_t *object = json_object();

    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t value = atomic_load_explicit(&counts[i], memory_order_relaxed);
        if (value != 0)
            tkr_dump_set_signed(object, tkr_counter_name[i], value);
    }
    return object;
}

static json_t *entry_json(const struct tkr_shard_header *header, uint64_t at, const struct tkr_entry *entry)
{
    uint32_t word = atomic_load_explicit(&entry->cycle, memory_order_relaxed);
    uint32_t id_len = atomic_load_explicit(&entry->id_len, memory_order_relaxed);
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    tkr_cycle_format(tkr_entry_word_cycle(word), cycle);
    tkr_dump_set(object, "at", at);
    tkr_dump_set_text(object, "kind", tkr_command_kind_text(get(&entry->kind), kind));
    tkr_command_json_set_id(object, "account", entry->id, id_len);
    tkr_dump_set_text(object, "cycle", cycle);
    if (tkr_entry_word_label_len(word) > 0)
        tkr_command_json_set_id(object, "model", entry->id + id_len, tkr_entry_word_label_len(word));
    tkr_dump_set(object, "life", get(&entry->life));
    tkr_dump_set(object, "stamp", get(&entry->stamp));
    (void)json_object_set_new(object, "is_committed", json_boolean(get(&entry->stamp) <= get(&header->committed)));
    (void)json_object_set_new(object, "counts", counts_json(entry->counts));
    tkr_dump_set(object, "known_life", get(&entry->known_life));
    (void)json_object_set_new(object, "known", counts_json(entry->known));
    return object;
}

/* What the arena has, by how entries are. */
struct tally {
    uint64_t forgotten;
    uint64_t models;
    uint64_t not_committed;
};

static void put_entry(struct tkr_dump *dump, const struct tkr_shard_header *header, uint64_t at, const struct tkr_entry *entry,
                      struct tkr_dump_list *list, struct tally *tally)
{
    tally->not_committed += get(&entry->stamp) > get(&header->committed);
    if (get(&entry->life) == 0) {
        tally->forgotten++;
        return;
    }
    tally->models += tkr_entry_word_label_len(atomic_load_explicit(&entry->cycle, memory_order_relaxed)) > 0;
    if (tkr_dump_list_takes(dump, list))
        (void)json_array_append_new(list->array, entry_json(header, at, entry));
}

/* The bytes of the arena that entries have taken, as far as that can be. */
static uint64_t arena_end(struct tkr_dump *dump, const struct tkr_shard_header *header)
{
    uint64_t room = header->arena_offset < dump->bytes ? dump->bytes - header->arena_offset : 0;
    uint64_t used = tkr_dump_clamp(dump, "bytes of entries", get(&header->law.arena_used), header->arena_bytes);

    return tkr_dump_clamp(dump, "bytes of entries", used, room);
}

static void put_entries(struct tkr_dump *dump, const struct tkr_shard_header *header, struct tkr_dump_window *window)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    struct tally tally = {0};
    uint64_t end = arena_end(dump, header);
    uint64_t at = 0;
    union {
        struct tkr_entry entry;
        unsigned char bytes[ENTRY_BYTES_MAX];
    } copy;

    while (at < end) {
        uint64_t bytes;
        memcpy(copy.bytes, tkr_dump_window_at(window, header->arena_offset + at, sizeof(copy.bytes)), sizeof(copy.bytes));
        bytes = tkr_entry_size(&copy.entry);
        if (bytes == 0 || bytes > end - at) {
            tkr_dump_doubt(dump, "at %" PRIu64 " of the arena is no entry; %" PRIu64 " bytes are left", at, end - at);
            break;
        }
        put_entry(dump, header, at, &copy.entry, &list, &tally);
        at += bytes;
    }
    tkr_dump_set(dump->object, "entries_of_models", tally.models);
    tkr_dump_set(dump->object, "entries_forgotten", tally.forgotten);
    tkr_dump_set(dump->object, "entries_not_committed", tally.not_committed);
    tkr_dump_list_end(dump->object, "entries", &list);
}

void tkr_dump_shard(struct tkr_dump *dump)
{
    struct tkr_shard_header header;
    struct tkr_dump_window window = {.dump = dump, .bytes = malloc(TKR_DUMP_WINDOW_BYTES)};

    if (!tkr_dump_read(dump, 0, (void *)&header, sizeof(header)))
        tkr_dump_doubt(dump, "the file ends within its header");
    put_header(dump, &header);
    put_law(dump, &header);
    if (window.bytes == NULL)
        tkr_dump_doubt(dump, "there is no memory to read on");
    else if (header.major < TKR_SHARD_MAJOR_OLDEST || header.major > TKR_SHARD_MAJOR || header.counters != TKR_COUNTER_COUNT)
        tkr_dump_doubt(dump, "this version reads entries of layouts %u.x to %u.x with %d counters", TKR_SHARD_MAJOR_OLDEST,
                       TKR_SHARD_MAJOR, (int)TKR_COUNTER_COUNT);
    if (window.bytes != NULL) {
        put_undo(dump, &header, &window);
        put_cursors(dump, &header, &window);
    }
    if (window.bytes != NULL && header.counters == TKR_COUNTER_COUNT)
        put_entries(dump, &header, &window);
    free(window.bytes);
}
