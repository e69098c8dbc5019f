// SPDX-License-Identifier: Apache-2.0
// The store's side of the core's questions: log, keys, pages and ranges are read at once, and the
// answer comes a little later.
#include "tests/sim/sim.h"

#include "base/assert.h"

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

static struct kvs_slice value_slice(const uint64_t *value, const struct kvs_version *version)
{
    return kvs_version_is_tombstone(version) ? KVS_SLICE_EMPTY : kvs_slice(value, sizeof(*value));
}

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

void answer_log(struct node *node, const struct kvs_repl_action *action)
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

void answer_keys(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_READ, action->read_keys.token);
    struct kvs_repl_read *r = &read->event.read;
    // Offers are not asked again: they come whole.
    size_t limit = action->read_keys.key_count;
    for (size_t i = 0; i < limit && r->item_count < SIM_KEYS_MAX; i++) {
        int key = sim_key_number(action->read_keys.keys[i]);
        const struct cell *cell = &node->memory.cells[key];
        if (cell->damaged)
            r->damaged = true;
        else if (cell->present)
            add_item(read, SIM_KEYS_MAX, key, &cell->version, cell->value);
        r->to = (uint32_t)i + 1;
    }
    answer_later(node, read);
}

void answer_page(struct node *node, const struct kvs_repl_action *action)
{
    struct sim_read *read = new_read(KVS_REPL_EVENT_READ, action->read_page.token);
    struct kvs_repl_read *r = &read->event.read;
    int64_t before_ms = action->read_page.before_ms;
    int before_key = action->read_page.before_key.size
                         ? sim_key_number(action->read_page.before_key)
                         : SIM_KEYS_MAX;
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
        struct kvs_version version = disk_known_version(cell);
        if (cell->present && kvs_slice_cmp(key, first) >= 0 &&
            (end.size == 0 || kvs_slice_cmp(key, end) < 0) && !visit(visit_ctx, key, &version))
            break;
    }
    return 0;
}

void answer_compare(struct node *node, const struct kvs_repl_action *action)
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
