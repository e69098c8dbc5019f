// SPDX-License-Identifier: Apache-2.0
// `kvs debug conflict`: two data directories that disagree, to see how nodes come to agree. Each is
// made by a node that runs here for a moment, on a clock that is told what to say.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "node/node.h"

enum { AGE_MS = 5000 }; // how long ago the elder one was made

static const struct kvs_slice conflict_key = KVS_SLICE("test/conflict/data");

// Stands still.
struct told_clock {
    struct kvs_clock base;
    int64_t now_ms;
};

static int64_t told_ms(const struct kvs_clock *clock)
{
    return ((const struct told_clock *)clock)->now_ms;
}

static int64_t told_ns(const struct kvs_clock *clock)
{
    return told_ms(clock) * 1000000;
}

// It may exist, but nothing may lie in it.
static bool is_fresh(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        if (errno != ENOENT)
            kvs_cmd_error("%s: %s", path, strerror(errno));
        return errno == ENOENT;
    }
    const struct dirent *entry;
    bool empty = true;
    while (empty && (entry = readdir(folder)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    (void)closedir(folder); // only read from
    if (!empty)
        kvs_cmd_error("%s is not empty: take a new directory", path);
    return empty;
}

// A node that is made at `joined_ms` and writes at `written_ms`.
static int make(const char *path, int64_t joined_ms, int64_t written_ms, const char *json)
{
    struct told_clock clock = {{told_ms, told_ms, told_ns}, joined_ms};
    const struct kvs_node_options options = {
        .data_dir = path,
        .node_id = "kvs-debug",
        .durability = KVS_DURABILITY_SYNC,
        .compression = true,
        .compression_level = 3,
        .revisions = 3,
        .tombstone_retention_ms = 720LL * 3600 * 1000,
        .clock = &clock.base,
        .random = kvs_random_system(),
    };
    struct kvs_node *node = NULL;
    struct kvs_message message;
    if (kvs_node_open(&options, &node, &message) != 0) {
        kvs_cmd_error("%s: %s", path, message.text);
        return KVS_EXIT_FAILED;
    }
    clock.now_ms = written_ms;
    struct kvs_write write = {.op = KVS_WRITE_PUT,
                              .grant = kvs_auth_open_grant(),
                              .key = conflict_key,
                              .json = kvs_slice_from_str(json),
                              .ttl_ms = KVS_TTL_NONE};
    int err = kvs_node_write_wait(node, &write);
    kvs_node_close(node);
    if (err) {
        kvs_cmd_error("%s: %s", path, kvs_err_text(err));
        return KVS_EXIT_FAILED;
    }
    char uuid[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(&write.version.uuid, uuid);
    printf("%s: %.*s = %s (timestamp %lld, uuid %.*s, joined_timestamp %lld)\n", path,
           KVS_SLICE_FMT(conflict_key), json, (long long)write.version.timestamp,
           KVS_UUID_TEXT_SIZE, uuid, (long long)joined_ms);
    return KVS_EXIT_OK;
}

static int run_debug(const struct kvs_args *args)
{
    const char *first = args->operands[1];
    const char *second = args->operands[2];
    if (strcmp(args->operands[0], "conflict") != 0)
        return kvs_cmd_usage_error(args->command, "'%s' is nothing to debug: say conflict",
                                   args->operands[0]);
    if (strcmp(first, second) == 0)
        return kvs_cmd_usage_error(args->command, "DIR1 and DIR2 must be two directories");
    if (!is_fresh(first) || !is_fresh(second))
        return KVS_EXIT_FAILED;
    int64_t now_ms = kvs_clock_wall_ms(kvs_clock_system());
    int code = make(first, now_ms - AGE_MS, now_ms, "{\"message\":\"from node1\",\"value\":100}");
    if (code == KVS_EXIT_OK)
        code =
            make(second, now_ms - AGE_MS / 2, now_ms, "{\"message\":\"from node2\",\"value\":200}");
    if (code == KVS_EXIT_OK)
        puts("Start two nodes on them that know each other (seed_nodes, one cluster_secret):\n"
             "both come to DIR1's value, whose node is the elder one, and log the conflict.");
    return code;
}

const struct kvs_command_body kvs_cmd_debug = {
    .run = run_debug,
    .actions = "conflict",
    .details =
        "conflict writes two data directories, each that of a node which has written the key\n"
        "test/conflict/data: with the same timestamp, different UUIDs and different values.\n"
        "DIR1's node is the elder one. They may exist already, but must be empty.\n"
        "\n"
        "Example:\n"
        "  kvs debug conflict data1 data2\n",
};
