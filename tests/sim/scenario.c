// SPDX-License-Identifier: Apache-2.0
// What a seed means: the knobs, the workload, when something breaks, and what must hold at rest.
#include "tests/sim/sim.h"

#include "base/assert.h"

#include <stdlib.h>

enum { CHURN_MS = 200, REST_PATIENCE_MS = 240000, CORE_PATIENCE_MS = 120000 };

static void set_knobs(struct sim *sim)
{
    struct sim_knobs *k = &sim->knobs;
    uint64_t size = sim_below(sim, 20);
    k->nodes = size < 13 ? 3 : size < 17 ? 2 + (int)sim_below(sim, 3) : 5;
    k->keys = 3 + (int)sim_below(sim, sim_chance(sim, 0.5) ? 6 : 30);
    k->ops = 30 + (int)sim_below(sim, 120);
    k->active_ms = 15000 + (int64_t)sim_below(sim, 30000);
    k->delay_ms = 1;
    k->jitter_ms = sim_chance(sim, 0.5) ? 3 : 200;
    k->loss = sim_chance(sim, 0.5) ? 0 : (double)sim_below(sim, 20) / 100;
    k->duplication = sim_chance(sim, 0.5) ? 0 : (double)sim_below(sim, 20) / 100;
    k->log_size = sim_chance(sim, 0.4) ? 4 : SIM_LOG_MAX;
    k->revisions_kept = sim_chance(sim, 0.5) ? 1 : 3;
    k->digest_bits = 64; // shorter ones collide, and then what was adopted as seen is not here
    k->retention_ms = sim_chance(sim, 0.6) ? 0 : (int64_t)sim_below(sim, 8000);
    k->expire_after_ms = 5000 + (int64_t)sim_below(sim, 20000);
    k->promise_interval_ms = 500 + (int64_t)sim_below(sim, 3000);
    k->sync_interval_ms = 3000 + (int64_t)sim_below(sim, 12000);
    k->skew_max_ms = 500 + (int64_t)sim_below(sim, 5000);
    k->frozen_clocks = sim_chance(sim, 0.33);
    k->push = !sim_chance(sim, 0.1);
    k->lives_kept = sim_chance(sim, 0.2) ? 1 : 0;
}

static void make_nodes(struct sim *sim, int count, int spare)
{
    sim->node_count = count + spare;
    sim->nodes = calloc((size_t)sim->node_count, sizeof(struct node));
    kvs_assert(sim->nodes != NULL);
    for (int i = 0; i < sim->node_count; i++)
        node_init(sim, &sim->nodes[i], i);
    for (int i = count; i < sim->node_count; i++) {
        sim->nodes[i].is_copy = true; // a slot for a copied directory
        sim->nodes[i].address = 0;
    }
}

void scenario_build(struct sim *sim, int nodes)
{
    sim->knobs = (struct sim_knobs){.nodes = nodes,
                                    .keys = 16,
                                    .delay_ms = 1,
                                    .jitter_ms = 0,
                                    .log_size = SIM_LOG_MAX,
                                    .revisions_kept = 3,
                                    .digest_bits = 64,
                                    .expire_after_ms = 60000,
                                    .promise_interval_ms = 2000,
                                    .sync_interval_ms = 30000,
                                    .skew_max_ms = 60000,
                                    .push = true,
                                    .quiet = true};
    make_nodes(sim, nodes, 0);
    for (int i = 1; i < nodes; i++)
        fault_seed_with(&sim->nodes[i], &sim->nodes[0]);
}

// ---- Workload

static void one_op(struct sim *sim)
{
    struct node *node = fault_random_node(sim, true);
    if (!node)
        return;
    int key = (int)sim_below(sim, (uint64_t)sim->knobs.keys);
    bool tombstone = sim_chance(sim, 0.4);
    int64_t ttl_ms = sim_chance(sim, 0.15) ? 1 + (int64_t)sim_below(sim, 10000) : 0;
    node_write(node, key, tombstone, ttl_ms);
}

