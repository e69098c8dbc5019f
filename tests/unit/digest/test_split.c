// SPDX-License-Identifier: Apache-2.0
// Ranges cut into parts: they cover the range without gap or overlap, hold what they say, and there
// is never a single or an empty one where there could be more.
#include "tests/unit/digest/model.h"

enum { PARTS_MAX = 128 };

struct parts {
    char first[PARTS_MAX][MODEL_KEY_MAX];
    size_t first_size[PARTS_MAX];
    struct kvs_fingerprint prints[PARTS_MAX];
    size_t count;
    size_t stop_after;
};

static bool take_part(void *ctx, struct kvs_slice first, struct kvs_fingerprint fingerprint)
{
    struct parts *parts = ctx;
    assert_true(parts->count < PARTS_MAX);
    assert_true(first.size <= MODEL_KEY_MAX);
    if (first.size > 0)
        memcpy(parts->first[parts->count], first.data, first.size);
    parts->first_size[parts->count] = first.size;
    parts->prints[parts->count++] = fingerprint;
    return parts->count != parts->stop_after;
}

static struct kvs_slice part_first(const struct parts *parts, size_t at)
{
    return kvs_slice(parts->first[at], parts->first_size[at]);
}

static void check_split(struct model *model, const struct kvs_digest *digest,
                        struct kvs_slice first, struct kvs_slice end, uint32_t wanted)
{
    struct parts parts = {0};
    struct kvs_digest_source source = model_source(model);
    assert_int_equal(kvs_digest_split(digest, &source, first, end, wanted, take_part, &parts), 0);
    uint64_t count = model_range(model, first, end).count;
    assert_true(parts.count >= 1);
    assert_true(kvs_slice_eq(part_first(&parts, 0), first));
    if (count < 2) {
        assert_int_equal(parts.count, 1);
        assert_true(kvs_fingerprint_eq(parts.prints[0], model_range(model, first, end)));
        return;
    }
    assert_true(parts.count >= 2);
    assert_true(parts.count <= 2 * wanted);
    for (size_t i = 0; i < parts.count; i++) {
        struct kvs_slice next = i + 1 < parts.count ? part_first(&parts, i + 1) : end;
        assert_true(next.size == 0 || kvs_slice_cmp(part_first(&parts, i), next) < 0);
        struct kvs_fingerprint expected = model_range(model, part_first(&parts, i), next);
        assert_true(kvs_fingerprint_eq(parts.prints[i], expected));
        assert_true(expected.count >= 1);
        uint64_t even = count / wanted;
        assert_true(expected.count + 1 >= even / 2);
        assert_true(expected.count <= even + even / 2 + 1);
    }
}

static void parts_cover_any_range_evenly(void **state)
{
    (void)state;
    static const uint32_t block_sizes[] = {2, 3, 16, 128};
    static const uint64_t universes[] = {1, 3, 40, 700, 9000};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(block_sizes) * KVS_ARRAY_SIZE(universes); i++) {
        uint64_t universe = universes[i / KVS_ARRAY_SIZE(block_sizes)];
        struct model *model = model_new(i);
        model->item_mask = i % 2 ? 0xFF : UINT64_MAX;
        struct kvs_digest *digest = new_digest(block_sizes[i % KVS_ARRAY_SIZE(block_sizes)]);
        check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16);
        fill(model, digest, universe, universe);
        for (int k = 0; k < 60; k++) {
            char a[MODEL_KEY_MAX];
            char b[MODEL_KEY_MAX];
            struct kvs_slice first = model_some_key(model, universe, a);
            struct kvs_slice end = model_some_key(model, universe, b);
            uint32_t wanted = 2 + (uint32_t)model_random(model, 20);
            check_split(model, digest, first, end, wanted);
            check_split(model, digest, KVS_SLICE_EMPTY, end, wanted);
            check_split(model, digest, first, KVS_SLICE_EMPTY, wanted);
            check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, wanted);
        }
        kvs_digest_free(digest);
        free(model);
    }
}

