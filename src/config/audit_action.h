// SPDX-License-Identifier: Apache-2.0
// The actions that the audit log knows, from tables/audit_actions.def.
#ifndef KVS_CONFIG_AUDIT_ACTION_H
#define KVS_CONFIG_AUDIT_ACTION_H

#include "base/slice.h"

enum kvs_audit_action {
#define KVS_AUDIT_ACTION(name, description) KVS_AUDIT_##name,
#include "tables/audit_actions.def"
#undef KVS_AUDIT_ACTION
    KVS_AUDIT_ACTION_COUNT
};

// A set of actions: bit i is set when action i is in it.
_Static_assert(KVS_AUDIT_ACTION_COUNT <= 64, "a set of actions is 64 bits");

static inline uint64_t kvs_audit_action_bit(enum kvs_audit_action action)
{
    return UINT64_C(1) << action;
}

const char *kvs_audit_action_name(enum kvs_audit_action action); // "data_write"; static
bool kvs_audit_action_parse(struct kvs_slice name, enum kvs_audit_action *ret_action);

#endif
