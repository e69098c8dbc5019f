// SPDX-License-Identifier: Apache-2.0
// The same tests over the real node and store.
#define KVS_TEST_REAL_NODE
#include "test_data_patch.c"
