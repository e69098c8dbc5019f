// SPDX-License-Identifier: Apache-2.0
// One node around the core, as the real one is: a commit thread whose groups become durable
// together (disk.c holds them), a log, deferred versions, and whoever answers the core's reads
// (answer.c).
#include "tests/sim/sim.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

static uint64_t value_number(struct kvs_slice value)
{
    uint64_t number = 0;
    if (value.size == sizeof(number))
        memcpy(&number, value.data, sizeof(number));
    return number;
}

void node_init(struct sim *sim, struct node *node, int index)
{
    *node = (struct node){.sim = sim, .index = index, .address = sim->next_address++};
    kvs_repl_actions_init(&node->actions);
    naive_digest_init(&node->digest);
    node->disk_delay_ms = 3;
}

static void stop(struct node *node)
{
    node->pending_count = 0;
    node->adopting = 0;
    node->sync_running = false;
    kvs_repl_free(node->repl);
    node->repl = NULL;
    node->up = false;
    node->tick_at_ms = 0;
    node->run++;
}

void node_done(struct node *node)
{
    stop(node);
    kvs_repl_actions_done(&node->actions);
    naive_digest_done(&node->digest);
    kvs_seen_done(&node->seen_before);
    disk_done(&node->disk);
    disk_done(&node->memory);
    disk_done(&node->syncing);
    disk_done(&node->backup);
}

void node_crash(struct node *node)
{
    if (!node->up)
        return;
    // What was on its way may have arrived, though nobody was told.
    bool arrived = node->sync_running && !node->sim->knobs.quiet && sim_chance(node->sim, 0.3);
    sim_trace(node->sim, node, "crashes%s", arrived ? ", its last group on disk" : "");
    if (arrived)
        disk_copy(&node->disk, &node->syncing);
    stop(node);
}

// ---- Commits

static void start_sync(struct node *node)
{
    if (node->sync_running || node->pending_count == 0)
        return;
    node->sync_running = true;
    node->pending_syncing = node->pending_count;
    disk_copy(&node->syncing, &node->memory);
    struct sim_event event = {.at_ms = node->sim->now_ms + 1 +
                                       (int64_t)sim_below(node->sim, (uint64_t)node->disk_delay_ms),
                              .type = SIM_SYNC_DONE,
                              .node = node->index,
                              .run = node->run};
    sim_push(node->sim, &event);
}

static struct pending *commit(struct node *node, uint64_t token)
{
    kvs_assert(node->pending_count < SIM_PENDING_MAX);
    struct pending *pending = &node->pending[node->pending_count++];
    *pending = (struct pending){.ack_key = -1};
    pending->commit = (struct kvs_repl_commit){
        .token = token,
        .own_count = node->memory.own_count,
        .own_newest_ms = node->memory.own_newest_ms,
        .root = node->root,
        .deferred_count = (uint32_t)node->memory.deferred_count,
        .purged_ms = node->memory.purged_ms,
        .revived = node->revived,
    };
    node->revived = false;
    start_sync(node);
    return pending;
}

void node_on_sync_done(struct node *node)
{
    disk_copy(&node->disk, &node->syncing);
    node->sync_running = false;
    int count = node->pending_syncing;
    struct pending done[SIM_PENDING_MAX];
    memcpy(done, node->pending, (size_t)count * sizeof(done[0]));
    node->pending_count -= count;
    memmove(node->pending, node->pending + count,
            (size_t)node->pending_count * sizeof(node->pending[0]));
    uint32_t run = node->run;
    for (int i = 0; i < count; i++) {
        if (node->run == run) {
            struct kvs_repl_event event = {.type = KVS_REPL_EVENT_COMMIT, .commit = done[i].commit};
            node->adopting -= done[i].adopts;
            if (done[i].ack_key >= 0 && done[i].commit.err == 0) {
                struct model_write *write =
                    &node->sim->model.writes[done[i].ack_key][done[i].ack_write];
                write->acked = write->real = true;
                node->sim->acked++;
            }
            node_event(node, &event);
        }
    }
    if (node->run == run)
        start_sync(node);
}

