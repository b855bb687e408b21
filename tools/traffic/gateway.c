/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/gateway.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "traffic/producer.h"

#define WATCH_MS 10 /* between two looks at the children */

/* What the parent holds while it runs. */
struct gateway {
    const struct tkr_gateway_config *config;
    struct tkr_gateway_shared *shared;
    size_t shared_bytes;
    uint32_t running;
    pid_t pid[TKR_GATEWAY_PRODUCERS_MAX];   /* 0: ended and collected */
    bool died[TKR_GATEWAY_PRODUCERS_MAX];   /* by a signal: its tally may be short */
    bool killed[TKR_GATEWAY_PRODUCERS_MAX]; /* by us */
    struct sigaction old_int;
    struct sigaction old_term;
};

static _Atomic uint32_t *stop_flag; /* for the signal handler: of the one run that is under way */

static void on_signal(int number)
{
    (void)number;
    atomic_store_explicit(stop_flag, 1, memory_order_relaxed);
}

static void catch_signals(struct gateway *gateway)
{
    struct sigaction action = {.sa_handler = on_signal};

    stop_flag = &gateway->shared->stop;
    (void)sigaction(SIGINT, &action, &gateway->old_int); /* these signals can be caught */
    (void)sigaction(SIGTERM, &action, &gateway->old_term);
}

static void release_signals(const struct gateway *gateway)
{
    (void)sigaction(SIGINT, &gateway->old_int, NULL);
    (void)sigaction(SIGTERM, &gateway->old_term, NULL);
}

/* The child's whole life. A signal from the terminal is the parent's to judge; `stop` ends the child. */
static _Noreturn void live_as_child(const struct gateway *gateway, uint32_t index, pid_t parent)
{
    int status = 1;

    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_DFL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent) /* else it has gone already */
        status = tkr_gateway_produce(gateway->config, gateway->shared, index);
    _exit(status);
}

/* Ends and collects what has been started; for a run that cannot be. */
static void kill_children(struct gateway *gateway)
{
    for (uint32_t i = 0; i < gateway->config->producer_count; i++) {
        if (gateway->pid[i] > 0) {
            (void)kill(gateway->pid[i], SIGKILL);
            (void)waitpid(gateway->pid[i], NULL, 0);
        }
    }
}

static int start_children(struct gateway *gateway, tkr_message *ret_message)
{
    pid_t parent = getpid();

    for (uint32_t i = 0; i < gateway->config->producer_count; i++) {
        pid_t pid = fork();

        if (pid == 0)
            live_as_child(gateway, i, parent);
        if (pid < 0) {
            int error = errno;

            kill_children(gateway);
            return tkr_message_set(ret_message, "cannot start producer %" PRIu32 ": %s", i + 1, strerror(error));
        }
        gateway->pid[i] = pid;
        gateway->running++;
    }
    return 0;
}

static void report_failed(struct tkr_gateway_report *report, uint32_t index, const char *what, const char *why)
{
    (void)tkr_message_set(&report->failed[report->failed_count++], "producer %" PRIu32 " %s: %s", index + 1, what, why);
}

static void note_end(struct gateway *gateway, uint32_t index, int status, struct tkr_gateway_report *report)
{
    const struct tkr_gateway_child *child = &gateway->shared->child[index];
    int open_code = atomic_load_explicit(&child->open_code, memory_order_relaxed);
    int sync_code = atomic_load_explicit(&child->sync_code, memory_order_relaxed);

    gateway->pid[index] = 0;
    gateway->running--;
    if (WIFSIGNALED(status)) {
        gateway->died[index] = true;
        if (gateway->killed[index])
            report->killed_count++;
        else
            report_failed(report, index, "was killed", strsignal(WTERMSIG(status)));
    } else if (open_code != TKR_OK) {
        report_failed(report, index, "could not be opened",
                      child->open_error[0] != '\0' ? child->open_error : tkr_strerror(open_code));
    } else if (sync_code != TKR_OK) {
        report_failed(report, index, "did not see all of its calls counted", tkr_strerror(sync_code));
    } else if (WEXITSTATUS(status) != 0) {
        report_failed(report, index, "ended early", "it failed before its calls");
    }
}

/* Collects the children that have ended. */
static void collect_ended(struct gateway *gateway, struct tkr_gateway_report *report)
{
    for (uint32_t i = 0; i < gateway->config->producer_count; i++) {
        int status;

        if (gateway->pid[i] > 0 && waitpid(gateway->pid[i], &status, WNOHANG) == gateway->pid[i])
            note_end(gateway, i, status, report);
    }
}

