// SPDX-License-Identifier: Apache-2.0
// Jobs: their list and the thread that carries them out. The thread changes nothing itself (INV-5):
// it submits conditional deletions and the record of how far it has come (job_record.h) as one
// group.
#include "node/jobs.h"

#include "base/assert.h"
#include "node/job_record.h"
#include "node/node_internal.h"

#include <time.h>

enum {
    BATCH = 128,      // deletions a group: few enough not to hold up clients' writes
    WALK_MAX = 20000, // keys a step, those that stay included
    RETRY_S = 1,      // after an error of the store
    RECORD_SIZE_MAX = 4096,
};

struct kvs_jobs {
    struct kvs_node *node;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; // guards the list and `stopping`
    pthread_cond_t wake;
    bool stopping;
    size_t count;
    struct kvs_job_entry *entries[KVS_JOBS_KEPT_MAX]; // oldest first
    pthread_mutex_t starting;                         // one start or cancellation at a time
};

const char *kvs_job_state_name(enum kvs_job_state state)
{
    switch (state) {
    case KVS_JOB_QUEUED:
        return "queued";
    case KVS_JOB_RUNNING:
        return "running";
    case KVS_JOB_DONE:
        return "done";
    case KVS_JOB_CANCELLED:
        break;
    }
    return "cancelled";
}

static bool is_active(const struct kvs_job_entry *entry)
{
    return entry->job.state == KVS_JOB_QUEUED || entry->job.state == KVS_JOB_RUNNING;
}

// ---- Records

// `buf` and `key` are borrowed by the write.
static struct kvs_write record_write(const struct kvs_job_entry *entry,
                                     char key[static KVS_JOB_KEY_SIZE], struct kvs_buf *buf)
{
    kvs_job_encode_key(&entry->job.id, key);
    kvs_buf_clear(buf);
    kvs_job_encode(buf, entry);
    return (struct kvs_write){
        .op = KVS_WRITE_META, .key = kvs_slice(key, KVS_JOB_KEY_SIZE), .json = kvs_buf_slice(buf)};
}

static int save(struct kvs_jobs *jobs, const struct kvs_job_entry *entry)
{
    char key[KVS_JOB_KEY_SIZE];
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(RECORD_SIZE_MAX);
    struct kvs_write write = record_write(entry, key, &buf);
    return buf.err ? buf.err : kvs_node_write_wait(jobs->node, &write);
}

static int erase(struct kvs_jobs *jobs, const struct kvs_uuid *id)
{
    char key[KVS_JOB_KEY_SIZE];
    kvs_job_encode_key(id, key);
    struct kvs_write write = {.op = KVS_WRITE_META, .key = kvs_slice(key, sizeof(key))};
    return kvs_node_write_wait(jobs->node, &write);
}

// ---- The list; its lock is held

static size_t find(const struct kvs_jobs *jobs, const struct kvs_uuid *id)
{
    size_t at = 0;
    while (at < jobs->count && kvs_uuid_cmp(&jobs->entries[at]->job.id, id) != 0)
        at++;
    return at;
}

static void insert(struct kvs_jobs *jobs, struct kvs_job_entry *entry)
{
    size_t at = jobs->count;
    while (at > 0 && jobs->entries[at - 1]->job.created_ms > entry->job.created_ms)
        at--;
    memmove(&jobs->entries[at + 1], &jobs->entries[at],
            (jobs->count - at) * sizeof(jobs->entries[0]));
    jobs->entries[at] = entry;
    jobs->count++;
}

static void drop(struct kvs_jobs *jobs, size_t at)
{
    free(jobs->entries[at]);
    jobs->count--;
    memmove(&jobs->entries[at], &jobs->entries[at + 1],
            (jobs->count - at) * sizeof(jobs->entries[0]));
}

static size_t active_count(const struct kvs_jobs *jobs)
{
    size_t count = 0;
    for (size_t i = 0; i < jobs->count; i++)
        count += is_active(jobs->entries[i]);
    return count;
}

static struct kvs_job_entry *oldest_active(const struct kvs_jobs *jobs)
{
    for (size_t i = 0; i < jobs->count; i++)
        if (is_active(jobs->entries[i]))
            return jobs->entries[i];
    return NULL;
}

