/* SPDX-License-Identifier: Apache-2.0 */
#include "command/limit_watch.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "command/command.h"
#include "command/limit_board.h"
#include "command/text.h"

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
    int exit_code;
};

static void print_account(const struct tkr_board_account *account)
{
    const struct tkr_board_figures *figures = &account->figures;
    char clean[TKR_COMMAND_CLEAN_BYTES(TKR_ID_BYTES_MAX)];
    int64_t age_ns = tkr_board_age_ns(figures, tkr_clock_monotonic_ns());
    char kind[TKR_COMMAND_KIND_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];

    (void)tkr_command_text_clean(account->id, account->id_len, clean);
    (void)tkr_command_kind_text(account->kind, kind);
    tkr_cycle_format(account->cycle, cycle);
    (void)printf("%-8s %-12s %-12s", tkr_board_verdict_word[tkr_board_judge(figures, age_ns)], kind, cycle);
    if (figures->limit > 0)
        (void)printf(" %16" PRId64 " %16" PRId64 " %16" PRId64 " %16" PRId64, figures->limit, tkr_board_used(figures),
                     figures->reserved, tkr_command_board_remaining(figures));
    else
        (void)printf(" %16s %16" PRId64 " %16" PRId64 " %16s", figures->blocked ? "blocked" : "none", tkr_board_used(figures),
                     figures->reserved, "");
    (void)printf(" %8" PRId64 "  %s\n", age_ns >= 0 ? age_ns / TKR_NS_PER_MS : -1, clean);
}

static void print_accounts(const struct tkr_command_board_accounts *accounts)
{
    (void)printf("%-8s %-12s %-12s %16s %16s %16s %16s %8s  %s\n", "verdict", "kind", "cycle", "limit", "used", "reserved",
                 "remaining", "age, ms", "account");
    for (size_t i = 0; i < accounts->count; i++)
        print_account(&accounts->account[i]);
}

static int show(const struct watch *watch)
{
    struct tkr_command_board_accounts accounts;
    tkr_message message = {""};
    int result = tkr_command_board_read(watch->look.runtime_dir, false, &accounts, &message);

    if (result != 1)
        return tkr_command_failed("limit", "%s", message.text[0] != '\0' ? message.text : "no collector makes a board there");
    if (watch->look.json)
        result = tkr_command_json_print("limit", json_pack("{s:o}", "accounts", tkr_command_board_json(&accounts)));
    else
        print_accounts(&accounts);
    tkr_command_board_free(&accounts);
    return watch->look.json ? result : tkr_command_end("limit", TKR_COMMAND_OK);
}

static void run_show(void *argument)
{
    struct watch *watch = argument;

    watch->exit_code = show(watch);
}

static int look(struct watch *watch)
{
    return tkr_command_guarded("limit", run_show, watch) ? watch->exit_code : TKR_COMMAND_FAILED;
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
    exit_code = look(&watch);
    while (!watch.once && exit_code == TKR_COMMAND_OK) {
        tkr_clock_sleep_ns(AGAIN_NS);
        exit_code = look(&watch);
    }
    return exit_code;
}
