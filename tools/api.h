/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's JSON API: what `tokenring usage`, `top`, `limit list` and `stat` print as JSON, and the lanes. */
#ifndef TOOLS_API_H
#define TOOLS_API_H

#include "serve/ask.h"
#include "sink/sink.h"

/* The argument of the answers. */
struct tkr_api_about {
    const struct tkr_sink_config *sink;
    const char *runtime_dir;
};

/* /api/usage, /api/usage/ACCOUNT, /api/top, /api/limits, /api/lanes, /api/stat; the last one has path NULL. */
extern const struct tkr_route tkr_api_routes[];

#endif
