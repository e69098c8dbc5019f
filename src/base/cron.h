// SPDX-License-Identifier: Apache-2.0
// Five-field cron schedules as robfig/cron v3's standard parser reads them: lists, ranges, steps,
// month and weekday names, `?`, @yearly @annually @monthly @weekly @daily @midnight @hourly,
// `@every DURATION`, and a leading `TZ=Zone ` or `CRON_TZ=Zone `.
#ifndef KVS_BASE_CRON_H
#define KVS_BASE_CRON_H

#include "base/err.h"
#include "base/slice.h"

struct kvs_cron; // immutable after parsing, thread-safe

// `ret_message` says which field is wrong and what is allowed. Owned by the caller.
KVS_MUST_CHECK int kvs_cron_parse(struct kvs_slice text, struct kvs_cron **ret_cron,
                                  struct kvs_message *ret_message);
void kvs_cron_free(struct kvs_cron *cron);

// The first activation after `unix_s`, in the schedule's zone (the local one by default),
// daylight-saving changes handled as robfig/cron does; false when there is none within five years.
bool kvs_cron_next(const struct kvs_cron *cron, int64_t unix_s, int64_t *ret_unix_s);

#endif
