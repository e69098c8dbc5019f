// SPDX-License-Identifier: Apache-2.0
#include "base/timefmt.h"

#include "base/civil.h"

// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits of year can say.
#define UNIX_MS_MIN INT64_C(-62167219200000)
#define UNIX_MS_MAX INT64_C(253402300799999)

static char *put_digits(char *out, int64_t value, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

static char *put_text(char *out, const char *text, size_t size)
{
    memcpy(out, text, size);
    return out + size;
}

// Splits clamped milliseconds into whole seconds (floored) and the rest, 0-999.
static int64_t split_ms(int64_t unix_ms, int *ret_ms)
{
    if (unix_ms < UNIX_MS_MIN)
        unix_ms = UNIX_MS_MIN;
    if (unix_ms > UNIX_MS_MAX)
        unix_ms = UNIX_MS_MAX;
    int64_t unix_s = unix_ms / 1000 - (unix_ms % 1000 < 0);
    *ret_ms = (int)(unix_ms - unix_s * 1000);
    return unix_s;
}

void kvs_time_rfc3339(int64_t unix_ms, char ret_text[static KVS_RFC3339_SIZE])
{
    int ms = 0;
    struct kvs_civil civil = kvs_civil_from_unix(split_ms(unix_ms, &ms));
    char *out = put_digits(ret_text, civil.year, 4);
    *out++ = '-';
    out = put_digits(out, civil.month, 2);
    *out++ = '-';
    out = put_digits(out, civil.day, 2);
    *out++ = 'T';
    out = put_digits(out, civil.hour, 2);
    *out++ = ':';
    out = put_digits(out, civil.minute, 2);
    *out++ = ':';
    out = put_digits(out, civil.second, 2);
    *out++ = '.';
    out = put_digits(out, ms, 3);
    *out = 'Z';
}

void kvs_time_http_date(int64_t unix_ms, char ret_text[static KVS_HTTP_DATE_SIZE])
{
    static const char weekdays[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int ms = 0;
    struct kvs_civil civil = kvs_civil_from_unix(split_ms(unix_ms, &ms));
    char *out = put_text(ret_text, weekdays + (ptrdiff_t)civil.weekday * 3, 3);
    out = put_text(out, ", ", 2);
    out = put_digits(out, civil.day, 2);
    *out++ = ' ';
    out = put_text(out, months + (ptrdiff_t)(civil.month - 1) * 3, 3);
    *out++ = ' ';
    out = put_digits(out, civil.year, 4);
    *out++ = ' ';
    out = put_digits(out, civil.hour, 2);
    *out++ = ':';
    out = put_digits(out, civil.minute, 2);
    *out++ = ':';
    out = put_digits(out, civil.second, 2);
    (void)put_text(out, " GMT", 4); // the end of the text: where it stops is known
}
