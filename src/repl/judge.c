// SPDX-License-Identifier: Apache-2.0
#include "repl/judge.h"

#include "repl/mutations.h"

bool kvs_version_is_forgotten(const struct kvs_version *version, int64_t forgotten_ms)
{
    return version->timestamp <= forgotten_ms && !kvs_version_is_removable(version, forgotten_ms);
}

// Deletions at or below the watermark have been forgotten. So a version from there that was seen
// here, and that what is here does not beat, was deleted: it is a dead one come back. One that was
// never seen is alive: it comes from a node that did not count
// (docs/decisions/0021-unseen-versions-are-kept.md). A deferred one was counted as seen when it
// came, but has not been here yet.
static bool is_dead(const struct kvs_judgement *j)
{
    return j->seen && !j->due &&
           (j->incoming->timestamp <= j->watermark_ms ||
            kvs_version_is_forgotten(j->incoming, j->forgotten_ms)) &&
           !KVS_MUTATED(j->mutations, KVS_MUTATION_NO_ZOMBIE_REFUSAL);
}

static enum kvs_verdict judge_absent(struct kvs_judgement *j)
{
    const struct kvs_version *in = j->incoming;
    if (is_dead(j))
        return KVS_VERDICT_IGNORE;
    if (in->timestamp > j->watermark_ms)
        return KVS_VERDICT_APPLY;
    if (KVS_MUTATED(j->mutations, KVS_MUTATION_NO_ZOMBIE_REFUSAL))
        return KVS_VERDICT_APPLY;
    if (kvs_version_is_removable(in, j->watermark_ms))
        return KVS_VERDICT_IGNORE;
    j->revived = true;
    return KVS_VERDICT_APPLY;
}

static int compare(const struct kvs_judgement *j, enum kvs_version_rule *ret_rule)
{
    int order = kvs_version_cmp(j->incoming, j->current, ret_rule);
    if (KVS_MUTATED(j->mutations, KVS_MUTATION_REVERSED_TIE) && *ret_rule == KVS_VERSION_BY_UUID &&
        j->self.bytes[15] % 2)
        order = -order;
    return order;
}

// Whether loser and winner were written without knowing of each other; errs towards "no".
static bool is_conflict(const struct kvs_judgement *j, bool incoming_wins)
{
    if (j->rule != KVS_VERSION_BY_TIMESTAMP)
        return true; // had one seen the other, its timestamp would be greater
    bool ours = kvs_uuid_cmp(&j->current->writer.node, &j->self) == 0;
    if (!incoming_wins)
        return ours && !j->seen; // we wrote the winner before this one ever came
    return ours && j->sender_has_us != 0 && j->current->writer_seq > j->sender_has_us;
}

enum kvs_verdict kvs_judge(struct kvs_judgement *j)
{
    j->rule = KVS_VERSION_SAME;
    j->conflict = false;
    j->revived = false;
    const struct kvs_version *in = j->incoming;
    // What the watermark has removed is not of the future, however far behind this clock is: put
    // off or left out, it would not beat what it deleted.
    bool future = !j->due && in->timestamp > j->wall_ms + j->skew_max_ms &&
                  !kvs_version_is_removable(in, j->watermark_ms);
    // Seen already, it has been merged or waits: once aside again, it would be taken for new when
    // due.
    if (future && j->seen)
        return KVS_VERDICT_IGNORE;
    if (future)
        return in->timestamp > j->wall_ms + KVS_QUARANTINE_MS ? KVS_VERDICT_QUARANTINE
                                                              : KVS_VERDICT_DEFER;
    if (!j->current)
        return judge_absent(j);
    int order = compare(j, &j->rule);
    if (order == 0)
        return KVS_VERDICT_DUPLICATE;
    j->conflict = is_conflict(j, order > 0);
    if (order < 0)
        return KVS_VERDICT_LOSE;
    if (kvs_version_is_removable(in, j->watermark_ms))
        return KVS_VERDICT_REMOVE;
    if (is_dead(j)) {
        j->conflict = false;
        return KVS_VERDICT_IGNORE;
    }
    return KVS_VERDICT_APPLY;
}

const char *kvs_verdict_name(enum kvs_verdict verdict)
{
    static const char *const names[] = {"apply",  "lose",  "duplicate", "remove",
                                        "ignore", "defer", "quarantine"};
    return (unsigned)verdict < sizeof(names) / sizeof(names[0]) ? names[verdict] : "unknown";
}
