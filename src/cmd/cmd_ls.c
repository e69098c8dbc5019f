// SPDX-License-Identifier: Apache-2.0
// `kvs ls`: keys, page after page, so that a listing of any length needs the memory of one page.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cmd/client_args.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "cmd/table.h"
#include "codec/json.h"

enum { PAGE_LIMIT = 1000, PAGE_SIZE_MAX = 512 << 20, COLUMNS_DEFAULT = 100, KEY_COLUMNS_MAX = 48 };

static size_t terminal_columns(void)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : COLUMNS_DEFAULT;
}

static void show_as_json(struct kvs_buf *out, const struct kvs_client_entry *entry)
{
    kvs_buf_append_str(out, entry->is_prefix ? "{\"prefix\":" : "{\"path\":");
    kvs_json_write_string(out, kvs_slice_from_str(entry->key));
    if (!entry->is_prefix)
        kvs_buf_printf(out, ",\"uuid\":\"%s\",\"timestamp\":%" PRId64, entry->version.uuid,
                       entry->version.timestamp_ms);
    if (entry->json) {
        kvs_buf_append_str(out, ",\"data\":");
        kvs_buf_append(out, entry->json, entry->json_size);
    }
    kvs_buf_append_str(out, "}\n");
}

static void show_plain(struct kvs_buf *out, const struct kvs_client_entry *entry)
{
    kvs_buf_append_str(out, entry->key);
    if (entry->json) {
        kvs_buf_append_char(out, '\t');
        kvs_buf_append(out, entry->json, entry->json_size);
    }
    kvs_buf_append_char(out, '\n');
}

// "2026-11-23 04:27:46  key  value", the value cut at the terminal's edge.
static void show_for_people(struct kvs_buf *out, bool coloured,
                            const struct kvs_client_entry *entry, size_t key_columns,
                            size_t columns)
{
    char updated[KVS_SHOW_TIME_SIZE] = "";
    if (!entry->is_prefix)
        kvs_show_time(entry->version.timestamp_ms, updated);
    kvs_buf_printf(out, "%s%-*s%s  ", kvs_style_begin(coloured, KVS_STYLE_FAINT),
                   KVS_SHOW_TIME_SIZE - 1, updated, kvs_style_end(coloured, KVS_STYLE_FAINT));
    kvs_style_append(out, coloured, entry->is_prefix ? KVS_STYLE_PREFIX : KVS_STYLE_PLAIN,
                     kvs_slice_from_str(entry->key));
    if (entry->json) {
        size_t width = kvs_table_width(entry->key);
        size_t padding = key_columns > width ? key_columns - width : 0;
        size_t used = KVS_SHOW_TIME_SIZE - 1 + 2 + width + padding + 2;
        kvs_buf_printf(out, "%*s  ", (int)padding, "");
        kvs_show_start(out, kvs_slice(entry->json, entry->json_size),
                       columns > used + 10 ? columns - used : 10);
    }
    kvs_buf_append_char(out, '\n');
}

static int show_page(enum kvs_cmd_output output, const struct kvs_client_listing *page)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(PAGE_SIZE_MAX);
    size_t key_columns = 0;
    for (size_t i = 0; i < page->entry_count; i++) {
        size_t width = kvs_table_width(page->entries[i].key);
        if (width > key_columns && width <= KEY_COLUMNS_MAX)
            key_columns = width;
    }
    size_t columns = output == KVS_CMD_OUTPUT_HUMAN ? terminal_columns() : 0;
    bool coloured = kvs_style_is_wanted(STDOUT_FILENO);
    for (size_t i = 0; i < page->entry_count; i++) {
        const struct kvs_client_entry *entry = &page->entries[i];
        if (output == KVS_CMD_OUTPUT_JSON)
            show_as_json(&out, entry);
        else if (output == KVS_CMD_OUTPUT_HUMAN)
            show_for_people(&out, coloured, entry, key_columns, columns);
        else
            show_plain(&out, entry);
    }
    return kvs_cmd_print(&out);
}

// Whether the text stands in there; letters of a to z count in either case.
static bool holds(struct kvs_slice in, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i + size <= in.size; i++)
        if (strncasecmp(in.data + i, text, size) == 0)
            return true;
    return false;
}

// With --find: of the page's entries those whose key or value holds the text, at most `max` of
// them; without, the page as it is. *ret_found is the caller's to free.
static bool find(const struct kvs_args *args, const struct kvs_client_listing *page, uint64_t max,
                 struct kvs_client_entry **ret_entries, struct kvs_client_listing *ret_found)
{
    const char *text = kvs_args_value(args, "find");
    *ret_entries = NULL;
    *ret_found = *page;
    if (!text || page->entry_count == 0)
        return true;
    struct kvs_client_entry *entries = calloc(page->entry_count, sizeof(*entries));
    if (!entries)
        return false;
    size_t count = 0;
    for (size_t i = 0; i < page->entry_count && count < max; i++) {
        struct kvs_client_entry entry = page->entries[i];
        if (!holds(kvs_slice_from_str(entry.key), text) &&
            !(entry.json && holds(kvs_slice(entry.json, entry.json_size), text)))
            continue;
        if (!kvs_args_flag(args, "values"))
            entry.json = NULL;
        entries[count++] = entry;
    }
    *ret_entries = entries;
    ret_found->entries = entries;
    ret_found->entry_count = count;
    return true;
}

static int find_and_show(const struct kvs_args *args, const struct kvs_client_listing *page,
                         uint64_t *left)
{
    KVS_CLEANUP(kvs_freep) struct kvs_client_entry *entries = NULL;
    struct kvs_client_listing found;
    if (!find(args, page, *left, &entries, &found)) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    *left -= found.entry_count < *left ? found.entry_count : *left;
    return show_page(kvs_cmd_output(args), &found);
}

