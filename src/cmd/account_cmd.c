// SPDX-License-Identifier: Apache-2.0
#include "cmd/account_cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auth/scope.h"
#include "base/assert.h"
#include "base/suggest.h"
#include "base/uuid.h"
#include "cmd/show.h"
#include "cmd/table.h"
#include "codec/http.h"

enum { ARENA_SIZE_MAX = 512 << 20, TARGET_SIZE_MAX = 16 << 10, OUT_SIZE_MAX = 256 << 20 };

static int no_memory(void)
{
    kvs_cmd_error("out of memory");
    return KVS_EXIT_FAILED;
}

// ---- Actions

static const struct kvs_account_action *
find_action(const struct kvs_args *args, const struct kvs_account_action *actions, int *ret_code)
{
    struct kvs_suggest suggest;
    const char *word = args->operands[0];
    kvs_suggest_init(&suggest, kvs_slice_from_str(word));
    for (const struct kvs_account_action *action = actions; action->name; action++) {
        if (strcmp(action->name, word) == 0)
            return action;
        kvs_suggest_offer(&suggest, action->name);
    }
    if (suggest.nearest)
        *ret_code = kvs_cmd_usage_error(args->command, "unknown action '%s': did you mean %s?",
                                        word, suggest.nearest);
    else
        *ret_code = kvs_cmd_usage_error(args->command, "unknown action '%s'", word);
    return NULL;
}

int kvs_account_cmd_run(const struct kvs_args *args, const struct kvs_account_action *actions)
{
    int code = KVS_EXIT_OK;
    const struct kvs_account_action *action = find_action(args, actions, &code);
    if (!action)
        return code;
    struct kvs_account_cmd cmd = {
        .args = args, .operands = args->operands + 1, .operand_count = args->operand_count - 1};
    if (cmd.operand_count < action->operands_min || cmd.operand_count > action->operands_max)
        return kvs_cmd_usage_error(args->command, "usage: kvs %s %s %s", args->command->name,
                                   action->name, action->operands);
    code = kvs_cmd_client_open(args, &cmd.client);
    if (code != KVS_EXIT_OK)
        return code;
    kvs_arena_init(&cmd.arena, ARENA_SIZE_MAX);
    code = action->run(&cmd);
    kvs_arena_done(&cmd.arena);
    kvs_client_free(cmd.client);
    return code;
}

// ---- Requests

int kvs_account_cmd_call(struct kvs_account_cmd *cmd, const char *method, const char *target,
                         const struct kvs_buf *body, const struct kvs_json **ret_root)
{
    struct kvs_client_response response;
    struct kvs_client_error error;
    struct kvs_json *root = NULL;
    *ret_root = NULL;
    if (body && body->err)
        return no_memory();
    if (kvs_client_request(cmd->client, method, target, NULL, body ? body->data : NULL,
                           body ? body->size : 0, &response, &error) != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    struct kvs_slice text =
        kvs_arena_copy(&cmd->arena, kvs_slice(response.body, response.body_size));
    kvs_client_response_done(&response);
    if (!text.data)
        return no_memory();
    if (text.size > 0 &&
        (kvs_json_parse(text, 0, &cmd->arena, &root, NULL) != 0 || root->type != KVS_JSON_OBJECT)) {
        kvs_cmd_error("the node gave an answer that is not KVS's");
        return KVS_EXIT_FAILED;
    }
    *ret_root = root;
    return KVS_EXIT_OK;
}

// ---- Showing

static bool is_time(struct kvs_slice name)
{
    return kvs_slice_ends_with(name, KVS_SLICE("_at"));
}

static void append_value(struct kvs_account_cmd *cmd, struct kvs_buf *out, struct kvs_slice name,
                         const struct kvs_json *value)
{
    struct kvs_slice text;
    int64_t number = 0;
    if (value->type == KVS_JSON_STRING && kvs_json_string(value, &cmd->arena, &text) == 0) {
        kvs_show_text(out, text);
    } else if (value->type == KVS_JSON_ARRAY && value->child_count == KVS_SCOPE_COUNT &&
               kvs_slice_eq(name, KVS_SLICE("scopes"))) {
        kvs_buf_append_str(out, "all");
    } else if (value->type == KVS_JSON_ARRAY) {
        for (const struct kvs_json *item = value->child; item; item = item->next) {
            append_value(cmd, out, KVS_SLICE_EMPTY, item);
            if (item->next)
                kvs_buf_append_str(out, ", ");
        }
        if (!value->child)
            kvs_buf_append_char(out, '-');
    } else if (value->type == KVS_JSON_NULL) {
        kvs_buf_append_char(out, '-');
    } else if (is_time(name) && kvs_json_to_i64(value, &number)) {
        char time[KVS_SHOW_TIME_SIZE];
        kvs_show_time(number * 1000, time);
        kvs_buf_append_str(out, time);
    } else {
        kvs_buf_append_slice(out, value->source);
    }
}

int kvs_account_cmd_show(struct kvs_account_cmd *cmd, const struct kvs_json *object)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_SIZE_MAX);
    if (!object)
        return KVS_EXIT_OK;
    if (kvs_cmd_output(cmd->args) == KVS_CMD_OUTPUT_JSON) {
        kvs_buf_append_slice(&out, object->source);
        kvs_buf_append_char(&out, '\n');
        return kvs_cmd_print(&out);
    }
    for (const struct kvs_json *member = object->child; member; member = member->next) {
        struct kvs_slice name;
        if (kvs_json_key(member, &cmd->arena, &name) != 0)
            return no_memory();
        kvs_buf_printf(&out, "%-15.*s", KVS_SLICE_FMT(name));
        append_value(cmd, &out, name, member);
        kvs_buf_append_char(&out, '\n');
    }
    return kvs_cmd_print(&out);
}

