// SPDX-License-Identifier: Apache-2.0
// A chunked body (RFC 9112 §7.1), in any number of pieces. Its trailer section is strict.c's.
#ifndef KVS_HTTP_CHUNKED_INTERNAL_H
#define KVS_HTTP_CHUNKED_INTERNAL_H

#include "http/head_internal.h"

enum { HTTP_CHUNK_EXTENSIONS_SIZE_MAX = 4096 };

// Appends what `data` holds of the body to `body`, whose maximum bounds it. *ret_consumed < size
// only behind the last chunk, where head->last_chunk is set and the trailer section begins.
enum http_refusal http_chunked_feed(struct http_head *head, struct kvs_buf *body, const char *data,
                                    size_t size, size_t *ret_consumed);

// llhttp's callbacks, for head.c's table.
int http_chunked_on_header(llhttp_t *parser);
int http_chunked_on_extension(llhttp_t *parser, const char *at, size_t size);
int http_chunked_on_body(llhttp_t *parser, const char *at, size_t size);

#endif
