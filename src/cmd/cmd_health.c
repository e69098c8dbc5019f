// SPDX-License-Identifier: Apache-2.0
// `kvs health`: how nodes are, each of those that are named.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "codec/json.h"

struct survey {
    const struct kvs_args *args;
    struct kvs_buf out;
    bool coloured;
};

static void append_node(struct survey *survey, const struct kvs_client_health *health)
{
    struct kvs_buf *out = &survey->out;
    bool good = strcmp(health->status, "ok") == 0 && health->writable;
    enum kvs_style style = good ? KVS_STYLE_ADDED : KVS_STYLE_REMOVED;
    kvs_style_append(out, survey->coloured, style, kvs_slice_from_str(health->status));
    kvs_buf_append_str(out, "  ");
    kvs_show_text(out, kvs_slice_from_str(health->mode));
    kvs_buf_append_str(out, health->writable ? "  " : "  takes no writes  ");
    kvs_show_text(out, kvs_slice_from_str(health->node_id));
    kvs_buf_printf(out, "  %" PRIu32 " member%s  kvs ", health->member_count,
                   health->member_count == 1 ? "" : "s");
    kvs_show_text(out, kvs_slice_from_str(health->version));
    kvs_buf_printf(out, "  %s\n", health->url);
}

// {"url":…,"health":{…}}, or {"url":…,"error":"…"}
static void append_json(struct survey *survey, const char *url, const char *name,
                        struct kvs_slice json)
{
    struct kvs_buf *out = &survey->out;
    kvs_buf_append_str(out, "{\"url\":");
    kvs_json_write_string(out, kvs_slice_from_str(url));
    kvs_buf_printf(out, ",\"%s\":", name);
    kvs_buf_append_slice(out, json);
    kvs_buf_append_str(out, "}\n");
}

static void append_error(struct survey *survey, const char *url, const char *message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(64 << 10);
    kvs_json_write_string(&text, kvs_slice_from_str(message));
    append_json(survey, url ? url : "", "error", kvs_buf_slice(&text));
}

static int ask(struct survey *survey, struct kvs_client *client, const char *url)
{
    struct kvs_client_health health;
    struct kvs_client_error error;
    bool json = kvs_cmd_output(survey->args) == KVS_CMD_OUTPUT_JSON;
    if (kvs_client_health(client, &health, &error) != KVS_CLIENT_OK) {
        if (json)
            append_error(survey, url, error.message);
        return kvs_cmd_client_error(&error);
    }
    if (json)
        append_json(survey, health.url, "health", kvs_slice(health.json, health.json_size));
    else
        append_node(survey, &health);
    // A read-only node is as it was told to be; one that cannot write, or syncs, is not well.
    bool well = strcmp(health.status, "ok") == 0 && strcmp(health.mode, "syncing") != 0;
    kvs_client_health_done(&health);
    return well ? KVS_EXIT_OK : KVS_EXIT_LATER;
}

static int visit(void *context, const char *url)
{
    struct survey *survey = context;
    struct kvs_client *client = NULL;
    const struct kvs_client_options options = {.urls = url ? &url : NULL, .url_count = url ? 1 : 0};
    int opened = kvs_cmd_client_open_with(survey->args, &options, &client);
    if (opened != KVS_EXIT_OK)
        return opened;
    int code = ask(survey, client, url);
    kvs_client_free(client);
    return code;
}

static int run_health(const struct kvs_args *args)
{
    struct survey survey = {
        .args = args,
        .out = KVS_BUF_INIT(64 << 20),
        .coloured = kvs_style_is_wanted(STDOUT_FILENO),
    };
    int code = kvs_cmd_each_url(args, visit, &survey);
    int printed = kvs_cmd_print(&survey.out);
    kvs_buf_done(&survey.out);
    return code != KVS_EXIT_OK ? code : printed;
}

static const struct kvs_cmd_option health_options[] = {
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_health = {
    .run = run_health,
    .options = health_options,
    .details =
        "Asks every node that --url or KVS_URL names, one line each: status, mode, name, how\n"
        "many members it sees, version, address. With --json one object a line. No token is\n"
        "needed.\n"
        "Exit code 0 when all are well, 8 when one is degraded or still syncing, 6 when one\n"
        "cannot be reached; of several reasons the greatest.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs health\n"
        "  kvs health --url http://10.0.0.1:8080 --url http://10.0.0.2:8080\n"
        "  kvs health --json | jq -r .health.mode\n",
};