// ---- One step of a job, on its thread

struct step {
    struct kvs_jobs *jobs;
    const struct kvs_job_entry *entry;
    size_t count;
    bool ended; // there is nothing behind what was collected
    size_t next_size;
    char next[KVS_KEY_SIZE_MAX + 1];
    struct kvs_uuid uuids[BATCH];
    struct kvs_write writes[BATCH + 1];
    char keys[BATCH][KVS_KEY_SIZE_MAX];
};

static bool was_there(const struct step *step, const struct kvs_version *version)
{
    const struct kvs_identity *identity = &step->jobs->node->identity;
    if (version->writer.joined_timestamp == identity->self.joined_timestamp)
        return version->writer_seq <= step->entry->writer_seq;
    return version->timestamp <= step->entry->timestamp;
}

static void go_on_at(struct step *step, struct kvs_slice key)
{
    step->ended = false;
    memcpy(step->next, key.data, key.size);
    step->next_size = key.size;
}

static bool collect(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                    struct kvs_slice json)
{
    (void)json;
    struct step *step = ctx;
    if (!was_there(step, version))
        return true;
    if (step->count == BATCH) {
        go_on_at(step, key);
        return false;
    }
    size_t i = step->count++;
    memcpy(step->keys[i], key.data, key.size);
    step->uuids[i] = version->uuid;
    step->writes[i] = (struct kvs_write){.op = KVS_WRITE_DELETE,
                                         .grant = kvs_auth_open_grant(),
                                         .key = kvs_slice(step->keys[i], key.size),
                                         .condition = KVS_CONDITION_UUIDS,
                                         .condition_uuids = &step->uuids[i],
                                         .condition_uuid_count = 1};
    return true;
}

static void pause_at(void *ctx, struct kvs_slice key)
{
    go_on_at(ctx, key);
}

// `entry` is a copy: the list's own is shown to others meanwhile.
static int run_step(struct kvs_jobs *jobs, struct kvs_job_entry *entry, struct step *step)
{
    step->jobs = jobs;
    step->entry = entry;
    step->count = 0;
    step->ended = true;
    const struct kvs_node_scan scan = {
        .first = kvs_slice(entry->cursor, entry->cursor_size),
        .prefix = kvs_slice(entry->job.prefix, entry->job.prefix_size),
        .visit = collect,
        .keys_max = WALK_MAX,
        .pause = pause_at,
        .ctx = step,
    };
    int err = kvs_node_scan(jobs->node, kvs_auth_open_grant(), &scan, KVS_READ_DISK);
    if (err)
        return err;
    uint64_t deleted = entry->job.deleted;
    entry->job.deleted += step->count;
    if (step->ended) {
        entry->job.state = KVS_JOB_DONE;
        entry->job.finished_ms = kvs_clock_wall_ms(jobs->node->options.clock);
    } else {
        memcpy(entry->cursor, step->next, step->next_size);
        entry->cursor_size = step->next_size;
    }
    char key[KVS_JOB_KEY_SIZE];
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(RECORD_SIZE_MAX);
    step->writes[step->count] = record_write(entry, key, &buf);
    if (buf.err)
        return buf.err;
    kvs_node_write_group_wait(jobs->node, step->writes, step->count + 1);
    entry->job.deleted = deleted;
    for (size_t i = 0; i <= step->count; i++) {
        int one = step->writes[i].err;
        entry->job.deleted += i < step->count && !one;
        // Changed or gone since it was seen: not ours any more.
        if (one && one != KVS_ERR_PRECONDITION && one != KVS_ERR_NOT_FOUND)
            err = one;
    }
    return err;
}

// ---- The thread

// Waits for something to do, or RETRY_S after an error; a copy of the job, or false: stop.
static bool take(struct kvs_jobs *jobs, bool failed, struct kvs_job_entry *ret_entry)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // cannot fail for this clock
    until.tv_sec += RETRY_S;
    (void)pthread_mutex_lock(&jobs->lock);
    int waited = 0;
    while (failed && !jobs->stopping && waited == 0)
        waited = pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until);
    struct kvs_job_entry *entry = NULL;
    while (!jobs->stopping && !(entry = oldest_active(jobs)))
        (void)pthread_cond_wait(&jobs->wake, &jobs->lock);
    bool found = !jobs->stopping;
    if (found) {
        entry->job.state = KVS_JOB_RUNNING;
        *ret_entry = *entry;
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    return found;
}

