// SPDX-License-Identifier: Apache-2.0
// Comparing with a foreign peer: GET /merkle_tree/root and POST /merkle_tree/diff, from the digest
// (decision 0032). A tree node is a range [start_key, end_key) of user keys, an empty bound being
// open, and an opaque hash of what lies in it. The server keeps no state: any range may be asked
// for.
#include "api/peer_body.h"

#include "node/exchange.h"

#include <openssl/evp.h>

enum {
    PARTS = KVS_DIGEST_FANOUT,
    LISTED_MAX = 64, // a range with so many keys is answered with them
    HASH_BYTES = 24,
    HASH_TEXT = HASH_BYTES / 3 * 4,
    HASH_TEXT_MAX = 1024, // of whatever a peer sends as one
    KEY_TEXT_MAX = 6 * KVS_KEY_SIZE_MAX + 16,
};

static struct kvs_node *node_of(const struct kvs_api_call *call)
{
    return call->api->options.node;
}

// ---- Hashes

static void put_u64(unsigned char *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (unsigned char)value;
}

// Base64 of sum and count.
static void hash_text(struct kvs_fingerprint fingerprint, char ret_text[static HASH_TEXT + 1])
{
    unsigned char bytes[HASH_BYTES];
    put_u64(bytes, fingerprint.sum.hi);
    put_u64(bytes + 8, fingerprint.sum.lo);
    put_u64(bytes + 16, fingerprint.count);
    (void)EVP_EncodeBlock((unsigned char *)ret_text, bytes, HASH_BYTES); // cannot fail
}

static void append_node(struct kvs_api_call *call, struct kvs_fingerprint fingerprint,
                        struct kvs_slice start_key, struct kvs_slice end_key)
{
    struct kvs_buf *out = &call->exchange->response.body;
    char hash[HASH_TEXT + 1];
    hash_text(fingerprint, hash);
    kvs_api_body_allow(call, out->size + 2 * KEY_TEXT_MAX + 128);
    kvs_buf_append_slice(out, KVS_SLICE("{\"hash\":\""));
    kvs_buf_append(out, hash, HASH_TEXT);
    kvs_buf_append_slice(out, KVS_SLICE("\",\"start_key\":"));
    kvs_json_write_string(out, start_key);
    kvs_buf_append_slice(out, KVS_SLICE(",\"end_key\":"));
    kvs_json_write_string(out, end_key);
    kvs_buf_append_char(out, '}');
}

static struct kvs_buf *begin(struct kvs_api_call *call)
{
    struct kvs_http_response *response = &call->exchange->response;
    response->status = 200;
    response->content_type = "application/json";
    return &response->body;
}

// ---- GET /merkle_tree/root

static int read_root(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    struct kvs_fingerprint fingerprint;
    int err = kvs_node_fingerprint(node_of(call), call->grant, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY,
                                   &fingerprint);
    if (err)
        return err;
    struct kvs_buf *out = begin(call);
    kvs_buf_append_slice(out, KVS_SLICE("{\"root\":"));
    append_node(call, fingerprint, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
    kvs_buf_append_char(out, '}');
    return 0;
}

void kvs_api_merkle_root(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_root);
}

void kvs_api_merkle_root_alias(struct kvs_api_call *call)
{
    kvs_api_merkle_root(call);
}

// ---- POST /merkle_tree/diff

struct diff {
    struct kvs_api_call *call;
    struct kvs_slice start_key, end_key;
    struct kvs_slice hash; // the caller's
    // While answering.
    struct part {
        struct kvs_slice start_key;
        struct kvs_fingerprint fingerprint;
    } parts[2 * PARTS + 2];
    size_t part_count;
    size_t key_count;
    int err;
};

static bool list_key(void *ctx, struct kvs_slice key)
{
    struct diff *diff = ctx;
    struct kvs_buf *out = &diff->call->exchange->response.body;
    kvs_api_body_allow(diff->call, out->size + KEY_TEXT_MAX);
    if (diff->key_count++ > 0)
        kvs_buf_append_char(out, ',');
    kvs_json_write_string(out, key);
    return true;
}

static int answer_keys(struct diff *diff)
{
    struct kvs_buf *out = begin(diff->call);
    kvs_buf_append_slice(out, KVS_SLICE("{\"keys\":["));
    int err = kvs_node_keys(node_of(diff->call), diff->call->grant, diff->start_key, diff->end_key,
                            list_key, diff);
    kvs_buf_append_slice(out, KVS_SLICE("]}"));
    return err;
}

