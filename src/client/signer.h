// SPDX-License-Identifier: Apache-2.0
// A hook for the program's own commands, no part of libkvs: requests that prove something by a
// signature, and answers that must prove the same. The library knows neither keys nor formats.
#ifndef KVS_CLIENT_SIGNER_H
#define KVS_CLIENT_SIGNER_H

#include "base/slice.h"
#include "kvs/kvs.h"

enum { KVS_CLIENT_SIGNATURE_SIZE = 512 };

enum kvs_client_verdict {
    KVS_CLIENT_BELIEVED,
    KVS_CLIENT_SIGN_AGAIN, // refused, but signed anew it may pass; tried once
    KVS_CLIENT_UNPROVEN,   // a success is not believed then; an error is passed on
};

struct kvs_client_signer {
    void *ctx;
    const char *challenge_header, *signature_header; // of the answer, for `judge`
    // Writes a complete header line. False: the request goes as it is, and so its answer is taken.
    bool (*sign)(void *ctx, const char *method, struct kvs_slice target, struct kvs_slice body,
                 char ret_line[static KVS_CLIENT_SIGNATURE_SIZE]);
    enum kvs_client_verdict (*judge)(void *ctx, int status, struct kvs_slice body,
                                     const char *challenge, const char *signature);
};

// Borrowed until the client's end. The client belongs to one thread from now on.
void kvs_client_set_signer(struct kvs_client *client, const struct kvs_client_signer *signer);

#endif
