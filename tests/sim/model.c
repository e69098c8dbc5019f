// SPDX-License-Identifier: Apache-2.0
// The oracle. It knows nothing of the code under test: its own order, its own fold.
#include "tests/sim/sim.h"

#include <stdlib.h>

void model_done(struct model *model)
{
    for (int k = 0; k < SIM_KEYS_MAX; k++)
        free(model->writes[k]);
    *model = (struct model){0};
}

int model_cmp(const struct kvs_version *a, const struct kvs_version *b)
{
    if (a->timestamp != b->timestamp)
        return a->timestamp > b->timestamp ? 1 : -1;
    if (a->writer.joined_timestamp != b->writer.joined_timestamp)
        return a->writer.joined_timestamp < b->writer.joined_timestamp ? 1 : -1;
    for (int i = 0; i < 16; i++)
        if (a->uuid.bytes[i] != b->uuid.bytes[i])
            return a->uuid.bytes[i] < b->uuid.bytes[i] ? 1 : -1;
    return 0;
}

int model_add(struct model *model, int key, const struct model_write *write)
{
    if (model->count[key] == model->capacity[key]) {
        model->capacity[key] = model->capacity[key] ? model->capacity[key] * 2 : 8;
        size_t size = (size_t)model->capacity[key] * sizeof(*write);
        model->writes[key] = realloc(model->writes[key], size);
        if (!model->writes[key])
            abort();
    }
    if (model->count[key] == MODEL_WRITES_MAX)
        abort();
    model->writes[key][model->count[key]] = *write;
    model->writes[key][model->count[key]].outlived = -1;
    return model->count[key]++;
}

int model_find(const struct model *model, int key, const struct kvs_version *version)
{
    for (int i = model->count[key] - 1; i >= 0; i--)
        if (memcmp(&model->writes[key][i].version.uuid, &version->uuid, sizeof(version->uuid)) == 0)
            return i;
    return -1;
}

const struct model_write *model_winner(const struct model *model, int key)
{
    const struct model_write *winner = NULL;
    for (int i = 0; i < model->count[key]; i++) {
        const struct model_write *write = &model->writes[key][i];
        if (write->acked && (!winner || model_cmp(&write->version, &winner->version) > 0))
            winner = write;
    }
    return winner;
}

bool model_has(const struct model_set *set, int key, int write)
{
    return (set->bits[key][write / 64] >> write % 64 & 1) != 0;
}

void model_put(struct model_set *set, int key, int write)
{
    set->bits[key][write / 64] |= UINT64_C(1) << write % 64;
}

bool model_may_outlive(const struct model *model, int key, int value, int write)
{
    int deletion = model->writes[key][value].outlived;
    return deletion >= 0 && model_cmp(&model->writes[key][deletion].version,
                                      &model->writes[key][write].version) >= 0;
}

bool model_is_over(const struct model *model, int key, const struct kvs_version *version)
{
    for (int i = 0; i < model->count[key]; i++) {
        const struct model_write *write = &model->writes[key][i];
        if (write->real && model_cmp(&write->version, version) >= 0 &&
            !kvs_version_is_visible(&write->version, INT64_MAX))
            return true;
    }
    return false;
}
