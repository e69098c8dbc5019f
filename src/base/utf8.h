// SPDX-License-Identifier: Apache-2.0
// One step through UTF-8, inline because it stands in the inner loops of parsers and writers.
#ifndef KVS_BASE_UTF8_H
#define KVS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Is the byte sequence that begins at `p` (p < end) well-formed (Unicode 15, table 3-7: no overlong
// forms, no surrogates, nothing above U+10FFFF)? *ret_size: its length; where it is ill-formed, the
// bytes that one U+FFFD replaces (the maximal subpart, at least 1).
static inline bool kvs_utf8_step(const char *p, const char *end, size_t *ret_size)
{
    uint8_t lead = (uint8_t)p[0];
    *ret_size = 1;
    if (lead < 0x80)
        return true;
    if (lead < 0xc2 || lead > 0xf4)
        return false;
    size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    // The lead byte narrows the range of the second byte only.
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < size; i++) {
        if (end - p == (ptrdiff_t)i || (uint8_t)p[i] < low || (uint8_t)p[i] > high)
            return false;
        low = 0x80;
        high = 0xbf;
        *ret_size = i + 1;
    }
    return true;
}

#endif
