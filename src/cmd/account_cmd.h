// SPDX-License-Identifier: Apache-2.0
// What `kvs user`, `kvs group`, `kvs token` and `kvs metadata` share: actions as their first
// operand, requests to the account routes, and how their answers are shown.
#ifndef KVS_CMD_ACCOUNT_CMD_H
#define KVS_CMD_ACCOUNT_CMD_H

#include "base/arena.h"
#include "cmd/client_args.h"
#include "codec/json.h"

struct kvs_account_cmd {
    const struct kvs_args *args;
    char **operands; // behind the action
    int operand_count;
    struct kvs_client *client;
    struct kvs_arena arena; // of everything that is read or made
};

struct kvs_account_action {
    const char *name;
    const char *operands; // for messages
    int operands_min, operands_max;
    int (*run)(struct kvs_account_cmd *cmd); // returns an exit code
};

// Runs the action that the first operand names; the table ends with a row without name.
int kvs_account_cmd_run(const struct kvs_args *args, const struct kvs_account_action *actions);

// One request; the answer's JSON in *ret_root (NULL: no body). `body` NULL: none. An exit code,
// said on stderr.
int kvs_account_cmd_call(struct kvs_account_cmd *cmd, const char *method, const char *target,
                         const struct kvs_buf *body, const struct kvs_json **ret_root);

// Shows one object: with --json as it is, else a line a member.
int kvs_account_cmd_show(struct kvs_account_cmd *cmd, const struct kvs_json *object);

// The same for what was created: into a pipe its UUID alone.
int kvs_account_cmd_show_new(struct kvs_account_cmd *cmd, const struct kvs_json *object);

// Fetches every page of a listing and shows it: with --json a line an object, else a table. `list`
// is the member that holds the objects, `columns` the members to show, ended by NULL.
int kvs_account_cmd_list(struct kvs_account_cmd *cmd, const char *target, const char *list,
                         const char *const *columns);

// A UUID as it is; any other word as the name of a user or group ("users", "groups").
// NUL-terminated in the arena.
int kvs_account_cmd_resolve(struct kvs_account_cmd *cmd, const char *list, const char *word,
                            const char **ret_uuid);
// ["uuid",…] from words between commas, each resolved; "" makes [].
int kvs_account_cmd_resolve_all(struct kvs_account_cmd *cmd, const char *list, const char *words,
                                struct kvs_buf *out);

enum { KVS_ACCOUNT_TARGET_SIZE = 64 };
// "/api/<list>/<uuid>" of the user or group that the first operand names.
int kvs_account_cmd_target(struct kvs_account_cmd *cmd, const char *list,
                           char ret_target[static KVS_ACCOUNT_TARGET_SIZE]);
// Show it; delete it.
int kvs_account_cmd_show_one(struct kvs_account_cmd *cmd, const char *list);
int kvs_account_cmd_delete_one(struct kvs_account_cmd *cmd, const char *list);

#endif
