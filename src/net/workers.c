// SPDX-License-Identifier: Apache-2.0
// A first-in-first-out queue of embedded tasks under one mutex, and threads that wait for it.
#include "net/workers.h"

#include "base/assert.h"

#include <pthread.h>

struct kvs_workers {
    struct kvs_executor executor;
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct kvs_task *first; // guarded by lock, as all below
    struct kvs_task *last;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[];
};

static void post(struct kvs_executor *executor, struct kvs_task *task)
{
    struct kvs_workers *workers = KVS_CONTAINER_OF(executor, struct kvs_workers, executor);
    task->next = NULL;
    pthread_mutex_lock(&workers->lock);
    if (workers->last)
        workers->last->next = task;
    else
        workers->first = task;
    workers->last = task;
    pthread_cond_signal(&workers->filled);
    pthread_mutex_unlock(&workers->lock);
}

static struct kvs_task *take(struct kvs_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (!workers->first && !workers->stopping)
        pthread_cond_wait(&workers->filled, &workers->lock);
    struct kvs_task *task = workers->first;
    if (task) {
        workers->first = task->next;
        if (!workers->first)
            workers->last = NULL;
    }
    pthread_mutex_unlock(&workers->lock);
    return task;
}

static void *work(void *arg)
{
    struct kvs_workers *workers = arg;
    struct kvs_task *task;
    (void)pthread_setname_np(pthread_self(), "kvs-worker"); // for people with a debugger only
    while ((task = take(workers)) != NULL)
        task->run(task);
    return NULL;
}

int kvs_workers_new(unsigned thread_count, struct kvs_workers **ret_workers)
{
    kvs_assert(thread_count > 0);
    struct kvs_workers *workers =
        calloc(1, sizeof(*workers) + thread_count * sizeof(workers->threads[0]));
    if (!workers)
        return KVS_ERR_NOMEM;
    workers->executor.post = post;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->filled, NULL);
    for (; workers->thread_count < thread_count; workers->thread_count++) {
        pthread_t *thread = &workers->threads[workers->thread_count];
        if (pthread_create(thread, NULL, work, workers) != 0) {
            kvs_workers_free(workers);
            return KVS_ERR_NOMEM;
        }
    }
    *ret_workers = workers;
    return 0;
}

struct kvs_executor *kvs_workers_executor(struct kvs_workers *workers)
{
    return &workers->executor;
}

void kvs_workers_free(struct kvs_workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->filled);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < workers->thread_count; i++)
        pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->filled);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
