/* SPDX-License-Identifier: Apache-2.0 */
/* Frames: what is encoded comes back, and no bytes whatever make the decoder read or give what it must not. */
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/cycle.h"
#include "event/encode.h"
#include "support/light.h"
#include "support/random.h"
#include "support/test.h"

#define NOT_COUNTED (1u << TKR_COUNTER_CALLS | 1u << TKR_COUNTER_ERRORS)
#define VALUE_BITS (((1u << TKR_COUNTER_COUNT) - 1 - NOT_COUNTED) | 1u << TKR_VALUE_FIRST_TOKEN_US)

/* A frame's input, with its texts. */
struct sample {
    tkr_start start;
    struct tkr_frame_values values;
    uint32_t cycle;
    int64_t start_ns;
    uint64_t sequence;
    char text[TKR_ACCOUNTS_MAX + 2][256];
};

static int64_t value_limit(unsigned bit)
{
    if (bit == TKR_COUNTER_COST)
        return TKR_COST_MAX;
    if (bit == TKR_COUNTER_DURATION || bit == TKR_VALUE_FIRST_TOKEN_US)
        return INT64_MAX;
    return TKR_TOKENS_MAX;
}

static void random_text(struct test_random *random, char *ret_text, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        do {
            ret_text[i] = (char)test_random_below(random, 256);
        } while (!tkr_text_clean(&ret_text[i], 1));
    }
}

static uint32_t random_length(struct test_random *random, uint32_t min, uint32_t max)
{
    switch (test_random_below(random, 4)) {
    case 0:
        return min;
    case 1:
        return max;
    default:
        return min + (uint32_t)test_random_below(random, max - min + 1);
    }
}

static uint64_t random_kind(struct test_random *random)
{
    static const char *const names[] = {"user", "team", "key", "organisation", "a", "zzzzzzzzzzzz", "a_b"};
    uint64_t kind = 0;

    assert_int_equal(tkr_kind(names[test_random_below(random, sizeof(names) / sizeof(names[0]))], &kind), TKR_OK);
    return kind;
}

static void random_values(struct test_random *random, struct tkr_frame_values *ret_values)
{
    unsigned bits = (unsigned)test_random_next(random) & VALUE_BITS;
    bool narrow = test_random_below(random, 2) == 0;

    memset(ret_values, 0, sizeof(*ret_values));
    if (test_random_below(random, 8) == 0)
        bits = test_random_below(random, 2) == 0 ? 0 : VALUE_BITS;
    for (unsigned bit = 0; bit < TKR_VALUE_COUNT; bit++) {
        uint64_t max = narrow ? UINT32_MAX : (uint64_t)value_limit(bit);
        if ((bits >> bit & 1) == 0)
            continue;
        if (test_random_below(random, 4) == 0)
            tkr_frame_value_add(ret_values, bit, (int64_t)max);
        else
            tkr_frame_value_add(ret_values, bit, 1 + (int64_t)test_random_below(random, max));
    }
    ret_values->error = (uint8_t)(test_random_below(random, 2) * test_random_below(random, 256));
}

static void random_sample(struct test_random *random, struct sample *ret_sample)
{
    tkr_start *start = &ret_sample->start;

    *start = (tkr_start)TKR_START_INIT;
    start->account_count = 1 + (uint32_t)test_random_below(random, TKR_ACCOUNTS_MAX);
    for (uint32_t i = 0; i < start->account_count; i++) {
        start->account[i].len = random_length(random, 1, TKR_ID_BYTES_MAX);
        start->account[i].id = ret_sample->text[i];
        start->account[i].kind = random_kind(random);
        random_text(random, ret_sample->text[i], start->account[i].len);
    }
    start->model_len = random_length(random, 0, TKR_MODEL_BYTES_MAX);
    start->provider_len = random_length(random, 0, TKR_PROVIDER_BYTES_MAX);
    start->model = start->model_len > 0 ? ret_sample->text[TKR_ACCOUNTS_MAX] : NULL;
    start->provider = start->provider_len > 0 ? ret_sample->text[TKR_ACCOUNTS_MAX + 1] : NULL;
    random_text(random, ret_sample->text[TKR_ACCOUNTS_MAX], start->model_len);
    random_text(random, ret_sample->text[TKR_ACCOUNTS_MAX + 1], start->provider_len);
    if (test_random_below(random, 2) == 0) {
        uint64_t half[2] = {test_random_next(random), test_random_next(random)};
        memcpy(start->call_id, half, sizeof(half));
    }
    start->attempt = test_random_below(random, 2) == 0 ? 0 : (uint32_t)test_random_next(random);
    ret_sample->cycle = 20000101 + (uint32_t)test_random_below(random, 28);
    ret_sample->start_ns = (int64_t)(test_random_next(random) >> 1);
    ret_sample->sequence = test_random_next(random);
    random_values(random, &ret_sample->values);
}

