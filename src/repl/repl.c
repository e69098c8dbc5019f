// SPDX-License-Identifier: Apache-2.0
// The machine itself: making it, one step, and what every part of it uses to act. What a message or
// a completion means is in the file of its subject.
#include "repl/repl.h"

#include "repl/repl_internal.h"

#include <stdlib.h>

enum { ACTIONS_MAX = 16384, ACTIONS_ARENA_MAX = 1 << 30 };

void kvs_repl_actions_init(struct kvs_repl_actions *actions)
{
    *actions = (struct kvs_repl_actions){0};
    kvs_arena_init(&actions->arena, ACTIONS_ARENA_MAX);
}

void kvs_repl_actions_done(struct kvs_repl_actions *actions)
{
    free(actions->list);
    kvs_arena_done(&actions->arena);
    *actions = (struct kvs_repl_actions){0};
}

const char *kvs_repl_notice_name(enum kvs_repl_notice notice)
{
    static const char *const names[] = {"member",   "duplicate", "name-taken", "name-refused",
                                        "diverged", "synced",    "returned",   "joined",
                                        "serving",  "left",      "clock"};
    return (unsigned)notice < KVS_ARRAY_SIZE(names) ? names[notice] : "unknown";
}

// ---- What the parts use

uint64_t repl_random(struct kvs_repl *r)
{
    uint64_t z = (r->random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t repl_random_below(struct kvs_repl *r, uint64_t bound)
{
    return repl_random(r) % bound; // choices, not secrets: the bias is of no matter
}

struct kvs_repl_action *repl_emit(struct kvs_repl *r, enum kvs_repl_action_type type)
{
    struct kvs_repl_actions *out = r->out;
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 16;
        struct kvs_repl_action *list =
            capacity <= ACTIONS_MAX ? realloc(out->list, capacity * sizeof(*list)) : NULL;
        if (!list) {
            r->err = KVS_ERR_NOMEM;
            return NULL;
        }
        out->list = list;
        out->capacity = capacity;
    }
    struct kvs_repl_action *action = &out->list[out->count++];
    *action = (struct kvs_repl_action){.type = type};
    return action;
}

void *repl_alloc(struct kvs_repl *r, size_t size)
{
    void *memory = kvs_arena_alloc(&r->out->arena, size);
    if (!memory)
        r->err = KVS_ERR_NOMEM;
    return memory;
}

struct kvs_slice repl_keep(struct kvs_repl *r, struct kvs_slice bytes)
{
    struct kvs_slice copy = kvs_arena_copy(&r->out->arena, bytes);
    if (!copy.data)
        r->err = KVS_ERR_NOMEM;
    return copy;
}

void repl_send_address(struct kvs_repl *r, struct kvs_slice address, uint32_t receiver_life,
                       struct kvs_repl_message *message)
{
    if (r->left || address.size == 0)
        return;
    struct kvs_message_head *head = &message->head;
    head->cluster = r->cluster;
    head->sender = r->self.node;
    head->sender_life = r->self.life;
    head->receiver_life = receiver_life;
    head->sent_ms = r->wall_ms;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(KVS_MESSAGE_SIZE_MAX);
    kvs_repl_message_encode(message, &bytes);
    if (bytes.err) {
        r->err = KVS_ERR_NOMEM;
        return;
    }
    struct kvs_slice kept = repl_keep(r, kvs_buf_slice(&bytes));
    struct kvs_slice kept_address = repl_keep(r, address);
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_SEND);
    if (action && kept.data && kept_address.data) {
        action->send.address = kept_address;
        action->send.bytes = kept;
    } else if (action) {
        r->out->count--;
    }
}

void repl_send(struct kvs_repl *r, const struct member *to, struct kvs_repl_message *message)
{
    repl_send_address(r, member_address(to), to->life, message);
}

struct token *repl_token(struct kvs_repl *r, enum token_kind kind, const struct member *member)
{
    if (r->token_count == TOKENS_MAX)
        return NULL;
    if (r->token_count == r->token_capacity) {
        size_t capacity = r->token_capacity ? r->token_capacity * 2 : 16;
        struct token *tokens = realloc(r->tokens, capacity * sizeof(*tokens));
        if (!tokens) {
            r->err = KVS_ERR_NOMEM;
            return NULL;
        }
        r->tokens = tokens;
        r->token_capacity = capacity;
    }
    struct token *token = &r->tokens[r->token_count++];
    *token = (struct token){.token = ++r->token_last, .kind = kind, .made_ms = r->now_ms};
    if (member) {
        token->node = member->node;
        token->node_life = member->life;
    }
    return token;
}

