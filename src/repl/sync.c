// SPDX-License-Identifier: Apache-2.0
// Digest sync, the leading side. Ranges whose fingerprints differ are cut smaller by either side in
// turn, until one side lists its keys; what follows from two lists decides settle.c. What the peer
// has newer is fetched, and when all of it is here, what the peer had seen at the start counts as
// seen here. At most one session at a time.
//
//   NONE -> ASKING -> COMPARING -> ASKING … -> FETCHING -> APPLYING -> … -> ADOPTING -> NONE
// A bootstrap rests before each question but the first (bootstrap.c).
#include "repl/repl_internal.h"

#include <stdlib.h>

static void drop_queue(struct sync *sync, size_t from)
{
    while (sync->queue_count > from)
        free(sync->queue[--sync->queue_count].bytes);
}

void sync_done(struct sync *sync)
{
    drop_queue(sync, 0);
    free(sync->queue);
    free(sync->wanted);
    kvs_seen_done(&sync->peer_seen);
    sync->queue = NULL;
    sync->wanted = NULL;
    sync->queue_capacity = 0;
    sync->wanted_capacity = 0;
}

static void reset(struct sync *sync)
{
    drop_queue(sync, 0);
    sync->wanted_size = 0;
    sync->wanted_count = 0;
    sync->wanted_asked = 0;
    sync->local_count = 0;
    sync->asked = 0;
    sync->phase = SYNC_NONE;
    kvs_arena_reset(&sync->arena);
}

void sync_abort(struct kvs_repl *r)
{
    if (r->sync.phase == SYNC_NONE)
        return;
    struct member *peer = member_find(r, &r->sync.node);
    if (peer && r->sync.asked_for)
        peer->sync_wanted = true;
    reset(&r->sync);
    r->sync_at_ms = r->now_ms + r->options.status_interval_ms;
}

void sync_enqueue(struct kvs_repl *r, const struct kvs_repl_range *range, bool list)
{
    struct sync *sync = &r->sync;
    if (sync->queue_count == sync->queue_capacity) {
        size_t capacity = sync->queue_capacity ? sync->queue_capacity * 2 : 16;
        struct sync_range *queue =
            capacity <= SYNC_QUEUE_MAX ? realloc(sync->queue, capacity * sizeof(*queue)) : NULL;
        if (!queue) {
            sync->clean = false; // the rest is found next time
            return;
        }
        sync->queue = queue;
        sync->queue_capacity = capacity;
    }
    char *bytes = malloc(range->first.size + range->end.size + 1);
    if (!bytes) {
        sync->clean = false;
        r->err = KVS_ERR_NOMEM;
        return;
    }
    if (range->first.size > 0)
        memcpy(bytes, range->first.data, range->first.size);
    if (range->end.size > 0)
        memcpy(bytes + range->first.size, range->end.data, range->end.size);
    sync->queue[sync->queue_count++] =
        (struct sync_range){bytes, range->first.size, range->end.size, range->fingerprint, list};
}

static struct kvs_repl_range range_of(const struct sync_range *range)
{
    return (struct kvs_repl_range){kvs_slice(range->bytes, range->first_size),
                                   kvs_slice(range->bytes + range->first_size, range->end_size),
                                   range->fingerprint, range->list};
}

struct member *sync_peer(struct kvs_repl *r)
{
    struct member *peer = member_find(r, &r->sync.node);
    return peer && member_is_reachable(peer) && peer->life == r->sync.node_life ? peer : NULL;
}

// Each question has a number of its own: the answer to an earlier one, late or twice, is none.
static uint32_t next_session(struct kvs_repl *r)
{
    r->session_last = r->session_last % (KVS_MESSAGE_SESSION_REPAIR - 1) + 1;
    return r->session_last;
}

