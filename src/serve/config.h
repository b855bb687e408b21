/* SPDX-License-Identifier: Apache-2.0 */
/* Where the collector is asked over HTTP, from the environment. */
#ifndef TKR_SERVE_CONFIG_H
#define TKR_SERVE_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>

#include "base/settings.h"

#define TKR_SERVE_PATH_BYTES 108 /* of a Unix socket, with its NUL */

struct tkr_serve_config {
    bool off;
    bool asked_for;                  /* by TOKENRING_HTTP: then it is an error if it cannot be had */
    char path[TKR_SERVE_PATH_BYTES]; /* of a Unix socket; empty: an address */
    char text[TKR_MESSAGE_BYTES];    /* where, for people */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address;
    bool local;       /* nobody but this host can ask */
    bool api_for_all; /* the JSON API is not only for this host */
};

/*
 * TOKENRING_HTTP: ADDRESS:PORT with a numeric address ([::1]:9464), unix:/PATH, or off; default 127.0.0.1:9464.
 * TOKENRING_HTTP_API: local (default) or all. 0, or -1 with a sentence that names the variable, its value and what is allowed.
 */
int tkr_serve_config_read(struct tkr_serve_config *ret_config, tkr_message *ret_message);

#endif
