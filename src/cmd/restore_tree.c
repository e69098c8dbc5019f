// SPDX-License-Identifier: Apache-2.0
// Undoes deletions under a prefix: walks the node's change feed for them, and restores the version
// before each one that is still its key's newest. Never touches a key that has a value: what was
// written again since stays, also when that happens in the middle of it. A node's rate limit slows
// it down and does not stop it.
#include "cmd/restore_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cmd/client_args.h"
#include "cmd/show.h"
#include "codec/http.h"
#include "codec/json.h"

enum {
    PAGE_LIMIT = 1000,
    ARENA_MAX = 256 << 20,
    TARGET_SIZE_MAX = 16 << 10,
    LINE_MAX_SIZE = 64 << 10
};
enum { PAUSE_DEFAULT_MS = 1000 };

struct restore {
    const struct kvs_args *args;
    struct kvs_client *client;
    enum kvs_cmd_output output;
    char *prefix;     // with a slash at its end
    int64_t since_ms; // deletions before it stay
    bool dry_run;
    uint64_t restored;
    uint64_t failed;
};

// Waits as long as the node asks for, if that is what it asks for.
static bool is_told_to_wait(enum kvs_client_code code, const struct kvs_client_error *error)
{
    if (code != KVS_CLIENT_RATE_LIMITED)
        return false;
    int64_t ms = error->retry_after_ms > 0 ? error->retry_after_ms : PAUSE_DEFAULT_MS;
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL); // too short a pause is only one more question
    return true;
}

static int tell(struct restore *restore, const char *key, const struct kvs_client_version *version)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(LINE_MAX_SIZE);
    if (restore->output == KVS_CMD_OUTPUT_JSON) {
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, kvs_slice_from_str(key));
        if (version)
            kvs_buf_printf(&out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64, version->uuid,
                           version->timestamp_ms);
        kvs_buf_append_str(&out, "}\n");
    } else if (restore->output == KVS_CMD_OUTPUT_HUMAN) {
        kvs_buf_append_str(&out, restore->dry_run ? "would restore " : "restored ");
        kvs_show_text(&out, kvs_slice_from_str(key));
        kvs_buf_append_char(&out, '\n');
    } else {
        kvs_buf_printf(&out, "%s\n", key);
    }
    return kvs_cmd_print(&out);
}

// The revision before the deletion `uuid`, if that is still what the key's history begins with; 0:
// it is not. Nodes that deleted at the same time leave more than one deletion.
static enum kvs_client_code find_revision(struct restore *restore, const char *key,
                                          const char *uuid, uint32_t *ret_revision,
                                          struct kvs_client_error *ret_error)
{
    struct kvs_client_history history;
    enum kvs_client_code code;
    do
        code = kvs_client_history(restore->client, key, &history, ret_error);
    while (is_told_to_wait(code, ret_error));
    *ret_revision = 0;
    if (code == KVS_CLIENT_NOT_FOUND) // forgotten by now
        return KVS_CLIENT_OK;
    if (code != KVS_CLIENT_OK)
        return code;
    size_t at = 0;
    if (history.revision_count > 0 && strcmp(history.revisions[0].version.uuid, uuid) == 0)
        while (at < history.revision_count && history.revisions[at].deleted)
            at++;
    if (at > 0)
        *ret_revision = (uint32_t)at + 1;
    kvs_client_history_done(&history);
    return KVS_CLIENT_OK;
}

