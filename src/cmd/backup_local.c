// SPDX-License-Identifier: Apache-2.0
#include "cmd/backup_local.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/nodes.h"
#include "cmd/show.h"
#include "codec/json.h"
#include "config/config.h"

static volatile sig_atomic_t interrupted; // signal handlers know nothing else

static void on_interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

static bool go_on(void *ctx, enum kvs_backup_phase phase, uint64_t done, uint64_t total)
{
    struct kvs_cmd_backup_watch *watch = ctx;
    if (phase != watch->phase) {
        static const char *const whats[] = {
            [KVS_BACKUP_IDLE] = "",
            [KVS_BACKUP_WRITING] = "versions written",
            [KVS_BACKUP_READING] = "versions read",
            [KVS_BACKUP_CHECKING] = "versions checked",
            [KVS_BACKUP_REWRITING] = "values written anew",
        };
        kvs_progress_clear(&watch->progress);
        kvs_progress_begin(&watch->progress, whats[phase], false);
        watch->phase = phase;
    }
    kvs_progress_update(&watch->progress, done, done, total);
    return !interrupted;
}

void kvs_cmd_backup_watch_begin(struct kvs_cmd_backup_watch *watch)
{
    *watch = (struct kvs_cmd_backup_watch){.watch = {go_on, watch}};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);  // neither can fail with what it
    (void)sigaction(SIGTERM, &action, NULL); // is given here
}

int kvs_cmd_backup_failed(struct kvs_cmd_backup_watch *watch, const struct kvs_message *message)
{
    kvs_progress_clear(&watch->progress);
    kvs_cmd_error("%s", message->text);
    return KVS_EXIT_FAILED;
}

const char *kvs_cmd_size_text(uint64_t bytes, char ret_text[static KVS_CMD_SIZE_TEXT_SIZE])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < KVS_ARRAY_SIZE(units)) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(ret_text, KVS_CMD_SIZE_TEXT_SIZE, unit == 0 ? "%.0f %s" : "%.1f %s", value,
                   units[unit]);
    return ret_text;
}

// ---- Manifests

static void append_member(struct kvs_buf *out, const char *name, const char *value)
{
    kvs_buf_printf(out, "\"%s\":", name);
    kvs_json_write_string(out, kvs_slice_from_str(value));
    kvs_buf_append_char(out, ',');
}

static void show_as_json(struct kvs_buf *out, const char *path, const struct kvs_backup_info *info)
{
    char uuid[KVS_UUID_TEXT_SIZE + 1] = {0};
    kvs_uuid_format(&info->node.node, uuid);
    kvs_buf_append_char(out, '{');
    append_member(out, "path", path);
    append_member(out, "node_id", info->node_id);
    append_member(out, "node_uuid", uuid);
    append_member(out, "kvs_version", info->release);
    kvs_buf_printf(out,
                   "\"format\":%" PRIu32 ",\"created_at\":%" PRId64 ",\"size\":%" PRIu64
                   ",\"content_size\":%" PRIu64 ",\"keys\":%" PRIu64 ",\"versions\":%" PRIu64
                   ",\"log_seq\":%" PRIu64 ",\"fingerprint\":\"%016" PRIx64 "%016" PRIx64
                   "\",\"sha256\":\"",
                   info->format, info->created_at_ms / 1000, info->file_size, info->content_size,
                   info->content.keys, info->content.versions, info->log_seq,
                   info->content.current.sum.hi, info->content.current.sum.lo);
    for (size_t i = 0; i < sizeof(info->sha256); i++)
        kvs_buf_printf(out, "%02x", info->sha256[i]);
    kvs_buf_append_str(out, "\"}\n");
}

static void show_for_people(struct kvs_buf *out, const char *verb, const char *path,
                            const struct kvs_backup_info *info)
{
    char created[KVS_SHOW_TIME_SIZE];
    char size[KVS_CMD_SIZE_TEXT_SIZE];
    char keys[KVS_PROGRESS_NUMBER_SIZE];
    char versions[KVS_PROGRESS_NUMBER_SIZE];
    kvs_show_time(info->created_at_ms, created);
    kvs_buf_printf(out, "%s: %s\n", verb, path);
    kvs_buf_append_str(out, "  node      ");
    kvs_show_text(out, kvs_slice_from_str(info->node_id));
    kvs_buf_printf(out, ", KVS %s\n  created   %s\n  holds     %s keys, %s versions, %s\n",
                   info->release, created, kvs_progress_number(info->content.keys, keys),
                   kvs_progress_number(info->content.versions, versions),
                   kvs_cmd_size_text(info->file_size, size));
}

