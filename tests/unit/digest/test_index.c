// SPDX-License-Identifier: Apache-2.0
// The index against a naive sum, over random histories and odd knobs.
#include "tests/unit/digest/model.h"

struct knobs {
    uint32_t block_size;
    uint64_t item_mask;
    uint64_t universe;
    uint32_t maintain_every;
    uint32_t deletes_percent;
};

static const struct knobs all_knobs[] = {
    {2, 0xFF, 6, 1, 45},
    {2, 0xFF, 300, 1, 50},
    {2, UINT64_MAX, 3000, 7, 35},
    {3, 0xFF, 1000, 50, 20},
    {5, UINT64_MAX, 20000, 400, 10},
    {16, 0xFF, 5000, 3, 55},
    {128, UINT64_MAX, 100000, 100, 0},
};

static void change_one(struct model *model, struct kvs_digest *digest, const struct knobs *knobs)
{
    char buffer[MODEL_KEY_MAX];
    if (model->count > 0 && model_random(model, 100) < knobs->deletes_percent)
        both_remove(model, digest, model_random(model, model->count));
    else
        both_put(model, digest, model_some_key(model, knobs->universe, buffer));
}

static void check_some_ranges(struct model *model, const struct kvs_digest *digest,
                              uint64_t universe)
{
    char a[MODEL_KEY_MAX];
    char b[MODEL_KEY_MAX];
    struct kvs_slice first = model_some_key(model, universe, a);
    struct kvs_slice end = model_some_key(model, universe, b);
    assert_same_range(model, digest, first, end); // inverted ones are empty
    assert_same_range(model, digest, end, first);
    assert_same_range(model, digest, first, first);
    assert_same_range(model, digest, KVS_SLICE_EMPTY, first);
    assert_same_range(model, digest, first, KVS_SLICE_EMPTY);
    assert_same_range(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
}

static void a_random_history_sums_up_like_a_naive_walk(void **state)
{
    (void)state;
    for (size_t k = 0; k < KVS_ARRAY_SIZE(all_knobs); k++) {
        const struct knobs *knobs = &all_knobs[k];
        struct model *model = model_new(k);
        model->item_mask = knobs->item_mask;
        struct kvs_digest *digest = new_digest(knobs->block_size);
        struct kvs_digest_source source = model_source(model);
        for (uint32_t i = 1; i <= 6000; i++) {
            change_one(model, digest, knobs);
            bool more;
            if (i % knobs->maintain_every == 0)
                assert_int_equal(kvs_digest_maintain(digest, &source, 3, &more), 0);
            if (i % 5 == 0)
                check_some_ranges(model, digest, knobs->universe);
            if (i % 500 == 0) {
                check_tree(digest);
                check_blocks(model, digest);
            }
        }
        kvs_digest_free(digest);
        free(model);
    }
}

static void maintained_blocks_hold_between_half_and_twice_of_the_aim(void **state)
{
    (void)state;
    struct model *model = model_new(1);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 100000, 12000);
    struct kvs_digest_stats stats;
    for (;;) {
        check_tree(digest); // no flag is left, so no block is uneven
        check_blocks(model, digest);
        assert_false(digest->tree.root->uneven);
        kvs_digest_stats(digest, &stats);
        assert_int_equal(stats.records, model->count);
        assert_true(stats.blocks >= model->count / 8);
        assert_true(stats.blocks <= model->count / 2 + 1);
        if (model->count == 0)
            break;
        size_t removals = model->count < 1500 ? model->count : 1500;
        for (size_t i = 0; i < removals; i++)
            both_remove(model, digest, model_random(model, model->count));
        maintain_all(model, digest);
    }
    assert_int_equal(stats.blocks, 1);
    assert_int_equal(stats.depth, 1);
    struct kvs_fingerprint none = {0};
    assert_true(kvs_fingerprint_eq(kvs_digest_root(digest), none));
    kvs_digest_free(digest);
    free(model);
}

