/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every bench does alike: options, the circumstances, repeats, figures as text, JSON or Markdown, and bounds.
 *
 *     bench_SUBJECT [--json | --markdown] [--bounds] [--quick] [--case TEXT] [--repeats N]
 *
 *   --bounds   only what is held to a bound; exit status 1 when any falls short
 *   --quick    a tenth of the work: does it run?
 *   --case     only cases whose name has the text in it
 *   --repeats  of each case, 5..99; default 7
 *
 * A figure is the median of the repeats, with the least and the largest. What is compared is measured in turn, A B A B...,
 * and the ratio is the median of the ratios pair by pair: so it holds while the machine's speed drifts. A bench that cannot
 * account for every event it made calls bench_wrong: no figure is printed of it, and the exit status is 1.
 *
 * Threads: one.
 */
#ifndef BENCH_HARNESS_BENCH_H
#define BENCH_HARNESS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_REPEATS_MAX 99

/* Values of the repeats of one case. */
struct bench_series {
    double value[BENCH_REPEATS_MAX];
    unsigned count;
};

enum bench_sense { BENCH_AT_MOST, BENCH_AT_LEAST };

/* Takes the options, ends the process on wrong ones or --help; prints the circumstances. */
void bench_begin(int argc, char **argv, const char *subject);

/* Is the case asked for? bound: it is held to one, or another that is compares with it. */
bool bench_wants(const char *name, bool bound);

unsigned bench_repeats(void);

/* So much work, or a tenth with --quick; at least 1. */
uint64_t bench_work(uint64_t full);

void bench_add(struct bench_series *series, double value);
double bench_median(const struct bench_series *series);

/* The ratios a/b pair by pair; both have as many values. */
struct bench_series bench_ratio(const struct bench_series *a, const struct bench_series *b);

/* Prints the figure of a case; with --bounds nothing. */
void bench_figure(const char *name, const char *metric, const char *unit, const struct bench_series *series);

/* A case that cannot run, and why: the package that is missing. Also the bound that it was needed for. */
void bench_skipped(const char *name, const char *why);

/* Compares the median with what is promised. name says what of what. */
void bench_bound(const char *name, const struct bench_series *series, enum bench_sense sense, double bound);

/* The figures do not add up: says so. The exit status will be 1. Use: if (sum != expected) return bench_wrong(...). */
int bench_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The exit status of the process. */
int bench_end(void);

/* Pins the calling thread to the n-th processor that the process may use, modulo their number; as far as the kernel allows. */
void bench_pin(unsigned n);

/* Lets the calling thread, and the processes that it starts, use `count` processors from the n-th on. */
void bench_pin_some(unsigned n, unsigned count);

/* Processors that the process may use. */
unsigned bench_processors(void);

#endif
