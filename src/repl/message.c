// SPDX-License-Identifier: Apache-2.0
#include "repl/message.h"

#include "repl/pack.h"

// Smallest encodings of list elements, for the check of a list's length against the bytes left.
enum { ITEM_MIN = 23, STUB_MIN = 22, RANGE_MIN = 3, MEMBER_MIN = 22, KEY_MIN = 2, ANSWER_MIN = 1 };

const char *kvs_message_type_name(enum kvs_message_type type)
{
    static const char *const names[KVS_MESSAGE_TYPE_COUNT] = {
        NULL,    "ping", "pong",        "ping-request", "members",   "status",
        "batch", "ack",  "pull",        "compare",      "compared",  "fetch",
        "items", "page", "page-answer", "duplicate",    "name-taken"};
    return type > 0 && type < KVS_MESSAGE_TYPE_COUNT ? names[type] : "unknown";
}

const char *kvs_member_state_name(enum kvs_member_state state)
{
    static const char *const names[] = {"alive", "suspect", "dead", "left", "removed"};
    return (unsigned)state <= KVS_MEMBER_REMOVED ? names[state] : "unknown";
}

// ---- Pieces

// The key of a record: a tag and at least one byte.
static struct kvs_slice get_record_key(struct packer *packer, struct wire_reader *in)
{
    struct kvs_slice key = unpack_key(packer, in);
    if (key.size < 2 && !in->err)
        in->err = KVS_ERR_SYNTAX;
    return key;
}

static void put_items(struct kvs_buf *out, const struct kvs_repl_item *items, size_t count)
{
    struct packer packer = {0};
    wire_put_uint(out, count);
    for (size_t i = 0; i < count; i++) {
        pack_key(&packer, out, items[i].key);
        pack_version(&packer, out, &items[i].version);
        wire_put_bytes(out, items[i].value);
    }
}

static struct kvs_repl_item *get_items(struct wire_reader *in, size_t *ret_count)
{
    struct packer packer = {0};
    size_t count = wire_get_count(in, ITEM_MIN);
    struct kvs_repl_item *items = wire_alloc(in, count, sizeof(*items));
    for (size_t i = 0; items && i < count && !in->err; i++) {
        items[i].key = get_record_key(&packer, in);
        items[i].version = unpack_version(&packer, in);
        items[i].value = wire_get_bytes(in, KVS_MESSAGE_SIZE_MAX);
    }
    *ret_count = items ? count : 0;
    return items;
}

static void put_stubs(struct packer *packer, struct kvs_buf *out, const struct kvs_repl_stub *stubs,
                      size_t count)
{
    wire_put_uint(out, count);
    for (size_t i = 0; i < count; i++) {
        pack_key(packer, out, stubs[i].key);
        pack_version(packer, out, &stubs[i].version);
    }
}

static struct kvs_repl_stub *get_stubs(struct packer *packer, struct wire_reader *in,
                                       size_t *ret_count)
{
    size_t count = wire_get_count(in, STUB_MIN);
    struct kvs_repl_stub *stubs = wire_alloc(in, count, sizeof(*stubs));
    for (size_t i = 0; stubs && i < count && !in->err; i++) {
        stubs[i].key = get_record_key(packer, in);
        stubs[i].version = unpack_version(packer, in);
    }
    *ret_count = stubs ? count : 0;
    return stubs;
}

static void put_u64(struct kvs_buf *out, uint64_t value)
{
    for (int shift = 0; shift < 64; shift += 8)
        wire_put_u8(out, (uint8_t)(value >> shift));
}

static uint64_t get_u64(struct wire_reader *in)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 8)
        value |= (uint64_t)wire_get_u8(in) << shift;
    return value;
}

static void put_fingerprint(struct kvs_buf *out, const struct kvs_fingerprint *fingerprint)
{
    put_u64(out, fingerprint->sum.lo);
    put_u64(out, fingerprint->sum.hi);
    wire_put_uint(out, fingerprint->count);
}

static struct kvs_fingerprint get_fingerprint(struct wire_reader *in)
{
    struct kvs_fingerprint fingerprint = {.sum.lo = get_u64(in)};
    fingerprint.sum.hi = get_u64(in);
    fingerprint.count = wire_get_uint(in);
    return fingerprint;
}

