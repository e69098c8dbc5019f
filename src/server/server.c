// SPDX-License-Identifier: Apache-2.0
// Order of making: log, metrics, sockets, signals, node, API; the port is taken before the data is
// opened, so that the common mistakes show at once, and clients wait in the backlog meanwhile. The
// order of undoing is the opposite one: no request outlives the loops, no loop the signals' thread.
#include "server/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "api/api.h"
#include "net/net.h"
#include "node/audit.h"
#include "node/node.h"
#include "server/access.h"
#include "server/access_log.h"
#include "server/backups.h"
#include "server/cluster.h"
#include "server/notify.h"
#include "server/reload.h"
#include "server/server_internal.h"
#include "server/signals.h"
#include "server/tls.h"

enum { SHUTDOWN_GRACE_MS = 10000 };

struct server {
    const struct kvs_server_options *options;
    const struct kvs_config *config; // that it started with
    struct kvs_config *reloaded;     // of the last reload, NULL before; the signals' thread's alone
    const char *notify_socket;       // for systemd; NULL = nobody asked
    char address[300];               // where it listens
    struct kvs_log *log;
    struct kvs_metrics *metrics;
    struct kvs_net *net;
    struct kvs_signals signals;
    bool has_signals;
    struct kvs_server_cluster *cluster; // NULL: clustering is off
    _Atomic(const char *) end_reason;   // static: why the node must not go on
    struct kvs_gatekeeper access;
    struct kvs_node *node;
    struct kvs_backup_service *backups;
    pthread_mutex_t up_lock; // guards the next three and what a signal does with the parts
    bool is_up;              // the parts are all there: after start, until finish
    bool pause_waits;        // a stop came before the parts were there
    bool reload_waits;       // a reload did
    struct kvs_api *api;
    atomic_bool serving;
    atomic_bool stopping;
    _Atomic enum kvs_access_log access_log;
};

// ---- Called by net, on its loops

static void handle(void *ctx, struct kvs_http_exchange *exchange)
{
    const struct server *server = ctx;
    kvs_api_handle(server->api, exchange);
}

static size_t body_limit(void *ctx, const struct kvs_http_request *request)
{
    const struct server *server = ctx;
    return kvs_api_body_limit(server->api, request);
}

static void finished(void *ctx, const struct kvs_http_access *access)
{
    struct server *server = ctx;
    kvs_access_log(server->log, atomic_load_explicit(&server->access_log, memory_order_relaxed),
                   access);
}

static void on_peer_message(void *ctx, struct kvs_slice message)
{
    const struct server *server = ctx;
    kvs_node_peer_message(server->node, message);
}

static bool is_accepting(void *ctx)
{
    struct server *server = ctx;
    return atomic_load(&server->serving) && !atomic_load(&server->stopping);
}

// ---- From settings to options

static struct kvs_net_options net_options(struct server *server, const struct kvs_config *config)
{
    return (struct kvs_net_options){
        .address = config->bind_address,
        .port = (uint16_t)config->port,
        .threads = (unsigned)config->http_threads,
        .max_connections = (unsigned)config->max_connections,
        .max_connections_per_address = (unsigned)config->max_connections_per_address,
        .http = {.request_timeout_ms = (config->request_timeout_ns + 999999) / 1000000,
                 .allowed_hosts = (const char *const *)config->allowed_hosts.items,
                 .allowed_host_count = config->allowed_hosts.count,
                 .trusted_proxies = (const char *const *)config->trusted_proxies.items,
                 .trusted_proxy_count = config->trusted_proxies.count},
        .tls = kvs_server_tls_listener(config),
        .handler = {.ctx = server,
                    .handle = handle,
                    .body_limit = body_limit,
                    .finished = finished},
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .log = server->log,
        .metrics = server->metrics,
    };
}

