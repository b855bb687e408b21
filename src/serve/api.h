/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API over HTTP: which questions there are (routes), who may ask them, and how a connection waits for its answer. All answers
 * are JSON; what is refused is {"error": a sentence}.
 *
 * It tells who uses how much, so only this host may ask: on a loopback address or a Unix socket, unless TOKENRING_HTTP_API=all says
 * otherwise; and no page that somebody's browser has loaded from elsewhere, which would name another host than a loopback one (DNS
 * rebinding).
 *
 * Threads: that which answers HTTP; open, stop and close: the main thread.
 */
#ifndef TKR_SERVE_API_H
#define TKR_SERVE_API_H

#include <microhttpd.h>

#include "serve/ask.h"
#include "serve/config.h"

struct tkr_api;

/* routes: until one with path NULL; they, config and argument outlive it. NULL: no memory, or no thread. */
struct tkr_api *tkr_api_open(const struct tkr_serve_config *config, const struct tkr_route *routes, void *argument);

/* Lists its paths, "/api/usage, ...", with /ACCOUNT where one may follow; cut to bytes with its NUL. */
void tkr_api_list(const struct tkr_api *api, char *ret_list, size_t bytes);

/* Takes a question, of a path that begins with "/api/": answers, or leaves in *ret_state what the connection waits for. */
enum MHD_Result tkr_api_ask(struct tkr_api *api, struct MHD_Connection *connection, const char *url, void **ret_state);

/* Answers a connection that has waited. */
enum MHD_Result tkr_api_answer(struct MHD_Connection *connection, void *state);

/* The connection is done, with what ask left. */
void tkr_api_forget(void *state);

/* Lets nobody wait any more; before the daemon stops. Accepts NULL. */
void tkr_api_stop(struct tkr_api *api);

/* After the daemon has stopped. Accepts NULL. */
void tkr_api_close(struct tkr_api *api);

#endif