static void nap(void)
{
    struct timespec time = {.tv_nsec = WATCH_MS * TKR_NS_PER_MS};

    (void)nanosleep(&time, NULL);
}

/* Gives the start once every child is ready; ends the run when one has failed before. */
static void give_go(struct gateway *gateway, struct tkr_gateway_report *report)
{
    struct tkr_gateway_shared *shared = gateway->shared;

    while (atomic_load_explicit(&shared->ready, memory_order_relaxed) < gateway->config->producer_count) {
        if (report->failed_count > 0 || atomic_load_explicit(&shared->stop, memory_order_relaxed) != 0) {
            atomic_store_explicit(&shared->stop, 1, memory_order_relaxed);
            return;
        }
        nap();
        collect_ended(gateway, report);
    }
    atomic_store_explicit(&shared->go_ns, tkr_clock_monotonic_ns(), memory_order_release);
}

/* At half time, those that config wants to be killed: in the midst of their calls. */
static void kill_doomed(struct gateway *gateway)
{
    const struct tkr_gateway_config *config = gateway->config;

    if (atomic_load_explicit(&gateway->shared->done, memory_order_relaxed) < config->call_count / 2)
        return;
    for (uint32_t i = 0; i < config->kill_count; i++) {
        if (gateway->pid[i] > 0 && !gateway->killed[i])
            gateway->killed[i] = kill(gateway->pid[i], SIGKILL) == 0;
    }
}

static void watch(struct gateway *gateway, struct tkr_gateway_report *report)
{
    const struct tkr_gateway_config *config = gateway->config;
    struct tkr_gateway_shared *shared = gateway->shared;
    int64_t go_ns;

    give_go(gateway, report);
    while (gateway->running > 0) {
        nap();
        kill_doomed(gateway);
        collect_ended(gateway, report);
        if (config->progress != NULL)
            config->progress(atomic_load_explicit(&shared->done, memory_order_relaxed), config->call_count);
    }
    go_ns = atomic_load_explicit(&shared->go_ns, memory_order_relaxed);
    report->elapsed_ns = go_ns == 0 ? 0 : (uint64_t)(tkr_clock_monotonic_ns() - go_ns);
}

/* What a child that was to be killed made, up to the call that it was making. */
static void tally_doomed(const struct gateway *gateway, uint32_t index, struct tkr_gateway_report *report)
{
    const struct tkr_gateway_config *config = gateway->config;
    const struct tkr_gateway_child *child = &gateway->shared->child[index];
    uint64_t begun = atomic_load_explicit(&child->begun, memory_order_relaxed);
    uint64_t made = atomic_load_explicit(&child->made, memory_order_relaxed);
    int code = atomic_load_explicit(&child->failed_code, memory_order_relaxed);
    struct tkr_traffic_call call;

    for (uint64_t i = 0; i < made; i++) {
        config->source(config->source_arg, index + i * config->producer_count, &call);
        tkr_gateway_sum_add(&gateway->shared->user[call.user], &call);
    }
    if (code != TKR_OK)
        report_failed(report, index, "was to be killed, but not all of its calls were accepted", tkr_strerror(code));
    else if (begun > made)
        config->source(config->source_arg, index + made * config->producer_count,
                       &report->interrupted[report->interrupted_count++]);
}

static void sum_users(const struct gateway *gateway, struct tkr_gateway_report *report)
{
    for (uint32_t i = 0; i < gateway->config->users->count; i++) {
        const struct tkr_gateway_sum *sum = &gateway->shared->user[i];
        struct tkr_gateway_tally *user = &report->user[i];

        user->calls = atomic_load_explicit(&sum->calls, memory_order_relaxed);
        user->prompt_tokens = atomic_load_explicit(&sum->prompt_tokens, memory_order_relaxed);
        user->completion_tokens = atomic_load_explicit(&sum->completion_tokens, memory_order_relaxed);
        user->total_tokens = user->prompt_tokens + user->completion_tokens;
        report->all.calls += user->calls;
        report->all.prompt_tokens += user->prompt_tokens;
        report->all.completion_tokens += user->completion_tokens;
        report->all.total_tokens += user->total_tokens;
    }
}