struct kvs_node_options kvs_server_node_options(const struct kvs_config *config)
{
    return (struct kvs_node_options){
        .data_dir = config->data_dir,
        .node_id = config->node_id,
        .read_only = config->read_only,
        .durability = config->durability,
        .compression = config->compression_enabled,
        .compression_level = (int)config->compression_level,
        .revisions = config->revision_history_enabled ? (uint32_t)config->revisions : 1,
        .default_ttl_ms = (config->default_ttl_ns + 999999) / 1000000,
        .tombstone_retention_ms = config->tombstone_retention_hours * 3600 * 1000,
        .audit = config->tamper_logging_enabled,
        .audit_actions = config->tamper_log_actions,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
    };
}

static int open_node(struct server *server, struct kvs_message *ret_message)
{
    struct kvs_node_options options = kvs_server_node_options(server->config);
    options.log = server->log;
    options.metrics = server->metrics;
    options.observer = server->access.auth ? &server->access.observer : NULL;
    options.cluster = kvs_server_cluster_node(server->cluster);
    return kvs_node_open(&options, &server->node, ret_message);
}

static void stop_serving(struct server *server)
{
    atomic_store(&server->stopping, true);
    kvs_net_stop(server->net, SHUTDOWN_GRACE_MS);
}

// The cluster wants this process to end; on any thread.
static void on_cluster_stop(void *ctx, const char *reason)
{
    struct server *server = ctx;
    if (reason)
        atomic_store(&server->end_reason, reason);
    stop_serving(server);
}

// Before they know who may do what, joining nodes answer nobody.
static void on_system_ready(void *ctx, bool ready)
{
    const struct server *server = ctx;
    if (server->access.auth)
        kvs_auth_set_ready(server->access.auth, ready);
}

static int make_cluster(struct server *server, struct kvs_message *ret_message)
{
    const struct kvs_server_cluster_options options = {
        .config = server->config,
        .net = server->net,
        .log = server->log,
        .metrics = server->metrics,
        .stop = on_cluster_stop,
        .system_ready = on_system_ready,
        .ctx = server,
    };
    return kvs_server_cluster_new(&options, &server->cluster, ret_message);
}

static int make_api(struct server *server, struct kvs_message *ret_message)
{
    const struct kvs_config *config = server->config;
    const struct kvs_api_options options = {
        .node = server->node,
        .backups = server->backups,
        .metrics = server->metrics,
        .log = server->log,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
        .auth = server->access.auth,
        .cluster_secret = config->cluster_secret,
        .cluster_secret_previous = config->cluster_secret_previous,
        .node_id = config->node_id,
        .version = KVS_VERSION,
        .max_json_size = (size_t)config->max_json_size,
        .revisions = (uint32_t)config->revisions,
        .revision_history_enabled = config->revision_history_enabled,
        .metrics_enabled = config->metrics_enabled,
        .audit = config->tamper_logging_enabled,
        .accepting = is_accepting,
        .accepting_ctx = server,
        .peer_auth = kvs_server_cluster_auth(server->cluster),
        .peer_message = on_peer_message,
        .peer_message_ctx = server,
    };
    int err = kvs_api_new(&options, &server->api);
    return err == 0 ? 0 : kvs_fail(ret_message, err, "%s", kvs_err_text(err));
}

// ---- Signals, on their thread

static void on_stop(void *ctx, int signal)
{
    struct server *server = ctx;
    kvs_log(server->log, KVS_LOG_INFO, "node stopping", KVS_F_STR("signal", strsignal(signal)));
    kvs_notify(server->notify_socket, "STOPPING=1");
    (void)pthread_mutex_lock(&server->up_lock); // a plain mutex that we never lock twice
    server->pause_waits = !server->is_up;
    if (server->is_up)
        kvs_node_pause(server->node); // finish waits for it
    stop_serving(server);
    (void)pthread_mutex_unlock(&server->up_lock);
}

// Nothing acknowledged is lost: the next start replays the log, as after a crash.
static void on_abandon(void *ctx)
{
    struct server *server = ctx;
    kvs_log(server->log, KVS_LOG_WARN, "node ends at once: interrupted while it was stopping");
    _exit(130);
}

