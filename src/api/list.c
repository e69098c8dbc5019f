// SPDX-License-Identifier: Apache-2.0
// GET /kv/{prefix}/ and GET /kv/_range: keys in byte order, in pages. A page ends at `limit`
// entries, when its body has reached PAGE_BYTES or after KEYS_WALKED_MAX keys, shown or not; "next"
// is then a cursor, else null. The cursor names the first entry of the next page, so that pages
// neither repeat nor skip what stays in place.
//
// Scans always run on a worker: what they walk over (deleted keys, rolled-up subtrees) has no bound
// that the caller knows.
#include "api/api_internal.h"

#include "codec/json.h"

enum {
    PAGE_BYTES = 4 * 1024 * 1024, // a page ends early behind the entry that reaches it
    // A page ends, even an empty one: deleted keys must not keep a worker busy for minutes.
    KEYS_WALKED_MAX = 100000,
    PREFIX_SIZE_MAX = KVS_KEY_SIZE_MAX + 1,
    CURSOR_SIZE_MAX = 2 * PREFIX_SIZE_MAX + 64,
    PREFIXES_BYTES_MAX = 8 * 1024 * 1024, // above 1000 prefixes, every byte of them escaped
};

struct list_input {
    struct kvs_node_scan scan; // but for the visitors
    uint32_t limit;
    bool values;
    bool expires;
};

struct page {
    struct kvs_api_call *call;
    const struct list_input *input;
    struct kvs_buf *body;
    struct kvs_buf prefixes;
    struct kvs_buf next; // the cursor; empty on the last page
    size_t record_count;
    size_t prefix_count;
};

static void page_donep(struct page *page)
{
    kvs_buf_done(&page->prefixes);
    kvs_buf_done(&page->next);
}

// Is there no room for one more entry? Then `key` begins the next page.
static bool page_is_full(struct page *page, struct kvs_slice key)
{
    size_t count = page->record_count + page->prefix_count;
    bool full = count >= page->input->limit ||
                page->body->size + page->prefixes.size >= PAGE_BYTES; // never the first entry
    if (full)
        kvs_api_cursor_append(&page->next, key);
    return full || page->body->err || page->prefixes.err;
}

static void make_room(struct page *page, struct kvs_slice key, struct kvs_slice json)
{
    enum { ESCAPED = 6, MEMBERS = 256 };
    kvs_api_body_allow(page->call, page->body->size + key.size * ESCAPED + json.size + MEMBERS);
}

static void append_expiry(struct page *page, const struct kvs_version *version)
{
    if (!page->input->expires || version->expires_at == 0)
        return;
    kvs_buf_append_slice(page->body, KVS_SLICE(",\"expires_timestamp\":"));
    kvs_buf_append_i64(page->body, version->expires_at);
}

// {"path":…, of the next record. False: the page is full.
static bool begin_record(struct page *page, struct kvs_slice key, struct kvs_slice json)
{
    if (page_is_full(page, key))
        return false;
    make_room(page, key, json);
    if (page->record_count++ > 0)
        kvs_buf_append_char(page->body, ',');
    kvs_buf_append_slice(page->body, KVS_SLICE("{\"path\":"));
    kvs_json_write_string(page->body, key);
    return true;
}

static bool visit_key(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    struct page *page = ctx;
    struct kvs_buf *body = page->body;
    if (!begin_record(page, key, json))
        return false;
    kvs_buf_append_char(body, ',');
    kvs_api_append_version(body, version);
    append_expiry(page, version);
    if (page->input->values) {
        kvs_buf_append_slice(body, KVS_SLICE(",\"data\":"));
        kvs_buf_append_slice(body, json);
    }
    kvs_buf_append_char(body, '}');
    return true;
}

static bool visit_prefix(void *ctx, struct kvs_slice prefix)
{
    struct page *page = ctx;
    if (page_is_full(page, prefix))
        return false;
    if (page->prefix_count++ > 0)
        kvs_buf_append_char(&page->prefixes, ',');
    kvs_json_write_string(&page->prefixes, prefix);
    return true;
}

static bool visit_pair(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                       struct kvs_slice json)
{
    struct page *page = ctx;
    struct kvs_buf *body = page->body;
    if (!begin_record(page, key, json))
        return false;
    kvs_buf_append_slice(body, KVS_SLICE(",\"stored_value\":"));
    kvs_api_append_record(body, version, json);
    if (page->input->expires && version->expires_at != 0) {
        body->size--; // opens the record again
        append_expiry(page, version);
        kvs_buf_append_char(body, '}');
    }
    kvs_buf_append_char(body, '}');
    return true;
}

