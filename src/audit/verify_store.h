// SPDX-License-Identifier: Apache-2.0
// Verifies the audit log in the store of a stopped node.
#ifndef KVS_AUDIT_VERIFY_STORE_H
#define KVS_AUDIT_VERIFY_STORE_H

#include "audit/log.h"
#include "audit/verify.h"

// `key_path`: the node's key file; without it nothing but the chain vouches for the entries behind
// the last signed root. KVS_ERR_NOT_FOUND: there is no audit log; other errors with a message are
// of reading; else the report says what became of it.
KVS_MUST_CHECK int kvs_audit_verify_store(struct kvs_store *store, const char *key_path,
                                          const struct kvs_audit_verify_options *options,
                                          struct kvs_audit_report *ret_report,
                                          struct kvs_message *ret_message);

#endif
