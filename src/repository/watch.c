/* SPDX-License-Identifier: Apache-2.0 */
#include "repository/watch.h"

#include <stdlib.h>
#include <string.h>

#define CANDIDATES 16 /* to make room */

bool tkr_watch_open(struct tkr_watch *watch, uint32_t max)
{
    uint32_t chains = 16;

    memset(watch, 0, sizeof(*watch));
    (void)pthread_mutex_init(&watch->mutex, NULL); /* a default one cannot fail */
    while (chains < max)
        chains *= 2;
    watch->max = max;
    watch->mask = chains - 1;
    watch->item = calloc(max, sizeof(*watch->item));
    watch->chain = calloc(chains, sizeof(*watch->chain));
    return watch->item != NULL && watch->chain != NULL;
}

void tkr_watch_close(struct tkr_watch *watch)
{
    free(watch->item);
    free(watch->chain);
    (void)pthread_mutex_destroy(&watch->mutex);
}

/* FNV-1a (Fowler, Noll, Vo). */
static uint32_t *chain_of(struct tkr_watch *watch, uint64_t kind, const char *id, uint32_t len, uint32_t cycle)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ kind ^ (uint64_t)cycle << 32;

    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)id[i]) * UINT64_C(0x100000001b3);
    return &watch->chain[(hash ^ hash >> 32) & watch->mask];
}

static bool is(const struct tkr_watched *item, uint64_t kind, const char *id, uint32_t len, uint32_t cycle)
{
    return item->kind == kind && item->cycle == cycle && item->id_len == len && memcmp(item->id, id, len) == 0;
}

static struct tkr_watched *find(struct tkr_watch *watch, uint64_t kind, const char *id, uint32_t len, uint32_t cycle)
{
    uint32_t number = *chain_of(watch, kind, id, len, cycle);

    while (number != 0 && !is(&watch->item[number - 1], kind, id, len, cycle))
        number = watch->item[number - 1].next;
    return number != 0 ? &watch->item[number - 1] : NULL;
}

static void unchain(struct tkr_watch *watch, struct tkr_watched *item)
{
    uint32_t *link = chain_of(watch, item->kind, item->id, item->id_len, item->cycle);

    while (&watch->item[*link - 1] != item)
        link = &watch->item[*link - 1].next;
    *link = item->next;
}

static struct tkr_watched *next_at_hand(struct tkr_watch *watch)
{
    struct tkr_watched *item = &watch->item[watch->hand];

    watch->hand = watch->hand + 1 < watch->count ? watch->hand + 1 : 0;
    return item;
}

/* A place for one more: a new one, or that of the oldest call among some. */
static struct tkr_watched *place(struct tkr_watch *watch)
{
    struct tkr_watched *oldest;

    if (watch->count < watch->max)
        return &watch->item[watch->count++];
    oldest = next_at_hand(watch);
    for (int i = 1; i < CANDIDATES; i++) {
        struct tkr_watched *item = next_at_hand(watch);
        oldest = item->round < oldest->round ? item : oldest;
    }
    unchain(watch, oldest);
    return oldest;
}

static struct tkr_watched *add(struct tkr_watch *watch, const tkr_account *account, uint32_t cycle)
{
    struct tkr_watched *item = place(watch);
    uint32_t *chain = chain_of(watch, account->kind, account->id, account->len, cycle);

    *item =
        (struct tkr_watched){.next = *chain, .cycle = cycle, .kind = account->kind, .due = UINT64_MAX, .id_len = account->len};
    memcpy(item->id, account->id, account->len);
    *chain = (uint32_t)(item - watch->item) + 1;
    return item;
}

void tkr_watch_note(struct tkr_watch *watch, const tkr_account *account, uint32_t cycle)
{
    struct tkr_watched *item;

    (void)pthread_mutex_lock(&watch->mutex);
    item = find(watch, account->kind, account->id, account->len, cycle);
    if (item == NULL)
        item = add(watch, account, cycle);
    item->round = watch->round;
    if (item->due > watch->round + 1) /* one that is due in this round stays so */
        item->due = watch->round + 1;
    item->wait = 1;
    (void)pthread_mutex_unlock(&watch->mutex);
}

void tkr_watch_begin(struct tkr_watch *watch)
{
    (void)pthread_mutex_lock(&watch->mutex);
    watch->round++;
    watch->at = 0;
    (void)pthread_mutex_unlock(&watch->mutex);
}

static bool is_due(struct tkr_watch *watch, struct tkr_watched *item)
{
    if (item->due > watch->round)
        return false;
    item->due = watch->round + item->wait;
    item->wait = item->wait < TKR_WATCH_WAIT_MAX ? 2 * item->wait : TKR_WATCH_WAIT_MAX;
    return true;
}

int tkr_watch_due(struct tkr_watch *watch, struct tkr_watched *ret_due, uint32_t max)
{
    int due = -1;

    (void)pthread_mutex_lock(&watch->mutex);
    for (uint32_t i = 0; i < max && watch->at < watch->count; i++) {
        struct tkr_watched *item = &watch->item[watch->at++];
        due = due < 0 ? 0 : due;
        if (is_due(watch, item))
            ret_due[due++] = *item;
    }
    (void)pthread_mutex_unlock(&watch->mutex);
    return due;
}

void tkr_watch_said(struct tkr_watch *watch, const struct tkr_watched *one, uint32_t said)
{
    struct tkr_watched *item;

    (void)pthread_mutex_lock(&watch->mutex);
    item = find(watch, one->kind, one->id, one->id_len, one->cycle);
    if (item != NULL && item->said != said) {
        item->said = said;
        item->due = watch->round + 1;
        item->wait = 1;
    }
    (void)pthread_mutex_unlock(&watch->mutex);
}
