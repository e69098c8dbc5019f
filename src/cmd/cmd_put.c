// SPDX-License-Identifier: Apache-2.0
// `kvs put`: store one value. What is no JSON is refused here, with what to do about it.
#include <inttypes.h>

#include "base/utf8.h"
#include "cmd/client_args.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "cmd/written.h"
#include "codec/json.h"

enum { VALUE_SIZE_MAX = 64 << 20, JSON_SIZE_MAX = 128 << 20, QUOTED_COLUMNS = 40 };

static bool is_utf8(struct kvs_slice text)
{
    const char *end = text.data + text.size;
    size_t size;
    for (const char *p = text.data; p < end; p += size) {
        if (!kvs_utf8_step(p, end, &size))
            return false;
    }
    return true;
}

static int refuse(const struct kvs_args *args, struct kvs_slice text,
                  const struct kvs_json_error *error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf shown = KVS_BUF_INIT(VALUE_SIZE_MAX);
    kvs_show_start(&shown, text, QUOTED_COLUMNS);
    return kvs_cmd_usage_error(args->command,
                               "'%.*s' is no JSON (line %" PRIu32 ", column %" PRIu32
                               ": %s); to store it as a string add --string",
                               KVS_SLICE_FMT(kvs_buf_slice(&shown)), error->line, error->column,
                               error->reason);
}

// The JSON to store.
static int read_value(const struct kvs_args *args, struct kvs_buf *ret_json)
{
    struct kvs_json_error error;
    if (!kvs_args_flag(args, "string")) {
        int code = kvs_cmd_read_operand(args, "a value", "VALUE", ret_json);
        if (code == KVS_EXIT_OK && kvs_json_validate(kvs_buf_slice(ret_json), &error) < 0)
            code = refuse(args, kvs_buf_slice(ret_json), &error);
        return code;
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(VALUE_SIZE_MAX);
    int code = kvs_cmd_read_operand(args, "a value", "VALUE", &text);
    if (code != KVS_EXIT_OK)
        return code;
    if (!is_utf8(kvs_buf_slice(&text)))
        return kvs_cmd_usage_error(args->command, "the value is no UTF-8 text");
    kvs_json_write_string(ret_json, kvs_buf_slice(&text));
    return KVS_EXIT_OK;
}

static int run_put(const struct kvs_args *args)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf json = KVS_BUF_INIT(JSON_SIZE_MAX);
    struct kvs_client *client = NULL;
    struct kvs_client_receipt receipt;
    struct kvs_client_put_options options;
    int code = kvs_cmd_put_options_read(args, &receipt, &options);
    options.if_none_match = kvs_args_flag(args, "if-none-match");
    if (code == KVS_EXIT_OK)
        code = read_value(args, &json);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_version version;
    struct kvs_client_error error;
    bool created = false;
    if (kvs_client_put(client, args->operands[0], json.data, json.size, &options, &version,
                       &created, &error) == KVS_CLIENT_OK)
        code = kvs_cmd_show_written(
            args,
            &(struct kvs_cmd_written){.done = created ? "created" : "replaced",
                                      .detail = "",
                                      .json = created ? ",\"created\":true" : ",\"created\":false",
                                      .version = &version,
                                      .receipt = &receipt});
    else
        code = kvs_cmd_client_error(&error);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_receipt_check(&receipt, "stored");
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option put_options[] = {
    {"string", 's', NULL, "Store the value as a JSON string, whatever it looks like"},
    {"ttl", 0, "DURATION", "Let it expire: 30s, 1h30m; 0: never (the node's default_ttl)"},
    {"if-match", 0, "UUID", "Only over this version; '*': only over some version"},
    {"if-none-match", 0, NULL, "Only where nothing is"},
    KVS_CMD_RECEIPT_OPTIONS,
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_put = {
    .run = run_put,
    .options = put_options,
    .details =
        "VALUE is JSON; @FILE takes it from a file, - (or no VALUE) from stdin. A value that\n"
        "begins with a dash stands behind --. An object with exactly the members data and\n"
        "ttl sets both, unless --ttl is given. Prints the new version's UUID.\n"
        "Exit code 5 when --if-match or --if-none-match did not hold; 9 when it was stored, but\n"
        "fewer than --nodes had it in time.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs put greeting '{\"hello\":\"world\"}'\n"
        "  kvs put greeting hello --string\n"
        "  kvs put session/7 @session.json --ttl 30m\n"
        "  kvs put temperature -- -5\n"
        "  kvs put order/17 @order.json --nodes 2 --wait 2s\n"
        "  date +%s | kvs put last-run\n",
};
