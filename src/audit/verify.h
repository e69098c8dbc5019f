// SPDX-License-Identifier: Apache-2.0
// Does an audit log hold? The same judge for an export and for a data directory. Pure but for
// OpenSSL; one thread at a time.
//
// Two passes over the log, so that the keys which the roots disclose are known before the entries:
//   1. kvs_audit_verifier_new with the header, then each root and break in order, then how the log
//      ends: a checkpoint (exports) or the head and the open epoch's key (data directories)
//   2. each entry in order; kvs_audit_verifier_finish
// The first thing that is wrong stays; what follows is ignored.
//
// Entries of a sealed epoch, and of the open one with its key, are checked one by one by their
// HMAC: the first bad one is known for certain. Without the key the chain tells: an entry whose
// hash does not fit its successor is judged by which of the two fits the rest.
#ifndef KVS_AUDIT_VERIFY_H
#define KVS_AUDIT_VERIFY_H

#include "audit/entry.h"
#include "audit/seal.h"

struct kvs_audit_pin { // a root that is known from elsewhere
    uint64_t size;
    struct kvs_audit_hash root;
};

enum { KVS_AUDIT_PINS_MAX = 64 };

struct kvs_audit_verify_options {
    const struct kvs_audit_public *key; // the log's first public key; NULL: believe the header
    const struct kvs_audit_pin *pins;   // borrowed
    size_t pin_count;
};

struct kvs_audit_report {
    bool good;
    uint64_t bad_seq;           // the first bad entry; 0: something else is bad, the message says
    struct kvs_message message; // what is wrong with it
    uint64_t first, last;       // entries seen
    uint64_t sealed;            // signed roots vouch for the entries up to this one
    uint64_t roots;             // that hold
    uint64_t breaks;            // places where the log went on with a new key
    uint64_t break_size;        // entries before the latest break
    bool end_checked;           // nothing is missing at the end: a checkpoint or the head says so
    bool open_checked;          // the open epoch's entries were checked by their HMAC
};

struct kvs_audit_verifier;

KVS_MUST_CHECK int kvs_audit_verifier_new(const struct kvs_audit_header *header,
                                          const struct kvs_audit_verify_options *options,
                                          struct kvs_audit_verifier **ret_verifier);
void kvs_audit_verifier_free(struct kvs_audit_verifier *verifier); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_audit_verifier, kvs_audit_verifier_free)

// ---- First pass

// The next root or break; NULL: what stands there cannot be read.
void kvs_audit_verifier_seal(struct kvs_audit_verifier *verifier,
                             const struct kvs_audit_seal *seal);
void kvs_audit_verifier_checkpoint(struct kvs_audit_verifier *verifier,
                                   const struct kvs_audit_seal *checkpoint);
// `signer` is the key file's, NULL: not there. `head` NULL: missing or unreadable.
void kvs_audit_verifier_head(struct kvs_audit_verifier *verifier, const struct kvs_audit_head *head,
                             struct kvs_slice head_signed, const struct kvs_audit_hash *head_mac,
                             const struct kvs_audit_signer *signer);

// ---- Second pass

// The entry that stands at `seq`; encoded.data == NULL: unreadable.
void kvs_audit_verifier_entry(struct kvs_audit_verifier *verifier, uint64_t seq,
                              struct kvs_slice encoded);
// A root, break or checkpoint stands here, between the entries (exports).
void kvs_audit_verifier_place(struct kvs_audit_verifier *verifier,
                              const struct kvs_audit_seal *seal);
// Something else is wrong here, behind the entries so far.
void kvs_audit_verifier_fail(struct kvs_audit_verifier *verifier, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
// 0, or KVS_ERR_NOMEM when nothing can be said.
KVS_MUST_CHECK int kvs_audit_verifier_finish(struct kvs_audit_verifier *verifier,
                                             struct kvs_audit_report *ret_report);

// The step that both verification and proofs take from one epoch to the next: does `seal` end
// `epoch`, whose public key is *key? Then *key becomes the next epoch's.
bool kvs_audit_chain_step(const struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                          uint64_t epoch, struct kvs_audit_public *key);

#endif
