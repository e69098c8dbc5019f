// SPDX-License-Identifier: Apache-2.0
// Listings and ranges, page by page. Any thread.
#include <string.h>

#include "base/assert.h"
#include "client/client_internal.h"

static bool read_expiry(const struct kvs_json *object, int64_t *ret_expires_ms)
{
    const struct kvs_json *expires = kvs_json_member(object, "expires_timestamp");
    return !expires || kvs_json_to_i64(expires, ret_expires_ms);
}

// What a listing and a stored value have in common.
static bool read_stored(const struct kvs_json *object, struct kvs_client_memory *memory,
                        struct kvs_client_entry *ret_entry)
{
    const struct kvs_json *data = kvs_json_member(object, "data");
    return read_expiry(object, &ret_entry->expires_ms) &&
           kvs_client_read_version(object, memory, &ret_entry->version) &&
           (!data || kvs_client_read_json(data, &ret_entry->json, &ret_entry->json_size));
}

static bool read_entry(const struct kvs_json *object, struct kvs_client_memory *memory,
                       struct kvs_client_entry *ret_entry)
{
    return read_stored(object, memory, ret_entry) &&
           kvs_client_read_text(kvs_json_member(object, "path"), memory, &ret_entry->key);
}

static struct kvs_client_entry *new_entries(struct kvs_client_memory *memory, size_t count)
{
    struct kvs_client_entry *entries =
        kvs_arena_alloc(&memory->arena, (count + 1) * sizeof(*entries));
    if (entries)
        memset(entries, 0, (count + 1) * sizeof(*entries));
    return entries;
}

// Keys and prefixes come as two sorted lists; the caller sees one.
static bool merge_entries(const struct kvs_json *keys, const struct kvs_json *prefixes,
                          struct kvs_client_memory *memory, struct kvs_client_listing *ret_listing)
{
    size_t count = (size_t)keys->child_count + prefixes->child_count;
    struct kvs_client_entry *entries = new_entries(memory, count);
    struct kvs_client_entry next_key = {0};
    struct kvs_client_entry next_prefix = {.is_prefix = true};
    const struct kvs_json *key = keys->child;
    const struct kvs_json *prefix = prefixes->child;
    for (size_t i = 0; entries && i < count; i++) {
        if (key && !next_key.key && !read_entry(key, memory, &next_key))
            return false;
        if (prefix && !next_prefix.key && !kvs_client_read_text(prefix, memory, &next_prefix.key))
            return false;
        if (!prefix || (key && strcmp(next_key.key, next_prefix.key) < 0)) {
            kvs_assert(key);
            entries[i] = next_key;
            next_key = (struct kvs_client_entry){0};
            key = key->next;
        } else {
            entries[i] = next_prefix;
            next_prefix = (struct kvs_client_entry){.is_prefix = true};
            prefix = prefix->next;
        }
    }
    ret_listing->entries = entries;
    ret_listing->entry_count = count;
    return entries != NULL;
}

static bool read_pairs(const struct kvs_json *pairs, struct kvs_client_memory *memory,
                       struct kvs_client_listing *ret_listing)
{
    struct kvs_client_entry *entries = new_entries(memory, pairs->child_count);
    if (!entries)
        return false;
    size_t count = 0;
    for (const struct kvs_json *pair = pairs->child; pair; pair = pair->next) {
        struct kvs_client_entry *entry = &entries[count++];
        if (!read_stored(kvs_json_member(pair, "stored_value"), memory, entry) || !entry->json ||
            !kvs_client_read_text(kvs_json_member(pair, "path"), memory, &entry->key))
            return false;
    }
    ret_listing->entries = entries;
    ret_listing->entry_count = count;
    return true;
}

static bool is_array(const struct kvs_json *value)
{
    return value && value->type == KVS_JSON_ARRAY;
}

// Of both kinds: {"keys","prefixes","next"} and {"pairs","next"}.
static enum kvs_client_code read_listing(struct kvs_client_call *call,
                                         struct kvs_client_listing *ret_listing,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_memory_freep) struct kvs_client_memory *memory = NULL;
    struct kvs_client_listing listing = {0};
    struct kvs_json *root = NULL;
    enum kvs_client_code code = kvs_client_answer_take(call, &memory, &root, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    const struct kvs_json *keys = kvs_json_member(root, "keys");
    const struct kvs_json *prefixes = kvs_json_member(root, "prefixes");
    const struct kvs_json *pairs = kvs_json_member(root, "pairs");
    const struct kvs_json *next = kvs_json_member(root, "next");
    bool good = is_array(pairs) ? read_pairs(pairs, memory, &listing)
                                : is_array(keys) && is_array(prefixes) &&
                                      merge_entries(keys, prefixes, memory, &listing);
    if (good && next && next->type != KVS_JSON_NULL)
        good = kvs_client_read_text(next, memory, &listing.next);
    if (!good)
        return kvs_client_fail_unexpected(call, ret_error);
    listing.memory = KVS_TAKE(memory);
    *ret_listing = listing;
    return KVS_CLIENT_OK;
}

void kvs_client_listing_done(struct kvs_client_listing *listing)
{
    kvs_client_memory_free(listing->memory);
    *listing = (struct kvs_client_listing){0};
}

static enum kvs_client_code fetch(struct kvs_client *client, struct kvs_buf *target, uint32_t limit,
                                  const char *cursor, bool expiry,
                                  struct kvs_client_listing *ret_listing,
                                  struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_client_call_endp) struct kvs_client_call *call = NULL;
    if (limit > 0)
        kvs_client_target_add_number(target, "limit", limit);
    kvs_client_target_add(target, "cursor", cursor);
    kvs_client_target_add(target, "expires", expiry ? "1" : NULL);
    if (target->err)
        return kvs_client_fail_nomem(ret_error);
    const struct kvs_client_request request = {.method = "GET", .target = kvs_buf_slice(target)};
    enum kvs_client_code code = kvs_client_perform(client, &request, &call, ret_error);
    return code == KVS_CLIENT_OK ? read_listing(call, ret_listing, ret_error) : code;
}

enum kvs_client_code kvs_client_list(struct kvs_client *client,
                                     const struct kvs_client_list_options *options,
                                     struct kvs_client_listing *ret_listing,
                                     struct kvs_client_error *ret_error)
{
    static const struct kvs_client_list_options defaults;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    if (!options)
        options = &defaults;
    kvs_buf_append_str(&target, "/kv/");
    kvs_client_target_add(&target, "prefix", options->prefix);
    kvs_client_target_add(&target, "delimiter", options->children ? "/" : NULL);
    kvs_client_target_add(&target, "values", options->values ? "1" : NULL);
    return fetch(client, &target, options->limit, options->cursor, options->expiry, ret_listing,
                 ret_error);
}

enum kvs_client_code kvs_client_range(struct kvs_client *client,
                                      const struct kvs_client_range_options *options,
                                      struct kvs_client_listing *ret_listing,
                                      struct kvs_client_error *ret_error)
{
    static const struct kvs_client_range_options defaults;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(KVS_CLIENT_TARGET_SIZE_MAX);
    if (!options)
        options = &defaults;
    kvs_buf_append_str(&target, "/kv/_range");
    kvs_client_target_add(&target, "start_key", options->start_key);
    kvs_client_target_add(&target, "end_key", options->end_key);
    return fetch(client, &target, options->limit, options->cursor, options->expiry, ret_listing,
                 ret_error);
}
