// SPDX-License-Identifier: Apache-2.0
// The index's life and its one writer. Reading is accounts_read.c.
#include "auth/accounts_internal.h"

#include "base/assert.h"

#include <stdlib.h>
#include <xxhash.h>

enum { DECODE_SIZE_MAX = 1 << 20 };

uint64_t kvs_accounts_hash(const struct kvs_accounts *accounts, const void *bytes, size_t size)
{
    return XXH3_64bits_withSeed(bytes, size, accounts->seed);
}

// ---- Life

static bool init_lock(struct kvs_accounts *accounts)
{
    pthread_rwlockattr_t attributes;
    if (pthread_rwlockattr_init(&attributes) != 0)
        return false;
    // Readers never nest, and never stop coming.
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    bool good = pthread_rwlock_init(&accounts->lock, &attributes) == 0;
    (void)pthread_rwlockattr_destroy(&attributes);
    (void)pthread_mutex_init(&accounts->names_lock, NULL); // cannot fail with default attributes
    return good;
}

static int init_tables(struct kvs_accounts *accounts)
{
    struct kvs_table *const others[] = {&accounts->user_names, &accounts->group_names,
                                        &accounts->members_by_user, &accounts->members_by_group,
                                        &accounts->paths};
    int err = 0;
    for (size_t i = 0; !err && i < KVS_ACCOUNT_KINDS; i++)
        err = kvs_table_init(&accounts->kinds[i]);
    for (size_t i = 0; !err && i < KVS_ARRAY_SIZE(others); i++)
        err = kvs_table_init(others[i]);
    return err;
}

int kvs_accounts_new(struct kvs_random *random, struct kvs_accounts **ret_accounts)
{
    struct kvs_accounts *accounts = calloc(1, sizeof(*accounts));
    if (!accounts)
        return KVS_ERR_NOMEM;
    if (!init_lock(accounts)) {
        free(accounts);
        return KVS_ERR_NOMEM;
    }
    accounts->seed = kvs_random_u64(random);
    int err = init_tables(accounts);
    if (err)
        kvs_accounts_free(accounts);
    else
        *ret_accounts = accounts;
    return err;
}

void kvs_accounts_free(struct kvs_accounts *accounts)
{
    if (!accounts)
        return;
    for (size_t i = 0; i < KVS_ACCOUNT_KINDS; i++) {
        struct kvs_table *table = &accounts->kinds[i];
        for (size_t j = 0; table->buckets && j < table->bucket_count; j++)
            for (struct kvs_table_link *link = table->buckets[j], *next; link; link = next) {
                next = link->next;
                free(KVS_CONTAINER_OF(link, struct kvs_account_base, link));
            }
        kvs_table_done(table);
    }
    kvs_table_done(&accounts->user_names);
    kvs_table_done(&accounts->group_names);
    kvs_table_done(&accounts->members_by_user);
    kvs_table_done(&accounts->members_by_group);
    kvs_table_done(&accounts->paths);
    for (struct kvs_held_name *held = accounts->held_names, *next; held; held = next) {
        next = held->next;
        free(held);
    }
    (void)pthread_rwlock_destroy(&accounts->lock); // nobody holds them any more
    (void)pthread_mutex_destroy(&accounts->names_lock);
    free(accounts);
}

// ---- Entries

static bool has_name(const struct kvs_account_base *base, const struct kvs_account_name *name)
{
    switch (base->kind) {
    case KVS_ACCOUNT_USER:
    case KVS_ACCOUNT_GROUP:
        return kvs_uuid_cmp(&((const struct kvs_party *)base)->user.uuid, &name->uuid) == 0;
    case KVS_ACCOUNT_GONE:
        return kvs_uuid_cmp(&((const struct kvs_gone *)base)->uuid, &name->uuid) == 0;
    case KVS_ACCOUNT_MEMBER:
        return kvs_uuid_cmp(&((const struct kvs_membership *)base)->group, &name->uuid) == 0 &&
               kvs_uuid_cmp(&((const struct kvs_membership *)base)->user, &name->member) == 0;
    case KVS_ACCOUNT_TOKEN:
        return memcmp(&((const struct kvs_token *)base)->token.hash, &name->hash,
                      sizeof(name->hash)) == 0;
    case KVS_ACCOUNT_REVOKED:
        return memcmp(&((const struct kvs_revocation *)base)->hash, &name->hash,
                      sizeof(name->hash)) == 0;
    case KVS_ACCOUNT_META:
        break;
    }
    return memcmp(&((const struct kvs_meta *)base)->hash, &name->hash, sizeof(name->hash)) == 0;
}