static void append_log(struct node *node, int key, const struct cell *cell)
{
    struct disk *m = &node->memory;
    m->log[m->log_next++ % (uint64_t)node->sim->knobs.log_size] =
        (struct log_entry){key, cell->version, cell->value};
}

static void write_locally(struct node *node, int key, const struct cell *from)
{
    struct disk *m = &node->memory;
    const struct cell *old = &m->cells[key];
    struct cell next = *from;
    next.present = true;
    next.version.uuid = kvs_uuid_new(&node->sim->random.base);
    next.version.writer = (struct kvs_writer){m->node, m->joined_timestamp};
    next.version.writer_seq = kvs_dot_seq(m->life, ++m->own_count);
    next.version.timestamp = kvs_stamp_clock_next(&node->clock, sim_wall_ms(node),
                                                  old->present ? old->version.timestamp : 0);
    m->own_newest_ms = next.version.timestamp;
    m->served = true;
    if (next.version.timestamp <= node->promised_ms)
        sim_fail(node->sim, "n%d wrote k%02d at or below its promise", node->index, key);
    if (old->present && model_cmp(&next.version, &old->version) < 0)
        sim_fail(node->sim, "n%d: a write to k%02d lost against what its writer had seen",
                 node->index, key);
    struct model_write write = {.version = next.version, .value = next.value};
    int index = model_add(&node->sim->model, key, &write);
    model_put(&m->received, key, index);
    check_written(node, key, index);
    sim_trace(node->sim, node, "%s k%02d at %" PRId64 " dot %u%s",
              kvs_version_is_tombstone(&next.version) ? "deletes" : "writes", key,
              next.version.timestamp - SIM_WALL_START_MS, m->own_count,
              next.version.expires_at ? " with ttl" : "");
    disk_set_cell(node, key, &next);
    append_log(node, key, &next);
    struct pending *pending = commit(node, 0);
    pending->ack_key = key;
    pending->ack_write = index;
}

void node_write(struct node *node, int key, bool tombstone, int64_t ttl_ms)
{
    const struct cell *old = &node->memory.cells[key];
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    if (node->disk_full || view.syncing)
        return;
    bool visible =
        old->present && (old->damaged || kvs_version_is_visible(&old->version, sim_wall_ms(node)));
    if (tombstone && !visible)
        return;
    struct cell next = {.value = tombstone ? 0 : sim_below(node->sim, 1u << 20)};
    if (tombstone)
        next.version.flags = KVS_VERSION_TOMBSTONE;
    else if (ttl_ms > 0)
        next.version.expires_at = sim_wall_ms(node) + ttl_ms;
    node->sim->writes++;
    write_locally(node, key, &next);
}

// ---- Versions from peers

static void put_aside(struct node *node, const struct log_entry *entry)
{
    struct disk *m = &node->memory;
    node->sim->deferred++;
    for (int i = 0; i < m->deferred_count; i++)
        if (kvs_uuid_cmp(&m->deferred[i].version.uuid, &entry->version.uuid) == 0)
            return;
    kvs_assert(m->deferred_count < SIM_DEFERRED_MAX);
    m->deferred[m->deferred_count++] = *entry;
}

static bool has_seen(const struct disk *disk, const struct kvs_version *version)
{
    if (kvs_uuid_cmp(&version->writer.node, &disk->node) == 0 &&
        kvs_dot_life(version->writer_seq) == disk->life)
        return kvs_dot_count(version->writer_seq) <= disk->own_count;
    return kvs_seen_covers_version(&disk->seen, version);
}

