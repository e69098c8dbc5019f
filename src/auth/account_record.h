// SPDX-License-Identifier: Apache-2.0
// How users, groups, memberships, tokens and metadata lie in the store: system keys and JSON
// (docs/formats/accounts.md). Pure.
//
//   \x01user/<uuid>              {"nickname_hash","created_at","updated_at"}
//   \x01group/<uuid>             {"name_hash","created_at","updated_at"}
//   \x01gone/<uuid>              {"at"}: the user or group was deleted, whatever else is found
//   \x01member/<group>/<user>    {"created_at"}
//   \x01token/<sha3-512>         {"user_uuid","scopes","created_at","expires_at"}
//   \x01revoked/<sha3-512>       {"expires_at"}
//   \x01meta/<sha3-512 of path>  {"path","owner_uuid","group_uuid","permissions","created_at",
//                                 "updated_at"}
#ifndef KVS_AUTH_ACCOUNT_RECORD_H
#define KVS_AUTH_ACCOUNT_RECORD_H

#include "auth/crypto.h"
#include "auth/permission.h"
#include "auth/scope.h"
#include "base/arena.h"
#include "base/uuid.h"

enum kvs_account_kind {
    KVS_ACCOUNT_USER,
    KVS_ACCOUNT_GROUP,
    KVS_ACCOUNT_GONE,
    KVS_ACCOUNT_MEMBER,
    KVS_ACCOUNT_TOKEN,
    KVS_ACCOUNT_REVOKED,
    KVS_ACCOUNT_META,
};

// A hash in lower-case hex.
struct kvs_account_hash {
    char text[KVS_SHA3_TEXT_SIZE];
};

struct kvs_account_hash kvs_account_hash_of(struct kvs_slice text);
// False when `text` is not 128 digits of lower-case hex.
bool kvs_account_hash_parse(struct kvs_slice text, struct kvs_account_hash *ret_hash);

// What a key names; which members count depends on the kind.
struct kvs_account_name {
    enum kvs_account_kind kind;
    struct kvs_uuid uuid;         // USER, GROUP, GONE; MEMBER: the group
    struct kvs_uuid member;       // MEMBER: the user
    struct kvs_account_hash hash; // TOKEN, REVOKED, META
};

enum { KVS_ACCOUNT_KEY_SIZE_MAX = 144 };

struct kvs_account_key {
    char bytes[KVS_ACCOUNT_KEY_SIZE_MAX];
    size_t size;
};

struct kvs_account_key kvs_account_key_of(const struct kvs_account_name *name);
// False: a system record that is not about accounts, or none that this release knows.
bool kvs_account_key_parse(struct kvs_slice key, struct kvs_account_name *ret_name);

// What a record says beside its name; which members count depends on the kind. Times are Unix
// seconds.
struct kvs_account_data {
    struct kvs_account_hash name_hash; // USER, GROUP
    struct kvs_uuid user;              // TOKEN
    kvs_scope_set scopes;              // TOKEN
    int64_t created_at;                // GONE: when it was deleted
    int64_t updated_at;
    int64_t expires_at;    // TOKEN, REVOKED
    struct kvs_slice path; // META
    struct kvs_uuid owner; // META
    struct kvs_uuid group; // META; nil = none
    uint16_t permissions;  // META
};

void kvs_account_encode(struct kvs_buf *out, enum kvs_account_kind kind,
                        const struct kvs_account_data *data);
// KVS_ERR_CORRUPT when members are missing or wrong; members it does not know are ignored. `path`
// lives in the arena or borrows `json`.
KVS_MUST_CHECK int kvs_account_decode(enum kvs_account_kind kind, struct kvs_slice json,
                                      struct kvs_arena *arena, struct kvs_account_data *ret_data);

#endif
