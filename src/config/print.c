// SPDX-License-Identifier: Apache-2.0
// The configuration as people and logs see it, and the difference of two. Secrets never leave this
// file in the clear.
#include "config/config.h"
#include "config/value.h"

enum { COMMENT_COLUMN = 48, TEXT_MAX = 1024 * 1024 };

static void append_source(const struct kvs_config_origin *origin, struct kvs_buf *out)
{
    switch (origin->source) {
    case KVS_CONFIG_DEFAULT:
        kvs_buf_append_str(out, "default");
        break;
    case KVS_CONFIG_FILE:
        kvs_buf_printf(out, "file, line %u", origin->line);
        break;
    case KVS_CONFIG_ENVIRONMENT:
        kvs_buf_append_str(out, "environment");
        break;
    case KVS_CONFIG_SHARED_FILE:
        kvs_buf_append_str(out, "~/.kvs/cluster_secret");
        break;
    }
}

void kvs_config_print(const struct kvs_config *config, struct kvs_buf *out)
{
    kvs_buf_printf(out, "# %s\n", config->path);
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        enum kvs_option_id id = (enum kvs_option_id)i;
        if (kvs_option_section(id))
            kvs_buf_printf(out, "\n# %s\n", kvs_option_section(id));
        size_t start = out->size;
        kvs_buf_printf(out, "%s: ", kvs_options[id].name);
        kvs_value_append(config, id, true, out);
        do {
            kvs_buf_append_char(out, ' ');
        } while (!out->err && out->size < start + COMMENT_COLUMN);
        kvs_buf_append_str(out, "# ");
        append_source(&config->origins[id], out);
        kvs_buf_append_char(out, '\n');
    }
}

void kvs_config_json(const struct kvs_config *config, struct kvs_buf *out)
{
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        kvs_buf_printf(out, "%s\"%s\":", i == 0 ? "{" : ",", kvs_options[i].name);
        kvs_value_append(config, (enum kvs_option_id)i, true, out);
    }
    kvs_buf_append_char(out, '}');
}

// A secret that a node took from its shared file has not changed when none is configured still.
static bool is_shared_secret(const struct kvs_config *old_config,
                             const struct kvs_config *new_config, enum kvs_option_id id)
{
    return old_config->origins[id].source == KVS_CONFIG_SHARED_FILE &&
           new_config->origins[id].source == KVS_CONFIG_DEFAULT;
}

// Replaces the buffer's content by the value as text.
static void render(const struct kvs_config *config, enum kvs_option_id id, bool mask,
                   struct kvs_buf *out)
{
    kvs_buf_clear(out);
    kvs_value_append(config, id, mask, out);
    kvs_buf_append_char(out, '\0');
}

int kvs_config_reload_diff(const struct kvs_config *old_config, const struct kvs_config *new_config,
                           kvs_config_change_visitor *visit, void *context)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf old_text = KVS_BUF_INIT(TEXT_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf new_text = KVS_BUF_INIT(TEXT_MAX);
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        enum kvs_option_id id = (enum kvs_option_id)i;
        render(old_config, id, false, &old_text);
        render(new_config, id, false, &new_text);
        bool same = kvs_slice_eq(kvs_buf_slice(&old_text), kvs_buf_slice(&new_text)) ||
                    is_shared_secret(old_config, new_config, id);
        if (same && !old_text.err && !new_text.err)
            continue;
        render(old_config, id, true, &old_text);
        render(new_config, id, true, &new_text);
        if (old_text.err || new_text.err)
            return old_text.err ? old_text.err : new_text.err;
        visit(context, &kvs_options[id], old_text.data, new_text.data);
    }
    return 0;
}
