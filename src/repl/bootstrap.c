// SPDX-License-Identifier: Apache-2.0
// An empty node that joins reads newest first, system records before data, page by page and
// throttled; then it opens for clients, and a digest sync brings the rest. Where it stopped is
// remembered, so that a restart goes on from there, with any peer.
//
//   SEEKING (nobody yet) -> PAGES -> SYNC (reads the rest) -> DONE
//
// Clients are not served (mode syncing) until the pages are read, or all who have data are away for
// as long as a seed is waited for: one that restarts is soon back. Whoever has been served is
// served from then on: a node that finds its peers late, or moves to an elder cluster, reads the
// same way with its doors open. It is not done, and no source for others, before it has the rest.
//
// It must not be in the way of its peers' clients (docs/decisions/0061). Between two questions, the
// digest sync's too, it pauses as configured, and longer where answering took the peer long: it is
// at work for this node a tenth of the time. Small pages keep no client waiting for long. What is
// written meanwhile comes in a few large batches: nobody reads it here yet.
#include "repl/repl_internal.h"

enum {
    PAGE_SIZE_PACED = 256 * 1024,
    REST_FACTOR = 9,      // so many times as long as the peer was at work
    REST_DELAYS_MAX = 16, // but no longer than so many configured pauses
    SAVE_INTERVAL_MS = 1000,
};

// ---- Pacing

void boot_asked(struct kvs_repl *r)
{
    r->boot.asked_ms = r->now_ms;
}

void boot_answered(struct kvs_repl *r, const struct member *by)
{
    int64_t way_ms = kvs_clock_round_trip_ms(&by->offset);
    r->boot.answer_ms = max_i64(0, r->now_ms - r->boot.asked_ms - way_ms);
}

int64_t boot_pause_ms(const struct kvs_repl *r, int64_t delay_ms)
{
    if (r->boot.phase != BOOT_PAGES && r->boot.phase != BOOT_SYNC)
        return 0;
    int64_t rest_ms = min_i64(r->boot.answer_ms, REPLY_TIMEOUT_MS) * REST_FACTOR;
    return min_i64(max_i64(rest_ms, delay_ms), delay_ms * REST_DELAYS_MAX);
}

bool boot_is_gathering(const struct kvs_repl *r)
{
    return r->boot.phase == BOOT_PAGES && r->boot.syncing && r->options.fetch_delay_ms > 0;
}

// ---- Phases

static void open_doors(struct kvs_repl *r)
{
    if (!r->boot.syncing)
        return;
    r->boot.syncing = false;
    repl_notice(r, KVS_REPL_NOTICE_SERVING, NULL);
}

static void enter(struct kvs_repl *r, enum boot_phase phase)
{
    r->boot.phase = phase;
    r->boot.asking = false;
    r->boot.next_ms = 0;
    r->state_dirty = true;
    if (phase != BOOT_PAGES)
        open_doors(r);
    if (phase == BOOT_SYNC)
        r->sync_at_ms = r->now_ms + r->options.throttle_delay_ms;
}

// The index behind the member that was read from last.
static size_t behind_source(const struct kvs_repl *r)
{
    for (size_t i = 0; i < r->member_count; i++)
        if (kvs_uuid_cmp(&r->members[i]->node, &r->boot.source) == 0)
            return i + 1;
    return 0;
}

// A member that has all there is, another one than the last if there are several: that one may
// live and yet not answer. NULL if there is none. *ret_hope: one may yet turn out to be.
static struct member *find_source(struct kvs_repl *r, bool *ret_hope)
{
    struct member *source = NULL;
    size_t first = behind_source(r);
    *ret_hope = r->member_count == 0 && r->seed_count > 0;
    for (size_t i = 0; i < r->member_count; i++) {
        struct member *m = r->members[(first + i) % r->member_count];
        if (!member_is_reachable(m))
            continue;
        if (!m->status_heard || (m->bootstrapping && m->record_count > 0))
            *ret_hope = true;
        else if (!m->bootstrapping && !source)
            source = m;
    }
    return source;
}

// What it has read so far is not all there is: somebody who may have the rest cannot be reached.
static bool is_broken_off(const struct kvs_repl *r)
{
    bool away = false;
    for (size_t i = 0; i < r->member_count; i++)
        away = away || (member_is_counted(r, r->members[i]) && !member_is_reachable(r->members[i]));
    return away && r->boot.before_ms != 0;
}

static void seek(struct kvs_repl *r)
{
    bool hope = false;
    struct member *source = find_source(r, &hope);
    if (source) {
        bool resumed = r->boot.before_ms != 0;
        if (!resumed) {
            r->boot.family = KVS_REPL_TAG_SYSTEM;
            r->boot.before_ms = INT64_MAX;
            r->boot.before_key_size = 0;
        }
        r->boot.source = source->node;
        enter(r, BOOT_PAGES);
        r->boot.next_ms = r->now_ms;
    } else if (r->now_ms < r->boot.deadline_ms && (hope || is_broken_off(r))) {
        return; // who is away may just be restarting
    } else if (!hope) {
        // All are as empty as we are, or the rest comes by comparing as soon as it can.
        enter(r, is_broken_off(r) ? BOOT_SYNC : BOOT_DONE);
    } else {
        open_doors(r); // whoever comes will be read from, or compared with
        if (r->member_count == 0)
            enter(r, BOOT_DONE);
        r->boot.deadline_ms = r->now_ms + LONELY_MS;
    }
}