// A range whose `first` is the one before's `end` (as parts of a split are) says so in a bit.
static void put_ranges(struct packer *packer, struct kvs_buf *out,
                       const struct kvs_repl_range *ranges, size_t count)
{
    wire_put_uint(out, count);
    for (size_t i = 0; i < count; i++) {
        bool joined = i > 0 && kvs_slice_eq(ranges[i].first, ranges[i - 1].end);
        wire_put_u8(out, (uint8_t)(ranges[i].list | joined << 1));
        if (!joined)
            pack_key(packer, out, ranges[i].first);
        pack_key(packer, out, ranges[i].end);
        if (!ranges[i].list)
            put_fingerprint(out, &ranges[i].fingerprint);
    }
}

static struct kvs_repl_range *get_ranges(struct packer *packer, struct wire_reader *in,
                                         size_t *ret_count)
{
    size_t count = wire_get_count(in, RANGE_MIN);
    struct kvs_repl_range *ranges = wire_alloc(in, count, sizeof(*ranges));
    for (size_t i = 0; ranges && i < count && !in->err; i++) {
        uint8_t bits = wire_get_u8(in);
        if (bits > 3 || (bits > 1 && i == 0)) {
            in->err = in->err ? in->err : KVS_ERR_SYNTAX;
            break;
        }
        ranges[i].list = bits & 1;
        ranges[i].first = bits & 2 ? ranges[i - 1].end : unpack_key(packer, in);
        ranges[i].end = unpack_key(packer, in);
        if (!ranges[i].list)
            ranges[i].fingerprint = get_fingerprint(in);
    }
    *ret_count = ranges ? count : 0;
    return ranges;
}

static void put_members(struct kvs_buf *out, const struct kvs_member_record *members, size_t count)
{
    wire_put_uint(out, count);
    for (size_t i = 0; i < count; i++)
        wire_put_member(out, &members[i]);
}

static struct kvs_member_record *get_members(struct wire_reader *in, size_t *ret_count)
{
    size_t count = wire_get_count(in, MEMBER_MIN);
    struct kvs_member_record *members = wire_alloc(in, count, sizeof(*members));
    for (size_t i = 0; members && i < count; i++)
        members[i] = wire_get_member(in);
    *ret_count = members ? count : 0;
    return members;
}

static void put_run(struct kvs_buf *out, const struct kvs_seen_run *run)
{
    wire_put_uuid(out, &run->node);
    wire_put_uint(out, run->life);
    wire_put_uint(out, run->from);
    wire_put_uint(out, run->to);
}

static struct kvs_seen_run get_run(struct wire_reader *in)
{
    struct kvs_seen_run run = {.node = wire_get_uuid(in)};
    run.life = wire_get_u32(in);
    run.from = wire_get_u32(in);
    run.to = wire_get_u32(in);
    return run;
}

// ---- Bodies

static void put_ping(struct kvs_buf *out, const struct kvs_message_ping *body)
{
    wire_put_uint(out, body->probe);
    wire_put_int(out, body->echo_sent_ms);
    wire_put_uuid(out, &body->target);
    wire_put_bytes(out, body->target_address);
    put_members(out, body->updates, body->update_count);
}

static void get_ping(struct wire_reader *in, struct kvs_message_ping *body)
{
    body->probe = wire_get_u32(in);
    body->echo_sent_ms = wire_get_time(in);
    body->target = wire_get_uuid(in);
    body->target_address = wire_get_bytes(in, KVS_REPL_ADDRESS_MAX);
    body->updates = get_members(in, &body->update_count);
}

static void put_member_list(struct kvs_buf *out, const struct kvs_message_members *body)
{
    wire_put_u8(out, body->want_reply);
    kvs_buf_append(out, body->digest_key.bytes, sizeof(body->digest_key.bytes));
    put_members(out, body->members, body->member_count);
}

static void get_member_list(struct wire_reader *in, struct kvs_message_members *body)
{
    body->want_reply = wire_get_bool(in);
    struct kvs_uuid key = wire_get_uuid(in);
    _Static_assert(sizeof(key.bytes) == sizeof(body->digest_key.bytes), "both are 16 bytes");
    memcpy(body->digest_key.bytes, key.bytes, sizeof(key.bytes));
    body->members = get_members(in, &body->member_count);
}

