// SPDX-License-Identifier: Apache-2.0
// JSON bodies of the documented routes for peers: strict about what they know, blind to members
// that they do not know. Duplicate members are refused. Everything returns KVS_ERR_INVALID or
// KVS_ERR_SYNTAX with its detail.
#ifndef KVS_API_PEER_BODY_H
#define KVS_API_PEER_BODY_H

#include "api/api_internal.h"

#include "codec/json.h"

// The body, of that type. In the exchange's arena.
KVS_MUST_CHECK int kvs_peer_body_parse(struct kvs_api_call *call, enum kvs_json_type type,
                                       const struct kvs_json **ret_root);

// A string of `object`; empty when absent or null, unless `required`. Borrowed from the body or in
// the arena.
KVS_MUST_CHECK int kvs_peer_body_string(struct kvs_api_call *call, const struct kvs_json *object,
                                        const char *name, bool required,
                                        struct kvs_slice *ret_string);
// An integer from 0 to `max`; *ret_value is left alone when absent or null, unless `required`.
KVS_MUST_CHECK int kvs_peer_body_number(struct kvs_api_call *call, const struct kvs_json *object,
                                        const char *name, bool required, int64_t max,
                                        int64_t *ret_value);
// A bound of a range of keys: up to 1024 bytes, without control characters; empty = open.
KVS_MUST_CHECK int kvs_peer_body_bound(struct kvs_api_call *call, const struct kvs_json *object,
                                       const char *name, struct kvs_slice *ret_bound);

#endif