static enum kvs_verdict merge(struct node *node, const struct log_entry *entry,
                              int64_t watermark_ms, int64_t forgotten_ms, uint64_t sender_has_us,
                              bool due)
{
    struct cell *cell = &node->memory.cells[entry->key];
    struct kvs_version current = disk_known_version(cell);
    struct kvs_judgement j = {
        .current = cell->present ? &current : NULL,
        .incoming = &entry->version,
        .watermark_ms = watermark_ms,
        .forgotten_ms = forgotten_ms,
        .wall_ms = sim_wall_ms(node),
        .skew_max_ms = node->sim->knobs.skew_max_ms,
        .seen = has_seen(&node->memory, &entry->version),
        .self = node->memory.node,
        .sender_has_us = sender_has_us,
        .due = due,
#ifdef KVS_REPL_MUTATIONS
        .mutations = node->sim->knobs.mutations,
#endif
    };
    enum kvs_verdict verdict = kvs_judge(&j);
    int write = model_find(&node->sim->model, entry->key, &entry->version);
    kvs_assert(write >= 0);
    node->sim->model.writes[entry->key][write].real = true;
    model_put(&node->memory.received, entry->key, write);
    struct cell next = {true, false, entry->version, entry->value};
    struct cell none = {0};
    sim_trace(node->sim, node, "k%02d at %" PRId64 ": %s%s", entry->key,
              entry->version.timestamp - SIM_WALL_START_MS, kvs_verdict_name(verdict),
              j.conflict ? ", conflict" : "");
    node->sim->conflicts += j.conflict;
    node->revived = node->revived || j.revived;
    node->sim->revivals += j.revived;
    switch (verdict) {
    case KVS_VERDICT_APPLY:
        kvs_stamp_clock_observe(&node->clock, sim_wall_ms(node), entry->version.timestamp);
        disk_set_cell(node, entry->key, &next);
        break;
    case KVS_VERDICT_REMOVE:
        check_removed(node, entry->key, &next, watermark_ms);
        check_forgotten(node, entry->key, &entry->version);
        disk_set_cell(node, entry->key, &none);
        break;
    case KVS_VERDICT_DEFER:
    case KVS_VERDICT_QUARANTINE:
        put_aside(node, entry);
        break;
    case KVS_VERDICT_DUPLICATE:
        if (!cell->damaged)
            break;
        sim_trace(node->sim, node, "k%02d is repaired", entry->key);
        node->sim->repairs++;
        disk_set_cell(node, entry->key, &next);
        node_restored(node, entry->key);
        break;
    case KVS_VERDICT_IGNORE:
        if (kvs_version_is_removable(&entry->version, watermark_ms))
            check_forgotten(node, entry->key, &entry->version);
        break;
    default:
        break;
    }
    if (verdict <= KVS_VERDICT_LOSE)
        append_log(node, entry->key, &next);
    return verdict;
}

static void perform_apply(struct node *node, const struct kvs_repl_apply *apply)
{
    if (node->disk_full) {
        commit(node, apply->token)->commit.err = KVS_ERR_NO_SPACE;
        return;
    }
    for (size_t i = 0; i < apply->item_count; i++) {
        const struct kvs_repl_item *item = &apply->items[i];
        struct log_entry entry = {sim_key_number(item->key), item->version,
                                  value_number(item->value)};
        (void)merge(node, &entry, apply->watermark_ms, apply->forgotten_ms, apply->sender_has_us,
                    false); // in the trace
        kvs_assert(kvs_seen_note(&node->memory.seen, &item->version) == 0);
    }
    kvs_assert(kvs_seen_advance(&node->memory.seen, &apply->run) == 0);
    commit(node, apply->token);
}

static void merge_due(struct node *node, int64_t upto_ms)
{
    struct disk *m = &node->memory;
    bool merged = false;
    for (int i = 0; i < m->deferred_count;) {
        if (m->deferred[i].version.timestamp > upto_ms) {
            i++;
            continue;
        }
        struct log_entry entry = m->deferred[i];
        m->deferred[i] = m->deferred[--m->deferred_count];
        struct kvs_repl_view view;
        kvs_repl_view(node->repl, &view);
        (void)merge(node, &entry, view.watermark_ms, 0, 0, true); // it was counted as seen
        merged = true;
    }
    if (merged)
        commit(node, 0);
}

