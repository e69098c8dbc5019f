// SPDX-License-Identifier: Apache-2.0
// Lines are printed as they are found: a table's columns are fixed, and the key stands last.
#include "cmd/diff_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/show.h"
#include "cmd/table.h"
#include "codec/json.h"

enum { LINE_SIZE_MAX = 1 << 20, ARENA_MAX = 64 << 20, CELL_COLUMNS = 40, CELL_SIZE = 2048 };

static const char *const words[] = {
    [KVS_DIFF_ONLY_A] = "only-a",       [KVS_DIFF_ONLY_B] = "only-b",
    [KVS_DIFF_NEWER_A] = "newer-a",     [KVS_DIFF_NEWER_B] = "newer-b",
    [KVS_DIFF_DELETED_A] = "deleted-a", [KVS_DIFF_DELETED_B] = "deleted-b",
    [KVS_DIFF_DIFFERENT] = "different",
};
static const char *const marks[] = {
    [KVS_DIFF_ONLY_A] = "<",     [KVS_DIFF_ONLY_B] = ">",     [KVS_DIFF_NEWER_A] = "!<",
    [KVS_DIFF_NEWER_B] = "!>",   [KVS_DIFF_DELETED_A] = "x<", [KVS_DIFF_DELETED_B] = "x>",
    [KVS_DIFF_DIFFERENT] = "! ",
};

void kvs_diff_show_init(struct kvs_diff_show *show, const struct kvs_args *args, const char *name_a,
                        struct kvs_client *client_a, const char *name_b,
                        struct kvs_client *client_b)
{
    *show = (struct kvs_diff_show){
        .args = args, .names = {name_a, name_b}, .clients = {client_a, client_b}};
    kvs_arena_init(&show->arena, ARENA_MAX);
}

void kvs_diff_show_done(struct kvs_diff_show *show)
{
    kvs_arena_done(&show->arena);
    free(show->writers);
}

// ---- Which one wins

// > 0: a's, < 0: b's, 0: not known.
static int winner(const struct kvs_compare_entry *a, const struct kvs_compare_entry *b)
{
    if (!a || !b)
        return a ? 1 : -1;
    if (a->version.timestamp == b->version.timestamp && !(a->has_writer && b->has_writer))
        return 0;
    return kvs_version_cmp(&a->version, &b->version, NULL);
}

static bool is_deleted(const struct kvs_compare_entry *entry)
{
    return entry && kvs_version_is_tombstone(&entry->version);
}

static enum kvs_difference judge(const struct kvs_compare_entry *a,
                                 const struct kvs_compare_entry *b, int wins)
{
    if (is_deleted(a) != is_deleted(b))
        return is_deleted(a) ? KVS_DIFF_DELETED_A : KVS_DIFF_DELETED_B;
    if (!a || !b)
        return a ? KVS_DIFF_ONLY_A : KVS_DIFF_ONLY_B;
    return wins > 0 ? KVS_DIFF_NEWER_A : wins < 0 ? KVS_DIFF_NEWER_B : KVS_DIFF_DIFFERENT;
}

// ---- Who wrote it

static void add_writer(struct kvs_diff_show *show, const struct kvs_json *member)
{
    struct kvs_slice id;
    struct kvs_slice text;
    struct kvs_uuid uuid;
    const struct kvs_json *id_value = kvs_json_member(member, "id");
    const struct kvs_json *uuid_value = kvs_json_member(member, "uuid");
    if (!id_value || id_value->type != KVS_JSON_STRING || !uuid_value ||
        uuid_value->type != KVS_JSON_STRING || kvs_json_string(id_value, &show->arena, &id) != 0 ||
        kvs_json_string(uuid_value, &show->arena, &text) != 0 || !kvs_uuid_parse(text, &uuid))
        return; // no KVS node: it writes through others
    const char *name = kvs_arena_copy(&show->arena, id).data;
    void *longer = realloc(show->writers, (show->writer_count + 1) * sizeof(show->writers[0]));
    if (!longer || !name)
        return;
    show->writers = longer;
    show->writers[show->writer_count].uuid = uuid;
    show->writers[show->writer_count++].name = name;
}

