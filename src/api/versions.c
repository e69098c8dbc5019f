// SPDX-License-Identifier: Apache-2.0
// GET /versions/{uuid}: which nodes have a version. Always on a worker: it looks through the log.
#include "api/api_internal.h"

#include "codec/json.h"
#include "node/receipts.h"

enum {
    HOLDER_SIZE_MAX = 6 * KVS_REPL_NAME_MAX + 128,
    HEAD_SIZE_MAX = 6 * KVS_KEY_SIZE_MAX + 512,
};

struct version_input {
    struct kvs_uuid uuid;
    struct kvs_slice key; // empty: not given
};

struct answer {
    struct kvs_buf *body;
    uint32_t nodes, have;
};

static void append_holder(void *ctx, const struct kvs_holder *holder)
{
    static const char *const has[] = {
        [KVS_REPL_HAS_NO] = "no", [KVS_REPL_HAS_YES] = "yes", [KVS_REPL_HAS_UNKNOWN] = "unknown"};
    struct answer *a = ctx;
    kvs_buf_append_str(a->body, a->nodes++ > 0 ? ",{\"id\":" : "{\"id\":");
    kvs_json_write_string(a->body, holder->name);
    kvs_buf_append_str(a->body, ",\"has\":\"");
    kvs_buf_append_str(a->body, has[holder->has]);
    kvs_buf_append_str(a->body, "\",\"state\":\"");
    kvs_buf_append_str(a->body, kvs_member_state_name(holder->state));
    kvs_buf_append_str(a->body, "\"}");
    a->have += holder->has == KVS_REPL_HAS_YES;
}

static int fail_not_found(struct kvs_api_call *call, const struct version_input *input)
{
    char uuid[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(&input->uuid, uuid);
    if (input->key.size > 0)
        return kvs_api_fail(call, KVS_ERR_NOT_FOUND,
                            "No version %.*s of \"%.*s\" is kept on this node: it has not come "
                            "here yet, or newer ones have replaced it.",
                            KVS_UUID_TEXT_SIZE, uuid, KVS_SLICE_FMT(input->key));
    return kvs_api_fail(call, KVS_ERR_NOT_FOUND,
                        "%.*s is not among the last %d changes of this node that you may read. "
                        "Of an older version name the key, too: ?key=….",
                        KVS_UUID_TEXT_SIZE, uuid, KVS_VERSION_WALK_MAX);
}

static void append_version(struct kvs_api_call *call, struct kvs_slice key,
                           const struct kvs_version *version)
{
    struct kvs_http_response *response = &call->exchange->response;
    struct answer answer = {.body = &response->body};
    response->status = 200;
    response->content_type = "application/json";
    kvs_buf_append_str(&response->headers, "Cache-Control: no-store\r\n");
    kvs_api_body_allow(call, HEAD_SIZE_MAX + (KVS_REPL_MEMBERS_MAX + 1) * HOLDER_SIZE_MAX);
    kvs_buf_append_str(answer.body, "{\"path\":");
    kvs_json_write_string(answer.body, key);
    kvs_buf_append_char(answer.body, ',');
    kvs_api_append_version(answer.body, version);
    kvs_buf_append_str(answer.body, ",\"nodes\":[");
    kvs_node_holders(call->api->options.node, version, append_holder, &answer);
    kvs_buf_append_str(answer.body, "],\"have\":");
    kvs_buf_append_u64(answer.body, answer.have);
    kvs_buf_append_str(answer.body, answer.have == answer.nodes ? ",\"everywhere\":true}"
                                                                : ",\"everywhere\":false}");
}

static int read_version(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    const struct version_input *input = call->input;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(KVS_KEY_SIZE_MAX + 1);
    struct kvs_version version;
    int err = kvs_node_find_version(call->api->options.node, call->grant, &input->uuid, input->key,
                                    &key, &version);
    if (err == KVS_ERR_NOT_FOUND)
        return fail_not_found(call, input);
    if (!err)
        append_version(call, kvs_buf_slice(&key), &version);
    return err;
}

static int read_input(struct kvs_api_call *call, struct version_input *input)
{
    struct kvs_api_param params[] = {{.name = "key"}};
    const char *reason = NULL;
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (err)
        return err;
    if (!kvs_uuid_parse(call->id, &input->uuid))
        return kvs_api_fail(call, KVS_ERR_INVALID, "A version is named by its UUID.");
    if (params[0].found && !kvs_key_is_valid(params[0].value, &reason))
        return kvs_api_fail(call, KVS_ERR_INVALID, "Invalid key: %s.", reason);
    input->key = params[0].value;
    return 0;
}

void kvs_api_version(struct kvs_api_call *call)
{
    struct version_input *input = kvs_api_alloc(call, sizeof(*input));
    int err = input ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        *input = (struct version_input){0};
        err = read_input(call, input);
        call->input = input;
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_version);
}
