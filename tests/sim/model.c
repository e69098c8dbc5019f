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
    model->writes[key][model->count[key]] = *write;
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

bool model_knew(const struct model *model, int key, int later, int write)
{
    return write < 256 && (model->writes[key][later].knew[write / 64] >> write % 64 & 1) != 0;
}

bool model_may_outlive(const struct model *model, int key, int value, int write,
                       int64_t forgotten_ms)
{
    for (int i = 0; i < model->count[key]; i++) {
        const struct kvs_version *deletion = &model->writes[key][i].version;
        bool removable =
            (deletion->flags & KVS_VERSION_TOMBSTONE) != 0 || deletion->expires_at != 0;
        int64_t end_ms =
            deletion->expires_at > deletion->timestamp ? deletion->expires_at : deletion->timestamp;
        if (removable && end_ms <= forgotten_ms &&
            model_cmp(deletion, &model->writes[key][write].version) >= 0 &&
            !model_knew(model, key, i, value))
            return true;
    }
    return false;
}
