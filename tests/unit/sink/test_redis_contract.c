/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of sinks, against a real Redis. */
#include "unit/sink/contract.h"
#include "unit/sink/redis_fixture.h"

static tkr_sink *contract_sink(void **state)
{
    return *state;
}

static int set_up(void **state)
{
    struct tkr_sink_config config = {
        .kind = TKR_SINK_REDIS, .db = 3, .connect_timeout_ms = 5000, .command_timeout_ms = 5000};
    tkr_sink *sink;
    tkr_message message;

    freeReplyObject(redis_server_command(&server, "FLUSHALL"));
    memcpy(config.socket, server.socket, sizeof(server.socket));
    if (tkr_sink_open(&config, &sink, &message) != 0 || sink->ops->connect(sink, &message) != 0)
        return -1;
    *state = sink;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {CONTRACT_TESTS(set_up, fixture_sink_close)};

    redis_server_require();
    return cmocka_run_group_tests(tests, fixture_server_start, fixture_server_stop);
}
