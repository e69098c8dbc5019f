// SPDX-License-Identifier: Apache-2.0
// Go's duration syntax: an optional sign, then "0" alone or one or more groups of a decimal number
// and a unit. What Go accepts, rounds and refuses is matched to the last nanosecond; its own tables
// are run against this file (tests/tools/go_tables.py).
#include "base/duration.h"

// Magnitudes go up to 2^63, because the most negative duration is one longer than the longest.
#define MAGNITUDE_MAX (UINT64_C(1) << 63)

static const struct {
    struct kvs_slice name;
    uint64_t ns;
} units[] = {
    {KVS_SLICE("ns"), 1},
    {KVS_SLICE("us"), 1000},
    {KVS_SLICE("\xC2\xB5s"), 1000}, // U+00B5 micro sign
    {KVS_SLICE("\xCE\xBCs"), 1000}, // U+03BC Greek small letter mu
    {KVS_SLICE("ms"), 1000 * 1000},
    {KVS_SLICE("s"), UINT64_C(1000) * 1000 * 1000},
    {KVS_SLICE("m"), UINT64_C(60) * 1000 * 1000 * 1000},
    {KVS_SLICE("h"), UINT64_C(3600) * 1000 * 1000 * 1000},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip(struct kvs_slice *text, size_t size)
{
    text->data += size;
    text->size -= size;
}

// Takes leading digits; false when they exceed MAGNITUDE_MAX.
static bool take_whole(struct kvs_slice *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    while (text->size > 0 && is_digit(text->data[0])) {
        uint64_t digit = (uint64_t)(text->data[0] - '0');
        if (value > MAGNITUDE_MAX / 10 || value * 10 + digit > MAGNITUDE_MAX)
            return false;
        value = value * 10 + digit;
        skip(text, 1);
    }
    *ret_value = value;
    return true;
}

// Takes the digits behind the point as value / scale; those that no longer fit are ignored.
static void take_fraction(struct kvs_slice *text, uint64_t *ret_value, double *ret_scale)
{
    uint64_t value = 0;
    double scale = 1;
    bool full = false;
    while (text->size > 0 && is_digit(text->data[0])) {
        uint64_t digit = (uint64_t)(text->data[0] - '0');
        full = full || value > (MAGNITUDE_MAX - 1) / 10 || value * 10 + digit > MAGNITUDE_MAX;
        if (!full) {
            value = value * 10 + digit;
            scale *= 10;
        }
        skip(text, 1);
    }
    *ret_value = value;
    *ret_scale = scale;
}

// A unit reaches to the next digit or point, so that "1hour" is one unknown unit.
static bool take_unit(struct kvs_slice *text, uint64_t *ret_ns)
{
    size_t size = 0;
    while (size < text->size && text->data[size] != '.' && !is_digit(text->data[size]))
        size++;
    struct kvs_slice name = kvs_slice(text->data, size);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (kvs_slice_eq(units[i].name, name)) {
            *ret_ns = units[i].ns;
            skip(text, size);
            return true;
        }
    }
    return false;
}

// One number and its unit, as nanoseconds.
static bool take_group(struct kvs_slice *text, uint64_t *ret_ns)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    double scale = 1;
    size_t size = text->size;
    if (!take_whole(text, &whole))
        return false;
    size_t digits = size - text->size;
    if (text->size > 0 && text->data[0] == '.') {
        skip(text, 1);
        size = text->size;
        take_fraction(text, &fraction, &scale);
        digits += size - text->size;
    }
    uint64_t unit_ns = 0;
    if (digits == 0 || !take_unit(text, &unit_ns) || whole > MAGNITUDE_MAX / unit_ns)
        return false;
    uint64_t ns = whole * unit_ns;
    if (fraction > 0) // the same doubles as Go: a fraction of an hour needs them, and rounds alike
        ns += (uint64_t)((double)fraction * ((double)unit_ns / scale));
    *ret_ns = ns;
    return ns <= MAGNITUDE_MAX;
}

int kvs_duration_parse(struct kvs_slice text, int64_t *ret_ns)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    if (negative || (text.size > 0 && text.data[0] == '+'))
        skip(&text, 1);
    if (text.size == 0)
        return KVS_ERR_SYNTAX;
    uint64_t total = 0;
    if (!kvs_slice_eq(text, KVS_SLICE("0"))) {
        while (text.size > 0) {
            uint64_t ns = 0;
            if (!take_group(&text, &ns) || ns > MAGNITUDE_MAX - total)
                return KVS_ERR_SYNTAX;
            total += ns;
        }
    }
    if (!negative && total == MAGNITUDE_MAX)
        return KVS_ERR_SYNTAX;
    *ret_ns = negative ? (int64_t)(0 - total) : (int64_t)total;
    return 0;
}

// Writes `value` / 10^decimals before `end`, without trailing zeros; returns where it begins.
static char *put_decimal(char *end, uint64_t value, int decimals)
{
    bool written = false;
    for (int i = 0; i < decimals; i++) {
        written = written || value % 10 != 0;
        if (written)
            *--end = (char)('0' + value % 10);
        value /= 10;
    }
    if (written)
        *--end = '.';
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}

// Below a second: the largest unit that leaves something before the point.
static char *put_short(char *end, uint64_t ns)
{
    static const struct {
        uint64_t below_ns;
        const char *unit;
        int decimals;
    } scales[] = {{1000, "ns", 0}, {1000000, "\xC2\xB5s", 3}, {UINT64_MAX, "ms", 6}};
    size_t i = 0;
    while (ns >= scales[i].below_ns)
        i++;
    size_t size = strlen(scales[i].unit);
    end -= size;
    memcpy(end, scales[i].unit, size);
    return put_decimal(end, ns, scales[i].decimals);
}

static char *put_long(char *end, uint64_t ns)
{
    const uint64_t minute_ns = UINT64_C(60) * 1000 * 1000 * 1000;
    *--end = 's';
    end = put_decimal(end, ns % minute_ns, 9);
    uint64_t minutes = ns / minute_ns;
    if (minutes > 0) {
        *--end = 'm';
        end = put_decimal(end, minutes % 60, 0);
    }
    if (minutes >= 60) {
        *--end = 'h';
        end = put_decimal(end, minutes / 60, 0);
    }
    return end;
}

size_t kvs_duration_format(int64_t ns, char ret_text[static KVS_DURATION_TEXT_MAX])
{
    char buffer[KVS_DURATION_TEXT_MAX];
    char *end = buffer + sizeof(buffer);
    char *start = end;
    uint64_t magnitude = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (magnitude == 0) {
        start -= 2;
        memcpy(start, "0s", 2);
    } else if (magnitude < UINT64_C(1000) * 1000 * 1000) {
        start = put_short(end, magnitude);
    } else {
        start = put_long(end, magnitude);
    }
    if (ns < 0)
        *--start = '-';
    size_t size = (size_t)(end - start);
    memcpy(ret_text, start, size);
    ret_text[size] = '\0';
    return size;
}
