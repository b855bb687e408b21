/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answerer: a thread that answers questions to the API, one after the other, each within 30 s, so that what takes long, a
 * walk through all of Redis say, keeps no metrics and no health check waiting. A connection whose question waits is suspended.
 *
 * Invariants: a connection in the queue is suspended, and is the answerer's until it resumes it; what it leaves in the ask before
 * (mutex) is what the connection's thread sends after. At most TKR_ANSWERER_WAITING wait.
 *
 * Threads: put and stop are of the thread that answers HTTP, or of one after it has ended.
 */
#ifndef TKR_SERVE_ANSWERER_H
#define TKR_SERVE_ANSWERER_H

#include <microhttpd.h>

#include "serve/ask.h"

#define TKR_ANSWERER_WAITING 16u

struct tkr_answerer;

/* argument is for the routes' answers. NULL: no memory, or no thread. */
struct tkr_answerer *tkr_answerer_start(void *argument);

/*
 * Suspends the connection until its question has been answered; then it is resumed, and *ret_response, the caller's to destroy, is
 * set, with the status in the ask. Both stay the caller's, and where they are. false: too many wait, or it stops.
 */
bool tkr_answerer_put(struct tkr_answerer *answerer, struct MHD_Connection *connection, struct tkr_ask *ask,
                      struct MHD_Response **ret_response);

/* Gives up what is being answered and what waits; resumes all. Accepts NULL. From then on nothing is taken. */
void tkr_answerer_stop(struct tkr_answerer *answerer);

/* After the daemon that has the connections. Accepts NULL. */
void tkr_answerer_free(struct tkr_answerer *answerer);

/* The answer to a question that was refused, or that was answered with the object, which it takes. NULL: no memory. */
struct MHD_Response *tkr_answer_make(struct tkr_ask *ask, json_t *object);

#endif
