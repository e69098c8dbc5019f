// SPDX-License-Identifier: Apache-2.0
// A proof as a document of its own: that one entry belongs to the log (inclusion), or that the log
// as it was at one size is the beginning of the log as it is (consistency). It shows no other
// entry.
//
//   {"kind":"inclusion","log":{header},"entry":{entry},"seal":{root or checkpoint},
//    "seal_key":"…","path":["…"],"chain":[{root or break},…]}
//   {"kind":"consistency","log":{header},"from":SIZE,"from_root":"…","seal":{…},"seal_key":"…",
//    "path":["…"],"chain":[…]}
//
// "chain" holds the roots of all epochs before the seal's, which lead from the log's first key to
// the seal's; without it the seal's key must be known from elsewhere. The objects inside stand
// there exactly as in an export.
#ifndef KVS_AUDIT_PROOF_H
#define KVS_AUDIT_PROOF_H

#include "audit/entry.h"
#include "audit/merkle.h"
#include "audit/seal.h"
#include "audit/verify.h"

struct kvs_audit_proof {
    bool is_consistency;
    struct kvs_audit_header log;
    struct kvs_audit_entry entry;    // inclusion
    uint64_t from;                   // consistency
    struct kvs_audit_hash from_root; // consistency
    struct kvs_audit_seal seal;
    struct kvs_audit_public seal_key;
    struct kvs_audit_path path;
    bool has_chain;
    struct kvs_audit_seal *chain; // the parser's are in its arena
    size_t chain_count;
};

// Everything but the chain, and no closing brace.
void kvs_audit_proof_append_json(struct kvs_buf *out, const struct kvs_audit_proof *proof);

enum { KVS_AUDIT_PROOF_SIZE_MAX = 256 << 20 };

// KVS_ERR_SYNTAX, KVS_ERR_VERSION, KVS_ERR_NOMEM. What it holds lives in the arena or the text.
KVS_MUST_CHECK int kvs_audit_proof_parse(struct kvs_slice json, struct kvs_arena *arena,
                                         struct kvs_audit_proof *ret_proof);

enum kvs_audit_trust {
    KVS_AUDIT_PROOF_BAD,
    KVS_AUDIT_PROOF_KEY_UNKNOWN, // holds if the seal's key is the log's
    KVS_AUDIT_PROOF_GOOD,        // leads to the log's first key or to an expected root
};
// The message says what is bad, or what the proof shows. Pins are roots that are known from
// elsewhere, options->key the log's first public key, NULL = believe the document.
KVS_MUST_CHECK int kvs_audit_proof_check(const struct kvs_audit_proof *proof,
                                         const struct kvs_audit_verify_options *options,
                                         enum kvs_audit_trust *ret_trust,
                                         struct kvs_message *ret_message);

#endif
