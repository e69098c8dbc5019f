// SPDX-License-Identifier: Apache-2.0
// One node around the core, as the real one will be: a commit thread whose groups become durable
// together, a log, a digest, deferred versions; and a disk that forgets what was not synced.
#include "tests/sim/sim.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

struct sim_read {
    struct kvs_arena arena;
    struct kvs_repl_event event;
};

void read_free(struct sim_read *read)
{
    if (!read)
        return;
    kvs_arena_done(&read->arena);
    free(read);
}

struct kvs_slice sim_key(int key, char buffer[static 16])
{
    // The first two are the system's.
    int size =
        snprintf(buffer, 16, "%ck%02d", key < 2 ? KVS_REPL_TAG_SYSTEM : KVS_REPL_TAG_DATA, key);
    return kvs_slice(buffer, (size_t)size);
}

static int key_number(struct kvs_slice key)
{
    kvs_assert(key.size == 4);
    return (key.data[2] - '0') * 10 + (key.data[3] - '0');
}

static struct kvs_slice value_slice(const uint64_t *value, const struct kvs_version *version)
{
    return kvs_version_is_tombstone(version) ? KVS_SLICE_EMPTY : kvs_slice(value, sizeof(*value));
}

static uint64_t value_number(struct kvs_slice value)
{
    uint64_t number = 0;
    if (value.size == sizeof(number))
        memcpy(&number, value.data, sizeof(number));
    return number;
}

// ---- Disks

// Only what is used: a whole disk is large, and copied with every sync.
void disk_copy(struct disk *to, const struct disk *from)
{
    struct kvs_seen seen = to->seen;
    size_t keys = (size_t)from->keys;
    memcpy(to, from, offsetof(struct disk, cells));
    memcpy(to->cells, from->cells, keys * sizeof(from->cells[0]));
    memcpy(to->log, from->log, (size_t)from->log_size * sizeof(from->log[0]));
    to->log_next = from->log_next;
    to->deferred_count = from->deferred_count;
    memcpy(to->deferred, from->deferred, (size_t)from->deferred_count * sizeof(from->deferred[0]));
    memcpy(&to->received, &from->received, keys * sizeof(from->received.bits[0]));
    memcpy(&to->buried, &from->buried, keys * sizeof(from->buried.bits[0]));
    to->seen = seen;
    kvs_assert(kvs_seen_copy(&to->seen, &from->seen) == 0);
}

void disk_done(struct disk *disk)
{
    kvs_seen_done(&disk->seen);
}

void node_format(struct node *node)
{
    kvs_seen_done(&node->disk.seen);
    // Whatever other disks of this node hold is of no matter; but all are of one size.
    node->disk = (struct disk){.formatted = true,
                               .joined_timestamp = sim_wall_ms(node),
                               .keys = node->sim->knobs.keys,
                               .log_size = node->sim->knobs.log_size};
    node->disk.node = kvs_uuid_new(&node->sim->random.base);
    node->state_size = 0;
    node->promised_ms = 0;
    node->has_backup = false;
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

// ---- Digest

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9fb21c651e98df25u;
    return h ^ h >> 29;
}

static uint64_t mix_bytes(uint64_t h, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    for (; size > 0; size -= size < 8 ? size : 8) {
        uint64_t word = 0;
        memcpy(&word, at, size < 8 ? size : 8);
        h = mix(h, word);
        at += size < 8 ? size : 8;
    }
    return mix(h, size);
}

struct kvs_digest_sum sim_item(const struct node *node, struct kvs_slice key,
                               const struct cell *cell)
{
    const struct kvs_version *v = &cell->version;
    uint64_t h = mix_bytes(1, &node->digest_key, sizeof(node->digest_key));
    h = mix_bytes(h, key.data, key.size);
    h = mix(h, (uint64_t)v->timestamp);
    h = mix_bytes(h, v->uuid.bytes, sizeof(v->uuid.bytes));
    h = mix_bytes(h, v->writer.node.bytes, sizeof(v->writer.node.bytes));
    h = mix(h, (uint64_t)v->writer.joined_timestamp);
    h = mix(h, (uint64_t)v->expires_at << 1 | kvs_version_is_tombstone(v));
    h = mix(h, v->expires_at == 0 ? cell->value : 0);
    if (node->sim->knobs.digest_bits < 64)
        return (struct kvs_digest_sum){h & ((1u << node->sim->knobs.digest_bits) - 1), 0};
    return (struct kvs_digest_sum){h, mix(h, 7)};
}

