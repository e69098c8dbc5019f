// SPDX-License-Identifier: Apache-2.0
#include "node/backup_format.h"

#include "codec/index.h"
#include "codec/wire.h"

#include <string.h>
#include <xxhash.h>

enum {
    HEADER_MAGIC = 0x184D2A5B, // both from the range that zstd leaves to others
    TRAILER_MAGIC = 0x184D2A5C,
    CHECKSUM_SIZE = 8,
    HEADER_CHECKSUM_AT = KVS_BACKUP_FRAME_HEAD_SIZE + 8 + 4,
    TRAILER_CHECKSUM_AT = KVS_BACKUP_FRAME_HEAD_SIZE + 8,
    HEADER_SIZE_MIN = HEADER_CHECKSUM_AT + CHECKSUM_SIZE,
    FLAGS_KNOWN = KVS_VERSION_TOMBSTONE | KVS_VERSION_STUB | KVS_VERSION_CONFLICT_LOSER,
};
static const struct kvs_slice header_name = KVS_SLICE("kvs-bkp\n");
static const struct kvs_slice trailer_name = KVS_SLICE("kvs-end\n");

// Numbers of families in files, in the order in which they come there.
static const struct {
    int code;
    enum kvs_family family;
    bool versions;
} families[] = {
    {1, KVS_FAMILY_META, false}, {2, KVS_FAMILY_AUDIT, false}, {3, KVS_FAMILY_LOG, false},
    {4, KVS_FAMILY_DUE, false},  {5, KVS_FAMILY_SYSTEM, true}, {6, KVS_FAMILY_DATA, true},
};

static int code_of_family(enum kvs_family family)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(families); i++)
        if (families[i].family == family)
            return families[i].code;
    return 0;
}

// ---- Frames

// Over the frame without its checksum.
static uint64_t frame_checksum(struct kvs_slice frame, size_t checksum_at)
{
    size_t behind = checksum_at + CHECKSUM_SIZE;
    uint64_t before = XXH3_64bits(frame.data, checksum_at);
    return XXH3_64bits_withSeed(frame.data + behind, frame.size - behind, before);
}

static void begin_frame(struct kvs_buf *out, struct kvs_slice name)
{
    char *head = kvs_buf_reserve(out, KVS_BACKUP_FRAME_HEAD_SIZE);
    if (!head)
        return;
    memset(head, 0, KVS_BACKUP_FRAME_HEAD_SIZE);
    out->size += KVS_BACKUP_FRAME_HEAD_SIZE;
    kvs_buf_append_slice(out, name);
}

static void end_frame(struct kvs_buf *out, size_t start, uint32_t magic, size_t checksum_at)
{
    if (out->err)
        return;
    char *frame = out->data + start;
    size_t size = out->size - start;
    kvs_wire_set_u32le(frame, magic);
    kvs_wire_set_u32le(frame + 4, (uint32_t)(size - KVS_BACKUP_FRAME_HEAD_SIZE));
    (void)kvs_wire_encode_u64be(frame + checksum_at,
                                frame_checksum(kvs_slice(frame, size), checksum_at));
}

// Is this a whole frame of that kind, with a checksum that fits? The cursor then stands behind the
// name.
static bool open_frame(struct kvs_slice frame, uint32_t magic, struct kvs_slice name,
                       size_t checksum_at, struct kvs_cursor *ret_cursor)
{
    if (frame.size < checksum_at + CHECKSUM_SIZE || kvs_wire_u32le_at(frame.data) != magic ||
        kvs_wire_u32le_at(frame.data + 4) != frame.size - KVS_BACKUP_FRAME_HEAD_SIZE ||
        memcmp(frame.data + KVS_BACKUP_FRAME_HEAD_SIZE, name.data, name.size) != 0)
        return false;
    struct kvs_cursor sum = kvs_cursor(kvs_slice(frame.data + checksum_at, CHECKSUM_SIZE));
    size_t at = KVS_BACKUP_FRAME_HEAD_SIZE + name.size;
    *ret_cursor = kvs_cursor(kvs_slice(frame.data + at, frame.size - at));
    return kvs_wire_get_u64be(&sum) == frame_checksum(frame, checksum_at);
}

