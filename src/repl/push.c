// SPDX-License-Identifier: Apache-2.0
// Push: our own writes go to each peer at once, one batch under way a peer; what is written
// meanwhile gathers into the next. A slow peer is a cursor into the log, never a queue. The cursor
// is a hint: what a peer misses all the same it pulls.
#include "repl/repl_internal.h"

enum { CREDIT_RETRY_MS = 200, APPLIES_MAX = 64 };

static void push_begin(struct kvs_repl *r, struct member *to)
{
    struct token *token = repl_token(r, TOKEN_PUSH_READ, to);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_READ_LOG) : NULL;
    if (!action)
        return;
    token->run = (struct kvs_seen_run){r->self.node, r->self.life, to->push_cursor, r->own_count};
    action->read_log.token = token->token;
    action->read_log.run = token->run;
    action->read_log.size_max = (uint32_t)min_i64(to->credit_bytes, r->options.batch_size_max);
    // Below the receiver's, too: there it has forgotten deletions that replaced what the log holds.
    token->watermark_ms = max_i64(gc_forgotten_ms(r), to->watermark_ms);
    action->read_log.watermark_ms = token->watermark_ms;
    to->push = PUSH_READING;
    to->push_deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
}

void push_kick(struct kvs_repl *r)
{
    if (!r->options.push || r->left)
        return;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->push == PUSH_IDLE && m->credit_bytes > 0 && member_is_reachable(m) &&
            m->heard_ms != 0 && m->push_cursor < r->own_count)
            push_begin(r, m);
    }
}

void push_tick(struct kvs_repl *r)
{
    bool kick = false;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if ((m->push == PUSH_IDLE && m->credit_bytes > 0) || r->now_ms < m->push_deadline_ms)
            continue;
        m->push = PUSH_IDLE; // the batch or its ack was lost: from the cursor again
        m->credit_bytes = r->options.batch_size_max;
        kick = true;
    }
    if (kick)
        push_kick(r);
}

static uint64_t peer_writes_seen(const struct kvs_repl *r, const struct member *peer)
{
    return kvs_dot_seq(peer->life, kvs_seen_last(&r->seen, &peer->node, peer->life));
}

static void batch_send(struct kvs_repl *r, const struct member *to, const struct token *token,
                       const struct kvs_repl_read *read, bool pulled)
{
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_BATCH};
    message.batch = (struct kvs_message_batch){
        .pulled = pulled,
        .overrun = read->overrun,
        .more = read->more,
        .run = {token->run.node, token->run.life, token->run.from, read->to},
        .receiver_seen = peer_writes_seen(r, to),
        .watermark_ms = token->watermark_ms,
        .items = (struct kvs_repl_item *)read->items,
        .item_count = read->item_count,
    };
    repl_send(r, to, &message);
}

void push_on_read(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read)
{
    struct member *to = member_find(r, &token->node);
    if (!to || to->push != PUSH_READING)
        return;
    to->push = PUSH_IDLE;
    if (read->err)
        return;
    if (read->overrun) {
        to->push_cursor = r->own_count; // it finds the gap, and compares digests
        return;
    }
    if (!member_is_reachable(to) || read->to <= to->push_cursor)
        return;
    to->push = PUSH_SENT;
    to->push_to = read->to;
    to->push_deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
    batch_send(r, to, token, read, false);
}

void push_on_ack(struct kvs_repl *r, struct member *from, const struct kvs_message_batch_ack *ack)
{
    bool ours = kvs_uuid_cmp(&ack->run.node, &r->self.node) == 0 && ack->run.life == r->self.life;
    if (ours)
        word_on_ack(r, from, ack->seen_count);
    if (!ours || from->push != PUSH_SENT || ack->run.to != from->push_to)
        return;
    from->push = PUSH_IDLE;
    from->push_cursor = from->push_to;
    from->credit_bytes = ack->credit_bytes;
    if (from->credit_bytes == 0)
        from->push_deadline_ms = r->now_ms + CREDIT_RETRY_MS;
    push_kick(r);
}

void pull_on_read(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read)
{
    const struct member *to = member_find(r, &token->node);
    if (to && !read->err && member_is_reachable(to))
        batch_send(r, to, token, read, true);
}

