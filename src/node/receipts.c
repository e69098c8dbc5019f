// SPDX-License-Identifier: Apache-2.0
// Receipts: how many nodes have our writes, who waits for it, which nodes have a version.
//
// A peer's word about our writes is one number: it has all of them up to there. Sorted, the k-th
// greatest of these numbers says how far k peers have come, so one look at an array tells whether a
// write is where it should be, and a wait costs one comparison each time a peer speaks.
//
// `lock` guards the list and the array. The replica's thread publishes, then looks at the list; who
// waits looks at the array and lists itself under the same lock: neither misses the other.
#include "base/assert.h"
#include "node/node_internal.h"
#include "node/receipts_internal.h"
#include "node/replica.h"
#include "repl/seen.h"

#include <stdlib.h>

struct kvs_receipts {
    pthread_mutex_t lock;
    struct kvs_receipt_wait *first, *last; // oldest first
    size_t count;
    uint32_t reached[KVS_REPL_MEMBERS_MAX]; // greatest first: how far k + 1 peers have come
    size_t peers;
    uint64_t words; // the replica's thread's: of the core, when `reached` was taken
};

int kvs_receipts_new(struct kvs_receipts **ret_receipts)
{
    struct kvs_receipts *receipts = calloc(1, sizeof(*receipts));
    if (!receipts)
        return KVS_ERR_NOMEM;
    (void)pthread_mutex_init(&receipts->lock, NULL); // does not fail with default attributes
    *ret_receipts = receipts;
    return 0;
}

void kvs_receipts_free(struct kvs_receipts *receipts)
{
    if (!receipts)
        return;
    kvs_assert(!receipts->first); // whoever waits belongs to a request, and none is left
    (void)pthread_mutex_destroy(&receipts->lock);
    free(receipts);
}

// ---- The list

static void list(struct kvs_receipts *receipts, struct kvs_receipt_wait *wait)
{
    wait->next = NULL;
    wait->prev = receipts->last;
    if (wait->prev)
        wait->prev->next = wait;
    else
        receipts->first = wait;
    receipts->last = wait;
    wait->listed = true;
    receipts->count++;
}

static void unlist(struct kvs_receipts *receipts, struct kvs_receipt_wait *wait)
{
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        receipts->first = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    else
        receipts->last = wait->prev;
    wait->listed = false;
    receipts->count--;
}

static bool is_reached(const struct kvs_receipts *receipts, const struct kvs_receipt_wait *wait)
{
    size_t peers = wait->nodes > 0 ? wait->nodes - 1 : 0;
    return peers == 0 || (peers <= receipts->peers &&
                          receipts->reached[peers - 1] >= kvs_dot_count(wait->writer_seq));
}

bool kvs_node_receipt_wait(struct kvs_node *node, struct kvs_receipt_wait *wait)
{
    struct kvs_receipts *receipts = node->receipts;
    if (!receipts)
        return false;
    (void)pthread_mutex_lock(&receipts->lock); // a plain mutex that we never lock twice
    bool reached = is_reached(receipts, wait);
    bool listed = !reached && receipts->count < KVS_RECEIPT_WAITS_MAX;
    wait->listed = false;
    if (listed)
        list(receipts, wait);
    (void)pthread_mutex_unlock(&receipts->lock);
    if (reached)
        kvs_executor_post(wait->executor, &wait->task);
    return reached || listed;
}

bool kvs_node_receipt_unwait(struct kvs_node *node, struct kvs_receipt_wait *wait)
{
    struct kvs_receipts *receipts = node->receipts;
    (void)pthread_mutex_lock(&receipts->lock);
    bool listed = wait->listed;
    if (listed)
        unlist(receipts, wait);
    (void)pthread_mutex_unlock(&receipts->lock);
    return listed;
}

uint32_t kvs_node_receipt_count(struct kvs_node *node, uint64_t writer_seq)
{
    struct kvs_receipts *receipts = node->receipts;
    uint32_t count = 1;
    if (!receipts)
        return count;
    (void)pthread_mutex_lock(&receipts->lock);
    for (size_t i = 0; i < receipts->peers; i++)
        count += receipts->reached[i] >= kvs_dot_count(writer_seq);
    (void)pthread_mutex_unlock(&receipts->lock);
    return count;
}

