// SPDX-License-Identifier: Apache-2.0
// Time, the network and the order of events.
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

void sim_init(struct sim *sim, uint64_t seed)
{
    *sim = (struct sim){.seed = seed, .next_address = 1};
    // Far from each other, whatever the generator makes of neighbours.
    uint64_t state = (seed ^ seed >> 32) * 0xd6e8feb86659fd93u;
    kvs_random_seeded_init(&sim->random, (state ^ state >> 32) * 0xd6e8feb86659fd93u);
}

static void event_done(struct sim_event *event)
{
    free(event->bytes);
    read_free(event->read);
}

void sim_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->heap_count; i++)
        event_done(&sim->heap[i]);
    free(sim->heap);
    for (int i = 0; i < sim->node_count; i++)
        node_done(&sim->nodes[i]);
    free(sim->nodes);
    model_done(&sim->model);
}

uint64_t sim_below(struct sim *sim, uint64_t bound)
{
    return kvs_random_below(&sim->random.base, bound);
}

bool sim_chance(struct sim *sim, double probability)
{
    return (double)sim_below(sim, 1u << 30) < probability * (double)(1u << 30);
}

int64_t sim_wall_ms(const struct node *node)
{
    if (node->clock_frozen_ms != 0)
        return node->clock_frozen_ms;
    int64_t now_ms = node->sim->now_ms;
    return SIM_WALL_START_MS + now_ms + node->clock_offset_ms +
           now_ms * node->clock_drift_ppm / 1000000;
}

void sim_trace(struct sim *sim, const struct node *node, const char *format, ...)
{
    if (!sim->trace)
        return;
    va_list args;
    va_start(args, format);
    fprintf(sim->trace, "%8" PRId64 ".%03" PRId64 "  ", sim->now_ms / 1000, sim->now_ms % 1000);
    if (node)
        fprintf(sim->trace, "n%d  ", node->index);
    else
        fprintf(sim->trace, "--  ");
    vfprintf(sim->trace, format, args);
    fputc('\n', sim->trace);
    va_end(args);
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    va_list args;
    va_start(args, format);
    int size = snprintf(sim->failure, sizeof(sim->failure),
                        "at %" PRId64 ".%03" PRId64 " s: ", sim->now_ms / 1000, sim->now_ms % 1000);
    vsnprintf(sim->failure + size, sizeof(sim->failure) - (size_t)size, format, args);
    va_end(args);
    sim->failed = true;
    if (sim->trace)
        fprintf(sim->trace, "FAILED %s\n", sim->failure);
    check_trace_nodes(sim);
}

// ---- The heap

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