static uint64_t hash_name(const struct kvs_accounts *accounts, const struct kvs_account_name *name)
{
    struct kvs_uuid pair[2] = {name->uuid, name->member};
    switch (name->kind) {
    case KVS_ACCOUNT_USER:
    case KVS_ACCOUNT_GROUP:
    case KVS_ACCOUNT_GONE:
        return kvs_accounts_hash(accounts, &name->uuid, sizeof(name->uuid));
    case KVS_ACCOUNT_MEMBER:
        return kvs_accounts_hash(accounts, pair, sizeof(pair));
    case KVS_ACCOUNT_TOKEN:
    case KVS_ACCOUNT_REVOKED:
    case KVS_ACCOUNT_META:
        break;
    }
    return kvs_accounts_hash(accounts, &name->hash, sizeof(name->hash));
}

static struct kvs_account_base *find(struct kvs_accounts *accounts,
                                     const struct kvs_account_name *name)
{
    const struct kvs_table *table = &accounts->kinds[name->kind];
    for (struct kvs_table_link *link = kvs_table_find(table, hash_name(accounts, name)); link;
         link = kvs_table_next(link)) {
        struct kvs_account_base *base = KVS_CONTAINER_OF(link, struct kvs_account_base, link);
        if (has_name(base, name))
            return base;
    }
    return NULL;
}

static void drop(struct kvs_accounts *accounts, struct kvs_account_base *base)
{
    kvs_table_remove(&accounts->kinds[base->kind], &base->link);
    if (base->kind == KVS_ACCOUNT_USER || base->kind == KVS_ACCOUNT_GROUP) {
        kvs_table_remove(kvs_accounts_names(accounts, base->kind),
                         &((struct kvs_party *)base)->by_name);
    } else if (base->kind == KVS_ACCOUNT_MEMBER) {
        kvs_table_remove(&accounts->members_by_user, &((struct kvs_membership *)base)->by_user);
        kvs_table_remove(&accounts->members_by_group, &((struct kvs_membership *)base)->by_group);
    } else if (base->kind == KVS_ACCOUNT_META) {
        kvs_table_remove(&accounts->paths, &((struct kvs_meta *)base)->by_path);
        atomic_fetch_sub(&accounts->meta_count, 1);
    }
    free(base);
}

static void *new_entry(size_t size, const struct kvs_account_name *name)
{
    struct kvs_account_base *base = calloc(1, size);
    if (base)
        base->kind = name->kind;
    return base;
}

static struct kvs_account_base *make_party(const struct kvs_account_name *name,
                                           const struct kvs_account_data *data)
{
    struct kvs_party *party = new_entry(sizeof(*party), name);
    if (!party)
        return NULL;
    party->user = (struct kvs_account_user){.uuid = name->uuid,
                                            .name_hash = data->name_hash,
                                            .created_at = data->created_at,
                                            .updated_at = data->updated_at};
    return &party->base;
}

static struct kvs_account_base *make_membership(const struct kvs_account_name *name)
{
    struct kvs_membership *membership = new_entry(sizeof(*membership), name);
    if (!membership)
        return NULL;
    membership->group = name->uuid;
    membership->user = name->member;
    return &membership->base;
}

static struct kvs_account_base *make_token(const struct kvs_account_name *name,
                                           const struct kvs_account_data *data)
{
    struct kvs_token *token = new_entry(sizeof(*token), name);
    if (!token)
        return NULL;
    token->token = (struct kvs_account_token){.hash = name->hash,
                                              .user = data->user,
                                              .scopes = data->scopes,
                                              .created_at = data->created_at,
                                              .expires_at = data->expires_at};
    return &token->base;
}

static struct kvs_account_base *make_meta(const struct kvs_account_name *name,
                                          const struct kvs_account_data *data)
{
    struct kvs_meta *meta = new_entry(sizeof(*meta) + data->path.size, name);
    if (!meta)
        return NULL;
    meta->hash = name->hash;
    meta->meta = (struct kvs_account_meta){.owner = data->owner,
                                           .group = data->group,
                                           .permissions = data->permissions,
                                           .created_at = data->created_at,
                                           .updated_at = data->updated_at};
    meta->path_size = data->path.size;
    memcpy(meta->path, data->path.data, data->path.size);
    return &meta->base;
}

static struct kvs_account_base *make(const struct kvs_account_name *name,
                                     const struct kvs_account_data *data)
{
    switch (name->kind) {
    case KVS_ACCOUNT_USER:
    case KVS_ACCOUNT_GROUP:
        return make_party(name, data);
    case KVS_ACCOUNT_GONE: {
        struct kvs_gone *gone = new_entry(sizeof(*gone), name);
        if (gone)
            gone->uuid = name->uuid;
        return gone ? &gone->base : NULL;
    }
    case KVS_ACCOUNT_MEMBER:
        return make_membership(name);
    case KVS_ACCOUNT_TOKEN:
        return make_token(name, data);
    case KVS_ACCOUNT_REVOKED: {
        struct kvs_revocation *revocation = new_entry(sizeof(*revocation), name);
        if (revocation)
            revocation->hash = name->hash;
        return revocation ? &revocation->base : NULL;
    }
    case KVS_ACCOUNT_META:
        break;
    }
    return make_meta(name, data);
}

