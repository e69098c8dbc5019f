// SPDX-License-Identifier: Apache-2.0
// A node in memory, behind the functions of node/node.h: small enough to be believed, and it fails
// on demand (cold caches, failing disks, modes) where the real one cannot be asked to.
#ifndef KVS_TESTS_UNIT_API_FAKE_NODE_H
#define KVS_TESTS_UNIT_API_FAKE_NODE_H

#include "base/assert.h"
#include "node/audit.h"
#include "node/backup_service.h"
#include "node/changes.h"
#include "node/cluster.h"
#include "node/exchange.h"
#include "node/jobs.h"
#include "node/receipts.h"

#include <stdio.h>
#include <stdlib.h>

enum { FAKE_CHANGES_MAX = 8192, FAKE_KEYS_MAX = 2048, FAKE_VERSIONS_MAX = 8 };

struct fake_version {
    struct kvs_version version;
    char *json;
    size_t json_size;
};

struct fake_key {
    struct kvs_slice key;                            // owned
    struct fake_version versions[FAKE_VERSIONS_MAX]; // newest first
    size_t count;
};

struct kvs_node {
    const struct kvs_clock *clock;
    struct kvs_random_seeded random;
    uint32_t revisions;
    int64_t default_ttl_ms;
    struct fake_key keys[FAKE_KEYS_MAX]; // in order
    size_t key_count;
    struct kvs_change changes[FAKE_CHANGES_MAX]; // keys are those of `keys`
    uint64_t change_count;
    uint64_t oldest_change; // 0: all are kept
    struct kvs_changes_wait *waiting;
    uint64_t writer_seq;
    bool clustered;
    uint32_t receipts; // how many other nodes have each write
    struct kvs_receipt_wait *receipt_waiting;
    struct kvs_job jobs[KVS_JOBS_KEPT_MAX]; // newest first
    size_t job_count;
    uint32_t walk; // that many keys, deleted but for one, stand for each
    // Faults.
    bool cold; // KVS_READ_CACHED answers KVS_ERR_AGAIN
    int read_err;
    int write_err;
    int status_err;
    unsigned races; // as many writes that expect a version find that another was faster
    bool not_writable;
    enum kvs_node_mode mode;
    struct kvs_member_info members[4];
    size_t member_count;
    // What was asked.
    size_t cached_reads, disk_reads, groups;
    struct kvs_write last_write; // shallow
};

static struct fake_key *fake_find(struct kvs_node *node, struct kvs_slice key, size_t *ret_at)
{
    size_t at = 0;
    while (at < node->key_count && kvs_slice_cmp(node->keys[at].key, key) < 0)
        at++;
    if (ret_at)
        *ret_at = at;
    return at < node->key_count && kvs_slice_eq(node->keys[at].key, key) ? &node->keys[at] : NULL;
}

static struct fake_version *fake_visible(struct kvs_node *node, struct fake_key *key)
{
    bool visible =
        key && kvs_version_is_visible(&key->versions[0].version, kvs_clock_wall_ms(node->clock));
    return visible ? &key->versions[0] : NULL;
}

static char *fake_copy(struct kvs_slice text)
{
    char *copy = malloc(text.size + 1);
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    return copy;
}

static int fake_read_begins(struct kvs_node *node, enum kvs_read_mode mode)
{
    if (mode == KVS_READ_CACHED)
        node->cached_reads++;
    else
        node->disk_reads++;
    if (node->cold && mode == KVS_READ_CACHED)
        return KVS_ERR_AGAIN;
    return mode == KVS_READ_DISK ? node->read_err : 0;
}

static void fake_node_done(struct kvs_node *node)
{
    for (size_t i = 0; i < node->key_count; i++) {
        for (size_t j = 0; j < node->keys[i].count; j++)
            free(node->keys[i].versions[j].json);
        free((void *)(uintptr_t)node->keys[i].key.data);
    }
    node->key_count = 0;
    node->change_count = 0;
    node->job_count = 0;
}

