// SPDX-License-Identifier: Apache-2.0
// Failure detection (SWIM with Lifeguard): one member is pinged each interval, round robin; when no
// answer comes, three others are asked to try; when none of them gets through, it is suspected.
// Slow ourselves, we give others more time. Pings and pongs carry member records along, and measure
// the clocks' offset.
#include "repl/repl_internal.h"

static void ping_send(struct kvs_repl *r, const struct member *to, struct kvs_slice address,
                      uint32_t receiver_life, uint32_t number, const struct member *news)
{
    struct kvs_member_record updates[UPDATES_A_PING];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PING};
    message.ping.probe = number;
    message.ping.target = to->node;
    message.ping.updates = updates;
    message.ping.update_count = member_updates(r, to, news, updates);
    repl_send_address(r, address, receiver_life, &message);
}

void probe_send(struct kvs_repl *r, const struct member *to, struct kvs_slice address,
                uint32_t receiver_life, uint32_t number)
{
    ping_send(r, to, address, receiver_life, number, NULL);
}

void probe_send_news(struct kvs_repl *r, const struct member *to, const struct member *news)
{
    ping_send(r, to, member_address(to), to->life, ++r->probe_number, news);
}

static void merge_updates(struct kvs_repl *r, const struct kvs_message_ping *ping)
{
    for (size_t i = 0; i < ping->update_count; i++)
        member_merge(r, &ping->updates[i]);
}

static void note_offset(struct kvs_repl *r, struct member *from, int64_t sent_ms, int64_t peer_ms)
{
    struct kvs_offset_sample sample = {sent_ms, peer_ms, r->wall_ms};
    kvs_clock_offset_add(&from->offset, &sample);
    int64_t offset_ms = kvs_clock_offset_ms(&from->offset);
    bool off = offset_ms > r->options.skew_max_ms || offset_ms < -r->options.skew_max_ms;
    if (off && !from->offset_noticed) {
        repl_notice(r, KVS_REPL_NOTICE_CLOCK, &from->node);
        if (!r->err)
            r->out->list[r->out->count - 1].notice.offset_ms = offset_ms;
    }
    from->offset_noticed = off;
}

static void pong_send(struct kvs_repl *r, const struct member *to, uint32_t number,
                      int64_t echo_sent_ms, const struct kvs_uuid *target)
{
    struct kvs_member_record updates[UPDATES_A_PING];
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PONG};
    message.ping.probe = number;
    message.ping.echo_sent_ms = echo_sent_ms;
    message.ping.target = *target;
    message.ping.updates = updates;
    message.ping.update_count = member_updates(r, to, NULL, updates);
    repl_send(r, to, &message);
}

void probe_on_ping(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    struct member *from = member_find(r, &message->head.sender);
    merge_updates(r, &message->ping);
    if (from && kvs_uuid_cmp(&message->ping.target, &r->self.node) == 0)
        pong_send(r, from, message->ping.probe, message->head.sent_ms, &r->self.node);
}

void probe_on_request(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    merge_updates(r, &message->ping);
    struct member *target = member_find(r, &message->ping.target);
    if (!target)
        return;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(r->relays); i++) {
        struct relay *relay = &r->relays[i];
        if (relay->until_ms > r->now_ms)
            continue;
        *relay = (struct relay){++r->probe_number, message->ping.probe, message->head.sender,
                                r->now_ms + REPLY_TIMEOUT_MS};
        probe_send(r, target, message->ping.target_address, target->life, relay->number);
        return;
    }
}

void probe_on_pong(struct kvs_repl *r, const struct kvs_repl_message *message)
{
    const struct kvs_message_ping *pong = &message->ping;
    struct member *from = member_find(r, &message->head.sender);
    merge_updates(r, pong);
    if (from && kvs_uuid_cmp(&pong->target, &from->node) == 0 && pong->echo_sent_ms != 0) {
        note_offset(r, from, pong->echo_sent_ms, message->head.sent_ms);
        claim_answer(r, from, pong->probe);
    }
    for (size_t i = 0; i < KVS_ARRAY_SIZE(r->relays); i++) {
        struct relay *relay = &r->relays[i];
        if (relay->until_ms <= r->now_ms || relay->number != pong->probe)
            continue;
        const struct member *asker = member_find(r, &relay->asker);
        if (asker)
            pong_send(r, asker, relay->asked_number, 0, &pong->target);
        relay->until_ms = 0;
        return;
    }
    if (r->probe.active && r->probe.number == pong->probe &&
        kvs_uuid_cmp(&r->probe.target, &pong->target) == 0) {
        r->probe.active = false;
        if (r->health > 0)
            r->health--;
    }
}

static void ask_others(struct kvs_repl *r, const struct member *target)
{
    struct member *asked[INDIRECT_PROBES] = {NULL};
    size_t count = 0;
    for (unsigned attempt = 0; attempt < INDIRECT_PROBES * 3 && count < INDIRECT_PROBES;
         attempt++) {
        struct member *helper = member_random(r, target);
        bool again = !helper;
        for (size_t i = 0; i < count; i++)
            again = again || asked[i] == helper;
        if (again)
            continue;
        asked[count++] = helper;
        struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PING_REQUEST};
        message.ping.probe = r->probe.number;
        message.ping.target = target->node;
        message.ping.target_address = member_address(target);
        repl_send(r, helper, &message);
    }
    // And once more ourselves: one lost message is no reason to suspect anybody.
    probe_send(r, target, member_address(target), target->life, r->probe.number);
}

static void probe_next(struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[r->probe_at++ % r->member_count];
        if (!member_is_reachable(m))
            continue;
        int64_t interval_ms = r->options.probe_interval_ms * (1 + (int64_t)r->health);
        r->probe = (struct probe){
            .active = true,
            .number = ++r->probe_number,
            .target = m->node,
            .indirect_at_ms = r->now_ms + interval_ms / 3,
            .fail_at_ms = r->now_ms + interval_ms,
        };
        probe_send(r, m, member_address(m), m->life, r->probe.number);
        return;
    }
}

static void probe_failed(struct kvs_repl *r, struct member *target)
{
    if (r->health < HEALTH_MAX)
        r->health++;
    if (!target || !member_is_reachable(target))
        return;
    member_accuse(r, target, &r->self.node);
    // Tell the suspect itself, so that it can refute.
    probe_send(r, target, member_address(target), target->life, ++r->probe_number);
}

void probe_tick(struct kvs_repl *r)
{
    if (r->probe.active) {
        struct member *target = member_find(r, &r->probe.target);
        if (!r->probe.indirect && r->now_ms >= r->probe.indirect_at_ms) {
            r->probe.indirect = true;
            if (target && member_is_reachable(target))
                ask_others(r, target);
        }
        if (r->now_ms >= r->probe.fail_at_ms) {
            r->probe.active = false;
            probe_failed(r, target);
        }
    }
    if (r->now_ms < r->probe_at_ms)
        return;
    r->probe_at_ms = r->now_ms + r->options.probe_interval_ms;
    if (!r->probe.active)
        probe_next(r);
}

void probe_stood_still(struct kvs_repl *r, int64_t ms)
{
    r->probe.indirect_at_ms += ms;
    r->probe.fail_at_ms += ms;
}
