/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chaos_run: see --help. The system of chaos/world.h works while faults of chaos/faults.h fall on it at random; then, and at
 * times in between, every account must be what the gateways know (chaos/truth.h), to the token.
 *
 * In between means: the gateways hold still, everybody is brought back, and within a time limit Redis must come to the truth.
 * It would not do to look later only: what one fault breaks the next might hide.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chaos/cleaner.h"
#include "chaos/faults.h"
#include "chaos/operator.h"

#define CHECK_EVERY_DEFAULT 100
#define COME_TRUE_MS 100000 /* what is parked is tried again after 30 s */
#define LOOK_AFTER_MS 10000
#define STAY_TRUE_MS 1300 /* beyond the collector's look at whether Redis went back */
#define SNAPSHOT_EVERY 8
#define MS_PER_FAULT 2000 /* the most that a whole run takes, and */
#define MS_PER_CHECK 30000
#define MS_AT_ALL 180000
#define CALLS_PER_LONG 60 /* of CHAOS_LONG_STEPS steps are calls, or their ends */
#define HOLD_MS 3600000

struct run {
    uint64_t seed;
    uint64_t faults_max;
    uint64_t calls_max;
    uint64_t check_every;
    const char *bin_dir;
    FILE *log;
    bool hold;
    bool quiet;
    bool apart; /* place_enter went well */
    long begun_ms;
    struct faults faults;
    struct world world;
    struct truth_report report;
    uint64_t resent; /* contributions that were sent because the operator said so */
};

static const char help[] =
    "chaos_run [--seed N] [--faults N] [--calls N] [OPTION]...\n\n"
    "Lets gateways, a collector and two Redis do N calls while N faults fall on them, and compares every account with "
    "what\n"
    "the gateways know. Prints a line per fault and at last a JSON object: faults by kind, calls, lost, doubled, "
    "negative.\n\n"
    "  --seed N          the same faults again, as far as time allows; default: from the clock\n"
    "  --faults N        default 60\n"
    "  --calls N         at least so many; default 30000\n"
    "  --bin-dir DIR     where tokenringd and tokenring are; the gateway is in DIR/../tests\n"
    "  --check-every N   compare after so many faults too; default 100; 0: at the end only\n"
    "  --only KIND[,..]  only these faults; --except KIND[,..]: not these\n"
    "  --log FILE        faults, and what the collectors say\n"
    "  --quiet           no line per fault\n"
    "  --hold            at a difference, keep all as it is for an hour\n\n"
    "Exit status: 0 exact; 1 a difference, or somebody broke down; 2 wrong usage; 77 no redis-server.\n";

static int fail(struct run *run, const char *why)
{
    (void)fprintf(stderr, "%s\n", why);
    if (run->hold) {
        (void)printf("held: runtime %s, primary %s\n", run->world.place.runtime,
                     run->world.servers.server[run->world.servers.primary].socket);
        (void)fflush(stdout);
        process_sleep_ms(HOLD_MS);
    }
    return -1;
}

static void say(struct run *run, const char *what, const char *detail)
{
    long ms = process_now_ms() - run->begun_ms;

    if (!run->quiet)
        (void)printf("%8.3f  %-17s %s\n", (double)ms / 1000, what, detail);
    if (run->log != NULL)
        (void)fprintf(run->log, "%8.3f  %-17s %s\n", (double)ms / 1000, what, detail);
}

/* --- comparing --- */

/* Compares once. 1: exact, and the law holds; 0: not; -1: broken. */
static int compare(struct run *run, bool gone, bool verbose)
{
    const struct servers *servers = &run->world.servers;
    redisContext *redis = redis_server_context(&servers->server[servers->primary]);
    int result;

    if (redis == NULL)
        return 0; /* not yet */
    result = truth_compare(run->world.gateway, run->world.gateways, redis, verbose, &run->report);
    redisFree(redis);
    if (result != 0 || !truth_exact(&run->report))
        return 0;
    return world_settled(&run->world, gone);
}

