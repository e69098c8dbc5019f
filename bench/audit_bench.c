// SPDX-License-Identifier: Apache-2.0
// What an entry of the audit log costs without a store: encoding, HMAC, leaf hash, tree. And what
// is done once an hour or on demand: signatures, verification.
//
//   audit_bench [ENTRIES]                              default: 1000000
#include "audit/entry.h"
#include "audit/seal.h"
#include "base/clock.h"
#include "bench/measure.h"

#include <stdio.h>

struct bench {
    struct kvs_audit_hasher *hasher;
    struct kvs_audit_tree tree;
    struct kvs_audit_hash leaf;
    struct kvs_buf bytes;
};

static void add_entry(struct bench *bench, uint64_t seq)
{
    struct kvs_audit_entry entry = {
        .seq = seq,
        .timestamp = 1790000000000,
        .has_user = true,
        .action = KVS_SLICE("data_write"),
        .outcome = KVS_SLICE("ok"),
        .request_id = KVS_SLICE("138e20f23f210efb-0000000001"),
        .resource = KVS_SLICE("bench/some/key00000001"),
        .prev = bench->leaf,
    };
    kvs_buf_clear(&bench->bytes);
    kvs_audit_entry_encode_signed(&bench->bytes, &entry);
    entry.signature = kvs_audit_mac(bench->hasher, kvs_buf_slice(&bench->bytes));
    kvs_audit_entry_encode_signature(&bench->bytes, &entry);
    bench->leaf = kvs_audit_hash_leaf(bench->hasher, kvs_buf_slice(&bench->bytes));
    kvs_audit_tree_append(&bench->tree, bench->hasher, &bench->leaf, NULL, NULL);
}

static void print(const char *name, double seconds, uint64_t count)
{
    printf("%-28s %7.2f us\n", name, seconds / (double)count * 1e6);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    struct bench bench = {.bytes = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX)};
    struct kvs_audit_key key = kvs_audit_key_new(1, kvs_random_system());
    struct kvs_audit_signer signer;
    if (count == 0 || kvs_audit_hasher_new(&bench.hasher) || kvs_audit_signer_init(&signer, &key))
        return 1;
    kvs_audit_hasher_set_key(bench.hasher, &signer.mac_key);
    double start = measure_cpu_seconds();
    for (uint64_t seq = 1; seq <= count; seq++)
        add_entry(&bench, seq);
    print("an entry", measure_cpu_seconds() - start, count);
    printf("%-28s %7zu\n", "bytes of an entry", bench.bytes.size);
    start = measure_cpu_seconds();
    for (uint64_t i = 0; i < count; i++)
        (void)kvs_audit_mac(bench.hasher, kvs_buf_slice(&bench.bytes));
    print("its HMAC alone", measure_cpu_seconds() - start, count);
    start = measure_cpu_seconds();
    for (uint64_t i = 0; i < count; i++)
        (void)kvs_audit_hash_leaf(bench.hasher, kvs_buf_slice(&bench.bytes));
    print("its leaf hash alone", measure_cpu_seconds() - start, count);
    enum { SIGNATURES = 2000 };
    struct kvs_audit_signature signature = {{0}};
    int failures = 0;
    start = measure_cpu_seconds();
    for (int i = 0; i < SIGNATURES; i++)
        failures += kvs_audit_sign(&signer, kvs_buf_slice(&bench.bytes), &signature) != 0;
    print("a signature", measure_cpu_seconds() - start, SIGNATURES);
    start = measure_cpu_seconds();
    for (int i = 0; i < SIGNATURES; i++)
        failures +=
            !kvs_audit_signature_holds(&signer.public_key, kvs_buf_slice(&bench.bytes), &signature);
    print("its verification", measure_cpu_seconds() - start, SIGNATURES);
    failures += kvs_audit_hasher_error(bench.hasher) != 0;
    kvs_audit_signer_done(&signer);
    kvs_audit_hasher_free(bench.hasher);
    kvs_buf_done(&bench.bytes);
    return failures == 0 ? 0 : 1;
}
