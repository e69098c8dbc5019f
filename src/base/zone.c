// SPDX-License-Identifier: Apache-2.0
// A zone is a list of moments at which the offset changes, and a rule for all time behind the last
// of them. Files of the system are trusted no further than any other input: every count is bounded
// and checked before it is used.
#include "base/zone.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>

enum {
    FILE_MAX = 256 * 1024,
    CHANGES_MAX = 8192,
    TYPES_MAX = 256,
    OFFSET_MAX_S = 100000, // RFC 9636 §3.2 allows a little less
    HEADER_SIZE = 44,
    TYPE_SIZE = 6,
};

// One end of summer time, as in POSIX.1-2017 §8.3.
struct rule {
    enum { RULE_JULIAN, RULE_DAY_OF_YEAR, RULE_WEEKDAY } kind;
    int day;   // of the year, or of the week with 0 = Sunday
    int week;  // 1-5; 5 is the last
    int month; // 1-12
    int64_t time_s;
};

struct footer {
    bool given;
    bool has_summer;
    int64_t standard_s;
    int64_t summer_s;
    struct rule start;
    struct rule end;
};

struct change {
    int64_t at_s;
    int64_t offset_s;
};

struct kvs_zone {
    int64_t first_offset_s; // before the first change
    struct footer footer;
    size_t change_count;
    struct change changes[];
};

static struct kvs_zone *zone_new(size_t change_count)
{
    struct kvs_zone *zone = calloc(1, sizeof(*zone) + change_count * sizeof(struct change));
    if (zone)
        zone->change_count = change_count;
    return zone;
}

void kvs_zone_free(struct kvs_zone *zone)
{
    free(zone);
}

static bool take_char(struct kvs_slice *text, char c)
{
    if (text->size == 0 || text->data[0] != c)
        return false;
    *text = kvs_slice(text->data + 1, text->size - 1);
    return true;
}

