// SPDX-License-Identifier: Apache-2.0
// `kvs members`: who is in the cluster, as one node sees it; leaving it; removing who is dead.
// Changing it takes the cluster secret: from a config, or from KVS_CLUSTER_SECRET. It is not sent:
// requests are signed with it.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cmd/client_args.h"
#include "cmd/nodes.h"
#include "cmd/own_node.h"
#include "cmd/show.h"
#include "cmd/table.h"
#include "codec/json.h"
#include "config/config.h"

enum {
    COLUMNS = 7,
    TEXT_SIZE = 300, // of a cell
    ARENA_MAX = 64 << 20,
    END_WAIT_MS = 60000, // a leaving node hands over what others lack first
    END_LOOK_MS = 50,
};

static const char caller_name[] = "kvs-members"; // as the node logs the caller

// ---- The list

static struct kvs_slice text_of(const struct kvs_json *member, const char *name,
                                struct kvs_arena *arena)
{
    struct kvs_slice text;
    const struct kvs_json *value = kvs_json_member(member, name);
    return value && value->type == KVS_JSON_STRING && kvs_json_string(value, arena, &text) == 0
               ? text
               : KVS_SLICE_EMPTY;
}

static bool number_of(const struct kvs_json *member, const char *name, int64_t *ret_value)
{
    const struct kvs_json *value = kvs_json_member(member, name);
    return value && kvs_json_to_i64(value, ret_value);
}

// What others wrote must not steer the terminal.
static void set_cell(char cell[static TEXT_SIZE], struct kvs_slice text)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf shown = KVS_BUF_INIT(1 << 16);
    kvs_show_text(&shown, text);
    (void)snprintf(cell, TEXT_SIZE, "%.*s", KVS_SLICE_FMT(kvs_buf_slice(&shown)));
}

static void set_age(char cell[static TEXT_SIZE], int64_t at_ms)
{
    int64_t age_s = (kvs_clock_wall_ms(kvs_clock_system()) - at_ms) / 1000;
    char text[KVS_DURATION_TEXT_MAX];
    (void)kvs_duration_format(age_s > 0 ? age_s * 1000000000 : 0, text);
    (void)snprintf(cell, TEXT_SIZE, "%s ago", text);
}

static void fill_row(const struct kvs_json *member, struct kvs_arena *arena,
                     char (*cells)[TEXT_SIZE])
{
    const struct kvs_json *self = kvs_json_member(member, "self");
    bool is_self = self && self->type == KVS_JSON_TRUE;
    int64_t number = 0;
    set_cell(cells[0], text_of(member, "id", arena));
    set_cell(cells[1], text_of(member, "state", arena));
    set_cell(cells[2], text_of(member, "address", arena));
    for (int i = 3; i < COLUMNS; i++)
        (void)snprintf(cells[i], TEXT_SIZE, "-");
    if (is_self)
        (void)snprintf(cells[3], TEXT_SIZE, "itself");
    else if (number_of(member, "last_seen", &number) && number > 0)
        set_age(cells[3], number);
    if (number_of(member, "lag", &number))
        (void)snprintf(cells[4], TEXT_SIZE, "%" PRId64, number);
    if (number_of(member, "clock_offset_ms", &number))
        (void)snprintf(cells[5], TEXT_SIZE, "%+" PRId64 "ms", number);
    if (number_of(member, "last_sync_timestamp", &number))
        set_age(cells[6], number);
}

static int print_table(const struct kvs_json *list, struct kvs_arena *arena)
{
    static const char *const heading[COLUMNS] = {"ID",  "STATE", "ADDRESS",     "LAST SEEN",
                                                 "LAG", "CLOCK", "IN AGREEMENT"};
    size_t rows = (size_t)list->child_count + 1;
    const char **cells = kvs_arena_alloc(arena, rows * COLUMNS * sizeof(*cells));
    char(*texts)[TEXT_SIZE] = kvs_arena_alloc(arena, rows * COLUMNS * sizeof(*texts));
    if (!cells || !texts) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    memcpy(cells, heading, sizeof(heading));
    size_t at = COLUMNS;
    for (const struct kvs_json *member = list->child; member; member = member->next) {
        fill_row(member, arena, &texts[at]);
        for (int i = 0; i < COLUMNS; i++, at++)
            cells[at] = texts[at];
    }
    kvs_table_print(cells, COLUMNS, rows);
    return KVS_EXIT_OK;
}

