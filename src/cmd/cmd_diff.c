// SPDX-License-Identifier: Apache-2.0
// `kvs diff`: in which keys two nodes differ. Nodes of one cluster are compared by fingerprints
// (compare.h), deletions included. Where that cannot be, both sides are read whole, page by page,
// and stderr says so: all versions of nodes of two clusters, else what listings show. Versions are
// compared by their UUIDs: equal ones are the same write, whatever it wrote.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/compare.h"
#include "cmd/diff_show.h"

enum {
    PAGE_LIMIT = 1000,
    DIFFER = 1, // exit code, as of diff and cmp; failures that are KVS_EXIT_FAILED elsewhere have
                // another
};

struct side {
    const char *name; // as given
    struct kvs_client *client;
    // The page being read, where everything is.
    struct kvs_compare_entries page;
    size_t at;
    char *next; // NULL behind the last page
    bool begun;
};

typedef enum kvs_client_code read_page_fn(struct kvs_client *client,
                                          const struct kvs_compare_scope *scope, const char *from,
                                          struct kvs_compare_entries *ret_entries, char **ret_next,
                                          struct kvs_client_error *ret_error);

static void side_done(struct side *side)
{
    kvs_compare_entries_done(&side->page);
    free(side->next);
    kvs_client_free(side->client);
}

static int side_open(const struct kvs_args *args, const char *word, struct side *side)
{
    char url[512];
    bool whole = strstr(word, "://") != NULL;
    side->name = word;
    if (snprintf(url, sizeof(url), "%s%s", whole ? "" : "http://", word) >= (int)sizeof(url))
        return kvs_cmd_usage_error(args->command, "'%s' is no node", word);
    const char *urls[] = {url};
    // A comparison is a POST that writes nothing.
    const struct kvs_client_options options = {.urls = urls, .url_count = 1, .retry_writes = true};
    return kvs_cmd_client_open_with(args, &options, &side->client);
}

// ---- Both read whole

