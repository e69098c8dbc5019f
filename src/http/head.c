// SPDX-License-Identifier: Apache-2.0
// What a request head means (RFC 9110, RFC 9112 §3, §6). llhttp reads the bytes; everything that
// two readers could take differently is refused here, above all about where the body ends: with one
// Content-Length or one `Transfer-Encoding: chunked`, never both, no other framing exists.
#include "http/head_internal.h"

#include "http/chars_internal.h"
#include "http/chunked_internal.h"
#include "http/target_internal.h"

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct http_head *head = parser->data;
    if (!head->target.data)
        head->target.data = at;
    head->target.size += size;
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct http_head *head = parser->data;
    if (head->header_count == KVS_HTTP_HEADERS_MAX)
        return -1;
    struct kvs_http_header *header = &head->headers[head->header_count];
    if (!header->name.data)
        header->name.data = at;
    header->name.size += size;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct http_head *head = parser->data;
    if (head->header_count == KVS_HTTP_HEADERS_MAX)
        return -1;
    struct kvs_http_header *header = &head->headers[head->header_count];
    if (!header->value.data)
        header->value.data = at;
    header->value.size += size;
    return 0;
}

static bool is_name(const struct kvs_http_header *header, const char *name)
{
    return kvs_slice_eq_nocase(header->name, kvs_slice(name, header->name.size));
}

// Remembers the headers that this file judges; by length first, so that others cost nothing.
static void note_header(struct http_head *head, const struct kvs_http_header *header)
{
    switch (header->name.size) {
    case sizeof("Host") - 1:
        if (is_name(header, "Host")) {
            head->host_count++;
            head->host_value = header->value;
        }
        break;
    case sizeof("Expect") - 1:
        if (is_name(header, "Expect")) {
            head->expect_count++;
            head->expect_value = header->value;
        }
        break;
    case sizeof("X-Request-ID") - 1:
        if (is_name(header, "X-Request-ID"))
            head->id_value = header->value;
        break;
    case sizeof("Content-Length") - 1:
        if (is_name(header, "Content-Length")) {
            head->length_count++;
            head->length_value = header->value;
        }
        break;
    case sizeof("Transfer-Encoding") - 1:
        if (is_name(header, "Transfer-Encoding")) {
            head->coding_count++;
            head->coding_value = header->value;
        }
        break;
    default:
        break;
    }
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    struct kvs_http_header *header = &head->headers[head->header_count];
    header->value = kvs_slice_trim(header->value);
    note_header(head, header);
    head->header_count++;
    if (head->header_count < KVS_HTTP_HEADERS_MAX)
        head->headers[head->header_count] = (struct kvs_http_header){0};
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    head->complete = true;
    head->keep_alive = llhttp_should_keep_alive(parser) != 0;
    head->flags = parser->flags;
    head->parsed_length = parser->content_length;
    parser->upgrade = 0; // other protocols are never spoken: an Upgrade header is ignored
    return 0;
}

static const llhttp_settings_t callbacks = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = http_chunked_on_header,
    .on_chunk_extension_name = http_chunked_on_extension,
    .on_chunk_extension_value = http_chunked_on_extension,
    .on_body = http_chunked_on_body,
};

static enum kvs_http_method method_from(uint8_t method)
{
    switch (method) {
    case HTTP_GET:
        return KVS_HTTP_GET;
    case HTTP_HEAD:
        return KVS_HTTP_HEAD;
    case HTTP_PUT:
        return KVS_HTTP_PUT;
    case HTTP_POST:
        return KVS_HTTP_POST;
    case HTTP_PATCH:
        return KVS_HTTP_PATCH;
    case HTTP_DELETE:
        return KVS_HTTP_DELETE;
    case HTTP_OPTIONS:
        return KVS_HTTP_OPTIONS;
    default:
        return KVS_HTTP_OTHER;
    }
}

// Does a list end with the coding `chunked`, after others?
static bool is_chunked_after_others(struct kvs_slice codings)
{
    const char *comma = codings.size > 0 ? memrchr(codings.data, ',', codings.size) : NULL;
    if (!comma)
        return false;
    struct kvs_slice last = kvs_slice(comma + 1, codings.size - (size_t)(comma + 1 - codings.data));
    struct kvs_slice first = kvs_slice(codings.data, sizeof("chunked") - 1);
    return kvs_slice_eq_nocase(kvs_slice_trim(last), KVS_SLICE("chunked")) &&
           http_char_is(codings.data[0], HTTP_CHAR_TOKEN) &&
           !(codings.size >= first.size && kvs_slice_eq_nocase(first, KVS_SLICE("chunked")));
}

static enum http_refusal judge_framing(struct http_head *head)
{
    head->framing = HTTP_FRAMING_NONE;
    if (head->coding_count > 0) {
        if (head->length_count > 0)
            return HTTP_REFUSE_LENGTH_AND_CODING;
        if (head->coding_count > 1 || head->is_1_0)
            return HTTP_REFUSE_CODING;
        if (!kvs_slice_eq_nocase(head->coding_value, KVS_SLICE("chunked")))
            return is_chunked_after_others(head->coding_value) ? HTTP_REFUSE_CODING_UNKNOWN
                                                               : HTTP_REFUSE_CODING;
        head->framing = HTTP_FRAMING_CHUNKED;
    } else if (head->length_count > 0) {
        // Leading zeros look octal to some: refused.
        bool padded = head->length_value.size > 1 && head->length_value.data[0] == '0';
        if (head->length_count > 1 || padded ||
            !kvs_slice_to_u64(head->length_value, &head->length) || head->length > INT64_MAX)
            return HTTP_REFUSE_LENGTH;
        if (head->length > 0)
            head->framing = HTTP_FRAMING_LENGTH;
    }
    return HTTP_REFUSE_NONE;
}

