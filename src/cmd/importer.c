// SPDX-License-Identifier: Apache-2.0
// Each worker has two batches: one that the caller fills, one that the worker sends. Handing over
// is a swap under the one lock, which is never held while something is sent. A node without POST
// /kv_batch (404, 405) gets one PUT a record instead; so does a batch that is refused as a whole,
// to find the record at fault.
#include "cmd/importer.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/assert.h"
#include "cmd/client_args.h"
#include "cmd/show.h"
#include "codec/json.h"

enum {
    BATCH_BYTES = 512 << 10, // a batch is sent when it reaches this
    BATCH_ARENA_MAX = 1 << 30,
    WORKERS_MAX = 64,
    MESSAGES_MAX = 100,  // beyond it failures are only counted
    LOOK_EVERY_MS = 100, // for an interruption, while waiting
    VALUE_SIZE_MAX = 1 << 30,
};

struct batch {
    struct kvs_arena arena;
    struct kvs_client_operation operations[KVS_CLIENT_BATCH_MAX];
    uint64_t lines[KVS_CLIENT_BATCH_MAX];
    bool stored[KVS_CLIENT_BATCH_MAX]; // the worker's: what became of each
    size_t count;
    size_t bytes;
};

struct worker {
    struct kvs_importer *importer;
    pthread_t thread;
    bool started;
    bool full;          // `sending` is the worker's until it clears this; guarded by the lock
    uint64_t lost_line; // the first one of the first batch that was not stored; the same
    struct batch batches[2];
    struct batch *filling; // the caller's
    struct batch *sending;
};

struct message {
    uint64_t line;
    char *key; // NULL: the line has none
    char text[512];
};

struct kvs_importer {
    struct kvs_importer_options options;
    struct kvs_progress *progress;
    struct worker *workers;
    atomic_bool no_batches; // the node does not know them
    pthread_mutex_t lock;
    pthread_cond_t changed; // a batch was handed over or sent, or the end has come
    // Guarded by the lock.
    bool ending;
    uint64_t stored;
    uint64_t failed;
    uint64_t verified;
    struct kvs_client_error fatal; // code OK: none
    struct message messages[MESSAGES_MAX];
    size_t message_count;
    size_t said_count;  // of those; the caller's
    uint64_t last_line; // added; the caller's
};

// ---- Results, with the lock held

static void note_failure(struct kvs_importer *importer, uint64_t line, const char *key,
                         const char *text)
{
    importer->failed++;
    if (importer->message_count == MESSAGES_MAX)
        return;
    struct message *message = &importer->messages[importer->message_count++];
    message->line = line;
    message->key = key ? strdup(key) : NULL; // without memory only the line is named
    (void)snprintf(message->text, sizeof(message->text), "%s", text);
}

static void lock(struct kvs_importer *importer)
{
    (void)pthread_mutex_lock(&importer->lock); // cannot fail for a mutex of this kind
}

static void unlock(struct kvs_importer *importer)
{
    (void)pthread_mutex_unlock(&importer->lock);
}

// ---- Sending, on a worker

// Does the failure concern this one record, and not the node or the caller's rights?
static bool is_about_record(enum kvs_client_code code)
{
    switch (code) {
    case KVS_CLIENT_INVALID:
    case KVS_CLIENT_TOO_LARGE:
    case KVS_CLIENT_FORBIDDEN:
    case KVS_CLIENT_PRECONDITION:
    case KVS_CLIENT_CONFLICT:
    case KVS_CLIENT_NOT_FOUND:
        return true;
    default:
        return false;
    }
}

static void note_fatal(struct kvs_importer *importer, const struct kvs_client_error *error)
{
    lock(importer);
    if (importer->fatal.code == KVS_CLIENT_OK)
        importer->fatal = *error;
    unlock(importer);
}

static bool has_failed(struct kvs_importer *importer)
{
    lock(importer);
    bool failed = importer->fatal.code != KVS_CLIENT_OK;
    unlock(importer);
    return failed;
}

