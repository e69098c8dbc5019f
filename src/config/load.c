// SPDX-License-Identifier: Apache-2.0
// Defaults, then the file, then the environment, then the checks that look at several keys.
#include "config/load.h"
#include "base/suggest.h"
#include "config/check.h"
#include "config/config.h"
#include "config/value.h"
#include "config/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const char env_prefix[] = "KVS_CFG_";

enum { ENV_NAME_MAX = 64, HOST_NAME_SIZE = 256 };

struct loader {
    struct kvs_config *config;
    const char *name; // the file as the user named it, for messages
    struct kvs_message *ret_message;
};

static void env_name(enum kvs_option_id id, char ret_name[static ENV_NAME_MAX])
{
    (void)snprintf(ret_name, ENV_NAME_MAX, "%s%s", env_prefix, kvs_options[id].name); // fits
    for (char *c = ret_name; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

// Puts "file:line:column: key: " or "KVS_CFG_KEY: " before the message.
static int wrap_origin(struct loader *loader, enum kvs_option_id id, int err)
{
    const struct kvs_config_origin *origin = &loader->config->origins[id];
    const char *key = kvs_options[id].name;
    char variable[ENV_NAME_MAX];
    switch (origin->source) {
    case KVS_CONFIG_FILE:
        return kvs_fail_wrap(loader->ret_message, err, "%s:%u:%u: %s", loader->name, origin->line,
                             origin->column, key);
    case KVS_CONFIG_ENVIRONMENT:
        env_name(id, variable);
        return kvs_fail_wrap(loader->ret_message, err, "%s", variable);
    default:
        return kvs_fail_wrap(loader->ret_message, err, "%s: %s", loader->name, key);
    }
}

static int fail_key(struct loader *loader, const struct kvs_yaml_pair *pair)
{
    struct kvs_suggest suggest;
    kvs_suggest_init(&suggest, pair->key);
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++)
        kvs_suggest_offer(&suggest, kvs_options[i].name);
    return kvs_fail(loader->ret_message, KVS_ERR_INVALID, "%s:%u:%u: %.*s: unknown key%s%s%s",
                    loader->name, pair->key_line, pair->key_column,
                    pair->key.size < 64 ? (int)pair->key.size : 64, pair->key.data,
                    suggest.nearest ? "; did you mean " : "",
                    suggest.nearest ? suggest.nearest : "", suggest.nearest ? "?" : "");
}

static int visit_pair(void *context, const struct kvs_yaml_pair *pair,
                      struct kvs_message *ret_message)
{
    struct loader *loader = context;
    enum kvs_option_id id = KVS_OPTION_COUNT;
    if (!kvs_option_find(pair->key, &id))
        return fail_key(loader, pair);
    struct kvs_config_origin *origin = &loader->config->origins[id];
    if (origin->source == KVS_CONFIG_FILE)
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "%s:%u:%u: %s: given twice; the first time in line %u", loader->name,
                        pair->key_line, pair->key_column, kvs_options[id].name, origin->line);
    *origin = (struct kvs_config_origin){KVS_CONFIG_FILE, pair->value_line, pair->value_column};
    int err = kvs_value_set(loader->config, id, &pair->value, ret_message);
    return err < 0 ? wrap_origin(loader, id, err) : 0;
}

static int fail_variable(struct loader *loader, struct kvs_slice name)
{
    char key[ENV_NAME_MAX] = {0};
    size_t prefix = sizeof(env_prefix) - 1;
    size_t size = name.size - prefix < sizeof(key) - 1 ? name.size - prefix : sizeof(key) - 1;
    for (size_t i = 0; i < size; i++)
        key[i] = (char)tolower((unsigned char)name.data[prefix + i]);
    struct kvs_suggest suggest;
    kvs_suggest_init(&suggest, kvs_slice_from_str(key));
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++)
        kvs_suggest_offer(&suggest, kvs_options[i].name);
    char nearest[ENV_NAME_MAX] = {0};
    enum kvs_option_id id = KVS_OPTION_COUNT;
    if (suggest.nearest && kvs_option_find(kvs_slice_from_str(suggest.nearest), &id))
        env_name(id, nearest);
    return kvs_fail(loader->ret_message, KVS_ERR_INVALID,
                    "%.*s: this variable of the environment overrides no key%s%s%s",
                    name.size < 64 ? (int)name.size : 64, name.data,
                    suggest.nearest ? "; did you mean " : "", nearest, suggest.nearest ? "?" : "");
}

