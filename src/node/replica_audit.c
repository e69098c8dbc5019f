// SPDX-License-Identifier: Apache-2.0
#include "node/replica_audit.h"

#include "node/audit.h"
#include "node/node_internal.h"

#include <stdio.h>

// Names may be given again; the uuid says which node it was.
static void record(struct kvs_node *node, const struct kvs_uuid *member, const char *name,
                   bool joined)
{
    char text[KVS_REPL_NAME_MAX + 1 + KVS_UUID_TEXT_SIZE + 1];
    char uuid[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(member, uuid);
    (void)snprintf(text, sizeof(text), "%s %.*s", name, (int)sizeof(uuid), uuid);
    const struct kvs_audit_event event = {.action = joined ? KVS_AUDIT_member_join
                                                           : KVS_AUDIT_member_leave,
                                          .resource = kvs_slice_from_str(text)};
    kvs_node_audit_note(node, &event, 0);
}

static size_t find(const struct kvs_member_roll *roll, const struct kvs_uuid *member)
{
    size_t at = 0;
    while (at < roll->count && kvs_uuid_cmp(&roll->nodes[at], member) != 0)
        at++;
    return at;
}

void kvs_member_roll_init(struct kvs_member_roll *roll, const struct kvs_repl *core)
{
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    roll->count = 0;
    for (size_t i = 0; i < view.member_count && roll->count < KVS_REPL_MEMBERS_MAX; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        if (member.record.state <= KVS_MEMBER_DEAD)
            roll->nodes[roll->count++] = member.record.node;
    }
}

void kvs_member_roll_note(struct kvs_member_roll *roll, struct kvs_node *node,
                          const struct kvs_uuid *member, const char *name,
                          enum kvs_member_state state)
{
    size_t at = find(roll, member);
    bool was = at < roll->count;
    bool is = state <= KVS_MEMBER_DEAD;
    if (is == was)
        return;
    if (is && roll->count < KVS_REPL_MEMBERS_MAX)
        roll->nodes[roll->count++] = *member;
    else if (was)
        roll->nodes[at] = roll->nodes[--roll->count];
    record(node, member, name, is);
}

void kvs_member_roll_note_self(struct kvs_node *node, bool joined)
{
    record(node, &node->identity.self.node, node->node_id, joined);
}
