// SPDX-License-Identifier: Apache-2.0
// How a job lies in the store between two runs:
//
//   META  "job/" | id 16    format u8 = 1 | state u8 | created u64be | finished u64be |
//                           deleted u64be | own writer_seq u64be | timestamp u64be |
//                           prefix bytes | where to go on
//
// writer_seq and timestamp say what was there when the job was made: an own version with a greater
// number, or another's with a greater timestamp, came later and stays.
#ifndef KVS_NODE_JOB_RECORD_H
#define KVS_NODE_JOB_RECORD_H

#include "base/buf.h"
#include "node/jobs.h"

enum { KVS_JOB_KEY_SIZE = 4 + 16 };

struct kvs_job_entry {
    struct kvs_job job;
    uint64_t writer_seq;
    int64_t timestamp;
    size_t cursor_size;
    char cursor[KVS_KEY_SIZE_MAX + 1]; // keys below it are done with
};

extern const struct kvs_slice kvs_job_key_prefix;

void kvs_job_encode_key(const struct kvs_uuid *id, char ret_key[static KVS_JOB_KEY_SIZE]);
void kvs_job_encode(struct kvs_buf *out, const struct kvs_job_entry *entry);
// Any bytes may be given: KVS_ERR_CORRUPT, KVS_ERR_VERSION.
KVS_MUST_CHECK int kvs_job_decode(struct kvs_slice key, struct kvs_slice value,
                                  struct kvs_job_entry *entry);

#endif
