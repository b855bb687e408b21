/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway of several real producer processes that make a list of calls and say what the library accepted: the truth
 * that totals are reconciled against.
 *
 * Call number n is made by process n modulo the number of processes, so that any number of them sums to the whole. Half
 * of a process's calls are recorded in one shot, half are begun, progress is told, and ended.
 *
 *     parent                        children (fork; each opens a producer of its own)
 *     map `shared`, fork  --------> tkr_open, ready++
 *     all ready: go_ns = now  ----> calls, tally into shared; tkr_sync when asked; tkr_close
 *     wait, watch, sum    <-------- exit
 *
 * The tally is added up in shared memory after each batch of at most 128 calls: a process that is killed from outside may
 * have made up to one batch that the tally does not have, and is reported. Children die with the parent.
 *
 * Processes that are to be killed half way, by config, say before and after each call how far they are; the parent tallies
 * for them, and knows the one call that each was making, which may count wholly, in part or not at all.
 */
#ifndef TOOLS_TRAFFIC_GATEWAY_H
#define TOOLS_TRAFFIC_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/errors.h"
#include "base/settings.h"
#include "traffic/names.h"

#define TKR_GATEWAY_PRODUCERS_MAX 64

struct tkr_traffic_call {
    int64_t start_ns; /* Unix time; 0: when it is made */
    int64_t due_ns;   /* when to make it, after the start of the run; 0: at once */
    int64_t prompt_tokens;
    int64_t completion_tokens;
    uint32_t user;  /* number in the users' names */
    uint32_t model; /* number in the models' names plus 1; 0: not told */
};

/* Gives call number n; the same answer whenever and in whichever process it is asked. */
typedef void tkr_traffic_source(const void *arg, uint64_t n, struct tkr_traffic_call *ret_call);

struct tkr_gateway_config {
    const char *runtime_dir;  /* NULL: the library's default */
    uint32_t producer_count;  /* 1..TKR_GATEWAY_PRODUCERS_MAX */
    uint32_t kill_count;      /* 0..producer_count: so many are killed by SIGKILL when half of all calls are made */
    uint32_t sync_timeout_ms; /* 0: processes do not wait for the collector */
    uint64_t call_count;
    tkr_traffic_source *source;
    const void *source_arg;
    const struct tkr_traffic_names *users;
    const struct tkr_traffic_names *models;
    void (*progress)(uint64_t done, uint64_t all); /* called now and then in the parent; may be NULL */
};

/* Calls that the library accepted, and their tokens. */
struct tkr_gateway_tally {
    uint64_t calls;
    uint64_t prompt_tokens;
    uint64_t completion_tokens;
    uint64_t total_tokens;
};

struct tkr_gateway_report {
    struct tkr_gateway_tally all;
    struct tkr_gateway_tally *user;     /* one for each of the users' names */
    uint64_t refused[TKR_RESULT_COUNT]; /* calls by -code: answered with an error, nowhere counted */
    uint64_t dropped[TKR_RESULT_COUNT]; /* calls by -code: counted by the library as dropped */
    uint64_t elapsed_ns;                /* from the start of the calls to the end of the last process */
    double record_ns;                   /* median cost of tkr_record, ns per call; negative: too few calls */
    double open_call_ns;                /* the same of tkr_call_begin + tkr_call_progress + tkr_call_end */
    bool stopped;                       /* cut short by SIGINT or SIGTERM: the figures are those until then */
    uint32_t killed_count;              /* processes killed as config wants it */
    uint32_t interrupted_count;         /* calls that they were making */
    struct tkr_traffic_call interrupted[TKR_GATEWAY_PRODUCERS_MAX];
    uint32_t failed_count;                         /* processes that did not do their work */
    tkr_message failed[TKR_GATEWAY_PRODUCERS_MAX]; /* [0..failed_count): which, and why */
};

/*
 * Runs the calls. 0 with the report, also when processes failed; the caller frees it by tkr_gateway_report_free. Or -1
 * with the reason: no memory, no process, or figures that do not agree with each other, which must not be believed.
 * Catches SIGINT and SIGTERM while it runs; one thread of a process at a time.
 */
int tkr_gateway_run(const struct tkr_gateway_config *config, struct tkr_gateway_report *ret_report, tkr_message *ret_message);

void tkr_gateway_report_free(struct tkr_gateway_report *report);

#endif
