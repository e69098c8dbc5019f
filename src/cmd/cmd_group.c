// SPDX-License-Identifier: Apache-2.0
// `kvs group`: users taken together.
#include <stdio.h>
#include <string.h>

#include "cmd/account_cmd.h"

enum { TEXT_SIZE_MAX = 8 << 20 };

static int list(struct kvs_account_cmd *cmd)
{
    static const char *const columns[] = {"uuid", "name_hash", "members", "created_at", NULL};
    return kvs_account_cmd_list(cmd, "/api/groups?limit=1000", "groups", columns);
}

static int create(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const char *members = kvs_args_value(cmd->args, "members");
    const struct kvs_json *root = NULL;
    int code = KVS_EXIT_OK;
    kvs_buf_append_str(&body, "{\"groupname\":");
    kvs_json_write_string(&body, kvs_slice_from_str(cmd->operands[0]));
    if (members) {
        kvs_buf_append_str(&body, ",\"members\":");
        code = kvs_account_cmd_resolve_all(cmd, "users", members, &body);
    }
    kvs_buf_append_char(&body, '}');
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "POST", "/api/groups", &body, &root);
    return code == KVS_EXIT_OK ? kvs_account_cmd_show_new(cmd, root) : code;
}

static int show(struct kvs_account_cmd *cmd)
{
    return kvs_account_cmd_show_one(cmd, "groups");
}

// {"members":…} from an array's text.
static int put_members(struct kvs_account_cmd *cmd, const char *target, struct kvs_slice array)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    kvs_buf_append_str(&body, "{\"members\":");
    kvs_buf_append_slice(&body, array);
    kvs_buf_append_char(&body, '}');
    int code = kvs_account_cmd_call(cmd, "PUT", target, &body, &root);
    return code == KVS_EXIT_OK ? kvs_account_cmd_show(cmd, root) : code;
}

static int update(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf array = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const char *members = kvs_args_value(cmd->args, "members");
    char target[KVS_ACCOUNT_TARGET_SIZE];
    if (!members)
        return kvs_cmd_usage_error(cmd->args->command, "give --members");
    int code = kvs_account_cmd_target(cmd, "groups", target);
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_resolve_all(cmd, "users", members, &array);
    return code == KVS_EXIT_OK ? put_members(cmd, target, kvs_buf_slice(&array)) : code;
}

// The members as they are, with or without one.
static void append_changed(struct kvs_account_cmd *cmd, const struct kvs_json *members,
                           const char *uuid, bool add, struct kvs_buf *out)
{
    struct kvs_slice text;
    kvs_buf_append_char(out, '[');
    for (const struct kvs_json *item = members ? members->child : NULL; item; item = item->next) {
        if (kvs_json_string(item, &cmd->arena, &text) != 0 ||
            kvs_slice_eq_nocase(text, kvs_slice_from_str(uuid)))
            continue;
        kvs_buf_append_slice(out, item->source);
        kvs_buf_append_char(out, ',');
    }
    if (add)
        kvs_buf_printf(out, "\"%s\"", uuid);
    else if (out->data && out->data[out->size - 1] == ',')
        out->size--;
    kvs_buf_append_char(out, ']');
}

static int change(struct kvs_account_cmd *cmd, bool add)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf array = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    const char *uuid = NULL;
    char target[KVS_ACCOUNT_TARGET_SIZE];
    int code = kvs_account_cmd_target(cmd, "groups", target);
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_resolve(cmd, "users", cmd->operands[1], &uuid);
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "GET", target, NULL, &root);
    if (code != KVS_EXIT_OK)
        return code;
    append_changed(cmd, kvs_json_member(root, "members"), uuid, add, &array);
    return put_members(cmd, target, kvs_buf_slice(&array));
}

static int add_member(struct kvs_account_cmd *cmd)
{
    return change(cmd, true);
}

static int remove_member(struct kvs_account_cmd *cmd)
{
    return change(cmd, false);
}

static int delete_one(struct kvs_account_cmd *cmd)
{
    return kvs_account_cmd_delete_one(cmd, "groups");
}

static int run_group(const struct kvs_args *args)
{
    static const struct kvs_account_action actions[] = {
        {"list", "", 0, 0, list},
        {"create", "NAME [--members USER,…]", 1, 1, create},
        {"show", "GROUP", 1, 1, show},
        {"update", "GROUP --members USER,…", 1, 1, update},
        {"add", "GROUP USER", 2, 2, add_member},
        {"remove", "GROUP USER", 2, 2, remove_member},
        {"delete", "GROUP", 1, 1, delete_one},
        {0},
    };
    return kvs_account_cmd_run(args, actions);
}

static const struct kvs_cmd_option group_options[] = {
    {"members", 0, "USER,…", "create, update: all members; '' for none"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_group = {
    .run = run_group,
    .actions = "list create show update add remove delete",
    .options = group_options,
    .details = "Actions:\n"
               "  list                    All groups\n"
               "  create NAME             Prints the new group's UUID\n"
               "  show GROUP\n"
               "  update GROUP            With --members: all of them\n"
               "  add GROUP USER          One member more\n"
               "  remove GROUP USER       One member less\n"
               "  delete GROUP\n"
               "\n"
               "USER and GROUP are UUIDs or names.\n"
               "\n" KVS_CMD_CLIENT_DETAILS "\n"
               "Examples:\n"
               "  kvs group create crew --members ann,bob\n"
               "  kvs group add crew eve\n",
};
