/* SPDX-License-Identifier: Apache-2.0 */
/* REDIS_URL: redis://[[user]:password@]host[:port][/db] and unix://[[user]:password@]/path[?db=N]. */
#ifndef TKR_SINK_URL_H
#define TKR_SINK_URL_H

#include <stdbool.h>

#include "sink/sink.h"

/*
 * Reads the address in text, which is the value of the variable `name`, into config: host and port, or socket; user and
 * password when the text has them; db when the text has it. What the text does not say is left as it is. User,
 * password, host and path are percent-decoded. 0, or -1 with a sentence without the password and config in any state.
 */
int tkr_sink_url_read(const char *name, const char *text, struct tkr_sink_config *config, tkr_message *ret_message);

/* Has a user or password that is understood, while others who read the URL take its raw '@' or '#' for an end? */
bool tkr_sink_url_is_doubtful(const char *text);

#define TKR_SINK_ONE_HOST "lists of hosts are not supported yet (Sentinel, clusters): give one host, that of the master"

#endif
