// SPDX-License-Identifier: Apache-2.0
// The index behind accounts.h: one table a kind, and tables for the other ways to look something
// up. Everything here needs the lock.
#ifndef KVS_AUTH_ACCOUNTS_INTERNAL_H
#define KVS_AUTH_ACCOUNTS_INTERNAL_H

#include "auth/accounts.h"
#include "auth/table.h"

#include <pthread.h>
#include <stdatomic.h>

enum { KVS_ACCOUNT_KINDS = KVS_ACCOUNT_META + 1 };

// What each entry begins with.
struct kvs_account_base {
    struct kvs_table_link link; // in `kinds`
    enum kvs_account_kind kind;
    uint32_t epoch; // of the last time it was shown
};

struct kvs_party { // user or group
    struct kvs_account_base base;
    struct kvs_table_link by_name;
    struct kvs_account_user user;
};

struct kvs_gone {
    struct kvs_account_base base;
    struct kvs_uuid uuid;
};

struct kvs_membership {
    struct kvs_account_base base;
    struct kvs_table_link by_user;
    struct kvs_table_link by_group;
    struct kvs_uuid group;
    struct kvs_uuid user;
};

struct kvs_token {
    struct kvs_account_base base;
    struct kvs_account_token token;
};

struct kvs_revocation {
    struct kvs_account_base base;
    struct kvs_account_hash hash;
};

struct kvs_meta {
    struct kvs_account_base base;
    struct kvs_table_link by_path;
    struct kvs_account_hash hash; // of the path
    struct kvs_account_meta meta;
    size_t path_size;
    char path[];
};

struct kvs_held_name {
    struct kvs_held_name *next;
    enum kvs_account_kind kind;
    struct kvs_account_hash name;
};

struct kvs_accounts {
    pthread_rwlock_t lock;
    uint64_t seed; // of the tables' hashes: nobody outside can build long chains
    uint32_t epoch;
    struct kvs_table kinds[KVS_ACCOUNT_KINDS];
    struct kvs_table user_names, group_names, members_by_user, members_by_group, paths;
    _Atomic size_t meta_count;  // so that a node without metadata takes no lock
    pthread_mutex_t names_lock; // guards held_names; taken before `lock`
    struct kvs_held_name *held_names;
    size_t held_count;
};

static inline struct kvs_table *kvs_accounts_names(struct kvs_accounts *accounts,
                                                   enum kvs_account_kind kind)
{
    return kind == KVS_ACCOUNT_USER ? &accounts->user_names : &accounts->group_names;
}

uint64_t kvs_accounts_hash(const struct kvs_accounts *accounts, const void *bytes, size_t size);

// NULL: none. The first two do not ask whether it is gone.
struct kvs_party *kvs_accounts_party(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                     const struct kvs_uuid *uuid);
struct kvs_token *kvs_accounts_token(struct kvs_accounts *accounts,
                                     const struct kvs_account_hash *hash);
bool kvs_accounts_is_gone(struct kvs_accounts *accounts, const struct kvs_uuid *uuid);
bool kvs_accounts_is_revoked(struct kvs_accounts *accounts, const struct kvs_account_hash *hash);
bool kvs_accounts_is_member(struct kvs_accounts *accounts, const struct kvs_uuid *group,
                            const struct kvs_uuid *user);
struct kvs_meta *kvs_accounts_meta(struct kvs_accounts *accounts, struct kvs_slice path);
// Exists and is not gone.
struct kvs_party *kvs_accounts_alive(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                     const struct kvs_uuid *uuid);

#endif
