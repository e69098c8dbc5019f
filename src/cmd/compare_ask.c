// SPDX-License-Identifier: Apache-2.0
// POST /kv_compare: questions to JSON, and what comes back. Answers are a node's, and checked as
// such: what is missing or of another kind makes the whole answer none of KVS.
#include "cmd/compare_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/json.h"

enum { BODY_SIZE_MAX = 64 << 20, ARENA_PER_BYTE = 48 };

// ---- Entries

bool kvs_compare_entries_add(struct kvs_compare_entries *entries, const char *key,
                             const struct kvs_compare_entry *entry)
{
    if (entries->count == entries->capacity) {
        size_t capacity = entries->capacity ? entries->capacity * 2 : 16;
        struct kvs_compare_entry *list = realloc(entries->list, capacity * sizeof(*list));
        if (!list)
            return false;
        entries->list = list;
        entries->capacity = capacity;
    }
    struct kvs_compare_entry *added = &entries->list[entries->count];
    *added = *entry;
    added->key = strdup(key);
    entries->count += added->key != NULL;
    return added->key != NULL;
}

void kvs_compare_entries_done(struct kvs_compare_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        free(entries->list[i].key);
    free(entries->list);
    *entries = (struct kvs_compare_entries){0};
}

void kvs_compare_answers_done(struct kvs_compare_answers *answers)
{
    for (size_t i = 0; i < answers->count; i++)
        kvs_compare_entries_done(&answers->list[i].entries);
    kvs_arena_done(&answers->arena);
    *answers = (struct kvs_compare_answers){0};
}

// ---- The questions

static void append_member(struct kvs_buf *out, const char *name, const char *text, char *separator)
{
    if (!text || !*text)
        return;
    kvs_buf_printf(out, "%c\"%s\":", *separator, name);
    kvs_json_write_string(out, kvs_slice_from_str(text));
    *separator = ',';
}

static void append_question(struct kvs_buf *out, const struct kvs_compare_question *question)
{
    char separator = '{';
    append_member(out, "key", question->key, &separator);
    if (!question->key) {
        append_member(out, "start_key", question->start_key, &separator);
        append_member(out, "end_key", question->end_key, &separator);
    }
    append_member(out, "hash", question->hash, &separator);
    kvs_buf_printf(out, "%c\"list\":%s}", separator, question->list ? "true" : "false");
}

// ---- The answers

// A copy that ends with a NUL, in the arena; NULL: no such text.
static const char *text_of(const struct kvs_json *object, const char *name, struct kvs_arena *arena)
{
    struct kvs_slice text;
    const struct kvs_json *member = kvs_json_member(object, name);
    if (!member || member->type != KVS_JSON_STRING || kvs_json_string(member, arena, &text) != 0)
        return NULL;
    const char *copy = kvs_arena_copy(arena, text).data;
    return copy && strlen(copy) == text.size ? copy : NULL;
}

static bool read_hash(const struct kvs_json *object, const char *name, struct kvs_arena *arena,
                      char ret_hash[static KVS_COMPARE_HASH_SIZE])
{
    const char *text = text_of(object, name, arena);
    if (!text || strlen(text) >= KVS_COMPARE_HASH_SIZE || !*text)
        return false;
    memcpy(ret_hash, text, strlen(text) + 1);
    return true;
}

static bool read_uuid(const struct kvs_json *object, const char *name, struct kvs_arena *arena,
                      struct kvs_uuid *ret_uuid)
{
    const char *text = text_of(object, name, arena);
    return text && kvs_uuid_parse(kvs_slice_from_str(text), ret_uuid);
}

static bool read_number(const struct kvs_json *object, const char *name, int64_t *ret_value)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    return member && kvs_json_to_i64(member, ret_value);
}

static bool is_true(const struct kvs_json *object, const char *name)
{
    const struct kvs_json *member = kvs_json_member(object, name);
    return member && member->type == KVS_JSON_TRUE;
}

static bool read_version(const struct kvs_json *object, struct kvs_arena *arena,
                         struct kvs_compare_entries *entries)
{
    struct kvs_compare_entry entry = {.has_writer = true, .expired = is_true(object, "expired")};
    struct kvs_version *version = &entry.version;
    const char *key = text_of(object, "path", arena);
    (void)read_number(object, "expires_timestamp", &version->expires_at); // absent: never
    if (is_true(object, "deleted"))
        version->flags = KVS_VERSION_TOMBSTONE;
    return key && read_uuid(object, "uuid", arena, &version->uuid) &&
           read_uuid(object, "writer", arena, &version->writer.node) &&
           read_number(object, "timestamp", &version->timestamp) &&
           read_number(object, "joined_timestamp", &version->writer.joined_timestamp) &&
           kvs_compare_entries_add(entries, key, &entry);
}

static bool read_versions(const struct kvs_json *list, struct kvs_arena *arena,
                          struct kvs_compare_entries *entries)
{
    bool good = list->type == KVS_JSON_ARRAY;
    for (const struct kvs_json *each = good ? list->child : NULL; each && good; each = each->next)
        good = read_version(each, arena, entries);
    return good;
}

static bool read_parts(const struct kvs_json *list, struct kvs_arena *arena,
                       struct kvs_compare_answer *answer)
{
    if (list->type != KVS_JSON_ARRAY || list->child_count < 2)
        return false;
    answer->parts = kvs_arena_alloc(arena, list->child_count * sizeof(answer->parts[0]));
    if (!answer->parts)
        return false;
    for (const struct kvs_json *each = list->child; each; each = each->next) {
        struct kvs_compare_part *part = &answer->parts[answer->part_count++];
        part->start_key = text_of(each, "start_key", arena);
        if (!part->start_key || !read_hash(each, "hash", arena, part->hash))
            return false;
    }
    return true;
}

