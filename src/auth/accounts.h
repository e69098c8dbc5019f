// SPDX-License-Identifier: Apache-2.0
// All users, groups, memberships, tokens and metadata of the cluster, in memory: what a request is
// judged by, without touching the disk. Fed by the node with each record as it becomes current.
//
// A user's groups and a group's members are both read from the membership records, so they cannot
// disagree; a membership counts only while its user and its group exist. A record "gone" ends a
// user or group for good, whatever a node that had not heard of it writes meanwhile. A token is
// good only while its record is there, no record revokes it, and its user exists.
//
// Threads: any number of readers, one writer (the commit thread), one read-write lock that prefers
// the writer and is held for a few look-ups. What readers return is copied.
#ifndef KVS_AUTH_ACCOUNTS_H
#define KVS_AUTH_ACCOUNTS_H

#include "auth/account_record.h"
#include "base/cleanup.h"
#include "base/random.h"

struct kvs_accounts;

KVS_MUST_CHECK int kvs_accounts_new(struct kvs_random *random, struct kvs_accounts **ret_accounts);
void kvs_accounts_free(struct kvs_accounts *accounts); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_accounts, kvs_accounts_free)

// ---- Writing: one thread at a time

// The current version of a system record; `json` is empty for a deletion. What is not about
// accounts is ignored. 0, KVS_ERR_CORRUPT for a record that cannot be understood (it counts as
// absent), KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_accounts_apply(struct kvs_accounts *accounts, struct kvs_slice key,
                                      struct kvs_slice json);
// All records are shown again: between these two everything stays as it was, and what was not shown
// by then goes.
void kvs_accounts_restart(struct kvs_accounts *accounts);
void kvs_accounts_restarted(struct kvs_accounts *accounts);

// ---- Judging

// Is the token of this hash good for what it says? KVS_ERR_UNAUTHORIZED with a static reason.
KVS_MUST_CHECK int kvs_accounts_check_token(struct kvs_accounts *accounts,
                                            const struct kvs_account_hash *hash, int64_t now_s,
                                            const char **ret_reason);

// What the bits of `path`, or of its nearest ancestor that has some, say to `user` (NULL: an
// anonymous caller, always other). True where there are none.
bool kvs_accounts_allow(struct kvs_accounts *accounts, struct kvs_slice path,
                        const struct kvs_uuid *user, enum kvs_access access);

// The same for every path that begins with `prefix`, whether there is a record or not. False also
// where so many have bits of their own that the look would take too long.
enum { KVS_ACCOUNTS_BELOW_MAX = 10000 };
bool kvs_accounts_allow_below(struct kvs_accounts *accounts, struct kvs_slice prefix,
                              const struct kvs_uuid *user, enum kvs_access access);

// ---- Reading

struct kvs_account_user { // a group as well
    struct kvs_uuid uuid;
    struct kvs_account_hash name_hash;
    int64_t created_at;
    int64_t updated_at;
};

bool kvs_accounts_has_users(struct kvs_accounts *accounts);
// KIND: KVS_ACCOUNT_USER or KVS_ACCOUNT_GROUP. False: there is none.
bool kvs_accounts_find(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                       const struct kvs_uuid *uuid, struct kvs_account_user *ret_user);
// The UUIDs of a user's groups or a group's members, sorted, as an array of struct kvs_uuid.
void kvs_accounts_memberships(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                              const struct kvs_uuid *uuid, struct kvs_buf *out);
// At most `limit` of the kind behind `after` (NULL: from the start), in order of their UUIDs, as an
// array of struct kvs_account_user; with `name` only those of that name. *ret_more: there are more.
void kvs_accounts_list(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                       const struct kvs_uuid *after, const struct kvs_account_hash *name,
                       uint32_t limit, struct kvs_buf *out, bool *ret_more);

struct kvs_account_token {
    struct kvs_account_hash hash;
    struct kvs_uuid user;
    kvs_scope_set scopes;
    int64_t created_at;
    int64_t expires_at;
    bool revoked;
};

bool kvs_accounts_find_token(struct kvs_accounts *accounts, const struct kvs_account_hash *hash,
                             struct kvs_account_token *ret_token);
// The same for tokens that have not expired, in order of their hashes; with `user` only his.
void kvs_accounts_list_tokens(struct kvs_accounts *accounts, const struct kvs_account_hash *after,
                              const struct kvs_uuid *user, int64_t now_s, uint32_t limit,
                              struct kvs_buf *out, bool *ret_more);

struct kvs_account_meta {
    struct kvs_uuid owner;
    struct kvs_uuid group; // nil: none
    uint16_t permissions;
    int64_t created_at;
    int64_t updated_at;
};

// The path's own, not an ancestor's.
bool kvs_accounts_find_meta(struct kvs_accounts *accounts, struct kvs_slice path,
                            struct kvs_account_meta *ret_meta);

// ---- Names being given out

// Holds a name of the kind for its caller until it is released: two requests cannot both take it.
// KVS_ERR_CONFLICT when somebody has it or holds it (`holder`, may be NULL, does not count);
// KVS_ERR_BUSY when too many are held at once.
KVS_MUST_CHECK int kvs_accounts_hold_name(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                          const struct kvs_account_hash *name,
                                          const struct kvs_uuid *holder);
void kvs_accounts_release_name(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                               const struct kvs_account_hash *name);

#endif