int kvs_account_cmd_show_new(struct kvs_account_cmd *cmd, const struct kvs_json *object)
{
    struct kvs_slice uuid;
    const struct kvs_json *member = kvs_json_member(object, "uuid");
    if (kvs_cmd_output(cmd->args) != KVS_CMD_OUTPUT_PLAIN || !member ||
        kvs_json_string(member, &cmd->arena, &uuid) != 0)
        return kvs_account_cmd_show(cmd, object);
    printf("%.*s\n", KVS_SLICE_FMT(uuid));
    return KVS_EXIT_OK;
}

// ---- Listings

struct listing {
    const char *const *columns;
    size_t column_count;
    const char **cells; // row by row, the heading first
    size_t row_count;
    size_t row_capacity;
};

static bool add_row(struct listing *listing)
{
    if (listing->row_count == listing->row_capacity) {
        size_t capacity = listing->row_capacity ? listing->row_capacity * 2 : 64;
        const char **cells =
            realloc(listing->cells, capacity * listing->column_count * sizeof(*cells));
        if (!cells)
            return false;
        listing->cells = cells;
        listing->row_capacity = capacity;
    }
    listing->row_count++;
    return true;
}

static bool set_cell(struct kvs_account_cmd *cmd, struct listing *listing, size_t column,
                     struct kvs_slice text)
{
    const char *copy = kvs_arena_copy(&cmd->arena, text).data;
    listing->cells[(listing->row_count - 1) * listing->column_count + column] = copy;
    return copy != NULL;
}

static bool add_heading(struct kvs_account_cmd *cmd, struct listing *listing)
{
    bool good = add_row(listing);
    for (size_t i = 0; good && i < listing->column_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "%s", listing->columns[i]);
        for (char *c = name; *c; c++)
            *c = *c == '_' ? ' ' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        good = set_cell(cmd, listing, i, kvs_slice_from_str(name));
    }
    return good;
}

static bool add_object(struct kvs_account_cmd *cmd, struct listing *listing,
                       const struct kvs_json *object)
{
    enum { HASH_SHOWN = 16 };
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(1 << 20);
    bool good = add_row(listing);
    for (size_t i = 0; good && i < listing->column_count; i++) {
        const struct kvs_json *value = kvs_json_member(object, listing->columns[i]);
        struct kvs_slice name = kvs_slice_from_str(listing->columns[i]);
        kvs_buf_clear(&text);
        if (value)
            append_value(cmd, &text, name, value);
        if (kvs_slice_ends_with(name, KVS_SLICE("_hash")) && text.size > HASH_SHOWN)
            text.size = HASH_SHOWN; // names are hashes: enough to tell two apart
        good = !text.err && set_cell(cmd, listing, i, kvs_buf_slice(&text));
    }
    return good;
}

static int print_objects(const struct kvs_json *objects)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(OUT_SIZE_MAX);
    for (const struct kvs_json *object = objects->child; object; object = object->next) {
        kvs_buf_append_slice(&out, object->source);
        kvs_buf_append_char(&out, '\n');
    }
    return kvs_cmd_print(&out);
}

static void append_cursor(struct kvs_buf *target, struct kvs_slice cursor)
{
    kvs_buf_append_str(target, memchr(target->data, '?', target->size) ? "&cursor=" : "?cursor=");
    kvs_percent_encode(target, cursor, false);
}

// One page into the listing or onto stdout; *ret_next is empty behind the last.
static int take_page(struct kvs_account_cmd *cmd, const char *target, const char *list,
                     struct listing *listing, struct kvs_slice *ret_next)
{
    const struct kvs_json *root = NULL;
    int code = kvs_account_cmd_call(cmd, "GET", target, NULL, &root);
    const struct kvs_json *objects = kvs_json_member(root, list);
    const struct kvs_json *next = kvs_json_member(root, "next");
    *ret_next = KVS_SLICE_EMPTY;
    if (code != KVS_EXIT_OK || !objects)
        return code;
    if (kvs_cmd_output(cmd->args) == KVS_CMD_OUTPUT_JSON)
        code = print_objects(objects);
    for (const struct kvs_json *object = objects->child; object && code == KVS_EXIT_OK;
         object = object->next)
        if (!add_object(cmd, listing, object))
            code = no_memory();
    if (next && next->type == KVS_JSON_STRING && kvs_json_string(next, &cmd->arena, ret_next) != 0)
        code = no_memory();
    return code;
}

