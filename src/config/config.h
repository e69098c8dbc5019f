// SPDX-License-Identifier: Apache-2.0
// The configuration of one node: a YAML file, then KVS_CFG_<KEY> variables over it, then checks
// that look at several keys. Whatever is wrong is an error that says where and what is allowed; a
// node never starts half-configured. A loaded configuration is not changed any more (except by
// kvs_config_cluster_secret_ensure at start) and may be read from any thread.
#ifndef KVS_CONFIG_CONFIG_H
#define KVS_CONFIG_CONFIG_H

#include "base/cleanup.h"
#include "base/durability.h"
#include "base/log.h"
#include "base/random.h"
#include "config/audit_action.h"
#include "config/option.h"

enum kvs_access_log { KVS_ACCESS_LOG_ERRORS, KVS_ACCESS_LOG_ALL, KVS_ACCESS_LOG_OFF };

struct kvs_strings {
    char **items;
    size_t count;
};

// The type and name of each kind's field, handed to the macro `use`. Texts are never NULL and live
// as long as the configuration; "" means not set. Paths are absolute. Numbers have the unit that
// their row names. A set of actions is made of kvs_audit_action_bit.
#define KVS_CONFIG_FIELD_BOOL(use, name) use(bool, name)
#define KVS_CONFIG_FIELD_NUMBER(use, name) use(int64_t, name)
#define KVS_CONFIG_FIELD_DURATION(use, name) use(int64_t, name##_ns)
#define KVS_CONFIG_FIELD_NAME(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_HOST(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_ADDRESS(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_PATH(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_SECRET(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_CRON(use, name) use(char *, name)
#define KVS_CONFIG_FIELD_LOG_LEVEL(use, name) use(enum kvs_log_level, name)
#define KVS_CONFIG_FIELD_DURABILITY(use, name) use(enum kvs_durability, name)
#define KVS_CONFIG_FIELD_ACCESS_LOG(use, name) use(enum kvs_access_log, name)
#define KVS_CONFIG_FIELD_ACTIONS(use, name) use(uint64_t, name)
#define KVS_CONFIG_FIELD_ADDRESSES(use, name) use(struct kvs_strings, name)
#define KVS_CONFIG_FIELD_NETWORKS(use, name) use(struct kvs_strings, name)
#define KVS_CONFIG_FIELD_HOSTS(use, name) use(struct kvs_strings, name)
#define KVS_CONFIG_FIELD_ORIGINS(use, name) use(struct kvs_strings, name)

enum kvs_config_source {
    KVS_CONFIG_DEFAULT,
    KVS_CONFIG_FILE,        // line and column say where
    KVS_CONFIG_ENVIRONMENT, // KVS_CFG_<KEY>
    KVS_CONFIG_SHARED_FILE, // the cluster secret from ~/.kvs/cluster_secret
};

struct kvs_config_origin {
    enum kvs_config_source source;
    uint32_t line; // from 1
    uint32_t column;
};

struct kvs_config {
#define KVS_CONFIG_DECLARE(type, member) type member;
#define KVS_SECTION(key, title)
#define KVS_OPTION(kind, name, ...) KVS_CONFIG_FIELD_##kind(KVS_CONFIG_DECLARE, name)
#include "tables/options.def"
#undef KVS_OPTION
#undef KVS_SECTION
#undef KVS_CONFIG_DECLARE
    char *path;   // of the file, absolute
    char *folder; // that relative paths are relative to, absolute
    struct kvs_config_origin origins[KVS_OPTION_COUNT];
};

enum { KVS_CONFIG_FILE_MAX = 1024 * 1024 }; // bytes

// Reads the file; `env` as in main's third argument or `environ`, NULL for none.
// KVS_ERR_NOT_FOUND, KVS_ERR_IO, KVS_ERR_NOMEM, or KVS_ERR_INVALID for whatever it says.
KVS_MUST_CHECK int kvs_config_load(const char *path, char *const *env,
                                   struct kvs_config **ret_config, struct kvs_message *ret_message);
// The same from memory; `path` (absolute or relative, it need not exist) names the file in
// messages.
KVS_MUST_CHECK int kvs_config_parse(struct kvs_slice text, const char *path, char *const *env,
                                    struct kvs_config **ret_config,
                                    struct kvs_message *ret_message);
void kvs_config_free(struct kvs_config *config);
KVS_DEFINE_CLEANUP(struct kvs_config, kvs_config_free)

// Creates the file, mode 0600, with every key commented out at its default, and `cluster_secret`
// set (NULL: commented out too). It appears whole or not at all; KVS_ERR_CONFLICT when it exists.
KVS_MUST_CHECK int kvs_config_write_default(const char *path, const char *cluster_secret,
                                            struct kvs_message *ret_message);

enum { KVS_CLUSTER_SECRET_TEXT_SIZE = 45 }; // 256 bits in base64, with the NUL

void kvs_config_cluster_secret_new(struct kvs_random *random,
                                   char ret_secret[static KVS_CLUSTER_SECRET_TEXT_SIZE]);

// Where no secret is configured: takes the one in HOME/.kvs/cluster_secret, generated there first
// if it is missing; nodes that start at once agree. Its origin is then KVS_CONFIG_SHARED_FILE.
KVS_MUST_CHECK int kvs_config_cluster_secret_ensure(struct kvs_config *config, const char *home,
                                                    struct kvs_random *random,
                                                    struct kvs_message *ret_message);

// `kvs check`: one line a key, YAML again, with where each value came from; secrets are masked.
void kvs_config_print(const struct kvs_config *config, struct kvs_buf *out);
// One JSON object on one line, for the log; secrets are masked.
void kvs_config_json(const struct kvs_config *config, struct kvs_buf *out);

// One changed key; the texts are YAML, masked for secrets, and valid only during the call.
typedef void kvs_config_change_visitor(void *context, const struct kvs_option *option,
                                       const char *old_text, const char *new_text);
// Calls `visit` for each key whose value differs; option->reloadable says what to do about it.
KVS_MUST_CHECK int kvs_config_reload_diff(const struct kvs_config *old_config,
                                          const struct kvs_config *new_config,
                                          kvs_config_change_visitor *visit, void *context);

// Makes `fresh` what the node runs with from now on: it takes the running values of all keys that
// need a restart. KVS_ERR_INVALID when the mixture contradicts itself; `fresh` is then of no use.
KVS_MUST_CHECK int kvs_config_reload_merge(const struct kvs_config *running,
                                           struct kvs_config *fresh,
                                           struct kvs_message *ret_message);

// The reference for people, as Markdown: docs/configuration.md.
void kvs_config_reference(struct kvs_buf *out);

#endif