// ---- node/node.h

const char *kvs_node_mode_name(enum kvs_node_mode mode)
{
    static const char *const names[] = {"normal", "read-only", "syncing"};
    return names[mode];
}

int kvs_node_status(struct kvs_node *node, struct kvs_node_status *ret_status)
{
    *ret_status = (struct kvs_node_status){
        .mode = node->mode, .writable = !node->not_writable, .log_seq = 42};
    return node->status_err;
}

void kvs_record_unref(struct kvs_record *record)
{
    free(record);
}

int kvs_node_get(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice key,
                 enum kvs_read_mode mode, struct kvs_record **ret_record)
{
    int err = fake_read_begins(node, mode);
    if (err)
        return err;
    if (!grant)
        return KVS_ERR_FORBIDDEN;
    struct fake_version *found = fake_visible(node, fake_find(node, key, NULL));
    if (!found)
        return KVS_ERR_NOT_FOUND;
    struct kvs_record *record = malloc(sizeof(*record) + key.size + found->json_size);
    record->key_size = (uint32_t)key.size;
    record->json_size = (uint32_t)found->json_size;
    record->version = found->version;
    memcpy(record->bytes, key.data, key.size);
    memcpy(record->bytes + key.size, found->json, found->json_size);
    *ret_record = record;
    return 0;
}

static struct kvs_slice fake_group(const struct kvs_node_scan *scan, struct kvs_slice key)
{
    if (scan->delimiter.size == 0)
        return KVS_SLICE_EMPTY;
    const char *from = key.data + scan->prefix.size;
    const char *at =
        memmem(from, key.size - scan->prefix.size, scan->delimiter.data, scan->delimiter.size);
    return at ? kvs_slice(key.data, (size_t)(at - key.data) + scan->delimiter.size)
              : KVS_SLICE_EMPTY;
}

int kvs_node_scan(struct kvs_node *node, const struct kvs_grant *grant,
                  const struct kvs_node_scan *scan, enum kvs_read_mode mode)
{
    int err = fake_read_begins(node, mode);
    if (err || !grant)
        return err ? err : KVS_ERR_FORBIDDEN;
    struct kvs_slice last_group = KVS_SLICE_EMPTY;
    size_t walked = 0;
    for (size_t i = 0; i < node->key_count; i++) {
        struct kvs_slice key = node->keys[i].key;
        struct fake_version *found = fake_visible(node, &node->keys[i]);
        if (!found || kvs_slice_cmp(key, scan->first) < 0 ||
            !kvs_slice_starts_with(key, scan->prefix) ||
            (scan->end.size > 0 && kvs_slice_cmp(key, scan->end) >= 0))
            continue;
        if (walked > scan->keys_max) {
            scan->pause(scan->ctx, key);
            break;
        }
        walked += node->walk;
        struct kvs_slice group = fake_group(scan, key);
        if (group.size > 0 && kvs_slice_eq(group, last_group))
            continue;
        last_group = group;
        bool wanted = group.size > 0 ? scan->visit_prefix(scan->ctx, group)
                                     : scan->visit(scan->ctx, key, &found->version,
                                                   kvs_slice(found->json, found->json_size));
        if (!wanted)
            break;
    }
    return 0;
}

int kvs_node_history(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice key,
                     enum kvs_read_mode mode, kvs_node_revision_fn *visit, void *ctx,
                     uint32_t *ret_count)
{
    int err = fake_read_begins(node, mode);
    if (err || !grant)
        return err ? err : KVS_ERR_FORBIDDEN;
    struct fake_key *found = fake_find(node, key, NULL);
    *ret_count = 0;
    for (size_t i = 0; found && i < found->count && i < node->revisions; i++) {
        struct fake_version *version = &found->versions[i];
        if (!visit(ctx, ++*ret_count, &version->version,
                   kvs_slice(version->json, version->json_size)))
            break;
    }
    return 0;
}

