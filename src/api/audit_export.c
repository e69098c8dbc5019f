// SPDX-License-Identifier: Apache-2.0
// GET /api/audit/export: the lines of an export (audit/export.h), a page at a time. A page that
// begins one (`from`, default 1) has the header and the roots before it; a page that goes on
// (`since`) has neither, so that pages can be put one behind the other. The page that reaches the
// newest entry ends with a checkpoint: it is the last.
//
// The checkpoint is made first: what is committed meanwhile belongs to the next export.
#include "api/api_internal.h"

#include "audit/export.h"
#include "node/audit.h"

enum {
    LIMIT_DEFAULT = 1000,
    LIMIT_MAX = 10000,
    PAGE_BYTES_MAX = 32 << 20, // a page ends behind the entry that reaches it …
    BODY_BYTES_MAX = 64 << 20, // … and roots may stand before and between
};

struct export_input {
    uint64_t next; // entry to go on with
    bool begins;
    uint64_t limit;
};

struct export_page {
    struct kvs_api_call *call;
    struct kvs_buf *body;
    struct kvs_audit_seal checkpoint;
    struct kvs_audit_seal seal; // the next root or break; size UINT64_MAX: none
    uint64_t last;              // entry written
    uint64_t left;              // entries that fit
    int err;
};

static void append_seal(struct export_page *page, const struct kvs_audit_seal *seal)
{
    kvs_audit_seal_append_json(page->body, seal);
    kvs_buf_append_char(page->body, '\n');
}

static bool take_seal(void *ctx, const struct kvs_audit_seal *seal)
{
    *(struct kvs_audit_seal *)ctx = *seal;
    return false;
}

// The first root or break from `epoch` on that is older than the checkpoint.
static int load_seal(struct export_page *page, uint64_t epoch)
{
    page->seal = (struct kvs_audit_seal){.size = UINT64_MAX};
    if (epoch >= page->checkpoint.epoch)
        return 0;
    return kvs_node_audit_visit_seals(page->call->api->options.node, page->call->grant, epoch,
                                      false, take_seal, &page->seal);
}

// Those that cover no more than `size` entries.
static int append_seals_up_to(struct export_page *page, uint64_t size)
{
    int err = 0;
    while (!err && page->seal.size <= size) {
        append_seal(page, &page->seal);
        err = load_seal(page, page->seal.epoch + 1);
    }
    return err;
}

// The first epoch that ends behind entry `size`: epochs have no gaps, and their ends only grow.
static int find_epoch(struct export_page *page, uint64_t size, uint64_t *ret_epoch)
{
    uint64_t low = 1;
    uint64_t high = page->checkpoint.epoch;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int err = load_seal(page, middle);
        if (err)
            return err;
        if (page->seal.size > size)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_epoch = low;
    return 0;
}

static bool append_entry(void *ctx, const struct kvs_audit_entry *entry)
{
    struct export_page *page = ctx;
    if (entry->seq > page->checkpoint.size || page->left == 0 || page->body->size >= PAGE_BYTES_MAX)
        return false;
    kvs_audit_entry_append_json(page->body, entry);
    kvs_buf_append_char(page->body, '\n');
    page->last = entry->seq;
    page->left--;
    page->err = append_seals_up_to(page, entry->seq);
    return !page->err;
}

static int append_beginning(struct export_page *page, uint64_t first)
{
    struct kvs_audit_header header;
    int err =
        kvs_node_audit_header(page->call->api->options.node, page->call->grant, first, &header);
    if (err == KVS_ERR_INVALID)
        return kvs_api_fail(page->call, err, "from is behind the newest entry.");
    if (err)
        return err;
    kvs_audit_header_append_json(page->body, &header);
    kvs_buf_append_char(page->body, '\n');
    err = load_seal(page, 1);
    return err ? err : append_seals_up_to(page, first - 1);
}

static int find_continuation(struct export_page *page, uint64_t next)
{
    uint64_t epoch = 0;
    int err = find_epoch(page, next - 1, &epoch);
    return err ? err : load_seal(page, epoch);
}

static int read_export(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // always on a worker
    const struct export_input *input = call->input;
    struct kvs_http_response *response = &call->exchange->response;
    struct export_page page = {
        .call = call, .body = &response->body, .left = input->limit, .last = input->next - 1};
    struct kvs_audit_public key;
    kvs_api_body_allow(call, BODY_BYTES_MAX);
    int err =
        kvs_node_audit_checkpoint(call->api->options.node, call->grant, &page.checkpoint, &key);
    if (!err)
        err = input->begins ? append_beginning(&page, input->next)
                            : find_continuation(&page, input->next);
    if (!err)
        err = kvs_node_audit_visit(call->api->options.node, call->grant, input->next, false,
                                   append_entry, &page);
    err = err ? err : page.err;
    if (err)
        return err;
    if (page.last >= page.checkpoint.size)
        append_seal(&page, &page.checkpoint);
    else if (page.left == input->limit)
        return KVS_ERR_CORRUPT; // the next entry is missing: kvs audit verify says more
    response->status = 200;
    response->content_type = "application/x-ndjson";
    return 0;
}

static int read_input(struct kvs_api_call *call)
{
    enum { FROM, SINCE, LIMIT };
    struct kvs_api_param params[] = {
        [FROM] = {.name = "from"}, [SINCE] = {.name = "since"}, [LIMIT] = {.name = "limit"}};
    struct export_input *input = kvs_api_alloc(call, sizeof(*input));
    if (!input)
        return KVS_ERR_NOMEM;
    call->input = input;
    *input = (struct export_input){.next = 1, .limit = LIMIT_DEFAULT};
    int err = kvs_api_query(call, params, KVS_ARRAY_SIZE(params));
    if (err)
        return err;
    uint64_t since = 0;
    bool good = !params[FROM].found ||
                (kvs_slice_to_u64(params[FROM].value, &input->next) && input->next > 0);
    good = good && (!params[SINCE].found ||
                    (kvs_slice_to_u64(params[SINCE].value, &since) && since < UINT64_MAX));
    good = good && (!params[LIMIT].found || (kvs_slice_to_u64(params[LIMIT].value, &input->limit) &&
                                             input->limit > 0 && input->limit <= LIMIT_MAX));
    if (!good || (params[FROM].found && params[SINCE].found))
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "from is the first entry of an export, since the last one of the page "
                            "before: one of the two, a number; limit is one from 1 to %d.",
                            LIMIT_MAX);
    input->begins = !params[SINCE].found;
    if (params[SINCE].found)
        input->next = since + 1;
    return 0;
}

void kvs_api_audit_export(struct kvs_api_call *call)
{
    int err = read_input(call);
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, read_export);
}
