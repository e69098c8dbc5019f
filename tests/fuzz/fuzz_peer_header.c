// SPDX-License-Identifier: Apache-2.0
// Any bytes as a peer's signature header and as the documented headers: never accepted. Then the
// same bytes as the body of a request that is signed well, which must be, with its header changed
// at one place, which must not.
#include "auth/peer.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kvs_peer_auth *auth(void)
{
    static struct kvs_peer_auth *auth;
    static struct kvs_random_seeded random;
    if (!auth) {
        kvs_random_seeded_init(&random, 1);
        const struct kvs_peer_auth_options options = {.node_id = "n1",
                                                      .secret = "a secret of fuzzers",
                                                      .previous_secret = "and the one before",
                                                      .random = &random.base};
        kvs_assert(kvs_peer_auth_new(&options, &auth) == 0);
    }
    return auth;
}

static void refuse(const char *name, struct kvs_slice value, const char *other)
{
    const struct kvs_http_header headers[] = {
        {kvs_slice_from_str(name), value},
        {kvs_slice_from_str(other), KVS_SLICE("n2")},
    };
    const struct kvs_http_request request = {.method = KVS_HTTP_POST,
                                             .path = KVS_SLICE("/peer/v1/messages"),
                                             .headers = headers,
                                             .header_count = 2};
    struct kvs_peer_caller caller;
    int err = kvs_peer_verify(auth(), &request, KVS_PEER_HELLO, &caller);
    kvs_assert(err == KVS_ERR_UNAUTHORIZED);
    kvs_assert(caller.detail);
    kvs_assert(!caller.is_signed);
}

static void change_a_signed_one(struct kvs_slice body)
{
    struct kvs_peer_stream stream;
    struct kvs_peer_signed sent;
    struct kvs_peer_caller caller;
    kvs_peer_stream_init(auth(), &stream);
    kvs_assert(kvs_peer_sign(auth(), &stream, KVS_SLICE("POST"), KVS_SLICE("/x"), body, &sent) ==
               0);
    struct kvs_slice value = kvs_slice_from_str(sent.header + sizeof(KVS_PEER_HEADER ": ") - 1);
    const struct kvs_http_header header = {KVS_SLICE(KVS_PEER_HEADER), value};
    const struct kvs_http_request request = {.method = KVS_HTTP_POST,
                                             .path = KVS_SLICE("/x"),
                                             .headers = &header,
                                             .header_count = 1,
                                             .body = body};
    kvs_assert(kvs_peer_verify(auth(), &request, KVS_PEER_HELLO, &caller) == 0);
    if (body.size < 2)
        return;
    size_t at = (uint8_t)body.data[0] * value.size / 256;
    char *changed = sent.header + sizeof(KVS_PEER_HEADER ": ") - 1 + at;
    if (*changed == body.data[1])
        return;
    *changed = body.data[1];
    kvs_assert(kvs_peer_verify(auth(), &request, KVS_PEER_HELLO, &caller) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_slice text = kvs_slice(data, size);
    refuse(KVS_PEER_HEADER, text, "X-Node-ID");
    refuse("X-Cluster-Secret", text, "X-Node-ID");
    change_a_signed_one(text);
    return 0;
}
