// SPDX-License-Identifier: Apache-2.0
// What the tests of robfig/cron look into, and no one else.
#ifndef KVS_BASE_CRON_INTERNAL_H
#define KVS_BASE_CRON_INTERNAL_H

#include "base/cron.h"
#include "base/zone.h"

// Bit n: the field matches n. The star is remembered because day of month and day of week combine
// differently when one of them is unrestricted.
#define KVS_CRON_STAR (UINT64_C(1) << 63)

struct kvs_cron {
    int64_t every_s; // > 0: an @every schedule, and nothing else counts
    uint64_t second;
    uint64_t minute;
    uint64_t hour;
    uint64_t day;
    uint64_t month;
    uint64_t weekday;
    struct kvs_zone *zone; // owned
};

// One field: numbers and ranges with steps, separated by commas; `names` are three letters each
// from `min` on, or NULL.
bool kvs_cron_parse_field(struct kvs_slice text, unsigned min, unsigned max, const char *names,
                          uint64_t *ret_bits);

// As kvs_cron_parse, with a field for seconds in front of the five, and with `local` as the zone of
// a schedule that names none (owned by the schedule even on failure; NULL: this machine's).
KVS_MUST_CHECK int kvs_cron_parse_with(struct kvs_slice text, bool with_seconds,
                                       struct kvs_zone *local, struct kvs_cron **ret_cron,
                                       struct kvs_message *ret_message);

#endif