static bool fake_condition_holds(const struct kvs_write *write, const struct fake_version *current)
{
    bool listed = false;
    for (size_t i = 0; current && i < write->condition_uuid_count; i++)
        listed |= kvs_uuid_cmp(&write->condition_uuids[i], &current->version.uuid) == 0;
    switch (write->condition) {
    case KVS_CONDITION_EXISTS:
        return current != NULL;
    case KVS_CONDITION_NOT_EXISTS:
        return current == NULL;
    case KVS_CONDITION_UUIDS:
        return listed;
    case KVS_CONDITION_NOT_UUIDS:
        return !listed;
    case KVS_CONDITION_NONE:
        break;
    }
    return true;
}

static struct fake_key *fake_key_for(struct kvs_node *node, struct kvs_slice name)
{
    size_t at = 0;
    struct fake_key *key = fake_find(node, name, &at);
    if (key)
        return key;
    memmove(&node->keys[at + 1], &node->keys[at], (node->key_count++ - at) * sizeof(*node->keys));
    node->keys[at] = (struct fake_key){.key = {fake_copy(name), name.size}};
    return &node->keys[at];
}

static void fake_add(struct kvs_node *node, struct fake_key *key, struct kvs_write *write,
                     struct kvs_slice json)
{
    int64_t now_ms = kvs_clock_wall_ms(node->clock);
    int64_t ttl_ms = write->ttl_ms == KVS_TTL_DEFAULT ? node->default_ttl_ms : write->ttl_ms;
    struct kvs_version version = {.timestamp = now_ms,
                                  .uuid = kvs_uuid_new(&node->random.base),
                                  .writer_seq = ++node->writer_seq};
    if (key->count > 0 && key->versions[0].version.timestamp >= now_ms)
        version.timestamp = key->versions[0].version.timestamp + 1;
    if (write->op == KVS_WRITE_DELETE)
        version.flags = KVS_VERSION_TOMBSTONE;
    else if (ttl_ms == KVS_TTL_KEEP)
        version.expires_at = key->versions[0].version.expires_at; // patches replace what is there
    else if (ttl_ms > 0)
        version.expires_at = now_ms + ttl_ms;
    char *copy = fake_copy(json);
    if (key->count == FAKE_VERSIONS_MAX)
        free(key->versions[--key->count].json);
    memmove(&key->versions[1], &key->versions[0], key->count++ * sizeof(key->versions[0]));
    key->versions[0] = (struct fake_version){version, copy, json.size};
    write->version = version;
    kvs_assert(node->change_count < FAKE_CHANGES_MAX);
    node->changes[node->change_count++] = (struct kvs_change){.seq = node->change_count,
                                                              .key = key->key,
                                                              .timestamp = version.timestamp,
                                                              .uuid = version.uuid,
                                                              .flags = version.flags};
}

// ---- node/jobs.h: jobs that never get anywhere by themselves

const char *kvs_job_state_name(enum kvs_job_state state)
{
    static const char *const names[] = {"", "queued", "running", "done", "cancelled"};
    return names[state];
}

int kvs_node_job_start(struct kvs_node *node, const struct kvs_grant *grant,
                       struct kvs_slice prefix, struct kvs_job *ret_job)
{
    if (node->write_err || !grant)
        return node->write_err ? node->write_err : KVS_ERR_FORBIDDEN;
    if (node->job_count == KVS_JOBS_ACTIVE_MAX)
        return KVS_ERR_BUSY;
    memmove(&node->jobs[1], &node->jobs[0], node->job_count++ * sizeof(node->jobs[0]));
    struct kvs_job *job = &node->jobs[0];
    *job = (struct kvs_job){.id = kvs_uuid_new(&node->random.base),
                            .state = KVS_JOB_QUEUED,
                            .created_ms = kvs_clock_wall_ms(node->clock),
                            .prefix_size = prefix.size};
    memcpy(job->prefix, prefix.data, prefix.size);
    *ret_job = *job;
    return 0;
}