static void parts_are_cut_where_maintenance_has_not_been_yet(void **state)
{
    (void)state;
    struct model *model = model_new(1);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 300, 500);
    char buffer[MODEL_KEY_MAX];
    while (model->count > 10) // leaves empty blocks
        both_remove(model, digest, model_random(model, model->count));
    check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16);
    check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 4);
    for (int i = 0; i < 3000; i++) // and overfull ones
        both_put(model, digest, model_some_key(model, 100000, buffer));
    check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16);
    check_split(model, digest, KVS_SLICE("app/"), KVS_SLICE("app0"), 16);
    kvs_digest_free(digest);
    free(model);
}

static void a_large_range_is_cut_without_reading_a_record(void **state)
{
    (void)state;
    struct model *model = model_new(2);
    struct kvs_digest *digest = new_digest(16);
    fill(model, digest, 50000, 15000);
    uint64_t before = model->reads;
    check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16);
    assert_int_equal(model->reads, before);
    check_split(model, digest, KVS_SLICE("app/config/1"), KVS_SLICE("u/4"), 16);
    assert_true(model->reads - before <= 2 * 32); // the ends
    kvs_digest_free(digest);
    free(model);
}

static void a_block_is_read_no_further_than_its_last_border(void **state)
{
    (void)state;
    struct model *model = model_new(6);
    struct kvs_digest *digest = new_digest(50);
    char key[MODEL_KEY_MAX];
    while (model->count < 100)
        both_put(model, digest, model_some_key(model, 100000, key));
    struct kvs_digest_source source = model_source(model);
    assert_int_equal(kvs_digest_rebuild(digest, &source), 0); // two blocks of 50
    model->reads = 0;
    check_split(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 3);
    assert_int_equal(model->reads, 34 + 17); // borders at 33 and 66
    kvs_digest_free(digest);
    free(model);
}

static void separators_are_as_short_as_possible(void **state)
{
    (void)state;
    struct model *model = model_new(3);
    struct kvs_digest *digest = new_digest(2);
    both_put(model, digest, KVS_SLICE("some/long/prefix/apple"));
    both_put(model, digest, KVS_SLICE("some/long/prefix/banana"));
    both_put(model, digest, KVS_SLICE("zebra"));
    struct parts parts = {0};
    struct kvs_digest_source source = model_source(model);
    assert_int_equal(
        kvs_digest_split(digest, &source, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 3, take_part, &parts),
        0);
    assert_int_equal(parts.count, 3);
    assert_slice_equal(part_first(&parts, 1), "some/long/prefix/b");
    assert_slice_equal(part_first(&parts, 2), "z");
    kvs_digest_free(digest);
    free(model);
}

static void the_visitor_can_stop(void **state)
{
    (void)state;
    struct model *model = model_new(4);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 1000, 1000);
    struct kvs_digest_source source = model_source(model);
    for (size_t stop = 1; stop <= 16; stop++) {
        struct parts parts = {.stop_after = stop};
        assert_int_equal(kvs_digest_split(digest, &source, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16,
                                          take_part, &parts),
                         0);
        assert_int_equal(parts.count, stop);
    }
    kvs_digest_free(digest);
    free(model);
}

static void an_error_of_the_source_is_handed_on(void **state)
{
    (void)state;
    struct model *model = model_new(5);
    struct kvs_digest *digest = new_digest(64);
    fill(model, digest, 1000, 100);
    struct kvs_digest_source source = model_source(model);
    struct parts parts = {0};
    model->reads_until = model->reads + 20;
    model->err = KVS_ERR_IO;
    assert_int_equal(
        kvs_digest_split(digest, &source, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16, take_part, &parts),
        KVS_ERR_IO);
    model->reads_until = UINT64_MAX;
    model->count = 3; // of which the index does not know
    assert_int_equal(
        kvs_digest_split(digest, &source, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, 16, take_part, &parts),
        KVS_ERR_CORRUPT);
    kvs_digest_free(digest);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_cover_any_range_evenly),
        cmocka_unit_test(parts_are_cut_where_maintenance_has_not_been_yet),
        cmocka_unit_test(a_large_range_is_cut_without_reading_a_record),
        cmocka_unit_test(a_block_is_read_no_further_than_its_last_border),
        cmocka_unit_test(separators_are_as_short_as_possible),
        cmocka_unit_test(the_visitor_can_stop),
        cmocka_unit_test(an_error_of_the_source_is_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