bool repl_token_take(struct kvs_repl *r, uint64_t token, struct token *ret_token)
{
    for (size_t i = 0; i < r->token_count; i++) {
        if (r->tokens[i].token != token)
            continue;
        *ret_token = r->tokens[i];
        r->tokens[i] = r->tokens[--r->token_count];
        return true;
    }
    return false;
}

bool repl_token_pending(const struct kvs_repl *r, enum token_kind kind)
{
    for (size_t i = 0; i < r->token_count; i++)
        if (r->tokens[i].kind == kind)
            return true;
    return false;
}

void repl_notice(struct kvs_repl *r, enum kvs_repl_notice kind, const struct kvs_uuid *node)
{
    struct kvs_repl_action *action = repl_emit(r, KVS_REPL_ACTION_NOTICE);
    if (!action)
        return;
    action->notice.kind = kind;
    if (node)
        action->notice.node = *node;
}

bool repl_is_exact(const struct kvs_repl *r)
{
    return r->rekey_token == 0 && r->deferred_count == 0 && r->purged_ms == r->watermark_ms &&
           !r->returning && !gc_is_estranged(r) && !sync_is_wanted(r) &&
           r->sync.phase == SYNC_NONE && kvs_seen_is_exact(&r->seen);
}

uint32_t kvs_repl_next_life(uint32_t previous_life, int64_t wall_ms, uint64_t random)
{
    // Seconds since 2020, or the life before, and a little luck: a copy of this directory that
    // starts at the same time with the same clock still takes another.
    int64_t now_s = wall_ms / 1000 - 1577836800;
    uint64_t base = now_s > 0 && now_s < (int64_t)UINT32_MAX / 2 ? (uint64_t)now_s : 0;
    if (base < previous_life)
        base = previous_life;
    uint64_t life = base + 1 + random % 4096;
    return life > UINT32_MAX ? UINT32_MAX : (uint32_t)life;
}

// ---- Making

static void copy_text(char *to, uint16_t *to_size, struct kvs_slice from, size_t size_max)
{
    size_t size = from.size < size_max ? from.size : size_max;
    if (size > 0)
        memcpy(to, from.data, size);
    *to_size = (uint16_t)size;
}

static void init_self(struct kvs_repl *r, const struct kvs_repl_options *options)
{
    struct member *self = &r->self;
    self->node = options->node;
    self->joined_timestamp = options->joined_timestamp;
    self->life = options->life;
    self->state = KVS_MEMBER_ALIVE;
    self->incarnation++; // the persisted one is of the life before
    copy_text(self->name, &self->name_size, options->name, KVS_REPL_NAME_MAX);
    copy_text(self->address, &self->address_size, options->address, KVS_REPL_ADDRESS_MAX);
}

static void init_seeds(struct kvs_repl *r, const struct kvs_repl_options *options)
{
    for (size_t i = 0; i < options->seed_count && r->seed_count < KVS_REPL_SEEDS_MAX; i++) {
        if (kvs_slice_eq(options->seeds[i], options->address))
            continue;
        struct seed *seed = &r->seeds[r->seed_count++];
        copy_text(seed->address, &seed->size, options->seeds[i], KVS_REPL_ADDRESS_MAX);
        seed->retry_delay_ms = 1000;
    }
}

static void init_timers(struct kvs_repl *r)
{
    const struct kvs_repl_options *o = &r->options;
    r->started_ms = r->now_ms;
    // All lists are in much the same order: not everybody begins with the same member.
    r->probe_at = (size_t)repl_random_below(r, KVS_REPL_MEMBERS_MAX);
    r->status_at = (size_t)repl_random_below(r, KVS_REPL_MEMBERS_MAX);
    r->probe_at_ms = r->now_ms + (int64_t)repl_random_below(r, (uint64_t)o->probe_interval_ms);
    r->status_at_ms = r->now_ms + (int64_t)repl_random_below(r, (uint64_t)o->status_interval_ms);
    r->gossip_at_ms = r->now_ms + o->gossip_min_ms;
    r->sync_at_ms = r->now_ms + o->status_interval_ms; // soon after a start: what was missed
    r->promise_at_ms = r->now_ms + o->promise_interval_ms;
}

// In this life or, as far as is remembered, in one before.
static bool has_written(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->seen.count; i++)
        if (kvs_uuid_cmp(&r->seen.entries[i].node, &r->self.node) == 0)
            return true;
    return false;
}

