// SPDX-License-Identifier: Apache-2.0
// Who is in the cluster: GET /members/ for everyone, and what a foreign peer says to be part of it.
// Decision 0031; shapes in docs/api.md.
#include "api/peer_body.h"

#include "base/assert.h"
#include "node/cluster.h"

enum {
    LISTED_MS = 10 * 60 * 1000, // how long dead and left members stay in the default listing
    LIST_BYTES_MAX = 2 << 20,   // above what all members' texts can be, escaped
    GOSSIP_MAX = 1024,          // members in one list
    TIME_MAX = INT64_MAX / 2,
};

// ---- The list

struct listing {
    struct kvs_buf *out;
    int64_t now_ms;
    bool all;
    bool some;
};

// A removed member is one that has left, for whoever looks.
static enum kvs_member_state shown_state(const struct kvs_member_info *info)
{
    return info->state == KVS_MEMBER_REMOVED ? KVS_MEMBER_LEFT : info->state;
}

// What KVS nodes know of each other, behind what everybody understands.
static void append_details(struct kvs_buf *out, const struct kvs_member_info *info, int64_t now_ms)
{
    kvs_buf_append_str(out, info->foreign ? ",\"foreign\":true" : ",\"foreign\":false");
    kvs_buf_append_str(out, info->self ? ",\"self\":true" : ",\"self\":false");
    if (info->foreign)
        return;
    kvs_buf_append_slice(out, KVS_SLICE(",\"uuid\":\""));
    kvs_api_append_uuid(out, &info->node);
    kvs_buf_append_char(out, '"');
    if (info->self)
        return;
    kvs_buf_append_slice(out, KVS_SLICE(",\"clock_offset_ms\":"));
    kvs_buf_append_i64(out, info->clock_offset_ms);
    kvs_buf_append_slice(out, KVS_SLICE(",\"lag\":"));
    kvs_buf_append_u64(out, info->lag);
    kvs_buf_append_slice(out, KVS_SLICE(",\"last_sync_timestamp\":"));
    if (info->synced_age_ms >= 0)
        kvs_buf_append_i64(out, now_ms - info->synced_age_ms);
    else
        kvs_buf_append_slice(out, KVS_SLICE("null"));
}

static void append_member(void *ctx, const struct kvs_member_info *info)
{
    struct listing *listing = ctx;
    struct kvs_buf *out = listing->out;
    enum kvs_member_state state = shown_state(info);
    if (!listing->all && state >= KVS_MEMBER_DEAD && info->state_age_ms > LISTED_MS)
        return;
    kvs_buf_append_str(out, listing->some ? ",{\"id\":" : "{\"id\":");
    listing->some = true;
    kvs_json_write_string(out, kvs_slice_from_str(info->name));
    kvs_buf_append_slice(out, KVS_SLICE(",\"address\":"));
    kvs_json_write_string(out, kvs_slice_from_str(info->address));
    kvs_buf_append_slice(out, KVS_SLICE(",\"last_seen\":"));
    kvs_buf_append_i64(out, info->last_seen_ms);
    kvs_buf_append_slice(out, KVS_SLICE(",\"joined_timestamp\":"));
    kvs_buf_append_i64(out, info->joined_timestamp);
    kvs_buf_append_slice(out, KVS_SLICE(",\"state\":\""));
    kvs_buf_append_str(out, kvs_member_state_name(state));
    kvs_buf_append_char(out, '"');
    append_details(out, info, listing->now_ms);
    kvs_buf_append_char(out, '}');
}

static int answer_list(struct kvs_api_call *call, bool all)
{
    struct kvs_http_response *response = &call->exchange->response;
    struct listing listing = {
        .out = &response->body, .now_ms = kvs_clock_wall_ms(call->api->options.clock), .all = all};
    response->status = 200;
    response->content_type = "application/json";
    kvs_buf_append_slice(&response->headers, KVS_SLICE("Cache-Control: no-store\r\n"));
    kvs_api_body_allow(call, LIST_BYTES_MAX);
    kvs_buf_append_char(&response->body, '[');
    int err = kvs_node_members(call->api->options.node, append_member, &listing);
    kvs_buf_append_char(&response->body, ']');
    return err;
}

void kvs_api_members(struct kvs_api_call *call)
{
    struct kvs_api_param param = {.name = "all"};
    bool all = false;
    int err = kvs_api_query(call, &param, 1);
    if (!err)
        err = kvs_api_param_bool(call, &param, &all);
    if (!err)
        err = answer_list(call, all);
    kvs_api_finish(call, err);
}

// ---- Members in bodies

// "host:port", as one would dial it.
static bool is_address(struct kvs_slice text)
{
    uint64_t port = 0;
    size_t at = text.size;
    while (at > 0 && text.data[at - 1] != ':')
        at--;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return at > 1 && text.size <= KVS_REPL_ADDRESS_MAX &&
           kvs_slice_to_u64(kvs_slice(text.data + at, text.size - at), &port) && port >= 1 &&
           port <= UINT16_MAX;
}

static int read_id(struct kvs_api_call *call, const struct kvs_json *object,
                   struct kvs_slice *ret_id)
{
    int err = kvs_peer_body_string(call, object, "id", true, ret_id);
    if (!err && !kvs_peer_is_node_id(*ret_id))
        err = kvs_api_fail(call, KVS_ERR_INVALID,
                           "\"id\" must be 1 to %d printable ASCII characters without spaces.",
                           KVS_PEER_NODE_ID_MAX);
    return err;
}

