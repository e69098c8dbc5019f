// SPDX-License-Identifier: Apache-2.0
// `kvs batch`: up to a thousand operations in one commit of the node.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "codec/json.h"

enum { INPUT_SIZE_MAX = 256 << 20, SHOWN_SIZE_MAX = 1 << 30, ARENA_PER_BYTE = 48 };

struct batch {
    const struct kvs_args *args;
    struct kvs_arena arena;
    struct kvs_client_operation operations[KVS_CLIENT_BATCH_MAX];
    size_t count;
    struct kvs_client_receipt receipt;
};

static const char *const op_names[] = {
    [KVS_CLIENT_OPERATION_GET] = "get",
    [KVS_CLIENT_OPERATION_PUT] = "put",
    [KVS_CLIENT_OPERATION_DELETE] = "delete",
};

// ---- Reading

static int fail_operation(const struct batch *batch, const char *why, const char *name)
{
    return kvs_cmd_usage_error(batch->args->command, "operation %zu: %s%s", batch->count + 1, why,
                               name);
}

static bool read_kind(const char *text, enum kvs_client_operation_kind *ret_kind)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(op_names); i++) {
        if (strcmp(text, op_names[i]) == 0) {
            *ret_kind = (enum kvs_client_operation_kind)i;
            return true;
        }
    }
    return false;
}

static int read_member(struct batch *batch, const struct kvs_json *member,
                       struct kvs_client_operation *operation, bool *has_op)
{
    struct kvs_slice name;
    struct kvs_slice text = KVS_SLICE_EMPTY;
    if (kvs_json_key(member, &batch->arena, &name) < 0)
        return fail_operation(batch, "out of memory", "");
    if (kvs_slice_eq(name, KVS_SLICE("data"))) {
        operation->json = member->source.data;
        operation->json_size = member->source.size;
        return KVS_EXIT_OK;
    }
    if (member->type == KVS_JSON_STRING && (kvs_json_string(member, &batch->arena, &text) < 0 ||
                                            !(text = kvs_arena_copy(&batch->arena, text)).data))
        return fail_operation(batch, "out of memory", "");
    if (!text.data || memchr(text.data, 0, text.size))
        return fail_operation(batch, "op, path, ttl and if_match are strings", "");
    if (kvs_slice_eq(name, KVS_SLICE("path")))
        operation->key = text.data;
    else if (kvs_slice_eq(name, KVS_SLICE("ttl")))
        operation->ttl = text.data;
    else if (kvs_slice_eq(name, KVS_SLICE("if_match")))
        operation->if_match = text.data;
    else if (!kvs_slice_eq(name, KVS_SLICE("op")))
        return fail_operation(batch, "there is no such member as ",
                              kvs_arena_copy(&batch->arena, name).data);
    else if (!read_kind(text.data, &operation->kind))
        return fail_operation(batch, "op is get, put or delete, not ", text.data);
    else
        *has_op = true;
    return KVS_EXIT_OK;
}

static int read_operation(struct batch *batch, const struct kvs_json *value)
{
    struct kvs_client_operation operation = {0};
    bool has_op = false;
    if (value->type != KVS_JSON_OBJECT)
        return fail_operation(batch, "no object", "");
    if (batch->count == KVS_CLIENT_BATCH_MAX)
        return kvs_cmd_usage_error(batch->args->command,
                                   "more than %d operations: one commit holds no more ('kvs "
                                   "import' stores any number of records)",
                                   KVS_CLIENT_BATCH_MAX);
    for (const struct kvs_json *member = value->child; member; member = member->next) {
        int code = read_member(batch, member, &operation, &has_op);
        if (code != KVS_EXIT_OK)
            return code;
    }
    if (!has_op)
        return fail_operation(batch, "op is missing", "");
    batch->operations[batch->count++] = operation;
    return KVS_EXIT_OK;
}

static int parse(struct batch *batch, struct kvs_slice text, struct kvs_json **ret_root,
                 uint64_t line)
{
    struct kvs_json_error error;
    int err = kvs_json_parse(text, KVS_JSON_UNIQUE_KEYS, &batch->arena, ret_root, &error);
    if (err == KVS_ERR_NOMEM) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    return err ? kvs_cmd_usage_error(batch->args->command,
                                     "no JSON: line %" PRIu64 ", column %" PRIu32 ": %s",
                                     line + error.line - 1, error.column, error.reason)
               : KVS_EXIT_OK;
}

static int read_array(struct batch *batch, struct kvs_slice text)
{
    struct kvs_json *root = NULL;
    int code = parse(batch, text, &root, 1);
    for (const struct kvs_json *each = code == KVS_EXIT_OK ? root->child : NULL;
         each && code == KVS_EXIT_OK; each = each->next)
        code = read_operation(batch, each);
    return code;
}

static int read_lines(struct batch *batch, struct kvs_slice text)
{
    int code = KVS_EXIT_OK;
    for (uint64_t line = 1; code == KVS_EXIT_OK && text.size > 0; line++) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        struct kvs_slice one = kvs_slice(text.data, size);
        struct kvs_json *root = NULL;
        if (one.size > 0 && one.data[one.size - 1] == '\r')
            one.size--;
        if (kvs_slice_trim(one).size > 0) {
            code = parse(batch, one, &root, line);
            if (code == KVS_EXIT_OK)
                code = read_operation(batch, root);
        }
        size_t used = size + (end != NULL);
        text = kvs_slice(text.data + used, text.size - used);
    }
    return code;
}

