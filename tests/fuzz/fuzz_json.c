// SPDX-License-Identifier: Apache-2.0
// The JSON module: its levels agree with each other on any bytes, and, where it is installed, with
// jansson. An input that begins with "generate " is a seed for random valid documents, so that
// replaying the small corpus compares the two parsers on more than the corpus.
#include "base/assert.h"
#include "codec/json.h"
#include "tests/unit/codec/json_generator.h"

#ifdef KVS_HAVE_JANSSON
#include <jansson.h>
#endif

enum {
    MEMORY_MAX = 64 << 20,
    MEMBERS_COMPARED_MAX = 64, // the checks below are quadratic
    GENERATED_DOCUMENTS = 50,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_tree(const struct kvs_json *value, struct kvs_buf *out)
{
    if (value->key.size > 0) {
        kvs_buf_append_slice(out, value->key);
        kvs_buf_append_char(out, ':');
    }
    if (value->type != KVS_JSON_ARRAY && value->type != KVS_JSON_OBJECT) {
        kvs_buf_append_slice(out, value->source);
        return;
    }
    kvs_buf_append_char(out, value->type == KVS_JSON_ARRAY ? '[' : '{');
    for (const struct kvs_json *child = value->child; child; child = child->next) {
        write_tree(child, out);
        if (child->next)
            kvs_buf_append_char(out, ',');
    }
    kvs_buf_append_char(out, value->type == KVS_JSON_ARRAY ? ']' : '}');
}

// Decoding, writing and decoding again yields the same bytes.
static struct kvs_slice check_string(struct kvs_slice string, struct kvs_arena *arena)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(MEMORY_MAX);
    kvs_json_write_string(&out, string);
    struct kvs_json written = {.type = KVS_JSON_STRING, .source = kvs_buf_slice(&out)};
    kvs_assert(kvs_json_validate(written.source, NULL) == 0);
    struct kvs_slice again;
    kvs_assert(kvs_json_string(&written, arena, &again) == 0);
    kvs_assert(kvs_slice_eq(again, string));
    return string;
}

#ifdef KVS_HAVE_JANSSON
static struct kvs_slice string_of(const struct kvs_json *value, struct kvs_arena *arena)
{
    struct kvs_slice string;
    kvs_assert(kvs_json_string(value, arena, &string) == 0);
    return check_string(string, arena);
}

static struct kvs_slice key_of(const struct kvs_json *member, struct kvs_arena *arena)
{
    struct kvs_slice key;
    kvs_assert(kvs_json_key(member, arena, &key) == 0);
    return check_string(key, arena);
}

static void compare(const struct kvs_json *ours, const json_t *theirs, struct kvs_arena *arena);

// jansson keeps the last of several members of one name.
static void compare_objects(const struct kvs_json *ours, const json_t *theirs,
                            struct kvs_arena *arena)
{
    if (ours->child_count > MEMBERS_COMPARED_MAX)
        return;
    size_t distinct = 0;
    for (const struct kvs_json *member = ours->child; member; member = member->next) {
        struct kvs_slice key = key_of(member, arena);
        bool last = true;
        for (const struct kvs_json *other = member->next; other && last; other = other->next)
            last = !kvs_slice_eq(key_of(other, arena), key);
        if (!last)
            continue;
        distinct++;
        compare(member, json_object_getn(theirs, key.data, key.size), arena);
    }
    kvs_assert(json_object_size(theirs) == distinct);
}

static void compare(const struct kvs_json *ours, const json_t *theirs, struct kvs_arena *arena)
{
    static const json_type types[] = {
        [KVS_JSON_NULL] = JSON_NULL,     [KVS_JSON_FALSE] = JSON_FALSE,
        [KVS_JSON_TRUE] = JSON_TRUE,     [KVS_JSON_NUMBER] = JSON_REAL,
        [KVS_JSON_STRING] = JSON_STRING, [KVS_JSON_ARRAY] = JSON_ARRAY,
        [KVS_JSON_OBJECT] = JSON_OBJECT,
    };
    kvs_assert(theirs != NULL);
    if (json_is_integer(theirs)) {
        int64_t integer = 0;
        kvs_assert(kvs_json_to_i64(ours, &integer));
        kvs_assert(integer == json_integer_value(theirs));
        return;
    }
    kvs_assert(types[ours->type] == json_typeof(theirs));
    if (ours->type == KVS_JSON_STRING) {
        struct kvs_slice string = kvs_slice(json_string_value(theirs), json_string_length(theirs));
        kvs_assert(kvs_slice_eq(string_of(ours, arena), string));
    } else if (ours->type == KVS_JSON_ARRAY) {
        kvs_assert(json_array_size(theirs) == ours->child_count);
        size_t i = 0;
        for (const struct kvs_json *child = ours->child; child; child = child->next)
            compare(child, json_array_get(theirs, i++), arena);
    } else if (ours->type == KVS_JSON_OBJECT) {
        compare_objects(ours, theirs, arena);
    }
}

