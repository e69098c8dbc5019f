// SPDX-License-Identifier: Apache-2.0
// `kvs audit verify`: an export, a stopped node's data directory, a running node or a proof. What
// it finds goes to stdout; exit code 11 says that the log or the proof does not hold.
#include "cmd/audit_cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/proof.h"
#include "audit/verify_store.h"
#include "codec/json.h"
#include "store/store.h"

struct expected {
    struct kvs_audit_public key;
    struct kvs_audit_pin pin;
    struct kvs_audit_verify_options options;
};

// --key HEX and --root SIZE:HEX.
static int read_expected(const struct kvs_args *args, struct expected *ret_expected)
{
    const char *key = kvs_args_value(args, "key");
    const char *root = kvs_args_value(args, "root");
    *ret_expected = (struct expected){0};
    if (key) {
        if (!kvs_audit_hex_parse(kvs_slice_from_str(key), ret_expected->key.bytes,
                                 sizeof(ret_expected->key.bytes)))
            return kvs_cmd_usage_error(
                args->command, "--key '%s' is no public key of 64 digits and letters a-f", key);
        ret_expected->options.key = &ret_expected->key;
    }
    const char *colon = root ? strchr(root, ':') : NULL;
    if (root) {
        bool good =
            colon &&
            kvs_slice_to_u64(kvs_slice(root, (size_t)(colon - root)), &ret_expected->pin.size) &&
            ret_expected->pin.size > 0 &&
            kvs_audit_hex_parse(kvs_slice_from_str(colon + 1), ret_expected->pin.root.bytes,
                                sizeof(ret_expected->pin.root.bytes));
        if (!good)
            return kvs_cmd_usage_error(
                args->command, "--root '%s' is not SIZE:HASH as 'kvs audit roots' prints it", root);
        ret_expected->options.pins = &ret_expected->pin;
        ret_expected->options.pin_count = 1;
    }
    return KVS_EXIT_OK;
}

// ---- What was found

static void report_as_json(struct kvs_buf *out, const struct kvs_audit_report *report)
{
    kvs_buf_printf(out, "{\"good\":%s,\"first_bad\":", report->good ? "true" : "false");
    if (report->good || report->bad_seq == 0)
        kvs_buf_append_str(out, "null");
    else
        kvs_buf_append_u64(out, report->bad_seq);
    kvs_buf_append_str(out, ",\"message\":");
    kvs_json_write_string(out, kvs_slice_from_str(report->message.text));
    kvs_buf_printf(out,
                   ",\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"sealed\":%" PRIu64
                   ",\"roots\":%" PRIu64 ",\"breaks\":%" PRIu64 "}\n",
                   report->first, report->last, report->sealed, report->roots, report->breaks);
}

static void report_for_people(struct kvs_buf *out, const struct kvs_audit_report *report,
                              bool is_store)
{
    if (!report->good && report->bad_seq > 0)
        kvs_buf_printf(out, "BAD: first bad entry %" PRIu64 ": %s\n", report->bad_seq,
                       report->message.text);
    else if (!report->good)
        kvs_buf_printf(out, "BAD: %s\n", report->message.text);
    else if (report->last < report->first)
        kvs_buf_append_str(out, "good: no entries yet\n");
    else if (report->roots == 0)
        kvs_buf_printf(out, "good: entries %" PRIu64 " to %" PRIu64 ", no signed root yet\n",
                       report->first, report->last);
    else
        kvs_buf_printf(out,
                       "good: entries %" PRIu64 " to %" PRIu64 ", signed roots: %" PRIu64
                       ", the last over %" PRIu64 " entries\n",
                       report->first, report->last, report->roots, report->sealed);
    if (report->breaks > 0)
        kvs_buf_printf(out,
                       "note: the log went on with a new key %" PRIu64 " times, the last time "
                       "behind entry %" PRIu64 ": nothing but the chain vouches for what lay "
                       "between the root before that and it\n",
                       report->breaks, report->break_size);
    if (report->good && is_store && !report->open_checked && report->last > report->sealed)
        kvs_buf_printf(out,
                       "note: without the key file nothing but the chain vouches for the entries "
                       "behind %" PRIu64 "\n",
                       report->sealed);
}

