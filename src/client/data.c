// SPDX-License-Identifier: Apache-2.0
// Records and listings: calls to requests, answers to structures. Values are copied byte for byte
// out of the answer, never parsed and written again. Results own their memory: one arena each.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/uuid.h"
#include "client/client_internal.h"
#include "codec/http.h"
#include "codec/json.h"
#include "codec/record.h"

enum { TARGET_SIZE_MAX = 64 << 10 };

// ---- Requests

static void append_parameter(struct kvs_buf *target, const char *name, const char *value)
{
    kvs_buf_append_char(target, memchr(target->data, '?', target->size) ? '&' : '?');
    kvs_buf_append_str(target, name);
    kvs_buf_append_char(target, '=');
    kvs_percent_encode(target, kvs_slice_from_str(value), false);
}

// `before` and the encoded key. A key that is none is refused here: "a/" would ask for a listing.
static enum kvs_client_code begin_target(struct kvs_buf *target, const char *before,
                                         const char *key, struct kvs_client_error *ret_error)
{
    const char *reason = NULL;
    if (!kvs_key_is_valid(kvs_slice_from_str(key), &reason))
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "bad key: %s", reason);
    kvs_buf_append_str(target, before);
    kvs_percent_encode(target, kvs_slice_from_str(key), true);
    return KVS_CLIENT_OK;
}

static enum kvs_client_code perform(struct kvs_client *client, const char *method,
                                    const struct kvs_buf *target, struct kvs_slice body,
                                    const char *condition, struct kvs_client_error *ret_error)
{
    if (target->err)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    const struct kvs_client_request request = {
        .method = method,
        .target = kvs_buf_slice(target),
        .body = body,
        .condition = condition,
    };
    return kvs_client_perform(client, &request, ret_error);
}

// If-Match or If-None-Match as a header line; "" without a condition.
static enum kvs_client_code format_condition(const char *if_match, bool if_none_match,
                                             char ret_line[static 64],
                                             struct kvs_client_error *ret_error)
{
    struct kvs_uuid uuid;
    ret_line[0] = 0;
    if (if_match && if_none_match)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "if_match and if_none_match exclude each other");
    if (if_none_match)
        (void)snprintf(ret_line, 64, "If-None-Match: *");
    else if (if_match && strcmp(if_match, "*") == 0)
        (void)snprintf(ret_line, 64, "If-Match: *");
    else if (if_match && kvs_uuid_parse(kvs_slice_from_str(if_match), &uuid))
        (void)snprintf(ret_line, 64, "If-Match: \"%s\"", if_match);
    else if (if_match)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "'%s' is no version: give the UUID that a read or a write showed",
                               if_match);
    return KVS_CLIENT_OK;
}

// ---- Answers

static void free_memory(struct kvs_arena *memory)
{
    kvs_arena_done(memory);
    free(memory);
}
KVS_DEFINE_CLEANUP(struct kvs_arena, free_memory)

static struct kvs_arena *new_memory(const struct kvs_client *client)
{
    struct kvs_arena *memory = malloc(sizeof(*memory));
    if (memory) // the tree of a long listing is a few times its text
        kvs_arena_init(memory, 16 * client->answer.size_max);
    return memory;
}

static enum kvs_client_code fail_unexpected(const struct kvs_client *client,
                                            struct kvs_client_error *ret_error)
{
    enum kvs_client_code code =
        kvs_client_fail(ret_error, KVS_CLIENT_UNEXPECTED, "%s gave an answer that is not KVS's",
                        client->nodes[client->current].url);
    if (ret_error)
        ret_error->http_status = client->status;
    return code;
}

static bool parse_answer(const struct kvs_client *client, struct kvs_arena *arena,
                         struct kvs_json **ret_root)
{
    struct kvs_json_error error;
    return kvs_json_parse(kvs_buf_slice(&client->answer), 0, arena, ret_root, &error) == 0 &&
           (*ret_root)->type == KVS_JSON_OBJECT;
}

static bool read_version(const struct kvs_json *object, struct kvs_arena *arena,
                         struct kvs_client_version *ret_version)
{
    const struct kvs_json *uuid = kvs_json_member(object, "uuid");
    const struct kvs_json *timestamp = kvs_json_member(object, "timestamp");
    struct kvs_slice text;
    if (!uuid || uuid->type != KVS_JSON_STRING || kvs_json_string(uuid, arena, &text) < 0 ||
        text.size != KVS_CLIENT_UUID_SIZE - 1)
        return false;
    memcpy(ret_version->uuid, text.data, text.size);
    ret_version->uuid[text.size] = 0;
    return timestamp && kvs_json_to_i64(timestamp, &ret_version->timestamp_ms);
}