static int apply_variable(struct loader *loader, const char *entry)
{
    const char *equals = strchr(entry, '=');
    if (!equals)
        return 0;
    struct kvs_slice name = kvs_slice(entry, (size_t)(equals - entry));
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        enum kvs_option_id id = (enum kvs_option_id)i;
        char expected[ENV_NAME_MAX];
        env_name(id, expected);
        if (!kvs_slice_eq(name, kvs_slice_from_str(expected)))
            continue;
        loader->config->origins[id] = (struct kvs_config_origin){KVS_CONFIG_ENVIRONMENT, 0, 0};
        int err = kvs_value_set_text(loader->config, id, kvs_slice_from_str(equals + 1),
                                     loader->ret_message);
        return err < 0 ? wrap_origin(loader, id, err) : 0;
    }
    return fail_variable(loader, name);
}

static int apply_environment(struct loader *loader, char *const *env)
{
    for (; env && *env; env++) {
        if (strncmp(*env, env_prefix, sizeof(env_prefix) - 1) != 0)
            continue;
        int err = apply_variable(loader, *env);
        if (err < 0)
            return err;
    }
    return 0;
}

static int contradict(struct loader *loader, enum kvs_option_id id, const char *problem)
{
    (void)kvs_fail(loader->ret_message, KVS_ERR_INVALID, "%s", problem); // wrapped and returned
    return wrap_origin(loader, id, KVS_ERR_INVALID);
}

static bool is_wildcard(const char *address)
{
    return strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

static int check_tls(struct loader *loader)
{
    const struct kvs_config *config = loader->config;
    if (config->cluster_tls_enabled && config->cluster_tls_cert_file[0] == '\0')
        return contradict(loader, KVS_OPT_cluster_tls_enabled,
                          "TLS needs cluster_tls_cert_file as well");
    if (config->cluster_tls_enabled && config->cluster_tls_key_file[0] == '\0')
        return contradict(loader, KVS_OPT_cluster_tls_enabled,
                          "TLS needs cluster_tls_key_file as well");
    if (!config->cluster_tls_require_client_cert)
        return 0;
    if (!config->cluster_tls_enabled)
        return contradict(loader, KVS_OPT_cluster_tls_require_client_cert,
                          "client certificates need cluster_tls_enabled: true");
    if (config->cluster_tls_ca_file[0] == '\0')
        return contradict(loader, KVS_OPT_cluster_tls_require_client_cert,
                          "client certificates need a cluster_tls_ca_file to verify them against");
    return 0;
}

static int check_together(struct loader *loader)
{
    const struct kvs_config *config = loader->config;
    if (config->gossip_interval_min > config->gossip_interval_max)
        return contradict(loader, KVS_OPT_gossip_interval_min,
                          "must not be greater than gossip_interval_max");
    if (config->probe_interval_ms >= config->suspect_timeout_ms)
        return contradict(loader, KVS_OPT_suspect_timeout_ms,
                          "must be greater than probe_interval_ms");
    if (is_wildcard(config->advertise_address))
        return contradict(loader, KVS_OPT_advertise_address,
                          "peers cannot connect to all addresses; name one");
    if (strcmp(config->backup_path, config->data_dir) == 0)
        return contradict(loader, KVS_OPT_backup_path, "must not be the same as data_dir");
    return check_tls(loader);
}

int kvs_config_check_together(struct kvs_config *config, const char *name,
                              struct kvs_message *ret_message)
{
    struct kvs_message ignored = {{0}};
    struct loader loader = {config, name, ret_message ? ret_message : &ignored};
    return check_together(&loader);
}

static int default_node_id(struct loader *loader)
{
    char host[HOST_NAME_SIZE] = {0};
    if (loader->config->node_id[0] != '\0')
        return 0;
    if (gethostname(host, sizeof(host) - 1) < 0 || !kvs_check_name(kvs_slice_from_str(host)))
        return contradict(loader, KVS_OPT_node_id,
                          "this host has no name that would do; set node_id");
    return kvs_value_set_text(loader->config, KVS_OPT_node_id, kvs_slice_from_str(host),
                              loader->ret_message);
}

// Fills path and folder from what may be a relative path.
static int set_path(struct loader *loader)
{
    const char *name = loader->name;
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    KVS_CLEANUP(kvs_freep) char *current = name[0] == '/' ? strdup("") : getcwd(NULL, 0);
    if (!current)
        return kvs_fail(loader->ret_message, kvs_err_from_errno(errno), "%s: %s", loader->name,
                        strerror(errno));
    const char *slash = name[0] == '/' || strcmp(current, "/") == 0 ? "" : "/";
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", current, slash, name) < 0)
        return kvs_fail(loader->ret_message, KVS_ERR_NOMEM, "%s: out of memory", loader->name);
    loader->config->path = path;
    const char *last = strrchr(path, '/');
    loader->config->folder = strndup(path, last > path ? (size_t)(last - path) : 1);
    if (!loader->config->folder)
        return kvs_fail(loader->ret_message, KVS_ERR_NOMEM, "%s: out of memory", loader->name);
    return 0;
}

static int set_defaults(struct loader *loader)
{
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        enum kvs_option_id id = (enum kvs_option_id)i;
        int err = kvs_value_set_default(loader->config, id, loader->ret_message);
        if (err < 0)
            return wrap_origin(loader, id, err);
    }
    return 0;
}

