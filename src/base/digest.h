/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): 64 bits of any bytes under a key of 128. Who does not
 * know the key learns nothing of the bytes, and cannot make two texts that meet.
 */
#ifndef TKR_BASE_DIGEST_H
#define TKR_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct tkr_digest_key {
    uint64_t word[2];
};

/* The same on every machine: words are taken from the bytes in little-endian order. */
uint64_t tkr_digest(const struct tkr_digest_key *key, const void *bytes, size_t len);

#endif
