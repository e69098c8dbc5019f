// SPDX-License-Identifier: Apache-2.0
#include "api/peer_body.h"

static const char *type_name(enum kvs_json_type type)
{
    return type == KVS_JSON_ARRAY ? "an array" : "an object";
}

int kvs_peer_body_parse(struct kvs_api_call *call, enum kvs_json_type type,
                        const struct kvs_json **ret_root)
{
    struct kvs_slice body = call->exchange->request.body;
    struct kvs_json_error error;
    struct kvs_json *root = NULL;
    if (body.size == 0)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The body must be %s in JSON.", type_name(type));
    int err = kvs_json_parse(body, KVS_JSON_UNIQUE_KEYS, &call->exchange->arena, &root, &error);
    if (err == KVS_ERR_SYNTAX)
        return kvs_api_fail(call, err, "The body is not valid JSON: line %u, column %u: %s.",
                            error.line, error.column, error.reason);
    if (err)
        return err;
    if (root->type != type)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The body must be %s.", type_name(type));
    *ret_root = root;
    return 0;
}

// The member; NULL when it is absent or null.
static const struct kvs_json *member_of(const struct kvs_json *object, const char *name)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    return member && member->type == KVS_JSON_NULL ? NULL : member;
}

static int fail_missing(struct kvs_api_call *call, const char *name)
{
    return kvs_api_fail(call, KVS_ERR_INVALID, "The member \"%s\" is missing.", name);
}

int kvs_peer_body_string(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                         bool required, struct kvs_slice *ret_string)
{
    const struct kvs_json *member = member_of(object, name);
    *ret_string = KVS_SLICE_EMPTY;
    if (!member)
        return required ? fail_missing(call, name) : 0;
    if (member->type != KVS_JSON_STRING)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The member \"%s\" must be a string.", name);
    return kvs_json_string(member, &call->exchange->arena, ret_string);
}

int kvs_peer_body_number(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                         bool required, int64_t max, int64_t *ret_value)
{
    const struct kvs_json *member = member_of(object, name);
    int64_t value = 0;
    if (!member)
        return required ? fail_missing(call, name) : 0;
    if (!kvs_json_to_i64(member, &value) || value < 0 || value > max)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The member \"%s\" must be a whole number from 0 to %lld.", name,
                            (long long)max);
    *ret_value = value;
    return 0;
}

int kvs_peer_body_bound(struct kvs_api_call *call, const struct kvs_json *object, const char *name,
                        struct kvs_slice *ret_bound)
{
    int err = kvs_peer_body_string(call, object, name, false, ret_bound);
    if (err)
        return err;
    if (ret_bound->size > KVS_KEY_SIZE_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The member \"%s\" is longer than %d bytes.",
                            name, KVS_KEY_SIZE_MAX);
    for (size_t i = 0; i < ret_bound->size; i++)
        if ((unsigned char)ret_bound->data[i] < ' ' || ret_bound->data[i] == 0x7f)
            return kvs_api_fail(call, KVS_ERR_INVALID,
                                "The member \"%s\" holds a control character.", name);
    return 0;
}
