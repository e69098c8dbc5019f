// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "net/workers.h"

#include <stdatomic.h>

struct job {
    struct kvs_task task;
    atomic_uint *done;
};

static void run(struct kvs_task *task)
{
    struct job *job = KVS_CONTAINER_OF(task, struct job, task);
    atomic_fetch_add(job->done, 1);
}

static void runs_everything_posted_before_it_ends(void **state)
{
    (void)state;
    static struct job jobs[1000];
    atomic_uint done = 0;
    struct kvs_workers *workers = NULL;
    assert_int_equal(kvs_workers_new(3, &workers), 0);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(jobs); i++) {
        jobs[i] = (struct job){.task.run = run, .done = &done};
        kvs_executor_post(kvs_workers_executor(workers), &jobs[i].task);
    }
    kvs_workers_free(workers);
    assert_int_equal(done, KVS_ARRAY_SIZE(jobs));
}

struct relay {
    struct kvs_task task;
    struct kvs_executor *executor;
    struct kvs_task *next;
};

static void pass_on(struct kvs_task *task)
{
    struct relay *relay = KVS_CONTAINER_OF(task, struct relay, task);
    kvs_executor_post(relay->executor, relay->next);
}

static void lets_a_task_post_another(void **state)
{
    (void)state;
    atomic_uint done = 0;
    struct job job = {.task.run = run, .done = &done};
    struct kvs_workers *workers = NULL;
    assert_int_equal(kvs_workers_new(1, &workers), 0);
    struct relay relay = {{.run = pass_on}, kvs_workers_executor(workers), &job.task};
    kvs_executor_post(kvs_workers_executor(workers), &relay.task);
    kvs_workers_free(workers);
    assert_int_equal(done, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_everything_posted_before_it_ends),
        cmocka_unit_test(lets_a_task_post_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
