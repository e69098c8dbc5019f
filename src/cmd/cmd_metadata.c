// SPDX-License-Identifier: Apache-2.0
// `kvs metadata`: a key's owner, group and permissions.
#include <stdio.h>
#include <string.h>

#include "cmd/account_cmd.h"
#include "codec/http.h"
#include "codec/record.h"

enum { TEXT_SIZE_MAX = 16 << 10, BITS = 12 };

// Without accounts KEY/metadata is the path of a plain record, which must be neither written nor
// deleted in the belief that it were metadata. A method that no route of accounts knows is a 405
// where they exist, whatever the token may do; a node's, not that of a proxy which lets it not
// through.
static int require_accounts(struct kvs_account_cmd *cmd)
{
    struct kvs_client_response response;
    struct kvs_client_error error;
    enum kvs_client_code code =
        kvs_client_request(cmd->client, "PATCH", "/api/users", NULL, NULL, 0, &response, &error);
    if (code == KVS_CLIENT_OK)
        kvs_client_response_done(&response);
    else if (error.http_status != 405 || !error.problem[0])
        return kvs_cmd_client_error(&error);
    return KVS_EXIT_OK;
}

static int target_of(struct kvs_account_cmd *cmd, struct kvs_buf *ret_target)
{
    const char *reason = NULL;
    struct kvs_slice key = kvs_slice_from_str(cmd->operands[0]);
    if (!kvs_key_is_valid(key, &reason))
        return kvs_cmd_usage_error(cmd->args->command, "bad key: %s", reason);
    kvs_buf_append_str(ret_target, "/kv/");
    kvs_percent_encode(ret_target, key, true);
    kvs_buf_append_str(ret_target, "/metadata");
    kvs_buf_append_char(ret_target, '\0');
    return ret_target->err ? KVS_EXIT_FAILED : require_accounts(cmd);
}

// "cdwr--wr---r": owner, group, others, each create, delete, write, read.
static void format_bits(int64_t permissions, char ret_text[static BITS + 1])
{
    for (int i = 0; i < BITS; i++)
        ret_text[i] = permissions >> (BITS - 1 - i) & 1 ? "cdwr"[i % 4] : '-';
    ret_text[BITS] = '\0';
}

static bool parse_bits(const char *text, int64_t *ret_permissions)
{
    *ret_permissions = 0;
    if (strlen(text) != BITS)
        return false;
    for (int i = 0; i < BITS; i++) {
        if (text[i] != "cdwr"[i % 4] && text[i] != '-')
            return false;
        *ret_permissions = *ret_permissions << 1 | (text[i] != '-');
    }
    return true;
}

static int parse_permissions(struct kvs_account_cmd *cmd, const char *text, int64_t *ret_value)
{
    uint64_t number = 0;
    if (parse_bits(text, ret_value))
        return KVS_EXIT_OK;
    if (!kvs_slice_to_u64(kvs_slice_from_str(text), &number) || number > 0xfff)
        return kvs_cmd_usage_error(cmd->args->command,
                                   "--permissions '%s' is neither a number from 0 to 4095 nor "
                                   "like cdwr--wr---r",
                                   text);
    *ret_value = (int64_t)number;
    return KVS_EXIT_OK;
}

static int show_metadata(struct kvs_account_cmd *cmd, const struct kvs_json *root)
{
    const struct kvs_json *permissions = kvs_json_member(root, "permissions");
    int64_t value = 0;
    char bits[BITS + 1];
    int code = kvs_account_cmd_show(cmd, root);
    if (code == KVS_EXIT_OK && kvs_cmd_output(cmd->args) != KVS_CMD_OUTPUT_JSON && permissions &&
        kvs_json_to_i64(permissions, &value)) {
        format_bits(value, bits);
        printf("%-15s%s (owner, group, others: create, delete, write, read)\n", "bits", bits);
    }
    return code;
}

static int get(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    int code = target_of(cmd, &target);
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "GET", target.data, NULL, &root);
    return code == KVS_EXIT_OK ? show_metadata(cmd, root) : code;
}

// "name":"uuid" for an option that names a user or group; '' makes null.
static int append_party(struct kvs_account_cmd *cmd, struct kvs_buf *body, const char *option,
                        const char *list, const char *member)
{
    const char *word = kvs_args_value(cmd->args, option);
    const char *uuid = NULL;
    if (!word)
        return KVS_EXIT_OK;
    kvs_buf_append_str(body, body->size > 1 ? "," : "");
    if (!*word) {
        kvs_buf_printf(body, "\"%s\":null", member);
        return KVS_EXIT_OK;
    }
    int code = kvs_account_cmd_resolve(cmd, list, word, &uuid);
    if (code == KVS_EXIT_OK)
        kvs_buf_printf(body, "\"%s\":\"%s\"", member, uuid);
    return code;
}

static int set(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TEXT_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const char *permissions = kvs_args_value(cmd->args, "permissions");
    const struct kvs_json *root = NULL;
    int64_t value = 0;
    kvs_buf_append_char(&body, '{');
    int code = target_of(cmd, &target);
    if (code == KVS_EXIT_OK && permissions)
        code = parse_permissions(cmd, permissions, &value);
    if (code == KVS_EXIT_OK && permissions)
        kvs_buf_printf(&body, "\"permissions\":%d", (int)value);
    if (code == KVS_EXIT_OK)
        code = append_party(cmd, &body, "owner", "users", "owner_uuid");
    if (code == KVS_EXIT_OK)
        code = append_party(cmd, &body, "group", "groups", "group_uuid");
    kvs_buf_append_char(&body, '}');
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "PUT", target.data, &body, &root);
    return code == KVS_EXIT_OK ? show_metadata(cmd, root) : code;
}

static int delete_one(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    int code = target_of(cmd, &target);
    return code == KVS_EXIT_OK ? kvs_account_cmd_call(cmd, "DELETE", target.data, NULL, &root)
                               : code;
}

static int run_metadata(const struct kvs_args *args)
{
    static const struct kvs_account_action actions[] = {
        {"get", "KEY", 1, 1, get},
        {"set", "KEY [--owner USER] [--group GROUP] [--permissions BITS]", 1, 1, set},
        {"delete", "KEY", 1, 1, delete_one},
        {0},
    };
    return kvs_account_cmd_run(args, actions);
}

static const struct kvs_cmd_option metadata_options[] = {
    {"owner", 0, "USER", "set: the owner; a UUID or nickname"},
    {"group", 0, "GROUP", "set: the group; '' for none"},
    {"permissions", 0, "BITS", "set: a number, or like cdwr--wr---r"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_metadata = {
    .run = run_metadata,
    .actions = "get set delete",
    .options = metadata_options,
    .details =
        "Actions:\n"
        "  get KEY                 What was set for this very key\n"
        "  set KEY                 What no option names stays; at first the caller owns the key\n"
        "  delete KEY              From then on the nearest ancestor's holds\n"
        "\n"
        "The bits of KEY hold for everything below it that has none of its own.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs metadata set app --owner ann --group crew --permissions cdwr-dwr----\n"
        "  kvs metadata get app\n",
};
