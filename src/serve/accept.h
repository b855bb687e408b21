/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Accept header (RFC 9110, 12.5.1): which of the two forms of /metrics a client prefers.
 *
 * A header is a list of media ranges with a quality. Of all ranges that match a form, the most specific one decides: a subtype
 * with parameters, a subtype, a type with any subtype, any type; of equally specific ones the highest quality. A parameter that
 * the form's Content-Type has too (version, charset) must have the same value; others, such as Prometheus' escaping, do not
 * matter. Types, names and values are compared without regard to case. A member of the list that breaks the grammar is ignored,
 * and so is a header that allows neither form: the answer is then text.
 *
 * Threads: one at a time.
 */
#ifndef TKR_SERVE_ACCEPT_H
#define TKR_SERVE_ACCEPT_H

#include <stdbool.h>

enum tkr_accept_form { TKR_ACCEPT_TEXT, TKR_ACCEPT_OPENMETRICS, TKR_ACCEPT_FORMS };

/* What the ranges seen so far say of each form. Zeroed before. */
struct tkr_accept {
    struct {
        unsigned quality;     /* in thousandths, 0..1000 */
        unsigned specificity; /* of the range that said so; 0: none matches */
    } form[TKR_ACCEPT_FORMS];
};

/* The Content-Type of a form. */
extern const char *const tkr_accept_type[TKR_ACCEPT_FORMS];

/* Takes the value of one Accept header; a request may have several, in any order. */
void tkr_accept_take(struct tkr_accept *accept, const char *value);

/*
 * Which form to send: OpenMetrics where its quality is above that of text, or where it is the same, not 0, and OpenMetrics is
 * named by its type and subtype; else text.
 */
enum tkr_accept_form tkr_accept_choose(const struct tkr_accept *accept);

#endif
