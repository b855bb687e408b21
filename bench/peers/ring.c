/* SPDX-License-Identifier: Apache-2.0 */
/* Concurrency Kit's ring, one for all threads: calls are copied into it, and read outside of the time that is taken. */
#include <ck_ring.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "harness/bench.h"
#include "peers/payload.h"
#include "peers/peers.h"
#include "peers/ring.h"

/* The call as record() takes it, in 64 bytes. */
struct told {
    int64_t start_ns;
    uint32_t cycle;
    uint32_t prompt;
    uint32_t completion;
    uint32_t total;
    uint32_t id_len;
    char id[36];
};

CK_RING_PROTOTYPE(told, told)

static struct {
    ck_ring_t ring;
    struct told *slot;
    uint64_t tokens; /* read */
} shared;

int ring_make(uint32_t slots)
{
    shared.tokens = 0;
    shared.slot = calloc(slots, sizeof(*shared.slot));
    if (shared.slot == NULL)
        return bench_wrong("no memory");
    memset(shared.slot, 1, slots * sizeof(*shared.slot)); /* a lane's pages are there, too */
    ck_ring_init(&shared.ring, slots);
    return 0;
}

void ring_free(void)
{
    free(shared.slot);
    shared.slot = NULL;
}

int ring_put(uint64_t calls)
{
    bool failed = false;

    for (uint64_t i = 0; i < calls; i++) {
        struct told told = {.start_ns = tkr_clock_coarse_ns(),
                            .cycle = 20261101,
                            .prompt = PAYLOAD_PROMPT,
                            .completion = PAYLOAD_COMPLETION,
                            .total = PAYLOAD_TOKENS,
                            .id_len = PAYLOAD_ID_BYTES};
        memcpy(told.id, PAYLOAD_ID, PAYLOAD_ID_BYTES);
        failed |= !ck_ring_enqueue_mpsc_told(&shared.ring, shared.slot, &told);
    }
    return failed;
}

uint64_t ring_read(void)
{
    struct told told;

    while (ck_ring_dequeue_mpsc_told(&shared.ring, shared.slot, &told))
        shared.tokens += told.total;
    return shared.tokens / PAYLOAD_TOKENS;
}

#define SLOTS (1u << 16)
#define AT_ONCE 40000

static int open_ring(void)
{
    return ring_make(SLOTS);
}

static double emit(uint64_t calls)
{
    int64_t spent_ns = 0;

    for (uint64_t left = calls; left > 0;) {
        uint64_t now = left < AT_ONCE ? left : AT_ONCE;
        int64_t begun_ns = tkr_clock_monotonic_ns();
        if (ring_put(now) != 0)
            return bench_wrong("the ring is full");
        spent_ns += tkr_clock_monotonic_ns() - begun_ns;
        (void)ring_read();
        left -= now;
    }
    return (double)spent_ns;
}

static int check(uint64_t calls)
{
    uint64_t seen = ring_read();

    return seen == calls ? 0 : bench_wrong("calls made %" PRIu64 ", in the ring %" PRIu64, calls, seen);
}

const struct peer peer_ring = {
    .name = "ck_ring, one for all threads", .calls = 400000, .open = open_ring, .emit = emit, .check = check, .close = ring_free};
