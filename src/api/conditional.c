// SPDX-License-Identifier: Apache-2.0
// Conditional requests (RFC 9110 section 13): If-Match, If-None-Match, If-Modified-Since,
// If-Unmodified-Since. An entity tag of ours is a version's uuid in quotes and strong; a tag that
// is no uuid is well-formed and matches nothing.
#include "api/api_internal.h"

static bool is_etag_char(unsigned char c)
{
    return c == 0x21 || (c >= 0x23 && c <= 0x7E) || c >= 0x80;
}

static void skip_space(struct kvs_slice *text)
{
    while (text->size > 0 && (text->data[0] == ' ' || text->data[0] == '\t'))
        *text = kvs_slice(text->data + 1, text->size - 1);
}

static bool skip_char(struct kvs_slice *text, char c)
{
    if (text->size == 0 || text->data[0] != c)
        return false;
    *text = kvs_slice(text->data + 1, text->size - 1);
    return true;
}

// Cuts one entity tag off the front.
static bool cut_tag(struct kvs_slice *text, struct kvs_slice *ret_opaque, bool *ret_weak)
{
    *ret_weak = kvs_slice_starts_with(*text, KVS_SLICE("W/"));
    if (*ret_weak)
        *text = kvs_slice(text->data + 2, text->size - 2);
    if (!skip_char(text, '"'))
        return false;
    size_t size = 0;
    while (size < text->size && is_etag_char((unsigned char)text->data[size]))
        size++;
    *ret_opaque = kvs_slice(text->data, size);
    *text = kvs_slice(text->data + size, text->size - size);
    return skip_char(text, '"');
}

// Reads one field line's list into `tags`, whose array has room. False: malformed.
static bool read_tags(struct kvs_slice text, bool strong_only, struct kvs_api_tags *tags)
{
    bool found = false;
    for (;;) {
        skip_space(&text);
        if (skip_char(&text, ','))
            continue; // RFC 9110 section 5.6.1: empty elements are to be accepted
        if (text.size == 0)
            return found;
        struct kvs_slice opaque = KVS_SLICE_EMPTY;
        bool weak = false;
        if (!cut_tag(&text, &opaque, &weak))
            return false;
        found = true;
        struct kvs_uuid uuid;
        if (!(weak && strong_only) && kvs_uuid_parse(opaque, &uuid))
            tags->uuids[tags->count++] = uuid;
        skip_space(&text);
        if (text.size > 0 && text.data[0] != ',')
            return false;
    }
}

// A list may be spread over several field lines; the arrays that this leaves behind die with the
// arena, and the size of a request's head bounds them.
static int add_tags(struct kvs_api_call *call, const char *name, struct kvs_slice value,
                    bool strong_only, struct kvs_api_tags *tags)
{
    bool first = !tags->present;
    tags->present = true;
    if (kvs_slice_eq(value, KVS_SLICE("*")) && first) {
        tags->any = true;
        return 0;
    }
    size_t capacity = tags->count + value.size / KVS_UUID_TEXT_SIZE;
    struct kvs_uuid *uuids = kvs_api_alloc(call, (capacity + 1) * sizeof(*uuids));
    if (!uuids)
        return KVS_ERR_NOMEM;
    if (tags->count > 0)
        memcpy(uuids, tags->uuids, tags->count * sizeof(*uuids));
    tags->uuids = uuids;
    if (!tags->any && read_tags(value, strong_only, tags))
        return 0;
    return kvs_api_fail(
        call, KVS_ERR_INVALID,
        "%s must be \"*\" or a list of quoted entity tags, as the ETag header gives "
        "them.",
        name);
}

static int64_t date_or_none(const struct kvs_api_call *call, struct kvs_slice value, bool seen)
{
    int64_t now_s = kvs_clock_wall_ms(call->api->options.clock) / 1000;
    int64_t unix_s = -1;
    if (seen || !kvs_api_http_date_parse(value, now_s, &unix_s))
        return -1;
    return unix_s;
}

