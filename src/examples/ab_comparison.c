/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two configurations side by side: calls carry the attribute "variant", a performance handler groups by it, and after a while says
 * which one is faster and which one fails less, and whether chance would explain that.
 *
 *     cc -std=c17 -o ab_comparison ab_comparison.c $(pkg-config --cflags --libs tokenring)
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <tokenring/callback.h>

#define CALLS 200

/* The new prompt's answers are shorter; the old one's provider fails once in eight calls, the new one's once in forty. */
static int ask_provider(const char *variant, int i)
{
    const struct timespec pause = {.tv_nsec = strcmp(variant, "old") == 0 ? 3000000 : 1000000};

    (void)nanosleep(&pause, NULL);
    return i % (strcmp(variant, "old") == 0 ? 8 : 40) != 0;
}

static void call(tkr_callback *performance, const char *variant, int i)
{
    const tkr_attribute attribute = {.key = "variant", .key_len = 7, .value = variant, .value_len = (uint32_t)strlen(variant)};
    tkr_callback_context context = TKR_CALLBACK_CONTEXT_INIT;
    tkr_response response = TKR_RESPONSE_INIT;
    tkr_call_error error = TKR_CALL_ERROR_INIT;

    context.attribute = &attribute;
    context.attribute_count = 1;
    context.start.model = "gpt-4o";
    context.start.model_len = 6;
    (void)tkr_on_llm_start(performance, NULL, 0, &context);
    error.kind = TKR_ERROR_PROVIDER;
    if (ask_provider(variant, i))
        (void)tkr_on_llm_end(performance, &response, &context);
    else
        (void)tkr_on_llm_error(performance, &error, &context);
}

int main(void)
{
    tkr_callback *performance = NULL;
    tkr_comparison comparison = TKR_COMPARISON_INIT;
    int result = tkr_performance_callback(NULL, &performance);

    for (int i = 0; result == 0 && i < CALLS; i++) {
        call(performance, "old", i);
        call(performance, "new", i);
    }
    if (result == 0)
        result = tkr_performance_compare(performance, "old", "new", &comparison);
    if (result == 0) {
        printf("old: %llu calls, %.1f %% succeed\n", (unsigned long long)comparison.a.calls, 100 * comparison.a.success_rate);
        printf("new: %llu calls, %.1f %% succeed\n", (unsigned long long)comparison.b.calls, 100 * comparison.b.success_rate);
        printf("new is %s, and fails less: %s\n", comparison.mean_ratio < 1 ? "faster" : "slower",
               comparison.success_z > 1.96 ? "chance does not explain it" : "chance may explain it");
    }
    tkr_callback_release(performance);
    if (result != 0)
        (void)fprintf(stderr, "ab_comparison: %s\n", tkr_strerror(result));
    return result != 0;
}