static void init_boot(struct kvs_repl *r)
{
    bool empty = r->root.count == 0 && r->seen.count == 0 && !r->cluster.established;
    if (r->boot.phase == BOOT_DONE && empty && (r->seed_count > 0 || r->member_count > 0))
        r->boot.phase = BOOT_SEEKING;
    bool reads = r->boot.phase == BOOT_SEEKING || r->boot.phase == BOOT_PAGES;
    r->boot.syncing = reads && !has_written(r); // who has been served is served
    r->boot.deadline_ms = r->now_ms + LONELY_MS;
    if (r->root.count > 0)
        r->cluster.established = true;
}

int kvs_repl_new(const struct kvs_repl_options *options, struct kvs_repl **ret_repl)
{
    KVS_CLEANUP(kvs_repl_freep) struct kvs_repl *r = calloc(1, sizeof(*r));
    if (!r)
        return KVS_ERR_NOMEM;
    r->options = *options;
    r->random_state = options->random_seed;
    r->now_ms = options->now_ms;
    r->wall_ms = options->wall_ms;
    r->cluster = options->cluster;
    r->digest_key = options->digest_key;
    r->root = options->root;
    kvs_arena_init(&r->sync.arena, ACTIONS_ARENA_MAX);
    int err = options->seen ? kvs_seen_copy(&r->seen, options->seen) : 0;
    if (!err && options->state.size > 0)
        err = state_decode(r, options->state);
    if (err)
        return err;
    init_self(r, options);
    init_seeds(r, options);
    init_timers(r);
    init_boot(r);
    r->options.state = KVS_SLICE_EMPTY;
    r->options.name = KVS_SLICE_EMPTY;
    r->options.address = KVS_SLICE_EMPTY;
    r->options.seeds = NULL;
    r->options.seen = NULL;
    r->purged_ms = INT64_MIN; // not known before the first purge has been repeated
    r->state_dirty = true;    // the incarnation
    *ret_repl = KVS_TAKE(r);
    return 0;
}

void kvs_repl_free(struct kvs_repl *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->member_count; i++)
        member_free(r->members[i]);
    free(r->members);
    for (size_t i = 0; i < r->token_count; i++)
        kvs_seen_done(&r->tokens[i].seen);
    free(r->tokens);
    sync_done(&r->sync);
    kvs_arena_done(&r->sync.arena);
    kvs_seen_done(&r->seen);
    free(r);
}

// ---- One step

static void on_peer_message(struct kvs_repl *r, struct member *from,
                            const struct kvs_repl_message *message)
{
    switch ((enum kvs_message_type)message->head.type) {
    case KVS_MESSAGE_STATUS:
        status_on_message(r, from, message);
        break;
    case KVS_MESSAGE_BATCH:
        batch_on_message(r, from, &message->batch);
        break;
    case KVS_MESSAGE_BATCH_ACK:
        push_on_ack(r, from, &message->batch_ack);
        break;
    case KVS_MESSAGE_PULL:
        pull_on_request(r, from, &message->pull);
        break;
    case KVS_MESSAGE_COMPARE:
        serve_compare(r, from, &message->compare);
        break;
    case KVS_MESSAGE_COMPARED:
        sync_on_compared(r, from, &message->compared);
        break;
    case KVS_MESSAGE_FETCH:
        serve_fetch(r, from, &message->fetch);
        break;
    case KVS_MESSAGE_ITEMS:
        sync_on_items(r, from, &message->items);
        break;
    case KVS_MESSAGE_PAGE:
        serve_page(r, from, &message->page);
        break;
    case KVS_MESSAGE_PAGE_ANSWER:
        boot_on_page(r, from, &message->page_answer);
        break;
    default:
        break;
    }
}

