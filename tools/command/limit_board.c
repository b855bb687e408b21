/* SPDX-License-Identifier: Apache-2.0 */
#include "command/limit_board.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/clock.h"
#include "base/cycle.h"
#include "collector/board.h"
#include "collector/folder.h"
#include "command/command.h"
#include "command/text.h"
#include "tokenring/tokenring.h"

#define WARN_PERCENT 80                         /* gateways that set nothing else */
#define MAX_AGE_NS (INT64_C(10) * TKR_NS_PER_S) /* the same */
#define AGAIN_NS TKR_NS_PER_S

enum { OPTION_ONCE = TKR_COMMAND_OPTION_FIRST };

static const char help[] =
    "tokenring limit watch [--once] [--runtime-dir DIR] [--json]\n\n"
    "Shows the accounts on the collector's board, once a second: their limit, what is used (by all hosts as of the last look at "
    "the\n"
    "sink, and what this host has counted since), what open calls of this host reserve, what remains, how old the look is, and "
    "the\n"
    "verdict that a gateway with default options gets. Those that have used most of their limit come first. An account is on the "
    "board when a gateway has asked for its limit.\n\n"
    "Options:\n"
    "  --once             show them once\n" TKR_COMMAND_LOOK_HELP "  --json             print one JSON object a line\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP "1 also says that no collector makes a board there.\n";

static const struct option options[] = {
    {"once", no_argument, NULL, OPTION_ONCE}, TKR_COMMAND_LOOK_OPTIONS, TKR_COMMAND_OPTION_HELP, {NULL, 0, NULL, 0}};

struct watch {
    struct tkr_command_look look;
    bool once;
};

/* --- an account --- */

static int64_t taken(const struct tkr_board_figures *figures)
{
    return (figures->used > 0 ? figures->used : 0) + figures->reserved;
}

static bool near(const struct tkr_board_figures *figures)
{
    return figures->limit > 0 && (double)taken(figures) * 100 >= (double)figures->limit * WARN_PERCENT;
}

static const char *verdict(const struct tkr_board_figures *figures, int64_t age_ns)
{
    if (figures->fresh_ns == 0 || age_ns > MAX_AGE_NS)
        return "unknown";
    if (figures->limit > 0 && taken(figures) >= figures->limit)
        return "refused";
    return near(figures) ? "soft" : "allowed";
}

static int64_t age_of(const struct tkr_board_figures *figures)
{
    return figures->fresh_ns == 0 ? -1 : tkr_clock_monotonic_ns() - figures->fresh_ns;
}

static int64_t remaining(const struct tkr_board_figures *figures)
{
    return taken(figures) < figures->limit ? figures->limit - taken(figures) : 0;
}

static json_t *account_json(const struct tkr_board_account *account)
{
    const struct tkr_board_figures *figures = &account->figures;
    int64_t age_ns = age_of(figures);
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    json_t *object = json_object();

    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    tkr_command_json_set_id(object, "account", account->id, account->id_len);
    (void)json_object_set_new(object, "kind", json_string(kind));
    (void)json_object_set_new(object, "cycle", json_string(cycle));
    (void)json_object_set_new(object, "limit", figures->limit > 0 ? json_integer(figures->limit) : json_null());
    (void)json_object_set_new(object, "used",
                              figures->fresh_ns != 0 ? json_integer(taken(figures) - figures->reserved) : json_null());
    (void)json_object_set_new(object, "reserved", json_integer(figures->reserved));
    (void)json_object_set_new(object, "remaining", figures->limit > 0 ? json_integer(remaining(figures)) : json_null());
    (void)json_object_set_new(object, "age_ms", age_ns >= 0 ? json_integer(age_ns / TKR_NS_PER_MS) : json_null());
    (void)json_object_set_new(object, "verdict", json_string(verdict(figures, age_ns)));
    return object;
}

