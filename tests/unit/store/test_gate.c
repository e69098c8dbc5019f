// SPDX-License-Identifier: Apache-2.0
// The gate: nobody is inside while it is closed, and nobody waits for ever.
#include "tests/unit/test.h"

#include <pthread.h>

#include "base/cleanup.h"
#include "store/gate.h"

static void a_closed_gate_turns_away_who_does_not_wait(void **state)
{
    (void)state;
    struct kvs_gate gate;
    assert_int_equal(kvs_gate_init(&gate), 0);
    assert_true(kvs_gate_enter(&gate, false));
    kvs_gate_leave(&gate);
    assert_int_equal(kvs_gate_close(&gate, 10000), 0);
    assert_false(kvs_gate_enter(&gate, false));
    assert_int_equal(kvs_gate_close(&gate, 10000), KVS_ERR_BUSY);
    kvs_gate_open(&gate);
    assert_true(kvs_gate_enter(&gate, false));
    kvs_gate_leave(&gate);
    kvs_gate_done(&gate);
}

static void who_stays_inside_keeps_it_open(void **state)
{
    (void)state;
    struct kvs_gate gate;
    assert_int_equal(kvs_gate_init(&gate), 0);
    assert_true(kvs_gate_enter(&gate, true));
    assert_int_equal(kvs_gate_close(&gate, 0), KVS_ERR_BUSY);
    assert_true(kvs_gate_enter(&gate, false));
    kvs_gate_leave(&gate);
    kvs_gate_leave(&gate);
    kvs_gate_done(&gate);
}

struct shared {
    struct kvs_gate gate;
    volatile int value; // only changed while the gate is closed: the thread sanitizer checks that
};

enum { THREADS = 3, ENTRIES = 20000, CLOSINGS = 200 };

static void *enter_often(void *ctx)
{
    struct shared *shared = ctx;
    intptr_t odd = 0;
    for (int i = 0; i < ENTRIES; i++) {
        if (!kvs_gate_enter(&shared->gate, i % 2 == 0))
            continue;
        odd += shared->value % 2;
        kvs_gate_leave(&shared->gate);
    }
    return (void *)odd;
}

static void nobody_is_inside_while_it_is_closed(void **state)
{
    (void)state;
    struct shared shared = {0};
    assert_int_equal(kvs_gate_init(&shared.gate), 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, enter_often, &shared), 0);
    for (int i = 0; i < CLOSINGS; i++) {
        assert_int_equal(kvs_gate_close(&shared.gate, 60000), 0);
        shared.value++; // odd: nobody may see it
        shared.value++;
        kvs_gate_open(&shared.gate);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *odd = NULL;
        assert_int_equal(pthread_join(threads[i], &odd), 0);
        assert_null(odd);
    }
    assert_int_equal(shared.value, 2 * CLOSINGS);
    kvs_gate_done(&shared.gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_gate_turns_away_who_does_not_wait),
        cmocka_unit_test(who_stays_inside_keeps_it_open),
        cmocka_unit_test(nobody_is_inside_while_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