int kvs_cmd_backup_print(enum kvs_cmd_output output, const char *verb, const char *path,
                         const struct kvs_backup_info *info)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 10);
    if (output == KVS_CMD_OUTPUT_JSON)
        show_as_json(&out, path, info);
    else if (output == KVS_CMD_OUTPUT_HUMAN)
        show_for_people(&out, verb, path, info);
    else
        kvs_buf_printf(&out, "%s\n", path);
    return kvs_cmd_print(&out);
}

// ---- kvs backup verify FILE

int kvs_cmd_backup_verify(const struct kvs_args *args, const char *path)
{
    struct kvs_cmd_backup_watch watch;
    struct kvs_backup_info info = {0};
    struct kvs_message message = {{0}};
    kvs_cmd_backup_watch_begin(&watch);
    if (kvs_backup_verify(path, &watch.watch, &info, &message) != 0)
        return kvs_cmd_backup_failed(&watch, &message);
    kvs_progress_clear(&watch.progress);
    return kvs_cmd_backup_print(kvs_cmd_output(args), "good", path, &info);
}

// ---- kvs backup CONFIG

static int open_store(const struct kvs_config *config, struct kvs_store **ret_store,
                      struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *format = NULL;
    if (asprintf(&format, "%s/FORMAT", config->data_dir) < 0) {
        format = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    if (access(format, F_OK) != 0)
        return kvs_fail(ret_message, KVS_ERR_NOT_FOUND, "%s holds no data: nothing to back up",
                        config->data_dir);
    const struct kvs_store_options options = {
        .path = config->data_dir,
        .compression = config->compression_enabled,
        .compression_level = (int)config->compression_level,
        .async_writes = config->durability == KVS_DURABILITY_ASYNC,
    };
    int err = kvs_store_open(&options, ret_store, ret_message);
    if (err == KVS_ERR_BUSY)
        return kvs_fail(ret_message, err,
                        "the node of %s runs: ask it with 'kvs backup --url http://%s:%" PRId64 "'",
                        config->path, config->bind_address, config->port);
    return err;
}

static int back_up(const struct kvs_config *config, struct kvs_cmd_backup_watch *watch,
                   struct kvs_backup_info *ret_info, char **ret_path,
                   struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_store_closep) struct kvs_store *store = NULL;
    struct kvs_backup_view view;
    int err = open_store(config, &store, ret_message);
    if (err)
        return err;
    err = kvs_backup_view_init(&view, store);
    if (err)
        return kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    const struct kvs_backup_options options = {
        .folder = config->backup_path,
        .node_id = config->node_id,
        .compression_level = (int)config->compression_level,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .watch = &watch->watch,
    };
    return kvs_backup_create(&options, &view, ret_info, ret_path, ret_message);
}

static int back_up_config(const struct kvs_args *args, const char *config_path)
{
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    struct kvs_message message = {{0}};
    if (kvs_config_load(config_path, environ, &config, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    struct kvs_cmd_backup_watch watch;
    struct kvs_backup_info info = {0};
    kvs_cmd_backup_watch_begin(&watch);
    if (back_up(config, &watch, &info, &path, &message) != 0)
        return kvs_cmd_backup_failed(&watch, &message);
    kvs_progress_clear(&watch.progress);
    return kvs_cmd_backup_print(kvs_cmd_output(args), "backup made and verified", path, &info);
}

int kvs_cmd_backup_stopped_node(const struct kvs_args *args, const char *word)
{
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    code = kvs_cmd_nodes_path(&nodes, word, &path);
    if (code == KVS_EXIT_OK)
        code = back_up_config(args, path);
    kvs_cmd_nodes_done(&nodes);
    return code;
}
