// SPDX-License-Identifier: Apache-2.0
// Exports of the audit log: whatever stands there, verification ends with a report or an error, and
// a line that is taken is exactly what KVS writes; also encoded entries, seals and heads.
#include "audit/export.h"
#include "base/assert.h"

enum { MEMORY_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
    struct kvs_slice all, rest;
};

static bool next_line(void *ctx, struct kvs_slice *ret_line)
{
    struct lines *lines = ctx;
    if (lines->rest.size == 0)
        return false;
    const char *end = memchr(lines->rest.data, '\n', lines->rest.size);
    size_t size = end ? (size_t)(end - lines->rest.data) : lines->rest.size;
    *ret_line = kvs_slice(lines->rest.data, size);
    size += end ? 1 : 0;
    lines->rest = kvs_slice(lines->rest.data + size, lines->rest.size - size);
    return true;
}

static void rewind_lines(void *ctx)
{
    struct lines *lines = ctx;
    lines->rest = lines->all;
}

static void check_line(struct kvs_slice text)
{
    struct kvs_arena arena;
    static struct kvs_audit_line line; // large
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
    kvs_arena_init(&arena, MEMORY_MAX);
    if (kvs_audit_line_parse(text, &arena, &line) == 0) {
        if (line.kind == KVS_AUDIT_LINE_ENTRY)
            kvs_audit_entry_append_json(&again, &line.entry);
        else if (line.kind == KVS_AUDIT_LINE_SEAL)
            kvs_audit_seal_append_json(&again, &line.seal);
        else
            kvs_audit_header_append_json(&again, &line.header);
        kvs_assert(again.err == 0);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), text));
    }
    kvs_arena_done(&arena);
}

static void check_bytes(struct kvs_slice bytes)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf again = KVS_BUF_INIT(MEMORY_MAX);
    struct kvs_audit_entry entry;
    struct kvs_audit_seal seal;
    struct kvs_audit_genesis genesis;
    static struct kvs_audit_head head;
    struct kvs_slice head_signed;
    struct kvs_audit_hash mac;
    if (kvs_audit_entry_decode(bytes, &entry) == 0) {
        kvs_audit_entry_encode_signed(&again, &entry);
        kvs_audit_entry_encode_signature(&again, &entry);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), bytes));
    }
    kvs_buf_clear(&again);
    if (kvs_audit_seal_decode(bytes, &seal) == 0) {
        kvs_audit_seal_encode(&again, &seal);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), bytes));
    }
    kvs_buf_clear(&again);
    if (kvs_audit_head_decode(bytes, &head, &head_signed, &mac) == 0) {
        kvs_audit_head_encode(&again, &head);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), head_signed));
    }
    kvs_buf_clear(&again);
    if (kvs_audit_genesis_decode(bytes, &genesis) == 0) {
        kvs_audit_genesis_encode(&again, &genesis);
        kvs_assert(kvs_slice_eq(kvs_buf_slice(&again), bytes));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lines lines = {.all = kvs_slice(data, size)};
    struct kvs_audit_lines source = {next_line, rewind_lines, &lines};
    struct kvs_audit_verify_options options = {0};
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    if (kvs_audit_verify_export(&source, &options, &report, &message) == 0)
        kvs_assert(report.good == (report.message.text[0] == '\0'));
    else
        kvs_assert(message.text[0] != '\0');
    struct kvs_slice text;
    rewind_lines(&lines);
    while (next_line(&lines, &text))
        check_line(text);
    check_bytes(lines.all);
    return 0;
}
