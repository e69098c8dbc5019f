// SPDX-License-Identifier: Apache-2.0
// Without memory for a while, the replica's thread loses nothing that the core waits for. The
// linker puts calloc below between the node and the allocator.
#include "tests/unit/node/merging.h"

#include "node/replica_internal.h"

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static _Atomic bool events_fail;
static _Atomic int failures;

void *__wrap_calloc(size_t count, size_t size)
{
    if (!atomic_load(&events_fail) || count != 1 || size != sizeof(struct kvs_replica_event))
        return __real_calloc(count, size);
    atomic_fetch_add(&failures, 1);
    return NULL;
}

static struct kvs_cluster_options options;

static int setup_with(void **state, int64_t promise_interval_ms)
{
    struct fixture *f = malloc(sizeof(*f));
    assert_non_null(f);
    options = cluster_options;
    options.promise_interval_ms = promise_interval_ms;
    atomic_store(&failures, 0);
    fixture_init(f);
    f->clock.base.mono_ms = real_mono_ms;
    f->options.cluster = &options;
    fixture_open(f);
    *state = f;
    return 0;
}

static int setup_promising(void **state)
{
    return setup_with(state, 20);
}

static int setup_quiet(void **state)
{
    return setup_with(state, INT64_C(1) << 40);
}

static void look(void *ctx, const struct kvs_repl *core)
{
    kvs_repl_view(core, ctx);
}

static struct kvs_repl_view view_of(struct fixture *f)
{
    struct kvs_repl_view view;
    kvs_replica_look(f->node->replica, look, &view);
    return view;
}

static void a_promise_that_was_lost_is_made_again(void **state)
{
    struct fixture *f = *state;
    atomic_store(&events_fail, true);
    WAIT_FOR(atomic_load(&failures) >= 8);
    atomic_store(&events_fail, false);
    atomic_fetch_add(&f->clock.wall_ms, 1000000);
    WAIT_FOR(view_of(f).promise_ms >= TEST_START_MS + 999999);
}

static void a_write_that_nobody_was_told_of_is_told_later(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    WAIT_FOR(view_of(f).own_count == 1);
    atomic_store(&events_fail, true);
    for (int i = 0; i < 10; i++)
        put(f, "a", "2");
    WAIT_FOR(atomic_load(&failures) > 0);
    atomic_store(&events_fail, false);
    WAIT_FOR(view_of(f).own_count == 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_promise_that_was_lost_is_made_again, setup_promising,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_write_that_nobody_was_told_of_is_told_later, setup_quiet,
                                        fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