static uint32_t page_size(const struct kvs_repl *r)
{
    uint32_t size_max = r->options.batch_size_max;
    bool paced = r->options.fetch_delay_ms > 0 && size_max > PAGE_SIZE_PACED;
    return paced ? PAGE_SIZE_PACED : size_max;
}

static void ask_page(struct kvs_repl *r)
{
    struct member *source = member_find(r, &r->boot.source);
    if (!source || !member_is_reachable(source)) {
        r->boot.phase = BOOT_SEEKING;
        r->boot.deadline_ms = r->now_ms + LONELY_MS;
        return;
    }
    struct kvs_repl_message message = {.head.type = KVS_MESSAGE_PAGE};
    message.page = (struct kvs_message_page){
        .session = ++r->boot.session,
        .family = r->boot.family,
        .before_ms = r->boot.before_ms,
        .before_key = kvs_slice(r->boot.before_key, r->boot.before_key_size),
        .size_max = page_size(r),
    };
    r->boot.asking = true;
    boot_asked(r);
    r->boot.deadline_ms = r->now_ms + REPLY_TIMEOUT_MS;
    repl_send(r, source, &message);
}

void boot_tick(struct kvs_repl *r)
{
    struct boot *boot = &r->boot;
    if (boot->phase == BOOT_SEEKING) {
        seek(r);
    } else if (boot->phase == BOOT_PAGES) {
        if (boot->asking && r->now_ms >= boot->deadline_ms) {
            boot->asking = false; // lost, or the source has gone: perhaps another one
            boot->phase = BOOT_SEEKING;
            boot->deadline_ms = r->now_ms + LONELY_MS;
        } else if (!boot->asking && r->now_ms >= boot->next_ms) {
            ask_page(r);
        }
    }
    if (boot->phase == BOOT_SEEKING)
        boot->next_ms = r->now_ms + r->options.status_interval_ms;
}

void boot_anew(struct kvs_repl *r)
{
    struct boot *boot = &r->boot;
    boot->phase = BOOT_SEEKING;
    boot->asking = false;
    boot->session++; // whatever is under way is of the cluster before
    boot->family = KVS_REPL_TAG_SYSTEM;
    boot->before_ms = 0;
    boot->deadline_ms = r->now_ms + LONELY_MS;
    r->state_dirty = true;
}

int64_t boot_next_ms(const struct kvs_repl *r)
{
    const struct boot *boot = &r->boot;
    if (boot->phase == BOOT_SEEKING)
        return boot->next_ms != 0 ? min_i64(boot->next_ms, boot->deadline_ms) : boot->deadline_ms;
    if (boot->phase == BOOT_PAGES)
        return boot->asking ? boot->deadline_ms : boot->next_ms;
    return 0;
}

void boot_stood_still(struct kvs_repl *r, int64_t ms)
{
    r->boot.deadline_ms += ms;
}

static void next_family(struct kvs_repl *r)
{
    if (r->boot.family == KVS_REPL_TAG_SYSTEM) {
        r->boot.family = KVS_REPL_TAG_DATA;
        r->boot.before_ms = INT64_MAX;
        r->boot.before_key_size = 0;
        r->boot.next_ms = r->now_ms + boot_pause_ms(r, r->options.throttle_delay_ms);
        r->state_dirty = true;
        return;
    }
    enter(r, BOOT_SYNC);
}

void boot_on_page(struct kvs_repl *r, struct member *from,
                  const struct kvs_message_page_answer *body)
{
    struct boot *boot = &r->boot;
    if (boot->phase != BOOT_PAGES || !boot->asking || body->session != boot->session ||
        kvs_uuid_cmp(&from->node, &boot->source) != 0)
        return;
    boot_answered(r, from);
    const struct kvs_repl_item *last = body->end;
    if (!last && body->item_count > 0)
        last = &body->items[body->item_count - 1];
    if (!last) {
        boot->asking = false;
        next_family(r);
        return;
    }
    struct token *token = repl_token(r, TOKEN_PAGE_APPLY, from);
    if (!token)
        return;
    token->session = body->session;
    boot->deadline_ms = r->now_ms + 4 * REPLY_TIMEOUT_MS;
    boot->page_ms = last->version.timestamp;
    boot->page_key_size = (uint16_t)last->key.size;
    memcpy(boot->page_key, last->key.data, last->key.size);
    boot->page_done = body->done;
    apply_items(r, token, body->items, body->item_count, NULL, 0);
}

void boot_on_applied(struct kvs_repl *r, const struct token *token,
                     const struct kvs_repl_commit *commit)
{
    struct boot *boot = &r->boot;
    note_applied(r, token, commit);
    if (boot->phase != BOOT_PAGES || token->session != boot->session)
        return;
    boot->asking = false;
    if (commit->err) { // the same page again: what it holds must not be passed over
        boot->next_ms = r->now_ms + r->options.status_interval_ms;
        return;
    }
    boot->before_ms = boot->page_ms;
    boot->before_key_size = boot->page_key_size;
    memcpy(boot->before_key, boot->page_key, boot->page_key_size);
    boot->next_ms = r->now_ms + boot_pause_ms(r, r->options.fetch_delay_ms);
    if (r->now_ms - boot->saved_ms >= SAVE_INTERVAL_MS) { // a restart reads the rest again
        boot->saved_ms = r->now_ms;
        r->state_dirty = true;
    }
    bool old = boot->family == KVS_REPL_TAG_DATA &&
               boot->before_ms < r->wall_ms - r->options.bootstrap_max_age_ms;
    if (boot->page_done || old)
        next_family(r);
}

void boot_on_synced(struct kvs_repl *r)
{
    if (r->boot.phase != BOOT_DONE)
        enter(r, BOOT_DONE);
}
