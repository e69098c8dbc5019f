// SPDX-License-Identifier: Apache-2.0
// /api/groups: users taken together, for the group bits of permissions.
#include "api/account_internal.h"

static int create(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_create(call, KVS_ACCOUNT_GROUP, "groupname", "members");
}

static int show_all(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_list(call, KVS_ACCOUNT_GROUP, "groupname");
}

static int delete_one(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_delete(call, KVS_ACCOUNT_GROUP);
}

static int read_members(struct kvs_api_call *call, struct kvs_account_uuids *members)
{
    const struct kvs_json *body = NULL;
    int err = kvs_account_body(call, &body);
    if (!err)
        err = kvs_account_uuids(call, body, "members", members);
    if (!err && !members->found)
        err = kvs_api_fail(call, KVS_ERR_INVALID, "\"members\" is missing: send all of them.");
    return err ? err : kvs_account_check_exist(call, KVS_ACCOUNT_USER, members);
}

static int update(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_account_uuids members;
    struct kvs_account_user group;
    struct kvs_account_batch batch;
    int err = kvs_account_find_id(call, KVS_ACCOUNT_GROUP, &group);
    if (!err)
        err = read_members(call, &members);
    if (err)
        return err;
    const struct kvs_account_name name = {.kind = KVS_ACCOUNT_GROUP, .uuid = group.uuid};
    const struct kvs_account_data data = {.name_hash = group.name_hash,
                                          .created_at = group.created_at,
                                          .updated_at = kvs_account_now_s(call)};
    struct kvs_audit_event event;
    kvs_api_account_batch(call, &batch, &event);
    kvs_account_batch_put(&batch, &name, &data, KVS_TTL_NONE);
    kvs_party_set_memberships(call, &batch, KVS_ACCOUNT_GROUP, &group.uuid, &members);
    err = kvs_api_account_commit(call, &batch);
    kvs_account_batch_done(&batch);
    return err ? err : kvs_party_show(call, KVS_ACCOUNT_GROUP);
}

void kvs_api_group_create(struct kvs_api_call *call)
{
    kvs_account_run(call, create);
}

void kvs_api_group_list(struct kvs_api_call *call)
{
    kvs_api_read_on_worker(call, show_all);
}

static int show(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    return kvs_party_show(call, KVS_ACCOUNT_GROUP);
}

void kvs_api_group_get(struct kvs_api_call *call)
{
    kvs_account_run(call, show); // a group may have many members
}

void kvs_api_group_update(struct kvs_api_call *call)
{
    kvs_account_run(call, update);
}

void kvs_api_group_delete(struct kvs_api_call *call)
{
    kvs_account_run(call, delete_one);
}
