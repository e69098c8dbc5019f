// SPDX-License-Identifier: Apache-2.0
// Kept as JSON in the store (KVS_FAMILY_META, "foreign"; docs/formats/record.md), written when one
// comes, moves or goes, not when one is heard: a cluster at rest writes nothing. So behind a
// restart a member is as old as its last change until it speaks.
//
// The time of a foreign member's words is taken from this node's clock. What others tell of it
// counts only in that it has grown: their clocks are not ours.
#include "node/foreign.h"

#include "codec/json.h"
#include "node/node_internal.h"
#include "node/replica.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { FORMAT = 1, STATE_SIZE_MAX = 1 << 20, ARENA_MAX = 8 << 20 };

static const struct kvs_slice key_foreign = KVS_SLICE("foreign");

struct entry {
    char id[KVS_REPL_NAME_MAX + 1];
    char address[KVS_REPL_ADDRESS_MAX + 1];
    int64_t joined_timestamp;
    int64_t heard_ms; // Unix, this node's clock
    int64_t told_ms;  // the latest that others said of it, by their clocks
    int64_t left_ms;  // 0: it has not
};

struct kvs_foreign {
    struct kvs_node *node;
    int64_t silent_ms;
    pthread_mutex_t lock; // everything below
    struct entry *entries;
    size_t count;
};

static int64_t now_ms(const struct kvs_foreign *foreign)
{
    return kvs_clock_wall_ms(foreign->node->options.clock);
}

// ---- States

static enum kvs_member_state state_of(const struct kvs_foreign *foreign, const struct entry *entry,
                                      int64_t at_ms, int64_t *ret_since_ms)
{
    int64_t silent_ms = at_ms - entry->heard_ms;
    *ret_since_ms = entry->heard_ms;
    if (entry->left_ms != 0) {
        *ret_since_ms = entry->left_ms;
        return KVS_MEMBER_LEFT;
    }
    if (silent_ms > 4 * foreign->silent_ms) {
        *ret_since_ms += 4 * foreign->silent_ms;
        return KVS_MEMBER_DEAD;
    }
    if (silent_ms > 2 * foreign->silent_ms) {
        *ret_since_ms += 2 * foreign->silent_ms;
        return KVS_MEMBER_SUSPECT;
    }
    return KVS_MEMBER_ALIVE;
}

static bool is_living(const struct kvs_foreign *foreign, const struct entry *entry, int64_t at_ms)
{
    int64_t since_ms = 0;
    return state_of(foreign, entry, at_ms, &since_ms) <= KVS_MEMBER_SUSPECT;
}

static struct entry *find(const struct kvs_foreign *foreign, struct kvs_slice id)
{
    for (size_t i = 0; i < foreign->count; i++)
        if (kvs_slice_eq(kvs_slice_from_str(foreign->entries[i].id), id))
            return &foreign->entries[i];
    return NULL;
}

// The one that has been gone for longest makes room.
static struct entry *find_gone(const struct kvs_foreign *foreign, int64_t at_ms)
{
    struct entry *oldest = NULL;
    for (size_t i = 0; i < foreign->count; i++) {
        struct entry *entry = &foreign->entries[i];
        if (!is_living(foreign, entry, at_ms) && (!oldest || entry->heard_ms < oldest->heard_ms))
            oldest = entry;
    }
    return oldest;
}

static int make_room(struct kvs_foreign *foreign, int64_t at_ms, struct entry **ret_entry)
{
    if (foreign->count == KVS_FOREIGN_MEMBERS_MAX) {
        *ret_entry = find_gone(foreign, at_ms);
        return *ret_entry ? 0 : KVS_ERR_BUSY;
    }
    struct entry *entries =
        realloc(foreign->entries, (foreign->count + 1) * sizeof(foreign->entries[0]));
    if (!entries)
        return KVS_ERR_NOMEM;
    foreign->entries = entries;
    *ret_entry = &entries[foreign->count++];
    return 0;
}

static void set_text(char *to, size_t size, struct kvs_slice from)
{
    (void)snprintf(to, size, "%.*s", KVS_SLICE_FMT(from)); // the caller has bounded it
}

// ---- In the store

