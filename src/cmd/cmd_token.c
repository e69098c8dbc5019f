// SPDX-License-Identifier: Apache-2.0
// `kvs token`: issuing, listing and revoking; and the way back in for the owner who lost his.
#include <stdio.h>
#include <string.h>

#include "base/timefmt.h"
#include "cmd/account_cmd.h"
#include "cmd/nodes.h"
#include "cmd/own_node.h"
#include "config/config.h"
#include "server/owner.h"

enum { TEXT_SIZE_MAX = 64 << 10 };

// ---- The owner's token, for whoever may read the node's config

struct owner_texts {
    const char *user, *group, *token;
    int64_t expires_at;
};

static int print_owner(const struct kvs_args *args, const struct owner_texts *owner)
{
    char expires[KVS_RFC3339_SIZE];
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON) {
        printf(
            "{\"user_uuid\":\"%s\",\"group_uuid\":\"%s\",\"token\":\"%s\",\"expires_at\":%lld}\n",
            owner->user, owner->group, owner->token, (long long)owner->expires_at);
        return KVS_EXIT_OK;
    }
    if (kvs_args_flag(args, "bare")) {
        puts(owner->token);
        return KVS_EXIT_OK;
    }
    kvs_time_rfc3339(owner->expires_at * 1000, expires);
    printf("User UUID: %s\nGroup UUID: %s\nToken: %s\nExpires: %.*s\n", owner->user, owner->group,
           owner->token, KVS_RFC3339_SIZE, expires);
    return KVS_EXIT_OK;
}

static const char *text_member(struct kvs_account_cmd *cmd, const struct kvs_json *root,
                               const char *name)
{
    struct kvs_slice text;
    const struct kvs_json *member = kvs_json_member(root, name);
    if (!member || member->type != KVS_JSON_STRING ||
        kvs_json_string(member, &cmd->arena, &text) != 0)
        return NULL;
    return kvs_arena_copy(&cmd->arena, text).data;
}

static int show_answer(struct kvs_account_cmd *cmd)
{
    const struct kvs_json *root = NULL;
    int code = kvs_account_cmd_call(cmd, "POST", "/auth/owner-token", NULL, &root);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_json *expires = kvs_json_member(root, "expires_at");
    struct owner_texts owner = {text_member(cmd, root, "user_uuid"),
                                text_member(cmd, root, "group_uuid"),
                                text_member(cmd, root, "token"), 0};
    if (!owner.user || !owner.group || !owner.token || !expires ||
        !kvs_json_to_i64(expires, &owner.expires_at)) {
        kvs_cmd_error("the node gave an answer that is not KVS's");
        return KVS_EXIT_FAILED;
    }
    return print_owner(cmd->args, &owner);
}

static int ask_node(const struct kvs_args *args, const struct kvs_config *config)
{
    struct kvs_cmd_proof *proof = NULL;
    struct kvs_account_cmd cmd = {.args = args};
    int code = kvs_cmd_own_node_open(config, "kvs-token", &cmd.client, &proof);
    if (code == KVS_EXIT_OK) {
        kvs_arena_init(&cmd.arena, 1 << 20);
        code = show_answer(&cmd);
        kvs_arena_done(&cmd.arena);
    }
    kvs_client_free(cmd.client);
    kvs_cmd_proof_free(proof);
    return code;
}

static int make_in_store(const struct kvs_args *args, const struct kvs_config *config,
                         bool *ret_busy)
{
    char user[KVS_UUID_TEXT_SIZE + 1] = "";
    char group[KVS_UUID_TEXT_SIZE + 1] = "";
    struct kvs_owner owner;
    struct kvs_message message;
    int code = KVS_EXIT_FAILED;
    int err = kvs_server_make_owner(config, &owner, &message);
    *ret_busy = err == KVS_ERR_BUSY;
    if (err == 0) {
        kvs_uuid_format(&owner.user, user);
        kvs_uuid_format(&owner.group, group);
        kvs_buf_append_char(&owner.token.text, '\0');
        const struct owner_texts texts = {user, group, owner.token.text.data,
                                          owner.token.claims.expires_at};
        code = owner.token.text.err ? KVS_EXIT_FAILED : print_owner(args, &texts);
    } else if (!*ret_busy) {
        kvs_cmd_error("%s", message.text);
    }
    kvs_owner_done(&owner);
    return code;
}