// The member's text as sent, NUL-terminated; false when it is absent or memory is out.
static bool read_data(const struct kvs_json *object, struct kvs_arena *arena, const char **ret_json,
                      size_t *ret_size)
{
    const struct kvs_json *data = kvs_json_member(object, "data");
    if (!data)
        return false;
    struct kvs_slice copy = kvs_arena_copy(arena, data->source);
    *ret_json = copy.data;
    *ret_size = copy.size;
    return copy.data != NULL;
}

static bool read_text(const struct kvs_json *value, struct kvs_arena *arena, const char **ret_text)
{
    struct kvs_slice text;
    if (!value || value->type != KVS_JSON_STRING || kvs_json_string(value, arena, &text) < 0)
        return false;
    *ret_text = kvs_arena_copy(arena, text).data;
    return *ret_text != NULL;
}

// ---- Records

static bool is_true(const struct kvs_json *value)
{
    return value && value->type == KVS_JSON_TRUE;
}

static enum kvs_client_code read_record(const struct kvs_client *client,
                                        struct kvs_client_record *ret_record,
                                        struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(free_memoryp) struct kvs_arena *memory = new_memory(client);
    struct kvs_client_record record = {0};
    struct kvs_json *root = NULL;
    if (!memory)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    if (!parse_answer(client, memory, &root))
        return fail_unexpected(client, ret_error);
    if (is_true(kvs_json_member(root, "deleted")) || is_true(kvs_json_member(root, "expired")))
        return kvs_client_fail(ret_error, KVS_CLIENT_NOT_FOUND,
                               "that revision holds no value: it is a deletion or has expired");
    if (!read_version(root, memory, &record.version) ||
        !read_data(root, memory, &record.json, &record.json_size))
        return fail_unexpected(client, ret_error);
    record.memory = KVS_TAKE(memory);
    *ret_record = record;
    return KVS_CLIENT_OK;
}

void kvs_client_record_done(struct kvs_client_record *record)
{
    free_memory(record->memory);
    *record = (struct kvs_client_record){0};
}

enum kvs_client_code kvs_client_get(struct kvs_client *client, const char *key,
                                    struct kvs_client_record *ret_record,
                                    struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    enum kvs_client_code code = begin_target(&target, "/kv/", key, ret_error);
    if (code == KVS_CLIENT_OK)
        code = perform(client, "GET", &target, KVS_SLICE_EMPTY, NULL, ret_error);
    if (code == KVS_CLIENT_OK)
        code = read_record(client, ret_record, ret_error);
    return code;
}

enum kvs_client_code kvs_client_get_revision(struct kvs_client *client, const char *key,
                                             uint32_t revision,
                                             struct kvs_client_record *ret_record,
                                             struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    enum kvs_client_code code = begin_target(&target, "/api/data/", key, ret_error);
    kvs_buf_printf(&target, "/history/%" PRIu32, revision);
    if (code == KVS_CLIENT_OK)
        code = perform(client, "GET", &target, KVS_SLICE_EMPTY, NULL, ret_error);
    if (code == KVS_CLIENT_OK)
        code = read_record(client, ret_record, ret_error);
    return code;
}

