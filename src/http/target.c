// SPDX-License-Identifier: Apache-2.0
// Syntax of request targets and host names. Nothing is decoded or normalised here: the path goes on
// as it was sent.
#include "http/target_internal.h"

#include "http/address.h"
#include "http/chars_internal.h"

static bool is_uri_text(struct kvs_slice text)
{
    if (!http_chars_are(text, HTTP_CHAR_TARGET))
        return false;
    const char *end = text.data + text.size;
    const char *at = text.data;
    while (at < end && (at = memchr(at, '%', (size_t)(end - at))) != NULL) {
        if (end - at < 3 || !http_char_is(at[1], HTTP_CHAR_HEX) ||
            !http_char_is(at[2], HTTP_CHAR_HEX))
            return false;
        at += 3;
    }
    return true;
}

static size_t scheme_size(struct kvs_slice raw)
{
    static const struct kvs_slice schemes[] = {{"http://", 7}, {"https://", 8}};
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        if (raw.size >= schemes[i].size &&
            kvs_slice_eq_nocase(kvs_slice(raw.data, schemes[i].size), schemes[i]))
            return schemes[i].size;
    return 0;
}

enum http_refusal http_target_parse(struct kvs_slice raw, bool is_options,
                                    struct http_target *ret_target)
{
    struct http_target target = {.path = raw};
    if (is_options && kvs_slice_eq(raw, KVS_SLICE("*"))) {
        *ret_target = target;
        return HTTP_REFUSE_NONE;
    }
    size_t scheme = scheme_size(raw);
    if (scheme > 0) {
        size_t end = scheme;
        while (end < raw.size && raw.data[end] != '/' && raw.data[end] != '?')
            end++;
        target.authority = kvs_slice(raw.data + scheme, end - scheme);
        target.path = kvs_slice(raw.data + end, raw.size - end);
    } else if (raw.size == 0 || raw.data[0] != '/') {
        return HTTP_REFUSE_TARGET_FORM;
    }
    if (!is_uri_text(target.path))
        return HTTP_REFUSE_TARGET;
    const char *mark =
        target.path.size > 0 ? memchr(target.path.data, '?', target.path.size) : NULL;
    if (mark) {
        size_t path_size = (size_t)(mark - target.path.data);
        target.query = kvs_slice(mark + 1, target.path.size - path_size - 1);
        target.has_query = true;
        target.path.size = path_size;
    }
    if (target.path.size == 0)
        target.path = KVS_SLICE("/"); // RFC 9112 §3.2.2: "http://host" asks for the root
    *ret_target = target;
    return HTTP_REFUSE_NONE;
}

// It may be empty: "host:" (RFC 3986 §3.2.3).
static bool is_port(struct kvs_slice text)
{
    uint64_t port = 0;
    return text.size == 0 ||
           (text.size <= 5 && kvs_slice_to_u64(text, &port) && port <= UINT16_MAX);
}

bool http_host_parse(struct kvs_slice text, struct kvs_slice *ret_host)
{
    struct kvs_slice host = KVS_SLICE_EMPTY;
    if (text.size > 0 && text.data[0] == '[') {
        const char *close = memchr(text.data, ']', text.size);
        if (!close)
            return false;
        host = kvs_slice(text.data, (size_t)(close - text.data) + 1);
        struct kvs_slice inside = kvs_slice(text.data + 1, host.size - 2);
        struct kvs_http_address address;
        if (!memchr(inside.data, ':', inside.size) || !kvs_http_address_parse(inside, &address))
            return false;
    } else {
        while (host.size < text.size && http_char_is(text.data[host.size], HTTP_CHAR_HOST))
            host = kvs_slice(text.data, host.size + 1);
        if (host.size == 0)
            return false;
    }
    struct kvs_slice rest = kvs_slice(text.data + host.size, text.size - host.size);
    *ret_host = host;
    return rest.size == 0 ||
           (rest.data[0] == ':' && is_port(kvs_slice(rest.data + 1, rest.size - 1)));
}
