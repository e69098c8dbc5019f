// SPDX-License-Identifier: Apache-2.0
// kvs_assert is for our own bugs only and stays on in production. Bytes from users, peers or disk
// never reach one unchecked. One condition each.
#ifndef KVS_BASE_ASSERT_H
#define KVS_BASE_ASSERT_H

#define kvs_assert(condition)                                                                      \
    ((condition) ? (void)0 : kvs_assert_fail(#condition, __FILE__, __LINE__, __func__))

// Prints one line to stderr and aborts.
_Noreturn void kvs_assert_fail(const char *condition, const char *file, int line,
                               const char *function);

#endif
