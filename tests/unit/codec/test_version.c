// SPDX-License-Identifier: Apache-2.0
// The laws of the version order, checked on every triple of a domain made of ties.
#include "tests/unit/test.h"

#include "codec/version.h"

enum { DOMAIN = 27 };

static void make_domain(struct kvs_version domain[DOMAIN])
{
    size_t n = 0;
    for (int timestamp = 1; timestamp <= 3; timestamp++)
        for (int joined = 1; joined <= 3; joined++)
            for (uint8_t uuid = 0; uuid < 3; uuid++) {
                domain[n] = (struct kvs_version){.timestamp = timestamp};
                domain[n].writer.joined_timestamp = joined;
                domain[n].uuid.bytes[15] = uuid;
                n++;
            }
}

static const struct kvs_version *merge(const struct kvs_version *a, const struct kvs_version *b)
{
    return kvs_version_cmp(a, b, NULL) >= 0 ? a : b;
}

static void the_order_is_total_and_merging_has_its_laws(void **state)
{
    (void)state;
    struct kvs_version d[DOMAIN];
    make_domain(d);
    for (int a = 0; a < DOMAIN; a++) {
        assert_int_equal(kvs_version_cmp(&d[a], &d[a], NULL), 0);
        for (int b = 0; b < DOMAIN; b++) {
            assert_int_equal(kvs_version_cmp(&d[a], &d[b], NULL),
                             -kvs_version_cmp(&d[b], &d[a], NULL));
            assert_ptr_equal(merge(&d[a], &d[b]), merge(&d[b], &d[a]));
            for (int c = 0; c < DOMAIN; c++)
                assert_ptr_equal(merge(merge(&d[a], &d[b]), &d[c]),
                                 merge(&d[a], merge(&d[b], &d[c])));
        }
    }
}

static void each_rule_decides_when_those_before_it_tie(void **state)
{
    (void)state;
    struct kvs_version old = {.timestamp = 5, .writer.joined_timestamp = 2};
    struct kvs_version new = old;
    enum kvs_version_rule rule;
    assert_int_equal(kvs_version_cmp(&old, &new, &rule), 0);
    assert_int_equal(rule, KVS_VERSION_SAME);
    new.uuid.bytes[0] = 1;
    assert_true(kvs_version_cmp(&old, &new, &rule) > 0); // the smaller uuid
    assert_int_equal(rule, KVS_VERSION_BY_UUID);
    new.writer.joined_timestamp = 1;
    assert_true(kvs_version_cmp(&old, &new, &rule) < 0); // the older writer
    assert_int_equal(rule, KVS_VERSION_BY_JOINED_TIMESTAMP);
    old.timestamp = 6;
    assert_true(kvs_version_cmp(&old, &new, &rule) > 0); // the greater timestamp
    assert_int_equal(rule, KVS_VERSION_BY_TIMESTAMP);
}

static void visibility_follows_flags_and_expiry(void **state)
{
    (void)state;
    struct kvs_version v = {.timestamp = 1, .expires_at = 100};
    assert_true(kvs_version_is_visible(&v, 99));
    assert_false(kvs_version_is_visible(&v, 100));
    v.expires_at = 0;
    v.flags = KVS_VERSION_TOMBSTONE;
    assert_false(kvs_version_is_visible(&v, 1));
    v.flags = KVS_VERSION_STUB;
    assert_false(kvs_version_is_visible(&v, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_total_and_merging_has_its_laws),
        cmocka_unit_test(each_rule_decides_when_those_before_it_tie),
        cmocka_unit_test(visibility_follows_flags_and_expiry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