/* The frame in memory of exactly its size, filled with dirt before. The caller frees it. */
static unsigned char *encode(const struct sample *sample, size_t *ret_bytes)
{
    size_t head_bytes = tkr_frame_head_bytes(&sample->start);
    size_t bytes = tkr_frame_bytes(head_bytes, &sample->values);
    unsigned char *frame = malloc(bytes);

    assert_non_null(frame);
    assert_true(head_bytes <= TKR_FRAME_HEAD_BYTES_MAX && bytes <= TKR_FRAME_BYTES_MAX);
    assert_true(head_bytes % TKR_FRAME_ALIGN == 0 && bytes % TKR_FRAME_ALIGN == 0);
    memset(frame, 0xa5, bytes);
    tkr_frame_head_put(frame, head_bytes, &sample->start, sample->cycle, sample->start_ns);
    tkr_frame_finish(frame, head_bytes, &sample->values, sample->sequence);
    *ret_bytes = bytes;
    return frame;
}

/* The frame of a plain call, by the short way, in memory of exactly its size. */
static unsigned char *encode_plain(const struct sample *sample, const uint32_t value[3], size_t *ret_bytes)
{
    const tkr_account *user = &sample->start.account[0];
    size_t head_bytes = tkr_frame_plain_head_bytes(user);
    unsigned char *frame;

    *ret_bytes = head_bytes + TKR_FRAME_PLAIN_VALUES_BYTES;
    frame = malloc(*ret_bytes);
    assert_non_null(frame);
    memset(frame, 0x5a, *ret_bytes);
    assert_true(
        tkr_frame_plain_head_put(frame, head_bytes, user, user->len < TKR_SHORT_ID_BYTES, sample->cycle, sample->start_ns));
    tkr_frame_plain_finish(frame, head_bytes, 0, value[0], value[1], value[2], sample->sequence);
    return frame;
}

/* A call of one user whose values are small: the short way must write the same bytes, with and without a duration. */
static void test_frame_plain_is_the_same_as_by_the_long_way(void **state)
{
    struct test_random random = test_random_start();

    (void)state;
    for (uint32_t len = 1; len <= TKR_ID_BYTES_MAX; len++) {
        struct sample sample = {.cycle = 20240229, .sequence = test_random_next(&random), .start_ns = 17};
        const uint32_t value[3] = {1 + (uint32_t)test_random_below(&random, UINT32_MAX / 2),
                                   1 + (uint32_t)test_random_below(&random, UINT32_MAX / 2),
                                   len % 2 * (uint32_t)test_random_below(&random, UINT32_MAX)};
        unsigned char *plain;
        unsigned char *expected;
        size_t plain_bytes;
        size_t bytes;

        random_text(&random, sample.text[0], len);
        sample.start = (tkr_start)TKR_START_INIT;
        sample.start.account_count = 1;
        sample.start.account[0] = (tkr_account){.id = sample.text[0], .len = len};
        tkr_frame_value_add(&sample.values, TKR_COUNTER_PROMPT, value[0]);
        tkr_frame_value_add(&sample.values, TKR_COUNTER_COMPLETION, value[1]);
        tkr_frame_value_add(&sample.values, TKR_COUNTER_TOTAL, (int64_t)value[0] + value[1]);
        tkr_frame_value_add(&sample.values, TKR_COUNTER_DURATION, value[2]);
        expected = encode(&sample, &bytes);
        plain = encode_plain(&sample, value, &plain_bytes);
        assert_int_equal(plain_bytes, bytes);
        assert_memory_equal(plain, expected, bytes);
        free(plain);
        free(expected);
    }
}

