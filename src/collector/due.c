/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/due.h"

void tkr_due_remove(struct tkr_due *due, uint32_t number)
{
    struct tkr_due_place *place = &due->place[number];

    if (place->list == TKR_DUE_NONE)
        return;
    *(place->previous != 0 ? &due->place[place->previous - 1].next : &due->list[place->list].first) = place->next;
    *(place->next != 0 ? &due->place[place->next - 1].previous : &due->list[place->list].last) = place->previous;
    due->list[place->list].count--;
    place->list = TKR_DUE_NONE;
}

void tkr_due_put(struct tkr_due *due, enum tkr_due_list list, uint32_t number, int64_t due_ns)
{
    struct tkr_due_place *place = &due->place[number];

    tkr_due_remove(due, number);
    *place = (struct tkr_due_place){.due_ns = due_ns, .previous = due->list[list].last, .list = (uint8_t)list};
    *(place->previous != 0 ? &due->place[place->previous - 1].next : &due->list[list].first) = number + 1;
    due->list[list].last = number + 1;
    due->list[list].count++;
}