static void on_message(struct kvs_repl *r, struct kvs_slice bytes,
                       const struct kvs_repl_item *page_end)
{
    struct kvs_repl_message message;
    int err = kvs_repl_message_decode(bytes, &r->out->arena, &message);
    if (err || r->left)
        return; // malformed, or of another release: as if it had been lost
    if (message.head.type == KVS_MESSAGE_PAGE_ANSWER)
        message.page_answer.end = page_end;
    const struct kvs_message_head *head = &message.head;
    if (kvs_uuid_cmp(&head->sender, &r->self.node) == 0)
        return;
    if (head->type == KVS_MESSAGE_DUPLICATE || head->type == KVS_MESSAGE_NAME_TAKEN) {
        bool identity = head->type == KVS_MESSAGE_DUPLICATE;
        if (head->receiver_life == r->self.life)
            repl_notice(r, identity ? KVS_REPL_NOTICE_DUPLICATE : KVS_REPL_NOTICE_NAME_TAKEN,
                        &head->sender);
        return;
    }
    if (!member_admit(r, head) || !cluster_admit(r, &message))
        return;
    struct member *from = member_find(r, &head->sender);
    if (from)
        from->heard_ms = r->now_ms;
    switch ((enum kvs_message_type)head->type) {
    case KVS_MESSAGE_PING:
        probe_on_ping(r, &message);
        return;
    case KVS_MESSAGE_PONG:
        probe_on_pong(r, &message);
        return;
    case KVS_MESSAGE_PING_REQUEST:
        probe_on_request(r, &message);
        return;
    case KVS_MESSAGE_MEMBERS:
        member_on_list(r, &message);
        return;
    default:
        if (from && from->state <= KVS_MEMBER_DEAD)
            on_peer_message(r, from, &message);
        return;
    }
}

static void on_commit(struct kvs_repl *r, const struct kvs_repl_commit *commit)
{
    r->root = commit->root;
    r->deferred_count = commit->deferred_count;
    r->purged_ms = commit->purged_ms;
    if (commit->token == r->rekey_token)
        r->rekey_token = 0;
    if (commit->own_count > r->own_count) {
        struct kvs_version newest = {.timestamp = commit->own_newest_ms,
                                     .writer.node = r->self.node,
                                     .writer_seq = kvs_dot_seq(r->self.life, commit->own_count)};
        struct kvs_seen_run run = {r->self.node, r->self.life, r->own_count, commit->own_count};
        if (kvs_seen_note(&r->seen, &newest) || kvs_seen_advance(&r->seen, &run))
            r->err = KVS_ERR_NOMEM;
        else
            r->own_count = commit->own_count;
        r->cluster.established = true;
    }
    struct token token;
    if (commit->token != 0 && repl_token_take(r, commit->token, &token)) {
        switch (token.kind) {
        case TOKEN_BATCH_APPLY:
        case TOKEN_ITEMS_APPLY:
            batch_on_applied(r, &token, commit);
            break;
        case TOKEN_SYNC_APPLY:
        case TOKEN_SYNC_ADOPT:
            sync_on_applied(r, &token, commit);
            break;
        case TOKEN_PAGE_APPLY:
            boot_on_applied(r, &token, commit);
            break;
        case TOKEN_PROMISE:
            gc_on_promised(r, commit->promise_ms);
            break;
        case TOKEN_FOLD:
            if (!commit->err && kvs_seen_adopt(&r->seen, &token.seen))
                r->err = KVS_ERR_NOMEM;
            break;
        default:
            break;
        }
        kvs_seen_done(&token.seen);
    }
    if (commit->revived)
        sync_with_all(r);
    gc_update(r);
    push_kick(r);
}

static void on_read(struct kvs_repl *r, const struct kvs_repl_read *read)
{
    struct token token;
    if (!repl_token_take(r, read->token, &token))
        return;
    switch (token.kind) {
    case TOKEN_PUSH_READ:
        push_on_read(r, &token, read);
        break;
    case TOKEN_PULL_READ:
        pull_on_read(r, &token, read);
        break;
    case TOKEN_FETCH_READ:
    case TOKEN_OFFER_READ:
        serve_items(r, &token, read);
        break;
    case TOKEN_PAGE_READ:
        serve_page_read(r, &token, read);
        break;
    default:
        break;
    }
    kvs_seen_done(&token.seen);
}

static void on_compared(struct kvs_repl *r, const struct kvs_repl_compare_done *done)
{
    struct token token;
    if (!repl_token_take(r, done->token, &token))
        return;
    if (token.kind == TOKEN_COMPARE)
        serve_compared(r, &token, done);
    else
        sync_on_local(r, &token, done);
    kvs_seen_done(&token.seen);
}

static void tick(struct kvs_repl *r)
{
    if (r->left)
        return;
    member_tick(r);
    probe_tick(r);
    status_tick(r);
    push_tick(r);
    pull_tick(r);
    boot_tick(r);
    sync_tick(r);
    gc_tick(r);
}

static int64_t earliest(int64_t a, int64_t b)
{
    return b != 0 && b < a ? b : a;
}

