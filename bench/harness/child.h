/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that works on request and times itself: it says "ready", then answers each line by a line. What a bench asks for so is
 * not in the bench's own process, for its library starts threads there, or it is another language.
 *
 * Threads: one.
 */
#ifndef BENCH_HARNESS_CHILD_H
#define BENCH_HARNESS_CHILD_H

#include <stdio.h>
#include <sys/types.h>

struct bench_child {
    pid_t pid;
    FILE *to;
    FILE *from;
};

struct bench_child_options {
    const char *const *argv; /* argv[0] is a path */
    const char *const *env;  /* NAME=VALUE, set besides what is there; NULL at the end */
    unsigned processor;      /* that it is pinned to */
    uid_t user;              /* 0: as we are */
};

/* Starts it and waits for "ready". 0, or -1 after bench_wrong. */
int bench_child_start(struct bench_child *child, const struct bench_child_options *options);

/* Sends a line, returns the number that answers it; negative after bench_wrong. */
double bench_child_ask(struct bench_child *child, const char *line);

/* Kills it. Accepts a zeroed structure and a second call. */
void bench_child_end(struct bench_child *child);

#endif