static void test_frame_plain_open_is_the_same_as_by_the_long_way(void **state)
{
    (void)state;
    for (uint32_t len = 1; len <= TKR_ID_BYTES_MAX; len++) {
        char id[TKR_ID_BYTES_MAX];
        unsigned char plain[TKR_FRAME_HEAD_BYTES_MAX] = {0};
        unsigned char expected[TKR_FRAME_HEAD_BYTES_MAX] = {0};
        tkr_start start = TKR_START_INIT;
        size_t head_bytes;

        memset(id, 'a' + (int)len % 26, len);
        start.account_count = 1;
        start.account[0] = (tkr_account){.id = id, .len = len};
        head_bytes = tkr_frame_plain_head_bytes(&start.account[0]);
        assert_int_equal(head_bytes, tkr_frame_head_bytes(&start));
        tkr_frame_head_put(expected, head_bytes, &start, 20240229, 17);
        assert_true(tkr_frame_plain_head_put(plain, head_bytes, &start.account[0], len < TKR_SHORT_ID_BYTES, 20240229, 17));
        tkr_frame_plain_open(plain, head_bytes, 0);
        assert_memory_equal(plain, expected, sizeof(plain));
    }
}

static void test_frame_plain_sees_a_control_character_at_any_place(void **state)
{
    static const unsigned char control[] = {0, 1, 0x1f, 0x7f};
    static const unsigned char clean[] = {0x20, 0x7e, 0x80, 0xff};

    (void)state;
    for (uint32_t len = 1; len <= 70; len++) {
        unsigned char frame[TKR_FRAME_HEAD_BYTES_MAX];
        char id[TKR_ID_BYTES_MAX];
        const tkr_account user = {.id = id, .len = len};
        size_t head_bytes = tkr_frame_plain_head_bytes(&user);

        for (uint32_t at = 0; at < len; at++) {
            for (unsigned i = 0; i < 4; i++) {
                memset(id, '~', len);
                id[at] = (char)control[i];
                assert_false(tkr_frame_plain_head_put(frame, head_bytes, &user, len < TKR_SHORT_ID_BYTES, 20240229, 17));
                id[at] = (char)clean[i];
                assert_true(tkr_frame_plain_head_put(frame, head_bytes, &user, len < TKR_SHORT_ID_BYTES, 20240229, 17));
            }
        }
    }
}

static void check_identity(const struct sample *sample, const struct tkr_event *event)
{
    static const uint8_t none[16];
    bool has_call = memcmp(sample->start.call_id, none, 16) != 0 || sample->start.attempt != 0;

    assert_true(event->start_ns == sample->start_ns);
    assert_int_equal(event->cycle, sample->cycle);
    assert_int_equal(event->account_count, sample->start.account_count);
    for (uint32_t i = 0; i < event->account_count; i++) {
        assert_true(event->account[i].kind == sample->start.account[i].kind);
        assert_int_equal(event->account[i].len, sample->start.account[i].len);
        assert_memory_equal(event->account[i].id, sample->start.account[i].id, event->account[i].len);
    }
    assert_int_equal(event->model_len, sample->start.model_len);
    assert_int_equal(event->provider_len, sample->start.provider_len);
    if (event->model_len > 0)
        assert_memory_equal(event->model, sample->start.model, event->model_len);
    if (event->provider_len > 0)
        assert_memory_equal(event->provider, sample->start.provider, event->provider_len);
    assert_true((event->call_id != NULL) == has_call);
    if (has_call)
        assert_memory_equal(event->call_id, sample->start.call_id, 16);
    assert_int_equal(event->attempt, sample->start.attempt);
}