static int create_for(const struct kvs_args *args, const struct kvs_cmd_nodes *nodes,
                      const char *path)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    int code = kvs_cmd_config_open(path, &config);
    if (code != KVS_EXIT_OK)
        return code;
    if (!config->auth_enabled) {
        kvs_cmd_error("%s: auth_enabled is false: this node asks for no tokens", path);
        return KVS_EXIT_USAGE;
    }
    const struct kvs_instance *instance = kvs_cmd_nodes_find(nodes, path);
    bool running = instance && instance->running;
    if (!running) {
        code = make_in_store(args, config, &running);
        if (!running)
            return code;
    }
    return ask_node(args, config);
}

static int create_owner_token(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    code = kvs_cmd_nodes_path(&nodes, args->operands[1], &path);
    if (code == KVS_EXIT_OK)
        code = create_for(args, &nodes, path);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

// ---- Through the API

static int append_scopes(struct kvs_account_cmd *cmd, struct kvs_buf *body)
{
    const char *scopes = kvs_args_value(cmd->args, "scopes");
    char *rest = NULL;
    KVS_CLEANUP(kvs_freep) char *text = strdup(scopes ? scopes : "read,write");
    if (!text) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    char separator = '[';
    for (char *word = strtok_r(text, ", ", &rest); word; word = strtok_r(NULL, ", ", &rest)) {
        kvs_buf_append_char(body, separator);
        kvs_json_write_string(body, kvs_slice_from_str(word));
        separator = ',';
    }
    kvs_buf_append_str(body, separator == '[' ? "[]" : "]");
    return KVS_EXIT_OK;
}

static int create(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const char *ttl = kvs_args_value(cmd->args, "ttl");
    const char *uuid = NULL;
    const struct kvs_json *root = NULL;
    int code = kvs_account_cmd_resolve(cmd, "users", kvs_args_value(cmd->args, "user"), &uuid);
    if (code != KVS_EXIT_OK)
        return code;
    kvs_buf_printf(&body, "{\"user_uuid\":\"%s\",\"scopes\":", uuid);
    code = append_scopes(cmd, &body);
    if (ttl) {
        kvs_buf_append_str(&body, ",\"ttl\":");
        kvs_json_write_string(&body, kvs_slice_from_str(ttl));
    }
    kvs_buf_append_char(&body, '}');
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "POST", "/api/tokens", &body, &root);
    bool bare = kvs_args_flag(cmd->args, "bare");
    if (code == KVS_EXIT_OK && (bare || kvs_cmd_output(cmd->args) == KVS_CMD_OUTPUT_PLAIN)) {
        const char *token = text_member(cmd, root, "token");
        puts(token ? token : "");
        return token ? KVS_EXIT_OK : KVS_EXIT_FAILED;
    }
    return code == KVS_EXIT_OK ? kvs_account_cmd_show(cmd, root) : code;
}

static int list(struct kvs_account_cmd *cmd)
{
    static const char *const columns[] = {"user_uuid", "expires_at", "revoked",
                                          "scopes",    "hash",       NULL};
    const char *user = kvs_args_value(cmd->args, "user");
    const char *uuid = NULL;
    char target[96];
    if (!user)
        return kvs_account_cmd_list(cmd, "/api/tokens?limit=1000", "tokens", columns);
    int code = kvs_account_cmd_resolve(cmd, "users", user, &uuid);
    if (code != KVS_EXIT_OK)
        return code;
    (void)snprintf(target, sizeof(target), "/api/tokens?limit=1000&user_uuid=%s", uuid); // fits
    return kvs_account_cmd_list(cmd, target, "tokens", columns);
}

static bool is_hash(const char *word)
{
    enum { HASH_SIZE = 128 };
    return strlen(word) == HASH_SIZE && strspn(word, "0123456789abcdef") == HASH_SIZE;
}