static void encode(const struct kvs_foreign *foreign, struct kvs_buf *out)
{
    kvs_buf_printf(out, "{\"format\":%d,\"members\":[", FORMAT);
    for (size_t i = 0; i < foreign->count; i++) {
        const struct entry *entry = &foreign->entries[i];
        kvs_buf_append_str(out, i > 0 ? ",{\"id\":" : "{\"id\":");
        kvs_json_write_string(out, kvs_slice_from_str(entry->id));
        kvs_buf_append_str(out, ",\"address\":");
        kvs_json_write_string(out, kvs_slice_from_str(entry->address));
        kvs_buf_printf(out,
                       ",\"joined_timestamp\":%lld,\"heard\":%lld,\"told\":%lld,\"left\":%lld}",
                       (long long)entry->joined_timestamp, (long long)entry->heard_ms,
                       (long long)entry->told_ms, (long long)entry->left_ms);
    }
    kvs_buf_append_str(out, "]}");
}

// Under the lock, so that the last one written is the last one made.
static void keep(struct kvs_foreign *foreign)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf bytes = KVS_BUF_INIT(STATE_SIZE_MAX);
    encode(foreign, &bytes);
    if (!bytes.err && foreign->node->replica)
        kvs_replica_keep(foreign->node->replica, key_foreign, kvs_buf_slice(&bytes));
}

static bool read_text(const struct kvs_json *object, const char *name, struct kvs_arena *arena,
                      char *to, size_t size)
{
    struct kvs_slice text;
    const struct kvs_json *member = kvs_json_member(object, name);
    if (!member || member->type != KVS_JSON_STRING || kvs_json_string(member, arena, &text) != 0 ||
        text.size >= size)
        return false;
    set_text(to, size, text);
    return true;
}

static bool read_number(const struct kvs_json *object, const char *name, int64_t *ret_value)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    return member && kvs_json_to_i64(member, ret_value);
}

static int decode_members(struct kvs_foreign *foreign, const struct kvs_json *members,
                          struct kvs_arena *arena)
{
    size_t count = members ? members->child_count : 0;
    if (!members || members->type != KVS_JSON_ARRAY || count > KVS_FOREIGN_MEMBERS_MAX)
        return KVS_ERR_CORRUPT;
    foreign->entries = calloc(count + 1, sizeof(foreign->entries[0]));
    if (!foreign->entries)
        return KVS_ERR_NOMEM;
    for (const struct kvs_json *member = members->child; member; member = member->next) {
        struct entry *entry = &foreign->entries[foreign->count++];
        if (!read_text(member, "id", arena, entry->id, sizeof(entry->id)) ||
            !read_text(member, "address", arena, entry->address, sizeof(entry->address)) ||
            !read_number(member, "joined_timestamp", &entry->joined_timestamp) ||
            !read_number(member, "heard", &entry->heard_ms) ||
            !read_number(member, "told", &entry->told_ms) ||
            !read_number(member, "left", &entry->left_ms))
            return KVS_ERR_CORRUPT;
    }
    return 0;
}

static int decode(struct kvs_foreign *foreign, struct kvs_slice bytes)
{
    struct kvs_arena arena;
    struct kvs_json *root = NULL;
    int64_t format = 0;
    kvs_arena_init(&arena, ARENA_MAX);
    int err = kvs_json_parse(bytes, 0, &arena, &root, NULL);
    if (!err && !read_number(root, "format", &format))
        err = KVS_ERR_CORRUPT;
    if (!err && format != FORMAT)
        err = KVS_ERR_VERSION;
    if (!err)
        err = decode_members(foreign, kvs_json_member(root, "members"), &arena);
    kvs_arena_done(&arena);
    return err == KVS_ERR_SYNTAX ? KVS_ERR_CORRUPT : err;
}

// ---- What happens to them

// Is it another than the one that has this id? Whoever moves keeps its joined_timestamp.
static bool is_another(const struct entry *entry, const struct kvs_foreign_member *member)
{
    return entry->joined_timestamp != member->joined_timestamp &&
           !kvs_slice_eq(kvs_slice_from_str(entry->address), member->address);
}

static void take(struct kvs_foreign *foreign, struct entry *entry,
                 const struct kvs_foreign_member *member, bool fresh)
{
    bool same = !fresh && entry->left_ms == 0 &&
                entry->joined_timestamp == member->joined_timestamp &&
                kvs_slice_eq(kvs_slice_from_str(entry->address), member->address);
    set_text(entry->id, sizeof(entry->id), member->id);
    set_text(entry->address, sizeof(entry->address), member->address);
    entry->joined_timestamp = member->joined_timestamp;
    entry->heard_ms = now_ms(foreign);
    entry->left_ms = 0;
    if (member->last_seen_ms > entry->told_ms || fresh)
        entry->told_ms = member->last_seen_ms;
    if (!same)
        keep(foreign);
}

