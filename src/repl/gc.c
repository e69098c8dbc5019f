// SPDX-License-Identifier: Apache-2.0
// When deletions may be forgotten. Every node promises now and then: "I write nothing at or below p
// any more". Who has all that the giver had at that moment certifies the promise; a node's
// certificate is the least over all members that count; the least certificate, less the retention,
// is the watermark. It only rises, and whoever hears of a higher one that its own certificate
// reaches takes it over.
//
// A node that hears of a watermark beyond its own certificate was away for too long, or has lost
// data: others have forgotten deletions that it never saw. It `returns`: it compares everything
// with a peer that did not (sync.c) before it takes the watermark over.
// Two parts of a cluster that were cut off for so long that neither counted the other may both have
// forgotten deletions. Their members are estranged: each compares with each of the other part, and
// of any two one returns to the other, so that the first of all is whom the others come back to.
#include "repl/repl_internal.h"

void gc_raise(struct kvs_repl *r, int64_t watermark_ms)
{
    if (watermark_ms <= r->watermark_ms)
        return;
    r->watermark_ms = watermark_ms;
    r->state_dirty = true;
}

int64_t gc_forgotten_ms(const struct kvs_repl *r)
{
    return max_i64(r->watermark_ms, r->forgotten_ms);
}

bool gc_is_estranged(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i]->estranged && member_is_reachable(r->members[i]))
            return true;
    return false;
}

// Whom of two the other comes back to: who is certain of more, then the elder.
static bool is_before(const struct member *a, int64_t certificate_a_ms, const struct member *b,
                      int64_t certificate_b_ms)
{
    if (certificate_a_ms != certificate_b_ms)
        return certificate_a_ms > certificate_b_ms;
    if (a->joined_timestamp != b->joined_timestamp)
        return a->joined_timestamp < b->joined_timestamp;
    return kvs_uuid_cmp(&a->node, &b->node) < 0;
}

static bool is_before_us(const struct kvs_repl *r, const struct member *m)
{
    return is_before(m, m->certificate_ms, &r->self, r->certificate_ms);
}

static void return_now(struct kvs_repl *r)
{
    if (r->returning)
        return;
    r->returning = true;
    r->state_dirty = true;
    r->sync_at_ms = min_i64(r->sync_at_ms, r->now_ms);
}

static void note_estranged(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (!m->estranged && !member_is_counted(r, m)) {
            m->estranged = true;
            r->state_dirty = true;
        }
        if (!m->estranged || !member_is_reachable(m))
            continue;
        bool comparing = r->sync.phase != SYNC_NONE && kvs_uuid_cmp(&r->sync.node, &m->node) == 0;
        m->sync_wanted = !comparing;
        if (m->status_heard && is_before_us(r, m))
            return_now(r);
    }
}

// Everybody who counts has something to come back from, and we are before them all: then there is
// nothing better than what we have.
static void end_exile(struct kvs_repl *r)
{
    size_t counted = 0;
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        counted += member_is_counted(r, m);
        if (member_is_counted(r, m) &&
            (!m->status_heard || !m->bootstrapping || is_before_us(r, m)))
            return;
    }
    if (counted == 0 && r->boot.phase == BOOT_SEEKING)
        return; // has met nobody yet
    int64_t highest_ms = r->watermark_ms;
    for (size_t i = 0; i < r->member_count; i++) {
        highest_ms = max_i64(highest_ms, r->members[i]->watermark_ms);
        r->members[i]->estranged = true; // what each of them has forgotten is still to be heard
    }
    r->returning = false;
    r->state_dirty = true;
    r->certificate_ms = max_i64(r->certificate_ms, highest_ms);
    gc_raise(r, highest_ms);
    boot_on_synced(r);
}

static void certify(struct kvs_repl *r)
{
    int64_t least_ms = r->promise_ms;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->promise_ms > m->certified_ms && kvs_seen_covers_all(&r->seen, &m->promise_seen))
            m->certified_ms = m->promise_ms;
        if (member_is_counted(r, m))
            least_ms = min_i64(least_ms, m->certified_ms);
    }
    if (least_ms <= r->certificate_ms || r->returning || r->boot.phase != BOOT_DONE ||
        gc_is_estranged(r))
        return;
    r->certificate_ms = least_ms;
    r->state_dirty = true;
}

static int64_t stable_ms(const struct kvs_repl *r)
{
    if (KVS_MUTATED(r->options.mutations, KVS_MUTATION_GRACE_PERIOD))
        return r->wall_ms;
    int64_t least_ms = r->certificate_ms;
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        if (member_is_counted(r, m))
            least_ms = min_i64(least_ms, m->status_heard ? m->certificate_ms : 0);
    }
    return least_ms;
}

void gc_update(struct kvs_repl *r)
{
    note_estranged(r);
    if (r->returning || r->boot.phase != BOOT_DONE)
        end_exile(r);
    certify(r);
    if (r->returning || r->boot.phase != BOOT_DONE || gc_is_estranged(r))
        return;
    gc_raise(r, stable_ms(r) - r->options.retention_ms);
}

void gc_heard_watermark(struct kvs_repl *r, int64_t watermark_ms)
{
    if (watermark_ms <= r->watermark_ms)
        return;
    if (gc_is_estranged(r))
        return; // first compare
    if (watermark_ms <= r->certificate_ms && !r->returning)
        gc_raise(r, watermark_ms);
    else
        return_now(r);
}

void gc_on_promised(struct kvs_repl *r, int64_t promise_ms)
{
    if (promise_ms > r->promise_ms)
        r->promise_ms = promise_ms;
    gc_update(r);
}

void gc_tick(struct kvs_repl *r)
{
    if (r->purged_ms != r->watermark_ms && !repl_token_pending(r, TOKEN_PURGE)) {
        struct token *token = repl_token(r, TOKEN_PURGE, NULL);
        struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_PURGE) : NULL;
        if (action) {
            action->purge.token = token->token;
            action->purge.watermark_ms = r->watermark_ms;
        }
    }
    if (r->now_ms < r->promise_at_ms)
        return;
    r->promise_at_ms = r->now_ms + r->options.promise_interval_ms;
    if (repl_token_pending(r, TOKEN_PROMISE))
        return;
    struct token *token = repl_token(r, TOKEN_PROMISE, NULL);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_PROMISE) : NULL;
    if (action)
        action->promise.token = token->token;
}
