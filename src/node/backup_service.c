// SPDX-License-Identifier: Apache-2.0
// The thread sleeps until the schedule's next time (at most half a minute, for wall clocks jump) or
// a request, makes the backup without holding the lock, then notes how it went. It changes nothing
// of the store: a view is opened by the commit thread.
//
// A view pins files and keeps the store from resuming after a failed write. So a backup gives up as
// soon as the store fails, and at once when the node closes.
#include "node/backup_service.h"

#include "base/assert.h"
#include "node/audit.h"
#include "node/backup_plan.h"
#include "node/node_internal.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_EVERY_S = 30, NICE = 10 };

struct kvs_backup_service {
    struct kvs_node *node;
    char node_id[KVS_BACKUP_NODE_ID_MAX + 1];
    int compression_level;
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_log *log;
    struct kvs_metrics *metrics;
    pthread_t thread;
    _Atomic bool stopping;
    pthread_mutex_t lock; // guards everything below
    pthread_cond_t wake;
    struct kvs_backup_plan plan;
    bool enabled;
    char *schedule;
    char *folder;
    int64_t retention_days;
    uint64_t runs; // begun or requested so far
    bool requested;
    struct kvs_backup_status status; // its `enabled` and `next_s` are filled in on reading
};

static int64_t now_s(const struct kvs_backup_service *service)
{
    return kvs_clock_wall_ms(service->clock) / 1000;
}

static void lock(struct kvs_backup_service *service)
{
    (void)pthread_mutex_lock(&service->lock); // a plain mutex that we never lock twice
}

static void unlock(struct kvs_backup_service *service)
{
    (void)pthread_mutex_unlock(&service->lock);
}

// ---- One backup

static bool go_on(void *ctx, enum kvs_backup_phase phase, uint64_t done, uint64_t total)
{
    struct kvs_backup_service *service = ctx;
    lock(service);
    service->status.phase = phase;
    service->status.done = done;
    service->status.total = total;
    unlock(service);
    return !atomic_load(&service->stopping) && atomic_load(&service->node->writable);
}

struct outcome {
    struct kvs_backup_info info;
    char *path;
    struct kvs_message message;
    size_t expired;
    int64_t took_ms;
};

static int open_view(struct kvs_node *node, struct kvs_backup_view *view,
                     struct kvs_message *ret_message)
{
    *view = (struct kvs_backup_view){0};
    struct kvs_write write = {.op = KVS_WRITE_VIEW, .view = view};
    int err = kvs_node_write_wait(node, &write);
    return err ? kvs_fail(ret_message, err, "look at the store: %s", kvs_err_text(err)) : 0;
}

static int make(struct kvs_backup_service *service, const char *folder, struct outcome *outcome)
{
    const struct kvs_backup_watch watch = {go_on, service};
    const struct kvs_backup_options options = {
        .folder = folder,
        .node_id = service->node_id,
        .compression_level = service->compression_level,
        .clock = service->clock,
        .random = service->random,
        .watch = &watch,
    };
    struct kvs_backup_view view;
    int err = open_view(service->node, &view, &outcome->message);
    if (!err)
        err = kvs_backup_create(&options, &view, &outcome->info, &outcome->path, &outcome->message);
    if (err == KVS_ERR_SHUTDOWN && !atomic_load(&service->stopping))
        err = kvs_fail(&outcome->message, KVS_ERR_IO,
                       "given up because the store takes no writes: see the log for why");
    return err;
}

static void expire(struct kvs_backup_service *service, const char *folder, int64_t days,
                   struct outcome *outcome)
{
    const struct kvs_backup_watch watch = {go_on, service};
    struct kvs_message message = {{0}};
    const char *slash = outcome->path ? strrchr(outcome->path, '/') : NULL;
    int err = kvs_backup_expire(folder, &service->node->identity.self.node, now_s(service), days,
                                slash ? slash + 1 : NULL, &watch, &outcome->expired, &message);
    if (err && err != KVS_ERR_SHUTDOWN)
        kvs_log(service->log, KVS_LOG_WARN, "old backups not deleted",
                KVS_F_STR("error", message.text));
}

// In the audit log. Who asked for it stands in the entry of the request.
static void audit(struct kvs_backup_service *service, const char *what, const char *where, int err)
{
    char text[KVS_AUDIT_RESOURCE_MAX + 1];
    (void)snprintf(text, sizeof(text), "%s %s", what, where); // a longer one is cut
    const struct kvs_audit_event event = {.action = KVS_AUDIT_backup,
                                          .resource = kvs_slice_from_str(text)};
    kvs_node_audit_note(service->node, &event, err);
}

