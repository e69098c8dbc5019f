// SPDX-License-Identifier: Apache-2.0
// What must be true after each step, and when all faults are over.
#include "tests/sim/sim.h"

#include "base/assert.h"

#include <inttypes.h>

static void check_cells(struct node *node)
{
    if (!node->changed)
        return;
    node->changed = false;
    struct kvs_digest_sum sum = {0};
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        char buffer[16];
        const struct cell *old = &node->before[k];
        const struct cell *now = &node->memory.cells[k];
        if (now->present)
            kvs_digest_sum_add(&sum, now->damaged ? node->items[k]
                                                  : sim_item(node, sim_key(k, buffer), now));
        if (now->present && old->present && model_cmp(&now->version, &old->version) < 0)
            sim_fail(node->sim, "n%d: k%02d fell back to an older version", node->index, k);
    }
    if (sum.lo != node->root.sum.lo || sum.hi != node->root.sum.hi)
        sim_fail(node->sim, "n%d: the digest is not the sum of its records", node->index);
    memcpy(node->before, node->memory.cells, sizeof(node->before));
}

// ---- What exiles excuse

static bool takes_part(const struct node *node)
{
    return !node->left && !node->is_copy;
}

static bool is_exiled(const struct sim *sim, const struct kvs_uuid *node)
{
    for (int i = 0; i < sim->exiled_count; i++)
        if (kvs_uuid_cmp(&sim->exiled[i], node) == 0)
            return true;
    return false;
}

void check_found(struct node *node)
{
    struct model *model = &node->sim->model;
    for (int k = 0; k < SIM_KEYS_MAX; k++)
        for (int i = 0; i < model->count[k]; i++)
            if (model_has(&node->disk.received, k, i) &&
                kvs_uuid_cmp(&model->writes[k][i].version.writer.node, &node->disk.node) == 0)
                model->writes[k][i].real = true;
}

static void note_exile(struct sim *sim, const struct kvs_uuid *node)
{
    if (is_exiled(sim, node))
        return;
    kvs_assert(sim->exiled_count < (int)KVS_ARRAY_SIZE(sim->exiled));
    sim->exiled[sim->exiled_count++] = *node;
}

void check_exiles(struct node *node)
{
    struct sim *sim = node->sim;
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(node->repl, i, &member);
        if (!member.counted)
            note_exile(sim, &member.record.node);
    }
}

static bool disk_holds(const struct disk *disk, int key, const struct kvs_version *version)
{
    const struct cell *cell = &disk->cells[key];
    if (cell->present && model_cmp(&cell->version, version) == 0)
        return true;
    for (int i = 0; i < disk->deferred_count; i++)
        if (disk->deferred[i].key == key && model_cmp(&disk->deferred[i].version, version) == 0)
            return true;
    return false;
}

// Does the node not count that identity: expired, or not heard of yet?
static bool is_outside(const struct node *node, const struct kvs_uuid *other)
{
    struct kvs_repl_view view;
    if (kvs_uuid_cmp(&node->memory.node, other) == 0)
        return false;
    if (is_exiled(node->sim, other))
        return true;
    kvs_repl_view(node->repl, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(node->repl, i, &member);
        if (kvs_uuid_cmp(&member.record.node, other) == 0)
            return !member.counted;
    }
    return true;
}

// Was the write made, or is it held, by somebody whom the node does not count?
static bool is_of_outside(const struct node *node, int key, const struct kvs_version *version)
{
    if (is_outside(node, &version->writer.node))
        return true;
    for (int i = 0; i < node->sim->node_count; i++) {
        const struct node *other = &node->sim->nodes[i];
        if (is_outside(node, &other->disk.node) &&
            (disk_holds(&other->disk, key, version) ||
             (other->up && disk_holds(&other->memory, key, version)) ||
             (other->has_backup && disk_holds(&other->backup, key, version))))
            return true;
    }
    return false;
}

void check_written(struct node *node, int key, int write)
{
    struct model *model = &node->sim->model;
    int deletion = model->forgotten[key] - 1;
    struct model_write *written = &model->writes[key][write];
    bool outside = node->restored || (model->forgotten_outside[key] >> node->index & 1) != 0;
    if (deletion >= 0 && outside &&
        model_cmp(&model->writes[key][deletion].version, &written->version) > 0)
        written->outlived = deletion;
}

