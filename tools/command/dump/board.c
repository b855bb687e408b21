/* SPDX-License-Identifier: Apache-2.0 */
/* The board of limits, and the reservations that belong to it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/dump/file.h"
#include "command/text.h"
#include "limit/board.h"

static int64_t get(const _Atomic int64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* of private copies */
}

static uint64_t word(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

static void put_header(struct tkr_dump *dump, const struct tkr_board_header *header)
{
    json_t *object = json_object();

    tkr_dump_set_layout(object, header->major, header->minor);
    tkr_dump_set_boot(dump, object, header->boot_id);
    tkr_dump_set_hex(object, "generation", &header->generation, sizeof(header->generation));
    tkr_dump_set(object, "bytes", header->bytes);
    tkr_dump_set(object, "accounts_max", header->accounts_max);
    tkr_dump_set(object, "places", header->places);
    tkr_dump_set(object, "accounts", word(&header->accounts));
    (void)json_object_set_new(object, "replaced", json_boolean(word(&header->retired) != 0));
    (void)json_object_set_new(dump->object, "header", object);
    if (header->bytes != dump->bytes)
        tkr_dump_doubt(dump, "the header says %" PRIu64 " bytes, the file has %" PRIu64, header->bytes, dump->bytes);
}

/* The header, and how many places there are. 0: none that this version reads. */
static uint64_t read_header(struct tkr_dump *dump, struct tkr_board_header *ret_header)
{
    if (!tkr_dump_read(dump, 0, (void *)ret_header, sizeof(*ret_header)))
        tkr_dump_doubt(dump, "the file ends within its header");
    put_header(dump, ret_header);
    if (ret_header->major != TKR_BOARD_MAJOR) {
        tkr_dump_doubt(dump, "this version reads layout %u.x", TKR_BOARD_MAJOR);
        return 0;
    }
    if (ret_header->places == 0 || (ret_header->places & (ret_header->places - 1)) != 0)
        tkr_dump_doubt(dump, "%u is no number of places", ret_header->places);
    return tkr_dump_clamp(dump, "places", ret_header->places, TKR_BOARD_PLACES_MAX);
}

static void put_place(struct tkr_dump *dump, struct tkr_dump_list *list, uint64_t number, const struct tkr_board_entry *entry)
{
    uint64_t shape = word(&entry->shape);
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char id[sizeof(entry->id)];
    json_t *row;

    if (!tkr_dump_list_takes(dump, list))
        return;
    row = json_object();
    memcpy(id, (const void *)entry->id, sizeof(id));
    tkr_cycle_format((uint32_t)shape, cycle);
    tkr_dump_set(row, "place", number);
    tkr_dump_set_text(row, "kind", tkr_command_kind_text(word(&entry->kind), kind));
    tkr_command_json_set_id(row, "account", id, tkr_board_id_len(shape));
    tkr_dump_set_text(row, "cycle", cycle);
    tkr_dump_set_signed(row, "limit", get(&entry->limit));
    tkr_dump_set_signed(row, "used", (int64_t)((uint64_t)get(&entry->base) + word(&entry->counted)));
    tkr_dump_set_signed(row, "base", get(&entry->base));
    tkr_dump_set(row, "counted", word(&entry->counted));
    tkr_dump_set_signed(row, "fresh_ns", get(&entry->fresh_ns));
    tkr_dump_set(row, "epoch", word(&entry->epoch));
    (void)json_object_set_new(row, "is_changing_hands", json_boolean(word(&entry->seq) % 2 != 0));
    (void)json_array_append_new(list->array, row);
}

/* The places that the file has, of those that there should be. */
static uint64_t places_there(struct tkr_dump *dump, uint64_t places, uint64_t offset, uint64_t bytes)
{
    return tkr_dump_clamp(dump, "places", places, offset < dump->bytes ? (dump->bytes - offset) / bytes : 0);
}

void tkr_dump_board(struct tkr_dump *dump)
{
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    struct tkr_board_header header;
    uint64_t places = read_header(dump, &header);
    uint64_t entries = TKR_BOARD_HEADER_BYTES + header.places / 8;
    struct tkr_board_entry entry;
    uint64_t bits = 0;

    places = places_there(dump, places, entries, sizeof(entry));
    for (uint64_t i = 0; i < places; i++) {
        if (i % 64 == 0)
            bits = tkr_dump_word(dump, TKR_BOARD_HEADER_BYTES + i / 8);
        if ((bits >> i % 64 & 1) != 0 && tkr_dump_read(dump, entries + i * sizeof(entry), (void *)&entry, sizeof(entry)))
            put_place(dump, &list, i, &entry);
    }
    tkr_dump_list_end(dump->object, "accounts", &list);
}

static void put_cells(struct tkr_dump *dump, struct tkr_dump_list *list, uint64_t number, const struct tkr_board_cells *cells)
{
    json_t *row;

    if ((get(&cells->cell[0]) == 0 && get(&cells->cell[1]) == 0) || !tkr_dump_list_takes(dump, list))
        return;
    row = json_object();
    tkr_dump_set(row, "place", number);
    tkr_dump_set_signed(row, "cell_0", get(&cells->cell[0]));
    tkr_dump_set_signed(row, "cell_1", get(&cells->cell[1]));
    tkr_dump_set(row, "asked_s", word(&cells->asked_s));
    (void)json_array_append_new(list->array, row);
}

void tkr_dump_reservations(struct tkr_dump *dump)
{
    struct tkr_dump_window window = {.dump = dump, .bytes = malloc(TKR_DUMP_WINDOW_BYTES)};
    struct tkr_dump_list list = TKR_DUMP_LIST_INIT;
    struct tkr_board_header header;
    struct tkr_board_cells cells;
    uint64_t places = places_there(dump, read_header(dump, &header), TKR_BOARD_HEADER_BYTES, sizeof(cells));

    if (window.bytes == NULL)
        tkr_dump_doubt(dump, "there is no memory to read on");
    for (uint64_t i = 0; i < places && window.bytes != NULL; i++) {
        memcpy((void *)&cells, tkr_dump_window_at(&window, TKR_BOARD_HEADER_BYTES + i * sizeof(cells), sizeof(cells)),
               sizeof(cells));
        put_cells(dump, &list, i, &cells);
    }
    free(window.bytes);
    tkr_dump_list_end(dump->object, "held", &list);
}
