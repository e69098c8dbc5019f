// SPDX-License-Identifier: Apache-2.0
// Who is in the cluster. Records are merged by precedence (SWIM): the greater incarnation, which
// only the member itself raises; at the same one removed > left > dead > suspect > alive. Marks of
// removed and left members stay, so that a lagging peer cannot bring a ghost back; a living member
// that hears of its own death refutes it with a greater incarnation.
#include "repl/repl_internal.h"

#include <stdlib.h>

enum { NEWS_FANOUT = 3, ASK_MS = 500, DOWN_SAVE_MS = 3600000 };

struct member *member_find(const struct kvs_repl *r, const struct kvs_uuid *node)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (kvs_uuid_cmp(&r->members[i]->node, node) == 0)
            return r->members[i];
    return NULL;
}

struct kvs_slice member_address(const struct member *member)
{
    return kvs_slice(member->address, member->address_size);
}

struct kvs_member_record member_record(const struct member *member)
{
    struct kvs_member_record record = {
        .node = member->node,
        .name = kvs_slice(member->name, member->name_size),
        .address = member_address(member),
        .joined_timestamp = member->joined_timestamp,
        .incarnation = member->incarnation,
        .life = member->life,
        .state = member->state,
    };
    if (member->accuser_count > 0)
        record.accuser = member->accusers[0];
    return record;
}

bool member_is_reachable(const struct member *member)
{
    return member->state == KVS_MEMBER_ALIVE || member->state == KVS_MEMBER_SUSPECT;
}

// By the monotonic clock, and only while this node ran: a wall clock that jumps sends nobody into
// exile.
int64_t member_down_ms(const struct kvs_repl *r, const struct member *member)
{
    return member->state == KVS_MEMBER_DEAD ? member->down_ms + r->now_ms - member->since_ms : 0;
}

bool member_is_counted(const struct kvs_repl *r, const struct member *member)
{
    if (member->state == KVS_MEMBER_LEFT || member->state == KVS_MEMBER_REMOVED)
        return false;
    return member_down_ms(r, member) <= r->options.expire_after_ms;
}

struct member *member_random(struct kvs_repl *r, const struct member *except)
{
    struct member *found = NULL;
    uint64_t candidates = 0;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m != except && member_is_reachable(m) && repl_random_below(r, ++candidates) == 0)
            found = m;
    }
    return found;
}

// ---- Records

static void copy_text(char *to, uint16_t *to_size, struct kvs_slice from)
{
    // The decoder has bounded it to the size of `to`.
    if (from.size > 0)
        memcpy(to, from.data, from.size);
    *to_size = (uint16_t)from.size;
}

static void take_record(struct member *member, const struct kvs_member_record *record)
{
    copy_text(member->name, &member->name_size, record->name);
    copy_text(member->address, &member->address_size, record->address);
    member->joined_timestamp = record->joined_timestamp;
    member->incarnation = record->incarnation;
    member->life = record->life;
    member->told = 0;
}

static void forget_removed(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        if (r->members[i]->state != KVS_MEMBER_REMOVED && r->members[i]->state != KVS_MEMBER_LEFT)
            continue;
        member_free(r->members[i]);
        r->members[i] = r->members[--r->member_count];
        return;
    }
}

struct member *member_add(struct kvs_repl *r, const struct kvs_member_record *record)
{
    if (r->member_count == KVS_REPL_MEMBERS_MAX)
        forget_removed(r);
    if (r->member_count == KVS_REPL_MEMBERS_MAX)
        return NULL;
    if (r->member_count == r->member_capacity) {
        size_t capacity = r->member_capacity ? r->member_capacity * 2 : 4;
        struct member **members = realloc(r->members, capacity * sizeof(struct member *));
        if (!members)
            return NULL;
        r->members = members;
        r->member_capacity = capacity;
    }
    struct member *member = calloc(1, sizeof(*member));
    if (!member)
        return NULL;
    member->node = record->node;
    take_record(member, record);
    member->state = record->state;
    member->since_ms = r->now_ms;
    member->credit_bytes = r->options.batch_size_max;
    member->push_cursor = r->own_count; // what is older it pulls
    member->retry_delay_ms = 1000;
    if (member->state == KVS_MEMBER_SUSPECT)
        member->suspect_until_ms = r->now_ms + r->options.suspect_timeout_ms * 18 / 5;
    r->members[r->member_count++] = member;
    return member;
}

