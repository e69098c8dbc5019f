// SPDX-License-Identifier: Apache-2.0
// What the commands that handle nodes share: the user's ~/.kvs, its instances as they were when the
// command began, and what CONFIG on the command line means. Messages go to stderr here; functions
// return exit codes.
#ifndef KVS_CMD_NODES_H
#define KVS_CMD_NODES_H

#include "cmd/cmd.h"
#include "daemon/instance.h"

struct kvs_cmd_nodes {
    struct kvs_home *home;
    struct kvs_instance_list known;
    char *folder; // the current one, absolute
};

// Everything that these commands create is private to the user, so this sets the umask, too.
int kvs_cmd_nodes_open(struct kvs_cmd_nodes *ret_nodes);
void kvs_cmd_nodes_done(struct kvs_cmd_nodes *nodes);

// The node itself, in this process (cmd_run.c).
int kvs_cmd_run_foreground(const char *word);
int kvs_cmd_run_daemon(const char *path);

// Looks at all instances again.
int kvs_cmd_nodes_refresh(struct kvs_cmd_nodes *nodes);

// The config path that a word means; owned by the caller.
int kvs_cmd_nodes_path(const struct kvs_cmd_nodes *nodes, const char *word, char **ret_path);

// Creates a config with defaults if there is none at `path`, and says so.
int kvs_cmd_config_create(const char *path);

// The known instance of a config path; NULL when there is none. Valid until refresh or done.
const struct kvs_instance *kvs_cmd_nodes_find(const struct kvs_cmd_nodes *nodes, const char *path);

// Stops the nodes of these words: all are asked first, then waited for together.
struct kvs_cmd_stop {
    int timeout_ms;
    bool force; // kill what has not ended by then
    bool quiet; // nothing to say about nodes that were not running
};
int kvs_cmd_nodes_stop(struct kvs_cmd_nodes *nodes, char **words, int count,
                       const struct kvs_cmd_stop *stop);

#endif
