// SPDX-License-Identifier: Apache-2.0
// `kvs start` and `kvs restart`: nodes in the background. Each is started as a process of its own
// and waited for until it answers.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cmd/nodes.h"
#include "config/config.h"
#include "daemon/health.h"
#include "daemon/process.h"
#include "daemon/ready.h"

enum {
    READY_TIMEOUT_MS = 60000, // opening may replay a large log
    HEALTH_TIMEOUT_MS = 30000,
    STOP_TIMEOUT_MS = 30000,
    TAIL_LINES = 10,
    TAIL_SIZE = 16 * 1024,
};

static off_t size_of(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? status.st_size : 0;
}

// The last lines that were written to the log since it had `from` bytes.
static void print_tail(const char *path, off_t from)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[TAIL_SIZE + 1];
    off_t size = size_of(path);
    if (fd < 0 || size <= from)
        return;
    if (size - from > TAIL_SIZE)
        from = size - TAIL_SIZE;
    ssize_t got = pread(fd, text, TAIL_SIZE, from);
    if (got <= 0)
        return;
    size_t lines = 0;
    const char *first = text + got;
    while (first > text && (lines < TAIL_LINES || first[-1] != '\n'))
        lines += *--first == '\n' && first + 1 < text + got;
    if (*first == '\n')
        first++;
    fprintf(stderr, "The last lines of %s:\n%.*s%s", path, (int)(text + got - first), first,
            text[got - 1] == '\n' ? "" : "\n");
}

// Waits for the end of a node that failed, so that it has cleaned up when we report; says how it
// ended if it gave no reason itself.
static void await_end(pid_t pid, struct kvs_message *message)
{
    int status;
    bool known = waitpid(pid, &status, 0) == pid;
    if (message->text[0])
        return;
    if (!known)
        (void)kvs_fail(message, 0, "the node ended");
    else if (WIFSIGNALED(status))
        (void)kvs_fail(message, 0, "the node was ended by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else
        (void)kvs_fail(message, 0, "the node ended with exit code %d", WEXITSTATUS(status));
}

static int await_ready(const struct kvs_instance *instance, const struct kvs_config *config,
                       pid_t pid, int ready_fd, off_t log_size)
{
    struct kvs_message address, message;
    int err = kvs_ready_wait(ready_fd, READY_TIMEOUT_MS, &address, &message);
    if (err == KVS_ERR_TIMEOUT) {
        kvs_cmd_error("%s: not ready after %d s; it goes on starting (PID %ld), its log is %s",
                      instance->name, READY_TIMEOUT_MS / 1000, (long)pid, instance->log_path);
        return KVS_EXIT_FAILED;
    }
    if (err != 0) {
        await_end(pid, &message);
        kvs_cmd_error("%s: %s", instance->name, message.text);
        print_tail(instance->log_path, log_size);
        return KVS_EXIT_FAILED;
    }
    const char *host =
        config->allowed_hosts.count > 0 ? config->allowed_hosts.items[0] : address.text;
    const char *cert_file = config->cluster_tls_enabled ? config->cluster_tls_cert_file : NULL;
    if (kvs_health_check(address.text, host, cert_file, HEALTH_TIMEOUT_MS, &message) != 0) {
        kvs_cmd_error("%s: runs (PID %ld), but %s", instance->name, (long)pid, message.text);
        print_tail(instance->log_path, log_size);
        return KVS_EXIT_FAILED;
    }
    printf("%s: running at %s://%s (PID %ld, log %s)\n", instance->name,
           cert_file ? "https" : "http", address.text, (long)pid, instance->log_path);
    return KVS_EXIT_OK;
}

static int start_instance(const struct kvs_instance *instance, const struct kvs_config *config)
{
    if (instance->running) {
        kvs_cmd_error("%s: instance is already running (PID %ld)", instance->name,
                      (long)instance->pid);
        return KVS_EXIT_FAILED;
    }
    pid_t pid;
    KVS_CLEANUP(kvs_closep) int ready_fd = -1;
    struct kvs_message message;
    off_t log_size = size_of(instance->log_path);
    if (kvs_process_spawn(instance, &pid, &ready_fd, &message) != 0) {
        kvs_cmd_error("%s: %s", instance->name, message.text);
        return KVS_EXIT_FAILED;
    }
    return await_ready(instance, config, pid, ready_fd, log_size);
}

static int start_word(const struct kvs_cmd_nodes *nodes, const char *word)
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    KVS_CLEANUP(kvs_config_freep) struct kvs_config *config = NULL;
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *instance = NULL;
    struct kvs_message message;
    int code = kvs_cmd_nodes_path(nodes, word, &path);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_config_create(path);
    if (code != KVS_EXIT_OK)
        return code;
    if (kvs_config_load(path, environ, &config, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    if (kvs_instance_register(nodes->home, path, &instance, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_FAILED;
    }
    return start_instance(instance, config);
}

static int start_words(const struct kvs_cmd_nodes *nodes, const struct kvs_args *args)
{
    int worst = KVS_EXIT_OK;
    for (int i = 0; i < args->operand_count; i++) {
        int code = start_word(nodes, args->operands[i]);
        worst = worst == KVS_EXIT_OK ? code : worst;
        (void)fflush(stdout); // one line as each is up; kvs_cmd_main checks stdout at the end
    }
    return worst;
}

static int run_start(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    code = start_words(&nodes, args);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

const struct kvs_command_body kvs_cmd_start = {
    .run = run_start,
    .details =
        "Returns once each node answers /health, or fails with the reason and the last lines of\n"
        "its log. A config that does not exist is created with commented defaults. PID file and\n"
        "log are in ~/.kvs; 'kvs status' shows where. 'kvs token create CONFIG' makes a token.\n"
        "\n"
        "A node joins another one whose address its config names in seed_nodes. Both need the\n"
        "same cluster_secret: begin with a copy of the first one's config, and give it a node_id\n"
        "and, on the same machine, a port and a data_dir of its own.\n"
        "\n"
        "Examples:\n"
        "  kvs start node1\n"
        "  mkdir b && cp node1.yaml b/node2.yaml       # its data_dir is ./data: in b\n"
        "  printf '%s\\n' 'node_id: node2' 'port: 8081' 'seed_nodes: [\"127.0.0.1:8080\"]' "
        ">> b/node2.yaml\n"
        "  kvs start b/node2 && kvs members\n"
        "  KVS_CFG_PORT=9000 kvs start node1\n",
};

static int run_restart(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_cmd_stop stop = {
        .timeout_ms = STOP_TIMEOUT_MS, .force = kvs_args_flag(args, "force"), .quiet = true};
    code = kvs_cmd_nodes_stop(&nodes, args->operands, args->operand_count, &stop);
    if (code == KVS_EXIT_OK)
        code = start_words(&nodes, args);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

static const struct kvs_cmd_option restart_options[] = {
    {"force", 'f', NULL, "Kill a node that has not ended after 30 s"},
    {0},
};

const struct kvs_command_body kvs_cmd_restart = {
    .run = run_restart,
    .options = restart_options,
    .details = "Stops those that run, all at once, then starts each.\n"
               "\n"
               "For log level, rate limits and the other keys that docs/configuration.md marks\n"
               "'kvs reload' is enough.\n"
               "\n"
               "Example:\n"
               "  kvs restart node1\n",
};
