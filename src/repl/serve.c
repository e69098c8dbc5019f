// SPDX-License-Identifier: Apache-2.0
// Answering peers: comparisons, fetches, pages of a bootstrap. Nothing is kept between a request
// and the next one.
#include "repl/repl_internal.h"

void serve_compare(struct kvs_repl *r, struct member *from, const struct kvs_message_compare *body)
{
    struct token *token = repl_token(r, TOKEN_COMPARE, from);
    if (!token)
        return;
    token->session = body->session;
    token->flag = body->want_seen;
    token->incomplete = r->boot.phase != BOOT_DONE || r->returning || r->deferred_count > 0;
    // What is deferred here counts as seen and is absent: nothing may be concluded from that.
    if (r->deferred_count == 0) {
        token->watermark_ms = min_i64(r->purged_ms, r->watermark_ms);
        token->forgotten_ms = r->forgotten_ms;
    }
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_COMPARE);
    // What has been seen now is in what is compared afterwards.
    if (!action || (body->want_seen && kvs_seen_copy(&token->seen, &r->seen))) {
        r->err = KVS_ERR_NOMEM;
        return;
    }
    action->compare.token = token->token;
    action->compare.ranges = body->ranges;
    action->compare.range_count = body->range_count;
}

void serve_compared(struct kvs_repl *r, const struct token *token,
                    const struct kvs_repl_compare_done *done)
{
    const struct member *to = member_find(r, &token->node);
    if (!to || done->err)
        return;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_COMPARED};
    message.compared = (struct kvs_message_compared){
        .session = token->session,
        .has_seen = token->flag,
        .bootstrapping = token->incomplete || r->watermark_ms != token->watermark_ms,
        .watermark_ms = token->watermark_ms,
        .forgotten_ms = token->forgotten_ms,
        .seen = token->seen,
        .answers = (struct kvs_repl_compared *)done->answers,
        .answer_count = done->answer_count,
    };
    repl_send(r, to, &message);
}

static void read_keys(struct kvs_repl *r, enum token_kind kind, const struct member *to,
                      uint32_t session, const struct kvs_slice *keys, size_t count)
{
    struct token *token = repl_token(r, kind, to);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_READ_KEYS) : NULL;
    if (!action)
        return;
    token->session = session;
    action->read_keys.token = token->token;
    action->read_keys.keys = keys;
    action->read_keys.key_count = count;
    action->read_keys.size_max = 1 << 20;
}

void serve_fetch(struct kvs_repl *r, struct member *from, const struct kvs_message_fetch *body)
{
    read_keys(r, TOKEN_FETCH_READ, from, body->session, body->keys, body->key_count);
}

void serve_offer(struct kvs_repl *r, const struct member *to, const struct kvs_slice *keys,
                 size_t count)
{
    read_keys(r, TOKEN_OFFER_READ, to, 0, keys, count);
}

void serve_items(struct kvs_repl *r, const struct token *token, const struct kvs_repl_read *read)
{
    const struct member *to = member_find(r, &token->node);
    if (!to || read->err || (token->session == 0 && read->item_count == 0))
        return;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_ITEMS};
    message.items = (struct kvs_message_items){
        .session = token->session,
        .answered = read->to,
        .damaged = read->damaged,
        .items = (struct kvs_repl_item *)read->items,
        .item_count = read->item_count,
    };
    repl_send(r, to, &message);
}

void repair_start(struct kvs_repl *r, const struct kvs_repl_damaged *damaged)
{
    struct member *from = NULL;
    for (size_t i = 0; i < r->member_count && !from; i++) {
        struct member *m = r->members[r->repair_at++ % r->member_count];
        from = member_is_reachable(m) ? m : NULL;
    }
    if (!from || damaged->key_count == 0)
        return;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_FETCH};
    message.fetch = (struct kvs_message_fetch){
        .session = KVS_MESSAGE_SESSION_REPAIR,
        .keys = (struct kvs_slice *)damaged->keys,
        .key_count =
            damaged->key_count < KVS_REPL_DAMAGED_MAX ? damaged->key_count : KVS_REPL_DAMAGED_MAX,
    };
    repl_send(r, from, &message);
}

void serve_page(struct kvs_repl *r, struct member *from, const struct kvs_message_page *body)
{
    struct token *token = repl_token(r, TOKEN_PAGE_READ, from);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_READ_PAGE) : NULL;
    if (!action)
        return;
    token->session = body->session;
    action->read_page.token = token->token;
    action->read_page.family = body->family;
    action->read_page.before_ms = body->before_ms;
    action->read_page.before_key = body->before_key;
    action->read_page.size_max = (uint32_t)min_i64(body->size_max, 1 << 20);
}

void serve_page_read(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_read *read)
{
    const struct member *to = member_find(r, &token->node);
    if (!to || read->err)
        return;
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PAGE_ANSWER};
    message.page_answer = (struct kvs_message_page_answer){
        .session = token->session,
        .done = !read->more,
        .items = (struct kvs_repl_item *)read->items,
        .item_count = read->item_count,
    };
    repl_send(r, to, &message);
}
