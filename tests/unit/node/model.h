// SPDX-License-Identifier: Apache-2.0
// What a node should answer, in plain arrays: the versions of each key, newest first. It shares no
// code with what it judges but the types.
//
// Three things a node may do when it likes: drop versions that lie beyond `revisions`, drop the
// payload of an expired version, and remove a key whose time has come. Where one of them may have
// happened the model allows both.
#ifndef KVS_TESTS_UNIT_NODE_MODEL_H
#define KVS_TESTS_UNIT_NODE_MODEL_H

#include "node/node.h"

enum { MODEL_KEYS = 24, MODEL_VERSIONS = 64 };

struct model_version {
    struct kvs_uuid uuid;
    int64_t timestamp;
    int64_t expires_at; // 0 = never
    bool tombstone;
    bool droppable; // was beyond `revisions` once
    uint32_t value; // which one: model_value
};

struct model_key {
    char name[16];
    size_t count;
    struct model_version versions[MODEL_VERSIONS]; // newest first
};

struct model {
    int64_t now_ms;
    int64_t clock; // what the node has reached
    uint64_t changes;
    int64_t retention_ms;
    uint32_t revisions;
    struct model_key keys[MODEL_KEYS]; // in byte order
};

static inline bool model_is_visible(const struct model *model, const struct model_version *version)
{
    return !version->tombstone && (version->expires_at == 0 || version->expires_at > model->now_ms);
}

// What a reader sees; NULL = nothing.
static inline const struct model_version *model_get(const struct model *model,
                                                    const struct model_key *key)
{
    const struct model_version *current = key->count > 0 ? &key->versions[0] : NULL;
    return current && model_is_visible(model, current) ? current : NULL;
}

static inline int64_t model_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static inline int64_t model_next_timestamp(const struct model *model, const struct model_key *key)
{
    int64_t clock = model_max(model->clock, model->now_ms);
    return key->count > 0 ? model_max(clock, key->versions[0].timestamp + 1) : clock;
}

static inline void model_add(struct model *model, struct model_key *key,
                             const struct model_version *version)
{
    if (key->count == MODEL_VERSIONS)
        key->count--;
    memmove(&key->versions[1], &key->versions[0], key->count * sizeof(key->versions[0]));
    key->versions[0] = *version;
    key->count++;
    model->clock = model_max(model->clock, model->now_ms);
    model->changes++;
    for (size_t i = model->revisions; i < key->count; i++)
        key->versions[i].droppable = true;
}

static inline void model_set_revisions(struct model *model, uint32_t revisions)
{
    model->revisions = revisions;
    for (size_t k = 0; k < MODEL_KEYS; k++)
        for (size_t i = revisions; i < model->keys[k].count; i++)
            model->keys[k].versions[i].droppable = true;
}

// The n-th version that history shows, when there is no doubt which one that is; else NULL.
static inline const struct model_version *model_revision(const struct model_key *key, uint32_t n)
{
    if (n == 0 || n > key->count)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (key->versions[i].droppable)
            return NULL;
    return &key->versions[n - 1];
}

// May housekeeping have removed the whole key at `now_ms`? `at_latest`: must it have?
static inline bool model_is_removable(const struct model *model, const struct model_key *key,
                                      int64_t now_ms, bool at_latest)
{
    if (key->count == 0)
        return false;
    const struct model_version *current = &key->versions[0];
    if (current->tombstone)
        return current->timestamp + model->retention_ms <= now_ms;
    if (current->expires_at == 0 || current->expires_at > now_ms)
        return false;
    if (current->timestamp >= now_ms)
        return false;
    bool history = at_latest;
    for (size_t i = 1; i < key->count && i < model->revisions; i++)
        history |= !key->versions[i].droppable && !key->versions[i].tombstone &&
                   (key->versions[i].expires_at == 0 || key->versions[i].expires_at > now_ms);
    return !history || current->expires_at + model->retention_ms <= now_ms;
}

// The text of a value: most are small, some do not fit into the record cache.
static inline struct kvs_slice model_value(uint32_t value, char *buffer, size_t buffer_size)
{
    size_t size = value % 97 == 0 ? buffer_size : value % 7 == 0 ? 500 : 12;
    (void)snprintf(buffer, buffer_size, "1%010u", value);
    memset(buffer + 11, '7', size - 11);
    return kvs_slice(buffer, size);
}

#endif