static int show_list(const struct kvs_args *args, const struct kvs_client_response *response)
{
    struct kvs_arena arena;
    struct kvs_json *list = NULL;
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON) {
        printf("%s\n", response->body);
        return KVS_EXIT_OK;
    }
    kvs_arena_init(&arena, ARENA_MAX);
    int err =
        kvs_json_parse(kvs_slice(response->body, response->body_size), 0, &arena, &list, NULL);
    int code = KVS_EXIT_FAILED;
    if (!err && list->type == KVS_JSON_ARRAY)
        code = print_table(list, &arena);
    else
        kvs_cmd_error("the answer is none of KVS");
    kvs_arena_done(&arena);
    return code;
}

static int list_members(const struct kvs_args *args)
{
    struct kvs_client *client = NULL;
    struct kvs_client_response response;
    struct kvs_client_error error;
    const char *target = kvs_args_flag(args, "all") ? "/members/?all=1" : "/members/";
    int code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    if (kvs_client_request(client, "GET", target, NULL, NULL, 0, &response, &error) ==
        KVS_CLIENT_OK) {
        code = show_list(args, &response);
        kvs_client_response_done(&response);
    } else {
        code = kvs_cmd_client_error(&error);
    }
    kvs_client_free(client);
    return code;
}

// ---- Proving to be of the cluster

// A node to talk to, and what proves that one may.
struct target {
    const struct kvs_args *args;
    struct kvs_client *client;
    struct kvs_cmd_proof *proof; // of the client
    char *node_id;               // NULL: not known yet; owned
};

static void target_done(struct target *target)
{
    kvs_client_free(target->client);
    kvs_cmd_proof_free(target->proof);
    free(target->node_id);
}

static int open_at_url(struct target *target)
{
    const char *secret = getenv("KVS_CLUSTER_SECRET");
    if (!secret || !*secret)
        return kvs_cmd_usage_error(target->args->command,
                                   "name the CONFIG of a node here, or set KVS_CLUSTER_SECRET");
    int code = kvs_cmd_client_open(target->args, &target->client);
    return code == KVS_EXIT_OK ? kvs_cmd_prove(target->client, caller_name, secret, &target->proof)
                               : code;
}

static int open_config_path(struct target *target, const char *path)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    int code = kvs_cmd_config_open(path, &config);
    if (code != KVS_EXIT_OK)
        return code;
    target->node_id = strdup(config->node_id);
    if (!target->node_id) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    return kvs_cmd_own_node_open(config, caller_name, &target->client, &target->proof);
}

