// SPDX-License-Identifier: Apache-2.0
// The entity tag of a listing: the digest's fingerprint of everything that begins with its prefix,
// deletions included. The digest is kept up to date write by write, so that "did anything under
// /app change?" reads next to nothing, and nodes that hold the same data answer the same tag.
//
// A fingerprint hides nothing: only who may read every key there could be under the prefix gets
// one. Others could see by it that something which is hidden from them changes.
#include "api/api_internal.h"

#include "node/cluster.h"
#include "node/exchange.h"

int kvs_api_behind_prefix(struct kvs_api_call *call, struct kvs_slice prefix,
                          struct kvs_slice *ret_end)
{
    *ret_end = KVS_SLICE_EMPTY;
    if (prefix.size == 0)
        return 0;
    char *bytes = kvs_api_alloc(call, prefix.size);
    if (!bytes)
        return KVS_ERR_NOMEM;
    memcpy(bytes, prefix.data, prefix.size);
    bytes[prefix.size - 1]++; // valid UTF-8: never 0xff
    *ret_end = kvs_slice(bytes, prefix.size);
    return 0;
}

static bool matches(const struct kvs_api_tags *tags, const struct kvs_uuid *tag)
{
    for (size_t i = 0; i < tags->count; i++)
        if (kvs_uuid_cmp(&tags->uuids[i], tag) == 0)
            return true;
    return tags->any;
}

int kvs_api_fingerprint_judge(struct kvs_api_call *call, struct kvs_slice prefix,
                              bool *ret_unchanged)
{
    struct kvs_node *node = call->api->options.node;
    struct kvs_buf *headers = &call->exchange->response.headers;
    struct kvs_api_conditions conditions;
    struct kvs_fingerprint fingerprint;
    *ret_unchanged = false;
    int err = kvs_api_conditions_read(call, &conditions);
    if (err || !kvs_node_is_clustered(node) || !kvs_grant_reads_below(call->grant, prefix))
        return err;
    struct kvs_slice end = KVS_SLICE_EMPTY;
    err = kvs_api_behind_prefix(call, prefix, &end);
    if (!err)
        err = kvs_node_fingerprint(node, kvs_auth_open_grant(), prefix, end, &fingerprint);
    if (err)
        return err == KVS_ERR_CORRUPT ? 0 : err; // a busy digest: the listing without a tag
    struct kvs_uuid tag;
    kvs_node_fingerprint_tag(node, fingerprint, &tag);
    *ret_unchanged = conditions.if_none_match.present && matches(&conditions.if_none_match, &tag);
    kvs_buf_append_slice(headers, KVS_SLICE("ETag: W/\""));
    kvs_api_append_uuid(headers, &tag);
    kvs_buf_append_slice(headers, KVS_SLICE("\"\r\nCache-Control: no-cache\r\n"));
    return 0;
}
