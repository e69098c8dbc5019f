// SPDX-License-Identifier: Apache-2.0
// GET /api/audit, /api/audit/roots, /api/audit/{n}/proof and /api/audit/growth. Always on a worker:
// they read the disk, and nobody polls them.
#include "api/api_internal.h"

#include "audit/text.h"
#include "base/duration.h"
#include "base/timefmt.h"
#include "node/audit.h"

enum {
    WALK_MAX = 100000,        // entries looked at for one page
    PAGE_BYTES_MAX = 8 << 20, // a page ends behind the entry that reaches it
    BODY_BYTES_MAX = 16 << 20,
    NS_PER_MS = 1000 * 1000,
};

static struct kvs_buf *begin(struct kvs_api_call *call)
{
    call->exchange->response.status = 200;
    call->exchange->response.content_type = "application/json";
    kvs_api_body_allow(call, BODY_BYTES_MAX);
    return &call->exchange->response.body;
}

// ---- GET /api/audit

struct list_input {
    uint64_t since;          // entries behind this one
    int64_t since_ms;        // and not before this time
    uint64_t before;         // entries before this one; 0: no bound
    bool newest;             // downward
    struct kvs_slice action; // empty: any
    bool has_user;
    struct kvs_uuid user;
    uint32_t limit;
};

// "2026-11-23T03:35:47Z" has no milliseconds.
static bool parse_time(struct kvs_slice text, int64_t *ret_ms)
{
    enum { SECONDS_SIZE = 20 };
    char full[KVS_RFC3339_SIZE];
    if (text.size != SECONDS_SIZE)
        return kvs_audit_time_parse(text, ret_ms);
    memcpy(full, text.data, SECONDS_SIZE - 1);
    memcpy(full + SECONDS_SIZE - 1, ".000", 4);
    full[KVS_RFC3339_SIZE - 1] = text.data[SECONDS_SIZE - 1];
    return kvs_audit_time_parse(kvs_slice(full, sizeof(full)), ret_ms);
}

static int read_since(struct kvs_api_call *call, const struct kvs_api_param *param,
                      struct list_input *input)
{
    int64_t ago_ns = 0;
    if (!param->found || kvs_slice_to_u64(param->value, &input->since) ||
        parse_time(param->value, &input->since_ms))
        return 0;
    if (kvs_duration_parse(param->value, &ago_ns) == 0 && ago_ns >= 0) {
        input->since_ms = kvs_clock_wall_ms(call->api->options.clock) - ago_ns / NS_PER_MS;
        return 0;
    }
    return kvs_api_fail(call, KVS_ERR_INVALID,
                        "since must be the number of an entry, a time such as "
                        "2026-11-23T03:35:47Z, or a duration such as 1h30m.");
}

static int read_number(struct kvs_api_call *call, const struct kvs_api_param *param,
                       uint64_t *ret_number)
{
    if (!param->found || kvs_slice_to_u64(param->value, ret_number))
        return 0;
    return kvs_api_fail(call, KVS_ERR_INVALID, "%s must be a number.", param->name);
}

static int read_action(struct kvs_api_call *call, const struct kvs_api_param *param,
                       struct list_input *input)
{
    enum kvs_audit_action action;
    input->action = param->value;
    if (!param->found || kvs_audit_action_parse(param->value, &action) ||
        kvs_slice_eq(param->value, KVS_SLICE(KVS_AUDIT_GAP)))
        return 0;
    return kvs_api_fail(call, KVS_ERR_INVALID, "There is no action \"%.*s\".",
                        KVS_SLICE_FMT(kvs_slice(param->value.data,
                                                param->value.size < 64 ? param->value.size : 64)));
}

static int read_user(struct kvs_api_call *call, const struct kvs_api_param *param,
                     struct list_input *input)
{
    input->has_user = param->found;
    if (!param->found || kvs_uuid_parse(param->value, &input->user))
        return 0;
    return kvs_api_fail(call, KVS_ERR_INVALID, "user must be a UUID.");
}