static void churn(struct sim *sim)
{
    if (sim->healing || sim->ops_left < 0)
        return;
    if (!sim->knobs.quiet && !fault_copy_is_up(sim) && sim_chance(sim, 0.12))
        fault_one(sim);
    int64_t ticks = sim->knobs.active_ms / CHURN_MS;
    int expected = sim->knobs.ops;
    for (double rate = (double)expected / (double)ticks; rate > 0; rate -= 1)
        if (sim_chance(sim, rate))
            one_op(sim);
    sim_at(sim, sim->now_ms + CHURN_MS, churn);
}

static void excuse_left(struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].left)
            check_excuse(sim, &sim->nodes[i].disk);
}

static void remove_gone(struct sim *sim)
{
    for (int i = 0; i < sim->gone_count; i++) {
        struct kvs_repl_event event = {.type = KVS_REPL_EVENT_REMOVE, .remove = sim->gone[i]};
        for (int n = 0; n < sim->node_count; n++)
            if (sim->nodes[n].up && !sim->failed)
                node_event(&sim->nodes[n], &event);
    }
}

static int64_t latest_write_ms(const struct sim *sim)
{
    int64_t latest_ms = 0;
    for (int k = 0; k < SIM_KEYS_MAX; k++)
        for (int i = 0; i < sim->model.count[k]; i++) {
            const struct kvs_version *v = &sim->model.writes[k][i].version;
            int64_t end_ms = v->expires_at > v->timestamp ? v->expires_at : v->timestamp;
            if (end_ms > latest_ms)
                latest_ms = end_ms;
        }
    return latest_ms;
}

// Has the only node it could have met them through left or moved? Then an operator helps.
static bool is_stranded(const struct node *node)
{
    struct kvs_repl_view view;
    if (!node->up || node->left || node->is_copy)
        return false;
    kvs_repl_view(node->repl, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(node->repl, i, &member);
        if (member.record.state <= KVS_MEMBER_DEAD && member.heard_ms != 0)
            return false;
    }
    return true;
}

static void mend(struct node *node)
{
    node->stalled = false;
    node->standing_until_ms = 0;
    node->disk_full = false;
    node->disk_delay_ms = 3;
    node->clock_frozen_ms = 0;
    node->clock_offset_ms = 0;
    node->clock_drift_ppm = 0;
}

static void heal_everything(struct sim *sim)
{
    sim_trace(sim, NULL, "all faults end");
    sim->healing = true;
    memset(sim->cut, 0, sizeof(sim->cut));
    sim->knobs.loss = 0;
    sim->knobs.duplication = 0;
    for (int i = 0; i < sim->node_count && !sim->failed; i++) {
        struct node *node = &sim->nodes[i];
        mend(node);
        if (node->reseeded && node->up)
            node_crash(node);
        if (node->reseeded)
            fault_reseed(sim, node);
        if (!node->up && !node->left && !node->is_copy)
            node_start(node);
    }
}

static void help_stranded(struct sim *sim)
{
    bool met = true; // all of one cluster?
    struct kvs_repl_view first = {0};
    for (int i = 0; i < sim->node_count && !sim->failed; i++) {
        struct node *node = &sim->nodes[i];
        struct kvs_repl_view view;
        if (!node->up || node->is_copy)
            continue;
        kvs_repl_view(node->repl, &view);
        if (kvs_uuid_is_nil(&first.cluster.id))
            first = view;
        met = met && kvs_uuid_cmp(&first.cluster.id, &view.cluster.id) == 0;
    }
    for (int i = 0; i < sim->node_count && !sim->failed; i++) {
        struct node *node = &sim->nodes[i];
        if (!node->up || node->is_copy || (met && !is_stranded(node)))
            continue;
        sim_trace(sim, node, "is given new seeds");
        node_crash(node);
        fault_reseed(sim, node);
        node_start(node);
    }
}