static void set_cell(struct node *node, int key, const struct cell *next)
{
    char buffer[16];
    struct kvs_slice name = sim_key(key, buffer);
    struct cell *cell = &node->memory.cells[key];
    struct kvs_digest_sum old_item = node->items[key];
    struct kvs_digest_sum new_item = {0};
    if (next->present)
        new_item = sim_item(node, name, next);
    bool skipped = (node->sim->knobs.mutations & KVS_MUTATION_DIGEST_SKIPS_OVERWRITE) != 0 &&
                   cell->present && next->present;
    if (!skipped)
        naive_digest_update(&node->digest, name, cell->present ? &old_item : NULL,
                            next->present ? &new_item : NULL);
    if (!skipped)
        node->items[key] = new_item;
    node->changed = true;
    *cell = *next;
    node->root = naive_digest_range(&node->digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
}

// What can be read of a damaged record's version.
static struct kvs_version known_version(const struct cell *cell)
{
    struct kvs_version version = cell->version;
    if (cell->damaged)
        version = (struct kvs_version){
            .timestamp = version.timestamp,
            .uuid = version.uuid,
            .writer.joined_timestamp = version.writer.joined_timestamp,
        };
    return version;
}

static void rebuild_digest(struct node *node)
{
    naive_digest_done(&node->digest);
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        char buffer[16];
        const struct cell *cell = &node->memory.cells[k];
        struct kvs_slice name = sim_key(k, buffer);
        if (!cell->present)
            continue;
        // A damaged one is counted too, though its item cannot be right.
        struct cell known = *cell;
        if (cell->damaged)
            known.version = known_version(cell);
        node->items[k] = sim_item(node, name, &known);
        naive_digest_update(&node->digest, name, NULL, &node->items[k]);
    }
    node->root = naive_digest_range(&node->digest, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY);
}

static void set_damage(struct disk *disk, int key, const struct kvs_version *version, bool damaged)
{
    struct cell *cell = &disk->cells[key];
    if (cell->present && model_cmp(&cell->version, version) == 0)
        cell->damaged = damaged;
}

static void set_damage_all(struct node *node, int key, bool damaged)
{
    struct kvs_version version = node->disk.cells[key].version;
    set_damage(&node->disk, key, &version, damaged);
    set_damage(&node->syncing, key, &version, damaged);
    set_damage(&node->memory, key, &version, damaged);
    node->changed = true;
}

void node_damage(struct node *node, int key)
{
    sim_trace(node->sim, node, "k%02d on its disk is damaged", key);
    set_damage_all(node, key, true);
}

void node_restored(struct node *node, int key)
{
    set_damage_all(node, key, false);
    if (node->up && node->memory.cells[key].present) {
        struct cell whole = node->memory.cells[key];
        if (kvs_version_is_removable(&whole.version, node->memory.purged_ms)) {
            check_forgotten(node, key, &whole.version);
            whole = (struct cell){0};
        }
        set_cell(node, key, &whole);
    }
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
    set_cell(node, key, &next);
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
    struct kvs_version current = known_version(cell);
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
        set_cell(node, entry->key, &next);
        break;
    case KVS_VERDICT_REMOVE:
        check_removed(node, entry->key, &next, watermark_ms);
        check_forgotten(node, entry->key, &entry->version);
        set_cell(node, entry->key, &none);
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
        set_cell(node, entry->key, &next);
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
        struct log_entry entry = {key_number(item->key), item->version, value_number(item->value)};
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
        set_cell(node, k, &none);
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
    int key = key_number(stub->key);
    struct cell *cell = &node->memory.cells[key];
    struct cell none = {0};
    if (!cell->present || model_cmp(&cell->version, &stub->version) != 0 || node->disk_full)
        return;
    check_dropped(node, key, cell);
    sim_trace(node->sim, node, "drops k%02d", key);
    node->sim->drops++;
    set_cell(node, key, &none);
    commit(node, 0);
}

