/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that `tokenring dump` looks at: any bytes, of which nothing is believed. They are read by pread(2), never mapped: what is cut off
 * or written meanwhile is a short or an odd answer and no signal, and a file with holes costs nothing to read. What is found goes into a
 * JSON object, from which text is printed too; what cannot be as it is, into its list of doubts.
 */
#ifndef TOOLS_COMMAND_DUMP_FILE_H
#define TOOLS_COMMAND_DUMP_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tkr_dump {
    const char *path;
    int fd;
    uint64_t bytes; /* of the file, when it was opened */
    uint64_t inode;
    uint64_t limit; /* rows of a list at most */
    json_t *object; /* what is found */
    json_t *doubts; /* sentences; borrowed: the object's last member, set at the end */
    size_t doubted; /* how many there were: the list keeps the first ones */
};

/* Copies count bytes from offset on; what the file does not have is zeros. Returns whether it has all of them. */
bool tkr_dump_read(const struct tkr_dump *dump, uint64_t offset, void *ret_bytes, size_t count);

/* One word of the file; 0 where there is none. */
uint64_t tkr_dump_word(const struct tkr_dump *dump, uint64_t offset);

/* A part of the file that is moved along, where many objects are read one after the other. */
#define TKR_DUMP_WINDOW_BYTES (UINT64_C(1) << 20)
struct tkr_dump_window {
    const struct tkr_dump *dump;
    unsigned char *bytes; /* TKR_DUMP_WINDOW_BYTES of the caller's */
    uint64_t at;          /* of the file */
    uint64_t count;       /* 0 at first */
};

/* Bytes of the file, valid until the next call; count is at most TKR_DUMP_WINDOW_BYTES. What the file does not have is zeros. */
const unsigned char *tkr_dump_window_at(struct tkr_dump_window *window, uint64_t offset, uint64_t count);

/* Notes a doubt, in a sentence. */
void tkr_dump_doubt(struct tkr_dump *dump, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The smaller; the first, with a doubt, where `what` says more than there can be. */
uint64_t tkr_dump_clamp(struct tkr_dump *dump, const char *what, uint64_t said, uint64_t most);

/* Does [offset, offset + bytes) lie within `end`? Else a doubt about `what`. */
bool tkr_dump_within(struct tkr_dump *dump, const char *what, uint64_t offset, uint64_t bytes, uint64_t end);

/* Members of objects. A number above 2^63-1 is a string, in decimal. */
void tkr_dump_set(json_t *object, const char *key, uint64_t value);
void tkr_dump_set_signed(json_t *object, const char *key, int64_t value);
void tkr_dump_set_text(json_t *object, const char *key, const char *text);
void tkr_dump_set_hex(json_t *object, const char *key, const void *bytes, size_t count);
void tkr_dump_set_layout(json_t *object, uint32_t major, uint32_t minor);

/* "this" or "another", as the boot id says. */
void tkr_dump_set_boot(struct tkr_dump *dump, json_t *object, const uint8_t *boot_id);

/* A list: a new array, whose key with "_in_all" tells how many rows there are beside the first `limit`. */
struct tkr_dump_list {
    json_t *array;
    uint64_t count;
};
#define TKR_DUMP_LIST_INIT                \
    {                                     \
        .array = json_array(), .count = 0 \
    }

/* Is there room for one more row? Counts it. */
bool tkr_dump_list_takes(const struct tkr_dump *dump, struct tkr_dump_list *list);
void tkr_dump_list_end(json_t *object, const char *key, struct tkr_dump_list *list);

/* What each kind of file says: each fills in dump->object. */
void tkr_dump_region(struct tkr_dump *dump);
void tkr_dump_shard(struct tkr_dump *dump);
void tkr_dump_board(struct tkr_dump *dump);
void tkr_dump_reservations(struct tkr_dump *dump);
void tkr_dump_health(struct tkr_dump *dump);
void tkr_dump_backup(struct tkr_dump *dump);

#endif