static void sums_depend_on_the_set_and_not_on_how_it_came(void **state)
{
    (void)state;
    struct model *model = model_new(2);
    struct kvs_digest *wild = new_digest(3);
    struct knobs knobs = {.universe = 4000, .deletes_percent = 30};
    for (int i = 0; i < 8000; i++) {
        change_one(model, wild, &knobs);
        if (i % 10 == 0)
            maintain_all(model, wild);
    }
    struct kvs_digest *backwards = new_digest(64); // never maintained: one block
    for (size_t i = model->count; i-- > 0;)
        assert_int_equal(
            kvs_digest_update(backwards, model_key(model, i), NULL, &model->records[i].item), 0);
    struct kvs_digest *rebuilt = new_digest(10);
    struct kvs_digest_source source = model_source(model);
    assert_int_equal(kvs_digest_rebuild(rebuilt, &source), 0);
    check_tree(rebuilt);
    check_blocks(model, rebuilt);
    const struct kvs_digest *all[] = {wild, backwards, rebuilt};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(all); i++) {
        assert_true(kvs_fingerprint_eq(kvs_digest_root(all[i]), kvs_digest_root(wild)));
        for (int k = 0; k < 100; k++)
            check_some_ranges(model, all[i], 4000);
    }
    kvs_digest_free(wild);
    kvs_digest_free(backwards);
    kvs_digest_free(rebuilt);
    free(model);
}

static void keys_that_only_grow_fill_nodes_and_blocks(void **state)
{
    (void)state;
    struct model *model = model_new(3);
    struct kvs_digest *digest = new_digest(4);
    char key[MODEL_KEY_MAX];
    for (unsigned i = 0; i < 16000; i++) {
        int size = snprintf(key, sizeof(key), "log/%010u", i);
        both_put(model, digest, kvs_slice(key, (size_t)size));
        maintain_all(model, digest);
    }
    check_tree(digest);
    check_blocks(model, digest);
    struct kvs_digest_stats stats;
    kvs_digest_stats(digest, &stats);
    assert_true(stats.blocks <= 16000 / 4 + 1);
    // 28 bytes and a separator of at most 14 an entry, in leaves that are three quarters full.
    assert_true(stats.memory_bytes < stats.blocks * 70);
    kvs_digest_free(digest);
    free(model);
}

