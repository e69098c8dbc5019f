// SPDX-License-Identifier: Apache-2.0
// The configuration as people and logs see it. Secrets never leave this file in the clear.
#include "config/config.h"
#include "config/value.h"

enum { COMMENT_COLUMN = 48 };

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
