// SPDX-License-Identifier: Apache-2.0
// Time zones read from the system's files (TZif, RFC 9636) or from a POSIX TZ string. The C library
// knows one zone a process, and changing it is not thread-safe; these are plain immutable values.
#ifndef KVS_BASE_ZONE_H
#define KVS_BASE_ZONE_H

#include "base/civil.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/slice.h"

struct kvs_zone; // immutable, thread-safe

// By name: "Europe/Berlin", "UTC" or "", "Local". KVS_ERR_NOT_FOUND when there is no such zone.
KVS_MUST_CHECK int kvs_zone_load(struct kvs_slice name, struct kvs_zone **ret_zone);
// The zone of this machine: what TZ says, else /etc/localtime, else UTC. Reads the environment, so
// it must not run while another thread changes that.
KVS_MUST_CHECK int kvs_zone_local(struct kvs_zone **ret_zone);
// From the bytes of a TZif file; KVS_ERR_CORRUPT when they are none.
KVS_MUST_CHECK int kvs_zone_from_tzif(struct kvs_slice bytes, struct kvs_zone **ret_zone);
// From a POSIX TZ string such as "CET-1CEST,M3.5.0,M10.5.0/3"; KVS_ERR_SYNTAX.
KVS_MUST_CHECK int kvs_zone_from_posix(struct kvs_slice text, struct kvs_zone **ret_zone);
void kvs_zone_free(struct kvs_zone *zone);
KVS_DEFINE_CLEANUP(struct kvs_zone, kvs_zone_free)

// Seconds east of UTC at this time; |unix_s| < 2^50.
int64_t kvs_zone_offset_s(const struct kvs_zone *zone, int64_t unix_s);

// What the clocks on the wall show.
struct kvs_civil kvs_zone_civil(const struct kvs_zone *zone, int64_t unix_s);
// The time at which they show it. Month and day may lie outside their range and carry over. A time
// that occurs twice, or is skipped, becomes what Go's time.Date makes of it.
int64_t kvs_zone_unix_s(const struct kvs_zone *zone, int64_t year, int64_t month, int64_t day,
                        int hour, int minute, int second);

#endif