// Whom a node does not count, or has not heard of yet, when its watermark rises or it forgets
// something is in exile: what it writes may be below a watermark from then on, which others will
// hear of.
static void note_outside(const struct node *node)
{
    for (int i = 0; i < node->sim->node_count; i++)
        if (takes_part(&node->sim->nodes[i]) && node->sim->nodes[i].disk.formatted &&
            is_outside(node, &node->sim->nodes[i].disk.node))
            note_exile(node->sim, &node->sim->nodes[i].disk.node);
}

static void note_forgotten(struct node *node, int key, int deletion)
{
    struct model *model = &node->sim->model;
    note_outside(node);
    if (model->forgotten[key] > 0 &&
        model_cmp(&model->writes[key][deletion].version,
                  &model->writes[key][model->forgotten[key] - 1].version) < 0)
        return;
    model->forgotten[key] = deletion + 1;
    model->forgotten_outside[key] = 0;
    for (int i = 0; i < node->sim->node_count; i++)
        if (is_outside(node, &node->sim->nodes[i].disk.node))
            model->forgotten_outside[key] |= UINT64_C(1) << i;
}

void check_forgotten(struct node *node, int key, const struct kvs_version *deletion)
{
    check_exiles(node);
    struct model *model = &node->sim->model;
    int index = model_find(model, key, deletion);
    kvs_assert(index >= 0);
    note_forgotten(node, key, index);
    for (int i = 0; i < model->count[key]; i++) {
        struct model_write *write = &model->writes[key][i];
        if (model_cmp(&write->version, deletion) >= 0)
            continue;
        if (model_has(&node->memory.received, key, i))
            model_put(&node->memory.buried, key, i);
        else if ((write->outlived < 0 ||
                  model_cmp(deletion, &model->writes[key][write->outlived].version) > 0) &&
                 is_of_outside(node, key, &write->version))
            write->outlived = index;
    }
}

// Does a node know, from what really came to it, that the write is dead?
static bool is_buried(const struct sim *sim, int key, int write)
{
    for (int i = 0; i < sim->node_count; i++)
        if (takes_part(&sim->nodes[i]) && model_has(&sim->nodes[i].memory.buried, key, write))
            return true;
    return false;
}

// Does the node hold, after an exile, what somebody knows to be dead? Or what it cannot read,
// and so cannot forget in time?
static bool holds_dead(const struct node *node, int key)
{
    const struct cell *cell = &node->memory.cells[key];
    if (cell->damaged)
        return true;
    return cell->present && node->sim->exiled_count > 0 &&
           is_buried(node->sim, key, model_find(&node->sim->model, key, &cell->version));
}

bool check_window(const struct node *a, const struct node *b, int key)
{
    const struct model *model = &a->sim->model;
    for (int i = 0; i < model->count[key]; i++)
        if (model->writes[key][i].outlived >= 0)
            return true;
    return holds_dead(a, key) || holds_dead(b, key);
}

// ---- After each step

void check_step(struct node *node, enum kvs_repl_event_type after)
{
    struct sim *sim = node->sim;
    check_cells(node);
    if (after == KVS_REPL_EVENT_TICK)
        return;
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    bool moved = kvs_uuid_cmp(&view.cluster.id, &node->cluster) != 0;
    if (view.syncing && node->disk.served)
        sim_fail(sim, "n%d: turns clients away whose writes it took", node->index);
    if (!moved && view.watermark_ms < node->watermark_ms)
        sim_fail(sim, "n%d: the watermark fell", node->index);
    if (!moved && after == KVS_REPL_EVENT_COMMIT &&
        !kvs_seen_covers_all(view.seen, &node->seen_before))
        sim_fail(sim, "n%d: forgot what it had seen", node->index);
    if (view.watermark_ms > view.certificate_ms && sim->knobs.retention_ms >= 0 &&
        view.watermark_ms > 0 && view.watermark_ms > view.promise_ms && !moved &&
        view.promise_ms > 0 && view.watermark_ms > node->clock.floor_ms &&
        node->memory.purged_ms >= view.watermark_ms)
        sim_fail(sim, "n%d: could write at or below its watermark", node->index);
    if (view.watermark_ms > node->watermark_ms)
        note_outside(node);
    node->watermark_ms = view.watermark_ms;
    node->cluster = view.cluster.id;
    if (after == KVS_REPL_EVENT_COMMIT)
        kvs_assert(kvs_seen_copy(&node->seen_before, view.seen) == 0);
    if (node->actions.count > 2000)
        sim_fail(sim, "n%d: %zu actions in one step", node->index, node->actions.count);
    if (node->pending_count > SIM_PENDING_MAX / 2)
        sim_fail(sim, "n%d: %d commits wait", node->index, node->pending_count);
}