// Names are a courtesy: without them the UUID stands there.
static void learn_writers(struct kvs_diff_show *show)
{
    for (int i = 0; i < 2; i++) {
        struct kvs_client_response response;
        struct kvs_json *list = NULL;
        if (kvs_client_request(show->clients[i], "GET", "/members/?all=1", NULL, NULL, 0, &response,
                               NULL) != KVS_CLIENT_OK)
            continue;
        struct kvs_slice text =
            kvs_arena_copy(&show->arena, kvs_slice(response.body, response.body_size));
        kvs_client_response_done(&response);
        if (!text.data || kvs_json_parse(text, 0, &show->arena, &list, NULL) != 0 ||
            list->type != KVS_JSON_ARRAY)
            continue;
        for (const struct kvs_json *member = list->child; member; member = member->next)
            add_writer(show, member);
    }
}

static const char *writer_name(const struct kvs_diff_show *show, const struct kvs_uuid *uuid)
{
    for (size_t i = 0; i < show->writer_count; i++)
        if (kvs_uuid_cmp(&show->writers[i].uuid, uuid) == 0)
            return show->writers[i].name;
    return NULL;
}

// ---- Lines

static void append_uuid(struct kvs_buf *out, const char *name, const struct kvs_uuid *uuid)
{
    char text[KVS_UUID_TEXT_SIZE];
    kvs_uuid_format(uuid, text);
    kvs_buf_printf(out, "\"%s\":\"%.*s\"", name, KVS_UUID_TEXT_SIZE, text);
}

static void append_version(struct kvs_buf *out, const struct kvs_diff_show *show, const char *name,
                           const struct kvs_compare_entry *entry)
{
    if (!entry) {
        kvs_buf_printf(out, ",\"%s\":null", name);
        return;
    }
    const struct kvs_version *version = &entry->version;
    kvs_buf_printf(out, ",\"%s\":{", name);
    append_uuid(out, "uuid", &version->uuid);
    kvs_buf_printf(out, ",\"timestamp\":%" PRId64, version->timestamp);
    if (entry->has_writer) {
        const char *writer = writer_name(show, &version->writer.node);
        kvs_buf_append_char(out, ',');
        append_uuid(out, "writer", &version->writer.node);
        kvs_buf_append_str(out, ",\"writer_id\":");
        if (writer)
            kvs_json_write_string(out, kvs_slice_from_str(writer));
        else
            kvs_buf_append_str(out, "null");
        kvs_buf_printf(out, ",\"joined_timestamp\":%" PRId64, version->writer.joined_timestamp);
    }
    if (version->expires_at != 0)
        kvs_buf_printf(out, ",\"expires_timestamp\":%" PRId64, version->expires_at);
    if (kvs_version_is_tombstone(version))
        kvs_buf_append_str(out, ",\"deleted\":true");
    if (entry->expired)
        kvs_buf_append_str(out, ",\"expired\":true");
    kvs_buf_append_char(out, '}');
}

static void append_json(struct kvs_buf *out, const struct kvs_diff_show *show,
                        enum kvs_difference what, int wins, const struct kvs_compare_entry *a,
                        const struct kvs_compare_entry *b)
{
    kvs_buf_append_str(out, "{\"path\":");
    kvs_json_write_string(out, kvs_slice_from_str(a ? a->key : b->key));
    kvs_buf_printf(out, ",\"difference\":\"%s\",\"wins\":%s", words[what],
                   wins > 0   ? "\"a\""
                   : wins < 0 ? "\"b\""
                              : "null");
    append_version(out, show, "a", a);
    append_version(out, show, "b", b);
    kvs_buf_append_str(out, "}\n");
}