// ---- The header

void kvs_backup_header_encode(struct kvs_buf *out, const struct kvs_backup_info *info)
{
    size_t start = out->size;
    begin_frame(out, header_name);
    kvs_wire_put_u32be(out, info->format);
    kvs_wire_put_u64be(out, 0); // the checksum
    kvs_wire_put_u64be(out, (uint64_t)info->created_at_ms);
    kvs_writer_encode(out, &info->node);
    kvs_wire_put_u64be(out, info->log_seq);
    kvs_buf_append(out, info->prf.bytes, sizeof(info->prf.bytes));
    kvs_wire_put_bytes(out, kvs_slice_from_str(info->node_id));
    kvs_wire_put_bytes(out, kvs_slice_from_str(info->release));
    end_frame(out, start, HEADER_MAGIC, HEADER_CHECKSUM_AT);
}

size_t kvs_backup_header_size(struct kvs_slice head)
{
    if (head.size < KVS_BACKUP_FRAME_HEAD_SIZE || kvs_wire_u32le_at(head.data) != HEADER_MAGIC)
        return 0;
    size_t size = (size_t)kvs_wire_u32le_at(head.data + 4) + KVS_BACKUP_FRAME_HEAD_SIZE;
    return size >= HEADER_SIZE_MIN && size <= KVS_BACKUP_HEADER_SIZE_MAX ? size : 0;
}

// A text without NUL; ret_text has room for the longest and its NUL.
static void get_text(struct kvs_cursor *cursor, size_t size_max, char *ret_text)
{
    struct kvs_slice text = kvs_wire_get_bytes(cursor, size_max);
    if (text.size > 0 && memchr(text.data, '\0', text.size))
        cursor->bad = true;
    if (!cursor->bad && text.size > 0)
        memcpy(ret_text, text.data, text.size);
    ret_text[cursor->bad ? 0 : text.size] = '\0';
}

static void get_raw(struct kvs_cursor *cursor, size_t size, void *ret_bytes)
{
    uint8_t *at = ret_bytes;
    for (size_t i = 0; i < size; i++)
        at[i] = kvs_wire_get_u8(cursor);
}

int kvs_backup_header_decode(struct kvs_slice header, struct kvs_backup_info *ret_info)
{
    *ret_info = (struct kvs_backup_info){0};
    struct kvs_cursor cursor;
    if (!open_frame(header, HEADER_MAGIC, header_name, HEADER_CHECKSUM_AT, &cursor))
        return KVS_ERR_CORRUPT;
    ret_info->format = kvs_wire_get_u32be(&cursor);
    if (ret_info->format > KVS_BACKUP_FORMAT)
        return KVS_ERR_VERSION;
    (void)kvs_wire_get_u64be(&cursor); // the checksum, compared
    uint64_t created_at = kvs_wire_get_u64be(&cursor);
    struct kvs_uuid node = kvs_wire_get_uuid(&cursor);
    uint64_t joined = kvs_wire_get_u64be(&cursor);
    ret_info->created_at_ms = (int64_t)created_at;
    ret_info->node = (struct kvs_writer){node, (int64_t)joined};
    ret_info->log_seq = kvs_wire_get_u64be(&cursor);
    get_raw(&cursor, sizeof(ret_info->prf.bytes), ret_info->prf.bytes);
    get_text(&cursor, KVS_BACKUP_NODE_ID_MAX, ret_info->node_id);
    get_text(&cursor, KVS_BACKUP_RELEASE_MAX, ret_info->release);
    bool good = kvs_cursor_finished(&cursor) && ret_info->format == KVS_BACKUP_FORMAT &&
                created_at <= INT64_MAX && joined <= INT64_MAX;
    return good ? 0 : KVS_ERR_CORRUPT;
}

// ---- The trailer

static void put_fingerprint(struct kvs_buf *out, struct kvs_fingerprint fingerprint)
{
    kvs_wire_put_u64be(out, fingerprint.sum.hi);
    kvs_wire_put_u64be(out, fingerprint.sum.lo);
    kvs_wire_put_u64be(out, fingerprint.count);
}

