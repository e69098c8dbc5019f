// SPDX-License-Identifier: Apache-2.0
// POST /kv_compare: what a client that compares two nodes asks each of them (decision 0063). A
// question is a range of keys below a prefix, or one key, and what the other node says of it; the
// answer, that both hold the same, or the parts of the range, or its versions, deletions included.
// No state is kept between questions.
//
// Fingerprints and deletions hide nothing: only who may read every key there could be below the
// prefix is answered. What is shown of a fingerprint is a keyed hash (node/exchange.h).
#include "api/peer_body.h"

#include "node/exchange.h"

enum {
    QUESTIONS_MAX = 256,
    PARTS = 32,              // about so many of a range
    LISTED_MAX = 64,         // a range with so many keys is answered with them
    PAGE_MAX = 1000,         // versions of one answer that lists
    BYTES_MAX = 1024 * 1024, // of all answers, about: the others are left to the next request
    PARTS_MAX = 1024,        // likewise; cutting reads records where blocks do not end
    KEY_TEXT_MAX = 6 * KVS_KEY_SIZE_MAX + 16,
    ENTRY_TEXT_MAX = KEY_TEXT_MAX + 512,
};

struct question {
    struct kvs_slice key; // this one alone; empty: a range
    struct kvs_slice first, end;
    bool list;
    bool has_hash;
    struct kvs_uuid hash;
};

struct part {
    struct kvs_slice start_key;
    struct kvs_fingerprint fingerprint;
};

struct comparison {
    struct kvs_api_call *call;
    struct kvs_slice prefix;
    struct question questions[QUESTIONS_MAX];
    size_t count;
    // While answering.
    size_t part_total;
    struct part parts[2 * PARTS + 2];
    size_t part_count;
    size_t listed, listed_max;
    struct kvs_slice next_key;
    int64_t now_ms;
    int err;
};

static struct kvs_node *node_of(const struct comparison *comparison)
{
    return comparison->call->api->options.node;
}

static struct kvs_buf *body_of(const struct comparison *comparison)
{
    return &comparison->call->exchange->response.body;
}

static void append_tag(struct comparison *comparison, struct kvs_fingerprint fingerprint)
{
    struct kvs_uuid tag;
    struct kvs_buf *out = body_of(comparison);
    kvs_node_fingerprint_tag(node_of(comparison), fingerprint, &tag);
    kvs_buf_append_str(out, "\"hash\":\"");
    kvs_api_append_uuid(out, &tag);
    kvs_buf_append_char(out, '"');
}

// ---- Versions

static void append_entry(struct comparison *comparison, struct kvs_slice key,
                         const struct kvs_version *version)
{
    struct kvs_buf *out = body_of(comparison);
    kvs_buf_append_str(out, "{\"path\":");
    kvs_json_write_string(out, key);
    kvs_buf_append_char(out, ',');
    kvs_api_append_version(out, version);
    kvs_buf_append_str(out, ",\"writer\":\"");
    kvs_api_append_uuid(out, &version->writer.node);
    kvs_buf_append_str(out, "\",\"joined_timestamp\":");
    kvs_buf_append_i64(out, version->writer.joined_timestamp);
    if (version->expires_at != 0) {
        kvs_buf_append_str(out, ",\"expires_timestamp\":");
        kvs_buf_append_i64(out, version->expires_at);
    }
    if (kvs_version_is_tombstone(version))
        kvs_buf_append_str(out, ",\"deleted\":true");
    else if (!kvs_version_is_visible(version, comparison->now_ms))
        kvs_buf_append_str(out, ",\"expired\":true");
    kvs_buf_append_char(out, '}');
}

static bool list_version(void *ctx, struct kvs_slice key, const struct kvs_version *version)
{
    struct comparison *comparison = ctx;
    struct kvs_buf *out = body_of(comparison);
    if (comparison->listed > 0 &&
        (comparison->listed >= comparison->listed_max || out->size >= BYTES_MAX)) {
        comparison->next_key = kvs_arena_copy(&comparison->call->exchange->arena, key);
        comparison->err = comparison->next_key.data ? 0 : KVS_ERR_NOMEM;
        return false;
    }
    kvs_api_body_allow(comparison->call, out->size + ENTRY_TEXT_MAX);
    if (comparison->listed++ > 0)
        kvs_buf_append_char(out, ',');
    append_entry(comparison, key, version);
    return !out->err;
}

static int answer_list(struct comparison *comparison, const struct question *question)
{
    struct kvs_buf *out = body_of(comparison);
    comparison->listed = 0;
    comparison->listed_max = PAGE_MAX;
    comparison->next_key = KVS_SLICE_EMPTY;
    kvs_buf_append_str(out, "{\"versions\":[");
    int err = kvs_node_versions(node_of(comparison), kvs_auth_open_grant(), question->first,
                                question->end, list_version, comparison);
    kvs_api_body_allow(comparison->call, out->size + ENTRY_TEXT_MAX);
    kvs_buf_append_str(out, "],\"next_key\":");
    if (comparison->next_key.size > 0)
        kvs_json_write_string(out, comparison->next_key);
    else
        kvs_buf_append_str(out, "null");
    kvs_buf_append_char(out, '}');
    return err ? err : comparison->err;
}

