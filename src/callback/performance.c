/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Performance handlers: durations, errors and slow calls per model, provider and label. A group is made under the process' lock,
 * whole, and then published by `count` (release); it never changes its key nor goes away, so those that count look for theirs
 * without the lock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "callback/context.h"
#include "callback/histogram.h"
#include "callback/settings.h"

#define GROUPS_MAX 64u /* the last is of all that come beyond */
#define LABEL_BYTES_MAX 63u
#define LABEL_DEFAULT "variant"

/* What a call is grouped by. */
struct key {
    uint32_t model_len;
    uint32_t provider_len;
    uint32_t label_len;
    char model[TKR_MODEL_BYTES_MAX];
    char provider[TKR_PROVIDER_BYTES_MAX];
    char label[LABEL_BYTES_MAX];
};

struct group {
    struct key key;
    _Atomic uint64_t errors;
    _Atomic uint64_t slow;
    _Atomic int64_t sum_ns;
    _Atomic int64_t max_ns;
    struct tkr_histogram durations;
};

struct performance {
    struct tkr_callback callback;
    tkr_performance_options options;
    char label[LABEL_BYTES_MAX + 1];
    _Atomic uint32_t count;
    struct group *group[GROUPS_MAX];
};

static const struct tkr_callback_ops ops;
static const struct tkr_callback_ops ops_off; /* by the environment: it measures nothing */

static struct performance *of(struct tkr_callback *callback)
{
    return (struct performance *)callback;
}

/* --- groups --- */

static uint32_t put(char *to, uint32_t max, const char *text, uint32_t len)
{
    if (text == NULL)
        return 0;
    len = len < max ? len : max;
    memcpy(to, text, len);
    return len;
}

static void key_of(const struct performance *performance, const tkr_callback_context *context, struct key *ret_key)
{
    const tkr_attribute *label = tkr_callback_attribute(context, performance->label);

    ret_key->model_len = put(ret_key->model, sizeof(ret_key->model), context->start.model, context->start.model_len);
    ret_key->provider_len =
        put(ret_key->provider, sizeof(ret_key->provider), context->start.provider, context->start.provider_len);
    ret_key->label_len = label != NULL ? put(ret_key->label, sizeof(ret_key->label), label->value, label->value_len) : 0;
}

static bool key_same(const struct key *a, const struct key *b)
{
    return a->model_len == b->model_len && a->provider_len == b->provider_len && a->label_len == b->label_len &&
           memcmp(a->model, b->model, a->model_len) == 0 && memcmp(a->provider, b->provider, a->provider_len) == 0 &&
           memcmp(a->label, b->label, a->label_len) == 0;
}

static struct group *group_find(struct performance *performance, const struct key *key)
{
    uint32_t count = atomic_load_explicit(&performance->count, memory_order_acquire); /* groups before their number */

    for (uint32_t i = 0; i < count; i++) {
        if (key_same(&performance->group[i]->key, key))
            return performance->group[i];
    }
    return NULL;
}

/* Under the lock. NULL: no memory. */
static struct group *group_make(struct performance *performance, const struct key *key)
{
    uint32_t count = atomic_load_explicit(&performance->count, memory_order_relaxed); /* the lock's */
    struct group *group;

    if (count == GROUPS_MAX)
        return performance->group[GROUPS_MAX - 1];
    group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    if (count < GROUPS_MAX - 1)
        group->key = *key;
    performance->group[count] = group;
    atomic_store_explicit(&performance->count, count + 1, memory_order_release); /* pairs with group_find */
    return group;
}

static struct group *group_of(struct performance *performance, const tkr_callback_context *context)
{
    struct group *group;
    struct key key;

    key_of(performance, context, &key);
    group = group_find(performance, &key);
    if (group != NULL)
        return group;
    tkr_process_lock();
    group = group_find(performance, &key); /* somebody was faster */
    if (group == NULL)
        group = group_make(performance, &key);
    tkr_process_unlock();
    return group;
}

/* --- calls --- */

static int start(struct tkr_callback *callback, const tkr_chat_message *messages, uint32_t count, tkr_callback_context *context)
{
    int64_t *begun_ns;

    (void)messages;
    (void)count;
    if (tkr_context_kept(context, callback) != NULL) /* it is in a composite twice */
        return 0;
    begun_ns = tkr_context_keep(context, callback, sizeof(*begun_ns));
    if (begun_ns == NULL)
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    *begun_ns = tkr_clock_monotonic_ns();
    return 0;
}

