// SPDX-License-Identifier: Apache-2.0
// Two clusters that meet become one: the elder's identity and digest key win, and the younger's
// nodes bring what only they have as new writes (sync.c does that for whoever returns). A node that
// starts alone is a cluster of one, so this is also how a node joins.
#include "repl/repl_internal.h"

// > 0 if `a` is the one that stays. One that has never held anything yields to any other.
static int seniority(const struct kvs_cluster_id *a, const struct kvs_cluster_id *b)
{
    if (a->established != b->established)
        return a->established ? 1 : -1;
    if (a->created_ms != b->created_ms)
        return a->created_ms < b->created_ms ? 1 : -1;
    return kvs_uuid_cmp(&b->id, &a->id);
}

// Until the commit behind it comes, `root` is one under the old key: compared with nobody's.
static void change_key(struct kvs_repl *r)
{
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_REKEY);
    if (action)
        action->rekey = r->digest_key;
    struct token *token = repl_token(r, TOKEN_PURGE, NULL);
    action = token ? repl_emit(r, KVS_REPL_ACTION_PURGE) : NULL;
    if (!action)
        return;
    action->purge.token = token->token;
    action->purge.watermark_ms = 0;
    r->rekey_token = token->token;
}

static void move_to(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    bool had_data = r->root.count > 0 || r->own_count > 0 || r->seen.count > 0;
    sync_abort(r);
    r->cluster = message->head.cluster;
    bool rekey = memcmp(&r->digest_key, &message->members.digest_key, sizeof(r->digest_key)) != 0;
    r->digest_key = message->members.digest_key;
    // What was certain among the younger's members says nothing about the elder's data. But what
    // they deleted and forgot stays deleted, whoever brings it (docs/decisions/0067).
    r->forgotten_ms = max_i64(r->forgotten_ms, r->watermark_ms);
    r->watermark_ms = 0;
    r->certificate_ms = 0;
    r->purged_ms = 0;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        m->certificate_ms = 0;
        m->certified_ms = 0;
        m->promise_ms = 0;
        m->watermark_ms = 0;
        m->status_heard = false;
    }
    r->state_dirty = true;
    if (rekey)
        change_key(r);
    repl_notice(r, KVS_REPL_NOTICE_JOINED, &message->head.sender);
    r->returning = had_data;
    if (!had_data)
        boot_anew(r);
    r->sync_at_ms = r->now_ms;
}

bool cluster_admit(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    const struct kvs_cluster_id *theirs = &message->head.cluster;
    if (kvs_uuid_cmp(&theirs->id, &r->cluster.id) == 0) {
        if (theirs->established && !r->cluster.established) {
            r->cluster.established = true;
            r->state_dirty = true;
        }
        return true;
    }
    bool members = message->head.type == KVS_MESSAGE_MEMBERS;
    if (members && seniority(theirs, &r->cluster) > 0) {
        move_to(r, message);
        return true;
    }
    if (members) {
        member_on_list(r, message); // we stay: learn whom we met, and answer in our name
        return false;
    }
    const struct member *from = member_find(r, &message->head.sender);
    if (from)
        member_list_send(r, from, true);
    return false;
}
