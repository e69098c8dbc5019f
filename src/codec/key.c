// SPDX-License-Identifier: Apache-2.0
// The grammar of the keys that clients may use (spec section 3). Pure.
//
// What passes here is trusted everywhere below: no NUL or other control character ends up in a
// key, so `key | 0x00 | suffix` keeps the keys' byte order.
#include "codec/record.h"

// A code point's smallest and largest legal second byte narrow the general 0x80-0xBF for some lead
// bytes (Unicode 15, table 3-7): that is what rules out overlong forms, surrogates and everything
// beyond U+10FFFF.
struct utf8_lead {
    uint8_t first, last; // lead bytes
    uint8_t size;        // bytes of the whole character
    uint8_t second_min, second_max;
};

static const struct utf8_lead utf8_leads[] = {
    {0x00, 0x7F, 1, 0, 0},       {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF},
    {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F}, {0xEE, 0xEF, 3, 0x80, 0xBF},
    {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

// Bytes of the well-formed character at `bytes`, 0 when there is none.
static size_t utf8_char_size(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(utf8_leads); i++) {
        const struct utf8_lead *lead = &utf8_leads[i];
        if (bytes[0] < lead->first || bytes[0] > lead->last)
            continue;
        if (lead->size > size)
            return 0;
        if (lead->size > 1 && (bytes[1] < lead->second_min || bytes[1] > lead->second_max))
            return 0;
        for (size_t k = 2; k < lead->size; k++)
            if ((bytes[k] & 0xC0) != 0x80)
                return 0;
        return lead->size;
    }
    return 0;
}

// C0, DEL, and C1 (U+0080 to U+009F: 0xC2 0x80 to 0xC2 0x9F).
static bool is_control(const uint8_t *bytes, size_t size)
{
    if (size == 1)
        return bytes[0] < 0x20 || bytes[0] == 0x7F;
    return bytes[0] == 0xC2 && bytes[1] <= 0x9F;
}

static const char *characters_fault(struct kvs_slice key)
{
    const uint8_t *bytes = (const uint8_t *)key.data;
    for (size_t i = 0; i < key.size;) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7F) {
            i++;
            continue;
        }
        size_t size = utf8_char_size(bytes + i, key.size - i);
        if (size == 0)
            return "key is not valid UTF-8";
        if (is_control(bytes + i, size))
            return "key contains a control character";
        i += size;
    }
    return NULL;
}

static const char *segments_fault(struct kvs_slice key)
{
    if (key.data[0] == '/')
        return "key begins with a slash";
    if (key.data[key.size - 1] == '/')
        return "key ends with a slash";
    const char *end = key.data + key.size;
    for (const char *p = key.data; p < end;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        const char *stop = slash ? slash : end;
        struct kvs_slice segment = kvs_slice(p, (size_t)(stop - p));
        if (segment.size == 0)
            return "key contains an empty segment";
        if (kvs_slice_eq(segment, KVS_SLICE(".")) || kvs_slice_eq(segment, KVS_SLICE("..")))
            return "key contains a segment '.' or '..'";
        if (p == key.data && kvs_slice_eq(segment, KVS_SLICE("_range")))
            return "the first segment '_range' is reserved";
        p = stop + 1;
    }
    return NULL;
}

static const char *fault(struct kvs_slice key)
{
    if (key.size == 0)
        return "key is empty";
    if (key.size > KVS_KEY_SIZE_MAX)
        return "key is longer than 1024 bytes";
    const char *reason = characters_fault(key);
    return reason ? reason : segments_fault(key);
}

bool kvs_key_is_valid(struct kvs_slice key, const char **ret_reason)
{
    const char *reason = fault(key);
    if (reason && ret_reason)
        *ret_reason = reason;
    return reason == NULL;
}