static struct kvs_job *fake_job(struct kvs_node *node, const struct kvs_uuid *id)
{
    for (size_t i = 0; i < node->job_count; i++)
        if (kvs_uuid_cmp(&node->jobs[i].id, id) == 0)
            return &node->jobs[i];
    return NULL;
}

int kvs_node_job_get(struct kvs_node *node, const struct kvs_grant *grant,
                     const struct kvs_uuid *id, struct kvs_job *ret_job)
{
    struct kvs_job *job = fake_job(node, id);
    if (!job || !grant)
        return KVS_ERR_NOT_FOUND;
    *ret_job = *job;
    return 0;
}

size_t kvs_node_job_list(struct kvs_node *node, const struct kvs_grant *grant,
                         struct kvs_job ret_jobs[static KVS_JOBS_KEPT_MAX])
{
    memcpy(ret_jobs, node->jobs, node->job_count * sizeof(node->jobs[0]));
    return grant ? node->job_count : 0;
}

int kvs_node_job_cancel(struct kvs_node *node, const struct kvs_grant *grant,
                        const struct kvs_uuid *id, struct kvs_job *ret_job, bool *ret_forgotten)
{
    struct kvs_job *job = fake_job(node, id);
    if (!job || !grant)
        return KVS_ERR_NOT_FOUND;
    *ret_forgotten = job->state >= KVS_JOB_DONE;
    job->state = KVS_JOB_CANCELLED;
    *ret_job = *job;
    if (*ret_forgotten)
        memmove(job, job + 1, (size_t)(&node->jobs[--node->job_count] - job) * sizeof(*job));
    return 0;
}

// ---- node/changes.h

struct kvs_changes_bounds kvs_node_changes_bounds(struct kvs_node *node)
{
    return (struct kvs_changes_bounds){node->oldest_change ? node->oldest_change : 1,
                                       node->change_count};
}

int kvs_node_changes(struct kvs_node *node, const struct kvs_grant *grant,
                     const struct kvs_changes_query *query, enum kvs_read_mode mode,
                     uint64_t *ret_since, bool *ret_more)
{
    uint64_t since = query->since;
    uint32_t walked = 0;
    bool wanted = true;
    int err = fake_read_begins(node, mode);
    if (!err && !grant)
        err = KVS_ERR_FORBIDDEN;
    if (since > node->change_count || since + 1 < kvs_node_changes_bounds(node).oldest)
        err = KVS_ERR_GONE;
    for (; !err && since < node->change_count; since++) {
        const struct kvs_change *change = &node->changes[since];
        if (walked++ == query->walk_max && query->walk_max > 0)
            break;
        if (kvs_slice_starts_with(change->key, query->prefix))
            wanted = query->visit(query->ctx, change);
        if (!wanted)
            break;
    }
    *ret_since = since;
    *ret_more = since < node->change_count;
    return err;
}

void kvs_node_changes_wait(struct kvs_node *node, struct kvs_changes_wait *wait, uint64_t since)
{
    if (node->change_count > since)
        kvs_executor_post(wait->executor, &wait->task);
    else
        node->waiting = wait; // one at a time
}

bool kvs_node_changes_unwait(struct kvs_node *node, struct kvs_changes_wait *wait)
{
    bool waits = node->waiting == wait;
    if (waits)
        node->waiting = NULL;
    return waits;
}

static int fake_apply(struct kvs_node *node, struct kvs_write *write)
{
    if (node->write_err || !write->grant)
        return node->write_err ? node->write_err : KVS_ERR_FORBIDDEN;
    struct fake_key *key = fake_find(node, write->key, NULL);
    struct fake_version *current = fake_visible(node, key);
    bool raced = write->condition == KVS_CONDITION_UUIDS && node->races > 0;
    node->races -= raced;
    if (raced || !fake_condition_holds(write, current))
        return KVS_ERR_PRECONDITION;
    struct kvs_slice json = write->json;
    if (write->op == KVS_WRITE_DELETE && !current)
        return KVS_ERR_NOT_FOUND;
    if (write->op == KVS_WRITE_RESTORE) {
        if (!key || write->revision > key->count ||
            !kvs_version_is_visible(&key->versions[write->revision - 1].version,
                                    kvs_clock_wall_ms(node->clock)))
            return KVS_ERR_NOT_FOUND;
        json = kvs_slice(key->versions[write->revision - 1].json,
                         key->versions[write->revision - 1].json_size);
    }
    write->created = current == NULL;
    fake_add(node, fake_key_for(node, write->key), write, json);
    return 0;
}

