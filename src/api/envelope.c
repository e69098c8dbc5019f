// SPDX-License-Identifier: Apache-2.0
// The envelope {"data":…,"ttl":"1h"} of a PUT: an object with exactly these two members, each once,
// in any order. Works on compact, valid JSON, which needs no second parser to be cut apart.
#include "api/api_internal.h"

#include "codec/json.h"

struct member {
    struct kvs_slice key; // as written, with quotes
    struct kvs_slice value;
};

// Cuts an object with exactly two members apart; false for everything else.
static bool cut_two_members(struct kvs_slice json, struct member ret_members[static 2])
{
    return json.data[0] == '{' &&
           kvs_json_cut_member(&json, &ret_members[0].key, &ret_members[0].value) &&
           kvs_json_cut_member(&json, &ret_members[1].key, &ret_members[1].value) &&
           json.data[0] == '}';
}

// A key may be written with escapes ("d\u0061ta"): it is its meaning that counts.
int kvs_api_string_value(struct kvs_api_call *call, struct kvs_slice json,
                         struct kvs_slice *ret_string)
{
    struct kvs_arena *arena = &call->exchange->arena;
    struct kvs_json *root = NULL;
    struct kvs_json_error ignored;
    int err = kvs_json_parse(json, 0, arena, &root, &ignored);
    return err ? err : kvs_json_string(root, arena, ret_string);
}

int kvs_api_envelope_split(struct kvs_api_call *call, struct kvs_slice json,
                           struct kvs_slice *ret_data, int64_t *ret_ttl_ms)
{
    struct member members[2];
    *ret_data = json;
    if (!cut_two_members(json, members))
        return 0;
    const struct kvs_slice *data = NULL;
    const struct kvs_slice *ttl = NULL;
    for (int i = 0; i < 2; i++) {
        struct kvs_slice key = KVS_SLICE_EMPTY;
        // The longest way to write either name: every character as \uXXXX.
        if (members[i].key.size > sizeof("\"\\u0064\\u0061\\u0074\\u0061\"") - 1)
            return 0;
        int err = kvs_api_string_value(call, members[i].key, &key);
        if (err)
            return err;
        if (kvs_slice_eq(key, KVS_SLICE("data")))
            data = &members[i].value;
        else if (kvs_slice_eq(key, KVS_SLICE("ttl")))
            ttl = &members[i].value;
    }
    if (!data || !ttl)
        return 0;
    if (ttl->data[0] != '"')
        return kvs_api_fail(
            call, KVS_ERR_INVALID,
            "The member \"ttl\" beside \"data\" must be a string such as \"1h30m\"; "
            "to store such an object as it is, add ?ttl=0.");
    struct kvs_slice text = KVS_SLICE_EMPTY;
    int err = kvs_api_string_value(call, *ttl, &text);
    if (err)
        return err;
    *ret_data = *data;
    return kvs_api_parse_ttl(call, "The member ttl", text, ret_ttl_ms);
}
