// SPDX-License-Identifier: Apache-2.0
// `kvs diff`: which keys differ between two nodes. Two listings are merged as they come, page by
// page, so that nodes of any size need the memory of two pages. Versions are compared by their
// UUIDs: equal ones are the same write, whatever it wrote.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/show.h"
#include "codec/json.h"

enum { PAGE_LIMIT = 1000, LINE_SIZE_MAX = 1 << 20 };

enum difference { ONLY_A, ONLY_B, NEWER_A, NEWER_B };

struct side {
    const char *url;
    struct kvs_client *client;
    const char *prefix;
    struct kvs_client_listing page;
    size_t at;
    bool begun;
};

struct diff {
    const struct kvs_args *args;
    struct side a, b;
    uint64_t same, counts[4];
};

static void side_done(struct side *side)
{
    kvs_client_listing_done(&side->page);
    kvs_client_free(side->client);
}

static int side_open(const struct kvs_args *args, const char *word, const char *prefix,
                     struct side *side)
{
    char url[512];
    bool whole = strstr(word, "://") != NULL;
    if (snprintf(url, sizeof(url), "%s%s", whole ? "" : "http://", word) >= (int)sizeof(url))
        return kvs_cmd_usage_error(args->command, "'%s' is no node", word);
    const char *urls[] = {url};
    const struct kvs_client_options options = {.urls = urls, .url_count = 1};
    *side = (struct side){.url = word, .prefix = prefix};
    return kvs_cmd_client_open_with(args, &options, &side->client);
}

// *ret_entry: the next one; NULL behind the last. It is valid until the next call but one.
static int side_entry(struct side *side, const struct kvs_client_entry **ret_entry)
{
    *ret_entry = NULL;
    while (side->at == side->page.entry_count) {
        struct kvs_client_listing next;
        struct kvs_client_error error;
        const struct kvs_client_list_options options = {
            .prefix = side->prefix, .limit = PAGE_LIMIT, .cursor = side->page.next};
        if (side->begun && !side->page.next)
            return KVS_EXIT_OK;
        if (kvs_client_list(side->client, &options, &next, &error) != KVS_CLIENT_OK) {
            fprintf(stderr, "%s: ", side->url);
            return kvs_cmd_client_error(&error);
        }
        kvs_client_listing_done(&side->page); // only now: its cursor was in use
        side->page = next;
        side->at = 0;
        side->begun = true;
    }
    *ret_entry = &side->page.entries[side->at];
    return KVS_EXIT_OK;
}

static void append_version(struct kvs_buf *out, const char *name,
                           const struct kvs_client_entry *entry)
{
    if (entry)
        kvs_buf_printf(out, ",\"%s\":{\"uuid\":\"%s\",\"timestamp\":%" PRId64 "}", name,
                       entry->version.uuid, entry->version.timestamp_ms);
    else
        kvs_buf_printf(out, ",\"%s\":null", name);
}

static int show(struct diff *diff, enum difference what, const char *key_text,
                const struct kvs_client_entry *a, const struct kvs_client_entry *b)
{
    static const char *const words[] = {"only-a", "only-b", "newer-a", "newer-b"};
    static const char *const marks[] = {"<", ">", "!<", "!>"};
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(LINE_SIZE_MAX);
    struct kvs_slice key = kvs_slice_from_str(key_text);
    diff->counts[what]++;
    if (kvs_cmd_output(diff->args) == KVS_CMD_OUTPUT_JSON) {
        kvs_buf_append_str(&out, "{\"path\":");
        kvs_json_write_string(&out, key);
        kvs_buf_printf(&out, ",\"difference\":\"%s\"", words[what]);
        append_version(&out, "a", a);
        append_version(&out, "b", b);
        kvs_buf_append_str(&out, "}\n");
    } else {
        kvs_buf_printf(&out, "%-2s ", marks[what]);
        kvs_show_text(&out, key);
        kvs_buf_append_char(&out, '\n');
    }
    return kvs_cmd_print(&out);
}