static void pause_at(void *ctx, struct kvs_slice key)
{
    struct page *page = ctx;
    kvs_api_cursor_append_sealed(page->call, &page->next, key); // it may be hidden from the caller
}

static bool scan_is_empty(const struct kvs_node_scan *scan)
{
    return scan->end.size > 0 && kvs_slice_cmp(scan->first, scan->end) >= 0;
}

static void append_next(struct page *page)
{
    make_room(page, kvs_buf_slice(&page->next), KVS_SLICE_EMPTY);
    kvs_buf_append_slice(page->body, KVS_SLICE(",\"next\":"));
    if (page->next.size > 0)
        kvs_json_write_string(page->body, kvs_buf_slice(&page->next));
    else
        kvs_buf_append_slice(page->body, KVS_SLICE("null"));
    kvs_buf_append_char(page->body, '}');
}

static int scan(struct kvs_api_call *call, enum kvs_read_mode mode, struct page *page,
                kvs_node_visit_fn *visit)
{
    struct kvs_http_response *response = &call->exchange->response;
    struct kvs_node_scan scan = page->input->scan;
    scan.visit = visit;
    scan.visit_prefix = visit_prefix;
    scan.keys_max = KEYS_WALKED_MAX;
    scan.pause = pause_at;
    scan.ctx = page;
    response->status = 200;
    response->content_type = "application/json";
    int err =
        scan_is_empty(&scan) ? 0 : kvs_node_scan(call->api->options.node, call->grant, &scan, mode);
    if (err)
        return err;
    return page->prefixes.err ? page->prefixes.err : page->next.err;
}

static struct page page_of(struct kvs_api_call *call)
{
    return (struct page){
        .call = call,
        .input = call->input,
        .body = &call->exchange->response.body,
        .prefixes = KVS_BUF_INIT(PREFIXES_BYTES_MAX),
        .next = KVS_BUF_INIT(CURSOR_SIZE_MAX),
    };
}

// ---- GET /kv/{prefix}/

static int read_list(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    KVS_CLEANUP(page_donep) struct page page = page_of(call);
    bool unchanged = false;
    // Before the scan: what changes meanwhile has another tag.
    int err = kvs_api_fingerprint_judge(call, page.input->scan.prefix, &unchanged);
    if (unchanged)
        call->exchange->response.status = 304;
    if (err || unchanged)
        return err;
    kvs_buf_append_slice(page.body, KVS_SLICE("{\"keys\":["));
    err = scan(call, mode, &page, visit_key);
    if (err)
        return err;
    make_room(&page, KVS_SLICE_EMPTY, kvs_buf_slice(&page.prefixes));
    kvs_buf_append_slice(page.body, KVS_SLICE("],\"prefixes\":["));
    kvs_buf_append_slice(page.body, kvs_buf_slice(&page.prefixes));
    kvs_buf_append_char(page.body, ']');
    append_next(&page);
    return 0;
}

static int read_cursor(struct kvs_api_call *call, const struct kvs_api_param *param,
                       struct kvs_node_scan *scan)
{
    if (!param->found)
        return 0;
    struct kvs_slice key = KVS_SLICE_EMPTY;
    int err = kvs_api_cursor_parse(call, param->value, &key);
    if (err && err != KVS_ERR_INVALID)
        return err;
    if (err || !kvs_slice_starts_with(key, scan->prefix) || kvs_slice_cmp(key, scan->first) < 0 ||
        (scan->end.size > 0 && kvs_slice_cmp(key, scan->end) >= 0))
        return kvs_api_fail(
            call, KVS_ERR_INVALID,
            "The cursor is none of this listing: pass \"next\" as it came, with the "
            "other parameters unchanged.");
    scan->first = key;
    return 0;
}

// A prefix in the path covers whole segments: it ends in '/'.
static int read_prefix(struct kvs_api_call *call, const struct kvs_api_param *param,
                       struct kvs_slice *ret_prefix)
{
    const char *reason = NULL;
    *ret_prefix = call->key.size > 0 ? call->key : param->value;
    if (call->key.size > 0 && param->found)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The prefix is given twice: use GET /kv/?prefix=… or a path.");
    if (call->key.size > 0 &&
        !kvs_key_is_valid(kvs_slice(call->key.data, call->key.size - 1), &reason))
        return kvs_api_fail(call, KVS_ERR_INVALID, "Invalid prefix: %s.", reason);
    if (ret_prefix->size > PREFIX_SIZE_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID, "prefix is longer than %d bytes.",
                            PREFIX_SIZE_MAX);
    return 0;
}

