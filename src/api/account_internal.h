// SPDX-License-Identifier: Apache-2.0
// What users.c, groups.c, tokens.c and metadata.c share. Whatever writes accounts runs on a worker,
// where it may wait for the commit thread: such requests are rare.
#ifndef KVS_API_ACCOUNT_INTERNAL_H
#define KVS_API_ACCOUNT_INTERNAL_H

#include "api/api_internal.h"
#include "codec/json.h"
#include "node/account_batch.h"

// ---- Bodies (account_body.c)

KVS_MUST_CHECK int kvs_account_body(struct kvs_api_call *call, const struct kvs_json **ret_object);
// data == NULL when the member is absent.
KVS_MUST_CHECK int kvs_account_text(struct kvs_api_call *call, const struct kvs_json *object,
                                    const char *name, struct kvs_slice *ret_text);
// The hash of a name of 1 to 1024 bytes.
KVS_MUST_CHECK int kvs_account_name(struct kvs_api_call *call, const struct kvs_json *object,
                                    const char *name, bool required,
                                    struct kvs_account_hash *ret_hash, bool *ret_found);

struct kvs_account_uuids {
    bool found;             // the member was there
    struct kvs_uuid *items; // sorted, each once; in the arena
    uint32_t count;
};
KVS_MUST_CHECK int kvs_account_uuids(struct kvs_api_call *call, const struct kvs_json *object,
                                     const char *name, struct kvs_account_uuids *ret_list);
bool kvs_account_uuids_hold(const struct kvs_account_uuids *list, const struct kvs_uuid *uuid);
// KVS_ERR_INVALID with its detail when one of them is no user or group.
KVS_MUST_CHECK int kvs_account_check_exist(struct kvs_api_call *call, enum kvs_account_kind kind,
                                           const struct kvs_account_uuids *list);

// Runs `work` on a worker; for routes without query parameters.
void kvs_account_run(struct kvs_api_call *call, kvs_api_read_fn *work);

// ---- Writing

// A batch whose entry in the audit log is in its own commit; `event` outlives the batch.
void kvs_api_account_batch(const struct kvs_api_call *call, struct kvs_account_batch *batch,
                           struct kvs_audit_event *event);
KVS_MUST_CHECK int kvs_api_account_commit(struct kvs_api_call *call,
                                          struct kvs_account_batch *batch);

// ---- Answers

// Status and content type; returns the body.
struct kvs_buf *kvs_account_begin(struct kvs_api_call *call, int status);
// "name":"…"
void kvs_account_append_hash(struct kvs_buf *out, const char *name,
                             const struct kvs_account_hash *hash);
void kvs_account_append_uuid(struct kvs_buf *out, const char *name, const struct kvs_uuid *uuid);
// A whole user or group, memberships included, into the response's body.
void kvs_account_append_party(struct kvs_api_call *call, enum kvs_account_kind kind,
                              const struct kvs_account_user *user);

int64_t kvs_account_now_s(const struct kvs_api_call *call);
// The user or group that the path names, or KVS_ERR_NOT_FOUND with its detail.
KVS_MUST_CHECK int kvs_account_find_id(struct kvs_api_call *call, enum kvs_account_kind kind,
                                       struct kvs_account_user *ret_user);

// ---- Users and groups alike (party.c)

// Creates one from the body's `name_member`, with memberships from `list_member`.
KVS_MUST_CHECK int kvs_party_create(struct kvs_api_call *call, enum kvs_account_kind kind,
                                    const char *name_member, const char *list_member);
// Ends one for good, with its memberships and, of a user, tokens.
KVS_MUST_CHECK int kvs_party_delete(struct kvs_api_call *call, enum kvs_account_kind kind);
// One page, with `name_param` only those of that name.
KVS_MUST_CHECK int kvs_party_list(struct kvs_api_call *call, enum kvs_account_kind kind,
                                  const char *name_param);
// Adds what turns the party's memberships into `wanted`.
void kvs_party_set_memberships(struct kvs_api_call *call, struct kvs_account_batch *batch,
                               enum kvs_account_kind kind, const struct kvs_uuid *uuid,
                               const struct kvs_account_uuids *wanted);
// GET of one.
KVS_MUST_CHECK int kvs_party_show(struct kvs_api_call *call, enum kvs_account_kind kind);

#endif
