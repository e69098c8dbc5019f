// SPDX-License-Identifier: Apache-2.0
#include "node/job_record.h"

#include "codec/wire.h"

enum { FORMAT = 1 };

const struct kvs_slice kvs_job_key_prefix = KVS_SLICE("job/");

void kvs_job_encode_key(const struct kvs_uuid *id, char ret_key[static KVS_JOB_KEY_SIZE])
{
    memcpy(ret_key, kvs_job_key_prefix.data, kvs_job_key_prefix.size);
    memcpy(ret_key + kvs_job_key_prefix.size, id->bytes, sizeof(id->bytes));
}

void kvs_job_encode(struct kvs_buf *out, const struct kvs_job_entry *entry)
{
    const struct kvs_job *job = &entry->job;
    kvs_wire_put_u8(out, FORMAT);
    kvs_wire_put_u8(out, (uint8_t)job->state);
    kvs_wire_put_u64be(out, (uint64_t)job->created_ms);
    kvs_wire_put_u64be(out, (uint64_t)job->finished_ms);
    kvs_wire_put_u64be(out, job->deleted);
    kvs_wire_put_u64be(out, entry->writer_seq);
    kvs_wire_put_u64be(out, (uint64_t)entry->timestamp);
    kvs_wire_put_bytes(out, kvs_slice(job->prefix, job->prefix_size));
    kvs_buf_append(out, entry->cursor, entry->cursor_size);
}

int kvs_job_decode(struct kvs_slice key, struct kvs_slice value, struct kvs_job_entry *entry)
{
    struct kvs_job *job = &entry->job;
    struct kvs_cursor cursor = kvs_cursor(value);
    if (key.size != KVS_JOB_KEY_SIZE)
        return KVS_ERR_CORRUPT;
    memcpy(job->id.bytes, key.data + kvs_job_key_prefix.size, sizeof(job->id.bytes));
    uint8_t format = kvs_wire_get_u8(&cursor);
    if (format > FORMAT)
        return KVS_ERR_VERSION;
    job->state = (enum kvs_job_state)kvs_wire_get_u8(&cursor);
    job->created_ms = (int64_t)kvs_wire_get_u64be(&cursor);
    job->finished_ms = (int64_t)kvs_wire_get_u64be(&cursor);
    job->deleted = kvs_wire_get_u64be(&cursor);
    entry->writer_seq = kvs_wire_get_u64be(&cursor);
    entry->timestamp = (int64_t)kvs_wire_get_u64be(&cursor);
    struct kvs_slice prefix = kvs_wire_get_bytes(&cursor, sizeof(job->prefix));
    struct kvs_slice place = kvs_wire_get_rest(&cursor);
    bool good = !cursor.bad && format == FORMAT && job->state >= KVS_JOB_QUEUED &&
                job->state <= KVS_JOB_CANCELLED && prefix.size > 0 &&
                place.size <= sizeof(entry->cursor);
    if (!good)
        return KVS_ERR_CORRUPT;
    memcpy(job->prefix, prefix.data, prefix.size);
    job->prefix_size = prefix.size;
    memcpy(entry->cursor, place.data ? place.data : "", place.size);
    entry->cursor_size = place.size;
    return 0;
}