void member_free(struct member *member)
{
    kvs_seen_done(&member->seen);
    kvs_seen_done(&member->promise_seen);
    free(member);
}

// ---- States

// Lifeguard: the fewer confirm a suspicion, the longer the suspect has to refute it, 18 s down to
// 3 s by default. The k-th of n confirmations takes log(k+1)/log(n+1) of the way, in per mille.
static int64_t suspicion_ms(const struct kvs_repl *r, const struct member *member)
{
    static const uint32_t way[4][4] = {
        {1000, 1000, 1000, 1000}, {0, 1000, 1000, 1000}, {0, 631, 1000, 1000}, {0, 500, 792, 1000}};
    uint32_t others = 0;
    for (size_t i = 0; i < r->member_count; i++)
        others += member_is_reachable(r->members[i]) && r->members[i] != member;
    uint32_t expected = others < 3 ? others : 3;
    uint32_t confirmed = member->accuser_count > 0 ? member->accuser_count - 1 : 0;
    int64_t shortest_ms = r->options.suspect_timeout_ms * 3 / 5;
    int64_t longest_ms = r->options.suspect_timeout_ms * 18 / 5;
    return longest_ms -
           (longest_ms - shortest_ms) * way[expected][confirmed < 3 ? confirmed : 3] / 1000;
}

// News travels at once, not with the next probe: a suspicion, a death, and above all a refutation.
static void spread(struct kvs_repl *r, const struct member *about)
{
    // Everybody who hears of it passes it on: so many reach nearly all of n at once.
    int fanout = NEWS_FANOUT;
    for (size_t n = r->member_count; n > 8; n /= 2)
        fanout++;
    for (int i = 0; i < fanout; i++) {
        const struct member *to = member_random(r, about);
        if (to)
            probe_send_news(r, to, about);
    }
}

void member_set_state(struct kvs_repl *r, struct member *member, enum kvs_member_state state)
{
    if (member->state == state)
        return;
    member->state = (uint8_t)state;
    member->since_ms = r->now_ms;
    member->told = 0;
    member->retry_at_ms = 0;
    member->retry_delay_ms = 1000;
    if (state == KVS_MEMBER_ALIVE)
        member->accuser_count = 0;
    if (state == KVS_MEMBER_DEAD) {
        member->down_ms = 0;
        member->retry_at_ms = r->now_ms + member->retry_delay_ms;
    }
    if (state >= KVS_MEMBER_DEAD) {
        member->push = PUSH_IDLE;
        member->pull_deadline_ms = 0;
        member->gap_check_ms = 0;
        r->words++;
    }
    r->state_dirty = true;
    repl_notice(r, KVS_REPL_NOTICE_MEMBER, &member->node);
    if (r->out->count > 0 && !r->err)
        r->out->list[r->out->count - 1].notice.state = state;
}

void member_accuse(struct kvs_repl *r, struct member *member, const struct kvs_uuid *accuser)
{
    for (uint32_t i = 0; i < member->accuser_count; i++)
        if (kvs_uuid_cmp(&member->accusers[i], accuser) == 0)
            return;
    if (member->accuser_count == ACCUSERS_MAX)
        return;
    // The newest comes first: it is the one passed on.
    memmove(&member->accusers[1], &member->accusers[0],
            member->accuser_count * sizeof(member->accusers[0]));
    member->accusers[0] = *accuser;
    member->accuser_count++;
    member->told = 0;
    member_set_state(r, member, KVS_MEMBER_SUSPECT);
    member->suspect_until_ms = member->since_ms + suspicion_ms(r, member);
    spread(r, member);
}

// Someone speaks about us.
static void merge_self(struct kvs_repl *r, const struct kvs_member_record *record)
{
    struct member *self = &r->self;
    bool refute = record->incarnation >= self->incarnation &&
                  (record->state != KVS_MEMBER_ALIVE || record->life != self->life ||
                   record->incarnation > self->incarnation);
    if (!refute || r->leaving)
        return;
    if (record->state == KVS_MEMBER_SUSPECT && r->health < HEALTH_MAX)
        r->health++;
    self->incarnation = record->incarnation + 1;
    self->told = 0;
    r->state_dirty = true;
    spread(r, self);
}

