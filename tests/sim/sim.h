// SPDX-License-Identifier: Apache-2.0
// The deterministic cluster: N nodes in one process, virtual time, one seed. The nodes run the
// replication core and speak in encoded messages; disks, clocks and the network are played here,
// and break as the seed says. An independent model says what must be true.
//
//   main.c      arguments            scenario.c  what a seed means: knobs, faults, workload
//   world.c     events and network   host.c      one node: store, disk, performing actions
//   model.c     the oracle           check.c     after each step, and at rest
//   scenes.c    small scenes for golden traces, and fifty nodes
#ifndef KVS_TESTS_SIM_SIM_H
#define KVS_TESTS_SIM_SIM_H

#include "repl/clock.h"
#include "repl/mutations.h"
#include "repl/repl.h"
#include "tests/sim/naive_digest.h"

#include <stdio.h>

enum {
    SIM_KEYS_MAX = 64,
    SIM_NODES_MAX = 52,
    SIM_LOG_MAX = 128,
    SIM_DEFERRED_MAX = 128,
    SIM_STATE_MAX = 16384,
    SIM_PENDING_MAX = 1024,
};
#define SIM_WALL_START_MS INT64_C(1700000000000)

// ---- The model (model.c): every write that was ever made, and what follows from them.

struct model_write {
    struct kvs_version version;
    uint64_t value;
    bool acked; // its client was told, and no disaster has excused its loss since
    bool real;  // it was durable, or another node has received it
    // The greatest deletion, by index, that was forgotten by a node that had never received this
    // write, after someone who had it had stopped counting; -1: none.
    int outlived;
};

// A set of writes of each key, by index.
enum { MODEL_WRITES_MAX = 256 };
struct model_set {
    uint64_t bits[SIM_KEYS_MAX][MODEL_WRITES_MAX / 64];
};

struct model {
    struct model_write *writes[SIM_KEYS_MAX];
    int count[SIM_KEYS_MAX];
    int capacity[SIM_KEYS_MAX];
    int forgotten[SIM_KEYS_MAX]; // the greatest deletion that any node forgot, by index + 1; 0:
                                 // none
    uint64_t forgotten_outside[SIM_KEYS_MAX]; // nodes whom it did not count then
};

void model_done(struct model *model);
// The model's own order, not the code under test: > 0 if `a` wins.
int model_cmp(const struct kvs_version *a, const struct kvs_version *b);
int model_add(struct model *model, int key, const struct model_write *write);
int model_find(const struct model *model, int key,
               const struct kvs_version *version); // -1: unknown
// The winner of all acknowledged writes of a key; NULL: none.
const struct model_write *model_winner(const struct model *model, int key);
bool model_has(const struct model_set *set, int key, int write);
void model_put(struct model_set *set, int key, int write);
// May `value` stand although `write`, which beats it, was acknowledged? docs/replication.md, "Away
// for too long": only if a deletion no older than `write` was forgotten where nobody had received
// `value`.
bool model_may_outlive(const struct model *model, int key, int value, int write);
// Is there a deletion, or a version that expires, that beats `version` and was real?
bool model_is_over(const struct model *model, int key, const struct kvs_version *version);

// ---- A node's disk

struct cell {
    bool present;
    bool damaged; // its checksum is wrong: only key, timestamp, joined_timestamp, uuid are known
    struct kvs_version version;
    uint64_t value;
};

struct log_entry {
    int key;
    struct kvs_version version;
    uint64_t value;
};

struct disk {
    bool formatted;
    struct kvs_uuid node;
    int64_t joined_timestamp;
    uint32_t life;
    uint32_t own_count; // of `life`
    bool served;        // has taken a write, in this life or an earlier one
    int64_t own_newest_ms;
    int64_t clock_floor_ms;
    int64_t purged_ms;
    int keys, log_size; // of the scenario: no more than these is used below
    struct cell cells[SIM_KEYS_MAX];
    struct log_entry log[SIM_LOG_MAX]; // ring, by arrival
    uint64_t log_next;
    struct log_entry deferred[SIM_DEFERRED_MAX];
    int deferred_count;
    struct kvs_seen seen;
    // What really happened here, dot by dot, whatever the core believes.
    struct model_set received;
    struct model_set buried; // received, and a deletion that beats it was forgotten or dropped here
};

// A commit whose sync is still to come.
struct pending {
    struct kvs_repl_commit commit;
    int ack_key, ack_write; // a client waits for it; key -1: none
    bool adopts;
};

