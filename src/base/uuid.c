// SPDX-License-Identifier: Apache-2.0
#include "base/uuid.h"

struct kvs_uuid kvs_uuid_new(struct kvs_random *random)
{
    struct kvs_uuid uuid;
    kvs_random_fill(random, uuid.bytes, sizeof(uuid.bytes));
    uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
    uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
    return uuid;
}

static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void kvs_uuid_format(const struct kvs_uuid *uuid, char ret_text[static KVS_UUID_TEXT_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    char *to = ret_text;
    for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
        if (dash_before(i))
            *to++ = '-';
        *to++ = hex[uuid->bytes[i] >> 4];
        *to++ = hex[uuid->bytes[i] & 15];
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool kvs_uuid_parse(struct kvs_slice text, struct kvs_uuid *ret_uuid)
{
    if (text.size != KVS_UUID_TEXT_SIZE)
        return false;
    struct kvs_uuid uuid;
    const char *from = text.data;
    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (dash_before(i) && *from++ != '-')
            return false;
        int high = hex_value(from[0]);
        int low = hex_value(from[1]);
        if (high < 0 || low < 0)
            return false;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        from += 2;
    }
    *ret_uuid = uuid;
    return true;
}
