// SPDX-License-Identifier: Apache-2.0
#include "auth/account_record.h"

#include "base/assert.h"
#include "codec/json.h"
#include "codec/record.h"

static const struct {
    struct kvs_slice prefix;
    int uuids;
    bool hash;
} grammar[] = {
    [KVS_ACCOUNT_USER] = {{"\x01user/", 6}, 1, false},
    [KVS_ACCOUNT_GROUP] = {{"\x01group/", 7}, 1, false},
    [KVS_ACCOUNT_GONE] = {{"\x01gone/", 6}, 1, false},
    [KVS_ACCOUNT_MEMBER] = {{"\x01member/", 8}, 2, false},
    [KVS_ACCOUNT_TOKEN] = {{"\x01token/", 7}, 0, true},
    [KVS_ACCOUNT_REVOKED] = {{"\x01revoked/", 9}, 0, true},
    [KVS_ACCOUNT_META] = {{"\x01meta/", 6}, 0, true},
};

struct kvs_account_hash kvs_account_hash_of(struct kvs_slice text)
{
    struct kvs_account_hash hash = {{0}};
    kvs_auth_sha3_512(text, hash.text);
    return hash;
}

bool kvs_account_hash_parse(struct kvs_slice text, struct kvs_account_hash *ret_hash)
{
    if (text.size != sizeof(ret_hash->text))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    memcpy(ret_hash->text, text.data, text.size);
    return true;
}

// ---- Keys

static void append(struct kvs_account_key *key, const void *bytes, size_t size)
{
    kvs_assert(key->size + size <= sizeof(key->bytes));
    memcpy(key->bytes + key->size, bytes, size);
    key->size += size;
}

static void append_uuid(struct kvs_account_key *key, const struct kvs_uuid *uuid)
{
    char text[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(uuid, text);
    append(key, text, sizeof(text));
}

struct kvs_account_key kvs_account_key_of(const struct kvs_account_name *name)
{
    struct kvs_account_key key = {.size = 0};
    append(&key, grammar[name->kind].prefix.data, grammar[name->kind].prefix.size);
    if (grammar[name->kind].hash)
        append(&key, name->hash.text, sizeof(name->hash.text));
    else
        append_uuid(&key, &name->uuid);
    if (grammar[name->kind].uuids == 2) {
        append(&key, "/", 1);
        append_uuid(&key, &name->member);
    }
    return key;
}

// Takes a UUID as we write it, in lower case, off the front.
static bool cut_uuid(struct kvs_slice *rest, struct kvs_uuid *ret_uuid)
{
    char text[KVS_UUID_TEXT_SIZE];
    struct kvs_slice head = kvs_slice(rest->data, sizeof(text));
    if (rest->size < head.size || !kvs_uuid_parse(head, ret_uuid))
        return false;
    kvs_uuid_format(ret_uuid, text);
    *rest = kvs_slice(rest->data + head.size, rest->size - head.size);
    return memcmp(text, head.data, sizeof(text)) == 0;
}

static bool parse_rest(struct kvs_slice rest, struct kvs_account_name *name)
{
    if (grammar[name->kind].hash)
        return kvs_account_hash_parse(rest, &name->hash);
    if (!cut_uuid(&rest, &name->uuid))
        return false;
    if (grammar[name->kind].uuids == 1)
        return rest.size == 0;
    if (!kvs_slice_starts_with(rest, KVS_SLICE("/")))
        return false;
    rest = kvs_slice(rest.data + 1, rest.size - 1);
    return cut_uuid(&rest, &name->member) && rest.size == 0;
}

bool kvs_account_key_parse(struct kvs_slice key, struct kvs_account_name *ret_name)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(grammar); i++) {
        struct kvs_slice prefix = grammar[i].prefix;
        if (!kvs_slice_starts_with(key, prefix))
            continue;
        *ret_name = (struct kvs_account_name){.kind = (enum kvs_account_kind)i};
        return parse_rest(kvs_slice(key.data + prefix.size, key.size - prefix.size), ret_name);
    }
    return false;
}

// ---- Encoding

static void put_name(struct kvs_buf *out, const char *name)
{
    kvs_buf_append_char(out, out->data[out->size - 1] == '{' ? '"' : ',');
    if (out->data[out->size - 1] == ',')
        kvs_buf_append_char(out, '"');
    kvs_buf_append_str(out, name);
    kvs_buf_append_str(out, "\":");
}

static void put_number(struct kvs_buf *out, const char *name, int64_t value)
{
    put_name(out, name);
    kvs_buf_append_i64(out, value);
}

static void put_hash(struct kvs_buf *out, const char *name, const struct kvs_account_hash *hash)
{
    put_name(out, name);
    kvs_buf_append_char(out, '"');
    kvs_buf_append(out, hash->text, sizeof(hash->text));
    kvs_buf_append_char(out, '"');
}