static void fake_write(struct kvs_node *node, struct kvs_write *write)
{
    write->err = fake_apply(node, write);
    node->last_write = *write;
    struct kvs_changes_wait *waiting = write->err ? NULL : node->waiting;
    if (waiting) {
        node->waiting = NULL;
        kvs_executor_post(waiting->executor, &waiting->task);
    }
    kvs_executor_post(write->executor, &write->done);
}

void kvs_node_write_group(struct kvs_node *node, struct kvs_write *writes, size_t count)
{
    node->groups++;
    for (size_t i = 0; i < count; i++)
        fake_write(node, &writes[i]);
}

void kvs_node_write(struct kvs_node *node, struct kvs_write *write)
{
    kvs_node_write_group(node, write, 1);
}

void kvs_node_write_group_wait(struct kvs_node *node, struct kvs_write *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        writes[i].err = fake_apply(node, &writes[i]);
        node->last_write = writes[i];
    }
}

// ---- node/backup_service.h

enum { FAKE_BACKUPS_MAX = 8 };

struct kvs_backup_service {
    struct kvs_backup_status status;
    struct kvs_backup_file files[FAKE_BACKUPS_MAX];
    size_t file_count;
    int request_err;
    int list_err;
};

void kvs_backup_service_status(struct kvs_backup_service *service,
                               struct kvs_backup_status *ret_status)
{
    *ret_status = service->status;
}

int kvs_backup_service_request(struct kvs_backup_service *service, uint64_t *ret_run)
{
    *ret_run = service->status.last_run + 1;
    return service->request_err;
}

int kvs_backup_service_list(struct kvs_backup_service *service, struct kvs_backup_list *ret_list,
                            char **ret_folder, struct kvs_message *ret_message)
{
    if (service->list_err)
        return kvs_fail(ret_message, service->list_err, "open the folder /b: it broke");
    *ret_list = (struct kvs_backup_list){.count = service->file_count};
    ret_list->files = malloc(sizeof(service->files));
    memcpy(ret_list->files, service->files, sizeof(service->files));
    *ret_folder = fake_copy(kvs_slice("/b", sizeof("/b")));
    return 0;
}

void kvs_backup_list_done(struct kvs_backup_list *list)
{
    free(list->files);
}

const char *kvs_backup_phase_name(enum kvs_backup_phase phase)
{
    static const char *const names[] = {"idle", "writing", "reading", "checking", "rewriting"};
    return names[phase];
}

// ---- No audit log: its routes are tested over a real node.

bool kvs_node_audits(const struct kvs_node *node, enum kvs_audit_action action)
{
    (void)node;
    (void)action;
    return false;
}

void kvs_node_audit(struct kvs_node *node, struct kvs_write *write)
{
    (void)node;
    kvs_executor_post(write->executor, &write->done);
}

void kvs_node_audit_lost(struct kvs_node *node)
{
    (void)node;
}

void kvs_node_audit_note(struct kvs_node *node, const struct kvs_audit_event *event, int outcome)
{
    (void)node, (void)event, (void)outcome;
}

