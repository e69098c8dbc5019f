// SPDX-License-Identifier: Apache-2.0
// The keys of the configuration as data, from tables/options.def.
#ifndef KVS_CONFIG_OPTION_H
#define KVS_CONFIG_OPTION_H

#include "base/buf.h"

enum kvs_option_kind {
    KVS_OPTION_BOOL,       // true or false
    KVS_OPTION_NUMBER,     // a whole number
    KVS_OPTION_DURATION,   // a Go duration
    KVS_OPTION_NAME,       // visible ASCII characters
    KVS_OPTION_HOST,       // IP address or host name
    KVS_OPTION_ADDRESS,    // host:port
    KVS_OPTION_PATH,       // file or folder, relative to the configuration's folder
    KVS_OPTION_SECRET,     // never shown
    KVS_OPTION_CRON,       // five-field schedule
    KVS_OPTION_LOG_LEVEL,  // enum kvs_log_level
    KVS_OPTION_DURABILITY, // enum kvs_durability
    KVS_OPTION_ACCESS_LOG, // enum kvs_access_log
    KVS_OPTION_ACTIONS,    // set of audit actions
    KVS_OPTION_ADDRESSES,  // list of host:port
    KVS_OPTION_NETWORKS,   // list of IP addresses and networks
    KVS_OPTION_HOSTS,      // list of host names
    KVS_OPTION_ORIGINS,    // list of web origins
};

enum kvs_option_id {
#define KVS_SECTION(key, title)
#define KVS_OPTION(kind, name, ...) KVS_OPT_##name,
#include "tables/options.def"
#undef KVS_OPTION
#undef KVS_SECTION
    KVS_OPTION_COUNT
};

struct kvs_option {
    enum kvs_option_kind kind;
    const char *name;
    const char *default_text;
    int64_t min; // of a number, of a duration in ms, of a text in bytes, of a list in items
    int64_t max;
    const char *unit; // "" for none
    bool reloadable;
    const char *description;
    size_t offset; // of the field in struct kvs_config
};

extern const struct kvs_option kvs_options[KVS_OPTION_COUNT];

// The title of the section that begins with this key, or NULL.
const char *kvs_option_section(enum kvs_option_id id);

// False when there is no such key.
bool kvs_option_find(struct kvs_slice name, enum kvs_option_id *ret_id);

bool kvs_option_is_list(const struct kvs_option *option);
static inline bool kvs_option_is_secret(const struct kvs_option *option)
{
    return option->kind == KVS_OPTION_SECRET;
}

// What is allowed, as half a sentence: "a whole number from 1 to 65535".
void kvs_option_append_allowed(const struct kvs_option *option, struct kvs_buf *out);

#endif
