/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Variables that other programs read, and that look like ours: what they say would be ignored. Where it asks for something that
 * is not done then (TLS, Sentinel, a cluster, a user, a password, another address), that is an error; where it changes nothing, a
 * doubt.
 */
#ifndef TKR_SINK_LOOKALIKE_H
#define TKR_SINK_LOOKALIKE_H

#include "sink/sink.h"

/* config as it was read from the variables that are ours. 0, or -1 with a sentence that begins with the variable's name and
 * holds no value. Of another sink than Redis that TOKENRING_SINK names, nothing is wrong. */
int tkr_lookalike_check(const struct tkr_sink_config *config, tkr_message *ret_message);

#endif
