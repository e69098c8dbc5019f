// SPDX-License-Identifier: Apache-2.0
// `kvs user`: who there is.
#include "cmd/account_cmd.h"

enum { TEXT_SIZE_MAX = 8 << 20 };

static int list(struct kvs_account_cmd *cmd)
{
    static const char *const columns[] = {"uuid", "nickname_hash", "groups", "created_at", NULL};
    return kvs_account_cmd_list(cmd, "/api/users?limit=1000", "users", columns);
}

static int create(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    kvs_buf_append_str(&body, "{\"nickname\":");
    kvs_json_write_string(&body, kvs_slice_from_str(cmd->operands[0]));
    kvs_buf_append_char(&body, '}');
    int code = kvs_account_cmd_call(cmd, "POST", "/api/users", &body, &root);
    return code == KVS_EXIT_OK ? kvs_account_cmd_show_new(cmd, root) : code;
}

static int show(struct kvs_account_cmd *cmd)
{
    return kvs_account_cmd_show_one(cmd, "users");
}

static int update(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const char *nickname = kvs_args_value(cmd->args, "nickname");
    const char *groups = kvs_args_value(cmd->args, "groups");
    const struct kvs_json *root = NULL;
    char target[KVS_ACCOUNT_TARGET_SIZE];
    if (!nickname && !groups)
        return kvs_cmd_usage_error(cmd->args->command, "give --nickname or --groups");
    int code = kvs_account_cmd_target(cmd, "users", target);
    kvs_buf_append_char(&body, '{');
    if (nickname) {
        kvs_buf_append_str(&body, "\"nickname\":");
        kvs_json_write_string(&body, kvs_slice_from_str(nickname));
    }
    if (groups && code == KVS_EXIT_OK) {
        kvs_buf_append_str(&body, nickname ? ",\"groups\":" : "\"groups\":");
        code = kvs_account_cmd_resolve_all(cmd, "groups", groups, &body);
    }
    kvs_buf_append_char(&body, '}');
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "PUT", target, &body, &root);
    return code == KVS_EXIT_OK ? kvs_account_cmd_show(cmd, root) : code;
}

static int delete_one(struct kvs_account_cmd *cmd)
{
    return kvs_account_cmd_delete_one(cmd, "users");
}

static int run_user(const struct kvs_args *args)
{
    static const struct kvs_account_action actions[] = {
        {"list", "", 0, 0, list},
        {"create", "NICKNAME", 1, 1, create},
        {"show", "USER", 1, 1, show},
        {"update", "USER [--nickname NAME] [--groups GROUP,…]", 1, 1, update},
        {"delete", "USER", 1, 1, delete_one},
        {0},
    };
    return kvs_account_cmd_run(args, actions);
}

static const struct kvs_cmd_option user_options[] = {
    {"nickname", 0, "NAME", "update: another nickname"},
    {"groups", 0, "GROUP,…", "update: all groups of the user; '' takes him out of each"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_user = {
    .run = run_user,
    .actions = "list create show update delete",
    .options = user_options,
    .details =
        "Actions:\n"
        "  list                    All users\n"
        "  create NICKNAME         Prints the new user's UUID\n"
        "  show USER\n"
        "  update USER             With --nickname, --groups or both\n"
        "  delete USER             His tokens end at once\n"
        "\n"
        "USER and GROUP are UUIDs or names. Nodes store nicknames as hashes alone: they find\n"
        "a user by his nickname but cannot tell it.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs user create ann\n"
        "  kvs user update ann --groups crew,admin\n"
        "  kvs user list --json | jq -r .uuid\n",
};