void check_removed(struct node *node, int key, const struct cell *cell, int64_t upto_ms)
{
    if (!kvs_version_is_removable(&cell->version, upto_ms))
        sim_fail(node->sim, "n%d removes k%02d, which is not removable", node->index, key);
}

void check_dropped(struct node *node, int key, const struct cell *cell)
{
    int write = model_find(&node->sim->model, key, &cell->version);
    if (write < 0 || !model_is_over(&node->sim->model, key, &cell->version))
        sim_fail(node->sim, "n%d drops k%02d, and nobody deleted it", node->index, key);
    else
        model_put(&node->memory.buried, key, write);
}

static void best_on_disk(const struct disk *disk, int key, const struct kvs_version **best)
{
    const struct cell *cell = &disk->cells[key];
    if (cell->present && (!*best || model_cmp(&cell->version, *best) > 0))
        *best = &cell->version;
    for (int i = 0; i < disk->deferred_count; i++)
        if (disk->deferred[i].key == key &&
            (!*best || model_cmp(&disk->deferred[i].version, *best) > 0))
            *best = &disk->deferred[i].version;
}

// Has another disk forgotten the write because everybody had it?
static bool is_forgotten(const struct sim *sim, const struct disk *lost, int key, int write)
{
    const struct kvs_version *version = &sim->model.writes[key][write].version;
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (&node->disk != lost && !node->left && !node->is_copy &&
            !node->disk.cells[key].present && model_has(&node->disk.received, key, write) &&
            kvs_version_is_removable(version, node->disk.purged_ms))
            return true;
    }
    return false;
}

void check_excuse(struct sim *sim, const struct disk *lost)
{
    for (int k = 0; k < sim->knobs.keys; k++) {
        const struct kvs_version *gone = NULL;
        const struct kvs_version *best = NULL;
        best_on_disk(lost, k, &gone);
        for (int i = 0; i < sim->node_count; i++)
            if (&sim->nodes[i].disk != lost && !sim->nodes[i].left && !sim->nodes[i].is_copy)
                best_on_disk(&sim->nodes[i].disk, k, &best);
        for (int i = 0; i < sim->model.count[k]; i++) {
            struct model_write *write = &sim->model.writes[k][i];
            bool was_there = gone || model_has(&lost->received, k, i);
            if (was_there && (!best || model_cmp(&write->version, best) > 0) &&
                !is_forgotten(sim, lost, k, i))
                write->acked = false;
        }
    }
}

// ---- At rest

bool check_same(const struct node *a, const struct node *b, char *why, size_t why_size)
{
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        const struct cell *x = &a->memory.cells[k];
        const struct cell *y = &b->memory.cells[k];
        if (x->present == y->present &&
            (!x->present || (model_cmp(&x->version, &y->version) == 0 && x->value == y->value &&
                             x->version.expires_at == y->version.expires_at)))
            continue;
        snprintf(why, why_size, "k%02d differs: n%d %s %" PRId64 ", n%d %s %" PRId64, k, a->index,
                 x->present ? "has" : "lacks it",
                 x->present ? x->version.timestamp - SIM_WALL_START_MS : 0, b->index,
                 y->present ? "has" : "lacks it",
                 y->present ? y->version.timestamp - SIM_WALL_START_MS : 0);
        return false;
    }
    return true;
}

// Has `a` all that `b` has?
static bool has_all(const struct node *a, const struct node *b)
{
    const struct kvs_uuid *self = &a->memory.node;
    struct kvs_seen_run missing;
    for (size_t at = 0; kvs_seen_missing(&a->memory.seen, &b->memory.seen, &at, &missing);)
        if (kvs_uuid_cmp(&missing.node, self) != 0 || missing.life != a->memory.life)
            return false;
    return kvs_seen_reach(&a->memory.seen, &b->memory.node, b->memory.life, 0) >=
           b->memory.own_count;
}