// What jansson cannot represent it refuses: big numbers, and U+0000 in member names. What only we
// refuse: deep nesting, and a NUL byte after the value, which jansson takes for the end of the
// text.
static void check_against_jansson(struct kvs_slice text, int err, const char *reason,
                                  const struct kvs_json *root, struct kvs_arena *arena)
{
    json_error_t error = {0};
    json_t *theirs = json_loadb(text.data, text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (theirs && !err)
        compare(root, theirs, arena);
    else if (theirs)
        kvs_assert(strcmp(reason, "nested too deeply") == 0 || memchr(text.data, 0, text.size));
    else if (!err)
        kvs_assert(json_error_code(&error) == json_error_numeric_overflow ||
                   json_error_code(&error) == json_error_null_byte_in_key);
    json_decref(theirs);
}
#else
static void check_against_jansson(struct kvs_slice text, int err, const char *reason,
                                  const struct kvs_json *root, struct kvs_arena *arena)
{
    (void)text;
    (void)err;
    (void)reason;
    (void)root;
    (void)arena;
}
#endif

static void check_text(struct kvs_slice text, struct kvs_arena *arena)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf compact = KVS_BUF_INIT(MEMORY_MAX);
    struct kvs_json_error error = {.reason = NULL};
    struct kvs_json *root = NULL;
    int err = kvs_json_compact(text, &compact, &error);
    kvs_assert(kvs_json_validate(text, NULL) == err);
    int parse_err = kvs_json_parse(text, 0, arena, &root, NULL);
    if (parse_err == KVS_ERR_NOMEM)
        return;
    kvs_assert(parse_err == err);
    if (err) {
        kvs_assert(err == KVS_ERR_SYNTAX);
        kvs_assert(error.offset <= text.size);
        kvs_assert(error.line >= 1 && error.column >= 1);
        kvs_assert(error.reason != NULL);
        kvs_assert(compact.size == 0);
    } else {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
        kvs_assert(kvs_json_compact(kvs_buf_slice(&compact), &again, NULL) == 0);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), kvs_buf_slice(&compact)));
        kvs_buf_clear(&again);
        write_tree(root, &again);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), kvs_buf_slice(&compact)));
        parse_err = kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, arena, &root, &error);
        if (parse_err == KVS_ERR_SYNTAX) // the only thing that the flag adds
            kvs_assert(strcmp(error.reason, "duplicate member name") == 0);
    }
    check_against_jansson(text, err, error.reason, root, arena);
}

// Any bytes become text, and the text is theirs again unless they were no UTF-8.
static void check_written(struct kvs_slice bytes, struct kvs_arena *arena)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(MEMORY_MAX);
    kvs_json_write_string(&out, bytes);
    if (out.err)
        return;
    struct kvs_json *value = NULL;
    struct kvs_slice string;
    kvs_assert(kvs_json_parse(kvs_buf_slice(&out), 0, arena, &value, NULL) == 0);
    kvs_assert(kvs_json_string(value, arena, &string) == 0);
    (void)check_string(string, arena); // the string itself is what was asked about
}

static void check_generated(struct kvs_slice seed_text, struct kvs_arena *arena)
{
    uint64_t seed = 0;
    for (size_t i = 0; i < seed_text.size; i++)
        seed = seed * 31 + (uint8_t)seed_text.data[i];
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, seed);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf loose = KVS_BUF_INIT(MEMORY_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf tight = KVS_BUF_INIT(MEMORY_MAX);
    for (int i = 0; i < GENERATED_DOCUMENTS; i++) {
        kvs_buf_clear(&loose);
        kvs_buf_clear(&tight);
        kvs_arena_reset(arena);
        json_generate(&random.base, 30, 5, &loose, &tight);
        check_text(kvs_buf_slice(&loose), arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_slice input = kvs_slice(data, size);
    struct kvs_arena arena;
    kvs_arena_init(&arena, MEMORY_MAX);
    check_text(input, &arena);
    check_written(input, &arena);
    if (kvs_slice_starts_with(input, KVS_SLICE("generate ")))
        check_generated(input, &arena);
    kvs_arena_done(&arena);
    return 0;
}