static struct kvs_fingerprint get_fingerprint(struct kvs_cursor *cursor)
{
    struct kvs_fingerprint fingerprint;
    fingerprint.sum.hi = kvs_wire_get_u64be(cursor);
    fingerprint.sum.lo = kvs_wire_get_u64be(cursor);
    fingerprint.count = kvs_wire_get_u64be(cursor);
    return fingerprint;
}

void kvs_backup_trailer_encode(struct kvs_buf *out, const struct kvs_backup_info *info,
                               uint64_t body_size)
{
    size_t start = out->size;
    begin_frame(out, trailer_name);
    kvs_wire_put_u64be(out, 0); // the checksum
    kvs_wire_put_u64be(out, info->content.keys);
    kvs_wire_put_u64be(out, info->content.versions);
    kvs_wire_put_u64be(out, info->content.entries);
    kvs_wire_put_u64be(out, info->content_size);
    kvs_wire_put_u64be(out, body_size);
    put_fingerprint(out, info->content.current);
    put_fingerprint(out, info->content.all);
    kvs_wire_put_u64be(out, info->content.entries_sum);
    kvs_buf_append(out, info->sha256, sizeof(info->sha256));
    end_frame(out, start, TRAILER_MAGIC, TRAILER_CHECKSUM_AT);
}

int kvs_backup_trailer_decode(struct kvs_slice trailer, struct kvs_backup_info *info,
                              uint64_t *ret_body_size)
{
    struct kvs_cursor cursor;
    if (trailer.size != KVS_BACKUP_TRAILER_SIZE ||
        !open_frame(trailer, TRAILER_MAGIC, trailer_name, TRAILER_CHECKSUM_AT, &cursor))
        return KVS_ERR_CORRUPT;
    (void)kvs_wire_get_u64be(&cursor); // the checksum, compared
    info->content.keys = kvs_wire_get_u64be(&cursor);
    info->content.versions = kvs_wire_get_u64be(&cursor);
    info->content.entries = kvs_wire_get_u64be(&cursor);
    info->content_size = kvs_wire_get_u64be(&cursor);
    *ret_body_size = kvs_wire_get_u64be(&cursor);
    info->content.current = get_fingerprint(&cursor);
    info->content.all = get_fingerprint(&cursor);
    info->content.entries_sum = kvs_wire_get_u64be(&cursor);
    get_raw(&cursor, sizeof(info->sha256), info->sha256);
    info->file_size = *ret_body_size + KVS_BACKUP_TRAILER_SIZE;
    return kvs_cursor_finished(&cursor) ? 0 : KVS_ERR_CORRUPT;
}

// ---- Entries

void kvs_backup_entry_encode(struct kvs_buf *out, const struct kvs_backup_entry *entry)
{
    const struct kvs_version *version = &entry->version;
    kvs_wire_put_u8(out, (uint8_t)entry->kind);
    if (entry->kind == KVS_BACKUP_WRITER) {
        kvs_wire_put_uvarint(out, entry->writer_id);
        kvs_writer_encode(out, &version->writer);
        return;
    }
    kvs_wire_put_u8(out, (uint8_t)code_of_family(entry->family));
    kvs_wire_put_bytes(out, entry->key);
    if (entry->kind == KVS_BACKUP_VERSION) {
        kvs_wire_put_uvarint(out, (uint64_t)version->timestamp);
        kvs_wire_put_uuid(out, &version->uuid);
        kvs_wire_put_uvarint(out, entry->writer_id);
        kvs_wire_put_uvarint(out, version->writer_seq);
        kvs_wire_put_uvarint(out, (uint64_t)version->expires_at);
        kvs_wire_put_u8(out, version->flags);
    }
    kvs_buf_append_slice(out, entry->value);
}

static bool get_family(struct kvs_cursor *cursor, struct kvs_backup_entry *entry)
{
    int code = kvs_wire_get_u8(cursor);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(families); i++)
        if (families[i].code == code) {
            entry->family = families[i].family;
            return families[i].versions == (entry->kind == KVS_BACKUP_VERSION);
        }
    return false;
}

