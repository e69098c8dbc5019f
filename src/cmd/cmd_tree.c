// SPDX-License-Identifier: Apache-2.0
// `kvs tree`: keys as a tree. Goes down level by level, so that it holds one page of each level it
// is in and can stop at a depth without reading what lies deeper.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/client_args.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "codec/json.h"

enum { LINE_SIZE_MAX = 1 << 20, DEPTH_MAX = 1024 };

struct tree {
    struct kvs_client *client;
    struct kvs_buf indent; // what the lines of this level begin with
    bool coloured;
    bool json;
    uint64_t depth_max; // levels
    uint64_t prefixes;
    uint64_t keys;
};

static int draw_level(struct tree *tree, const char *prefix, uint64_t depth);

// The last segment, with its slash.
static struct kvs_slice name_of(const char *key)
{
    size_t size = strlen(key);
    size_t start = size > 0 && key[size - 1] == '/' ? size - 1 : size;
    while (start > 0 && key[start - 1] != '/')
        start--;
    return kvs_slice(key + start, size - start);
}

static int draw_line(struct tree *tree, const char *key, bool is_prefix, bool last)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf line = KVS_BUF_INIT(LINE_SIZE_MAX);
    kvs_buf_append_str(&line, kvs_style_begin(tree->coloured, KVS_STYLE_FAINT));
    kvs_buf_append_slice(&line, kvs_buf_slice(&tree->indent));
    kvs_buf_append_str(&line, last ? "└── " : "├── ");
    kvs_buf_append_str(&line, kvs_style_end(tree->coloured, KVS_STYLE_FAINT));
    kvs_style_append(&line, tree->coloured, is_prefix ? KVS_STYLE_PREFIX : KVS_STYLE_PLAIN,
                     name_of(key));
    kvs_buf_append_char(&line, '\n');
    return kvs_cmd_print(&line);
}

static int print_json(const char *key, bool is_prefix, bool first)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf line = KVS_BUF_INIT(LINE_SIZE_MAX);
    kvs_buf_append_str(&line, first ? "{\"name\":" : ",{\"name\":");
    kvs_json_write_string(&line, name_of(key));
    kvs_buf_append_str(&line, ",\"path\":");
    kvs_json_write_string(&line, kvs_slice_from_str(key));
    kvs_buf_append_str(&line, is_prefix ? ",\"children\":[" : "}");
    return kvs_cmd_print(&line);
}

static int draw_node(struct tree *tree, const char *key, bool is_prefix, bool first, bool last,
                     uint64_t depth)
{
    int code =
        tree->json ? print_json(key, is_prefix, first) : draw_line(tree, key, is_prefix, last);
    *(is_prefix ? &tree->prefixes : &tree->keys) += 1;
    if (code != KVS_EXIT_OK || !is_prefix)
        return code;
    if (depth < tree->depth_max) {
        size_t size = tree->indent.size;
        kvs_buf_append_str(&tree->indent, last ? "    " : "│   ");
        code = draw_level(tree, key, depth + 1);
        tree->indent.size = size;
    }
    if (tree->json)
        fputs("]}", stdout);
    return code;
}

// Each entry is drawn when the one behind it is known, because the last one looks different.
static int draw_entries(struct tree *tree, struct kvs_client_iterator *iterator, uint64_t depth)
{
    KVS_CLEANUP(kvs_freep) char *held = NULL;
    bool held_is_prefix = false;
    bool first = true;
    for (;;) {
        const struct kvs_client_entry *entry = NULL;
        struct kvs_client_error error;
        enum kvs_client_code got = kvs_client_iterator_next(iterator, &entry, &error);
        if (got != KVS_CLIENT_OK && got != KVS_CLIENT_END)
            return kvs_cmd_client_error(&error);
        if (held) {
            int code = draw_node(tree, held, held_is_prefix, first, got == KVS_CLIENT_END, depth);
            if (code != KVS_EXIT_OK)
                return code;
            first = false;
        }
        free(KVS_TAKE(held));
        if (got == KVS_CLIENT_END)
            return KVS_EXIT_OK;
        held_is_prefix = entry->is_prefix;
        held = strdup(entry->key);
        if (!held) {
            kvs_cmd_error("out of memory");
            return KVS_EXIT_FAILED;
        }
    }
}

static int draw_level(struct tree *tree, const char *prefix, uint64_t depth)
{
    const struct kvs_client_list_options options = {.prefix = prefix, .children = true};
    struct kvs_client_iterator *iterator = kvs_client_list_iterator(tree->client, &options);
    if (!iterator) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    int code = draw_entries(tree, iterator, depth);
    kvs_client_iterator_free(iterator);
    return code;
}

static int draw(struct tree *tree, const char *word)
{
    size_t size = strlen(word);
    while (size > 0 && word[size - 1] == '/')
        size--;
    KVS_CLEANUP(kvs_freep) char *prefix = NULL;
    if (asprintf(&prefix, "%.*s%s", (int)size, word, size > 0 ? "/" : "") < 0) {
        prefix = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    if (tree->json) {
        fputs("[", stdout);
        int code = draw_level(tree, prefix, 1);
        fputs("]\n", stdout);
        return code;
    }
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf root = KVS_BUF_INIT(LINE_SIZE_MAX);
    kvs_style_append(&root, tree->coloured, KVS_STYLE_PREFIX,
                     *prefix ? kvs_slice_from_str(prefix) : KVS_SLICE("/"));
    kvs_buf_append_char(&root, '\n');
    int code = kvs_cmd_print(&root);
    if (code == KVS_EXIT_OK)
        code = draw_level(tree, prefix, 1);
    if (code == KVS_EXIT_OK)
        printf("\n%" PRIu64 " prefix%s, %" PRIu64 " key%s\n", tree->prefixes,
               tree->prefixes == 1 ? "" : "es", tree->keys, tree->keys == 1 ? "" : "s");
    return code;
}

static int run_tree(const struct kvs_args *args)
{
    struct tree tree = {
        .indent = KVS_BUF_INIT(LINE_SIZE_MAX),
        .coloured = kvs_style_is_wanted(STDOUT_FILENO),
        .json = kvs_cmd_output(args) == KVS_CMD_OUTPUT_JSON,
        .depth_max = DEPTH_MAX,
    };
    const char *depth = kvs_args_value(args, "depth");
    if (depth && (!kvs_slice_to_u64(kvs_slice_from_str(depth), &tree.depth_max) ||
                  tree.depth_max == 0 || tree.depth_max > DEPTH_MAX))
        return kvs_cmd_usage_error(args->command, "--depth '%s' is no number from 1 to %d", depth,
                                   DEPTH_MAX);
    const char *prefix = args->operand_count > 0 ? args->operands[0] : "";
    int code = kvs_cmd_check_prefix(args, prefix);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &tree.client);
    if (code == KVS_EXIT_OK)
        code = draw(&tree, prefix);
    kvs_client_free(tree.client);
    kvs_buf_done(&tree.indent);
    return code;
}

static const struct kvs_cmd_option tree_options[] = {
    {"depth", 'd', "N", "At most N levels"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_tree = {
    .run = run_tree,
    .options = tree_options,
    .details = "Draws what lies under PREFIX (everything without one) as a tree, in byte order. A\n"
               "name with a slash stands for what lies under it; a key that has others below it\n"
               "shows both ways. With --json nested objects of name, path and children.\n"
               "\n" KVS_CMD_CLIENT_DETAILS "\n"
               "Examples:\n"
               "  kvs tree\n"
               "  kvs tree app --depth 2\n",
};