static bool llhttp_agrees_on_framing(const struct http_head *head)
{
    bool chunked = (head->flags & F_CHUNKED) != 0;
    return chunked == (head->framing == HTTP_FRAMING_CHUNKED) &&
           (chunked || head->parsed_length == head->length);
}

static enum http_refusal judge_host(struct http_head *head, const struct http_target *target,
                                    const struct kvs_http_settings *settings)
{
    if (head->host_count > 1)
        return HTTP_REFUSE_HOST_TWICE;
    if (head->host_count == 0 && !head->is_1_0)
        return HTTP_REFUSE_HOST_MISSING;
    struct kvs_slice host = KVS_SLICE_EMPTY;
    if (head->host_count == 1 && !http_host_parse(head->host_value, &host))
        return HTTP_REFUSE_HOST;
    if (target->authority.data && !http_host_parse(target->authority, &host))
        return HTTP_REFUSE_HOST; // RFC 9112 §3.2.2: it overrides the Host header
    head->host = host;
    return http_settings_allow_host(settings, host) ? HTTP_REFUSE_NONE
                                                    : HTTP_REFUSE_HOST_MISDIRECTED;
}

static enum http_refusal judge_expectation(struct http_head *head)
{
    head->expects_continue = false;
    if (head->expect_count == 0 || head->is_1_0)
        return HTTP_REFUSE_NONE;
    if (head->expect_count > 1 ||
        !kvs_slice_eq_nocase(head->expect_value, KVS_SLICE("100-continue")))
        return HTTP_REFUSE_EXPECTATION;
    head->expects_continue = head->framing != HTTP_FRAMING_NONE;
    return HTTP_REFUSE_NONE;
}

static void begin(struct http_head *head)
{
    // The header array is large and filled one by one: it is not cleared.
    memset(head, 0, offsetof(struct http_head, headers));
    head->headers[0] = (struct kvs_http_header){0};
    llhttp_init(&head->parser, HTTP_REQUEST, &callbacks);
    head->parser.data = head;
}

enum http_refusal http_head_parse(struct http_head *head, const char *data, size_t size,
                                  const struct kvs_http_settings *settings,
                                  struct kvs_http_request *request)
{
    begin(head);
    enum llhttp_errno parsed = llhttp_execute(&head->parser, data, size);
    if (parsed == HPE_INVALID_METHOD)
        return HTTP_REFUSE_METHOD;
    head->is_1_0 = head->parser.http_minor == 0;
    enum http_refusal refusal = judge_framing(head);
    if (refusal)
        return refusal;
    if (!head->complete || parsed != HPE_OK || !llhttp_agrees_on_framing(head))
        return HTTP_REFUSE_HEAD;
    if (head->parser.method == HTTP_CONNECT)
        return HTTP_REFUSE_METHOD;
    struct http_target target;
    request->method = method_from(head->parser.method);
    refusal = http_target_parse(head->target, request->method == KVS_HTTP_OPTIONS, &target);
    if (!refusal)
        refusal = judge_host(head, &target, settings);
    if (!refusal)
        refusal = judge_expectation(head);
    if (refusal)
        return refusal;
    request->path = target.path;
    request->query = target.query;
    request->has_query = target.has_query;
    request->headers = head->headers;
    request->header_count = head->header_count;
    return HTTP_REFUSE_NONE;
}

bool http_request_id_is_sane(struct kvs_slice id)
{
    if (id.size == 0 || id.size > 64)
        return false;
    // HTTP_CHAR_HOST is [A-Za-z0-9._~-].
    return http_chars_are(id, HTTP_CHAR_HOST) && !memchr(id.data, '~', id.size);
}

// "192.0.2.1", "192.0.2.1:4711", "2001:db8::1", "[2001:db8::1]:4711".
static bool parse_hop(struct kvs_slice hop, struct kvs_http_address *ret_address)
{
    if (kvs_http_address_parse(hop, ret_address))
        return true;
    if (hop.size > 0 && hop.data[0] == '[') {
        const char *close = memchr(hop.data, ']', hop.size);
        return close && kvs_http_address_parse(
                            kvs_slice(hop.data + 1, (size_t)(close - hop.data) - 1), ret_address);
    }
    const char *colon = hop.size > 0 ? memchr(hop.data, ':', hop.size) : NULL;
    return colon &&
           kvs_http_address_parse(kvs_slice(hop.data, (size_t)(colon - hop.data)), ret_address);
}

struct kvs_http_address http_forwarded_client(const struct kvs_http_settings *settings,
                                              const struct kvs_http_address *peer,
                                              const struct kvs_http_header *headers,
                                              size_t header_count)
{
    struct kvs_http_address client = *peer;
    for (size_t i = header_count; i > 0; i--) {
        const struct kvs_http_header *header = &headers[i - 1];
        if (!kvs_slice_eq_nocase(header->name, KVS_SLICE("X-Forwarded-For")))
            continue;
        struct kvs_slice rest = header->value;
        while (rest.size > 0) { // hop by hop from the right, for as long as we trust the last one
            const char *comma = memrchr(rest.data, ',', rest.size);
            size_t at = comma ? (size_t)(comma + 1 - rest.data) : 0;
            struct kvs_slice hop = kvs_slice_trim(kvs_slice(rest.data + at, rest.size - at));
            struct kvs_http_address address;
            if (!http_settings_trust(settings, &client) || !parse_hop(hop, &address))
                return client;
            client = address;
            rest.size = comma ? at - 1 : 0;
        }
    }
    return client;
}