static bool take_number(struct kvs_slice *text, int min, int max, int *ret_number)
{
    int number = 0;
    size_t size = 0;
    while (size < text->size && size < 4 && text->data[size] >= '0' && text->data[size] <= '9')
        number = number * 10 + (text->data[size++] - '0');
    *text = kvs_slice(text->data + size, text->size - size);
    *ret_number = number;
    return size > 0 && number >= min && number <= max;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Three letters or more, or anything in <>.
static bool skip_name(struct kvs_slice *text)
{
    size_t size = 0;
    if (take_char(text, '<')) {
        while (size < text->size && text->data[size] != '>')
            size++;
        *text = kvs_slice(text->data + size, text->size - size);
        return size > 0 && take_char(text, '>');
    }
    while (size < text->size && is_letter(text->data[size]))
        size++;
    *text = kvs_slice(text->data + size, text->size - size);
    return size >= 3;
}

// [+-]hh[:mm[:ss]]
static bool take_time(struct kvs_slice *text, int hours_max, int64_t *ret_s)
{
    int hours = 0;
    int minutes = 0;
    int seconds = 0;
    bool negative = take_char(text, '-');
    if (!negative)
        (void)take_char(text, '+'); // optional
    if (!take_number(text, 0, hours_max, &hours))
        return false;
    if (take_char(text, ':')) {
        if (!take_number(text, 0, 59, &minutes))
            return false;
        if (take_char(text, ':') && !take_number(text, 0, 59, &seconds))
            return false;
    }
    int64_t total = (int64_t)hours * 3600 + minutes * 60 + seconds;
    *ret_s = negative ? -total : total;
    return true;
}

static bool take_rule(struct kvs_slice *text, struct rule *ret_rule)
{
    struct rule rule = {.time_s = 2 * 3600};
    if (!take_char(text, ','))
        return false;
    if (take_char(text, 'M')) {
        rule.kind = RULE_WEEKDAY;
        if (!take_number(text, 1, 12, &rule.month) || !take_char(text, '.') ||
            !take_number(text, 1, 5, &rule.week) || !take_char(text, '.') ||
            !take_number(text, 0, 6, &rule.day))
            return false;
    } else if (take_char(text, 'J')) {
        rule.kind = RULE_JULIAN;
        if (!take_number(text, 1, 365, &rule.day))
            return false;
    } else {
        rule.kind = RULE_DAY_OF_YEAR;
        if (!take_number(text, 0, 365, &rule.day))
            return false;
    }
    if (take_char(text, '/') && !take_time(text, 167, &rule.time_s))
        return false;
    *ret_rule = rule;
    return true;
}

// The signs are those of POSIX: west of Greenwich is positive.
static bool parse_footer(struct kvs_slice text, struct footer *ret_footer)
{
    struct footer footer = {.given = true};
    if (!skip_name(&text) || !take_time(&text, 24, &footer.standard_s))
        return false;
    footer.standard_s = -footer.standard_s;
    if (text.size > 0) {
        footer.has_summer = true;
        footer.summer_s = footer.standard_s + 3600;
        if (!skip_name(&text))
            return false;
        if (text.size > 0 && text.data[0] != ',') {
            if (!take_time(&text, 24, &footer.summer_s))
                return false;
            footer.summer_s = -footer.summer_s;
        }
        if (text.size == 0) // what the C library assumes
            text = KVS_SLICE(",M3.2.0,M11.1.0");
        if (!take_rule(&text, &footer.start) || !take_rule(&text, &footer.end) || text.size > 0)
            return false;
    }
    *ret_footer = footer;
    return true;
}

int kvs_zone_from_posix(struct kvs_slice text, struct kvs_zone **ret_zone)
{
    struct footer footer;
    if (!parse_footer(text, &footer))
        return KVS_ERR_SYNTAX;
    struct kvs_zone *zone = zone_new(0);
    if (!zone)
        return KVS_ERR_NOMEM;
    zone->footer = footer;
    *ret_zone = zone;
    return 0;
}

struct header {
    char version;
    uint32_t ut_count;
    uint32_t standard_count;
    uint32_t leap_count;
    uint32_t change_count;
    uint32_t type_count;
    uint32_t name_size;
};

static int64_t read_be(const char *data, size_t size)
{
    uint64_t value = data[0] & 0x80 ? UINT64_MAX : 0; // the sign
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (unsigned char)data[i];
    return (int64_t)value;
}

static bool take_header(struct kvs_slice *bytes, struct header *ret_header)
{
    if (bytes->size < HEADER_SIZE || memcmp(bytes->data, "TZif", 4) != 0)
        return false;
    uint32_t counts[6];
    for (size_t i = 0; i < 6; i++)
        counts[i] = (uint32_t)read_be(bytes->data + 20 + i * 4, 4);
    *ret_header = (struct header){bytes->data[4], counts[0], counts[1], counts[2],
                                  counts[3],      counts[4], counts[5]};
    *bytes = kvs_slice(bytes->data + HEADER_SIZE, bytes->size - HEADER_SIZE);
    return ret_header->change_count <= CHANGES_MAX && ret_header->type_count > 0 &&
           ret_header->type_count <= TYPES_MAX && ret_header->name_size <= FILE_MAX &&
           ret_header->leap_count <= FILE_MAX && ret_header->ut_count <= TYPES_MAX &&
           ret_header->standard_count <= TYPES_MAX;
}

static size_t body_size(const struct header *header, size_t time_size)
{
    return header->change_count * (time_size + 1) + (size_t)header->type_count * TYPE_SIZE +
           header->name_size + header->leap_count * (time_size + 4) + header->standard_count +
           header->ut_count;
}

// Bytes: the times, one type number each, then the types: offset, summer flag, name.
static bool read_changes(struct kvs_slice body, const struct header *header, size_t time_size,
                         struct kvs_zone *zone)
{
    const char *types = body.data + header->change_count * (time_size + 1);
    zone->first_offset_s = read_be(types, 4);
    for (uint32_t i = 0; i < header->type_count; i++) {
        int64_t offset_s = read_be(types + (size_t)i * TYPE_SIZE, 4);
        if (offset_s < -OFFSET_MAX_S || offset_s > OFFSET_MAX_S)
            return false;
    }
    for (uint32_t i = 0; i < header->change_count; i++) {
        unsigned char type = (unsigned char)body.data[header->change_count * time_size + i];
        struct change *change = &zone->changes[i];
        change->at_s = read_be(body.data + i * time_size, time_size);
        if (type >= header->type_count || (i > 0 && change->at_s <= zone->changes[i - 1].at_s))
            return false;
        change->offset_s = read_be(types + (size_t)type * TYPE_SIZE, 4);
    }
    return true;
}

// "\n" TZ string "\n"; an empty one means that the last change holds for ever.
static bool read_footer(struct kvs_slice bytes, struct footer *ret_footer)
{
    if (bytes.size < 2 || bytes.data[0] != '\n')
        return false;
    const char *end = memchr(bytes.data + 1, '\n', bytes.size - 1);
    if (!end)
        return false;
    struct kvs_slice text = kvs_slice(bytes.data + 1, (size_t)(end - bytes.data) - 1);
    return text.size == 0 || parse_footer(text, ret_footer);
}

int kvs_zone_from_tzif(struct kvs_slice bytes, struct kvs_zone **ret_zone)
{
    struct header header;
    size_t time_size = 4;
    if (bytes.size > FILE_MAX || !take_header(&bytes, &header))
        return KVS_ERR_CORRUPT;
    bool has_footer = header.version >= '2';
    if (has_footer) { // everything again, with 64-bit times
        size_t skipped = body_size(&header, time_size);
        if (skipped > bytes.size)
            return KVS_ERR_CORRUPT;
        bytes = kvs_slice(bytes.data + skipped, bytes.size - skipped);
        time_size = 8;
        if (!take_header(&bytes, &header))
            return KVS_ERR_CORRUPT;
    }
    size_t size = body_size(&header, time_size);
    if (size > bytes.size)
        return KVS_ERR_CORRUPT;
    KVS_CLEANUP(kvs_zone_freep) struct kvs_zone *zone = zone_new(header.change_count);
    if (!zone)
        return KVS_ERR_NOMEM;
    if (!read_changes(bytes, &header, time_size, zone))
        return KVS_ERR_CORRUPT;
    if (has_footer && !read_footer(kvs_slice(bytes.data + size, bytes.size - size), &zone->footer))
        return KVS_ERR_CORRUPT;
    *ret_zone = KVS_TAKE(zone);
    return 0;
}

static int load_file(const char *path, struct kvs_zone **ret_zone)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return kvs_err_from_errno(errno);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(FILE_MAX + 4096);
    for (;;) {
        char *room = kvs_buf_reserve(&bytes, 4096);
        if (!room)
            return bytes.err == KVS_ERR_NOMEM ? KVS_ERR_NOMEM : KVS_ERR_CORRUPT;
        ssize_t size = read(fd, room, 4096);
        if (size < 0)
            return kvs_err_from_errno(errno);
        if (size == 0)
            return kvs_zone_from_tzif(kvs_buf_slice(&bytes), ret_zone);
        bytes.size += (size_t)size;
    }
}

