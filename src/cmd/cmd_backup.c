// SPDX-License-Identifier: Apache-2.0
// `kvs backup`: asks a node for one and waits until it is verified, lists them; or works on files.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd/backup_local.h"
#include "cmd/show.h"
#include "codec/json.h"

enum { POLL_MS = 100, ARENA_SIZE_MAX = 256 << 20 };

static int fail_answer(void)
{
    kvs_cmd_error("the answer is not one of KVS");
    return KVS_EXIT_FAILED;
}

// ---- Answers

struct answer {
    struct kvs_client_response response;
    struct kvs_arena arena;
    struct kvs_json *root;
};

static void answer_done(struct answer *answer)
{
    kvs_client_response_done(&answer->response);
    kvs_arena_done(&answer->arena);
}

static int ask(struct kvs_client *client, const char *method, const char *target,
               struct answer *ret_answer)
{
    struct kvs_client_error error;
    *ret_answer = (struct answer){0};
    kvs_arena_init(&ret_answer->arena, ARENA_SIZE_MAX);
    enum kvs_client_code code =
        kvs_client_request(client, method, target, NULL, NULL, 0, &ret_answer->response, &error);
    if (code != KVS_CLIENT_OK) {
        int failed = kvs_cmd_client_error(&error);
        return error.http_status == 409 ? KVS_EXIT_LATER : failed; // one is being made
    }
    struct kvs_json_error where;
    if (kvs_json_parse(kvs_slice(ret_answer->response.body, ret_answer->response.body_size), 0,
                       &ret_answer->arena, &ret_answer->root, &where) != 0)
        return fail_answer();
    return KVS_EXIT_OK;
}

static int64_t number_of(const struct kvs_json *object, const char *name)
{
    const struct kvs_json *member = object ? kvs_json_member(object, name) : NULL;
    int64_t number = 0;
    return member && kvs_json_to_i64(member, &number) ? number : 0;
}

// In the arena, NUL-terminated; "" when it is no string.
static const char *text_of(struct answer *answer, const struct kvs_json *object, const char *name)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    struct kvs_slice text;
    if (!member || member->type != KVS_JSON_STRING ||
        kvs_json_string(member, &answer->arena, &text) != 0)
        return "";
    struct kvs_slice copy = kvs_arena_copy(&answer->arena, text);
    return copy.data ? copy.data : "";
}

// ---- kvs backup

static void show_progress(struct answer *answer, struct kvs_progress *progress, char phase[32])
{
    const struct kvs_json *running = kvs_json_member(answer->root, "running");
    if (!running || running->type != KVS_JSON_OBJECT)
        return;
    const char *now = text_of(answer, running, "phase");
    if (strcmp(phase, now) != 0) {
        (void)snprintf(phase, 32, "%s", now);
        bool writing = strcmp(now, "writing") == 0;
        kvs_progress_clear(progress);
        kvs_progress_begin(progress, writing ? "versions written" : "versions verified", false);
    }
    uint64_t done = (uint64_t)number_of(running, "done");
    kvs_progress_update(progress, done, done, (uint64_t)number_of(running, "total"));
}