// ---- Reads

static struct sim_read *new_read(enum kvs_repl_event_type type, uint64_t token)
{
    struct sim_read *read = calloc(1, sizeof(*read));
    kvs_assert(read != NULL);
    kvs_arena_init(&read->arena, 1 << 26);
    read->event.type = type;
    if (type == KVS_REPL_EVENT_READ)
        read->event.read.token = token;
    else
        read->event.compared.token = token;
    return read;
}

static void answer_later(struct node *node, struct sim_read *read)
{
    struct sim_event event = {.at_ms = node->sim->now_ms + (int64_t)sim_below(node->sim, 2),
                              .type = SIM_READ_DONE,
                              .node = node->index,
                              .run = node->run,
                              .read = read};
    sim_push(node->sim, &event);
}

static struct kvs_repl_item *add_item(struct sim_read *read, int capacity, int key,
                                      const struct kvs_version *version, uint64_t value)
{
    struct kvs_repl_read *r = &read->event.read;
    if (!r->items)
        r->items = kvs_arena_alloc(&read->arena, (size_t)capacity * sizeof(*r->items));
    char buffer[16];
    struct kvs_repl_item *item = (struct kvs_repl_item *)&r->items[r->item_count++];
    uint64_t *copy = kvs_arena_alloc(&read->arena, sizeof(value));
    *copy = value;
    item->key = kvs_arena_copy(&read->arena, sim_key(key, buffer));
    item->version = *version;
    item->value = value_slice(copy, version);
    return item;
}

static const struct log_entry *find_dot(const struct node *node, const struct kvs_seen_run *run,
                                        uint32_t count)
{
    const struct disk *m = &node->memory;
    uint64_t held = (uint64_t)node->sim->knobs.log_size;
    uint64_t first = m->log_next > held ? m->log_next - held : 0;
    for (uint64_t i = first; i < m->log_next; i++) {
        const struct log_entry *entry = &m->log[i % held];
        if (entry->version.writer_seq == kvs_dot_seq(run->life, count) &&
            kvs_uuid_cmp(&entry->version.writer.node, &run->node) == 0)
            return entry;
    }
    return NULL;
}

enum { BATCH_MAX = 8, PAGE_MAX = 5, FETCH_MAX = 6 };

static void read_log(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_READ, action->read_log.token);
    struct kvs_repl_read *r = &read->event.read;
    const struct kvs_seen_run *run = &action->read_log.run;
    r->to = run->from;
    while (r->to < run->to) {
        const struct log_entry *entry = find_dot(node, run, r->to + 1);
        bool gap =
            !entry || (node->memory.cells[entry->key].damaged &&
                       model_cmp(&node->memory.cells[entry->key].version, &entry->version) == 0);
        if (gap || r->item_count == BATCH_MAX) {
            r->overrun = gap && r->to == run->from;
            r->more = !r->overrun;
            break;
        }
        const struct cell *cell = &node->memory.cells[entry->key];
        bool current = cell->present && model_cmp(&cell->version, &entry->version) == 0;
        bool gone = !kvs_version_is_tombstone(&entry->version) &&
                    (entry->version.timestamp <= action->read_log.watermark_ms ||
                     node->sim->knobs.revisions_kept == 1);
        if (!current && gone && (!cell->present || cell->damaged)) {
            r->overrun = r->to == run->from;
            r->more = !r->overrun;
            break;
        }
        r->to++;
        if (current || !gone)
            add_item(read, BATCH_MAX, entry->key, &entry->version, entry->value);
        else
            add_item(read, BATCH_MAX, entry->key, &cell->version, cell->value);
    }
    answer_later(node, read);
}

