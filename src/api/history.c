// SPDX-License-Identifier: Apache-2.0
// GET /api/data/{key}/history and …/history/{n}: a key's versions, newest first. Deletions and
// expired versions are listed without their data: "data":null and "deleted":true or "expired":true.
// A version that lost against a concurrent one is marked "conflict":true.
//
// Always on a worker: a history may be a thousand values, and nobody polls it.
#include "api/api_internal.h"

enum {
    // Far above the default `revisions` times max_json_size; keeps extreme settings from filling
    // the memory.
    HISTORY_BYTES_MAX = 64 * 1024 * 1024,
    ENTRY_OVERHEAD = 256, // what append_revision adds around the data
};

int kvs_api_revision_number(struct kvs_api_call *call, uint32_t *ret_revision)
{
    uint64_t revision = 0;
    if (!kvs_slice_to_u64(call->number, &revision) || revision < 1 ||
        revision > call->api->options.revisions)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "A revision is a number from 1 (the newest) to %u.",
                            call->api->options.revisions);
    *ret_revision = (uint32_t)revision;
    return 0;
}

struct history_reader {
    struct kvs_api_call *call;
    int64_t now_ms;
    uint32_t only; // this revision alone; 0 = all
    bool found;
    bool too_large;
};

static void append_revision(struct history_reader *reader, uint32_t revision,
                            const struct kvs_version *version, struct kvs_slice json)
{
    struct kvs_buf *out = &reader->call->exchange->response.body;
    kvs_api_body_allow(reader->call, out->size + json.size + ENTRY_OVERHEAD);
    if (reader->found)
        kvs_buf_append_char(out, ',');
    kvs_buf_append_slice(out, KVS_SLICE("{\"revision\":"));
    kvs_buf_append_u64(out, revision);
    kvs_buf_append_char(out, ',');
    kvs_api_append_version(out, version);
    kvs_buf_append_slice(out, KVS_SLICE(",\"data\":"));
    if (kvs_version_is_tombstone(version))
        kvs_buf_append_slice(out, KVS_SLICE("null,\"deleted\":true"));
    else if (!kvs_version_is_visible(version, reader->now_ms))
        kvs_buf_append_slice(out, KVS_SLICE("null,\"expired\":true"));
    else
        kvs_buf_append_slice(out, json);
    if (version->flags & KVS_VERSION_CONFLICT_LOSER)
        kvs_buf_append_slice(out, KVS_SLICE(",\"conflict\":true"));
    kvs_buf_append_char(out, '}');
}

static bool visit(void *ctx, uint32_t revision, const struct kvs_version *version,
                  struct kvs_slice json)
{
    struct history_reader *reader = ctx;
    if (reader->only != 0 && revision != reader->only)
        return true;
    append_revision(reader, revision, version, json);
    reader->found = true;
    if (reader->only != 0)
        return false;
    reader->too_large = reader->call->exchange->response.body.size > HISTORY_BYTES_MAX;
    return !reader->too_large;
}

static int read_history(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    struct kvs_http_response *response = &call->exchange->response;
    struct history_reader reader = {
        .call = call,
        .now_ms = kvs_clock_wall_ms(call->api->options.clock),
        .only = *(const uint32_t *)call->input,
    };
    response->status = 200;
    response->content_type = "application/json";
    if (reader.only == 0)
        kvs_buf_append_char(&response->body, '[');
    uint32_t count = 0;
    int err = kvs_node_history(call->api->options.node, call->grant, call->key, mode, visit,
                               &reader, &count);
    if (err)
        return err;
    if (!reader.found && reader.only > 1)
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "\"%.*s\" has no revision %u.",
                            KVS_SLICE_FMT(call->key), reader.only);
    if (!reader.found)
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND, "\"%.*s\" has no history.",
                            KVS_SLICE_FMT(call->key));
    if (reader.too_large)
        return kvs_api_fail(call, KVS_ERR_TOO_LARGE,
                            "This history is longer than %d bytes: read it revision by revision.",
                            HISTORY_BYTES_MAX);
    if (reader.only == 0)
        kvs_buf_append_char(&response->body, ']');
    return 0;
}

static void start(struct kvs_api_call *call, bool numbered)
{
    uint32_t *only = kvs_api_alloc(call, sizeof(*only));
    int err = only ? kvs_api_query(call, NULL, 0) : KVS_ERR_NOMEM;
    if (!err) {
        *only = 0;
        call->input = only;
        err = numbered ? kvs_api_revision_number(call, only) : 0;
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_history);
}

void kvs_api_history(struct kvs_api_call *call)
{
    start(call, false);
}

void kvs_api_revision(struct kvs_api_call *call)
{
    start(call, true);
}
