// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "codec/wire.h"
#include "digest/digest.h"

#include <openssl/evp.h>
#include <openssl/params.h>

static const struct kvs_digest_key prf = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static struct kvs_version sample_version(void)
{
    struct kvs_version version = {
        .timestamp = 1700000000123, .writer.joined_timestamp = 1600000000000, .writer_seq = 77};
    for (uint8_t i = 0; i < 16; i++) {
        version.uuid.bytes[i] = (uint8_t)(0xA0 + i);
        version.writer.node.bytes[i] = (uint8_t)(0x50 + i);
    }
    return version;
}

static void put_u64le(struct kvs_buf *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        kvs_wire_put_u8(out, (uint8_t)(value >> (8 * i)));
}

// SipHash-2-4-128 as OpenSSL computes it, over the bytes that docs/digest.md lists.
static struct kvs_digest_sum reference(struct kvs_slice key, const struct kvs_version *version,
                                       uint64_t value_checksum)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(4096);
    put_u64le(&bytes, key.size);
    put_u64le(&bytes, (uint64_t)version->timestamp);
    kvs_wire_put_uuid(&bytes, &version->uuid);
    kvs_wire_put_uuid(&bytes, &version->writer.node);
    put_u64le(&bytes, (uint64_t)version->writer.joined_timestamp);
    put_u64le(&bytes, version->flags & KVS_VERSION_TOMBSTONE);
    put_u64le(&bytes, (uint64_t)version->expires_at);
    put_u64le(&bytes, version->expires_at ? 0 : value_checksum);
    kvs_buf_append_slice(&bytes, key);
    assert_int_equal(bytes.err, 0);

    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned size = 16;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_uint("size", &size), OSSL_PARAM_construct_end()};
    uint8_t hash[16];
    size_t hash_size = 0;
    assert_int_equal(EVP_MAC_init(ctx, prf.bytes, sizeof(prf.bytes), params), 1);
    assert_int_equal(EVP_MAC_update(ctx, (const uint8_t *)bytes.data, bytes.size), 1);
    assert_int_equal(EVP_MAC_final(ctx, hash, &hash_size, sizeof(hash)), 1);
    assert_int_equal(hash_size, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    struct kvs_digest_sum sum = {0};
    for (int i = 7; i >= 0; i--) {
        sum.lo = sum.lo << 8 | hash[i];
        sum.hi = sum.hi << 8 | hash[8 + i];
    }
    return sum;
}

static bool same(struct kvs_digest_sum a, struct kvs_digest_sum b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static void items_are_siphash_2_4_128_of_the_documented_bytes(void **state)
{
    (void)state;
    static const char text[] = "app/config/some/quite/long/key/that/goes/over/many/words";
    for (size_t size = 0; size < sizeof(text); size++) {
        struct kvs_version version = sample_version();
        version.expires_at = size % 3 == 0 ? 1800000000000 : 0;
        version.flags = size % 2 ? KVS_VERSION_TOMBSTONE : 0;
        struct kvs_slice key = kvs_slice(text, size);
        assert_true(same(kvs_digest_item(&prf, key, &version, 0x1122334455667788 + size),
                         reference(key, &version, 0x1122334455667788 + size)));
    }
}

static void every_field_that_replicates_changes_the_item(void **state)
{
    (void)state;
    struct kvs_slice key = KVS_SLICE("key");
    struct kvs_version version = sample_version();
    struct kvs_digest_sum items[10];
    size_t count = 0;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    items[count++] = kvs_digest_item(&prf, key, &version, 10);
    items[count++] = kvs_digest_item(&prf, KVS_SLICE("kez"), &version, 9);
    version.timestamp++;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    version.uuid.bytes[15] ^= 1;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    version.writer.node.bytes[0] ^= 1;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    version.writer.joined_timestamp++;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    version.flags |= KVS_VERSION_TOMBSTONE;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    version.expires_at = 1;
    items[count++] = kvs_digest_item(&prf, key, &version, 9);
    version = sample_version();
    struct kvs_digest_key other = prf;
    other.bytes[15] ^= 1;
    items[count++] = kvs_digest_item(&other, key, &version, 9);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(same(items[i], items[k]));
}

static void housekeeping_leaves_the_item_as_it_was(void **state)
{
    (void)state;
    struct kvs_slice key = KVS_SLICE("key");
    struct kvs_version version = sample_version();
    struct kvs_digest_sum item = kvs_digest_item(&prf, key, &version, 9);
    version.writer_seq = 5;
    version.flags |= KVS_VERSION_CONFLICT_LOSER;
    assert_true(same(kvs_digest_item(&prf, key, &version, 9), item));
    version.expires_at = 1800000000000;
    item = kvs_digest_item(&prf, key, &version, 9);
    version.flags |= KVS_VERSION_STUB; // reclaimed: nobody knows the checksum any more
    assert_true(same(kvs_digest_item(&prf, key, &version, 0), item));
}

static void sums_are_a_group_modulo_two_to_the_128(void **state)
{
    (void)state;
    struct kvs_digest_sum a = {UINT64_MAX, 1};
    struct kvs_digest_sum b = {2, UINT64_MAX};
    struct kvs_digest_sum sum = a;
    kvs_digest_sum_add(&sum, b);
    assert_true(same(sum, (struct kvs_digest_sum){1, 1}));
    kvs_digest_sum_sub(&sum, b);
    assert_true(same(sum, a));
    struct kvs_digest_sum zero = {0};
    kvs_digest_sum_sub(&zero, (struct kvs_digest_sum){1, 0});
    assert_true(same(zero, (struct kvs_digest_sum){UINT64_MAX, UINT64_MAX}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_siphash_2_4_128_of_the_documented_bytes),
        cmocka_unit_test(every_field_that_replicates_changes_the_item),
        cmocka_unit_test(housekeeping_leaves_the_item_as_it_was),
        cmocka_unit_test(sums_are_a_group_modulo_two_to_the_128),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