static void perform_purge(struct node *node, uint64_t token, int64_t watermark_ms)
{
    if (node->disk_full) {
        commit(node, token)->commit.err = KVS_ERR_NO_SPACE;
        return;
    }
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        struct cell *cell = &node->memory.cells[k];
        struct cell none = {0};
        if (!cell->present || cell->damaged ||
            !kvs_version_is_removable(&cell->version, watermark_ms))
            continue;
        check_removed(node, k, cell, watermark_ms);
        check_forgotten(node, k, &cell->version);
        sim_trace(node->sim, node, "forgets k%02d", k);
        node->sim->purged++;
        disk_set_cell(node, k, &none);
    }
    node->memory.purged_ms = watermark_ms;
    kvs_stamp_clock_raise(&node->clock, watermark_ms);
    if (node->clock.floor_ms > node->memory.clock_floor_ms)
        node->memory.clock_floor_ms = node->clock.floor_ms;
    commit(node, token);
}

static void perform_promise(struct node *node, uint64_t token)
{
    int64_t promise_ms = kvs_stamp_clock_promise(&node->clock, sim_wall_ms(node));
    merge_due(node, promise_ms);
    node->memory.clock_floor_ms = promise_ms;
    struct pending *pending = commit(node, token);
    pending->commit.promise_ms = promise_ms;
}

static void perform_drop(struct node *node, const struct kvs_repl_stub *stub)
{
    int key = sim_key_number(stub->key);
    struct cell *cell = &node->memory.cells[key];
    struct cell none = {0};
    if (!cell->present || model_cmp(&cell->version, &stub->version) != 0 || node->disk_full)
        return;
    check_dropped(node, key, cell);
    sim_trace(node->sim, node, "drops k%02d", key);
    node->sim->drops++;
    disk_set_cell(node, key, &none);
    commit(node, 0);
}

// ---- The core's actions

// What a peer may rely on must be on the disk.
static void check_said(struct node *node, struct kvs_slice bytes)
{
    if (bytes.data[1] != KVS_MESSAGE_BATCH_ACK && bytes.data[1] != KVS_MESSAGE_STATUS)
        return;
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 24);
    struct kvs_repl_message m;
    kvs_assert(kvs_repl_message_decode(bytes, &arena, &m) == 0);
    if (m.head.type == KVS_MESSAGE_BATCH_ACK) {
        const struct kvs_seen_run *run = &m.batch_ack.run;
        if (kvs_seen_reach(&node->disk.seen, &run->node, run->life, 0) < m.batch_ack.seen_count)
            sim_fail(node->sim, "n%d acknowledged what is not on its disk", node->index);
    } else {
        struct kvs_seen_run missing;
        for (size_t at = 0; kvs_seen_missing(&node->disk.seen, &m.status.seen, &at, &missing);)
            if (kvs_uuid_cmp(&missing.node, &node->disk.node) != 0 ||
                missing.life != node->disk.life || missing.to > node->disk.own_count)
                sim_fail(node->sim, "n%d claims to have what is not on its disk", node->index);
        if (m.status.promise_ms > node->disk.clock_floor_ms)
            sim_fail(node->sim, "n%d gave a promise that it would forget", node->index);
        if (m.status.promise_ms > node->promised_ms)
            node->promised_ms = m.status.promise_ms;
    }
    kvs_arena_done(&arena);
}

