// SPDX-License-Identifier: Apache-2.0
// What requests ask the index. Every public function here takes the lock once, for reading.
#include "auth/accounts_internal.h"

#include "base/assert.h"

#include <stdlib.h>

enum { HELD_NAMES_MAX = 1024 };

static void read_lock(struct kvs_accounts *accounts)
{
    (void)pthread_rwlock_rdlock(&accounts->lock); // fails only beyond 2^24 readers
}

static void unlock(struct kvs_accounts *accounts)
{
    (void)pthread_rwlock_unlock(&accounts->lock);
}

// ---- Under the lock

static struct kvs_table_link *first(struct kvs_accounts *accounts, const struct kvs_table *table,
                                    const void *bytes, size_t size)
{
    return kvs_table_find(table, kvs_accounts_hash(accounts, bytes, size));
}

struct kvs_party *kvs_accounts_party(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                     const struct kvs_uuid *uuid)
{
    for (struct kvs_table_link *link = first(accounts, &accounts->kinds[kind], uuid, sizeof(*uuid));
         link; link = kvs_table_next(link)) {
        struct kvs_party *party = KVS_CONTAINER_OF(link, struct kvs_party, base.link);
        if (kvs_uuid_cmp(&party->user.uuid, uuid) == 0)
            return party;
    }
    return NULL;
}

bool kvs_accounts_is_gone(struct kvs_accounts *accounts, const struct kvs_uuid *uuid)
{
    for (struct kvs_table_link *link =
             first(accounts, &accounts->kinds[KVS_ACCOUNT_GONE], uuid, sizeof(*uuid));
         link; link = kvs_table_next(link))
        if (kvs_uuid_cmp(&KVS_CONTAINER_OF(link, struct kvs_gone, base.link)->uuid, uuid) == 0)
            return true;
    return false;
}

struct kvs_party *kvs_accounts_alive(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                     const struct kvs_uuid *uuid)
{
    struct kvs_party *party = kvs_accounts_party(accounts, kind, uuid);
    return party && !kvs_accounts_is_gone(accounts, uuid) ? party : NULL;
}

struct kvs_token *kvs_accounts_token(struct kvs_accounts *accounts,
                                     const struct kvs_account_hash *hash)
{
    for (struct kvs_table_link *link =
             first(accounts, &accounts->kinds[KVS_ACCOUNT_TOKEN], hash, sizeof(*hash));
         link; link = kvs_table_next(link)) {
        struct kvs_token *token = KVS_CONTAINER_OF(link, struct kvs_token, base.link);
        if (memcmp(&token->token.hash, hash, sizeof(*hash)) == 0)
            return token;
    }
    return NULL;
}

bool kvs_accounts_is_revoked(struct kvs_accounts *accounts, const struct kvs_account_hash *hash)
{
    for (struct kvs_table_link *link =
             first(accounts, &accounts->kinds[KVS_ACCOUNT_REVOKED], hash, sizeof(*hash));
         link; link = kvs_table_next(link))
        if (memcmp(&KVS_CONTAINER_OF(link, struct kvs_revocation, base.link)->hash, hash,
                   sizeof(*hash)) == 0)
            return true;
    return false;
}

bool kvs_accounts_is_member(struct kvs_accounts *accounts, const struct kvs_uuid *group,
                            const struct kvs_uuid *user)
{
    const struct kvs_uuid pair[2] = {*group, *user};
    for (struct kvs_table_link *link =
             first(accounts, &accounts->kinds[KVS_ACCOUNT_MEMBER], pair, sizeof(pair));
         link; link = kvs_table_next(link)) {
        const struct kvs_membership *membership =
            KVS_CONTAINER_OF(link, struct kvs_membership, base.link);
        if (kvs_uuid_cmp(&membership->group, group) == 0 &&
            kvs_uuid_cmp(&membership->user, user) == 0)
            return kvs_accounts_alive(accounts, KVS_ACCOUNT_GROUP, group) != NULL;
    }
    return false;
}

struct kvs_meta *kvs_accounts_meta(struct kvs_accounts *accounts, struct kvs_slice path)
{
    for (struct kvs_table_link *link = first(accounts, &accounts->paths, path.data, path.size);
         link; link = kvs_table_next(link)) {
        struct kvs_meta *meta = KVS_CONTAINER_OF(link, struct kvs_meta, by_path);
        if (kvs_slice_eq(kvs_slice(meta->path, meta->path_size), path))
            return meta;
    }
    return NULL;
}

// ---- Judging