static void ask(struct kvs_repl *r, struct member *peer)
{
    struct sync *sync = &r->sync;
    sync->session = next_session(r);
    // Either side cuts what differs: each may become this many, and must find room.
    enum { PIECES_MAX = 4 * KVS_REPL_PARTS * KVS_REPL_PARTS };
    size_t room = (SYNC_QUEUE_MAX - sync->queue_count) / PIECES_MAX + 1;
    size_t count = room < SYNC_RANGES_MAX ? room : SYNC_RANGES_MAX;
    if (count > sync->queue_count)
        count = sync->queue_count;
    struct kvs_repl_range *ranges = repl_alloc(r, count * sizeof(*ranges));
    if (!ranges)
        return;
    for (size_t i = 0; i < count; i++)
        ranges[i] = range_of(&sync->queue[sync->queue_count - count + i]);
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_COMPARE};
    message.compare = (struct kvs_message_compare){
        .session = sync->session,
        .want_seen = !sync->opened,
        .watermark_ms = r->watermark_ms,
        .ranges = ranges,
        .range_count = count,
    };
    sync->asked = count;
    sync->phase = SYNC_ASKING;
    sync->rounds++;
    boot_asked(r);
    repl_send(r, peer, &message);
}

// The first `wanted_asked` keys of `wanted`; their bytes are copied for the message.
static void fetch(struct kvs_repl *r, struct member *peer)
{
    struct sync *sync = &r->sync;
    sync->session = next_session(r);
    size_t count = sync->wanted_count < SYNC_KEYS_MAX ? sync->wanted_count : SYNC_KEYS_MAX;
    struct kvs_slice *keys = repl_alloc(r, count * sizeof(*keys));
    if (!keys)
        return;
    const char *at = sync->wanted;
    for (size_t i = 0; i < count; i++) {
        uint16_t size = 0;
        memcpy(&size, at, sizeof(size));
        keys[i] = kvs_slice(at + sizeof(size), size);
        at += sizeof(size) + size;
    }
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_FETCH};
    message.fetch = (struct kvs_message_fetch){sync->session, keys, count};
    sync->wanted_asked = count;
    sync->phase = SYNC_FETCHING;
    sync->rounds++;
    boot_asked(r);
    repl_send(r, peer, &message);
}

void sync_want(struct kvs_repl *r, struct kvs_slice key)
{
    struct sync *sync = &r->sync;
    size_t needed = sync->wanted_size + sizeof(uint16_t) + key.size;
    if (needed > sync->wanted_capacity) {
        char *wanted = realloc(sync->wanted, needed * 2);
        if (!wanted) {
            sync->clean = false;
            r->err = KVS_ERR_NOMEM;
            return;
        }
        sync->wanted = wanted;
        sync->wanted_capacity = needed * 2;
    }
    uint16_t size = (uint16_t)key.size; // the decoder bounds keys
    memcpy(sync->wanted + sync->wanted_size, &size, sizeof(size));
    memcpy(sync->wanted + sync->wanted_size + sizeof(size), key.data, size);
    sync->wanted_size = needed;
    sync->wanted_count++;
}

static void forget_wanted(struct sync *sync, size_t count)
{
    const char *at = sync->wanted;
    for (size_t i = 0; i < count; i++) {
        uint16_t size = 0;
        memcpy(&size, at, sizeof(size));
        at += sizeof(size) + size;
    }
    size_t gone = (size_t)(at - sync->wanted);
    memmove(sync->wanted, at, sync->wanted_size - gone);
    sync->wanted_size -= gone;
    sync->wanted_count -= count;
    sync->wanted_asked = 0;
}

static void finish(struct kvs_repl *r)
{
    struct sync *sync = &r->sync;
    struct member *peer = member_find(r, &sync->node);
    if (peer && peer->estranged && member_is_reachable(peer)) {
        peer->estranged = false;
        r->state_dirty = true;
    }
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_NOTICE);
    if (action) {
        action->notice.kind = KVS_REPL_NOTICE_SYNCED;
        action->notice.node = sync->node;
        action->notice.fetched = sync->fetched;
        action->notice.offered = sync->offered;
        action->notice.dropped = sync->dropped;
        action->notice.rounds = sync->rounds;
    }
    reset(sync);
}

static void adopt(struct kvs_repl *r)
{
    struct token *token = repl_token(r, TOKEN_SYNC_ADOPT, NULL);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_ADOPT) : NULL;
    if (!action) {
        finish(r);
        return;
    }
    token->session = r->sync.session;
    r->sync.phase = SYNC_ADOPTING;
    action->adopt.token = token->token;
    action->adopt.seen = &r->sync.peer_seen;
}

