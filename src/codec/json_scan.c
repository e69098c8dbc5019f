// SPDX-License-Identifier: Apache-2.0
// The JSON scanner: RFC 8259, strict, iterative, one pass; and what needs no more than it,
// validating and compacting. Compacting copies the runs between white space, so that a document
// that has none is checked and then copied at once. Pure and thread-safe; docs/formats/json.md says
// what is accepted.
#include "codec/json_internal.h"

#include "base/assert.h"
#include "base/utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct scanner {
    struct kvs_slice text;
    const char *end;
    const struct kvs_json_events *events;
    void *context;
    int err; // why a step returned NULL
    struct kvs_json_error *ret_error;
    unsigned depth;                                     // open containers
    uint64_t is_object[(KVS_JSON_DEPTH_MAX + 63) / 64]; // a bit each, outermost first
};

int kvs_json_fail(struct kvs_slice text, size_t offset, const char *reason,
                  struct kvs_json_error *ret_error)
{
    if (!ret_error)
        return KVS_ERR_SYNTAX;
    uint32_t line = 1;
    uint32_t column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        } else if (((uint8_t)text.data[i] & 0xc0) != 0x80) { // no continuation of a code point
            column++;
        }
    }
    *ret_error =
        (struct kvs_json_error){.offset = offset, .line = line, .column = column, .reason = reason};
    return KVS_ERR_SYNTAX;
}

// Every step below takes the place where it begins and returns the place behind what it read, or
// NULL after a failure. This is that failure.
static __attribute__((noinline, cold)) const char *fail(struct scanner *s, const char *at,
                                                        const char *reason)
{
    if (at == s->end)
        reason = "unexpected end of the text";
    s->err = kvs_json_fail(s->text, (size_t)(at - s->text.data), reason, s->ret_error);
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(char c)
{
    return (uint8_t)(c - '0') < 10;
}

static __attribute__((noinline)) const char *skip_gap(struct scanner *s, const char *from)
{
    const char *p = from;
    while (p < s->end && is_space(*p))
        p++;
    if (p > from && s->events->gap)
        s->events->gap(s->context, from, p);
    return p;
}

static inline const char *skip_space(struct scanner *s, const char *p)
{
    return p < s->end && (uint8_t)*p > ' ' ? p : skip_gap(s, p);
}

// To the next byte that matters inside a string: quote, backslash, control character, non-ASCII.
static inline const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
        // Signed: below ' ' are the control characters and all bytes above 0x7f.
        __m128i stop = _mm_or_si128(
            _mm_cmplt_epi8(bytes, space),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
        int mask = _mm_movemask_epi8(stop);
        if (mask != 0)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && (signed char)*p >= ' ' && *p != '"' && *p != '\\')
        p++;
    return p;
}

static const char *skip_non_ascii(struct scanner *s, const char *p)
{
    while (p < s->end && (signed char)*p < 0) {
        size_t size = 0;
        if (!kvs_utf8_step(p, s->end, &size))
            return fail(s, p, "invalid UTF-8");
        p += size;
    }
    return p;
}

static const char *skip_unicode_escape(struct scanner *s, const char *p)
{
    enum { ESCAPE_SIZE = 6 }; // \uXXXX
    int unit = s->end - p < ESCAPE_SIZE ? -1 : kvs_json_hex4(p + 2);
    if (unit < 0)
        return fail(s, p, "expected four hexadecimal digits after '\\u'");
    if (kvs_json_is_low_surrogate(unit))
        return fail(s, p, "lone surrogate");
    if (!kvs_json_is_high_surrogate(unit))
        return p + ESCAPE_SIZE;
    const char *second = p + ESCAPE_SIZE;
    if (s->end - second < ESCAPE_SIZE || second[0] != '\\' || second[1] != 'u' ||
        !kvs_json_is_low_surrogate(kvs_json_hex4(second + 2)))
        return fail(s, p, "lone surrogate");
    return second + ESCAPE_SIZE;
}

