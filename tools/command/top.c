/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring top: who uses how much, at this moment, from shared memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "command/command.h"
#include "command/text.h"
#include "command/top/json.h"
#include "command/top/screen.h"
#include "region/guard.h"

#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 3600
#define INTERVAL_DEFAULT_S 2
#define LIMIT_DEFAULT 20
#define PLAIN_COLUMNS 100

enum {
    OPTION_ONCE = TKR_COMMAND_OPTION_FIRST,
    OPTION_INTERVAL,
    OPTION_COUNT,
    OPTION_SORT,
    OPTION_FILTER,
    OPTION_PART,
    OPTION_LIMIT
};

static const char help[] =
    "tokenring top [OPTION]...\n\n"
    "Shows, again and again, which accounts and models use how many tokens per second, what each gateway process records, what\n"
    "was dropped and why, whether the sink takes the totals, and who is near a limit. Tokens, calls and cost are what this host "
    "has\n"
    "counted and still has in memory. Read from shared memory, which is not disturbed; no collector need run. h shows the "
    "keys.\n\n"
    "Options:\n"
    "  --once             print one picture as text: rates are those between two looks, --interval apart\n"
    "  --interval S       seconds between looks, 0.1..3600; default 2\n"
    "  --count N          end after N pictures, 1..1000000000; default: go on\n"
    "  --sort KEY         rate (tokens per second, the default), calls, errors, cost (all per second), total, name\n"
    "  --filter TEXT      only names that hold TEXT, of up to 63 bytes; capital letters count as small ones\n"
    "  --part PART        all (default), accounts, models, regions, limits, drops, sink\n"
    "  --limit N          rows of each part with --once and --json, 1..1000000; default 20\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object a line for each look but the first; with --once, one\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP;

static const struct option options_known[] = {{"once", no_argument, NULL, OPTION_ONCE},
                                              {"interval", required_argument, NULL, OPTION_INTERVAL},
                                              {"count", required_argument, NULL, OPTION_COUNT},
                                              {"sort", required_argument, NULL, OPTION_SORT},
                                              {"filter", required_argument, NULL, OPTION_FILTER},
                                              {"part", required_argument, NULL, OPTION_PART},
                                              {"limit", required_argument, NULL, OPTION_LIMIT},
                                              TKR_COMMAND_LOOK_OPTIONS,
                                              TKR_COMMAND_OPTION_HELP,
                                              {NULL, 0, NULL, 0}};

struct top {
    struct tkr_top_options options;
    struct tkr_command_look look;
    bool once;
    int64_t limit;
};

/* --- options --- */

