// SPDX-License-Identifier: Apache-2.0
// Exact integers out of JSON numbers, without floating point: 1, 1.0, 10e-1 and 0.1e1 are the same
// integer, 1.5 and 1e19 are none that fits. Pure and thread-safe.
#include "codec/json_edit_internal.h"

// A number as mantissa × 10^exponent, the mantissa still as text.
struct decimal {
    struct kvs_slice mantissa; // digits and at most one '.'
    int64_t exponent;          // as written, saturated
    bool saturated;            // it is greater than that
    bool negative;
};

static struct decimal split_number(struct kvs_slice source)
{
    // Far beyond any mantissa's length, and with room to add one.
    const int64_t exponent_max = INT64_MAX / 4;
    struct decimal number = {.mantissa = source};
    if (source.data[0] == '-') {
        number.negative = true;
        number.mantissa = kvs_slice(source.data + 1, source.size - 1);
    }
    const char *end = source.data + source.size;
    const char *p = number.mantissa.data;
    while (p < end && *p != 'e' && *p != 'E')
        p++;
    number.mantissa.size = (size_t)(p - number.mantissa.data);
    if (p == end)
        return number;
    p++;
    bool negative_exponent = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    for (; p < end; p++) {
        number.saturated |= number.exponent >= exponent_max / 10;
        if (!number.saturated)
            number.exponent = number.exponent * 10 + (*p - '0');
    }
    if (negative_exponent)
        number.exponent = -number.exponent;
    return number;
}

static bool times_ten_plus(uint64_t *value, unsigned digit)
{
    return !__builtin_mul_overflow(*value, 10, value) &&
           !__builtin_add_overflow(*value, digit, value);
}

// The magnitude of mantissa × 10^exponent, if that is an integer below 2^64.
static bool exact_magnitude(const struct decimal *number, uint64_t *ret_magnitude)
{
    uint64_t magnitude = 0;
    int64_t exponent = number->exponent;
    int64_t zeros = 0; // read, but not yet multiplied in: they may all be trailing ones
    bool fraction = false;
    for (size_t i = 0; i < number->mantissa.size; i++) {
        char c = number->mantissa.data[i];
        if (c == '.') {
            fraction = true;
            continue;
        }
        if (fraction)
            exponent--;
        zeros++;
        if (c == '0')
            continue;
        for (; zeros > 1 && magnitude > 0; zeros--)
            if (!times_ten_plus(&magnitude, 0))
                return false;
        zeros = 0;
        if (!times_ten_plus(&magnitude, (unsigned)(c - '0')))
            return false;
    }
    if (magnitude == 0)
        exponent = 0; // zero times anything
    else
        exponent += zeros;
    if (exponent < 0)
        return false; // its last digit stands behind the point
    for (; exponent > 0; exponent--)
        if (!times_ten_plus(&magnitude, 0))
            return false;
    *ret_magnitude = magnitude;
    return true;
}

bool kvs_json_to_i64(const struct kvs_json *value, int64_t *ret_value)
{
    if (value->type != KVS_JSON_NUMBER)
        return false;
    struct decimal number = split_number(value->source);
    uint64_t magnitude = 0;
    if (!exact_magnitude(&number, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + number.negative)
        return false;
    *ret_value = (int64_t)(number.negative ? 0 - magnitude : magnitude);
    return true;
}

// The significant digits of a number, and where the point stands: value = 0.DIGITS × 10^scale.
struct significant {
    struct kvs_slice digits; // from the first to the last that is not 0, with the '.' if it is
                             // among them; empty: zero
    int64_t scale;
};

static struct significant significant_of(const struct decimal *number)
{
    struct kvs_slice mantissa = number->mantissa;
    const char *point = memchr(mantissa.data, '.', mantissa.size);
    int64_t before_point = point ? point - mantissa.data : (int64_t)mantissa.size;
    size_t first = 0;
    size_t leading = 0; // digits that are 0
    while (first < mantissa.size && (mantissa.data[first] == '0' || mantissa.data[first] == '.'))
        leading += mantissa.data[first++] == '0';
    size_t end = mantissa.size;
    while (end > first && (mantissa.data[end - 1] == '0' || mantissa.data[end - 1] == '.'))
        end--;
    return (struct significant){.digits = kvs_slice(mantissa.data + first, end - first),
                                .scale = number->exponent + before_point - (int64_t)leading};
}

static bool digits_equal(struct kvs_slice a, struct kvs_slice b)
{
    size_t i = 0;
    size_t j = 0;
    for (;;) {
        i += i < a.size && a.data[i] == '.';
        j += j < b.size && b.data[j] == '.';
        if (i == a.size || j == b.size)
            return i == a.size && j == b.size;
        if (a.data[i++] != b.data[j++])
            return false;
    }
}

// Exponents beyond what we count are equal only as they are written.
bool kvs_json_number_equal(struct kvs_slice a, struct kvs_slice b)
{
    struct decimal left = split_number(a);
    struct decimal right = split_number(b);
    struct significant one = significant_of(&left);
    struct significant other = significant_of(&right);
    if (one.digits.size == 0 || other.digits.size == 0)
        return one.digits.size == other.digits.size; // -0 is 0
    if (left.saturated || right.saturated)
        return kvs_slice_eq(a, b);
    return left.negative == right.negative && one.scale == other.scale &&
           digits_equal(one.digits, other.digits);
}
