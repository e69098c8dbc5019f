// SPDX-License-Identifier: Apache-2.0
// Who the members are, for people and metrics: what the core knows, copied while it holds still.
#include "node/cluster.h"
#include "node/replica.h"

#include <stdio.h>
#include <stdlib.h>

bool kvs_node_is_clustered(const struct kvs_node *node)
{
    return node->replica != NULL;
}

static struct kvs_member_info info_of(const struct kvs_repl_member_view *view, uint32_t own_count,
                                      int64_t now_ms, int64_t wall_ms)
{
    struct kvs_member_info info = {
        .node = view->record.node,
        .joined_timestamp = view->record.joined_timestamp,
        .state = (enum kvs_member_state)view->record.state,
        .last_seen_ms = view->heard_ms != 0 ? wall_ms - (now_ms - view->heard_ms) : 0,
        .state_age_ms = now_ms - view->since_ms,
        .clock_offset_ms = view->clock_offset_ms,
        .synced_age_ms = view->agreed_ms != 0 ? now_ms - view->agreed_ms : -1,
    };
    info.lag = own_count > view->push_cursor ? own_count - view->push_cursor : 0;
    (void)snprintf(info.name, sizeof(info.name), "%.*s", KVS_SLICE_FMT(view->record.name));
    (void)snprintf(info.address, sizeof(info.address), "%.*s", KVS_SLICE_FMT(view->record.address));
    return info;
}

static int by_name(const void *a, const void *b)
{
    const struct kvs_member_info *x = a;
    const struct kvs_member_info *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : kvs_uuid_cmp(&x->node, &y->node);
}

struct collecting {
    struct kvs_member_info *list;
    size_t count, max;
    int64_t now_ms, wall_ms;
};

static void collect(void *ctx, const struct kvs_repl *core)
{
    struct collecting *c = ctx;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    (void)snprintf(c->list[0].address, sizeof(c->list[0].address), "%.*s",
                   KVS_SLICE_FMT(view.address)); // this node's
    for (size_t i = 0; i < view.member_count && c->count < c->max; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        c->list[c->count++] = info_of(&member, view.own_count, c->now_ms, c->wall_ms);
    }
}

int kvs_node_members(struct kvs_node *node,
                     void (*visit)(void *ctx, const struct kvs_member_info *info), void *ctx)
{
    enum { MAX = KVS_REPL_MEMBERS_MAX + 1 };
    KVS_CLEANUP(kvs_freep) struct kvs_member_info *list = calloc(MAX, sizeof(*list));
    if (!list)
        return KVS_ERR_NOMEM;
    struct kvs_member_info *self = &list[0];
    self->node = node->identity.self.node;
    self->joined_timestamp = node->identity.self.joined_timestamp;
    self->last_seen_ms = kvs_clock_wall_ms(node->options.clock);
    self->self = true;
    (void)snprintf(self->name, sizeof(self->name), "%s", node->node_id);
    struct collecting c = {list, 1, MAX, kvs_clock_mono_ms(node->options.clock),
                           kvs_clock_wall_ms(node->options.clock)};
    if (node->replica)
        kvs_replica_look(node->replica, collect, &c);
    qsort(list, c.count, sizeof(*list), by_name);
    for (size_t i = 0; i < c.count; i++)
        visit(ctx, &list[i]);
    return 0;
}

static void count_alive(void *ctx, const struct kvs_member_info *info)
{
    *(size_t *)ctx += info->state == KVS_MEMBER_ALIVE;
}

size_t kvs_node_alive_count(struct kvs_node *node)
{
    size_t count = 0;
    int err = kvs_node_members(node, count_alive, &count);
    return err ? 1 : count;
}

struct search {
    const struct kvs_uuid *node;
    bool found;
    enum kvs_member_state state;
};

static void look_for(void *ctx, const struct kvs_member_info *info)
{
    struct search *search = ctx;
    if (info->self || kvs_uuid_cmp(&info->node, search->node) != 0)
        return;
    search->found = true;
    search->state = info->state;
}

int kvs_node_remove_member(struct kvs_node *node, const struct kvs_uuid *member)
{
    struct search search = {.node = member};
    int err = kvs_node_members(node, look_for, &search);
    if (err)
        return err;
    if (!search.found)
        return KVS_ERR_NOT_FOUND;
    kvs_replica_remove(node->replica, member);
    return 0;
}
