// SPDX-License-Identifier: Apache-2.0
#include "auth/peer_mac.h"

#include "base/assert.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>

enum { SPARE_MAX = 64 }; // more than there are threads that verify at once

struct tools {
    struct tools *next; // among the spare ones
    EVP_MAC_CTX *mac;
    EVP_MD_CTX *hash;
};

struct kvs_peer_macs {
    EVP_MAC *hmac;
    EVP_MD *sha256;
    pthread_mutex_t lock; // spare, spare_count
    struct tools *spare;
    size_t spare_count;
};

static void free_tools(struct tools *tools)
{
    if (!tools)
        return;
    EVP_MAC_CTX_free(tools->mac);
    EVP_MD_CTX_free(tools->hash);
    free(tools);
}

KVS_DEFINE_CLEANUP(struct tools, free_tools)

int kvs_peer_macs_new(struct kvs_peer_macs **ret_macs)
{
    KVS_CLEANUP(kvs_peer_macs_freep) struct kvs_peer_macs *macs = calloc(1, sizeof(*macs));
    if (!macs)
        return KVS_ERR_NOMEM;
    kvs_assert(pthread_mutex_init(&macs->lock, NULL) == 0);
    macs->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    macs->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!macs->hmac || !macs->sha256)
        return KVS_ERR_NOMEM;
    *ret_macs = KVS_TAKE(macs);
    return 0;
}

void kvs_peer_macs_free(struct kvs_peer_macs *macs)
{
    if (!macs)
        return;
    while (macs->spare) {
        struct tools *tools = macs->spare;
        macs->spare = tools->next;
        free_tools(tools);
    }
    EVP_MAC_free(macs->hmac);
    EVP_MD_free(macs->sha256);
    (void)pthread_mutex_destroy(&macs->lock); // nobody holds it
    free(macs);
}

static struct tools *new_tools(const struct kvs_peer_macs *macs)
{
    KVS_CLEANUP(free_toolsp) struct tools *tools = calloc(1, sizeof(*tools));
    if (!tools)
        return NULL;
    tools->mac = EVP_MAC_CTX_new(macs->hmac);
    tools->hash = EVP_MD_CTX_new();
    if (!tools->mac || !tools->hash)
        return NULL;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(tools->mac, params) == 1 ? KVS_TAKE(tools) : NULL;
}

static struct tools *take_tools(struct kvs_peer_macs *macs)
{
    pthread_mutex_lock(&macs->lock);
    struct tools *tools = macs->spare;
    if (tools) {
        macs->spare = tools->next;
        macs->spare_count--;
    }
    pthread_mutex_unlock(&macs->lock);
    return tools ? tools : new_tools(macs);
}

static void give_back(struct kvs_peer_macs *macs, struct tools *tools)
{
    pthread_mutex_lock(&macs->lock);
    bool keep = macs->spare_count < SPARE_MAX;
    if (keep) {
        tools->next = macs->spare;
        macs->spare = tools;
        macs->spare_count++;
    }
    pthread_mutex_unlock(&macs->lock);
    if (!keep)
        free_tools(tools);
}

int kvs_peer_hash(struct kvs_peer_macs *macs, struct kvs_slice data,
                  unsigned char ret_digest[static KVS_PEER_MAC_SIZE])
{
    memset(ret_digest, 0, KVS_PEER_MAC_SIZE);
    struct tools *tools = take_tools(macs);
    if (!tools)
        return KVS_ERR_NOMEM;
    bool done = EVP_DigestInit_ex2(tools->hash, macs->sha256, NULL) == 1 &&
                EVP_DigestUpdate(tools->hash, data.data, data.size) == 1 &&
                EVP_DigestFinal_ex(tools->hash, ret_digest, NULL) == 1;
    give_back(macs, tools);
    return done ? 0 : KVS_ERR_NOMEM;
}

int kvs_peer_mac(struct kvs_peer_macs *macs, struct kvs_slice key, const struct kvs_slice *parts,
                 size_t part_count, unsigned char ret_mac[static KVS_PEER_MAC_SIZE])
{
    memset(ret_mac, 0, KVS_PEER_MAC_SIZE);
    struct tools *tools = take_tools(macs);
    if (!tools)
        return KVS_ERR_NOMEM;
    size_t size = 0;
    bool done = EVP_MAC_init(tools->mac, (const unsigned char *)key.data, key.size, NULL) == 1;
    for (size_t i = 0; done && i < part_count; i++)
        done = EVP_MAC_update(tools->mac, (const unsigned char *)parts[i].data, parts[i].size) == 1;
    done = done && EVP_MAC_final(tools->mac, ret_mac, &size, KVS_PEER_MAC_SIZE) == 1;
    give_back(macs, tools);
    return done && size == KVS_PEER_MAC_SIZE ? 0 : KVS_ERR_NOMEM;
}

void kvs_peer_hex(const unsigned char *bytes, size_t size, char *ret_text)
{
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        ret_text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool kvs_peer_unhex(struct kvs_slice text, size_t size, unsigned char *ret_bytes)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit(text.data[2 * i]);
        int low = digit(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret_bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
