/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/ranking.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

#define PLACES_FOR_EACH 4u /* users with a weight, for each who is shown */
#define AGE_NS (3600 * TKR_NS_PER_S)

/* A sum that may fall, and the largest that it was. */
struct sum {
    int64_t now;
    int64_t largest;
};

struct user {
    uint64_t hash;
    uint64_t weight;
    uint64_t error; /* of it, what may be others' */
    uint32_t at;    /* in the heap */
    uint32_t id_len;
    bool shown;
    struct sum sum[TKR_RANKING_PARTS]; /* since it is shown */
    char id[TKR_ID_BYTES_MAX];
};

struct tkr_ranking {
    pthread_mutex_t mutex;
    uint32_t shown_max;
    uint32_t shown;
    uint32_t users_max;
    uint32_t users;
    struct user *user;
    uint32_t *heap;  /* numbers of users, the lightest first: no user is heavier than the two below it */
    uint32_t *index; /* by hash: numbers of users plus 1, with linear probing; 0: nobody */
    uint32_t index_mask;
    uint64_t ended;
    int64_t aged_ns;
    struct sum other[TKR_RANKING_PARTS];
};

struct tkr_ranking *tkr_ranking_open(uint32_t shown_max)
{
    struct tkr_ranking *ranking = calloc(1, sizeof(*ranking));
    uint32_t places = 1;

    if (ranking == NULL)
        return NULL;
    ranking->shown_max = shown_max;
    ranking->users_max = shown_max * PLACES_FOR_EACH;
    while (places < 2 * ranking->users_max)
        places *= 2;
    ranking->index_mask = places - 1;
    ranking->user = calloc((size_t)ranking->users_max + 1, sizeof(*ranking->user));
    ranking->heap = calloc((size_t)ranking->users_max + 1, sizeof(*ranking->heap));
    ranking->index = calloc(places, sizeof(*ranking->index));
    (void)pthread_mutex_init(&ranking->mutex, NULL); /* a default one cannot fail */
    if (ranking->user != NULL && ranking->heap != NULL && ranking->index != NULL)
        return ranking;
    tkr_ranking_close(ranking);
    return NULL;
}

void tkr_ranking_close(struct tkr_ranking *ranking)
{
    if (ranking == NULL)
        return;
    (void)pthread_mutex_destroy(&ranking->mutex);
    free(ranking->user);
    free(ranking->heap);
    free(ranking->index);
    free(ranking);
}

/* --- finding --- */

