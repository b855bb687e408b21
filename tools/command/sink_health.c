/* SPDX-License-Identifier: Apache-2.0 */
#include "command/sink_health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/moment.h"
#include "command/text.h"

static const char *const state_keys[] = {"starting", "good", "failing"};
static const char *const state_texts[] = {"not tried yet", "takes usage", "DOES NOT TAKE USAGE"};

static enum tkr_health_state state_of(const struct tkr_health *health)
{
    return health->state <= TKR_HEALTH_FAILING ? (enum tkr_health_state)health->state : TKR_HEALTH_STARTING;
}

const char *tkr_command_sink_state(const struct tkr_health *health)
{
    return state_texts[state_of(health)];
}

/* What is counted and not known to be in the sink: the shards know it better than the flusher. */
uint64_t tkr_command_sink_waiting(const struct tkr_host_balance *balance)
{
    uint64_t waiting = 0;

    for (uint32_t i = 0; i < balance->shard_count; i++)
        waiting += balance->shard[i].unflushed;
    return waiting;
}

/* --- JSON --- */

static void json_set_clean(json_t *object, const char *key, const char *text)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_REASON_BYTES)];

    (void)tkr_command_text_clean(text, strlen(text), clean);
    (void)json_object_set_new(object, key, json_string(clean));
}

static json_t *json_parked(const struct tkr_health_account *account)
{
    json_t *object = json_object();
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    (void)tkr_command_kind_text(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)json_object_set_new(object, "kind", json_string(kind));
    tkr_command_json_set_id(object, "id", account->id, account->id_len);
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    if (account->model_len > 0)
        tkr_command_json_set_id(object, "model", account->model, account->model_len);
    (void)json_object_set_new(object, "since", tkr_command_moment_json(account->since_ns));
    json_set_clean(object, "reason", account->reason);
    return object;
}

json_t *tkr_command_health_json(const struct tkr_health *health)
{
    json_t *object = json_object();
    json_t *parked = json_array();

    for (uint64_t i = 0; i < health->named; i++)
        (void)json_array_append_new(parked, json_parked(&health->account[i]));
    json_set_clean(object, "sink", health->sink);
    (void)json_object_set_new(object, "state", json_string(state_keys[state_of(health)]));
    (void)json_object_set_new(object, "since", tkr_command_moment_json(health->since_ns));
    (void)json_object_set_new(object, "answered", tkr_command_moment_json(health->answered_ns));
    json_set_clean(object, "error", health->error);
    json_set_clean(object, "advice", health->advice);
    (void)json_object_set_new(object, "wal_bytes", json_integer((json_int_t)health->wal_bytes));
    (void)json_object_set_new(object, "failures", json_integer((json_int_t)health->failures));
    (void)json_object_set_new(object, "parked_accounts", json_integer((json_int_t)health->parked));
    (void)json_object_set_new(object, "parked", parked);
    return object;
}

json_t *tkr_command_sink_json(const struct tkr_host_balance *balance)
{
    json_t *object;

    if (balance->health == NULL)
        return json_null();
    object = tkr_command_health_json(balance->health);
    (void)json_object_set_new(object, "waiting_accounts", json_integer((json_int_t)tkr_command_sink_waiting(balance)));
    return object;
}

json_t *tkr_command_problems_json(const struct tkr_host_balance *balance)
{
    json_t *problems = json_array();
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_MESSAGE_BYTES)];

    for (int i = 0; balance->health != NULL && i < TKR_PROBLEM_COUNT; i++) {
        const char *problem = balance->health->problem[i];
        (void)tkr_command_text_clean(problem, strlen(problem), clean);
        if (problem[0] != '\0')
            (void)json_array_append_new(problems, json_string(clean));
    }
    return problems;
}

/* --- text --- */

static void print_clean(const char *before, const char *text, size_t len)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_REASON_BYTES)];

    (void)tkr_command_text_clean(text, len, clean);
    (void)printf("%s%s", before, clean);
}

static void print_parked(const struct tkr_health_account *account)
{
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char since[TKR_COMMAND_MOMENT_BYTES];

    (void)tkr_command_kind_text(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)printf("parked: %s ", kind);
    print_clean("", account->id, account->id_len);
    (void)printf(", cycle %s", cycle);
    if (account->model_len > 0)
        print_clean(", model ", account->model, account->model_len);
    (void)printf(", since %s: ", tkr_command_moment(account->since_ns, since));
    print_clean("", account->reason, strlen(account->reason));
    (void)putchar('\n');
}

void tkr_command_sink_print(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;
    char since[TKR_COMMAND_MOMENT_BYTES];

    if (health == NULL)
        return;
    for (uint64_t i = 0; i < health->named; i++)
        print_parked(&health->account[i]);
    if (health->parked > health->named)
        (void)printf("parked: %" PRIu64 " more\n", health->parked - health->named);
    if (health->advice[0] != '\0') {
        print_clean("advice: ", health->advice, strlen(health->advice));
        (void)putchar('\n');
    }
    for (int i = 0; i < TKR_PROBLEM_COUNT; i++) {
        if (health->problem[i][0] == '\0')
            continue;
        print_clean("problem: ", health->problem[i], strlen(health->problem[i]));
        (void)putchar('\n');
    }
    print_clean("sink: ", health->sink, strlen(health->sink));
    (void)printf(": %s%s since %s",
                 balance->collector_running ? "" : "when the collector ended: ", tkr_command_sink_state(health),
                 tkr_command_moment(health->since_ns, since));
    if (state_of(health) == TKR_HEALTH_FAILING) {
        print_clean(": ", health->error, strlen(health->error));
        (void)printf("; tried %" PRIu64 " times", health->failures);
    }
    (void)printf("; accounts waiting %" PRIu64 ", parked %" PRIu64 "\n", tkr_command_sink_waiting(balance), health->parked);
}
