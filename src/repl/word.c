// SPDX-License-Identifier: Apache-2.0
// What each member has, by its own word: acknowledged batches, which speak of our writes alone and
// come at once, and its status, which speaks of everybody's. Either is said only of what is durable
// there (INV-R2). What a member said in an earlier life of its process counts no more: it may have
// lost its newest writes with it.
#include "repl/repl_internal.h"

#include "base/assert.h"

static void renew(struct member *from)
{
    if (from->word_life == from->life)
        return;
    from->word_life = from->life;
    from->acked_count = 0;
    from->word_seen = false;
}

void word_on_ack(struct kvs_repl *r, struct member *from, uint32_t count)
{
    renew(from);
    if (count <= from->acked_count)
        return;
    from->acked_count = count;
    r->words++;
}

void word_on_status(struct kvs_repl *r, struct member *from)
{
    const struct kvs_seen_entry *ours = kvs_seen_find(&from->seen, &r->self.node, r->self.life);
    renew(from);
    from->word_seen = true;
    if (ours && !ours->settled)
        word_on_ack(r, from, ours->count);
}

// Everything that the member had at `at_ms` is here. A node that does not have everything yet knows
// too little to say so.
void word_caught_up(struct kvs_repl *r, struct member *with, int64_t at_ms)
{
    if (r->boot.phase == BOOT_DONE && !r->returning && kvs_seen_covers_all(&r->seen, &with->seen))
        with->caught_ms = max_i64(with->caught_ms, at_ms);
}

// ---- Looking in

uint32_t kvs_repl_acked(const struct kvs_repl *r, size_t index)
{
    kvs_assert(index < r->member_count);
    const struct member *m = r->members[index];
    bool counts = m->word_life == m->life && m->state < KVS_MEMBER_LEFT;
    return counts ? m->acked_count : 0;
}

enum kvs_repl_has kvs_repl_has(const struct kvs_repl *r, size_t index, const struct kvs_uuid *node,
                               uint64_t writer_seq)
{
    kvs_assert(index < r->member_count);
    const struct member *m = r->members[index];
    uint32_t life = kvs_dot_life(writer_seq);
    uint32_t count = kvs_dot_count(writer_seq);
    bool ours = kvs_uuid_cmp(node, &r->self.node) == 0 && life == r->self.life;
    if (kvs_uuid_cmp(node, &m->node) == 0)
        return KVS_REPL_HAS_YES; // wrote it
    if (m->word_life == m->life) {
        if (ours && count <= m->acked_count)
            return KVS_REPL_HAS_YES;
        if (m->word_seen && kvs_seen_covers(&m->seen, node, life, count))
            return KVS_REPL_HAS_YES;
    }
    bool known = m->word_life == m->life && m->word_seen && member_is_reachable(m);
    return known ? KVS_REPL_HAS_NO : KVS_REPL_HAS_UNKNOWN;
}