/* Where a collector waits for the decision of an operator, makes it. */
static void look_after(struct run *run)
{
    const struct servers *servers = &run->world.servers;
    int resent = servers_answers(servers, servers->primary) ? operator_resend(&run->world) : 0;

    run->resent += resent > 0 ? (uint64_t)resent : 0;
}

/* Waits until all is as it must be. */
static int come_true(struct run *run, bool gone)
{
    long until = process_now_ms() + COME_TRUE_MS;
    long look_ms = process_now_ms() + LOOK_AFTER_MS;
    int result;

    while ((result = compare(run, gone, false)) == 0) {
        if (process_now_ms() > look_ms) {
            look_after(run);
            look_ms = process_now_ms() + LOOK_AFTER_MS;
        }
        if (process_now_ms() > until) {
            (void)compare(run, gone, true);
            world_complain(&run->world, "what the collector says:");
            return fail(run, "Redis does not come to what the gateways know");
        }
        if (world_wait(&run->world, 50) != 0)
            return fail(run, "broken down on the way to a comparison");
    }
    return result < 0 ? fail(run, "the law does not hold") : 0;
}

/* And whether it stays so. */
static int stay_true(struct run *run, bool gone)
{
    if (world_wait(&run->world, STAY_TRUE_MS) != 0)
        return fail(run, "broken down after a comparison");
    if (compare(run, gone, false) == 1)
        return 0;
    (void)compare(run, gone, true);
    return fail(run, "what was exact did not stay so");
}

static int check(struct run *run)
{
    char detail[FAULT_DETAIL_BYTES];
    long since = process_now_ms();

    if (world_pause(&run->world) != 0 || world_heal(&run->world) != 0)
        return fail(run, "cannot be brought back");
    if (come_true(run, false) != 0 || stay_true(run, false) != 0)
        return -1;
    (void)snprintf(detail, sizeof(detail), "exact after %ld ms: %" PRIu64 " calls, %" PRIu64 " accounts",
                   process_now_ms() - since, run->report.calls, run->report.accounts);
    say(run, "check", detail);
    world_resume(&run->world);
    return 0;
}

/* --- the run --- */

static void allow_steps(struct run *run, uint64_t calls)
{
    uint64_t steps = calls / CALLS_PER_LONG * CHAOS_LONG_STEPS + CHAOS_LONG_STEPS;

    if (atomic_load(&run->world.control->allowed) < steps)
        atomic_store(&run->world.control->allowed, steps); /* only we write it */
}

/* Mostly short, at times long enough for all to be well again. */
static int pause_ms(struct faults *faults)
{
    uint64_t dice = test_random_below(&faults->random, 100);

    if (dice < 60)
        return (int)test_random_below(&faults->random, 60);
    if (dice < 95)
        return (int)test_random_below(&faults->random, 300);
    return (int)test_random_below(&faults->random, 1500);
}

static int one_fault(struct run *run, uint64_t number)
{
    char detail[FAULT_DETAIL_BYTES];
    enum fault fault;

    allow_steps(run, run->calls_max * (number + 1) / run->faults_max);
    if (number % SNAPSHOT_EVERY == SNAPSHOT_EVERY / 2 && servers_answers(&run->world.servers, run->world.servers.primary))
        (void)servers_snapshot(&run->world.servers); /* it may be loading: then later */
    if (world_wait(&run->world, pause_ms(&run->faults)) != 0)
        return fail(run, "broken down");
    while (faults_do(&run->faults, &fault, detail) != 0) {
        if (world_wait(&run->world, 20) != 0)
            return fail(run, "broken down");
    }
    say(run, fault_name(fault), detail);
    return run->faults.rest_ms > 0 && world_wait(&run->world, run->faults.rest_ms) != 0 ? fail(run, "broken down") : 0;
}

