/* SPDX-License-Identifier: Apache-2.0 */
/* What an error that Redis gives for all of us means to an operator. */
#ifndef TKR_SINK_REDIS_ADVICE_H
#define TKR_SINK_REDIS_ADVICE_H

#include <stdbool.h>

/* A sentence without its full stop for an error reply's text; NULL for one that must speak for itself. */
const char *tkr_redis_advice(const char *error);

/* Does the error say that the user's rights (ACL) do not suffice? */
bool tkr_redis_is_denied(const char *error);

/* Does the error say that the server cannot be written at present, whatever the user's rights: out of memory, a replica, a disk
 * that is full? */
bool tkr_redis_is_unwritable(const char *error);

#endif
