// SPDX-License-Identifier: Apache-2.0
// The digest is one over system records and users' data; users' lie behind their tag, so that they
// are a range of it. A separator of the digest is as short as it can be and may end within a
// character, which JSON cannot say: the first key behind it divides the same keys.
#include "node/exchange.h"

#include "auth/crypto.h"
#include "base/utf8.h"
#include "node/ledger.h"
#include "node/tagged.h"

#include <limits.h>

enum { LOOK_EVERY = 1024 };

static const char behind_data = KVS_REPL_TAG_DATA + 1;

struct bound {
    char bytes[1 + 2 * KVS_KEY_SIZE_MAX];
    struct kvs_slice slice;
};

static void set_bound(struct bound *bound, struct kvs_slice key)
{
    bound->bytes[0] = KVS_REPL_TAG_DATA;
    if (key.size > 0)
        memcpy(bound->bytes + 1, key.data, key.size);
    bound->slice = kvs_slice(bound->bytes, 1 + key.size);
}

// KVS_ERR_INVALID: longer than any key could make it. KVS_ERR_FORBIDDEN: a fingerprint or a list of
// keys hides nothing, so whoever may not see everything sees none.
static int set_bounds(const struct kvs_grant *grant, struct kvs_slice start_key,
                      struct kvs_slice end_key, struct bound *ret_first, struct bound *ret_end)
{
    if (!kvs_grant_is_open(grant))
        return KVS_ERR_FORBIDDEN;
    if (start_key.size > sizeof(ret_first->bytes) - 1 || end_key.size > sizeof(ret_end->bytes) - 1)
        return KVS_ERR_INVALID;
    set_bound(ret_first, start_key);
    set_bound(ret_end, end_key);
    if (end_key.size == 0)
        ret_end->slice = kvs_slice(&behind_data, 1);
    return 0;
}

int kvs_node_fingerprint(struct kvs_node *node, const struct kvs_grant *grant,
                         struct kvs_slice start_key, struct kvs_slice end_key,
                         struct kvs_fingerprint *ret_fingerprint)
{
    struct bound first;
    struct bound end;
    int err = set_bounds(grant, start_key, end_key, &first, &end);
    return err ? err : kvs_ledger_range(node->ledger, first.slice, end.slice, ret_fingerprint);
}

// ---- Tags

// The digest's own key serves for sums, which are linear; what is shown is hashed under one derived
// from it.
static void tag_key(struct kvs_node *node, uint8_t ret_key[static KVS_SHA256_SIZE])
{
    static const char info[] = "kvs fingerprints as clients see them";
    struct kvs_digest_key digest = kvs_ledger_key(node->ledger);
    char text[sizeof(info) + sizeof(digest.bytes)];
    memcpy(text, info, sizeof(info));
    memcpy(text + sizeof(info), digest.bytes, sizeof(digest.bytes));
    kvs_auth_sha256(kvs_slice(text, sizeof(text)), ret_key);
}

static void hash_under_key(struct kvs_node *node, struct kvs_slice text, struct kvs_uuid *ret_hash)
{
    uint8_t key[KVS_SHA256_SIZE];
    uint8_t mac[KVS_SHA256_SIZE];
    tag_key(node, key);
    kvs_auth_hmac_sha256(key, text, mac);
    memcpy(ret_hash->bytes, mac, sizeof(ret_hash->bytes));
}

void kvs_node_fingerprint_tag(struct kvs_node *node, struct kvs_fingerprint fingerprint,
                              struct kvs_uuid *ret_tag)
{
    const uint64_t words[] = {fingerprint.sum.lo, fingerprint.sum.hi, fingerprint.count};
    unsigned char bytes[sizeof(words)];
    for (size_t i = 0; i < sizeof(bytes); i++) // the same on every machine
        bytes[i] = (unsigned char)(words[i / 8] >> (8 * (i % 8)));
    hash_under_key(node, kvs_slice((const char *)bytes, sizeof(bytes)), ret_tag);
}

void kvs_node_digest_id(struct kvs_node *node, struct kvs_uuid *ret_id)
{
    hash_under_key(node, KVS_SLICE("id"), ret_id);
}

// ---- Keys

struct listing {
    kvs_node_key_fn *visit;
    void *ctx;
};

static bool list_one(void *ctx, const struct kvs_current *current)
{
    const struct listing *listing = ctx;
    return listing->visit(listing->ctx, current->key);
}

int kvs_node_keys(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice start_key,
                  struct kvs_slice end_key, kvs_node_key_fn *visit, void *ctx)
{
    struct bound first;
    struct bound end;
    struct listing listing = {visit, ctx};
    int err = set_bounds(grant, start_key, end_key, &first, &end);
    return err ? err : kvs_node_each_current(node, first.slice, end.slice, list_one, &listing);
}

struct versions {
    kvs_node_version_fn *visit;
    void *ctx;
};

static bool list_version(void *ctx, const struct kvs_current *current)
{
    const struct versions *versions = ctx;
    return versions->visit(versions->ctx, current->key, &current->version);
}