static long limit_ms(const struct run *run)
{
    uint64_t checks = run->check_every > 0 ? run->faults_max / run->check_every : 0;

    return (long)(MS_AT_ALL + run->faults_max * MS_PER_FAULT + checks * MS_PER_CHECK + run->calls_max / 2);
}

static int do_faults(struct run *run)
{
    for (uint64_t i = 0; i < run->faults_max; i++) {
        if (one_fault(run, i) != 0)
            return -1;
        if (run->check_every > 0 && (i + 1) % run->check_every == 0 && i + 1 < run->faults_max && check(run) != 0)
            return -1;
        if (process_now_ms() - run->begun_ms > limit_ms(run))
            return fail(run, "takes too long");
    }
    return 0;
}

/* The calls that are still missing, then everybody ends in order. */
static int finish(struct run *run)
{
    struct world *world = &run->world;

    if (world_heal(world) != 0)
        return fail(run, "cannot be brought back");
    while (truth_calls_finished(world->gateway, world->gateways) < run->calls_max) {
        (void)atomic_fetch_add(&world->control->allowed, CHAOS_LONG_STEPS);
        if (world_wait(world, 3) != 0)
            return fail(run, "broken down");
        if (process_now_ms() - run->begun_ms > limit_ms(run))
            return fail(run, "takes too long");
    }
    if (world_gateways_end(world) != 0)
        return fail(run, "gateways do not end");
    if (come_true(run, true) != 0 || stay_true(run, true) != 0 || world_collector_end(world) != 0)
        return -1;
    if (compare(run, true, true) != 1)
        return fail(run, "the collector left something wrong");
    return 0;
}

static void print_result(const struct run *run, bool exact)
{
    const struct truth_report *report = &run->report;
    const char *comma = "";
    uint64_t total = 0;

    (void)printf("{\"seed\": %" PRIu64 ", \"exact\": %s, \"faults\": {", run->seed, exact ? "true" : "false");
    for (int i = 0; i < FAULT_KINDS; i++) {
        total += run->faults.count[i];
        (void)printf("%s\"%s\": %" PRIu64, comma, fault_name((enum fault)i), run->faults.count[i]);
        comma = ", ";
    }
    (void)printf("}, \"faults_total\": %" PRIu64 ", \"calls\": %" PRIu64 ", \"settled\": %" PRIu64 ", \"interrupted\": %" PRIu64
                 ", \"interrupted_counted\": %" PRIu64 ", \"interrupted_settled\": %" PRIu64
                 ", \"interrupted_not_counted\": %" PRIu64 ", \"accounts\": %" PRIu64,
                 total, report->calls, report->settled, report->interrupted, report->wholly, report->partly, report->nothing,
                 report->accounts);
    (void)printf(", \"resent_by_choice\": %" PRIu64 ", \"lost\": %" PRId64 ", \"doubled\": %" PRId64 ", \"negative\": %" PRIu64
                 ", \"differences\": %" PRIu64 ", \"seconds\": %ld}\n",
                 run->resent, report->lost, report->doubled, report->negative, report->differences + report->strangers,
                 (process_now_ms() - run->begun_ms) / 1000);
}

static int do_run(struct run *run)
{
    /* Each fault kills one gateway at most. */
    uint32_t gateways_max = (uint32_t)run->faults_max + WORLD_SEATS;
    int result;

    (void)printf("seed %" PRIu64 "\n", run->seed);
    run->begun_ms = process_now_ms();
    run->faults.world = &run->world;
    run->faults.random.state = run->seed;
    result = world_start(&run->world, run->bin_dir, run->apart, gateways_max, run->log);
    for (int i = 0; i < SERVERS; i++)
        cleaner_note(run->world.servers.server[i].dir);
    cleaner_note(run->world.servers.dir);
    cleaner_note(run->world.place.runtime);
    cleaner_note(run->world.state);
    if (result == 0)
        result = do_faults(run);
    if (result == 0)
        result = finish(run);
    world_end(&run->world);
    print_result(run, result == 0);
    return result == 0 ? 0 : 1;
}

/* --- arguments --- */

