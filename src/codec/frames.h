// SPDX-License-Identifier: Apache-2.0
// Several messages of peers in one HTTP body, compressed where that helps. Layout and limits:
// docs/formats/peer-protocol.md. Pure; packer and unpacker keep their contexts and buffers for the
// next body and belong to one thread at a time.
//
//     offset 0   u8      format, 1
//            1   u8      0: the payload follows; 1: its size (u32, big-endian) and a zstd frame
//     payload            message after message: uvarint size, from 1; bytes
#ifndef KVS_CODEC_FRAMES_H
#define KVS_CODEC_FRAMES_H

#include "base/buf.h"

enum {
    KVS_FRAMES_FORMAT = 1,
    KVS_FRAMES_MESSAGE_MAX = 80 << 20, // the largest value of a client is 64 MiB
    KVS_FRAMES_PAYLOAD_MAX = 96 << 20, // compressed or not
    KVS_FRAMES_BODY_MAX = KVS_FRAMES_PAYLOAD_MAX + 64,
};

// ---- Packing

struct kvs_frames_packer;

// `level` of zstd; 0: never compress.
KVS_MUST_CHECK int kvs_frames_packer_new(int level, struct kvs_frames_packer **ret_packer);
void kvs_frames_packer_free(struct kvs_frames_packer *packer);
KVS_DEFINE_CLEANUP(struct kvs_frames_packer, kvs_frames_packer_free)

// Messages have 1 to KVS_FRAMES_MESSAGE_MAX bytes; errors stick until kvs_frames_pack.
void kvs_frames_add(struct kvs_frames_packer *packer, struct kvs_slice message);
// Payload bytes so far.
size_t kvs_frames_size(const struct kvs_frames_packer *packer);
// Replaces the content of `body` by what has been added, which is then forgotten. KVS_ERR_NOMEM,
// KVS_ERR_TOO_LARGE.
KVS_MUST_CHECK int kvs_frames_pack(struct kvs_frames_packer *packer, struct kvs_buf *body);

// ---- Unpacking

struct kvs_frames_unpacker;

KVS_MUST_CHECK int kvs_frames_unpacker_new(struct kvs_frames_unpacker **ret_unpacker);
void kvs_frames_unpacker_free(struct kvs_frames_unpacker *unpacker);
KVS_DEFINE_CLEANUP(struct kvs_frames_unpacker, kvs_frames_unpacker_free)

// Checks all of it. The payload borrows from `body` or, until the next call, from the unpacker.
// KVS_ERR_SYNTAX, KVS_ERR_VERSION (a format of a later release), KVS_ERR_TOO_LARGE, KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_frames_unpack(struct kvs_frames_unpacker *unpacker, struct kvs_slice body,
                                     struct kvs_slice *ret_payload, size_t *ret_count);
// Gives back a large payload's memory.
void kvs_frames_release(struct kvs_frames_unpacker *unpacker);
// What the body says it unpacks to; 0 where it is malformed.
size_t kvs_frames_unpacked_size(struct kvs_slice body);
// Cuts the next message off an unpacked payload; false at its end.
bool kvs_frames_next(struct kvs_slice *payload, struct kvs_slice *ret_message);

#endif