static int show_result(enum kvs_cmd_output output, struct answer *answer)
{
    const struct kvs_json *success = kvs_json_member(answer->root, "last_backup_success");
    bool good = success && success->type == KVS_JSON_TRUE;
    if (output == KVS_CMD_OUTPUT_JSON)
        printf("%s\n", answer->response.body);
    if (!good) {
        kvs_cmd_error("the backup failed: %s", text_of(answer, answer->root, "last_backup_error"));
        return KVS_EXIT_FAILED;
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    char size[KVS_CMD_SIZE_TEXT_SIZE];
    const char *path = text_of(answer, answer->root, "last_backup_path");
    if (output == KVS_CMD_OUTPUT_PLAIN)
        kvs_buf_printf(&out, "%s\n", path);
    if (output == KVS_CMD_OUTPUT_HUMAN) {
        kvs_buf_append_str(&out, "backup made and verified: ");
        kvs_show_text(&out, kvs_slice_from_str(path));
        kvs_buf_printf(
            &out, " (%s)\n",
            kvs_cmd_size_text((uint64_t)number_of(answer->root, "last_backup_size"), size));
    }
    return kvs_cmd_print(&out);
}

// Until the run with that number has ended. A node that stops meanwhile ends it, too: the next
// question fails.
static int wait_for(struct kvs_client *client, int64_t id, enum kvs_cmd_output output)
{
    struct kvs_progress progress;
    char phase[32] = "";
    kvs_progress_begin(&progress, "", false);
    for (;;) {
        struct answer answer;
        int code = ask(client, "GET", "/api/backup/status", &answer);
        bool ended = code != KVS_EXIT_OK || number_of(answer.root, "last_id") >= id;
        if (code == KVS_EXIT_OK && !ended)
            show_progress(&answer, &progress, phase);
        if (ended)
            kvs_progress_clear(&progress);
        if (ended && code == KVS_EXIT_OK)
            code = show_result(output, &answer);
        answer_done(&answer);
        if (ended)
            return code;
        const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
        (void)nanosleep(&pause, NULL); // an early end only asks sooner
    }
}

static int run_on_node(const struct kvs_args *args, struct kvs_client *client)
{
    struct answer answer;
    int code = ask(client, "POST", "/api/backup", &answer);
    int64_t id = code == KVS_EXIT_OK ? number_of(answer.root, "id") : 0;
    answer_done(&answer);
    if (code != KVS_EXIT_OK)
        return code;
    return id > 0 ? wait_for(client, id, kvs_cmd_output(args)) : fail_answer();
}

// ---- kvs backup list

static void show_entry(struct kvs_buf *out, enum kvs_cmd_output output, struct answer *answer,
                       const struct kvs_json *entry)
{
    char created[KVS_SHOW_TIME_SIZE];
    char size[KVS_CMD_SIZE_TEXT_SIZE];
    if (output == KVS_CMD_OUTPUT_JSON) {
        kvs_buf_append_slice(out, entry->source);
        kvs_buf_append_char(out, '\n');
        return;
    }
    if (output == KVS_CMD_OUTPUT_PLAIN) {
        kvs_buf_printf(out, "%s\n", text_of(answer, entry, "path"));
        return;
    }
    kvs_show_time(number_of(entry, "created_at") * 1000, created);
    kvs_buf_printf(out, "%s  %10s  ", created,
                   kvs_cmd_size_text((uint64_t)number_of(entry, "size"), size));
    const char *error = text_of(answer, entry, "error");
    if (*error)
        kvs_buf_append_str(out, error);
    else
        kvs_buf_printf(out, "%" PRId64 " keys of ", number_of(entry, "keys"));
    kvs_show_text(out, kvs_slice_from_str(text_of(answer, entry, "node_id")));
    kvs_buf_append_str(out, "  ");
    kvs_show_text(out, kvs_slice_from_str(text_of(answer, entry, "path")));
    kvs_buf_append_char(out, '\n');
}

static int show_page(enum kvs_cmd_output output, struct answer *answer, uint64_t *count)
{
    const struct kvs_json *list = kvs_json_member(answer->root, "backups");
    if (!list || list->type != KVS_JSON_ARRAY)
        return fail_answer();
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 20);
    for (const struct kvs_json *entry = list->child; entry; entry = entry->next) {
        show_entry(&out, output, answer, entry);
        ++*count;
    }
    return kvs_cmd_print(&out);
}

static int list_on_node(const struct kvs_args *args, struct kvs_client *client)
{
    enum kvs_cmd_output output = kvs_cmd_output(args);
    char target[256] = "/api/backups?limit=1000";
    uint64_t count = 0;
    int code = KVS_EXIT_OK;
    bool more = true;
    while (more && code == KVS_EXIT_OK) {
        struct answer answer;
        code = ask(client, "GET", target, &answer);
        if (code == KVS_EXIT_OK)
            code = show_page(output, &answer, &count);
        const char *next = code == KVS_EXIT_OK ? text_of(&answer, answer.root, "next") : "";
        more = *next != '\0';
        (void)snprintf(target, sizeof(target), "/api/backups?limit=1000&cursor=%s", next);
        answer_done(&answer);
    }
    if (code == KVS_EXIT_OK && count == 0 && output == KVS_CMD_OUTPUT_HUMAN)
        fputs("no backups\n", stderr);
    return code;
}

// ---- The command

static int with_client(const struct kvs_args *args,
                       int (*work)(const struct kvs_args *args, struct kvs_client *client))
{
    struct kvs_client *client = NULL;
    int code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = work(args, client);
    kvs_client_free(client);
    return code;
}

static int run_backup(const struct kvs_args *args)
{
    const char *word = args->operand_count > 0 ? args->operands[0] : "";
    bool verify = strcmp(word, "verify") == 0;
    if (verify && args->operand_count != 2)
        return kvs_cmd_usage_error(args->command, "verify needs a FILE");
    if (!verify && args->operand_count > 1)
        return kvs_cmd_usage_error(args->command, "'%s' is one argument too many",
                                   args->operands[1]);
    if (verify)
        return kvs_cmd_backup_verify(args, args->operands[1]);
    if (args->operand_count == 0)
        return with_client(args, run_on_node);
    if (strcmp(word, "list") == 0)
        return with_client(args, list_on_node);
    return kvs_cmd_backup_stopped_node(args, word);
}

static const struct kvs_cmd_option backup_options[] = {
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_backup = {
    .run = run_backup,
    .actions = "list verify",
    .options = backup_options,
    .details =
        "Without an argument the node makes a backup in its backup_path, and this command waits\n"
        "until it has been verified: restored to scratch and compared. It shows how far it is and\n"
        "prints the file's path.\n"
        "\n"
        "  kvs backup list         what backups the node has, newest first\n"
        "  kvs backup verify FILE  is this file whole and undamaged? Needs no node\n"
        "  kvs backup CONFIG       back up a node that does not run, from its data folder\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs backup\n"
        "  kvs backup verify backups/kvs-backup-2026-11-23T000000Z.zst\n"
        "  scp \"$(kvs backup)\" elsewhere:\n",
};