static const char *judge_token(struct kvs_accounts *accounts, const struct kvs_account_hash *hash,
                               int64_t now_s)
{
    const struct kvs_token *token = kvs_accounts_token(accounts, hash);
    if (kvs_accounts_is_revoked(accounts, hash))
        return "the token has been revoked";
    if (!token)
        return "the token is not known to this node";
    if (token->token.expires_at <= now_s)
        return "the token has expired";
    if (!kvs_accounts_alive(accounts, KVS_ACCOUNT_USER, &token->token.user))
        return "the token's user does not exist";
    return NULL;
}

int kvs_accounts_check_token(struct kvs_accounts *accounts, const struct kvs_account_hash *hash,
                             int64_t now_s, const char **ret_reason)
{
    read_lock(accounts);
    *ret_reason = judge_token(accounts, hash, now_s);
    unlock(accounts);
    return *ret_reason ? KVS_ERR_UNAUTHORIZED : 0;
}

static enum kvs_class class_of(struct kvs_accounts *accounts, const struct kvs_account_meta *meta,
                               const struct kvs_uuid *user)
{
    if (!user)
        return KVS_CLASS_OTHER;
    if (kvs_uuid_cmp(&meta->owner, user) == 0)
        return KVS_CLASS_OWNER;
    if (!kvs_uuid_is_nil(&meta->group) && kvs_accounts_is_member(accounts, &meta->group, user))
        return KVS_CLASS_GROUP;
    return KVS_CLASS_OTHER;
}

static bool meta_allows(struct kvs_accounts *accounts, const struct kvs_meta *meta,
                        const struct kvs_uuid *user, enum kvs_access access)
{
    return !meta || kvs_permission_allows(meta->meta.permissions,
                                          class_of(accounts, &meta->meta, user), access);
}

bool kvs_accounts_allow(struct kvs_accounts *accounts, struct kvs_slice path,
                        const struct kvs_uuid *user, enum kvs_access access)
{
    if (atomic_load_explicit(&accounts->meta_count, memory_order_acquire) == 0)
        return true;
    read_lock(accounts);
    const struct kvs_meta *meta = kvs_accounts_meta(accounts, path);
    while (!meta && kvs_permission_parent(&path))
        meta = kvs_accounts_meta(accounts, path);
    bool allowed = meta_allows(accounts, meta, user, access);
    unlock(accounts);
    return allowed;
}

static bool all_below_allow(struct kvs_accounts *accounts, struct kvs_slice prefix,
                            const struct kvs_uuid *user, enum kvs_access access)
{
    const struct kvs_table *paths = &accounts->paths;
    for (size_t i = 0; i < paths->bucket_count; i++) {
        for (struct kvs_table_link *link = paths->buckets[i]; link; link = link->next) {
            const struct kvs_meta *meta = KVS_CONTAINER_OF(link, struct kvs_meta, by_path);
            if (kvs_slice_starts_with(kvs_slice(meta->path, meta->path_size), prefix) &&
                !meta_allows(accounts, meta, user, access))
                return false;
        }
    }
    return true;
}

bool kvs_accounts_allow_below(struct kvs_accounts *accounts, struct kvs_slice prefix,
                              const struct kvs_uuid *user, enum kvs_access access)
{
    if (atomic_load_explicit(&accounts->meta_count, memory_order_acquire) == 0)
        return true;
    const struct kvs_meta *meta = NULL; // of what has no bits of its own below the prefix
    struct kvs_slice path = prefix;
    read_lock(accounts);
    while (!meta && kvs_permission_parent(&path))
        meta = kvs_accounts_meta(accounts, path);
    bool allowed = meta_allows(accounts, meta, user, access) &&
                   accounts->paths.count <= KVS_ACCOUNTS_BELOW_MAX &&
                   all_below_allow(accounts, prefix, user, access);
    unlock(accounts);
    return allowed;
}

// ---- Reading

bool kvs_accounts_has_users(struct kvs_accounts *accounts)
{
    bool found = false;
    read_lock(accounts);
    const struct kvs_table *table = &accounts->kinds[KVS_ACCOUNT_USER];
    for (size_t i = 0; !found && table->count > 0 && i < table->bucket_count; i++)
        for (const struct kvs_table_link *link = table->buckets[i]; !found && link;
             link = link->next)
            found = !kvs_accounts_is_gone(
                accounts, &KVS_CONTAINER_OF(link, struct kvs_party, base.link)->user.uuid);
    unlock(accounts);
    return found;
}

bool kvs_accounts_find(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                       const struct kvs_uuid *uuid, struct kvs_account_user *ret_user)
{
    read_lock(accounts);
    const struct kvs_party *party = kvs_accounts_alive(accounts, kind, uuid);
    if (party)
        *ret_user = party->user;
    unlock(accounts);
    return party != NULL;
}