static void new_life(struct kvs_repl *r, struct member *member)
{
    // Whatever was under way was with the process before. What it promised stands in its new
    // status again.
    member->push = PUSH_IDLE;
    member->pull_deadline_ms = 0;
    member->promise_ms = 0;
    member->gap_check_ms = 0;
    member->claim_life = 0;
    r->words++; // what it said before counts no more
    if (r->sync.phase != SYNC_NONE && kvs_uuid_cmp(&r->sync.node, &member->node) == 0)
        sync_abort(r);
}

void member_merge(struct kvs_repl *r, const struct kvs_member_record *record)
{
    if (kvs_uuid_cmp(&record->node, &r->self.node) == 0) {
        merge_self(r, record);
        return;
    }
    struct member *member = member_find(r, &record->node);
    if (!member) {
        member = member_add(r, record);
        if (!member)
            return;
        if (member_is_reachable(member))
            r->cluster.established = true;
        member->state = KVS_MEMBER_REMOVED; // so that the change is noticed
        member_set_state(r, member, (enum kvs_member_state)record->state);
        member->retry_at_ms = member->state <= KVS_MEMBER_DEAD ? r->now_ms + 1 : 0;
        if (record->state == KVS_MEMBER_SUSPECT)
            member_accuse(r, member, &record->accuser);
        return;
    }
    bool newer = record->incarnation > member->incarnation;
    bool worse = record->incarnation == member->incarnation && record->state > member->state;
    if (newer || worse) {
        bool reborn = record->life != member->life;
        bool news = (record->state == KVS_MEMBER_DEAD) != (member->state == KVS_MEMBER_DEAD) ||
                    (record->state == KVS_MEMBER_ALIVE && member->state == KVS_MEMBER_SUSPECT);
        take_record(member, record);
        member_set_state(r, member, (enum kvs_member_state)record->state);
        if (news)
            spread(r, member);
        if (newer)
            member->accuser_count = 0;
        if (reborn)
            new_life(r, member);
        r->state_dirty = true;
    }
    if (record->state == KVS_MEMBER_SUSPECT && member->state == KVS_MEMBER_SUSPECT &&
        record->incarnation == member->incarnation)
        member_accuse(r, member, &record->accuser);
}

// ---- Passing records on

static bool tellable(const struct kvs_repl *r, const struct member *member)
{
    uint32_t limit = 4;
    for (size_t n = r->member_count; n > 1; n /= 2)
        limit += 3;
    return member->told < limit;
}

size_t member_updates(struct kvs_repl *r, const struct member *to, const struct member *news,
                      struct kvs_member_record *ret_records)
{
    size_t count = 0;
    // Who is thought badly of must hear it first; and it must be heard itself.
    ret_records[count++] = member_record(&r->self);
    if (to && to->state != KVS_MEMBER_ALIVE)
        ret_records[count++] = member_record(to);
    if (news && news != to && news != &r->self)
        ret_records[count++] = member_record(news);
    while (count < UPDATES_A_PING) {
        struct member *best = tellable(r, &r->self) ? &r->self : NULL;
        for (size_t i = 0; i < r->member_count; i++) {
            struct member *m = r->members[i];
            kvs_assert(m);
            if (tellable(r, m) && (!best || m->told < best->told))
                best = m;
        }
        bool again = false;
        for (size_t i = 0; best && i < count; i++)
            again = again || kvs_uuid_cmp(&ret_records[i].node, &best->node) == 0;
        if (!best)
            break;
        best->told++;
        if (!again)
            ret_records[count++] = member_record(best);
    }
    return count;
}

static bool fill_list(struct kvs_repl *r, bool want_reply, struct kvs_repl_message *message)
{
    size_t count = r->member_count + 1;
    struct kvs_member_record *records = repl_alloc(r, count * sizeof(*records));
    if (!records)
        return false;
    records[0] = member_record(&r->self);
    for (size_t i = 0; i < r->member_count; i++)
        records[i + 1] = member_record(r->members[i]);
    *message = (struct kvs_repl_message){.head.type = KVS_MESSAGE_MEMBERS};
    message->members.want_reply = want_reply;
    message->members.digest_key = r->digest_key;
    message->members.members = records;
    message->members.member_count = count;
    return true;
}

