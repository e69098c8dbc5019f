// SPDX-License-Identifier: Apache-2.0
// What breaks: links, clocks, disks, processes, directories put back, wiped or copied.
#include "tests/sim/sim.h"

void fault_seed_with(struct node *node, const struct node *seed)
{
    if (node->seed_count < 4)
        node->seeds[node->seed_count++] = seed->address;
}

struct node *fault_random_node(struct sim *sim, bool up)
{
    struct node *found = NULL;
    uint64_t candidates = 0;
    for (int i = 0; i < sim->node_count; i++) {
        struct node *node = &sim->nodes[i];
        if (!node->is_copy && !node->left && !sim->core[i] && node->up == up &&
            !node_stands(node, sim->now_ms) && sim_below(sim, ++candidates) == 0)
            found = node;
    }
    return found;
}

static bool is_spared(const struct sim *sim, int a, int b)
{
    return sim->core[a] && sim->core[b];
}

static void cut_some(struct sim *sim)
{
    uint64_t kind = sim_below(sim, 4);
    int n = sim->node_count;
    int a = (int)sim_below(sim, (uint64_t)n);
    int b = (int)sim_below(sim, (uint64_t)n);
    sim_trace(sim, NULL, "network: %s",
              kind == 3   ? "one link cut"
              : kind == 0 ? "one way cut"
              : kind == 1 ? "one node cut off"
                          : "split");
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            if (is_spared(sim, i, j))
                continue;
            if (kind == 3 && ((i == a && j == b) || (i == b && j == a)))
                sim->cut[i][j] = true;
            if (kind == 0 && i == a && sim_chance(sim, 0.7))
                sim->cut[i][j] = true;
            if (kind == 1 && (i == a || j == a))
                sim->cut[i][j] = true;
            if (kind == 2 && (i <= a) != (j <= a))
                sim->cut[i][j] = true;
        }
    }
}

static void heal_some(struct sim *sim)
{
    bool all = sim_chance(sim, 0.3);
    sim_trace(sim, NULL, "network: heals%s", all ? "" : " in part");
    for (int i = 0; i < sim->node_count; i++)
        for (int j = 0; j < sim->node_count; j++)
            if (all || sim_chance(sim, 0.4))
                sim->cut[i][j] = false;
}

static void restart(struct sim *sim, struct node *node)
{
    if (!sim->healing && sim_chance(sim, 0.2)) {
        node->address = sim->next_address++;
        sim_trace(sim, node, "has a new address");
    }
    node_start(node);
}

static void take_backup(struct sim *sim, struct node *node)
{
    sim_trace(sim, node, "is backed up");
    disk_copy(&node->backup, &node->disk);
    memcpy(node->backup_state, node->state, node->state_size);
    node->backup_state_size = node->state_size;
    node->has_backup = node->disk.formatted;
}

static void restore_backup(struct sim *sim, struct node *node)
{
    node_crash(node);
    sim_trace(sim, node, "goes back to its backup");
    struct disk lost = {0};
    disk_copy(&lost, &node->disk);
    disk_copy(&node->disk, &node->backup);
    memcpy(node->state, node->backup_state, node->backup_state_size);
    node->state_size = node->backup_state_size;
    node->promised_ms = 0;
    node->restored = true;
    check_excuse(sim, &lost);
    disk_done(&lost);
}

// Its configuration names the others where they are now.
void fault_reseed(struct sim *sim, struct node *node)
{
    node->seed_count = 0;
    for (int i = 0; i < sim->node_count; i++)
        if (&sim->nodes[i] != node && !sim->nodes[i].is_copy)
            fault_seed_with(node, &sim->nodes[i]);
    node->reseeded = true;
}

static void wipe(struct sim *sim, struct node *node)
{
    if (sim->gone_count == (int)(sizeof(sim->gone) / sizeof(sim->gone[0])) || !node->disk.formatted)
        return;
    node_crash(node);
    sim_trace(sim, node, "loses its disk");
    sim->gone[sim->gone_count++] = node->disk.node;
    check_excuse(sim, &node->disk);
    node_format(node);
    fault_reseed(sim, node);
}

static bool all_is_well(const struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *node = &sim->nodes[i];
        if (!node->is_copy && !node->left &&
            (!node->up || node->stalled || node->disk_full || node_stands(node, sim->now_ms)))
            return false;
        for (int k = 0; k < sim->node_count; k++)
            if (sim->cut[i][k])
                return false;
        struct kvs_repl_view view;
        if (node->up)
            kvs_repl_view(node->repl, &view);
        if (node->up && (int)view.member_count < sim->knobs.nodes - 1)
            return false;
        for (size_t k = 0; node->up && k < view.member_count; k++) {
            struct kvs_repl_member_view member;
            kvs_repl_member(node->repl, k, &member);
            if (member.record.state == KVS_MEMBER_DEAD || member.record.state == KVS_MEMBER_SUSPECT)
                return false;
        }
    }
    return true;
}

bool fault_copy_is_up(const struct sim *sim)
{
    const struct node *last = &sim->nodes[sim->node_count - 1];
    return last->is_copy && last->up;
}

