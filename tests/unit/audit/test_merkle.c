// SPDX-License-Identifier: Apache-2.0
// The tree against the recursive definition of RFC 9162, written down here a second time; and
// proofs: each holds, and no other one does.
#include "tests/unit/test.h"

#include "audit/merkle.h"

enum { LEAVES = 70 };

struct fixture {
    struct kvs_audit_hasher *hasher;
    struct kvs_audit_hash leaves[LEAVES];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_int_equal(kvs_audit_hasher_new(&f->hasher), 0);
    for (int i = 0; i < LEAVES; i++)
        f->leaves[i] = kvs_audit_hash_leaf(f->hasher, kvs_slice(&i, sizeof(i)));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kvs_audit_hasher_free(f->hasher);
    free(f);
    return 0;
}

// MTH(D[start:end]), word by word.
static struct kvs_audit_hash naive(struct fixture *f, uint64_t start, uint64_t end)
{
    if (end - start == 0)
        return kvs_audit_hash_bytes(f->hasher, KVS_SLICE_EMPTY);
    if (end - start == 1)
        return f->leaves[start];
    uint64_t split = 1;
    while (split * 2 < end - start)
        split *= 2;
    struct kvs_audit_hash left = naive(f, start, start + split);
    struct kvs_audit_hash right = naive(f, start + split, end);
    return kvs_audit_hash_node(f->hasher, &left, &right);
}

static int subtree(void *ctx, unsigned level, uint64_t index, struct kvs_audit_hash *ret_hash)
{
    *ret_hash = naive(ctx, index << level, (index + 1) << level);
    return 0;
}

static struct kvs_audit_tree_source source_of(struct fixture *f)
{
    return (struct kvs_audit_tree_source){subtree, f, f->hasher};
}

