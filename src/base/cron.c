// SPDX-License-Identifier: Apache-2.0
// Cron schedules with exactly the meaning that robfig/cron v3 gives them, its corners included; its
// own tables are run against this file (tests/tools/go_tables.py). A field is a set of bits; the
// next activation is found by moving a time forward field by field, from months down to seconds,
// and starting over whenever a field wraps around.
#include "base/cron.h"

#include "base/cron_internal.h"
#include "base/duration.h"

#include <stdio.h>

enum {
    YEARS_MAX = 5,
    STEPS_MAX = 1000000, // more than any real zone needs; a bound against one that never advances
    SECOND = 0,
    MINUTE,
    HOUR,
    DAY,
    MONTH,
    WEEKDAY,
    FIELD_COUNT,
    UNIX_S_MAX_BITS = 40,
};

static const struct field {
    const char *label;
    unsigned min;
    unsigned max;
    const char *names;
} fields[FIELD_COUNT] = {
    [SECOND] = {"second", 0, 59, NULL},
    [MINUTE] = {"minute", 0, 59, NULL},
    [HOUR] = {"hour", 0, 23, NULL},
    [DAY] = {"day of month", 1, 31, NULL},
    [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    [WEEKDAY] = {"day of week", 0, 6, "sunmontuewedthufrisat"},
};

static const struct {
    struct kvs_slice name;
    const char *fields[FIELD_COUNT];
} descriptors[] = {
    {KVS_SLICE("@yearly"), {"0", "0", "0", "1", "1", "*"}},
    {KVS_SLICE("@annually"), {"0", "0", "0", "1", "1", "*"}},
    {KVS_SLICE("@monthly"), {"0", "0", "0", "1", "*", "*"}},
    {KVS_SLICE("@weekly"), {"0", "0", "0", "*", "*", "0"}},
    {KVS_SLICE("@daily"), {"0", "0", "0", "*", "*", "*"}},
    {KVS_SLICE("@midnight"), {"0", "0", "0", "*", "*", "*"}},
    {KVS_SLICE("@hourly"), {"0", "0", "*", "*", "*", "*"}},
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Cuts up to the first `separator`, or everything; false when nothing is left to cut.
static bool cut(struct kvs_slice *text, char separator, struct kvs_slice *ret_part)
{
    if (!text->data)
        return false;
    const char *end = text->size > 0 ? memchr(text->data, separator, text->size) : NULL;
    size_t size = end ? (size_t)(end - text->data) : text->size;
    *ret_part = kvs_slice(text->data, size);
    *text = end ? kvs_slice(end + 1, text->size - size - 1) : KVS_SLICE_EMPTY;
    return true;
}

// Digits, with the plus sign that Go's Atoi takes; numbers beyond any field stay beyond.
static bool parse_number(struct kvs_slice text, uint64_t *ret_number)
{
    if (text.size > 1 && text.data[0] == '+')
        text = kvs_slice(text.data + 1, text.size - 1);
    return kvs_slice_to_u64(text, ret_number) && *ret_number <= INT64_MAX;
}

static bool parse_number_or_name(struct kvs_slice text, unsigned min, const char *names,
                                 uint64_t *ret_number)
{
    for (unsigned i = 0; names && names[(size_t)i * 3] != '\0' && text.size == 3; i++) {
        if (kvs_slice_eq_nocase(text, kvs_slice(names + (size_t)i * 3, 3))) {
            *ret_number = min + i;
            return true;
        }
    }
    return parse_number(text, ret_number);
}

// `*`, `?`, `n` or `low-high`. What follows a star and a hyphen is ignored, as robfig/cron does.
static bool parse_span(struct kvs_slice text, unsigned min, unsigned max, const char *names,
                       uint64_t *ret_low, uint64_t *ret_high, bool *ret_star, bool *ret_single)
{
    struct kvs_slice low = KVS_SLICE_EMPTY;
    struct kvs_slice high = KVS_SLICE_EMPTY;
    (void)cut(&text, '-', &low); // there is a text
    bool has_high = cut(&text, '-', &high);
    *ret_single = !has_high;
    *ret_star = kvs_slice_eq(low, KVS_SLICE("*")) || kvs_slice_eq(low, KVS_SLICE("?"));
    if (*ret_star) {
        *ret_low = min;
        *ret_high = max;
        return true;
    }
    if (!parse_number_or_name(low, min, names, ret_low))
        return false;
    *ret_high = *ret_low;
    return !has_high || (!text.data && parse_number_or_name(high, min, names, ret_high));
}

// span [ "/" step ], where n/step means from n to the maximum.
static bool parse_range(struct kvs_slice text, unsigned min, unsigned max, const char *names,
                        uint64_t *bits)
{
    struct kvs_slice span = KVS_SLICE_EMPTY;
    struct kvs_slice step_text = KVS_SLICE_EMPTY;
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t step = 1;
    bool star = false;
    bool single = false;
    (void)cut(&text, '/', &span); // there is a text
    if (!parse_span(span, min, max, names, &low, &high, &star, &single))
        return false;
    if (cut(&text, '/', &step_text)) {
        if (text.data || !parse_number(step_text, &step))
            return false;
        if (single)
            high = max;
        star = star && step == 1;
    }
    if (low < min || high > max || low > high || step == 0)
        return false;
    for (uint64_t i = low; i <= high; i += step)
        *bits |= UINT64_C(1) << i;
    *bits |= star ? KVS_CRON_STAR : 0;
    return true;
}

bool kvs_cron_parse_field(struct kvs_slice text, unsigned min, unsigned max, const char *names,
                          uint64_t *ret_bits)
{
    struct kvs_slice range = KVS_SLICE_EMPTY;
    uint64_t bits = 0;
    while (cut(&text, ',', &range)) { // empty ranges are skipped, as robfig/cron does
        if (range.size > 0 && !parse_range(range, min, max, names, &bits))
            return false;
    }
    *ret_bits = bits;
    return true;
}

static int fail_field(const struct field *field, struct kvs_slice text,
                      struct kvs_message *ret_message)
{
    return kvs_fail(
        ret_message, KVS_ERR_SYNTAX,
        "the field for the %s, \"%.*s\", is not valid; use %u to %u%s, with lists (1,2), "
        "ranges (1-5) and steps (*/2)",
        field->label, text.size < 64 ? (int)text.size : 64, text.data, field->min, field->max,
        field->names ? ", names" : "");
}

static int set_fields(struct kvs_cron *cron, const struct kvs_slice texts[static FIELD_COUNT],
                      struct kvs_message *ret_message)
{
    uint64_t *const targets[FIELD_COUNT] = {
        [SECOND] = &cron->second, [MINUTE] = &cron->minute, [HOUR] = &cron->hour,
        [DAY] = &cron->day,       [MONTH] = &cron->month,   [WEEKDAY] = &cron->weekday,
    };
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *field = &fields[i];
        if (!kvs_cron_parse_field(texts[i], field->min, field->max, field->names, targets[i]))
            return fail_field(field, texts[i], ret_message);
    }
    return 0;
}

static int parse_fields(struct kvs_cron *cron, struct kvs_slice text, bool with_seconds,
                        struct kvs_message *ret_message)
{
    struct kvs_slice texts[FIELD_COUNT] = {KVS_SLICE("0")};
    size_t first = with_seconds ? SECOND : MINUTE;
    size_t count = first;
    for (size_t i = 0; i < text.size;) {
        if (is_space(text.data[i])) {
            i++;
            continue;
        }
        size_t start = i;
        while (i < text.size && !is_space(text.data[i]))
            i++;
        if (count < FIELD_COUNT)
            texts[count] = kvs_slice(text.data + start, i - start);
        count++;
    }
    if (count != FIELD_COUNT)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "a schedule has %d fields, this one %zu; use minute, hour, day of month, "
                        "month, day of week",
                        with_seconds ? FIELD_COUNT : FIELD_COUNT - 1, count - first);
    return set_fields(cron, texts, ret_message);
}