int kvs_node_audit_visit(struct kvs_node *node, const struct kvs_grant *grant, uint64_t seq,
                         bool downward, kvs_node_audit_fn *visit, void *ctx)
{
    (void)node, (void)grant, (void)seq, (void)downward, (void)visit, (void)ctx;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_audit_visit_seals(struct kvs_node *node, const struct kvs_grant *grant, uint64_t epoch,
                               bool downward, kvs_node_audit_seal_fn *visit, void *ctx)
{
    (void)node, (void)grant, (void)epoch, (void)downward, (void)visit, (void)ctx;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_audit_header(struct kvs_node *node, const struct kvs_grant *grant, uint64_t first,
                          struct kvs_audit_header *ret_header)
{
    (void)node, (void)grant, (void)first, (void)ret_header;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_audit_checkpoint(struct kvs_node *node, const struct kvs_grant *grant,
                              struct kvs_audit_seal *ret_checkpoint,
                              struct kvs_audit_public *ret_key)
{
    (void)node, (void)grant, (void)ret_checkpoint, (void)ret_key;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_audit_prove(struct kvs_node *node, const struct kvs_grant *grant, uint64_t seq,
                         struct kvs_buf *scratch, struct kvs_audit_proof *ret_proof)
{
    (void)node, (void)grant, (void)seq, (void)scratch, (void)ret_proof;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_audit_prove_growth(struct kvs_node *node, const struct kvs_grant *grant, uint64_t from,
                                struct kvs_audit_proof *ret_proof)
{
    (void)node, (void)grant, (void)from, (void)ret_proof;
    return KVS_ERR_NOT_FOUND;
}

// ---- node/cluster.h, node/exchange.h: what handlers need to be linked with; the real ones are
// tested over HTTP

int kvs_node_members(struct kvs_node *node,
                     void (*visit)(void *ctx, const struct kvs_member_info *info), void *ctx)
{
    for (size_t i = 0; i < node->member_count; i++)
        visit(ctx, &node->members[i]);
    return node->status_err;
}

void kvs_node_cluster_status(struct kvs_node *node, struct kvs_cluster_status *ret_status)
{
    *ret_status = (struct kvs_cluster_status){.alive = kvs_node_alive_count(node)};
}

size_t kvs_node_alive_count(struct kvs_node *node)
{
    size_t count = node->member_count == 0;
    for (size_t i = 0; i < node->member_count; i++)
        count += node->members[i].state == KVS_MEMBER_ALIVE;
    return count;
}

int kvs_node_leave_member(struct kvs_node *node, struct kvs_slice id, bool *ret_self)
{
    (void)node;
    (void)id;
    *ret_self = false;
    return KVS_ERR_NOT_FOUND;
}

int kvs_node_foreign_join(struct kvs_node *node, const struct kvs_foreign_member *member)
{
    (void)node;
    (void)member;
    return 0;
}

void kvs_node_foreign_told(struct kvs_node *node, const struct kvs_foreign_member *member)
{
    (void)node;
    (void)member;
}

void kvs_node_foreign_heard(struct kvs_node *node, struct kvs_slice id)
{
    (void)node;
    (void)id;
}

int kvs_node_fingerprint(struct kvs_node *node, const struct kvs_grant *grant,
                         struct kvs_slice start_key, struct kvs_slice end_key,
                         struct kvs_fingerprint *ret_fingerprint)
{
    (void)grant;
    (void)start_key;
    (void)end_key;
    *ret_fingerprint = (struct kvs_fingerprint){{1, 2}, node->key_count};
    return node->read_err;
}

void kvs_node_fingerprint_tag(struct kvs_node *node, struct kvs_fingerprint fingerprint,
                              struct kvs_uuid *ret_tag)
{
    (void)node;
    memset(ret_tag, 0, sizeof(*ret_tag));
    memcpy(ret_tag->bytes, &fingerprint.count, sizeof(fingerprint.count));
}

void kvs_node_digest_id(struct kvs_node *node, struct kvs_uuid *ret_id)
{
    (void)node;
    memset(ret_id, 7, sizeof(*ret_id));
}

int kvs_node_versions(struct kvs_node *node, const struct kvs_grant *grant,
                      struct kvs_slice start_key, struct kvs_slice end_key,
                      kvs_node_version_fn *visit, void *ctx)
{
    (void)node;
    (void)grant;
    (void)start_key;
    (void)end_key;
    (void)visit;
    (void)ctx;
    return 0;
}

int kvs_node_split(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice start_key,
                   struct kvs_slice end_key, uint32_t parts, kvs_node_part_fn *visit, void *ctx)
{
    (void)grant;
    (void)end_key;
    (void)parts;
    visit(ctx, start_key, (struct kvs_fingerprint){{1, 2}, node->key_count});
    return 0;
}

int kvs_node_keys(struct kvs_node *node, const struct kvs_grant *grant, struct kvs_slice start_key,
                  struct kvs_slice end_key, kvs_node_key_fn *visit, void *ctx)
{
    (void)grant;
    for (size_t i = 0; i < node->key_count; i++)
        if (kvs_slice_cmp(node->keys[i].key, start_key) >= 0 &&
            (end_key.size == 0 || kvs_slice_cmp(node->keys[i].key, end_key) < 0) &&
            !visit(ctx, node->keys[i].key))
            break;
    return 0;
}

int kvs_node_times(struct kvs_node *node, const struct kvs_grant *grant,
                   const struct kvs_node_times *times)
{
    (void)node;
    (void)grant;
    (void)times;
    return 0;
}

// ---- node/receipts.h

bool kvs_node_is_clustered(const struct kvs_node *node)
{
    return node->clustered;
}

uint32_t kvs_node_receipt_count(struct kvs_node *node, uint64_t writer_seq)
{
    (void)writer_seq;
    return 1 + node->receipts;
}

bool kvs_node_receipt_wait(struct kvs_node *node, struct kvs_receipt_wait *wait)
{
    if (!node->clustered)
        return false;
    if (kvs_node_receipt_count(node, wait->writer_seq) >= wait->nodes)
        kvs_executor_post(wait->executor, &wait->task);
    else
        node->receipt_waiting = wait;
    return true;
}

bool kvs_node_receipt_unwait(struct kvs_node *node, struct kvs_receipt_wait *wait)
{
    bool waiting = node->receipt_waiting == wait;
    node->receipt_waiting = NULL;
    return waiting;
}

int kvs_node_find_version(struct kvs_node *node, const struct kvs_grant *grant,
                          const struct kvs_uuid *uuid, struct kvs_slice key,
                          struct kvs_buf *ret_key, struct kvs_version *ret_version)
{
    (void)grant;
    for (size_t i = 0; i < node->key_count; i++) {
        const struct fake_key *at = &node->keys[i];
        for (size_t j = 0; j < at->count; j++) {
            if (kvs_uuid_cmp(&at->versions[j].version.uuid, uuid) != 0 ||
                (key.size > 0 && !kvs_slice_eq(key, at->key)))
                continue;
            kvs_buf_append_slice(ret_key, at->key);
            *ret_version = at->versions[j].version;
            return 0;
        }
    }
    return KVS_ERR_NOT_FOUND;
}

void kvs_node_holders(struct kvs_node *node, const struct kvs_version *version,
                      void (*visit)(void *ctx, const struct kvs_holder *holder), void *ctx)
{
    (void)version;
    visit(ctx, &(struct kvs_holder){.name = KVS_SLICE("self"), .has = KVS_REPL_HAS_YES});
    if (node->clustered)
        visit(ctx, &(struct kvs_holder){.name = KVS_SLICE("pe\"er"),
                                        .state = KVS_MEMBER_DEAD,
                                        .has = KVS_REPL_HAS_UNKNOWN});
}

void kvs_node_staleness(struct kvs_node *node,
                        void (*visit)(void *ctx, struct kvs_slice name, int64_t age_ms), void *ctx)
{
    char name[64];
    visit(ctx, KVS_SLICE("pe\"er"), 1234);
    visit(ctx, KVS_SLICE("new"), -1);
    for (uint32_t i = 0; i < node->receipts; i++) {
        int size = snprintf(name, sizeof(name), "a-peer-with-a-long-name-%u", i);
        visit(ctx, kvs_slice(name, (size_t)size), 5);
    }
}

#endif
