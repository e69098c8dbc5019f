// SPDX-License-Identifier: Apache-2.0
#include "config/option.h"

#include "base/duration.h"
#include "config/config.h"

#include <stddef.h>

#define RELOADABLE_RELOAD true
#define RELOADABLE_RESTART false
#define OFFSET_OF(type, member) offsetof(struct kvs_config, member)

const struct kvs_option kvs_options[KVS_OPTION_COUNT] = {
#define KVS_SECTION(key, title)
#define KVS_OPTION(kind_, name_, default_, min_, max_, unit_, when_, description_)                 \
    [KVS_OPT_##name_] = {                                                                          \
        .kind = KVS_OPTION_##kind_,                                                                \
        .name = #name_,                                                                            \
        .default_text = default_,                                                                  \
        .min = min_,                                                                               \
        .max = max_,                                                                               \
        .unit = unit_,                                                                             \
        .reloadable = RELOADABLE_##when_,                                                          \
        .description = description_,                                                               \
        .offset = KVS_CONFIG_FIELD_##kind_(OFFSET_OF, name_),                                      \
    },
#include "tables/options.def"
#undef KVS_OPTION
#undef KVS_SECTION
};

static const char *const sections[KVS_OPTION_COUNT] = {
#define KVS_SECTION(key, title) [KVS_OPT_##key] = title,
#define KVS_OPTION(...)
#include "tables/options.def"
#undef KVS_OPTION
#undef KVS_SECTION
};

const char *kvs_option_section(enum kvs_option_id id)
{
    return sections[id];
}

bool kvs_option_find(struct kvs_slice name, enum kvs_option_id *ret_id)
{
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        if (kvs_slice_eq(name, kvs_slice_from_str(kvs_options[i].name))) {
            *ret_id = (enum kvs_option_id)i;
            return true;
        }
    }
    return false;
}

bool kvs_option_is_list(const struct kvs_option *option)
{
    switch (option->kind) {
    case KVS_OPTION_ACTIONS:
    case KVS_OPTION_ADDRESSES:
    case KVS_OPTION_NETWORKS:
    case KVS_OPTION_HOSTS:
    case KVS_OPTION_ORIGINS:
        return true;
    default:
        return false;
    }
}

static void append_number_range(const struct kvs_option *option, struct kvs_buf *out)
{
    kvs_buf_append_str(out, "a whole number from ");
    kvs_buf_append_i64(out, option->min);
    kvs_buf_append_str(out, " to ");
    kvs_buf_append_i64(out, option->max);
    if (option->unit[0] != '\0')
        kvs_buf_printf(out, " (%s)", option->unit);
}

static void append_duration_range(const struct kvs_option *option, struct kvs_buf *out)
{
    char min[KVS_DURATION_TEXT_MAX];
    char max[KVS_DURATION_TEXT_MAX];
    (void)kvs_duration_format(option->min * 1000000, min); // its length is not needed
    (void)kvs_duration_format(option->max * 1000000, max);
    kvs_buf_printf(out, "a duration such as \"1h30m\" or \"250ms\", from %s to %s", min, max);
}

static void append_actions(struct kvs_buf *out)
{
    kvs_buf_append_str(out, "a list of all");
    for (size_t i = 0; i < KVS_AUDIT_ACTION_COUNT; i++)
        kvs_buf_printf(out, ", %s", kvs_audit_action_name((enum kvs_audit_action)i));
    kvs_buf_append_str(out, "; user_* means all that begin so");
}

void kvs_option_append_allowed(const struct kvs_option *option, struct kvs_buf *out)
{
    static const char *const texts[] = {
        [KVS_OPTION_BOOL] = "true or false",
        [KVS_OPTION_NAME] = "visible ASCII characters without spaces",
        [KVS_OPTION_HOST] = "an IP address or host name",
        [KVS_OPTION_ADDRESS] = "host:port, an IPv6 address in brackets",
        [KVS_OPTION_PATH] = "a path, relative to this file's folder or absolute",
        [KVS_OPTION_SECRET] = "any text of at least 16 bytes",
        [KVS_OPTION_CRON] = "five cron fields (minute, hour, day, month, weekday), @daily and the "
                            "like, or \"@every 6h\"",
        [KVS_OPTION_LOG_LEVEL] = "debug, info, warn or error",
        [KVS_OPTION_DURABILITY] = "sync or async",
        [KVS_OPTION_ACCESS_LOG] = "errors, all or off",
        [KVS_OPTION_ADDRESSES] = "a list of host:port, such as [\"10.0.0.1:8080\"]",
        [KVS_OPTION_NETWORKS] = "a list of IP addresses and networks, such as [\"10.0.0.0/8\"]",
        [KVS_OPTION_HOSTS] = "a list of host names and IP addresses",
        [KVS_OPTION_ORIGINS] = "a list of origins, such as [\"https://example.org\"], or [\"*\"]",
    };
    switch (option->kind) {
    case KVS_OPTION_NUMBER:
        append_number_range(option, out);
        break;
    case KVS_OPTION_DURATION:
        append_duration_range(option, out);
        break;
    case KVS_OPTION_ACTIONS:
        append_actions(out);
        break;
    default:
        kvs_buf_append_str(out, texts[option->kind]);
    }
}