// Shows what the step has come to. False: it was cancelled or forgotten meanwhile.
static bool show(struct kvs_jobs *jobs, const struct kvs_job_entry *done, int err,
                 bool *ret_cancelled)
{
    (void)pthread_mutex_lock(&jobs->lock);
    size_t at = find(jobs, &done->job.id);
    struct kvs_job_entry *entry = at < jobs->count ? jobs->entries[at] : NULL;
    bool active = entry && is_active(entry);
    *ret_cancelled = entry && !active;
    if (entry)
        entry->job.deleted = done->job.deleted;
    if (active) {
        entry->job.err = err;
        if (!err) {
            *entry = *done;
            entry->job.err = 0;
        }
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    return active;
}

// The step's record may have been written behind that of the cancellation.
static void save_again(struct kvs_jobs *jobs, const struct kvs_uuid *id)
{
    struct kvs_job_entry copy;
    (void)pthread_mutex_lock(&jobs->lock);
    size_t at = find(jobs, id);
    bool found = at < jobs->count;
    if (found)
        copy = *jobs->entries[at];
    (void)pthread_mutex_unlock(&jobs->lock);
    if (found)
        (void)save(jobs,
                   &copy); // the store failed: after a restart it may go on, and be stopped again
}

static void *run(void *opaque)
{
    struct kvs_jobs *jobs = opaque;
    (void)pthread_setname_np(pthread_self(), "kvs-jobs"); // for people with a debugger only
    struct kvs_job_entry *entry = malloc(sizeof(*entry));
    struct step *step = malloc(sizeof(*step));
    int err = 0;
    while (entry && step && take(jobs, err != 0, entry)) {
        bool cancelled = false;
        err = run_step(jobs, entry, step);
        if (!show(jobs, entry, err, &cancelled)) {
            if (cancelled)
                save_again(jobs, &entry->job.id);
            else
                (void)erase(jobs, &entry->job.id); // forgotten: likewise
        } else if (!err && entry->job.state == KVS_JOB_DONE) {
            kvs_log(jobs->node->options.log, KVS_LOG_INFO, "prefix deleted",
                    KVS_F_SLICE("prefix", kvs_slice(entry->job.prefix, entry->job.prefix_size)),
                    KVS_F_UINT("records", entry->job.deleted));
        }
    }
    free(step);
    free(entry);
    return NULL;
}

// ---- Operations

// Whoever may delete there.
static bool may_see(const struct kvs_grant *grant, const struct kvs_job_entry *entry)
{
    struct kvs_slice key = kvs_slice(entry->job.prefix, entry->job.prefix_size - 1);
    return kvs_grant_check(grant, key, KVS_ACCESS_DELETE) == 0;
}

// Removes what is finished and old, or more than is kept; leaves room for one more.
static void forget_old(struct kvs_jobs *jobs)
{
    int64_t now_ms = kvs_clock_wall_ms(jobs->node->options.clock);
    for (;;) {
        struct kvs_uuid id;
        bool found = false;
        (void)pthread_mutex_lock(&jobs->lock);
        for (size_t i = 0; !found && i < jobs->count; i++) {
            const struct kvs_job *job = &jobs->entries[i]->job;
            bool old = jobs->count == KVS_JOBS_KEPT_MAX ||
                       job->finished_ms + (int64_t)KVS_JOBS_KEPT_MS < now_ms;
            if (is_active(jobs->entries[i]) || !old)
                continue;
            found = true;
            id = job->id;
            drop(jobs, i);
        }
        (void)pthread_mutex_unlock(&jobs->lock);
        if (!found)
            return;
        (void)erase(jobs, &id); // the store failed: it is back after a restart, and goes then
    }
}

struct check {
    const struct kvs_grant *grant;
    int err;
};

static bool check_key(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                      struct kvs_slice json)
{
    (void)version;
    (void)json;
    struct check *check = ctx;
    check->err = kvs_grant_check(check->grant, key, KVS_ACCESS_DELETE);
    return check->err == 0;
}

// A job goes on when nobody is there to ask: so whoever makes one must be allowed to delete all
// that it may meet, which is what is there now. Hidden records count too: the job would delete
// them.
static int check_all(struct kvs_jobs *jobs, const struct kvs_grant *grant, struct kvs_slice prefix)
{
    struct check check = {.grant = grant};
    check.err = kvs_grant_check(grant, kvs_slice(prefix.data, prefix.size - 1), KVS_ACCESS_DELETE);
    if (check.err || kvs_grant_is_open(grant))
        return check.err;
    const struct kvs_node_scan scan = {.prefix = prefix, .visit = check_key, .ctx = &check};
    int err = kvs_node_scan(jobs->node, kvs_auth_own_grant(), &scan, KVS_READ_DISK);
    return err ? err : check.err;
}

static int make_entry(struct kvs_jobs *jobs, const struct kvs_grant *grant, struct kvs_slice prefix,
                      struct kvs_job_entry *entry)
{
    struct kvs_node *node = jobs->node;
    struct kvs_write stamp = {.op = KVS_WRITE_META}; // writes nothing, tells where we are
    int err = kvs_node_write_wait(node, &stamp);
    if (!err)
        err = check_all(jobs, grant, prefix); // behind the stamp: later ones are not the job's
    if (err)
        return err;
    *entry = (struct kvs_job_entry){.writer_seq = stamp.version.writer_seq,
                                    .timestamp = stamp.version.timestamp};
    entry->job.id = kvs_uuid_new(node->options.random);
    entry->job.state = KVS_JOB_QUEUED;
    entry->job.created_ms = kvs_clock_wall_ms(node->options.clock);
    kvs_assert(prefix.size <= sizeof(entry->job.prefix));
    memcpy(entry->job.prefix, prefix.data, prefix.size);
    entry->job.prefix_size = prefix.size;
    return save(jobs, entry);
}

static int start(struct kvs_jobs *jobs, const struct kvs_grant *grant, struct kvs_slice prefix,
                 struct kvs_job *ret_job)
{
    const struct kvs_write deletion = {.op = KVS_WRITE_DELETE, .grant = grant};
    int err = kvs_node_refusal(jobs->node, &deletion);
    if (err)
        return err;
    forget_old(jobs);
    (void)pthread_mutex_lock(&jobs->lock);
    bool busy = active_count(jobs) >= KVS_JOBS_ACTIVE_MAX;
    (void)pthread_mutex_unlock(&jobs->lock);
    if (busy)
        return KVS_ERR_BUSY;
    KVS_CLEANUP(kvs_freep) struct kvs_job_entry *entry = malloc(sizeof(*entry));
    err = entry ? make_entry(jobs, grant, prefix, entry) : KVS_ERR_NOMEM;
    if (err)
        return err;
    *ret_job = entry->job;
    (void)pthread_mutex_lock(&jobs->lock);
    insert(jobs, KVS_TAKE(entry));
    (void)pthread_cond_signal(&jobs->wake);
    (void)pthread_mutex_unlock(&jobs->lock);
    return 0;
}

int kvs_node_job_start(struct kvs_node *node, const struct kvs_grant *grant,
                       struct kvs_slice prefix, struct kvs_job *ret_job)
{
    (void)pthread_mutex_lock(&node->jobs->starting);
    int err = start(node->jobs, grant, prefix, ret_job);
    (void)pthread_mutex_unlock(&node->jobs->starting);
    return err;
}

int kvs_node_job_get(struct kvs_node *node, const struct kvs_grant *grant,
                     const struct kvs_uuid *id, struct kvs_job *ret_job)
{
    struct kvs_jobs *jobs = node->jobs;
    (void)pthread_mutex_lock(&jobs->lock);
    size_t at = find(jobs, id);
    bool found = at < jobs->count && may_see(grant, jobs->entries[at]);
    if (found)
        *ret_job = jobs->entries[at]->job;
    (void)pthread_mutex_unlock(&jobs->lock);
    return found ? 0 : KVS_ERR_NOT_FOUND;
}

size_t kvs_node_job_list(struct kvs_node *node, const struct kvs_grant *grant,
                         struct kvs_job ret_jobs[static KVS_JOBS_KEPT_MAX])
{
    struct kvs_jobs *jobs = node->jobs;
    (void)pthread_mutex_lock(&jobs->lock);
    size_t count = 0;
    for (size_t i = jobs->count; i-- > 0;)
        if (may_see(grant, jobs->entries[i]))
            ret_jobs[count++] = jobs->entries[i]->job;
    (void)pthread_mutex_unlock(&jobs->lock);
    return count;
}

static int cancel(struct kvs_jobs *jobs, const struct kvs_grant *grant, const struct kvs_uuid *id,
                  struct kvs_job *ret_job, bool *ret_forgotten)
{
    struct kvs_job_entry copy;
    (void)pthread_mutex_lock(&jobs->lock);
    size_t at = find(jobs, id);
    bool found = at < jobs->count && may_see(grant, jobs->entries[at]);
    *ret_forgotten = found && !is_active(jobs->entries[at]);
    if (found && !*ret_forgotten) {
        struct kvs_job *job = &jobs->entries[at]->job;
        job->state = KVS_JOB_CANCELLED;
        job->finished_ms = kvs_clock_wall_ms(jobs->node->options.clock);
        job->err = 0;
        copy = *jobs->entries[at];
        *ret_job = *job;
    } else if (found) {
        drop(jobs, at);
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    if (!found)
        return KVS_ERR_NOT_FOUND;
    return *ret_forgotten ? erase(jobs, id) : save(jobs, &copy);
}

int kvs_node_job_cancel(struct kvs_node *node, const struct kvs_grant *grant,
                        const struct kvs_uuid *id, struct kvs_job *ret_job, bool *ret_forgotten)
{
    (void)pthread_mutex_lock(&node->jobs->starting);
    int err = cancel(node->jobs, grant, id, ret_job, ret_forgotten);
    (void)pthread_mutex_unlock(&node->jobs->starting);
    return err;
}

// ---- Life

static int load(struct kvs_jobs *jobs)
{
    const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
    KVS_CLEANUP(kvs_store_iter_freep)
    struct kvs_store_iter *iter = kvs_store_iter_new(jobs->node->store, KVS_FAMILY_META, &options);
    if (!iter)
        return KVS_ERR_NOMEM;
    for (kvs_store_iter_seek(iter, kvs_job_key_prefix);
         kvs_store_iter_valid(iter) &&
         kvs_slice_starts_with(kvs_store_iter_key(iter), kvs_job_key_prefix);
         kvs_store_iter_next(iter)) {
        if (jobs->count == KVS_JOBS_KEPT_MAX)
            break; // cannot be: a start makes room first
        struct kvs_job_entry *entry = calloc(1, sizeof(*entry));
        if (!entry)
            return KVS_ERR_NOMEM;
        int err = kvs_job_decode(kvs_store_iter_key(iter), kvs_store_iter_value(iter), entry);
        if (err) {
            free(entry);
            return err;
        }
        insert(jobs, entry);
    }
    return kvs_store_iter_error(iter);
}

int kvs_jobs_start(struct kvs_node *node, struct kvs_jobs **ret_jobs)
{
    struct kvs_jobs *jobs = calloc(1, sizeof(*jobs));
    if (!jobs)
        return KVS_ERR_NOMEM;
    jobs->node = node;
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic); // none of these fails with these arguments
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&jobs->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&jobs->lock, NULL);
    (void)pthread_mutex_init(&jobs->starting, NULL);
    *ret_jobs = jobs; // whatever happens it is the node's to stop
    int err = load(jobs);
    if (!err && pthread_create(&jobs->thread, NULL, run, jobs) != 0)
        err = KVS_ERR_NOMEM;
    jobs->has_thread = !err;
    return err;
}

void kvs_jobs_stop(struct kvs_jobs *jobs)
{
    if (!jobs)
        return;
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    (void)pthread_cond_signal(&jobs->wake);
    (void)pthread_mutex_unlock(&jobs->lock);
    if (jobs->has_thread)
        kvs_assert(pthread_join(jobs->thread, NULL) == 0);
    while (jobs->count > 0)
        drop(jobs, jobs->count - 1);
    (void)pthread_cond_destroy(&jobs->wake);
    (void)pthread_mutex_destroy(&jobs->lock);
    (void)pthread_mutex_destroy(&jobs->starting);
    free(jobs);
}