static int revoke_text(struct kvs_account_cmd *cmd, struct kvs_slice token)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    kvs_buf_append_str(&body, "{\"token\":");
    kvs_json_write_string(&body, token);
    kvs_buf_append_char(&body, '}');
    return kvs_account_cmd_call(cmd, "POST", "/api/tokens/revoke", &body, &root);
}

static int revoke_one(struct kvs_account_cmd *cmd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(TEXT_SIZE_MAX);
    const struct kvs_json *root = NULL;
    const char *word = cmd->operands[0];
    char target[160];
    if (is_hash(word)) {
        (void)snprintf(target, sizeof(target), "/api/tokens/%s", word); // fits
        return kvs_account_cmd_call(cmd, "DELETE", target, NULL, &root);
    }
    if (strcmp(word, "-") != 0)
        return kvs_cmd_usage_error(cmd->args->command,
                                   "give the hash that 'kvs token list' shows, or '-' and the "
                                   "token on stdin");
    int code = kvs_cmd_read_file("-", &token);
    while (token.size > 0 && strchr(" \t\r\n", token.data[token.size - 1]))
        token.size--;
    return code == KVS_EXIT_OK ? revoke_text(cmd, kvs_buf_slice(&token)) : code;
}

static int run_token(const struct kvs_args *args)
{
    static const struct kvs_account_action actions[] = {
        {"create", "CONFIG, or --user USER [--scopes SCOPE,…] [--ttl TTL]", 0, 0, create},
        {"list", "[--user USER]", 0, 0, list},
        {"revoke", "HASH|-", 1, 1, revoke_one},
        {0},
    };
    bool creates = strcmp(args->operands[0], "create") == 0;
    bool has_user = kvs_args_value(args, "user") != NULL;
    bool bare = kvs_args_flag(args, "bare");
    if (bare && !creates)
        return kvs_cmd_usage_error(args->command, "--bare goes with create");
    if (bare && kvs_args_flag(args, "json"))
        return kvs_cmd_usage_error(args->command, "--bare and --json exclude each other");
    if (creates && args->operand_count == 2 && !has_user &&
        (kvs_args_value(args, "scopes") || kvs_args_value(args, "ttl")))
        return kvs_cmd_usage_error(args->command,
                                   "the owner's token has all scopes for 24 h: --scopes and --ttl "
                                   "go with --user");
    if (creates && args->operand_count == 2 && !has_user)
        return create_owner_token(args);
    if (creates && !has_user)
        return kvs_cmd_usage_error(args->command,
                                   "give a CONFIG for the owner's token, or --user for another");
    return kvs_account_cmd_run(args, actions);
}

static const struct kvs_cmd_option token_options[] = {
    {"user", 0, "USER", "create, list: whose; a UUID or nickname"},
    {"scopes", 0, "SCOPE,…", "create: what it allows (read,write)"},
    {"ttl", 0, "TTL", "create: how long it is valid (1h)"},
    {"bare", 0, NULL, "create: print the token alone"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_token = {
    .run = run_token,
    .actions = "create list revoke",
    .options = token_options,
    .details =
        "Actions:\n"
        "  create CONFIG           A token of all scopes for user root, who is made if missing:\n"
        "                          for whoever can read the node's CONFIG, running or stopped.\n"
        "                          It is valid for 24 h; four lines, with --bare the token alone\n"
        "  create --user USER      A token for USER; of scopes that your own token has\n"
        "  list                    Tokens that have not expired, by their hashes\n"
        "  revoke HASH             Ends it at once; '-' reads the token itself from stdin\n"
        "\n"
        "Scopes: read, write, delete, admin:users:create, …:read, …:update, …:delete, the same\n"
        "for admin:groups, admin:tokens:create, …:revoke, admin:audit:read,\n"
        "admin:backup:create, …:read.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs token create node1\n"
        "  export KVS_TOKEN=$(kvs token create node1 --bare)\n"
        "  kvs token create --user ann --scopes read --ttl 30m\n",
};