static void report_slow(struct performance *performance, const tkr_callback_context *context, int64_t duration_ns, int32_t error)
{
    const tkr_slow_call call = {.model = context->start.model,
                                .provider = context->start.provider,
                                .model_len = context->start.model_len,
                                .provider_len = context->start.provider_len,
                                .duration_ns = duration_ns,
                                .error = error};

    tkr_callback_count(&performance->callback, TKR_CALLBACK_SLOW, 1);
    tkr_callback_tell(&performance->callback, TKR_NOTICE_SLOW, context, 0, duration_ns);
    if (performance->options.on_slow != NULL)
        performance->options.on_slow(performance->options.user, &call);
}

static void raise_max(_Atomic int64_t *max_ns, int64_t duration_ns)
{
    int64_t max = atomic_load_explicit(max_ns, memory_order_relaxed); /* one word, that only grows */

    while (max < duration_ns &&
           !atomic_compare_exchange_weak_explicit(max_ns, &max, duration_ns, memory_order_relaxed, memory_order_relaxed))
        continue;
}

static int take(struct tkr_callback *callback, tkr_callback_context *context, int32_t error)
{
    struct performance *performance = of(callback);
    const int64_t *begun_ns = tkr_context_kept(context, callback);
    int64_t duration_ns = begun_ns != NULL ? tkr_clock_monotonic_ns() - *begun_ns : 0;
    bool slow = duration_ns > performance->options.slow_ms * TKR_NS_PER_MS;
    struct group *group;

    if (begun_ns == NULL)
        return 0; /* it has seen no start */
    group = group_of(performance, context);
    if (group == NULL)
        return tkr_callback_failed(callback, TKR_ENOMEM, context);
    tkr_histogram_add(&group->durations, duration_ns);
    (void)atomic_fetch_add_explicit(&group->sum_ns, duration_ns, memory_order_relaxed); /* sums, here and below */
    (void)atomic_fetch_add_explicit(&group->errors, error != 0, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&group->slow, slow, memory_order_relaxed);
    raise_max(&group->max_ns, duration_ns);
    if (slow)
        report_slow(performance, context, duration_ns, error);
    return 0;
}

static int end(struct tkr_callback *callback, const tkr_response *response, tkr_callback_context *context)
{
    (void)response;
    return take(callback, context, TKR_ERROR_NONE);
}

static int error(struct tkr_callback *callback, const tkr_call_error *call_error, tkr_callback_context *context)
{
    return take(callback, context, call_error->kind);
}

/* --- reading --- */

static bool text_is(const char *wanted, const char *text, uint32_t len)
{
    return wanted == NULL || (strlen(wanted) == len && memcmp(wanted, text, len) == 0);
}

static int64_t load(const _Atomic int64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed); /* of sums */
}

static void add_group(const struct group *group, tkr_performance *sum, struct tkr_histogram_sum *durations, int64_t *sum_ns)
{
    int64_t max_ns = load(&group->max_ns);

    sum->groups++;
    sum->errors += atomic_load_explicit(&group->errors, memory_order_relaxed); /* as load */
    sum->slow += atomic_load_explicit(&group->slow, memory_order_relaxed);
    sum->max_ns = sum->max_ns > max_ns ? sum->max_ns : max_ns;
    *sum_ns += load(&group->sum_ns);
    tkr_histogram_sum_up(&group->durations, durations);
}

static void finish(const struct tkr_histogram_sum *durations, int64_t sum_ns, tkr_performance *sum)
{
    sum->calls = durations->count;
    sum->mean_ns = sum->calls > 0 ? sum_ns / (int64_t)sum->calls : 0;
    sum->success_rate = sum->calls > 0 ? 1.0 - (double)sum->errors / (double)sum->calls : 1.0;
    sum->p50_ns = tkr_histogram_percentile(durations, 0.5);
    sum->p95_ns = tkr_histogram_percentile(durations, 0.95);
    sum->p99_ns = tkr_histogram_percentile(durations, 0.99);
}

static void read_groups(struct performance *performance, const char *model, const char *provider, const char *label,
                        tkr_performance *ret_performance)
{
    uint32_t count = atomic_load_explicit(&performance->count, memory_order_acquire); /* groups before their number */
    struct tkr_histogram_sum durations = {.count = 0};
    int64_t sum_ns = 0;

    *ret_performance = (tkr_performance)TKR_PERFORMANCE_INIT;
    for (uint32_t i = 0; i < count; i++) {
        const struct key *key = &performance->group[i]->key;
        if (text_is(model, key->model, key->model_len) && text_is(provider, key->provider, key->provider_len) &&
            text_is(label, key->label, key->label_len))
            add_group(performance->group[i], ret_performance, &durations, &sum_ns);
    }
    finish(&durations, sum_ns, ret_performance);
}

static bool is_performance(const struct tkr_callback *callback)
{
    return callback != NULL && (callback->ops == &ops || callback->ops == &ops_off);
}

