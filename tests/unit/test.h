// SPDX-License-Identifier: Apache-2.0
// What every unit test includes: cmocka with the headers it wants before it.
#ifndef KVS_TESTS_UNIT_TEST_H
#define KVS_TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define assert_slice_equal(slice, literal)                                                         \
    do {                                                                                           \
        assert_int_equal((slice).size, sizeof(literal) - 1);                                       \
        assert_memory_equal((slice).data, (literal), sizeof(literal) - 1);                         \
    } while (0)

#endif
