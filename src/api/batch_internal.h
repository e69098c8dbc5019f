// SPDX-License-Identifier: Apache-2.0
// POST /kv_batch: what its two files share. batch_read.c makes entries out of the body; batch.c
// carries them out and answers.
#ifndef KVS_API_BATCH_INTERNAL_H
#define KVS_API_BATCH_INTERNAL_H

#include "api/api_internal.h"

enum { KVS_BATCH_ENTRIES_MAX = 1000 };

enum kvs_batch_op { KVS_BATCH_GET, KVS_BATCH_PUT, KVS_BATCH_DELETE };

struct kvs_batch_entry {
    enum kvs_batch_op op;
    int err; // of the entry itself: it is not carried out
    struct kvs_slice detail;
    struct kvs_slice key;
    struct kvs_write *write; // PUT, DELETE
    struct kvs_uuid if_match;
};

// Lives in the request's arena, but for `json`.
struct kvs_batch {
    struct kvs_api_call *call;
    struct kvs_buf json; // the body, compact: keys and values are slices of it
    struct kvs_batch_entry *entries;
    size_t count;
    struct kvs_write *writes; // without entries that have an error
    size_t write_count;
    struct kvs_audit_event *events; // of the writes
    size_t outstanding;             // the loop's: writes that have not come back
    size_t get_count;
};

// On any thread. KVS_ERR_SYNTAX, _INVALID with their detail: the batch as a whole is malformed.
KVS_MUST_CHECK int kvs_batch_read(struct kvs_batch *batch);

#endif