static int restore_key(struct restore *restore, const char *key, const char *uuid)
{
    struct kvs_client_error error;
    struct kvs_client_version version;
    uint32_t revision;
    enum kvs_client_code code = find_revision(restore, key, uuid, &revision, &error);
    if (code != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    if (revision == 0)
        return KVS_EXIT_OK;
    if (restore->dry_run) {
        restore->restored++;
        return tell(restore, key, NULL);
    }
    // Whoever has written the key since the question was asked wins.
    const struct kvs_client_put_options options = {.ttl = kvs_args_value(restore->args, "ttl"),
                                                   .if_none_match = true};
    do
        code = kvs_client_restore(restore->client, key, revision, &options, &version, &error);
    while (is_told_to_wait(code, &error));
    if (code == KVS_CLIENT_OK) {
        restore->restored++;
        return tell(restore, key, &version);
    }
    if (code == KVS_CLIENT_PRECONDITION)
        return KVS_EXIT_OK;
    if (code != KVS_CLIENT_NOT_FOUND && code != KVS_CLIENT_FORBIDDEN)
        return kvs_cmd_client_error(&error);
    restore->failed++;
    kvs_cmd_error("%s: %s", key, error.message);
    return KVS_EXIT_OK;
}

static bool read_text(const struct kvs_json *object, const char *name, struct kvs_arena *arena,
                      char *ret_text, size_t size)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    struct kvs_slice text;
    if (!member || member->type != KVS_JSON_STRING || kvs_json_string(member, arena, &text) != 0 ||
        text.size >= size)
        return false;
    memcpy(ret_text, text.data, text.size);
    ret_text[text.size] = 0;
    return true;
}

static int handle_change(struct restore *restore, const struct kvs_json *change,
                         struct kvs_arena *arena)
{
    char key[2048]; // a key has at most 1024 bytes
    char uuid[KVS_CLIENT_UUID_SIZE];
    int64_t timestamp_ms = 0;
    const struct kvs_json *deleted = kvs_json_member(change, "deleted");
    const struct kvs_json *timestamp = kvs_json_member(change, "timestamp");
    if (!deleted || deleted->type != KVS_JSON_TRUE)
        return KVS_EXIT_OK;
    if (!read_text(change, "path", arena, key, sizeof(key)) ||
        !read_text(change, "uuid", arena, uuid, sizeof(uuid)) || !timestamp ||
        !kvs_json_to_i64(timestamp, &timestamp_ms)) {
        kvs_cmd_error("the node's answer is none of a change feed");
        return KVS_EXIT_FAILED;
    }
    return timestamp_ms < restore->since_ms ? KVS_EXIT_OK : restore_key(restore, key, uuid);
}

// A node that has forgotten its first changes says up to which: its own words, for want of a member
// in the problem document.
static bool find_oldest_kept(const struct kvs_client_error *error, int64_t *ret_since)
{
    static const char words[] = "keeps the changes behind ";
    const char *at = error->code == KVS_CLIENT_GONE ? strstr(error->message, words) : NULL;
    if (!at)
        return false;
    *ret_since = strtoll(at + strlen(words), NULL, 10);
    return *ret_since > 0;
}

static int fetch_page(struct restore *restore, int64_t since,
                      struct kvs_client_response *ret_answer)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf target = KVS_BUF_INIT(TARGET_SIZE_MAX);
    struct kvs_client_error error;
    kvs_buf_printf(&target, "/changes?limit=%d&since=%" PRId64 "&prefix=", PAGE_LIMIT, since);
    kvs_percent_encode(&target, kvs_slice_from_str(restore->prefix), false);
    kvs_buf_append_char(&target, 0);
    if (target.err)
        return kvs_cmd_usage_error(restore->args->command, "that prefix is too long");
    enum kvs_client_code code;
    do
        code = kvs_client_request(restore->client, "GET", target.data, NULL, NULL, 0, ret_answer,
                                  &error);
    while (is_told_to_wait(code, &error));
    if (code != KVS_CLIENT_OK && since == 0 && find_oldest_kept(&error, &since))
        return fetch_page(restore, since, ret_answer);
    return code == KVS_CLIENT_OK ? KVS_EXIT_OK : kvs_cmd_client_error(&error);
}