// A rotation has renamed the file: log, stdout and stderr move on to a new one.
static void reopen_log(struct server *server)
{
    const char *path = server->options->log_path;
    if (!path)
        return;
    KVS_CLEANUP(kvs_closep) int fd = -1;
    bool moved = kvs_log_reopen(server->log) == 0 &&
                 (fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)) >= 0 &&
                 dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0;
    if (!moved)
        kvs_log(server->log, KVS_LOG_ERROR,
                "log file not opened anew: still writing to the old one", KVS_F_STR("path", path),
                KVS_F_STR("error", strerror(errno)));
}

static void audit_reload(struct server *server, int err)
{
    const struct kvs_audit_event event = {.action = KVS_AUDIT_config_reload,
                                          .resource = kvs_slice_from_str(server->config->path)};
    kvs_node_audit_note(server->node, &event, err);
}

// Call it with up_lock held, when the server is up.
static void reload(struct server *server)
{
    struct kvs_config *config = NULL;
    const struct kvs_config *current = server->reloaded ? server->reloaded : server->config;
    int err = kvs_reload_config(server->log, server->config, current, &config);
    audit_reload(server, err);
    if (err != 0)
        return; // logged
    struct kvs_message message;
    struct kvs_net_options options = net_options(server, config);
    if (kvs_net_reload(server->net, &options, &message) != 0)
        kvs_log(server->log, KVS_LOG_ERROR, "listener keeps its old settings",
                KVS_F_STR("error", message.text));
    kvs_server_tls_reload(server->net, server->config, config, server->log);
    kvs_server_cluster_reload(server->cluster, config);
    if (server->access.auth) {
        struct kvs_auth_settings settings = kvs_access_settings(config);
        kvs_auth_configure(server->access.auth, &settings);
    }
    kvs_server_backups_reload(server->backups, config, server->log);
    kvs_log_set_level(server->log, config->log_level);
    atomic_store(&server->access_log, config->access_log);
    kvs_config_free(server->reloaded);
    server->reloaded = config;
}

// A signal may come while the parts are made or undone.
static void on_reload(void *ctx)
{
    struct server *server = ctx;
    reopen_log(server);
    (void)pthread_mutex_lock(&server->up_lock);
    if (server->is_up)
        reload(server);
    else
        server->reload_waits = true;
    (void)pthread_mutex_unlock(&server->up_lock);
}

// On the main thread.
static void set_up(struct server *server, bool is_up)
{
    (void)pthread_mutex_lock(&server->up_lock);
    server->is_up = is_up;
    if (is_up && server->pause_waits)
        kvs_node_pause(server->node);
    if (is_up && server->reload_waits)
        kvs_signals_reload(&server->signals);
    (void)pthread_mutex_unlock(&server->up_lock);
}

// ---- Start

static void raise_file_limit(const struct server *server)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        kvs_log(server->log, KVS_LOG_WARN, "limit of open files not raised",
                KVS_F_UINT("limit", before), KVS_F_STR("error", strerror(errno)));
}

// Names the file, never the value.
static void log_secret_file(const struct server *server)
{
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    if (server->config->origins[KVS_OPT_cluster_secret].source != KVS_CONFIG_SHARED_FILE || !home)
        return;
    (void)snprintf(path, sizeof(path), "%s/.kvs/cluster_secret", home);
    kvs_log(server->log, KVS_LOG_INFO,
            "no cluster_secret is configured: the one that this user's nodes share is used",
            KVS_F_STR("file", path));
}

static void log_start(const struct server *server)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf settings = KVS_BUF_INIT(512 << 10);
    kvs_config_json(server->config, &settings);
    kvs_log(server->log, KVS_LOG_INFO, "node started", KVS_F_STR("version", KVS_VERSION),
            KVS_F_STR("address", server->address), KVS_F_INT("pid", getpid()),
            KVS_F_STR("config_file", server->config->path),
            KVS_F_JSON("config", settings.err == 0 ? kvs_buf_slice(&settings) : KVS_SLICE("null")));
}