static bool get_version(struct kvs_cursor *cursor, struct kvs_backup_entry *entry)
{
    struct kvs_version *version = &entry->version;
    version->timestamp = (int64_t)kvs_wire_get_uvarint(cursor, INT64_MAX);
    version->uuid = kvs_wire_get_uuid(cursor);
    entry->writer_id = (uint32_t)kvs_wire_get_uvarint(cursor, UINT32_MAX);
    version->writer_seq = kvs_wire_get_uvarint(cursor, UINT64_MAX);
    version->expires_at = (int64_t)kvs_wire_get_uvarint(cursor, INT64_MAX);
    version->flags = kvs_wire_get_u8(cursor);
    return (version->flags & ~FLAGS_KNOWN) == 0 && entry->key.size > 0 &&
           entry->key.size <= KVS_KEY_SIZE_MAX && !memchr(entry->key.data, '\0', entry->key.size);
}

int kvs_backup_entry_decode(struct kvs_slice bytes, struct kvs_backup_entry *ret_entry)
{
    struct kvs_cursor cursor = kvs_cursor(bytes);
    struct kvs_backup_entry entry = {.kind = (enum kvs_backup_kind)kvs_wire_get_u8(&cursor)};
    bool good = true;
    switch (entry.kind) {
    case KVS_BACKUP_WRITER:
        entry.writer_id = (uint32_t)kvs_wire_get_uvarint(&cursor, UINT32_MAX);
        good = kvs_writer_decode(kvs_wire_get_rest(&cursor), &entry.version.writer) == 0;
        break;
    case KVS_BACKUP_PLAIN:
    case KVS_BACKUP_VERSION:
        good = get_family(&cursor, &entry);
        entry.key = kvs_wire_get_bytes(&cursor, bytes.size);
        if (good && entry.kind == KVS_BACKUP_VERSION)
            good = get_version(&cursor, &entry);
        entry.value = kvs_wire_get_rest(&cursor);
        break;
    default:
        good = false;
    }
    if (!good || cursor.bad)
        return KVS_ERR_CORRUPT;
    *ret_entry = entry;
    return 0;
}

// ---- The tally

void kvs_backup_tally_init(struct kvs_backup_tally *tally, const struct kvs_digest_key *prf,
                           int64_t created_at_ms)
{
    *tally = (struct kvs_backup_tally){
        .prf = *prf,
        .created_at_ms = created_at_ms,
        .last_family = -1,
        .last_key = KVS_BUF_INIT(KVS_BACKUP_ENTRY_SIZE_MAX),
        .key = KVS_BUF_INIT(KVS_BACKUP_ENTRY_SIZE_MAX),
        .known = KVS_BUF_INIT(KVS_BACKUP_WRITERS_MAX * sizeof(struct kvs_writer))};
}

void kvs_backup_tally_done(struct kvs_backup_tally *tally)
{
    kvs_buf_done(&tally->last_key);
    kvs_buf_done(&tally->key);
    kvs_buf_done(&tally->known);
}

static int learn_writer(struct kvs_backup_tally *tally, uint32_t id,
                        const struct kvs_writer *writer)
{
    if (id >= KVS_BACKUP_WRITERS_MAX || kvs_uuid_is_nil(&writer->node))
        return KVS_ERR_CORRUPT;
    size_t size = ((size_t)id + 1) * sizeof(*writer);
    if (tally->known.size < size) {
        char *room = kvs_buf_reserve(&tally->known, size - tally->known.size);
        if (!room)
            return KVS_ERR_NOMEM;
        memset(room, 0, size - tally->known.size);
        tally->known.size = size;
    }
    memcpy(tally->known.data + size - sizeof(*writer), writer, sizeof(*writer));
    return 0;
}

static bool find_writer(const struct kvs_backup_tally *tally, uint32_t id,
                        struct kvs_writer *ret_writer)
{
    size_t at = (size_t)id * sizeof(*ret_writer);
    if (at + sizeof(*ret_writer) > tally->known.size)
        return false;
    memcpy(ret_writer, tally->known.data + at, sizeof(*ret_writer));
    return !kvs_uuid_is_nil(&ret_writer->node);
}

