// SPDX-License-Identifier: Apache-2.0
// From the body of POST /kv_batch to its entries. What makes the batch unreadable (no JSON, no
// array, too many entries, a member that stands twice) is the batch's error; what is wrong with one
// entry is that entry's alone. Values are cut out, never parsed: duplicate names are legal inside
// of them.
#include "api/batch_internal.h"

#include "codec/json.h"

enum { MEMBERS_MAX = 16 }; // far more than there are names

enum member { OP, PATH, DATA, TTL, IF_MATCH, MEMBER_COUNT };
static const char *const member_names[MEMBER_COUNT] = {"op", "path", "data", "ttl", "if_match"};

struct members {
    struct kvs_slice values[MEMBER_COUNT]; // source; data NULL: absent
    struct kvs_slice unknown;              // a name that is none of them
};

static int fail_batch(struct kvs_batch *batch, size_t index, const char *what)
{
    return kvs_api_fail(batch->call, KVS_ERR_INVALID,
                        "Entry %zu (counted from 0) of the batch %s. Nothing was applied.", index,
                        what);
}

// The entry's own error; what kvs_api_fail remembered becomes its detail.
static int fail_entry(struct kvs_batch *batch, struct kvs_batch_entry *entry, int err)
{
    entry->err = err;
    entry->detail = batch->call->detail;
    batch->call->detail = KVS_SLICE_EMPTY;
    return 0;
}

#define FAIL_ENTRY(batch, entry, err, ...)                                                         \
    fail_entry((batch), (entry), kvs_api_fail((batch)->call, (err), __VA_ARGS__))

static int read_members(struct kvs_batch *batch, size_t index, struct kvs_slice object,
                        struct members *ret_members)
{
    struct kvs_slice names[MEMBERS_MAX];
    struct kvs_slice key;
    struct kvs_slice value;
    size_t count = 0;
    *ret_members = (struct members){0};
    while (kvs_json_cut_member(&object, &key, &value)) {
        if (count == MEMBERS_MAX)
            return fail_batch(batch, index, "has too many members");
        int err = kvs_api_string_value(batch->call, key, &names[count]);
        if (err)
            return err;
        for (size_t i = 0; i < count; i++)
            if (kvs_slice_eq(names[i], names[count]))
                return fail_batch(batch, index, "has a member twice");
        bool known = false;
        for (size_t i = 0; i < MEMBER_COUNT; i++)
            if (kvs_slice_eq(names[count], kvs_slice_from_str(member_names[i]))) {
                ret_members->values[i] = value;
                known = true;
            }
        if (!known)
            ret_members->unknown = key;
        count++;
    }
    return 0;
}

// A string member; *ret_found false: it is absent, or something else.
static int read_string(struct kvs_batch *batch, struct kvs_slice source, struct kvs_slice *ret_text,
                       bool *ret_found)
{
    *ret_found = source.size > 0 && source.data[0] == '"';
    return *ret_found ? kvs_api_string_value(batch->call, source, ret_text) : 0;
}

static int read_op(struct kvs_batch *batch, struct kvs_slice source, struct kvs_batch_entry *entry)
{
    static const char *const names[] = {"get", "put", "delete"};
    struct kvs_slice text = KVS_SLICE_EMPTY;
    bool found = false;
    int err = read_string(batch, source, &text, &found);
    for (size_t i = 0; !err && found && i < KVS_ARRAY_SIZE(names); i++)
        if (kvs_slice_eq(text, kvs_slice_from_str(names[i]))) {
            entry->op = (enum kvs_batch_op)i;
            return 0;
        }
    return err ? err : FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "op must be put, delete or get.");
}

static int read_path(struct kvs_batch *batch, struct kvs_slice source,
                     struct kvs_batch_entry *entry)
{
    const char *reason = NULL;
    bool found = false;
    int err = read_string(batch, source, &entry->key, &found);
    if (err)
        return err;
    if (!found)
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "path must be a key, as a string.");
    if (!kvs_key_is_valid(entry->key, &reason))
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "Invalid key: %s.", reason);
    return 0;
}

static int read_data(struct kvs_batch *batch, const struct members *members,
                     struct kvs_batch_entry *entry, struct kvs_write *write)
{
    size_t size_max = batch->call->api->options.max_json_size;
    write->json = members->values[DATA];
    if (write->json.size == 0)
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "A put needs data: the JSON to store.");
    if (write->json.size > size_max)
        return FAIL_ENTRY(batch, entry, KVS_ERR_TOO_LARGE,
                          "The value has %zu bytes; max_json_size allows %zu.", write->json.size,
                          size_max);
    struct kvs_slice ttl = KVS_SLICE_EMPTY;
    bool found = false;
    if (members->values[TTL].size == 0)
        return 0;
    int err = read_string(batch, members->values[TTL], &ttl, &found);
    if (err)
        return err;
    if (!found)
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "ttl must be a string such as \"1h30m\".");
    err = kvs_api_parse_ttl(batch->call, "ttl", ttl, &write->ttl_ms);
    return err == KVS_ERR_INVALID ? fail_entry(batch, entry, err) : err;
}