static int compare_uuids(const void *a, const void *b)
{
    return kvs_uuid_cmp(a, b);
}

static void collect_memberships(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                const struct kvs_uuid *uuid, struct kvs_buf *out)
{
    bool groups = kind == KVS_ACCOUNT_USER;
    const struct kvs_table *table =
        groups ? &accounts->members_by_user : &accounts->members_by_group;
    for (struct kvs_table_link *link = first(accounts, table, uuid, sizeof(*uuid)); link;
         link = kvs_table_next(link)) {
        const struct kvs_membership *membership =
            groups ? KVS_CONTAINER_OF(link, struct kvs_membership, by_user)
                   : KVS_CONTAINER_OF(link, struct kvs_membership, by_group);
        if (kvs_uuid_cmp(groups ? &membership->user : &membership->group, uuid) == 0 &&
            kvs_accounts_alive(accounts, KVS_ACCOUNT_GROUP, &membership->group) &&
            kvs_accounts_alive(accounts, KVS_ACCOUNT_USER, &membership->user))
            kvs_buf_append(out, groups ? &membership->group : &membership->user, sizeof(*uuid));
    }
}

void kvs_accounts_memberships(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                              const struct kvs_uuid *uuid, struct kvs_buf *out)
{
    size_t start = out->size;
    read_lock(accounts);
    collect_memberships(accounts, kind, uuid, out);
    unlock(accounts);
    if (out->size > start)
        qsort(out->data + start, (out->size - start) / sizeof(*uuid), sizeof(*uuid), compare_uuids);
}

// ---- Listing: the smallest `limit` behind `after`, kept sorted while all are looked at

struct selection {
    struct kvs_buf *out;
    size_t item_size; // items begin with what they are ordered by
    size_t key_size;
    const void *after; // NULL: none
    size_t limit;
    size_t count;
    bool more;
};