static void check_values(const struct sample *sample, const struct tkr_event *event)
{
    assert_int_equal(event->values.present, sample->values.present);
    assert_int_equal(event->values.count, sample->values.count);
    assert_int_equal(event->values.error, sample->values.error);
    assert_int_equal(event->values.any, sample->values.any);
    for (uint32_t i = 0; i < event->values.count; i++)
        assert_true(event->values.value[i] == sample->values.value[i]);
}

static void test_frame_random_calls_come_back_in_every_field(void **state)
{
    struct test_random random = test_random_start();
    struct sample *sample = malloc(sizeof(*sample));

    (void)state;
    assert_non_null(sample);
    for (int i = 0; i < test_light(20000); i++) {
        struct tkr_event event;
        unsigned char *frame;
        size_t bytes;
        random_sample(&random, sample);
        frame = encode(sample, &bytes);
        assert_int_equal(tkr_frame_length(frame, bytes), bytes);
        assert_int_equal(tkr_frame_length(frame, bytes + 8), bytes);
        assert_int_equal(tkr_frame_length(frame, bytes - 8), 0);
        assert_true(tkr_frame_decode(frame, bytes, &event));
        assert_int_equal(event.type, TKR_FRAME_USAGE);
        assert_true(event.sequence == sample->sequence);
        check_identity(sample, &event);
        check_values(sample, &event);
        free(frame);
    }
    free(sample);
}

static void test_frame_open_head_alone_comes_back(void **state)
{
    struct test_random random = test_random_start();
    struct sample *sample = malloc(sizeof(*sample));

    (void)state;
    assert_non_null(sample);
    for (int i = 0; i < test_light(5000); i++) {
        struct tkr_event event;
        size_t bytes;
        unsigned char *frame;
        random_sample(&random, sample);
        bytes = tkr_frame_head_bytes(&sample->start);
        frame = malloc(bytes);
        assert_non_null(frame);
        memset(frame, 0xa5, bytes);
        tkr_frame_head_put(frame, bytes, &sample->start, sample->cycle, sample->start_ns);
        assert_int_equal(tkr_frame_length(frame, bytes), bytes);
        assert_true(tkr_frame_decode(frame, bytes, &event));
        assert_int_equal(event.type, TKR_FRAME_OPEN);
        assert_int_equal(event.values.count, 0);
        assert_int_equal(event.values.present, 0);
        check_identity(sample, &event);
        free(frame);
    }
    free(sample);
}

/* The largest frame reaches the bound that lanes are made for, and no frame passes it. */
static void test_frame_largest_is_the_bound(void **state)
{
    char id[TKR_ACCOUNTS_MAX][TKR_ID_BYTES_MAX];
    char model[TKR_MODEL_BYTES_MAX];
    tkr_start start = TKR_START_INIT;

    (void)state;
    memset(id, 'x', sizeof(id));
    memset(model, 'm', sizeof(model));
    start.account_count = TKR_ACCOUNTS_MAX;
    for (int i = 0; i < TKR_ACCOUNTS_MAX; i++)
        start.account[i] = (tkr_account){.kind = TKR_KIND_TEAM, .id = id[i], .len = TKR_ID_BYTES_MAX};
    start.model = model;
    start.model_len = TKR_MODEL_BYTES_MAX;
    start.provider = model;
    start.provider_len = TKR_PROVIDER_BYTES_MAX;
    start.attempt = 1;
    assert_int_equal(tkr_frame_head_bytes(&start), TKR_FRAME_HEAD_BYTES_MAX);
}

