// SPDX-License-Identifier: Apache-2.0
// `kvs get`: one value.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cmd/client_args.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "codec/json.h"

enum { SHOWN_SIZE_MAX = 512 << 20, REVISION_MAX = 1000 };

// When this version expires, Unix time in ms; 0: never. A listing tells it, the record does not.
static int64_t find_expiry(struct kvs_client *client, const char *key,
                           const struct kvs_client_record *record)
{
    const struct kvs_client_range_options options = {
        .start_key = key, .end_key = key, .limit = 1, .expiry = true};
    struct kvs_client_listing page;
    struct kvs_client_error error;
    if (kvs_client_range(client, &options, &page, &error) != KVS_CLIENT_OK)
        return 0; // the value is shown all the same
    int64_t expires_ms = 0;
    if (page.entry_count > 0 && strcmp(page.entries[0].version.uuid, record->version.uuid) == 0)
        expires_ms = page.entries[0].expires_ms;
    kvs_client_listing_done(&page);
    return expires_ms;
}

static void show_expiry(struct kvs_buf *out, bool coloured, int64_t expires_ms)
{
    char time[KVS_SHOW_TIME_SIZE];
    char left[KVS_DURATION_TEXT_MAX];
    int64_t left_ms = expires_ms - kvs_clock_wall_ms(kvs_clock_system());
    kvs_show_time(expires_ms, time);
    (void)kvs_duration_format(left_ms > 0 ? left_ms / 1000 * 1000000000 : 0, left);
    kvs_buf_printf(out, "%sexpires  %s%s, in %s\n", kvs_style_begin(coloured, KVS_STYLE_FAINT),
                   kvs_style_end(coloured, KVS_STYLE_FAINT), time, left);
}

static void show_for_people(struct kvs_buf *out, const char *key,
                            const struct kvs_client_record *record, int64_t expires_ms)
{
    bool coloured = kvs_style_is_wanted(STDOUT_FILENO);
    const char *faint = kvs_style_begin(coloured, KVS_STYLE_FAINT);
    const char *end = kvs_style_end(coloured, KVS_STYLE_FAINT);
    char updated[KVS_SHOW_TIME_SIZE];
    kvs_show_time(record->version.timestamp_ms, updated);
    kvs_buf_printf(out, "%skey      %s", faint, end);
    kvs_style_append(out, coloured, KVS_STYLE_HEADING, kvs_slice_from_str(key));
    kvs_buf_printf(out, "\n%sversion  %s%s\n%supdated  %s%s\n", faint, end, record->version.uuid,
                   faint, end, updated);
    if (expires_ms > 0)
        show_expiry(out, coloured, expires_ms);
    kvs_buf_append_char(out, '\n');
    kvs_show_json(out, coloured, kvs_slice(record->json, record->json_size));
}

static void show_as_json(struct kvs_buf *out, const char *key,
                         const struct kvs_client_record *record, int64_t expires_ms)
{
    kvs_buf_append_str(out, "{\"path\":");
    kvs_json_write_string(out, kvs_slice_from_str(key));
    kvs_buf_printf(out,
                   ",\"uuid\":\"%s\",\"timestamp\":%" PRId64 ",\"data\":", record->version.uuid,
                   record->version.timestamp_ms);
    kvs_buf_append(out, record->json, record->json_size);
    if (expires_ms > 0)
        kvs_buf_printf(out, ",\"expires_timestamp\":%" PRId64, expires_ms);
    kvs_buf_append_char(out, '}');
}

// The text of a JSON string, unquoted.
static int show_string(struct kvs_buf *out, const struct kvs_client_record *record)
{
    struct kvs_arena arena;
    struct kvs_json *value = NULL;
    struct kvs_json_error error;
    struct kvs_slice text;
    kvs_arena_init(&arena, SHOWN_SIZE_MAX);
    bool good = kvs_json_parse(kvs_slice(record->json, record->json_size), 0, &arena, &value,
                               &error) == 0 &&
                value->type == KVS_JSON_STRING && kvs_json_string(value, &arena, &text) == 0;
    if (good)
        kvs_buf_append_slice(out, text);
    else
        kvs_cmd_error("the value is no string; without --string it is shown as JSON");
    kvs_arena_done(&arena);
    return good ? KVS_EXIT_OK : KVS_EXIT_FAILED;
}

static int show(const struct kvs_args *args, struct kvs_client *client, uint32_t revision,
                const struct kvs_client_record *record)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(SHOWN_SIZE_MAX);
    enum kvs_cmd_output output = kvs_cmd_output(args);
    const char *key = args->operands[0];
    bool bare = kvs_args_flag(args, "string") || output == KVS_CMD_OUTPUT_PLAIN ||
                (output == KVS_CMD_OUTPUT_HUMAN && kvs_args_flag(args, "raw"));
    int64_t expires_ms = bare || revision > 1 ? 0 : find_expiry(client, key, record);
    int code = KVS_EXIT_OK;
    if (kvs_args_flag(args, "string"))
        code = show_string(&out, record);
    else if (output == KVS_CMD_OUTPUT_JSON)
        show_as_json(&out, key, record, expires_ms);
    else if (output == KVS_CMD_OUTPUT_HUMAN && !kvs_args_flag(args, "raw"))
        show_for_people(&out, key, record, expires_ms);
    else
        kvs_buf_append(&out, record->json, record->json_size);
    kvs_buf_append_char(&out, '\n');
    return code == KVS_EXIT_OK ? kvs_cmd_print(&out) : code;
}

static int parse_revision(const struct kvs_args *args, uint32_t *ret_revision)
{
    const char *text = kvs_args_value(args, "rev");
    uint64_t number = 0;
    if (text && (!kvs_slice_to_u64(kvs_slice_from_str(text), &number) || number == 0 ||
                 number > REVISION_MAX))
        return kvs_cmd_usage_error(
            args->command, "--rev '%s' is no revision: 1 is the newest, 2 the one before", text);
    *ret_revision = (uint32_t)number;
    return KVS_EXIT_OK;
}

static int run_get(const struct kvs_args *args)
{
    uint32_t revision = 0;
    struct kvs_client *client = NULL;
    int code = parse_revision(args, &revision);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_record record;
    struct kvs_client_error error;
    const char *key = args->operands[0];
    enum kvs_client_code got = revision > 0
                                   ? kvs_client_get_revision(client, key, revision, &record, &error)
                                   : kvs_client_get(client, key, &record, &error);
    if (got == KVS_CLIENT_OK) {
        code = show(args, client, revision, &record);
        kvs_client_record_done(&record);
    } else {
        code = kvs_cmd_client_error(&error);
        if (got == KVS_CLIENT_NOT_FOUND && revision == 0 && kvs_cmd_is_prefix(client, key))
            kvs_cmd_error("there are keys under it: 'kvs ls %s' lists them", key);
    }
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option get_options[] = {
    {"raw", 'r', NULL, "The value alone, as stored, on a terminal too"},
    {"string", 's', NULL, "The text of a JSON string, without quotes and escapes"},
    {"rev", 0, "N", "An earlier version: 1 is the newest, 2 the one before"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_get = {
    .run = run_get,
    .options = get_options,
    .details =
        "On a terminal it also shows version, time of the last change and, where it has one, the\n"
        "time to live that is left; with --json they are uuid, timestamp and expires_timestamp\n"
        "(Unix ms).\n"
        "Exit code 4 where there is nothing under KEY.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs get greeting\n"
        "  kvs get app/config --rev 2\n"
        "  kvs get session/7 --json | jq .expires_timestamp\n"
        "  name=$(kvs get user/1/name --string)\n",
};
