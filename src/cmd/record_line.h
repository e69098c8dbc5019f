// SPDX-License-Identifier: Apache-2.0
// One record as a line of JSON, which `kvs export` writes and `kvs import` reads:
//
//     {"path":"app/config","data":{"theme":"dark"},"expires_timestamp":1790000000000}
//
// `path` and `data` must be there. A record that expires says when (expires_timestamp, Unix ms), or
// in a file made by hand how long it lives from its import on (ttl, a duration). `uuid` and
// `timestamp` may be there and mean nothing: an import makes new versions. Any other member is
// refused, since it is most likely a typo. Pure.
#ifndef KVS_CMD_RECORD_LINE_H
#define KVS_CMD_RECORD_LINE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "kvs/kvs.h"

struct kvs_record_line {
    const char *key; // NUL-terminated
    struct kvs_slice json;
    const char *ttl;    // NULL: none
    int64_t expires_ms; // 0: none
};

// Decodes into the arena and borrows from it and from `line`. KVS_ERR_SYNTAX or _INVALID with the
// reason in *message; KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_record_line_parse(struct kvs_slice line, struct kvs_arena *arena,
                                         struct kvs_record_line *ret_record,
                                         struct kvs_message *message);

// Appends the line, its '\n' included. `key` is what stands as its path. `version` NULL: not shown.
void kvs_record_line_append(struct kvs_buf *out, const char *key, struct kvs_slice json,
                            int64_t expires_ms, const struct kvs_client_version *version);

// The TTL that makes a record expire at `expires_ms`: "1500ms". False: that time is over.
bool kvs_record_line_ttl(int64_t expires_ms, int64_t now_ms, char ret_ttl[static 32]);

#endif