static bool is_fetch_next(const struct sync *sync)
{
    return sync->wanted_count >= SYNC_KEYS_MAX ||
           (sync->wanted_count > 0 && sync->queue_count == 0);
}

static void proceed_now(struct kvs_repl *r)
{
    struct sync *sync = &r->sync;
    struct member *peer = sync_peer(r);
    if (!peer) {
        sync_abort(r);
        return;
    }
    sync->deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
    if (is_fetch_next(sync))
        fetch(r, peer);
    else if (sync->queue_count > 0)
        ask(r, peer);
    else if (sync->clean && sync->opened)
        adopt(r);
    else
        finish(r);
}

void sync_proceed(struct kvs_repl *r)
{
    struct sync *sync = &r->sync;
    bool fetches = is_fetch_next(sync);
    bool asks = fetches || sync->queue_count > 0;
    int64_t pause_ms =
        boot_pause_ms(r, fetches ? r->options.fetch_delay_ms : r->options.throttle_delay_ms);
    if (!asks || pause_ms == 0) {
        proceed_now(r);
        return;
    }
    sync->phase = SYNC_RESTING;
    sync->deadline_ms = r->now_ms + pause_ms;
}

void sync_start(struct kvs_repl *r, struct member *with)
{
    struct sync *sync = &r->sync;
    kvs_assert(sync->phase == SYNC_NONE);
    sync->node = with->node;
    sync->node_life = with->life;
    sync->clean = true;
    sync->opened = false;
    sync->rounds = sync->fetched = sync->offered = sync->dropped = 0;
    sync->asked_for = with->sync_wanted;
    with->sync_wanted = false;
    struct kvs_repl_range everything = {.fingerprint = r->root};
    sync_enqueue(r, &everything, false);
    proceed_now(r);
}

// ---- Their answer, then our own

static bool copy_answers(struct kvs_repl *r, const struct kvs_message_compared *body, size_t total)
{
    struct sync *sync = &r->sync;
    kvs_arena_reset(&sync->arena);
    sync->local = kvs_arena_alloc(&sync->arena, (total + 1) * sizeof(*sync->local));
    sync->theirs = kvs_arena_alloc(&sync->arena, (total + 1) * sizeof(*sync->theirs));
    sync->local_count = 0;
    if (!sync->local || !sync->theirs)
        return false;
    for (size_t i = 0; i < body->answer_count; i++) {
        const struct kvs_repl_compared *answer = &body->answers[i];
        struct kvs_repl_range asked = range_of(&sync->queue[sync->queue_count - sync->asked + i]);
        size_t pieces = answer->kind == KVS_COMPARED_SPLIT ? answer->part_count : 1;
        for (size_t k = 0; answer->kind != KVS_COMPARED_EQUAL && k < pieces; k++) {
            struct kvs_repl_range range = asked;
            struct kvs_repl_compared theirs = {.kind = KVS_COMPARED_SPLIT};
            range.list = answer->kind == KVS_COMPARED_LISTED;
            if (answer->kind == KVS_COMPARED_SPLIT) {
                range = answer->parts[k];
            } else {
                theirs = *answer;
                size_t size = (answer->stub_count + 1) * sizeof(*theirs.stubs);
                theirs.stubs = kvs_arena_alloc(&sync->arena, size);
                if (!theirs.stubs)
                    return false;
                for (size_t s = 0; s < answer->stub_count; s++) {
                    theirs.stubs[s] = answer->stubs[s];
                    theirs.stubs[s].key = kvs_arena_copy(&sync->arena, answer->stubs[s].key);
                }
            }
            range.first = kvs_arena_copy(&sync->arena, range.first);
            range.end = kvs_arena_copy(&sync->arena, range.end);
            if (!range.first.data || !range.end.data)
                return false;
            sync->local[sync->local_count] = range;
            sync->theirs[sync->local_count++] = theirs;
        }
    }
    return true;
}

