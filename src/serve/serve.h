/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector over HTTP, read-only:
 *
 *   /metrics   for Prometheus, or as OpenMetrics where the Accept header prefers it
 *   /healthz   200 while the loops move, else 503: to restart it is right
 *   /readyz    200 while it collects, else 503: a sink that fails is no reason not to be ready
 *   /health    JSON: status, timestamp, reasons; 503 when unhealthy
 *   /          names all paths
 *   /api/...   JSON: what the routes answer that it is given (serve/api.h)
 *
 * A thread of its own answers (libmicrohttpd); what it reads are figures, files and a board that others write, whom it never makes
 * wait. Pages are made anew when they are older than a quarter of a second, so that many who ask cost as one. Connections, their
 * time and their memory are bounded.
 *
 * Threads: open, ready and close are the main thread's.
 */
#ifndef TKR_SERVE_SERVE_H
#define TKR_SERVE_SERVE_H

#include "collector/collector.h"
#include "serve/ask.h"
#include "serve/config.h"

struct tkr_serve;

/*
 * Listens, and answers from now on. routes end with one of path NULL; NULL: there is no API. They, the argument of their answers
 * and the collector outlive it. 0; with *ret_serve NULL when it is off. -1 with the reason, and what to do: the address cannot be
 * had.
 */
int tkr_serve_open(const struct tkr_serve_config *config, struct tkr_collector *collector, const struct tkr_route *routes,
                   void *argument, struct tkr_serve **ret_serve, tkr_message *ret_message);

/* Where it listens, for people: of port 0, the port that the kernel chose. */
const char *tkr_serve_where(const struct tkr_serve *serve);

/* From now on it is ready, or not any more. Accepts NULL. */
void tkr_serve_ready(struct tkr_serve *serve, bool ready);

/* Accepts NULL. A Unix socket is removed. */
void tkr_serve_close(struct tkr_serve *serve);

#endif
