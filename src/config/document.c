// SPDX-License-Identifier: Apache-2.0
// Texts for people that come from the table: the configuration file of a first start, and the
// reference docs/configuration.md.
#include "config/config.h"
#include "config/private_file.h"

enum { TEXT_MAX = 256 * 1024, WIDTH = 100 };

// Appends comment lines of at most WIDTH characters, broken at spaces.
static void append_comment(struct kvs_buf *out, struct kvs_slice text)
{
    while (text.size > 0) {
        size_t size = text.size;
        if (size > WIDTH - 2) {
            size = WIDTH - 2;
            while (size > 0 && text.data[size] != ' ')
                size--;
        }
        if (size == 0) // one word wider than a line
            size = text.size;
        kvs_buf_append_str(out, "# ");
        kvs_buf_append(out, text.data, size);
        kvs_buf_append_char(out, '\n');
        size += size < text.size; // the space
        text = kvs_slice(text.data + size, text.size - size);
    }
}

static void append_default_list(struct kvs_buf *out, const char *items)
{
    kvs_buf_append_char(out, '[');
    for (const char *c = items; *c; c++) {
        if (*c == ',')
            kvs_buf_append_str(out, ", ");
        else
            kvs_buf_append_char(out, *c);
    }
    kvs_buf_append_char(out, ']');
}

// The default as YAML.
static void append_default(struct kvs_buf *out, const struct kvs_option *option)
{
    switch (option->kind) {
    case KVS_OPTION_BOOL:
    case KVS_OPTION_NUMBER:
    case KVS_OPTION_LOG_LEVEL:
    case KVS_OPTION_DURABILITY:
    case KVS_OPTION_ACCESS_LOG:
        kvs_buf_append_str(out, option->default_text);
        break;
    default:
        if (kvs_option_is_list(option))
            append_default_list(out, option->default_text);
        else
            kvs_buf_printf(out, "\"%s\"", option->default_text);
    }
}

static void append_option(struct kvs_buf *out, const struct kvs_option *option)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(TEXT_MAX);
    kvs_buf_printf(&text, "%s Allowed: ", option->description);
    kvs_option_append_allowed(option, &text);
    kvs_buf_append_char(&text, '.');
    if (text.err)
        out->err = text.err;
    else
        append_comment(out, kvs_buf_slice(&text));
}

static void append_default_file(struct kvs_buf *out, const char *cluster_secret)
{
    kvs_buf_append_str(
        out,
        "# Configuration of a KVS node. Every key is optional; a key that is commented out has\n"
        "# the value shown. KVS_CFG_<KEY> in the environment overrides a key. `kvs check` shows\n"
        "# the effective settings. This file holds a secret: keep it readable for you alone.\n");
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        const struct kvs_option *option = &kvs_options[i];
        const char *section = kvs_option_section((enum kvs_option_id)i);
        if (section)
            kvs_buf_printf(out, "\n##### %s\n", section);
        kvs_buf_append_char(out, '\n');
        append_option(out, option);
        bool is_given = i == KVS_OPT_cluster_secret && cluster_secret;
        kvs_buf_printf(out, "%s%s: ", is_given ? "" : "#", option->name);
        if (is_given)
            kvs_buf_printf(out, "\"%s\"", cluster_secret);
        else
            append_default(out, option);
        kvs_buf_append_char(out, '\n');
    }
}

int kvs_config_write_default(const char *path, const char *cluster_secret,
                             struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(TEXT_MAX);
    append_default_file(&text, cluster_secret);
    if (text.err)
        return kvs_fail(ret_message, text.err, "%s: out of memory", path);
    return kvs_private_file_create(path, kvs_buf_slice(&text), ret_message);
}

void kvs_config_reference(struct kvs_buf *out)
{
    kvs_buf_append_str(
        out,
        "# Configuration\n\n"
        "This page is generated from `tables/options.def`; a test keeps the two equal.\n\n"
        "A node reads one YAML file of `key: value` lines. Every key is optional. An unknown key, "
        "a "
        "key that is given twice, a wrong type or an impossible value is an error that names file, "
        "line, key and what is allowed; the node does not start then. `KVS_CFG_<KEY>` in the "
        "environment overrides a key (`KVS_CFG_PORT=9000`; items of a list are separated by "
        "commas). Relative paths start at the folder of the file. `kvs check FILE` prints the "
        "effective settings and where each comes from.\n\n"
        "Anchors, aliases and tags of YAML are not supported; truth values are `true` and `false` "
        "alone; numbers are decimal and stand without quotes.\n\n"
        "Keys marked *reload* can change while the node runs: edit the file and send SIGHUP. The "
        "others are read at start.\n");
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        const struct kvs_option *option = &kvs_options[i];
        const char *section = kvs_option_section((enum kvs_option_id)i);
        if (section)
            kvs_buf_printf(out,
                           "\n## %s\n\n| key | default | meaning | allowed | reload |\n"
                           "|---|---|---|---|---|\n",
                           section);
        kvs_buf_printf(out, "| `%s` | `", option->name);
        append_default(out, option);
        kvs_buf_printf(out, "` | %s | ", option->description);
        kvs_option_append_allowed(option, out);
        kvs_buf_printf(out, " | %s |\n", option->reloadable ? "reload" : "");
    }
}