static int listen_on_port(struct server *server, struct kvs_message *ret_message)
{
    struct kvs_net_options options = net_options(server, server->config);
    int err = kvs_net_new(&options, &server->net, ret_message);
    if (err == 0)
        err = kvs_net_listen(server->net, ret_message);
    if (err != 0)
        return err;
    bool brackets = strchr(server->config->bind_address, ':') != NULL;
    (void)snprintf(server->address, sizeof(server->address), "%s%s%s:%u", brackets ? "[" : "",
                   server->config->bind_address, brackets ? "]" : "",
                   (unsigned)kvs_net_port(server->net));
    return 0;
}

static int start_backups(struct server *server, struct kvs_message *ret_message)
{
    return kvs_server_backups_start(server->config, server->node, server->log, server->metrics,
                                    &server->backups, ret_message);
}

static int start(struct server *server, struct kvs_message *ret_message)
{
    const struct kvs_signal_actions actions = {
        .ctx = server, .stop = on_stop, .abandon = on_abandon, .reload = on_reload};
    raise_file_limit(server);
    int err = kvs_metrics_new(&server->metrics);
    if (err != 0)
        return kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    err = listen_on_port(server, ret_message);
    if (err == 0)
        err = kvs_signals_start(&server->signals, &actions, ret_message);
    if (err != 0)
        return err;
    server->has_signals = true;
    if (server->config->auth_enabled)
        err = kvs_gatekeeper_init(&server->access, server->config, server->log, ret_message);
    if (err == 0)
        err = make_cluster(server, ret_message);
    if (err == 0)
        err = open_node(server, ret_message);
    if (err == 0) {
        kvs_server_cluster_attach(server->cluster, server->node);
        if (server->access.auth)
            err = kvs_access_first_start(server->config, server->node, server->access.auth,
                                         ret_message);
    }
    if (err == 0)
        err = start_backups(server, ret_message);
    if (err == 0)
        err = make_api(server, ret_message);
    if (err == 0)
        set_up(server, true);
    return err;
}

static int serve(struct server *server, struct kvs_message *ret_message)
{
    log_start(server);
    log_secret_file(server);
    kvs_server_tls_warn(server->config, server->log);
    atomic_store(&server->serving, true);
    if (server->options->ready)
        server->options->ready(server->options->ctx, server->address);
    kvs_notify(server->notify_socket, "READY=1");
    int err = kvs_net_run(server->net, ret_message);
    const char *reason = atomic_load(&server->end_reason);
    return err == 0 && reason ? kvs_fail(ret_message, KVS_ERR_CONFLICT, "%s", reason) : err;
}

// Accepts a server in any state of completion. The signals' thread is free meanwhile: who is in a
// hurry is heard.
static void finish(struct server *server)
{
    set_up(server, false);
    if (server->node)
        kvs_node_await_pause(server->node);
    kvs_server_cluster_stop(server->cluster);
    kvs_api_free(server->api);
    kvs_backup_service_stop(server->backups);
    kvs_node_close(server->node);
    kvs_server_cluster_free(server->cluster);
    kvs_gatekeeper_done(&server->access);
    if (server->has_signals)
        kvs_signals_stop(&server->signals);
    kvs_backup_service_free(server->backups); // no reload comes any more
    kvs_net_free(server->net);
    kvs_metrics_free(server->metrics);
    kvs_config_free(server->reloaded);
}

int kvs_server_run(const struct kvs_server_options *options, struct kvs_message *ret_message)
{
    const struct kvs_config *config = options->config;
    struct server server = {
        .options = options, .config = config, .notify_socket = getenv("NOTIFY_SOCKET")};
    (void)pthread_mutex_init(&server.up_lock, NULL); // cannot fail with default attributes
    atomic_init(&server.access_log, config->access_log);
    kvs_signals_block();
    int err = kvs_log_open(options->log_path, config->log_level, config->node_id,
                           kvs_clock_system(), &server.log, ret_message);
    if (err != 0)
        return err;
    err = start(&server, ret_message);
    if (err == 0)
        err = serve(&server, ret_message);
    finish(&server);
    if (err == 0)
        kvs_log(server.log, KVS_LOG_INFO, "node stopped");
    else
        kvs_log(server.log, KVS_LOG_ERROR, "node failed", KVS_F_STR("error", ret_message->text));
    kvs_log_close(server.log);
    return err;
}
