// SPDX-License-Identifier: Apache-2.0
// Go durations (https://pkg.go.dev/time#ParseDuration): "1h30m", "250ms", "1.5s", "-2m", "0".
#ifndef KVS_BASE_DURATION_H
#define KVS_BASE_DURATION_H

#include "base/err.h"
#include "base/slice.h"

// Nanoseconds, signed; units ns, us, µs, ms, s, m, h. KVS_ERR_SYNTAX on anything Go refuses,
// overflow included.
KVS_MUST_CHECK int kvs_duration_parse(struct kvs_slice text, int64_t *ret_ns);

enum { KVS_DURATION_TEXT_MAX = 32 };

// As Go's Duration.String: "1h30m0s", "250ms", "0s". NUL-terminated; returns its length.
size_t kvs_duration_format(int64_t ns, char ret_text[static KVS_DURATION_TEXT_MAX]);

#endif
