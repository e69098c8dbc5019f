// SPDX-License-Identifier: Apache-2.0
// UUIDs (RFC 9562) as 16 bytes in network order; memcmp order equals the order of their lower-case
// text form, which the version order of KVS relies on.
#ifndef KVS_BASE_UUID_H
#define KVS_BASE_UUID_H

#include "base/random.h"
#include "base/slice.h"

enum { KVS_UUID_TEXT_SIZE = 36 };

struct kvs_uuid {
    uint8_t bytes[16];
};

// Version 4, variant 10.
struct kvs_uuid kvs_uuid_new(struct kvs_random *random);

// Writes 36 lower-case characters, no NUL.
void kvs_uuid_format(const struct kvs_uuid *uuid, char ret_text[static KVS_UUID_TEXT_SIZE]);

// Accepts the 36-character form in either case, any version; false on anything else.
bool kvs_uuid_parse(struct kvs_slice text, struct kvs_uuid *ret_uuid);

static inline int kvs_uuid_cmp(const struct kvs_uuid *a, const struct kvs_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static inline bool kvs_uuid_is_nil(const struct kvs_uuid *uuid)
{
    static const struct kvs_uuid nil;
    return kvs_uuid_cmp(uuid, &nil) == 0;
}

#endif