// False: the import cannot go on.
static bool send_one_by_one(struct kvs_importer *importer, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct kvs_client_operation *operation = &batch->operations[i];
        const struct kvs_client_put_options options = {.ttl = operation->ttl};
        struct kvs_client_error error;
        enum kvs_client_code code =
            kvs_client_put(importer->options.client, operation->key, operation->json,
                           operation->json_size, &options, NULL, NULL, &error);
        if (code != KVS_CLIENT_OK && !is_about_record(code)) {
            note_fatal(importer, &error);
            return false;
        }
        batch->stored[i] = code == KVS_CLIENT_OK;
        lock(importer);
        if (code == KVS_CLIENT_OK)
            importer->stored++;
        else
            note_failure(importer, batch->lines[i], operation->key, error.message);
        unlock(importer);
    }
    return true;
}

static void take_results(struct kvs_importer *importer, struct batch *batch,
                         const struct kvs_client_results *results)
{
    lock(importer);
    for (size_t i = 0; i < batch->count; i++) {
        const struct kvs_client_result *result = &results->results[i];
        batch->stored[i] = result->code == KVS_CLIENT_OK;
        if (result->code == KVS_CLIENT_OK)
            importer->stored++;
        else
            note_failure(importer, batch->lines[i], batch->operations[i].key, result->message);
    }
    unlock(importer);
}

// False: the import cannot go on.
static bool send_batch(struct kvs_importer *importer, struct batch *batch)
{
    struct kvs_client_results results;
    struct kvs_client_error error;
    if (!atomic_load(&importer->no_batches)) {
        enum kvs_client_code code = kvs_client_batch(importer->options.client, batch->operations,
                                                     batch->count, &results, &error);
        if (code == KVS_CLIENT_OK) {
            take_results(importer, batch, &results);
            kvs_client_results_done(&results);
            return true;
        }
        if (error.http_status == 404 || error.http_status == 405)
            atomic_store(&importer->no_batches, true);
        else if (code != KVS_CLIENT_INVALID && error.http_status != 413) {
            note_fatal(importer, &error);
            return false;
        }
    }
    return send_one_by_one(importer, batch);
}

// ---- Reading back, on a worker

// In the same batch a later line may have written the key again.
static bool is_overwritten(const struct batch *batch, size_t index)
{
    for (size_t i = index + 1; i < batch->count; i++)
        if (batch->stored[i] && strcmp(batch->operations[i].key, batch->operations[index].key) == 0)
            return true;
    return false;
}

// But for the white space between its parts, which a node may drop.
static bool is_same_value(const struct kvs_client_operation *sent,
                          const struct kvs_client_result *read)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf ours = KVS_BUF_INIT(VALUE_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf theirs = KVS_BUF_INIT(VALUE_SIZE_MAX);
    struct kvs_slice json = kvs_slice(sent->json, sent->json_size);
    struct kvs_slice read_json = kvs_slice(read->json, read->json_size);
    struct kvs_json_error error;
    if (kvs_slice_eq(json, read_json))
        return true;
    return kvs_json_compact(json, &ours, &error) == 0 &&
           kvs_json_compact(read_json, &theirs, &error) == 0 &&
           kvs_slice_eq(kvs_buf_slice(&ours), kvs_buf_slice(&theirs));
}

static void compare_value(struct kvs_importer *importer, const struct batch *batch, size_t index,
                          const struct kvs_client_result *read)
{
    const struct kvs_client_operation *sent = &batch->operations[index];
    bool expires = strcmp(sent->ttl, "0") != 0;
    if (read->code == KVS_CLIENT_OK && read->json && is_same_value(sent, read))
        importer->verified++;
    else if (is_overwritten(batch, index) || (expires && read->code == KVS_CLIENT_NOT_FOUND))
        return;
    else if (read->code == KVS_CLIENT_OK)
        note_failure(importer, batch->lines[index], sent->key,
                     "what is stored differs from what was sent");
    else
        note_failure(importer, batch->lines[index], sent->key, read->message);
}

