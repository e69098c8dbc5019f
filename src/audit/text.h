// SPDX-License-Identifier: Apache-2.0
// Times as the audit log writes them.
#ifndef KVS_AUDIT_TEXT_H
#define KVS_AUDIT_TEXT_H

#include "base/slice.h"

// Exactly the form of kvs_time_rfc3339 ("2026-11-23T03:35:47.123Z"), and a time that exists.
bool kvs_audit_time_parse(struct kvs_slice text, int64_t *ret_unix_ms);

#endif