// `found`: entries shown before.
static int list(const struct kvs_args *args, struct kvs_client *client, const char *prefix,
                uint64_t found, uint64_t limit)
{
    enum kvs_cmd_output output = kvs_cmd_output(args);
    struct kvs_client_listing page = {0};
    struct kvs_client_error error;
    uint64_t left = limit > 0 ? limit : UINT64_MAX;
    const char *text = kvs_args_value(args, "find");
    int code = KVS_EXIT_OK;
    do {
        struct kvs_client_listing next;
        const struct kvs_client_list_options options = {
            .prefix = prefix,
            .children = !kvs_args_flag(args, "all") && !text,
            .values = kvs_args_flag(args, "values") || text,
            .limit = left < PAGE_LIMIT && !text ? (uint32_t)left : PAGE_LIMIT,
            .cursor = page.next,
        };
        enum kvs_client_code got = kvs_client_list(client, &options, &next, &error);
        kvs_client_listing_done(&page); // only now: its cursor was in use
        if (got != KVS_CLIENT_OK)
            return kvs_cmd_client_error(&error);
        page = next;
        code = find_and_show(args, &page, &left);
    } while (code == KVS_EXIT_OK && page.next && left > 0 && fflush(stdout) == 0);
    if (output == KVS_CMD_OUTPUT_HUMAN && found == 0 && left == (limit > 0 ? limit : UINT64_MAX))
        fprintf(stderr, "no keys%s%s%s%s%s\n", *prefix ? " under " : "", prefix,
                text ? " hold '" : "", text ? text : "", text ? "' in name or value" : "");
    else if (output == KVS_CMD_OUTPUT_HUMAN && page.next)
        fprintf(stderr, "and more: raise --limit\n");
    kvs_client_listing_done(&page);
    return code;
}

// Of a word without a slash at its end also the key of that very name: "app", and what lies under
// it.
static int list_exact(const struct kvs_args *args, struct kvs_client *client, const char *key,
                      uint64_t *ret_found)
{
    const struct kvs_client_range_options options = {.start_key = key, .end_key = key, .limit = 1};
    struct kvs_client_listing page;
    struct kvs_client_error error;
    if (kvs_client_range(client, &options, &page, &error) != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    int code = KVS_EXIT_OK;
    const char *text = kvs_args_value(args, "find");
    bool wanted = page.entry_count > 0 &&
                  (!text || holds(kvs_slice_from_str(page.entries[0].key), text) ||
                   holds(kvs_slice(page.entries[0].json, page.entries[0].json_size), text));
    *ret_found = wanted;
    if (wanted) {
        struct kvs_client_entry entry = page.entries[0];
        if (!kvs_args_flag(args, "values"))
            entry.json = NULL;
        const struct kvs_client_listing one = {.entries = &entry, .entry_count = 1};
        code = show_page(kvs_cmd_output(args), &one);
    }
    kvs_client_listing_done(&page);
    return code;
}

// "app" and "app/" both mean what lies under app.
static char *prefix_of(const char *word)
{
    size_t size = strlen(word);
    while (size > 0 && word[size - 1] == '/')
        size--;
    char *prefix = NULL;
    if (asprintf(&prefix, "%.*s%s", (int)size, word, size > 0 ? "/" : "") < 0)
        return NULL;
    return prefix;
}

static int list_word(const struct kvs_args *args, struct kvs_client *client, uint64_t limit)
{
    const char *word = args->operand_count > 0 ? args->operands[0] : "";
    KVS_CLEANUP(kvs_freep) char *prefix = prefix_of(word);
    if (!prefix) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    uint64_t found = 0;
    int code = KVS_EXIT_OK;
    if (*word && strlen(prefix) > strlen(word))
        code = list_exact(args, client, word, &found);
    if (code != KVS_EXIT_OK || (limit > 0 && found >= limit))
        return code;
    return list(args, client, prefix, found, limit > 0 ? limit - found : 0);
}

static int run_ls(const struct kvs_args *args)
{
    const char *limit_text = kvs_args_value(args, "limit");
    uint64_t limit = 0;
    if (limit_text && (!kvs_slice_to_u64(kvs_slice_from_str(limit_text), &limit) || limit == 0))
        return kvs_cmd_usage_error(args->command, "--limit '%s' is no number above 0", limit_text);
    struct kvs_client *client = NULL;
    int code = kvs_cmd_check_prefix(args, args->operand_count > 0 ? args->operands[0] : "");
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = list_word(args, client, limit);
    kvs_client_free(client);
    return code;
}

static const struct kvs_cmd_option ls_options[] = {
    {"all", 'a', NULL, "Every key below, however deep, instead of the children only"},
    {"values", 'v', NULL, "The values too"},
    {"find", 'f', "TEXT", "Of every key below those that hold TEXT, in their name or value"},
    {"limit", 'n', "N", "At most N entries (default: all)"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_ls = {
    .run = run_ls,
    .options = ls_options,
    .details =
        "Lists what lies under PREFIX in byte order, as a file system would: keys, and with a\n"
        "slash at their end the prefixes of deeper ones. PREFIX counts in whole segments: app\n"
        "does not show app2. Without a slash at its end it also shows the key of that very name.\n"
        "Into a pipe it is one key a line, with --values a tab and the value behind it; with\n"
        "--json one object a line.\n"
        "--find reads every value below PREFIX: a small letter finds a capital one, and the value "
        "is\n"
        "compared as it is stored, its JSON escapes included.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs ls\n"
        "  kvs ls app --values\n"
        "  kvs ls app --find theme\n"
        "  kvs ls --all | wc -l\n"
        "  kvs ls users --all --json | jq -r .path\n",
};
