// SPDX-License-Identifier: Apache-2.0
// What the machine remembers across runs beside the data: its cluster, incarnation, watermark and
// certificate, how far a bootstrap came, and the other members. `seen` lies with the data, because
// it must be durable in the same commit. Format 2, docs/formats/replication-state.md.
#include "repl/repl_internal.h"
#include "repl/wire.h"

enum { STATE_FORMAT = 2, STATE_ARENA_MAX = 1 << 20 };

void state_encode(const struct kvs_repl *r, struct kvs_buf *out)
{
    wire_put_u8(out, STATE_FORMAT);
    wire_put_cluster(out, &r->cluster);
    kvs_buf_append(out, r->digest_key.bytes, sizeof(r->digest_key.bytes));
    wire_put_uint(out, r->self.incarnation);
    wire_put_u8(out, r->left);
    wire_put_int(out, r->watermark_ms);
    wire_put_int(out, r->certificate_ms);
    wire_put_int(out, r->forgotten_ms);
    wire_put_u8(out, r->returning);
    wire_put_u8(out, (uint8_t)r->boot.phase);
    wire_put_u8(out, r->boot.family);
    wire_put_int(out, r->boot.before_ms);
    wire_put_bytes(out, kvs_slice(r->boot.before_key, r->boot.before_key_size));
    wire_put_uint(out, r->member_count);
    for (size_t i = 0; i < r->member_count; i++) {
        struct kvs_member_record record = member_record(r->members[i]);
        wire_put_member(out, &record);
        wire_put_int(out, member_down_ms(r, r->members[i]));
        wire_put_u8(out, r->members[i]->estranged);
    }
}

static void get_boot(struct kvs_repl *r, struct wire_reader *in)
{
    uint8_t phase = wire_get_u8(in);
    r->boot.family = wire_get_u8(in);
    r->boot.before_ms = wire_get_int(in);
    struct kvs_slice key = wire_get_bytes(in, sizeof(r->boot.before_key));
    r->boot.phase = phase <= BOOT_SYNC ? (enum boot_phase)phase : BOOT_SEEKING;
    r->boot.before_key_size = (uint16_t)key.size;
    if (key.size > 0)
        memcpy(r->boot.before_key, key.data, key.size);
}

static int get_members(struct kvs_repl *r, struct wire_reader *in)
{
    size_t count = wire_get_count(in, 1);
    for (size_t i = 0; i < count && !in->err; i++) {
        struct kvs_member_record record = wire_get_member(in);
        int64_t down_ms = wire_get_int(in);
        bool estranged = wire_get_bool(in);
        if (in->err)
            break;
        struct member *member = member_add(r, &record);
        if (!member)
            return KVS_ERR_NOMEM;
        member->down_ms = down_ms;
        member->estranged = estranged;
        member->retry_at_ms = r->now_ms + 1;
    }
    return in->err;
}

int state_decode(struct kvs_repl *r, struct kvs_slice bytes)
{
    struct kvs_arena arena;
    kvs_arena_init(&arena, STATE_ARENA_MAX);
    const uint8_t *data = (const uint8_t *)bytes.data;
    struct wire_reader in = {data, data + bytes.size, &arena, 0};
    uint8_t format = wire_get_u8(&in);
    if (format == 0 || format > STATE_FORMAT)
        return in.err || format == 0 ? KVS_ERR_CORRUPT : KVS_ERR_VERSION;
    r->cluster = wire_get_cluster(&in);
    struct kvs_uuid key = wire_get_uuid(&in);
    memcpy(r->digest_key.bytes, key.bytes, sizeof(key.bytes));
    r->self.incarnation = wire_get_u32(&in);
    (void)wire_get_bool(&in); // it left, and is started again: it joins anew
    r->watermark_ms = wire_get_int(&in);
    r->certificate_ms = wire_get_int(&in);
    r->forgotten_ms = format >= 2 ? wire_get_int(&in) : 0;
    r->returning = wire_get_bool(&in);
    get_boot(r, &in);
    int err = get_members(r, &in);
    kvs_arena_done(&arena);
    if (err == KVS_ERR_NOMEM)
        return err;
    return err || in.at != in.end ? KVS_ERR_CORRUPT : 0;
}
