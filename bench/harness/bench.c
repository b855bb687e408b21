/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/bench.h"

#include <getopt.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define REPEATS_DEFAULT 7
#define REPEATS_MIN 5
#define QUICK 10

enum form { TEXT, JSON, MARKDOWN };

static struct {
    const char *subject;
    const char *only; /* NULL: all cases */
    enum form form;
    bool bounds;
    bool quick;
    bool failed;
    bool table; /* a table's head is printed */
    unsigned repeats;
    cpu_set_t processors; /* when the process began */
} run;

static const char help[] = " [--json | --markdown] [--bounds] [--quick] [--case TEXT] [--repeats N]\n\n"
                           "  --json       one object a line\n"
                           "  --markdown   a table\n"
                           "  --bounds     only what is held to a bound; exit status 1 when any falls short\n"
                           "  --quick      a tenth of the work, 5 repeats\n"
                           "  --case TEXT  only cases whose name has TEXT in it\n"
                           "  --repeats N  of each case, 5..99; default 7\n";

/* --- printing --- */

static void print_json(json_t *object)
{
    (void)json_object_set_new(object, "bench", json_string(run.subject));
    (void)json_dumpf(object, stdout, JSON_COMPACT);
    (void)putchar('\n');
}

static void print_head(const char *columns)
{
    if (run.table)
        return;
    run.table = true;
    (void)printf("\n| %s |\n|", columns);
    for (const char *at = columns; at != NULL; at = strchr(at + 1, '|'))
        (void)fputs("---|", stdout);
    (void)putchar('\n');
}

/* Three digits that count. */
static const char *number(double value, char text[32])
{
    double size = value < 0 ? -value : value;

    (void)snprintf(text, 32, size >= 100 || value == 0 ? "%.0f" : size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : "%.3f", value);
    return text;
}

/* --- the circumstances --- */

/* The first line of what a command prints, or "". */
static const char *line_of(const char *command, char text[128])
{
    FILE *pipe = popen(command, "r");

    text[0] = '\0';
    if (pipe == NULL)
        return text;
    if (fgets(text, 128, pipe) == NULL)
        text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    (void)pclose(pipe);
    return text;
}

static void print_circumstances(int argc, char **argv)
{
    char commit[128];
    char processor[128];
    char arguments[512] = "";
    struct utsname system;
    json_t *circumstances;

    (void)uname(&system);
    (void)line_of("git -C '" BENCH_SOURCE_DIR "' describe --always --dirty 2> /dev/null", commit);
    (void)line_of("sed -n 's/^model name[^:]*: //p' /proc/cpuinfo", processor);
    for (int i = 1; i < argc; i++) {
        size_t at = strlen(arguments);
        (void)snprintf(arguments + at, sizeof(arguments) - at, "%s%s", i > 1 ? " " : "", argv[i]);
    }
    if (run.form == JSON) {
        circumstances = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i}", "commit", commit, "compiler", BENCH_COMPILER,
                                  "flags", BENCH_FLAGS, "processor", processor, "processors", (int)bench_processors(), "kernel",
                                  system.release, "arguments", arguments, "repeats", (int)run.repeats);
        print_json(json_pack("{s:o}", "circumstances", circumstances));
        return;
    }
    (void)printf("%s%s: commit %s, %s %s, %u x %s, Linux %s, %u repeats%s%s\n", run.form == MARKDOWN ? "\n" : "", run.subject,
                 commit[0] != '\0' ? commit : "unknown", BENCH_COMPILER, BENCH_FLAGS, bench_processors(), processor,
                 system.release, run.repeats, arguments[0] != '\0' ? "; " : "", arguments);
}

/* --- options --- */

static _Noreturn void wrong_usage(const char *program, int status)
{
    (void)fprintf(status == 0 ? stdout : stderr, "%s%s", program, help);
    exit(status);
}

static void take_option(int option, const char *program)
{
    switch (option) {
    case 'j':
        run.form = JSON;
        break;
    case 'm':
        run.form = MARKDOWN;
        break;
    case 'b':
        run.bounds = true;
        break;
    case 'q':
        run.quick = true;
        break;
    case 'c':
        run.only = optarg;
        break;
    case 'r':
        run.repeats = (unsigned)atoi(optarg);
        break;
    default:
        wrong_usage(program, option == 'h' ? 0 : 2);
    }
}

void bench_begin(int argc, char **argv, const char *subject)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},       {"markdown", no_argument, NULL, 'm'},
                                            {"bounds", no_argument, NULL, 'b'},     {"quick", no_argument, NULL, 'q'},
                                            {"case", required_argument, NULL, 'c'}, {"repeats", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int option;

    run.subject = subject;
    (void)sched_getaffinity(0, sizeof(run.processors), &run.processors);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(option, argv[0]);
    if (run.repeats == 0)
        run.repeats = run.quick ? REPEATS_MIN : REPEATS_DEFAULT;
    if (optind < argc || run.repeats < REPEATS_MIN || run.repeats > BENCH_REPEATS_MAX)
        wrong_usage(argv[0], 2);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    print_circumstances(argc, argv);
}