/* A decoded event keeps to the API's ranges, and its pointers stay within the bytes. */
static void check_in_range(const struct tkr_event *event, const unsigned char *frame, size_t bytes)
{
    const char *begin = (const char *)frame;
    const char *end = begin + bytes;
    unsigned rest;
    uint32_t count = 0;

    if (event->type < TKR_FRAME_USAGE || event->type > TKR_FRAME_WATCH)
        return;
    assert_true(event->account_count >= 1 && event->account_count <= TKR_ACCOUNTS_MAX);
    assert_true(event->start_ns >= 0 && tkr_cycle_valid(event->cycle));
    for (uint32_t i = 0; i < event->account_count; i++) {
        const tkr_account *a = &event->account[i];
        assert_true(a->len >= 1 && a->len <= TKR_ID_BYTES_MAX && a->id >= begin && a->id + a->len <= end);
        assert_true(tkr_kind_valid(a->kind) && tkr_text_clean(a->id, a->len));
    }
    assert_true(event->model_len <= TKR_MODEL_BYTES_MAX && event->provider_len <= TKR_PROVIDER_BYTES_MAX);
    assert_true(event->model >= begin && event->model + event->model_len <= end);
    assert_true(event->provider >= begin && event->provider + event->provider_len <= end);
    assert_true(tkr_text_clean(event->model, event->model_len) && tkr_text_clean(event->provider, event->provider_len));
    assert_true(event->call_id == NULL || ((const char *)event->call_id >= begin && (const char *)event->call_id + 20 <= end));
    assert_int_equal(event->values.present & ~VALUE_BITS, 0);
    for (rest = event->values.present; rest != 0; rest &= rest - 1) {
        int64_t value = event->values.value[count++];
        assert_true(value >= 0 && value <= value_limit((unsigned)__builtin_ctz(rest)));
    }
    assert_int_equal(event->values.count, count);
}

/* Decodes a copy of exactly this size on the heap. */
static bool decode_copy(const unsigned char *frame, size_t bytes)
{
    unsigned char *copy = malloc(bytes);
    struct tkr_event event;
    bool good;

    assert_non_null(copy);
    memcpy(copy, frame, bytes);
    memset(&event, 0x5a, sizeof(event));
    good = tkr_frame_decode(copy, bytes, &event);
    if (good)
        check_in_range(&event, copy, bytes);
    free(copy);
    return good;
}

static void test_frame_every_truncation_is_refused_or_in_range(void **state)
{
    struct test_random random = test_random_start();
    struct sample *sample = malloc(sizeof(*sample));

    (void)state;
    assert_non_null(sample);
    for (int i = 0; i < test_light(60); i++) {
        size_t bytes;
        unsigned char *frame;
        random_sample(&random, sample);
        frame = encode(sample, &bytes);
        for (size_t cut = TKR_FRAME_ALIGN; cut < bytes; cut++) {
            /* As its length word says, a cut frame does not fit; and with the length that remains it is no frame,
             * unless just zeros at its end are missing. */
            assert_int_equal(tkr_frame_length(frame, cut), 0);
            assert_true(!decode_copy(frame, cut) || cut % TKR_FRAME_ALIGN != 0);
        }
        for (size_t available = 0; available < TKR_FRAME_ALIGN; available++) {
            unsigned char *few = malloc(available + 1);
            assert_non_null(few);
            memcpy(few, frame, available);
            assert_int_equal(tkr_frame_length(few, available), 0);
            free(few);
        }
        free(frame);
    }
    free(sample);
}

static void test_frame_every_corrupt_byte_is_refused_or_in_range(void **state)
{
    static const unsigned char changes[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x7f, 0x55};
    struct test_random random = test_random_start();
    struct sample *sample = malloc(sizeof(*sample));

    (void)state;
    assert_non_null(sample);
    for (int i = 0; i < test_light(25); i++) {
        size_t bytes;
        unsigned char *frame;
        random_sample(&random, sample);
        frame = encode(sample, &bytes);
        for (size_t at = 0; at < bytes; at++) {
            for (size_t c = 0; c < sizeof(changes); c++) {
                frame[at] ^= changes[c];
                (void)decode_copy(frame, bytes);
                frame[at] ^= changes[c];
            }
        }
        /* In the header, where each bit has a meaning, every value of each byte. */
        for (size_t at = 0; at < TKR_FRAME_HEADER_BYTES; at++) {
            unsigned char was = frame[at];
            for (int byte = 0; byte < 256; byte++) {
                frame[at] = (unsigned char)byte;
                (void)decode_copy(frame, bytes);
            }
            frame[at] = was;
        }
        free(frame);
    }
    free(sample);
}