static bool is_settled(const struct node *node, struct kvs_repl_view *ret_view)
{
    if (!node->up || node->is_copy || node->memory.deferred_count > 0 || node->adopting > 0)
        return false;
    kvs_repl_view(node->repl, ret_view);
    return !ret_view->returning && !ret_view->bootstrapping &&
           node->memory.purged_ms == ret_view->watermark_ms;
}

void check_equal(struct node *node)
{
    struct kvs_repl_view view;
    if (!is_settled(node, &view))
        return;
    for (int i = 0; i < node->sim->node_count; i++) {
        const struct node *other = &node->sim->nodes[i];
        struct kvs_repl_view theirs;
        if (other == node || kvs_fingerprint_eq(other->root, node->root) ||
            !is_settled(other, &theirs) || theirs.watermark_ms != view.watermark_ms ||
            kvs_uuid_cmp(&theirs.cluster.id, &view.cluster.id) != 0 || !has_all(node, other) ||
            !has_all(other, node))
            continue;
        for (int k = 0; k < node->sim->knobs.keys; k++) {
            const struct cell *a = &node->memory.cells[k];
            const struct cell *b = &other->memory.cells[k];
            bool same = a->present == b->present &&
                        (!a->present || model_cmp(&a->version, &b->version) == 0);
            if (!same && !check_window(node, other, k))
                sim_fail(node->sim,
                         "n%d and n%d have seen the same up to the same watermark, and differ in "
                         "k%02d",
                         node->index, i, k);
        }
    }
}

void check_trace_difference(const struct node *a, const struct node *b)
{
    char why[160] = "nothing differs";
    (void)check_same(a, b, why, sizeof(why)); // only what it says is wanted
    sim_trace(a->sim, a, "%s", why);
}

void check_trace_nodes(struct sim *sim)
{
    if (!sim->trace)
        return;
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        struct kvs_repl_view view;
        if (!node->up)
            continue;
        kvs_repl_view(node->repl, &view);
        sim_trace(sim, node,
                  "watermark %" PRId64 " certificate %" PRId64 " promise %" PRId64 "%s%s%s",
                  view.watermark_ms - SIM_WALL_START_MS, view.certificate_ms - SIM_WALL_START_MS,
                  view.promise_ms - SIM_WALL_START_MS, view.returning ? ", returning" : "",
                  view.syncing ? ", syncing" : "", view.behind ? ", behind" : "");
        for (size_t k = 0; k < view.seen->count; k++) {
            const struct kvs_seen_entry *e = &view.seen->entries[k];
            sim_trace(sim, node, "  seen %02x%02x life %u: %u, ahead %u%s", e->node.bytes[0],
                      e->node.bytes[1], e->life, e->count, e->ahead, e->settled ? ", settled" : "");
        }
        for (size_t k = 0; k < view.seen->span_count; k++) {
            const struct kvs_seen_span *s = &view.seen->spans[k];
            sim_trace(sim, node, "  span %02x%02x life %u: (%u, %u]", s->node.bytes[0],
                      s->node.bytes[1], s->life, s->from, s->to);
        }
        for (size_t k = 0; k < view.member_count; k++) {
            struct kvs_repl_member_view m;
            kvs_repl_member(node->repl, k, &m);
            sim_trace(sim, node, "  member %.*s %02x%02x %s life %u", KVS_SLICE_FMT(m.record.name),
                      m.record.node.bytes[0], m.record.node.bytes[1],
                      kvs_member_state_name((enum kvs_member_state)m.record.state), m.record.life);
        }
    }
}

static bool has_left(const struct sim *sim, const struct kvs_uuid *node)
{
    for (int i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].left && kvs_uuid_cmp(&sim->nodes[i].disk.node, node) == 0)
            return true;
    return false;
}

static bool members_agree(const struct sim *sim, const struct node *node, char *why,
                          size_t why_size)
{
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    size_t alive = 0;
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(node->repl, i, &member);
        if (member.record.state > KVS_MEMBER_DEAD)
            continue;
        const struct node *other = NULL;
        for (int k = 0; k < sim->node_count; k++)
            if (takes_part(&sim->nodes[k]) &&
                kvs_uuid_cmp(&sim->nodes[k].disk.node, &member.record.node) == 0)
                other = &sim->nodes[k];
        if (!other && member.record.state == KVS_MEMBER_DEAD && has_left(sim, &member.record.node))
            continue; // its farewell was lost
        if (!other || member.record.state != KVS_MEMBER_ALIVE ||
            member.record.life != other->memory.life) {
            snprintf(why, why_size, "n%d sees %.*s %s", node->index,
                     KVS_SLICE_FMT(member.record.name),
                     kvs_member_state_name((enum kvs_member_state)member.record.state));
            return false;
        }
        alive++;
    }
    size_t others = 0;
    for (int k = 0; k < sim->node_count; k++)
        others += takes_part(&sim->nodes[k]) && &sim->nodes[k] != node;
    if (alive == others)
        return true;
    snprintf(why, why_size, "n%d knows %zu of %zu others", node->index, alive, others);
    return false;
}