// Everything comes in one order: writers, then family after family, keys ascending in each.
static int check_order(struct kvs_backup_tally *tally, const struct kvs_backup_entry *entry)
{
    int family = entry->kind == KVS_BACKUP_WRITER ? 0 : code_of_family(entry->family);
    kvs_buf_clear(&tally->key);
    if (entry->kind == KVS_BACKUP_WRITER)
        kvs_wire_put_u32be(&tally->key, entry->writer_id);
    else if (entry->kind == KVS_BACKUP_PLAIN)
        kvs_buf_append_slice(&tally->key, entry->key);
    else
        kvs_record_encode_key(&tally->key, entry->key, &entry->version);
    if (tally->key.err)
        return KVS_ERR_NOMEM;
    if (family < tally->last_family ||
        (family == tally->last_family &&
         kvs_slice_cmp(kvs_buf_slice(&tally->key), kvs_buf_slice(&tally->last_key)) <= 0))
        return KVS_ERR_CORRUPT;
    return 0;
}

static void remember_place(struct kvs_backup_tally *tally, const struct kvs_backup_entry *entry)
{
    struct kvs_buf last = tally->last_key;
    tally->last_key = tally->key;
    tally->key = last;
    tally->last_family = entry->kind == KVS_BACKUP_WRITER ? 0 : code_of_family(entry->family);
}

static bool is_current(const struct kvs_backup_tally *tally, const struct kvs_backup_entry *entry)
{
    struct kvs_slice key;
    return tally->last_family != code_of_family(entry->family) ||
           !kvs_record_split_key(kvs_buf_slice(&tally->last_key), &key) ||
           !kvs_slice_eq(key, entry->key);
}

static void add_to(struct kvs_fingerprint *fingerprint, struct kvs_digest_sum item)
{
    kvs_digest_sum_add(&fingerprint->sum, item);
    fingerprint->count++;
}

static int add_version(struct kvs_backup_tally *tally, struct kvs_backup_entry *entry)
{
    if (!find_writer(tally, entry->writer_id, &entry->version.writer))
        return KVS_ERR_CORRUPT;
    int err = check_order(tally, entry);
    if (err)
        return err;
    struct kvs_backup_content *content = &tally->content;
    struct kvs_digest_sum item = kvs_digest_item(&tally->prf, entry->key, &entry->version,
                                                 XXH3_64bits(entry->value.data, entry->value.size));
    add_to(&content->all, item);
    content->versions++;
    if (is_current(tally, entry)) {
        add_to(&content->current, item);
        content->keys += entry->family == KVS_FAMILY_DATA &&
                         kvs_version_is_visible(&entry->version, tally->created_at_ms);
    }
    return 0;
}

static void add_plain(struct kvs_backup_content *content, const struct kvs_backup_entry *entry)
{
    uint64_t key = XXH3_64bits_withSeed(entry->key.data, entry->key.size,
                                        (uint64_t)code_of_family(entry->family));
    content->entries_sum += XXH3_64bits_withSeed(entry->value.data, entry->value.size, key);
    content->entries++;
}

int kvs_backup_tally_add(struct kvs_backup_tally *tally, struct kvs_backup_entry *entry)
{
    int err = 0;
    if (entry->kind == KVS_BACKUP_VERSION) {
        err = add_version(tally, entry);
    } else {
        err = check_order(tally, entry);
        if (!err && entry->kind == KVS_BACKUP_WRITER)
            err = learn_writer(tally, entry->writer_id, &entry->version.writer);
        else if (!err)
            add_plain(&tally->content, entry);
    }
    if (!err)
        remember_place(tally, entry);
    return err;
}

static bool fingerprints_eq(const struct kvs_backup_content *a, const struct kvs_backup_content *b)
{
    return kvs_fingerprint_eq(a->current, b->current) && kvs_fingerprint_eq(a->all, b->all) &&
           a->entries_sum == b->entries_sum;
}

bool kvs_backup_content_eq(const struct kvs_backup_content *a, const struct kvs_backup_content *b)
{
    return a->keys == b->keys && a->versions == b->versions && a->entries == b->entries &&
           fingerprints_eq(a, b);
}
