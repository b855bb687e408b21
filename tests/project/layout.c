/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints where the fields of what lies in shared memory are, as this compiler lays them out: "STRUCTURE FIELD OFFSET BYTES", and
 * "STRUCTURE BYTES" or, of those that tell their layout, "STRUCTURE MAJOR.MINOR". tests/project/manual.py compares
 * tokenring-layout(7) with it, and asks that no field of these is left out.
 */
#include <stdio.h>

#include "limit/layout.h"
#include "region/call.h"
#include "region/layout.h"
#include "table/layout.h"

#define WHOLE(type) (void)printf(#type " %zu\n", sizeof(struct type))
#define LAYOUT(type, major, minor) (void)printf(#type " %u.%u\n", major, minor)
#define FIELD(type, name) \
    (void)printf(#type " " #name " %zu %zu\n", offsetof(struct type, name), sizeof(((struct type *)NULL)->name))

static void print_region(void)
{
    LAYOUT(tkr_region_header, TKR_REGION_MAJOR, TKR_REGION_MINOR);
    FIELD(tkr_region_header, magic);
    FIELD(tkr_region_header, major);
    FIELD(tkr_region_header, minor);
    FIELD(tkr_region_header, boot_id);
    FIELD(tkr_region_header, id);
    FIELD(tkr_region_header, bytes);
    FIELD(tkr_region_header, slots_offset);
    FIELD(tkr_region_header, data_offset);
    FIELD(tkr_region_header, lanes_max);
    FIELD(tkr_region_header, slots_max);
    FIELD(tkr_region_header, slot_bytes);
    FIELD(tkr_region_header, pid);
    FIELD(tkr_region_header, created_ns);
    FIELD(tkr_region_header, command);
    FIELD(tkr_region_header, inode);
    FIELD(tkr_region_header, lane_count);
    FIELD(tkr_region_header, slot_count);
    FIELD(tkr_region_header, dropped);
    FIELD(tkr_region_header, refused);
    FIELD(tkr_region_header, spent_ns);
    FIELD(tkr_region_header, spent);
    FIELD(tkr_region_header, bad_times);
    FIELD(tkr_region_header, collector_seen_ns);
}

static void print_lane(void)
{
    WHOLE(tkr_lane);
    FIELD(tkr_lane, head);
    FIELD(tkr_lane, sequence);
    FIELD(tkr_lane, offset);
    FIELD(tkr_lane, capacity);
    FIELD(tkr_lane, free);
    FIELD(tkr_lane, counted);
    WHOLE(tkr_frame_header);
    FIELD(tkr_frame_header, bytes);
    FIELD(tkr_frame_header, values_offset);
    FIELD(tkr_frame_header, type);
    FIELD(tkr_frame_header, flags);
    FIELD(tkr_frame_header, values);
    FIELD(tkr_frame_header, sequence);
    FIELD(tkr_frame_header, start_ns);
    FIELD(tkr_frame_header, cycle);
    FIELD(tkr_frame_header, account_count);
    FIELD(tkr_frame_header, error);
    FIELD(tkr_frame_header, model_len);
    FIELD(tkr_frame_header, provider_len);
}

static void print_call(void)
{
    WHOLE(tkr_call_slot);
    FIELD(tkr_call_slot, state);
    FIELD(tkr_call_slot, streamed);
    FIELD(tkr_call_slot, end_position);
    FIELD(tkr_call_slot, end_lane);
    FIELD(tkr_call_slot, head_bytes);
    FIELD(tkr_call_slot, prompt_estimate);
    FIELD(tkr_call_slot, reserve);
    FIELD(tkr_call_slot, hold);
    FIELD(tkr_call_slot, hold_more);
    FIELD(tkr_call_slot, frame);
}

static void print_shard(void)
{
    LAYOUT(tkr_shard_header, TKR_SHARD_MAJOR, TKR_SHARD_MINOR);
    FIELD(tkr_shard_header, magic);
    FIELD(tkr_shard_header, major);
    FIELD(tkr_shard_header, minor);
    FIELD(tkr_shard_header, boot_id);
    FIELD(tkr_shard_header, inode);
    FIELD(tkr_shard_header, bytes);
    FIELD(tkr_shard_header, undo_offset);
    FIELD(tkr_shard_header, undo_bytes);
    FIELD(tkr_shard_header, cursors_offset);
    FIELD(tkr_shard_header, arena_offset);
    FIELD(tkr_shard_header, arena_bytes);
    FIELD(tkr_shard_header, name);
    FIELD(tkr_shard_header, number);
    FIELD(tkr_shard_header, regions_max);
    FIELD(tkr_shard_header, accounts_max);
    FIELD(tkr_shard_header, counters);
    FIELD(tkr_shard_header, committed);
    FIELD(tkr_shard_header, arena_committed);
    FIELD(tkr_shard_header, law);
    FIELD(tkr_shard_header, cursors_used);
    FIELD(tkr_shard_header, seen);
    FIELD(tkr_shard_header, recheck_at);
    FIELD(tkr_shard_header, recheck_end);
    FIELD(tkr_shard_header, wall_marks);
    FIELD(tkr_shard_header, wall_mark_time_s);
    FIELD(tkr_shard_header, wall_mark_batch);
    FIELD(tkr_shard_header, marks);
    FIELD(tkr_shard_header, mark_boot_s);
    FIELD(tkr_shard_header, mark_batch);
    FIELD(tkr_shard_header, recheck_seen);
    FIELD(tkr_shard_header, sent);
}

static void print_law(void)
{
    FIELD(tkr_law, stamp);
    FIELD(tkr_law, arena_used);
    FIELD(tkr_law, accounts);
    FIELD(tkr_law, life_last);
    FIELD(tkr_law, gone_offered);
    FIELD(tkr_law, gone_counted);
    FIELD(tkr_law, gone_settled);
    FIELD(tkr_law, gone_regions);
    FIELD(tkr_law, gone_dropped);
    FIELD(tkr_law, gone_refused);
    FIELD(tkr_law, overflow_charges);
    FIELD(tkr_law, gone_unknown);
    FIELD(tkr_law, gone_bad_times);
}

static void print_cursor(void)
{
    WHOLE(tkr_cursor);
    FIELD(tkr_cursor, stamp);
    FIELD(tkr_cursor, state);
    FIELD(tkr_cursor, id);
    FIELD(tkr_cursor, inode);
    FIELD(tkr_cursor, slots_settled);
    FIELD(tkr_cursor, orphans);
    FIELD(tkr_cursor, settled);
    FIELD(tkr_cursor, dropped);
    FIELD(tkr_cursor, unknown);
    FIELD(tkr_cursor, adopted);
    FIELD(tkr_cursor, set_aside);
    FIELD(tkr_cursor, reserved);
    FIELD(tkr_cursor, lane);
    WHOLE(tkr_lane_cursor);
    FIELD(tkr_lane_cursor, stamp);
    FIELD(tkr_lane_cursor, position);
    FIELD(tkr_lane_cursor, sequence);
    FIELD(tkr_lane_cursor, counted);
}

static void print_entry(void)
{
    FIELD(tkr_entry, stamp);
    FIELD(tkr_entry, counts);
    FIELD(tkr_entry, life);
    FIELD(tkr_entry, kind);
    FIELD(tkr_entry, cycle);
    FIELD(tkr_entry, id_len);
    FIELD(tkr_entry, near_full);
    FIELD(tkr_entry, known_sequence);
    FIELD(tkr_entry, shape);
    FIELD(tkr_entry, known_life);
    FIELD(tkr_entry, known);
    (void)printf("tkr_entry id %zu 0\n", offsetof(struct tkr_entry, id)); /* as many as there are */
}

static void print_board(void)
{
    LAYOUT(tkr_board_header, TKR_BOARD_MAJOR, TKR_BOARD_MINOR);
    FIELD(tkr_board_header, magic);
    FIELD(tkr_board_header, major);
    FIELD(tkr_board_header, minor);
    FIELD(tkr_board_header, boot_id);
    FIELD(tkr_board_header, generation);
    FIELD(tkr_board_header, seed);
    FIELD(tkr_board_header, bytes);
    FIELD(tkr_board_header, accounts_max);
    FIELD(tkr_board_header, places);
    FIELD(tkr_board_header, retired);
    FIELD(tkr_board_header, accounts);
    FIELD(tkr_board_header, waits);
    WHOLE(tkr_board_entry);
    FIELD(tkr_board_entry, seq);
    FIELD(tkr_board_entry, kind);
    FIELD(tkr_board_entry, shape);
    FIELD(tkr_board_entry, limit);
    FIELD(tkr_board_entry, base);
    FIELD(tkr_board_entry, counted);
    FIELD(tkr_board_entry, fresh_ns);
    FIELD(tkr_board_entry, epoch);
    FIELD(tkr_board_entry, id);
    WHOLE(tkr_board_cells);
    FIELD(tkr_board_cells, cell);
    FIELD(tkr_board_cells, asked_s);
}

int main(void)
{
    print_region();
    print_lane();
    print_call();
    print_shard();
    print_law();
    print_cursor();
    print_entry();
    print_board();
    return 0;
}
