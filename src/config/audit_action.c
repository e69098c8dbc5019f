// SPDX-License-Identifier: Apache-2.0
#include "config/audit_action.h"

static const char *const names[KVS_AUDIT_ACTION_COUNT] = {
#define KVS_AUDIT_ACTION(name, description) [KVS_AUDIT_##name] = #name,
#include "tables/audit_actions.def"
#undef KVS_AUDIT_ACTION
};

const char *kvs_audit_action_name(enum kvs_audit_action action)
{
    return names[action];
}

bool kvs_audit_action_parse(struct kvs_slice name, enum kvs_audit_action *ret_action)
{
    for (size_t i = 0; i < KVS_AUDIT_ACTION_COUNT; i++) {
        if (kvs_slice_eq(name, kvs_slice_from_str(names[i]))) {
            *ret_action = (enum kvs_audit_action)i;
            return true;
        }
    }
    return false;
}
