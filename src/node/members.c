// SPDX-License-Identifier: Apache-2.0
// Who the members are, for people and metrics: what the core knows, copied while it holds still.
#include "node/cluster.h"
#include "node/foreign.h"
#include "node/ledger.h"
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

static void fill_self(struct kvs_node *node, struct kvs_member_info *self)
{
    self->node = node->identity.self.node;
    self->joined_timestamp = node->identity.self.joined_timestamp;
    self->last_seen_ms = kvs_clock_wall_ms(node->options.clock);
    self->synced_age_ms = -1;
    self->self = true;
    (void)snprintf(self->name, sizeof(self->name), "%s", node->node_id);
}

int kvs_node_members(struct kvs_node *node,
                     void (*visit)(void *ctx, const struct kvs_member_info *info), void *ctx)
{
    enum { MAX = KVS_REPL_MEMBERS_MAX + 1 + KVS_FOREIGN_MEMBERS_MAX };
    KVS_CLEANUP(kvs_freep) struct kvs_member_info *list = calloc(MAX, sizeof(*list));
    if (!list)
        return KVS_ERR_NOMEM;
    fill_self(node, &list[0]);
    struct collecting c = {list, 1, KVS_REPL_MEMBERS_MAX + 1,
                           kvs_clock_mono_ms(node->options.clock),
                           kvs_clock_wall_ms(node->options.clock)};
    if (node->replica)
        kvs_replica_look(node->replica, collect, &c);
    if (node->foreign)
        c.count += kvs_foreign_list(node->foreign, &list[c.count], KVS_FOREIGN_MEMBERS_MAX);
    qsort(list, c.count, sizeof(*list), by_name);
    for (size_t i = 0; i < c.count; i++)
        visit(ctx, &list[i]);
    return 0;
}

// ---- At a glance

static void count_member(struct kvs_cluster_status *status, enum kvs_member_state state)
{
    status->alive += state == KVS_MEMBER_ALIVE;
    status->suspect += state == KVS_MEMBER_SUSPECT;
    status->dead += state == KVS_MEMBER_DEAD;
}

static void weigh_member(struct kvs_cluster_status *status, const struct kvs_member_info *info)
{
    int64_t offset_ms = info->clock_offset_ms < 0 ? -info->clock_offset_ms : info->clock_offset_ms;
    if (info->state > KVS_MEMBER_SUSPECT)
        return; // what it lacks it gets when it comes back
    if (info->lag > status->lag_max)
        status->lag_max = info->lag;
    if (offset_ms > status->offset_max_ms)
        status->offset_max_ms = offset_ms;
    if (status->synced_age_ms >= 0 &&
        (info->synced_age_ms < 0 || info->synced_age_ms > status->synced_age_ms))
        status->synced_age_ms = info->synced_age_ms;
}

struct glance {
    struct kvs_cluster_status *status;
    int64_t now_ms, wall_ms;
};

static void take_in(void *ctx, const struct kvs_repl *core)
{
    const struct glance *glance = ctx;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    glance->status->watermark_ms = view.watermark_ms > 0 ? view.watermark_ms : 0;
    glance->status->behind = view.behind;
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        struct kvs_member_info info =
            info_of(&member, view.own_count, glance->now_ms, glance->wall_ms);
        count_member(glance->status, info.state);
        weigh_member(glance->status, &info);
    }
}

static void take_in_foreign(struct kvs_node *node, struct kvs_cluster_status *status)
{
    size_t count = node->foreign ? kvs_foreign_count(node->foreign) : 0;
    if (count == 0)
        return;
    KVS_CLEANUP(kvs_freep) struct kvs_member_info *list = calloc(count, sizeof(*list));
    if (!list)
        return; // they are missing for once
    count = kvs_foreign_list(node->foreign, list, count);
    for (size_t i = 0; i < count; i++)
        count_member(status, list[i].state);
}

