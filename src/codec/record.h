// SPDX-License-Identifier: Apache-2.0
// How a version lies in the store. Pure. Format 1; docs/formats/record.md repeats the tables.
//
// Every version of a key is an entry of its own, and the entries of one key stand next to each
// other, winner first: the current version is the first entry under the key's prefix, its history
// the next ones, and a merge is an insertion. Nothing is ever copied from "current" to "history".
//
//   entry key:    user key | 0x00 | ~timestamp u64be | joined_timestamp u64be | uuid 16
//   entry value:  format u8 = 1 | flags u8 | checksum u32le | writer_id uvarint | writer_seq
//   uvarint |
//                 expires_at uvarint | JSON
//
// User keys hold no control characters, so 0x00 keeps their byte order. The checksum is the low
// half of XXH3-64 over the entry key and the value without the checksum. writer_id is this store's
// number for a writer (KVS_FAMILY_META, "writer/" u32be).
#ifndef KVS_CODEC_RECORD_H
#define KVS_CODEC_RECORD_H

#include "base/buf.h"
#include "codec/version.h"

enum {
    KVS_KEY_SIZE_MAX = 1024,
    KVS_RECORD_FORMAT = 1,
    KVS_RECORD_SUFFIX_SIZE = 1 + 8 + 8 + 16, // behind the user key
};

// A decoded entry. `key` and `json` borrow from what was decoded; writer.node is not set: the
// caller maps writer_id to it where it is needed.
struct kvs_record_view {
    struct kvs_slice key;
    struct kvs_version version;
    uint32_t writer_id;
    struct kvs_slice json; // empty for tombstones and stubs
};

// Appends user key + 0x00: where a key's versions begin.
void kvs_record_prefix(struct kvs_buf *out, struct kvs_slice key);
void kvs_record_encode_key(struct kvs_buf *out, struct kvs_slice key,
                           const struct kvs_version *version);
void kvs_record_encode_value(struct kvs_buf *out, struct kvs_slice entry_key,
                             const struct kvs_version *version, uint32_t writer_id,
                             struct kvs_slice json);
// KVS_ERR_CORRUPT; KVS_ERR_VERSION for a newer format.
KVS_MUST_CHECK int kvs_record_decode(struct kvs_slice entry_key, struct kvs_slice entry_value,
                                     struct kvs_record_view *ret_view);
// What an entry key alone says of its version: timestamp, joined_timestamp and uuid, which is what
// the order of versions needs. False when it is no entry key.
bool kvs_record_decode_key(struct kvs_slice entry_key, struct kvs_version *ret_version);
// The user key of an entry key; false when it is no entry key.
bool kvs_record_split_key(struct kvs_slice entry_key, struct kvs_slice *ret_key);

// Records that replicate but are no user's (accounts, tokens, permissions) have keys that begin
// with this byte. No user key holds control characters, so none can collide with or reach them.
enum { KVS_SYSTEM_KEY_BYTE = 1 };
static inline bool kvs_key_is_system(struct kvs_slice key)
{
    return key.size > 0 && key.data[0] == KVS_SYSTEM_KEY_BYTE;
}

// Is this a key a client may use (spec section 3)? On false *ret_reason (static) says why not.
bool kvs_key_is_valid(struct kvs_slice key, const char **ret_reason);

#endif
