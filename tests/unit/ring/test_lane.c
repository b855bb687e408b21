/* SPDX-License-Identifier: Apache-2.0 */
/* A lane on a plain array: wrap, full, invariants, every schedule of a small model, what a dead writer leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/frame.h"
#include "ring/lane.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"

#define CAPACITY TKR_LANE_BYTES_MIN
#define FRAME_MAX (CAPACITY / 8)
#define ROUNDS 5 /* positions begin this many capacities from 0 */

/* A lane over memory of exactly its size, with a consumer. */
struct bench {
    struct tkr_lane lane;
    struct tkr_lane_writer writer;
    unsigned char *data;
    uint64_t capacity;
    uint64_t read;     /* the consumer's position */
    uint64_t expected; /* number of the next frame */
};

static void bench_open(struct bench *bench, uint64_t capacity, uint64_t position)
{
    memset(bench, 0, sizeof(*bench));
    bench->data = malloc(capacity);
    assert_non_null(bench->data);
    memset(bench->data, 0xee, capacity);
    bench->capacity = capacity;
    bench->lane.capacity = capacity;
    atomic_store(&bench->lane.head, position);
    atomic_store(&bench->lane.free, position);
    bench->read = position;
    bench->expected = 1;
    tkr_lane_writer_attach(&bench->writer, &bench->lane, bench->data);
}

static void bench_close(struct bench *bench)
{
    free(bench->data);
}

/* A frame as far as the lane cares: length, type, and for the test its number where there is room. */
static void fill(unsigned char *frame, size_t bytes, uint64_t number)
{
    uint16_t length = (uint16_t)bytes;

    memset(frame, (int)(number % 251), bytes);
    memcpy(frame, &length, sizeof(length));
    frame[4] = TKR_FRAME_USAGE;
    if (bytes >= 16)
        memcpy(frame + 8, &number, sizeof(number));
}

static bool filled(const unsigned char *frame, size_t bytes, uint64_t number)
{
    uint64_t told = number;

    if (frame[4] != TKR_FRAME_USAGE)
        return false;
    if (bytes >= 16)
        memcpy(&told, frame + 8, sizeof(told));
    for (size_t i = bytes >= 16 ? 16 : 5; i < bytes; i++) {
        if (frame[i] != number % 251)
            return false;
    }
    return told == number;
}

static bool put(struct bench *bench, size_t bytes)
{
    unsigned char *frame = tkr_lane_reserve(&bench->writer, bytes);

    if (frame == NULL)
        return false;
    assert_true(frame >= bench->data && frame + bytes <= bench->data + bench->capacity);
    assert_int_equal((uintptr_t)frame % TKR_FRAME_ALIGN, 0);
    fill(frame, bytes, bench->writer.sequence + 1);
    tkr_lane_publish(&bench->writer);
    return true;
}

/* Takes the next frame, over padding; 0 when there is none. */
static size_t take(struct bench *bench)
{
    uint64_t head = atomic_load_explicit(&bench->lane.head, memory_order_acquire);

    while (bench->read != head) {
        unsigned char *frame = bench->data + (bench->read & (bench->capacity - 1));
        size_t to_end = bench->capacity - (bench->read & (bench->capacity - 1));
        size_t bytes = tkr_frame_length(frame, to_end < head - bench->read ? to_end : head - bench->read);
        assert_int_not_equal(bytes, 0);
        bench->read += bytes;
        if (frame[4] == TKR_FRAME_PADDING) {
            assert_int_equal(bench->read & (bench->capacity - 1), 0); /* padding is only for the end */
            continue;
        }
        if (!filled(frame, bytes, bench->expected))
            fail_msg("frame %llu is not what was written", (unsigned long long)bench->expected);
        bench->expected++;
        return bytes;
    }
    return 0;
}

static void give(struct bench *bench)
{
    atomic_store_explicit(&bench->lane.free, bench->read, memory_order_release);
}

