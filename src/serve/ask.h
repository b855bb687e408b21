/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question to the API, which may take its time: what is asked, and the answer. Who answers is a route's business
 * (struct tkr_route), on a thread of its own (serve/answerer.h).
 *
 * Threads: one at a time.
 */
#ifndef TKR_SERVE_ASK_H
#define TKR_SERVE_ASK_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/settings.h"

#define TKR_ASK_OPERAND_MAX 255u
#define TKR_ASK_PARAMETERS_MAX 8u
#define TKR_ASK_VALUE_BYTES 64u

struct tkr_ask;

/* What can be asked: GET path, or path/OPERAND, with parameters of these names. */
struct tkr_route {
    const char *path;
    bool takes_operand;
    const char *const *parameters; /* names, the last one NULL; at most TKR_ASK_PARAMETERS_MAX */
    /* Answers: a new object; or NULL where tkr_ask_refuse has said why, or for want of memory. */
    json_t *(*answer)(struct tkr_ask *ask, void *argument);
};

struct tkr_ask {
    const struct tkr_route *route;
    char operand[TKR_ASK_OPERAND_MAX + 1]; /* any bytes, with a NUL behind */
    uint32_t operand_len;                  /* 0: none */
    bool given[TKR_ASK_PARAMETERS_MAX];    /* by the route's names */
    char value[TKR_ASK_PARAMETERS_MAX][TKR_ASK_VALUE_BYTES];
    unsigned status; /* of HTTP: 200, or why not */
    tkr_message why; /* then */
    const atomic_bool *stop;
    int64_t until_ns; /* monotonic: it is given up then */
};

/*
 * Understands the path behind the route's, "" or "/OPERAND", with its %HH. 0, or -1: refused. The route's parameters follow, each
 * name once: 0, or -1 likewise; value NULL is none.
 */
int tkr_ask_operand(struct tkr_ask *ask, const char *rest);
int tkr_ask_parameter(struct tkr_ask *ask, const char *name, const char *value);

/* The value of a parameter; NULL: it was not given. */
const char *tkr_ask_value(const struct tkr_ask *ask, const char *name);

/* Reads a parameter, if it was given, as min..max, or as 0 or 1. 0, or -1: refused. */
int tkr_ask_integer(struct tkr_ask *ask, const char *name, int64_t min, int64_t max, int64_t *value);
int tkr_ask_flag(struct tkr_ask *ask, const char *name, bool *value);

/* Says why there is no answer, with a status of HTTP. Always -1. */
int tkr_ask_refuse(struct tkr_ask *ask, unsigned status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Is an answer of no use any more, because it took too long or the collector ends? As an argument of what may ask often. */
bool tkr_ask_given_up(void *ask);

#endif