// "*", a version's uuid, or the ETag with its quotes.
static int read_condition(struct kvs_batch *batch, struct kvs_slice source,
                          struct kvs_batch_entry *entry, struct kvs_write *write)
{
    struct kvs_slice text = KVS_SLICE_EMPTY;
    bool found = false;
    if (source.size == 0)
        return 0;
    int err = read_string(batch, source, &text, &found);
    if (err)
        return err;
    if (found && kvs_slice_eq(text, KVS_SLICE("*"))) {
        write->condition = KVS_CONDITION_EXISTS;
        return 0;
    }
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        text = kvs_slice(text.data + 1, text.size - 2);
    if (!found || !kvs_uuid_parse(text, &entry->if_match))
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID,
                          "if_match must be a version's uuid or \"*\", as a string.");
    write->condition = KVS_CONDITION_UUIDS;
    write->condition_uuids = &entry->if_match;
    write->condition_uuid_count = 1;
    return 0;
}

// The entry behind its op and path.
static int read_rest(struct kvs_batch *batch, const struct members *members,
                     struct kvs_batch_entry *entry)
{
    bool put = entry->op == KVS_BATCH_PUT;
    if (!put && (members->values[DATA].size > 0 || members->values[TTL].size > 0))
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "data and ttl go with put alone.");
    if (entry->op == KVS_BATCH_GET) {
        if (members->values[IF_MATCH].size > 0)
            return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID,
                              "if_match goes with put and delete alone.");
        batch->get_count++;
        return 0;
    }
    struct kvs_write *write = &batch->writes[batch->write_count];
    *write = (struct kvs_write){
        .op = put ? KVS_WRITE_PUT : KVS_WRITE_DELETE, .key = entry->key, .ttl_ms = KVS_TTL_DEFAULT};
    int err = put ? read_data(batch, members, entry, write) : 0;
    if (!err && !entry->err)
        err = read_condition(batch, members->values[IF_MATCH], entry, write);
    if (err || entry->err)
        return err;
    entry->write = write;
    batch->write_count++;
    return 0;
}

static int read_entry(struct kvs_batch *batch, struct kvs_slice source)
{
    enum { SHOWN_MAX = 64 };
    size_t index = batch->count;
    struct kvs_batch_entry *entry = &batch->entries[batch->count++];
    struct members members;
    *entry = (struct kvs_batch_entry){0};
    if (source.data[0] != '{')
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID, "An entry must be an object.");
    int err = read_members(batch, index, source, &members);
    if (err)
        return err;
    struct kvs_slice unknown = members.unknown;
    if (unknown.size > SHOWN_MAX)
        unknown.size = SHOWN_MAX;
    if (unknown.size > 0)
        return FAIL_ENTRY(batch, entry, KVS_ERR_INVALID,
                          "Unknown member %.*s: an entry takes op, path, data, ttl and if_match.",
                          KVS_SLICE_FMT(unknown));
    err = read_op(batch, members.values[OP], entry);
    if (!err && !entry->err)
        err = read_path(batch, members.values[PATH], entry);
    if (!err && !entry->err)
        err = read_rest(batch, &members, entry);
    return err;
}

static int compact(struct kvs_batch *batch)
{
    struct kvs_slice text = batch->call->exchange->request.body;
    struct kvs_json_error error;
    if (text.size == 0)
        return kvs_api_fail(batch->call, KVS_ERR_SYNTAX,
                            "The body is empty: send an array of entries.");
    kvs_buf_init(&batch->json, text.size);
    int err = kvs_json_compact(text, &batch->json, &error);
    if (err == KVS_ERR_SYNTAX)
        return kvs_api_fail(batch->call, err, "Invalid JSON at line %u, column %u: %s.", error.line,
                            error.column, error.reason);
    if (!err && batch->json.data[0] != '[')
        return kvs_api_fail(batch->call, KVS_ERR_INVALID, "A batch is an array of entries.");
    return err;
}

int kvs_batch_read(struct kvs_batch *batch)
{
    int err = compact(batch);
    if (err)
        return err;
    struct kvs_slice value;
    struct kvs_slice rest = kvs_buf_slice(&batch->json);
    size_t count = 0;
    while (count <= KVS_BATCH_ENTRIES_MAX && kvs_json_cut_element(&rest, &value))
        count++;
    if (count > KVS_BATCH_ENTRIES_MAX)
        return kvs_api_fail(batch->call, KVS_ERR_INVALID, "A batch has at most %d entries.",
                            KVS_BATCH_ENTRIES_MAX);
    batch->entries = kvs_api_alloc(batch->call, (count + 1) * sizeof(*batch->entries));
    batch->writes = kvs_api_alloc(batch->call, (count + 1) * sizeof(*batch->writes));
    if (!batch->entries || !batch->writes)
        return KVS_ERR_NOMEM;
    rest = kvs_buf_slice(&batch->json);
    while (!err && kvs_json_cut_element(&rest, &value))
        err = read_entry(batch, value);
    return err;
}
