// SPDX-License-Identifier: Apache-2.0
// Small scenes without chance, whose traces are kept under golden/ and read as documentation; and
// the large cluster: fifty nodes.
#include "tests/sim/sim.h"

#include <stdlib.h>

enum { FIFTY = 50 };

static void start_all(struct sim *sim)
{
    for (int i = 0; i < sim->node_count; i++)
        node_start(&sim->nodes[i]);
}

static void cut_off(struct sim *sim, int node, bool cut)
{
    sim_trace(sim, NULL, "n%d is %s", node, cut ? "cut off" : "back on the network");
    for (int i = 0; i < sim->node_count; i++)
        sim->cut[i][node] = sim->cut[node][i] = cut && i != node;
}

static void write_key(struct sim *sim, int node, int key)
{
    node_write(&sim->nodes[node], key, false, 0);
}

static void delete_key(struct sim *sim, int node, int key)
{
    node_write(&sim->nodes[node], key, true, 0);
}

static void join(struct sim *sim)
{
    scenario_build(sim, 2);
    node_start(&sim->nodes[0]);
    sim_run_until(sim, 100);
    for (int key = 0; key < 8; key++)
        write_key(sim, 0, key);
    sim_run_until(sim, 1000);
    node_start(&sim->nodes[1]);
    sim_run_until(sim, 4000);
}

static void push(struct sim *sim)
{
    scenario_build(sim, 3);
    start_all(sim);
    sim_run_until(sim, 3000);
    write_key(sim, 0, 5);
    write_key(sim, 1, 6);
    sim_run_until(sim, 3100);
    write_key(sim, 2, 5);
    sim_run_until(sim, 3200);
}

static void pull(struct sim *sim)
{
    scenario_build(sim, 3);
    start_all(sim);
    sim_run_until(sim, 3000);
    sim->cut[0][2] = true; // n2 misses what n0 writes; n0 then dies
    write_key(sim, 0, 5);
    sim_run_until(sim, 3050);
    node_crash(&sim->nodes[0]);
    sim_run_until(sim, 6000);
}

static void digest_sync(struct sim *sim)
{
    scenario_build(sim, 2);
    sim->knobs.log_size = 4; // too short for what is missed
    start_all(sim);
    sim_run_until(sim, 3000);
    for (int key = 0; key < 12; key++)
        write_key(sim, 0, key);
    sim_run_until(sim, 3500);
    cut_off(sim, 1, true);
    for (int key = 4; key < 12; key++)
        write_key(sim, 0, key);
    write_key(sim, 1, 3);
    sim_run_until(sim, 5000);
    cut_off(sim, 1, false);
    sim_run_until(sim, 9000);
}

static void leave(struct sim *sim)
{
    scenario_build(sim, 3);
    start_all(sim);
    sim_run_until(sim, 3000);
    write_key(sim, 2, 5);
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_LEAVE};
    sim_trace(sim, &sim->nodes[2], "is told to leave");
    node_event(&sim->nodes[2], &event);
    sim_run_until(sim, 6000);
}

// n2 is away for so long that the others forget a deletion; it comes back with the deleted value.
static void zombie(struct sim *sim)
{
    scenario_build(sim, 3);
    sim->knobs.expire_after_ms = 5000;
    start_all(sim);
    sim_run_until(sim, 3000);
    write_key(sim, 0, 5);
    sim_run_until(sim, 3500);
    node_crash(&sim->nodes[2]);
    sim_run_until(sim, 4000);
    delete_key(sim, 0, 5);
    sim_run_until(sim, 30000);
    node_start(&sim->nodes[2]);
    sim_run_until(sim, 36000);
}

// ---- Scenes that a seed found once

static void expect(struct sim *sim, int node, int key, int write)
{
    const struct cell *cell = &sim->nodes[node].memory.cells[key];
    int held = cell->present ? model_find(&sim->model, key, &cell->version) : -1;
    if (held != write)
        sim_fail(sim, "n%d holds write %d of k%02d, not %d", node, held, key, write);
}

// Two are away for so long that a deletion is forgotten. The first brings an older version that
// nobody else ever saw: it stays. The second brings the deleted one: newer, but dead.
static void dead(struct sim *sim)
{
    scenario_build(sim, 3);
    sim->knobs.expire_after_ms = 5000;
    start_all(sim);
    sim_run_until(sim, 3000);
    cut_off(sim, 1, true);
    write_key(sim, 1, 5); // 0: only n1 has it
    sim_run_until(sim, 3500);
    write_key(sim, 0, 5); // 1: n2 has it too
    sim_run_until(sim, 4000);
    cut_off(sim, 2, true);
    delete_key(sim, 0, 5); // 2: only n0 ever has it
    sim_run_until(sim, 40000);
    expect(sim, 0, 5, -1);
    sim->cut[0][1] = sim->cut[1][0] = false;
    sim_run_until(sim, 100000);
    expect(sim, 0, 5, 0);
    cut_off(sim, 2, false);
    sim_run_until(sim, 170000);
    for (int i = 0; i < 3; i++)
        expect(sim, i, 5, 0);
}