static int show_report(const struct kvs_args *args, const struct kvs_audit_report *report,
                       bool is_store)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON)
        report_as_json(&out, report);
    else
        report_for_people(&out, report, is_store);
    int code = kvs_cmd_print(&out);
    if (code == KVS_EXIT_OK && !report->good)
        code = KVS_EXIT_TAMPERED;
    return code;
}

// ---- Exports

struct file_lines {
    FILE *file;
    char *line;
    size_t capacity;
};

static bool next_line(void *ctx, struct kvs_slice *ret_line)
{
    struct file_lines *lines = ctx;
    ssize_t size = getline(&lines->line, &lines->capacity, lines->file);
    if (size <= 0)
        return false;
    if (lines->line[size - 1] == '\n')
        size--;
    *ret_line = kvs_slice(lines->line, (size_t)size);
    return true;
}

static void rewind_lines(void *ctx)
{
    rewind(((struct file_lines *)ctx)->file);
}

static int verify_file(const struct kvs_args *args, const struct expected *expected, FILE *file)
{
    struct file_lines state = {.file = file};
    const struct kvs_audit_lines lines = {next_line, rewind_lines, &state};
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    int err = kvs_audit_verify_export(&lines, &expected->options, &report, &message);
    free(state.line);
    if (err || ferror(file)) {
        kvs_cmd_error("%s", err ? message.text : strerror(errno));
        return KVS_EXIT_FAILED;
    }
    return show_report(args, &report, false);
}

static int verify_stdin(const struct kvs_args *args, const struct expected *expected, FILE *spool)
{
    static char part[64 << 10];
    size_t size;
    while ((size = fread(part, 1, sizeof(part), stdin)) > 0)
        if (fwrite(part, 1, size, spool) != size)
            break;
    if (ferror(stdin) || ferror(spool) || fflush(spool) != 0) {
        kvs_cmd_error("cannot read the export: %s", strerror(errno));
        return KVS_EXIT_FAILED;
    }
    return verify_file(args, expected, spool);
}

static int verify_node(const struct kvs_args *args, const struct expected *expected, FILE *spool)
{
    struct kvs_client *client = NULL;
    int code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = kvs_audit_fetch_export(client, 1, spool);
    kvs_client_free(client);
    return code == KVS_EXIT_OK ? verify_file(args, expected, spool) : code;
}

// What cannot be read twice goes through a file without a name.
static int verify_spooled(const struct kvs_args *args, const struct expected *expected,
                          int (*verify)(const struct kvs_args *, const struct expected *, FILE *))
{
    FILE *spool = tmpfile();
    if (!spool) {
        kvs_cmd_error("cannot create a temporary file: %s", strerror(errno));
        return KVS_EXIT_FAILED;
    }
    int code = verify(args, expected, spool);
    (void)fclose(spool); // gone with it
    return code;
}

// ---- Data directories

static int verify_store(const struct kvs_args *args, const struct expected *expected,
                        const char *path, const char *key_path)
{
    const struct kvs_store_options options = {.path = path, .compression = true};
    KVS_CLEANUP(kvs_store_closep) struct kvs_store *store = NULL;
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    int err = kvs_store_open(&options, &store, &message);
    if (!err)
        err = kvs_audit_verify_store(store, key_path, &expected->options, &report, &message);
    if (err) {
        kvs_cmd_error("%s: %s", path, message.text);
        return KVS_EXIT_FAILED;
    }
    return show_report(args, &report, true);
}

static int verify_directory(const struct kvs_args *args, const struct expected *expected,
                            const char *path)
{
    const char *given = kvs_args_value(args, "key-file");
    KVS_CLEANUP(kvs_freep) char *format = NULL;
    KVS_CLEANUP(kvs_freep) char *beside = NULL;
    if (asprintf(&format, "%s/FORMAT", path) < 0 || asprintf(&beside, "%s/audit.key", path) < 0) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    if (access(format, F_OK) != 0) { // opening would make it one
        kvs_cmd_error("%s is no data directory of a node", path);
        return KVS_EXIT_FAILED;
    }
    if (!given && access(beside, F_OK) == 0)
        given = beside;
    return verify_store(args, expected, path, given);
}

