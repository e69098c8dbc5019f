// SPDX-License-Identifier: Apache-2.0
// JSON strings: from source to bytes and from bytes to source. Decoding trusts that its input has
// passed the scanner. Pure and thread-safe.
#include "base/utf8.h"
#include "codec/json_internal.h"

static size_t encode_utf8(int code_point, char ret_bytes[static 4])
{
    if (code_point < 0x80) {
        ret_bytes[0] = (char)code_point;
        return 1;
    }
    size_t size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    static const uint8_t lead[] = {[2] = 0xc0, [3] = 0xe0, [4] = 0xf0};
    ret_bytes[0] = (char)(lead[size] | code_point);
    return size;
}

// Decodes the escape at `p` (a backslash); returns the place behind it.
static const char *decode_escape(const char *p, char ret_bytes[static 4], size_t *ret_size)
{
    *ret_size = 1;
    switch (p[1]) {
    case 'b':
        ret_bytes[0] = '\b';
        return p + 2;
    case 'f':
        ret_bytes[0] = '\f';
        return p + 2;
    case 'n':
        ret_bytes[0] = '\n';
        return p + 2;
    case 'r':
        ret_bytes[0] = '\r';
        return p + 2;
    case 't':
        ret_bytes[0] = '\t';
        return p + 2;
    case 'u': {
        int code_point = kvs_json_hex4(p + 2);
        p += 6;
        if (kvs_json_is_high_surrogate(code_point)) {
            int low = kvs_json_hex4(p + 2);
            code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        }
        *ret_size = encode_utf8(code_point, ret_bytes);
        return p;
    }
    default: // quote, backslash, slash
        ret_bytes[0] = p[1];
        return p + 2;
    }
}

static const char *find_escape(const char *p, const char *end)
{
    const char *escape = p < end ? memchr(p, '\\', (size_t)(end - p)) : NULL;
    return escape ? escape : end;
}

static int decode(struct kvs_slice source, struct kvs_arena *arena, struct kvs_slice *ret_string)
{
    struct kvs_slice body = kvs_json_body(source);
    const char *p = body.data;
    const char *end = p + body.size;
    const char *escape = find_escape(p, end);
    if (escape == end) {
        *ret_string = body;
        return 0;
    }
    char *decoded = kvs_arena_alloc(arena, body.size); // no escape is shorter than what it means
    if (!decoded)
        return KVS_ERR_NOMEM;
    char *to = decoded;
    for (;;) {
        size_t run = (size_t)(escape - p);
        memcpy(to, p, run);
        to += run;
        if (escape == end)
            break;
        char bytes[4];
        size_t size = 0;
        p = decode_escape(escape, bytes, &size);
        memcpy(to, bytes, size);
        to += size;
        escape = find_escape(p, end);
    }
    *ret_string = kvs_slice(decoded, (size_t)(to - decoded));
    return 0;
}

int kvs_json_string(const struct kvs_json *value, struct kvs_arena *arena,
                    struct kvs_slice *ret_string)
{
    if (value->type != KVS_JSON_STRING)
        return KVS_ERR_INVALID;
    return decode(value->source, arena, ret_string);
}

int kvs_json_key(const struct kvs_json *member, struct kvs_arena *arena, struct kvs_slice *ret_key)
{
    if (member->key.size == 0)
        return KVS_ERR_INVALID;
    return decode(member->key, arena, ret_key);
}

bool kvs_json_string_eq(struct kvs_slice source, struct kvs_slice name)
{
    struct kvs_slice body = kvs_json_body(source);
    const char *p = body.data;
    const char *end = p + body.size;
    while (p < end) {
        char bytes[4] = {*p};
        size_t size = 1;
        p = *p == '\\' ? decode_escape(p, bytes, &size) : p + 1;
        if (name.size < size || memcmp(name.data, bytes, size) != 0)
            return false;
        name = kvs_slice(name.data + size, name.size - size);
    }
    return name.size == 0;
}

static void write_escape(struct kvs_buf *out, char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_forms[128] = {['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
                                          ['\n'] = 'n', ['\r'] = 'r',  ['\t'] = 't'};
    uint8_t byte = (uint8_t)c;
    if (short_forms[byte])
        kvs_buf_append(out, (char[]){'\\', short_forms[byte]}, 2);
    else
        kvs_buf_append(out, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
}

void kvs_json_write_string(struct kvs_buf *out, struct kvs_slice text)
{
    const char *p = text.size > 0 ? text.data : "";
    const char *end = p + text.size;
    const char *run = p; // not yet written
    kvs_buf_append_char(out, '"');
    while (p < end) {
        size_t size = 0;
        bool valid = kvs_utf8_step(p, end, &size);
        bool plain = valid && (uint8_t)*p >= ' ' && *p != '"' && *p != '\\';
        if (!plain) {
            kvs_buf_append(out, run, (size_t)(p - run));
            if (valid)
                write_escape(out, *p);
            else
                kvs_buf_append_str(out, "\xef\xbf\xbd"); // U+FFFD
            run = p + size;
        }
        p += size;
    }
    kvs_buf_append(out, run, (size_t)(p - run));
    kvs_buf_append_char(out, '"');
}