static int read_batch(struct batch *batch, struct kvs_slice text)
{
    struct kvs_slice start = text;
    while (start.size > 0 && strchr(" \t\r\n", start.data[0]))
        start = kvs_slice(start.data + 1, start.size - 1);
    int code =
        start.size > 0 && start.data[0] == '[' ? read_array(batch, text) : read_lines(batch, text);
    if (code == KVS_EXIT_OK && batch->count == 0)
        return kvs_cmd_usage_error(batch->args->command, "there are no operations");
    return code;
}

// ---- Showing

static void show_result(struct kvs_buf *out, bool json,
                        const struct kvs_client_operation *operation,
                        const struct kvs_client_result *result)
{
    struct kvs_slice key = kvs_slice_from_str(operation->key);
    if (!json) {
        kvs_buf_printf(out, "%s ", op_names[operation->kind]);
        kvs_show_text(out, key);
        kvs_buf_append_str(out, result->code == KVS_CLIENT_OK ? "  " : "  failed: ");
        if (result->code != KVS_CLIENT_OK)
            kvs_show_text(out, kvs_slice_from_str(result->message));
        else if (result->json)
            kvs_show_text(out, kvs_slice(result->json, result->json_size));
        else
            kvs_buf_append_str(out, result->version.uuid[0] ? result->version.uuid : "done");
        kvs_buf_append_char(out, '\n');
        return;
    }
    kvs_buf_printf(out, "{\"op\":\"%s\",\"path\":", op_names[operation->kind]);
    kvs_json_write_string(out, key);
    kvs_buf_printf(out, ",\"status\":%d", result->http_status);
    if (result->version.uuid[0])
        kvs_buf_printf(out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64, result->version.uuid,
                       result->version.timestamp_ms);
    if (result->json) {
        kvs_buf_append_str(out, ",\"data\":");
        kvs_buf_append(out, result->json, result->json_size);
    }
    if (result->code != KVS_CLIENT_OK) {
        kvs_buf_append_str(out, ",\"detail\":");
        kvs_json_write_string(out, kvs_slice_from_str(result->message));
    }
    kvs_buf_append_str(out, "}\n");
}

static int show(const struct batch *batch, const struct kvs_client_results *results)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(SHOWN_SIZE_MAX);
    bool json = kvs_cmd_output(batch->args) == KVS_CMD_OUTPUT_JSON;
    bool all = true;
    for (size_t i = 0; i < batch->count; i++) {
        show_result(&out, json, &batch->operations[i], &results->results[i]);
        all = all && results->results[i].code == KVS_CLIENT_OK;
    }
    int code = kvs_cmd_print(&out);
    if (code == KVS_EXIT_OK && !all) {
        kvs_cmd_error("some operations failed");
        return KVS_EXIT_PARTIAL;
    }
    return code;
}

// A batch that wrote nothing has nothing to wait for.
static int check_receipt(const struct batch *batch, const struct kvs_client_results *results,
                         int code)
{
    bool wrote = false;
    for (size_t i = 0; i < batch->count; i++)
        wrote |= batch->operations[i].kind != KVS_CLIENT_OPERATION_GET &&
                 results->results[i].code == KVS_CLIENT_OK;
    int waited = wrote ? kvs_cmd_receipt_check(&batch->receipt, "stored") : KVS_EXIT_OK;
    return waited == KVS_EXIT_OK ? code : waited;
}

static int send(struct batch *batch)
{
    struct kvs_client *client = NULL;
    int code = kvs_cmd_client_open(batch->args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_results results;
    struct kvs_client_error error;
    if (kvs_client_batch_receipt(client, batch->operations, batch->count, &batch->receipt, &results,
                                 &error) == KVS_CLIENT_OK) {
        code = show(batch, &results);
        if (code == KVS_EXIT_OK || code == KVS_EXIT_PARTIAL)
            code = check_receipt(batch, &results, code);
        kvs_client_results_done(&results);
    } else {
        code = kvs_cmd_client_error(&error);
    }
    kvs_client_free(client);
    return code;
}

static int run_batch(const struct kvs_args *args)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(INPUT_SIZE_MAX);
    const char *path = args->operand_count > 0 ? args->operands[0] : "-";
    if (args->operand_count == 0 && isatty(STDIN_FILENO))
        return kvs_cmd_usage_error(args->command, "operations are missing: give a FILE, or stdin");
    int code = kvs_cmd_read_file(path, &text);
    if (code != KVS_EXIT_OK)
        return code;
    struct batch *batch = calloc(1, sizeof(*batch));
    if (!batch) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    batch->args = args;
    kvs_arena_init(&batch->arena, (1 << 20) + ARENA_PER_BYTE * text.size);
    code = kvs_cmd_receipt_read(args, &batch->receipt);
    if (code == KVS_EXIT_OK)
        code = read_batch(batch, kvs_buf_slice(&text));
    if (code == KVS_EXIT_OK)
        code = send(batch);
    kvs_arena_done(&batch->arena);
    free(batch);
    return code;
}

static const struct kvs_cmd_option batch_options[] = {
    KVS_CMD_RECEIPT_OPTIONS,
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_batch = {
    .run = run_batch,
    .options = batch_options,
    .details =
        "Sends up to 1000 operations at once; the node does them in one commit, in their order,\n"
        "each with its own result. FILE (or stdin) holds one object a line, or an array of them:\n"
        "op (get, put or delete), path, data, ttl, if_match.\n"
        "Exit code 9 when some of them failed, or fewer than --nodes had all that was written in\n"
        "time; 2 when nothing was sent.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs batch ops.ndjson\n"
        "  printf '%s\\n' '{\"op\":\"put\",\"path\":\"a\",\"data\":1}'"
        " '{\"op\":\"delete\",\"path\":\"b\"}' | kvs batch\n",
};
