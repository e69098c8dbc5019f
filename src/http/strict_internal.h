// SPDX-License-Identifier: Apache-2.0
// The filter in front of llhttp: it finds where a head ends and lets only lines pass that have one
// reading. Works on a head that arrives in any number of pieces, with the same result.
#ifndef KVS_HTTP_STRICT_INTERNAL_H
#define KVS_HTTP_STRICT_INTERNAL_H

#include "base/slice.h"
#include "http/refusal_internal.h"

// Offsets count from the start of the head. Zero-initialise for each head.
struct http_scan {
    size_t line;     // where the line that is not complete yet begins
    size_t searched; // no line feed between `line` and here
    size_t section;  // where the header section begins; 0 = the request line is not complete
    size_t headers;  // header lines so far
    bool complete;   // `line` is where the head has ended, empty line included
    size_t method_size;
    size_t target;
    size_t target_size;
};

// `data` holds the head from its start: the same bytes as in the last call and `size` of them now.
enum http_refusal http_scan_head(struct http_scan *scan, const char *data, size_t size);

// The same for the trailer section of a chunked body, which has no request line.
enum http_refusal http_scan_trailers(struct http_scan *scan, const char *data, size_t size);

#endif