static int note(struct kvs_foreign *foreign, const struct kvs_foreign_member *member, bool told)
{
    int64_t at_ms = now_ms(foreign);
    struct entry *entry = find(foreign, member->id);
    if (entry && told && member->last_seen_ms <= entry->told_ms)
        return 0; // no news
    if (entry && told && entry->left_ms != 0 && member->joined_timestamp <= entry->joined_timestamp)
        return 0; // whoever says so has not heard that it left
    if (entry && is_another(entry, member) && is_living(foreign, entry, at_ms))
        return KVS_ERR_CONFLICT;
    bool fresh = !entry;
    int err = fresh ? make_room(foreign, at_ms, &entry) : 0;
    if (!err && fresh)
        *entry = (struct entry){0};
    if (!err)
        take(foreign, entry, member, fresh);
    return err;
}

int kvs_foreign_note(struct kvs_foreign *foreign, const struct kvs_foreign_member *member,
                     bool told)
{
    (void)pthread_mutex_lock(&foreign->lock); // a plain mutex that we never lock twice
    int err = note(foreign, member, told);
    (void)pthread_mutex_unlock(&foreign->lock);
    return err;
}

void kvs_foreign_heard(struct kvs_foreign *foreign, struct kvs_slice id)
{
    (void)pthread_mutex_lock(&foreign->lock);
    struct entry *entry = find(foreign, id);
    if (entry && entry->left_ms == 0)
        entry->heard_ms = now_ms(foreign);
    (void)pthread_mutex_unlock(&foreign->lock);
}

int kvs_foreign_leave(struct kvs_foreign *foreign, struct kvs_slice id)
{
    (void)pthread_mutex_lock(&foreign->lock);
    struct entry *entry = find(foreign, id);
    if (entry && entry->left_ms == 0) {
        entry->left_ms = now_ms(foreign);
        keep(foreign);
    }
    (void)pthread_mutex_unlock(&foreign->lock);
    return entry ? 0 : KVS_ERR_NOT_FOUND;
}

size_t kvs_foreign_count(struct kvs_foreign *foreign)
{
    (void)pthread_mutex_lock(&foreign->lock);
    size_t count = foreign->count;
    (void)pthread_mutex_unlock(&foreign->lock);
    return count;
}

size_t kvs_foreign_list(struct kvs_foreign *foreign, struct kvs_member_info *ret_list, size_t max)
{
    (void)pthread_mutex_lock(&foreign->lock);
    int64_t at_ms = now_ms(foreign);
    size_t count = foreign->count < max ? foreign->count : max;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &foreign->entries[i];
        int64_t since_ms = 0;
        struct kvs_member_info *info = &ret_list[i];
        *info = (struct kvs_member_info){.joined_timestamp = entry->joined_timestamp,
                                         .last_seen_ms = entry->heard_ms,
                                         .synced_age_ms = -1,
                                         .foreign = true};
        info->state = state_of(foreign, entry, at_ms, &since_ms);
        info->state_age_ms = at_ms - since_ms;
        set_text(info->name, sizeof(info->name), kvs_slice_from_str(entry->id));
        set_text(info->address, sizeof(info->address), kvs_slice_from_str(entry->address));
    }
    (void)pthread_mutex_unlock(&foreign->lock);
    return count;
}

// ---- Life

int kvs_foreign_new(struct kvs_node *node, int64_t silent_ms, struct kvs_foreign **ret_foreign)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf value = KVS_BUF_INIT(STATE_SIZE_MAX);
    struct kvs_foreign *foreign = calloc(1, sizeof(*foreign));
    if (!foreign)
        return KVS_ERR_NOMEM;
    foreign->node = node;
    foreign->silent_ms = silent_ms;
    (void)pthread_mutex_init(&foreign->lock, NULL); // cannot fail with default attributes
    int err = kvs_store_get(node->store, KVS_FAMILY_META, key_foreign, KVS_READ_DISK, &value);
    if (!err)
        err = decode(foreign, kvs_buf_slice(&value));
    if (err && err != KVS_ERR_NOT_FOUND) {
        kvs_foreign_free(foreign);
        return err;
    }
    *ret_foreign = foreign;
    return 0;
}

void kvs_foreign_free(struct kvs_foreign *foreign)
{
    if (!foreign)
        return;
    free(foreign->entries);
    (void)pthread_mutex_destroy(&foreign->lock); // nobody holds it
    free(foreign);
}
