/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: bytes that are understood are the only way to write that record, every record is read back as it was, and
 * the decision on an answer never adds less than nothing. The input is read both as a record's bytes and as numbers.
 */
#include "fuzz/fuzz.h"
#include "sink/contribution.h"
#include "sink/record.h"

static void read_bytes(const uint8_t *bytes, size_t count)
{
    unsigned char again[TKR_RECORD_BYTES_MAX];
    uint8_t *exact = fuzz_exact(bytes, count);
    struct tkr_record record;

    memset(&record, 0xa5, sizeof(record));
    if (tkr_record_decode(exact, count, &record)) {
        FUZZ_CHECK((record.life == 0) == (count == 0));
        for (int i = 0; i < TKR_COUNTER_COUNT; i++)
            FUZZ_CHECK(record.counts.value[i] >= 0);
        FUZZ_CHECK(tkr_record_encode(&record, again) == count && (count == 0 || memcmp(again, exact, count) == 0));
    } else {
        for (size_t i = 0; i < sizeof(record); i++)
            FUZZ_CHECK(((const uint8_t *)&record)[i] == 0xa5); /* untouched on failure */
    }
    free(exact);
}

/* A number of as many bytes as the input says. */
static int64_t take_number(struct fuzz_input *in)
{
    uint8_t width = fuzz_u8(in) % 9;
    uint64_t n = 0;

    fuzz_take(in, &n, width);
    return (int64_t)(n & INT64_MAX);
}

static struct tkr_record take_record(struct fuzz_input *in)
{
    struct tkr_record record = {.life = fuzz_u8(in) % 4};

    if (record.life == 3)
        record.life = fuzz_u64(in);
    for (int i = 0; i < TKR_COUNTER_COUNT && record.life != 0; i++)
        record.counts.value[i] = take_number(in);
    return record;
}

static void write_record(const struct tkr_record *record)
{
    unsigned char bytes[TKR_RECORD_BYTES_MAX];
    size_t count = tkr_record_encode(record, bytes);
    struct tkr_record again;

    FUZZ_CHECK(count <= sizeof(bytes) && tkr_record_decode(bytes, count, &again) && tkr_record_same(record, &again));
}

static void decide(struct fuzz_input *in)
{
    struct tkr_contribution item = {0};
    bool in_order = fuzz_u8(in) % 2 != 0;
    enum tkr_decision decision;
    tkr_counts delta;

    item.known = take_record(in);
    item.now = take_record(in);
    item.found = take_record(in);
    if (item.now.life == 0)
        item.now.life = 1;
    write_record(&item.known);
    write_record(&item.now);
    if (tkr_contribution_delta(&item, &delta)) {
        for (int i = 0; i < TKR_COUNTER_COUNT; i++)
            FUZZ_CHECK(delta.value[i] >= 0 && delta.value[i] <= item.now.counts.value[i]);
    }
    item.outcome = TKR_OUTCOME_FOUND;
    decision = tkr_contribution_decide(&item, in_order);
    if (decision == TKR_DECIDE_ACKNOWLEDGED)
        FUZZ_CHECK(tkr_record_same(&item.known, &item.now));
    if (decision == TKR_DECIDE_RESEND) /* what is resent can be sent, and only adds */
        FUZZ_CHECK(tkr_record_same(&item.known, &item.found) && tkr_contribution_delta(&item, &delta));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    struct fuzz_input in = {bytes, count};

    read_bytes(bytes, count);
    decide(&in);
    return 0;
}
