// SPDX-License-Identifier: Apache-2.0
// Instances: the nodes that this user has configured, known by name. Whether one runs is decided by
// a lock that its process holds on the PID file, never by the PID: PIDs are reused, locks die with
// their holder.
//
// An instance is named after its config file ("node1" for /srv/a/node1.yaml), its log after folder
// and file ("a_node1.yaml.log"). Where another instance has either already, both get "-" and 8 hex
// digits of the path's hash. The name stays the same until the config file is gone.
#ifndef KVS_DAEMON_INSTANCE_H
#define KVS_DAEMON_INSTANCE_H

#include <stdint.h>
#include <sys/types.h>

#include "daemon/home.h"

struct kvs_instance {
    char *name;
    char *config_path; // absolute; the file may be gone while the node runs
    char *pid_path;
    char *log_path;
    char *address; // where it listens or last did, "127.0.0.1:8080"; "" when it never ran
    bool running;
    pid_t pid;          // of the running node; 0 when stopped or when its PID file is damaged
    int64_t started_ms; // Unix ms; only while running
    int lock_fd;        // >= 0 in the node's own process after kvs_instance_enter
};

void kvs_instance_free(struct kvs_instance *instance);
KVS_DEFINE_CLEANUP(struct kvs_instance, kvs_instance_free)

enum { KVS_INSTANCES_MAX = 10000 };

struct kvs_instance_list {
    struct kvs_instance **items; // by name
    size_t count;
};

void kvs_instance_list_done(struct kvs_instance_list *list);

// Every known instance as it is at this moment. Removes the PID files that crashes left behind and
// forgets stopped instances whose config file is gone. *ret_list starts zeroed.
KVS_MUST_CHECK int kvs_instance_list(struct kvs_home *home, struct kvs_instance_list *ret_list,
                                     struct kvs_message *ret_message);

// The instance of a config (absolute path, from kvs_config_path_resolve); registered if it is new.
KVS_MUST_CHECK int kvs_instance_register(struct kvs_home *home, const char *config_path,
                                         struct kvs_instance **ret_instance,
                                         struct kvs_message *ret_message);

// Makes this process the instance's node: takes the lock and writes the PID file. KVS_ERR_BUSY with
// "instance is already running" when another process is.
KVS_MUST_CHECK int kvs_instance_enter(struct kvs_home *home, struct kvs_instance *instance,
                                      struct kvs_message *ret_message);
// Notes where this process's node listens, for whoever asks after it.
KVS_MUST_CHECK int kvs_instance_set_address(struct kvs_home *home, struct kvs_instance *instance,
                                            const char *address, struct kvs_message *ret_message);
// Removes the PID file and lets go of the lock.
void kvs_instance_leave(struct kvs_home *home, struct kvs_instance *instance);

#endif
