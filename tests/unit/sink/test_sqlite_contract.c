/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sinks, against a ledger in a file. */
#include <stdio.h>
#include <stdlib.h>

#include "support/tempdir.h"
#include "unit/sink/contract_accounts.h"
#include "unit/sink/contract_backup.h"
#include "unit/sink/contract_models.h"
#include "unit/sink/contract_repair.h"

struct fixture {
    char dir[TEMPDIR_BYTES];
    int ledgers;
    tkr_sink *sink;
};

static tkr_sink *contract_sink(void **state)
{
    return ((struct fixture *)*state)->sink;
}

static int open_ledger(struct fixture *fixture)
{
    struct tkr_sink_config config = {.kind = TKR_SINK_SQLITE, .command_timeout_ms = 5000};
    tkr_message message;

    (void)snprintf(config.ledger, sizeof(config.ledger), "%s/ledger-%d.db", fixture->dir, fixture->ledgers++);
    if (tkr_sink_open(&config, &fixture->sink, &message) != 0)
        return -1;
    return fixture->sink->ops->connect(fixture->sink, &message);
}

/* Another ledger: the file was lost. */
static tkr_sink *contract_emptied(void **state)
{
    struct fixture *fixture = *state;

    fixture->sink->ops->close(fixture->sink);
    assert_int_equal(open_ledger(fixture), 0);
    return fixture->sink;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || tempdir_make(fixture->dir) != 0 || open_ledger(fixture) != 0)
        return -1;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    fixture->sink->ops->close(fixture->sink);
    tempdir_remove(fixture->dir);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS(set_up, tear_down), CONTRACT_ACCOUNTS_TESTS(set_up, tear_down),
                                       CONTRACT_MODELS_TESTS(set_up, tear_down), CONTRACT_BACKUP_TESTS(set_up, tear_down),
                                       CONTRACT_REPAIR_TESTS(set_up, tear_down)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
