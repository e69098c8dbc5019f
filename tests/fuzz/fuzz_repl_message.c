// SPDX-License-Identifier: Apache-2.0
// Any bytes as a replication message; what decodes is encoded again and must decode to the same
// bytes.
#include "base/assert.h"
#include "repl/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_arena arena;
    struct kvs_arena again;
    kvs_arena_init(&arena, 1 << 26);
    kvs_arena_init(&again, 1 << 26);
    struct kvs_buf first = KVS_BUF_INIT(1 << 26);
    struct kvs_buf second = KVS_BUF_INIT(1 << 26);
    struct kvs_repl_message message;
    if (kvs_repl_message_decode(kvs_slice(data, size), &arena, &message) == 0) {
        kvs_repl_message_encode(&message, &first);
        kvs_assert(first.err == 0);
        kvs_assert(kvs_repl_message_decode(kvs_buf_slice(&first), &again, &message) == 0);
        kvs_repl_message_encode(&message, &second);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&first), kvs_buf_slice(&second)));
    }
    kvs_buf_done(&first);
    kvs_buf_done(&second);
    kvs_arena_done(&arena);
    kvs_arena_done(&again);
    return 0;
}
