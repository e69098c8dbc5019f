// SPDX-License-Identifier: Apache-2.0
#include "node/owner.h"

#include "node/account_batch.h"

struct making {
    struct kvs_accounts *accounts;
    struct kvs_random *random;
    struct kvs_account_batch *batch;
    int64_t now_s;
};

// Takes the party of that name, or adds a new one to the batch.
static struct kvs_uuid find_or_add(struct making *making, enum kvs_account_kind kind,
                                   const char *name)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf found = KVS_BUF_INIT(4096);
    struct kvs_account_hash hash = kvs_account_hash_of(kvs_slice_from_str(name));
    bool more;
    kvs_accounts_list(making->accounts, kind, NULL, &hash, 1, &found, &more);
    if (found.size > 0) {
        struct kvs_account_user user;
        memcpy(&user, found.data, sizeof(user));
        return user.uuid;
    }
    if (found.err)
        making->batch->err = found.err;
    struct kvs_account_name record = {.kind = kind, .uuid = kvs_uuid_new(making->random)};
    const struct kvs_account_data data = {
        .name_hash = hash, .created_at = making->now_s, .updated_at = making->now_s};
    kvs_account_batch_put(making->batch, &record, &data, KVS_TTL_NONE);
    return record.uuid;
}

static void add_token(struct making *making, const struct kvs_new_token *token, int64_t ttl_s)
{
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_TOKEN, .hash = token->hash};
    const struct kvs_account_data data = {.user = token->claims.user,
                                          .scopes = token->claims.scopes,
                                          .created_at = token->claims.issued_at,
                                          .expires_at = token->claims.expires_at};
    kvs_account_batch_put(making->batch, &name, &data, ttl_s * 1000);
}

int kvs_owner_create(struct kvs_node *node, struct kvs_auth *auth, struct kvs_random *random,
                     const struct kvs_clock *clock, int64_t ttl_s, struct kvs_owner *ret_owner)
{
    struct kvs_account_batch batch;
    kvs_account_batch_init(&batch, node, kvs_auth_own_grant());
    struct making making = {.accounts = kvs_auth_accounts(auth),
                            .random = random,
                            .batch = &batch,
                            .now_s = kvs_clock_wall_ms(clock) / 1000};
    *ret_owner = (struct kvs_owner){0};
    ret_owner->user = find_or_add(&making, KVS_ACCOUNT_USER, KVS_OWNER_NICKNAME);
    ret_owner->group = find_or_add(&making, KVS_ACCOUNT_GROUP, KVS_OWNER_GROUP);
    const struct kvs_account_name membership = {
        .kind = KVS_ACCOUNT_MEMBER, .uuid = ret_owner->group, .member = ret_owner->user};
    const struct kvs_account_data since = {.created_at = making.now_s};
    kvs_account_batch_put(&batch, &membership, &since, KVS_TTL_NONE);
    int err = kvs_auth_issue(auth, &ret_owner->user, KVS_SCOPES_ALL, ttl_s, &ret_owner->token);
    if (!err) {
        add_token(&making, &ret_owner->token, ttl_s);
        err = kvs_account_batch_commit(&batch);
    }
    kvs_account_batch_done(&batch);
    return err;
}

void kvs_owner_done(struct kvs_owner *owner)
{
    kvs_new_token_done(&owner->token);
}
