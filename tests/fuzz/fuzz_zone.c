// SPDX-License-Identifier: Apache-2.0
// A time-zone file, or a POSIX string: offsets stay within bounds at any time.
#include "base/assert.h"
#include "base/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct kvs_zone *zone)
{
    const int64_t limit = INT64_C(1) << 40;
    for (int64_t at = -limit; at <= limit; at += limit / 16) {
        int64_t offset_s = kvs_zone_offset_s(zone, at);
        kvs_assert(offset_s >= -100000);
        kvs_assert(offset_s <= 100000);
        struct kvs_civil civil = kvs_zone_civil(zone, at);
        (void)kvs_zone_unix_s(zone, civil.year, civil.month + 1, civil.day, 0, 0, 0); // no crash
    }
    kvs_zone_free(zone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kvs_zone *zone = NULL;
    if (kvs_zone_from_tzif(kvs_slice(data, size), &zone) == 0)
        use(zone);
    if (kvs_zone_from_posix(kvs_slice(data, size), &zone) == 0)
        use(zone);
    return 0;
}
