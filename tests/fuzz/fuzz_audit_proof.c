// SPDX-License-Identifier: Apache-2.0
// Proofs of the audit log: whatever stands there, checking ends with a verdict or an error.
#include "audit/proof.h"
#include "base/assert.h"

enum { MEMORY_MAX = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kvs_audit_proof proof; // large
    struct kvs_audit_verify_options options = {0};
    enum kvs_audit_trust trust;
    struct kvs_message message = {{0}};
    struct kvs_arena arena;
    kvs_arena_init(&arena, MEMORY_MAX);
    if (kvs_audit_proof_parse(kvs_slice(data, size), &arena, &proof) == 0) {
        kvs_assert(proof.path.count <= KVS_AUDIT_PATH_MAX);
        int err = kvs_audit_proof_check(&proof, &options, &trust, &message);
        kvs_assert(err == 0 || err == KVS_ERR_NOMEM);
        kvs_assert(err != 0 || message.text[0] != '\0');
    }
    kvs_arena_done(&arena);
    return 0;
}
