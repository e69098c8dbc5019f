// SPDX-License-Identifier: Apache-2.0
// Any bytes as a body of framed messages; what unpacks is packed again, both ways, and must unpack
// to the same messages.
#include "base/assert.h"
#include "codec/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack_again(int level, struct kvs_slice payload, size_t count)
{
    struct kvs_frames_packer *packer = NULL;
    struct kvs_frames_unpacker *unpacker = NULL;
    struct kvs_buf body = KVS_BUF_INIT(KVS_FRAMES_BODY_MAX);
    struct kvs_slice rest = payload;
    struct kvs_slice message;
    struct kvs_slice again;
    size_t count_again = 0;
    kvs_assert(kvs_frames_packer_new(level, &packer) == 0);
    kvs_assert(kvs_frames_unpacker_new(&unpacker) == 0);
    while (kvs_frames_next(&rest, &message))
        kvs_frames_add(packer, message);
    kvs_assert(kvs_frames_size(packer) == payload.size);
    kvs_assert(kvs_frames_pack(packer, &body) == 0);
    kvs_assert(kvs_frames_unpack(unpacker, kvs_buf_slice(&body), &again, &count_again) == 0);
    kvs_assert(count_again == count);
    kvs_assert(kvs_slice_eq(again, payload));
    kvs_buf_done(&body);
    kvs_frames_unpacker_free(unpacker);
    kvs_frames_packer_free(packer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_frames_unpacker *unpacker = NULL;
    struct kvs_slice body = kvs_slice(data, size);
    struct kvs_slice payload;
    size_t count = 0;
    if (kvs_frames_unpacked_size(body) > 1 << 20)
        return 0; // slow, and no different
    kvs_assert(kvs_frames_unpacker_new(&unpacker) == 0);
    if (kvs_frames_unpack(unpacker, body, &payload, &count) == 0) {
        pack_again(0, payload, count);
        pack_again(1, payload, count);
    }
    kvs_frames_unpacker_free(unpacker);
    return 0;
}