static void test_frame_random_bytes_are_refused_or_in_range(void **state)
{
    struct test_random random = test_random_start();
    unsigned char frame[256];
    int good = 0;

    (void)state;
    for (int i = 0; i < test_light(200000); i++) {
        size_t bytes = 8 * (1 + test_random_below(&random, sizeof(frame) / 8));
        for (size_t j = 0; j < bytes; j++)
            frame[j] = (unsigned char)test_random_below(&random, test_random_below(&random, 2) == 0 ? 4 : 256);
        good += decode_copy(frame, bytes);
    }
    (void)printf("%d of 200000 were accepted (unknown types and padding)\n", good);
}

/* Frames that obey the format but for one thing. */
static void test_frame_each_broken_rule_is_refused(void **state)
{
    struct tkr_frame_values values = {.count = 0};
    tkr_start start = TKR_START_INIT;
    alignas(TKR_FRAME_ALIGN) unsigned char frame[TKR_FRAME_BYTES_MAX];
    alignas(TKR_FRAME_ALIGN) unsigned char good[TKR_FRAME_BYTES_MAX];
    struct tkr_frame_header *header = (struct tkr_frame_header *)(void *)frame;
    struct tkr_event event;
    size_t head_bytes;
    size_t bytes;

    (void)state;
    start.account_count = 1;
    start.account[0] = (tkr_account){.kind = TKR_KIND_TEAM, .id = "research", .len = 8};
    start.model = "m";
    start.model_len = 1;
    tkr_frame_value_add(&values, TKR_COUNTER_PROMPT, 5);
    head_bytes = tkr_frame_head_bytes(&start);
    bytes = tkr_frame_bytes(head_bytes, &values);
    tkr_frame_head_put(good, head_bytes, &start, 20240101, 1);
    tkr_frame_finish(good, head_bytes, &values, 1);
    assert_true(tkr_frame_decode(good, bytes, &event));
#define REFUSED(change)                                       \
    do {                                                      \
        memcpy(frame, good, bytes);                           \
        change;                                               \
        assert_false(tkr_frame_decode(frame, bytes, &event)); \
    } while (0)
    REFUSED(header->type = 0);
    REFUSED(header->values_offset = 0);
    REFUSED(header->values_offset = 24);
    REFUSED(header->values_offset = (uint16_t)(head_bytes + 4));
    REFUSED(header->values_offset = (uint16_t)(head_bytes - 8));
    REFUSED(header->values_offset = (uint16_t)(head_bytes + 8));
    REFUSED(header->values_offset = (uint16_t)(bytes + 8));
    REFUSED(header->flags = 4);
    REFUSED(header->flags = 0x80);
    REFUSED(header->flags = 2);  /* a call id that is not there */
    REFUSED(header->values = 0); /* bytes that are no values */
    REFUSED(header->values = 1u << TKR_COUNTER_CALLS);
    REFUSED(header->values = 1u << TKR_COUNTER_ERRORS);
    REFUSED(header->values = 1u << TKR_COUNTER_COUNT);
    REFUSED(header->values = 7);
    REFUSED(header->start_ns = -1);
    REFUSED(header->cycle = 20240230);
    REFUSED(header->cycle = 0);
    REFUSED(header->account_count = 0);
    REFUSED(header->account_count = 5);
    REFUSED(header->account_count = 2);
    REFUSED(header->model_len = 200);
    REFUSED(header->provider_len = 64);
    REFUSED(header->provider_len = 20);
    REFUSED(frame[32] = 0); /* an id of no bytes */
    REFUSED(frame[32] = 255);
    REFUSED(frame[33] = 2);            /* neither user nor a kind */
    REFUSED(memset(frame + 34, 0, 8)); /* kind user has no kind */
    REFUSED(memset(frame + 34, 0xff, 8));
    REFUSED(frame[42] = '\n'); /* in the id */
    REFUSED(frame[42] = 0);
    REFUSED(frame[50] = 0x7f); /* in the model */
#undef REFUSED
}