static bool keep_part(void *ctx, struct kvs_slice start_key, struct kvs_fingerprint fingerprint)
{
    struct diff *diff = ctx;
    struct kvs_slice copy = kvs_arena_copy(&diff->call->exchange->arena, start_key);
    if (!copy.data || diff->part_count == KVS_ARRAY_SIZE(diff->parts)) {
        diff->err = KVS_ERR_NOMEM;
        return false;
    }
    diff->parts[diff->part_count++] = (struct part){copy, fingerprint};
    return true;
}

static int answer_children(struct diff *diff)
{
    struct kvs_api_call *call = diff->call;
    int err = kvs_node_split(node_of(call), call->grant, diff->start_key, diff->end_key, PARTS,
                             keep_part, diff);
    err = err ? err : diff->err;
    if (err)
        return err;
    if (diff->part_count < 2) // it has shrunk meanwhile: one child would lead nowhere
        return answer_keys(diff);
    struct kvs_buf *out = begin(call);
    kvs_buf_append_slice(out, KVS_SLICE("{\"children\":["));
    diff->parts[0].start_key = diff->start_key;
    for (size_t i = 0; i < diff->part_count; i++) {
        bool last = i + 1 == diff->part_count;
        if (i > 0)
            kvs_buf_append_char(out, ',');
        append_node(call, diff->parts[i].fingerprint, diff->parts[i].start_key,
                    last ? diff->end_key : diff->parts[i + 1].start_key);
    }
    kvs_buf_append_slice(out, KVS_SLICE("]}"));
    return 0;
}

static int read_diff(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    struct diff *diff = call->input;
    struct kvs_fingerprint fingerprint;
    char hash[HASH_TEXT + 1];
    int err = kvs_node_fingerprint(node_of(call), call->grant, diff->start_key, diff->end_key,
                                   &fingerprint);
    if (err)
        return err;
    hash_text(fingerprint, hash);
    if (kvs_slice_eq(diff->hash, kvs_slice(hash, HASH_TEXT))) {
        kvs_buf_append_slice(begin(call), KVS_SLICE("{}"));
        return 0;
    }
    return fingerprint.count <= LISTED_MAX ? answer_keys(diff) : answer_children(diff);
}

static int read_hash(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                     struct kvs_slice *ret_hash)
{
    int err = kvs_peer_body_string(call, object, name, false, ret_hash);
    if (!err && ret_hash->size > HASH_TEXT_MAX)
        err = kvs_api_fail(call, KVS_ERR_INVALID, "The member \"%s\" is longer than %d bytes.",
                           name, HASH_TEXT_MAX);
    return err;
}

static int read_parent(struct diff *diff, const struct kvs_json *root)
{
    struct kvs_api_call *call = diff->call;
    const struct kvs_json *parent = kvs_json_member(root, "parent_node");
    struct kvs_slice ignored;
    if (!parent || parent->type != KVS_JSON_OBJECT)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The member \"parent_node\" must be an object with hash, start_key and "
                            "end_key, such as GET /merkle_tree/root gives.");
    int err = read_hash(call, parent, "hash", &ignored);
    if (!err)
        err = kvs_peer_body_bound(call, parent, "start_key", &diff->start_key);
    if (!err)
        err = kvs_peer_body_bound(call, parent, "end_key", &diff->end_key);
    if (!err && diff->end_key.size > 0 && kvs_slice_cmp(diff->start_key, diff->end_key) >= 0)
        err = kvs_api_fail(call, KVS_ERR_INVALID,
                           "\"start_key\" must be less than \"end_key\", in byte order.");
    return err;
}

void kvs_api_merkle_diff(struct kvs_api_call *call)
{
    const struct kvs_json *root = NULL;
    struct diff *diff = kvs_api_alloc(call, sizeof(*diff));
    int err = diff ? kvs_api_query(call, NULL, 0) : KVS_ERR_NOMEM;
    if (!err) {
        *diff = (struct diff){.call = call};
        call->input = diff;
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    }
    if (!err)
        err = read_parent(diff, root);
    if (!err)
        err = read_hash(call, root, "local_hash", &diff->hash);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_diff);
}
