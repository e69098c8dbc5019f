// SPDX-License-Identifier: Apache-2.0
// HTTP-dates, all three forms of RFC 9110 section 5.6.7:
//     Sun, 06 Nov 1994 08:49:37 GMT     IMF-fixdate
//     Sunday, 06-Nov-94 08:49:37 GMT    RFC 850, obsolete
//     Sun Nov  6 08:49:37 1994          asctime, obsolete
// The day of the week must be a name but is not held against the date.
#include "api/api_internal.h"

#include "base/civil.h"

// A pattern is literal but for: D day, d day with a leading space, B month, Y year, y its last two
// digits, H M S time of day.
static const char *const forms[] = {", D B Y H:M:S GMT", ", D-B-y H:M:S GMT", " B d H:M:S Y"};

struct date {
    int64_t year;
    int month, day, hour, minute, second;
};

static bool cut(struct kvs_slice *text, size_t size, struct kvs_slice *ret_head)
{
    if (text->size < size)
        return false;
    *ret_head = kvs_slice(text->data, size);
    *text = kvs_slice(text->data + size, text->size - size);
    return true;
}

static bool cut_number(struct kvs_slice *text, size_t digits, int min, int max, int *ret_number)
{
    struct kvs_slice head;
    uint64_t number = 0;
    if (!cut(text, digits, &head) || !kvs_slice_to_u64(head, &number))
        return false;
    *ret_number = (int)number; // at most four digits
    return *ret_number >= min && *ret_number <= max;
}

static bool cut_month(struct kvs_slice *text, int *ret_month)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct kvs_slice head;
    if (!cut(text, 3, &head))
        return false;
    for (const char *name = names; *name; name += 3) {
        if (memcmp(name, head.data, 3) != 0)
            continue;
        *ret_month = (int)(name - names) / 3 + 1;
        return true;
    }
    return false;
}

static bool cut_weekday(struct kvs_slice *text)
{
    static const char *const names[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                        "Thursday", "Friday", "Saturday"};
    struct kvs_slice head;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        if (kvs_slice_starts_with(*text, kvs_slice_from_str(names[i])))
            return cut(text, strlen(names[i]), &head);
        if (kvs_slice_starts_with(*text, kvs_slice(names[i], 3)))
            return cut(text, 3, &head);
    }
    return false;
}

// "A year that appears to be more than 50 years in the future" is one of the century before.
static int64_t full_year(int two_digits, int64_t now_s)
{
    int64_t this_year = kvs_civil_from_unix(now_s).year;
    int64_t year = this_year - this_year % 100 + two_digits;
    return year > this_year + 50 ? year - 100 : year;
}

static bool cut_item(struct kvs_slice *text, char item, int64_t now_s, struct date *date)
{
    struct kvs_slice head;
    int year = 0;
    switch (item) {
    case 'd':
        if (text->size > 0 && text->data[0] == ' ')
            return cut(text, 1, &head) && cut_number(text, 1, 1, 9, &date->day);
        return cut_number(text, 2, 10, 31, &date->day);
    case 'D':
        return cut_number(text, 2, 1, 31, &date->day);
    case 'B':
        return cut_month(text, &date->month);
    case 'Y':
        if (!cut_number(text, 4, 0, 9999, &year))
            return false;
        date->year = year;
        return true;
    case 'y':
        if (!cut_number(text, 2, 0, 99, &year))
            return false;
        date->year = full_year(year, now_s);
        return true;
    case 'H':
        return cut_number(text, 2, 0, 23, &date->hour);
    case 'M':
        return cut_number(text, 2, 0, 59, &date->minute);
    case 'S':
        return cut_number(text, 2, 0, 60, &date->second); // 60: a leap second
    default:
        return cut(text, 1, &head) && head.data[0] == item;
    }
}

static bool matches(const char *form, struct kvs_slice text, int64_t now_s, struct date *ret_date)
{
    static const struct kvs_slice gmt = {"GMT", 3};
    const char *zone = strstr(form, gmt.data);
    for (const char *p = form; p != zone && *p; p++)
        if (!cut_item(&text, *p, now_s, ret_date))
            return false;
    return zone ? kvs_slice_eq(text, gmt) : text.size == 0;
}

bool kvs_api_http_date_parse(struct kvs_slice text, int64_t now_s, int64_t *ret_unix_s)
{
    if (!cut_weekday(&text))
        return false;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(forms); i++) {
        struct date date = {0};
        if (!matches(forms[i], text, now_s, &date))
            continue;
        int64_t days = kvs_civil_days(date.year, date.month, date.day);
        bool exists = days < kvs_civil_days(date.year, date.month + 1, 1); // no February 30
        int64_t minutes = (days * 24 + date.hour) * 60 + date.minute;
        *ret_unix_s = minutes * 60 + date.second;
        return exists && *ret_unix_s >= 0;
    }
    return false;
}