// ---- Parts

static bool keep_part(void *ctx, struct kvs_slice start_key, struct kvs_fingerprint fingerprint)
{
    struct comparison *comparison = ctx;
    struct kvs_slice copy = kvs_arena_copy(&comparison->call->exchange->arena, start_key);
    if (!copy.data || comparison->part_count == KVS_ARRAY_SIZE(comparison->parts)) {
        comparison->err = KVS_ERR_NOMEM;
        return false;
    }
    comparison->parts[comparison->part_count++] = (struct part){copy, fingerprint};
    return true;
}

static int answer_parts(struct comparison *comparison, const struct question *question)
{
    struct kvs_buf *out = body_of(comparison);
    comparison->part_count = 0;
    int err = kvs_node_split(node_of(comparison), kvs_auth_open_grant(), question->first,
                             question->end, PARTS, keep_part, comparison);
    err = err ? err : comparison->err;
    if (err)
        return err;
    if (comparison->part_count < 2) // it has shrunk meanwhile: one part would lead nowhere
        return answer_list(comparison, question);
    comparison->part_total += comparison->part_count;
    kvs_buf_append_str(out, "{\"parts\":[");
    comparison->parts[0].start_key = question->first;
    for (size_t i = 0; i < comparison->part_count; i++) {
        kvs_api_body_allow(comparison->call, out->size + ENTRY_TEXT_MAX);
        kvs_buf_append_str(out, i > 0 ? ",{\"start_key\":" : "{\"start_key\":");
        kvs_json_write_string(out, comparison->parts[i].start_key);
        kvs_buf_append_char(out, ',');
        append_tag(comparison, comparison->parts[i].fingerprint);
        kvs_buf_append_char(out, '}');
    }
    kvs_buf_append_str(out, "]}");
    return 0;
}

// ---- Answers

static int answer_question(struct comparison *comparison, const struct question *question)
{
    struct kvs_buf *out = body_of(comparison);
    struct kvs_fingerprint fingerprint;
    struct kvs_uuid tag;
    if (question->list)
        return answer_list(comparison, question);
    int err = kvs_node_fingerprint(node_of(comparison), kvs_auth_open_grant(), question->first,
                                   question->end, &fingerprint);
    if (err)
        return err;
    kvs_node_fingerprint_tag(node_of(comparison), fingerprint, &tag);
    if (!question->has_hash) {
        kvs_buf_append_char(out, '{');
        append_tag(comparison, fingerprint);
        kvs_buf_append_char(out, '}');
        return 0;
    }
    if (kvs_uuid_cmp(&tag, &question->hash) == 0) {
        kvs_buf_append_str(out, "{\"same\":true}");
        return 0;
    }
    return fingerprint.count <= LISTED_MAX ? answer_list(comparison, question)
                                           : answer_parts(comparison, question);
}

static int check_access(struct comparison *comparison)
{
    struct kvs_api_call *call = comparison->call;
    bool ranges = false;
    int err = 0;
    for (size_t i = 0; i < comparison->count && !err; i++) {
        ranges |= comparison->questions[i].key.size == 0;
        if (comparison->questions[i].key.size > 0)
            err = kvs_grant_check(call->grant, comparison->questions[i].key, KVS_ACCESS_READ);
    }
    if (!err && ranges && !kvs_grant_reads_below(call->grant, comparison->prefix))
        return kvs_api_fail(call, KVS_ERR_FORBIDDEN,
                            "Fingerprints hide nothing: only who may read everything that begins "
                            "with \"%.*s\" gets them.",
                            KVS_SLICE_FMT(comparison->prefix));
    return err;
}

static int answer_all(struct kvs_api_call *call, enum kvs_read_mode mode)
{
    (void)mode; // on a worker
    struct comparison *comparison = call->input;
    struct kvs_buf *out = body_of(comparison);
    struct kvs_uuid id;
    int err = check_access(comparison);
    if (err)
        return err;
    call->exchange->response.status = 200;
    call->exchange->response.content_type = "application/json";
    comparison->now_ms = kvs_clock_wall_ms(call->api->options.clock);
    kvs_node_digest_id(node_of(comparison), &id);
    kvs_buf_append_str(out, "{\"digest\":\"");
    kvs_api_append_uuid(out, &id);
    kvs_buf_append_str(out, "\",\"answers\":[");
    for (size_t i = 0; !err && i < comparison->count; i++) {
        if (i > 0 && (out->size >= BYTES_MAX || comparison->part_total >= PARTS_MAX))
            break;
        kvs_api_body_allow(call, out->size + ENTRY_TEXT_MAX);
        if (i > 0)
            kvs_buf_append_char(out, ',');
        err = answer_question(comparison, &comparison->questions[i]);
    }
    kvs_api_body_allow(call, out->size + ENTRY_TEXT_MAX);
    kvs_buf_append_str(out, "]}");
    return err == KVS_ERR_CORRUPT ? KVS_ERR_BUSY : err; // the digest is behind: it catches up
}