static void put_status(struct kvs_buf *out, const struct kvs_message_status *body)
{
    wire_put_u8(out, body->want_reply);
    wire_put_u8(out, body->exact);
    wire_put_u8(out, body->bootstrapping);
    wire_put_int(out, body->watermark_ms);
    wire_put_int(out, body->certificate_ms);
    wire_put_int(out, body->promise_ms);
    put_fingerprint(out, &body->root);
    wire_put_seen(out, &body->seen);
}

static void get_status(struct wire_reader *in, struct kvs_message_status *body)
{
    body->want_reply = wire_get_bool(in);
    body->exact = wire_get_bool(in);
    body->bootstrapping = wire_get_bool(in);
    body->watermark_ms = wire_get_int(in);
    body->certificate_ms = wire_get_time(in);
    body->promise_ms = wire_get_time(in);
    body->root = get_fingerprint(in);
    body->seen = wire_get_seen(in);
}

static void put_batch(struct kvs_buf *out, const struct kvs_message_batch *body)
{
    wire_put_u8(out, body->pulled);
    wire_put_u8(out, body->overrun);
    wire_put_u8(out, body->more);
    put_run(out, &body->run);
    wire_put_uint(out, body->receiver_seen);
    wire_put_int(out, body->watermark_ms);
    put_items(out, body->items, body->item_count);
}

static void get_batch(struct wire_reader *in, struct kvs_message_batch *body)
{
    body->pulled = wire_get_bool(in);
    body->overrun = wire_get_bool(in);
    body->more = wire_get_bool(in);
    body->run = get_run(in);
    body->receiver_seen = wire_get_uint(in);
    body->watermark_ms = wire_get_int(in);
    body->items = get_items(in, &body->item_count);
}

static void put_batch_ack(struct kvs_buf *out, const struct kvs_message_batch_ack *body)
{
    put_run(out, &body->run);
    wire_put_uint(out, body->seen_count);
    wire_put_uint(out, body->credit_bytes);
}

static void get_batch_ack(struct wire_reader *in, struct kvs_message_batch_ack *body)
{
    body->run = get_run(in);
    body->seen_count = wire_get_u32(in);
    body->credit_bytes = wire_get_u32(in);
}

static void put_pull(struct kvs_buf *out, const struct kvs_message_pull *body)
{
    wire_put_uuid(out, &body->node);
    wire_put_uint(out, body->life);
    wire_put_uint(out, body->from);
    wire_put_uint(out, body->size_max);
    wire_put_int(out, body->watermark_ms);
}

static void get_pull(struct wire_reader *in, struct kvs_message_pull *body)
{
    body->node = wire_get_uuid(in);
    body->life = wire_get_u32(in);
    body->from = wire_get_u32(in);
    body->size_max = wire_get_u32(in);
    body->watermark_ms = wire_get_int(in);
}

static void put_compare(struct kvs_buf *out, const struct kvs_message_compare *body)
{
    wire_put_uint(out, body->session);
    wire_put_u8(out, body->want_seen);
    wire_put_int(out, body->watermark_ms);
    struct packer packer = {0};
    put_ranges(&packer, out, body->ranges, body->range_count);
}

static void get_compare(struct wire_reader *in, struct kvs_message_compare *body)
{
    body->session = wire_get_u32(in);
    body->want_seen = wire_get_bool(in);
    body->watermark_ms = wire_get_int(in);
    struct packer packer = {0};
    body->ranges = get_ranges(&packer, in, &body->range_count);
}

static void put_compared(struct kvs_buf *out, const struct kvs_message_compared *body)
{
    struct packer packer = {0};
    wire_put_uint(out, body->session);
    wire_put_u8(out, body->has_seen);
    wire_put_u8(out, body->bootstrapping);
    wire_put_int(out, body->watermark_ms);
    wire_put_int(out, body->forgotten_ms);
    if (body->has_seen)
        wire_put_seen(out, &body->seen);
    wire_put_uint(out, body->answer_count);
    for (size_t i = 0; i < body->answer_count; i++) {
        const struct kvs_repl_compared *answer = &body->answers[i];
        wire_put_u8(out, answer->kind);
        if (answer->kind == KVS_COMPARED_LISTED)
            put_stubs(&packer, out, answer->stubs, answer->stub_count);
        else if (answer->kind == KVS_COMPARED_SPLIT)
            put_ranges(&packer, out, answer->parts, answer->part_count);
    }
}

