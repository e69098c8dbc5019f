// SPDX-License-Identifier: Apache-2.0
// The Prefer header (RFC 7240) as far as it asks about other nodes: `nodes=2, wait=2s` of a write
// holds its answer back until so many have it, and `staleness` of a read says how far behind this
// node may be. What is not understood is ignored, as the RFC wants it; Preference-Applied tells
// what was not.
//
// A write that waits is committed long before: whatever happens to the wait, the answer is the
// write's own. It holds no thread, its exchange alone, and ends by the loop's own clock.
#include "api/api_internal.h"

#include "base/assert.h"
#include "base/duration.h"
#include "node/receipts.h"

enum {
    WAIT_DEFAULT_MS = 2000,
    WAIT_MAX_MS = 60000,
    STALENESS_SIZE_MAX = 1024, // of the header; the peers that do not fit are counted
    PREFERENCE_SIZE_MAX = 64,
};

// ---- Prefer

struct preferences {
    uint32_t nodes; // 0: not asked for
    int64_t wait_ms;
    bool has_wait;
    bool staleness;
};

static void skip_space(struct kvs_slice *text)
{
    while (text->size > 0 && (text->data[0] == ' ' || text->data[0] == '\t'))
        *text = kvs_slice(text->data + 1, text->size - 1);
}

// The end of a list's element, or of its part before the parameters; quotes protect both.
static size_t element_size(struct kvs_slice text, bool with_parameters)
{
    bool quoted = false;
    size_t size = 0;
    for (; size < text.size; size++) {
        char c = text.data[size];
        if (c == '"')
            quoted = !quoted;
        else if (quoted && c == '\\' && size + 1 < text.size)
            size++;
        else if (!quoted && (c == ',' || (c == ';' && !with_parameters)))
            break;
    }
    return size;
}

static bool read_wait(struct kvs_slice value, int64_t *ret_ms)
{
    uint64_t seconds = 0;
    int64_t ns = 0;
    if (kvs_slice_to_u64(value, &seconds)) { // as in the RFC
        *ret_ms = seconds > WAIT_MAX_MS / 1000 ? WAIT_MAX_MS : (int64_t)seconds * 1000;
        return true;
    }
    if (kvs_duration_parse(value, &ns) != 0 || ns < 0)
        return false;
    *ret_ms = ns / 1000000 < WAIT_MAX_MS ? ns / 1000000 : WAIT_MAX_MS;
    return true;
}

// The first of a name counts.
static void take_preference(struct kvs_slice element, struct preferences *out)
{
    element = kvs_slice(element.data, element_size(element, false));
    const char *equals = element.size > 0 ? memchr(element.data, '=', element.size) : NULL;
    size_t name_size = equals ? (size_t)(equals - element.data) : element.size;
    struct kvs_slice name = kvs_slice_trim(kvs_slice(element.data, name_size));
    struct kvs_slice value = KVS_SLICE_EMPTY;
    if (equals)
        value = kvs_slice_trim(kvs_slice(equals + 1, element.size - name_size - 1));
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
        value = kvs_slice(value.data + 1, value.size - 2);
    uint64_t nodes = 0;
    if (kvs_slice_eq_nocase(name, KVS_SLICE("staleness"))) {
        out->staleness = true;
    } else if (kvs_slice_eq_nocase(name, KVS_SLICE("wait")) && !out->has_wait) {
        out->has_wait = read_wait(value, &out->wait_ms);
    } else if (kvs_slice_eq_nocase(name, KVS_SLICE("nodes")) && out->nodes == 0) {
        if (kvs_slice_to_u64(value, &nodes) && nodes > 0 && nodes <= KVS_REPL_MEMBERS_MAX + 1)
            out->nodes = (uint32_t)nodes;
    }
}

static struct preferences read_preferences(const struct kvs_http_request *request)
{
    struct preferences out = {.wait_ms = WAIT_DEFAULT_MS};
    for (size_t i = 0; i < request->header_count; i++) {
        if (!kvs_slice_eq_nocase(request->headers[i].name, KVS_SLICE("Prefer")))
            continue;
        struct kvs_slice text = request->headers[i].value;
        while (text.size > 0) {
            skip_space(&text);
            size_t size = element_size(text, true);
            take_preference(kvs_slice(text.data, size), &out);
            size += size < text.size; // the comma
            text = kvs_slice(text.data + size, text.size - size);
        }
    }
    return out;
}

// ---- A write that waits

struct receipt {
    struct kvs_api_call *call;
    struct preferences preferences;
    struct kvs_receipt_wait wait;
    bool listed;
};

static void append_applied(struct kvs_buf *headers, const struct preferences *preferences,
                           bool reached)
{
    kvs_buf_append_str(headers, "Preference-Applied: ");
    if (reached) {
        kvs_buf_append_str(headers, "nodes=");
        kvs_buf_append_u64(headers, preferences->nodes);
    }
    if (preferences->has_wait || !reached) {
        bool whole = preferences->wait_ms % 1000 == 0;
        kvs_buf_append_str(headers, reached ? ", wait=" : "wait=");
        kvs_buf_append_i64(headers, whole ? preferences->wait_ms / 1000 : preferences->wait_ms);
        kvs_buf_append_str(headers, whole ? "s" : "ms");
    }
    kvs_buf_append_str(headers, "\r\n");
}

