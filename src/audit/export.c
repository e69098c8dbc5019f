// SPDX-License-Identifier: Apache-2.0
#include "audit/export.h"

#include "audit/text_internal.h"

#include <inttypes.h>

enum { ARENA_MAX = 1 << 20 };

int kvs_audit_line_parse(struct kvs_slice text, struct kvs_arena *arena,
                         struct kvs_audit_line *ret_line)
{
    if (text.size > KVS_AUDIT_EXPORT_LINE_MAX)
        return KVS_ERR_SYNTAX;
    if (kvs_slice_starts_with(text, KVS_SLICE("{\"seq\":"))) {
        ret_line->kind = KVS_AUDIT_LINE_ENTRY;
        return kvs_audit_entry_parse_json(text, arena, &ret_line->entry);
    }
    if (kvs_slice_starts_with(text, KVS_SLICE("{\"kind\":\"log\""))) {
        ret_line->kind = KVS_AUDIT_LINE_HEADER;
        return kvs_audit_header_parse_json(text, arena, &ret_line->header);
    }
    ret_line->kind = KVS_AUDIT_LINE_SEAL;
    return kvs_audit_seal_parse_json(text, arena, &ret_line->seal);
}

struct reading {
    const struct kvs_audit_lines *lines;
    struct kvs_arena arena;
    struct kvs_audit_line line;
    struct kvs_buf encoded;
    struct kvs_audit_verifier *verifier;
    uint64_t number; // of the line, from 1
    bool ended;      // a checkpoint has been seen
};

// False at the end. *ret_err: whether the line could be parsed.
static bool read_line(struct reading *reading, int *ret_err)
{
    struct kvs_slice text;
    if (!reading->lines->next_line(reading->lines->ctx, &text))
        return false;
    reading->number++;
    kvs_arena_reset(&reading->arena);
    *ret_err = kvs_audit_line_parse(text, &reading->arena, &reading->line);
    return true;
}

static void start(struct reading *reading)
{
    reading->lines->rewind(reading->lines->ctx);
    reading->number = 0;
}

static int read_header(struct reading *reading, const struct kvs_audit_verify_options *options,
                       struct kvs_message *ret_message)
{
    int err = 0;
    start(reading);
    if (!read_line(reading, &err))
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "this is no export of an audit log: it is empty");
    if (err == KVS_ERR_VERSION)
        return kvs_fail(ret_message, err, "the export was made by a newer release");
    if (err == KVS_ERR_NOMEM)
        return kvs_fail(ret_message, err, "out of memory");
    if (err || reading->line.kind != KVS_AUDIT_LINE_HEADER)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "this is no export of an audit log: line 1 is not its header, or it was "
                        "changed");
    err = kvs_audit_verifier_new(&reading->line.header, options, &reading->verifier);
    return err ? kvs_fail(ret_message, err, "%s", kvs_err_text(err)) : 0;
}

// Roots and breaks, and the checkpoint behind them. A line that cannot be parsed is judged in the
// second pass, where its place among the entries is known; if it was a root, that one is missing.
static int read_seals(struct reading *reading)
{
    int err = 0;
    while (read_line(reading, &err)) {
        if (err == KVS_ERR_NOMEM)
            return err;
        if (err || reading->line.kind != KVS_AUDIT_LINE_SEAL)
            continue;
        if (reading->line.seal.kind == KVS_AUDIT_CHECKPOINT)
            kvs_audit_verifier_checkpoint(reading->verifier, &reading->line.seal);
        else
            kvs_audit_verifier_seal(reading->verifier, &reading->line.seal);
    }
    return 0;
}

static void read_entry(struct reading *reading)
{
    kvs_buf_clear(&reading->encoded);
    kvs_audit_entry_encode_signed(&reading->encoded, &reading->line.entry);
    kvs_audit_entry_encode_signature(&reading->encoded, &reading->line.entry);
    kvs_audit_verifier_entry(reading->verifier, reading->line.entry.seq,
                             kvs_buf_slice(&reading->encoded));
}

static int read_rest(struct reading *reading)
{
    int err = 0;
    start(reading);
    (void)read_line(reading, &err); // the header, once more
    while (read_line(reading, &err)) {
        if (err == KVS_ERR_NOMEM)
            return err;
        if (err)
            kvs_audit_verifier_fail(reading->verifier, "line %" PRIu64 " cannot be read",
                                    reading->number);
        else if (reading->ended)
            kvs_audit_verifier_fail(reading->verifier,
                                    "line %" PRIu64 " stands behind the checkpoint",
                                    reading->number);
        else if (reading->line.kind == KVS_AUDIT_LINE_ENTRY)
            read_entry(reading);
        else if (reading->line.kind == KVS_AUDIT_LINE_SEAL)
            kvs_audit_verifier_place(reading->verifier, &reading->line.seal);
        else
            kvs_audit_verifier_fail(reading->verifier, "line %" PRIu64 " is a second header",
                                    reading->number);
        reading->ended = reading->ended || (!err && reading->line.kind == KVS_AUDIT_LINE_SEAL &&
                                            reading->line.seal.kind == KVS_AUDIT_CHECKPOINT);
    }
    return 0;
}

int kvs_audit_verify_export(const struct kvs_audit_lines *lines,
                            const struct kvs_audit_verify_options *options,
                            struct kvs_audit_report *ret_report, struct kvs_message *ret_message)
{
    struct reading reading = {.lines = lines, .encoded = KVS_BUF_INIT(KVS_AUDIT_EXPORT_LINE_MAX)};
    kvs_arena_init(&reading.arena, ARENA_MAX);
    int err = read_header(&reading, options, ret_message);
    if (!err) {
        err = read_seals(&reading);
        if (!err)
            err = read_rest(&reading);
        int last = kvs_audit_verifier_finish(reading.verifier, ret_report);
        err = err ? err : last;
        if (err)
            (void)kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    }
    kvs_audit_verifier_free(reading.verifier);
    kvs_buf_done(&reading.encoded);
    kvs_arena_done(&reading.arena);
    return err;
}