static void get_compared(struct wire_reader *in, struct kvs_message_compared *body)
{
    struct packer packer = {0};
    body->session = wire_get_u32(in);
    body->has_seen = wire_get_bool(in);
    body->bootstrapping = wire_get_bool(in);
    body->watermark_ms = wire_get_int(in);
    body->forgotten_ms = wire_get_int(in);
    if (body->has_seen)
        body->seen = wire_get_seen(in);
    size_t count = wire_get_count(in, ANSWER_MIN);
    body->answers = wire_alloc(in, count, sizeof(*body->answers));
    for (size_t i = 0; body->answers && i < count && !in->err; i++) {
        struct kvs_repl_compared *answer = &body->answers[i];
        answer->kind = wire_get_u8(in);
        if (answer->kind == KVS_COMPARED_LISTED)
            answer->stubs = get_stubs(&packer, in, &answer->stub_count);
        else if (answer->kind == KVS_COMPARED_SPLIT)
            answer->parts = get_ranges(&packer, in, &answer->part_count);
        else if (answer->kind != KVS_COMPARED_EQUAL)
            in->err = in->err ? in->err : KVS_ERR_SYNTAX;
    }
    body->answer_count = body->answers ? count : 0;
}

static void put_fetch(struct kvs_buf *out, const struct kvs_message_fetch *body)
{
    wire_put_uint(out, body->session);
    wire_put_uint(out, body->key_count);
    struct packer packer = {0};
    for (size_t i = 0; i < body->key_count; i++)
        pack_key(&packer, out, body->keys[i]);
}

static void get_fetch(struct wire_reader *in, struct kvs_message_fetch *body)
{
    body->session = wire_get_u32(in);
    size_t count = wire_get_count(in, KEY_MIN);
    body->keys = wire_alloc(in, count, sizeof(*body->keys));
    struct packer packer = {0};
    for (size_t i = 0; body->keys && i < count && !in->err; i++)
        body->keys[i] = get_record_key(&packer, in);
    body->key_count = body->keys ? count : 0;
}

static void put_item_list(struct kvs_buf *out, const struct kvs_message_items *body)
{
    wire_put_uint(out, body->session);
    wire_put_uint(out, body->answered);
    wire_put_u8(out, body->damaged);
    put_items(out, body->items, body->item_count);
}

static void get_item_list(struct wire_reader *in, struct kvs_message_items *body)
{
    body->session = wire_get_u32(in);
    body->answered = wire_get_u32(in);
    body->damaged = wire_get_bool(in);
    body->items = get_items(in, &body->item_count);
}

static void put_page(struct kvs_buf *out, const struct kvs_message_page *body)
{
    wire_put_uint(out, body->session);
    wire_put_u8(out, body->family);
    wire_put_int(out, body->before_ms);
    wire_put_bytes(out, body->before_key);
    wire_put_uint(out, body->size_max);
}

static void get_page(struct wire_reader *in, struct kvs_message_page *body)
{
    body->session = wire_get_u32(in);
    body->family = wire_get_u8(in);
    body->before_ms = wire_get_int(in);
    body->before_key = wire_get_bytes(in, KVS_REPL_KEY_MAX);
    body->size_max = wire_get_u32(in);
}

static void put_page_answer(struct kvs_buf *out, const struct kvs_message_page_answer *body)
{
    wire_put_uint(out, body->session);
    wire_put_u8(out, body->done);
    put_items(out, body->items, body->item_count);
}

static void get_page_answer(struct wire_reader *in, struct kvs_message_page_answer *body)
{
    body->session = wire_get_u32(in);
    body->done = wire_get_bool(in);
    body->items = get_items(in, &body->item_count);
}

// ---- Whole messages

static void put_head(struct kvs_buf *out, const struct kvs_message_head *head)
{
    wire_put_u8(out, KVS_MESSAGE_FORMAT);
    wire_put_u8(out, head->type);
    wire_put_cluster(out, &head->cluster);
    wire_put_uuid(out, &head->sender);
    wire_put_uint(out, head->sender_life);
    wire_put_uint(out, head->receiver_life);
    wire_put_int(out, head->sent_ms);
}

static int get_head(struct wire_reader *in, struct kvs_message_head *head)
{
    if (wire_get_u8(in) != KVS_MESSAGE_FORMAT)
        return in->err ? in->err : KVS_ERR_VERSION;
    head->type = wire_get_u8(in);
    head->cluster = wire_get_cluster(in);
    head->sender = wire_get_uuid(in);
    head->sender_life = wire_get_u32(in);
    head->receiver_life = wire_get_u32(in);
    head->sent_ms = wire_get_time(in);
    return in->err;
}

