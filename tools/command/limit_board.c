/* SPDX-License-Identifier: Apache-2.0 */
#include "command/limit_board.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "collector/board.h"
#include "collector/folder.h"
#include "command/text.h"

/* --- an account --- */

double tkr_command_board_percent(const struct tkr_board_figures *figures)
{
    if (figures->blocked)
        return 100;
    return figures->limit > 0 ? (double)tkr_board_taken(figures) * 100 / (double)figures->limit : -1;
}

static bool near(const struct tkr_board_figures *figures)
{
    return tkr_command_board_percent(figures) >= TKR_LIMIT_WARN_PERCENT;
}

int64_t tkr_command_board_remaining(const struct tkr_board_figures *figures)
{
    return tkr_board_taken(figures) < figures->limit ? figures->limit - tkr_board_taken(figures) : 0;
}

static json_t *account_json(const struct tkr_board_account *account)
{
    const struct tkr_board_figures *figures = &account->figures;
    int64_t age_ns = tkr_board_age_ns(figures, tkr_clock_monotonic_ns());
    bool limited = figures->limit > 0 || figures->blocked;
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    (void)tkr_command_kind_text(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    tkr_command_json_set_id(object, "account", account->id, account->id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    (void)json_object_set_new(object, "limit", limited ? json_integer(figures->limit) : json_null());
    (void)json_object_set_new(object, "used", figures->fresh_ns != 0 ? json_integer(tkr_board_used(figures)) : json_null());
    (void)json_object_set_new(object, "reserved", json_integer(figures->reserved));
    (void)json_object_set_new(object, "remaining", limited ? json_integer(tkr_command_board_remaining(figures)) : json_null());
    (void)json_object_set_new(object, "age_ms", age_ns >= 0 ? json_integer(age_ns / TKR_NS_PER_MS) : json_null());
    (void)json_object_set_new(object, "verdict", json_string(tkr_board_verdict_word[tkr_board_judge(figures, age_ns)]));
    return object;
}

/* --- all of them --- */

/* How much of its limit is taken; then their names. */
static int compare_accounts(const void *left, const void *right)
{
    const struct tkr_board_account *a = left;
    const struct tkr_board_account *b = right;
    double of_a = tkr_command_board_percent(&a->figures);
    double of_b = tkr_command_board_percent(&b->figures);

    return of_a != of_b ? (of_a < of_b ? 1 : -1) : memcmp(a->id, b->id, sizeof(a->id));
}

/* false: no memory. */
static bool copy_accounts(const struct tkr_board *board, bool only_near, struct tkr_command_board_accounts *ret_accounts)
{
    ret_accounts->account = calloc(board->accounts_max, sizeof(*ret_accounts->account));
    if (ret_accounts->account == NULL)
        return false;
    for (uint32_t i = 0; ret_accounts->count < board->accounts_max && tkr_board_next(board, &i); i++) {
        struct tkr_board_account *account = &ret_accounts->account[ret_accounts->count];
        if (tkr_board_copy(board, i, account) && (!only_near || near(&account->figures)))
            ret_accounts->count++;
    }
    qsort(ret_accounts->account, ret_accounts->count, sizeof(*ret_accounts->account), compare_accounts);
    return true;
}

int tkr_command_board_read(const char *runtime_dir, bool only_near, struct tkr_command_board_accounts *ret_accounts,
                           tkr_message *ret_message)
{
    struct tkr_folder folder;
    struct tkr_board board;
    int result = tkr_folder_open(runtime_dir, &folder, ret_message);

    *ret_accounts = (struct tkr_command_board_accounts){.account = NULL};
    if (result == 1)
        result = tkr_board_open(folder.runtime, &board, ret_message);
    tkr_folder_close(&folder);
    if (result != 1)
        return result;
    if (!copy_accounts(&board, only_near, ret_accounts))
        result = tkr_message_set(ret_message, "no memory for the board of limits");
    tkr_board_unmap(&board);
    return result;
}

void tkr_command_board_free(struct tkr_command_board_accounts *accounts)
{
    free(accounts->account);
    *accounts = (struct tkr_command_board_accounts){.account = NULL};
}

json_t *tkr_command_board_json(const struct tkr_command_board_accounts *accounts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < accounts->count; i++)
        (void)json_array_append_new(array, account_json(&accounts->account[i]));
    return array;
}

json_t *tkr_command_limits_near_json(const char *runtime_dir)
{
    struct tkr_command_board_accounts accounts;
    tkr_message message;
    json_t *array;

    (void)tkr_command_board_read(runtime_dir, true, &accounts, &message); /* not being told is no failure: there are none then */
    array = tkr_command_board_json(&accounts);
    tkr_command_board_free(&accounts);
    return array;
}
