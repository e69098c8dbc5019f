// SPDX-License-Identifier: Apache-2.0
// A store that fails on command, in front of a real one: for the tests of everything above.
#ifndef KVS_STORE_FAULT_H
#define KVS_STORE_FAULT_H

#include "store/store.h"

enum kvs_fault_point {
    KVS_FAULT_GET,
    KVS_FAULT_WRITE,     // fails, and nothing of the batch is there
    KVS_FAULT_SYNC,      // a write fails although all of the batch is there
    KVS_FAULT_ITER_NEW,  // out of memory, whatever error was asked for
    KVS_FAULT_ITER_MOVE, // seek, seek_before, seek_last, next, prev
    KVS_FAULT_CHECKPOINT,
    KVS_FAULT_FLUSH,
    KVS_FAULT_COMPACT,
    KVS_FAULT_STATS,
    KVS_FAULT_RESUME,
    KVS_FAULT_POINT_COUNT
};

enum { KVS_FAULT_FOREVER = -1 };

// Takes `inner` over (not on failure). Closing it closes both.
KVS_MUST_CHECK int kvs_fault_new(struct kvs_store *inner, struct kvs_store **ret_store);

// From now on `skip` calls pass, then `count` (or KVS_FAULT_FOREVER) fail with `err`; replaces what
// was asked for before. KVS_ERR_AGAIN meets only reads of mode CACHED, as in a real store. A failed
// write also refuses all later ones until resume, as a real store does. Thread-safe.
void kvs_fault_set(struct kvs_store *store, enum kvs_fault_point point, int64_t skip, int64_t count,
                   int err);
void kvs_fault_clear(struct kvs_store *store); // no faults; a refusal of writes stays
uint64_t kvs_fault_calls(struct kvs_store *store, enum kvs_fault_point point); // since the start

#endif
