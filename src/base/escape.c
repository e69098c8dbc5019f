// SPDX-License-Identifier: Apache-2.0
#include "base/escape.h"

size_t kvs_escape_utf8_size(struct kvs_slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    if (text.size == 0)
        return 0;
    unsigned char lead = bytes[0];
    size_t need = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (need == 0 || need > text.size || lead > 0xF4)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
    }
    bool overlong = (lead == 0xE0 && bytes[1] < 0xA0) || (lead == 0xF0 && bytes[1] < 0x90);
    bool surrogate = lead == 0xED && bytes[1] > 0x9F;
    bool too_large = lead == 0xF4 && bytes[1] > 0x8F;
    return overlong || surrogate || too_large ? 0 : need;
}

// U+FEFF, U+FFFE and U+FFFF: no text has them inside, and YAML refuses them.
static bool is_no_text(struct kvs_slice c)
{
    return kvs_slice_eq(c, KVS_SLICE("\xEF\xBB\xBF")) ||
           kvs_slice_eq(c, KVS_SLICE("\xEF\xBF\xBE")) || kvs_slice_eq(c, KVS_SLICE("\xEF\xBF\xBF"));
}

// `c` is one well-formed sequence. U+0080 to U+009F control terminals as well.
static void append_character(struct kvs_buf *out, struct kvs_slice c)
{
    const unsigned char *bytes = (const unsigned char *)c.data;
    if (bytes[0] == '"' || bytes[0] == '\\') {
        kvs_buf_append_char(out, '\\');
        kvs_buf_append_char(out, c.data[0]);
    } else if (bytes[0] == '\n') {
        kvs_buf_append_str(out, "\\n");
    } else if (bytes[0] < 0x20 || bytes[0] == 0x7F) {
        kvs_buf_printf(out, "\\u%04x", bytes[0]);
    } else if (bytes[0] == 0xC2 && bytes[1] < 0xA0) {
        kvs_buf_printf(out, "\\u%04x", bytes[1]);
    } else if (is_no_text(c)) {
        kvs_buf_printf(out, "\\u%04x", (bytes[1] & 0x3FU) << 6 | (bytes[2] & 0x3FU) | 0xF000U);
    } else {
        kvs_buf_append_slice(out, c);
    }
}

void kvs_escape_append(struct kvs_buf *out, struct kvs_slice text)
{
    for (size_t i = 0; i < text.size;) {
        size_t step = kvs_escape_utf8_size(kvs_slice(text.data + i, text.size - i));
        if (step > 0)
            append_character(out, kvs_slice(text.data + i, step));
        else
            kvs_buf_append_str(out, "\xEF\xBF\xBD"); // U+FFFD
        i += step > 0 ? step : 1;
    }
}