static void perform_notice(struct node *node, const struct kvs_repl_action *action)
{
    struct sim *sim = node->sim;
    enum kvs_repl_notice kind = action->notice.kind;
    if (kind == KVS_REPL_NOTICE_MEMBER) {
        int other = -1;
        for (int i = 0; i < sim->node_count; i++)
            if (kvs_uuid_cmp(&sim->nodes[i].disk.node, &action->notice.node) == 0)
                other = i;
        sim_trace(sim, node, "sees n%d %s", other, kvs_member_state_name(action->notice.state));
        sim->dead_declared += action->notice.state == KVS_MEMBER_DEAD;
        if (node->wakes && action->notice.state != KVS_MEMBER_ALIVE)
            sim_fail(sim, "n%d stood still and blames n%d for it", node->index, other);
        return;
    }
    if (kind == KVS_REPL_NOTICE_SYNCED)
        sim_trace(sim, node,
                  "synced: %" PRIu64 " fetched, %" PRIu64 " offered, %" PRIu64 " dropped",
                  action->notice.fetched, action->notice.offered, action->notice.dropped);
    else
        sim_trace(sim, node, "notice: %s", kvs_repl_notice_name(kind));
    sim->returns += kind == KVS_REPL_NOTICE_RETURNED;
    sim->joins += kind == KVS_REPL_NOTICE_JOINED;
    if (kind == KVS_REPL_NOTICE_DIVERGED) {
        sim->divergences++;
        const struct node *other = NULL;
        for (int i = 0; i < sim->node_count; i++)
            if (kvs_uuid_cmp(&sim->nodes[i].disk.node, &action->notice.node) == 0)
                other = &sim->nodes[i];
        // After an exile, what one part took another may have deleted and forgotten: a sync puts
        // that right. Anything else is a bug.
        bool window = false;
        for (int k = 0; k < sim->knobs.keys && other; k++)
            window = window || check_window(node, other, k);
        if (other)
            check_trace_difference(node, other);
        window = window || sim->flips > 0; // a rebuilt digest cannot count it as it was
        if (!window)
            sim_fail(sim, "n%d: equal seen and watermark, different roots", node->index);
    }
}

static void perform(struct node *node, const struct kvs_repl_action *action)
{
    struct sim *sim = node->sim;
    switch (action->type) {
    case KVS_REPL_ACTION_SEND:
        check_said(node, action->send.bytes);
        sim_send(sim, node, action->send.address, action->send.bytes);
        break;
    case KVS_REPL_ACTION_PERSIST:
        kvs_assert(action->persist.size <= SIM_STATE_MAX);
        memcpy(node->state, action->persist.data, action->persist.size);
        node->state_size = action->persist.size;
        break;
    case KVS_REPL_ACTION_APPLY:
        perform_apply(node, &action->apply);
        break;
    case KVS_REPL_ACTION_ADOPT:
        if (node->disk_full) {
            commit(node, action->adopt.token)->commit.err = KVS_ERR_NO_SPACE;
            break;
        }
        kvs_assert(kvs_seen_adopt(&node->memory.seen, action->adopt.seen) == 0);
        commit(node, action->adopt.token)->adopts = true;
        node->adopting++;
        break;
    case KVS_REPL_ACTION_PROMISE:
        perform_promise(node, action->promise.token);
        break;
    case KVS_REPL_ACTION_PURGE:
        perform_purge(node, action->purge.token, action->purge.watermark_ms);
        break;
    case KVS_REPL_ACTION_DROP:
        perform_drop(node, &action->drop);
        break;
    case KVS_REPL_ACTION_DUE:
        merge_due(node, action->due.upto_ms);
        break;
    case KVS_REPL_ACTION_REKEY:
        node->digest_key = action->rekey;
        disk_digest(node);
        commit(node, 0);
        break;
    case KVS_REPL_ACTION_READ_LOG:
        answer_log(node, action);
        break;
    case KVS_REPL_ACTION_READ_KEYS:
        answer_keys(node, action);
        break;
    case KVS_REPL_ACTION_READ_PAGE:
        answer_page(node, action);
        break;
    case KVS_REPL_ACTION_COMPARE:
        answer_compare(node, action);
        break;
    case KVS_REPL_ACTION_NOTICE:
        perform_notice(node, action);
        break;
    }
}

