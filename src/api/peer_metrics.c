// SPDX-License-Identifier: Apache-2.0
// Metrics with a label a peer, for as many KVS nodes as a cluster has (KVS_REPL_MEMBERS_MAX);
// members that are dead or have left have none. Of two members with one name only one is shown: a
// series must not stand twice.
#include "api/api_internal.h"

#include "node/cluster.h"

enum { SERIES_BYTES_MAX = 2 * KVS_REPL_NAME_MAX + 128 };

static double lag_of(const struct kvs_member_info *info)
{
    return (double)info->lag;
}

static double offset_of(const struct kvs_member_info *info)
{
    return (double)info->clock_offset_ms / 1000;
}

static double agreement_of(const struct kvs_member_info *info)
{
    return info->synced_age_ms < 0 ? -1 : (double)info->synced_age_ms / 1000;
}

static double alive_of(const struct kvs_member_info *info)
{
    return info->state == KVS_MEMBER_ALIVE ? 1 : 0;
}

static const struct family {
    const char *name, *help;
    double (*value)(const struct kvs_member_info *info);
} families[] = {
    {"kvs_peer_alive", "1 while the peer answers, 0 while it is suspected.", alive_of},
    {"kvs_peer_lag_versions", "Versions of this node that the peer has not acknowledged.", lag_of},
    {"kvs_peer_clock_offset_seconds", "The peer's clock minus this node's.", offset_of},
    {"kvs_peer_agreement_age_seconds",
     "Time since this node and the peer last agreed on everything; -1 before the first time.",
     agreement_of},
};

struct rendering {
    struct kvs_api_call *call;
    const struct family *family;
    char last[KVS_REPL_NAME_MAX + 1];
};

static void append_label(struct kvs_buf *out, const char *name)
{
    for (const char *c = name; *c; c++) {
        if (*c == '"' || *c == '\\')
            kvs_buf_append_char(out, '\\');
        kvs_buf_append_char(out, *c);
    }
}

static void append_series(void *ctx, const struct kvs_member_info *info)
{
    struct rendering *rendering = ctx;
    struct kvs_buf *out = &rendering->call->exchange->response.body;
    if (info->self || info->foreign || info->state > KVS_MEMBER_SUSPECT ||
        strcmp(info->name, rendering->last) == 0)
        return;
    memcpy(rendering->last, info->name, sizeof(rendering->last)); // they come in their order
    kvs_api_body_allow(rendering->call, out->size + SERIES_BYTES_MAX);
    kvs_buf_printf(out, "%s{peer=\"", rendering->family->name);
    append_label(out, info->name);
    kvs_buf_printf(out, "\"} %.15g\n", rendering->family->value(info));
}

int kvs_api_append_peer_metrics(struct kvs_api_call *call)
{
    struct kvs_buf *out = &call->exchange->response.body;
    int err = 0;
    for (size_t i = 0; !err && i < KVS_ARRAY_SIZE(families); i++) {
        struct rendering rendering = {.call = call, .family = &families[i]};
        kvs_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", families[i].name, families[i].help,
                       families[i].name);
        err = kvs_node_members(call->api->options.node, append_series, &rendering);
    }
    return err;
}
