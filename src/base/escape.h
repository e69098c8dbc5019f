// SPDX-License-Identifier: Apache-2.0
// Texts as the inside of JSON strings, for logs and messages: people read those on terminals, so
// control characters of every kind are escaped and bytes that are no UTF-8 replaced. Values of
// records never come through here: codec/json keeps them byte for byte.
#ifndef KVS_BASE_ESCAPE_H
#define KVS_BASE_ESCAPE_H

#include "base/buf.h"

// Bytes of the well-formed UTF-8 sequence at the start of `text` (RFC 3629 §4), 0 when there is
// none.
size_t kvs_escape_utf8_size(struct kvs_slice text);

// Appends `text` escaped, without quotes around it.
void kvs_escape_append(struct kvs_buf *out, struct kvs_slice text);

#endif