static const char *skip_escape(struct scanner *s, const char *p)
{
    if (s->end - p < 2)
        return fail(s, s->end, NULL);
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return p + 2;
    case 'u':
        return skip_unicode_escape(s, p);
    default:
        return fail(s, p, "unknown escape in a string");
    }
}

// From the opening quote to behind the closing one.
static inline const char *skip_string(struct scanner *s, const char *p)
{
    p++;
    while (p) {
        p = skip_plain(p, s->end);
        if (p == s->end)
            return fail(s, p, NULL);
        if (*p == '"')
            return p + 1;
        if (*p == '\\')
            p = skip_escape(s, p);
        else if ((uint8_t)*p < ' ')
            p = fail(s, p, "control character in a string");
        else
            p = skip_non_ascii(s, p);
    }
    return NULL;
}

static inline const char *skip_digits(struct scanner *s, const char *p)
{
    if (p == s->end || !is_digit(*p))
        return fail(s, p, "expected a digit");
    while (p < s->end && is_digit(*p))
        p++;
    return p;
}

static inline const char *skip_number(struct scanner *s, const char *p)
{
    if (*p == '-')
        p++;
    const char *first = p;
    p = skip_digits(s, p);
    if (!p)
        return NULL;
    if (*first == '0' && p - first > 1)
        return fail(s, first, "a number must not begin with 0");
    if (p < s->end && *p == '.')
        p = skip_digits(s, p + 1);
    if (p && p < s->end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < s->end && (*p == '+' || *p == '-'))
            p++;
        p = skip_digits(s, p);
    }
    return p;
}

static inline const char *skip_word(struct scanner *s, const char *p, struct kvs_slice word)
{
    for (size_t i = 0; i < word.size; i++)
        if (p + i == s->end || p[i] != word.data[i])
            return fail(s, p + i, "expected a value");
    return p + word.size;
}

static inline const char *skip_scalar(struct scanner *s, const char *p)
{
    const char *start = p;
    enum kvs_json_type type = KVS_JSON_NUMBER;
    switch (*p) {
    case '"':
        type = KVS_JSON_STRING;
        p = skip_string(s, p);
        break;
    case 't':
        type = KVS_JSON_TRUE;
        p = skip_word(s, p, KVS_SLICE("true"));
        break;
    case 'f':
        type = KVS_JSON_FALSE;
        p = skip_word(s, p, KVS_SLICE("false"));
        break;
    case 'n':
        type = KVS_JSON_NULL;
        p = skip_word(s, p, KVS_SLICE("null"));
        break;
    default:
        if (*p != '-' && !is_digit(*p))
            return fail(s, p, "expected a value");
        p = skip_number(s, p);
    }
    if (p && s->events->scalar) {
        s->err = s->events->scalar(s->context, type, kvs_slice(start, (size_t)(p - start)));
        if (s->err)
            return NULL;
    }
    return p;
}

// A member's name and colon, and the white space around them.
static inline const char *skip_key(struct scanner *s, const char *p)
{
    if (p == s->end || *p != '"')
        return fail(s, p, "expected a member name in double quotes");
    const char *start = p;
    p = skip_string(s, p);
    if (!p)
        return NULL;
    if (s->events->key) {
        s->err = s->events->key(s->context, kvs_slice(start, (size_t)(p - start)));
        if (s->err)
            return NULL;
    }
    p = skip_space(s, p);
    if (p == s->end || *p != ':')
        return fail(s, p, "expected ':'");
    return skip_space(s, p + 1);
}

static inline bool in_object(const struct scanner *s)
{
    unsigned level = s->depth - 1;
    return s->is_object[level / 64] >> level % 64 & 1;
}

static inline const char *open_container(struct scanner *s, const char *p)
{
    bool is_object = *p == '{';
    if (s->depth == KVS_JSON_DEPTH_MAX)
        return fail(s, p, "nested too deeply");
    uint64_t bit = (uint64_t)1 << s->depth % 64;
    if (is_object)
        s->is_object[s->depth / 64] |= bit;
    else
        s->is_object[s->depth / 64] &= ~bit;
    s->depth++;
    if (s->events->open) {
        s->err = s->events->open(s->context, is_object ? KVS_JSON_OBJECT : KVS_JSON_ARRAY, p);
        if (s->err)
            return NULL;
    }
    return skip_space(s, p + 1);
}

