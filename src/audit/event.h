// SPDX-License-Identifier: Apache-2.0
// Something worth an entry in the audit log, as those who see it happen describe it.
#ifndef KVS_AUDIT_EVENT_H
#define KVS_AUDIT_EVENT_H

#include "base/uuid.h"
#include "config/audit_action.h"

// All borrowed. Never put a value, a token or a secret into it: what stands here is kept for good.
struct kvs_audit_event {
    enum kvs_audit_action action;
    const struct kvs_uuid *user; // NULL: unknown or none
    struct kvs_slice resource;   // what it was done to: a key, a path, a uuid; cut at 1024 bytes
    struct kvs_slice request_id; // may be empty
    bool retried; // a condition that fails is no outcome: whoever asks will try again
};

#endif
