// SPDX-License-Identifier: Apache-2.0
// Scopes: what a token allows its bearer to try (tables/scopes.def). A set of them is one word.
#ifndef KVS_AUTH_SCOPE_H
#define KVS_AUTH_SCOPE_H

#include "base/buf.h"

enum kvs_scope {
#define KVS_SCOPE_ROW(id, name, description) KVS_SCOPE_##id,
#include "tables/scopes.def"
#undef KVS_SCOPE_ROW
    KVS_SCOPE_COUNT,
    // What a route may ask for instead of a scope.
    KVS_SCOPE_OPEN = KVS_SCOPE_COUNT, // nothing
    KVS_SCOPE_TOKEN,                  // a valid token, whatever its scopes
    KVS_SCOPE_PEER,                   // the credentials of a cluster member
};

typedef uint32_t kvs_scope_set;
_Static_assert(KVS_SCOPE_COUNT < 32, "a set of scopes is 32 bits");

#define KVS_SCOPES_ALL ((kvs_scope_set)((1U << KVS_SCOPE_COUNT) - 1))
#define KVS_SCOPES_DATA                                                                            \
    ((kvs_scope_set)(1U << KVS_SCOPE_READ | 1U << KVS_SCOPE_WRITE | 1U << KVS_SCOPE_DELETE))

static inline bool kvs_scope_in(kvs_scope_set set, enum kvs_scope scope)
{
    return (set & 1U << scope) != 0;
}

const char *kvs_scope_name(enum kvs_scope scope); // of a row of the table; static
// False: no scope has that name.
bool kvs_scope_parse(struct kvs_slice name, enum kvs_scope *ret_scope);
// ["read","write"], in the table's order.
void kvs_scope_set_json(struct kvs_buf *out, kvs_scope_set set);

#endif
