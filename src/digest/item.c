// SPDX-License-Identifier: Apache-2.0
// Item hashes: SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, "SipHash: a fast
// short-input PRF", 2012; the 128-bit variant is that of their reference code). Ours and not
// OpenSSL's, which is about as fast, because an item hash must need no context that belongs to a
// thread and has no way to fail. The tests hold it against OpenSSL's.
#include "digest/digest.h"

#include <endian.h>

struct siphash {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_rounds(struct siphash *s, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void absorb(struct siphash *s, uint64_t word)
{
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

static inline uint64_t get_u64le(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

static inline struct siphash sip_init(const struct kvs_digest_key *key)
{
    uint64_t k0 = get_u64le(key->bytes);
    uint64_t k1 = get_u64le(key->bytes + 8);
    return (struct siphash){
        k0 ^ 0x736f6d6570736575,
        k1 ^ 0x646f72616e646f6d ^ 0xee, // 0xee: 128 bits of output
        k0 ^ 0x6c7967656e657261,
        k1 ^ 0x7465646279746573,
    };
}

// Absorbs the last bytes; `size_before` bytes came as whole words.
static struct kvs_digest_sum sip_final(struct siphash s, struct kvs_slice bytes, size_t size_before)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    size_t left = bytes.size;
    for (; left >= 8; left -= 8, at += 8)
        absorb(&s, get_u64le(at));
    uint64_t last = (uint64_t)(size_before + bytes.size) << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)at[i] << (8 * i);
    absorb(&s, last);
    struct kvs_digest_sum hash;
    s.v2 ^= 0xee;
    sip_rounds(&s, 4);
    hash.lo = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    sip_rounds(&s, 4);
    hash.hi = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    return hash;
}

struct kvs_digest_sum kvs_digest_item(const struct kvs_digest_key *prf, struct kvs_slice key,
                                      const struct kvs_version *version, uint64_t value_checksum)
{
    // All of one size but the key, which comes last and whose size comes first: no two records give
    // the same bytes.
    const uint64_t words[] = {
        key.size,
        (uint64_t)version->timestamp,
        get_u64le(version->uuid.bytes),
        get_u64le(version->uuid.bytes + 8),
        get_u64le(version->writer.node.bytes),
        get_u64le(version->writer.node.bytes + 8),
        (uint64_t)version->writer.joined_timestamp,
        kvs_version_is_tombstone(version),
        (uint64_t)version->expires_at,
        version->expires_at != 0 ? 0 : value_checksum,
    };
    struct siphash s = sip_init(prf);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(words); i++)
        absorb(&s, words[i]);
    return sip_final(s, key, sizeof(words));
}
