// SPDX-License-Identifier: Apache-2.0
// A batch is cut around what is taken out of it, for it says that a run of dots is whole. The last
// piece of a pushed one is given on even when it is empty: its acknowledgement lets the peer go on.
// Of a pulled one only what is new is given on: each brings the next question at once, and a hole
// that cannot be filled would be asked for without a pause.
#include "node/screen.h"

#include "codec/json.h"
#include "node/node_internal.h"
#include "node/tagged.h"

enum {
    SCREEN_MS = 60000,
    STUB_SIZE = 8, // the hash that stands for an expired payload
    MESSAGE_ARENA_MAX = 1 << 30,
};

bool kvs_item_is_sane(const struct kvs_repl_item *item)
{
    const struct kvs_version *v = &item->version;
    struct kvs_slice key;
    if (!kvs_tagged_key(item->key, &key) || v->timestamp <= 0 || v->expires_at < 0 ||
        v->writer.joined_timestamp < 0)
        return false;
    if (kvs_version_is_tombstone(v))
        return item->value.size == 0;
    if ((v->flags & KVS_VERSION_STUB) != 0)
        return item->value.size == STUB_SIZE && v->expires_at != 0;
    return kvs_json_validate(item->value, NULL) == 0;
}

bool kvs_screen_is_for_good(int err)
{
    return err == KVS_ERR_SYNTAX || err == KVS_ERR_CORRUPT || err == KVS_ERR_TOO_LARGE;
}

// ---- Which

static bool is_among(const struct kvs_uuid *list, size_t max, size_t count,
                     const struct kvs_uuid *uuid)
{
    size_t held = count < max ? count : max;
    for (size_t i = 0; i < held; i++)
        if (kvs_uuid_cmp(&list[i], uuid) == 0)
            return true;
    return false;
}

// What was refused for the node's own sake may do by now.
static void forget_refused(struct kvs_screen *screen, int64_t now_ms)
{
    if (now_ms >= screen->refused_until_ms)
        screen->refused_count = 0;
}

void kvs_screen_begin(struct kvs_screen *screen, const struct kvs_repl_item *item, int64_t now_ms)
{
    forget_refused(screen, now_ms);
    screen->until_ms = now_ms + SCREEN_MS;
    if (!item)
        return;
    screen->refused_until_ms = screen->until_ms;
    screen->refused[screen->refused_count++ % KVS_SCREEN_REFUSED_MAX] = item->version.uuid;
}

static void tell(struct kvs_screen *screen, const struct kvs_repl_item *item, const char *what)
{
    struct kvs_node *node = screen->node;
    const struct kvs_version *version = &item->version;
    if (is_among(screen->told, KVS_SCREEN_TOLD_MAX, screen->told_count, &version->uuid))
        return;
    screen->told[screen->told_count++ % KVS_SCREEN_TOLD_MAX] = version->uuid;
    char uuid[KVS_UUID_TEXT_SIZE];
    char writer[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(&version->uuid, uuid);
    kvs_uuid_format(&version->writer.node, writer);
    struct kvs_slice key = KVS_SLICE_EMPTY;
    if (!kvs_tagged_key(item->key, &key))
        key = KVS_SLICE_EMPTY; // nor is it fit for the log
    kvs_log(node->options.log, KVS_LOG_ERROR, what, KVS_F_SLICE("key", key),
            KVS_F_SLICE("uuid", kvs_slice(uuid, sizeof(uuid))),
            KVS_F_SLICE("writer", kvs_slice(writer, sizeof(writer))),
            KVS_F_INT("timestamp", version->timestamp));
}

void kvs_screen_waits(struct kvs_screen *screen, const struct kvs_repl_item *item)
{
    tell(screen, item,
         "a version that is due cannot be stored over what is damaged here: deletions are kept "
         "everywhere until it can");
}

static bool is_refused(const struct kvs_screen *screen, const struct kvs_repl_item *item)
{
    return !kvs_item_is_sane(item) || is_among(screen->refused, KVS_SCREEN_REFUSED_MAX,
                                               screen->refused_count, &item->version.uuid);
}

static size_t count_refused(struct kvs_screen *screen, const struct kvs_repl_item *items,
                            size_t count)
{
    size_t refused = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_refused(screen, &items[i]))
            continue;
        kvs_metrics_add(screen->node->options.metrics, KVS_METRIC_SET_ASIDE, 1);
        tell(screen, &items[i],
             "a peer's version cannot be stored here and was left out: write its key anew, or "
             "update this node");
        refused++;
    }
    return refused;
}