static void sum_codes(const struct gateway *gateway, struct tkr_gateway_report *report, uint64_t *ret_all)
{
    *ret_all = 0;
    for (int i = 0; i < TKR_RESULT_COUNT; i++) {
        report->refused[i] = atomic_load_explicit(&gateway->shared->refused[i], memory_order_relaxed);
        report->dropped[i] = atomic_load_explicit(&gateway->shared->dropped[i], memory_order_relaxed);
        *ret_all += report->refused[i] + report->dropped[i];
    }
}

/* What each process that ended by itself counted is what the library counted. */
static int check_children(const struct gateway *gateway, tkr_message *ret_message)
{
    for (uint32_t i = 0; i < gateway->config->producer_count; i++) {
        const struct tkr_gateway_child *child = &gateway->shared->child[i];
        uint64_t offered = atomic_load_explicit(&child->offered, memory_order_relaxed);
        uint64_t stat_offered = atomic_load_explicit(&child->stat_offered, memory_order_relaxed);

        if (!gateway->died[i] && offered != stat_offered)
            return tkr_message_set(ret_message, "producer %" PRIu32 " offered %" PRIu64 " calls, the library counted %" PRIu64,
                                   i + 1, offered, stat_offered);
    }
    return 0;
}

static bool any_died(const struct gateway *gateway)
{
    for (uint32_t i = 0; i < gateway->config->producer_count; i++) {
        if (gateway->died[i])
            return true;
    }
    return false;
}

/* Sums the tally, and believes it only when every call made is accounted for. */
static int sum_up(const struct gateway *gateway, struct tkr_gateway_report *report, tkr_message *ret_message)
{
    uint64_t done = atomic_load_explicit(&gateway->shared->done, memory_order_relaxed);
    uint64_t failed;

    report->stopped = atomic_load_explicit(&gateway->shared->stop, memory_order_relaxed) != 0;
    report->record_ns = tkr_cost_median_ns(&gateway->shared->record_cost);
    report->open_call_ns = tkr_cost_median_ns(&gateway->shared->open_call_cost);
    for (uint32_t i = 0; i < gateway->config->kill_count; i++)
        tally_doomed(gateway, i, report);
    sum_users(gateway, report);
    sum_codes(gateway, report, &failed);
    if (any_died(gateway))
        return check_children(gateway, ret_message);
    if (report->all.calls + failed != done ||
        (report->failed_count == 0 && !report->stopped && done != gateway->config->call_count))
        return tkr_message_set(ret_message, "%" PRIu64 " of %" PRIu64 " calls were made, but %" PRIu64 " are accounted for", done,
                               gateway->config->call_count, report->all.calls + failed);
    return check_children(gateway, ret_message);
}

static int map_shared(struct gateway *gateway, tkr_message *ret_message)
{
    size_t bytes = sizeof(*gateway->shared) + gateway->config->users->count * sizeof(gateway->shared->user[0]);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return tkr_message_set(ret_message, "no memory for the figures of %" PRIu32 " users: %s", gateway->config->users->count,
                               strerror(errno));
    gateway->shared = at;
    gateway->shared_bytes = bytes;
    return 0;
}

static int run(struct gateway *gateway, struct tkr_gateway_report *report, tkr_message *ret_message)
{
    int result;

    catch_signals(gateway);
    result = start_children(gateway, ret_message);
    if (result == 0) {
        watch(gateway, report);
        result = sum_up(gateway, report, ret_message);
    }
    release_signals(gateway);
    return result;
}

int tkr_gateway_run(const struct tkr_gateway_config *config, struct tkr_gateway_report *ret_report, tkr_message *ret_message)
{
    struct gateway gateway = {.config = config};
    struct tkr_gateway_report report = {.all = {0}};
    int result;

    report.user = calloc((size_t)config->users->count + 1, sizeof(*report.user));
    if (report.user == NULL)
        return tkr_message_set(ret_message, "no memory for the figures of %" PRIu32 " users", config->users->count);
    if (map_shared(&gateway, ret_message) != 0) {
        tkr_gateway_report_free(&report);
        return -1;
    }
    result = run(&gateway, &report, ret_message);
    (void)munmap(gateway.shared, gateway.shared_bytes); /* it is mapped */
    if (result == 0)
        *ret_report = report;
    else
        tkr_gateway_report_free(&report);
    return result;
}

void tkr_gateway_report_free(struct tkr_gateway_report *report)
{
    free(report->user);
    report->user = NULL;
}