static int parse_descriptor(struct kvs_cron *cron, struct kvs_slice text,
                            struct kvs_message *ret_message)
{
    const struct kvs_slice every = KVS_SLICE("@every ");
    for (size_t i = 0; i < KVS_ARRAY_SIZE(descriptors); i++) {
        if (!kvs_slice_eq(text, descriptors[i].name))
            continue;
        struct kvs_slice texts[FIELD_COUNT];
        for (size_t f = 0; f < FIELD_COUNT; f++)
            texts[f] = kvs_slice_from_str(descriptors[i].fields[f]);
        return set_fields(cron, texts, ret_message);
    }
    int64_t ns = 0;
    if (!kvs_slice_starts_with(text, every))
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "\"%.*s\" is not known; use @yearly, @monthly, @weekly, @daily, @hourly or "
                        "@every with a duration",
                        text.size < 64 ? (int)text.size : 64, text.data);
    text = kvs_slice(text.data + every.size, text.size - every.size);
    if (kvs_duration_parse(text, &ns) < 0)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "\"%.*s\" is no duration; use one such as @every 1h30m",
                        text.size < 64 ? (int)text.size : 64, text.data);
    cron->every_s = ns < 1000000000 ? 1 : ns / 1000000000;
    return 0;
}

static struct kvs_slice trim(struct kvs_slice text)
{
    while (text.size > 0 && is_space(text.data[0]))
        text = kvs_slice(text.data + 1, text.size - 1);
    while (text.size > 0 && is_space(text.data[text.size - 1]))
        text.size--;
    return text;
}

