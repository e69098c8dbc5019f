// SPDX-License-Identifier: Apache-2.0
// Chunked bodies through llhttp in its strict mode. Sizes are checked before their bytes are read.
#include "http/chunked_internal.h"

static int refuse(struct http_head *head, enum http_refusal refusal)
{
    head->body_refusal = refusal;
    return -1;
}

int http_chunked_on_header(llhttp_t *parser)
{
    struct http_head *head = parser->data;
    if (parser->content_length > head->body->size_max - head->body->size)
        return refuse(head, HTTP_REFUSE_BODY_TOO_LARGE);
    head->last_chunk = parser->content_length == 0;
    return head->last_chunk ? HPE_PAUSED : 0;
}

int http_chunked_on_extension(llhttp_t *parser, const char *at, size_t size)
{
    (void)at; // extensions mean nothing to us
    struct http_head *head = parser->data;
    head->extensions_size += size;
    if (head->extensions_size > HTTP_CHUNK_EXTENSIONS_SIZE_MAX)
        return refuse(head, HTTP_REFUSE_CHUNK_EXTENSIONS);
    return 0;
}

int http_chunked_on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct http_head *head = parser->data;
    kvs_buf_append(head->body, at, size);
    return head->body->err ? refuse(head, HTTP_REFUSE_NO_MEMORY) : 0;
}

enum http_refusal http_chunked_feed(struct http_head *head, struct kvs_buf *body, const char *data,
                                    size_t size, size_t *ret_consumed)
{
    head->body = body;
    enum llhttp_errno parsed = llhttp_execute(&head->parser, data, size);
    *ret_consumed = size;
    if (head->body_refusal)
        return head->body_refusal;
    if (head->last_chunk) {
        *ret_consumed = (size_t)(llhttp_get_error_pos(&head->parser) - data);
        return HTTP_REFUSE_NONE;
    }
    return parsed == HPE_OK ? HTTP_REFUSE_NONE : HTTP_REFUSE_CHUNK;
}