static void put_uuid(struct kvs_buf *out, const char *name, const struct kvs_uuid *uuid)
{
    char text[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(uuid, text);
    put_name(out, name);
    kvs_buf_append_char(out, '"');
    kvs_buf_append(out, text, sizeof(text));
    kvs_buf_append_char(out, '"');
}

void kvs_account_encode(struct kvs_buf *out, enum kvs_account_kind kind,
                        const struct kvs_account_data *data)
{
    kvs_buf_append_char(out, '{');
    if (out->err)
        return; // put_name looks at what is there
    switch (kind) {
    case KVS_ACCOUNT_USER:
        put_hash(out, "nickname_hash", &data->name_hash);
        break;
    case KVS_ACCOUNT_GROUP:
        put_hash(out, "name_hash", &data->name_hash);
        break;
    case KVS_ACCOUNT_TOKEN:
        put_uuid(out, "user_uuid", &data->user);
        put_name(out, "scopes");
        kvs_scope_set_json(out, data->scopes);
        break;
    case KVS_ACCOUNT_META:
        put_name(out, "path");
        kvs_json_write_string(out, data->path);
        put_uuid(out, "owner_uuid", &data->owner);
        put_uuid(out, "group_uuid", &data->group);
        put_number(out, "permissions", data->permissions);
        break;
    case KVS_ACCOUNT_GONE:
    case KVS_ACCOUNT_MEMBER:
    case KVS_ACCOUNT_REVOKED:
        break;
    }
    if (kind == KVS_ACCOUNT_GONE)
        put_number(out, "at", data->created_at);
    else if (kind != KVS_ACCOUNT_REVOKED)
        put_number(out, "created_at", data->created_at);
    if (kind == KVS_ACCOUNT_USER || kind == KVS_ACCOUNT_GROUP || kind == KVS_ACCOUNT_META)
        put_number(out, "updated_at", data->updated_at);
    if (kind == KVS_ACCOUNT_TOKEN || kind == KVS_ACCOUNT_REVOKED)
        put_number(out, "expires_at", data->expires_at);
    kvs_buf_append_char(out, '}');
}

// ---- Decoding

struct reader {
    const struct kvs_json *object;
    struct kvs_arena *arena;
    bool good;
};

static struct kvs_slice get_text(struct reader *reader, const char *name)
{
    struct kvs_slice text = KVS_SLICE_EMPTY;
    const struct kvs_json *member = kvs_json_member(reader->object, name);
    if (!member || member->type != KVS_JSON_STRING ||
        kvs_json_string(member, reader->arena, &text) != 0)
        reader->good = false;
    return text;
}

static int64_t get_number(struct reader *reader, const char *name, int64_t max)
{
    int64_t number = 0;
    const struct kvs_json *member = kvs_json_member(reader->object, name);
    if (!member || member->type != KVS_JSON_NUMBER || !kvs_json_to_i64(member, &number) ||
        number < 0 || number > max)
        reader->good = false;
    return number;
}

static struct kvs_uuid get_uuid(struct reader *reader, const char *name)
{
    struct kvs_uuid uuid = {{0}};
    if (!kvs_uuid_parse(get_text(reader, name), &uuid))
        reader->good = false;
    return uuid;
}

static void get_hash(struct reader *reader, const char *name, struct kvs_account_hash *ret_hash)
{
    if (!kvs_account_hash_parse(get_text(reader, name), ret_hash))
        reader->good = false;
}

static kvs_scope_set get_scopes(struct reader *reader)
{
    kvs_scope_set scopes = 0;
    const struct kvs_json *list = kvs_json_member(reader->object, "scopes");
    if (!list || list->type != KVS_JSON_ARRAY)
        reader->good = false;
    for (const struct kvs_json *item = reader->good ? list->child : NULL; item; item = item->next) {
        struct kvs_slice name = KVS_SLICE_EMPTY;
        enum kvs_scope scope;
        if (item->type != KVS_JSON_STRING || kvs_json_string(item, reader->arena, &name) != 0)
            reader->good = false;
        else if (kvs_scope_parse(name, &scope)) // one of a later release grants nothing here
            scopes |= 1U << scope;
    }
    return scopes;
}

static void get_members(struct reader *reader, enum kvs_account_kind kind,
                        struct kvs_account_data *data)
{
    switch (kind) {
    case KVS_ACCOUNT_USER:
        get_hash(reader, "nickname_hash", &data->name_hash);
        break;
    case KVS_ACCOUNT_GROUP:
        get_hash(reader, "name_hash", &data->name_hash);
        break;
    case KVS_ACCOUNT_TOKEN:
        data->user = get_uuid(reader, "user_uuid");
        data->scopes = get_scopes(reader);
        break;
    case KVS_ACCOUNT_META:
        data->path = get_text(reader, "path");
        data->owner = get_uuid(reader, "owner_uuid");
        data->group = get_uuid(reader, "group_uuid");
        data->permissions = (uint16_t)get_number(reader, "permissions", KVS_PERMISSIONS_MAX);
        break;
    case KVS_ACCOUNT_GONE:
        data->created_at = get_number(reader, "at", INT64_MAX);
        return;
    case KVS_ACCOUNT_REVOKED:
        data->expires_at = get_number(reader, "expires_at", INT64_MAX);
        return;
    case KVS_ACCOUNT_MEMBER:
        break;
    }
    data->created_at = get_number(reader, "created_at", INT64_MAX);
    if (kind == KVS_ACCOUNT_TOKEN)
        data->expires_at = get_number(reader, "expires_at", INT64_MAX);
    else if (kind != KVS_ACCOUNT_MEMBER)
        data->updated_at = get_number(reader, "updated_at", INT64_MAX);
}

int kvs_account_decode(enum kvs_account_kind kind, struct kvs_slice json, struct kvs_arena *arena,
                       struct kvs_account_data *ret_data)
{
    struct kvs_json *root = NULL;
    *ret_data = (struct kvs_account_data){0};
    int err = kvs_json_parse(json, KVS_JSON_UNIQUE_KEYS, arena, &root, NULL);
    if (err == KVS_ERR_NOMEM)
        return err;
    if (err || root->type != KVS_JSON_OBJECT)
        return KVS_ERR_CORRUPT;
    struct reader reader = {.object = root, .arena = arena, .good = true};
    get_members(&reader, kind, ret_data);
    return reader.good ? 0 : KVS_ERR_CORRUPT;
}
