// SPDX-License-Identifier: Apache-2.0
#include "audit/key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

struct kvs_audit_key kvs_audit_key_new(uint64_t epoch, struct kvs_random *random)
{
    struct kvs_audit_key key = {.epoch = epoch};
    kvs_random_fill(random, key.seed, sizeof(key.seed));
    return key;
}

void kvs_audit_key_done(struct kvs_audit_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

void kvs_audit_keys_done(struct kvs_audit_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

// HMAC-SHA256(seed, purpose): two keys from one seed that do not tell of each other.
static bool derive(const struct kvs_audit_key *key, const char *purpose, uint8_t ret_key[32])
{
    size_t size = 0;
    return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key->seed, sizeof(key->seed),
                     (const unsigned char *)purpose, strlen(purpose), ret_key, 32, &size) != NULL;
}

int kvs_audit_signer_init(struct kvs_audit_signer *signer, const struct kvs_audit_key *key)
{
    *signer = (struct kvs_audit_signer){.epoch = key->epoch};
    uint8_t secret[32];
    EVP_PKEY *pkey = NULL;
    if (derive(key, "kvs audit sign", secret))
        pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, secret, sizeof(secret));
    OPENSSL_cleanse(secret, sizeof(secret));
    size_t size = sizeof(signer->public_key.bytes);
    if (!pkey || EVP_PKEY_get_raw_public_key(pkey, signer->public_key.bytes, &size) != 1 ||
        !derive(key, "kvs audit mac", signer->mac_key.bytes)) {
        EVP_PKEY_free(pkey);
        return KVS_ERR_NOMEM;
    }
    signer->pkey = pkey;
    return 0;
}

void kvs_audit_signer_done(struct kvs_audit_signer *signer)
{
    EVP_PKEY_free(signer->pkey);
    OPENSSL_cleanse(signer, sizeof(*signer));
}

struct kvs_audit_signer kvs_audit_signer_ref(const struct kvs_audit_signer *signer)
{
    if (signer->pkey)
        (void)EVP_PKEY_up_ref(signer->pkey); // only counts
    return *signer;
}

int kvs_audit_sign(const struct kvs_audit_signer *signer, struct kvs_slice message,
                   struct kvs_audit_signature *ret_signature)
{
    size_t size = sizeof(ret_signature->bytes);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context && EVP_DigestSignInit(context, NULL, NULL, NULL, signer->pkey) == 1 &&
              EVP_DigestSign(context, ret_signature->bytes, &size,
                             (const unsigned char *)message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    return ok ? 0 : KVS_ERR_NOMEM;
}

bool kvs_audit_signature_holds(const struct kvs_audit_public *key, struct kvs_slice message,
                               const struct kvs_audit_signature *signature)
{
    EVP_PKEY *pkey =
        EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, key->bytes, sizeof(key->bytes));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = pkey && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(context, signature->bytes, sizeof(signature->bytes),
                               (const unsigned char *)message.data, message.size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    return ok;
}