// Takes a leading "TZ=Zone " or "CRON_TZ=Zone " off the text and loads the zone.
static int take_zone(struct kvs_slice *text, struct kvs_zone **ret_zone,
                     struct kvs_message *ret_message)
{
    if (!kvs_slice_starts_with(*text, KVS_SLICE("TZ=")) &&
        !kvs_slice_starts_with(*text, KVS_SLICE("CRON_TZ=")))
        return 0;
    struct kvs_slice name = KVS_SLICE_EMPTY;
    struct kvs_slice rest = *text;
    (void)cut(&rest, '=', &name); // there is one
    (void)cut(&rest, ' ', &name); // the name, whatever follows
    if (!rest.data)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX, "a schedule must follow the time zone");
    struct kvs_zone *zone = NULL;
    int err = kvs_zone_load(name, &zone);
    if (err == KVS_ERR_NOMEM)
        return kvs_fail(ret_message, err, "out of memory");
    if (err < 0)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX,
                        "the time zone \"%.*s\" is not known here; use a name such as "
                        "Europe/Berlin or UTC",
                        name.size < 64 ? (int)name.size : 64, name.data);
    kvs_zone_free(*ret_zone);
    *ret_zone = zone;
    *text = trim(rest);
    return 0;
}

int kvs_cron_parse_with(struct kvs_slice text, bool with_seconds, struct kvs_zone *local,
                        struct kvs_cron **ret_cron, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_zone_freep) struct kvs_zone *zone = local;
    struct kvs_cron cron = {0};
    if (text.size == 0)
        return kvs_fail(ret_message, KVS_ERR_SYNTAX, "the schedule is empty");
    int err = take_zone(&text, &zone, ret_message);
    if (err < 0)
        return err;
    err = kvs_slice_starts_with(text, KVS_SLICE("@"))
              ? parse_descriptor(&cron, text, ret_message)
              : parse_fields(&cron, text, with_seconds, ret_message);
    if (err < 0)
        return err;
    if (!zone && kvs_zone_local(&zone) < 0) // it fails for want of memory alone
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    struct kvs_cron *copy = malloc(sizeof(*copy));
    if (!copy)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    *copy = cron;
    copy->zone = KVS_TAKE(zone);
    *ret_cron = copy;
    return 0;
}

int kvs_cron_parse(struct kvs_slice text, struct kvs_cron **ret_cron,
                   struct kvs_message *ret_message)
{
    return kvs_cron_parse_with(text, false, NULL, ret_cron, ret_message);
}

void kvs_cron_free(struct kvs_cron *cron)
{
    if (!cron)
        return;
    kvs_zone_free(cron->zone);
    free(cron);
}

// Where the search stands.
struct search {
    const struct kvs_cron *cron;
    int64_t unix_s;
    bool moved; // a field was moved, so all smaller ones are at their start
    int steps;
};

static struct kvs_civil now(const struct search *search)
{
    return kvs_zone_civil(search->cron->zone, search->unix_s);
}

static bool has(uint64_t bits, int value)
{
    return bits >> value & 1;
}

