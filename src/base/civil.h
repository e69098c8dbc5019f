// SPDX-License-Identifier: Apache-2.0
// Days and dates of the proleptic Gregorian calendar, without locale, locks or a time zone.
#ifndef KVS_BASE_CIVIL_H
#define KVS_BASE_CIVIL_H

#include <stdint.h>

struct kvs_civil {
    int64_t year;
    int month;   // 1-12
    int day;     // 1-31
    int hour;    // 0-23
    int minute;  // 0-59
    int second;  // 0-59
    int weekday; // 0 = Sunday
};

// Days since 1970-01-01. `month` and `day` may lie outside their range and carry over, as in Go's
// time.Date: month 13 is January of the next year, day 0 the last one of the month before.
int64_t kvs_civil_days(int64_t year, int64_t month, int64_t day);

// The date and time of day `unix_s` seconds after 1970-01-01T00:00:00; |unix_s| < 2^60.
struct kvs_civil kvs_civil_from_unix(int64_t unix_s);

#endif