/* I1..I4 of ring/lane.h. */
static void check_invariants(const struct bench *bench)
{
    uint64_t head = atomic_load(&bench->lane.head);
    uint64_t free_position = atomic_load(&bench->lane.free);
    uint64_t last = 0;
    bool numbered = false;

    assert_true(free_position <= head && head - free_position <= bench->capacity);
    assert_true(head % TKR_FRAME_ALIGN == 0 && free_position % TKR_FRAME_ALIGN == 0);
    assert_true(bench->writer.head == head);
    for (uint64_t p = free_position; p < head;) {
        const unsigned char *frame = bench->data + (p & (bench->capacity - 1));
        size_t to_end = bench->capacity - (p & (bench->capacity - 1));
        size_t bytes = tkr_frame_length(frame, to_end < head - p ? to_end : head - p); /* I3: within the data */
        uint64_t number;
        assert_int_not_equal(bytes, 0);
        if (frame[4] != TKR_FRAME_PADDING) {
            number = last + 1; /* frames of eight bytes have no room for it */
            if (bytes >= 16)
                memcpy(&number, frame + 8, sizeof(number));
            assert_true(!numbered || number == last + 1);
            numbered |= bytes >= 16;
            last = number;
        }
        p += bytes;
    }
    assert_true(!numbered || last == bench->writer.sequence);
    assert_true(atomic_load(&bench->lane.sequence) == bench->writer.sequence);
}

static void test_lane_every_size_at_every_offset_is_kept_exactly(void **state)
{
    uint64_t step = TKR_LANE_ALIGN * (uint64_t)(256 / test_light(256));
    struct bench bench;

    (void)state;
    bench_open(&bench, CAPACITY, 0);
    for (uint64_t offset = 0; offset < CAPACITY; offset += step) {
        for (size_t bytes = TKR_FRAME_ALIGN; bytes <= FRAME_MAX; bytes += TKR_FRAME_ALIGN) {
            uint64_t position = ROUNDS * CAPACITY + offset;
            bool pads = offset + bytes > CAPACITY;
            unsigned char *frame;
            atomic_store(&bench.lane.head, position);
            atomic_store(&bench.lane.free, position);
            atomic_store(&bench.lane.sequence, 0);
            tkr_lane_writer_attach(&bench.writer, &bench.lane, bench.data);
            frame = tkr_lane_reserve(&bench.writer, bytes);
            if (frame != bench.data + (pads ? 0 : offset))
                fail_msg("offset %llu, %zu bytes: not where it should be", (unsigned long long)offset, bytes);
            assert_true(atomic_load(&bench.lane.head) == position); /* nothing is told before it is published */
            /* All bytes where it matters, the ends elsewhere: the sum of all would take long. */
            if (pads || offset % 1024 == 0) {
                fill(frame, bytes, 1);
            } else {
                uint16_t length = (uint16_t)bytes;
                memcpy(frame, &length, sizeof(length));
                frame[4] = TKR_FRAME_USAGE;
            }
            tkr_lane_publish(&bench.writer);
            assert_true(atomic_load(&bench.lane.head) == position + bytes + (pads ? CAPACITY - offset : 0));
            bench.read = position;
            bench.expected = 1;
            if (pads || offset % 1024 == 0)
                assert_int_equal(take(&bench), bytes);
            if (pads)
                assert_int_equal(bench.data[offset + 4], TKR_FRAME_PADDING);
        }
    }
    bench_close(&bench);
}

static void test_lane_full_is_told_exactly_and_room_comes_back(void **state)
{
    (void)state;
    for (size_t bytes = TKR_FRAME_ALIGN; bytes <= FRAME_MAX; bytes += 104) {
        for (uint64_t offset = 0; offset < CAPACITY; offset += 1000) {
            struct bench bench;
            uint64_t at;
            uint64_t padding;
            bench_open(&bench, CAPACITY, ROUNDS * CAPACITY + offset);
            while (put(&bench, bytes))
                continue;
            at = bench.writer.head & (CAPACITY - 1);
            padding = at + bytes > CAPACITY ? CAPACITY - at : 0;
            assert_true(tkr_lane_room(&bench.writer) < padding + bytes); /* not one too early */
            check_invariants(&bench);
            assert_false(put(&bench, bytes));
            while (take(&bench) > 0 && tkr_lane_room(&bench.writer) < padding + bytes)
                give(&bench);
            assert_true(put(&bench, bytes)); /* as soon as there is room */
            check_invariants(&bench);
            while (take(&bench) > 0)
                continue;
            assert_true(bench.expected == bench.writer.sequence + 1);
            bench_close(&bench);
        }
    }
}

