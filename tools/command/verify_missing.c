/* SPDX-License-Identifier: Apache-2.0 */
#include "command/verify_missing.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

#define NAME_BYTES (3 * (TKR_ID_BYTES_MAX + TKR_LABEL_BYTES_MAX) + 96)
#define FIGURES_BYTES (TKR_COUNTER_COUNT * 160)

/* --- for people --- */

static void name(const struct tkr_contribution *item, char ret_text[NAME_BYTES])
{
    char id[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    char model[TKR_COMMAND_CLEAN_BYTES(TKR_LABEL_BYTES_MAX)];
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    tkr_cycle_format(item->cycle, cycle);
    (void)tkr_command_text_clean(item->id, item->id_len, id);
    (void)tkr_command_text_clean(item->model, item->model_len, model);
    (void)snprintf(ret_text, NAME_BYTES, "%s %s, cycle %s%s%s", tkr_command_kind_text(item->kind, kind), id, cycle,
                   item->model_len > 0 ? ", model " : "", model);
}

/* "total_tokens 140676, calls 100" */
static void amounts(const tkr_counts *counts, char ret_text[FIGURES_BYTES])
{
    (void)snprintf(ret_text, FIGURES_BYTES, "%s %" PRId64 ", %s %" PRId64, tkr_counter_name[TKR_COUNTER_TOTAL],
                   counts->value[TKR_COUNTER_TOTAL], tkr_counter_name[TKR_COUNTER_CALLS], counts->value[TKR_COUNTER_CALLS]);
}

/* What is known: of the tokens, and of each counter that does not fit. */
static void figures(const struct tkr_repair *missing, char ret_text[FIGURES_BYTES])
{
    size_t len = 0;

    ret_text[0] = '\0';
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        if (i != TKR_COUNTER_TOTAL && missing->unexplained.value[i] == missing->item->known.counts.value[i])
            continue;
        len += (size_t)snprintf(ret_text + len, FIGURES_BYTES - len,
                                "%s%s: total %" PRId64 ", other records %" PRId64 ", unexplained %" PRId64
                                ", acknowledged %" PRId64 ", counted %" PRId64,
                                len > 0 ? "; " : "", tkr_counter_name[i], missing->total.value[i], missing->others.value[i],
                                missing->unexplained.value[i], missing->item->known.counts.value[i],
                                missing->item->now.counts.value[i]);
        if (len >= FIGURES_BYTES)
            break;
    }
}

static void tell_known(const struct tkr_command_missing *to, const char *who, const struct tkr_repair *missing)
{
    const bool has = missing->verdict == TKR_REPAIR_COUNTED;
    const char *chosen = missing->chosen ? ", as was chosen" : "";
    char what[FIGURES_BYTES];

    amounts(has ? &missing->record.counts : &missing->item->now.counts, what);
    if (has && to->repair)
        (void)tkr_command_failed(
            to->command,
            "%s: its record was missing; the total has it (%s)%s: the record is written anew, and nothing of that is added", who,
            what, chosen);
    else if (has)
        (void)tkr_command_failed(
            to->command,
            "%s: its record is missing; the total has it (%s): --repair writes the record anew and adds nothing of that", who,
            what);
    else if (to->repair)
        (void)tkr_command_failed(to->command, "%s: its record was missing; the total lacks it%s: %s are added", who, chosen,
                                 what);
    else
        (void)tkr_command_failed(to->command, "%s: its record is missing; the total lacks it: --repair adds %s", who, what);
}

/* The rest of the counted, if the record is of so much. */
static void less(const tkr_counts *counted, const tkr_counts *recorded, tkr_counts *ret_rest)
{
    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        ret_rest->value[i] = counted->value[i] - recorded->value[i]; /* of a life: recorded is nowhere above */
}

