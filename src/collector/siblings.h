/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a host's other shards have counted of accounts whose records are missing: gateways of one account may be counted by several
 * workers, and who deletes the records of an account deletes those of all of them.
 */
#ifndef TKR_COLLECTOR_SIBLINGS_H
#define TKR_COLLECTOR_SIBLINGS_H

#include <stdint.h>

#include "base/settings.h"
#include "sink/repair.h"
#include "table/reader.h"

/*
 * Reads all shards but number `own`, from their begin, and tells each repair its siblings: contributions to the same account,
 * cycle and model that the sink has acknowledged. *ret_siblings has them; free() it after the repairs. 0; -1: no memory.
 */
int tkr_siblings_find(struct tkr_reader *const reader[], uint32_t shards, uint32_t own, struct tkr_repair *repairs,
                      uint32_t count, struct tkr_repair_sibling **ret_siblings, tkr_message *ret_message);

#endif