static void print_account(const struct tkr_board_account *account)
{
    const struct tkr_board_figures *figures = &account->figures;
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    int64_t age_ns = age_of(figures);
    char kind[TKR_KIND_NAME_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    (void)tkr_command_text_clean(account->id, account->id_len, clean);
    tkr_kind_name(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)printf("%-8s %-12s %-12s", verdict(figures, age_ns), kind, cycle);
    if (figures->limit > 0)
        (void)printf(" %16" PRId64 " %16" PRId64 " %16" PRId64 " %16" PRId64, figures->limit, taken(figures) - figures->reserved,
                     figures->reserved, remaining(figures));
    else
        (void)printf(" %16s %16" PRId64 " %16" PRId64 " %16s", "none", taken(figures) - figures->reserved, figures->reserved, "");
    (void)printf(" %8" PRId64 "  %s\n", age_ns >= 0 ? age_ns / TKR_NS_PER_MS : -1, clean);
}

/* --- all of them --- */

/* Opens the board of a runtime directory. 1; 0: there is none; -1 with the reason. */
static int open_board(const char *runtime_dir, struct tkr_board *ret_board, tkr_message *ret_message)
{
    struct tkr_folder folder;
    int result = tkr_folder_open(runtime_dir, &folder, ret_message);

    if (result == 1)
        result = tkr_board_open(folder.runtime, ret_board, ret_message);
    tkr_folder_close(&folder);
    return result;
}

struct accounts {
    struct tkr_board_account *account;
    size_t count;
};

/* Limit or none; then how much of it is left; then their names. */
static int compare_accounts(const void *left, const void *right)
{
    const struct tkr_board_account *a = left;
    const struct tkr_board_account *b = right;
    double of_a = a->figures.limit > 0 ? (double)taken(&a->figures) / (double)a->figures.limit : -1;
    double of_b = b->figures.limit > 0 ? (double)taken(&b->figures) / (double)b->figures.limit : -1;

    return of_a != of_b ? (of_a < of_b ? 1 : -1) : memcmp(a->id, b->id, sizeof(a->id));
}

/* Copies those that are asked for, the nearest to their limit first. false: no memory. */
static bool copy_accounts(const struct tkr_board *board, bool only_near, struct accounts *ret_accounts)
{
    ret_accounts->account = calloc(board->accounts_max, sizeof(*ret_accounts->account));
    ret_accounts->count = 0;
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

static json_t *accounts_json(const struct accounts *accounts)
{
    json_t *array = json_array();

    for (size_t i = 0; i < accounts->count; i++)
        (void)json_array_append_new(array, account_json(&accounts->account[i]));
    return array;
}

static void print_accounts(const struct accounts *accounts)
{
    (void)printf("%-8s %-12s %-12s %16s %16s %16s %16s %8s  %s\n", "verdict", "kind", "cycle", "limit", "used", "reserved",
                 "remaining", "age, ms", "account");
    for (size_t i = 0; i < accounts->count; i++)
        print_account(&accounts->account[i]);
}

static int show(const struct watch *watch)
{
    struct tkr_board board;
    struct accounts accounts;
    tkr_message message = {""};
    int result = open_board(watch->look.runtime_dir, &board, &message);

    if (result != 1)
        return tkr_command_failed("limit", "%s", message.text[0] != '\0' ? message.text : "no collector makes a board there");
    result = TKR_COMMAND_OK;
    if (!copy_accounts(&board, false, &accounts))
        result = tkr_command_failed("limit", "no memory");
    else if (watch->look.json)
        result = tkr_command_json_print("limit", json_pack("{s:o}", "accounts", accounts_json(&accounts)));
    else
        print_accounts(&accounts);
    free(accounts.account);
    tkr_board_unmap(&board);
    return result == TKR_COMMAND_OK ? tkr_command_end("limit", result) : result;
}

json_t *tkr_command_limits_near_json(const char *runtime_dir)
{
    struct tkr_board board;
    struct accounts accounts;
    tkr_message message;
    json_t *array;

    if (open_board(runtime_dir, &board, &message) != 1)
        return json_array();
    array = copy_accounts(&board, true, &accounts) ? accounts_json(&accounts) : json_array();
    free(accounts.account);
    tkr_board_unmap(&board);
    return array;
}

static int take_option(void *arg, int option)
{
    struct watch *watch = arg;

    if (option != OPTION_ONCE)
        return tkr_command_look_option(&watch->look, option);
    watch->once = true;
    return 0;
}

int tkr_command_limit_watch(int argc, char **argv)
{
    struct watch watch = {.once = false};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &watch);

    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    exit_code = show(&watch);
    while (!watch.once && exit_code == TKR_COMMAND_OK) {
        tkr_clock_sleep_ns(AGAIN_NS);
        exit_code = show(&watch);
    }
    return exit_code;
}
