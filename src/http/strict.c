// SPDX-License-Identifier: Apache-2.0
// RFC 9112 §2-5 read narrowly: every line ends with CR LF, the request line has single spaces, a
// header name is a token directly before its colon, a value holds no control characters and never
// continues on a second line. Must never look at what headers mean: head.c does.
#include "http/strict_internal.h"

#include "http/chars_internal.h"
#include "http/http.h"

// A method, two spaces and a version besides the target.
enum { REQUEST_LINE_MAX = KVS_HTTP_TARGET_MAX + 64 };

static enum http_refusal scan_version(struct kvs_slice version)
{
    if (kvs_slice_eq(version, KVS_SLICE("HTTP/1.1")) ||
        kvs_slice_eq(version, KVS_SLICE("HTTP/1.0")))
        return HTTP_REFUSE_NONE;
    bool other = version.size == 8 && kvs_slice_starts_with(version, KVS_SLICE("HTTP/")) &&
                 version.data[5] >= '0' && version.data[5] <= '9' && version.data[6] == '.' &&
                 version.data[7] >= '0' && version.data[7] <= '9';
    return other ? HTTP_REFUSE_VERSION : HTTP_REFUSE_REQUEST_LINE;
}

static enum http_refusal scan_request_line(struct http_scan *scan, struct kvs_slice line)
{
    if (line.size > REQUEST_LINE_MAX)
        return HTTP_REFUSE_TARGET_TOO_LONG;
    const char *first = line.size > 0 ? memchr(line.data, ' ', line.size) : NULL;
    const char *last = line.size > 0 ? memrchr(line.data, ' ', line.size) : NULL;
    if (!first || first == last)
        return HTTP_REFUSE_REQUEST_LINE;
    struct kvs_slice method = kvs_slice(line.data, (size_t)(first - line.data));
    struct kvs_slice target = kvs_slice(first + 1, (size_t)(last - first) - 1);
    struct kvs_slice version = kvs_slice(last + 1, line.size - (size_t)(last + 1 - line.data));
    if (method.size == 0 || !http_chars_are(method, HTTP_CHAR_TOKEN) || target.size == 0 ||
        memchr(target.data, ' ', target.size))
        return HTTP_REFUSE_REQUEST_LINE;
    enum http_refusal refusal = scan_version(version);
    if (refusal)
        return refusal;
    if (!http_chars_are(target, HTTP_CHAR_VISIBLE))
        return HTTP_REFUSE_TARGET;
    if (target.size > KVS_HTTP_TARGET_MAX)
        return HTTP_REFUSE_TARGET_TOO_LONG;
    scan->method_size = method.size;
    scan->target = method.size + 1;
    scan->target_size = target.size;
    return HTTP_REFUSE_NONE;
}

static enum http_refusal scan_header_line(struct kvs_slice line)
{
    if (line.data[0] == ' ' || line.data[0] == '\t')
        return HTTP_REFUSE_HEADER_FOLD;
    size_t name_size = 0;
    while (name_size < line.size && http_char_is(line.data[name_size], HTTP_CHAR_TOKEN))
        name_size++;
    if (name_size == 0 || name_size == line.size || line.data[name_size] != ':')
        return HTTP_REFUSE_HEADER_NAME;
    struct kvs_slice value = kvs_slice(line.data + name_size + 1, line.size - name_size - 1);
    return http_chars_are(value, HTTP_CHAR_VALUE) ? HTTP_REFUSE_NONE : HTTP_REFUSE_HEADER_VALUE;
}

// The next complete line without its CR LF; data == NULL when there is none yet.
static enum http_refusal next_line(struct http_scan *scan, const char *data, size_t size,
                                   struct kvs_slice *ret_line)
{
    *ret_line = KVS_SLICE_EMPTY;
    const char *feed =
        scan->searched < size ? memchr(data + scan->searched, '\n', size - scan->searched) : NULL;
    if (!feed) {
        scan->searched = size;
        return HTTP_REFUSE_NONE;
    }
    size_t end = (size_t)(feed - data);
    scan->searched = end + 1;
    if (end == scan->line || data[end - 1] != '\r')
        return HTTP_REFUSE_LINE_ENDING;
    *ret_line = kvs_slice(data + scan->line, end - 1 - scan->line);
    scan->line = end + 1;
    return HTTP_REFUSE_NONE;
}

static enum http_refusal scan_headers(struct http_scan *scan, const char *data, size_t size,
                                      size_t size_max, enum http_refusal too_large)
{
    while (!scan->complete) {
        struct kvs_slice line;
        enum http_refusal refusal = next_line(scan, data, size, &line);
        size_t section_end = line.data ? scan->line : scan->searched;
        if (section_end - scan->section > size_max)
            return too_large;
        if (refusal || !line.data)
            return refusal;
        if (line.size == 0) {
            scan->complete = true;
            return HTTP_REFUSE_NONE;
        }
        refusal = scan_header_line(line);
        if (refusal)
            return refusal;
        if (++scan->headers > KVS_HTTP_HEADERS_MAX)
            return too_large;
    }
    return HTTP_REFUSE_NONE;
}

enum http_refusal http_scan_head(struct http_scan *scan, const char *data, size_t size)
{
    if (size == 0)
        return HTTP_REFUSE_NONE;
    // TLS and other protocols show at their first byte: no need to wait for a line.
    if (!http_char_is(data[0], HTTP_CHAR_TOKEN))
        return HTTP_REFUSE_START;
    if (scan->section == 0) {
        struct kvs_slice line;
        enum http_refusal refusal = next_line(scan, data, size, &line);
        if (!line.data && scan->searched > REQUEST_LINE_MAX + 2)
            refusal = HTTP_REFUSE_TARGET_TOO_LONG;
        if (!refusal && line.data)
            refusal = scan_request_line(scan, line);
        if (refusal || !line.data)
            return refusal;
        scan->section = scan->line;
    }
    return scan_headers(scan, data, size, KVS_HTTP_HEADERS_SIZE_MAX, HTTP_REFUSE_HEAD_TOO_LARGE);
}

enum http_refusal http_scan_trailers(struct http_scan *scan, const char *data, size_t size)
{
    return scan_headers(scan, data, size, KVS_HTTP_TRAILERS_SIZE_MAX,
                        HTTP_REFUSE_TRAILERS_TOO_LARGE);
}
