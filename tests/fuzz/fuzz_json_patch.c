// SPDX-License-Identifier: Apache-2.0
// Patches of JSON values: whatever the bytes, the result is compact JSON within the limits, a
// failure is one of those promised, and merging agrees with the few lines of RFC 7396 over jansson.
//
// Input: a value, NUL, a patch. It is taken as a JSON patch, as a merge patch and, as it stands, as
// a pointer.
#include "base/assert.h"
#include "base/cleanup.h"
#include "codec/json_patch.h"

#ifdef KVS_HAVE_JANSSON
#include <jansson.h>
#endif

enum { MEMORY_MAX = 64 << 20, OUT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_result(struct kvs_slice result)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(OUT_MAX);
    kvs_assert(kvs_json_compact(result, &again, NULL) == 0);
    kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), result));
}

static int patch_value(struct kvs_slice value, struct kvs_slice patch, struct kvs_buf *out)
{
    struct kvs_arena arena;
    struct kvs_json_patch_error error = {0};
    kvs_arena_init(&arena, MEMORY_MAX);
    int err = kvs_json_patch(value, patch, &arena, out, &error);
    if (err == KVS_ERR_INVALID || err == KVS_ERR_CONFLICT)
        kvs_assert(error.reason);
    else
        kvs_assert(!err || err == KVS_ERR_SYNTAX || err == KVS_ERR_TOO_LARGE ||
                   err == KVS_ERR_NOMEM);
    kvs_arena_done(&arena);
    return err;
}

static void check_patch(struct kvs_slice value, struct kvs_slice patch)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf result = KVS_BUF_INIT(OUT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf unchanged = KVS_BUF_INIT(OUT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf test = KVS_BUF_INIT(2 * OUT_MAX);
    kvs_assert(patch_value(value, KVS_SLICE("[]"), &unchanged) == 0);
    kvs_assert(kvs_slice_eq(kvs_buf_slice(&unchanged), value));
    if (patch_value(value, patch, &result) != 0)
        return;
    check_result(kvs_buf_slice(&result));
    // The result passes a test for itself, unless it holds duplicates, which no patch may.
    kvs_buf_append_str(&test, "[{\"op\":\"test\",\"path\":\"\",\"value\":");
    kvs_buf_append_slice(&test, kvs_buf_slice(&result));
    kvs_buf_append_str(&test, "}]");
    kvs_buf_clear(&unchanged);
    int err = patch_value(kvs_buf_slice(&result), kvs_buf_slice(&test), &unchanged);
    kvs_assert(!err || err == KVS_ERR_SYNTAX); // duplicates; two levels deeper than allowed
}

#ifdef KVS_HAVE_JANSSON
// RFC 7396 section 2, literally. Returns a new reference.
static json_t *model(json_t *target, json_t *patch)
{
    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *result = json_is_object(target) ? json_deep_copy(target) : json_object();
    const char *name;
    json_t *value;
    json_object_foreach(patch, name, value)
    {
        if (json_is_null(value))
            json_object_del(result, name);
        else
            json_object_set_new(result, name, model(json_object_get(result, name), value));
    }
    return result;
}

static json_t *load(struct kvs_slice text)
{
    return json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static void compare(struct kvs_slice value, struct kvs_slice patch, struct kvs_slice result)
{
    json_t *target = load(value); // NULL: numbers or names that jansson cannot hold
    json_t *change = load(patch);
    json_t *ours = load(result);
    json_t *theirs = target && change ? model(target, change) : NULL;
    if (ours && theirs)
        kvs_assert(json_equal(ours, theirs));
    json_decref(target);
    json_decref(change);
    json_decref(ours);
    json_decref(theirs);
}
#else
static void compare(struct kvs_slice value, struct kvs_slice patch, struct kvs_slice result)
{
    (void)value;
    (void)patch;
    (void)result;
}
#endif

static void check_merge(struct kvs_slice value, struct kvs_slice patch)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf result = KVS_BUF_INIT(OUT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(OUT_MAX);
    struct kvs_arena arena;
    kvs_arena_init(&arena, MEMORY_MAX);
    int err = kvs_json_merge_patch(value, patch, &arena, &result);
    kvs_assert(!err || err == KVS_ERR_SYNTAX || err == KVS_ERR_TOO_LARGE || err == KVS_ERR_NOMEM);
    if (!err) {
        check_result(kvs_buf_slice(&result));
        compare(value, patch, kvs_buf_slice(&result));
        // A second time changes nothing.
        err = kvs_json_merge_patch(kvs_buf_slice(&result), patch, &arena, &again);
        kvs_assert(err == KVS_ERR_NOMEM ||
                   kvs_slice_eq(kvs_buf_slice(&again), kvs_buf_slice(&result)));
    }
    kvs_arena_done(&arena);
}

static void check_pointer(struct kvs_slice text)
{
    struct kvs_arena arena;
    struct kvs_json_pointer pointer;
    kvs_arena_init(&arena, MEMORY_MAX);
    int err = kvs_json_pointer_parse(text, &arena, &pointer);
    kvs_assert(!err || err == KVS_ERR_INVALID || err == KVS_ERR_NOMEM);
    if (!err) { // written again it is what was read
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(OUT_MAX);
        for (size_t i = 0; i < pointer.count; i++) {
            kvs_buf_append_char(&again, '/');
            for (size_t j = 0; j < pointer.tokens[i].size; j++) {
                char c = pointer.tokens[i].data[j];
                if (c == '~' || c == '/')
                    kvs_buf_append_str(&again, c == '~' ? "~0" : "~1");
                else
                    kvs_buf_append_char(&again, c);
            }
        }
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), text));
        kvs_assert(kvs_json_pointer_contains(&pointer, &pointer));
    }
    kvs_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > OUT_MAX / 4)
        return 0;
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t value_size = nul ? (size_t)(nul - data) : size;
    struct kvs_slice rest = nul ? kvs_slice(nul + 1, size - value_size - 1) : KVS_SLICE_EMPTY;
    check_pointer(rest);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(OUT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf patch = KVS_BUF_INIT(OUT_MAX);
    if (kvs_json_compact(kvs_slice(data, value_size), &value, NULL) != 0 ||
        kvs_json_compact(rest, &patch, NULL) != 0)
        return 0;
    check_patch(kvs_buf_slice(&value), kvs_buf_slice(&patch));
    check_merge(kvs_buf_slice(&value), kvs_buf_slice(&patch));
    return 0;
}