// ---- Proofs

static int show_proof(const struct kvs_args *args, const struct kvs_audit_proof *proof,
                      enum kvs_audit_trust trust, const struct kvs_message *message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(256);
    bool known = trust == KVS_AUDIT_PROOF_GOOD;
    const struct kvs_audit_public *shown =
        known ? &proof->log.genesis.public_key : &proof->seal_key;
    kvs_audit_hex_append(&key, shown->bytes, sizeof(shown->bytes));
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON) {
        kvs_buf_printf(
            &out, "{\"good\":%s,\"message\":", trust == KVS_AUDIT_PROOF_BAD ? "false" : "true");
        kvs_json_write_string(&out, kvs_slice_from_str(message->text));
        kvs_buf_printf(&out, ",\"%s\":\"%.*s\"}\n", known ? "key" : "seal_key",
                       KVS_SLICE_FMT(kvs_buf_slice(&key)));
    } else if (trust == KVS_AUDIT_PROOF_BAD) {
        kvs_buf_printf(&out, "BAD: %s\n", message->text);
    } else {
        kvs_buf_printf(&out, "good: %s\n%s %.*s\n", message->text,
                       known ? "if this is the log's key:" : "if this is the key of the epoch:",
                       KVS_SLICE_FMT(kvs_buf_slice(&key)));
    }
    int code = kvs_cmd_print(&out);
    return code == KVS_EXIT_OK && trust == KVS_AUDIT_PROOF_BAD ? KVS_EXIT_TAMPERED : code;
}

static int verify_proof(const struct kvs_args *args, const struct expected *expected,
                        const char *path)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(KVS_AUDIT_PROOF_SIZE_MAX);
    int code = kvs_cmd_read_file(path, &text);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_slice json = kvs_buf_slice(&text);
    while (json.size > 0 && json.data[json.size - 1] == '\n')
        json.size--;
    struct kvs_arena arena;
    kvs_arena_init(&arena, 4UL * KVS_AUDIT_PROOF_SIZE_MAX);
    struct kvs_audit_proof *proof = kvs_arena_alloc(&arena, sizeof(*proof));
    enum kvs_audit_trust trust = KVS_AUDIT_PROOF_BAD;
    struct kvs_message message = {{0}};
    int err = proof ? kvs_audit_proof_parse(json, &arena, proof) : KVS_ERR_NOMEM;
    if (err)
        (void)kvs_fail(&message, err, "%s is no proof of an audit log, or was changed: %s", path,
                       kvs_err_text(err));
    else
        err = kvs_audit_proof_check(proof, &expected->options, &trust, &message);
    if (err) {
        kvs_cmd_error("%s", message.text);
        code = err == KVS_ERR_NOMEM ? KVS_EXIT_FAILED : KVS_EXIT_TAMPERED;
    } else {
        code = show_proof(args, proof, trust, &message);
    }
    kvs_arena_done(&arena);
    return code;
}

// ---- The command

static int verify_path(const struct kvs_args *args, const struct expected *expected,
                       const char *path)
{
    struct stat status;
    if (kvs_args_flag(args, "proof"))
        return verify_proof(args, expected, path);
    if (strcmp(path, "-") == 0)
        return verify_spooled(args, expected, verify_stdin);
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return verify_directory(args, expected, path);
    FILE *file = fopen(path, "re");
    if (!file) {
        kvs_cmd_error("cannot open %s: %s", path, strerror(errno));
        return KVS_EXIT_FAILED;
    }
    int code = verify_file(args, expected, file);
    (void)fclose(file); // only read from
    return code;
}

int kvs_audit_run_verify(const struct kvs_args *args)
{
    struct expected expected;
    int code = read_expected(args, &expected);
    if (code != KVS_EXIT_OK)
        return code;
    if (args->operand_count == 2)
        return verify_path(args, &expected, args->operands[1]);
    if (kvs_args_flag(args, "proof"))
        return kvs_cmd_usage_error(args->command, "verify --proof takes the proof's file");
    return verify_spooled(args, &expected, verify_node);
}
