// SPDX-License-Identifier: Apache-2.0
// Whoever claims what a living member has: its identity (a copied directory) or its name (a copied
// config; decision 0033). The holder is asked; if it answers, the claimant is told to stop.
#include "repl/repl_internal.h"

enum { CLAIM_MS = 1500, CLAIM_ASK_MS = 400, CLAIM_VALID_MS = 10000 };

// Somebody claims what a living member has. That one is asked; if it answers, the claimant is told
// to stop (claim_answer).
static void claim(struct kvs_repl *r, struct member *member, const struct kvs_member_record *record,
                  bool of_name)
{
    if (member->claim_life == record->life && r->now_ms <= member->claim_until_ms + CLAIM_VALID_MS)
        return;
    member->claim_life = record->life;
    member->claim_is_name = of_name;
    member->claim_until_ms = r->now_ms + CLAIM_MS;
    member->claim_probe = r->probe_number;
    member->claim_ask_ms = r->now_ms + CLAIM_ASK_MS;
    // The decoder has bounded it.
    member->claim_address_size = (uint16_t)record->address.size;
    if (record->address.size > 0)
        memcpy(member->claim_address, record->address.data, record->address.size);
    probe_send(r, member, member_address(member), member->life, ++r->probe_number);
}

// Is a second process using a living member's identity from another address (a copied directory)?
// True: wait.
bool claim_of_identity(struct kvs_repl *r, struct member *member,
                       const struct kvs_member_record *record)
{
    bool moved = !kvs_slice_eq(record->address, member_address(member));
    if (record->life == member->life || !moved || !member_is_reachable(member))
        return false;
    claim(r, member, record, false);
    return r->now_ms < member->claim_until_ms;
}

// ---- Names: a living node's belongs to it alone (decision 0033)

static void refuse_name(struct kvs_repl *r, const struct kvs_uuid *holder, struct kvs_slice address,
                        uint32_t life)
{
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_NAME_TAKEN};
    repl_send_address(r, address, life, &message);
    repl_notice(r, KVS_REPL_NOTICE_NAME_REFUSED, holder);
}

static struct kvs_slice member_name(const struct member *member)
{
    return kvs_slice(member->name, member->name_size);
}

// Two nodes of one name have met: is it this one that must stop? Whoever was taken for dead, and
// replaced meanwhile, has lost the name; else the one that joined later. Both come to the same
// answer.
static bool yields_name(const struct kvs_repl *r, const struct kvs_message_members *list,
                        const struct kvs_member_record *own)
{
    const struct member *known = member_find(r, &own->node);
    bool replaced_it = known && known->state >= KVS_MEMBER_DEAD;
    bool was_replaced = false;
    for (size_t i = 0; i < list->member_count; i++)
        was_replaced = was_replaced || (kvs_uuid_cmp(&list->members[i].node, &r->self.node) == 0 &&
                                        list->members[i].state >= KVS_MEMBER_DEAD);
    if (replaced_it != was_replaced)
        return was_replaced;
    if (own->joined_timestamp != r->self.joined_timestamp)
        return own->joined_timestamp < r->self.joined_timestamp;
    return kvs_uuid_cmp(&own->node, &r->self.node) < 0;
}

// Does the sender of a list come with a name that is not its own? Then nothing of it is believed.
bool claim_of_name(struct kvs_repl *r, const struct kvs_message_members *list,
                   const struct kvs_member_record *own)
{
    const struct member *known = member_find(r, &own->node);
    if (own->name.size == 0 || own->state > KVS_MEMBER_SUSPECT)
        return false;
    if (kvs_slice_eq(own->name, member_name(&r->self))) {
        if (yields_name(r, list, own))
            member_list_send_address(r, own->address, false); // for it to say so
        else
            refuse_name(r, &r->self.node, own->address, own->life);
        return true;
    }
    if (known && member_is_reachable(known))
        return false; // it is one of us: the two will meet
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m == known || !member_is_reachable(m) || !kvs_slice_eq(member_name(m), own->name))
            continue;
        claim(r, m, own, true);
        return true;
    }
    return false;
}

// One ping, or its answer, may be lost.
void claim_tick(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->claim_life == 0 || r->now_ms >= m->claim_until_ms || r->now_ms < m->claim_ask_ms)
            continue;
        m->claim_ask_ms = r->now_ms + CLAIM_ASK_MS;
        probe_send(r, m, member_address(m), m->life, ++r->probe_number);
    }
}

void claim_heard(const struct kvs_repl *r, struct member *holder)
{
    if (r->now_ms > holder->claim_until_ms)
        holder->claim_life = 0; // the next claim asks again
}

// Only what answers a ping from behind the claim tells that it lives: anything else may have waited
// somewhere since before its process ended.
void claim_answer(struct kvs_repl *r, struct member *holder, uint32_t probe)
{
    if (holder->claim_life == 0 || r->now_ms > holder->claim_until_ms ||
        probe <= holder->claim_probe)
        return;
    struct kvs_slice address = kvs_slice(holder->claim_address, holder->claim_address_size);
    uint32_t life = holder->claim_life;
    holder->claim_life = 0; // whoever comes again asks again
    if (holder->claim_is_name) {
        refuse_name(r, &holder->node, address, life);
    } else {
        struct kvs_repl_message message = {.head.type = KVS_MESSAGE_DUPLICATE};
        repl_send_address(r, address, life, &message);
    }
}
