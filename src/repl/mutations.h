// SPDX-License-Identifier: Apache-2.0
// Rules that the simulator takes out on purpose, to prove that it would notice. They exist only in
// a library built with -DKVS_REPL_MUTATIONS for tests: in the product KVS_MUTATED is the constant
// false and the fields are not there.
#ifndef KVS_REPL_MUTATIONS_H
#define KVS_REPL_MUTATIONS_H

enum kvs_mutation {
    KVS_MUTATION_NO_ZOMBIE_REFUSAL = 1 << 0,     // a version at or below the watermark may return
    KVS_MUTATION_NO_PLUS_ONE = 1 << 1,           // a write may tie with what it replaces
    KVS_MUTATION_REVERSED_TIE = 1 << 2,          // the greater uuid wins, on odd keys' merges
    KVS_MUTATION_GRACE_PERIOD = 1 << 3,          // tombstones go by age alone
    KVS_MUTATION_ACK_BEFORE_DURABLE = 1 << 4,    // peers are told before the sync
    KVS_MUTATION_DIGEST_SKIPS_OVERWRITE = 1 << 5 // performed by the test's own store
};

#ifdef KVS_REPL_MUTATIONS
#define KVS_MUTATED(set, mutation) (((set) & (mutation)) != 0)
#else
#define KVS_MUTATED(set, mutation) 0
#endif

#endif