static void add(struct kvs_accounts *accounts, const struct kvs_account_name *name,
                struct kvs_account_base *base)
{
    base->epoch = accounts->epoch;
    kvs_table_add(&accounts->kinds[base->kind], &base->link, hash_name(accounts, name));
    if (base->kind == KVS_ACCOUNT_USER || base->kind == KVS_ACCOUNT_GROUP) {
        struct kvs_party *party = (struct kvs_party *)base;
        kvs_table_add(
            kvs_accounts_names(accounts, base->kind), &party->by_name,
            kvs_accounts_hash(accounts, &party->user.name_hash, sizeof(party->user.name_hash)));
    } else if (base->kind == KVS_ACCOUNT_MEMBER) {
        struct kvs_membership *membership = (struct kvs_membership *)base;
        kvs_table_add(&accounts->members_by_user, &membership->by_user,
                      kvs_accounts_hash(accounts, &membership->user, sizeof(membership->user)));
        kvs_table_add(&accounts->members_by_group, &membership->by_group,
                      kvs_accounts_hash(accounts, &membership->group, sizeof(membership->group)));
    } else if (base->kind == KVS_ACCOUNT_META) {
        struct kvs_meta *meta = (struct kvs_meta *)base;
        kvs_table_add(&accounts->paths, &meta->by_path,
                      kvs_accounts_hash(accounts, meta->path, meta->path_size));
        atomic_fetch_add(&accounts->meta_count, 1);
    }
}

// ---- The writer

// A path that is not what the key says would be looked up but never removed.
static bool path_fits(const struct kvs_account_name *name, const struct kvs_account_data *data)
{
    if (name->kind != KVS_ACCOUNT_META)
        return true;
    struct kvs_account_hash hash = kvs_account_hash_of(data->path);
    return memcmp(&hash, &name->hash, sizeof(hash)) == 0;
}

static int decode(const struct kvs_account_name *name, struct kvs_slice json,
                  struct kvs_account_base **ret_base)
{
    struct kvs_arena arena;
    struct kvs_account_data data;
    kvs_arena_init(&arena, DECODE_SIZE_MAX);
    int err = kvs_account_decode(name->kind, json, &arena, &data);
    if (!err && !path_fits(name, &data))
        err = KVS_ERR_CORRUPT;
    if (!err) {
        *ret_base = make(name, &data);
        err = *ret_base ? 0 : KVS_ERR_NOMEM;
    }
    kvs_arena_done(&arena);
    return err;
}

int kvs_accounts_apply(struct kvs_accounts *accounts, struct kvs_slice key, struct kvs_slice json)
{
    struct kvs_account_name name;
    struct kvs_account_base *fresh = NULL;
    if (!kvs_account_key_parse(key, &name))
        return 0;
    int err = json.size > 0 ? decode(&name, json, &fresh) : 0;
    if (err == KVS_ERR_NOMEM)
        return err;                               // what was known stays
    (void)pthread_rwlock_wrlock(&accounts->lock); // fails only for its holder
    struct kvs_account_base *old = find(accounts, &name);
    if (old)
        drop(accounts, old);
    if (fresh)
        add(accounts, &name, fresh);
    (void)pthread_rwlock_unlock(&accounts->lock);
    return err;
}

void kvs_accounts_restart(struct kvs_accounts *accounts)
{
    (void)pthread_rwlock_wrlock(&accounts->lock);
    accounts->epoch++;
    (void)pthread_rwlock_unlock(&accounts->lock);
}

static void drop_unseen(struct kvs_accounts *accounts, struct kvs_table *table)
{
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct kvs_table_link *link = table->buckets[i], *next; link; link = next) {
            struct kvs_account_base *base = KVS_CONTAINER_OF(link, struct kvs_account_base, link);
            next = link->next;
            if (base->epoch != accounts->epoch)
                drop(accounts, base);
        }
}

void kvs_accounts_restarted(struct kvs_accounts *accounts)
{
    (void)pthread_rwlock_wrlock(&accounts->lock);
    for (size_t i = 0; i < KVS_ACCOUNT_KINDS; i++)
        drop_unseen(accounts, &accounts->kinds[i]);
    (void)pthread_rwlock_unlock(&accounts->lock);
}