enum kvs_client_code kvs_client_put(struct kvs_client *client, const char *key, const char *json,
                                    size_t json_size, const struct kvs_client_put_options *options,
                                    struct kvs_client_version *ret_version, bool *ret_created,
                                    struct kvs_client_error *ret_error)
{
    static const struct kvs_client_put_options defaults;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    char condition[64];
    if (!options)
        options = &defaults;
    enum kvs_client_code code = begin_target(&target, "/kv/", key, ret_error);
    if (code == KVS_CLIENT_OK)
        code = format_condition(options->if_match, options->if_none_match, condition, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    if (options->ttl)
        append_parameter(&target, "ttl", options->ttl);
    code = perform(client, "PUT", &target, kvs_slice(json, json_size),
                   condition[0] ? condition : NULL, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    struct kvs_arena arena;
    struct kvs_json *root = NULL;
    struct kvs_client_version version;
    kvs_arena_init(&arena, 1 << 20);
    bool good = parse_answer(client, &arena, &root) && read_version(root, &arena, &version);
    kvs_arena_done(&arena);
    if (!good)
        return fail_unexpected(client, ret_error);
    if (ret_version)
        *ret_version = version;
    if (ret_created)
        *ret_created = client->status == 201;
    return KVS_CLIENT_OK;
}

enum kvs_client_code kvs_client_delete(struct kvs_client *client, const char *key,
                                       const char *if_match, struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    char condition[64];
    enum kvs_client_code code = begin_target(&target, "/kv/", key, ret_error);
    if (code == KVS_CLIENT_OK)
        code = format_condition(if_match, false, condition, ret_error);
    if (code == KVS_CLIENT_OK)
        code = perform(client, "DELETE", &target, KVS_SLICE_EMPTY, condition[0] ? condition : NULL,
                       ret_error);
    return code;
}

// ---- Listings

static bool read_entry(const struct kvs_json *object, struct kvs_arena *arena,
                       struct kvs_client_entry *ret_entry)
{
    return read_text(kvs_json_member(object, "path"), arena, &ret_entry->key) &&
           read_version(object, arena, &ret_entry->version) &&
           (!kvs_json_member(object, "data") ||
            read_data(object, arena, &ret_entry->json, &ret_entry->json_size));
}

// Keys and prefixes come as two sorted lists; the caller sees one.
static bool merge_entries(const struct kvs_json *keys, const struct kvs_json *prefixes,
                          struct kvs_arena *arena, struct kvs_client_listing *ret_listing)
{
    size_t count = (size_t)keys->child_count + prefixes->child_count;
    struct kvs_client_entry *entries = kvs_arena_alloc(arena, count * sizeof(*entries));
    if (!entries)
        return false;
    memset(entries, 0, count * sizeof(*entries));
    struct kvs_client_entry next_key = {0};
    struct kvs_client_entry next_prefix = {.is_prefix = true};
    const struct kvs_json *key = keys->child;
    const struct kvs_json *prefix = prefixes->child;
    for (size_t i = 0; i < count; i++) {
        if (key && !next_key.key && !read_entry(key, arena, &next_key))
            return false;
        if (prefix && !next_prefix.key && !read_text(prefix, arena, &next_prefix.key))
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
    return true;
}

static enum kvs_client_code read_listing(const struct kvs_client *client,
                                         struct kvs_client_listing *ret_listing,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(free_memoryp) struct kvs_arena *memory = new_memory(client);
    struct kvs_client_listing listing = {0};
    struct kvs_json *root = NULL;
    if (!memory)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    if (!parse_answer(client, memory, &root))
        return fail_unexpected(client, ret_error);
    const struct kvs_json *keys = kvs_json_member(root, "keys");
    const struct kvs_json *prefixes = kvs_json_member(root, "prefixes");
    const struct kvs_json *next = kvs_json_member(root, "next");
    if (!keys || keys->type != KVS_JSON_ARRAY || !prefixes || prefixes->type != KVS_JSON_ARRAY ||
        !merge_entries(keys, prefixes, memory, &listing))
        return fail_unexpected(client, ret_error);
    if (next && next->type != KVS_JSON_NULL && !read_text(next, memory, &listing.next))
        return fail_unexpected(client, ret_error);
    listing.memory = KVS_TAKE(memory);
    *ret_listing = listing;
    return KVS_CLIENT_OK;
}

void kvs_client_listing_done(struct kvs_client_listing *listing)
{
    free_memory(listing->memory);
    *listing = (struct kvs_client_listing){0};
}

enum kvs_client_code kvs_client_list(struct kvs_client *client,
                                     const struct kvs_client_list_options *options,
                                     struct kvs_client_listing *ret_listing,
                                     struct kvs_client_error *ret_error)
{
    static const struct kvs_client_list_options defaults;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    if (!options)
        options = &defaults;
    kvs_buf_append_str(&target, "/kv/");
    if (options->prefix)
        append_parameter(&target, "prefix", options->prefix);
    if (options->children)
        append_parameter(&target, "delimiter", "/");
    if (options->values)
        append_parameter(&target, "values", "1");
    if (options->limit > 0) {
        char limit[16];
        (void)snprintf(limit, sizeof(limit), "%" PRIu32, options->limit);
        append_parameter(&target, "limit", limit);
    }
    if (options->cursor)
        append_parameter(&target, "cursor", options->cursor);
    enum kvs_client_code code = perform(client, "GET", &target, KVS_SLICE_EMPTY, NULL, ret_error);
    if (code == KVS_CLIENT_OK)
        code = read_listing(client, ret_listing, ret_error);
    return code;
}