/* FNV-1a (Fowler, Noll, Vo), folded: who is in it are few, and a bad spread costs only time. */
static uint64_t hash_of(const char *id, uint32_t id_len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (uint32_t i = 0; i < id_len; i++)
        hash = (hash ^ (unsigned char)id[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

static uint32_t place_of(const struct tkr_ranking *ranking, const struct user *user)
{
    uint32_t place = (uint32_t)user->hash & ranking->index_mask;

    while (ranking->index[place] != (uint32_t)(user - ranking->user) + 1)
        place = (place + 1) & ranking->index_mask;
    return place;
}

static struct user *find(const struct tkr_ranking *ranking, uint64_t hash, const char *id, uint32_t id_len)
{
    for (uint32_t place = (uint32_t)hash & ranking->index_mask; ranking->index[place] != 0;
         place = (place + 1) & ranking->index_mask) {
        struct user *user = &ranking->user[ranking->index[place] - 1];
        if (user->hash == hash && user->id_len == id_len && memcmp(user->id, id, id_len) == 0)
            return user;
    }
    return NULL;
}

static void list(struct tkr_ranking *ranking, const struct user *user)
{
    uint32_t place = (uint32_t)user->hash & ranking->index_mask;

    while (ranking->index[place] != 0)
        place = (place + 1) & ranking->index_mask;
    ranking->index[place] = (uint32_t)(user - ranking->user) + 1;
}

/* Takes a user out; those behind it that probed past its place move up (Knuth, The Art of Computer Programming, 6.4, R). */
static void unlist(struct tkr_ranking *ranking, const struct user *user)
{
    uint32_t mask = ranking->index_mask;
    uint32_t hole = place_of(ranking, user);

    for (uint32_t place = (hole + 1) & mask; ranking->index[place] != 0; place = (place + 1) & mask) {
        uint32_t home = (uint32_t)ranking->user[ranking->index[place] - 1].hash & mask;
        if (((place - home) & mask) < ((place - hole) & mask))
            continue;
        ranking->index[hole] = ranking->index[place];
        hole = place;
    }
    ranking->index[hole] = 0;
}

/* --- weights --- */

static void put(struct tkr_ranking *ranking, uint32_t at, uint32_t number)
{
    ranking->heap[at] = number;
    ranking->user[number].at = at;
}

static uint64_t weight_at(const struct tkr_ranking *ranking, uint32_t at)
{
    return ranking->user[ranking->heap[at]].weight;
}

/* A user that has become heavier. */
static void sink_down(struct tkr_ranking *ranking, uint32_t at)
{
    uint32_t number = ranking->heap[at];

    for (uint32_t below = 2 * at + 1; below < ranking->users; below = 2 * at + 1) {
        if (below + 1 < ranking->users && weight_at(ranking, below + 1) < weight_at(ranking, below))
            below++;
        if (weight_at(ranking, below) >= ranking->user[number].weight)
            break;
        put(ranking, at, ranking->heap[below]);
        at = below;
    }
    put(ranking, at, number);
}

/* A user that has come, at the end. */
static void rise(struct tkr_ranking *ranking, uint32_t at)
{
    uint32_t number = ranking->heap[at];

    for (; at > 0 && weight_at(ranking, (at - 1) / 2) > ranking->user[number].weight; at = (at - 1) / 2)
        put(ranking, at, ranking->heap[(at - 1) / 2]);
    put(ranking, at, number);
}

/* --- who is shown --- */

static void show(struct tkr_ranking *ranking, struct user *user)
{
    memset(user->sum, 0, sizeof(user->sum));
    user->shown = true;
    ranking->shown++;
}

static void hide(struct tkr_ranking *ranking, struct user *user)
{
    if (!user->shown)
        return;
    user->shown = false;
    ranking->shown--;
    ranking->ended++;
}

/* A place for one who comes: a free one, else the lightest's. */
static struct user *take_place(struct tkr_ranking *ranking, uint64_t hash, const char *id, uint32_t id_len)
{
    bool free_place = ranking->users < ranking->users_max;
    uint32_t number = free_place ? ranking->users : ranking->heap[0];
    struct user *user = &ranking->user[number];

    if (free_place) {
        put(ranking, ranking->users++, number);
    } else {
        hide(ranking, user);
        unlist(ranking, user);
    }
    user->error = user->weight; /* zeros, in a free one */
    user->hash = hash;
    user->id_len = id_len;
    memcpy(user->id, id, id_len);
    list(ranking, user);
    if (free_place)
        rise(ranking, user->at);
    return user;
}

/* What is certainly its own. */
static uint64_t certain(const struct user *user)
{
    return user->weight - user->error;
}

static struct user *lightest_shown(const struct tkr_ranking *ranking)
{
    struct user *found = NULL;

    for (uint32_t i = 0; i < ranking->users; i++) {
        struct user *user = &ranking->user[i];
        if (user->shown && (found == NULL || user->weight < found->weight))
            found = user;
    }
    return found;
}

static struct user *heaviest_hidden(const struct tkr_ranking *ranking)
{
    struct user *found = NULL;

    for (uint32_t i = 0; i < ranking->users; i++) {
        struct user *user = &ranking->user[i];
        if (!user->shown && (found == NULL || certain(user) > certain(found)))
            found = user;
    }
    return found;
}

static void age(struct tkr_ranking *ranking, int64_t now_ns)
{
    if (ranking->aged_ns == 0)
        ranking->aged_ns = now_ns;
    for (; now_ns - ranking->aged_ns >= AGE_NS; ranking->aged_ns += AGE_NS) {
        for (uint32_t i = 0; i < ranking->users; i++) { /* the order stays */
            ranking->user[i].weight /= 2;
            ranking->user[i].error /= 2;
        }
    }
}

void tkr_ranking_decide(struct tkr_ranking *ranking, int64_t now_ns)
{
    struct user *come;
    struct user *go;

    if (ranking == NULL || ranking->shown_max == 0)
        return;
    (void)pthread_mutex_lock(&ranking->mutex);
    age(ranking, now_ns);
    while ((come = heaviest_hidden(ranking)) != NULL && certain(come) > 0) {
        go = ranking->shown == ranking->shown_max ? lightest_shown(ranking) : NULL;
        if (go != NULL && certain(come) <= go->weight)
            break;
        if (go != NULL)
            hide(ranking, go);
        show(ranking, come);
    }
    (void)pthread_mutex_unlock(&ranking->mutex);
}

/* --- sums --- */

static void add_part(struct sum *sum, int64_t more)
{
    sum->now += more;
    sum->largest = sum->now > sum->largest ? sum->now : sum->largest;
}

static void add_parts(struct sum sum[TKR_RANKING_PARTS], const tkr_counts *difference)
{
    int64_t prompt = difference->value[TKR_COUNTER_PROMPT];
    int64_t completion = difference->value[TKR_COUNTER_COMPLETION];

    add_part(&sum[TKR_RANKING_PROMPT], prompt);
    add_part(&sum[TKR_RANKING_COMPLETION], completion);
    add_part(&sum[TKR_RANKING_REST], difference->value[TKR_COUNTER_TOTAL] - prompt - completion);
}

/* Others' row has a name, and labels are UTF-8. */
static bool can_be_shown(const char *id, uint32_t id_len)
{
    bool other = id_len == sizeof(TKR_RANKING_OTHER) - 1 && memcmp(id, TKR_RANKING_OTHER, id_len) == 0;

    return !other && tkr_text_valid(id, id_len);
}

static struct user *weigh(struct tkr_ranking *ranking, const char *id, uint32_t id_len, int64_t tokens)
{
    uint64_t hash = hash_of(id, id_len);
    struct user *user = find(ranking, hash, id, id_len);

    if (user == NULL && (tokens <= 0 || ranking->users_max == 0 || !can_be_shown(id, id_len)))
        return NULL;
    if (user == NULL)
        user = take_place(ranking, hash, id, id_len);
    if (tokens > 0) {
        user->weight += (uint64_t)tokens;
        sink_down(ranking, user->at);
    }
    if (!user->shown && ranking->shown < ranking->shown_max)
        show(ranking, user);
    return user;
}

void tkr_ranking_add(struct tkr_ranking *ranking, const char *id, uint32_t id_len, const tkr_counts *difference)
{
    struct user *user;

    if (ranking == NULL)
        return;
    (void)pthread_mutex_lock(&ranking->mutex);
    user = weigh(ranking, id, id_len, difference->value[TKR_COUNTER_TOTAL]);
    add_parts(user != NULL && user->shown ? user->sum : ranking->other, difference);
    (void)pthread_mutex_unlock(&ranking->mutex);
}

static void copy_row(struct tkr_ranking_row *row, const struct sum sum[TKR_RANKING_PARTS], const char *id, uint32_t id_len)
{
    row->id_len = id_len;
    memcpy(row->id, id, id_len);
    for (int i = 0; i < TKR_RANKING_PARTS; i++)
        row->tokens[i] = sum[i].largest;
}

uint32_t tkr_ranking_read(struct tkr_ranking *ranking, struct tkr_ranking_row *ret_rows, uint64_t *ret_ended)
{
    uint32_t rows = 1;

    (void)pthread_mutex_lock(&ranking->mutex);
    copy_row(&ret_rows[0], ranking->other, "", 0);
    for (uint32_t i = 0; i < ranking->users; i++) {
        const struct user *user = &ranking->user[i];
        if (user->shown)
            copy_row(&ret_rows[rows++], user->sum, user->id, user->id_len);
    }
    *ret_ended = ranking->ended;
    (void)pthread_mutex_unlock(&ranking->mutex);
    return rows;
}
