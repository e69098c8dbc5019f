// SPDX-License-Identifier: Apache-2.0
// `kvs history`: the versions of a key and what each of them changed.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/diff.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "codec/json.h"

enum { SHOWN_SIZE_MAX = 512 << 20 };

static const char *state_of(const struct kvs_client_revision *revision)
{
    if (revision->deleted)
        return "deleted";
    if (revision->expired)
        return "expired";
    return revision->conflict_loser ? "lost a conflict" : "";
}

static bool has_value(const struct kvs_client_revision *revision)
{
    return !revision->deleted && !revision->expired;
}

static void show_as_json(struct kvs_buf *out, const struct kvs_client_history *history)
{
    for (size_t i = 0; i < history->revision_count; i++) {
        const struct kvs_client_revision *each = &history->revisions[i];
        kvs_buf_printf(
            out, "{\"revision\":%" PRIu32 ",\"uuid\":\"%s\",\"timestamp\":%" PRId64 ",\"data\":",
            each->revision, each->version.uuid, each->version.timestamp_ms);
        kvs_buf_append(out, each->json, each->json_size);
        kvs_buf_append_str(out, each->deleted ? ",\"deleted\":true" : "");
        kvs_buf_append_str(out, each->expired ? ",\"expired\":true" : "");
        kvs_buf_append_str(out, each->conflict_loser ? ",\"conflict_loser\":true" : "");
        kvs_buf_append_str(out, "}\n");
    }
}

// The value as lines, to compare; nothing where there is none.
static void make_lines(struct kvs_buf *lines, const struct kvs_client_revision *revision)
{
    if (has_value(revision))
        kvs_show_json(lines, false, kvs_slice(revision->json, revision->json_size));
}

static bool show_change(struct kvs_buf *out, bool coloured, const struct kvs_client_revision *older,
                        const struct kvs_client_revision *newer)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf before = KVS_BUF_INIT(SHOWN_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf after = KVS_BUF_INIT(SHOWN_SIZE_MAX);
    size_t size = out->size;
    make_lines(&before, older);
    make_lines(&after, newer);
    if (before.err || after.err ||
        !kvs_diff_append(out, coloured, kvs_buf_slice(&before), kvs_buf_slice(&after)))
        return false;
    if (out->size == size && has_value(newer))
        kvs_buf_append_str(out, "(the same value)\n");
    return true;
}

static bool show_for_people(struct kvs_buf *out, bool coloured,
                            const struct kvs_client_history *history)
{
    bool good = true;
    for (size_t i = 0; good && i < history->revision_count; i++) {
        const struct kvs_client_revision *each = &history->revisions[i];
        char time[KVS_SHOW_TIME_SIZE];
        const char *state = state_of(each);
        kvs_show_time(each->version.timestamp_ms, time);
        kvs_buf_printf(out, "%s%srevision %" PRIu32 "  %s  %s%s%s%s\n", i > 0 ? "\n" : "",
                       kvs_style_begin(coloured, KVS_STYLE_HEADING), each->revision, time,
                       each->version.uuid, state[0] ? "  " : "", state,
                       kvs_style_end(coloured, KVS_STYLE_HEADING));
        if (i + 1 < history->revision_count) {
            good = show_change(out, coloured, &history->revisions[i + 1], each);
        } else if (has_value(each)) {
            kvs_show_json(out, coloured, kvs_slice(each->json, each->json_size));
            kvs_buf_append_char(out, '\n');
        }
    }
    return good;
}

static int show(const struct kvs_args *args, const struct kvs_client_history *history)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(SHOWN_SIZE_MAX);
    if (kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON)
        show_as_json(&out, history);
    else if (!show_for_people(&out, kvs_style_is_wanted(STDOUT_FILENO), history))
        out.err = KVS_ERR_NOMEM;
    return kvs_cmd_print(&out);
}

static int run_history(const struct kvs_args *args)
{
    struct kvs_client *client = NULL;
    int code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_history history;
    struct kvs_client_error error;
    if (kvs_client_history(client, args->operands[0], &history, &error) == KVS_CLIENT_OK) {
        code = show(args, &history);
        kvs_client_history_done(&history);
    } else {
        code = kvs_cmd_client_error(&error);
    }
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option history_options[] = {
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_history = {
    .run = run_history,
    .options = history_options,
    .details =
        "Shows the versions that the node keeps (three, unless the setting revisions says\n"
        "otherwise), newest first, each with what it changed against the one before, as a\n"
        "unified difference of the indented values. A deletion is a version too. With --json\n"
        "one object a line, values as stored.\n"
        "Exit code 4 where there is nothing under KEY.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs history app/config\n"
        "  kvs history app/config --json | jq .uuid\n"
        "  kvs get app/config --rev 2        # the value before the last change\n"
        "  kvs restore app/config --rev 2    # and back to it\n",
};