// ---- A connected core, while faults go on around it

// A version from the future is current where it was written and waits everywhere else; and a
// damaged one may be the last of its kind.
static bool waits_for_its_time(const struct sim *sim)
{
    int64_t now_ms = SIM_WALL_START_MS + sim->now_ms + sim->knobs.skew_max_ms;
    for (int i = 0; i < sim->node_count; i++)
        for (int k = 0; k < sim->knobs.keys && sim->core[i]; k++)
            if (sim->nodes[i].memory.cells[k].version.timestamp > now_ms ||
                sim->nodes[i].memory.cells[k].damaged || sim->nodes[i].memory.deferred_count > 0)
                return true;
    return false;
}

static bool core_is_equal(const struct sim *sim, char *why, size_t why_size)
{
    if (waits_for_its_time(sim))
        return true;
    const struct node *first = NULL;
    for (int i = 0; i < sim->node_count; i++) {
        if (!sim->core[i])
            continue;
        if (sim->nodes[i].left)
            return true; // it had been told before
        if (first && !check_same(first, &sim->nodes[i], why, why_size))
            return false;
        first = first ? first : &sim->nodes[i];
    }
    return true;
}

static void keep_breaking(struct sim *sim)
{
    if (sim->healing)
        return;
    if (sim_chance(sim, 0.12))
        fault_one(sim);
    sim_at(sim, sim->now_ms + CHURN_MS, keep_breaking);
}

// Both where it is and as a member.
static bool knows(const struct node *node, const struct node *other)
{
    struct kvs_slice address = kvs_slice(&other->address, sizeof(other->address));
    struct kvs_repl_view view;
    kvs_repl_view(node->repl, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(node->repl, i, &member);
        if (kvs_uuid_cmp(&member.record.node, &other->disk.node) == 0)
            return member.record.state <= KVS_MEMBER_DEAD &&
                   kvs_slice_eq(member.record.address, address);
    }
    return false;
}

static bool fits_core(const struct sim *sim, const struct node *node)
{
    if (node->left || node->is_copy || !node->up || node->reseeded)
        return false;
    for (int i = 0; i < sim->node_count; i++)
        if (sim->core[i] && (!knows(node, &sim->nodes[i]) || !knows(&sim->nodes[i], node)))
            return false;
    return true;
}

// Some nodes are well from now on and see each other; no client writes any more. They must become
// equal, whatever happens to the others and between them and the others.
static void scenario_core(struct sim *sim)
{
    char why[256] = "";
    int members = 0;
    sim->ops_left = -1;
    for (int i = 0; i < sim->node_count && members < (sim->knobs.nodes + 1) / 2; i++) {
        struct node *node = &sim->nodes[i];
        if (!fits_core(sim, node))
            continue;
        sim->core[i] = true;
        members++;
        mend(node);
        for (int k = 0; k < sim->node_count; k++)
            if (sim->core[k])
                sim->cut[i][k] = sim->cut[k][i] = false;
    }
    if (members < 2 || fault_copy_is_up(sim))
        goto out;
    sim_trace(sim, NULL, "%d nodes are well from now on", members);
    sim->cores++;
    keep_breaking(sim);
    for (int64_t until_ms = sim->now_ms + CORE_PATIENCE_MS; !sim->failed;) {
        sim_run_until(sim, sim->now_ms + 500);
        if (core_is_equal(sim, why, sizeof(why)))
            break;
        if (sim->now_ms >= until_ms)
            sim_fail(sim, "a connected core has not become equal in %d s: %s",
                     CORE_PATIENCE_MS / 1000, why);
    }
out:
    memset(sim->core, 0, sizeof(sim->core));
}