/* A lane can be filled to its last byte. */
static void test_lane_frames_that_divide_it_fill_it(void **state)
{
    struct bench bench;

    (void)state;
    for (size_t bytes = 8; bytes <= FRAME_MAX; bytes *= 2) {
        bench_open(&bench, CAPACITY, ROUNDS * CAPACITY);
        for (uint64_t i = 0; i < CAPACITY / bytes; i++)
            assert_true(put(&bench, bytes));
        assert_int_equal(tkr_lane_room(&bench.writer), 0);
        assert_false(put(&bench, 8));
        check_invariants(&bench);
        bench_close(&bench);
    }
}

static void test_lane_reserving_again_forgets_the_last_reservation(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, CAPACITY, ROUNDS * CAPACITY - 64);
    assert_ptr_equal(tkr_lane_reserve(&bench.writer, 128), bench.data); /* would pad 64 bytes */
    assert_ptr_equal(tkr_lane_reserve(&bench.writer, 32), bench.data + CAPACITY - 64);
    assert_int_equal(tkr_lane_pending(&bench.writer), ROUNDS * CAPACITY - 32);
    assert_true(put(&bench, 64)); /* pads 0 bytes: it fits exactly */
    assert_int_equal(take(&bench), 64);
    assert_int_equal(take(&bench), 0);
    check_invariants(&bench);
    bench_close(&bench);
}

static void test_lane_random_walk_keeps_order_content_and_invariants(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (int walk = 0; walk < 20; walk++) {
        struct bench bench;
        uint64_t bias = 1 + test_random_below(&random, 7);
        size_t size_max = 8 * (1 + test_random_below(&random, FRAME_MAX / 8));
        bench_open(&bench, CAPACITY, 8 * test_random_below(&random, 1 << 20));
        for (int step = 0; step < 3000; step++) {
            if (test_random_below(&random, 8) < bias) {
                size_t bytes = 8 * (1 + test_random_below(&random, size_max / 8));
                uint64_t room = tkr_lane_room(&bench.writer);
                if (!put(&bench, bytes))
                    assert_true(room < 2 * bytes); /* padding is shorter than the frame */
            } else if (take(&bench) > 0 && test_random_below(&random, 3) == 0) {
                give(&bench);
            }
            if (step % 16 == 0)
                check_invariants(&bench);
        }
        while (take(&bench) > 0)
            continue;
        assert_true(bench.expected == bench.writer.sequence + 1);
        bench_close(&bench);
    }
}

/* --- every schedule ---
 *
 * The producer publishes FRAMES frames, each in three steps: reserve (it loads free), fill, publish (it stores head).
 * The consumer does as many rounds of three steps: load head, copy, store free. All orders of these steps are tried, on
 * a lane so small that it is full after two or three frames.
 */
#define FRAMES 3
#define STEPS (3 * FRAMES)
#define SMALL 64u

struct schedule {
    struct bench bench;
    const size_t *sizes;
    unsigned char *reserved;
    uint64_t head_seen;
    unsigned produced;
    unsigned producer_step;
    unsigned consumer_step;
    unsigned char copy[SMALL];
    size_t copied;
};

static void produce(struct schedule *s)
{
    size_t bytes = s->sizes[s->produced % FRAMES];

    switch (s->producer_step) {
    case 0:
        s->reserved = tkr_lane_reserve(&s->bench.writer, bytes);
        if (s->reserved == NULL)
            return; /* full: it tries again when it is its turn */
        break;
    case 1:
        fill(s->reserved, bytes, s->bench.writer.sequence + 1);
        break;
    default:
        tkr_lane_publish(&s->bench.writer);
        s->produced++;
    }
    s->producer_step = (s->producer_step + 1) % 3;
}

static void copy_out(struct schedule *s)
{
    uint64_t position = s->bench.read;

    for (s->copied = 0; position < s->head_seen; position++)
        s->copy[s->copied++] = s->bench.data[position & (SMALL - 1)];
}