static bool number(const char *text, uint64_t *ret_number)
{
    char *end;

    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *text != '-';
}

/* Marks the kinds of a list. false: a name is unknown. */
static bool mark(struct faults *faults, char *list, bool allowed)
{
    for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
        enum fault fault = fault_find(name);
        if (fault == FAULT_KINDS)
            return false;
        faults->allowed[fault] = allowed;
    }
    return true;
}

static bool any_allowed(const struct faults *faults)
{
    bool any = false;

    for (int i = 0; i < FAULT_KINDS; i++)
        any |= faults->allowed[i];
    return any;
}

static void allow_all(struct faults *faults, bool allowed)
{
    for (int i = 0; i < FAULT_KINDS; i++)
        faults->allowed[i] = allowed;
}

enum {
    OPTION_SEED = 256,
    OPTION_FAULTS,
    OPTION_CALLS,
    OPTION_BIN_DIR,
    OPTION_CHECK,
    OPTION_ONLY,
    OPTION_EXCEPT,
    OPTION_LOG,
    OPTION_QUIET,
    OPTION_HOLD,
    OPTION_HELP
};

static bool take_option(struct run *run, int option)
{
    switch (option) {
    case OPTION_SEED:
        return number(optarg, &run->seed);
    case OPTION_FAULTS:
        return number(optarg, &run->faults_max) && run->faults_max > 0 && run->faults_max <= 10000000;
    case OPTION_CALLS:
        return number(optarg, &run->calls_max);
    case OPTION_BIN_DIR:
        run->bin_dir = optarg;
        return true;
    case OPTION_CHECK:
        return number(optarg, &run->check_every);
    case OPTION_ONLY:
        allow_all(&run->faults, false);
        return mark(&run->faults, optarg, true);
    case OPTION_EXCEPT:
        return mark(&run->faults, optarg, false);
    case OPTION_LOG:
        run->log = fopen(optarg, "we");
        return run->log != NULL;
    case OPTION_QUIET:
        run->quiet = true;
        return true;
    case OPTION_HOLD:
        run->hold = true;
        return true;
    default:
        return false;
    }
}

static const struct option options[] = {{"seed", required_argument, NULL, OPTION_SEED},
                                        {"faults", required_argument, NULL, OPTION_FAULTS},
                                        {"calls", required_argument, NULL, OPTION_CALLS},
                                        {"bin-dir", required_argument, NULL, OPTION_BIN_DIR},
                                        {"check-every", required_argument, NULL, OPTION_CHECK},
                                        {"only", required_argument, NULL, OPTION_ONLY},
                                        {"except", required_argument, NULL, OPTION_EXCEPT},
                                        {"log", required_argument, NULL, OPTION_LOG},
                                        {"quiet", no_argument, NULL, OPTION_QUIET},
                                        {"hold", no_argument, NULL, OPTION_HOLD},
                                        {"help", no_argument, NULL, OPTION_HELP},
                                        {NULL, 0, NULL, 0}};

int main(int argc, char **argv)
{
    static struct run run;
    int option;

    run.seed = (uint64_t)process_now_ms();
    run.faults_max = 60;
    run.calls_max = 30000;
    run.check_every = CHECK_EVERY_DEFAULT;
    run.bin_dir = TEST_BIN_DIR;
    allow_all(&run.faults, true);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            (void)fputs(help, stdout);
            return 0;
        }
        if (!take_option(&run, option)) {
            (void)fputs(help, stderr);
            return 2;
        }
    }
    if (optind < argc || !any_allowed(&run.faults)) {
        (void)fputs(help, stderr);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    redis_server_require();
    if (cleaner_start() != 0) { /* it sees no file systems of our own, and removes what they lie on */
        perror("chaos_run");
        return 1;
    }
    run.apart = place_enter() == 0;
    if (!run.apart)
        (void)printf("no tmpfs is filled and no resolver silenced: namespaces are not allowed here: %s\n", strerror(errno));
    return do_run(&run);
}
