/* SPDX-License-Identifier: Apache-2.0 */
#include "command/offered.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/cycle.h"
#include "base/errors.h"
#include "command/text.h"

#define NS_PER_S 1e9
#define KEY_BYTES (TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX) + 2 * TKR_ID_BYTES_MAX + 1)

/* Figures stay below 2^63: JSON's integers here. A failed set makes the dump incomplete only without memory. */
static void set_integer(json_t *object, const char *key, uint64_t value)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_real_or_null(json_t *object, const char *key, double value)
{
    (void)json_object_set_new(object, key, value < 0 ? json_null() : json_real(value));
}

static void set_tally(json_t *object, const struct tkr_gateway_tally *tally)
{
    set_integer(object, "calls", tally->calls);
    set_integer(object, "prompt_tokens", tally->prompt_tokens);
    set_integer(object, "completion_tokens", tally->completion_tokens);
    set_integer(object, "total_tokens", tally->total_tokens);
}

static void set_cycle(json_t *object, const char *key, uint32_t cycle)
{
    char text[TKR_CYCLE_TEXT_BYTES];

    if (cycle == 0) {
        (void)json_object_set_new(object, key, json_null());
        return;
    }
    tkr_cycle_format(cycle, text);
    (void)json_object_set_new(object, key, json_string(text));
}

static json_t *codes_json(const uint64_t calls[TKR_RESULT_COUNT])
{
    json_t *object = json_object();

    for (unsigned i = 0; i < TKR_RESULT_COUNT; i++) {
        if (calls[i] > 0)
            set_integer(object, tkr_result_key(i), calls[i]);
    }
    return object;
}

/* A key for the user that no other has. */
static void make_key(const json_t *users, const struct tkr_traffic_name *name, char ret_key[KEY_BYTES], bool *ret_is_id)
{
    size_t at;

    *ret_is_id = tkr_command_text_clean(name->text, name->len, ret_key);
    if (json_object_get(users, ret_key) == NULL)
        return;
    *ret_is_id = false;
    for (at = 0; ret_key[at] != '\0'; at++)
        ;
    ret_key[at++] = '~';
    for (uint32_t i = 0; i < name->len; i++, at += 2)
        (void)snprintf(ret_key + at, KEY_BYTES - at, "%02x", (unsigned char)name->text[i]);
}

static json_t *users_json(const struct tkr_command_offered *offered)
{
    const struct tkr_traffic_names *names = offered->config->users;
    json_t *users = json_object();

    for (uint32_t i = 0; i < names->count; i++) {
        char key[KEY_BYTES];
        json_t *user;
        bool is_id;

        if (offered->report->user[i].calls == 0)
            continue;
        user = json_object();
        make_key(users, &names->name[i], key, &is_id);
        set_tally(user, &offered->report->user[i]);
        if (!is_id)
            (void)json_object_set_new(user, "id_hex", tkr_command_json_hex(names->name[i].text, names->name[i].len));
        (void)json_object_set_new(users, key, user);
    }
    return users;
}

/* Calls that producers were making when they were killed. */
static json_t *interrupted_json(const struct tkr_command_offered *offered)
{
    const struct tkr_gateway_report *report = offered->report;
    json_t *calls = json_array();

    for (uint32_t i = 0; i < report->interrupted_count; i++) {
        const struct tkr_traffic_call *call = &report->interrupted[i];
        const struct tkr_traffic_name *name = &offered->config->users->name[call->user];
        char key[KEY_BYTES];
        json_t *object = json_object();

        (void)tkr_command_text_clean(name->text, name->len, key);
        (void)json_object_set_new(object, "user", json_string(key));
        set_integer(object, "prompt_tokens", (uint64_t)call->prompt_tokens);
        set_integer(object, "completion_tokens", (uint64_t)call->completion_tokens);
        set_integer(object, "total_tokens", (uint64_t)(call->prompt_tokens + call->completion_tokens));
        (void)json_array_append_new(calls, object);
    }
    return calls;
}