static void answer(struct receipt *receipt)
{
    struct kvs_api_call *call = receipt->call;
    struct kvs_buf *headers = &call->exchange->response.headers;
    uint32_t have = kvs_node_receipt_count(call->api->options.node, receipt->wait.writer_seq);
    call->exchange->notice = NULL;
    call->exchange->due_ns = 0;
    kvs_buf_append_str(headers, "KVS-Nodes: ");
    kvs_buf_append_u64(headers, have);
    kvs_buf_append_str(headers, "\r\n");
    append_applied(headers, &receipt->preferences, have >= receipt->preferences.nodes);
    kvs_api_finish(call, 0);
}

static void on_told(struct kvs_task *task)
{
    struct receipt *receipt = KVS_CONTAINER_OF(task, struct receipt, wait.task);
    receipt->listed = false;
    answer(receipt);
}

// Time is over, the client has gone or the server drains: answer with what there is, unless the
// task is on its way already, which then does.
static void on_notice(struct kvs_http_exchange *exchange, enum kvs_http_notice notice)
{
    (void)notice;
    struct receipt *receipt = exchange->state;
    if (receipt->listed &&
        kvs_node_receipt_unwait(receipt->call->api->options.node, &receipt->wait)) {
        receipt->listed = false;
        answer(receipt);
    }
}

static void wait_for_nodes(struct receipt *receipt)
{
    struct kvs_api_call *call = receipt->call;
    struct kvs_http_exchange *exchange = call->exchange;
    exchange->state = receipt;
    exchange->due_ns =
        kvs_clock_mono_ns(call->api->options.clock) + receipt->preferences.wait_ms * 1000 * 1000;
    exchange->notice = on_notice;
    receipt->wait.executor = exchange->loop;
    receipt->wait.task.run = on_told;
    receipt->listed = true;
    if (!kvs_node_receipt_wait(call->api->options.node, &receipt->wait)) {
        receipt->listed = false;
        answer(receipt);
    }
}

void kvs_api_finish_write(struct kvs_api_call *call, int err, uint64_t writer_seq)
{
    struct kvs_slice header = kvs_http_header_get(&call->exchange->request, "Prefer");
    struct preferences preferences = {0};
    if (!err && writer_seq != 0 && header.data)
        preferences = read_preferences(&call->exchange->request);
    struct receipt *receipt = preferences.nodes > 0 ? kvs_api_alloc(call, sizeof(*receipt)) : NULL;
    if (!receipt) { // also without memory: the write is done all the same
        kvs_api_finish(call, err);
        return;
    }
    *receipt = (struct receipt){.call = call,
                                .preferences = preferences,
                                .wait = {.writer_seq = writer_seq, .nodes = preferences.nodes}};
    if (preferences.wait_ms > 0)
        wait_for_nodes(receipt);
    else
        answer(receipt);
}

// ---- How far behind

struct staleness {
    struct kvs_buf *out;
    size_t size_max; // of `out`
    size_t shown, left_out;
};

// A structured field (RFC 8941): a list of strings, each with its age.
static void append_peer(void *ctx, struct kvs_slice name, int64_t age_ms)
{
    struct staleness *s = ctx;
    if (s->out->size + name.size + PREFERENCE_SIZE_MAX > s->size_max) {
        s->left_out++;
        return;
    }
    kvs_buf_append_str(s->out, s->shown++ > 0 ? ", \"" : "\"");
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        kvs_buf_append_char(s->out, plain ? c : '?');
    }
    kvs_buf_append_char(s->out, '"');
    if (age_ms < 0) {
        kvs_buf_append_str(s->out, ";never");
        return;
    }
    kvs_buf_append_str(s->out, ";age=");
    kvs_buf_append_i64(s->out, age_ms / 1000);
    kvs_buf_append_char(s->out, '.');
    for (int64_t digit = 100; digit > 0; digit /= 10)
        kvs_buf_append_char(s->out, (char)('0' + age_ms / digit % 10));
}

void kvs_api_append_staleness(struct kvs_api_call *call)
{
    struct kvs_node *node = call->api->options.node;
    struct kvs_buf *out = &call->exchange->response.headers;
    if (!call->route || call->route->permission != KVS_PERMISSION_READ ||
        !kvs_http_header_get(&call->exchange->request, "Prefer").data ||
        !kvs_node_is_clustered(node) || !read_preferences(&call->exchange->request).staleness)
        return;
    size_t begin = out->size;
    kvs_buf_append_str(out, "KVS-Staleness: ");
    struct staleness s = {.out = out, .size_max = out->size + STALENESS_SIZE_MAX};
    kvs_node_staleness(node, append_peer, &s);
    if (s.left_out > 0) {
        kvs_buf_append_str(out, ";more=");
        kvs_buf_append_u64(out, s.left_out);
    }
    if (s.shown > 0)
        kvs_buf_append_str(out, "\r\n");
    else
        out->size = begin; // it has no peers
    kvs_buf_append_str(out, "Preference-Applied: staleness\r\n");
}