int kvs_account_cmd_list(struct kvs_account_cmd *cmd, const char *target, const char *list,
                         const char *const *columns)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf page = KVS_BUF_INIT(TARGET_SIZE_MAX);
    struct listing listing = {.columns = columns};
    while (columns[listing.column_count])
        listing.column_count++;
    kvs_assert(listing.column_count > 0);
    struct kvs_slice next = KVS_SLICE_EMPTY;
    int code = add_heading(cmd, &listing) ? KVS_EXIT_OK : no_memory();
    do {
        kvs_buf_clear(&page);
        kvs_buf_append_str(&page, target);
        if (next.size > 0)
            append_cursor(&page, next);
        kvs_buf_append_char(&page, '\0');
        if (page.err)
            code = no_memory();
        if (code == KVS_EXIT_OK)
            code = take_page(cmd, page.data, list, &listing, &next);
    } while (code == KVS_EXIT_OK && next.size > 0);
    if (code == KVS_EXIT_OK && kvs_cmd_output(cmd->args) != KVS_CMD_OUTPUT_JSON)
        kvs_table_print(listing.cells, listing.column_count, listing.row_count);
    free(listing.cells);
    return code;
}

// ---- Names

static int find_by_name(struct kvs_account_cmd *cmd, const char *list, const char *word,
                        const char **ret_uuid)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    const struct kvs_json *root = NULL;
    bool users = strcmp(list, "users") == 0;
    kvs_buf_printf(&target, "/api/%s?%s=", list, users ? "nickname" : "groupname");
    kvs_percent_encode(&target, kvs_slice_from_str(word), false);
    kvs_buf_append_char(&target, '\0');
    if (target.err)
        return no_memory();
    int code = kvs_account_cmd_call(cmd, "GET", target.data, NULL, &root);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_json *found = kvs_json_member(root, list);
    struct kvs_slice uuid;
    if (!found || found->child_count == 0) {
        kvs_cmd_error("there is no %s named '%s'", users ? "user" : "group", word);
        return KVS_EXIT_NOT_FOUND;
    }
    if (found->child_count > 1) {
        kvs_cmd_error("several %s are named '%s': give a UUID", list, word);
        return KVS_EXIT_FAILED;
    }
    const struct kvs_json *member = kvs_json_member(found->child, "uuid");
    if (!member || kvs_json_string(member, &cmd->arena, &uuid) != 0)
        return no_memory();
    *ret_uuid = kvs_arena_copy(&cmd->arena, uuid).data;
    return *ret_uuid ? KVS_EXIT_OK : no_memory();
}

int kvs_account_cmd_resolve(struct kvs_account_cmd *cmd, const char *list, const char *word,
                            const char **ret_uuid)
{
    struct kvs_uuid uuid;
    if (!kvs_uuid_parse(kvs_slice_from_str(word), &uuid))
        return find_by_name(cmd, list, word, ret_uuid);
    *ret_uuid = word;
    return KVS_EXIT_OK;
}

int kvs_account_cmd_resolve_all(struct kvs_account_cmd *cmd, const char *list, const char *words,
                                struct kvs_buf *out)
{
    char *rest = NULL;
    KVS_CLEANUP(kvs_freep) char *text = strdup(words);
    if (!text)
        return no_memory();
    kvs_buf_append_char(out, '[');
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        const char *uuid = NULL;
        int code = kvs_account_cmd_resolve(cmd, list, word, &uuid);
        if (code != KVS_EXIT_OK)
            return code;
        kvs_buf_printf(out, "%s\"%s\"", out->data[out->size - 1] == '[' ? "" : ",", uuid);
    }
    kvs_buf_append_char(out, ']');
    return KVS_EXIT_OK;
}

// ---- One user or group

int kvs_account_cmd_target(struct kvs_account_cmd *cmd, const char *list,
                           char ret_target[static KVS_ACCOUNT_TARGET_SIZE])
{
    const char *uuid = NULL;
    int code = kvs_account_cmd_resolve(cmd, list, cmd->operands[0], &uuid);
    if (code == KVS_EXIT_OK) // a UUID: fits
        (void)snprintf(ret_target, KVS_ACCOUNT_TARGET_SIZE, "/api/%s/%s", list, uuid);
    return code;
}

int kvs_account_cmd_show_one(struct kvs_account_cmd *cmd, const char *list)
{
    char target[KVS_ACCOUNT_TARGET_SIZE];
    const struct kvs_json *root = NULL;
    int code = kvs_account_cmd_target(cmd, list, target);
    if (code == KVS_EXIT_OK)
        code = kvs_account_cmd_call(cmd, "GET", target, NULL, &root);
    return code == KVS_EXIT_OK ? kvs_account_cmd_show(cmd, root) : code;
}

int kvs_account_cmd_delete_one(struct kvs_account_cmd *cmd, const char *list)
{
    char target[KVS_ACCOUNT_TARGET_SIZE];
    const struct kvs_json *root = NULL;
    int code = kvs_account_cmd_target(cmd, list, target);
    return code == KVS_EXIT_OK ? kvs_account_cmd_call(cmd, "DELETE", target, NULL, &root) : code;
}
