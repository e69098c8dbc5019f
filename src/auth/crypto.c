// SPDX-License-Identifier: Apache-2.0
// A failure of OpenSSL here is no matter of input: no memory, or a library without its default
// algorithms. Neither can be answered sensibly, so both are asserted.
#include "auth/crypto.h"

#include "base/assert.h"
#include "base/random.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>

enum { SEAL_NONCE_SIZE = 12, SEAL_TAG_SIZE = 16 };

// Fetched once: looking an algorithm up costs more than hashing a token with it.
static EVP_MD *sha256;
static EVP_MD *sha3_512;
static EVP_MAC *hmac;
static EVP_KDF *hkdf;
static EVP_CIPHER *aes_gcm;

// One context a thread, freed with the thread.
static _Thread_local EVP_MD_CTX *context_of_thread;
static pthread_key_t context_key;

static void free_context(void *context)
{
    EVP_MD_CTX_free(context);
}

static void fetch(void)
{
    kvs_assert(pthread_key_create(&context_key, free_context) == 0);
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    sha3_512 = EVP_MD_fetch(NULL, "SHA3-512", NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    aes_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    kvs_assert(sha256);
    kvs_assert(sha3_512);
    kvs_assert(hmac);
    kvs_assert(hkdf);
    kvs_assert(aes_gcm);
}

static void need(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, fetch); // cannot fail with a valid control
}

static EVP_MD_CTX *thread_context(void)
{
    if (!context_of_thread) {
        context_of_thread = EVP_MD_CTX_new();
        kvs_assert(context_of_thread);
        kvs_assert(pthread_setspecific(context_key, context_of_thread) == 0);
    }
    return context_of_thread;
}

static void digest(EVP_MD *algorithm, struct kvs_slice text, uint8_t *ret_digest)
{
    EVP_MD_CTX *context = thread_context();
    kvs_assert(EVP_DigestInit_ex2(context, algorithm, NULL) == 1);
    kvs_assert(EVP_DigestUpdate(context, text.data, text.size) == 1);
    kvs_assert(EVP_DigestFinal_ex(context, ret_digest, NULL) == 1);
}

void kvs_auth_sha3_512(struct kvs_slice text, char ret_hex[static KVS_SHA3_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[KVS_SHA3_TEXT_SIZE / 2];
    need();
    digest(sha3_512, text, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        ret_hex[2 * i] = digits[bytes[i] >> 4];
        ret_hex[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void kvs_auth_sha256(struct kvs_slice text, uint8_t ret_digest[static KVS_SHA256_SIZE])
{
    need();
    digest(sha256, text, ret_digest);
}

void kvs_auth_hmac_sha256(const uint8_t key[static KVS_SHA256_SIZE], struct kvs_slice text,
                          uint8_t ret_mac[static KVS_SHA256_SIZE])
{
    need();
    char name[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_end(),
    };
    size_t size = 0;
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(hmac);
    kvs_assert(context);
    kvs_assert(EVP_MAC_init(context, key, KVS_SHA256_SIZE, params) == 1);
    kvs_assert(EVP_MAC_update(context, (const unsigned char *)text.data, text.size) == 1);
    kvs_assert(EVP_MAC_final(context, ret_mac, &size, KVS_SHA256_SIZE) == 1);
    kvs_assert(size == KVS_SHA256_SIZE);
    EVP_MAC_CTX_free(context);
}

void kvs_auth_derive(struct kvs_slice secret, const char *info, void *ret_bytes, size_t size)
{
    need();
    char name[] = "SHA256";
    char salt[] = "kvs";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, name, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt) - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret.data,
                                          secret.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info,
                                          strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(hkdf);
    kvs_assert(context);
    kvs_assert(EVP_KDF_derive(context, ret_bytes, size, params) == 1);
    EVP_KDF_CTX_free(context);
}

void kvs_auth_seal(const uint8_t key[static KVS_SEAL_KEY_SIZE], struct kvs_slice text,
                   char *ret_sealed)
{
    unsigned char *nonce = (unsigned char *)ret_sealed;
    unsigned char *body = nonce + SEAL_NONCE_SIZE;
    int size = 0;
    need();
    kvs_random_fill(kvs_random_system(), nonce, SEAL_NONCE_SIZE);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    kvs_assert(context);
    kvs_assert(EVP_EncryptInit_ex2(context, aes_gcm, key, nonce, NULL) == 1);
    kvs_assert(EVP_EncryptUpdate(context, body, &size, (const unsigned char *)text.data,
                                 (int)text.size) == 1);
    kvs_assert((size_t)size == text.size);
    kvs_assert(EVP_EncryptFinal_ex(context, body + size, &size) == 1);
    kvs_assert(
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_SIZE, body + text.size) == 1);
    EVP_CIPHER_CTX_free(context);
}

bool kvs_auth_unseal(const uint8_t key[static KVS_SEAL_KEY_SIZE], struct kvs_slice sealed,
                     char *ret_text)
{
    unsigned char tag[SEAL_TAG_SIZE];
    int size = 0;
    need();
    if (sealed.size < KVS_SEAL_OVERHEAD)
        return false;
    const unsigned char *nonce = (const unsigned char *)sealed.data;
    size_t text_size = sealed.size - KVS_SEAL_OVERHEAD;
    memcpy(tag, sealed.data + sealed.size - SEAL_TAG_SIZE, SEAL_TAG_SIZE);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    kvs_assert(context);
    kvs_assert(EVP_DecryptInit_ex2(context, aes_gcm, key, nonce, NULL) == 1);
    kvs_assert(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_SIZE, tag) == 1);
    kvs_assert(EVP_DecryptUpdate(context, (unsigned char *)ret_text, &size, nonce + SEAL_NONCE_SIZE,
                                 (int)text_size) == 1);
    bool good = EVP_DecryptFinal_ex(context, (unsigned char *)ret_text + size, &size) == 1;
    EVP_CIPHER_CTX_free(context);
    return good;
}

bool kvs_auth_equal(struct kvs_slice a, struct kvs_slice b)
{
    return a.size == b.size && (a.size == 0 || CRYPTO_memcmp(a.data, b.data, a.size) == 0);
}

// ---- base64url

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void kvs_base64url_append(struct kvs_buf *out, struct kvs_slice bytes)
{
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bits = bits << 8 | (unsigned char)bytes.data[i];
        for (count += 8; count >= 6; count -= 6)
            kvs_buf_append_char(out, alphabet[bits >> (count - 6) & 63]);
    }
    if (count > 0)
        kvs_buf_append_char(out, alphabet[bits << (6 - count) & 63]);
}

static int digit_value(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

bool kvs_base64url_decode(struct kvs_slice text, char *ret_bytes, size_t *ret_size)
{
    uint32_t bits = 0;
    int count = 0;
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = digit_value(text.data[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            ret_bytes[size++] = (char)(bits >> count & 0xff);
        }
    }
    *ret_size = size;
    return count < 6 && (bits & ((1U << count) - 1)) == 0;
}