static int read_list_input(struct kvs_api_call *call)
{
    enum { SINCE, ACTION, USER, LIMIT, NEWEST, BEFORE };
    struct kvs_api_param params[] = {
        [SINCE] = {.name = "since"}, [ACTION] = {.name = "action"}, [USER] = {.name = "user"},
        [LIMIT] = {.name = "limit"}, [NEWEST] = {.name = "newest"}, [BEFORE] = {.name = "before"}};
    struct list_input *input = kvs_api_alloc(call, sizeof(*input));
    if (!input)
        return KVS_ERR_NOMEM;
    *input = (struct list_input){.since_ms = INT64_MIN};
    call->input = input;
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (!err)
        err = read_since(call, &params[SINCE], input);
    if (!err)
        err = read_number(call, &params[BEFORE], &input->before);
    if (!err)
        err = read_action(call, &params[ACTION], input);
    if (!err)
        err = read_user(call, &params[USER], input);
    if (!err)
        err = kvs_api_param_bool(call, &params[NEWEST], &input->newest);
    return err ? err : kvs_api_param_limit(call, &params[LIMIT], &input->limit);
}

struct list_page {
    const struct list_input *input;
    struct kvs_buf *body;
    uint32_t count;
    uint32_t walked;
    uint64_t last; // looked at
    bool more;     // and not at the end
};

static bool is_selected(const struct list_input *input, const struct kvs_audit_entry *entry)
{
    if (input->action.size > 0 && !kvs_slice_eq(input->action, entry->action))
        return false;
    if (input->has_user && (!entry->has_user || kvs_uuid_cmp(&input->user, &entry->user) != 0))
        return false;
    return entry->timestamp >= input->since_ms;
}

static bool list_entry(void *ctx, const struct kvs_audit_entry *entry)
{
    struct list_page *page = ctx;
    const struct list_input *input = page->input;
    bool outside = input->newest ? entry->seq <= input->since
                                 : input->before > 0 && entry->seq >= input->before;
    if (outside)
        return false;
    page->more = page->count == input->limit || page->walked == WALK_MAX ||
                 page->body->size >= PAGE_BYTES_MAX;
    if (page->more)
        return false;
    page->walked++;
    page->last = entry->seq;
    if (!is_selected(input, entry))
        return true;
    if (page->count++ > 0)
        kvs_buf_append_char(page->body, ',');
    kvs_audit_entry_append_json(page->body, entry);
    return true;
}

// The newest root from before a time: what it covers is older. So a page by time need not begin at
// the beginning.
struct start {
    int64_t since_ms;
    uint64_t size;
};

static bool find_start(void *ctx, const struct kvs_audit_seal *seal)
{
    struct start *start = ctx;
    if (seal->timestamp >= start->since_ms)
        return true;
    start->size = seal->size;
    return false;
}

static int read_list(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // always on a worker
    struct list_input *input = call->input;
    struct kvs_node *node = call->api->options.node;
    struct start start = {.since_ms = input->since_ms};
    int err = 0;
    if (input->since_ms != INT64_MIN)
        err = kvs_node_audit_visit_seals(node, call->grant, UINT64_MAX, true, find_start, &start);
    if (err)
        return err;
    if (start.size > input->since)
        input->since = start.size;
    struct list_page page = {.input = input, .body = begin(call)};
    kvs_buf_append_slice(page.body, KVS_SLICE("{\"entries\":["));
    uint64_t first = input->since < UINT64_MAX ? input->since + 1 : UINT64_MAX;
    if (input->newest)
        first = input->before > 0 ? input->before - 1 : UINT64_MAX;
    err = kvs_node_audit_visit(node, call->grant, first, input->newest, list_entry, &page);
    kvs_buf_append_slice(page.body, KVS_SLICE("],\"next\":"));
    if (page.more)
        kvs_buf_append_u64(page.body, page.last);
    else
        kvs_buf_append_slice(page.body, KVS_SLICE("null"));
    kvs_buf_append_char(page.body, '}');
    return err;
}

void kvs_api_audit(struct kvs_api_call *call)
{
    int err = read_list_input(call);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_list);
}

// ---- GET /api/audit/roots

struct roots_input {
    uint64_t since; // epochs behind this one
    uint32_t limit;
};

struct roots_page {
    const struct roots_input *input;
    struct kvs_buf *body;
    uint32_t count;
    uint64_t last;
    bool more;
};

static bool list_root(void *ctx, const struct kvs_audit_seal *seal)
{
    struct roots_page *page = ctx;
    page->more = page->count == page->input->limit;
    if (page->more)
        return false;
    if (page->count++ > 0)
        kvs_buf_append_char(page->body, ',');
    kvs_audit_seal_append_json(page->body, seal);
    page->last = seal->epoch;
    return true;
}

