// SPDX-License-Identifier: Apache-2.0
// Pull: a gap that does not close by itself is asked for, writer by writer, from whoever has it.
// This covers a writer that died halfway, lost messages, and lives that are over.
#include "repl/repl_internal.h"

static bool already_pulled(const struct kvs_repl *r, const struct kvs_seen_run *gap)
{
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        if (m->pull_deadline_ms != 0 && m->pull_life == gap->life &&
            kvs_uuid_cmp(&m->pull_node, &gap->node) == 0)
            return true;
    }
    return false;
}

static bool find_gap(const struct kvs_repl *r, const struct member *from,
                     struct kvs_seen_run *ret_gap)
{
    for (size_t at = 0; kvs_seen_missing(&r->seen, &from->seen, &at, ret_gap);) {
        bool ours =
            kvs_uuid_cmp(&ret_gap->node, &r->self.node) == 0 && ret_gap->life == r->self.life;
        if (!ours && !already_pulled(r, ret_gap))
            return true;
    }
    return false;
}

void pull_next(struct kvs_repl *r, struct member *from)
{
    struct kvs_seen_run gap;
    if (from->pull_deadline_ms != 0 || !member_is_reachable(from) || !find_gap(r, from, &gap))
        return;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PULL};
    message.pull = (struct kvs_message_pull){
        .node = gap.node,
        .life = gap.life,
        .from = gap.from,
        .size_max = r->options.batch_size_max,
        .watermark_ms = r->watermark_ms,
    };
    from->pull_node = gap.node;
    from->pull_life = gap.life;
    from->pull_deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
    repl_send(r, from, &message);
}

void pull_tick(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->pull_deadline_ms != 0 && r->now_ms >= m->pull_deadline_ms)
            m->pull_deadline_ms = 0;
        if (m->gap_check_ms == 0 || r->now_ms < m->gap_check_ms)
            continue;
        word_caught_up(r, m, m->gap_check_ms - GAP_PATIENCE_MS); // when it told of them
        m->gap_check_ms = 0;
        // Who is still reading everything, or was away, gets all of it by comparing.
        if (r->boot.phase == BOOT_DONE && !r->returning)
            pull_next(r, m);
    }
}

void pull_on_request(struct kvs_repl *r, struct member *from, const struct kvs_message_pull *pull)
{
    uint32_t to = kvs_seen_reach(&r->seen, &pull->node, pull->life, pull->from);
    if (to <= pull->from || to == UINT32_MAX) {
        // Folded away, or never had: only a comparison helps.
        struct kvs_repl_message message = {.head.type = KVS_MESSAGE_BATCH};
        message.batch.pulled = true;
        message.batch.overrun = true;
        message.batch.run = (struct kvs_seen_run){pull->node, pull->life, pull->from, pull->from};
        repl_send(r, from, &message);
        return;
    }
    struct token *token = repl_token(r, TOKEN_PULL_READ, from);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_READ_LOG) : NULL;
    if (!action)
        return;
    token->run = (struct kvs_seen_run){pull->node, pull->life, pull->from, to};
    action->read_log.token = token->token;
    action->read_log.run = token->run;
    action->read_log.size_max = (uint32_t)min_i64(pull->size_max, r->options.batch_size_max);
    token->watermark_ms = max_i64(gc_forgotten_ms(r), pull->watermark_ms);
    action->read_log.watermark_ms = token->watermark_ms;
}