// No way out of the folder of zones.
static bool is_safe_name(struct kvs_slice name)
{
    return name.data && name.size > 0 && name.size < 256 && name.data[0] != '/' &&
           name.data[0] != '\\' && !memmem(name.data, name.size, "..", 2) &&
           !memchr(name.data, '\0', name.size);
}

static int load_named(struct kvs_slice name, struct kvs_zone **ret_zone)
{
    static const char *const folders[] = {"/usr/share/zoneinfo/", "/usr/lib/zoneinfo/",
                                          "/etc/zoneinfo/"};
    if (!is_safe_name(name))
        return KVS_ERR_NOT_FOUND;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(folders); i++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf path = KVS_BUF_INIT(512);
        kvs_buf_append_str(&path, folders[i]);
        kvs_buf_append_slice(&path, name);
        kvs_buf_append_char(&path, '\0');
        if (path.err)
            return path.err;
        int err = load_file(path.data, ret_zone);
        if (err == 0 || err == KVS_ERR_NOMEM)
            return err;
    }
    return KVS_ERR_NOT_FOUND;
}

static int load_utc(struct kvs_zone **ret_zone)
{
    struct kvs_zone *zone = zone_new(0);
    if (!zone)
        return KVS_ERR_NOMEM;
    *ret_zone = zone;
    return 0;
}

