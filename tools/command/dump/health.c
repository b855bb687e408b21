/* SPDX-License-Identifier: Apache-2.0 */
/* The file in which a collector tells of its sink and of gateways' handlers. */
#include <stdlib.h>

#include "collector/health.h"
#include "command/dump/file.h"
#include "command/handlers.h"
#include "command/sink_health.h"

#define HEALTH_BYTES_MAX (UINT64_C(1) << 20) /* of any version */
#define ALIGN 128                            /* as it is mapped */

void tkr_dump_health(struct tkr_dump *dump)
{
    uint64_t bytes = dump->bytes < HEALTH_BYTES_MAX ? dump->bytes : HEALTH_BYTES_MAX;
    struct tkr_host_balance balance = {.health = malloc(sizeof(*balance.health))};
    void *copy = aligned_alloc(ALIGN, (bytes / ALIGN + 1) * ALIGN);

    if (copy != NULL && balance.health != NULL && tkr_dump_read(dump, 0, copy, bytes) &&
        tkr_health_copy(copy, bytes, balance.health)) {
        (void)json_object_set_new(dump->object, "sink", tkr_command_health_json(balance.health));
        (void)json_object_set_new(dump->object, "problems", tkr_command_problems_json(&balance));
        (void)json_object_set_new(dump->object, "handlers", tkr_command_handlers_json(&balance));
    } else {
        tkr_dump_doubt(dump, "it is of another layout than this version reads, cut, or damaged");
    }
    free(copy);
    free(balance.health);
}
