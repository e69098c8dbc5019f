// SPDX-License-Identifier: Apache-2.0
// Percent coding and query parameters: encoding and decoding undo each other, and what a query says
// does not depend on how it is escaped.
#include "base/assert.h"
#include "codec/http.h"

enum { MEMORY_MAX = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(struct kvs_slice raw, struct kvs_arena *arena)
{
    for (int keep_slash = 0; keep_slash <= 1; keep_slash++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf encoded = KVS_BUF_INIT(MEMORY_MAX);
        kvs_percent_encode(&encoded, raw, keep_slash);
        if (encoded.err)
            return; // larger than a URL ever is
        struct kvs_slice decoded;
        int err = kvs_percent_decode(arena, kvs_buf_slice(&encoded), &decoded);
        if (err == KVS_ERR_NOMEM)
            return;
        kvs_assert(err == 0);
        kvs_assert(kvs_slice_eq(decoded, raw));
    }
}

static void check_query(struct kvs_slice query, const char *name, struct kvs_arena *arena)
{
    struct kvs_http_request request = {.query = query, .has_query = true};
    struct kvs_slice value;
    bool found = false;
    if (kvs_http_query_get(&request, arena, name, &value, &found) != 0 || !found)
        return;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
    kvs_buf_append_str(&again, "x&");
    kvs_percent_encode(&again, kvs_slice_from_str(name), false);
    kvs_buf_append_char(&again, '=');
    kvs_percent_encode(&again, value, false);
    if (again.err)
        return;
    request.query = kvs_buf_slice(&again);
    struct kvs_slice same;
    bool found_again = false;
    int err = kvs_http_query_get(&request, arena, name, &same, &found_again);
    if (err == KVS_ERR_NOMEM)
        return;
    kvs_assert(err == 0);
    kvs_assert(found_again);
    kvs_assert(kvs_slice_eq(value, same));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_arena arena;
    kvs_arena_init(&arena, MEMORY_MAX);
    struct kvs_slice input = kvs_slice(data, size);
    struct kvs_slice decoded;
    if (kvs_percent_decode(&arena, input, &decoded) == 0)
        check_round_trip(decoded, &arena);
    check_round_trip(input, &arena);
    check_query(input, "prefix", &arena);
    check_query(input, "ttl", &arena);
    check_query(input, "", &arena);
    kvs_arena_done(&arena);
    return 0;
}
