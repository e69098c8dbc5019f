// SPDX-License-Identifier: Apache-2.0
#include "auth/scope.h"

#include "base/assert.h"

static const char *const names[KVS_SCOPE_COUNT] = {
#define KVS_SCOPE_ROW(id, name, description) name,
#include "tables/scopes.def"
#undef KVS_SCOPE_ROW
};

const char *kvs_scope_name(enum kvs_scope scope)
{
    kvs_assert(scope < KVS_SCOPE_COUNT);
    return names[scope];
}

bool kvs_scope_parse(struct kvs_slice name, enum kvs_scope *ret_scope)
{
    for (int i = 0; i < KVS_SCOPE_COUNT; i++) {
        if (!kvs_slice_eq(name, kvs_slice_from_str(names[i])))
            continue;
        *ret_scope = (enum kvs_scope)i;
        return true;
    }
    return false;
}

void kvs_scope_set_json(struct kvs_buf *out, kvs_scope_set set)
{
    char separator = '[';
    for (int i = 0; i < KVS_SCOPE_COUNT; i++) {
        if (!kvs_scope_in(set, (enum kvs_scope)i))
            continue;
        kvs_buf_append_char(out, separator);
        kvs_buf_append_char(out, '"'); // names need no escapes
        kvs_buf_append_str(out, names[i]);
        kvs_buf_append_char(out, '"');
        separator = ',';
    }
    kvs_buf_append_str(out, separator == '[' ? "[]" : "]");
}
