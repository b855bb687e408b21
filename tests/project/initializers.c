/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every TKR_*_INIT of the headers, as C and as C++ (initializers.sh): a variable of static and one of automatic storage, and what
 * they hold: the size, TKR_ABSENT in the fields that HOLDS names, another value where it is given, and 0 elsewhere.
 */
#include <stdio.h>
#include <string.h>
#include <tokenring/alert.h>
#include <tokenring/callback.h>
#include <tokenring/repository.h>
#include <tokenring/tokenring.h>

static int failed;

static void check(int holds, const char *what)
{
    if (holds)
        return;
    printf("%s\n", what);
    failed = 1;
}

static int is_zero(const void *bytes, size_t count)
{
    const unsigned char *byte = (const unsigned char *)bytes;

    while (count > 0 && byte[count - 1] == 0)
        count--;
    return count == 0;
}

/* Takes the value out of a field, so that what is left is 0. */
#define HOLDS(field, value)                                  \
    do {                                                     \
        check(x.field == (value), #field " is not " #value); \
        x.field = 0;                                         \
    } while (0)

#define TYPE(type, init, ...)                                                              \
    do {                                                                                   \
        static type at_load = init;                                                        \
        type x = init;                                                                     \
        check(memcmp(&at_load, &x, sizeof(x)) == 0, #init ": static is not as automatic"); \
        HOLDS(size, sizeof(type));                                                         \
        __VA_ARGS__                                                                        \
        check(is_zero(&x, sizeof(x)), #init ": something else is not 0");                  \
    } while (0)

int main(void)
{
    TYPE(tkr_options, TKR_OPTIONS_INIT, );
    TYPE(tkr_start, TKR_START_INIT, );
    TYPE(tkr_usage, TKR_USAGE_INIT, HOLDS(prompt, -1); HOLDS(completion, -1); HOLDS(total, -1); HOLDS(cached, -1);
         HOLDS(cache_write, -1); HOLDS(reasoning, -1); HOLDS(cost_nano_usd, -1); HOLDS(first_token_ns, -1); HOLDS(end_ns, -1););
    TYPE(tkr_stat, TKR_STAT_INIT, );
    TYPE(tkr_limit, TKR_LIMIT_INIT, HOLDS(limit, -1); HOLDS(used, -1); HOLDS(reserved, -1); HOLDS(remaining, -1);
         HOLDS(age_ns, -1); HOLDS(cycle_end_ns, -1););
    TYPE(tkr_response, TKR_RESPONSE_INIT, HOLDS(tokens_used, -1); HOLDS(prompt_tokens, -1); HOLDS(completion_tokens, -1);
         HOLDS(cached_tokens, -1); HOLDS(cache_write_tokens, -1); HOLDS(reasoning_tokens, -1); HOLDS(cost_nano_usd, -1);
         HOLDS(first_token_ns, -1););
    TYPE(tkr_call_error, TKR_CALL_ERROR_INIT, HOLDS(kind, TKR_ERROR_OTHER););
    TYPE(tkr_callback_context, TKR_CALLBACK_CONTEXT_INIT, HOLDS(start.size, sizeof(tkr_start)););
    TYPE(tkr_callback_stat, TKR_CALLBACK_STAT_INIT, );
    TYPE(tkr_callback_options, TKR_CALLBACK_OPTIONS_INIT, );
    TYPE(tkr_asynchronous_options, TKR_ASYNCHRONOUS_OPTIONS_INIT, );
    TYPE(tkr_performance_options, TKR_PERFORMANCE_OPTIONS_INIT, );
    TYPE(tkr_performance, TKR_PERFORMANCE_INIT, );
    TYPE(tkr_comparison, TKR_COMPARISON_INIT, );
    TYPE(tkr_callback_functions, TKR_CALLBACK_FUNCTIONS_INIT, );
    TYPE(tkr_callback_settings, TKR_CALLBACK_SETTINGS_INIT, );
    TYPE(tkr_repository_options, TKR_REPOSITORY_OPTIONS_INIT, );
    TYPE(tkr_usage_stats, TKR_USAGE_STATS_INIT, );
    TYPE(tkr_limit_status, TKR_LIMIT_STATUS_INIT, );
    TYPE(tkr_alert_options, TKR_ALERT_OPTIONS_INIT, );
    return failed;
}