struct sim;

struct node {
    struct sim *sim;
    int index;
    uint32_t address; // of the process that runs now
    bool up, stalled, left, is_copy;
    bool reseeded;    // its disk was lost: it knows nobody but its seeds
    struct disk disk; // what is on it
    char state[SIM_STATE_MAX];
    size_t state_size;
    struct disk memory;  // what the running process sees
    struct disk syncing; // under way to the disk
    bool sync_running;
    struct pending pending[SIM_PENDING_MAX];
    int pending_count, pending_syncing;
    int adopting; // taken over, and the core not told yet
    uint32_t run; // counts starts: events of an earlier run are dropped
    struct kvs_repl *repl;
    struct kvs_repl_actions actions;
    struct naive_digest digest;
    struct kvs_digest_key digest_key;
    struct kvs_stamp_clock clock;
    struct kvs_fingerprint root;
    struct kvs_digest_sum items[SIM_KEYS_MAX]; // as the digest counts them
    int64_t report_at_ms;                      // damaged records, again
    int64_t tick_at_ms;
    // Faults of the moment.
    int64_t clock_offset_ms;
    int64_t clock_frozen_ms; // != 0: stands there
    int64_t clock_drift_ppm;
    int64_t standing_until_ms; // the process has no time till then: what comes waits
    int64_t stood_from_ms;     // the last standstill began
    int64_t woke_ms;           // from the standstill before
    bool wakes;                // this is the first step after one, and no message
    bool disk_full;
    int64_t disk_delay_ms;
    bool restored; // its disk went back in time, and its promises with it
    // A copy of its disk, taken some time ago.
    bool has_backup;
    struct disk backup;
    char backup_state[SIM_STATE_MAX];
    size_t backup_state_size;
    uint32_t seeds[4]; // addresses
    int seed_count;
    // For the checks.
    int64_t watermark_ms;
    struct kvs_uuid cluster;
    struct kvs_seen seen_before;
    struct cell before[SIM_KEYS_MAX];
    int64_t promised_ms;
    bool revived; // by the commit being made
    bool changed; // some cell, since the last check
};

static inline bool node_stands(const struct node *node, int64_t now_ms)
{
    return node->standing_until_ms > now_ms;
}

enum sim_event_type { SIM_MESSAGE, SIM_TICK, SIM_SYNC_DONE, SIM_READ_DONE, SIM_SCRIPT };

struct sim_event {
    int64_t at_ms;
    uint64_t order; // ties are broken by the order of making
    enum sim_event_type type;
    int node;
    int from;
    uint32_t run;
    uint32_t address;
    char *bytes; // SIM_MESSAGE: owned
    size_t size;
    struct sim_read *read; // SIM_READ_DONE: owned
    void (*script)(struct sim *sim);
};

// What a scenario sets.
struct sim_knobs {
    int nodes, keys, ops;
    int64_t active_ms;
    int delay_ms, jitter_ms;
    double loss, duplication;
    int log_size, revisions_kept;
    int digest_bits;
    int64_t retention_ms, expire_after_ms, promise_interval_ms, sync_interval_ms, skew_max_ms;
    bool frozen_clocks, push;
    bool standstills; // processes stand still, too
    uint32_t lives_kept;
    bool quiet; // no faults at all
    bool no_rest;
    unsigned mutations;
};

struct sim {
    uint64_t seed;
    struct kvs_random_seeded random;
    struct sim_knobs knobs;
    int64_t now_ms;
    struct node *nodes;
    int node_count;
    struct sim_event *heap;
    size_t heap_count, heap_capacity;
    uint64_t order;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX]; // [from][to]
    struct model model;
    bool healing;             // no new faults
    bool core[SIM_NODES_MAX]; // faults spare these, and what lies between them
    struct kvs_uuid gone[16]; // identities whose disks are lost: an operator removes them
    int gone_count;
    int ops_left;
    uint32_t next_address;
    FILE *trace;      // NULL: none
    bool trace_quiet; // golden traces: without pings and status exchanges
    // Result.
    uint64_t revivals; // never-seen versions from below the watermark that were taken
    uint64_t undone;   // what these beat although it was newer: deletions forgotten in an exile
    struct kvs_uuid exiled[64]; // identities that somebody stopped counting
    int exiled_count;
    bool failed;
    char failure[1024];
    // Counters.
    uint64_t steps, messages, bytes, writes, acked, drops, purged, deferred, conflicts, returns,
        joins, divergences, dead_declared, faults, duplicates, flips, repairs, cores;
};

