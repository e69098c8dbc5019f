// SPDX-License-Identifier: Apache-2.0
// `kvs patch`: change a part of a value.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "cmd/written.h"
#include "codec/json.h"

enum { PATCH_SIZE_MAX = 64 << 20, QUOTED_COLUMNS = 40 };

static int read_patch(const struct kvs_args *args, struct kvs_buf *ret_json)
{
    int code = kvs_cmd_read_operand(args, "a patch", "PATCH", ret_json);
    struct kvs_json_error error;
    if (code == KVS_EXIT_OK && kvs_json_validate(kvs_buf_slice(ret_json), &error) < 0) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf shown = KVS_BUF_INIT(PATCH_SIZE_MAX);
        kvs_show_start(&shown, kvs_buf_slice(ret_json), QUOTED_COLUMNS);
        return kvs_cmd_usage_error(
            args->command, "'%.*s' is no JSON (line %" PRIu32 ", column %" PRIu32 ": %s)",
            KVS_SLICE_FMT(kvs_buf_slice(&shown)), error.line, error.column, error.reason);
    }
    return code;
}

// A JSON patch is an array. A merge patch that is one would replace the whole value: that is a put.
static int choose_kind(const struct kvs_args *args, struct kvs_slice json,
                       enum kvs_client_patch *ret_kind)
{
    while (json.size > 0 && strchr(" \t\r\n", json.data[0]))
        json = kvs_slice(json.data + 1, json.size - 1);
    bool is_array = json.size > 0 && json.data[0] == '[';
    bool is_object = json.size > 0 && json.data[0] == '{';
    if (!is_array && !is_object)
        return kvs_cmd_usage_error(args->command,
                                   "a patch is an object (merge patch) or an array of operations "
                                   "(JSON patch); to replace the whole value use 'kvs put'");
    *ret_kind = is_array ? KVS_CLIENT_JSON_PATCH : KVS_CLIENT_MERGE_PATCH;
    return KVS_EXIT_OK;
}

static int run_patch(const struct kvs_args *args)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf json = KVS_BUF_INIT(PATCH_SIZE_MAX);
    enum kvs_client_patch kind = KVS_CLIENT_MERGE_PATCH;
    struct kvs_client *client = NULL;
    struct kvs_client_receipt receipt;
    struct kvs_client_put_options options;
    int code = kvs_cmd_put_options_read(args, &receipt, &options);
    if (code == KVS_EXIT_OK)
        code = read_patch(args, &json);
    if (code == KVS_EXIT_OK)
        code = choose_kind(args, kvs_buf_slice(&json), &kind);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_version version;
    struct kvs_client_error error;
    if (kvs_client_patch(client, args->operands[0], kind, json.data, json.size, &options, &version,
                         &error) == KVS_CLIENT_OK)
        code = kvs_cmd_show_written(args, &(struct kvs_cmd_written){.done = "patched",
                                                                    .detail = "",
                                                                    .json = "",
                                                                    .version = &version,
                                                                    .receipt = &receipt});
    else
        code = kvs_cmd_client_error(&error);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_receipt_check(&receipt, "patched");
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option patch_options[] = {
    {"ttl", 0, "DURATION", "Let it expire: 30s, 1h30m; 0: never (default: as it would have)"},
    {"if-match", 0, "UUID", "Only this version; '*': whatever version is there"},
    KVS_CMD_RECEIPT_OPTIONS,
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_patch = {
    .run = run_patch,
    .options = patch_options,
    .details =
        "Changes a part of a value, in one step on the node; what the patch does not name stays\n"
        "byte for byte. PATCH is an object whose members replace those of the value, null\n"
        "removing one (a merge patch, RFC 7396), or an array of operations (a JSON patch, RFC\n"
        "6902); @FILE takes it from a file, - (or no PATCH) from stdin. Prints the new\n"
        "version's UUID.\n"
        "Exit code 4 where there is nothing under KEY, 5 when --if-match did not hold, 1 when the\n"
        "patch does not fit the value, 9 when fewer than --nodes had it in time.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs patch app/config '{\"theme\":\"light\",\"beta\":null}'\n"
        "  kvs patch queue '[{\"op\":\"add\",\"path\":\"/-\",\"value\":\"job 7\"}]'\n"
        "  kvs patch counter '[{\"op\":\"test\",\"path\":\"\",\"value\":1},"
        "{\"op\":\"replace\",\"path\":\"\",\"value\":2}]'\n",
};