static int read_page(struct restore *restore, const struct kvs_client_response *answer,
                     int64_t *since, bool *ret_more)
{
    struct kvs_arena arena;
    struct kvs_json *page = NULL;
    kvs_arena_init(&arena, ARENA_MAX);
    int code = KVS_EXIT_OK;
    int64_t last = 0;
    bool good = kvs_json_parse(kvs_slice(answer->body, answer->body_size), KVS_JSON_UNIQUE_KEYS,
                               &arena, &page, NULL) == 0;
    const struct kvs_json *last_seq = good ? kvs_json_member(page, "last_seq") : NULL;
    const struct kvs_json *more = good ? kvs_json_member(page, "more") : NULL;
    const struct kvs_json *changes = good ? kvs_json_member(page, "changes") : NULL;
    *ret_more = more && more->type == KVS_JSON_TRUE;
    if (!changes || !last_seq || !kvs_json_to_i64(last_seq, &last) ||
        (*ret_more && last <= *since)) {
        kvs_cmd_error("the node's answer is none of a change feed");
        code = KVS_EXIT_FAILED;
    }
    *since = last;
    const struct kvs_json *change = code == KVS_EXIT_OK ? changes->child : NULL;
    for (; change && code == KVS_EXIT_OK; change = change->next)
        code = handle_change(restore, change, &arena);
    kvs_arena_done(&arena);
    return code;
}

static int walk(struct restore *restore)
{
    int code = KVS_EXIT_OK;
    int64_t since = 0;
    for (bool more = true; more && code == KVS_EXIT_OK;) {
        struct kvs_client_response answer = {0};
        code = fetch_page(restore, since, &answer);
        if (code == KVS_EXIT_OK)
            code = read_page(restore, &answer, &since, &more);
        kvs_client_response_done(&answer);
    }
    return code;
}

static int read_arguments(struct restore *restore)
{
    const char *word = restore->args->operands[0];
    const char *since = kvs_args_value(restore->args, "since");
    size_t size = strlen(word);
    int64_t ns = 0;
    while (size > 0 && word[size - 1] == '/')
        size--;
    if (size == 0)
        return kvs_cmd_usage_error(restore->args->command, "--recursive needs a prefix");
    int code = kvs_cmd_check_prefix(restore->args, word);
    if (code != KVS_EXIT_OK)
        return code;
    if (since && (kvs_duration_parse(kvs_slice_from_str(since), &ns) < 0 || ns <= 0))
        return kvs_cmd_usage_error(restore->args->command, "--since '%s' is no age like 10m or 24h",
                                   since);
    if (since)
        restore->since_ms = kvs_clock_wall_ms(kvs_clock_system()) - ns / 1000000;
    if (asprintf(&restore->prefix, "%.*s/", (int)size, word) < 0) {
        restore->prefix = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    return KVS_EXIT_OK;
}

static int result(const struct restore *restore)
{
    if (restore->failed > 0) {
        kvs_cmd_error("%" PRIu64 " records could not be restored", restore->failed);
        return KVS_EXIT_PARTIAL;
    }
    if (restore->output == KVS_CMD_OUTPUT_HUMAN && restore->restored > 0)
        printf("%s %" PRIu64 " records under %s\n", restore->dry_run ? "would restore" : "restored",
               restore->restored, restore->prefix);
    if (restore->restored == 0) {
        kvs_cmd_error("nothing that was deleted under %s%s can be restored", restore->prefix,
                      restore->since_ms ? " since then" : "");
        return KVS_EXIT_NOT_FOUND;
    }
    return KVS_EXIT_OK;
}

int kvs_cmd_restore_tree(const struct kvs_args *args)
{
    struct restore restore = {
        .args = args,
        .output = kvs_cmd_output(args),
        .dry_run = kvs_args_flag(args, "dry-run"),
    };
    int code = read_arguments(&restore);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &restore.client);
    if (code == KVS_EXIT_OK)
        code = walk(&restore);
    if (code == KVS_EXIT_OK)
        code = result(&restore);
    kvs_client_free(restore.client);
    free(restore.prefix);
    return code;
}