static int64_t next_deadline(const struct kvs_repl *r)
{
    int64_t next =
        min_i64(min_i64(r->probe_at_ms, r->status_at_ms), min_i64(r->gossip_at_ms, r->sync_at_ms));
    next = min_i64(next, r->promise_at_ms);
    if (r->probe.active)
        next = min_i64(next, r->probe.indirect ? r->probe.fail_at_ms : r->probe.indirect_at_ms);
    for (size_t i = 0; i < r->member_count; i++) {
        const struct member *m = r->members[i];
        next = earliest(next, m->gap_check_ms);
        next = earliest(next, m->pull_deadline_ms);
        next = earliest(next, m->retry_at_ms);
        if (m->state == KVS_MEMBER_SUSPECT)
            next = earliest(min_i64(next, m->ask_at_ms), m->suspect_until_ms);
        if (m->claim_life != 0 && r->now_ms < m->claim_until_ms)
            next = earliest(next, m->claim_ask_ms);
        if (m->push != PUSH_IDLE || m->credit_bytes == 0)
            next = earliest(next, m->push_deadline_ms);
    }
    for (size_t i = 0; i < r->seed_count; i++)
        next = earliest(next, r->seeds[i].retry_at_ms);
    if (r->sync.phase != SYNC_NONE)
        next = earliest(next, r->sync.deadline_ms);
    next = earliest(next, boot_next_ms(r));
    if (r->leaving)
        next = earliest(next, r->leave_until_ms);
    return next <= r->now_ms ? r->now_ms + 1 : next;
}

// What must survive is durable before anything that was said because of it is sent.
static void emit_state(struct kvs_repl *r)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(1 << 24);
    state_encode(r, &bytes);
    struct kvs_slice kept = bytes.err ? KVS_SLICE_EMPTY : repl_keep(r, kvs_buf_slice(&bytes));
    struct kvs_repl_action *action = kept.data ? repl_emit(r, KVS_REPL_ACTION_PERSIST) : NULL;
    if (!action) {
        // Nothing may be said that this node would forget.
        r->err = KVS_ERR_NOMEM;
        r->out->count = 0;
        return;
    }
    action->persist = kept;
    struct kvs_repl_action last = *action;
    memmove(&r->out->list[1], &r->out->list[0], (r->out->count - 1) * sizeof(last));
    r->out->list[0] = last;
    r->state_dirty = false;
}

// This process was stopped, waited for a full disk, or got no time. What others said meanwhile has
// yet to be read: nobody is suspected, dead or gone because it was not heard in that time.
static void note_standstill(struct kvs_repl *r)
{
    int64_t late_ms = r->now_ms - r->due_ms;
    if (r->due_ms == 0 || late_ms < STANDSTILL_MS)
        return;
    r->grace_at_ms += late_ms;
    if (r->now_ms >= r->grace_at_ms) { // to read it; now and then only, so that time goes on
        r->grace_at_ms = r->now_ms + 10 * STANDSTILL_MS;
        late_ms += STANDSTILL_MS;
    }
    member_stood_still(r, late_ms);
    probe_stood_still(r, late_ms);
    boot_stood_still(r, late_ms);
}

int kvs_repl_step(struct kvs_repl *r, const struct kvs_repl_event *event,
                  struct kvs_repl_actions *actions)
{
    actions->count = 0;
    kvs_arena_reset(&actions->arena);
    r->out = actions;
    r->err = 0;
    r->now_ms = event->now_ms;
    r->wall_ms = event->wall_ms;
    note_standstill(r);
    switch (event->type) {
    case KVS_REPL_EVENT_TICK:
        break;
    case KVS_REPL_EVENT_MESSAGE:
        on_message(r, event->message, event->page_end);
        break;
    case KVS_REPL_EVENT_COMMIT:
        on_commit(r, &event->commit);
        break;
    case KVS_REPL_EVENT_READ:
        on_read(r, &event->read);
        break;
    case KVS_REPL_EVENT_COMPARED:
        on_compared(r, &event->compared);
        break;
    case KVS_REPL_EVENT_LEAVE:
        member_leave(r);
        break;
    case KVS_REPL_EVENT_REMOVE:
        member_remove(r, &event->remove);
        break;
    case KVS_REPL_EVENT_ADDRESS:
        member_set_address(r, event->address);
        break;
    case KVS_REPL_EVENT_PAUSE:
        member_pause(r);
        break;
    case KVS_REPL_EVENT_DAMAGED:
        repair_start(r, &event->damaged);
        break;
    }
    tick(r);
    if (r->state_dirty)
        emit_state(r);
    actions->next_ms = next_deadline(r);
    r->due_ms = actions->next_ms;
    r->out = NULL;
    return r->err;
}
