/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads on one lane, one mapping, so that thread sanitizer sees both sides. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/frame.h"
#include "ring/lane.h"
#include "support/random.h"
#include "support/test.h"

#define CAPACITY TKR_LANE_BYTES_MIN
#define FRAMES 40000u
#define PAYLOAD_MAX 1536u

struct shared {
    struct tkr_lane lane;
    unsigned char *data;
    uint64_t seed;
    uint64_t fullness; /* times that the producer found no room */
    bool exact;        /* the consumer's verdict */
    atomic_bool finished;
};

/* length, type, sequence, checksum over the payload, payload */
static uint64_t checksum(const unsigned char *payload, size_t bytes)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ payload[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void write_frame(unsigned char *frame, size_t bytes, uint64_t sequence, struct test_random *random)
{
    uint16_t length = (uint16_t)bytes;
    uint64_t sum;

    memset(frame, 0, 8);
    memcpy(frame, &length, sizeof(length));
    frame[4] = TKR_FRAME_USAGE;
    memcpy(frame + 8, &sequence, sizeof(sequence));
    for (size_t i = 24; i < bytes; i += 8) {
        uint64_t word = test_random_next(random);
        memcpy(frame + i, &word, sizeof(word));
    }
    sum = checksum(frame + 24, bytes - 24);
    memcpy(frame + 16, &sum, sizeof(sum));
}

static void *produce(void *context)
{
    struct shared *shared = context;
    struct test_random random = {shared->seed};
    struct tkr_lane_writer writer;

    tkr_lane_writer_attach(&writer, &shared->lane, shared->data);
    for (uint64_t i = 1; i <= FRAMES; i++) {
        size_t max = test_random_below(&random, 16) == 0 ? PAYLOAD_MAX : 96;
        size_t bytes = 24 + 8 * test_random_below(&random, max / 8);
        void *frame;
        while ((frame = tkr_lane_reserve(&writer, bytes)) == NULL) {
            shared->fullness++;
            (void)sched_yield();
        }
        write_frame(frame, bytes, i, &random);
        tkr_lane_publish(&writer);
    }
    atomic_store_explicit(&shared->finished, true, memory_order_release);
    return NULL;
}

static bool frame_good(const unsigned char *frame, size_t bytes, uint64_t sequence)
{
    uint64_t told[2];

    if (bytes < 24)
        return false;
    memcpy(told, frame + 8, sizeof(told));
    return told[0] == sequence && told[1] == checksum(frame + 24, bytes - 24);
}

/* Checks the frames in a copy; false at the first that is not what must come next. */
static bool check_copy(const unsigned char *copy, size_t count, uint64_t *sequence)
{
    for (size_t i = 0; i < count;) {
        size_t bytes = tkr_frame_length(copy + i, count - i);
        if (bytes == 0)
            return false;
        if (copy[i + 4] != TKR_FRAME_PADDING && !frame_good(copy + i, bytes, ++*sequence))
            return false;
        i += bytes;
    }
    return true;
}

/* Reads until all frames came, or on to the end without looking once something was wrong, so that the producer ends. */
static void *consume(void *context)
{
    struct shared *shared = context;
    struct test_random random = {~shared->seed};
    unsigned char copy[CAPACITY];
    uint64_t position = 0;
    uint64_t sequence = 0;

    while (!atomic_load_explicit(&shared->finished, memory_order_acquire) ||
           atomic_load_explicit(&shared->lane.head, memory_order_acquire) != position) {
        uint64_t head = atomic_load_explicit(&shared->lane.head, memory_order_acquire);
        uint64_t at = position & (CAPACITY - 1);
        size_t count = (size_t)(head - position < CAPACITY - at ? head - position : CAPACITY - at);
        memcpy(copy, shared->data + at, count);
        shared->exact = shared->exact && check_copy(copy, count, &sequence);
        position += count;
        if (count == 0 || test_random_below(&random, 4) != 0) /* free is published late, too */
            atomic_store_explicit(&shared->lane.free, position, memory_order_release);
        if (count == 0)
            (void)sched_yield();
    }
    shared->exact = shared->exact && sequence == FRAMES;
    return NULL;
}

static void test_lane_two_threads_exchange_every_frame_exactly(void **state)
{
    struct test_random random = test_random_start();
    struct shared *shared =
        aligned_alloc(TKR_LINE_SEPARATION, sizeof(*shared) + TKR_LINE_SEPARATION - sizeof(*shared) % TKR_LINE_SEPARATION);
    pthread_t producer;
    pthread_t consumer;

    (void)state;
    assert_non_null(shared);
    memset(shared, 0, sizeof(*shared));
    shared->data = malloc(CAPACITY);
    assert_non_null(shared->data);
    shared->lane.capacity = CAPACITY;
    shared->seed = test_random_next(&random);
    shared->exact = true;
    assert_int_equal(pthread_create(&consumer, NULL, consume, shared), 0);
    assert_int_equal(pthread_create(&producer, NULL, produce, shared), 0);
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_int_equal(pthread_join(consumer, NULL), 0);
    assert_true(shared->exact);
    assert_true(atomic_load(&shared->lane.sequence) == FRAMES);
    (void)printf("found the lane full %llu times\n", (unsigned long long)shared->fullness);
    free(shared->data);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane_two_threads_exchange_every_frame_exactly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
