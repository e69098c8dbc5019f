// SPDX-License-Identifier: Apache-2.0
// What replica.c (the queue, the thread, its life) and replica_perform.c (what the core wants done)
// share. Nobody else includes it.
#ifndef KVS_NODE_REPLICA_INTERNAL_H
#define KVS_NODE_REPLICA_INTERNAL_H

#include "node/replica.h"
#include "node/replica_audit.h"
#include "node/replica_op.h"
#include "node/screen.h"
#include "node/tagged.h"

#include <pthread.h>
#include <time.h>

enum kvs_replica_event_type {
    KVS_REPLICA_EVENT_MESSAGE,
    KVS_REPLICA_EVENT_OP,
    KVS_REPLICA_EVENT_READ,
    KVS_REPLICA_EVENT_COMMITTED,
    KVS_REPLICA_EVENT_REMOVE,
    KVS_REPLICA_EVENT_ADDRESS,
    KVS_REPLICA_EVENT_PAUSE,
};

struct kvs_replica_event {
    struct kvs_replica_event *next;
    enum kvs_replica_event_type type;
    struct kvs_replica_op *op;        // OP: owned
    struct kvs_replica_read_job *job; // READ: owned
    struct kvs_repl_commit commit;    // COMMITTED
    struct kvs_uuid member;           // REMOVE
    size_t size;                      // MESSAGE, ADDRESS
    char bytes[];
};

// A token of the core's whose action could not be begun for want of memory.
struct kvs_replica_lost {
    enum kvs_repl_event_type answer; // the event that it waits for
    uint64_t token;
};
enum { KVS_REPLICA_LOST_MAX = 1024 }; // the core has no more tokens

// A read that a worker does. Owns its arena.
struct kvs_replica_read_job {
    struct kvs_task task;
    struct kvs_replica *replica;
    struct kvs_repl_action action;
    struct kvs_arena arena;
    struct kvs_repl_event result;
    struct kvs_replica_event event;
};

struct kvs_replica {
    struct kvs_node *node;
    const struct kvs_cluster_options *options;
    struct kvs_executor executor; // where operations complete: the commit thread posts here
    pthread_t thread;
    bool started;
    // The core: stepped by the thread, looked at by others under the lock.
    pthread_mutex_t core_lock;
    struct kvs_repl *core;
    struct kvs_repl_actions actions;
    _Atomic bool syncing;
    // The queue.
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct kvs_replica_event *first, **last;
    struct kvs_replica_event *tail; // the last one
    size_t message_bytes;
    bool has_late; // a commit for which there was no event; not once a later one is queued
    struct kvs_repl_commit late;
    bool stopping;
    size_t jobs;    // at work; guarded by `lock`
    bool persisted; // of the PERSIST that is waited for; guarded by `lock`
    int persist_err;
    atomic_bool pausing; // it was told to pause
    bool paused;         // nothing is sent any more; set by the thread under `lock`
    // The thread's own.
    int64_t next_ms;     // monotonic: a tick is due
    size_t dues;         // DUEs under way
    int64_t due_next_ms; // monotonic: not before, for the last one failed
    struct kvs_member_roll roll;
    struct kvs_screen screen;
    struct kvs_repl_commit told; // the last one
    struct kvs_replica_lost lost[KVS_REPLICA_LOST_MAX];
    size_t lost_count;
    // Keys whose records are damaged, reported again and again until they are not.
    struct kvs_tagged damaged[KVS_REPL_DAMAGED_MAX]; // guarded by `lock`
    _Atomic size_t damaged_count;
    int64_t damaged_next_ms;
    bool unsaid; // the state could not be made durable before the end: nothing more is done
    bool stop_told;
    bool system_ready, system_told;
};

// Under `lock`.
void kvs_replica_push_locked(struct kvs_replica *r, struct kvs_replica_event *event);
// In place of an answer: an error, soon. 0: nobody waits for it.
void kvs_replica_give_up(struct kvs_replica *r, enum kvs_repl_event_type answer, uint64_t token);
// For a wait on `wake`.
struct timespec kvs_replica_deadline(int64_t delay_ms);

// ---- replica_perform.c, on the replica's thread

void kvs_replica_perform(struct kvs_replica *r, const struct kvs_repl_action *action);
// What is due by this node's own clock.
void kvs_replica_perform_own_due(struct kvs_replica *r, const struct kvs_repl_event *event);
// A DUE has ended: it takes only so much at once.
void kvs_replica_due_done(struct kvs_replica *r, const struct kvs_replica_op *op);
// Measures how old the versions of an APPLY that has been committed are.
void kvs_replica_observe_lag(const struct kvs_replica *r, const struct kvs_replica_op *op);
void kvs_replica_job_free(struct kvs_replica_read_job *job);

#endif