static int read_member(struct kvs_api_call *call, const struct kvs_json *object,
                       struct kvs_foreign_member *ret_member)
{
    *ret_member = (struct kvs_foreign_member){0};
    if (object->type != KVS_JSON_OBJECT)
        return kvs_api_fail(call, KVS_ERR_INVALID, "A member must be an object.");
    int err = read_id(call, object, &ret_member->id);
    if (!err)
        err = kvs_peer_body_string(call, object, "address", true, &ret_member->address);
    if (!err && !is_address(ret_member->address))
        err = kvs_api_fail(call, KVS_ERR_INVALID,
                           "\"address\" must be host:port, up to %d characters.",
                           KVS_REPL_ADDRESS_MAX);
    if (!err)
        err = kvs_peer_body_number(call, object, "joined_timestamp", true, TIME_MAX,
                                   &ret_member->joined_timestamp);
    if (!err)
        err = kvs_peer_body_number(call, object, "last_seen", false, TIME_MAX,
                                   &ret_member->last_seen_ms);
    return err;
}

// ---- POST /members/join

static int refuse_join(struct kvs_api_call *call, const struct kvs_foreign_member *member, int err)
{
    if (err == KVS_ERR_CONFLICT) {
        kvs_api_peer_log_once(call,
                              "member refused: a living member has its id: give each member an id "
                              "of its own, or wait until the other one is dead",
                              "member", member->id);
        return kvs_api_fail(call, err,
                            "A living member has the id \"%.*s\": take another one, or wait until "
                            "the other is dead.",
                            KVS_SLICE_FMT(member->id));
    }
    if (err == KVS_ERR_BUSY)
        return kvs_api_fail(call, err,
                            "This node lists %d foreign members, all of them living: it takes no "
                            "more.",
                            KVS_FOREIGN_MEMBERS_MAX);
    return err;
}

static int join(struct kvs_api_call *call)
{
    const struct kvs_api_options *options = &call->api->options;
    const struct kvs_json *root = NULL;
    struct kvs_foreign_member member;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    if (!err)
        err = read_member(call, root, &member);
    if (err)
        return err;
    call->subject = member.id;
    err = kvs_node_foreign_join(options->node, &member);
    if (err)
        return refuse_join(call, &member, err);
    kvs_log(options->log, KVS_LOG_INFO, "foreign member joined", KVS_F_SLICE("member", member.id),
            KVS_F_SLICE("member_address", member.address));
    return answer_list(call, false);
}

void kvs_api_members_join(struct kvs_api_call *call)
{
    kvs_api_finish(call, join(call));
}

// ---- DELETE /members/leave

static int leave(struct kvs_api_call *call)
{
    const struct kvs_api_options *options = &call->api->options;
    const struct kvs_json *root = NULL;
    struct kvs_slice id = KVS_SLICE_EMPTY;
    bool self = false;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    if (!err)
        err = read_id(call, root, &id);
    if (err)
        return err;
    call->subject = id;
    err = kvs_node_leave_member(options->node, id, &self);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_api_fail(call, err, "No member has the id \"%.*s\".", KVS_SLICE_FMT(id));
    if (err == KVS_ERR_CONFLICT)
        return kvs_api_fail(call, err,
                            "\"%.*s\" is alive and would come back: ask it to leave itself, or "
                            "stop it and wait until it is dead.",
                            KVS_SLICE_FMT(id));
    if (err)
        return err;
    kvs_log(options->log, KVS_LOG_INFO, self ? "leaving the cluster" : "member leaves",
            KVS_F_SLICE("member", id), KVS_F_SLICE("asked_by", call->peer->node_id));
    call->exchange->response.status = 204;
    return 0;
}

void kvs_api_members_leave(struct kvs_api_call *call)
{
    kvs_api_finish(call, leave(call));
}

// ---- POST /members/gossip

// Who is told of as dead or gone is no news: the silent grow old by themselves.
static bool is_told_as_gone(const struct kvs_json *object, struct kvs_arena *arena)
{
    const struct kvs_json *state = kvs_json_member(object, "state");
    struct kvs_slice text;
    return state && state->type == KVS_JSON_STRING && kvs_json_string(state, arena, &text) == 0 &&
           (kvs_slice_eq(text, KVS_SLICE("dead")) || kvs_slice_eq(text, KVS_SLICE("left")));
}

// All are read before any is believed.
static int gossip(struct kvs_api_call *call)
{
    const struct kvs_json *root = NULL;
    size_t count = 0;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_ARRAY, &root);
    if (!err && root->child_count > GOSSIP_MAX)
        err = kvs_api_fail(call, KVS_ERR_INVALID, "A list has at most %d members.", GOSSIP_MAX);
    if (err)
        return err;
    struct kvs_foreign_member *members =
        kvs_api_alloc(call, (root->child_count + 1) * sizeof(*members));
    if (!members)
        return KVS_ERR_NOMEM;
    for (const struct kvs_json *item = root->child; !err && item; item = item->next) {
        err = read_member(call, item, &members[count]);
        if (!err && !is_told_as_gone(item, &call->exchange->arena))
            count++;
    }
    for (size_t i = 0; !err && i < count; i++)
        kvs_node_foreign_told(call->api->options.node, &members[i]);
    return err ? err : answer_list(call, false);
}

void kvs_api_members_gossip(struct kvs_api_call *call)
{
    kvs_api_finish(call, gossip(call));
}