/* Parses what was copied, after the producer may have gone on: it must have been whole. */
static bool parse_copy(struct schedule *s)
{
    for (size_t at = 0; at < s->copied;) {
        size_t bytes = tkr_frame_length(s->copy + at, s->copied - at);
        if (bytes == 0)
            return false;
        if (s->copy[at + 4] != TKR_FRAME_PADDING && !filled(s->copy + at, bytes, s->bench.expected++))
            return false;
        at += bytes;
    }
    s->bench.read = s->head_seen;
    return true;
}

static bool consume(struct schedule *s)
{
    bool good = true;

    switch (s->consumer_step) {
    case 0:
        s->head_seen = atomic_load_explicit(&s->bench.lane.head, memory_order_acquire);
        good = s->head_seen - s->bench.read <= SMALL;
        break;
    case 1:
        copy_out(s);
        break;
    default:
        good = parse_copy(s);
        give(&s->bench);
    }
    s->consumer_step = (s->consumer_step + 1) % 3;
    return good;
}

static bool run_schedule(uint32_t producers_turns, uint64_t position, const size_t sizes[FRAMES], struct schedule *s,
                         unsigned char *data)
{
    memset(s, 0, sizeof(*s));
    s->sizes = sizes;
    s->bench.data = data;
    s->bench.capacity = SMALL;
    s->bench.lane.capacity = SMALL;
    s->bench.read = position;
    s->bench.expected = 1;
    atomic_store_explicit(&s->bench.lane.head, position, memory_order_relaxed);
    atomic_store_explicit(&s->bench.lane.free, position, memory_order_relaxed);
    tkr_lane_writer_attach(&s->bench.writer, &s->bench.lane, data);
    for (int step = 0; step < 2 * STEPS; step++) {
        if (producers_turns >> step & 1)
            produce(s);
        else if (!consume(s))
            return false;
    }
    for (int turns = 0; s->produced < FRAMES || s->producer_step != 0 || s->consumer_step != 0; turns++) {
        if (turns > 100)
            return false; /* it would never end */
        if (s->produced < FRAMES || s->producer_step != 0)
            produce(s);
        if (!consume(s))
            return false;
    }
    for (int i = 0; i < 3; i++) { /* one whole round more, to see the last frame */
        if (!consume(s))
            return false;
    }
    return s->bench.expected == FRAMES + 1;
}

static void test_lane_every_schedule_of_three_frames_is_exact(void **state)
{
    static const size_t sizes[][FRAMES] = {{24, 24, 24}, {16, 32, 24}, {8, 24, 8}, {32, 32, 32}, {32, 8, 24}};
    static unsigned char data[SMALL] __attribute__((aligned(8)));
    struct schedule s;
    uint64_t schedules = 0;

    (void)state;
    for (uint32_t turns = 0; turns < UINT32_C(1) << (2 * STEPS); turns += (uint32_t)(257 / test_light(257))) {
        if (__builtin_popcount(turns) != STEPS)
            continue;
        for (uint64_t offset = 0; offset < SMALL; offset += 8) {
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                if (!run_schedule(turns, ROUNDS * SMALL + offset, sizes[i], &s, data))
                    fail_msg("schedule %x, offset %u, sizes %zu", turns, (unsigned)offset, i);
                schedules++;
            }
        }
    }
    (void)printf("%llu schedules\n", (unsigned long long)schedules);
}

/* --- what the dead leave --- */

/* Killed while it wrote a frame: garbage beyond head, which the next writer overwrites and nobody reads. */
static void test_lane_writer_that_died_within_a_frame_leaves_whole_frames(void **state)
{
    struct bench bench;
    unsigned char *frame;

    (void)state;
    bench_open(&bench, CAPACITY, ROUNDS * CAPACITY - 200);
    assert_true(put(&bench, 64));
    frame = tkr_lane_reserve(&bench.writer, 256); /* padding is written, and half a frame */
    assert_non_null(frame);
    memset(frame, 0xff, 100);
    check_invariants(&bench);
    tkr_lane_writer_attach(&bench.writer, &bench.lane, bench.data); /* the next thread of the process */
    assert_true(put(&bench, 64));
    assert_true(put(&bench, 128));
    check_invariants(&bench);
    assert_int_equal(take(&bench), 64);
    assert_int_equal(take(&bench), 64);
    assert_int_equal(take(&bench), 128);
    assert_int_equal(take(&bench), 0);
    bench_close(&bench);
}