static void tell_unknown(const struct tkr_command_missing *to, const char *who, const struct tkr_repair *missing)
{
    const tkr_counts *counted = &missing->item->now.counts;
    static const tkr_counts zero;
    char known[FIGURES_BYTES];
    char all[FIGURES_BYTES];
    char since[FIGURES_BYTES];
    char lacks[FIGURES_BYTES + 128] = "";
    char what[FIGURES_BYTES];
    tkr_counts rest;

    figures(missing, known);
    amounts(counted, all);
    less(counted, &missing->item->known.counts, &rest);
    amounts(&rest, since);
    if (tkr_counts_nowhere_above(&zero, &missing->unexplained) && tkr_counts_nowhere_above(&missing->unexplained, counted)) {
        less(counted, &missing->unexplained, &rest);
        amounts(&rest, what);
        (void)snprintf(lacks, sizeof(lacks), " If nobody else wrote what is unexplained: --repair=unexplained adds %s.", what);
    }
    (void)tkr_command_failed(to->command,
                             "%s: its record is missing, and whether the total has it is unknown (%s). If it has what was "
                             "acknowledged: --repair=record adds %s.%s If it lacks it: --repair=resend adds %s",
                             who, known, since, lacks, all);
}

static void tell(const struct tkr_command_missing *to, const struct tkr_repair *missing, bool repaired)
{
    char who[NAME_BYTES];

    name(missing->item, who);
    if (missing->verdict == TKR_REPAIR_UNKNOWN)
        tell_unknown(to, who, missing);
    else if (missing->verdict == TKR_REPAIR_UNREADABLE)
        (void)tkr_command_failed(to->command, "%s: its record is missing, and what the sink has cannot be read: %s", who,
                                 missing->why);
    else if (to->repair && !repaired)
        (void)tkr_command_failed(to->command, "%s: its record is missing, and others changed it while it was repaired", who);
    else if (tkr_repair_writes(missing))
        tell_known(to, who, missing);
}

/* --- as JSON --- */

static json_t *counts_json(const tkr_counts *counts)
{
    json_t *object = json_object();

    for (int i = 0; i < TKR_COUNTER_COUNT; i++)
        (void)json_object_set_new(object, tkr_counter_name[i], json_integer(counts->value[i])); /* without memory it all fails */
    return object;
}

static json_t *missing_json(const struct tkr_repair *missing, bool repaired)
{
    static const char *const verdict[] = {
        [TKR_REPAIR_NEEDLESS] = "present", [TKR_REPAIR_COUNTED] = "counted",     [TKR_REPAIR_LACKING] = "lacking",
        [TKR_REPAIR_UNKNOWN] = "unknown",  [TKR_REPAIR_FORGOTTEN] = "forgotten", [TKR_REPAIR_UNREADABLE] = "unreadable"};
    const struct tkr_contribution *item = missing->item;
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    tkr_cycle_format(item->cycle, cycle);
    tkr_command_json_set_id(object, "account", item->id, item->id_len);
    (void)json_object_set_new(object, "kind", json_string(tkr_command_kind_text(item->kind, kind)));
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    if (item->model_len > 0)
        tkr_command_json_set_id(object, "model", item->model, item->model_len);
    (void)json_object_set_new(object, "verdict", json_string(verdict[missing->verdict]));
    (void)json_object_set_new(object, "chosen", json_boolean(missing->chosen));
    (void)json_object_set_new(object, "repaired", json_boolean(repaired));
    if (missing->verdict == TKR_REPAIR_UNREADABLE) {
        (void)json_object_set_new(object, "why", json_string(missing->why));
        return object;
    }
    (void)json_object_set_new(object, "total", counts_json(&missing->total));
    (void)json_object_set_new(object, "other_records", counts_json(&missing->others));
    (void)json_object_set_new(object, "unexplained", counts_json(&missing->unexplained));
    (void)json_object_set_new(object, "acknowledged", counts_json(&item->known.counts));
    (void)json_object_set_new(object, "counted", counts_json(&item->now.counts));
    return object;
}

void tkr_command_missing_tell(const struct tkr_repair *missing, bool repaired, void *arg)
{
    struct tkr_command_missing *to = arg;

    if (to->count++ >= TKR_COMMAND_MISSING_MAX)
        return;
    if (to->list != NULL)
        (void)json_array_append_new(to->list, missing_json(missing, repaired));
    else
        tell(to, missing, repaired);
}

void tkr_command_missing_rest(const struct tkr_command_missing *missing)
{
    if (missing->count > TKR_COMMAND_MISSING_MAX && missing->list == NULL)
        (void)tkr_command_failed(missing->command, "and %" PRIu64 " more", missing->count - TKR_COMMAND_MISSING_MAX);
}
