// SPDX-License-Identifier: Apache-2.0
// Backups: POST /api/backup, GET /api/backup/status, GET /api/backups. A backup is begun here and
// made on a thread of its own: nobody waits for it with an open request.
#include "api/api_internal.h"

#include "codec/json.h"

enum { ITEM_SIZE_MAX = 16 * 1024, NAME_PARAM_MAX = 64 };

static void append_text(struct kvs_buf *out, const char *name, const char *value)
{
    kvs_buf_printf(out, ",\"%s\":", name);
    kvs_json_write_string(out, kvs_slice_from_str(value));
}

static void append_text_or_null(struct kvs_buf *out, const char *name, const char *value)
{
    if (*value)
        append_text(out, name, value);
    else
        kvs_buf_printf(out, ",\"%s\":null", name);
}

static void append_u64(struct kvs_buf *out, const char *name, uint64_t value)
{
    kvs_buf_printf(out, ",\"%s\":", name);
    kvs_buf_append_u64(out, value);
}

static void append_time_or_null(struct kvs_buf *out, const char *name, int64_t unix_s)
{
    kvs_buf_printf(out, ",\"%s\":", name);
    if (unix_s != 0)
        kvs_buf_append_i64(out, unix_s);
    else
        kvs_buf_append_str(out, "null");
}

// ---- POST /api/backup

static int begin_backup(struct kvs_api_call *call)
{
    uint64_t run = 0;
    int err = kvs_backup_service_request(call->api->options.backups, &run);
    if (err == KVS_ERR_CONFLICT)
        return kvs_api_fail(call, err,
                            "A backup is being made; GET /api/backup/status shows how far it is.");
    if (err)
        return err;
    struct kvs_http_response *response = &call->exchange->response;
    response->status = 202;
    response->content_type = "application/json";
    kvs_http_response_header(response, "Location", KVS_SLICE("/api/backup/status"));
    kvs_buf_append_str(&response->body, "{\"id\":");
    kvs_buf_append_u64(&response->body, run);
    kvs_buf_append_str(&response->body, ",\"status\":\"/api/backup/status\"}");
    return 0;
}

void kvs_api_backup_create(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    kvs_api_finish(call, err ? err : begin_backup(call));
}

// ---- GET /api/backup/status

static void append_running(struct kvs_buf *out, const struct kvs_backup_status *status)
{
    if (status->run == 0) {
        kvs_buf_append_str(out, ",\"running\":null");
        return;
    }
    kvs_buf_append_str(out, ",\"running\":{\"id\":");
    kvs_buf_append_u64(out, status->run);
    append_text(out, "phase", kvs_backup_phase_name(status->phase));
    append_u64(out, "done", status->done);
    append_u64(out, "total", status->total);
    append_time_or_null(out, "started_at", status->started_s);
    kvs_buf_append_char(out, '}');
}

static void append_status(struct kvs_buf *out, const struct kvs_backup_status *status)
{
    const char *success = status->last_success ? "true" : "false";
    kvs_buf_printf(out, "{\"enabled\":%s,\"backups_running\":%s",
                   status->enabled ? "true" : "false", status->run != 0 ? "true" : "false");
    append_running(out, status);
    append_time_or_null(out, "next_backup_time", status->next_s);
    append_time_or_null(out, "last_backup_time", status->last_s);
    kvs_buf_printf(out, ",\"last_backup_success\":%s", status->last_s != 0 ? success : "null");
    append_text_or_null(out, "last_backup_error", status->last_error);
    append_text_or_null(out, "last_backup_path", status->last_path);
    append_u64(out, "last_backup_size", status->last_size);
    append_time_or_null(out, "last_verified_backup_time", status->verified_s);
    append_u64(out, "last_id", status->last_run);
    kvs_buf_append_char(out, '}');
}

void kvs_api_backup_status(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (!err) {
        struct kvs_http_response *response = &call->exchange->response;
        struct kvs_backup_status status;
        kvs_backup_service_status(call->api->options.backups, &status);
        response->status = 200;
        response->content_type = "application/json";
        kvs_api_body_allow(call, 64 * 1024); // a path of 4 KiB, every character of it escaped
        append_status(&response->body, &status);
    }
    kvs_api_finish(call, err);
}

// ---- GET /api/backups

struct backups_input {
    uint32_t limit;
    struct kvs_slice cursor; // name of the last one shown; empty: from the newest
};

static void append_hex(struct kvs_buf *out, const char *name, const uint8_t *bytes, size_t size)
{
    kvs_buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < size; i++)
        kvs_buf_printf(out, "%02x", bytes[i]);
    kvs_buf_append_char(out, '"');
}