int kvs_config_parse(struct kvs_slice text, const char *path, char *const *env,
                     struct kvs_config **ret_config, struct kvs_message *ret_message)
{
    struct kvs_message ignored = {{0}};
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = calloc(1, sizeof(*config));
    struct loader loader = {config, path, ret_message ? ret_message : &ignored};
    if (!config)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", path);
    if (text.size > KVS_CONFIG_FILE_MAX)
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%s: larger than %d bytes", path,
                        KVS_CONFIG_FILE_MAX);
    int err = set_path(&loader);
    if (err == 0)
        err = set_defaults(&loader);
    if (err == 0)
        err = kvs_yaml_read(text, path, visit_pair, &loader, loader.ret_message);
    if (err == 0)
        err = apply_environment(&loader, env);
    if (err == 0)
        err = default_node_id(&loader);
    if (err == 0)
        err = check_together(&loader);
    if (err < 0)
        return err;
    *ret_config = KVS_TAKE(config);
    return 0;
}

static int read_file(int fd, struct kvs_buf *text)
{
    for (;;) {
        char *room = kvs_buf_reserve(text, 4096);
        if (!room)
            return text->err;
        ssize_t size = read(fd, room, 4096);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return kvs_err_from_errno(errno);
        if (size == 0)
            return 0;
        text->size += (size_t)size;
    }
}

int kvs_config_load(const char *path, char *const *env, struct kvs_config **ret_config,
                    struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(KVS_CONFIG_FILE_MAX + 8192);
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "%s: cannot be opened: %s", path,
                        strerror(errno));
    int err = read_file(fd, &text);
    if (err == KVS_ERR_TOO_LARGE)
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%s: larger than %d bytes", path,
                        KVS_CONFIG_FILE_MAX);
    if (err < 0)
        return kvs_fail(ret_message, err, "%s: cannot be read: %s", path,
                        err == KVS_ERR_NOMEM ? "out of memory" : strerror(errno));
    return kvs_config_parse(kvs_buf_slice(&text), path, env, ret_config, ret_message);
}

void kvs_config_free(struct kvs_config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++)
        kvs_value_free(config, (enum kvs_option_id)i);
    free(config->path);
    free(config->folder);
    free(config);
}