/* Killed between its stores of sequence and head: the hint is one ahead, the frames before head tell the truth. */
static void test_lane_writer_that_died_between_sequence_and_head_misleads_only_the_hint(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, CAPACITY, ROUNDS * CAPACITY);
    assert_true(put(&bench, 64));
    assert_non_null(tkr_lane_reserve(&bench.writer, 64));
    atomic_store(&bench.lane.sequence, bench.writer.sequence + 1);
    assert_int_equal(take(&bench), 64);
    assert_int_equal(take(&bench), 0);
    assert_true(bench.expected == 2);
    assert_true(atomic_load(&bench.lane.sequence) == 2);
    bench_close(&bench);
}

static void test_lane_attach_takes_up_where_the_lane_stands(void **state)
{
    struct bench bench;
    struct tkr_lane_writer again;

    (void)state;
    bench_open(&bench, CAPACITY, ROUNDS * CAPACITY);
    for (int i = 0; i < 1000; i++) {
        while (!put(&bench, 8 * (1 + (size_t)i % 200))) {
            assert_true(take(&bench) > 0);
            give(&bench);
        }
        tkr_lane_writer_attach(&again, &bench.lane, bench.data);
        assert_true(again.head == bench.writer.head && again.sequence == bench.writer.sequence);
        assert_true(again.mask == bench.writer.mask && tkr_lane_pending(&again) == again.head);
        bench.writer = again;
        check_invariants(&bench);
    }
    bench_close(&bench);
}

/* A collector gone mad: free far beyond head, or far behind. It costs room, never memory. */
static void test_lane_impossible_free_gives_no_room(void **state)
{
    static const uint64_t distances[] = {72, CAPACITY, CAPACITY + 8, UINT64_C(1) << 40, UINT64_C(1) << 63};
    struct bench bench;

    (void)state;
    for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        bench_open(&bench, CAPACITY, ROUNDS * CAPACITY);
        atomic_store(&bench.lane.free, ROUNDS * CAPACITY + distances[i]);
        tkr_lane_writer_attach(&bench.writer, &bench.lane, bench.data);
        assert_int_equal(tkr_lane_room(&bench.writer), 0);
        assert_null(tkr_lane_reserve(&bench.writer, 64));
        bench_close(&bench);
    }
    bench_open(&bench, CAPACITY, ROUNDS * CAPACITY);
    atomic_store(&bench.lane.free, 0); /* far behind */
    tkr_lane_writer_attach(&bench.writer, &bench.lane, bench.data);
    assert_null(tkr_lane_reserve(&bench.writer, 64));
    atomic_store(&bench.lane.free, ROUNDS * CAPACITY); /* and come to its senses */
    assert_non_null(tkr_lane_reserve(&bench.writer, 64));
    bench_close(&bench);
}

/* Positions that pass 2^32, as a busy lane's do within minutes, are exact. */
static void test_lane_positions_beyond_32_bits_are_exact(void **state)
{
    struct bench bench;

    (void)state;
    bench_open(&bench, CAPACITY, (UINT64_C(1) << 32) - 4096);
    for (int i = 0; i < 2000; i++) {
        assert_true(put(&bench, 72));
        assert_int_equal(take(&bench), 72);
        give(&bench);
        check_invariants(&bench);
    }
    assert_true(bench.read > UINT64_C(1) << 32);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lane_every_size_at_every_offset_is_kept_exactly),
        cmocka_unit_test(test_lane_full_is_told_exactly_and_room_comes_back),
        cmocka_unit_test(test_lane_frames_that_divide_it_fill_it),
        cmocka_unit_test(test_lane_reserving_again_forgets_the_last_reservation),
        cmocka_unit_test(test_lane_random_walk_keeps_order_content_and_invariants),
        cmocka_unit_test(test_lane_every_schedule_of_three_frames_is_exact),
        cmocka_unit_test(test_lane_writer_that_died_within_a_frame_leaves_whole_frames),
        cmocka_unit_test(test_lane_writer_that_died_between_sequence_and_head_misleads_only_the_hint),
        cmocka_unit_test(test_lane_attach_takes_up_where_the_lane_stands),
        cmocka_unit_test(test_lane_impossible_free_gives_no_room),
        cmocka_unit_test(test_lane_positions_beyond_32_bits_are_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
