/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines that are said again and again. Of one line, the same to the byte but for its time, the first few within a window are let
 * through; those that follow are counted, and when the window is over one line tells how many they were. The window begins with the
 * line that is let through first.
 *
 * So many lines are kept in mind at once. When they are all being counted, others pass: nothing is left out that is not told of.
 *
 * Threads: the caller holds a lock.
 */
#ifndef TKR_BASE_LOG_REPEATS_H
#define TKR_BASE_LOG_REPEATS_H

#include "base/log_line.h"

#define TKR_LOG_REPEATS_MAX 32u
#define TKR_LOG_REPEATS_SAID 3u

struct tkr_log_repeats {
    int64_t window_ns;
    struct tkr_log_repeat {
        int64_t begin_ns; /* of its window */
        uint64_t more;    /* left out since */
        uint32_t said;    /* 0: nothing is kept here */
        uint32_t bytes;   /* of the body */
    } kept[TKR_LOG_REPEATS_MAX];
    struct tkr_log_body body[TKR_LOG_REPEATS_MAX];
};

/* May the line be written? false: it is counted. What is due (below) was taken before. */
bool tkr_log_repeats_take(struct tkr_log_repeats *repeats, const struct tkr_log_body *body, int64_t now_ns);

/*
 * Takes a line that has been left out and whose window is over, and how often and within how long; the body is valid until the next
 * call of any of these. NULL: there is none. With all set, the windows are not waited for.
 */
const struct tkr_log_body *tkr_log_repeats_due(struct tkr_log_repeats *repeats, int64_t now_ns, bool all,
                                               struct tkr_log_more *ret_more);

/* When something will be due; INT64_MAX: nothing is counted. */
int64_t tkr_log_repeats_next_ns(const struct tkr_log_repeats *repeats);

#endif
