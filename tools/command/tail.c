/* SPDX-License-Identifier: Apache-2.0 */
/* tokenring tail: calls as they pass through the gateways' lanes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/cycle.h"
#include "collector/folder.h"
#include "command/command.h"
#include "command/frame_text.h"
#include "command/moment.h"
#include "command/query.h"
#include "command/tail_lanes.h"
#include "region/guard.h"
#include "region/name.h"
#include "tokenring/tokenring.h"

#define PAUSE_NS (2 * TKR_NS_PER_MS)  /* where nothing comes */
#define LOOK_NS (200 * TKR_NS_PER_MS) /* between looks for regions that come and go */
#define REGION_DIGITS_MIN 4

enum {
    OPTION_USER = TKR_COMMAND_OPTION_FIRST,
    OPTION_KIND,
    OPTION_MODEL,
    OPTION_ERRORS,
    OPTION_REGION,
    OPTION_BACKLOG,
    OPTION_COUNT
};

static const char help[] =
    "tokenring tail [OPTION]...\n\n"
    "Shows calls as gateways of this host record them: when they began, who recorded them (process and the beginning of the\n"
    "region's id), tokens of prompt and completion and in all, how long they took, error, cycle, model, and who pays; and what\n"
    "else passes through the lanes: increments, notices of handlers, and watches (a gateway asks for a limit). Gateways that "
    "come\n"
    "and go are followed. Nobody is disturbed: what passes faster than it can be shown is overwritten, counted, and told as "
    "missed.\n\n"
    "Options:\n"
    "  --user ID          only of the account ID, of any kind, or of --kind\n"
    "  --kind KIND        only of accounts of this kind: user, team, organisation, key or another name\n"
    "  --model MODEL      only of the model, as \"gpt-4o\" or \"openai/gpt-4o\"\n"
    "  --errors           only calls that failed\n"
    "  --region REGION    only of one region: the first 4 digits of its id or more; or the number of its process\n"
    "  --backlog          begin with what is not counted yet; else with what comes from now on\n"
    "  --count N          end after N, 1..1000000000; default: go on until SIGINT or SIGTERM\n" TKR_COMMAND_LOOK_HELP
    "  --json             print one JSON object a line; one with `missed` tells of what could not be read in time\n"
    "  --help             this text\n\n" TKR_COMMAND_EXIT_HELP;

static const struct option options[] = {{"user", required_argument, NULL, OPTION_USER},
                                        {"kind", required_argument, NULL, OPTION_KIND},
                                        {"model", required_argument, NULL, OPTION_MODEL},
                                        {"errors", no_argument, NULL, OPTION_ERRORS},
                                        {"region", required_argument, NULL, OPTION_REGION},
                                        {"backlog", no_argument, NULL, OPTION_BACKLOG},
                                        {"count", required_argument, NULL, OPTION_COUNT},
                                        TKR_COMMAND_LOOK_OPTIONS,
                                        TKR_COMMAND_OPTION_HELP,
                                        {NULL, 0, NULL, 0}};

