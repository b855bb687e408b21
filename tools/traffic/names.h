/* SPDX-License-Identifier: Apache-2.0 */
/* Names given numbers 0, 1, 2... in the order of their first coming. Made by the parent, read by all after a fork. */
#ifndef TOOLS_TRAFFIC_NAMES_H
#define TOOLS_TRAFFIC_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TKR_TRAFFIC_NAMES_MAX (UINT32_C(1) << 28)

struct tkr_traffic_name {
    char *text; /* no NUL: any bytes */
    uint32_t len;
    uint32_t hash;
};

/* Start with a zeroed structure. */
struct tkr_traffic_names {
    struct tkr_traffic_name *name; /* name[number] */
    uint32_t count;
    uint32_t slot_count; /* of the index, a power of two or 0 */
    uint32_t *slot;      /* number + 1, or 0 */
};

/* The number of the name, a new one when it is new. 0, or -1 when there is no memory or no number left. */
int tkr_traffic_names_add(struct tkr_traffic_names *names, const char *text, size_t len, uint32_t *ret_number);

/* Has the name come? Then with its number. Accepts a zeroed structure. */
bool tkr_traffic_names_find(const struct tkr_traffic_names *names, const char *text, size_t len, uint32_t *ret_number);

/* Frees all; accepts a zeroed structure. */
void tkr_traffic_names_free(struct tkr_traffic_names *names);

#endif