bool bench_wants(const char *name, bool bound)
{
    return (bound || !run.bounds) && (run.only == NULL || strstr(name, run.only) != NULL);
}

unsigned bench_repeats(void)
{
    return run.repeats;
}

uint64_t bench_work(uint64_t full)
{
    uint64_t work = run.quick ? full / QUICK : full;

    return work > 0 ? work : 1;
}

/* --- figures --- */

void bench_add(struct bench_series *series, double value)
{
    series->value[series->count++] = value;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct bench_series sorted(const struct bench_series *series)
{
    struct bench_series copy = *series;

    qsort(copy.value, copy.count, sizeof(copy.value[0]), compare);
    return copy;
}

double bench_median(const struct bench_series *series)
{
    struct bench_series in_order = sorted(series);
    unsigned half = in_order.count / 2;

    if (in_order.count == 0)
        return 0;
    return in_order.count % 2 == 1 ? in_order.value[half] : (in_order.value[half - 1] + in_order.value[half]) / 2;
}

struct bench_series bench_ratio(const struct bench_series *a, const struct bench_series *b)
{
    struct bench_series ratio = {.count = 0};

    for (unsigned i = 0; i < a->count && i < b->count; i++)
        bench_add(&ratio, b->value[i] != 0 ? a->value[i] / b->value[i] : 0);
    return ratio;
}

void bench_figure(const char *name, const char *metric, const char *unit, const struct bench_series *series)
{
    struct bench_series in_order = sorted(series);
    double median = bench_median(series);
    char texts[3][32];

    if (run.bounds || in_order.count == 0)
        return;
    if (run.form == JSON) {
        print_json(json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:i}", "case", name, "metric", metric, "unit", unit, "value", median,
                             "min", in_order.value[0], "max", in_order.value[in_order.count - 1], "n", (int)in_order.count));
        return;
    }
    (void)number(median, texts[0]);
    (void)number(in_order.value[0], texts[1]);
    (void)number(in_order.value[in_order.count - 1], texts[2]);
    if (run.form == MARKDOWN)
        print_head("case | metric | median | least | largest | unit");
    (void)printf(run.form == MARKDOWN ? "| %s | %s | %s | %s | %s | %s |\n" : "%-52s %-14s %10s  (%s .. %s) %s\n", name, metric,
                 texts[0], texts[1], texts[2], unit);
}

static void print_verdict(const char *name, const char *measured, const char *bound, const char *verdict)
{
    if (run.form == MARKDOWN)
        print_head("bound | measured | allowed | verdict");
    (void)printf(run.form == MARKDOWN ? "| %s | %s | %s | %s |\n" : "%-78s %10s  %-18s %s\n", name, measured, bound, verdict);
}

void bench_skipped(const char *name, const char *why)
{
    char text[160];

    if (run.form == JSON) {
        print_json(json_pack("{s:s, s:s, s:s}", "case", name, "verdict", "skipped", "reason", why));
        return;
    }
    (void)snprintf(text, sizeof(text), "skipped: %s", why);
    if (run.bounds)
        print_verdict(name, "", "", text);
    else if (run.form == MARKDOWN)
        (void)printf("| %s | %s | | | | |\n", name, text);
    else
        (void)printf("%-52s %s\n", name, text);
}

void bench_bound(const char *name, const struct bench_series *series, enum bench_sense sense, double bound)
{
    double measured = bench_median(series);
    bool holds = series->count > 0 && (sense == BENCH_AT_MOST ? measured <= bound : measured >= bound);
    const char *words = sense == BENCH_AT_MOST ? "at most" : "at least";
    char texts[2][32];
    char allowed[48];

    if (!run.bounds) { /* a figure like others */
        bench_figure(name, "against bound", words, series);
        return;
    }
    run.failed |= !holds;
    if (run.form == JSON) {
        print_json(json_pack("{s:s, s:f, s:s, s:f, s:s, s:i}", "case", name, "value", measured, "sense", words, "bound", bound,
                             "verdict", holds ? "holds" : "falls short", "n", (int)series->count));
        return;
    }
    (void)snprintf(allowed, sizeof(allowed), "%s %s", words, number(bound, texts[1]));
    print_verdict(name, number(measured, texts[0]), allowed, holds ? "holds" : "falls short");
}

int bench_wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)fprintf(stderr, "%s: wrong: ", run.subject);
    (void)vfprintf(stderr, format, arguments);
    (void)fputc('\n', stderr);
    va_end(arguments);
    run.failed = true;
    return -1;
}

int bench_end(void)
{
    return run.failed ? 1 : 0;
}

/* --- processors --- */

unsigned bench_processors(void)
{
    return (unsigned)CPU_COUNT(&run.processors);
}

void bench_pin_some(unsigned n, unsigned count)
{
    unsigned seen = 0;
    cpu_set_t some;

    CPU_ZERO(&some);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &run.processors) && seen++ >= n && seen <= n + count)
            CPU_SET(i, &some);
    }
    (void)sched_setaffinity(0, sizeof(some), &some); /* where the kernel does not allow it, we run unpinned */
}

void bench_pin(unsigned n)
{
    bench_pin_some(n % bench_processors(), 1);
}