// ---- Reading the request

static int fail_bounds(struct kvs_api_call *call)
{
    return kvs_api_fail(call, KVS_ERR_INVALID,
                        "A range must lie below the prefix, its \"start_key\" before its "
                        "\"end_key\" in byte order.");
}

static int read_range(struct comparison *comparison, const struct kvs_json *object,
                      struct kvs_slice behind, struct question *question)
{
    struct kvs_api_call *call = comparison->call;
    int err = kvs_peer_body_bound(call, object, "start_key", &question->first);
    if (!err)
        err = kvs_peer_body_bound(call, object, "end_key", &question->end);
    if (err)
        return err;
    if (question->first.size == 0)
        question->first = comparison->prefix;
    if (question->end.size == 0)
        question->end = behind;
    bool open = question->end.size == 0;
    bool below = kvs_slice_cmp(question->first, comparison->prefix) >= 0 &&
                 (behind.size == 0 || (!open && kvs_slice_cmp(question->end, behind) <= 0));
    return below && (open || kvs_slice_cmp(question->first, question->end) < 0) ? 0
                                                                                : fail_bounds(call);
}

static int read_key(struct comparison *comparison, struct question *question)
{
    const char *reason = NULL;
    struct kvs_api_call *call = comparison->call;
    if (!kvs_key_is_valid(question->key, &reason))
        return kvs_api_fail(call, KVS_ERR_INVALID, "Invalid key: %s.", reason);
    char *end = kvs_api_alloc(call, question->key.size + 1);
    if (!end)
        return KVS_ERR_NOMEM;
    memcpy(end, question->key.data, question->key.size);
    end[question->key.size] = 0x01; // keys hold no control characters: nothing lies between
    question->first = question->key;
    question->end = kvs_slice(end, question->key.size + 1);
    return 0;
}

static int read_question(struct comparison *comparison, const struct kvs_json *object,
                         struct kvs_slice behind, struct question *question)
{
    struct kvs_api_call *call = comparison->call;
    struct kvs_slice hash = KVS_SLICE_EMPTY;
    const struct kvs_json *list = kvs_json_member(object, "list");
    if (object->type != KVS_JSON_OBJECT)
        return kvs_api_fail(call, KVS_ERR_INVALID, "\"ranges\" must hold objects.");
    int err = kvs_peer_body_string(call, object, "key", false, &question->key);
    if (!err)
        err = kvs_peer_body_string(call, object, "hash", false, &hash);
    if (!err)
        err = question->key.size > 0 ? read_key(comparison, question)
                                     : read_range(comparison, object, behind, question);
    if (err)
        return err;
    if (list && list->type != KVS_JSON_TRUE && list->type != KVS_JSON_FALSE)
        return kvs_api_fail(call, KVS_ERR_INVALID, "The member \"list\" must be true or false.");
    question->list = list && list->type == KVS_JSON_TRUE;
    question->has_hash = hash.size > 0;
    // One of another form matches nothing.
    if (question->has_hash && !kvs_uuid_parse(hash, &question->hash))
        question->hash = (struct kvs_uuid){{0}};
    return 0;
}

static int read_request(struct comparison *comparison)
{
    struct kvs_api_call *call = comparison->call;
    const struct kvs_json *root = NULL;
    struct kvs_slice behind = KVS_SLICE_EMPTY;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_peer_body_parse(call, KVS_JSON_OBJECT, &root);
    if (!err)
        err = kvs_peer_body_bound(call, root, "prefix", &comparison->prefix);
    if (!err)
        err = kvs_api_behind_prefix(call, comparison->prefix, &behind);
    if (err)
        return err;
    const struct kvs_json *ranges = kvs_json_member(root, "ranges");
    if (!ranges || ranges->type != KVS_JSON_ARRAY || ranges->child_count == 0 ||
        ranges->child_count > QUESTIONS_MAX)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "The member \"ranges\" must be an array of 1 to %d objects.",
                            QUESTIONS_MAX);
    for (const struct kvs_json *each = ranges->child; each && !err; each = each->next)
        err = read_question(comparison, each, behind, &comparison->questions[comparison->count++]);
    return err;
}

void kvs_api_compare(struct kvs_api_call *call)
{
    struct comparison *comparison = kvs_api_alloc(call, sizeof(*comparison));
    int err = comparison ? 0 : KVS_ERR_NOMEM;
    if (!err) {
        memset(comparison, 0, sizeof(*comparison));
        comparison->call = call;
        call->input = comparison;
        err = read_request(comparison);
    }
    if (err)
        kvs_api_finish(call, err);
    else
        kvs_api_read_on_worker(call, answer_all);
}
