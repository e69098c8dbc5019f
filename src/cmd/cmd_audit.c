// SPDX-License-Identifier: Apache-2.0
// `kvs audit`: the actions, and those that only show: show and roots.
#include <inttypes.h>
#include <string.h>

#include "audit/text.h"
#include "cmd/audit_cmd.h"
#include "cmd/show.h"
#include "codec/http.h"
#include "codec/json.h"

enum { ARENA_MAX = 512 << 20, OUTPUT_MAX = 256 << 20, PAGE_LIMIT = 1000, SHOWN_DEFAULT = 50 };

int kvs_audit_number_option(const struct kvs_args *args, const char *name, uint64_t *ret_number)
{
    const char *text = kvs_args_value(args, name);
    if (!text || (kvs_slice_to_u64(kvs_slice_from_str(text), ret_number) && *ret_number > 0))
        return KVS_EXIT_OK;
    return kvs_cmd_usage_error(args->command, "--%s '%s' is no number above 0", name, text);
}

static struct kvs_slice text_member(const struct kvs_json *object, const char *name,
                                    struct kvs_arena *arena)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    struct kvs_slice text = KVS_SLICE_EMPTY;
    if (member && member->type == KVS_JSON_STRING && kvs_json_string(member, arena, &text) == 0)
        return text;
    return member && member->type == KVS_JSON_NUMBER ? member->source : KVS_SLICE_EMPTY;
}

static bool follow(const struct kvs_json *page, uint64_t *ret_next)
{
    const struct kvs_json *next = kvs_json_member(page, "next");
    return next && next->type == KVS_JSON_NUMBER && kvs_slice_to_u64(next->source, ret_next);
}

// ---- show

struct show {
    const struct kvs_args *args;
    struct kvs_client *client;
    uint64_t left;
    bool newest;     // the last ones, downward
    uint64_t at;     // where the next page begins; 0: anywhere
    const char *key; // what was done to it and below it; NULL: everything
};

static void append_parameter(struct kvs_buf *target, const char *name, const char *value)
{
    if (!value)
        return;
    kvs_buf_printf(target, "&%s=", name);
    kvs_percent_encode(target, kvs_slice_from_str(value), false);
}

static const char *page_target(const struct show *show, struct kvs_buf *target)
{
    const char *since = kvs_args_value(show->args, "since");
    bool is_all_shown = show->left < PAGE_LIMIT && !show->key;
    kvs_buf_printf(target, "/api/audit?limit=%" PRIu64, is_all_shown ? show->left : PAGE_LIMIT);
    if (show->newest)
        kvs_buf_append_str(target, "&newest=1");
    if (show->at > 0)
        kvs_buf_printf(target, show->newest ? "&before=%" PRIu64 : "&since=%" PRIu64, show->at);
    if (show->newest || show->at == 0)
        append_parameter(target, "since", since);
    append_parameter(target, "action", kvs_args_value(show->args, "action"));
    append_parameter(target, "user", kvs_args_value(show->args, "user"));
    kvs_buf_append_char(target, '\0');
    return target->err ? NULL : target->data;
}

// "     12  2026-11-23 04:27:46  data_write  ok  a/key  user"
static void show_for_people(struct kvs_buf *out, const struct kvs_json *entry,
                            struct kvs_arena *arena)
{
    char when[KVS_SHOW_TIME_SIZE] = "?";
    int64_t ms = 0;
    if (kvs_audit_time_parse(text_member(entry, "timestamp", arena), &ms))
        kvs_show_time(ms, when);
    kvs_buf_printf(out, "%8.*s  %s  %-15.*s %-12.*s ",
                   KVS_SLICE_FMT(text_member(entry, "seq", arena)), when,
                   KVS_SLICE_FMT(text_member(entry, "action", arena)),
                   KVS_SLICE_FMT(text_member(entry, "outcome", arena)));
    kvs_show_text(out, text_member(entry, "resource", arena));
    struct kvs_slice user = text_member(entry, "user_uuid", arena);
    if (user.size > 0)
        kvs_buf_printf(out, "  by %.*s", KVS_SLICE_FMT(user));
    kvs_buf_append_char(out, '\n');
}

static void show_entry(const struct show *show, struct kvs_buf *out, const struct kvs_json *entry,
                       struct kvs_arena *arena)
{
    if (kvs_cmd_output(show->args) == KVS_CMD_OUTPUT_HUMAN) {
        show_for_people(out, entry, arena);
    } else {
        kvs_buf_append_slice(out, entry->source);
        kvs_buf_append_char(out, '\n');
    }
}