// Parts must lie inside the range asked about, in order: a peer's mistake must not make us loop.
static bool answers_are_sane(const struct sync *sync, const struct kvs_message_compared *body,
                             size_t *ret_total)
{
    size_t total = 0;
    for (size_t i = 0; i < body->answer_count; i++) {
        const struct kvs_repl_compared *answer = &body->answers[i];
        struct kvs_repl_range asked = range_of(&sync->queue[sync->queue_count - sync->asked + i]);
        total += answer->kind == KVS_COMPARED_SPLIT ? answer->part_count : 1;
        if (answer->kind == KVS_COMPARED_SPLIT && answer->part_count < 2)
            return false;
        for (size_t k = 0; k < answer->part_count; k++) {
            const struct kvs_repl_range *part = &answer->parts[k];
            struct kvs_slice before = k == 0 ? asked.first : answer->parts[k - 1].end;
            bool last = k + 1 == answer->part_count;
            if (!kvs_slice_eq(part->first, before) ||
                (last ? !kvs_slice_eq(part->end, asked.end)
                      : kvs_slice_cmp(part->end, part->first) <= 0))
                return false;
        }
        for (size_t k = 1; k < answer->stub_count; k++)
            if (kvs_slice_cmp(answer->stubs[k - 1].key, answer->stubs[k].key) >= 0)
                return false;
    }
    *ret_total = total;
    return true;
}

static bool open_session(struct kvs_repl *r, const struct kvs_message_compared *body)
{
    struct sync *sync = &r->sync;
    // Deletions forgotten meanwhile are missing from what is compared, not from its `seen`.
    sync->doubtful =
        body->bootstrapping || (sync->opened && body->watermark_ms != sync->peer_watermark_ms);
    if (sync->doubtful)
        sync->clean = false;
    if (sync->opened)
        return true;
    if (!body->has_seen || kvs_seen_copy(&sync->peer_seen, &body->seen))
        return false;
    sync->opened = true;
    sync->peer_watermark_ms = body->watermark_ms;
    sync->peer_forgotten_ms = body->forgotten_ms;
    return true;
}

void sync_on_compared(struct kvs_repl *r, struct member *from,
                      const struct kvs_message_compared *body)
{
    struct sync *sync = &r->sync;
    size_t total = 0;
    if (sync->phase != SYNC_ASKING || body->session != sync->session ||
        kvs_uuid_cmp(&from->node, &sync->node) != 0)
        return;
    if (body->answer_count != sync->asked || !answers_are_sane(sync, body, &total) ||
        !open_session(r, body) || !copy_answers(r, body, total)) {
        sync_abort(r);
        return;
    }
    boot_answered(r, from);
    drop_queue(sync, sync->queue_count - sync->asked);
    sync->asked = 0;
    if (sync->local_count == 0) {
        sync_proceed(r);
        return;
    }
    struct token *token = repl_token(r, TOKEN_SYNC_LOCAL, from);
    struct kvs_repl_action *action = token ? repl_emit(r, KVS_REPL_ACTION_COMPARE) : NULL;
    if (!action) {
        sync_abort(r);
        return;
    }
    token->session = sync->session;
    sync->phase = SYNC_COMPARING;
    sync->deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
    action->compare.token = token->token;
    action->compare.ranges = sync->local;
    action->compare.range_count = sync->local_count;
}

// ---- Versions

void sync_on_items(struct kvs_repl *r, struct member *from, const struct kvs_message_items *body)
{
    struct sync *sync = &r->sync;
    bool offered = body->session == 0 || body->session == KVS_MESSAGE_SESSION_REPAIR;
    bool ours = !offered && sync->phase == SYNC_FETCHING && body->session == sync->session &&
                kvs_uuid_cmp(&from->node, &sync->node) == 0;
    if (!offered && !ours)
        return;
    if (ours && (body->answered == 0 || body->answered > sync->wanted_asked)) {
        sync_abort(r);
        return;
    }
    struct token *token = repl_token(r, offered ? TOKEN_ITEMS_APPLY : TOKEN_SYNC_APPLY, from);
    if (!token)
        return;
    token->session = body->session;
    if (ours) {
        boot_answered(r, from);
        forget_wanted(sync, body->answered);
        // The peer cannot give what it has, or has forgotten it since: it is not yet here.
        if (body->damaged || body->item_count < body->answered)
            sync->clean = false;
        sync->fetched += body->item_count;
        sync->phase = SYNC_APPLYING;
        sync->deadline_ms = r->now_ms + 4 * REPLY_TIMEOUT_MS;
    }
    apply_items(r, token, body->items, body->item_count, NULL, 0);
}

