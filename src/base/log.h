// SPDX-License-Identifier: Apache-2.0
// Structured logging: one JSON object a line with time (RFC 3339, UTC, ms), level, msg, node_id and
// the fields given. Thread-safe: each line is written with one write(2). A logger is passed in,
// never global. Secrets, tokens and values of records must not be given to it.
#ifndef KVS_BASE_LOG_H
#define KVS_BASE_LOG_H

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/slice.h"

enum kvs_log_level { KVS_LOG_DEBUG, KVS_LOG_INFO, KVS_LOG_WARN, KVS_LOG_ERROR };

struct kvs_log; // shared between threads; outlives everything that logs to it

enum kvs_log_type {
    KVS_LOG_STRING,
    KVS_LOG_INT,
    KVS_LOG_UINT,
    KVS_LOG_DOUBLE,
    KVS_LOG_BOOL,
    KVS_LOG_JSON
};

struct kvs_log_field {
    const char *key; // snake_case, static
    enum kvs_log_type type;
    union {
        struct kvs_slice string; // any bytes; escaped, invalid UTF-8 replaced
        int64_t i;
        uint64_t u;
        double d;
        bool b;
    } value;
};

#define KVS_F_SLICE(k, v) ((struct kvs_log_field){(k), KVS_LOG_STRING, {.string = (v)}})
#define KVS_F_STR(k, v)                                                                            \
    ((struct kvs_log_field){(k), KVS_LOG_STRING, {.string = kvs_slice_from_str(v)}})
// A value that is JSON already, on one line (kvs_config_json): written as it is.
#define KVS_F_JSON(k, v) ((struct kvs_log_field){(k), KVS_LOG_JSON, {.string = (v)}})
#define KVS_F_INT(k, v) ((struct kvs_log_field){(k), KVS_LOG_INT, {.i = (v)}})
#define KVS_F_UINT(k, v) ((struct kvs_log_field){(k), KVS_LOG_UINT, {.u = (v)}})
#define KVS_F_DOUBLE(k, v) ((struct kvs_log_field){(k), KVS_LOG_DOUBLE, {.d = (v)}})
#define KVS_F_BOOL(k, v) ((struct kvs_log_field){(k), KVS_LOG_BOOL, {.b = (v)}})

// Logs to `path` (created 0600, appended), or to stdout when `path` is NULL. Owned by the caller.
KVS_MUST_CHECK int kvs_log_open(const char *path, enum kvs_log_level level, const char *node_id,
                                const struct kvs_clock *clock, struct kvs_log **ret_log,
                                struct kvs_message *ret_message);
void kvs_log_close(struct kvs_log *log);
KVS_DEFINE_CLEANUP(struct kvs_log, kvs_log_close)

void kvs_log_set_level(struct kvs_log *log, enum kvs_log_level level);
bool kvs_log_enabled(const struct kvs_log *log, enum kvs_log_level level);

// Opens the file anew under its name (after a rotation); keeps the old one when that fails.
KVS_MUST_CHECK int kvs_log_reopen(struct kvs_log *log);

// `log` may be NULL: then nothing is written (unit tests).
void kvs_log_write(struct kvs_log *log, enum kvs_log_level level, const char *msg,
                   const struct kvs_log_field *fields, size_t field_count);

// kvs_log(log, KVS_LOG_INFO, "backup finished", KVS_F_STR("path", path), KVS_F_INT("records", n));
#define kvs_log(log, level, msg, ...)                                                              \
    do {                                                                                           \
        if (kvs_log_enabled((log), (level))) {                                                     \
            const struct kvs_log_field kvs_fields_[] = {{0}, ##__VA_ARGS__};                       \
            kvs_log_write((log), (level), (msg), kvs_fields_ + 1,                                  \
                          KVS_ARRAY_SIZE(kvs_fields_) - 1);                                        \
        }                                                                                          \
    } while (0)

// "debug", "info", "warn", "error".
const char *kvs_log_level_name(enum kvs_log_level level);
bool kvs_log_level_parse(struct kvs_slice name, enum kvs_log_level *ret_level);

#endif