static void append_manifest(struct kvs_buf *out, const struct kvs_backup_info *info)
{
    char uuid[KVS_UUID_TEXT_SIZE + 1] = {0};
    kvs_uuid_format(&info->node.node, uuid);
    append_time_or_null(out, "created_at", info->created_at_ms / 1000);
    append_text(out, "node_id", info->node_id);
    append_text(out, "node_uuid", uuid);
    append_text(out, "kvs_version", info->release);
    append_u64(out, "format", info->format);
    append_u64(out, "keys", info->content.keys);
    append_u64(out, "versions", info->content.versions);
    append_u64(out, "log_seq", info->log_seq);
    append_u64(out, "content_size", info->content_size);
    kvs_buf_printf(out, ",\"fingerprint\":\"%016llx%016llx\"",
                   (unsigned long long)info->content.current.sum.hi,
                   (unsigned long long)info->content.current.sum.lo);
    append_hex(out, "sha256", info->sha256, sizeof(info->sha256));
}

static void append_file(struct kvs_buf *out, const char *folder, const struct kvs_backup_file *file)
{
    kvs_buf_append_str(out, "{\"name\":");
    kvs_json_write_string(out, kvs_slice_from_str(file->name));
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf path = KVS_BUF_INIT(ITEM_SIZE_MAX);
    kvs_buf_append_str(&path, folder);
    kvs_buf_append_char(&path, '/');
    kvs_buf_append_str(&path, file->name);
    kvs_buf_append_char(&path, '\0');
    append_text(out, "path", path.err ? file->name : path.data);
    append_u64(out, "size", file->size);
    if (file->err == 0) {
        append_manifest(out, &file->info);
    } else {
        append_time_or_null(out, "created_at", file->named_s);
        append_text(out, "error", kvs_err_text(file->err));
    }
    kvs_buf_append_char(out, '}');
}

static void append_list(struct kvs_api_call *call, const struct kvs_backup_list *list,
                        const char *folder)
{
    const struct backups_input *input = call->input;
    struct kvs_buf *body = &call->exchange->response.body;
    size_t at = 0;
    while (at < list->count && input->cursor.size > 0 &&
           kvs_slice_cmp(kvs_slice_from_str(list->files[at].name), input->cursor) >= 0)
        at++;
    size_t end = list->count - at > input->limit ? at + input->limit : list->count;
    kvs_api_body_allow(call, (end - at + 1) * ITEM_SIZE_MAX);
    kvs_buf_append_str(body, "{\"backups\":[");
    for (size_t i = at; i < end; i++) {
        if (i > at)
            kvs_buf_append_char(body, ',');
        append_file(body, folder, &list->files[i]);
    }
    kvs_buf_append_str(body, "],\"next\":");
    if (end < list->count) {
        kvs_buf_append_char(body, '"');
        kvs_api_cursor_append(body, kvs_slice_from_str(list->files[end - 1].name));
        kvs_buf_append_str(body, "\"}");
    } else {
        kvs_buf_append_str(body, "null}");
    }
}

static int read_backups(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // always on a worker: files are read
    struct kvs_backup_list list;
    struct kvs_message message = {{0}};
    KVS_CLEANUP(kvs_freep) char *folder = NULL;
    int err = kvs_backup_service_list(call->api->options.backups, &list, &folder, &message);
    if (err)
        return kvs_api_fail(call, err, "The backups cannot be listed: %s.", message.text);
    call->exchange->response.status = 200;
    call->exchange->response.content_type = "application/json";
    append_list(call, &list, folder);
    kvs_backup_list_done(&list);
    return 0;
}

static int read_input(struct kvs_api_call *call, struct backups_input *input)
{
    enum { LIMIT, CURSOR, COUNT };
    struct kvs_api_param params[COUNT] = {
        [LIMIT] = {.name = "limit"}, [CURSOR] = {.name = "cursor"}};
    int err = kvs_api_query(call, params, COUNT);
    if (!err)
        err = kvs_api_param_limit(call, &params[LIMIT], &input->limit);
    if (err || !params[CURSOR].found)
        return err;
    err = kvs_api_cursor_parse(call, params[CURSOR].value, &input->cursor);
    return err == KVS_ERR_INVALID || (!err && input->cursor.size > NAME_PARAM_MAX)
               ? kvs_api_fail(call, KVS_ERR_INVALID,
                              "The cursor is none of this listing: pass \"next\" as it came.")
               : err;
}

void kvs_api_backup_list(struct kvs_api_call *call)
{
    struct backups_input *input = kvs_api_alloc(call, sizeof(*input));
    int err = KVS_ERR_NOMEM;
    if (input) {
        *input = (struct backups_input){0};
        call->input = input;
        err = read_input(call, input);
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_backups);
}
