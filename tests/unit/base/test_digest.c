/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4: the authors' vectors, key and bytes 0, 1, 2, ... */
#include "base/digest.h"
#include "support/test.h"

static const struct tkr_digest_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

static void test_digest_gives_the_vectors_of_its_authors(void **state)
{
    static const struct {
        size_t len;
        uint64_t digest;
    } vectors[] = {{0, UINT64_C(0x726fdb47dd0e0e31)}, {1, UINT64_C(0x74f839c593dc67fd)},  {7, UINT64_C(0xab0200f58b01d137)},
                   {8, UINT64_C(0x93f5f5799a932462)}, {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)}};
    unsigned char bytes[64];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
        assert_true(tkr_digest(&key, bytes, vectors[i].len) == vectors[i].digest);
}

static void test_digest_depends_on_every_bit_of_the_key(void **state)
{
    uint64_t digest = tkr_digest(&key, "alice", 5);

    (void)state;
    for (unsigned bit = 0; bit < 128; bit++) {
        struct tkr_digest_key other = key;
        other.word[bit / 64] ^= UINT64_C(1) << bit % 64;
        assert_true(tkr_digest(&other, "alice", 5) != digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_gives_the_vectors_of_its_authors),
        cmocka_unit_test(test_digest_depends_on_every_bit_of_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
