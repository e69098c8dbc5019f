// SPDX-License-Identifier: Apache-2.0
// What a digest sync concludes: both sides' answers about the same ranges, side by side. What
// differs is cut smaller; where both list their keys, versions are compared key by key: what the
// peer has newer is fetched, what it lacks is offered.
//
// For a version of ours that the peer lacks although its watermark has passed it: if the peer has
// seen the write, it has forgotten its deletion, and ours goes; if nobody ever saw it, it is
// kept, and offered (docs/decisions/0021). What the peer forgot in a former cluster is the same
// (docs/decisions/0067).
#include "repl/repl_internal.h"

struct offers {
    struct kvs_slice *keys;
    size_t count;
};

static void drop(struct kvs_repl *r, const struct kvs_repl_stub *stub)
{
    struct kvs_slice key = repl_keep(r, stub->key);
    struct kvs_repl_action *action = key.data ? repl_emit(r, KVS_REPL_ACTION_DROP) : NULL;
    if (!action) {
        r->sync.clean = false;
        return;
    }
    action->drop = (struct kvs_repl_stub){key, stub->version};
    r->sync.dropped++;
}

// Has `seen` the version? Of a damaged one only its holder's `seen` tells.
static bool is_covered(const struct kvs_seen *seen, const struct kvs_version *version,
                       const struct kvs_seen *holder)
{
    return kvs_uuid_is_nil(&version->writer.node) ? kvs_seen_covers_all(seen, holder)
                                                  : kvs_seen_covers_version(seen, version);
}

// Ours is newer, or theirs is absent (`theirs` NULL).
static void give(struct kvs_repl *r, const struct kvs_repl_stub *ours,
                 const struct kvs_repl_stub *theirs, struct offers *offers)
{
    kvs_assert(ours);
    struct sync *sync = &r->sync;
    const struct kvs_version *version = &ours->version;
    bool tombstone = kvs_version_is_tombstone(version);
    bool below = version->timestamp <= sync->peer_watermark_ms && !(tombstone && theirs);
    if (below && tombstone)
        return; // goes by itself, when our watermark comes that far
    if ((below || kvs_version_is_forgotten(version, sync->peer_forgotten_ms)) &&
        is_covered(&sync->peer_seen, version, &r->seen)) {
        bool expired = below && kvs_version_is_removable(version, sync->peer_watermark_ms);
        if (sync->doubtful || expired) // what has expired goes by itself, too
            return;
        drop(r, ours); // the peer had it, and has forgotten its deletion
        if (theirs)
            sync_want(r, theirs->key);
        return;
    }
    offers->keys[offers->count++] = ours->key;
    sync->offered++;
}

// Theirs is newer, or ours is absent.
static void take(struct kvs_repl *r, const struct kvs_repl_stub *theirs)
{
    const struct kvs_version *version = &theirs->version;
    bool below = version->timestamp <= r->watermark_ms;
    bool forgotten = (below && kvs_version_is_removable(version, r->watermark_ms)) ||
                     ((below || kvs_version_is_forgotten(version, r->forgotten_ms)) &&
                      is_covered(&r->seen, version, &r->sync.peer_seen));
    if (!forgotten || KVS_MUTATED(r->options.mutations, KVS_MUTATION_NO_ZOMBIE_REFUSAL))
        sync_want(r, theirs->key);
}

static void join(struct kvs_repl *r, const struct kvs_repl_compared *theirs,
                 const struct kvs_repl_compared *ours, struct offers *offers)
{
    size_t a = 0;
    size_t b = 0;
    while (a < theirs->stub_count || b < ours->stub_count) {
        const struct kvs_repl_stub *their = a < theirs->stub_count ? &theirs->stubs[a] : NULL;
        const struct kvs_repl_stub *our = b < ours->stub_count ? &ours->stubs[b] : NULL;
        int order = !their ? 1 : !our ? -1 : kvs_slice_cmp(their->key, our->key);
        if (order < 0) {
            take(r, their);
        } else if (order > 0) {
            give(r, our, NULL, offers);
        } else {
            int newer = kvs_version_cmp(&their->version, &our->version, NULL);
            bool deletion = kvs_version_is_removable(&their->version, r->watermark_ms);
            if (newer > 0 && deletion)
                sync_want(r, their->key);
            else if (newer > 0)
                take(r, their);
            else if (newer < 0)
                give(r, our, their, offers);
        }
        a += order <= 0;
        b += order >= 0;
    }
}

static void send_offers(struct kvs_repl *r, const struct member *peer, const struct offers *offers)
{
    for (size_t i = 0; i < offers->count; i += SYNC_KEYS_MAX) {
        size_t count = offers->count - i < SYNC_KEYS_MAX ? offers->count - i : SYNC_KEYS_MAX;
        serve_offer(r, peer, &offers->keys[i], count);
    }
}

static void use_local(struct kvs_repl *r, const struct kvs_repl_compare_done *done,
                      struct offers *offers)
{
    struct sync *sync = &r->sync;
    for (size_t i = 0; i < sync->local_count; i++) {
        const struct kvs_repl_range *range = &sync->local[i];
        const struct kvs_repl_compared *ours = &done->answers[i];
        struct kvs_repl_range again = *range;
        again.fingerprint = ours->fingerprint;
        if (ours->kind == KVS_COMPARED_EQUAL)
            continue;
        if (range->list && ours->kind == KVS_COMPARED_LISTED)
            join(r, &sync->theirs[i], ours, offers);
        else if (ours->kind == KVS_COMPARED_SPLIT)
            for (size_t k = 0; k < ours->part_count; k++)
                sync_enqueue(r, &ours->parts[k], range->list);
        else // small here: list theirs, unless that would be long; then they cut it
            sync_enqueue(r, &again, range->fingerprint.count <= KVS_REPL_LIST_MAX * 4);
    }
}

void sync_on_local(struct kvs_repl *r, const struct token *token,
                   const struct kvs_repl_compare_done *done)
{
    struct sync *sync = &r->sync;
    struct member *peer = sync_peer(r);
    if (sync->phase != SYNC_COMPARING || token->session != sync->session)
        return;
    if (!peer || done->err || done->answer_count != sync->local_count) {
        sync_abort(r);
        return;
    }
    size_t listed = 0;
    for (size_t i = 0; i < done->answer_count; i++)
        listed += done->answers[i].stub_count;
    struct offers offers = {repl_alloc(r, (listed + 1) * sizeof(struct kvs_slice)), 0};
    if (!offers.keys) {
        sync_abort(r);
        return;
    }
    use_local(r, done, &offers);
    send_offers(r, peer, &offers);
    sync->local_count = 0;
    sync_proceed(r);
}