json_t *tkr_command_offered_json(const struct tkr_command_offered *offered)
{
    const struct tkr_gateway_report *report = offered->report;
    json_t *object = json_object();

    set_tally(object, &report->all);
    (void)json_object_set_new(object, "refused", codes_json(report->refused));
    (void)json_object_set_new(object, "dropped", codes_json(report->dropped));
    set_cycle(object, "cycle", offered->cycles.first == offered->cycles.last ? offered->cycles.first : 0);
    set_cycle(object, "cycle_first", offered->cycles.first);
    set_cycle(object, "cycle_last", offered->cycles.last);
    set_real_or_null(object, "record_ns", report->record_ns);
    set_real_or_null(object, "open_call_ns", report->open_call_ns);
    set_real_or_null(object, "elapsed_s", (double)report->elapsed_ns / NS_PER_S);
    set_integer(object, "producers", offered->config->producer_count);
    set_integer(object, "killed", report->killed_count);
    (void)json_object_set_new(object, "interrupted", interrupted_json(offered));
    set_integer(object, "seed", offered->traffic->seed);
    set_integer(object, "calls_wanted", offered->config->call_count);
    (void)json_object_set_new(object, "stopped", json_boolean(report->stopped));
    (void)json_object_set_new(object, "users", users_json(offered));
    return object;
}

static void print_cycles(const struct tkr_command_cycles *cycles)
{
    char first[TKR_CYCLE_TEXT_BYTES];
    char last[TKR_CYCLE_TEXT_BYTES];

    if (cycles->first == 0)
        return;
    tkr_cycle_format(cycles->first, first);
    tkr_cycle_format(cycles->last, last);
    if (cycles->first == cycles->last)
        (void)printf("billing cycle      %s\n", first);
    else
        (void)printf("billing cycles     %s to %s\n", first, last);
}

static void print_codes(const char *what, const uint64_t calls[TKR_RESULT_COUNT])
{
    bool any = false;

    for (unsigned i = 0; i < TKR_RESULT_COUNT; i++) {
        if (calls[i] == 0)
            continue;
        (void)printf("%-18s %" PRIu64 " calls: %s\n", what, calls[i], tkr_strerror(-(int)i));
        any = true;
    }
    if (!any)
        (void)printf("%-18s none\n", what);
}

static void print_cost(const char *what, double ns)
{
    if (ns < 0)
        (void)printf("%-18s not measured: no batch of 64 calls in a row\n", what);
    else
        (void)printf("%-18s %.1f ns per call (median)\n", what, ns);
}

static void print_killed(const struct tkr_gateway_report *report)
{
    if (report->killed_count > 0)
        (void)printf("killed             %" PRIu32 " producers; calls cut short, which may count or not: %" PRIu32 "\n",
                     report->killed_count, report->interrupted_count);
}

static uint32_t users_with_calls(const struct tkr_command_offered *offered)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < offered->config->users->count; i++)
        count += offered->report->user[i].calls > 0;
    return count;
}

void tkr_command_offered_print(const struct tkr_command_offered *offered)
{
    const struct tkr_gateway_report *report = offered->report;
    double elapsed_s = (double)report->elapsed_ns / NS_PER_S;

    (void)printf("offered calls      %" PRIu64 " of %" PRIu64 "\n", report->all.calls, offered->config->call_count);
    (void)printf("prompt tokens      %" PRIu64 "\n", report->all.prompt_tokens);
    (void)printf("completion tokens  %" PRIu64 "\n", report->all.completion_tokens);
    (void)printf("total tokens       %" PRIu64 "\n", report->all.total_tokens);
    (void)printf("users              %" PRIu32 "\n", users_with_calls(offered));
    print_cycles(&offered->cycles);
    print_codes("refused", report->refused);
    print_codes("dropped", report->dropped);
    print_cost("one-shot record", report->record_ns);
    print_cost("begin to end", report->open_call_ns);
    print_killed(report);
    (void)printf("elapsed            %.3f s with %" PRIu32 " producers\n", elapsed_s, offered->config->producer_count);
}
