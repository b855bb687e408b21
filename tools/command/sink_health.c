/* SPDX-License-Identifier: Apache-2.0 */
#include "command/sink_health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "command/text.h"

#define TIME_TEXT_BYTES 32

static const char *const state_keys[] = {"starting", "good", "failing"};
static const char *const state_texts[] = {"not tried yet", "takes usage", "DOES NOT TAKE USAGE"};

static enum tkr_health_state state_of(const struct tkr_health *health)
{
    return health->state <= TKR_HEALTH_FAILING ? (enum tkr_health_state)health->state : TKR_HEALTH_STARTING;
}

static const char *time_text(int64_t unix_ns, char ret_text[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(unix_ns / TKR_NS_PER_S);
    struct tm utc;

    ret_text[0] = '\0';
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(ret_text, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return ret_text;
}

/* What is counted and not known to be in the sink: the shards know it better than the flusher. */
static uint64_t accounts_waiting(const struct tkr_host_balance *balance)
{
    uint64_t waiting = 0;

    for (uint32_t i = 0; i < balance->shard_count; i++)
        waiting += balance->shard[i].unflushed;
    return waiting;
}

/* --- JSON --- */

static json_t *json_time(int64_t unix_ns)
{
    char text[TIME_TEXT_BYTES];

    return unix_ns == 0 ? json_null() : json_string(time_text(unix_ns, text));
}

static void json_set_clean(json_t *object, const char *key, const char *text)
{
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_REASON_BYTES)];

    (void)tkr_command_text_clean(text, strlen(text), clean);
    (void)json_object_set_new(object, key, json_string(clean));
}

static json_t *json_parked(const struct tkr_health_account *account)
{
    json_t *object = json_object();
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)json_object_set_new(object, "kind", json_string(kind));
    tkr_command_json_set_id(object, "id", account->id, account->id_len);
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    if (account->model_len > 0)
        tkr_command_json_set_id(object, "model", account->model, account->model_len);
    (void)json_object_set_new(object, "since", json_time(account->since_ns));
    json_set_clean(object, "reason", account->reason);
    return object;
}

json_t *tkr_command_sink_json(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;
    json_t *object = json_object();
    json_t *parked = json_array();

    if (health == NULL) {
        json_decref(object);
        json_decref(parked);
        return json_null();
    }
    for (uint64_t i = 0; i < health->named; i++)
        (void)json_array_append_new(parked, json_parked(&health->account[i]));
    json_set_clean(object, "sink", health->sink);
    (void)json_object_set_new(object, "state", json_string(state_keys[state_of(health)]));
    (void)json_object_set_new(object, "since", json_time(health->since_ns));
    (void)json_object_set_new(object, "answered", json_time(health->answered_ns));
    json_set_clean(object, "error", health->error);
    (void)json_object_set_new(object, "failures", json_integer((json_int_t)health->failures));
    (void)json_object_set_new(object, "waiting_accounts", json_integer((json_int_t)accounts_waiting(balance)));
    (void)json_object_set_new(object, "parked_accounts", json_integer((json_int_t)health->parked));
    (void)json_object_set_new(object, "parked", parked);
    return object;
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
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    char since[TIME_TEXT_BYTES];

    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)printf("parked: %s ", kind);
    print_clean("", account->id, account->id_len);
    (void)printf(", cycle %s", cycle);
    if (account->model_len > 0)
        print_clean(", model ", account->model, account->model_len);
    (void)printf(", since %s: ", time_text(account->since_ns, since));
    print_clean("", account->reason, strlen(account->reason));
    (void)putchar('\n');
}

void tkr_command_sink_print(const struct tkr_host_balance *balance)
{
    const struct tkr_health *health = balance->health;
    char since[TIME_TEXT_BYTES];

    if (health == NULL)
        return;
    for (uint64_t i = 0; i < health->named; i++)
        print_parked(&health->account[i]);
    if (health->parked > health->named)
        (void)printf("parked: %" PRIu64 " more\n", health->parked - health->named);
    print_clean("sink: ", health->sink, strlen(health->sink));
    (void)printf(": %s%s since %s", balance->collector_running ? "" : "when the collector ended: ", state_texts[state_of(health)],
                 time_text(health->since_ns, since));
    if (state_of(health) == TKR_HEALTH_FAILING) {
        print_clean(": ", health->error, strlen(health->error));
        (void)printf("; tried %" PRIu64 " times", health->failures);
    }
    (void)printf("; accounts waiting %" PRIu64 ", parked %" PRIu64 "\n", accounts_waiting(balance), health->parked);
}
