// SPDX-License-Identifier: Apache-2.0
// Runs rows that tests/tools/go_tables.py takes from the tests of Go and robfig/cron. A row is one
// line on stdin, fields divided by tabs, the table's name first:
//   parse HEX NS|error | format NS HEX | field MIN MAX TEXT BITS|error | refuse SYNTAX SPEC
//   schedule SYNTAX SPEC BITS…|every S | next SYNTAX ZONE UNIX SPEC UNIX|!UNIX|none
#include "base/cron_internal.h"
#include "base/duration.h"

#include <inttypes.h>
#include <stdio.h>

enum { FIELDS_MAX = 8, LINE_SIZE = 4096 };

static struct kvs_slice text_of(const char *field)
{
    return kvs_slice_from_str(field);
}

static size_t from_hex(const char *hex, char *ret_bytes)
{
    size_t size = 0;
    unsigned byte = 0;
    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        ret_bytes[size++] = (char)byte;
    return size;
}

static bool run_parse(char **field)
{
    char bytes[LINE_SIZE];
    int64_t ns = 0;
    int err = kvs_duration_parse(kvs_slice(bytes, from_hex(field[0], bytes)), &ns);
    if (strcmp(field[1], "error") == 0)
        return err < 0;
    return err == 0 && ns == strtoll(field[1], NULL, 10);
}

static bool run_format(char **field)
{
    char expected[LINE_SIZE];
    char text[KVS_DURATION_TEXT_MAX];
    size_t size = from_hex(field[1], expected);
    return kvs_duration_format(strtoll(field[0], NULL, 10), text) == size &&
           memcmp(text, expected, size) == 0;
}

static bool run_field(char **field)
{
    uint64_t bits = 0;
    bool ok = kvs_cron_parse_field(text_of(field[2]), (unsigned)atoi(field[0]),
                                   (unsigned)atoi(field[1]), NULL, &bits);
    if (strcmp(field[3], "error") == 0)
        return !ok;
    return ok && bits == strtoull(field[3], NULL, 16);
}

// The zone by name, or as a POSIX string.
static struct kvs_zone *zone_of(const char *name)
{
    struct kvs_zone *zone = NULL;
    if (kvs_zone_load(text_of(name), &zone) < 0 && kvs_zone_from_posix(text_of(name), &zone) < 0)
        return NULL;
    return zone;
}

static struct kvs_cron *parse(const char *syntax, const char *spec, const char *zone)
{
    struct kvs_cron *cron = NULL;
    int err = kvs_cron_parse_with(text_of(spec), strcmp(syntax, "seconds") == 0,
                                  zone ? zone_of(zone) : NULL, &cron, NULL);
    return err < 0 ? NULL : cron;
}

static bool run_refuse(char **field)
{
    struct kvs_cron *cron = parse(field[0], field[1], NULL);
    kvs_cron_free(cron);
    return !cron;
}

static bool has_same_zone(const struct kvs_cron *cron, const char *name)
{
    struct kvs_zone *zone = zone_of(name);
    bool same = zone;
    for (int64_t unix_s = 0; same && unix_s < 2000000000; unix_s += 7000000)
        same = kvs_zone_offset_s(zone, unix_s) == kvs_zone_offset_s(cron->zone, unix_s);
    kvs_zone_free(zone);
    return same;
}

static bool run_schedule(char **field)
{
    struct kvs_cron *cron = parse(field[0], field[1], NULL);
    uint64_t s, m, h, d, o, w;
    int64_t every_s = 0;
    char zone[64];
    bool ok = false;
    if (cron && sscanf(field[2], "every %" SCNd64, &every_s) == 1)
        ok = cron->every_s == every_s;
    else if (cron &&
             sscanf(field[2],
                    "%" SCNx64 "%" SCNx64 "%" SCNx64 "%" SCNx64 "%" SCNx64 "%" SCNx64 " %63s", &s,
                    &m, &h, &d, &o, &w, zone) == 7)
        ok = cron->every_s == 0 && cron->second == s && cron->minute == m && cron->hour == h &&
             cron->day == d && cron->month == o && cron->weekday == w && has_same_zone(cron, zone);
    kvs_cron_free(cron);
    return ok;
}

static bool run_next(char **field)
{
    struct kvs_cron *cron = parse(field[0], field[3], field[1]);
    if (!cron)
        return false;
    int64_t next_s = 0;
    bool found = kvs_cron_next(cron, strtoll(field[2], NULL, 10), &next_s);
    kvs_cron_free(cron);
    if (strcmp(field[4], "none") == 0)
        return !found;
    if (field[4][0] == '!')
        return !found || next_s != strtoll(field[4] + 1, NULL, 10);
    return found && next_s == strtoll(field[4], NULL, 10);
}

static const struct {
    const char *name;
    bool (*run)(char **field);
    size_t fields;
} kinds[] = {
    {"parse", run_parse, 2},   {"format", run_format, 2},     {"field", run_field, 4},
    {"refuse", run_refuse, 2}, {"schedule", run_schedule, 3}, {"next", run_next, 5},
};

static bool run_line(char *line)
{
    char *field[FIELDS_MAX] = {0};
    size_t count = 0;
    for (char *rest = line, *part; count < FIELDS_MAX && (part = strsep(&rest, "\t"));)
        field[count++] = part;
    for (size_t i = 0; count > 1 && i < KVS_ARRAY_SIZE(kinds); i++) {
        if (strcmp(field[1], kinds[i].name) == 0)
            return count == kinds[i].fields + 2 && kinds[i].run(field + 2);
    }
    return false;
}

int main(void)
{
    char line[LINE_SIZE];
    char copy[LINE_SIZE];
    int count = 0;
    int failed = 0;
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = '\0';
        strcpy(copy, line);
        count++;
        if (!run_line(line)) {
            printf("failed: %s\n", copy);
            failed++;
        }
    }
    printf("%d rows, %d failed\n", count, failed);
    return failed == 0 && count > 0 ? 0 : 1;
}