static void offer(struct selection *selection, const void *item)
{
    size_t size = selection->item_size;
    if (selection->after && memcmp(item, selection->after, selection->key_size) <= 0)
        return;
    char *items = selection->out->data;
    size_t low = 0;
    for (size_t high = selection->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(items + middle * size, item, selection->key_size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    selection->more |= selection->count == selection->limit;
    if (low == selection->limit)
        return;
    size_t moved = selection->count - low;
    if (selection->count == selection->limit)
        moved--;
    else
        selection->count++;
    memmove(items + (low + 1) * size, items + low * size, moved * size);
    memcpy(items + low * size, item, size);
}

// Room for all at once; `out` is empty. False: out of memory (the error sticks in `out`).
static bool begin_selection(struct selection *selection, struct kvs_buf *out, uint32_t limit)
{
    selection->out = out;
    selection->limit = limit;
    return kvs_buf_reserve(out, limit * selection->item_size) != NULL;
}

static void end_selection(struct selection *selection, bool *ret_more)
{
    selection->out->size = selection->count * selection->item_size;
    *ret_more = selection->more;
}

static void offer_party(struct kvs_accounts *accounts, struct selection *selection,
                        const struct kvs_party *party)
{
    if (!kvs_accounts_is_gone(accounts, &party->user.uuid))
        offer(selection, &party->user);
}

static void offer_named(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                        struct selection *selection, const struct kvs_account_hash *name)
{
    for (struct kvs_table_link *link =
             first(accounts, kvs_accounts_names(accounts, kind), name, sizeof(*name));
         link; link = kvs_table_next(link)) {
        const struct kvs_party *party = KVS_CONTAINER_OF(link, struct kvs_party, by_name);
        if (memcmp(&party->user.name_hash, name, sizeof(*name)) == 0)
            offer_party(accounts, selection, party);
    }
}

void kvs_accounts_list(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                       const struct kvs_uuid *after, const struct kvs_account_hash *name,
                       uint32_t limit, struct kvs_buf *out, bool *ret_more)
{
    struct selection selection = {.item_size = sizeof(struct kvs_account_user),
                                  .key_size = sizeof(struct kvs_uuid),
                                  .after = after};
    *ret_more = false;
    if (!begin_selection(&selection, out, limit))
        return;
    read_lock(accounts);
    const struct kvs_table *table = &accounts->kinds[kind];
    if (name)
        offer_named(accounts, kind, &selection, name);
    for (size_t i = 0; !name && i < table->bucket_count; i++)
        for (struct kvs_table_link *link = table->buckets[i]; link; link = link->next)
            offer_party(accounts, &selection, KVS_CONTAINER_OF(link, struct kvs_party, base.link));
    unlock(accounts);
    end_selection(&selection, ret_more);
}

void kvs_accounts_list_tokens(struct kvs_accounts *accounts, const struct kvs_account_hash *after,
                              const struct kvs_uuid *user, int64_t now_s, uint32_t limit,
                              struct kvs_buf *out, bool *ret_more)
{
    struct selection selection = {.item_size = sizeof(struct kvs_account_token),
                                  .key_size = sizeof(struct kvs_account_hash),
                                  .after = after};
    *ret_more = false;
    if (!begin_selection(&selection, out, limit))
        return;
    read_lock(accounts);
    const struct kvs_table *table = &accounts->kinds[KVS_ACCOUNT_TOKEN];
    for (size_t i = 0; i < table->bucket_count; i++)
        for (struct kvs_table_link *link = table->buckets[i]; link; link = link->next) {
            struct kvs_account_token token =
                KVS_CONTAINER_OF(link, struct kvs_token, base.link)->token;
            token.revoked = kvs_accounts_is_revoked(accounts, &token.hash);
            if (token.expires_at > now_s && (!user || kvs_uuid_cmp(&token.user, user) == 0))
                offer(&selection, &token);
        }
    unlock(accounts);
    end_selection(&selection, ret_more);
}

bool kvs_accounts_find_token(struct kvs_accounts *accounts, const struct kvs_account_hash *hash,
                             struct kvs_account_token *ret_token)
{
    read_lock(accounts);
    const struct kvs_token *token = kvs_accounts_token(accounts, hash);
    if (token) {
        *ret_token = token->token;
        ret_token->revoked = kvs_accounts_is_revoked(accounts, hash);
    }
    unlock(accounts);
    return token != NULL;
}

bool kvs_accounts_find_meta(struct kvs_accounts *accounts, struct kvs_slice path,
                            struct kvs_account_meta *ret_meta)
{
    read_lock(accounts);
    const struct kvs_meta *meta = kvs_accounts_meta(accounts, path);
    if (meta)
        *ret_meta = meta->meta;
    unlock(accounts);
    return meta != NULL;
}

// ---- Names being given out

static struct kvs_held_name **find_held(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                                        const struct kvs_account_hash *name)
{
    struct kvs_held_name **link = &accounts->held_names;
    while (*link && ((*link)->kind != kind || memcmp(&(*link)->name, name, sizeof(*name)) != 0))
        link = &(*link)->next;
    return link;
}

static bool name_is_taken(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                          const struct kvs_account_hash *name, const struct kvs_uuid *holder)
{
    bool taken = false;
    read_lock(accounts);
    for (struct kvs_table_link *link =
             first(accounts, kvs_accounts_names(accounts, kind), name, sizeof(*name));
         link && !taken; link = kvs_table_next(link)) {
        const struct kvs_account_user *user =
            &KVS_CONTAINER_OF(link, struct kvs_party, by_name)->user;
        taken = memcmp(&user->name_hash, name, sizeof(*name)) == 0 &&
                (!holder || kvs_uuid_cmp(&user->uuid, holder) != 0) &&
                !kvs_accounts_is_gone(accounts, &user->uuid);
    }
    unlock(accounts);
    return taken;
}

static int hold(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                const struct kvs_account_hash *name, const struct kvs_uuid *holder)
{
    if (*find_held(accounts, kind, name) || name_is_taken(accounts, kind, name, holder))
        return KVS_ERR_CONFLICT;
    if (accounts->held_count >= HELD_NAMES_MAX)
        return KVS_ERR_BUSY;
    struct kvs_held_name *held = malloc(sizeof(*held));
    if (!held)
        return KVS_ERR_NOMEM;
    *held = (struct kvs_held_name){.next = accounts->held_names, .kind = kind, .name = *name};
    accounts->held_names = held;
    accounts->held_count++;
    return 0;
}

int kvs_accounts_hold_name(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                           const struct kvs_account_hash *name, const struct kvs_uuid *holder)
{
    (void)pthread_mutex_lock(&accounts->names_lock); // a plain mutex that we never lock twice
    int err = hold(accounts, kind, name, holder);
    (void)pthread_mutex_unlock(&accounts->names_lock);
    return err;
}

void kvs_accounts_release_name(struct kvs_accounts *accounts, enum kvs_account_kind kind,
                               const struct kvs_account_hash *name)
{
    (void)pthread_mutex_lock(&accounts->names_lock);
    struct kvs_held_name **link = find_held(accounts, kind, name);
    struct kvs_held_name *held = *link;
    kvs_assert(held);
    *link = held->next;
    accounts->held_count--;
    (void)pthread_mutex_unlock(&accounts->names_lock);
    free(held);
}