static void after_notices(struct node *node, bool left, bool duplicate)
{
    if (left) {
        node->left = true;
        stop(node);
    } else if (duplicate) {
        node->sim->duplicates++;
        if (!node->is_copy)
            sim_fail(node->sim, "n%d was told to stop, but is no copy", node->index);
        stop(node);
    }
}

// As a scrub finds it: the core is told until it has been put right.
static void report_damage(struct node *node)
{
    char buffers[SIM_KEYS_MAX][16];
    struct kvs_slice keys[SIM_KEYS_MAX];
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_DAMAGED, .damaged.keys = keys};
    if (!node->up || node->sim->now_ms < node->report_at_ms)
        return;
    node->report_at_ms = node->sim->now_ms + 1000;
    for (int k = 0; k < node->sim->knobs.keys; k++)
        if (node->memory.cells[k].damaged)
            keys[event.damaged.key_count++] = sim_key(k, buffers[k]);
    if (event.damaged.key_count > 0)
        node_event(node, &event);
}

static void note_waking(struct node *node, enum kvs_repl_event_type type)
{
    int64_t now_ms = node->sim->now_ms;
    bool first = node->standing_until_ms != 0 && node->standing_until_ms <= now_ms;
    // What waits in the queue may say that somebody is dead, and twice in a row is no standstill.
    node->wakes =
        first && type != KVS_REPL_EVENT_MESSAGE && node->stood_from_ms - node->woke_ms > 2000;
    if (!first)
        return;
    node->woke_ms = now_ms;
    node->standing_until_ms = 0;
}

void node_event(struct node *node, struct kvs_repl_event *event)
{
    struct sim *sim = node->sim;
    sim->steps++;
    note_waking(node, event->type);
    int64_t wall_ms = sim_wall_ms(node);
    if (node->memory.deferred_count > 0)
        merge_due(node, wall_ms + sim->knobs.skew_max_ms);
    event->now_ms = sim->now_ms;
    event->wall_ms = wall_ms;
    kvs_assert(kvs_repl_step(node->repl, event, &node->actions) == 0);
    if (sim->steps % 8 == 0)
        check_exiles(node);
    bool left = false;
    bool duplicate = false;
    for (size_t i = 0; i < node->actions.count && !sim->failed; i++) {
        const struct kvs_repl_action *action = &node->actions.list[i];
        perform(node, action);
        if (action->type == KVS_REPL_ACTION_NOTICE) {
            left = left || action->notice.kind == KVS_REPL_NOTICE_LEFT;
            duplicate = duplicate || action->notice.kind == KVS_REPL_NOTICE_DUPLICATE;
        }
    }
    check_step(node, event->type);
    if (event->type != KVS_REPL_EVENT_TICK)
        check_equal(node);
    int64_t next_ms = node->actions.next_ms;
    if (node->tick_at_ms == 0 || next_ms < node->tick_at_ms) {
        node->tick_at_ms = next_ms;
        struct sim_event tick = {
            .at_ms = next_ms, .type = SIM_TICK, .node = node->index, .run = node->run};
        sim_push(sim, &tick);
    }
    after_notices(node, left, duplicate);
    report_damage(node);
}

// ---- Starting

// The life that ended is a writer like any other from now on.
static void close_life(struct disk *disk)
{
    struct kvs_version newest = {.timestamp = disk->own_newest_ms,
                                 .writer.node = disk->node,
                                 .writer_seq = kvs_dot_seq(disk->life, disk->own_count)};
    struct kvs_seen_run run = {disk->node, disk->life, 0, disk->own_count};
    if (disk->own_count == 0)
        return;
    kvs_assert(kvs_seen_note(&disk->seen, &newest) == 0);
    kvs_assert(kvs_seen_advance(&disk->seen, &run) == 0);
}

