/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/meter.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define OTHER "other"
#define TOKENS ((1u << TKR_COUNTER_CALLS) - 1) /* the counters before calls */
_Static_assert(TKR_COUNTER_ESTIMATED + 1 == TKR_COUNTER_CALLS, "counters before calls are tokens");
#define MS UINT64_C(1000) /* in microseconds */

const struct tkr_bounds tkr_meter_bounds = {16,
                                            {10 * MS, 25 * MS, 50 * MS, 100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS,
                                             5000 * MS, 10000 * MS, 20000 * MS, 30000 * MS, 60000 * MS, 120000 * MS, 300000 * MS,
                                             600000 * MS}};

/* --- names --- */

void tkr_meter_names_open(struct tkr_meter_names *names)
{
    struct tkr_meter_name *other = &names->name[0];

    memset(names, 0, sizeof(*names));
    (void)pthread_mutex_init(&names->mutex, NULL); /* a default one cannot fail */
    other->provider_len = other->model_len = sizeof(OTHER) - 1;
    memcpy(other->provider, OTHER, sizeof(OTHER) - 1);
    memcpy(other->model, OTHER, sizeof(OTHER) - 1);
    atomic_store_explicit(&names->count, 1, memory_order_relaxed); /* nobody else has it yet */
}

void tkr_meter_names_close(struct tkr_meter_names *names)
{
    (void)pthread_mutex_destroy(&names->mutex);
}

static bool is_other(const char *text, uint32_t len)
{
    return len == sizeof(OTHER) - 1 && memcmp(text, OTHER, len) == 0;
}

/* Can it be a label of its own? */
static bool presentable(const struct tkr_drain_call *call)
{
    return tkr_text_valid(call->provider, call->provider_len) && tkr_text_valid(call->model, call->model_len) &&
           !(is_other(call->provider, call->provider_len) && is_other(call->model, call->model_len));
}

/* Texts of no bytes are the usual, and a call of memcmp each. */
static inline bool same(const char *a, const char *b, uint32_t len)
{
    return len == 0 || memcmp(a, b, len) == 0;
}

static inline bool is_of(const struct tkr_meter_name *name, const struct tkr_drain_call *call)
{
    return name->provider_len == call->provider_len && name->model_len == call->model_len &&
           same(name->model, call->model, call->model_len) && same(name->provider, call->provider, call->provider_len);
}

