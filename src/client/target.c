// SPDX-License-Identifier: Apache-2.0
// From keys, parameters and conditions to request targets and header lines. Pure.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"
#include "client/client_internal.h"
#include "codec/http.h"
#include "codec/record.h"

void kvs_client_target_add(struct kvs_buf *target, const char *name, const char *value)
{
    if (!value)
        return;
    bool first = target->err || !memchr(target->data, '?', target->size);
    kvs_buf_append_char(target, first ? '?' : '&');
    kvs_buf_append_str(target, name);
    kvs_buf_append_char(target, '=');
    kvs_percent_encode(target, kvs_slice_from_str(value), false);
}

void kvs_client_target_add_number(struct kvs_buf *target, const char *name, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    kvs_client_target_add(target, name, text);
}

enum kvs_client_code kvs_client_target_begin(struct kvs_buf *target, const char *before,
                                             const char *key, struct kvs_client_error *ret_error)
{
    const char *reason = NULL;
    if (!key || !kvs_key_is_valid(kvs_slice_from_str(key), &reason))
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "bad key: %s",
                               reason ? reason : "none was given");
    kvs_buf_append_str(target, before);
    kvs_percent_encode(target, kvs_slice_from_str(key), true);
    return KVS_CLIENT_OK;
}

enum kvs_client_code kvs_client_condition(const char *if_match, bool if_none_match,
                                          char ret_line[static KVS_CLIENT_CONDITION_SIZE],
                                          struct kvs_client_error *ret_error)
{
    struct kvs_uuid uuid;
    ret_line[0] = 0;
    if (if_match && if_none_match)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "if_match and if_none_match exclude each other");
    if (if_none_match)
        (void)snprintf(ret_line, KVS_CLIENT_CONDITION_SIZE, "If-None-Match: *");
    else if (if_match && strcmp(if_match, "*") == 0)
        (void)snprintf(ret_line, KVS_CLIENT_CONDITION_SIZE, "If-Match: *");
    else if (if_match && kvs_uuid_parse(kvs_slice_from_str(if_match), &uuid))
        (void)snprintf(ret_line, KVS_CLIENT_CONDITION_SIZE, "If-Match: \"%s\"", if_match);
    else if (if_match)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "'%s' is no version: give the UUID that a read or a write showed",
                               if_match);
    return KVS_CLIENT_OK;
}