static int read_roots(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    const struct roots_input *input = call->input;
    struct kvs_node *node = call->api->options.node;
    struct kvs_audit_header header;
    struct kvs_audit_seal checkpoint;
    struct kvs_audit_public key;
    int err = kvs_node_audit_header(node, call->grant, 1, &header);
    if (!err)
        err = kvs_node_audit_checkpoint(node, call->grant, &checkpoint, &key);
    if (err)
        return err;
    struct roots_page page = {.input = input, .body = begin(call)};
    kvs_buf_append_slice(page.body, KVS_SLICE("{\"log\":"));
    kvs_audit_header_append_json(page.body, &header);
    kvs_buf_append_slice(page.body, KVS_SLICE(",\"checkpoint\":"));
    kvs_audit_seal_append_json(page.body, &checkpoint);
    kvs_buf_append_slice(page.body, KVS_SLICE(",\"roots\":["));
    if (input->since < UINT64_MAX)
        err = kvs_node_audit_visit_seals(node, call->grant, input->since + 1, false, list_root,
                                         &page);
    kvs_buf_append_slice(page.body, KVS_SLICE("],\"next\":"));
    if (page.more)
        kvs_buf_append_u64(page.body, page.last);
    else
        kvs_buf_append_slice(page.body, KVS_SLICE("null"));
    kvs_buf_append_char(page.body, '}');
    return err;
}

void kvs_api_audit_roots(struct kvs_api_call *call)
{
    struct kvs_api_param params[] = {{.name = "since"}, {.name = "limit"}};
    struct roots_input *input = kvs_api_alloc(call, sizeof(*input));
    int err = input ? kvs_api_query(call, params, KVS_ARRAY_SIZE(params)) : KVS_ERR_NOMEM;
    if (!err) {
        *input = (struct roots_input){0};
        call->input = input;
        err = read_number(call, &params[0], &input->since);
    }
    if (!err)
        err = kvs_api_param_limit(call, &params[1], &input->limit);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_roots);
}

// ---- Proofs

static int answer_proof(struct kvs_api_call *call, const struct kvs_audit_proof *proof)
{
    struct kvs_buf *body = begin(call);
    kvs_audit_proof_append_json(body, proof);
    kvs_buf_append_char(body, '}');
    return 0;
}

static int read_proof(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_audit_proof *proof = kvs_api_alloc(call, sizeof(*proof));
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    uint64_t seq = *(const uint64_t *)call->input;
    if (!proof)
        return KVS_ERR_NOMEM;
    int err = kvs_node_audit_prove(call->api->options.node, call->grant, seq, &scratch, proof);
    if (err == KVS_ERR_NOT_FOUND)
        return kvs_api_fail(call, err, "The audit log has no entry %llu.", (unsigned long long)seq);
    return err ? err : answer_proof(call, proof);
}

void kvs_api_audit_proof(struct kvs_api_call *call)
{
    uint64_t *seq = kvs_api_alloc(call, sizeof(*seq));
    int err = seq ? kvs_api_query(call, NULL, 0) : KVS_ERR_NOMEM;
    call->input = seq;
    if (!err && (!kvs_slice_to_u64(call->number, seq) || *seq == 0))
        err = kvs_api_fail(call, KVS_ERR_INVALID, "An entry is a number from 1.");
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_proof);
}

static int read_growth(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode;
    struct kvs_audit_proof *proof = kvs_api_alloc(call, sizeof(*proof));
    if (!proof)
        return KVS_ERR_NOMEM;
    int err = kvs_node_audit_prove_growth(call->api->options.node, call->grant,
                                          *(const uint64_t *)call->input, proof);
    if (err == KVS_ERR_INVALID)
        return kvs_api_fail(call, err, "from must be a number from 1 to that of the newest entry.");
    return err ? err : answer_proof(call, proof);
}

void kvs_api_audit_growth(struct kvs_api_call *call)
{
    struct kvs_api_param params[] = {{.name = "from"}};
    uint64_t *from = kvs_api_alloc(call, sizeof(*from));
    int err = from ? kvs_api_query(call, params, KVS_ARRAY_SIZE(params)) : KVS_ERR_NOMEM;
    if (!err) {
        *from = 0;
        call->input = from;
        err = read_number(call, &params[0], from);
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_growth);
}
