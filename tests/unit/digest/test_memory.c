// SPDX-License-Identifier: Apache-2.0
// Without memory: every allocation of the index fails once, and what was there stays. The linker
// puts the functions below between the index and the allocator.
#include "tests/unit/digest/model.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

static uint64_t allocations_left = UINT64_MAX;

static bool allowed(void)
{
    if (allocations_left == 0)
        return false;
    allocations_left--;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return allowed() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allowed() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return allowed() ? __real_realloc(pointer, size) : NULL;
}

static void without_memory_updates_work_and_maintenance_changes_nothing(void **state)
{
    (void)state;
    struct model *model = model_new(1);
    struct kvs_digest *digest = new_digest(2);
    struct kvs_digest_source source = model_source(model);
    char key[MODEL_KEY_MAX];
    uint64_t failures = 0;
    for (uint64_t i = 0; i < 6000; i++) {
        allocations_left = 0;
        both_put(model, digest, model_some_key(model, 1000000, key));
        allocations_left = i % 12;
        bool more = false;
        int err = kvs_digest_maintain(digest, &source, 10, &more);
        allocations_left = UINT64_MAX;
        assert_true(err == 0 || err == KVS_ERR_NOMEM);
        failures += err != 0;
        if (i % 50 == 0) {
            check_tree(digest);
            check_blocks(model, digest);
        }
    }
    assert_true(failures > 100);
    maintain_all(model, digest);
    check_tree(digest);
    while (model->count > 0) { // joins never fail: nodes stay small where they cannot be merged
        both_remove(model, digest, model_random(model, model->count));
        allocations_left = 0;
        bool more = false;
        int err = kvs_digest_maintain(digest, &source, 10, &more);
        allocations_left = UINT64_MAX;
        assert_true(err == 0 || err == KVS_ERR_NOMEM);
        if (model->count % 50 == 0)
            check_blocks(model, digest);
    }
    kvs_digest_free(digest);
    free(model);
}

static void whatever_allocation_fails_is_reported(void **state)
{
    (void)state;
    struct model *model = model_new(2);
    struct kvs_digest *digest = new_digest(2);
    fill(model, digest, 300, 600);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 20);
    kvs_digest_checkpoint(digest, 1, &bytes);
    struct kvs_digest_source source = model_source(model);
    struct kvs_fingerprint root = kvs_digest_root(digest);
    bool done = false;
    for (uint64_t allowed_count = 0; !done; allowed_count++) {
        struct kvs_digest *restored = NULL;
        uint64_t log_seq;
        allocations_left = allowed_count;
        int err = kvs_digest_restore(&(struct kvs_digest_options){.block_size = 2},
                                     kvs_buf_slice(&bytes), &log_seq, &restored);
        allocations_left = allowed_count;
        int rebuild_err = kvs_digest_rebuild(digest, &source);
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf copy = KVS_BUF_INIT(1 << 20);
        allocations_left = allowed_count;
        kvs_digest_checkpoint(digest, 1, &copy);
        allocations_left = UINT64_MAX;
        assert_true(err == KVS_ERR_NOMEM || (err == 0 && restored));
        assert_true(rebuild_err == 0 || rebuild_err == KVS_ERR_NOMEM);
        assert_true(copy.err == 0 || copy.err == KVS_ERR_NOMEM);
        check_tree(digest);
        assert_true(kvs_fingerprint_eq(kvs_digest_root(digest), root));
        done = err == 0 && rebuild_err == 0 && copy.err == 0;
        assert_true(allowed_count > 0 || (err && rebuild_err && copy.err));
        kvs_digest_free(restored);
    }
    check_blocks(model, digest);
    kvs_digest_free(digest);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_updates_work_and_maintenance_changes_nothing),
        cmocka_unit_test(whatever_allocation_fails_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