static int open_config(struct target *target, const char *word)
{
    struct kvs_cmd_nodes nodes;
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    code = kvs_cmd_nodes_path(&nodes, word, &path);
    if (code == KVS_EXIT_OK)
        code = open_config_path(target, path);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

// ---- Leaving and removing

static int send_leave(struct target *target, const char *id)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(1 << 16);
    struct kvs_client_response response;
    struct kvs_client_error error;
    kvs_buf_append_str(&body, "{\"id\":");
    kvs_json_write_string(&body, kvs_slice_from_str(id));
    kvs_buf_append_char(&body, '}');
    if (body.err) {
        kvs_cmd_error("%s", kvs_err_text(body.err));
        return KVS_EXIT_FAILED;
    }
    if (kvs_client_request(target->client, "DELETE", "/members/leave", NULL, body.data, body.size,
                           &response, &error) != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    kvs_client_response_done(&response);
    return KVS_EXIT_OK;
}

// Asks the node for its name.
static int find_node_id(struct target *target)
{
    struct kvs_client_response response;
    struct kvs_client_error error;
    struct kvs_arena arena;
    struct kvs_json *root = NULL;
    if (kvs_client_request(target->client, "GET", "/health", NULL, NULL, 0, &response, &error) !=
        KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    kvs_arena_init(&arena, ARENA_MAX);
    if (kvs_json_parse(kvs_slice(response.body, response.body_size), 0, &arena, &root, NULL) == 0) {
        struct kvs_slice id = text_of(root, "node_id", &arena);
        target->node_id = id.size > 0 ? strndup(id.data, id.size) : NULL;
    }
    kvs_arena_done(&arena);
    kvs_client_response_done(&response);
    if (target->node_id)
        return KVS_EXIT_OK;
    kvs_cmd_error("the answer is none of KVS");
    return KVS_EXIT_FAILED;
}

// True when the node no longer answers.
static bool wait_for_end(struct target *target)
{
    const struct timespec pause = {.tv_nsec = END_LOOK_MS * 1000000L};
    const struct kvs_clock *clock = kvs_clock_system();
    int64_t end_ms = kvs_clock_mono_ms(clock) + END_WAIT_MS;
    while (kvs_clock_mono_ms(clock) < end_ms) {
        struct kvs_client_response response;
        enum kvs_client_code code =
            kvs_client_request(target->client, "GET", "/health", NULL, NULL, 0, &response, NULL);
        if (code == KVS_CLIENT_UNREACHABLE)
            return true;
        if (code == KVS_CLIENT_OK)
            kvs_client_response_done(&response);
        (void)nanosleep(&pause, NULL); // a shorter one does no harm
    }
    return false;
}

static int leave(struct target *target)
{
    int code = target->node_id ? KVS_EXIT_OK : find_node_id(target);
    if (code == KVS_EXIT_OK)
        code = send_leave(target, target->node_id);
    if (code != KVS_EXIT_OK)
        return code;
    if (!wait_for_end(target)) {
        kvs_cmd_error("%s is still leaving: its log says what it waits for", target->node_id);
        return KVS_EXIT_LATER;
    }
    printf("%s has left the cluster and stopped; its data stays where it is\n", target->node_id);
    return KVS_EXIT_OK;
}

static int remove_member(struct target *target, const char *id)
{
    if (target->node_id && strcmp(target->node_id, id) == 0)
        return kvs_cmd_usage_error(target->args->command,
                                   "%s is the node that is asked: it can leave, not be removed",
                                   id);
    int code = send_leave(target, id);
    if (code == KVS_EXIT_OK)
        printf("%s is no member any more\n", id);
    return code;
}

static int run_members(const struct kvs_args *args)
{
    struct target target = {.args = args};
    const char *verb = args->operand_count > 0 ? args->operands[0] : "";
    bool leaves = strcmp(verb, "leave") == 0;
    bool removes = strcmp(verb, "remove") == 0;
    if (args->operand_count == 0)
        return list_members(args);
    if (!leaves && !removes)
        return kvs_cmd_usage_error(args->command, "'%s' is neither leave nor remove", verb);
    int words = args->operand_count - 1;
    if ((leaves && words > 1) || (removes && words == 0))
        return kvs_cmd_usage_error(args->command, leaves ? "leave takes one CONFIG at most"
                                                         : "which member? remove needs its ID");
    bool has_config = words == (leaves ? 1 : 2);
    int code = has_config ? open_config(&target, args->operands[1]) : open_at_url(&target);
    if (code == KVS_EXIT_OK)
        code = leaves ? leave(&target) : remove_member(&target, args->operands[words]);
    target_done(&target);
    return code;
}

static const struct kvs_cmd_option members_options[] = {
    {"all", 'a', NULL, "Also who has been dead or gone for more than ten minutes"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_members = {
    .run = run_members,
    .actions = "leave remove",
    .options = members_options,
    .details =
        "Without more it lists the cluster as one node sees it: state, address, when it was last\n"
        "seen, how many of this node's versions it still lacks, its clock against this node's,\n"
        "and when the two last agreed on everything.\n"
        "\n"
        "leave takes the node of CONFIG out of the cluster for good: it hands over what the\n"
        "others lack, says so and stops. (kvs stop only pauses a node.) Its data stays.\n"
        "remove takes a dead member out, by its ID or UUID, so that nobody waits for it.\n"
        "\n"
        "Both need the cluster secret: with CONFIG that of the config, whose node on this machine\n"
        "is asked; without, $KVS_CLUSTER_SECRET, for the node at --url. It is not sent: requests\n"
        "are signed with it, and so is what the node answers.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs members\n"
        "  kvs members --all --json | jq -r '.[] | select(.state == \"dead\") | .id'\n"
        "  kvs members leave node3\n"
        "  kvs members remove node1 node3\n",
};