/* FNV-1a (Fowler, Noll, Vo); there are few names, and a bad spread costs only time. */
static uint64_t hash_more(uint64_t hash, const char *bytes, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_of(const struct tkr_drain_call *call)
{
    uint64_t hash = hash_more(UINT64_C(0xcbf29ce484222325), call->provider, call->provider_len);

    return hash_more(hash_more(hash, "/", 1), call->model, call->model_len);
}

/* Gives it a number, unless another worker has. 0: there is none left. */
static uint32_t number(struct tkr_meter_names *names, const struct tkr_drain_call *call, uint64_t hash)
{
    struct tkr_meter_name *name;
    uint32_t found = 0;
    uint32_t count;

    (void)pthread_mutex_lock(&names->mutex);
    count = atomic_load_explicit(&names->count, memory_order_relaxed); /* under the lock */
    for (uint32_t i = 1; i < count && found == 0; i++)
        found = is_of(&names->name[i], call) ? i : 0;
    if (found == 0 && count < TKR_METER_NAMES_MAX) {
        found = count;
        name = &names->name[count];
        name->hash = hash;
        name->provider_len = call->provider_len;
        name->model_len = call->model_len;
        memcpy(name->provider, call->provider, call->provider_len);
        memcpy(name->model, call->model, call->model_len);
        atomic_store_explicit(&names->count, count + 1, memory_order_release); /* P1 */
    }
    (void)pthread_mutex_unlock(&names->mutex);
    return found;
}

/* --- a worker's index of them --- */

static uint32_t look_up(const struct tkr_meter *meter, const struct tkr_drain_call *call, uint64_t hash)
{
    for (uint32_t place = (uint32_t)hash % TKR_METER_INDEX; meter->index[place] != 0; place = (place + 1) % TKR_METER_INDEX) {
        const struct tkr_meter_name *name = &meter->names->name[meter->index[place]];
        if (name->hash == hash && is_of(name, call))
            return meter->index[place];
    }
    return 0;
}

/* Takes up names that were numbered since. */
static void learn(struct tkr_meter *meter)
{
    uint32_t count = atomic_load_explicit(&meter->names->count, memory_order_acquire); /* P1 */

    for (; meter->known < count; meter->known++) {
        uint32_t place = (uint32_t)meter->names->name[meter->known].hash % TKR_METER_INDEX;
        while (meter->index[place] != 0)
            place = (place + 1) % TKR_METER_INDEX;
        meter->index[place] = (uint16_t)meter->known;
    }
}

static uint32_t find(struct tkr_meter *meter, const struct tkr_drain_call *call)
{
    uint64_t hash;
    uint32_t found;

    if (meter->last != 0 && is_of(&meter->names->name[meter->last], call))
        return meter->last;
    hash = hash_of(call);
    found = look_up(meter, call, hash);
    if (found == 0 && meter->known < TKR_METER_NAMES_MAX && presentable(call)) {
        (void)number(meter->names, call, hash);
        learn(meter);
        found = look_up(meter, call, hash);
    }
    meter->last = found;
    return found;
}

/* --- counting --- */

struct tkr_meter *tkr_meter_open(struct tkr_meter_names *names)
{
    struct tkr_meter *meter = calloc(1, sizeof(*meter));

    if (meter != NULL) {
        meter->names = names;
        meter->known = 1;
    }
    return meter;
}

void tkr_meter_close(struct tkr_meter *meter)
{
    free(meter);
}

static void count_one(struct tkr_meter_row *row, const struct tkr_drain_call *call, const tkr_counts *counts)
{
    for (uint32_t left = call->present & TOKENS; left != 0; left &= left - 1) {
        int i = __builtin_ctz(left);
        tkr_add_own(&row->tokens[i], (uint64_t)counts->value[i]);
    }
    if (!call->is_call)
        return;
    tkr_add_own(&row->calls, 1);
    if (call->error != TKR_ERROR_NONE)
        tkr_add_own(&row->errors[call->error < TKR_METER_ERRORS ? call->error : TKR_ERROR_OTHER], 1);
    if (call->duration_us > 0)
        tkr_buckets_add(&row->duration, &tkr_meter_bounds, (uint64_t)call->duration_us, 1);
    if (call->first_token_us > 0)
        tkr_buckets_add(&row->first_token, &tkr_meter_bounds, (uint64_t)call->first_token_us, 1);
}

void tkr_meter_count(struct tkr_meter *meter, const struct tkr_drain *drain)
{
    if (meter == NULL)
        return;
    if (drain->lane_high > atomic_load_explicit(&meter->lane_high, memory_order_relaxed))
        atomic_store_explicit(&meter->lane_high, drain->lane_high, memory_order_relaxed); /* a figure */
    for (uint32_t i = 0; i < drain->events; i++) {
        const struct tkr_drain_call *call = &drain->call[i];
        if (!call->refused)
            count_one(&meter->row[find(meter, call)], call, &drain->counts[i]);
    }
}

/* --- what gateways tell --- */

#define BELIEVED_MAX (UINT64_C(1) << 44) /* between two looks: five hours in nanoseconds, or records. What is more is nonsense */

/* It only grows, as far as it is to be believed. */
static uint64_t growth(uint64_t now, uint64_t before)
{
    return now > before && now - before < BELIEVED_MAX ? now - before : 0;
}

static void look_at_spent(struct tkr_meter *meter, struct tkr_feed *feed)
{
    struct tkr_buckets_sum *before = &feed->spent;
    uint64_t events[TKR_SPENT_BUCKETS];
    uint64_t ns;

    if (!tkr_view_spent(feed->view, &ns, events))
        return;
    for (uint32_t i = 0; i < TKR_SPENT_BUCKETS; i++) {
        tkr_add_own(&meter->spent.in[i], growth(events[i], before->in[i]));
        before->in[i] = events[i];
    }
    tkr_add_own(&meter->spent.sum, growth(ns, before->sum));
    before->sum = ns;
}

/* --- what was dropped --- */

/* Records of the feed that its gateway dropped, and that were dropped here. false: the region was cut. */
static bool read_dropped(const struct tkr_feed *feed, uint64_t ret_dropped[TKR_DROP_MAX])
{
    uint64_t refused[TKR_REFUSED_MAX];

    if (!tkr_view_counters(feed->view, ret_dropped, refused))
        return false;
    for (int i = 0; i < TKR_DROP_MAX; i++)
        ret_dropped[i] += atomic_load_explicit(&feed->cursor->dropped[i], memory_order_relaxed); /* the worker's own */
    return true;
}

void tkr_meter_begin(const struct tkr_meter *meter, struct tkr_feed *feed)
{
    if (meter != NULL && feed->view != NULL && !read_dropped(feed, feed->dropped))
        memset(feed->dropped, 0, sizeof(feed->dropped));
}

static void look_at_dropped(struct tkr_meter *meter, struct tkr_feed *feed)
{
    uint64_t dropped[TKR_DROP_MAX];

    if (feed->cursor == NULL || !read_dropped(feed, dropped))
        return;
    for (int i = 0; i < TKR_DROP_MAX; i++) {
        tkr_add_own(&meter->dropped[i], growth(dropped[i], feed->dropped[i]));
        feed->dropped[i] = dropped[i];
    }
}

void tkr_meter_look(struct tkr_meter *meter, struct tkr_feed *feed)
{
    if (meter == NULL || feed->view == NULL)
        return;
    look_at_spent(meter, feed);
    look_at_dropped(meter, feed);
}

void tkr_meter_wait(struct tkr_meter *meter, uint32_t waiting)
{
    if (meter != NULL)
        atomic_store_explicit(&meter->waiting, waiting, memory_order_relaxed); /* a figure */
}
