/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upgrade_gateway PREFIX [unknown]: a gateway of this or of another version. Makes a round of calls, says "round N", and waits: for
 * SIGUSR1 to make another, for SIGTERM to leave. With unknown, every round has frames of a type that only a later version knows.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/frame.h"
#include "producer/producer.h"
#include "tokenring/tokenring.h"
#include "upgrade/calls.h"

#define UNKNOWN_TYPE 99

static tkr_producer *producer;

static void check(int result)
{
    if (result == TKR_OK)
        return;
    (void)fprintf(stderr, "upgrade_gateway: %s\n", tkr_strerror(result));
    exit(1);
}

static void record(const char *prefix, int call)
{
    tkr_start start = TKR_START_INIT;
    tkr_usage usage = TKR_USAGE_INIT;
    char id[32];

    start.account_count = 1;
    start.account[0].id = id;
    start.account[0].len = (uint32_t)snprintf(id, sizeof(id), "%s-%d", prefix, call % UPGRADE_USERS);
    start.cycle = UPGRADE_CYCLE;
    usage.prompt = upgrade_prompt(call);
    usage.completion = upgrade_completion(call);
    check(tkr_record(producer, &start, &usage));
}

/* What a later version would write: by its length this one knows where it ends. */
static void put_unknown(void)
{
    const struct tkr_frame_header later = {.bytes = 48, .values_offset = 40, .type = UNKNOWN_TYPE, .flags = 0xff};
    struct tkr_channel *channel;
    void *frame;

    check(tkr_channel_of_thread(producer, &channel));
    check(tkr_channel_reserve(producer, channel, 48, &frame));
    memset(frame, 0xee, 48);
    memcpy(frame, &later, sizeof(later));
    channel->writer.sequence--; /* only usage frames are numbered */
    tkr_lane_publish(&channel->writer);
    tkr_channel_unlock(channel);
}

int main(int argc, char **argv)
{
    tkr_options options = TKR_OPTIONS_INIT;
    int unknown = argc == 3 && strcmp(argv[2], "unknown") == 0;
    int number = SIGUSR1;
    sigset_t signals;

    if (argc != 2 && !unknown)
        return 2;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGUSR1);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    options.lane_bytes = 16384; /* lanes grow on the way */
    check(tkr_open(&options, &producer));
    for (int round = 1; number == SIGUSR1; round++) {
        for (int i = 0; i < UPGRADE_CALLS; i++) {
            record(argv[1], i);
            if (unknown && i % (UPGRADE_CALLS / UPGRADE_UNKNOWN) == 0)
                put_unknown();
        }
        (void)printf("round %d\n", round);
        (void)fflush(stdout);
        (void)sigwait(&signals, &number);
    }
    tkr_close(producer);
    return 0;
}
