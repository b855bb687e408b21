/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: whatever the bytes are, what is decoded is within the API's ranges and inside the frame, and written again it
 * says the same. The input is a row of frames, as a lane holds them.
 */
#include "event/encode.h"

#include "base/account.h"
#include "base/cycle.h"
#include "fuzz/fuzz.h"

static void check_inside(const unsigned char *frame, size_t length, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;

    FUZZ_CHECK(at >= frame && count <= length && at - frame <= (ptrdiff_t)(length - count));
}

static void check_identity(const unsigned char *frame, size_t length, const struct tkr_event *event)
{
    FUZZ_CHECK(event->account_count >= 1 && event->account_count <= TKR_ACCOUNTS_MAX);
    for (uint32_t i = 0; i < event->account_count; i++) {
        const tkr_account *account = &event->account[i];
        FUZZ_CHECK(account->len >= 1 && account->len <= TKR_ID_BYTES_MAX && tkr_kind_valid(account->kind));
        check_inside(frame, length, account->id, account->len);
        FUZZ_CHECK(tkr_text_clean(account->id, account->len));
    }
    FUZZ_CHECK(event->model_len <= TKR_MODEL_BYTES_MAX && event->provider_len <= TKR_PROVIDER_BYTES_MAX);
    check_inside(frame, length, event->model, event->model_len);
    check_inside(frame, length, event->provider, event->provider_len);
    FUZZ_CHECK(tkr_text_clean(event->model, event->model_len) && tkr_text_clean(event->provider, event->provider_len));
    if (event->call_id != NULL)
        check_inside(frame, length, event->call_id, 16);
    FUZZ_CHECK(event->start_ns >= 0 && tkr_cycle_valid(event->cycle));
}

static void check_values(const struct tkr_frame_values *values)
{
    FUZZ_CHECK(values->count == (uint32_t)__builtin_popcount(values->present));
    FUZZ_CHECK((values->present & (1u << TKR_COUNTER_CALLS | 1u << TKR_COUNTER_ERRORS)) == 0);
    for (uint32_t i = 0; i < values->count; i++)
        FUZZ_CHECK(values->value[i] >= 0);
}

static void check_counts(const struct tkr_event *event)
{
    tkr_counts counts = {{0}};

    tkr_event_counts(event, &counts);
    for (int i = 0; i < TKR_COUNTER_COUNT; i++) {
        int64_t max = i == TKR_COUNTER_COST ? TKR_COST_MAX : i == TKR_COUNTER_DURATION ? INT64_MAX / 1000 + 1 : TKR_TOKENS_MAX;
        FUZZ_CHECK(counts.value[i] >= 0 && counts.value[i] <= max);
    }
    FUZZ_CHECK(counts.value[TKR_COUNTER_CALLS] == 1);
    FUZZ_CHECK(counts.value[TKR_COUNTER_ERRORS] == (event->values.error != 0));
}

static bool same_text(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static void check_same(const struct tkr_event *a, const struct tkr_event *b)
{
    tkr_counts a_counts = {{0}};
    tkr_counts b_counts = {{0}};

    FUZZ_CHECK(a->sequence == b->sequence && a->start_ns == b->start_ns && a->cycle == b->cycle);
    FUZZ_CHECK(a->account_count == b->account_count && a->attempt == b->attempt);
    for (uint32_t i = 0; i < a->account_count; i++) {
        FUZZ_CHECK(a->account[i].kind == b->account[i].kind);
        FUZZ_CHECK(same_text(a->account[i].id, a->account[i].len, b->account[i].id, b->account[i].len));
    }
    FUZZ_CHECK(same_text(a->model, a->model_len, b->model, b->model_len));
    FUZZ_CHECK(same_text(a->provider, a->provider_len, b->provider, b->provider_len));
    tkr_event_counts(a, &a_counts);
    tkr_event_counts(b, &b_counts);
    FUZZ_CHECK(memcmp(&a_counts, &b_counts, sizeof(a_counts)) == 0);
}

/* Values as the producer packs them: zeros left out, narrow where they fit. */
static struct tkr_frame_values pack(const struct tkr_event *event)
{
    struct tkr_frame_values packed = {.error = event->values.error};
    const int64_t *value = event->values.value;

    for (unsigned rest = event->values.present; rest != 0; rest &= rest - 1)
        tkr_frame_value_add(&packed, (unsigned)__builtin_ctz(rest), *value++);
    return packed;
}

static void write_again(const struct tkr_event *event)
{
    tkr_start start = {.account_count = event->account_count, .attempt = event->attempt};
    struct tkr_frame_values values = pack(event);
    struct tkr_event again;
    size_t head_bytes;
    size_t bytes;
    void *frame;

    memcpy(start.account, event->account, sizeof(start.account));
    start.model = event->model;
    start.model_len = event->model_len;
    start.provider = event->provider;
    start.provider_len = event->provider_len;
    if (event->call_id != NULL)
        memcpy(start.call_id, event->call_id, sizeof(start.call_id));
    head_bytes = tkr_frame_head_bytes(&start);
    bytes = tkr_frame_bytes(head_bytes, &values);
    FUZZ_CHECK(head_bytes <= TKR_FRAME_HEAD_BYTES_MAX && bytes <= TKR_FRAME_BYTES_MAX);
    frame = malloc(bytes);
    FUZZ_CHECK(frame != NULL);
    tkr_frame_head_put(frame, head_bytes, &start, event->cycle, event->start_ns);
    tkr_frame_finish(frame, head_bytes, &values, event->sequence);
    FUZZ_CHECK(tkr_frame_length(frame, bytes) == bytes && tkr_frame_decode(frame, bytes, &again));
    check_same(event, &again);
    free(frame);
}

static void look_at(const uint8_t *bytes, size_t length)
{
    unsigned char *frame = fuzz_exact(bytes, length);
    struct tkr_event event;

    if (tkr_frame_decode(frame, length, &event) && (event.type == TKR_FRAME_USAGE || event.type == TKR_FRAME_OPEN)) {
        check_identity(frame, length, &event);
        check_values(&event.values);
        check_counts(&event);
        write_again(&event);
    }
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    size_t length;

    for (size_t at = 0; at < count; at += length) {
        uint8_t *rest = fuzz_exact(bytes + at, count - at);
        length = tkr_frame_length(rest, count - at);
        free(rest);
        if (length == 0)
            return 0;
        FUZZ_CHECK(length >= TKR_FRAME_ALIGN && length <= count - at && length % TKR_FRAME_ALIGN == 0);
        look_at(bytes + at, length);
    }
    return 0;
}