static void report(struct kvs_backup_service *service, int err, const struct outcome *outcome)
{
    const struct kvs_backup_info *info = &outcome->info;
    if (err) {
        kvs_metrics_add(service->metrics, KVS_METRIC_BACKUPS_FAILED, 1);
        kvs_log(service->log, err == KVS_ERR_SHUTDOWN ? KVS_LOG_WARN : KVS_LOG_ERROR,
                "backup failed", KVS_F_STR("error", outcome->message.text));
        return;
    }
    kvs_metrics_add(service->metrics, KVS_METRIC_BACKUPS_GOOD, 1);
    kvs_metrics_set(service->metrics, KVS_METRIC_BACKUP_BYTES, (double)info->file_size);
    kvs_metrics_set(service->metrics, KVS_METRIC_BACKUP_DURATION, (double)outcome->took_ms / 1000);
    kvs_log(service->log, KVS_LOG_INFO, "backup finished and verified",
            KVS_F_STR("path", outcome->path), KVS_F_UINT("bytes", info->file_size),
            KVS_F_UINT("keys", info->content.keys), KVS_F_UINT("versions", info->content.versions),
            KVS_F_UINT("log_seq", info->log_seq), KVS_F_INT("duration_ms", outcome->took_ms),
            KVS_F_UINT("expired_backups", outcome->expired));
}

static void set_last_good(struct kvs_backup_status *status, const char *path, int64_t made_s,
                          uint64_t size)
{
    (void)snprintf(status->last_path, sizeof(status->last_path), "%s", path);
    status->last_size = size;
    status->verified_s = made_s;
}

// The lock is held.
static void note(struct kvs_backup_service *service, int err, const struct outcome *outcome)
{
    struct kvs_backup_status *status = &service->status;
    status->last_run = status->run;
    status->run = 0;
    status->phase = KVS_BACKUP_IDLE;
    status->done = 0;
    status->total = 0;
    status->last_s = now_s(service);
    status->last_success = err == 0;
    (void)snprintf(status->last_error, sizeof(status->last_error), "%s",
                   err ? outcome->message.text : "");
    if (!err)
        set_last_good(status, outcome->path, outcome->info.created_at_ms / 1000,
                      outcome->info.file_size);
}

// The lock is held, but not while the backup is made.
static void run_one(struct kvs_backup_service *service)
{
    struct outcome outcome = {0};
    KVS_CLEANUP(kvs_freep) char *folder = strdup(service->folder);
    int64_t days = service->retention_days;
    const char *started = service->requested ? "started on request in" : "started by schedule in";
    service->status.run = service->requested ? service->runs : ++service->runs;
    service->requested = false;
    service->status.started_s = now_s(service);
    service->status.phase = KVS_BACKUP_WRITING;
    unlock(service);
    kvs_metrics_set(service->metrics, KVS_METRIC_BACKUPS_RUNNING, 1);
    audit(service, started, folder ? folder : "", 0);
    int64_t start_ms = kvs_clock_mono_ms(service->clock);
    int err = folder ? make(service, folder, &outcome)
                     : kvs_fail(&outcome.message, KVS_ERR_NOMEM, "out of memory");
    outcome.took_ms = kvs_clock_mono_ms(service->clock) - start_ms;
    if (folder && !atomic_load(&service->stopping))
        expire(service, folder, days, &outcome);
    report(service, err, &outcome);
    audit(service, err ? "failed in" : "finished", err ? (folder ? folder : "") : outcome.path,
          err);
    kvs_metrics_set(service->metrics, KVS_METRIC_BACKUPS_RUNNING, 0);
    lock(service);
    note(service, err, &outcome);
    free(outcome.path);
}

// ---- The thread

// The lock is held. Sleeps until there may be something to do.
static void sleep_a_while(struct kvs_backup_service *service)
{
    int64_t left_s = LOOK_EVERY_S;
    if (service->plan.next_s != 0) {
        int64_t until_s = service->plan.next_s - now_s(service);
        left_s = until_s < 0 ? 0 : until_s < left_s ? until_s : left_s;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until); // cannot fail for this clock
    // The schedule's second has begun somewhere in the one that is over then.
    until.tv_nsec += 10 * 1000 * 1000;
    until.tv_sec += left_s + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&service->wake, &service->lock, &until);
}

static void *run(void *opaque)
{
    struct kvs_backup_service *service = opaque;
    (void)pthread_setname_np(pthread_self(), "kvs-backup"); // for people with a debugger only
    // Requests come first. Where it is not allowed, backups are merely less polite.
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    lock(service);
    while (!atomic_load(&service->stopping)) {
        bool due = kvs_backup_plan_due(&service->plan, now_s(service));
        if (due || service->requested)
            run_one(service);
        else
            sleep_a_while(service);
    }
    unlock(service);
    return NULL;
}

// ---- What others ask

int kvs_backup_service_configure(struct kvs_backup_service *service,
                                 const struct kvs_backup_settings *settings,
                                 struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *folder = strdup(settings->folder);
    KVS_CLEANUP(kvs_freep) char *schedule = strdup(settings->schedule);
    if (!folder || !schedule)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    lock(service);
    bool same = service->schedule && strcmp(service->schedule, schedule) == 0 &&
                service->enabled == settings->enabled;
    int err = same ? 0
                   : kvs_backup_plan_set(&service->plan, settings->enabled ? schedule : NULL,
                                         now_s(service), ret_message);
    if (!err) {
        free(service->folder);
        free(service->schedule);
        service->folder = KVS_TAKE(folder);
        service->schedule = KVS_TAKE(schedule);
        service->enabled = settings->enabled;
        service->retention_days = settings->retention_days;
        (void)pthread_cond_signal(&service->wake);
    }
    unlock(service);
    return err ? kvs_fail_wrap(ret_message, err, "backup_schedule") : 0;
}