int kvs_api_conditions_read(struct kvs_api_call *call, struct kvs_api_conditions *ret_conditions)
{
    const struct kvs_http_request *request = &call->exchange->request;
    struct kvs_api_conditions *out = ret_conditions;
    *out = (struct kvs_api_conditions){.if_modified_since_s = -1, .if_unmodified_since_s = -1};
    bool modified_seen = false;
    bool unmodified_seen = false;
    for (size_t i = 0; i < request->header_count; i++) {
        struct kvs_slice name = request->headers[i].name;
        struct kvs_slice value = request->headers[i].value;
        int err = 0;
        if (name.size < 8 || (name.data[0] | 0x20) != 'i') {
            continue; // most headers of most requests end here
        } else if (kvs_slice_eq_nocase(name, KVS_SLICE("If-Match"))) {
            err = add_tags(call, "If-Match", value, true, &out->if_match);
        } else if (kvs_slice_eq_nocase(name, KVS_SLICE("If-None-Match"))) {
            err = add_tags(call, "If-None-Match", value, false, &out->if_none_match);
        } else if (kvs_slice_eq_nocase(name, KVS_SLICE("If-Modified-Since"))) {
            out->if_modified_since_s = date_or_none(call, value, modified_seen);
            modified_seen = true;
        } else if (kvs_slice_eq_nocase(name, KVS_SLICE("If-Unmodified-Since"))) {
            out->if_unmodified_since_s = date_or_none(call, value, unmodified_seen);
            unmodified_seen = true;
        }
        if (err)
            return err;
    }
    return 0;
}

static bool tags_match(const struct kvs_api_tags *tags, const struct kvs_uuid *uuid)
{
    for (size_t i = 0; i < tags->count; i++)
        if (kvs_uuid_cmp(&tags->uuids[i], uuid) == 0)
            return true;
    return tags->any;
}

// The order of RFC 9110 section 13.2.2.
enum kvs_api_verdict kvs_api_conditions_judge(const struct kvs_api_conditions *conditions,
                                              const struct kvs_version *version)
{
    int64_t modified_s = version->timestamp / 1000;
    if (conditions->if_match.present) {
        if (!tags_match(&conditions->if_match, &version->uuid))
            return KVS_VERDICT_FAILED;
    } else if (conditions->if_unmodified_since_s >= 0 &&
               modified_s > conditions->if_unmodified_since_s) {
        return KVS_VERDICT_FAILED;
    }
    if (conditions->if_none_match.present)
        return tags_match(&conditions->if_none_match, &version->uuid) ? KVS_VERDICT_NOT_MODIFIED
                                                                      : KVS_VERDICT_PROCEED;
    if (modified_s <= conditions->if_modified_since_s)
        return KVS_VERDICT_NOT_MODIFIED;
    return KVS_VERDICT_PROCEED;
}

static void set_condition(struct kvs_write *write, const struct kvs_api_tags *tags,
                          enum kvs_condition any, enum kvs_condition listed)
{
    write->condition = tags->any ? any : listed;
    write->condition_uuids = tags->uuids;
    write->condition_uuid_count = tags->count;
}

int kvs_api_conditions_refuse(struct kvs_api_call *call)
{
    const struct kvs_http_request *request = &call->exchange->request;
    static const char *const names[] = {"If-Match", "If-None-Match", "If-Unmodified-Since"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++)
        if (kvs_http_header_get(request, names[i]).data)
            return kvs_api_fail(call, KVS_ERR_INVALID,
                                "This request takes no conditions: %s would not be looked at.",
                                names[i]);
    return 0;
}

int kvs_api_conditions_for_write(struct kvs_api_call *call, struct kvs_write *write)
{
    struct kvs_api_conditions conditions;
    int err = kvs_api_conditions_read(call, &conditions);
    if (err)
        return err;
    // Ignoring it could lose an update that the client meant to protect.
    if (conditions.if_unmodified_since_s >= 0)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "If-Unmodified-Since is too coarse for writes: use If-Match.");
    if (conditions.if_match.present && conditions.if_none_match.present)
        return kvs_api_fail(call, KVS_ERR_INVALID,
                            "A write takes If-Match or If-None-Match, not both.");
    if (conditions.if_match.present)
        set_condition(write, &conditions.if_match, KVS_CONDITION_EXISTS, KVS_CONDITION_UUIDS);
    if (conditions.if_none_match.present)
        set_condition(write, &conditions.if_none_match, KVS_CONDITION_NOT_EXISTS,
                      KVS_CONDITION_NOT_UUIDS);
    return 0;
}
