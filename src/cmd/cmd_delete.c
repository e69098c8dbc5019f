// SPDX-License-Identifier: Apache-2.0
// `kvs delete`: one record, or with --recursive a whole subtree, which the node does as a job.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cmd/client_args.h"
#include "cmd/progress.h"
#include "cmd/receipt_args.h"
#include "cmd/show.h"
#include "codec/json.h"

enum { POLL_FIRST_MS = 20, POLL_MAX_MS = 1000 };

// ---- One record

static int show(const struct kvs_args *args, const struct kvs_client_receipt *receipt)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    struct kvs_slice key = kvs_slice_from_str(args->operands[0]);
    switch (kvs_cmd_output(args)) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, key);
        kvs_buf_append_str(&out, ",\"deleted\":true");
        kvs_cmd_receipt_append(&out, receipt);
        kvs_buf_append_str(&out, "}\n");
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

static int delete_record(const struct kvs_args *args, struct kvs_client *client,
                         struct kvs_client_receipt *receipt)
{
    struct kvs_client_error error;
    const char *key = args->operands[0];
    int code = KVS_EXIT_OK;
    if (kvs_client_delete_receipt(client, key, kvs_args_value(args, "if-match"), receipt, &error) ==
        KVS_CLIENT_OK) {
        code = show(args, receipt);
        return code == KVS_EXIT_OK ? kvs_cmd_receipt_check(receipt, "deleted") : code;
    }
    code = kvs_cmd_client_error(&error);
    if (error.code == KVS_CLIENT_NOT_FOUND && kvs_cmd_is_prefix(client, key))
        kvs_cmd_error("there are keys under it: 'kvs delete -r %s' deletes them", key);
    return code;
}

// ---- A subtree

static int show_count(const struct kvs_args *args, uint64_t count, bool dry_run)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    struct kvs_slice prefix = kvs_slice_from_str(args->operands[0]);
    switch (kvs_cmd_output(args)) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append_str(&out, "{\"prefix\":");
        kvs_json_write_string(&out, prefix);
        kvs_buf_printf(&out, ",\"%s\":%" PRIu64 "}\n", dry_run ? "would_delete" : "deleted", count);
        break;
    case KVS_CMD_OUTPUT_HUMAN:
        kvs_buf_printf(&out, "%s %" PRIu64 " record%s under ", dry_run ? "would delete" : "deleted",
                       count, count == 1 ? "" : "s");
        kvs_show_text(&out, prefix);
        kvs_buf_append_char(&out, '\n');
        break;
    case KVS_CMD_OUTPUT_PLAIN:
        kvs_buf_printf(&out, "%" PRIu64 "\n", count);
        break;
    }
    return kvs_cmd_print(&out);
}

static int show_job(const struct kvs_args *args, const char *url)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    bool json = kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON;
    if (json) {
        kvs_buf_append_str(&out, "{\"prefix\":");
        kvs_json_write_string(&out, kvs_slice_from_str(args->operands[0]));
        kvs_buf_append_str(&out, ",\"job\":");
        kvs_json_write_string(&out, kvs_slice_from_str(url));
    } else {
        kvs_buf_append_str(&out, url);
    }
    kvs_buf_append_str(&out, json ? "}\n" : "\n");
    return kvs_cmd_print(&out);
}