// ---- The receiving side

void apply_items(struct kvs_repl *r, struct token *token, const struct kvs_repl_item *items,
                 size_t count, const struct kvs_seen_run *run, uint64_t sender_has_us)
{
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_APPLY);
    if (!action)
        return;
    for (size_t i = 0; i < count; i++)
        if (kvs_seen_note(&token->seen, &items[i].version))
            r->err = KVS_ERR_NOMEM;
    action->apply = (struct kvs_repl_apply){
        .token = token->token,
        .items = items,
        .item_count = count,
        .watermark_ms = r->watermark_ms,
        .forgotten_ms = r->forgotten_ms,
        .sender_has_us = sender_has_us,
    };
    if (run) {
        action->apply.run = *run;
        token->run = *run;
    }
}

static uint32_t credit(const struct kvs_repl *r, const struct token *token)
{
    // What is written during a bootstrap gathers, unless the sender falls behind by that.
    if (boot_is_gathering(r) && !token->more)
        return 0;
    // Applies that wait for the disk hold memory: let senders wait too.
    return r->token_count < APPLIES_MAX ? r->options.batch_size_max : 0;
}

static void ack_send(struct kvs_repl *r, const struct member *to, const struct token *token)
{
    const struct kvs_seen_run *run = &token->run;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_BATCH_ACK};
    const struct kvs_seen_entry *entry = kvs_seen_find(&r->seen, &run->node, run->life);
    message.batch_ack = (struct kvs_message_batch_ack){
        .run = *run,
        .seen_count = entry && !entry->settled ? entry->count : 0,
        .credit_bytes = credit(r, token),
    };
    repl_send(r, to, &message);
}

// Our watermark has risen beyond the one that the sender knew: among what lies between them may be
// old versions whose deletions have been forgotten here, or come behind them and go at once.
static bool is_stale(const struct kvs_repl *r, const struct kvs_message_batch *batch)
{
    for (size_t i = 0; i < batch->item_count; i++) {
        const struct kvs_version *version = &batch->items[i].version;
        if (version->timestamp > batch->watermark_ms && version->timestamp <= r->watermark_ms &&
            !kvs_seen_covers_version(&r->seen, version))
            return true;
    }
    return false;
}

void batch_on_message(struct kvs_repl *r, struct member *from,
                      const struct kvs_message_batch *batch)
{
    if (batch->pulled) {
        from->pull_deadline_ms = 0;
        if (batch->overrun) {
            from->sync_wanted = true;
            return;
        }
    }
    if (batch->run.to < batch->run.from)
        return;
    if (is_stale(r, batch)) {
        status_send(r, from, false); // it is to know our watermark, and read its log again
        return;
    }
    struct token *token = repl_token(r, TOKEN_BATCH_APPLY, from);
    if (!token)
        return; // overloaded: as if it had been lost
    token->flag = batch->pulled;
    token->more = batch->more;
    apply_items(r, token, batch->items, batch->item_count, &batch->run, batch->receiver_seen);
    if (KVS_MUTATED(r->options.mutations, KVS_MUTATION_ACK_BEFORE_DURABLE)) {
        if (kvs_seen_advance(&r->seen, &batch->run))
            r->err = KVS_ERR_NOMEM;
        ack_send(r, from, token);
    }
}

void note_applied(struct kvs_repl *r, const struct token *token,
                  const struct kvs_repl_commit *commit)
{
    if (commit->err)
        return;
    if (kvs_seen_adopt(&r->seen, &token->seen))
        r->err = KVS_ERR_NOMEM;
}

void batch_on_applied(struct kvs_repl *r, const struct token *token,
                      const struct kvs_repl_commit *commit)
{
    struct member *from = member_find(r, &token->node);
    if (commit->err)
        return;
    note_applied(r, token, commit);
    if (kvs_seen_advance(&r->seen, &token->run))
        r->err = KVS_ERR_NOMEM;
    if (!from || token->kind != TOKEN_BATCH_APPLY || !member_is_reachable(from))
        return;
    if (token->flag)
        pull_next(r, from);
    else
        ack_send(r, from, token);
}