void scenario_rest(struct sim *sim)
{
    heal_everything(sim);
    excuse_left(sim);
    char why[256] = "";
    int64_t future_ms = latest_write_ms(sim) - (SIM_WALL_START_MS + sim->now_ms);
    int64_t until_ms = sim->now_ms + REST_PATIENCE_MS + (future_ms > 0 ? future_ms : 0);
    sim_run_until(sim, sim->now_ms + 5000);
    remove_gone(sim);
    help_stranded(sim);
    if (fault_copy_is_up(sim))
        node_crash(&sim->nodes[sim->node_count - 1]);
    fault_restore_damaged(sim);
    while (!sim->failed) {
        if (check_converged(sim, why, sizeof(why))) {
            sim_trace(sim, NULL, "all are equal");
            excuse_left(sim);
            check_rest(sim);
            return;
        }
        if (sim->now_ms >= until_ms) {
            check_trace_nodes(sim);
            sim_fail(sim, "no rest %d s after all faults ended: %s", REST_PATIENCE_MS / 1000, why);
            return;
        }
        sim_run_until(sim, sim->now_ms + 500);
    }
}

// ---- Two clusters that begin apart

static void meet(struct sim *sim)
{
    if (sim->healing)
        return;
    sim_trace(sim, NULL, "the two clusters meet");
    memset(sim->cut, 0, sizeof(sim->cut));
    struct node *last = &sim->nodes[sim->knobs.nodes - 1];
    if (last->left)
        return;
    node_crash(last);
    fault_seed_with(last, &sim->nodes[0]);
    node_start(last);
}

void scenario_run(struct sim *sim, uint64_t seed, unsigned mutations)
{
    FILE *trace = sim->trace;
    sim_init(sim, seed);
    sim->trace = trace;
    set_knobs(sim);
    sim->knobs.mutations = mutations;
    sim->knobs.standstills = seed % 4 == 1; // drawn from nothing: the other seeds stay as they were
    bool apart = sim->knobs.nodes > 2 && sim_chance(sim, 0.1);
    if (apart) // what one cluster has forgotten cannot beat what the other wrote before it
        sim->knobs.retention_ms = INT64_C(1000000000);
    make_nodes(sim, sim->knobs.nodes, sim_chance(sim, 0.2) ? 1 : 0);
    sim_trace(sim, NULL, "%d nodes, %d keys, log of %d, %d revisions, digests of %d bits%s%s",
              sim->knobs.nodes, sim->knobs.keys, sim->knobs.log_size, sim->knobs.revisions_kept,
              sim->knobs.digest_bits, apart ? ", two clusters" : "",
              sim->knobs.frozen_clocks ? ", clocks stand still" : "");
    int younger =
        apart ? 1 + (int)sim_below(sim, (uint64_t)sim->knobs.nodes - 1) : sim->knobs.nodes;
    for (int i = 0; i < sim->knobs.nodes; i++) {
        struct node *node = &sim->nodes[i];
        if (i != 0 && i != younger)
            fault_seed_with(node, &sim->nodes[i < younger ? 0 : younger]);
        if (sim->knobs.frozen_clocks)
            node->clock_frozen_ms = SIM_WALL_START_MS + 1000;
        else if (sim_chance(sim, 0.5))
            node->clock_offset_ms = (int64_t)sim_below(sim, 2001) - 1000;
        node_start(node);
    }
    for (int i = 0; i < sim->node_count && apart; i++)
        for (int j = 0; j < sim->node_count; j++)
            sim->cut[i][j] = (i < younger) != (j < younger);
    if (apart)
        sim_at(sim, sim->knobs.active_ms / 2, meet);
    sim_at(sim, 100, churn);
    sim_run_until(sim, sim->knobs.active_ms);
    if (apart && !sim->failed && !sim->nodes[sim->knobs.nodes - 1].seed_count)
        fault_seed_with(&sim->nodes[sim->knobs.nodes - 1], &sim->nodes[0]);
    if (!sim->failed && !apart && sim->knobs.nodes > 2 && sim_chance(sim, 0.3))
        scenario_core(sim);
    if (!sim->failed)
        scenario_rest(sim);
}