void sim_push(struct sim *sim, struct sim_event *event)
{
    if (sim->heap_count == sim->heap_capacity) {
        sim->heap_capacity = sim->heap_capacity ? sim->heap_capacity * 2 : 256;
        sim->heap = realloc(sim->heap, sim->heap_capacity * sizeof(*event));
        if (!sim->heap)
            abort();
    }
    event->order = sim->order++;
    size_t at = sim->heap_count++;
    for (; at > 0 && before(event, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = *event;
}

static struct sim_event pop(struct sim *sim)
{
    struct sim_event top = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!before(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    sim->heap[at] = last;
    return top;
}

void sim_at(struct sim *sim, int64_t at_ms, void (*script)(struct sim *sim))
{
    struct sim_event event = {.at_ms = at_ms, .type = SIM_SCRIPT, .script = script, .node = -1};
    sim_push(sim, &event);
}

// ---- The network

static void deliver_later(struct sim *sim, const struct node *from, int to, uint32_t address,
                          struct kvs_slice bytes)
{
    int64_t delay_ms = sim->knobs.delay_ms;
    if (sim->knobs.jitter_ms > 0)
        delay_ms += (int64_t)sim_below(sim, (uint64_t)sim->knobs.jitter_ms + 1);
    struct sim_event event = {.at_ms = sim->now_ms + delay_ms,
                              .type = SIM_MESSAGE,
                              .node = to,
                              .from = from->index,
                              .address = address,
                              .bytes = malloc(bytes.size + 1),
                              .size = bytes.size};
    if (!event.bytes)
        abort();
    memcpy(event.bytes, bytes.data, bytes.size);
    sim_push(sim, &event);
}

void sim_send(struct sim *sim, const struct node *from, struct kvs_slice address,
              struct kvs_slice bytes)
{
    uint32_t number = 0;
    if (address.size == sizeof(number))
        memcpy(&number, address.data, sizeof(number));
    sim->messages++;
    sim->bytes += bytes.size;
    for (int i = 0; i < sim->node_count; i++) {
        if (sim->nodes[i].address != number)
            continue;
        if (sim->cut[from->index][i] || sim_chance(sim, sim->knobs.loss))
            return;
        deliver_later(sim, from, i, number, bytes);
        if (sim_chance(sim, sim->knobs.duplication))
            deliver_later(sim, from, i, number, bytes);
        return;
    }
}

static void trace_message(struct sim *sim, const struct node *node, const struct sim_event *event)
{
    bool background = event->bytes[1] == KVS_MESSAGE_PING || event->bytes[1] == KVS_MESSAGE_PONG ||
                      event->bytes[1] == KVS_MESSAGE_PING_REQUEST ||
                      event->bytes[1] == KVS_MESSAGE_STATUS;
    if (!sim->trace || (sim->trace_quiet && background))
        return;
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 24);
    struct kvs_repl_message m;
    if (kvs_repl_message_decode(kvs_slice(event->bytes, event->size), &arena, &m) == 0) {
        char detail[160] = "";
        switch (m.head.type) {
        case KVS_MESSAGE_BATCH:
            snprintf(detail, sizeof(detail), " %s (%u, %u] %zu versions%s",
                     m.batch.pulled ? "pulled" : "pushed", m.batch.run.from, m.batch.run.to,
                     m.batch.item_count, m.batch.overrun ? " overrun" : "");
            break;
        case KVS_MESSAGE_BATCH_ACK:
            snprintf(detail, sizeof(detail), " up to %u, seen %u", m.batch_ack.run.to,
                     m.batch_ack.seen_count);
            break;
        case KVS_MESSAGE_PULL:
            snprintf(detail, sizeof(detail), " from %u", m.pull.from);
            break;
        case KVS_MESSAGE_STATUS:
            snprintf(detail, sizeof(detail), " %s%s, %zu writers, %" PRIu64 " records%s",
                     m.status.want_reply ? "asks" : "answers", m.status.exact ? "" : " inexact",
                     m.status.seen.count, m.status.root.count,
                     m.status.watermark_ms > 0 ? ", watermark" : "");
            break;
        case KVS_MESSAGE_COMPARE:
            snprintf(detail, sizeof(detail), " %zu ranges", m.compare.range_count);
            break;
        case KVS_MESSAGE_COMPARED: {
            size_t kinds[3] = {0};
            for (size_t i = 0; i < m.compared.answer_count; i++)
                kinds[m.compared.answers[i].kind]++;
            snprintf(detail, sizeof(detail), " %zu equal, %zu listed, %zu split", kinds[0],
                     kinds[1], kinds[2]);
            break;
        }
        case KVS_MESSAGE_FETCH:
            snprintf(detail, sizeof(detail), " %zu keys", m.fetch.key_count);
            break;
        case KVS_MESSAGE_ITEMS:
            snprintf(detail, sizeof(detail), " %zu versions %s", m.items.item_count,
                     m.items.session ? "asked for" : "offered");
            break;
        case KVS_MESSAGE_PAGE_ANSWER:
            snprintf(detail, sizeof(detail), " %zu versions%s", m.page_answer.item_count,
                     m.page_answer.done ? ", the last" : "");
            break;
        case KVS_MESSAGE_MEMBERS:
            snprintf(detail, sizeof(detail), " %zu%s", m.members.member_count,
                     m.members.want_reply ? ", asks for ours" : "");
            break;
        default:
            break;
        }
        sim_trace(sim, node, "<- n%d  %s%s", event->from,
                  kvs_message_type_name((enum kvs_message_type)m.head.type), detail);
    }
    kvs_arena_done(&arena);
}

// Everything comes in its order, but later.
static void put_off(struct sim *sim, struct sim_event *event)
{
    struct node *node = &sim->nodes[event->node];
    struct sim_event later = *event;
    later.at_ms = node->standing_until_ms;
    if (event->type == SIM_TICK && event->run == node->run && node->tick_at_ms == event->at_ms)
        node->tick_at_ms = later.at_ms;
    event->bytes = NULL;
    event->read = NULL;
    sim_push(sim, &later);
}

static void dispatch(struct sim *sim, struct sim_event *event)
{
    if (event->type == SIM_SCRIPT) {
        event->script(sim);
        return;
    }
    struct node *node = &sim->nodes[event->node];
    if (!node->up)
        return;
    if (node_stands(node, sim->now_ms)) {
        put_off(sim, event);
        return;
    }
    struct kvs_repl_event step = {.type = KVS_REPL_EVENT_TICK};
    switch (event->type) {
    case SIM_MESSAGE:
        if (node->address != event->address || node->stalled || sim->cut[event->from][event->node])
            return;
        trace_message(sim, node, event);
        step.type = KVS_REPL_EVENT_MESSAGE;
        step.message = kvs_slice(event->bytes, event->size);
        node_event(node, &step);
        return;
    case SIM_TICK:
        if (event->run != node->run || node->tick_at_ms != event->at_ms)
            return; // a nearer one has been set since
        node->tick_at_ms = 0;
        node_event(node, &step);
        return;
    case SIM_SYNC_DONE:
        if (event->run == node->run)
            node_on_sync_done(node);
        return;
    case SIM_READ_DONE:
        if (event->run == node->run)
            node_on_read(node, event->read);
        return;
    case SIM_SCRIPT:
        return;
    }
}

void sim_run_until(struct sim *sim, int64_t until_ms)
{
    while (!sim->failed && sim->heap_count > 0 && sim->heap[0].at_ms <= until_ms) {
        struct sim_event event = pop(sim);
        sim->now_ms = event.at_ms;
        dispatch(sim, &event);
        event_done(&event);
    }
    if (!sim->failed)
        sim->now_ms = until_ms;
}