// The key, what lies under it, and requests for either ("/kv/…", of failed logins).
static bool is_wanted(const struct show *show, const struct kvs_json *entry,
                      struct kvs_arena *arena)
{
    if (!show->key)
        return true;
    struct kvs_slice resource = text_member(entry, "resource", arena);
    if (kvs_slice_starts_with(resource, KVS_SLICE("/kv/")))
        resource = kvs_slice(resource.data + 4, resource.size - 4);
    struct kvs_slice key = kvs_slice_from_str(show->key);
    while (key.size > 0 && key.data[key.size - 1] == '/')
        key.size--;
    return kvs_slice_starts_with(resource, key) &&
           (resource.size == key.size || resource.data[key.size] == '/');
}

static int show_page(struct show *show, bool *ret_more)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(64 << 10);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUTPUT_MAX);
    const char *path = page_target(show, &target);
    if (!path)
        return kvs_cmd_usage_error(show->args->command, "the options are too long");
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *page = NULL;
    struct kvs_client_response answer = {0};
    int code = kvs_audit_fetch(show->client, path, &arena, &page, &answer);
    if (code == KVS_EXIT_OK) {
        const struct kvs_json *entries = kvs_json_member(page, "entries");
        const struct kvs_json *entry = entries ? entries->child : NULL;
        for (; entry && show->left > 0; entry = entry->next) {
            if (!is_wanted(show, entry, &arena))
                continue;
            show_entry(show, &out, entry, &arena);
            show->left--;
        }
        *ret_more = follow(page, &show->at) && show->left > 0;
        code = kvs_cmd_print(&out);
    }
    kvs_client_response_done(&answer);
    kvs_arena_done(&arena);
    return code;
}

static int run_show(const struct kvs_args *args)
{
    struct show show = {.args = args};
    // Without a place to begin: the newest ones.
    show.newest = kvs_args_value(args, "since") == NULL;
    show.left = show.newest ? SHOWN_DEFAULT : UINT64_MAX;
    if (args->operand_count > 1)
        show.key = args->operands[1];
    int code = kvs_audit_number_option(args, "limit", &show.left);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &show.client);
    bool more = true;
    while (code == KVS_EXIT_OK && more)
        code = show_page(&show, &more);
    kvs_client_free(show.client);
    return code;
}

// ---- roots

static void show_root(struct kvs_buf *out, const struct kvs_json *seal, struct kvs_arena *arena)
{
    kvs_buf_printf(out, "%.*s  %-10.*s  %.*s:%.*s\n",
                   KVS_SLICE_FMT(text_member(seal, "timestamp", arena)),
                   KVS_SLICE_FMT(text_member(seal, "kind", arena)),
                   KVS_SLICE_FMT(text_member(seal, "size", arena)),
                   KVS_SLICE_FMT(text_member(seal, "root", arena)));
}

// All roots, page after page, and the state of now behind them.
static int show_roots(const struct kvs_args *args, struct kvs_client *client, uint64_t since,
                      bool *ret_more, uint64_t *ret_next)
{
    bool as_json = kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUTPUT_MAX);
    char target[128];
    (void)snprintf(target, sizeof(target), "/api/audit/roots?limit=%d&since=%" PRIu64, PAGE_LIMIT,
                   since);
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *page = NULL;
    struct kvs_client_response answer = {0};
    int code = kvs_audit_fetch(client, target, &arena, &page, &answer);
    if (code == KVS_EXIT_OK) {
        const struct kvs_json *log = kvs_json_member(page, "log");
        const struct kvs_json *roots = kvs_json_member(page, "roots");
        const struct kvs_json *checkpoint = kvs_json_member(page, "checkpoint");
        if (since == 0 && log && as_json)
            kvs_buf_printf(&out, "%.*s\n", KVS_SLICE_FMT(log->source));
        else if (since == 0 && log)
            kvs_buf_printf(&out, "key %.*s\n", KVS_SLICE_FMT(text_member(log, "key", &arena)));
        *ret_more = follow(page, ret_next);
        const struct kvs_json *seal = roots ? roots->child : NULL;
        for (; seal && !as_json; seal = seal->next)
            show_root(&out, seal, &arena);
        for (; seal; seal = seal->next)
            kvs_buf_printf(&out, "%.*s\n", KVS_SLICE_FMT(seal->source));
        if (!*ret_more && checkpoint && as_json)
            kvs_buf_printf(&out, "%.*s\n", KVS_SLICE_FMT(checkpoint->source));
        else if (!*ret_more && checkpoint)
            show_root(&out, checkpoint, &arena);
        code = kvs_cmd_print(&out);
    }
    kvs_client_response_done(&answer);
    kvs_arena_done(&arena);
    return code;
}

