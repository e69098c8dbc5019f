// SPDX-License-Identifier: Apache-2.0
// An export: lines of JSON, each exactly as written. First the log (audit/seal.h, header), then
// each entry in order (audit/entry.h), each root and break behind the last entry that it covers,
// and at the end a checkpoint. docs/formats/audit.md has an example.
#ifndef KVS_AUDIT_EXPORT_H
#define KVS_AUDIT_EXPORT_H

#include "audit/entry.h"
#include "audit/seal.h"
#include "audit/verify.h"

enum { KVS_AUDIT_EXPORT_LINE_MAX = 64 << 10 };

enum kvs_audit_line_kind { KVS_AUDIT_LINE_HEADER, KVS_AUDIT_LINE_ENTRY, KVS_AUDIT_LINE_SEAL };

struct kvs_audit_line {
    enum kvs_audit_line_kind kind;
    struct kvs_audit_header header;
    struct kvs_audit_entry entry; // texts in the arena or the line
    struct kvs_audit_seal seal;   // a checkpoint too
};

// A line without its newline. KVS_ERR_SYNTAX, KVS_ERR_VERSION, KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_audit_line_parse(struct kvs_slice text, struct kvs_arena *arena,
                                        struct kvs_audit_line *ret_line);

// Verifies a whole export. `next_line` yields one line after another (without its newline, valid
// until the next call; false at the end), `rewind` goes back to the first.
struct kvs_audit_lines {
    bool (*next_line)(void *ctx, struct kvs_slice *ret_line);
    void (*rewind)(void *ctx);
    void *ctx;
};
// KVS_ERR_SYNTAX (with its message) when it is no export, KVS_ERR_NOMEM; else the report says what
// became of it.
KVS_MUST_CHECK int kvs_audit_verify_export(const struct kvs_audit_lines *lines,
                                           const struct kvs_audit_verify_options *options,
                                           struct kvs_audit_report *ret_report,
                                           struct kvs_message *ret_message);

#endif