static bool read_back_one_by_one(struct kvs_importer *importer, const struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct kvs_client_record record = {0};
        struct kvs_client_error error = {0};
        if (!batch->stored[i])
            continue;
        enum kvs_client_code code =
            kvs_client_get(importer->options.client, batch->operations[i].key, &record, &error);
        if (code != KVS_CLIENT_OK && !is_about_record(code)) {
            note_fatal(importer, &error);
            return false;
        }
        const struct kvs_client_result read = {.code = code,
                                               .json = record.json,
                                               .json_size = record.json_size,
                                               .message = error.message};
        lock(importer);
        compare_value(importer, batch, i, &read);
        unlock(importer);
        kvs_client_record_done(&record);
    }
    return true;
}

static bool read_back_batch(struct kvs_importer *importer, const struct batch *batch)
{
    struct kvs_client_operation *gets = calloc(batch->count, sizeof(*gets));
    struct kvs_client_results results;
    struct kvs_client_error error = {.code = KVS_CLIENT_NOMEM, .message = "out of memory"};
    for (size_t i = 0; gets && i < batch->count; i++)
        gets[i] = (struct kvs_client_operation){.kind = KVS_CLIENT_OPERATION_GET,
                                                .key = batch->operations[i].key};
    enum kvs_client_code code =
        gets ? kvs_client_batch(importer->options.client, gets, batch->count, &results, &error)
             : KVS_CLIENT_NOMEM;
    free(gets);
    if (code != KVS_CLIENT_OK) {
        note_fatal(importer, &error);
        return false;
    }
    lock(importer);
    for (size_t i = 0; i < batch->count; i++)
        if (batch->stored[i])
            compare_value(importer, batch, i, &results.results[i]);
    unlock(importer);
    kvs_client_results_done(&results);
    return true;
}

// Asks for what was stored. False: the import cannot go on.
static bool read_back(struct kvs_importer *importer, const struct batch *batch)
{
    return atomic_load(&importer->no_batches) ? read_back_one_by_one(importer, batch)
                                              : read_back_batch(importer, batch);
}

static bool deliver(struct kvs_importer *importer, struct batch *batch)
{
    if (has_failed(importer))
        return false;
    if (!importer->options.dry_run)
        return send_batch(importer, batch) &&
               (!importer->options.verify || read_back(importer, batch));
    lock(importer);
    importer->stored += batch->count;
    unlock(importer);
    return true;
}

static void *run_worker(void *context)
{
    struct worker *worker = context;
    struct kvs_importer *importer = worker->importer;
    lock(importer);
    for (;;) {
        while (!worker->full && !importer->ending)
            (void)pthread_cond_wait(&importer->changed, &importer->lock);
        if (!worker->full)
            break;
        unlock(importer);
        bool delivered = deliver(importer, worker->sending);
        lock(importer);
        if (!delivered && worker->lost_line == 0)
            worker->lost_line = worker->sending->lines[0];
        worker->full = false;
        (void)pthread_cond_broadcast(&importer->changed);
    }
    unlock(importer);
    return NULL;
}

// ---- Life, on the caller's thread

static bool start_worker(struct kvs_importer *importer, struct worker *worker)
{
    worker->importer = importer;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(worker->batches); i++)
        kvs_arena_init(&worker->batches[i].arena, BATCH_ARENA_MAX);
    worker->filling = &worker->batches[0];
    worker->sending = &worker->batches[1];
    worker->started = pthread_create(&worker->thread, NULL, run_worker, worker) == 0;
    return worker->started;
}