static int run_roots(const struct kvs_args *args)
{
    struct kvs_client *client = NULL;
    if (args->operand_count > 1)
        return kvs_cmd_usage_error(args->command, "roots takes no argument");
    int code = kvs_cmd_client_open(args, &client);
    uint64_t since = 0;
    bool more = true;
    while (code == KVS_EXIT_OK && more)
        code = show_roots(args, client, since, &more, &since);
    kvs_client_free(client);
    return code;
}

// ---- The command

// An option that the action does not know would be thought to have worked.
static int check_options(const struct kvs_args *args, const char *action)
{
    static const struct {
        const char *option;
        const char *actions;
    } known[] = {
        {"since", "show"},      {"action", "show"},       {"user", "show"},  {"limit", "show"},
        {"output", "export"},   {"from", "export prove"}, {"key", "verify"}, {"root", "verify"},
        {"key-file", "verify"}, {"proof", "verify"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(known); i++)
        if (kvs_args_flag(args, known[i].option) && !strstr(known[i].actions, action))
            return kvs_cmd_usage_error(args->command, "--%s is not for %s", known[i].option,
                                       action);
    return KVS_EXIT_OK;
}

static int run_audit(const struct kvs_args *args)
{
    static const struct {
        const char *name;
        int (*run)(const struct kvs_args *args);
    } actions[] = {
        {"show", run_show},
        {"verify", kvs_audit_run_verify},
        {"prove", kvs_audit_run_prove},
        {"export", kvs_audit_run_export},
        {"roots", run_roots},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(actions); i++)
        if (strcmp(args->operands[0], actions[i].name) == 0) {
            int code = check_options(args, actions[i].name);
            return code == KVS_EXIT_OK ? actions[i].run(args) : code;
        }
    return kvs_cmd_usage_error(
        args->command, "'%s' is none of show, verify, prove, export and roots", args->operands[0]);
}

static const struct kvs_cmd_option audit_options[] = {
    {"since", 's', "SEQ|TIME|AGE", "show: entries behind a number, a time or an age such as 1h"},
    {"action", 'a', "ACTION", "show: this action alone"},
    {"user", 0, "UUID", "show: of this user alone"},
    {"limit", 'n', "N", "show: at most N entries (the newest 50; with --since all)"},
    {"output", 'o', "FILE", "export: into FILE, mode 0600, instead of stdout"},
    {"from", 0, "N", "export: begin with entry N. prove: the first N are as they were"},
    {"key", 0, "KEY", "verify: the log's public key, as 'kvs audit roots' prints it"},
    {"root", 0, "SIZE:HASH", "verify: a root that is known from elsewhere"},
    {"key-file", 0, "FILE", "verify DIR: the node's key file (default: DIR/audit.key)"},
    {"proof", 0, NULL, "verify: FILE is a proof"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_audit = {
    .run = run_audit,
    .actions = "show verify prove export roots",
    .options = audit_options,
    .details =
        "  show [KEY]               Entries, the newest ones unless --since says otherwise; with\n"
        "                           KEY those of this key and of what lies under it\n"
        "  verify [FILE|DIR|-]      Check an export, a stopped node's data directory or, without\n"
        "                           an argument, the running node; name the first bad entry\n"
        "  prove SEQ                A proof that this entry belongs to the log, as JSON\n"
        "  prove --from SIZE        A proof that the log of that size is the beginning of this "
        "one\n"
        "  export                   The whole log, one JSON object a line\n"
        "  roots                    The log's public key, its signed roots and its present state\n"
        "\n"
        "verify ends with exit code 0 when all is good and with 11 when something was changed,\n"
        "removed, inserted, moved or cut off. A cut that is as old as the export or the last\n"
        "root can only be found with --root: note what 'kvs audit roots' prints elsewhere, now\n"
        "and then, and the key once.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs audit show app/config        # who changed it?\n"
        "  kvs audit show --since 1h --action auth_failure\n"
        "  kvs audit export -o audit.jsonl && kvs audit verify audit.jsonl --key 47ec…\n"
        "  kvs audit verify /srv/a/data --root 1200:9f3b…\n"
        "  kvs audit prove 17 > proof.json && kvs audit verify --proof proof.json\n",
};
