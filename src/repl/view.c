// SPDX-License-Identifier: Apache-2.0
// Looking in: what the core tells of itself between two steps. Changes nothing.
#include "repl/repl_internal.h"

bool kvs_repl_lacks_system(const struct kvs_repl *r)
{
    // Also of one that opened because those it read them from were away for too long.
    bool broken_off = r->boot.phase != BOOT_DONE && r->boot.before_ms != 0;
    return (r->boot.syncing || broken_off) && r->boot.family != KVS_REPL_TAG_DATA;
}

void kvs_repl_view(const struct kvs_repl *r, struct kvs_repl_view *ret_view)
{
    bool behind = false;
    for (size_t i = 0; i < r->member_count && !behind; i++)
        behind = member_is_reachable(r->members[i]) &&
                 !kvs_seen_covers_all(&r->seen, &r->members[i]->seen);
    *ret_view = (struct kvs_repl_view){
        .cluster = r->cluster,
        .digest_key = r->digest_key,
        .seen = &r->seen,
        .watermark_ms = r->watermark_ms,
        .certificate_ms = r->certificate_ms,
        .promise_ms = r->promise_ms,
        .syncing = r->boot.syncing,
        .lacks_system = kvs_repl_lacks_system(r),
        .behind = behind,
        .returning = r->returning,
        .own_count = r->own_count,
        .address = member_address(&r->self),
        .bootstrapping = r->boot.phase != BOOT_DONE,
        .member_count = r->member_count,
        .divergences = r->divergences,
        .words = r->words,
    };
}

void kvs_repl_member(const struct kvs_repl *r, size_t index, struct kvs_repl_member_view *ret_view)
{
    kvs_assert(index < r->member_count);
    const struct member *member = r->members[index];
    *ret_view = (struct kvs_repl_member_view){
        .record = member_record(member),
        .since_ms = member->since_ms,
        .heard_ms = member->heard_ms,
        .clock_offset_ms = kvs_clock_offset_ms(&member->offset),
        .agreed_ms = member->agreed_ms,
        .caught_ms = member->caught_ms,
        .push_cursor = member->push_cursor,
        .counted = member_is_counted(r, member),
    };
}
