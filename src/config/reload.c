// SPDX-License-Identifier: Apache-2.0
// What changes when the configuration is read anew while the node runs. The running configuration
// is never touched: other threads read it.
#include "config/config.h"
#include "config/load.h"
#include "config/value.h"

enum { TEXT_MAX = 1024 * 1024 };

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

int kvs_config_reload_merge(const struct kvs_config *running, struct kvs_config *fresh,
                            struct kvs_message *ret_message)
{
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        if (kvs_options[i].reloadable)
            continue;
        int err = kvs_value_copy(fresh, running, (enum kvs_option_id)i);
        if (err < 0)
            return kvs_fail(ret_message, err, "%s: out of memory", fresh->path);
    }
    return kvs_config_check_together(fresh, fresh->path, ret_message);
}