static void test_frame_values_beyond_what_a_call_can_use_are_refused(void **state)
{
    tkr_start start = TKR_START_INIT;
    alignas(TKR_FRAME_ALIGN) unsigned char frame[TKR_FRAME_BYTES_MAX];

    (void)state;
    start.account_count = 1;
    start.account[0] = (tkr_account){.id = "a", .len = 1};
    for (unsigned bit = 0; bit < TKR_VALUE_COUNT; bit++) {
        size_t head_bytes = tkr_frame_head_bytes(&start);
        struct tkr_event event;
        if ((VALUE_BITS >> bit & 1) == 0)
            continue;
        for (int over = 0; over < 2; over++) {
            struct tkr_frame_values values = {.count = 0};
            tkr_frame_value_add(&values, bit, value_limit(bit));
            values.value[0] = over ? (int64_t)((uint64_t)value_limit(bit) + 1) : values.value[0];
            tkr_frame_head_put(frame, head_bytes, &start, 20240101, 1);
            tkr_frame_finish(frame, head_bytes, &values, 1);
            assert_true(tkr_frame_decode(frame, tkr_frame_bytes(head_bytes, &values), &event) == !over);
        }
    }
}

/* As ring/lane.c writes it. */
static void put_padding(unsigned char *frame, size_t bytes)
{
    uint16_t length = (uint16_t)bytes;

    memset(frame, 0, TKR_FRAME_ALIGN);
    memcpy(frame, &length, sizeof(length));
    frame[4] = TKR_FRAME_PADDING;
}

static void test_frame_padding_of_every_length_is_one_frame(void **state)
{
    unsigned char frame[2 * TKR_FRAME_BYTES_MAX];

    (void)state;
    for (size_t bytes = TKR_FRAME_ALIGN; bytes <= sizeof(frame); bytes += TKR_FRAME_ALIGN) {
        struct tkr_event event;
        memset(frame, 0xff, sizeof(frame));
        put_padding(frame, bytes);
        assert_int_equal(tkr_frame_length(frame, bytes), bytes);
        assert_int_equal(frame[TKR_FRAME_ALIGN], 0xff); /* writes no more than its first eight bytes */
        assert_true(tkr_frame_decode(frame, bytes, &event));
        assert_int_equal(event.type, TKR_FRAME_PADDING);
    }
}

static void test_frame_release_comes_back_and_is_refused_beyond_its_range(void **state)
{
    const struct tkr_frame_release release = {UINT64_MAX - 1, 77, TKR_TOKENS_MAX};
    static const int64_t bad[] = {-1, TKR_TOKENS_MAX + 1, INT64_MIN, INT64_MAX};
    unsigned char frame[TKR_FRAME_RELEASE_BYTES];
    struct tkr_event event;

    (void)state;
    tkr_frame_release_put(frame, &release);
    assert_int_equal(tkr_frame_length(frame, sizeof(frame)), sizeof(frame));
    assert_true(tkr_frame_decode(frame, sizeof(frame), &event));
    assert_int_equal(event.type, TKR_FRAME_RELEASE);
    assert_memory_equal(&event.release, &release, sizeof(release));
    assert_false(tkr_frame_type_charges(event.type));
    assert_false(tkr_frame_decode(frame, sizeof(frame) - TKR_FRAME_ALIGN, &event));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tkr_frame_release_put(frame, &(struct tkr_frame_release){1, 2, bad[i]});
        assert_false(tkr_frame_decode(frame, sizeof(frame), &event));
    }
}

static void test_frame_unknown_types_are_skipped_by_length(void **state)
{
    (void)state;
    for (int type = TKR_FRAME_RELEASE + 1; type < 256; type++) {
        unsigned char *frame = calloc(1, 8);
        struct tkr_event event;
        assert_non_null(frame);
        frame[0] = 8;
        frame[4] = (unsigned char)type;
        assert_int_equal(tkr_frame_length(frame, 8), 8);
        assert_true(tkr_frame_decode(frame, 8, &event));
        assert_int_equal(event.type, type);
        free(frame);
    }
}