static void hashes_are_domain_separated_sha256(void **state)
{
    struct fixture *f = *state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(1000);
    struct kvs_audit_hash hash = kvs_audit_hash_bytes(f->hasher, KVS_SLICE_EMPTY);
    kvs_audit_hex_append(&text, hash.bytes, sizeof(hash.bytes));
    assert_slice_equal(kvs_buf_slice(&text),
                       "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct kvs_audit_hash leaf = kvs_audit_hash_leaf(f->hasher, KVS_SLICE("x"));
    hash = kvs_audit_hash_bytes(f->hasher, kvs_slice("\0x", 2));
    assert_true(kvs_audit_hash_eq(&hash, &leaf));
}

static void a_mac_depends_on_key_and_message(void **state)
{
    struct fixture *f = *state;
    kvs_audit_hasher_set_key(f->hasher, &f->leaves[0]);
    struct kvs_audit_hash first = kvs_audit_mac(f->hasher, KVS_SLICE("message"));
    struct kvs_audit_hash again = kvs_audit_mac(f->hasher, KVS_SLICE("message"));
    struct kvs_audit_hash other = kvs_audit_mac(f->hasher, KVS_SLICE("massage"));
    assert_true(kvs_audit_hash_eq(&first, &again));
    assert_false(kvs_audit_hash_eq(&first, &other));
    kvs_audit_hasher_set_key(f->hasher, &f->leaves[1]);
    other = kvs_audit_mac(f->hasher, KVS_SLICE("message"));
    assert_false(kvs_audit_hash_eq(&first, &other));
    assert_int_equal(kvs_audit_hasher_error(f->hasher), 0);
}

static void a_growing_tree_has_the_root_of_the_definition(void **state)
{
    struct fixture *f = *state;
    struct kvs_audit_tree tree = {0};
    for (uint64_t size = 0;; size++) {
        struct kvs_audit_hash root = kvs_audit_tree_root(&tree, f->hasher);
        struct kvs_audit_hash expected = naive(f, 0, size);
        assert_true(kvs_audit_hash_eq(&root, &expected));
        struct kvs_audit_tree_source source = source_of(f);
        struct kvs_audit_tree loaded;
        assert_int_equal(kvs_audit_tree_load(&source, size, &loaded), 0);
        root = kvs_audit_tree_root(&loaded, f->hasher);
        assert_true(kvs_audit_hash_eq(&root, &expected));
        if (size == LEAVES)
            break;
        kvs_audit_tree_append(&tree, f->hasher, &f->leaves[size], NULL, NULL);
    }
}

static void an_inclusion_proof_holds_for_its_leaf_alone(void **state)
{
    struct fixture *f = *state;
    struct kvs_audit_tree_source source = source_of(f);
    for (uint64_t size = 1; size <= LEAVES; size++) {
        struct kvs_audit_hash root = naive(f, 0, size);
        for (uint64_t leaf = 0; leaf < size; leaf++) {
            struct kvs_audit_path path;
            assert_int_equal(kvs_audit_prove_inclusion(&source, leaf, size, &path), 0);
            assert_true(
                kvs_audit_inclusion_holds(f->hasher, leaf, size, &f->leaves[leaf], &path, &root));
            uint64_t other = (leaf + 1) % size;
            if (other != leaf)
                assert_false(kvs_audit_inclusion_holds(f->hasher, other, size, &f->leaves[leaf],
                                                       &path, &root));
            assert_false(kvs_audit_inclusion_holds(f->hasher, leaf, size,
                                                   &f->leaves[(leaf + 1) % LEAVES], &path, &root));
            path.hashes[path.count++] = root; // one too many
            assert_false(
                kvs_audit_inclusion_holds(f->hasher, leaf, size, &f->leaves[leaf], &path, &root));
            if (path.count > 1) { // one too few
                path.count -= 2;
                assert_false(kvs_audit_inclusion_holds(f->hasher, leaf, size, &f->leaves[leaf],
                                                       &path, &root));
            }
        }
        struct kvs_audit_path none = {0};
        assert_false(kvs_audit_inclusion_holds(f->hasher, size, size, &f->leaves[0], &none, &root));
    }
}

static void a_consistency_proof_holds_for_its_roots_alone(void **state)
{
    struct fixture *f = *state;
    struct kvs_audit_tree_source source = source_of(f);
    for (uint64_t second = 1; second <= LEAVES; second++) {
        struct kvs_audit_hash new_root = naive(f, 0, second);
        for (uint64_t first = 1; first <= second; first++) {
            struct kvs_audit_hash old_root = naive(f, 0, first);
            struct kvs_audit_path path;
            assert_int_equal(kvs_audit_prove_consistency(&source, first, second, &path), 0);
            assert_true(
                kvs_audit_consistency_holds(f->hasher, first, second, &old_root, &path, &new_root));
            assert_false(kvs_audit_consistency_holds(f->hasher, first, second, &f->leaves[1], &path,
                                                     &new_root));
            assert_false(kvs_audit_consistency_holds(f->hasher, first, second, &old_root, &path,
                                                     &f->leaves[1]));
            if (path.count > 0) {
                path.hashes[path.count / 2].bytes[7] ^= 4;
                assert_false(kvs_audit_consistency_holds(f->hasher, first, second, &old_root, &path,
                                                         &new_root));
            }
        }
        struct kvs_audit_path none = {0};
        assert_false(
            kvs_audit_consistency_holds(f->hasher, 0, second, &new_root, &none, &new_root));
        assert_false(kvs_audit_consistency_holds(f->hasher, second + 1, second, &new_root, &none,
                                                 &new_root));
    }
}

static void hex_is_read_in_one_form_only(void **state)
{
    (void)state;
    uint8_t bytes[2];
    assert_true(kvs_audit_hex_parse(KVS_SLICE("0aff"), bytes, 2));
    assert_int_equal(bytes[0], 0x0a);
    assert_int_equal(bytes[1], 0xff);
    assert_false(kvs_audit_hex_parse(KVS_SLICE("0AFF"), bytes, 2));
    assert_false(kvs_audit_hex_parse(KVS_SLICE("0aff0"), bytes, 2));
    assert_false(kvs_audit_hex_parse(KVS_SLICE("0af"), bytes, 2));
    assert_false(kvs_audit_hex_parse(KVS_SLICE("0ag0"), bytes, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hashes_are_domain_separated_sha256, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mac_depends_on_key_and_message, setup, teardown),
        cmocka_unit_test_setup_teardown(a_growing_tree_has_the_root_of_the_definition, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_inclusion_proof_holds_for_its_leaf_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_consistency_proof_holds_for_its_roots_alone, setup,
                                        teardown),
        cmocka_unit_test(hex_is_read_in_one_form_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