int kvs_node_versions(struct kvs_node *node, const struct kvs_grant *grant,
                      struct kvs_slice start_key, struct kvs_slice end_key,
                      kvs_node_version_fn *visit, void *ctx)
{
    struct bound first;
    struct bound end;
    struct versions versions = {visit, ctx};
    int err = set_bounds(grant, start_key, end_key, &first, &end);
    return err ? err : kvs_node_each_current(node, first.slice, end.slice, list_version, &versions);
}

// ---- Parts

struct splitting {
    struct kvs_node *node;
    struct kvs_slice end;
    kvs_node_part_fn *visit;
    void *ctx;
    struct kvs_tagged key; // the first one behind a separator
    int err;
};

static bool is_text(struct kvs_slice bytes)
{
    for (const char *p = bytes.data; p < bytes.data + bytes.size;) {
        size_t size;
        if (!kvs_utf8_step(p, bytes.data + bytes.size, &size))
            return false;
        p += size;
    }
    return true;
}

static bool take_first(void *ctx, const struct kvs_current *current)
{
    struct splitting *splitting = ctx;
    kvs_tagged_set(&splitting->key, current->key);
    return false;
}

static bool visit_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint fingerprint)
{
    struct splitting *splitting = ctx;
    if (!is_text(first)) {
        splitting->key.size = 0;
        splitting->err =
            kvs_node_each_current(splitting->node, first, splitting->end, take_first, splitting);
        if (splitting->err)
            return false;
        if (splitting->key.size == 0)
            return true; // what was counted there has just been forgotten
        first = kvs_tagged_slice(&splitting->key);
    }
    return splitting->visit(splitting->ctx, kvs_slice(first.data + 1, first.size - 1), fingerprint);
}

int kvs_node_split(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice start_key,
                   struct kvs_slice end_key, uint32_t parts, kvs_node_part_fn *visit, void *ctx)
{
    struct bound first;
    struct bound end;
    int err = set_bounds(grant, start_key, end_key, &first, &end);
    if (err)
        return err;
    struct splitting splitting = {.node = node, .end = end.slice, .visit = visit, .ctx = ctx};
    err = kvs_ledger_split(node->ledger, first.slice, end.slice, parts, visit_part, &splitting);
    return err ? err : splitting.err;
}

// ---- By time

struct walk {
    struct kvs_node *node;
    const struct kvs_node_times *times;
    struct kvs_store_iter *by_time, *versions;
    int64_t now_ms;
    uint64_t steps;
    bool stopped;
};

static int visit_time(struct walk *walk, int64_t timestamp, struct kvs_slice key)
{
    struct kvs_current current;
    int err = kvs_node_current_at(walk->node, walk->versions, key, &current);
    if (err == KVS_ERR_NOT_FOUND || err == KVS_ERR_CORRUPT)
        return 0; // removed, or damaged and reported by whoever reads it
    if (!err && !current.damaged && current.version.timestamp == timestamp &&
        kvs_version_is_visible(&current.version, walk->now_ms))
        walk->stopped = !walk->times->visit(walk->times->ctx, key, &current.version);
    return err;
}

static int walk_times(struct walk *walk)
{
    const struct kvs_node_times *times = walk->times;
    for (; kvs_store_iter_valid(walk->by_time) && !walk->stopped;
         kvs_store_iter_prev(walk->by_time)) {
        int64_t timestamp = 0;
        struct kvs_slice key;
        if (times->go_on && ++walk->steps % LOOK_EVERY == 0 && !times->go_on(times->ctx))
            return KVS_ERR_SHUTDOWN;
        if (!kvs_time_key_decode(kvs_store_iter_key(walk->by_time), &timestamp, &key) ||
            key.size > KVS_KEY_SIZE_MAX || kvs_key_is_system(key) || timestamp >= times->end_ms)
            continue;
        if (timestamp < times->start_ms)
            return 0;
        int err = kvs_slice_starts_with(key, times->prefix) ? visit_time(walk, timestamp, key) : 0;
        if (err)
            return err;
    }
    return kvs_store_iter_error(walk->by_time);
}

int kvs_node_times(struct kvs_node *node, const struct kvs_grant *grant,
                   const struct kvs_node_times *times)
{
    if (!kvs_grant_is_open(grant))
        return KVS_ERR_FORBIDDEN;
    const struct kvs_store_iter_options all = {.mode = KVS_READ_DISK, .skip_cache_fill = true};
    const struct kvs_store_iter_options one = {.mode = KVS_READ_DISK, .prefix_only = true};
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf from = KVS_BUF_INIT(64);
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *by_time = kvs_store_iter_new(node->store, KVS_FAMILY_BY_TIME, &all);
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *versions = kvs_store_iter_new(node->store, KVS_FAMILY_DATA, &one);
    // A user's key never begins with it, and system keys lie behind all of them.
    kvs_by_time_key_encode(&from, times->end_ms, KVS_SLICE("\0"));
    if (!by_time || !versions || from.err)
        return KVS_ERR_NOMEM;
    struct walk walk = {.node = node,
                        .times = times,
                        .by_time = by_time,
                        .versions = versions,
                        .now_ms = kvs_clock_wall_ms(node->options.clock)};
    kvs_store_iter_seek_before(by_time, kvs_buf_slice(&from));
    return walk_times(&walk);
}