static void adopted(struct kvs_repl *r)
{
    struct sync *sync = &r->sync;
    if (kvs_seen_adopt(&r->seen, &sync->peer_seen)) {
        r->err = KVS_ERR_NOMEM;
        reset(sync);
        return;
    }
    if (sync->peer_watermark_ms > r->watermark_ms) {
        r->certificate_ms = max_i64(r->certificate_ms, sync->peer_watermark_ms);
        gc_raise(r, sync->peer_watermark_ms);
    }
    // Its seen versions and its data are ours now: so is what it knows to be deleted of them.
    r->forgotten_ms = max_i64(r->forgotten_ms, sync->peer_forgotten_ms);
    if (r->returning) {
        r->returning = false;
        r->due_asked = false;
        repl_notice(r, KVS_REPL_NOTICE_RETURNED, &sync->node);
    }
    r->state_dirty = true;
    boot_on_synced(r);
    finish(r);
}

void sync_on_applied(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_commit *commit)
{
    struct sync *sync = &r->sync;
    note_applied(r, token, commit);
    if (token->session != sync->session)
        return;
    if (commit->err) {
        sync_abort(r);
        return;
    }
    if (token->kind == TOKEN_SYNC_ADOPT && sync->phase == SYNC_ADOPTING) {
        adopted(r);
        return;
    }
    if (sync->phase == SYNC_APPLYING)
        sync_proceed(r);
}

// ---- When, and with whom

static struct member *choose(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i]->sync_wanted && member_is_reachable(r->members[i]))
            return r->members[i];
    struct member *found = NULL;
    uint64_t candidates = 0;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        // Who still reads everything is left alone: it reads at a pace of its own choice, and
        // compares when it is done.
        bool fit = member_is_reachable(m) && m->status_heard && !m->bootstrapping;
        if (fit && repl_random_below(r, ++candidates) == 0)
            found = m;
    }
    return found;
}

static int64_t highest_watermark_ms(const struct kvs_repl *r)
{
    int64_t highest_ms = r->watermark_ms;
    for (size_t i = 0; i < r->member_count; i++)
        highest_ms = max_i64(highest_ms, r->members[i]->watermark_ms);
    return highest_ms;
}

bool sync_is_wanted(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i]->sync_wanted && member_is_reachable(r->members[i]))
            return true;
    return false;
}

static bool is_behind(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (member_is_reachable(r->members[i]) &&
            !kvs_seen_covers_all(&r->seen, &r->members[i]->seen))
            return true;
    return false;
}

void sync_with_all(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (member_is_counted(r, r->members[i]))
            r->members[i]->sync_wanted = true;
}

void sync_tick(struct kvs_repl *r)
{
    struct sync *sync = &r->sync;
    if (sync->phase != SYNC_NONE) {
        if (r->now_ms >= sync->deadline_ms && sync->phase == SYNC_RESTING)
            proceed_now(r);
        else if (r->now_ms >= sync->deadline_ms)
            sync_abort(r);
        return;
    }
    if ((r->now_ms < r->sync_at_ms && !sync_is_wanted(r)) || r->boot.phase == BOOT_SEEKING ||
        r->boot.phase == BOOT_PAGES)
        return;
    bool urgent = r->returning || r->boot.phase == BOOT_SYNC;
    int64_t pause_ms = r->options.sync_interval_ms;
    if (urgent)
        pause_ms = 2 * r->options.status_interval_ms;
    else if (is_behind(r))
        pause_ms = r->options.catchup_interval_ms;
    r->sync_at_ms = r->now_ms + pause_ms;
    if (r->returning && r->deferred_count > 0 && !r->due_asked) {
        // The whole cluster has promised beyond these: they are not of the future.
        struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_DUE);
        if (action)
            action->due.upto_ms = highest_watermark_ms(r);
        r->due_asked = true;
        return;
    }
    struct member *with = choose(r);
    if (with)
        sync_start(r, with);
    else if (r->boot.phase == BOOT_SYNC && !r->returning)
        gc_update(r); // is there nobody left who may have the rest?
}
