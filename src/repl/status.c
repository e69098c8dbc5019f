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
    if (kvs_fingerprint_eq(status->root, r->root))
        from->agreed_ms = r->now_ms;
    bool comparable = status->exact && repl_is_exact(r) &&
                      status->watermark_ms == r->watermark_ms &&
                      kvs_seen_covers_all(&r->seen, &status->seen) &&
                      kvs_seen_covers_all(&status->seen, &r->seen) &&
                      kvs_seen_knows_settled(&r->seen, &status->seen) &&
                      kvs_seen_knows_settled(&status->seen, &r->seen);
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

// Is nothing of (node, life) listed or left out beyond what came without a gap?
static bool is_whole(const struct kvs_seen *seen, const struct kvs_seen_entry *entry)
{
    return kvs_seen_last(seen, &entry->node, entry->life) == entry->count;
}

// Every member has it, those in exile too: nobody looks at what has been folded any more.
static bool all_have(const struct kvs_repl *r, const struct kvs_seen_entry *entry)
{
    if (r->returning || r->boot.phase != BOOT_DONE || gc_is_estranged(r))
        return false;
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        if (m->state <= KVS_MEMBER_DEAD &&
            (!m->status_heard || m->bootstrapping ||
             kvs_seen_reach(&m->seen, &entry->node, entry->life, 0) < entry->count))
            return false;
    }
    return true;
}

// How many of a node's lives are still told apart.
static size_t count_lives(const struct kvs_seen *seen, const struct kvs_uuid *node)
{
    size_t count = 0;
    for (size_t i = 0; i < seen->count; i++)
        count += kvs_uuid_cmp(&seen->entries[i].node, node) == 0 && !seen->entries[i].settled;
    return count;
}

// The last life that may fold: all up to it are over, here in full by their node's own `word`,
// below the watermark, and not among the last few. 0: none. A node whose disk went back in time
// does not know what it wrote in the life before, and only a member in exile may have it: so not
// too soon.
static uint32_t last_foldable(const struct kvs_repl *r, const struct kvs_uuid *node, uint32_t life,
                              const struct kvs_seen *word)
{
    size_t kept = r->options.lives_kept ? r->options.lives_kept : LIVES_KEPT;
    size_t lives = count_lives(&r->seen, node);
    uint32_t last = 0;
    for (size_t i = 0; i < word->count && lives > kept; i++) {
        const struct kvs_seen_entry *theirs = &word->entries[i];
        if (kvs_uuid_cmp(&theirs->node, node) != 0 || theirs->settled)
            continue;
        const struct kvs_seen_entry *ours = kvs_seen_find(&r->seen, node, theirs->life);
        if (theirs->life >= life || !ours || ours->settled || ours->count < theirs->count ||
            !is_whole(&r->seen, ours) || !is_whole(word, theirs) ||
            ours->newest_ms > r->watermark_ms || !all_have(r, ours))
            break;
        last = theirs->life;
        lives--;
    }
    return last;
}

// One settled entry stands for a node's oldest lives.
static void fold_lives(struct kvs_repl *r, const struct member *of, const struct kvs_seen *word)
{
    uint32_t last = last_foldable(r, &of->node, of->life, word);
    if (last == 0 || repl_token_pending(r, TOKEN_FOLD))
        return;
    struct token *token = repl_token(r, TOKEN_FOLD, of);
    struct kvs_seen *copy = repl_alloc(r, sizeof(*copy));
    struct kvs_seen_entry *entry = repl_alloc(r, sizeof(*entry));
    struct kvs_repl_action *action =
        token && copy && entry ? repl_emit(r, KVS_REPL_ACTION_ADOPT) : NULL;
    if (!action)
        return;
    *entry = (struct kvs_seen_entry){.node = of->node, .life = last, .settled = true};
    *copy = (struct kvs_seen){.entries = entry, .count = 1, .capacity = 1};
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
    word_on_status(r, from);
    word_caught_up(r, from, r->now_ms);
    from->certificate_ms = status->certificate_ms;
    from->watermark_ms = status->watermark_ms;
    from->bootstrapping = status->bootstrapping;
    from->record_count = status->root.count;
    note_promise(r, from, status);
    gc_heard_watermark(r, status->watermark_ms);
    check_roots(r, from, status);
    fold_lives(r, from, &status->seen);
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
    fold_lives(r, &r->self, &r->seen);
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[r->status_at++ % r->member_count];
        if (!member_is_reachable(m))
            continue;
        status_send(r, m, true);
        return;
    }
}
