// SPDX-License-Identifier: Apache-2.0
#include "cmd/show.h"

#include <stdio.h>
#include <time.h>
#include <wchar.h>

#include "base/utf8.h"
#include "cmd/style.h"

void kvs_show_time(int64_t unix_ms, char ret_text[static KVS_SHOW_TIME_SIZE])
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm local;
    if (!localtime_r(&seconds, &local) ||
        strftime(ret_text, KVS_SHOW_TIME_SIZE, "%Y-%m-%d %H:%M:%S", &local) == 0)
        memcpy(ret_text, "?", 2);
}

static uint32_t decode(const char *p, size_t size)
{
    static const uint8_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (uint8_t)p[0] & lead_bits[size];
    for (size_t i = 1; i < size; i++)
        code = code << 6 | ((uint8_t)p[i] & 0x3f);
    return code;
}

// C0, DEL, C1, line and paragraph separator, and the bidirectional controls.
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

void kvs_show_text(struct kvs_buf *out, struct kvs_slice text)
{
    const char *end = text.data + text.size;
    for (const char *p = text.data; p < end;) {
        size_t size;
        if (!kvs_utf8_step(p, end, &size))
            kvs_buf_append_str(out, "\\ufffd");
        else if (is_unsafe(decode(p, size)))
            kvs_buf_printf(out, "\\u%04x", decode(p, size));
        else
            kvs_buf_append(out, p, size);
        p += size;
    }
}

static void new_line(struct kvs_buf *out, size_t depth)
{
    kvs_buf_append_char(out, '\n');
    for (size_t i = 0; i < depth; i++)
        kvs_buf_append_str(out, "  ");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// The index behind the string that begins at `at`.
static size_t string_end(struct kvs_slice json, size_t at)
{
    for (at++; at < json.size && json.data[at] != '"'; at++) {
        if (json.data[at] == '\\')
            at++;
    }
    return at < json.size ? at + 1 : json.size;
}

static size_t skip_space(struct kvs_slice json, size_t at)
{
    while (at < json.size && is_space(json.data[at]))
        at++;
    return at;
}

// The index behind the token that begins at `at`: a string, a bracket, or a number or literal.
static size_t token_end(struct kvs_slice json, size_t at)
{
    if (json.data[at] == '"')
        return string_end(json, at);
    if (strchr("{}[],:", json.data[at]))
        return at + 1;
    while (at < json.size && !is_space(json.data[at]) && !strchr("{}[],:\"", json.data[at]))
        at++;
    return at;
}

static enum kvs_style token_style(char first, bool is_key)
{
    if (first == '"')
        return is_key ? KVS_STYLE_KEY : KVS_STYLE_STRING;
    return strchr("{}[],:", first) ? KVS_STYLE_PLAIN : KVS_STYLE_LITERAL;
}

void kvs_show_json(struct kvs_buf *out, bool coloured, struct kvs_slice json)
{
    size_t depth = 0;
    for (size_t at = skip_space(json, 0); at < json.size && !out->err;) {
        char c = json.data[at];
        size_t end = token_end(json, at);
        bool closes = c == '}' || c == ']';
        size_t next = skip_space(json, end);
        bool is_key = next < json.size && json.data[next] == ':';
        if (closes && depth > 0)
            new_line(out, --depth);
        kvs_style_append(out, coloured, token_style(c, is_key),
                         kvs_slice(json.data + at, end - at));
        if ((c == '{' || c == '[') && next < json.size &&
            (json.data[next] == '}' || json.data[next] == ']')) {
            kvs_buf_append_char(out, json.data[next]); // empty: stays in one piece
            next = skip_space(json, next + 1);
        } else if (c == '{' || c == '[') {
            new_line(out, ++depth);
        } else if (c == ',') {
            new_line(out, depth);
        } else if (c == ':') {
            kvs_buf_append_char(out, ' ');
        }
        at = next;
    }
}

void kvs_show_start(struct kvs_buf *out, struct kvs_slice text, size_t columns)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf safe = KVS_BUF_INIT(out->size_max);
    // No column takes more than four bytes of source, and one more tells whether something is cut.
    size_t source = text.size / 4 > columns ? 4 * (columns + 1) : text.size;
    kvs_show_text(&safe, kvs_slice(text.data, source));
    size_t width = 0;
    size_t kept = 0; // bytes of what fits beside the "…"
    for (size_t i = 0, size; i < safe.size; i += size) {
        if (!kvs_utf8_step(safe.data + i, safe.data + safe.size, &size))
            continue; // cannot be: it was made above
        int own = wcwidth((wchar_t)decode(safe.data + i, size));
        if (width < columns) // room for the "…" is left in front of this character
            kept = i;
        width += own >= 0 ? (size_t)own : 1;
    }
    if (width <= columns) {
        kvs_buf_append_slice(out, kvs_buf_slice(&safe));
    } else {
        kvs_buf_append(out, safe.data, kept);
        kvs_buf_append_str(out, "…");
    }
    if (safe.err)
        out->err = safe.err;
}
