/* SPDX-License-Identifier: Apache-2.0 */
/* What all fuzz targets share: a check that survives NDEBUG, and taking the input apart. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_CHECK(claim)                                                             \
    do {                                                                              \
        if (!(claim)) {                                                               \
            (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim); \
            abort();                                                                  \
        }                                                                             \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* The input, taken from the front. At its end everything is 0. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline void fuzz_take(struct fuzz_input *in, void *ret_bytes, size_t count)
{
    size_t there = count < in->left ? count : in->left;

    memset(ret_bytes, 0, count);
    if (there > 0)
        memcpy(ret_bytes, in->at, there);
    in->at += there;
    in->left -= there;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
    uint8_t n;

    fuzz_take(in, &n, sizeof(n));
    return n;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
    uint16_t n;

    fuzz_take(in, &n, sizeof(n));
    return n;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
    uint64_t n;

    fuzz_take(in, &n, sizeof(n));
    return n;
}

/* A copy with nothing behind it, so that reading one byte too far is seen. Freed by the caller. */
static inline void *fuzz_exact(const void *bytes, size_t count)
{
    void *copy = malloc(count > 0 ? count : 1);

    FUZZ_CHECK(copy != NULL);
    if (count > 0)
        memcpy(copy, bytes, count);
    return copy;
}

#endif
