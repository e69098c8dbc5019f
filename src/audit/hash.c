// SPDX-License-Identifier: Apache-2.0
#include "audit/hash.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

struct kvs_audit_hasher {
    EVP_MD *sha256;
    EVP_MD_CTX *digest;
    EVP_MAC_CTX *mac;
    int err; // sticky
};

bool kvs_audit_hash_eq(const struct kvs_audit_hash *a, const struct kvs_audit_hash *b)
{
    return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int kvs_audit_hasher_new(struct kvs_audit_hasher **ret_hasher)
{
    KVS_CLEANUP(kvs_audit_hasher_freep)
    struct kvs_audit_hasher *hasher = calloc(1, sizeof(*hasher));
    if (!hasher)
        return KVS_ERR_NOMEM;
    hasher->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->digest = EVP_MD_CTX_new();
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (hmac)
        hasher->mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac); // the context holds it
    if (!hasher->sha256 || !hasher->digest || !hasher->mac)
        return KVS_ERR_NOMEM;
    *ret_hasher = KVS_TAKE(hasher);
    return 0;
}

void kvs_audit_hasher_free(struct kvs_audit_hasher *hasher)
{
    if (!hasher)
        return;
    EVP_MAC_CTX_free(hasher->mac);
    EVP_MD_CTX_free(hasher->digest);
    EVP_MD_free(hasher->sha256);
    free(hasher);
}

int kvs_audit_hasher_error(const struct kvs_audit_hasher *hasher)
{
    return hasher->err;
}

void kvs_audit_hasher_clear(struct kvs_audit_hasher *hasher)
{
    hasher->err = 0;
}

static struct kvs_audit_hash digest(struct kvs_audit_hasher *hasher, struct kvs_slice first,
                                    struct kvs_slice second, struct kvs_slice third)
{
    struct kvs_audit_hash hash = {{0}};
    unsigned size = 0;
    bool ok = EVP_DigestInit_ex2(hasher->digest, hasher->sha256, NULL) == 1 &&
              EVP_DigestUpdate(hasher->digest, first.data, first.size) == 1 &&
              EVP_DigestUpdate(hasher->digest, second.data, second.size) == 1 &&
              EVP_DigestUpdate(hasher->digest, third.data, third.size) == 1 &&
              EVP_DigestFinal_ex(hasher->digest, hash.bytes, &size) == 1;
    if (!ok)
        hasher->err = KVS_ERR_NOMEM;
    return hash;
}

struct kvs_audit_hash kvs_audit_hash_bytes(struct kvs_audit_hasher *hasher, struct kvs_slice bytes)
{
    return digest(hasher, bytes, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
}

struct kvs_audit_hash kvs_audit_hash_leaf(struct kvs_audit_hasher *hasher, struct kvs_slice entry)
{
    return digest(hasher, kvs_slice("\0", 1), entry, KVS_SLICE_EMPTY);
}

struct kvs_audit_hash kvs_audit_hash_node(struct kvs_audit_hasher *hasher,
                                          const struct kvs_audit_hash *left,
                                          const struct kvs_audit_hash *right)
{
    return digest(hasher, kvs_slice("\1", 1), kvs_audit_hash_slice(left),
                  kvs_audit_hash_slice(right));
}

void kvs_audit_hasher_set_key(struct kvs_audit_hasher *hasher, const struct kvs_audit_hash *key)
{
    char name[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    if (EVP_MAC_init(hasher->mac, key->bytes, sizeof(key->bytes), params) != 1)
        hasher->err = KVS_ERR_NOMEM;
}

struct kvs_audit_hash kvs_audit_mac(struct kvs_audit_hasher *hasher, struct kvs_slice message)
{
    struct kvs_audit_hash mac = {{0}};
    size_t size = 0;
    // Without a key the context goes back to the start with the one it has.
    bool ok = EVP_MAC_init(hasher->mac, NULL, 0, NULL) == 1 &&
              EVP_MAC_update(hasher->mac, (const unsigned char *)message.data, message.size) == 1 &&
              EVP_MAC_final(hasher->mac, mac.bytes, &size, sizeof(mac.bytes)) == 1;
    if (!ok)
        hasher->err = KVS_ERR_NOMEM;
    return mac;
}

void kvs_audit_hex_append(struct kvs_buf *out, const void *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *at = kvs_buf_reserve(out, 2 * size);
    if (!at)
        return;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = ((const uint8_t *)bytes)[i];
        *at++ = digits[byte >> 4];
        *at++ = digits[byte & 15];
    }
    out->size += 2 * size;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool kvs_audit_hex_parse(struct kvs_slice text, void *ret_bytes, size_t size)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text.data[2 * i]);
        int low = hex_digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ((uint8_t *)ret_bytes)[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
