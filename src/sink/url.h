/* SPDX-License-Identifier: Apache-2.0 */
/* REDIS_URL: redis://[[user]:password@]host[:port][/db] and unix://[[user]:password@]/path[?db=N]. */
#ifndef TKR_SINK_URL_H
#define TKR_SINK_URL_H

#include <stddef.h>

#include "sink/sink.h"

/*
 * Reads the address in text, which is the value of the variable `name`, into config: host and port, or socket; user and
 * password when the text has them; db when the text has it. What the text does not say is left as it is. User,
 * password, host and path are percent-decoded. 0, or -1 with a sentence without the password and config in any state.
 */
int tkr_sink_url_read(const char *name, const char *text, struct tkr_sink_config *config, tkr_message *ret_message);

/* text as it may be shown: what could be a password, and a query other than ?db=, as "***"; cut to size. */
void tkr_sink_url_redact(const char *text, char *ret_text, size_t size);

#endif
