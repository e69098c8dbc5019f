// SPDX-License-Identifier: Apache-2.0
// `kvs delete`: delete one record.
#include "cmd/client_args.h"
#include "cmd/show.h"
#include "codec/json.h"

static int show(const struct kvs_args *args)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    struct kvs_slice key = kvs_slice_from_str(args->operands[0]);
    switch (kvs_cmd_output(args)) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, key);
        kvs_buf_append_str(&out, ",\"deleted\":true}\n");
        break;
    case KVS_CMD_OUTPUT_HUMAN:
        kvs_buf_append_str(&out, "deleted ");
        kvs_show_text(&out, key);
        kvs_buf_append_char(&out, '\n');
        break;
    case KVS_CMD_OUTPUT_PLAIN:
        break;
    }
    return kvs_cmd_print(&out);
}

static int run_delete(const struct kvs_args *args)
{
    struct kvs_client *client = NULL;
    int code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_error error;
    if (kvs_client_delete(client, args->operands[0], kvs_args_value(args, "if-match"), &error) ==
        KVS_CLIENT_OK)
        code = show(args);
    else
        code = kvs_cmd_client_error(&error);
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option delete_options[] = {
    {"if-match", 0, "UUID", "Only this version"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_delete = {
    .run = run_delete,
    .options = delete_options,
    .details = "Its earlier versions stay in the history for a while: 'kvs get KEY --rev 2'.\n"
               "Exit code 4 where there is nothing under KEY, 5 when --if-match did not hold.\n"
               "\n" KVS_CMD_CLIENT_DETAILS "\n"
               "Examples:\n"
               "  kvs delete greeting\n",
};
