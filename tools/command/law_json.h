/* SPDX-License-Identifier: Apache-2.0 */
/* The law's numbers as JSON, for all subcommands that show them. */
#ifndef TOOLS_COMMAND_LAW_JSON_H
#define TOOLS_COMMAND_LAW_JSON_H

#include <jansson.h>

#include "collector/balance.h"

/* "active", "quarantined" and so on. */
extern const char *const tkr_command_standing[];

/* A balance as the first members of an object; NULL when there is no memory. */
json_t *tkr_command_balance_json(const struct tkr_balance *balance);

/* The same, and what a region is besides. */
json_t *tkr_command_region_json(const struct tkr_balance_region *region);

/* Drops by cause. */
json_t *tkr_command_dropped_json(const struct tkr_balance *balance);

/* Name of the collector whose shards these are; null where none ever ran. */
json_t *tkr_command_collector_json(const struct tkr_host_balance *balance);

#endif
