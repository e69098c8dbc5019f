// SPDX-License-Identifier: Apache-2.0
// The node's own process: `kvs CONFIG.yaml` in the foreground, `kvs --daemon CONFIG` as started by
// `kvs start`. Either way it holds the instance's lock for as long as it lives.
#include <stdio.h>
#include <string.h>

#include "cmd/nodes.h"
#include "daemon/ready.h"
#include "server/server.h"
#include "server/signals.h"

struct run {
    struct kvs_cmd_nodes nodes;
    struct kvs_instance *instance;
    struct kvs_config *config;
    bool daemon;   // errors go to `kvs start`
    bool reported; // … which has heard from us already
};

static void report_failure(struct run *run, const char *reason)
{
    if (!run->daemon)
        kvs_cmd_error("%s", reason);
    else if (!run->reported)
        kvs_ready_report_failure(reason);
    run->reported = true;
}

// A few words for whoever sits in front of it; the log on stdout stays pure JSON.
static void greet(const struct kvs_config *config, const char *address)
{
    const char *scheme = config->cluster_tls_enabled ? "https" : "http";
    if (!isatty(STDERR_FILENO))
        return;
    const char *header = config->auth_enabled ? " -H \"Authorization: Bearer $KVS_TOKEN\"" : "";
    fprintf(stderr, "\nKVS serves at %s://%s (Ctrl-C ends it). Try in another terminal:\n", scheme,
            address);
    if (config->auth_enabled)
        fprintf(stderr, "  export KVS_TOKEN=$(kvs token create '%s' --bare)\n", config->path);
    fprintf(stderr,
            "  curl%s -X PUT %s://%s/kv/greeting -d '{\"hello\":\"world\"}'\n"
            "  curl%s %s://%s/kv/greeting\n"
            "  curl %s://%s/health\n\n",
            header, scheme, address, header, scheme, address, scheme, address);
    if (config->cluster_tls_enabled)
        fprintf(stderr, "(--cacert FILE tells curl and kvs which CA to trust.)\n\n");
}

static void on_ready(void *ctx, const char *address)
{
    struct run *run = ctx;
    struct kvs_message message;
    if (kvs_instance_set_address(run->nodes.home, run->instance, address, &message) != 0)
        fprintf(stderr, "kvs: %s\n", message.text); // `kvs status` lacks the address, no more
    if (run->daemon)
        kvs_ready_report(address);
    else
        greet(run->config, address);
    run->reported = true;
}

static int serve(struct run *run)
{
    const struct kvs_server_options options = {
        .config = run->config,
        .log_path = run->daemon ? run->instance->log_path : NULL,
        .ready = on_ready,
        .ctx = run,
    };
    struct kvs_message message;
    if (kvs_server_run(&options, &message) == 0)
        return KVS_EXIT_OK;
    report_failure(run, message.text);
    return KVS_EXIT_FAILED;
}

static int run_config(struct run *run, const char *path)
{
    struct kvs_message message;
    if (kvs_config_load(path, environ, &run->config, &message) != 0) {
        report_failure(run, message.text);
        return KVS_EXIT_USAGE;
    }
    int err = kvs_config_cluster_secret_ensure(run->config, getenv("HOME"), kvs_random_system(),
                                               &message);
    kvs_signals_block(); // from the moment on that others find us by our PID file
    if (err == 0)
        err = kvs_instance_register(run->nodes.home, path, &run->instance, &message);
    if (err == 0)
        err = kvs_instance_enter(run->nodes.home, run->instance, &message);
    if (err != 0) {
        report_failure(run, message.text);
        return KVS_EXIT_FAILED;
    }
    int code = serve(run);
    kvs_instance_leave(run->nodes.home, run->instance);
    return code;
}

static int run_word(struct run *run, const char *word)
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    int code = kvs_cmd_nodes_path(&run->nodes, word, &path);
    if (code == KVS_EXIT_OK && !run->daemon)
        code = kvs_cmd_config_create(path);
    if (code == KVS_EXIT_OK)
        code = run_config(run, path);
    return code;
}

static int run_node(const char *word, bool daemon)
{
    struct run run = {.daemon = daemon};
    int code = kvs_cmd_nodes_open(&run.nodes);
    if (code != KVS_EXIT_OK)
        return code;
    code = run_word(&run, word);
    kvs_config_free(run.config);
    kvs_instance_free(run.instance);
    kvs_cmd_nodes_done(&run.nodes);
    return code;
}

int kvs_cmd_run_foreground(const char *word)
{
    return run_node(word, false);
}

int kvs_cmd_run_daemon(const char *path)
{
    if (!kvs_ready_adopt())
        return kvs_cmd_usage_error(NULL, "--daemon is for 'kvs start' alone");
    if (chdir("/") != 0)
        return KVS_EXIT_FAILED; // cannot happen: everyone may enter the root
    return run_node(path, true);
}
