// SPDX-License-Identifier: Apache-2.0
// A node's disk: what is durable and what is only in memory, which of its records have rotted, and
// the digest of what is there.
#include "tests/sim/sim.h"

#include "base/assert.h"

#include <stddef.h>
#include <stdlib.h>

struct kvs_slice sim_key(int key, char buffer[static 16])
{
    // The first two are the system's.
    int size =
        snprintf(buffer, 16, "%ck%02d", key < 2 ? KVS_REPL_TAG_SYSTEM : KVS_REPL_TAG_DATA, key);
    return kvs_slice(buffer, (size_t)size);
}

int sim_key_number(struct kvs_slice key)
{
    kvs_assert(key.size == 4);
    return (key.data[2] - '0') * 10 + (key.data[3] - '0');
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

void disk_set_cell(struct node *node, int key, const struct cell *next)
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

struct kvs_version disk_known_version(const struct cell *cell)
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

void disk_digest(struct node *node)
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
            known.version = disk_known_version(cell);
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
        disk_set_cell(node, key, &whole);
    }
}
