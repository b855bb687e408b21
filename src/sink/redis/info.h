/* SPDX-License-Identifier: Apache-2.0 */
/* What a Redis says of itself: the text that INFO answers with, in lines "name:value". */
#ifndef TKR_SINK_REDIS_INFO_H
#define TKR_SINK_REDIS_INFO_H

#include <stdbool.h>

#define TKR_REDIS_INFO_BYTES 256 /* of a value, which is cut there; with its NUL */

/* The value of a name. false: there is none. */
bool tkr_redis_info_find(const char *info, const char *name, char ret_value[TKR_REDIS_INFO_BYTES]);

#endif
