// SPDX-License-Identifier: Apache-2.0
// Helpers around the HTTP message types: names, headers, query parameters. Pure. Parsing and
// serialising whole messages is `http`'s business.
#include "codec/http.h"

#include "base/assert.h"
#include "base/cleanup.h"

const char *kvs_http_method_name(enum kvs_http_method method)
{
    static const char *const names[] = {
        [KVS_HTTP_GET] = "GET",         [KVS_HTTP_HEAD] = "HEAD",   [KVS_HTTP_PUT] = "PUT",
        [KVS_HTTP_POST] = "POST",       [KVS_HTTP_PATCH] = "PATCH", [KVS_HTTP_DELETE] = "DELETE",
        [KVS_HTTP_OPTIONS] = "OPTIONS", [KVS_HTTP_OTHER] = "",
    };
    kvs_assert((size_t)method < KVS_ARRAY_SIZE(names));
    return names[method];
}

struct kvs_slice kvs_http_header_get(const struct kvs_http_request *request, const char *name)
{
    struct kvs_slice wanted = kvs_slice_from_str(name);
    for (size_t i = 0; i < request->header_count; i++)
        if (kvs_slice_eq_nocase(request->headers[i].name, wanted)) {
            // Present but empty must not read as absent, whatever pointer the parser left there.
            struct kvs_slice value = request->headers[i].value;
            return value.size > 0 ? value : KVS_SLICE("");
        }
    return KVS_SLICE_EMPTY;
}

// Cuts `*rest` at the first `separator`: returns what stands before it, leaves what follows.
static struct kvs_slice cut(struct kvs_slice *rest, char separator)
{
    const char *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    struct kvs_slice before = *rest;
    *rest = KVS_SLICE_EMPTY;
    if (at) {
        size_t size = (size_t)(at - before.data);
        *rest = kvs_slice(at + 1, before.size - size - 1);
        before.size = size;
    }
    return before;
}

int kvs_http_query_get(const struct kvs_http_request *request, struct kvs_arena *arena,
                       const char *name, struct kvs_slice *ret_value, bool *ret_found)
{
    struct kvs_slice wanted = kvs_slice_from_str(name);
    struct kvs_slice rest = request->query;
    struct kvs_slice value = KVS_SLICE_EMPTY;
    bool found = false;
    while (rest.size > 0) {
        struct kvs_slice raw_value = cut(&rest, '&');
        struct kvs_slice raw_name = cut(&raw_value, '=');
        struct kvs_slice decoded_name;
        int err = kvs_percent_decode(arena, raw_name, &decoded_name);
        if (err == KVS_ERR_NOMEM)
            return err;
        // A name that cannot be decoded is some other parameter's trouble.
        if (err || !kvs_slice_eq(decoded_name, wanted))
            continue;
        if (found)
            return KVS_ERR_INVALID;
        found = true;
        err = kvs_percent_decode(arena, raw_value, &value);
        if (err)
            return err;
    }
    *ret_value = value;
    *ret_found = found;
    return 0;
}

static bool is_header_safe(struct kvs_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0')
            return false;
    return true;
}

void kvs_http_response_header(struct kvs_http_response *response, const char *name,
                              struct kvs_slice value)
{
    kvs_assert(is_header_safe(kvs_slice_from_str(name)));
    kvs_assert(is_header_safe(value));
    kvs_buf_append_str(&response->headers, name);
    kvs_buf_append_slice(&response->headers, KVS_SLICE(": "));
    kvs_buf_append_slice(&response->headers, value);
    kvs_buf_append_slice(&response->headers, KVS_SLICE("\r\n"));
}

// The phrases of IANA's HTTP Status Code Registry (RFC 9110 §15 and those that extend it).
static const char *const reasons[] = {
    [100] = "Continue",
    [101] = "Switching Protocols",
    [200] = "OK",
    [201] = "Created",
    [202] = "Accepted",
    [203] = "Non-Authoritative Information",
    [204] = "No Content",
    [205] = "Reset Content",
    [206] = "Partial Content",
    [300] = "Multiple Choices",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [305] = "Use Proxy",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [402] = "Payment Required",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [406] = "Not Acceptable",
    [407] = "Proxy Authentication Required",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [410] = "Gone",
    [411] = "Length Required",
    [412] = "Precondition Failed",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [416] = "Range Not Satisfiable",
    [417] = "Expectation Failed",
    [421] = "Misdirected Request",
    [422] = "Unprocessable Content",
    [423] = "Locked",
    [424] = "Failed Dependency",
    [425] = "Too Early",
    [426] = "Upgrade Required",
    [428] = "Precondition Required",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [451] = "Unavailable For Legal Reasons",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
    [505] = "HTTP Version Not Supported",
    [507] = "Insufficient Storage",
    [508] = "Loop Detected",
    [511] = "Network Authentication Required",
};

const char *kvs_http_reason(int status)
{
    if (status < 0 || (size_t)status >= KVS_ARRAY_SIZE(reasons) || !reasons[status])
        return "";
    return reasons[status];
}