void kvs_node_cluster_status(struct kvs_node *node, struct kvs_cluster_status *ret_status)
{
    *ret_status = (struct kvs_cluster_status){.alive = 1};
    struct glance glance = {ret_status, kvs_clock_mono_ms(node->options.clock),
                            kvs_clock_wall_ms(node->options.clock)};
    if (!node->replica)
        return;
    kvs_replica_look(node->replica, take_in, &glance);
    take_in_foreign(node, ret_status);
    ret_status->deferred = atomic_load(&node->ledger->deferred_count);
}

size_t kvs_node_alive_count(struct kvs_node *node)
{
    struct kvs_cluster_status status;
    kvs_node_cluster_status(node, &status);
    return status.alive;
}

// ---- Leaving

struct search {
    const struct kvs_uuid *node;
    bool found;
    enum kvs_member_state state;
};

static void look_for(void *ctx, const struct kvs_member_info *info)
{
    struct search *search = ctx;
    if (info->self || info->foreign || kvs_uuid_cmp(&info->node, search->node) != 0)
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
    if (!search.found || search.state == KVS_MEMBER_REMOVED)
        return KVS_ERR_NOT_FOUND;
    if (search.state <= KVS_MEMBER_SUSPECT)
        return KVS_ERR_CONFLICT; // it would come back at once
    kvs_replica_remove(node->replica, member);
    return 0;
}

struct naming {
    struct kvs_slice id;
    bool self, foreign, found;
    struct kvs_uuid node;
    enum kvs_member_state state;
};

static bool is_named(const struct kvs_member_info *info, struct kvs_slice id)
{
    char uuid[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(&info->node, uuid);
    return kvs_slice_eq(kvs_slice_from_str(info->name), id) ||
           (!info->foreign && kvs_slice_eq(kvs_slice(uuid, sizeof(uuid)), id));
}

// Of several with one name (a replaced disk) the living one is meant least.
static void look_for_name(void *ctx, const struct kvs_member_info *info)
{
    struct naming *naming = ctx;
    if (!is_named(info, naming->id) || info->state == KVS_MEMBER_REMOVED)
        return;
    if (info->self) {
        naming->self = true;
    } else if (info->foreign) {
        naming->foreign = true;
    } else if (!naming->found || info->state > naming->state) {
        naming->found = true;
        naming->node = info->node;
        naming->state = info->state;
    }
}

int kvs_node_leave_member(struct kvs_node *node, struct kvs_slice id, bool *ret_self)
{
    struct naming naming = {.id = id};
    *ret_self = false;
    int err = kvs_node_members(node, look_for_name, &naming);
    if (err)
        return err;
    if (naming.self) {
        *ret_self = true;
        kvs_node_leave(node);
        return 0;
    }
    if (naming.found)
        return kvs_node_remove_member(node, &naming.node);
    return naming.foreign ? kvs_foreign_leave(node->foreign, id) : KVS_ERR_NOT_FOUND;
}

// ---- Foreign members

struct holder {
    struct kvs_slice id;
    bool known, living;
};

static void look_for_holder(void *ctx, const struct kvs_repl *core)
{
    struct holder *holder = ctx;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        if (!kvs_slice_eq(member.record.name, holder->id))
            continue;
        holder->known = true;
        holder->living = holder->living || member.record.state <= KVS_MEMBER_SUSPECT;
    }
}

// Is it a KVS node's name?
static struct holder holder_of(struct kvs_node *node, struct kvs_slice id)
{
    bool self = kvs_slice_eq(kvs_slice_from_str(node->node_id), id);
    struct holder holder = {id, self, self};
    kvs_replica_look(node->replica, look_for_holder, &holder);
    return holder;
}

int kvs_node_foreign_join(struct kvs_node *node, const struct kvs_foreign_member *member)
{
    return holder_of(node, member->id).living ? KVS_ERR_CONFLICT
                                              : kvs_foreign_note(node->foreign, member, false);
}

void kvs_node_foreign_told(struct kvs_node *node, const struct kvs_foreign_member *member)
{
    int err = holder_of(node, member->id).known ? 0 : kvs_foreign_note(node->foreign, member, true);
    (void)err; // what fails now is told again
}

void kvs_node_foreign_heard(struct kvs_node *node, struct kvs_slice id)
{
    if (node->foreign)
        kvs_foreign_heard(node->foreign, id);
}
