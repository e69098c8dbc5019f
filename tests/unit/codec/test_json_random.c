// SPDX-License-Identifier: Apache-2.0
// Properties of the JSON module over random documents. One seed, printed when something fails.
#include "tests/unit/test.h"

#include "codec/json.h"
#include "tests/unit/codec/json_generator.h"

enum {
    SEED = 20261123,
    DOCUMENTS = 3000,
    VALUES_MAX = 200,
    DEPTH_MAX = 12,
    SIZE_MAX_BYTES = 1 << 20,
    ARENA_MAX = 16 << 20,
};

struct fixture {
    struct kvs_random_seeded random;
    struct kvs_buf loose, tight, out;
    struct kvs_arena arena;
};

static struct fixture fixture;

static void next_document(struct fixture *f)
{
    kvs_buf_clear(&f->loose);
    kvs_buf_clear(&f->tight);
    kvs_buf_clear(&f->out);
    kvs_arena_reset(&f->arena);
    json_generate(&f->random.base, VALUES_MAX, DEPTH_MAX, &f->loose, &f->tight);
    assert_int_equal(f->loose.err, 0);
    assert_int_equal(f->tight.err, 0);
}

static void assert_equal(struct kvs_slice actual, struct kvs_slice expected, unsigned document)
{
    if (!kvs_slice_eq(actual, expected))
        fail_msg("seed %d, document %u: %.*s instead of %.*s", SEED, document,
                 KVS_SLICE_FMT(actual), KVS_SLICE_FMT(expected));
}

static void compacting_yields_the_compact_form_and_leaves_that_alone(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        next_document(f);
        assert_int_equal(kvs_json_compact(kvs_buf_slice(&f->loose), &f->out, NULL), 0);
        assert_equal(kvs_buf_slice(&f->out), kvs_buf_slice(&f->tight), i);
        kvs_buf_clear(&f->out);
        assert_int_equal(kvs_json_compact(kvs_buf_slice(&f->tight), &f->out, NULL), 0);
        assert_equal(kvs_buf_slice(&f->out), kvs_buf_slice(&f->tight), i);
    }
}

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
    uint32_t count = 0;
    kvs_buf_append_char(out, value->source.data[0]);
    for (const struct kvs_json *child = value->child; child; child = child->next) {
        if (count++ > 0)
            kvs_buf_append_char(out, ',');
        write_tree(child, out);
    }
    kvs_buf_append_char(out, value->source.data[value->source.size - 1]);
    assert_int_equal(count, value->child_count);
}

static void the_tree_written_out_is_the_compact_form(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        next_document(f);
        struct kvs_json *root = NULL;
        assert_int_equal(kvs_json_parse(kvs_buf_slice(&f->loose), 0, &f->arena, &root, NULL), 0);
        write_tree(root, &f->out);
        assert_equal(kvs_buf_slice(&f->out), kvs_buf_slice(&f->tight), i);
    }
}

// Compares each name with each other one, decoded.
static bool has_duplicates(const struct kvs_json *value, struct kvs_arena *arena)
{
    for (const struct kvs_json *child = value->child; child; child = child->next) {
        if (has_duplicates(child, arena))
            return true;
        if (value->type != KVS_JSON_OBJECT)
            continue;
        for (const struct kvs_json *other = child->next; other; other = other->next) {
            struct kvs_slice names[2];
            assert_int_equal(kvs_json_key(child, arena, &names[0]), 0);
            assert_int_equal(kvs_json_key(other, arena, &names[1]), 0);
            if (kvs_slice_eq(names[0], names[1]))
                return true;
        }
    }
    return false;
}

static void duplicate_names_are_found_exactly(void **state)
{
    struct fixture *f = *state;
    unsigned found = 0;
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        next_document(f);
        struct kvs_slice text = kvs_buf_slice(&f->loose);
        struct kvs_json *root = NULL;
        assert_int_equal(kvs_json_parse(text, 0, &f->arena, &root, NULL), 0);
        bool expected = has_duplicates(root, &f->arena);
        found += expected;
        int err = kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, &f->arena, &root, NULL);
        if (err != (expected ? KVS_ERR_SYNTAX : 0))
            fail_msg("seed %d, document %u: %.*s", SEED, i, KVS_SLICE_FMT(text));
    }
    assert_in_range(found, DOCUMENTS / 20, DOCUMENTS - DOCUMENTS / 20); // both kinds were there
}

// A byte dropped, doubled or changed: the levels still agree, and what they accept is stable.
static void all_levels_agree_on_damaged_documents(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < DOCUMENTS; i++) {
        next_document(f);
        struct kvs_buf *text = &f->loose;
        size_t at = kvs_random_below(&f->random.base, text->size);
        switch (kvs_random_below(&f->random.base, 3)) {
        case 0:
            memmove(text->data + at, text->data + at + 1, text->size - at - 1);
            text->size--;
            break;
        case 1:
            kvs_buf_append_char(text, 0);
            memmove(text->data + at + 1, text->data + at, text->size - at - 1);
            break;
        default:
            text->data[at] = (char)kvs_random_below(&f->random.base, 256);
        }
        struct kvs_json_error error = {.offset = SIZE_MAX};
        struct kvs_json *root = NULL;
        int err = kvs_json_compact(kvs_buf_slice(text), &f->out, &error);
        assert_int_equal(kvs_json_validate(kvs_buf_slice(text), NULL), err);
        assert_int_equal(kvs_json_parse(kvs_buf_slice(text), 0, &f->arena, &root, NULL), err);
        if (err) {
            assert_in_range(error.offset, 0, text->size);
            assert_int_equal(f->out.size, 0);
            continue;
        }
        kvs_buf_clear(&f->tight);
        write_tree(root, &f->tight);
        assert_equal(kvs_buf_slice(&f->out), kvs_buf_slice(&f->tight), i);
    }
}

static int set_up(void **state)
{
    kvs_random_seeded_init(&fixture.random, SEED);
    kvs_buf_init(&fixture.loose, SIZE_MAX_BYTES);
    kvs_buf_init(&fixture.tight, SIZE_MAX_BYTES);
    kvs_buf_init(&fixture.out, SIZE_MAX_BYTES);
    kvs_arena_init(&fixture.arena, ARENA_MAX);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kvs_buf_done(&fixture.loose);
    kvs_buf_done(&fixture.tight);
    kvs_buf_done(&fixture.out);
    kvs_arena_done(&fixture.arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compacting_yields_the_compact_form_and_leaves_that_alone),
        cmocka_unit_test(the_tree_written_out_is_the_compact_form),
        cmocka_unit_test(duplicate_names_are_found_exactly),
        cmocka_unit_test(all_levels_agree_on_damaged_documents),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