int kvs_backup_service_request(struct kvs_backup_service *service, uint64_t *ret_run)
{
    lock(service);
    int err = service->requested || service->status.run != 0 ? KVS_ERR_CONFLICT : 0;
    if (atomic_load(&service->stopping))
        err = KVS_ERR_SHUTDOWN;
    if (!err) {
        service->requested = true;
        *ret_run = ++service->runs;
        (void)pthread_cond_signal(&service->wake);
    }
    unlock(service);
    return err;
}

void kvs_backup_service_status(struct kvs_backup_service *service,
                               struct kvs_backup_status *ret_status)
{
    lock(service);
    *ret_status = service->status;
    ret_status->enabled = service->enabled;
    ret_status->next_s = service->plan.next_s;
    if (service->requested) { // it begins in a moment
        ret_status->run = service->runs;
        ret_status->started_s = now_s(service);
        ret_status->phase = KVS_BACKUP_WRITING;
    }
    unlock(service);
    double age =
        ret_status->verified_s ? (double)(now_s(service) - ret_status->verified_s) : INFINITY;
    kvs_metrics_set(service->metrics, KVS_METRIC_BACKUP_VERIFIED_AGE, age);
}

int kvs_backup_service_list(struct kvs_backup_service *service, struct kvs_backup_list *ret_list,
                            char **ret_folder, struct kvs_message *ret_message)
{
    lock(service);
    KVS_CLEANUP(kvs_freep) char *folder = strdup(service->folder);
    unlock(service);
    if (!folder)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    int err = kvs_backup_list(folder, ret_list, ret_message);
    if (!err)
        *ret_folder = KVS_TAKE(folder);
    return err;
}

// ---- Life

// What was made before this start: the newest good one of this node counts as the last.
static void look_back(struct kvs_backup_service *service)
{
    struct kvs_backup_list list;
    kvs_backup_clean(service->folder);
    if (kvs_backup_list(service->folder, &list, NULL) != 0)
        return; // a backup will say what is wrong
    for (size_t i = 0; i < list.count; i++) {
        const struct kvs_backup_file *file = &list.files[i];
        if (file->err != 0 ||
            kvs_uuid_cmp(&file->info.node.node, &service->node->identity.self.node) != 0)
            continue;
        char path[sizeof(service->status.last_path)];
        (void)snprintf(path, sizeof(path), "%s/%s", service->folder, file->name);
        set_last_good(&service->status, path, file->info.created_at_ms / 1000, file->size);
        service->status.last_s = file->info.created_at_ms / 1000;
        service->status.last_success = true;
        break;
    }
    kvs_backup_list_done(&list);
}

static void free_parts(struct kvs_backup_service *service)
{
    kvs_backup_plan_done(&service->plan);
    (void)pthread_cond_destroy(&service->wake);  // nobody waits any more
    (void)pthread_mutex_destroy(&service->lock); // nor holds it
    free(service->schedule);
    free(service->folder);
    free(service);
}

int kvs_backup_service_start(const struct kvs_backup_service_options *options,
                             struct kvs_backup_service **ret_service,
                             struct kvs_message *ret_message)
{
    struct kvs_backup_service *service = calloc(1, sizeof(*service));
    if (!service)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    service->node = options->node;
    service->compression_level = options->compression_level;
    service->clock = options->clock;
    service->random = options->random;
    service->log = options->log;
    service->metrics = options->metrics;
    (void)snprintf(service->node_id, sizeof(service->node_id), "%s", options->node_id);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic); // none of these fails with these arguments
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&service->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    (void)pthread_mutex_init(&service->lock, NULL);
    int err = kvs_backup_service_configure(service, &options->settings, ret_message);
    if (!err)
        look_back(service);
    if (!err && pthread_create(&service->thread, NULL, run, service) != 0)
        err = kvs_fail(ret_message, KVS_ERR_NOMEM, "start the backup thread: out of memory");
    if (err)
        free_parts(service);
    else
        *ret_service = service;
    return err;
}

void kvs_backup_service_stop(struct kvs_backup_service *service)
{
    if (!service || atomic_load(&service->stopping))
        return;
    lock(service);
    atomic_store(&service->stopping, true);
    (void)pthread_cond_signal(&service->wake);
    unlock(service);
    kvs_assert(pthread_join(service->thread, NULL) == 0);
}

void kvs_backup_service_free(struct kvs_backup_service *service)
{
    if (!service)
        return;
    kvs_backup_service_stop(service);
    free_parts(service);
}