// ---- What goes on

struct passing {
    struct kvs_screen *screen;
    const struct kvs_seen *seen;
    kvs_screen_give_fn *give;
    void *ctx;
};

static void give(const struct passing *p, const struct kvs_repl_message *message,
                 const struct kvs_repl_item *page_end)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(KVS_MESSAGE_SIZE_MAX);
    kvs_repl_message_encode(message, &bytes);
    if (!bytes.err) // else it is lost
        p->give(p->ctx, kvs_buf_slice(&bytes), page_end);
}

static size_t take_out(const struct kvs_screen *screen, struct kvs_repl_item *items, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++)
        if (!is_refused(screen, &items[i]))
            items[left++] = items[i];
    return left;
}

static void give_piece(const struct passing *p, const struct kvs_repl_message *whole, size_t from,
                       size_t to)
{
    const struct kvs_message_batch *batch = &whole->batch;
    struct kvs_repl_message piece = *whole;
    struct kvs_seen_run *run = &piece.batch.run;
    run->from = batch->run.from + (uint32_t)from;
    run->to = batch->run.from + (uint32_t)to;
    piece.batch.items = batch->items + from;
    piece.batch.item_count = to - from;
    bool news = kvs_seen_reach(p->seen, &run->node, run->life, run->from) < run->to;
    bool acknowledged = !batch->pulled && to == batch->item_count;
    if (news || acknowledged)
        give(p, &piece, NULL);
}

// A run has one version a dot. One that has not cannot be cut, and counts as lost.
static void give_batch(const struct passing *p, const struct kvs_repl_message *message)
{
    const struct kvs_message_batch *batch = &message->batch;
    if (batch->run.to < batch->run.from ||
        batch->item_count != (size_t)(batch->run.to - batch->run.from))
        return;
    size_t from = 0;
    for (size_t i = 0; i < batch->item_count; i++) {
        if (!is_refused(p->screen, &batch->items[i]))
            continue;
        give_piece(p, message, from, i);
        from = i + 1;
    }
    give_piece(p, message, from, batch->item_count);
}

static void give_rest(const struct passing *p, struct kvs_repl_message *message)
{
    struct kvs_message_items *items = &message->items;
    struct kvs_message_page_answer *page = &message->page_answer;
    struct kvs_repl_item last;
    switch ((enum kvs_message_type)message->head.type) {
    case KVS_MESSAGE_BATCH:
        give_batch(p, message);
        break;
    case KVS_MESSAGE_ITEMS: // fewer than were asked for: the sync adopts nothing
        items->item_count = take_out(p->screen, items->items, items->item_count);
        give(p, message, NULL);
        break;
    default: // the sync behind the pages finds what is missing; empty ones look like the end
        last = page->items[page->item_count - 1];
        page->item_count = take_out(p->screen, page->items, page->item_count);
        give(p, message, &last);
        break;
    }
}

static void look_at(const struct kvs_repl_message *message, const struct kvs_repl_item **ret_items,
                    size_t *ret_count)
{
    *ret_items = NULL;
    *ret_count = 0;
    switch ((enum kvs_message_type)message->head.type) {
    case KVS_MESSAGE_BATCH:
        *ret_items = message->batch.items;
        *ret_count = message->batch.item_count;
        break;
    case KVS_MESSAGE_ITEMS:
        *ret_items = message->items.items;
        *ret_count = message->items.item_count;
        break;
    case KVS_MESSAGE_PAGE_ANSWER:
        *ret_items = message->page_answer.items;
        *ret_count = message->page_answer.item_count;
        break;
    default:
        break;
    }
}

void kvs_screen_pass(struct kvs_screen *screen, const struct kvs_seen *seen,
                     struct kvs_slice message, int64_t now_ms, kvs_screen_give_fn *give_on,
                     void *ctx)
{
    const struct passing p = {screen, seen, give_on, ctx};
    const struct kvs_repl_item *items = NULL;
    size_t count = 0;
    struct kvs_repl_message decoded;
    struct kvs_arena arena;
    forget_refused(screen, now_ms);
    kvs_arena_init(&arena, MESSAGE_ARENA_MAX);
    int err = kvs_repl_message_decode(message, &arena, &decoded);
    if (!err)
        look_at(&decoded, &items, &count);
    if (count_refused(screen, items, count) == 0) {
        give_on(ctx, message, NULL); // malformed ones, too: the core knows what to do with them
    } else {
        screen->until_ms = now_ms + SCREEN_MS;
        give_rest(&p, &decoded);
    }
    kvs_arena_done(&arena);
}