static bool read_answer(const struct kvs_json *object, struct kvs_arena *arena,
                        struct kvs_compare_answer *answer)
{
    const struct kvs_json *versions = kvs_json_member(object, "versions");
    const struct kvs_json *parts = kvs_json_member(object, "parts");
    if (is_true(object, "same"))
        return true;
    if (versions) {
        answer->kind = KVS_COMPARE_VERSIONS;
        answer->next_key = text_of(object, "next_key", arena);
        return read_versions(versions, arena, &answer->entries);
    }
    answer->kind = parts ? KVS_COMPARE_PARTS : KVS_COMPARE_HASH;
    return parts ? read_parts(parts, arena, answer)
                 : read_hash(object, "hash", arena, answer->hash);
}

static bool read_answers(const struct kvs_client_response *response, size_t count,
                         struct kvs_compare_answers *answers)
{
    struct kvs_json *root = NULL;
    struct kvs_arena *arena = &answers->arena;
    if (kvs_json_parse(kvs_slice(response->body, response->body_size), 0, arena, &root, NULL) != 0)
        return false;
    const struct kvs_json *list = kvs_json_member(root, "answers");
    if (!read_hash(root, "digest", arena, answers->digest) || !list ||
        list->type != KVS_JSON_ARRAY || list->child_count == 0 || list->child_count > count)
        return false;
    answers->list = kvs_arena_alloc(arena, list->child_count * sizeof(answers->list[0]));
    if (!answers->list)
        return false;
    memset(answers->list, 0, list->child_count * sizeof(answers->list[0]));
    for (const struct kvs_json *each = list->child; each; each = each->next)
        if (!read_answer(each, arena, &answers->list[answers->count++]))
            return false;
    return true;
}

// ---- The request

enum kvs_client_code kvs_compare_ask(struct kvs_client *client, const char *prefix,
                                     const struct kvs_compare_question *questions, size_t count,
                                     struct kvs_compare_answers *ret_answers,
                                     struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf body = KVS_BUF_INIT(BODY_SIZE_MAX);
    struct kvs_client_response response;
    *ret_answers = (struct kvs_compare_answers){0};
    kvs_buf_append_str(&body, "{\"prefix\":");
    kvs_json_write_string(&body, kvs_slice_from_str(prefix));
    kvs_buf_append_str(&body, ",\"ranges\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            kvs_buf_append_char(&body, ',');
        append_question(&body, &questions[i]);
    }
    kvs_buf_append_str(&body, "]}");
    if (body.err) {
        *ret_error =
            (struct kvs_client_error){.code = KVS_CLIENT_NOMEM, .message = "out of memory"};
        return KVS_CLIENT_NOMEM;
    }
    enum kvs_client_code code = kvs_client_request(client, "POST", "/kv_compare", NULL, body.data,
                                                   body.size, &response, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_arena_init(&ret_answers->arena, (1 << 20) + ARENA_PER_BYTE * response.body_size);
    bool good = read_answers(&response, count, ret_answers);
    kvs_client_response_done(&response);
    if (good)
        return KVS_CLIENT_OK;
    kvs_compare_answers_done(ret_answers);
    *ret_error = (struct kvs_client_error){.code = KVS_CLIENT_UNEXPECTED,
                                           .message = "the answer is none of KVS"};
    return KVS_CLIENT_UNEXPECTED;
}

enum kvs_client_code kvs_compare_list(struct kvs_client *client,
                                      const struct kvs_compare_scope *scope, const char *start_key,
                                      struct kvs_compare_entries *ret_entries, char **ret_next,
                                      struct kvs_client_error *ret_error)
{
    bool with_key = scope->key && !*start_key;
    const struct kvs_compare_question questions[] = {
        {.key = scope->key, .list = true},
        {.start_key = start_key, .list = true},
    };
    struct kvs_compare_answers answers;
    size_t first = with_key ? 0 : 1;
    size_t count = KVS_ARRAY_SIZE(questions) - first;
    *ret_entries = (struct kvs_compare_entries){0};
    *ret_next = NULL;
    enum kvs_client_code code =
        kvs_compare_ask(client, scope->prefix, questions + first, count, &answers, ret_error);
    bool good = code == KVS_CLIENT_OK && answers.count == count; // the key's answer is small
    for (size_t i = 0; good && i < count; i++) {
        struct kvs_compare_answer *answer = &answers.list[i];
        good = answer->kind == KVS_COMPARE_VERSIONS;
        for (size_t j = 0; good && j < answer->entries.count; j++)
            good = kvs_compare_entries_add(ret_entries, answer->entries.list[j].key,
                                           &answer->entries.list[j]);
        if (good && answer->next_key) // it must lead on, or there would be no end
            good = !questions[first + i].key && strcmp(answer->next_key, start_key) > 0 &&
                   (*ret_next = strdup(answer->next_key)) != NULL;
    }
    if (code == KVS_CLIENT_OK) {
        kvs_compare_answers_done(&answers);
        if (!good) {
            kvs_compare_entries_done(ret_entries);
            *ret_error = (struct kvs_client_error){.code = KVS_CLIENT_UNEXPECTED,
                                                   .message = "the answer is none of KVS"};
            code = KVS_CLIENT_UNEXPECTED;
        }
    }
    return code;
}