static inline const char *close_container(struct scanner *s, const char *p)
{
    s->depth--;
    if (s->events->close) {
        s->err = s->events->close(s->context, p + 1);
        if (s->err)
            return NULL;
    }
    return p + 1;
}

// From the start of a value to where the next one must begin, or behind the outermost value: reads
// one scalar or one opening bracket, and all that closes or separates after it.
static inline const char *skip_to_next_value(struct scanner *s, const char *p)
{
    if (p == s->end)
        return fail(s, p, NULL);
    if (*p == '{' || *p == '[') {
        char closing = *p == '{' ? '}' : ']';
        p = open_container(s, p);
        if (!p)
            return NULL;
        if (p == s->end || *p != closing)
            return closing == '}' ? skip_key(s, p) : p;
        p = close_container(s, p);
    } else {
        p = skip_scalar(s, p);
    }
    while (p && s->depth > 0) {
        bool object = in_object(s);
        p = skip_space(s, p);
        if (p < s->end && *p == ',') {
            p = skip_space(s, p + 1);
            return object ? skip_key(s, p) : p;
        }
        if (p == s->end || *p != (object ? '}' : ']'))
            return fail(s, p, object ? "expected ',' or '}'" : "expected ',' or ']'");
        p = close_container(s, p);
    }
    return p;
}

int kvs_json_scan(struct kvs_slice text, const struct kvs_json_events *events, void *context,
                  struct kvs_json_error *ret_error)
{
    if (text.size == 0)
        return kvs_json_fail(text, 0, "the text is empty", ret_error);
    if (kvs_slice_starts_with(text, KVS_SLICE("\xef\xbb\xbf")))
        return kvs_json_fail(text, 0, "a byte order mark is not allowed", ret_error);
    struct scanner s = {.text = text,
                        .end = text.data + text.size,
                        .events = events,
                        .context = context,
                        .ret_error = ret_error};
    const char *p = skip_space(&s, text.data);
    do
        p = skip_to_next_value(&s, p);
    while (p && s.depth > 0);
    if (p)
        p = skip_space(&s, p);
    if (p && p < s.end)
        p = fail(&s, p, "unexpected text after the value");
    return p ? 0 : s.err;
}

int kvs_json_validate(struct kvs_slice text, struct kvs_json_error *ret_error)
{
    static const struct kvs_json_events none;
    return kvs_json_scan(text, &none, NULL, ret_error);
}

struct compaction {
    const char *run; // source bytes from here on are not yet copied
    char *to;
    size_t room; // bytes left at `to`
    bool overflow;
};

static void copy_run(void *context, const char *from, const char *to)
{
    struct compaction *compaction = context;
    size_t size = (size_t)(from - compaction->run);
    if (size > compaction->room) {
        compaction->overflow = true; // the scan goes on: a syntax error is worth more to the user
        size = 0;
    }
    if (size > 0) {
        memcpy(compaction->to, compaction->run, size);
        compaction->to += size;
        compaction->room -= size;
    }
    compaction->run = to;
}

int kvs_json_compact(struct kvs_slice text, struct kvs_buf *out, struct kvs_json_error *ret_error)
{
    static const struct kvs_json_events events = {.gap = copy_run};
    kvs_assert(out->size <= out->size_max);
    size_t room = out->size_max - out->size;
    if (room > text.size)
        room = text.size; // what compacting yields is never longer
    char *to = kvs_buf_reserve(out, room);
    if (out->err)
        return out->err;
    struct compaction compaction = {.run = text.data, .to = to, .room = room};
    int err = kvs_json_scan(text, &events, &compaction, ret_error);
    if (err)
        return err;
    const char *end = text.data + text.size;
    copy_run(&compaction, end, end);
    if (compaction.overflow) {
        out->err = KVS_ERR_TOO_LARGE;
        return out->err;
    }
    out->size += room - compaction.room;
    return 0;
}