// A record that fails its checksum is fetched from a peer.
static void damaged(struct sim *sim)
{
    scenario_build(sim, 2);
    start_all(sim);
    sim_run_until(sim, 3000);
    write_key(sim, 0, 5);
    sim_run_until(sim, 3500);
    node_damage(&sim->nodes[1], 5);
    sim_run_until(sim, 5000);
    if (sim->nodes[1].memory.cells[5].damaged || sim->nodes[1].disk.cells[5].damaged)
        sim_fail(sim, "k05 is still damaged");
    expect(sim, 1, 5, 0);
}

// A wall clock that jumps by years sends nobody into exile.
static void jump(struct sim *sim)
{
    scenario_build(sim, 3);
    start_all(sim);
    sim_run_until(sim, 3000);
    write_key(sim, 0, 5); // 0
    sim_run_until(sim, 3500);
    node_crash(&sim->nodes[2]);
    sim_run_until(sim, 4000);
    delete_key(sim, 0, 5); // 1
    sim_run_until(sim, 30000);
    sim_trace(sim, &sim->nodes[0], "clock jumps by three years");
    sim->nodes[0].clock_offset_ms = INT64_C(94608000000);
    sim_run_until(sim, 40000);
    sim->nodes[0].clock_offset_ms = 0;
    expect(sim, 0, 5, 1);
    node_start(&sim->nodes[2]);
    sim_run_until(sim, 45000);
    for (int i = 0; i < 3; i++)
        if (sim->nodes[i].memory.cells[5].present &&
            !kvs_version_is_tombstone(&sim->nodes[i].memory.cells[5].version))
            sim_fail(sim, "n%d: the deleted k05 is back", i);
}

static const struct {
    const char *name;
    void (*play)(struct sim *sim);
} scenes[] = {{"join", join},        {"push", push},       {"pull", pull},
              {"sync", digest_sync}, {"leave", leave},     {"zombie", zombie},
              {"dead", dead},        {"damaged", damaged}, {"jump", jump}};

bool scene_play(struct sim *sim, const char *name)
{
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        if (strcmp(scenes[i].name, name) != 0)
            continue;
        FILE *trace = sim->trace;
        sim_init(sim, 1);
        sim->trace = trace;
        sim->trace_quiet = true;
        scenes[i].play(sim);
        return true;
    }
    return false;
}

static int count_seeing(const struct sim *sim, const struct node *target,
                        enum kvs_member_state state)
{
    int count = 0;
    for (int i = 0; i < sim->node_count; i++) {
        struct kvs_repl_view view;
        if (!sim->nodes[i].up)
            continue;
        kvs_repl_view(sim->nodes[i].repl, &view);
        for (size_t k = 0; k < view.member_count; k++) {
            struct kvs_repl_member_view member;
            kvs_repl_member(sim->nodes[i].repl, k, &member);
            count += member.record.state == state &&
                     kvs_uuid_cmp(&member.record.node, &target->disk.node) == 0;
        }
    }
    return count;
}

void scene_fifty(struct sim *sim, int64_t loss_s)
{
    char why[160] = "";
    FILE *trace = sim->trace;
    sim_init(sim, 50);
    sim->trace = trace;
    scenario_build(sim, FIFTY);
    start_all(sim);
    sim_run_until(sim, 20000);
    for (int i = 0; i < FIFTY; i++)
        write_key(sim, i, i % 16);
    sim_run_until(sim, 30000);
    for (int i = 0; i < FIFTY && !sim->failed; i++)
        if (count_seeing(sim, &sim->nodes[i], KVS_MEMBER_ALIVE) != FIFTY - 1)
            sim_fail(sim, "not all of fifty see n%d alive", i);
    for (int i = 1; i < FIFTY && !sim->failed; i++)
        if (!check_same(&sim->nodes[0], &sim->nodes[i], why, sizeof(why)))
            sim_fail(sim, "%s", why);
    sim->knobs.loss = 0.05;
    sim_run_until(sim, 30000 + loss_s * 1000);
    if (sim->dead_declared > 0)
        sim_fail(sim, "%llu times somebody was declared dead in %lld s of 5 %% loss",
                 (unsigned long long)sim->dead_declared, (long long)loss_s);
    sim->knobs.loss = 0;
    sim_run_until(sim, sim->now_ms + 30000);
    node_crash(&sim->nodes[7]);
    sim_run_until(sim, sim->now_ms + 10000);
    int seen = count_seeing(sim, &sim->nodes[7], KVS_MEMBER_DEAD);
    if (!sim->failed && seen != FIFTY - 1)
        sim_fail(sim, "after 10 s only %d of 49 know that n7 is dead", seen);
}