static void read_keys(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_READ, action->read_keys.token);
    struct kvs_repl_read *r = &read->event.read;
    // Offers are not asked again: they come whole.
    size_t limit = action->read_keys.key_count;
    for (size_t i = 0; i < limit && r->item_count < SIM_KEYS_MAX; i++) {
        int key = key_number(action->read_keys.keys[i]);
        const struct cell *cell = &node->memory.cells[key];
        if (cell->damaged)
            r->damaged = true;
        else if (cell->present)
            add_item(read, SIM_KEYS_MAX, key, &cell->version, cell->value);
        r->to = (uint32_t)i + 1;
    }
    answer_later(node, read);
}

static void read_page(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_READ, action->read_page.token);
    struct kvs_repl_read *r = &read->event.read;
    int64_t before_ms = action->read_page.before_ms;
    int before_key =
        action->read_page.before_key.size ? key_number(action->read_page.before_key) : SIM_KEYS_MAX;
    for (;;) {
        int best = -1;
        for (int k = 0; k < SIM_KEYS_MAX; k++) {
            const struct cell *cell = &node->memory.cells[k];
            char buffer[16];
            if (!cell->present || cell->damaged ||
                sim_key(k, buffer).data[0] != action->read_page.family)
                continue;
            int64_t at_ms = cell->version.timestamp;
            if (at_ms > before_ms || (at_ms == before_ms && k >= before_key))
                continue;
            if (best < 0 || at_ms >= node->memory.cells[best].version.timestamp)
                best = k;
        }
        if (best < 0)
            break;
        if (r->item_count == PAGE_MAX) {
            r->more = true;
            break;
        }
        const struct cell *cell = &node->memory.cells[best];
        add_item(read, PAGE_MAX, best, &cell->version, cell->value);
        before_ms = cell->version.timestamp;
        before_key = best;
    }
    answer_later(node, read);
}

static int range_fingerprint(void *ctx, struct kvs_slice first, struct kvs_slice end,
                             struct kvs_fingerprint *ret_fingerprint)
{
    const struct node *node = ctx;
    *ret_fingerprint = naive_digest_range(&node->digest, first, end);
    return 0;
}

static int range_split(void *ctx, struct kvs_slice first, struct kvs_slice end, uint32_t parts,
                       kvs_digest_part_fn *visit, void *visit_ctx)
{
    const struct node *node = ctx;
    naive_digest_split(&node->digest, first, end, parts > 3 ? 3 : parts, visit, visit_ctx);
    return 0;
}

static int range_list(void *ctx, struct kvs_slice first, struct kvs_slice end,
                      bool (*visit)(void *visit_ctx, struct kvs_slice key,
                                    const struct kvs_version *version),
                      void *visit_ctx)
{
    const struct node *node = ctx;
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        char buffer[16];
        struct kvs_slice key = sim_key(k, buffer);
        const struct cell *cell = &node->memory.cells[k];
        struct kvs_version version = known_version(cell);
        if (cell->present && kvs_slice_cmp(key, first) >= 0 &&
            (end.size == 0 || kvs_slice_cmp(key, end) < 0) && !visit(visit_ctx, key, &version))
            break;
    }
    return 0;
}

static void compare(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_COMPARED, action->compare.token);
    struct kvs_repl_ranges ranges = {node, range_fingerprint, range_split, range_list};
    struct kvs_repl_compared *answers = NULL;
    int err = kvs_repl_compare(&ranges, action->compare.ranges, action->compare.range_count, 2,
                               &read->arena, &answers);
    read->event.compared.err = err;
    read->event.compared.answers = answers;
    read->event.compared.answer_count = err ? 0 : action->compare.range_count;
    answer_later(node, read);
}

void node_on_read(struct node *node, struct sim_read *read)
{
    node_event(node, &read->event);
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
        rebuild_digest(node);
        commit(node, 0);
        break;
    case KVS_REPL_ACTION_READ_LOG:
        read_log(node, action);
        break;
    case KVS_REPL_ACTION_READ_KEYS:
        read_keys(node, action);
        break;
    case KVS_REPL_ACTION_READ_PAGE:
        read_page(node, action);
        break;
    case KVS_REPL_ACTION_COMPARE:
        compare(node, action);
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

void node_event(struct node *node, struct kvs_repl_event *event)
{
    struct sim *sim = node->sim;
    sim->steps++;
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
    rebuild_digest(node);
    node->up = true;
    node->stalled = false;
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