// ---- world.c
void sim_init(struct sim *sim, uint64_t seed);
void sim_done(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t bound);
bool sim_chance(struct sim *sim, double probability);
void sim_push(struct sim *sim, struct sim_event *event); // takes what it owns
void sim_send(struct sim *sim, const struct node *from, struct kvs_slice address,
              struct kvs_slice bytes);
void sim_run_until(struct sim *sim, int64_t until_ms);
void sim_at(struct sim *sim, int64_t at_ms, void (*script)(struct sim *sim));
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const struct node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int64_t sim_wall_ms(const struct node *node);

// ---- disk.c
struct kvs_slice sim_key(int key, char buffer[static 16]);
int sim_key_number(struct kvs_slice key);
void disk_copy(struct disk *to, const struct disk *from);
void disk_done(struct disk *disk);
void node_format(struct node *node);            // an empty disk with a new identity
void node_damage(struct node *node, int key);   // its record on the disk
void node_restored(struct node *node, int key); // a damaged record has been put right by hand
void disk_set_cell(struct node *node, int key,
                   const struct cell *next); // in memory, and in the digest
// What can be read of a damaged record's version.
struct kvs_version disk_known_version(const struct cell *cell);
void disk_digest(struct node *node); // anew, from what is in memory
struct kvs_digest_sum sim_item(const struct node *node, struct kvs_slice key,
                               const struct cell *cell);

// ---- answer.c: the core's reads
void answer_log(struct node *node, const struct kvs_repl_action *action);
void answer_keys(struct node *node, const struct kvs_repl_action *action);
void answer_page(struct node *node, const struct kvs_repl_action *action);
void answer_compare(struct node *node, const struct kvs_repl_action *action);
void node_on_read(struct node *node, struct sim_read *read);
void read_free(struct sim_read *read);

// ---- host.c
void node_init(struct sim *sim, struct node *node, int index);
void node_done(struct node *node);
void node_start(struct node *node);
void node_crash(struct node *node); // power goes: what was not synced is lost
void node_event(struct node *node, struct kvs_repl_event *event);
void node_on_sync_done(struct node *node);
void node_write(struct node *node, int key, bool tombstone, int64_t ttl_ms);

// ---- check.c
void check_step(struct node *node, enum kvs_repl_event_type after);
bool check_converged(struct sim *sim, char *why, size_t why_size);
void check_rest(struct sim *sim);
bool check_same(const struct node *a, const struct node *b, char *why, size_t why_size);
void check_trace_nodes(struct sim *sim);
void check_trace_difference(const struct node *a, const struct node *b);
void check_removed(struct node *node, int key, const struct cell *cell, int64_t upto_ms);
// `deletion` is forgotten by the node: it will not beat what arrives from now on.
void check_forgotten(struct node *node, int key, const struct kvs_version *deletion);
void check_found(struct node *node);  // what is on its disk at a start was durable
void check_exiles(struct node *node); // whom has it stopped counting?
// A write was made: perhaps by an exile who cannot know of a deletion that was forgotten before.
void check_written(struct node *node, int key, int write);
// INV-R4 over the whole cluster, after a step of `node`.
void check_equal(struct node *node);
bool check_window(const struct node *a, const struct node *b,
                  int key); // may they differ in it for a while?
void check_dropped(struct node *node, int key, const struct cell *cell);
// `lost` has gone, or went back in time: what no other disk holds may be lost with it.
void check_excuse(struct sim *sim, const struct disk *lost);

// ---- faults.c
void fault_one(struct sim *sim);                          // any
struct node *fault_random_node(struct sim *sim, bool up); // that faults may strike; NULL: none
void fault_seed_with(struct node *node, const struct node *seed);
void fault_reseed(struct sim *sim, struct node *node);
bool fault_copy_is_up(const struct sim *sim);
void fault_restore_damaged(struct sim *sim);

// ---- scenario.c
void scenario_run(struct sim *sim, uint64_t seed, unsigned mutations); // a whole seed
void scenario_build(struct sim *sim, int nodes); // quiet knobs, all nodes seeded with the first
void scenario_rest(struct sim *sim);

// ---- scenes.c
bool scene_play(struct sim *sim, const char *name); // false: there is none of that name
void scene_fifty(struct sim *sim, int64_t loss_s);

#endif