// A person at a terminal is asked once; a script has said what it wants.
static bool is_confirmed(const struct kvs_args *args, uint64_t count)
{
    if (kvs_args_flag(args, "yes") || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return true;
    char answer[16] = "";
    fprintf(stderr, "delete %" PRIu64 " record%s under %s? [y/N] ", count, count == 1 ? "" : "s",
            args->operands[0]);
    if (!fgets(answer, sizeof(answer), stdin))
        return false;
    return answer[0] == 'y' || answer[0] == 'Y';
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

static int wait_for_job(const struct kvs_args *args, struct kvs_client *client,
                        struct kvs_client_job *job, uint64_t total)
{
    struct kvs_progress progress;
    struct kvs_client_error error;
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_HUMAN && !kvs_args_flag(args, "quiet"))
        fprintf(stderr, "the node deletes by itself, Ctrl-C does not end that: DELETE %s does\n",
                job->url);
    kvs_progress_begin(&progress, "deleted", kvs_args_flag(args, "quiet"));
    for (int64_t pause_ms = POLL_FIRST_MS; job->state == KVS_CLIENT_JOB_RUNNING;) {
        kvs_progress_update(&progress, job->done, job->done, total);
        sleep_ms(pause_ms);
        pause_ms = 2 * pause_ms < POLL_MAX_MS ? 2 * pause_ms : POLL_MAX_MS;
        if (kvs_client_job_refresh(client, job, &error) != KVS_CLIENT_OK) {
            kvs_progress_clear(&progress);
            kvs_cmd_error(
                "the node goes on deleting, but cannot be asked how far it is; look at %s",
                job->url);
            return kvs_cmd_client_error(&error);
        }
    }
    kvs_progress_clear(&progress);
    if (job->state == KVS_CLIENT_JOB_DONE)
        return show_count(args, job->done, false);
    kvs_cmd_error("the node stopped after %" PRIu64 " records: %s", job->done,
                  job->message[0] ? job->message : "its log says why");
    return KVS_EXIT_PARTIAL;
}

static int delete_tree(const struct kvs_args *args, struct kvs_client *client)
{
    struct kvs_client_job job;
    struct kvs_client_error error;
    const char *prefix = args->operands[0];
    if (kvs_args_value(args, "if-match"))
        return kvs_cmd_usage_error(args->command, "--if-match is for one record");
    if (kvs_client_delete_tree(client, prefix, true, &job, &error) != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    if (kvs_args_flag(args, "dry-run"))
        return show_count(args, job.done, true);
    if (job.done == 0) {
        kvs_cmd_error("there is nothing under %s", prefix);
        return KVS_EXIT_NOT_FOUND;
    }
    uint64_t total = job.done;
    if (!is_confirmed(args, total)) {
        kvs_cmd_error("nothing was deleted");
        return KVS_EXIT_FAILED;
    }
    if (kvs_client_delete_tree(client, prefix, false, &job, &error) != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    if (kvs_args_flag(args, "no-wait")) {
        return show_job(args, job.url);
    }
    return wait_for_job(args, client, &job, total);
}

static int run_delete(const struct kvs_args *args)
{
    static const char *const tree_only[] = {"dry-run", "no-wait", "yes", "quiet"};
    bool recursive = kvs_args_flag(args, "recursive");
    for (size_t i = 0; !recursive && i < KVS_ARRAY_SIZE(tree_only); i++)
        if (kvs_args_flag(args, tree_only[i]))
            return kvs_cmd_usage_error(args->command, "--%s goes with --recursive", tree_only[i]);
    struct kvs_client_receipt receipt;
    struct kvs_client *client = NULL;
    int code = kvs_cmd_receipt_read(args, &receipt);
    if (code == KVS_EXIT_OK && recursive && receipt.nodes_wanted > 0)
        return kvs_cmd_usage_error(args->command,
                                   "--nodes is for one record: a job waits for none");
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = recursive ? delete_tree(args, client) : delete_record(args, client, &receipt);
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option delete_options[] = {
    {"if-match", 0, "UUID", "Only this version"},
    KVS_CMD_RECEIPT_OPTIONS,
    {"recursive", 'r', NULL, "Every record under KEY/ (not KEY itself)"},
    {"dry-run", 'n', NULL, "With -r: only count"},
    {"yes", 'y', NULL, "With -r: do not ask, on a terminal too"},
    {"no-wait", 0, NULL, "With -r: print the job's URL and leave it to the node"},
    {"quiet", 'q', NULL, "With -r: no progress bar"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_delete = {
    .run = run_delete,
    .options = delete_options,
    .details =
        "Its earlier versions stay in the history for a while: 'kvs restore KEY' brings it back.\n"
        "With --recursive the node deletes whatever lies under KEY, whole segments only (app\n"
        "never touches app2), as a job that goes on after a restart; on a terminal it shows how\n"
        "far it is and asks first.\n"
        "Exit code 4 where there is nothing, 5 when --if-match did not hold, 9 when fewer\n"
        "than --nodes had the deletion in time.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs delete greeting\n"
        "  kvs delete -r sessions --dry-run\n"
        "  kvs delete -r sessions --yes\n",
};
