// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/uuid.h"

static void new_uuids_are_version_4_and_differ(void **state)
{
    (void)state;
    struct kvs_uuid a = kvs_uuid_new(kvs_random_system());
    struct kvs_uuid b = kvs_uuid_new(kvs_random_system());
    assert_int_equal(a.bytes[6] >> 4, 4);
    assert_int_equal(a.bytes[8] >> 6, 2);
    assert_int_not_equal(kvs_uuid_cmp(&a, &b), 0);
}

static void text_round_trips_and_keeps_the_byte_order(void **state)
{
    (void)state;
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 1);
    for (int i = 0; i < 1000; i++) {
        struct kvs_uuid a = kvs_uuid_new(&random.base);
        struct kvs_uuid b = kvs_uuid_new(&random.base);
        char ta[KVS_UUID_TEXT_SIZE];
        char tb[KVS_UUID_TEXT_SIZE];
        kvs_uuid_format(&a, ta);
        kvs_uuid_format(&b, tb);
        struct kvs_uuid parsed;
        assert_true(kvs_uuid_parse(kvs_slice(ta, sizeof(ta)), &parsed));
        assert_int_equal(kvs_uuid_cmp(&a, &parsed), 0);
        assert_true((kvs_uuid_cmp(&a, &b) < 0) == (memcmp(ta, tb, sizeof(ta)) < 0));
    }
}

static void refuses_what_is_no_uuid(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "00000000-0000-4000-8000-00000000000",
                                      "00000000-0000-4000-8000-0000000000000",
                                      "00000000+0000-4000-8000-000000000000",
                                      "g0000000-0000-4000-8000-000000000000",
                                      "000000000-000-4000-8000-000000000000"};
    struct kvs_uuid uuid;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(kvs_uuid_parse(kvs_slice_from_str(bad[i]), &uuid));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_uuids_are_version_4_and_differ),
        cmocka_unit_test(text_round_trips_and_keeps_the_byte_order),
        cmocka_unit_test(refuses_what_is_no_uuid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