static void a_range_reads_at_most_two_blocks(void **state)
{
    (void)state;
    struct model *model = model_new(4);
    struct kvs_digest *digest = new_digest(8);
    fill(model, digest, 20000, 9000);
    for (int i = 0; i < 300; i++) {
        char a[MODEL_KEY_MAX];
        char b[MODEL_KEY_MAX];
        struct kvs_slice first = model_some_key(model, 20000, a);
        struct kvs_slice end = model_some_key(model, 20000, b);
        uint64_t before = model->reads;
        assert_same_range(model, digest, first, end);
        assert_true(model->reads - before <= 2 * 16);
    }
    uint64_t before = model->reads;
    assert_same_range(model, digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
    struct place place;
    tree_place_of_rank(&digest->tree, model->count / 2, &place);
    assert_same_range(model, digest, place.first, place.end);
    assert_int_equal(model->reads, before); // whole blocks
    while (place.block.count < 4)           // all but one of its records: nothing else of it
        tree_place_of_key(&digest->tree, place.end, &place);
    struct kvs_slice second = model_key(model, model_find(model, place.first) + 1);
    assert_same_range(model, digest, second, place.end);
    struct kvs_slice last = model_key(model, model_find(model, place.end) - 1);
    before = model->reads;
    assert_same_range(model, digest, second, last);
    assert_int_equal(model->reads - before, place.block.count - 2);
    kvs_digest_free(digest);
    free(model);
}

static void maintenance_does_as_much_as_it_is_asked_to(void **state)
{
    (void)state;
    struct model *model = model_new(5);
    struct kvs_digest *digest = new_digest(4);
    char buffer[MODEL_KEY_MAX];
    for (int i = 0; i < 3000; i++)
        both_put(model, digest, model_some_key(model, 100000, buffer));
    struct kvs_digest_source source = model_source(model);
    struct kvs_digest_stats stats;
    bool more = false;
    assert_int_equal(kvs_digest_maintain(digest, &source, 0, &more), 0);
    assert_true(more);
    kvs_digest_stats(digest, &stats);
    assert_int_equal(stats.blocks, 1);
    uint64_t rounds = 0;
    for (; more; rounds++)
        assert_int_equal(kvs_digest_maintain(digest, &source, 1, &more), 0);
    assert_true(rounds > 3 && rounds < 100); // many pieces a round, but not all
    check_tree(digest);
    check_blocks(model, digest);
    assert_true(model->reads < 3000 * 20);
    kvs_digest_free(digest);
    free(model);
}

static void an_error_of_the_source_leaves_the_index_valid(void **state)
{
    (void)state;
    struct model *model = model_new(6);
    struct kvs_digest *digest = new_digest(4);
    fill(model, digest, 2000, 1500);
    char buffer[MODEL_KEY_MAX];
    for (int i = 0; i < 3000; i++)
        both_put(model, digest, model_some_key(model, 20000, buffer));
    struct kvs_digest_source source = model_source(model);
    model->err = KVS_ERR_IO;
    bool more = true;
    uint64_t failures = 0;
    for (uint64_t allowed = 0; more; allowed++) {
        model->reads_until = model->reads + allowed;
        int err = kvs_digest_maintain(digest, &source, 1, &more);
        assert_true(err == 0 || err == KVS_ERR_IO);
        failures += err != 0;
        model->reads_until = model->reads;
        struct kvs_fingerprint print;
        assert_int_equal(kvs_digest_rebuild(digest, &source), KVS_ERR_IO);
        struct kvs_slice middle = KVS_SLICE("app/config/05/!");
        assert_int_equal(kvs_digest_range(digest, &source, KVS_SLICE("1!"), middle, &print),
                         KVS_ERR_IO);
        model->reads_until = UINT64_MAX;
        check_tree(digest);
        check_blocks(model, digest);
        more = more || err;
    }
    assert_true(failures > 5);
    kvs_digest_free(digest);
    free(model);
}

static void fewer_records_than_counted_are_reported_as_damage(void **state)
{
    (void)state;
    struct model *model = model_new(7);
    struct kvs_digest *digest = new_digest(16);
    char buffer[MODEL_KEY_MAX];
    for (int i = 0; i < 300; i++)
        both_put(model, digest, model_some_key(model, 100000, buffer));
    struct kvs_fingerprint root = kvs_digest_root(digest);
    size_t count = model->count;
    model->count = 10;
    struct kvs_digest_source source = model_source(model);
    bool more;
    assert_int_equal(kvs_digest_maintain(digest, &source, 1, &more), KVS_ERR_CORRUPT);
    assert_true(kvs_fingerprint_eq(kvs_digest_root(digest), root));
    model->count = count;
    assert_int_equal(kvs_digest_maintain(digest, &source, 100, &more), 0);
    assert_false(more);
    check_blocks(model, digest);

    struct kvs_digest *empty = new_digest(2);
    struct kvs_digest_sum item = {1, 2};
    assert_int_equal(kvs_digest_update(empty, KVS_SLICE("k"), &item, NULL), KVS_ERR_CORRUPT);
    assert_int_equal(kvs_digest_root(empty).count, 0);
    static const char long_key[KVS_DIGEST_RECORD_KEY_MAX + 1];
    assert_int_equal(kvs_digest_update(empty, kvs_slice(long_key, sizeof(long_key)), NULL, &item),
                     KVS_ERR_TOO_LARGE);
    assert_int_equal(kvs_digest_root(empty).count, 0);
    kvs_digest_free(empty);
    kvs_digest_free(digest);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_history_sums_up_like_a_naive_walk),
        cmocka_unit_test(maintained_blocks_hold_between_half_and_twice_of_the_aim),
        cmocka_unit_test(sums_depend_on_the_set_and_not_on_how_it_came),
        cmocka_unit_test(keys_that_only_grow_fill_nodes_and_blocks),
        cmocka_unit_test(a_range_reads_at_most_two_blocks),
        cmocka_unit_test(maintenance_does_as_much_as_it_is_asked_to),
        cmocka_unit_test(an_error_of_the_source_leaves_the_index_valid),
        cmocka_unit_test(fewer_records_than_counted_are_reported_as_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
