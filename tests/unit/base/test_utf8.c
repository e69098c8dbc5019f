// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/utf8.h"

#include <stdio.h>

// The straightforward definition to hold the code against: a sequence is well-formed when it is
// what encoding its own code point yields, and that code point exists.
static size_t reference_encode(uint32_t code_point, uint8_t ret_bytes[4])
{
    static const uint32_t beyond[] = {0x80, 0x800, 0x10000, 0x110000};
    static const uint8_t marks[] = {0x00, 0xc0, 0xe0, 0xf0};
    size_t size = 1;
    while (code_point >= beyond[size - 1])
        size++;
    for (size_t i = size - 1; i > 0; i--) {
        ret_bytes[i] = (uint8_t)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    ret_bytes[0] = (uint8_t)(marks[size - 1] | code_point);
    return size;
}

// The length of the well-formed sequence at the start of `bytes`, 0 when there is none.
static size_t reference_size(const uint8_t bytes[4], size_t size)
{
    static const uint8_t lead_masks[] = {0x7f, 0x1f, 0x0f, 0x07};
    for (size_t n = 1; n <= size; n++) {
        uint32_t code_point = bytes[0] & lead_masks[n - 1];
        for (size_t i = 1; i < n; i++)
            code_point = code_point << 6 | (bytes[i] & 0x3f);
        if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff))
            continue;
        uint8_t encoded[4];
        if (reference_encode(code_point, encoded) == n && memcmp(encoded, bytes, n) == 0)
            return n;
    }
    return 0;
}

static void check(const uint8_t *bytes, size_t size)
{
    size_t expected = reference_size(bytes, size);
    size_t step = 0;
    const char *p = (const char *)bytes;
    bool valid = kvs_utf8_step(p, p + size, &step);
    if (valid != (expected > 0) || (valid && step != expected) || step == 0 || step > size) {
        print_error("%02x %02x %02x %02x of %zu\n", bytes[0], bytes[1], bytes[2], bytes[3], size);
        fail();
    }
}

static void accepts_exactly_the_well_formed_sequences(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x81, 0xbe, 0xbf, 0xc0, 0xff};
    for (unsigned lead = 0; lead < 256; lead++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t third = 0; third < KVS_ARRAY_SIZE(edges); third++)
                for (size_t fourth = 0; fourth < KVS_ARRAY_SIZE(edges); fourth++) {
                    const uint8_t bytes[] = {(uint8_t)lead, (uint8_t)second, edges[third],
                                             edges[fourth]};
                    for (size_t size = 1; size <= sizeof(bytes); size++)
                        check(bytes, size);
                }
}

static void replaces_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        size_t step;
    } cases[] = {
        {"\x80", 1, 1},
        {"\xc0\x80", 2, 1},
        {"\xe1\x80", 2, 2},
        {"\xe1\x80\xff", 3, 2},
        {"\xe0\x80\x80", 3, 1},
        {"\xed\xa0\x80", 3, 1},
        {"\xf1\x80\x80", 3, 3},
        {"\xf1\x80\x80"
         "A",
         4, 3},
        {"\xf4\x90\x80\x80", 4, 1},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        size_t step = 0;
        assert_false(kvs_utf8_step(cases[i].bytes, cases[i].bytes + cases[i].size, &step));
        assert_int_equal(step, cases[i].step);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_exactly_the_well_formed_sequences),
        cmocka_unit_test(replaces_maximal_subparts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
