// SPDX-License-Identifier: Apache-2.0
// When the next backup by schedule is due. Pure but for the zone files that a schedule may name.
// What was missed while nobody looked counts once, not once each; what was missed before the plan
// was made does not count.
#ifndef KVS_NODE_BACKUP_PLAN_H
#define KVS_NODE_BACKUP_PLAN_H

#include "base/cron.h"

struct kvs_backup_plan {
    struct kvs_cron *cron; // NULL: no schedule
    int64_t next_s;        // 0: none
};

// NULL or "": no schedule. On an error the plan stays as it was.
KVS_MUST_CHECK int kvs_backup_plan_set(struct kvs_backup_plan *plan, const char *schedule,
                                       int64_t now_s, struct kvs_message *ret_message);
void kvs_backup_plan_done(struct kvs_backup_plan *plan);

// Is a backup due? Then the next one is planned as well. Also notices a clock that was set back.
bool kvs_backup_plan_due(struct kvs_backup_plan *plan, int64_t now_s);

#endif
