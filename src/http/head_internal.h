// SPDX-License-Identifier: Apache-2.0
// A complete head that strict.c let pass -> a request, and how its body is framed.
#ifndef KVS_HTTP_HEAD_INTERNAL_H
#define KVS_HTTP_HEAD_INTERNAL_H

#include "codec/http.h"
#include "http/refusal_internal.h"
#include "http/settings_internal.h"

#include <llhttp.h>

enum http_framing { HTTP_FRAMING_NONE, HTTP_FRAMING_LENGTH, HTTP_FRAMING_CHUNKED };

struct http_head {
    llhttp_t parser;
    struct kvs_slice target; // raw
    struct kvs_slice host;   // without port; data == NULL when there is none
    enum http_framing framing;
    uint64_t length; // of the body, where the framing is HTTP_FRAMING_LENGTH
    bool keep_alive;
    bool is_1_0;
    bool expects_continue;
    // As llhttp reports them.
    bool complete;
    unsigned flags;
    uint64_t parsed_length;
    // A chunked body, as chunked.c decodes it.
    struct kvs_buf *body;
    size_t extensions_size;
    bool last_chunk;
    enum http_refusal body_refusal;
    // Singular headers; `*_count` tells how often they came.
    unsigned host_count, length_count, coding_count, expect_count;
    struct kvs_slice host_value, length_value, coding_value, expect_value, id_value;
    size_t header_count;
    struct kvs_http_header headers[KVS_HTTP_HEADERS_MAX];
};

// Parses `data`, which the slices of *request then borrow, and judges the head. `request` gets
// method, path, query and headers.
enum http_refusal http_head_parse(struct http_head *head, const char *data, size_t size,
                                  const struct kvs_http_settings *settings,
                                  struct kvs_http_request *request);

// An X-Request-ID that may be repeated in the response and in logs: 1 to 64 of [A-Za-z0-9._-].
bool http_request_id_is_sane(struct kvs_slice id);

// The client behind trusted proxies: the last hop in X-Forwarded-For that is not trusted itself.
// `peer` when it is not trusted or the header says nothing usable.
struct kvs_http_address http_forwarded_client(const struct kvs_http_settings *settings,
                                              const struct kvs_http_address *peer,
                                              const struct kvs_http_header *headers,
                                              size_t header_count);

#endif