struct kvs_importer *kvs_importer_new(const struct kvs_importer_options *options,
                                      struct kvs_progress *progress)
{
    kvs_assert(options->worker_count >= 1);
    kvs_assert(options->worker_count <= WORKERS_MAX);
    struct kvs_importer *importer = calloc(1, sizeof(*importer));
    struct worker *workers = calloc(options->worker_count, sizeof(*workers));
    if (!importer || !workers) {
        free(importer);
        free(workers);
        kvs_cmd_error("out of memory");
        return NULL;
    }
    importer->options = *options;
    importer->progress = progress;
    importer->workers = workers;
    (void)pthread_mutex_init(&importer->lock, NULL); // cannot fail with default attributes
    (void)pthread_cond_init(&importer->changed, NULL);
    for (size_t i = 0; i < options->worker_count; i++) {
        if (!start_worker(importer, &workers[i])) {
            kvs_cmd_error("cannot start a thread");
            kvs_importer_free(importer);
            return NULL;
        }
    }
    return importer;
}

static void end_workers(struct kvs_importer *importer)
{
    lock(importer);
    importer->ending = true;
    (void)pthread_cond_broadcast(&importer->changed);
    unlock(importer);
    for (size_t i = 0; i < importer->options.worker_count; i++) {
        struct worker *worker = &importer->workers[i];
        if (worker->started)
            (void)pthread_join(worker->thread, NULL); // it is ours and joined once
        worker->started = false;
    }
}

void kvs_importer_free(struct kvs_importer *importer)
{
    if (!importer)
        return;
    end_workers(importer);
    for (size_t i = 0; i < importer->options.worker_count; i++)
        for (size_t j = 0; j < KVS_ARRAY_SIZE(importer->workers[i].batches); j++)
            kvs_arena_done(&importer->workers[i].batches[j].arena);
    for (size_t i = 0; i < importer->message_count; i++)
        free(importer->messages[i].key);
    (void)pthread_cond_destroy(&importer->changed);
    (void)pthread_mutex_destroy(&importer->lock);
    free(importer->workers);
    free(importer);
}

// ---- Messages, on the caller's thread

static void say(struct kvs_importer *importer, const struct message *message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf key = KVS_BUF_INIT(64 << 10);
    if (message->key) {
        kvs_show_text(&key, kvs_slice_from_str(message->key));
        kvs_buf_append_str(&key, ": ");
    }
    kvs_progress_clear(importer->progress);
    kvs_cmd_error("%s:%" PRIu64 ": %.*s%s", importer->options.source, message->line,
                  KVS_SLICE_FMT(kvs_buf_slice(&key)), message->text);
}

static void say_new_messages(struct kvs_importer *importer)
{
    lock(importer);
    size_t count = importer->message_count;
    unlock(importer);
    // Those below `count` do not change any more.
    bool fresh = count > importer->said_count;
    while (importer->said_count < count)
        say(importer, &importer->messages[importer->said_count++]);
    if (fresh && count == MESSAGES_MAX)
        kvs_cmd_error("%s: further failures are only counted", importer->options.source);
}

// Says what keeps the import from going on, if anything does.
static int check(struct kvs_importer *importer)
{
    say_new_messages(importer);
    lock(importer);
    struct kvs_client_error fatal = importer->fatal;
    unlock(importer);
    if (fatal.code == KVS_CLIENT_OK)
        return KVS_EXIT_OK;
    kvs_progress_clear(importer->progress);
    return kvs_cmd_client_error(&fatal);
}

void kvs_importer_refuse(struct kvs_importer *importer, uint64_t line, const char *reason)
{
    importer->last_line = line;
    lock(importer);
    note_failure(importer, line, NULL, reason);
    unlock(importer);
    say_new_messages(importer);
}

// ---- Adding, on the caller's thread

// Waits, with the lock held, until the worker has sent its batch. False: interrupted.
static bool wait_until_sent(struct kvs_importer *importer, const struct worker *worker)
{
    struct kvs_interrupt *interrupt = importer->options.interrupt;
    while (worker->full) {
        struct timespec until;
        if (interrupt && kvs_interrupt_caught(interrupt))
            return false;
        (void)clock_gettime(CLOCK_REALTIME, &until); // cannot fail
        until.tv_nsec += LOOK_EVERY_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&importer->changed, &importer->lock, &until);
    }
    return !interrupt || !kvs_interrupt_caught(interrupt);
}

