// SPDX-License-Identifier: Apache-2.0
// Keys, what they sign, and the file they lie in.
#include "tests/unit/test.h"

#include "audit/key.h"
#include "tests/unit/tempdir.h"

#include <sys/stat.h>

static struct kvs_random_seeded seeded;

static struct kvs_audit_signer signer_of(struct kvs_audit_key *key)
{
    struct kvs_audit_signer signer;
    assert_int_equal(kvs_audit_signer_init(&signer, key), 0);
    return signer;
}

static void a_signature_holds_for_its_key_and_message_alone(void **state)
{
    (void)state;
    struct kvs_audit_key key = kvs_audit_key_new(1, &seeded.base);
    struct kvs_audit_key other_key = kvs_audit_key_new(1, &seeded.base);
    struct kvs_audit_signer signer = signer_of(&key);
    struct kvs_audit_signer same = signer_of(&key);
    struct kvs_audit_signer other = signer_of(&other_key);
    struct kvs_audit_signature signature;
    assert_memory_equal(&signer.public_key, &same.public_key, sizeof(same.public_key));
    assert_memory_not_equal(&signer.public_key, &other.public_key, sizeof(other.public_key));
    assert_memory_not_equal(&signer.mac_key, &other.mac_key, sizeof(other.mac_key));
    assert_int_equal(kvs_audit_sign(&signer, KVS_SLICE("root"), &signature), 0);
    assert_true(kvs_audit_signature_holds(&signer.public_key, KVS_SLICE("root"), &signature));
    assert_false(kvs_audit_signature_holds(&signer.public_key, KVS_SLICE("rood"), &signature));
    assert_false(kvs_audit_signature_holds(&other.public_key, KVS_SLICE("root"), &signature));
    signature.bytes[40] ^= 1;
    assert_false(kvs_audit_signature_holds(&signer.public_key, KVS_SLICE("root"), &signature));
    kvs_audit_signer_done(&signer);
    kvs_audit_signer_done(&same);
    kvs_audit_signer_done(&other);
}

static void the_seed_shows_in_neither_of_its_keys(void **state)
{
    (void)state;
    struct kvs_audit_key key = kvs_audit_key_new(1, &seeded.base);
    struct kvs_audit_signer signer = signer_of(&key);
    assert_memory_not_equal(signer.mac_key.bytes, key.seed, sizeof(key.seed));
    assert_memory_not_equal(signer.public_key.bytes, key.seed, sizeof(key.seed));
    assert_memory_not_equal(signer.public_key.bytes, signer.mac_key.bytes, 32);
    kvs_audit_signer_done(&signer);
}

static void the_key_file_is_private_and_replaced_whole(void **state)
{
    (void)state;
    struct tempdir dir;
    tempdir_init(&dir);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/audit.key", dir.path);
    struct kvs_message message = {{0}};
    struct kvs_audit_keys keys = {.current = kvs_audit_key_new(7, &seeded.base),
                                  .next = kvs_audit_key_new(8, &seeded.base)};
    struct kvs_audit_keys read;
    assert_int_equal(kvs_audit_keys_load(path, &read, &message), KVS_ERR_NOT_FOUND);
    assert_int_equal(kvs_audit_keys_save(path, &keys, &message), 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(kvs_audit_keys_load(path, &read, &message), 0);
    assert_memory_equal(&read, &keys, sizeof(keys));
    keys = (struct kvs_audit_keys){.current = keys.next};
    assert_int_equal(kvs_audit_keys_save(path, &keys, &message), 0);
    assert_int_equal(kvs_audit_keys_load(path, &read, &message), 0);
    assert_memory_equal(&read, &keys, sizeof(keys));
    tempdir_done(&dir);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_damaged_key_file_is_refused(void **state)
{
    (void)state;
    struct tempdir dir;
    tempdir_init(&dir);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/audit.key", dir.path);
#define SEED "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"kvs audit key 1\ncurrent 1 " SEED "\n", 0},
        {"kvs audit key 1\ncurrent 1 " SEED "\nnext 2 " SEED "\n", 0},
        {"kvs audit key 2\ncurrent 1 " SEED "\n", KVS_ERR_VERSION},
        {"", KVS_ERR_CORRUPT},
        {"kvs audit key 1\n", KVS_ERR_CORRUPT},
        {"kvs audit key 1\ncurrent 0 " SEED "\n", KVS_ERR_CORRUPT},
        {"kvs audit key 1\ncurrent 1 " SEED, KVS_ERR_CORRUPT},
        {"kvs audit key 1\ncurrent 1 " SEED "00\n", KVS_ERR_CORRUPT},
        {"kvs audit key 1\nnext 1 " SEED "\n", KVS_ERR_CORRUPT},
        {"kvs audit key 1\ncurrent 1 " SEED "\nmore\n", KVS_ERR_CORRUPT},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct kvs_audit_keys keys;
        struct kvs_message message = {{0}};
        write_text(path, cases[i].text);
        assert_int_equal(kvs_audit_keys_load(path, &keys, &message), cases[i].err);
        assert_int_equal(strstr(message.text, path) != NULL, cases[i].err != 0);
        assert_null(strstr(message.text, "0001020304")); // never the secret
    }
    tempdir_done(&dir);
}

int main(void)
{
    kvs_random_seeded_init(&seeded, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_holds_for_its_key_and_message_alone),
        cmocka_unit_test(the_seed_shows_in_neither_of_its_keys),
        cmocka_unit_test(the_key_file_is_private_and_replaced_whole),
        cmocka_unit_test(a_damaged_key_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