int kvs_zone_load(struct kvs_slice name, struct kvs_zone **ret_zone)
{
    if (name.size == 0 || kvs_slice_eq(name, KVS_SLICE("UTC")))
        return load_utc(ret_zone);
    if (kvs_slice_eq(name, KVS_SLICE("Local")))
        return kvs_zone_local(ret_zone);
    return load_named(name, ret_zone);
}

int kvs_zone_local(struct kvs_zone **ret_zone)
{
    const char *tz = getenv("TZ");
    int err = KVS_ERR_NOT_FOUND;
    if (!tz) {
        err = load_file("/etc/localtime", ret_zone);
    } else if (tz[0] != '\0') {
        tz += tz[0] == ':';
        struct kvs_slice name = kvs_slice_from_str(tz);
        err = tz[0] == '/' ? load_file(tz, ret_zone) : load_named(name, ret_zone);
        if (err < 0 && err != KVS_ERR_NOMEM)
            err = kvs_zone_from_posix(name, ret_zone);
    }
    return err == 0 || err == KVS_ERR_NOMEM ? err : load_utc(ret_zone);
}

static int days_in_month(int64_t year, int month)
{
    return (int)(kvs_civil_days(year, month + 1, 1) - kvs_civil_days(year, month, 1));
}

// The moment of this rule in a year, in seconds of a clock that shows `offset_s`.
static int64_t rule_unix_s(const struct rule *rule, int64_t year, int64_t offset_s)
{
    int64_t days = kvs_civil_days(year, 1, 1);
    if (rule->kind == RULE_DAY_OF_YEAR) {
        days += rule->day;
    } else if (rule->kind == RULE_JULIAN) { // 29 February does not count
        days += rule->day - 1 + (days_in_month(year, 2) == 29 && rule->day >= 60);
    } else {
        days = kvs_civil_days(year, rule->month, 1);
        int first_weekday = kvs_civil_from_unix(days * 86400).weekday;
        int day = (rule->day - first_weekday + 7) % 7 + (rule->week - 1) * 7;
        days += day < days_in_month(year, rule->month) ? day : day - 7;
    }
    return days * 86400 + rule->time_s - offset_s;
}

static int64_t footer_offset_s(const struct footer *footer, int64_t unix_s)
{
    if (!footer->has_summer)
        return footer->standard_s;
    int64_t year = kvs_civil_from_unix(unix_s).year;
    int64_t start_s = rule_unix_s(&footer->start, year, footer->standard_s);
    int64_t end_s = rule_unix_s(&footer->end, year, footer->summer_s);
    bool summer = start_s < end_s ? unix_s >= start_s && unix_s < end_s
                                  : unix_s >= start_s || unix_s < end_s; // south of the equator
    return summer ? footer->summer_s : footer->standard_s;
}

int64_t kvs_zone_offset_s(const struct kvs_zone *zone, int64_t unix_s)
{
    size_t low = 0; // changes before it are at or before unix_s
    size_t high = zone->change_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->changes[middle].at_s <= unix_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == zone->change_count && zone->footer.given)
        return footer_offset_s(&zone->footer, unix_s);
    return low == 0 ? zone->first_offset_s : zone->changes[low - 1].offset_s;
}

struct kvs_civil kvs_zone_civil(const struct kvs_zone *zone, int64_t unix_s)
{
    return kvs_civil_from_unix(unix_s + kvs_zone_offset_s(zone, unix_s));
}

// Guesses with the offset at the same numbers in UTC, and corrects once if that lies beyond a
// change.
int64_t kvs_zone_unix_s(const struct kvs_zone *zone, int64_t year, int64_t month, int64_t day,
                        int hour, int minute, int second)
{
    int64_t local_s = kvs_civil_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    int64_t guess_s = local_s - kvs_zone_offset_s(zone, local_s);
    return local_s - kvs_zone_offset_s(zone, guess_s);
}