/* The number of a word in a list. 0, or TKR_COMMAND_WRONG with a sentence. */
static int take_word(const char *command, const char *option, const char *const *words, int count, int *ret_number)
{
    char list[128];
    size_t at = 0;

    for (int i = 0; i < count; i++) {
        if (strcmp(optarg, words[i]) == 0) {
            *ret_number = i;
            return 0;
        }
        if (at < sizeof(list))
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    return tkr_command_wrong(command, "--%s=%s: allowed are %s", option, optarg, list);
}

static int take_interval(struct top *top)
{
    char *end = NULL;
    double seconds = optarg[strspn(optarg, "0123456789.")] == '\0' ? strtod(optarg, &end) : 0;

    if (end == NULL || end == optarg || *end != '\0' || !(seconds >= INTERVAL_MIN_S && seconds <= INTERVAL_MAX_S))
        return tkr_command_wrong(top->options.command, "--interval=%s: allowed is a number of seconds from 0.1 to 3600", optarg);
    top->options.wish.interval_s = seconds;
    return 0;
}

static int take_filter(struct top *top)
{
    char *filter = top->options.wish.order.filter;

    if (strlen(optarg) >= TKR_TOP_FILTER_BYTES)
        return tkr_command_wrong(top->options.command, "--filter=%.20s...: allowed are up to %d bytes", optarg,
                                 TKR_TOP_FILTER_BYTES - 1);
    (void)strcpy(filter, optarg); /* NOLINT: it fits */
    return 0;
}

static int take_option(void *arg, int option)
{
    struct top *top = arg;
    const char *command = top->options.command;
    int number = 0;
    int taken;

    switch (option) {
    case OPTION_ONCE:
        top->once = true;
        return 0;
    case OPTION_INTERVAL:
        return take_interval(top);
    case OPTION_COUNT:
        return tkr_command_integer(command, "count", optarg, 1, 1000000000, &top->options.count);
    case OPTION_FILTER:
        return take_filter(top);
    case OPTION_LIMIT:
        return tkr_command_integer(command, "limit", optarg, 1, 1000000, &top->limit);
    case OPTION_SORT:
        taken = take_word(command, "sort", tkr_top_key_name, TKR_TOP_KEY_COUNT, &number);
        top->options.wish.order.key = (enum tkr_top_key)number;
        return taken;
    case OPTION_PART:
        taken = take_word(command, "part", tkr_top_part_name, TKR_TOP_PART_COUNT, &number);
        top->options.wish.part = (enum tkr_top_part)number;
        return taken;
    default:
        return tkr_command_look_option(&top->look, option);
    }
}

/* --- looks --- */

struct taking {
    const struct tkr_top_options *options;
    struct tkr_top_look *look;
    tkr_message *message;
    int result;
};

static void run_take(void *argument)
{
    struct taking *taking = argument;

    taking->result = tkr_top_look_take(taking->look, taking->options->runtime_dir, taking->message);
}

int tkr_top_look_safely(const struct tkr_top_options *options, struct tkr_top_look *look, tkr_message *ret_message)
{
    struct taking taking = {.options = options, .look = look, .message = ret_message};

    if (tkr_guarded_run(run_take, &taking))
        return taking.result;
    (void)tkr_message_set(ret_message, "a file in the runtime directory was cut short while it was read");
    return 1;
}

static int print_picture(const struct tkr_top_options *options, const struct tkr_top_look *look)
{
    struct tkr_top_picture picture = {.line = NULL};
    struct tkr_top_wish wish = options->wish;
    bool drawn;

    wish.interval_s = 0;
    drawn = tkr_top_picture_draw(look, &wish, PLAIN_COLUMNS, 0, &picture);
    for (size_t i = 0; drawn && i < picture.count; i++) {
        size_t len = strlen(picture.line[i].text);
        while (len > 0 && picture.line[i].text[len - 1] == ' ')
            len--;
        (void)printf("%.*s\n", (int)len, picture.line[i].text); /* tkr_command_end looks */
    }
    tkr_top_picture_free(&picture);
    if (!drawn)
        return tkr_command_failed(options->command, "there is no memory for the picture");
    return tkr_command_end(options->command, TKR_COMMAND_OK);
}

/* Looks again, some time after the last; a look that cannot be taken ends it. */
static int look_again(const struct tkr_top_options *options, struct tkr_top_look *look)
{
    tkr_message message;
    int taken;

    if (look->time_ns != 0)
        tkr_clock_sleep_ns((int64_t)(options->wish.interval_s * (double)TKR_NS_PER_S));
    taken = tkr_top_look_safely(options, look, &message);
    return taken == 0 ? TKR_COMMAND_OK : tkr_command_failed(options->command, "%s", message.text);
}

/* Prints looks, but the first, which knows no rates. */
static int print_looks(const struct top *top)
{
    const struct tkr_top_options *options = &top->options;
    struct tkr_top_look look = {.time_ns = 0};
    int exit_code = look_again(options, &look);

    for (int64_t n = 0; exit_code == TKR_COMMAND_OK && (options->count == 0 || n < options->count); n++) {
        exit_code = look_again(options, &look);
        if (exit_code == TKR_COMMAND_OK && top->look.json)
            exit_code = tkr_command_json_print(options->command, tkr_top_json(&look, &options->wish));
        else if (exit_code == TKR_COMMAND_OK)
            exit_code = print_picture(options, &look);
    }
    tkr_top_look_free(&look);
    return exit_code;
}

int tkr_command_top(int argc, char **argv)
{
    struct top top = {.options = {.command = argv[0], .wish = {.interval_s = INTERVAL_DEFAULT_S}}, .limit = LIMIT_DEFAULT};
    int exit_code = tkr_command_parse(argc, argv, options_known, help, take_option, &top);

    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    if (!tkr_guard_install())
        return tkr_command_failed(argv[0], "the kernel lets nobody handle SIGBUS");
    tkr_command_text_locale();
    top.options.runtime_dir = top.look.runtime_dir;
    if (!top.once && !top.look.json) {
        top.options.wish.limit = SIZE_MAX;
        return tkr_top_screen(&top.options);
    }
    top.options.wish.limit = (size_t)top.limit;
    if (top.once)
        top.options.count = 1;
    return print_looks(&top);
}