static int read_delimiter(struct kvs_api_call *call, const struct kvs_api_param *param,
                          struct kvs_slice *ret_delimiter)
{
    if (param->found && !kvs_slice_eq(param->value, KVS_SLICE("/")))
        return kvs_api_fail(call, KVS_ERR_INVALID, "delimiter can only be \"/\".");
    *ret_delimiter = param->value;
    return 0;
}

static int read_list_input(struct kvs_api_call *call, struct list_input *input)
{
    enum { PREFIX, DELIMITER, VALUES, EXPIRES, LIMIT, CURSOR, COUNT };
    struct kvs_api_param params[COUNT] = {
        [PREFIX] = {.name = "prefix"}, [DELIMITER] = {.name = "delimiter"},
        [VALUES] = {.name = "values"}, [EXPIRES] = {.name = "expires"},
        [LIMIT] = {.name = "limit"},   [CURSOR] = {.name = "cursor"},
    };
    int err = kvs_api_query(call, params, COUNT);
    if (!err)
        err = read_prefix(call, &params[PREFIX], &input->scan.prefix);
    if (!err)
        err = read_delimiter(call, &params[DELIMITER], &input->scan.delimiter);
    if (!err)
        err = kvs_api_param_bool(call, &params[VALUES], &input->values);
    if (!err)
        err = kvs_api_param_bool(call, &params[EXPIRES], &input->expires);
    if (!err)
        err = kvs_api_param_limit(call, &params[LIMIT], &input->limit);
    if (!err)
        err = read_cursor(call, &params[CURSOR], &input->scan);
    return err;
}

static void start(struct kvs_api_call *call,
                  int (*read_input)(struct kvs_api_call *call, struct list_input *input),
                  kvs_api_read_fn *read)
{
    struct list_input *input = kvs_api_alloc(call, sizeof(*input));
    int err = input ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        *input = (struct list_input){0};
        call->input = input;
        err = read_input(call, input);
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read);
}

void kvs_api_list(struct kvs_api_call *call)
{
    start(call, read_list_input, read_list);
}

// ---- GET /kv/_range

static int read_range(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    KVS_CLEANUP(page_donep) struct page page = page_of(call);
    kvs_buf_append_slice(page.body, KVS_SLICE("{\"pairs\":["));
    int err = scan(call, mode, &page, visit_pair);
    if (err)
        return err;
    kvs_buf_append_char(page.body, ']');
    append_next(&page);
    return 0;
}

// The scan's end is exclusive, end_key is not. Keys hold no control characters, so nothing lies
// between end_key and end_key + 0x01.
static int behind(struct kvs_api_call *call, struct kvs_slice end_key, struct kvs_slice *ret_end)
{
    if (end_key.size == 0)
        return 0;
    char *end = kvs_api_alloc(call, end_key.size + 1);
    if (!end)
        return KVS_ERR_NOMEM;
    memcpy(end, end_key.data, end_key.size);
    end[end_key.size] = 0x01;
    *ret_end = kvs_slice(end, end_key.size + 1);
    return 0;
}

static int read_range_input(struct kvs_api_call *call, struct list_input *input)
{
    enum { START, END, EXPIRES, LIMIT, CURSOR, COUNT };
    struct kvs_api_param params[COUNT] = {
        [START] = {.name = "start_key"}, [END] = {.name = "end_key"},
        [EXPIRES] = {.name = "expires"}, [LIMIT] = {.name = "limit"},
        [CURSOR] = {.name = "cursor"},
    };
    int err = kvs_api_query(call, params, COUNT);
    for (int i = START; !err && i <= END; i++)
        if (params[i].value.size > PREFIX_SIZE_MAX)
            err = kvs_api_fail(call, KVS_ERR_INVALID, "%s is longer than %d bytes.", params[i].name,
                               PREFIX_SIZE_MAX);
    if (!err) {
        input->scan.first = params[START].value;
        err = behind(call, params[END].value, &input->scan.end);
    }
    if (!err)
        err = kvs_api_param_bool(call, &params[EXPIRES], &input->expires);
    if (!err)
        err = kvs_api_param_limit(call, &params[LIMIT], &input->limit);
    if (!err)
        err = read_cursor(call, &params[CURSOR], &input->scan);
    return err;
}

void kvs_api_range(struct kvs_api_call *call)
{
    start(call, read_range_input, read_range);
}