void member_list_send_address(struct kvs_repl *r, struct kvs_slice address, bool want_reply)
{
    struct kvs_repl_message message;
    if (fill_list(r, want_reply, &message))
        repl_send_address(r, address, 0, &message);
}

void member_list_send(struct kvs_repl *r, const struct member *to, bool want_reply)
{
    member_list_send_address(r, member_address(to), want_reply);
}

void member_on_list(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    const struct kvs_message_members *list = &message->members;
    const struct kvs_member_record *own = NULL;
    for (size_t i = 0; i < list->member_count; i++)
        if (kvs_uuid_cmp(&list->members[i].node, &message->head.sender) == 0)
            own = &list->members[i];
    if (!own || own->life != message->head.sender_life)
        return;
    if (claim_of_name(r, list, own))
        return;
    struct member *sender = member_find(r, &message->head.sender);
    if (sender && claim_of_identity(r, sender, own))
        return;
    for (size_t i = 0; i < list->member_count; i++)
        member_merge(r, &list->members[i]);
    sender = member_find(r, &message->head.sender);
    if (!sender)
        return;
    bool first = sender->heard_ms == 0;
    sender->heard_ms = r->now_ms;
    if (sender->life != message->head.sender_life) {
        sender->life =
            message->head.sender_life; // its incarnation was lost; it hears and raises it
        new_life(r, sender);
    }
    // Where it speaks from is where it is reached, even if its incarnation is behind.
    copy_text(sender->address, &sender->address_size, own->address);
    if (sender->state <= KVS_MEMBER_SUSPECT)
        sender->retry_at_ms = 0;
    if (list->want_reply || sender->state > KVS_MEMBER_SUSPECT)
        member_list_send(r, sender, false);
    if (first && kvs_uuid_cmp(&message->head.cluster.id, &r->cluster.id) == 0)
        status_send(r, sender, true);
}

bool member_admit(struct kvs_repl *r, const struct kvs_message_head *head)
{
    struct member *from = member_find(r, &head->sender);
    if (head->receiver_life != 0 && head->receiver_life != r->self.life) {
        if (from) // it speaks to the process before this one
            member_list_send(r, from, false);
        return false;
    }
    if (!from || head->type == KVS_MESSAGE_MEMBERS)
        return from || head->type == KVS_MESSAGE_MEMBERS;
    if (head->sender_life != from->life)
        return false;
    claim_heard(r, from);
    return true;
}

// ---- Time

static void tick_suspects(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->state != KVS_MEMBER_SUSPECT)
            continue;
        if (r->now_ms >= m->ask_at_ms) {
            // Whoever suspects it tells it so: its answer carries the refutation.
            probe_send(r, m, member_address(m), m->life, ++r->probe_number);
            m->ask_at_ms = r->now_ms + ASK_MS;
        }
        if (r->now_ms >= m->suspect_until_ms) {
            member_set_state(r, m, KVS_MEMBER_DEAD);
            spread(r, m);
        }
    }
}

static int64_t jitter(struct kvs_repl *r, int64_t delay_ms)
{
    return delay_ms / 2 + (int64_t)repl_random_below(r, (uint64_t)delay_ms);
}

// Members not heard since the start, and dead ones for ever: speak to them, ever more rarely.
static void tick_retries(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[i];
        if (m->retry_at_ms == 0 || r->now_ms < m->retry_at_ms)
            continue;
        if (m->state > KVS_MEMBER_DEAD) {
            m->retry_at_ms = 0;
            continue;
        }
        member_list_send(r, m, true);
        m->retry_at_ms = r->now_ms + jitter(r, m->retry_delay_ms);
        m->retry_delay_ms = min_i64(m->retry_delay_ms * 2, RETRY_MAX_MS);
    }
}

static bool seed_is_known(const struct kvs_repl *r, const struct seed *seed)
{
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        if (m->heard_ms != 0 && member_is_reachable(m) &&
            kvs_slice_eq(member_address(m), kvs_slice(seed->address, seed->size)))
            return true;
    }
    return false;
}