// ---- Telling

static void publish(struct kvs_receipts *receipts, const struct kvs_repl *core, size_t peers)
{
    for (size_t i = 0; i < peers; i++) {
        uint32_t acked = kvs_repl_acked(core, i);
        size_t at = i;
        for (; at > 0 && receipts->reached[at - 1] < acked; at--)
            receipts->reached[at] = receipts->reached[at - 1];
        receipts->reached[at] = acked;
    }
    receipts->peers = peers;
}

void kvs_receipts_tell(struct kvs_receipts *receipts, const struct kvs_repl *core)
{
    struct kvs_repl_view view;
    struct kvs_receipt_wait *told = NULL;
    struct kvs_receipt_wait **end = &told;
    kvs_repl_view(core, &view);
    if (view.words == receipts->words)
        return;
    receipts->words = view.words;
    (void)pthread_mutex_lock(&receipts->lock);
    publish(receipts, core, view.member_count);
    for (struct kvs_receipt_wait *wait = receipts->first, *next; wait; wait = next) {
        next = wait->next;
        if (!is_reached(receipts, wait))
            continue;
        unlist(receipts, wait);
        wait->next = NULL;
        *end = wait;
        end = &wait->next;
    }
    (void)pthread_mutex_unlock(&receipts->lock);
    while (told) { // nobody else touches one that is not listed any more
        struct kvs_receipt_wait *next = told->next;
        kvs_executor_post(told->executor, &told->task); // `told` may be gone now
        told = next;
    }
}

// ---- Who has a version

struct asking {
    const struct kvs_version *version;
    void (*visit)(void *ctx, const struct kvs_holder *holder);
    void *ctx;
};

static void visit_peers(void *opaque, const struct kvs_repl *core)
{
    const struct asking *asking = opaque;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        if (member.record.state >= KVS_MEMBER_LEFT)
            continue;
        const struct kvs_holder holder = {
            .name = member.record.name,
            .state = (enum kvs_member_state)member.record.state,
            .has =
                kvs_repl_has(core, i, &asking->version->writer.node, asking->version->writer_seq),
        };
        asking->visit(asking->ctx, &holder);
    }
}

void kvs_node_holders(struct kvs_node *node, const struct kvs_version *version,
                      void (*visit)(void *ctx, const struct kvs_holder *holder), void *ctx)
{
    const struct kvs_holder self = {.name = kvs_slice_from_str(node->node_id),
                                    .state = KVS_MEMBER_ALIVE,
                                    .self = true,
                                    .has = KVS_REPL_HAS_YES};
    struct asking asking = {version, visit, ctx};
    visit(ctx, &self);
    if (node->replica)
        kvs_replica_look(node->replica, visit_peers, &asking);
}

// ---- How far behind

struct ageing {
    int64_t now_ms;
    void (*visit)(void *ctx, struct kvs_slice name, int64_t age_ms);
    void *ctx;
};

static void visit_ages(void *opaque, const struct kvs_repl *core)
{
    const struct ageing *ageing = opaque;
    struct kvs_repl_view view;
    kvs_repl_view(core, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        struct kvs_repl_member_view member;
        kvs_repl_member(core, i, &member);
        int64_t at_ms = member.caught_ms > member.agreed_ms ? member.caught_ms : member.agreed_ms;
        int64_t age_ms = ageing->now_ms > at_ms ? ageing->now_ms - at_ms : 0;
        if (member.record.state < KVS_MEMBER_LEFT)
            ageing->visit(ageing->ctx, member.record.name, at_ms != 0 ? age_ms : -1);
    }
}

void kvs_node_staleness(struct kvs_node *node,
                        void (*visit)(void *ctx, struct kvs_slice name, int64_t age_ms), void *ctx)
{
    struct ageing ageing = {kvs_clock_mono_ms(node->options.clock), visit, ctx};
    if (node->replica)
        kvs_replica_look(node->replica, visit_ages, &ageing);
}
