// SPDX-License-Identifier: Apache-2.0
#include "node/backup_plan.h"

#include "base/cleanup.h"

static int64_t next_after(const struct kvs_cron *cron, int64_t now_s)
{
    int64_t next_s = 0;
    return cron && kvs_cron_next(cron, now_s, &next_s) ? next_s : 0;
}

int kvs_backup_plan_set(struct kvs_backup_plan *plan, const char *schedule, int64_t now_s,
                        struct kvs_message *ret_message)
{
    struct kvs_cron *cron = NULL;
    if (schedule && *schedule) {
        int err = kvs_cron_parse(kvs_slice_from_str(schedule), &cron, ret_message);
        if (err)
            return err;
    }
    kvs_cron_free(plan->cron);
    plan->cron = cron;
    plan->next_s = next_after(cron, now_s);
    return 0;
}

void kvs_backup_plan_done(struct kvs_backup_plan *plan)
{
    kvs_cron_free(plan->cron);
    *plan = (struct kvs_backup_plan){0};
}

bool kvs_backup_plan_due(struct kvs_backup_plan *plan, int64_t now_s)
{
    if (plan->next_s == 0)
        return false;
    int64_t fresh_s = next_after(plan->cron, now_s);
    if (now_s >= plan->next_s) {
        plan->next_s = fresh_s;
        return true;
    }
    if (fresh_s != 0 && fresh_s < plan->next_s) // the clock was set back
        plan->next_s = fresh_s;
    return false;
}