struct showing {
    const char *command;
    struct tkr_command_look look;
    struct tkr_usage_query query; /* id and kind */
    const char *model;            /* NULL: any */
    const char *region;           /* NULL: any */
    bool errors;
    int64_t count; /* 0: no end */
    int64_t shown;
    int64_t look_ns;         /* when to look for regions again */
    struct timespec changed; /* the directory, as of the last look */
    struct tkr_tail tail;
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

/* --- options --- */

static int take_region(struct showing *showing)
{
    size_t len = strlen(optarg);
    bool digits = len > 0 && strspn(optarg, "0123456789") == len;
    bool id = len >= REGION_DIGITS_MIN && len <= 2 * TKR_REGION_ID_BYTES && strspn(optarg, "0123456789abcdef") == len;

    if (!digits && !id)
        return tkr_command_wrong(
            showing->command, "--region=%.40s: allowed are the first 4 to 32 digits of a region's id, or the number of a process",
            optarg);
    showing->region = optarg;
    return 0;
}

static int take_user(struct showing *showing)
{
    size_t len = strlen(optarg);

    if (len < 1 || len > TKR_ID_BYTES_MAX)
        return tkr_command_wrong(showing->command, "--user=%.40s: allowed are 1 to 255 bytes", optarg);
    showing->query.id = optarg;
    showing->query.id_len = (uint32_t)len;
    return 0;
}

static int take_option(void *arg, int option)
{
    struct showing *showing = arg;

    switch (option) {
    case OPTION_USER:
        return take_user(showing);
    case OPTION_KIND:
        return tkr_command_query_kind(showing->command, optarg, &showing->query);
    case OPTION_MODEL:
        showing->model = optarg;
        return 0;
    case OPTION_ERRORS:
        showing->errors = true;
        return 0;
    case OPTION_REGION:
        return take_region(showing);
    case OPTION_BACKLOG:
        showing->tail.backlog = true;
        return 0;
    case OPTION_COUNT:
        return tkr_command_integer(showing->command, "count", optarg, 1, 1000000000, &showing->count);
    default:
        return tkr_command_look_option(&showing->look, option);
    }
}

/* --- which frames --- */

static bool account_wanted(const struct showing *showing, const struct tkr_event *event)
{
    const struct tkr_usage_query *query = &showing->query;

    if (query->id == NULL && query->any_kind)
        return true;
    for (uint32_t i = 0; i < event->account_count; i++) {
        const tkr_account *account = &event->account[i];
        if ((query->any_kind || account->kind == query->kind) &&
            (query->id == NULL || (account->len == query->id_len && memcmp(account->id, query->id, query->id_len) == 0)))
            return true;
    }
    return false;
}

static bool model_wanted(const struct showing *showing, const struct tkr_event *event)
{
    const char *wanted = showing->model;
    size_t provider = event->provider_len;

    if (wanted == NULL)
        return true;
    if (strlen(wanted) == provider + 1 + event->model_len && memcmp(wanted, event->provider, provider) == 0 &&
        wanted[provider] == '/')
        wanted += provider + 1;
    return strlen(wanted) == event->model_len && memcmp(wanted, event->model, event->model_len) == 0;
}

static bool region_wanted(const struct showing *showing, const struct tkr_view *view)
{
    char pid[16];

    if (showing->region == NULL)
        return true;
    (void)snprintf(pid, sizeof(pid), "%u", view->pid);
    return strcmp(showing->region, pid) == 0 ||
           (strlen(showing->region) >= REGION_DIGITS_MIN &&
            strncmp(view->name + sizeof(TKR_REGION_PREFIX) - 1, showing->region, strlen(showing->region)) == 0);
}

static bool wanted(const struct showing *showing, const struct tkr_view *view, const struct tkr_event *event)
{
    bool failed = event->type == TKR_FRAME_USAGE && event->values.error != TKR_ERROR_NONE;

    return (!showing->errors || failed) && region_wanted(showing, view) && account_wanted(showing, event) &&
           model_wanted(showing, event);
}

/* --- how they are shown --- */

static void print_json(const struct showing *showing, json_t *object, const struct tkr_view *view)
{
    (void)json_object_set_new(object, "region", json_string(view->name + sizeof(TKR_REGION_PREFIX) - 1));
    (void)json_object_set_new(object, "pid", json_integer(view->pid));
    tkr_command_json_set_id(object, "command", view->command, strlen(view->command));
    if (json_dumpf(object, stdout, JSON_COMPACT) != 0)
        (void)tkr_command_failed(showing->command, "a line could not be written as JSON");
    (void)putchar('\n'); /* the end of each pass looks */
    json_decref(object);
}

static void print_process(const struct tkr_view *view)
{
    char command[TKR_COMMAND_CLEAN_BYTES(sizeof(view->command))];

    (void)tkr_command_text_clean(view->command, strlen(view->command), command);
    (void)printf("%7u %-15s %.8s", view->pid, command, view->name + sizeof(TKR_REGION_PREFIX) - 1);
}

static void print_heading(const struct showing *showing)
{
    if (!showing->look.json)
        (void)printf("%-24s %7s %-15s %-8s %-9s %9s %9s %9s %9s %-12s %-10s %s\n", "start", "process", "", "region", "type",
                     "prompt", "complet.", "total", "ms", "error", "cycle", "model, accounts");
}

static void print_text(const struct tkr_view *view, const struct tkr_event *event)
{
    char accounts[TKR_COMMAND_ACCOUNTS_BYTES];
    char model[TKR_COMMAND_MODEL_BYTES];
    char type[TKR_COMMAND_FRAME_TYPE_BYTES];
    char error[TKR_COMMAND_FRAME_TYPE_BYTES];
    char start[TKR_COMMAND_MOMENT_BYTES];
    char cycle[TKR_CYCLE_TEXT_BYTES];
    double ms = (double)tkr_command_frame_value(event, TKR_COUNTER_DURATION) / 1000;

    tkr_command_frame_accounts(event, accounts);
    tkr_command_frame_model(event, model);
    tkr_cycle_format(event->cycle, cycle);
    (void)printf("%-24s ", event->start_ns > 0 ? tkr_command_moment_ms(event->start_ns, start) : "");
    print_process(view);
    (void)printf(" %-9s %9" PRId64 " %9" PRId64 " %9" PRId64 " %9.1f %-12s %-10s %s %s\n",
                 tkr_command_frame_type((unsigned)event->type, type), tkr_command_frame_value(event, TKR_COUNTER_PROMPT),
                 tkr_command_frame_value(event, TKR_COUNTER_COMPLETION), tkr_command_frame_value(event, TKR_COUNTER_TOTAL), ms,
                 tkr_command_frame_error(event, error), cycle, model[0] != '\0' ? model : "-", accounts);
}

static bool enough(const struct showing *showing)
{
    return stop != 0 || (showing->count > 0 && showing->shown >= showing->count);
}

static void on_frame(void *arg, const struct tkr_view *view, const struct tkr_event *event)
{
    struct showing *showing = arg;

    if (enough(showing) || !wanted(showing, view, event))
        return;
    showing->shown++;
    if (showing->look.json)
        print_json(showing, tkr_command_frame_json(event), view);
    else
        print_text(view, event);
}

static void on_missed(void *arg, const struct tkr_view *view, uint64_t calls)
{
    struct showing *showing = arg;

    if (!region_wanted(showing, view) || (showing->count > 0 && showing->shown >= showing->count))
        return;
    if (showing->look.json) {
        print_json(showing, json_pack("{s:I}", "missed", (json_int_t)calls), view);
        return;
    }
    (void)printf("%-24s ", "missed");
    print_process(view);
    (void)printf(" %" PRIu64 " call%s: overwritten before they were read\n", calls, calls == 1 ? "" : "s");
}

static void on_refused(void *arg, const char *sentence)
{
    const struct showing *showing = arg;

    (void)tkr_command_failed(showing->command, "%s", sentence); /* of one region: the others go on */
}

/* --- the loop --- */

/* Is it time to look for regions? When something has been put into the directory, and now and then: its time is a coarse one. */
static bool time_to_look(struct showing *showing)
{
    int64_t now_ns = tkr_clock_monotonic_ns();
    struct stat status = {0};
    bool changed;

    (void)fstat(showing->tail.runtime, &status); /* of a descriptor that is open */
    changed = status.st_mtim.tv_sec != showing->changed.tv_sec || status.st_mtim.tv_nsec != showing->changed.tv_nsec;
    if (!changed && now_ns < showing->look_ns)
        return false;
    showing->changed = status.st_mtim;
    showing->look_ns = now_ns + LOOK_NS;
    return true;
}

/* One pass. 0, or TKR_COMMAND_FAILED. */
static int pass(struct showing *showing, const struct tkr_tail_told *told)
{
    tkr_message message;
    bool any;

    if (time_to_look(showing) && tkr_tail_look(&showing->tail, told, &message) != 0)
        return tkr_command_failed(showing->command, "%s", message.text);
    any = tkr_tail_read(&showing->tail, told);
    if (tkr_command_end(showing->command, TKR_COMMAND_OK) != TKR_COMMAND_OK)
        return TKR_COMMAND_FAILED;
    if (!any && !enough(showing))
        tkr_clock_sleep_ns(PAUSE_NS);
    return TKR_COMMAND_OK;
}

static int follow(struct showing *showing)
{
    const struct tkr_tail_told told = {.arg = showing, .frame = on_frame, .missed = on_missed, .refused = on_refused};
    int exit_code = TKR_COMMAND_OK;

    print_heading(showing);
    while (exit_code == TKR_COMMAND_OK && !enough(showing))
        exit_code = pass(showing, &told);
    if (exit_code == TKR_COMMAND_OK)
        tkr_tail_settle(&showing->tail, &told);
    (void)fprintf(stderr, "tokenring %s: %" PRId64 " shown; missed: %" PRIu64 "\n", showing->command, showing->shown,
                  showing->tail.missed);
    return tkr_command_end(showing->command, exit_code);
}

static int follow_in(struct showing *showing)
{
    struct tkr_folder folder;
    tkr_message message = {""};
    int exit_code;

    if (tkr_folder_open(showing->look.runtime_dir, &folder, &message) < 0 || folder.runtime < 0) {
        exit_code = tkr_command_failed(showing->command, "%s", message.text);
    } else {
        showing->tail.runtime = folder.runtime;
        exit_code = follow(showing);
    }
    tkr_tail_free(&showing->tail);
    tkr_folder_close(&folder);
    return exit_code;
}

/* Each region holds a descriptor. */
static void allow_many_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* if not, the regions beyond it are told as not readable */
}

static void catch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int tkr_command_tail(int argc, char **argv)
{
    struct showing showing = {.command = argv[0], .query = {.any_kind = 1}};
    int exit_code = tkr_command_parse(argc, argv, options, help, take_option, &showing);

    if (exit_code != -1)
        return exit_code;
    if (tkr_command_no_operand(argc, argv) != 0)
        return TKR_COMMAND_WRONG;
    if (!tkr_guard_install())
        return tkr_command_failed(argv[0], "the kernel lets nobody handle SIGBUS");
    allow_many_files();
    catch_signals();
    return follow_in(&showing);
}