void kvs_repl_message_encode(const struct kvs_repl_message *message, struct kvs_buf *out)
{
    put_head(out, &message->head);
    switch ((enum kvs_message_type)message->head.type) {
    case KVS_MESSAGE_PING:
    case KVS_MESSAGE_PONG:
    case KVS_MESSAGE_PING_REQUEST:
        put_ping(out, &message->ping);
        break;
    case KVS_MESSAGE_MEMBERS:
        put_member_list(out, &message->members);
        break;
    case KVS_MESSAGE_STATUS:
        put_status(out, &message->status);
        break;
    case KVS_MESSAGE_BATCH:
        put_batch(out, &message->batch);
        break;
    case KVS_MESSAGE_BATCH_ACK:
        put_batch_ack(out, &message->batch_ack);
        break;
    case KVS_MESSAGE_PULL:
        put_pull(out, &message->pull);
        break;
    case KVS_MESSAGE_COMPARE:
        put_compare(out, &message->compare);
        break;
    case KVS_MESSAGE_COMPARED:
        put_compared(out, &message->compared);
        break;
    case KVS_MESSAGE_FETCH:
        put_fetch(out, &message->fetch);
        break;
    case KVS_MESSAGE_ITEMS:
        put_item_list(out, &message->items);
        break;
    case KVS_MESSAGE_PAGE:
        put_page(out, &message->page);
        break;
    case KVS_MESSAGE_PAGE_ANSWER:
        put_page_answer(out, &message->page_answer);
        break;
    case KVS_MESSAGE_DUPLICATE:
    case KVS_MESSAGE_NAME_TAKEN:
    case KVS_MESSAGE_TYPE_COUNT:
        break;
    }
}

static void get_body(struct wire_reader *in, struct kvs_repl_message *message)
{
    switch ((enum kvs_message_type)message->head.type) {
    case KVS_MESSAGE_PING:
    case KVS_MESSAGE_PONG:
    case KVS_MESSAGE_PING_REQUEST:
        get_ping(in, &message->ping);
        return;
    case KVS_MESSAGE_MEMBERS:
        get_member_list(in, &message->members);
        return;
    case KVS_MESSAGE_STATUS:
        get_status(in, &message->status);
        return;
    case KVS_MESSAGE_BATCH:
        get_batch(in, &message->batch);
        return;
    case KVS_MESSAGE_BATCH_ACK:
        get_batch_ack(in, &message->batch_ack);
        return;
    case KVS_MESSAGE_PULL:
        get_pull(in, &message->pull);
        return;
    case KVS_MESSAGE_COMPARE:
        get_compare(in, &message->compare);
        return;
    case KVS_MESSAGE_COMPARED:
        get_compared(in, &message->compared);
        return;
    case KVS_MESSAGE_FETCH:
        get_fetch(in, &message->fetch);
        return;
    case KVS_MESSAGE_ITEMS:
        get_item_list(in, &message->items);
        return;
    case KVS_MESSAGE_PAGE:
        get_page(in, &message->page);
        return;
    case KVS_MESSAGE_PAGE_ANSWER:
        get_page_answer(in, &message->page_answer);
        return;
    case KVS_MESSAGE_DUPLICATE:
    case KVS_MESSAGE_NAME_TAKEN:
        return;
    case KVS_MESSAGE_TYPE_COUNT:
        break;
    }
    in->err = KVS_ERR_SYNTAX;
}

int kvs_repl_message_decode(struct kvs_slice bytes, struct kvs_arena *arena,
                            struct kvs_repl_message *ret_message)
{
    *ret_message = (struct kvs_repl_message){0};
    if (bytes.size > KVS_MESSAGE_SIZE_MAX)
        return KVS_ERR_TOO_LARGE;
    const uint8_t *data = (const uint8_t *)bytes.data;
    struct wire_reader in = {data, data + bytes.size, arena, 0};
    int err = get_head(&in, &ret_message->head);
    if (err)
        return err;
    get_body(&in, ret_message);
    if (!in.err && in.at != in.end)
        return KVS_ERR_SYNTAX;
    return in.err;
}
