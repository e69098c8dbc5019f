// SPDX-License-Identifier: Apache-2.0
// /api/users: who there is. Nicknames come in and never go out again.
#include "api/account_internal.h"

// ---- Handlers; what writes or sorts goes to a worker

static int create(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_create(call, KVS_ACCOUNT_USER, "nickname", NULL);
}

static int show_all(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_list(call, KVS_ACCOUNT_USER, "nickname");
}

static int delete_one(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_delete(call, KVS_ACCOUNT_USER);
}

struct changes {
    bool renamed;
    struct kvs_account_hash name;
    struct kvs_account_uuids groups;
};

static int read_changes(struct kvs_api_call *call, struct changes *changes)
{
    const struct kvs_json *body = NULL;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = kvs_account_name(call, body, "nickname", false, &changes->name, &changes->renamed);
    if (!err)
        err = kvs_account_uuids(call, body, "groups", &changes->groups);
    return err ? err : kvs_account_check_exist(call, KVS_ACCOUNT_GROUP, &changes->groups);
}

static int write_changes(struct kvs_api_call *call, const struct kvs_account_user *user,
                         const struct changes *changes)
{
    struct kvs_account_batch batch;
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_USER, .uuid = user->uuid};
    const struct kvs_account_data data = {
        .name_hash = changes->renamed ? changes->name : user->name_hash,
        .created_at = user->created_at,
        .updated_at = kvs_account_now_s(call),
    };
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &name, &data, KVS_TTL_NONE);
    if (changes->groups.found)
        kvs_party_set_memberships(call, &batch, KVS_ACCOUNT_USER, &user->uuid, &changes->groups);
    int err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    return err;
}

static int update(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct changes changes = {0};
    struct kvs_account_user user;
    struct kvs_accounts *accounts = kvs_auth_accounts(call->api->options.auth);
    int err = kvs_account_find_id(call, KVS_ACCOUNT_USER, &user);
    if (!err)
        err = read_changes(call, &changes);
    if (err)
        return err;
    if (changes.renamed) {
        err = kvs_accounts_hold_name(accounts, KVS_ACCOUNT_USER, &changes.name, &user.uuid);
        if (err == KVS_ERR_CONFLICT)
            return kvs_api_fail(call, err, "This nickname is in use.");
        if (err)
            return err;
    }
    err = write_changes(call, &user, &changes);
    if (changes.renamed)
        kvs_accounts_release_name(accounts, KVS_ACCOUNT_USER, &changes.name);
    return err ? err : kvs_party_show(call, KVS_ACCOUNT_USER);
}

void kvs_api_user_create(struct kvs_api_call *call)
{
    kvs_account_run(call, create);
}

void kvs_api_user_list(struct kvs_api_call *call)
{
    kvs_api_read_on_worker(call, show_all);
}

void kvs_api_user_get(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    kvs_api_finish(call, err ? err : kvs_party_show(call, KVS_ACCOUNT_USER));
}

void kvs_api_user_update(struct kvs_api_call *call)
{
    kvs_account_run(call, update);
}

void kvs_api_user_delete(struct kvs_api_call *call)
{
    kvs_account_run(call, delete_one);
}