static void tick_seeds(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->seed_count; i++) {
        struct seed *seed = &r->seeds[i];
        if (r->now_ms < seed->retry_at_ms)
            continue;
        if (seed_is_known(r, seed)) {
            seed->retry_at_ms = r->now_ms + SEED_RETRY_MAX_MS;
            seed->retry_delay_ms = 1000;
            continue;
        }
        member_list_send_address(r, kvs_slice(seed->address, seed->size), true);
        seed->retry_at_ms = r->now_ms + jitter(r, seed->retry_delay_ms);
        seed->retry_delay_ms = min_i64(seed->retry_delay_ms * 2, SEED_RETRY_MAX_MS);
    }
}

// Do all that can be reached have everything we have?
static bool all_have_ours(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        if (member_is_reachable(m) &&
            (!m->status_heard || !kvs_seen_covers_all(&m->seen, &r->seen)))
            return false;
    }
    return true;
}

static void tick_leave(struct kvs_repl *r)
{
    if (!r->leaving || (r->now_ms < r->leave_until_ms && !all_have_ours(r)))
        return;
    r->self.state = KVS_MEMBER_LEFT;
    r->self.incarnation++;
    for (size_t i = 0; i < r->member_count; i++)
        if (member_is_reachable(r->members[i]))
            member_list_send(r, r->members[i], false);
    r->left = true;
    r->state_dirty = true;
    repl_notice(r, KVS_REPL_NOTICE_LEFT, NULL);
}

// Else a node that restarts often would count the dead for ever.
static void save_down(struct kvs_repl *r)
{
    if (r->now_ms - r->down_saved_ms < min_i64(r->options.expire_after_ms / 16, DOWN_SAVE_MS))
        return;
    r->down_saved_ms = r->now_ms;
    for (size_t i = 0; i < r->member_count; i++)
        if (r->members[i]->state == KVS_MEMBER_DEAD && member_is_counted(r, r->members[i]))
            r->state_dirty = true;
}

void member_tick(struct kvs_repl *r)
{
    tick_suspects(r);
    claim_tick(r);
    tick_retries(r);
    tick_seeds(r);
    tick_leave(r);
    save_down(r);
    if (r->now_ms < r->gossip_at_ms)
        return;
    uint64_t spread_ms = (uint64_t)(r->options.gossip_max_ms - r->options.gossip_min_ms) + 1;
    r->gossip_at_ms =
        r->now_ms + r->options.gossip_min_ms + (int64_t)repl_random_below(r, spread_ms);
    const struct member *to = member_random(r, NULL);
    if (to)
        member_list_send(r, to, true);
}

void member_stood_still(struct kvs_repl *r, int64_t ms)
{
    for (size_t i = 0; i < r->member_count; i++) {
        r->members[i]->suspect_until_ms += ms;
        r->members[i]->claim_until_ms += ms;
    }
}

void member_leave(struct kvs_repl *r)
{
    if (r->leaving || r->left)
        return;
    r->leaving = true;
    r->leave_until_ms = r->now_ms + LEAVE_PATIENCE_MS;
}

void member_set_address(struct kvs_repl *r, struct kvs_slice address)
{
    struct member *self = &r->self;
    if (address.size > sizeof(self->address) || kvs_slice_eq(address, member_address(self)))
        return;
    copy_text(self->address, &self->address_size, address);
    self->incarnation++;
    self->told = 0;
    r->state_dirty = true;
    for (size_t i = 0; i < r->member_count; i++)
        if (member_is_reachable(r->members[i]))
            member_list_send(r, r->members[i], false);
}

// Peers take it for dead at once, and for alive when its next life speaks.
void member_pause(struct kvs_repl *r)
{
    r->self.state = KVS_MEMBER_DEAD;
    for (size_t i = 0; i < r->member_count; i++)
        if (member_is_reachable(r->members[i]))
            member_list_send(r, r->members[i], false);
    r->self.state = KVS_MEMBER_ALIVE;
}

void member_remove(struct kvs_repl *r, const struct kvs_uuid *node)
{
    struct member *member = member_find(r, node);
    if (member && member->state != KVS_MEMBER_REMOVED)
        member_set_state(r, member, KVS_MEMBER_REMOVED);
}