void node_start(struct node *node)
{
    struct sim *sim = node->sim;
    kvs_assert(!node->up);
    if (!node->disk.formatted)
        node_format(node);
    int64_t wall_ms = sim_wall_ms(node);
    close_life(&node->disk);
    node->disk.life =
        kvs_repl_next_life(node->disk.life, wall_ms, kvs_random_u64(&sim->random.base));
    node->disk.own_count = 0;
    disk_copy(&node->memory, &node->disk);
    check_found(node);
    int64_t floor_ms = node->disk.clock_floor_ms > node->disk.own_newest_ms
                           ? node->disk.clock_floor_ms
                           : node->disk.own_newest_ms;
    kvs_stamp_clock_init(&node->clock, floor_ms, sim->knobs.skew_max_ms);
#ifdef KVS_REPL_MUTATIONS
    node->clock.mutations = sim->knobs.mutations;
#endif
    struct kvs_slice seeds[4];
    for (int i = 0; i < node->seed_count; i++)
        seeds[i] = kvs_slice(&node->seeds[i], sizeof(node->seeds[i]));
    char name[16];
    struct kvs_repl_options options = {
        .node = node->disk.node,
        .joined_timestamp = node->disk.joined_timestamp,
        .life = node->disk.life,
        .name = kvs_slice(name, (size_t)snprintf(name, sizeof(name), "n%d", node->index)),
        .address = kvs_slice(&node->address, sizeof(node->address)),
        .seeds = seeds,
        .seed_count = (size_t)node->seed_count,
        .cluster = {kvs_uuid_new(&sim->random.base), wall_ms, false},
        .state = kvs_slice(node->state, node->state_size),
        .seen = &node->disk.seen,
        .root.count = 0,
        .random_seed = kvs_random_u64(&sim->random.base),
        .now_ms = sim->now_ms,
        .wall_ms = wall_ms,
        .probe_interval_ms = 1000,
        .suspect_timeout_ms = 5000,
        .gossip_min_ms = 8000,
        .gossip_max_ms = 16000,
        .status_interval_ms = 1000,
        .sync_interval_ms = sim->knobs.sync_interval_ms,
        .catchup_interval_ms = sim->knobs.sync_interval_ms / 2,
        .promise_interval_ms = sim->knobs.promise_interval_ms,
        .retention_ms = sim->knobs.retention_ms,
        .expire_after_ms = sim->knobs.expire_after_ms,
        .skew_max_ms = sim->knobs.skew_max_ms,
        .bootstrap_max_age_ms = 20000,
        .throttle_delay_ms = 100,
        .fetch_delay_ms = 50,
        .batch_size_max = 65536,
        .push = sim->knobs.push,
        .lives_kept = sim->knobs.lives_kept,
#ifdef KVS_REPL_MUTATIONS
        .mutations = sim->knobs.mutations,
#endif
    };
    kvs_random_fill(&sim->random.base, &options.digest_key, sizeof(options.digest_key));
    for (int k = 0; k < SIM_KEYS_MAX; k++)
        options.root.count += node->memory.cells[k].present;
    // The core tells its digest key; the root follows from it.
    kvs_assert(kvs_repl_new(&options, &node->repl) == 0);
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    node->digest_key = view.digest_key;
    disk_digest(node);
    node->up = true;
    node->stalled = false;
    node->standing_until_ms = 0;
    node->run++;
    node->tick_at_ms = 0;
    node->watermark_ms = view.watermark_ms;
    node->cluster = view.cluster.id;
    kvs_assert(kvs_seen_copy(&node->seen_before, view.seen) == 0);
    memcpy(node->before, node->memory.cells, sizeof(node->before));
    sim_trace(sim, node, "starts, %" PRIu64 " records", node->root.count);
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_COMMIT};
    event.commit.root = node->root;
    event.commit.deferred_count = (uint32_t)node->memory.deferred_count;
    event.commit.purged_ms = INT64_MIN;
    node_event(node, &event);
}