// Both must match when one of them is a star, else either.
static bool day_matches(const struct kvs_cron *cron, const struct kvs_civil *civil)
{
    bool day = has(cron->day, civil->day);
    bool weekday = has(cron->weekday, civil->weekday);
    return (cron->day | cron->weekday) & KVS_CRON_STAR ? day && weekday : day || weekday;
}

// Moves to the beginning of the month, day or hour the first time anything moves.
static void start_of(struct search *search, const struct kvs_civil *civil, int day, int hour)
{
    if (!search->moved)
        search->unix_s =
            kvs_zone_unix_s(search->cron->zone, civil->year, civil->month, day, hour, 0, 0);
    search->moved = true;
}

// Each of these moves one field until it matches; false when a larger one wrapped around, or when
// the steps are used up.
static bool find_month(struct search *search)
{
    for (;;) {
        struct kvs_civil civil = now(search);
        if (has(search->cron->month, civil.month))
            return true;
        start_of(search, &civil, 1, 0);
        civil = now(search);
        search->unix_s = kvs_zone_unix_s(search->cron->zone, civil.year, civil.month + 1, civil.day,
                                         civil.hour, civil.minute, civil.second);
        if (now(search).month == 1 || ++search->steps > STEPS_MAX)
            return false;
    }
}

static bool find_day(struct search *search)
{
    for (;;) {
        struct kvs_civil civil = now(search);
        if (day_matches(search->cron, &civil))
            return true;
        start_of(search, &civil, civil.day, 0);
        civil = now(search);
        search->unix_s = kvs_zone_unix_s(search->cron->zone, civil.year, civil.month, civil.day + 1,
                                         civil.hour, civil.minute, civil.second);
        civil = now(search);
        if (civil.hour > 12) // midnight does not exist on this day
            search->unix_s += (24 - civil.hour) * 3600;
        else
            search->unix_s -= civil.hour * 3600;
        if (now(search).day == 1 || ++search->steps > STEPS_MAX)
            return false;
    }
}

static bool find_hour(struct search *search)
{
    for (;;) {
        struct kvs_civil civil = now(search);
        if (has(search->cron->hour, civil.hour))
            return true;
        start_of(search, &civil, civil.day, civil.hour);
        search->unix_s += 3600;
        if (now(search).hour == 0 || ++search->steps > STEPS_MAX)
            return false;
    }
}

static bool find_minute(struct search *search)
{
    for (;;) {
        struct kvs_civil civil = now(search);
        if (has(search->cron->minute, civil.minute))
            return true;
        if (!search->moved) // whole minutes of absolute time, whatever the zone's offset
            search->unix_s -= (search->unix_s % 60 + 60) % 60;
        search->moved = true;
        search->unix_s += 60;
        if (now(search).minute == 0 || ++search->steps > STEPS_MAX)
            return false;
    }
}

static bool find_second(struct search *search)
{
    for (;;) {
        if (has(search->cron->second, now(search).second))
            return true;
        search->moved = true;
        search->unix_s++;
        if (now(search).second == 0 || ++search->steps > STEPS_MAX)
            return false;
    }
}

static bool is_never(const struct kvs_cron *cron)
{
    const uint64_t values = ~KVS_CRON_STAR;
    return !(cron->second & values) || !(cron->minute & values) || !(cron->hour & values) ||
           !(cron->month & values) || !((cron->day | cron->weekday) & values);
}

bool kvs_cron_next(const struct kvs_cron *cron, int64_t unix_s, int64_t *ret_unix_s)
{
    const int64_t unix_s_max = INT64_C(1) << UNIX_S_MAX_BITS; // beyond the year 36000
    if (unix_s < -unix_s_max || unix_s > unix_s_max)
        return false;
    if (cron->every_s > 0) {
        *ret_unix_s = unix_s + cron->every_s;
        return true;
    }
    if (is_never(cron))
        return false;
    struct search search = {.cron = cron, .unix_s = unix_s + 1};
    int64_t year_max = now(&search).year + YEARS_MAX;
    while (now(&search).year <= year_max && search.steps <= STEPS_MAX) {
        if (find_month(&search) && find_day(&search) && find_hour(&search) &&
            find_minute(&search) && find_second(&search)) {
            *ret_unix_s = search.unix_s;
            return true;
        }
    }
    return false;
}
