// SPDX-License-Identifier: Apache-2.0
// Times as text, always UTC, without locale or locks.
#ifndef KVS_BASE_TIMEFMT_H
#define KVS_BASE_TIMEFMT_H

#include "base/slice.h"

enum { KVS_RFC3339_SIZE = 24, KVS_HTTP_DATE_SIZE = 29 };

// "2026-11-23T03:35:47.123Z" (no NUL); years 0000 to 9999, others are clamped.
void kvs_time_rfc3339(int64_t unix_ms, char ret_text[static KVS_RFC3339_SIZE]);
// IMF-fixdate of RFC 9110 §5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT" (no NUL).
void kvs_time_http_date(int64_t unix_ms, char ret_text[static KVS_HTTP_DATE_SIZE]);

#endif
