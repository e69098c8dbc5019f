// SPDX-License-Identifier: Apache-2.0
// `kvs stop`: ask all of the nodes to end, then wait for all of them.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/slice.h"
#include "cmd/nodes.h"
#include "daemon/process.h"

enum { KILL_TIMEOUT_MS = 10000 };

// One node that was asked to end.
struct ending {
    const struct kvs_instance *instance;
    int pidfd; // -1: nothing to wait for
};

static int ask(struct kvs_cmd_nodes *nodes, const char *word, bool quiet, struct ending *ret_ending)
{
    *ret_ending = (struct ending){.pidfd = -1};
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    int code = kvs_cmd_nodes_path(nodes, word, &path);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_instance *instance = kvs_cmd_nodes_find(nodes, path);
    struct kvs_message message;
    int err = KVS_ERR_NOT_FOUND;
    if (instance)
        err = kvs_process_signal(nodes->home, instance, SIGTERM, &ret_ending->pidfd, &message);
    else if (access(path, F_OK) != 0 && !quiet) {
        kvs_cmd_error("%s: there is no config %s and no instance of that name", word, path);
        return KVS_EXIT_FAILED;
    }
    ret_ending->instance = instance;
    if (err == 0)
        return KVS_EXIT_OK;
    if (err == KVS_ERR_NOT_FOUND) {
        if (!quiet)
            printf("%s: not running\n", instance ? instance->name : word);
        return KVS_EXIT_OK;
    }
    kvs_cmd_error("%s: %s", instance->name, message.text);
    return KVS_EXIT_FAILED;
}

static int await_end(struct kvs_cmd_nodes *nodes, const struct ending *ending, int64_t deadline_ms,
                     const struct kvs_cmd_stop *stop)
{
    if (ending->pidfd < 0)
        return KVS_EXIT_OK;
    const struct kvs_instance *instance = ending->instance;
    int err = kvs_process_wait(ending->pidfd, deadline_ms);
    if (err == KVS_ERR_TIMEOUT && stop->force) {
        struct kvs_message message;
        KVS_CLEANUP(kvs_closep) int pidfd = -1;
        err = kvs_process_signal(nodes->home, instance, SIGKILL, &pidfd, &message);
        if (err == 0)
            err = kvs_process_wait(pidfd, kvs_clock_mono_ms(kvs_clock_system()) + KILL_TIMEOUT_MS);
        if (err == 0) {
            printf("%s: killed\n", instance->name);
            return KVS_EXIT_OK;
        }
        if (err == KVS_ERR_NOT_FOUND)
            err = 0; // it ended by itself meanwhile
    }
    if (err != 0) {
        kvs_cmd_error("%s: still running after %d s (PID %ld): wait, or use 'kvs stop --force'; "
                      "its log is %s",
                      instance->name, stop->timeout_ms / 1000, (long)instance->pid,
                      instance->log_path);
        return KVS_EXIT_FAILED;
    }
    printf("%s: stopped\n", instance->name);
    return KVS_EXIT_OK;
}

int kvs_cmd_nodes_stop(struct kvs_cmd_nodes *nodes, char **words, int count,
                       const struct kvs_cmd_stop *stop)
{
    struct ending *endings = calloc((size_t)count, sizeof(*endings));
    if (!endings) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    int worst = KVS_EXIT_OK;
    for (int i = 0; i < count; i++) {
        int code = ask(nodes, words[i], stop->quiet, &endings[i]);
        worst = worst == KVS_EXIT_OK ? code : worst;
    }
    int64_t deadline_ms = kvs_clock_mono_ms(kvs_clock_system()) + stop->timeout_ms;
    for (int i = 0; i < count; i++) {
        int code = await_end(nodes, &endings[i], deadline_ms, stop);
        worst = worst == KVS_EXIT_OK ? code : worst;
        kvs_closep(&endings[i].pidfd);
    }
    free(endings);
    int code = kvs_cmd_nodes_refresh(nodes); // also removes what killed nodes left behind
    return worst == KVS_EXIT_OK ? code : worst;
}

static int run_stop(const struct kvs_args *args)
{
    uint64_t timeout_s = 30;
    const char *timeout = kvs_args_value(args, "timeout");
    if (timeout &&
        (!kvs_slice_to_u64(kvs_slice_from_str(timeout), &timeout_s) || timeout_s > 86400))
        return kvs_cmd_usage_error(args->command,
                                   "--timeout is a whole number of seconds up to "
                                   "86400, not '%s'",
                                   timeout);
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    const struct kvs_cmd_stop stop = {.timeout_ms = (int)timeout_s * 1000,
                                      .force = kvs_args_flag(args, "force")};
    code = kvs_cmd_nodes_stop(&nodes, args->operands, args->operand_count, &stop);
    kvs_cmd_nodes_done(&nodes);
    return code;
}

static const struct kvs_cmd_option stop_options[] = {
    {"force", 'f', NULL, "Kill what has not ended in time; nothing acknowledged is lost"},
    {"timeout", 't', "SECONDS", "How long to wait, 30 by default"},
    {0},
};

const struct kvs_command_body kvs_cmd_stop = {
    .run = run_stop,
    .options = stop_options,
    .details = "Each node finishes the requests in flight, flushes and closes. All are asked at\n"
               "once and then waited for. A node that does not run is no error.\n"
               "\n"
               "Examples:\n"
               "  kvs stop node1\n"
               "  kvs stop node1 node2 /srv/a/node3.yaml\n"
               "  kvs stop --force --timeout 5 node1\n",
};