static void test_frame_length_impossible_is_refused(void **state)
{
    unsigned char bytes[8] = {0};

    (void)state;
    for (uint32_t length = 0; length <= UINT16_MAX; length++) {
        uint16_t word = (uint16_t)length;
        memcpy(bytes, &word, sizeof(word));
        assert_int_equal(tkr_frame_length(bytes, 4096), length >= 8 && length % 8 == 0 && length <= 4096 ? length : 0);
    }
}

static void test_event_counts_add_values_one_call_and_its_error(void **state)
{
    struct tkr_event event = {.type = TKR_FRAME_USAGE};
    tkr_counts counts = {{0}};

    (void)state;
    tkr_frame_value_add(&event.values, TKR_COUNTER_PROMPT, 7);
    tkr_frame_value_add(&event.values, TKR_COUNTER_COMPLETION, 0); /* left out */
    tkr_frame_value_add(&event.values, TKR_COUNTER_TOTAL, TKR_TOKENS_MAX);
    tkr_frame_value_add(&event.values, TKR_COUNTER_COST, 3);
    tkr_frame_value_add(&event.values, TKR_COUNTER_DURATION, 1499);
    tkr_frame_value_add(&event.values, TKR_VALUE_FIRST_TOKEN_US, 99);
    tkr_event_counts(&event, &counts);
    event.values.error = TKR_ERROR_TIMEOUT;
    tkr_event_counts(&event, &counts);
    assert_int_equal(counts.value[TKR_COUNTER_PROMPT], 14);
    assert_int_equal(counts.value[TKR_COUNTER_COMPLETION], 0);
    assert_true(counts.value[TKR_COUNTER_TOTAL] == 2 * TKR_TOKENS_MAX);
    assert_int_equal(counts.value[TKR_COUNTER_COST], 6);
    assert_int_equal(counts.value[TKR_COUNTER_DURATION], 2);
    assert_int_equal(counts.value[TKR_COUNTER_CALLS], 2);
    assert_int_equal(counts.value[TKR_COUNTER_ERRORS], 1);
}

static void test_event_counts_round_durations_to_milliseconds(void **state)
{
    static const int64_t us[] = {1, 499, 500, 999, 1000, 1499, 1500, INT64_MAX};
    static const int64_t ms[] = {0, 0, 1, 1, 1, 1, 2, INT64_MAX / 1000 + 1};

    (void)state;
    for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++) {
        struct tkr_event event = {.type = TKR_FRAME_USAGE};
        tkr_counts counts = {{0}};
        tkr_frame_value_add(&event.values, TKR_COUNTER_DURATION, us[i]);
        tkr_event_counts(&event, &counts);
        assert_true(counts.value[TKR_COUNTER_DURATION] == ms[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_random_calls_come_back_in_every_field),
        cmocka_unit_test(test_frame_plain_is_the_same_as_by_the_long_way),
        cmocka_unit_test(test_frame_plain_open_is_the_same_as_by_the_long_way),
        cmocka_unit_test(test_frame_plain_sees_a_control_character_at_any_place),
        cmocka_unit_test(test_frame_open_head_alone_comes_back),
        cmocka_unit_test(test_frame_largest_is_the_bound),
        cmocka_unit_test(test_frame_every_truncation_is_refused_or_in_range),
        cmocka_unit_test(test_frame_every_corrupt_byte_is_refused_or_in_range),
        cmocka_unit_test(test_frame_random_bytes_are_refused_or_in_range),
        cmocka_unit_test(test_frame_each_broken_rule_is_refused),
        cmocka_unit_test(test_frame_values_beyond_what_a_call_can_use_are_refused),
        cmocka_unit_test(test_frame_padding_of_every_length_is_one_frame),
        cmocka_unit_test(test_frame_release_comes_back_and_is_refused_beyond_its_range),
        cmocka_unit_test(test_frame_unknown_types_are_skipped_by_length),
        cmocka_unit_test(test_frame_length_impossible_is_refused),
        cmocka_unit_test(test_event_counts_add_values_one_call_and_its_error),
        cmocka_unit_test(test_event_counts_round_durations_to_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
