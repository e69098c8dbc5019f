// SPDX-License-Identifier: Apache-2.0
#include "codec/version.h"

static int greater_first(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

int kvs_version_cmp(const struct kvs_version *a, const struct kvs_version *b,
                    enum kvs_version_rule *ret_rule)
{
    enum kvs_version_rule rule = KVS_VERSION_BY_TIMESTAMP;
    int result = greater_first(a->timestamp, b->timestamp);
    if (result == 0) {
        rule = KVS_VERSION_BY_JOINED_TIMESTAMP;
        result = greater_first(b->writer.joined_timestamp, a->writer.joined_timestamp);
    }
    if (result == 0) {
        rule = KVS_VERSION_BY_UUID;
        result = kvs_uuid_cmp(&b->uuid, &a->uuid);
    }
    if (ret_rule)
        *ret_rule = result == 0 ? KVS_VERSION_SAME : rule;
    return result;
}

const char *kvs_version_rule_name(enum kvs_version_rule rule)
{
    switch (rule) {
    case KVS_VERSION_BY_TIMESTAMP:
        return "timestamp";
    case KVS_VERSION_BY_JOINED_TIMESTAMP:
        return "joined_timestamp";
    case KVS_VERSION_BY_UUID:
        return "uuid";
    case KVS_VERSION_SAME:
        break;
    }
    return "same";
}