// Of two versions of one key the node that has the later one is ahead; what else decides between
// them does not matter here.
static int compare(struct diff *diff, const struct kvs_client_entry *a,
                   const struct kvs_client_entry *b)
{
    int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
    diff->a.at += order <= 0;
    diff->b.at += order >= 0;
    if (order < 0)
        return show(diff, ONLY_A, a->key, a, NULL);
    if (order > 0)
        return show(diff, ONLY_B, b->key, NULL, b);
    if (strcmp(a->version.uuid, b->version.uuid) != 0)
        return show(diff, a->version.timestamp_ms >= b->version.timestamp_ms ? NEWER_A : NEWER_B,
                    a->key, a, b);
    diff->same++;
    return KVS_EXIT_OK;
}

static int compare_all(struct diff *diff)
{
    for (;;) {
        const struct kvs_client_entry *a = NULL;
        const struct kvs_client_entry *b = NULL;
        int code = side_entry(&diff->a, &a);
        if (code == KVS_EXIT_OK)
            code = side_entry(&diff->b, &b);
        if (code != KVS_EXIT_OK || (!a && !b))
            return code;
        code = compare(diff, a, b);
        if (code != KVS_EXIT_OK)
            return code;
    }
}

static int conclude(const struct diff *diff)
{
    const uint64_t *n = diff->counts;
    uint64_t differ = n[ONLY_A] + n[ONLY_B] + n[NEWER_A] + n[NEWER_B];
    if (kvs_cmd_output(diff->args) == KVS_CMD_OUTPUT_HUMAN)
        fprintf(stderr,
                "%" PRIu64 " the same, %" PRIu64 " differ: %" PRIu64 " only on %s, %" PRIu64
                " only on %s, %" PRIu64 " newer on %s, %" PRIu64 " newer on %s\n",
                diff->same, differ, n[ONLY_A], diff->a.url, n[ONLY_B], diff->b.url, n[NEWER_A],
                diff->a.url, n[NEWER_B], diff->b.url);
    return differ > 0 ? KVS_EXIT_FAILED : KVS_EXIT_OK;
}

static int run_diff(const struct kvs_args *args)
{
    // "/app", "app" and "app/" all mean what lies under app.
    const char *word = args->operand_count > 2 ? args->operands[2] : "";
    word += strspn(word, "/");
    size_t size = strlen(word);
    KVS_CLEANUP(kvs_freep) char *prefix = NULL;
    if (asprintf(&prefix, "%s%s", word, size > 0 && word[size - 1] != '/' ? "/" : "") < 0) {
        prefix = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    struct diff diff = {.args = args};
    int code = side_open(args, args->operands[0], prefix, &diff.a);
    if (code == KVS_EXIT_OK)
        code = side_open(args, args->operands[1], prefix, &diff.b);
    if (code == KVS_EXIT_OK)
        code = compare_all(&diff);
    if (code == KVS_EXIT_OK)
        code = conclude(&diff);
    side_done(&diff.a);
    side_done(&diff.b);
    return code;
}

static const struct kvs_cmd_option diff_options[] = {
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_diff = {
    .run = run_diff,
    .options = diff_options,
    .details =
        "Compares what two nodes hold under PREFIX (everything, without one), key by key, by the\n"
        "UUIDs of the versions. NODE is host:port or a URL; --url is not looked at. One line for\n"
        "each key that differs:\n"
        "  <   only on the first node         !<  newer on the first node\n"
        "  >   only on the second node        !>  newer on the second node\n"
        "With --json one object a line, with both versions. What is written meanwhile may show as\n"
        "a difference that is gone a moment later. A token sees what it may read.\n"
        "Exit code 0 when nothing differs, 1 when something does.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs diff node1:8080 node2:8080\n"
        "  kvs diff https://node1:8080 https://node2:8080 /app --json\n",
};
