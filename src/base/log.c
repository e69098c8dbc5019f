// SPDX-License-Identifier: Apache-2.0
// Each line is built in memory of its own and written with one write(2) to a file opened for
// appending, so threads need no lock. Reopening replaces the file behind the descriptor with dup3,
// which is atomic: a line goes whole into the old file or whole into the new one.
// A log that cannot be written must never stop the node: such lines are lost.
#include "base/log.h"

#include "base/buf.h"
#include "base/escape.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
    STRING_MAX = 16 * 1024, // bytes of one string, longer ones are cut
    LINE_MAX_SIZE = 1024 * 1024,
};

struct kvs_log {
    int fd;
    char *path; // NULL: stdout, whose descriptor is not ours to close
    _Atomic int level;
    const struct kvs_clock *clock;
    struct kvs_buf node_id; // ,"node_id":"…" or empty
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

const char *kvs_log_level_name(enum kvs_log_level level)
{
    return level_names[level];
}

bool kvs_log_level_parse(struct kvs_slice name, enum kvs_log_level *ret_level)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(level_names); i++) {
        if (kvs_slice_eq(name, kvs_slice_from_str(level_names[i]))) {
            *ret_level = (enum kvs_log_level)i;
            return true;
        }
    }
    return false;
}

static void append_string(struct kvs_buf *line, struct kvs_slice string)
{
    bool cut = string.size > STRING_MAX;
    kvs_buf_append_char(line, '"');
    kvs_escape_append(line, kvs_slice(string.data, cut ? STRING_MAX : string.size));
    if (cut)
        kvs_buf_append_str(line, "\xE2\x80\xA6"); // an ellipsis
    kvs_buf_append_char(line, '"');
}

static void append_field(struct kvs_buf *line, const struct kvs_log_field *field)
{
    kvs_buf_append_char(line, ',');
    append_string(line, kvs_slice_from_str(field->key));
    kvs_buf_append_char(line, ':');
    switch (field->type) {
    case KVS_LOG_STRING:
        append_string(line, field->value.string);
        break;
    case KVS_LOG_JSON:
        kvs_buf_append_slice(line, field->value.string);
        break;
    case KVS_LOG_INT:
        kvs_buf_append_i64(line, field->value.i);
        break;
    case KVS_LOG_UINT:
        kvs_buf_append_u64(line, field->value.u);
        break;
    case KVS_LOG_DOUBLE:
        if (isfinite(field->value.d))
            kvs_buf_printf(line, "%.15g", field->value.d);
        else
            kvs_buf_append_str(line, "null"); // JSON has no such numbers
        break;
    case KVS_LOG_BOOL:
        kvs_buf_append_str(line, field->value.b ? "true" : "false");
        break;
    }
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
}

int kvs_log_open(const char *path, enum kvs_log_level level, const char *node_id,
                 const struct kvs_clock *clock, struct kvs_log **ret_log,
                 struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_log_closep) struct kvs_log *log = calloc(1, sizeof(*log));
    if (!log)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "open log: out of memory");
    log->fd = STDOUT_FILENO;
    log->clock = clock;
    atomic_init(&log->level, (int)level);
    kvs_buf_init(&log->node_id, LINE_MAX_SIZE);
    if (node_id)
        append_field(&log->node_id, &KVS_F_STR("node_id", node_id));
    if (log->node_id.err)
        return kvs_fail(ret_message, log->node_id.err, "open log: out of memory");
    if (path) {
        int fd = open_file(path);
        if (fd < 0)
            return kvs_fail(ret_message, kvs_err_from_errno(errno), "open log file %s: %s", path,
                            strerror(errno));
        log->fd = fd;
        log->path = strdup(path);
        if (!log->path) {
            kvs_closep(&fd);
            return kvs_fail(ret_message, KVS_ERR_NOMEM, "open log: out of memory");
        }
    }
    *ret_log = KVS_TAKE(log);
    return 0;
}

void kvs_log_close(struct kvs_log *log)
{
    if (!log)
        return;
    if (log->path)
        kvs_closep(&log->fd);
    kvs_buf_done(&log->node_id);
    free(log->path);
    free(log);
}

void kvs_log_set_level(struct kvs_log *log, enum kvs_log_level level)
{
    atomic_store_explicit(&log->level, (int)level, memory_order_relaxed);
}

bool kvs_log_enabled(const struct kvs_log *log, enum kvs_log_level level)
{
    return log && (int)level >= atomic_load_explicit(&log->level, memory_order_relaxed);
}

int kvs_log_reopen(struct kvs_log *log)
{
    if (!log->path)
        return 0;
    KVS_CLEANUP(kvs_closep) int fd = open_file(log->path);
    if (fd < 0 || dup3(fd, log->fd, O_CLOEXEC) < 0)
        return kvs_err_from_errno(errno);
    return 0;
}

static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        size -= (size_t)written;
    }
}

void kvs_log_write(struct kvs_log *log, enum kvs_log_level level, const char *msg,
                   const struct kvs_log_field *fields, size_t field_count)
{
    if (!kvs_log_enabled(log, level))
        return;
    int saved_errno = errno; // callers log before they have looked at it
    char time[KVS_RFC3339_SIZE];
    kvs_time_rfc3339(kvs_clock_wall_ms(log->clock), time);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf line = KVS_BUF_INIT(LINE_MAX_SIZE);
    kvs_buf_printf(&line, "{\"time\":\"%.*s\",\"level\":\"%s\",\"msg\":", (int)sizeof(time), time,
                   level_names[level]);
    append_string(&line, kvs_slice_from_str(msg));
    kvs_buf_append_slice(&line, kvs_buf_slice(&log->node_id));
    for (size_t i = 0; i < field_count; i++)
        append_field(&line, &fields[i]);
    kvs_buf_append_str(&line, "}\n");
    if (line.err) {
        static const char lost[] = "{\"level\":\"error\",\"msg\":\"a log line was lost: too large "
                                   "or out of memory\"}\n";
        write_all(log->fd, lost, sizeof(lost) - 1);
    } else {
        write_all(log->fd, line.data, line.size);
    }
    errno = saved_errno;
}
