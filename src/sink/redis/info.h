/* SPDX-License-Identifier: Apache-2.0 */
/* What a Redis says of itself: the text that INFO answers with, in lines "name:value". */
#ifndef TKR_SINK_REDIS_INFO_H
#define TKR_SINK_REDIS_INFO_H

#include <stdbool.h>

#define TKR_REDIS_INFO_BYTES 256 /* of a value, which is cut there; with its NUL */

/* The value of a name. false: there is none. */
bool tkr_redis_info_find(const char *info, const char *name, char ret_value[TKR_REDIS_INFO_BYTES]);

/* Which server it is. Those that came of Redis say a name and a version of their own, and the Redis that they are compatible
 * with. */
struct tkr_redis_server {
    char name[TKR_REDIS_INFO_BYTES];  /* "valkey"; empty: it says none, as Redis does */
    char own[TKR_REDIS_INFO_BYTES];   /* version under that name; empty: it says none */
    char redis[TKR_REDIS_INFO_BYTES]; /* version of Redis */
    bool cluster;                     /* it is part of one */
};

/* Reads what INFO says of the server. false: no version of Redis is in there. */
bool tkr_redis_server_read(const char *info, struct tkr_redis_server *ret_server);

#endif
