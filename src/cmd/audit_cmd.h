// SPDX-License-Identifier: Apache-2.0
// What the files of `kvs audit` share.
#ifndef KVS_CMD_AUDIT_CMD_H
#define KVS_CMD_AUDIT_CMD_H

#include <stdio.h>

#include "audit/export.h"
#include "audit/proof.h"
#include "cmd/client_args.h"
#include "codec/json.h"

// audit_fetch.c: from a running node.

// GET `target`; the answer's body is a JSON document whose tree lives in the arena.
int kvs_audit_fetch(struct kvs_client *client, const char *target, struct kvs_arena *arena,
                    struct kvs_json **ret_root, struct kvs_client_response *ret_answer);
// Writes a whole export, page after page.
int kvs_audit_fetch_export(struct kvs_client *client, uint64_t from, FILE *out);
int kvs_audit_run_export(const struct kvs_args *args);
int kvs_audit_run_prove(const struct kvs_args *args);

// audit_verify.c
int kvs_audit_run_verify(const struct kvs_args *args);

// A number from 1; KVS_EXIT_USAGE after saying what is wrong. Without the option *ret_number stays.
int kvs_audit_number_option(const struct kvs_args *args, const char *name, uint64_t *ret_number);

#endif