static bool at_peace(const struct node *node, char *why, size_t why_size)
{
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    const char *what = NULL;
    if (view.syncing)
        what = "is syncing";
    else if (view.returning)
        what = "is returning";
    else if (view.behind)
        what = "is behind";
    else if (node->memory.deferred_count > 0)
        what = "has deferred versions";
    for (int k = 0; k < SIM_KEYS_MAX; k++)
        if (node->memory.cells[k].damaged)
            what = "has damaged records";
    if (!what)
        return true;
    snprintf(why, why_size, "n%d %s", node->index, what);
    return false;
}

// Everything deleted or expired has been forgotten.
static bool is_clean(const struct node *node, char *why, size_t why_size)
{
    for (int k = 0; k < SIM_KEYS_MAX; k++) {
        const struct cell *cell = &node->memory.cells[k];
        if (!cell->present || kvs_version_is_visible(&cell->version, INT64_MAX))
            continue;
        snprintf(why, why_size, "n%d still holds k%02d, which was deleted or expired", node->index,
                 k);
        return false;
    }
    return true;
}

bool check_converged(struct sim *sim, char *why, size_t why_size)
{
    const struct node *first = NULL;
    struct kvs_repl_view view = {0};
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (!takes_part(node))
            continue;
        if (!node->up) {
            snprintf(why, why_size, "n%d is down", i);
            return false;
        }
        struct kvs_repl_view own;
        kvs_repl_view(node->repl, &own);
        if (!first) {
            first = node;
            view = own;
        }
        if (kvs_uuid_cmp(&own.cluster.id, &view.cluster.id) != 0) {
            snprintf(why, why_size, "n%d is in another cluster", i);
            return false;
        }
        if (!at_peace(node, why, why_size) || !check_same(first, node, why, why_size) ||
            !members_agree(sim, node, why, why_size))
            return false;
        if (sim->knobs.retention_ms < 60000 && sim->knobs.digest_bits >= 64 &&
            !is_clean(node, why, why_size))
            return false;
    }
    return true;
}

static void check_key(struct sim *sim, const struct node *node, int key)
{
    const struct cell *cell = &node->memory.cells[key];
    const struct model_write *winner = model_winner(&sim->model, key);
    if (cell->present) {
        int index = model_find(&sim->model, key, &cell->version);
        if (index < 0 || sim->model.writes[key][index].value != cell->value) {
            sim_fail(sim, "at rest k%02d holds what nobody wrote", key);
            return;
        }
        for (int i = 0; i < sim->model.count[key]; i++) {
            const struct model_write *write = &sim->model.writes[key][i];
            if (!write->acked || model_cmp(&cell->version, &write->version) >= 0)
                continue;
            bool buried = is_buried(sim, key, index);
            if (!buried && model_may_outlive(&sim->model, key, index, i))
                sim->undone++; // docs/replication.md: what an exile may undo
            else
                sim_fail(sim,
                         "at rest k%02d is at %" PRId64
                         ", older than the acknowledged %s at %" PRId64,
                         key, cell->version.timestamp - SIM_WALL_START_MS,
                         kvs_version_is_tombstone(&write->version) ? "deletion" : "write",
                         write->version.timestamp - SIM_WALL_START_MS);
        }
        return;
    }
    // Gone: deleted or expired by the winner, or by something newer that was never acknowledged.
    if (winner && !model_is_over(&sim->model, key, &winner->version))
        sim_fail(sim, "at rest the acknowledged write to k%02d at %" PRId64 " is lost", key,
                 winner->version.timestamp - SIM_WALL_START_MS);
}

void check_rest(struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (!takes_part(node) || sim->failed)
            continue;
        for (int k = 0; k < sim->knobs.keys; k++)
            check_key(sim, node, k);
        return; // all are equal
    }
}
