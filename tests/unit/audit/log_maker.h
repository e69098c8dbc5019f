// SPDX-License-Identifier: Apache-2.0
// A log made in memory, as a list of lines of an export: header, entries and roots, checkpoint.
#ifndef KVS_TESTS_UNIT_AUDIT_LOG_MAKER_H
#define KVS_TESTS_UNIT_AUDIT_LOG_MAKER_H

#include "audit/export.h"
#include "tests/unit/test.h"

#include <stdio.h>

enum { LINES_MAX = 400, TEXT_MAX = 4096 };

struct log_line {
    char text[TEXT_MAX];
    size_t size;
    uint64_t seq; // of an entry; 0: something else
};

struct log_maker {
    struct kvs_random_seeded random;
    struct kvs_audit_hasher *hasher;
    struct kvs_audit_header header;
    struct kvs_audit_hash id;
    struct kvs_audit_signer signer;
    struct kvs_audit_tree tree;
    struct kvs_audit_hash leaf;
    uint64_t sealed;
    struct log_line lines[LINES_MAX];
    size_t line_count;
    size_t next; // of reading
};

static inline struct log_line *maker_line(struct log_maker *m, uint64_t seq)
{
    assert_true(m->line_count < LINES_MAX);
    struct log_line *line = &m->lines[m->line_count++];
    line->seq = seq;
    return line;
}

static inline void maker_take(struct log_line *line, struct kvs_buf *text)
{
    assert_int_equal(text->err, 0);
    memcpy(line->text, text->data, text->size);
    line->size = text->size;
    kvs_buf_done(text);
}

static inline void maker_next_key(struct log_maker *m, struct kvs_audit_signer *ret_signer)
{
    struct kvs_audit_key key = kvs_audit_key_new(m->signer.epoch + 1, &m->random.base);
    assert_int_equal(kvs_audit_signer_init(ret_signer, &key), 0);
}

static inline void maker_init(struct log_maker *m, uint64_t seed)
{
    memset(m, 0, sizeof(*m));
    kvs_random_seeded_init(&m->random, seed);
    assert_int_equal(kvs_audit_hasher_new(&m->hasher), 0);
    maker_next_key(m, &m->signer);
    m->header.genesis = (struct kvs_audit_genesis){.node = kvs_uuid_new(&m->random.base),
                                                   .created = 1700000000000,
                                                   .public_key = m->signer.public_key};
    m->id = m->leaf = m->header.prev = kvs_audit_genesis_id(&m->header.genesis, m->hasher);
    kvs_audit_hasher_set_key(m->hasher, &m->signer.mac_key);
    struct kvs_buf text = KVS_BUF_INIT(TEXT_MAX);
    kvs_audit_header_append_json(&text, &m->header);
    maker_take(maker_line(m, 0), &text);
}

static inline void maker_done(struct log_maker *m)
{
    kvs_audit_signer_done(&m->signer);
    kvs_audit_hasher_free(m->hasher);
}

static inline void maker_entry(struct log_maker *m)
{
    char resource[32];
    (void)snprintf(resource, sizeof(resource), "key/%u",
                   (unsigned)kvs_random_below(&m->random.base, 1000));
    struct kvs_audit_entry entry = {
        .seq = m->tree.size + 1,
        .timestamp = 1700000000000 + (int64_t)m->tree.size * 1000,
        .action = KVS_SLICE("data_write"),
        .outcome = KVS_SLICE("ok"),
        .resource = kvs_slice_from_str(resource),
        .request_id = KVS_SLICE("r"),
        .prev = m->leaf,
    };
    struct kvs_buf bytes = KVS_BUF_INIT(TEXT_MAX);
    kvs_audit_entry_encode_signed(&bytes, &entry);
    entry.signature = kvs_audit_mac(m->hasher, kvs_buf_slice(&bytes));
    kvs_audit_entry_encode_signature(&bytes, &entry);
    m->leaf = kvs_audit_hash_leaf(m->hasher, kvs_buf_slice(&bytes));
    kvs_audit_tree_append(&m->tree, m->hasher, &m->leaf, NULL, NULL);
    kvs_buf_clear(&bytes);
    kvs_audit_entry_append_json(&bytes, &entry);
    maker_take(maker_line(m, entry.seq), &bytes);
}

static inline void maker_seal(struct log_maker *m, enum kvs_audit_seal_kind kind)
{
    struct kvs_audit_signer next = {0};
    struct kvs_audit_seal seal = {.kind = kind,
                                  .epoch = m->signer.epoch,
                                  .size = m->tree.size,
                                  .timestamp = 1700000000000,
                                  .root = kvs_audit_tree_root(&m->tree, m->hasher)};
    if (kind != KVS_AUDIT_CHECKPOINT) {
        maker_next_key(m, &next);
        seal.next_key = next.public_key;
    }
    if (kind == KVS_AUDIT_ROOT)
        seal.mac_key = m->signer.mac_key;
    assert_int_equal(
        kvs_audit_seal_sign(&seal, &m->id, kind == KVS_AUDIT_BREAK ? &next : &m->signer), 0);
    struct kvs_buf text = KVS_BUF_INIT(TEXT_MAX);
    kvs_audit_seal_append_json(&text, &seal);
    maker_take(maker_line(m, 0), &text);
    if (kind == KVS_AUDIT_CHECKPOINT)
        return;
    m->sealed = m->tree.size;
    kvs_audit_signer_done(&m->signer);
    m->signer = next;
    kvs_audit_hasher_set_key(m->hasher, &m->signer.mac_key);
}

// ---- Verifying

static inline bool maker_next_line(void *ctx, struct kvs_slice *ret_line)
{
    struct log_maker *m = ctx;
    if (m->next == m->line_count)
        return false;
    const struct log_line *line = &m->lines[m->next++];
    *ret_line = kvs_slice(line->text, line->size);
    return true;
}

static inline void maker_rewind(void *ctx)
{
    ((struct log_maker *)ctx)->next = 0;
}

static inline struct kvs_audit_report maker_verify(struct log_maker *m,
                                                   const struct kvs_audit_verify_options *options)
{
    static const struct kvs_audit_verify_options none;
    struct kvs_audit_lines lines = {maker_next_line, maker_rewind, m};
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    int err = kvs_audit_verify_export(&lines, options ? options : &none, &report, &message);
    if (err)
        fail_msg("%s", message.text);
    return report;
}

#endif