static void append_cell(struct kvs_buf *out, const struct kvs_diff_show *show,
                        const struct kvs_compare_entry *entry)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf cell = KVS_BUF_INIT(CELL_SIZE);
    if (entry) {
        char time[KVS_SHOW_TIME_SIZE];
        const char *writer =
            entry->has_writer ? writer_name(show, &entry->version.writer.node) : NULL;
        kvs_show_time(entry->version.timestamp, time);
        kvs_buf_printf(&cell, "%s%s%s", time,
                       is_deleted(entry) ? " deleted"
                       : entry->expired  ? " expired"
                                         : "",
                       writer ? " by " : "");
        if (writer)
            kvs_show_text(&cell, kvs_slice_from_str(writer));
    } else {
        kvs_buf_append_char(&cell, '-');
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf shown = KVS_BUF_INIT(4 * CELL_SIZE);
    kvs_show_start(&shown, kvs_buf_slice(&cell), CELL_COLUMNS);
    kvs_buf_append_char(&shown, '\0');
    if (shown.err || cell.err) {
        out->err = KVS_ERR_NOMEM;
        return;
    }
    kvs_buf_append_str(out, shown.data);
    for (size_t i = kvs_table_width(shown.data); i < CELL_COLUMNS; i++)
        kvs_buf_append_char(out, ' ');
    kvs_buf_append_str(out, "  ");
}

static void append_row(struct kvs_buf *out, const struct kvs_diff_show *show,
                       enum kvs_difference what, int wins, const struct kvs_compare_entry *a,
                       const struct kvs_compare_entry *b)
{
    if (!show->begun)
        kvs_buf_printf(out, "    %-*.*s  %-*.*s  WINS    KEY\n", CELL_COLUMNS, CELL_COLUMNS,
                       show->names[0], CELL_COLUMNS, CELL_COLUMNS, show->names[1]);
    kvs_buf_printf(out, "%-2s  ", marks[what]);
    append_cell(out, show, a);
    append_cell(out, show, b);
    kvs_buf_append_str(out, wins > 0 ? "first   " : wins < 0 ? "second  " : "?       ");
    kvs_show_text(out, kvs_slice_from_str(a ? a->key : b->key));
    kvs_buf_append_char(out, '\n');
}

int kvs_diff_show_key(struct kvs_diff_show *show, const struct kvs_compare_entry *a,
                      const struct kvs_compare_entry *b)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(LINE_SIZE_MAX);
    enum kvs_cmd_output output = kvs_cmd_output(show->args);
    if (a && b && kvs_uuid_cmp(&a->version.uuid, &b->version.uuid) == 0)
        return KVS_EXIT_OK;
    int wins = winner(a, b);
    enum kvs_difference what = judge(a, b, wins);
    bool has_writers = (a && a->has_writer) || (b && b->has_writer);
    if (!show->begun && has_writers && output != KVS_CMD_OUTPUT_PLAIN)
        learn_writers(show);
    if (output == KVS_CMD_OUTPUT_JSON) {
        append_json(&out, show, what, wins, a, b);
    } else if (output == KVS_CMD_OUTPUT_HUMAN) {
        append_row(&out, show, what, wins, a, b);
    } else {
        kvs_buf_printf(&out, "%-2s ", marks[what]);
        kvs_show_text(&out, kvs_slice_from_str(a ? a->key : b->key));
        kvs_buf_append_char(&out, '\n');
    }
    show->counts[what]++;
    show->begun = true;
    return kvs_cmd_print(&out);
}

bool kvs_diff_show_end(const struct kvs_diff_show *show)
{
    const uint64_t *n = show->counts;
    uint64_t differ = 0;
    for (int i = 0; i < KVS_DIFF_KINDS; i++)
        differ += n[i];
    if (kvs_cmd_output(show->args) == KVS_CMD_OUTPUT_HUMAN) {
        fprintf(stderr,
                "%" PRIu64 " keys differ: %" PRIu64 " only on %s, %" PRIu64 " only on %s, %" PRIu64
                " newer on %s, %" PRIu64 " newer on %s, %" PRIu64 " deleted on %s alone, %" PRIu64
                " deleted on %s alone",
                differ, n[KVS_DIFF_ONLY_A], show->names[0], n[KVS_DIFF_ONLY_B], show->names[1],
                n[KVS_DIFF_NEWER_A], show->names[0], n[KVS_DIFF_NEWER_B], show->names[1],
                n[KVS_DIFF_DELETED_A], show->names[0], n[KVS_DIFF_DELETED_B], show->names[1]);
        if (n[KVS_DIFF_DIFFERENT] > 0)
            fprintf(stderr, ", %" PRIu64 " of which nobody knows", n[KVS_DIFF_DIFFERENT]);
        fputc('\n', stderr);
    }
    return differ > 0;
}