int tkr_performance_read(tkr_callback *callback, const char *model, const char *provider, const char *label,
                         tkr_performance *ret_performance)
{
    if (!is_performance(callback) || ret_performance == NULL)
        return TKR_EINVAL;
    if (ret_performance->size != sizeof(*ret_performance))
        return TKR_ESIZE;
    read_groups(of(callback), model, provider, label, ret_performance);
    return TKR_OK;
}

/* Newton's method; the library is linked with libc only. */
static double square_root(double x)
{
    double root = x > 1 ? x : 1;

    if (x <= 0)
        return 0;
    for (int i = 0; i < 64; i++)
        root = (root + x / root) / 2;
    return root;
}

/* Two proportions, pooled (for example Fleiss, "Statistical Methods for Rates and Proportions", 2.2); 0 where nothing varies. */
static double z_of(const tkr_performance *a, const tkr_performance *b)
{
    double calls_a = (double)a->calls;
    double calls_b = (double)b->calls;
    double pooled;
    double deviation;

    if (a->calls == 0 || b->calls == 0)
        return 0;
    pooled = 1.0 - (double)(a->errors + b->errors) / (calls_a + calls_b);
    deviation = square_root(pooled * (1.0 - pooled) * (1.0 / calls_a + 1.0 / calls_b));
    return deviation > 0 ? (b->success_rate - a->success_rate) / deviation : 0;
}

static double ratio(int64_t b, int64_t a)
{
    return a > 0 ? (double)b / (double)a : 0;
}

int tkr_performance_compare(tkr_callback *callback, const char *label_a, const char *label_b, tkr_comparison *ret_comparison)
{
    if (!is_performance(callback) || label_a == NULL || label_b == NULL || ret_comparison == NULL)
        return TKR_EINVAL;
    if (ret_comparison->size != sizeof(*ret_comparison))
        return TKR_ESIZE;
    read_groups(of(callback), NULL, NULL, label_a, &ret_comparison->a);
    read_groups(of(callback), NULL, NULL, label_b, &ret_comparison->b);
    ret_comparison->mean_ratio = ratio(ret_comparison->b.mean_ns, ret_comparison->a.mean_ns);
    ret_comparison->p95_ratio = ratio(ret_comparison->b.p95_ns, ret_comparison->a.p95_ns);
    ret_comparison->success_difference = ret_comparison->b.success_rate - ret_comparison->a.success_rate;
    ret_comparison->success_z = z_of(&ret_comparison->a, &ret_comparison->b);
    return TKR_OK;
}

/* --- making --- */

static void destroy(struct tkr_callback *callback)
{
    struct performance *performance = of(callback);

    for (uint32_t i = 0; i < GROUPS_MAX; i++)
        free(performance->group[i]);
    free(performance);
}

static const struct tkr_callback_ops ops = {.keeps = true, .start = start, .end = end, .error = error, .destroy = destroy};
static const struct tkr_callback_ops ops_off = {.destroy = destroy};

static int take_options(const tkr_performance_options *given, tkr_performance_options *ret_options, bool *ret_off)
{
    tkr_callback_settings settings = TKR_CALLBACK_SETTINGS_INIT;
    int result = tkr_callback_settings_read(&settings, NULL, 0);

    if (result != TKR_OK)
        return result;
    *ret_off = settings.performance == 0;
    *ret_options = (tkr_performance_options)TKR_PERFORMANCE_OPTIONS_INIT;
    if (given != NULL && given->size != sizeof(*given))
        return TKR_ESIZE;
    if (given != NULL)
        *ret_options = *given;
    if (ret_options->label == NULL)
        ret_options->label = LABEL_DEFAULT;
    if (ret_options->slow_ms > TKR_SLOW_MS_MAX || strlen(ret_options->label) > LABEL_BYTES_MAX)
        return TKR_ERANGE;
    if (ret_options->slow_ms == 0)
        ret_options->slow_ms = settings.slow_ms;
    return TKR_OK;
}

int tkr_performance_callback(const tkr_performance_options *given, tkr_callback **ret_callback)
{
    tkr_performance_options options;
    struct performance *performance;
    bool off;
    int result;

    if (ret_callback == NULL)
        return TKR_EINVAL;
    result = take_options(given, &options, &off);
    if (result != TKR_OK)
        return result;
    performance = tkr_callback_make(sizeof(*performance), off ? &ops_off : &ops, "performance", options.producer);
    if (performance == NULL)
        return TKR_ENOMEM;
    performance->options = options;
    memcpy(performance->label, options.label, strlen(options.label) + 1);
    performance->options.label = performance->label;
    *ret_callback = &performance->callback;
    return TKR_OK;
}