static void start_copy(struct sim *sim, struct node *original)
{
    // While the first is cut off nobody can tell; then a copy is a disaster that no rule heals.
    struct node *copy = &sim->nodes[sim->node_count - 1];
    if (!copy->is_copy || copy->up || !all_is_well(sim))
        return;
    sim_trace(sim, original, "'s directory is copied and started as n%d", copy->index);
    copy->address = sim->next_address++;
    disk_copy(&copy->disk, &original->disk);
    memcpy(copy->state, original->state, original->state_size);
    copy->state_size = original->state_size;
    copy->promised_ms = 0;
    copy->clock_offset_ms = original->clock_offset_ms;
    node_start(copy);
}

static void jump_clock(struct sim *sim, struct node *node)
{
    int64_t limit_ms = sim_chance(sim, 0.03) ? 3600000 : 2 * sim->knobs.skew_max_ms;
    node->clock_offset_ms = (int64_t)sim_below(sim, (uint64_t)(2 * limit_ms + 1)) - limit_ms;
    node->clock_drift_ppm = (int64_t)sim_below(sim, 2001) - 1000;
    if (!sim->knobs.frozen_clocks)
        node->clock_frozen_ms = 0;
    if (!sim->knobs.frozen_clocks && sim_chance(sim, 0.2))
        node->clock_frozen_ms = sim_wall_ms(node);
    sim_trace(sim, node, "clock jumps to %lld ms%s", (long long)node->clock_offset_ms,
              node->clock_frozen_ms ? ", stands still" : "");
}

static void break_disk(struct sim *sim, struct node *node)
{
    node->disk_full = sim_chance(sim, 0.3);
    node->disk_delay_ms = sim_chance(sim, 0.5) ? 3 : 800;
    sim_trace(sim, node, "disk: %s, up to %lld ms", node->disk_full ? "full" : "takes writes",
              (long long)node->disk_delay_ms);
}

// Stopped by a signal, or waiting for a full disk: others see it dead, and it wakes up to what they
// said long ago.
static void stand_still(struct sim *sim, struct node *node)
{
    // Longer than between two ticks, so that it must notice.
    int64_t ms = 1200 + (int64_t)sim_below(sim, sim_chance(sim, 0.5) ? 2000 : 20000);
    node->stood_from_ms = sim->now_ms;
    node->standing_until_ms = sim->now_ms + ms;
    sim_trace(sim, node, "stands still for %lld ms", (long long)ms);
}

static bool is_intact_elsewhere(const struct sim *sim, const struct node *node, int key)
{
    const struct cell *cell = &node->disk.cells[key];
    for (int i = 0; i < sim->node_count; i++) {
        const struct node *other = &sim->nodes[i];
        const struct cell *copy = &other->disk.cells[key];
        if (other != node && !other->is_copy && !other->left && copy->present && !copy->damaged &&
            model_cmp(&copy->version, &cell->version) == 0)
            return true;
    }
    return false;
}

static void flip_bit(struct sim *sim, struct node *node)
{
    int key = (int)sim_below(sim, (uint64_t)sim->knobs.keys);
    const struct cell *cell = &node->disk.cells[key];
    if (!cell->present || cell->damaged || !is_intact_elsewhere(sim, node, key))
        return;
    sim->flips++;
    node_damage(node, key);
}

// The last good copy went with another disk: an operator puts it back from somewhere.
void fault_restore_damaged(struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++)
        for (int k = 0; k < sim->knobs.keys; k++)
            if (sim->nodes[i].disk.cells[k].damaged &&
                !is_intact_elsewhere(sim, &sim->nodes[i], k)) {
                sim_trace(sim, &sim->nodes[i], "k%02d is restored by hand", k);
                node_restored(&sim->nodes[i], k);
            }
}

void fault_one(struct sim *sim)
{
    struct node *up = fault_random_node(sim, true);
    struct node *down = fault_random_node(sim, false);
    uint64_t kind = sim_below(sim, 100);
    sim->faults++;
    if (kind < 15) {
        cut_some(sim);
    } else if (kind < 35) {
        heal_some(sim);
    } else if (kind < 45) {
        if (up)
            node_crash(up);
    } else if (kind < 65) {
        if (down)
            restart(sim, down);
    } else if (kind < 70) {
        if (up && !(sim->knobs.standstills && sim_chance(sim, 0.7)))
            up->stalled = !up->stalled;
        else if (up)
            stand_still(sim, up);
    } else if (kind < 78) {
        if (up)
            jump_clock(sim, up);
    } else if (kind < 86) {
        if (up)
            break_disk(sim, up);
    } else if (kind < 92) {
        if (up && up->disk.formatted)
            take_backup(sim, up);
    } else if (kind < 95) {
        if (down && down->has_backup && sim->knobs.lives_kept == 0)
            restore_backup(sim, down);
    } else if (kind < 97) {
        if (down)
            wipe(sim, down);
    } else if (kind < 98) {
        if (up)
            start_copy(sim, up);
    } else if (kind == 99) {
        for (int i = 0; i < 3; i++) {
            struct node *flipped = fault_random_node(sim, sim_chance(sim, 0.7));
            if (flipped)
                flip_bit(sim, flipped);
        }
    } else if (kind == 98 && up && sim->node_count > 3) {
        struct kvs_repl_event event = {.type = KVS_REPL_EVENT_LEAVE};
        sim_trace(sim, up, "is told to leave");
        node_event(up, &event);
    }
}