static int hand_over(struct kvs_importer *importer, struct worker *worker)
{
    lock(importer);
    if (!wait_until_sent(importer, worker)) {
        unlock(importer);
        return KVS_EXIT_FAILED;
    }
    struct batch *batch = worker->filling;
    worker->filling = worker->sending;
    worker->sending = batch;
    worker->full = true;
    (void)pthread_cond_broadcast(&importer->changed);
    unlock(importer);
    worker->filling->count = 0;
    worker->filling->bytes = 0;
    kvs_arena_reset(&worker->filling->arena);
    return check(importer);
}

// FNV-1a: only has to spread keys over the workers, always the same way.
static uint64_t hash_key(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (; *key; key++)
        hash = (hash ^ (uint8_t)*key) * 0x100000001b3;
    return hash;
}

int kvs_importer_add(struct kvs_importer *importer, const struct kvs_import_record *record)
{
    struct worker *worker =
        &importer->workers[hash_key(record->key) % importer->options.worker_count];
    size_t size = strlen(record->key) + record->json_size;
    if (worker->filling->count > 0 && worker->filling->bytes + size > BATCH_BYTES) {
        int code = hand_over(importer, worker);
        if (code != KVS_EXIT_OK)
            return code;
    }
    struct batch *batch = worker->filling;
    struct kvs_slice key = kvs_arena_copy(&batch->arena, kvs_slice_from_str(record->key));
    struct kvs_slice json =
        kvs_arena_copy(&batch->arena, kvs_slice(record->json, record->json_size));
    struct kvs_slice ttl = kvs_arena_copy(&batch->arena, kvs_slice_from_str(record->ttl));
    if (!key.data || !json.data || !ttl.data) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    batch->lines[batch->count] = record->line;
    batch->operations[batch->count++] = (struct kvs_client_operation){
        .kind = KVS_CLIENT_OPERATION_PUT,
        .key = key.data,
        .json = json.data,
        .json_size = json.size,
        .ttl = ttl.data,
    };
    batch->bytes += size;
    importer->last_line = record->line;
    return batch->count == KVS_CLIENT_BATCH_MAX ? hand_over(importer, worker) : KVS_EXIT_OK;
}

int kvs_importer_finish(struct kvs_importer *importer)
{
    int code = KVS_EXIT_OK;
    for (size_t i = 0; i < importer->options.worker_count && code == KVS_EXIT_OK; i++)
        if (importer->workers[i].filling->count > 0)
            code = hand_over(importer, &importer->workers[i]);
    lock(importer);
    for (size_t i = 0; i < importer->options.worker_count && code == KVS_EXIT_OK; i++)
        if (!wait_until_sent(importer, &importer->workers[i]))
            code = KVS_EXIT_FAILED;
    unlock(importer);
    end_workers(importer);
    return code == KVS_EXIT_OK ? check(importer) : code;
}

void kvs_importer_stop(struct kvs_importer *importer)
{
    end_workers(importer);
    say_new_messages(importer);
}

struct kvs_import_totals kvs_importer_totals(struct kvs_importer *importer)
{
    lock(importer);
    struct kvs_import_totals totals = {
        .stored = importer->stored,
        .failed = importer->failed,
        .verified = importer->verified,
        .stored_until = importer->last_line,
    };
    for (size_t i = 0; i < importer->options.worker_count; i++) {
        const struct worker *worker = &importer->workers[i];
        uint64_t first = worker->lost_line;
        if (!first && worker->full)
            first = worker->sending->lines[0];
        if (!first && worker->filling->count > 0)
            first = worker->filling->lines[0];
        if (first && first - 1 < totals.stored_until)
            totals.stored_until = first - 1;
    }
    unlock(importer);
    return totals;
}