// A page of a listing: neither deletions nor writers show there. The key of the prefix's own name
// comes first in byte order.
static enum kvs_client_code read_listing(struct kvs_client *client,
                                         const struct kvs_compare_scope *scope, const char *from,
                                         struct kvs_compare_entries *ret_entries, char **ret_next,
                                         struct kvs_client_error *ret_error)
{
    bool own_key = scope->key && !*from;
    struct kvs_client_listing page;
    const struct kvs_client_list_options own = {.prefix = scope->key, .limit = 1};
    const struct kvs_client_list_options all = {.prefix = scope->prefix,
                                                .limit = PAGE_LIMIT,
                                                .cursor = strcmp(from, ".") > 0 ? from + 1 : NULL};
    *ret_entries = (struct kvs_compare_entries){0};
    *ret_next = NULL;
    enum kvs_client_code code = kvs_client_list(client, own_key ? &own : &all, &page, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    bool good = true;
    for (size_t i = 0; i < page.entry_count && good; i++) {
        struct kvs_compare_entry entry = {.version.timestamp =
                                              page.entries[i].version.timestamp_ms};
        if (own_key && strcmp(page.entries[i].key, scope->key) != 0)
            break;
        good =
            kvs_uuid_parse(kvs_slice_from_str(page.entries[i].version.uuid), &entry.version.uuid) &&
            kvs_compare_entries_add(ret_entries, page.entries[i].key, &entry);
    }
    // What comes next: "." for the first page below the prefix, ".CURSOR" for the others.
    if (own_key || page.next)
        good = good && asprintf(ret_next, ".%s", own_key ? "" : page.next) > 0;
    kvs_client_listing_done(&page);
    if (good)
        return KVS_CLIENT_OK;
    kvs_compare_entries_done(ret_entries);
    *ret_next = NULL;
    *ret_error = (struct kvs_client_error){.code = KVS_CLIENT_NOMEM, .message = "out of memory"};
    return KVS_CLIENT_NOMEM;
}

// *ret_entry: the next one; NULL behind the last. It is valid until the next call but one.
static int side_entry(struct side *side, const struct kvs_compare_scope *scope,
                      read_page_fn *read_page, const struct kvs_compare_entry **ret_entry)
{
    *ret_entry = NULL;
    while (side->at == side->page.count) {
        struct kvs_compare_entries entries;
        struct kvs_client_error error;
        char *next = NULL;
        if (side->begun && !side->next)
            return KVS_EXIT_OK;
        if (read_page(side->client, scope, side->next ? side->next : "", &entries, &next, &error) !=
            KVS_CLIENT_OK) {
            struct kvs_client_error named = error;
            (void)snprintf(named.message, sizeof(named.message), "%s: %s", side->name,
                           error.message);
            return kvs_cmd_client_error(&named);
        }
        kvs_compare_entries_done(&side->page);
        free(side->next);
        side->page = entries;
        side->next = next;
        side->at = 0;
        side->begun = true;
    }
    *ret_entry = &side->page.list[side->at];
    return KVS_EXIT_OK;
}

static int compare_whole(struct side sides[static 2], const struct kvs_compare_scope *scope,
                         read_page_fn *read_page, struct kvs_diff_show *show)
{
    for (;;) {
        const struct kvs_compare_entry *a = NULL;
        const struct kvs_compare_entry *b = NULL;
        int code = side_entry(&sides[0], scope, read_page, &a);
        if (code == KVS_EXIT_OK)
            code = side_entry(&sides[1], scope, read_page, &b);
        if (code != KVS_EXIT_OK || (!a && !b))
            return code;
        int order = !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
        code = kvs_diff_show_key(show, order <= 0 ? a : NULL, order >= 0 ? b : NULL);
        if (code != KVS_EXIT_OK)
            return code;
        sides[0].at += order <= 0;
        sides[1].at += order >= 0;
    }
}

// ---- By fingerprints

static int visit(void *context, const struct kvs_compare_entry *a,
                 const struct kvs_compare_entry *b)
{
    return kvs_diff_show_key(context, a, b);
}

static const char *reason_of(const struct kvs_client_error *error)
{
    if (error->http_status == 404 || error->http_status == 405)
        return "it is no clustered node, or an older one";
    return "only who may read everything there gets fingerprints";
}

static int compare(struct side sides[static 2], const struct kvs_compare_scope *scope,
                   struct kvs_diff_show *show)
{
    struct kvs_client *const clients[] = {sides[0].client, sides[1].client};
    struct kvs_client_error error;
    int side = 0;
    int code = KVS_EXIT_OK;
    switch (kvs_compare_run(clients, scope, visit, show, &side, &error, &code)) {
    case KVS_COMPARE_DONE:
    case KVS_COMPARE_FAILED:
        return code;
    case KVS_COMPARE_OTHER_CLUSTER:
        kvs_cmd_error("note: %s and %s belong to different clusters, whose fingerprints cannot be "
                      "compared: reading all versions of both",
                      sides[0].name, sides[1].name);
        return compare_whole(sides, scope, kvs_compare_list, show);
    case KVS_COMPARE_UNSUPPORTED:
        break;
    }
    // Who may not list there either needs no note: the first page says so.
    const struct kvs_compare_entry *first = NULL;
    code = side_entry(&sides[side], scope, read_listing, &first);
    if (code != KVS_EXIT_OK)
        return code;
    kvs_cmd_error("note: %s cannot be compared by fingerprints (%s): reading both listings, which "
                  "show no deletions",
                  sides[side].name, reason_of(&error));
    return compare_whole(sides, scope, read_listing, show);
}

// "/app" and "app" mean the key app and what lies under it, "app/" what lies under it.
static int run_diff(const struct kvs_args *args)
{
    const char *word = args->operand_count > 2 ? args->operands[2] : "";
    word += strspn(word, "/");
    size_t size = strlen(word);
    bool below_only = size == 0 || word[size - 1] == '/';
    KVS_CLEANUP(kvs_freep) char *prefix = NULL;
    if (asprintf(&prefix, "%s%s", word, below_only ? "" : "/") < 0) {
        prefix = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_NO_COMPARISON;
    }
    const struct kvs_compare_scope scope = {.key = below_only ? NULL : word, .prefix = prefix};
    struct side sides[2] = {{0}, {0}};
    bool differ = false;
    int code = side_open(args, args->operands[0], &sides[0]);
    if (code == KVS_EXIT_OK)
        code = side_open(args, args->operands[1], &sides[1]);
    if (code == KVS_EXIT_OK) {
        struct kvs_diff_show show;
        kvs_diff_show_init(&show, args, sides[0].name, sides[0].client, sides[1].name,
                           sides[1].client);
        code = compare(sides, &scope, &show);
        differ = code == KVS_EXIT_OK && kvs_diff_show_end(&show);
        kvs_diff_show_done(&show);
    }
    side_done(&sides[0]);
    side_done(&sides[1]);
    if (differ && (fflush(stdout) != 0 || ferror(stdout)))
        code = KVS_EXIT_FAILED; // kvs_cmd_main says so
    else if (differ)
        return DIFFER;
    return code == KVS_EXIT_FAILED ? KVS_EXIT_NO_COMPARISON : code;
}

static const struct kvs_cmd_option diff_options[] = {
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_diff = {
    .run = run_diff,
    .options = diff_options,
    .details =
        "Compares what two nodes hold under PREFIX (everything, without one), by the UUIDs of the\n"
        "versions; without a slash at its end also the key of that very name. NODE is host:port\n"
        "or a URL; --url is not looked at. One line for each key that differs:\n"
        "  <   only on the first node         !<  both, the first node's version wins\n"
        "  >   only on the second node        !>  both, the second node's version wins\n"
        "  x<  deleted on the first alone     x>  deleted on the second alone\n"
        "  !   both, and which one wins is not known\n"
        "On a terminal with the versions' times and writers; with --json one object a line, with\n"
        "both versions and who wins. What is written meanwhile may show as a difference that is\n"
        "gone a moment later.\n"
        "Nodes of one cluster are compared by fingerprints: equal ones in a request each, others "
        "in\n"
        "a few more, however many keys they hold. Nodes of different clusters, a token that may "
        "not\n"
        "read everything under PREFIX, and nodes without clustering make it read everything, and\n"
        "it says so; in the last two cases deletions do not show. A token sees what it may read.\n"
        "Exit code 0 when nothing differs, 1 when something does, 12 (or 6, 7, 8 as of every "
        "command)\n"
        "when it could not be found out.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs diff node1:8080 node2:8080\n"
        "  kvs diff https://node1:8080 https://node2:8080 /app --json\n",
};
