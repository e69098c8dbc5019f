// SPDX-License-Identifier: Apache-2.0
// "This is what I have": peers exchange what they have seen about once a second. From it follow
// pulls (pull.c), certificates and the watermark (gc.c), and the check of INV-R4.
#include "repl/repl_internal.h"

void status_send(struct kvs_repl *r, const struct member *to, bool want_reply)
{
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_STATUS};
    message.status = (struct kvs_message_status){
        .want_reply = want_reply,
        .exact = repl_is_exact(r),
        .bootstrapping = r->boot.phase != BOOT_DONE || r->returning,
        .watermark_ms = r->watermark_ms,
        .certificate_ms = r->certificate_ms,
        .promise_ms = r->promise_ms,
        .root = r->root,
        .seen = r->seen,
    };
    repl_send(r, to, &message);
}

static void check_roots(struct kvs_repl *r, struct member *from,
                        const struct kvs_message_status *status)
{
    bool comparable = status->exact && repl_is_exact(r) &&
                      status->watermark_ms == r->watermark_ms &&
                      kvs_seen_covers_all(&r->seen, &status->seen) &&
                      kvs_seen_covers_all(&status->seen, &r->seen);
    if (!comparable || kvs_fingerprint_eq(status->root, r->root))
        return;
    r->divergences++;
    repl_notice(r, KVS_REPL_NOTICE_DIVERGED, &from->node);
    from->sync_wanted = true;
}

// The promise is certified when all that its giver had is here; until then newer ones wait.
static void note_promise(struct kvs_repl *r, struct member *from,
                         const struct kvs_message_status *status)
{
    if (from->promise_ms > from->certified_ms || status->promise_ms <= from->certified_ms)
        return;
    if (kvs_seen_copy(&from->promise_seen, &status->seen)) {
        r->err = KVS_ERR_NOMEM;
        return;
    }
    from->promise_ms = status->promise_ms;
}

// Lives of the sender that are over, that we have in full by its own word, and that lie below the
// watermark need no entries any more: one settled entry stands for all of them.
static void fold_lives(struct kvs_repl *r, const struct member *from,
                       const struct kvs_message_status *status)
{
    struct kvs_seen_entry settled = {.node = from->node, .settled = true};
    for (size_t i = 0; i < status->seen.count; i++) {
        const struct kvs_seen_entry *theirs = &status->seen.entries[i];
        if (kvs_uuid_cmp(&theirs->node, &from->node) != 0 || theirs->settled)
            continue;
        const struct kvs_seen_entry *ours = kvs_seen_find(&r->seen, &from->node, theirs->life);
        if (theirs->life >= from->life || !ours || ours->count < theirs->count ||
            ours->ahead > ours->count || ours->newest_ms > r->watermark_ms)
            break;
        settled.life = theirs->life;
    }
    const struct kvs_seen_entry *known = kvs_seen_find(&r->seen, &from->node, settled.life);
    if (settled.life == 0 || (known && known->settled) || repl_token_pending(r, TOKEN_FOLD))
        return;
    struct token *token = repl_token(r, TOKEN_FOLD, from);
    struct kvs_seen *copy = repl_alloc(r, sizeof(*copy));
    struct kvs_seen_entry *entry = repl_alloc(r, sizeof(*entry));
    struct kvs_repl_action *action =
        token && copy && entry ? repl_emit(r, KVS_REPL_ACTION_ADOPT) : NULL;
    if (!action)
        return;
    *entry = settled;
    *copy = (struct kvs_seen){entry, 1, 1};
    action->adopt.token = token->token;
    action->adopt.seen = copy;
    if (kvs_seen_copy(&token->seen, copy))
        r->err = KVS_ERR_NOMEM;
}

void status_on_message(struct kvs_repl *r, struct member *from,
                       const struct kvs_repl_message *message)
{
    const struct kvs_message_status *status = &message->status;
    if (kvs_seen_copy(&from->seen, &status->seen)) {
        r->err = KVS_ERR_NOMEM;
        return;
    }
    from->status_heard = true;
    from->certificate_ms = status->certificate_ms;
    from->watermark_ms = status->watermark_ms;
    from->bootstrapping = status->bootstrapping;
    from->record_count = status->root.count;
    note_promise(r, from, status);
    gc_heard_watermark(r, status->watermark_ms);
    check_roots(r, from, status);
    fold_lives(r, from, status);
    if (from->gap_check_ms == 0 && !kvs_seen_covers_all(&r->seen, &from->seen))
        from->gap_check_ms = r->now_ms + GAP_PATIENCE_MS;
    if (status->want_reply)
        status_send(r, from, false);
    gc_update(r);
}

void status_tick(struct kvs_repl *r)
{
    if (r->now_ms < r->status_at_ms)
        return;
    r->status_at_ms = r->now_ms + r->options.status_interval_ms;
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[r->status_at++ % r->member_count];
        if (!member_is_reachable(m))
            continue;
        status_send(r, m, true);
        return;
    }
}
