/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is due: places of the board in lists, by why they are to be looked up next. Whatever is put into a list is due later
 * than what is there, since each list has one delay; so the first of a list is the next, and nothing is ever searched.
 *
 * Threads: one.
 */
#ifndef TKR_COLLECTOR_DUE_H
#define TKR_COLLECTOR_DUE_H

#include <stdbool.h>
#include <stdint.h>

enum tkr_due_list {
    TKR_DUE_NONE,
    TKR_DUE_NEW,      /* at once: not known yet, or asked for while its figures were old */
    TKR_DUE_SOON,     /* once more, where figures may not be exact, or could not be read */
    TKR_DUE_TROUBLED, /* something about it cannot be understood: until it is mended */
    TKR_DUE_BUSY,     /* gateways ask for it, or it has no room left */
    TKR_DUE_IDLE,
    TKR_DUE_LISTS
};

struct tkr_due_place {
    int64_t due_ns; /* monotonic */
    uint32_t next;  /* number + 1; 0: none */
    uint32_t previous;
    uint8_t list;
};

struct tkr_due {
    struct tkr_due_place *place; /* of each place of the board; zeros at first */
    struct {
        uint32_t first; /* number + 1; 0: none */
        uint32_t last;
        uint32_t count;
    } list[TKR_DUE_LISTS];
};

/* Takes a place out of the list that it is in, if it is in one. */
void tkr_due_remove(struct tkr_due *due, uint32_t number);

/* Puts a place behind those of a list, out of any other. */
void tkr_due_put(struct tkr_due *due, enum tkr_due_list list, uint32_t number, int64_t due_ns);

/* The first of a list, and when it is due. false: there is none. */
static inline bool tkr_due_first(const struct tkr_due *due, enum tkr_due_list list, uint32_t *ret_number, int64_t *ret_due_ns)
{
    if (due->list[list].first == 0)
        return false;
    *ret_number = due->list[list].first - 1;
    *ret_due_ns = due->place[*ret_number].due_ns;
    return true;
}

#endif
