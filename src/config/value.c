// SPDX-License-Identifier: Apache-2.0
// The kind of an option decides everything: which forms it takes, what it allows, how it is kept.
// Texts and their checks are in the table `text_rules`; lists are texts with the rule of their
// items.
#include "config/value.h"

#include "base/clock.h"
#include "base/cron.h"
#include "base/duration.h"
#include "base/escape.h"
#include "config/check.h"

enum { SHOWN_MAX = 64, ALLOWED_MAX = 1024, ITEMS_MAX = 1024 };

static const char *const durability_names[] = {"sync", "async"};
static const char *const access_log_names[] = {"errors", "all", "off"};

static void *field_of(const struct kvs_config *config, const struct kvs_option *option)
{
    return (char *)(uintptr_t)config + option->offset; // const only for those that read
}

static char **text_field(const struct kvs_config *config, const struct kvs_option *option)
{
    return field_of(config, option);
}

static struct kvs_strings *list_field(const struct kvs_config *config,
                                      const struct kvs_option *option)
{
    return field_of(config, option);
}

// "70000" is not allowed; use a whole number from 1 to 65535
static int refuse(const struct kvs_option *option, struct kvs_slice text,
                  struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf allowed = KVS_BUF_INIT(ALLOWED_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf shown = KVS_BUF_INIT(SHOWN_MAX * 8);
    kvs_option_append_allowed(option, &allowed);
    if (kvs_option_is_secret(option))
        kvs_buf_append_str(&shown, "this value");
    else if (text.size > SHOWN_MAX)
        kvs_buf_append_str(&shown, "so long a value");
    else {
        kvs_buf_append_char(&shown, '"');
        kvs_escape_append(&shown, text);
        kvs_buf_append_char(&shown, '"');
    }
    return kvs_fail(ret_message, KVS_ERR_INVALID, "%.*s is not allowed; use %.*s", (int)shown.size,
                    shown.data, (int)allowed.size, allowed.data);
}

static int refuse_form(const struct kvs_option *option, const char *what,
                       struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf allowed = KVS_BUF_INIT(ALLOWED_MAX);
    kvs_option_append_allowed(option, &allowed);
    return kvs_fail(ret_message, KVS_ERR_INVALID, "%s is not allowed; use %.*s", what,
                    (int)allowed.size, allowed.data);
}

static bool is_null(const struct kvs_value *value, struct kvs_slice text)
{
    static const char *const names[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; value->form == KVS_VALUE_PLAIN && i < KVS_ARRAY_SIZE(names); i++) {
        if (kvs_slice_eq(text, kvs_slice_from_str(names[i])))
            return true;
    }
    return false;
}

static bool is_bool(struct kvs_slice text)
{
    return kvs_slice_eq(text, KVS_SLICE("true")) || kvs_slice_eq(text, KVS_SLICE("false"));
}

// Decimal without leading zeros: 010 would be eight to YAML 1.1 and ten to a reader.
static bool parse_number(struct kvs_slice text, int64_t *ret_number)
{
    bool negative = text.size > 0 && text.data[0] == '-';
    if (negative)
        text = kvs_slice(text.data + 1, text.size - 1);
    uint64_t magnitude = 0;
    if (text.size > 1 && text.data[0] == '0')
        return false;
    if (!kvs_slice_to_u64(text, &magnitude) || magnitude > INT64_MAX)
        return false;
    *ret_number = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static int set_number(struct kvs_config *config, const struct kvs_option *option,
                      struct kvs_slice text, struct kvs_message *ret_message)
{
    int64_t number = 0;
    if (!parse_number(text, &number) || number < option->min || number > option->max)
        return refuse(option, text, ret_message);
    *(int64_t *)field_of(config, option) = number;
    return 0;
}

static int set_duration(struct kvs_config *config, const struct kvs_option *option,
                        struct kvs_slice text, struct kvs_message *ret_message)
{
    int64_t ns = 0;
    if (kvs_duration_parse(text, &ns) < 0 || ns < option->min * 1000000 ||
        ns > option->max * 1000000)
        return refuse(option, text, ret_message);
    *(int64_t *)field_of(config, option) = ns;
    return 0;
}

static int set_choice(struct kvs_config *config, const struct kvs_option *option,
                      struct kvs_slice text, struct kvs_message *ret_message)
{
    if (option->kind == KVS_OPTION_LOG_LEVEL) {
        enum kvs_log_level level = KVS_LOG_INFO;
        if (!kvs_log_level_parse(text, &level))
            return refuse(option, text, ret_message);
        config->log_level = level;
        return 0;
    }
    bool durability = option->kind == KVS_OPTION_DURABILITY;
    const char *const *names = durability ? durability_names : access_log_names;
    size_t count = durability ? KVS_ARRAY_SIZE(durability_names) : KVS_ARRAY_SIZE(access_log_names);
    size_t i = 0;
    while (i < count && !kvs_slice_eq(text, kvs_slice_from_str(names[i])))
        i++;
    if (i == count)
        return refuse(option, text, ret_message);
    if (durability)
        config->durability = (enum kvs_durability)i;
    else
        config->access_log = (enum kvs_access_log)i;
    return 0;
}

static int check_schedule(struct kvs_slice text, struct kvs_message *ret_message)
{
    struct kvs_cron *cron = NULL;
    int err = kvs_cron_parse(text, &cron, ret_message);
    if (err < 0)
        return err == KVS_ERR_NOMEM ? err : KVS_ERR_INVALID;
    int64_t next_s = 0;
    bool fires = kvs_cron_next(cron, kvs_clock_wall_ms(kvs_clock_system()) / 1000, &next_s);
    kvs_cron_free(cron);
    if (!fires)
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "this schedule has no date in the next five years");
    return 0;
}

static int check_path(struct kvs_slice text, struct kvs_message *ret_message)
{
    if (kvs_slice_eq(text, KVS_SLICE("~")) || kvs_slice_starts_with(text, KVS_SLICE("~/")))
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "~ is not expanded here; write the whole path, or one relative to this "
                        "file's folder");
    return 0;
}

static bool matches_kind(enum kvs_option_kind kind, struct kvs_slice text)
{
    switch (kind) {
    case KVS_OPTION_NAME:
        return kvs_check_name(text);
    case KVS_OPTION_HOST:
    case KVS_OPTION_HOSTS:
        return kvs_check_host(text);
    case KVS_OPTION_ADDRESS:
    case KVS_OPTION_ADDRESSES:
        return kvs_check_address(text);
    case KVS_OPTION_NETWORKS:
        return kvs_check_network(text);
    case KVS_OPTION_ORIGINS:
        return kvs_check_origin(text);
    case KVS_OPTION_SECRET:
        return text.size >= 16;
    default:
        return true;
    }
}

// An empty text is fine where the row allows it; cluster_secret must be left out instead.
static int check_text(const struct kvs_option *option, struct kvs_slice text,
                      struct kvs_message *ret_message)
{
    if (text.size == 0 && option->min == 0)
        return 0;
    if (kvs_option_is_secret(option) && (text.size < 16 || (int64_t)text.size > option->max))
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "%zu bytes are not allowed; use a text of 16 to %lld bytes, or remove the "
                        "line",
                        text.size, (long long)option->max);
    if (!kvs_check_text(text) || (int64_t)text.size < option->min ||
        (int64_t)text.size > option->max || !matches_kind(option->kind, text))
        return refuse(option, text, ret_message);
    if (option->kind == KVS_OPTION_CRON)
        return check_schedule(text, ret_message);
    return option->kind == KVS_OPTION_PATH ? check_path(text, ret_message) : 0;
}

static char *resolve_path(const char *folder, struct kvs_slice text)
{
    while (kvs_slice_starts_with(text, KVS_SLICE("./")))
        text = kvs_slice(text.data + 2, text.size - 2);
    bool absolute = text.size == 0 || text.data[0] == '/';
    size_t folder_size = absolute ? 0 : strlen(folder);
    char *path = malloc(folder_size + 1 + text.size + 1);
    if (!path)
        return NULL;
    char *out = path;
    if (!absolute) {
        memcpy(out, folder, folder_size);
        out += folder_size;
        if (folder_size > 1) // not behind "/"
            *out++ = '/';
    }
    memcpy(out, text.data ? text.data : "", text.size);
    out[text.size] = '\0';
    return path;
}

static int set_text(struct kvs_config *config, const struct kvs_option *option,
                    struct kvs_slice text, struct kvs_message *ret_message)
{
    int err = check_text(option, text, ret_message);
    if (err < 0)
        return err;
    bool resolve = option->kind == KVS_OPTION_PATH && text.size > 0;
    char *copy = resolve ? resolve_path(config->folder, text)
                         : strndup(text.data ? text.data : "", text.size);
    if (!copy)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    free(*text_field(config, option));
    *text_field(config, option) = copy;
    return 0;
}

static int set_scalar(struct kvs_config *config, const struct kvs_option *option,
                      const struct kvs_value *value, struct kvs_message *ret_message)
{
    struct kvs_slice text = value->items[0];
    bool quoted = value->form == KVS_VALUE_QUOTED;
    switch (option->kind) {
    case KVS_OPTION_BOOL:
        if (quoted)
            return refuse_form(option, "a text in quotes", ret_message);
        if (!is_bool(text))
            return refuse(option, text, ret_message);
        *(bool *)field_of(config, option) = text.data[0] == 't';
        return 0;
    case KVS_OPTION_NUMBER:
        if (quoted)
            return refuse_form(option, "a text in quotes", ret_message);
        return set_number(config, option, text, ret_message);
    case KVS_OPTION_DURATION:
        return set_duration(config, option, text, ret_message);
    case KVS_OPTION_LOG_LEVEL:
    case KVS_OPTION_DURABILITY:
    case KVS_OPTION_ACCESS_LOG:
        return set_choice(config, option, text, ret_message);
    default:
        if (value->form == KVS_VALUE_PLAIN && is_bool(text))
            return refuse_form(option, "a truth value", ret_message);
        return set_text(config, option, text, ret_message);
    }
}

// One action, `all`, or `prefix_*`; false when nothing has that name.
static bool add_actions(struct kvs_slice text, uint64_t *actions)
{
    bool all = kvs_slice_eq(text, KVS_SLICE("all"));
    bool prefix = kvs_slice_ends_with(text, KVS_SLICE("_*"));
    struct kvs_slice start = kvs_slice(text.data, prefix ? text.size - 1 : text.size);
    uint64_t found = 0;
    for (size_t i = 0; i < KVS_AUDIT_ACTION_COUNT; i++) {
        enum kvs_audit_action action = (enum kvs_audit_action)i;
        struct kvs_slice name = kvs_slice_from_str(kvs_audit_action_name(action));
        if (all || (prefix ? kvs_slice_starts_with(name, start) : kvs_slice_eq(name, text)))
            found |= kvs_audit_action_bit(action);
    }
    *actions |= found;
    return found != 0;
}

static int set_actions(struct kvs_config *config, const struct kvs_option *option,
                       const struct kvs_value *value, struct kvs_message *ret_message)
{
    uint64_t actions = 0;
    for (size_t i = 0; i < value->count; i++) {
        if (!add_actions(value->items[i], &actions))
            return refuse(option, value->items[i], ret_message);
    }
    *(uint64_t *)field_of(config, option) = actions;
    return 0;
}

static void free_strings(struct kvs_strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
    *strings = (struct kvs_strings){0};
}

static int set_strings(struct kvs_config *config, const struct kvs_option *option,
                       const struct kvs_value *value, struct kvs_message *ret_message)
{
    for (size_t i = 0; i < value->count; i++) {
        if (!matches_kind(option->kind, value->items[i]))
            return refuse(option, value->items[i], ret_message);
    }
    struct kvs_strings strings = {calloc(value->count + 1, sizeof(char *)), 0};
    for (size_t i = 0; strings.items && i < value->count; i++) {
        strings.items[i] = strndup(value->items[i].data, value->items[i].size);
        if (!strings.items[i])
            break;
        strings.count++;
    }
    if (!strings.items || strings.count < value->count) {
        free_strings(&strings);
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    free_strings(list_field(config, option));
    *list_field(config, option) = strings;
    return 0;
}

static int set_list(struct kvs_config *config, const struct kvs_option *option,
                    const struct kvs_value *value, struct kvs_message *ret_message)
{
    if ((int64_t)value->count > option->max)
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%zu items are too many; %lld are allowed",
                        value->count, (long long)option->max);
    return option->kind == KVS_OPTION_ACTIONS ? set_actions(config, option, value, ret_message)
                                              : set_strings(config, option, value, ret_message);
}

int kvs_value_set(struct kvs_config *config, enum kvs_option_id id, const struct kvs_value *value,
                  struct kvs_message *ret_message)
{
    const struct kvs_option *option = &kvs_options[id];
    bool is_list = kvs_option_is_list(option);
    if (value->form != KVS_VALUE_LIST && is_null(value, value->items[0]))
        return refuse_form(option, "no value", ret_message);
    if (value->form == KVS_VALUE_LIST && !is_list)
        return refuse_form(option, "a list", ret_message);
    if (value->form != KVS_VALUE_LIST && is_list)
        return refuse_form(option, "a single value", ret_message);
    return is_list ? set_list(config, option, value, ret_message)
                   : set_scalar(config, option, value, ret_message);
}

// Items between commas, without the spaces around them; a text of spaces is the empty list.
static int set_list_text(struct kvs_config *config, const struct kvs_option *option,
                         struct kvs_slice text, struct kvs_message *ret_message)
{
    struct kvs_slice items[ITEMS_MAX];
    size_t count = 0;
    bool more = kvs_slice_trim(text).size > 0;
    while (more && count < ITEMS_MAX) {
        const char *comma = memchr(text.data, ',', text.size);
        size_t size = comma ? (size_t)(comma - text.data) : text.size;
        items[count++] = kvs_slice_trim(kvs_slice(text.data, size));
        more = comma;
        if (more)
            text = kvs_slice(comma + 1, text.size - size - 1);
    }
    struct kvs_value value = {KVS_VALUE_LIST, items, count};
    return set_list(config, option, &value, ret_message);
}

int kvs_value_set_text(struct kvs_config *config, enum kvs_option_id id, struct kvs_slice text,
                       struct kvs_message *ret_message)
{
    const struct kvs_option *option = &kvs_options[id];
    if (kvs_option_is_list(option))
        return set_list_text(config, option, text, ret_message);
    struct kvs_value value = {KVS_VALUE_TEXT, &text, 1};
    return set_scalar(config, option, &value, ret_message);
}

int kvs_value_set_default(struct kvs_config *config, enum kvs_option_id id,
                          struct kvs_message *ret_message)
{
    const struct kvs_option *option = &kvs_options[id];
    if (option->kind == KVS_OPTION_SECRET) { // not configured, which no one may write
        *text_field(config, option) = strdup(option->default_text);
        return *text_field(config, option) ? 0
                                           : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    return kvs_value_set_text(config, id, kvs_slice_from_str(option->default_text), ret_message);
}

static bool is_text(enum kvs_option_kind kind)
{
    switch (kind) {
    case KVS_OPTION_NAME:
    case KVS_OPTION_HOST:
    case KVS_OPTION_ADDRESS:
    case KVS_OPTION_PATH:
    case KVS_OPTION_SECRET:
    case KVS_OPTION_CRON:
        return true;
    default:
        return false;
    }
}

void kvs_value_free(struct kvs_config *config, enum kvs_option_id id)
{
    const struct kvs_option *option = &kvs_options[id];
    if (is_text(option->kind))
        free(*text_field(config, option));
    else if (kvs_option_is_list(option) && option->kind != KVS_OPTION_ACTIONS)
        free_strings(list_field(config, option));
}

static int copy_strings(struct kvs_strings *target, const struct kvs_strings *source)
{
    struct kvs_strings strings = {calloc(source->count + 1, sizeof(char *)), 0};
    for (size_t i = 0; strings.items && i < source->count; i++) {
        strings.items[i] = strdup(source->items[i]);
        if (!strings.items[i])
            break;
        strings.count++;
    }
    if (!strings.items || strings.count < source->count) {
        free_strings(&strings);
        return KVS_ERR_NOMEM;
    }
    free_strings(target);
    *target = strings;
    return 0;
}

static int copy_text(char **target, const char *source)
{
    char *copy = strdup(source);
    if (!copy)
        return KVS_ERR_NOMEM;
    free(*target);
    *target = copy;
    return 0;
}

static size_t plain_size(enum kvs_option_kind kind)
{
    switch (kind) {
    case KVS_OPTION_BOOL:
        return sizeof(bool);
    case KVS_OPTION_LOG_LEVEL:
        return sizeof(enum kvs_log_level);
    case KVS_OPTION_DURABILITY:
        return sizeof(enum kvs_durability);
    case KVS_OPTION_ACCESS_LOG:
        return sizeof(enum kvs_access_log);
    default:
        return sizeof(int64_t); // numbers, durations, sets of actions
    }
}

int kvs_value_copy(struct kvs_config *target, const struct kvs_config *source,
                   enum kvs_option_id id)
{
    const struct kvs_option *option = &kvs_options[id];
    int err = 0;
    if (is_text(option->kind))
        err = copy_text(text_field(target, option), *text_field(source, option));
    else if (kvs_option_is_list(option) && option->kind != KVS_OPTION_ACTIONS)
        err = copy_strings(list_field(target, option), list_field(source, option));
    else
        memcpy(field_of(target, option), field_of(source, option), plain_size(option->kind));
    if (err == 0)
        target->origins[id] = source->origins[id];
    return err;
}

static void append_quoted(struct kvs_buf *out, const char *text)
{
    kvs_buf_append_char(out, '"');
    kvs_escape_append(out, kvs_slice_from_str(text));
    kvs_buf_append_char(out, '"');
}

static void append_actions(struct kvs_buf *out, uint64_t actions)
{
    const char *comma = "";
    kvs_buf_append_char(out, '[');
    for (size_t i = 0; i < KVS_AUDIT_ACTION_COUNT; i++) {
        if (actions & kvs_audit_action_bit((enum kvs_audit_action)i)) {
            kvs_buf_append_str(out, comma);
            append_quoted(out, kvs_audit_action_name((enum kvs_audit_action)i));
            comma = ", ";
        }
    }
    kvs_buf_append_char(out, ']');
}

static void append_strings(struct kvs_buf *out, const struct kvs_strings *strings)
{
    kvs_buf_append_char(out, '[');
    for (size_t i = 0; i < strings->count; i++) {
        if (i > 0)
            kvs_buf_append_str(out, ", ");
        append_quoted(out, strings->items[i]);
    }
    kvs_buf_append_char(out, ']');
}

static void append_duration(struct kvs_buf *out, int64_t ns)
{
    char text[KVS_DURATION_TEXT_MAX];
    (void)kvs_duration_format(ns, text); // NUL-terminated
    append_quoted(out, text);
}

void kvs_value_append(const struct kvs_config *config, enum kvs_option_id id, bool mask,
                      struct kvs_buf *out)
{
    const struct kvs_option *option = &kvs_options[id];
    const void *field = field_of(config, option);
    switch (option->kind) {
    case KVS_OPTION_BOOL:
        kvs_buf_append_str(out, *(const bool *)field ? "true" : "false");
        break;
    case KVS_OPTION_NUMBER:
        kvs_buf_append_i64(out, *(const int64_t *)field);
        break;
    case KVS_OPTION_DURATION:
        append_duration(out, *(const int64_t *)field);
        break;
    case KVS_OPTION_LOG_LEVEL:
        append_quoted(out, kvs_log_level_name(config->log_level));
        break;
    case KVS_OPTION_DURABILITY:
        append_quoted(out, durability_names[config->durability]);
        break;
    case KVS_OPTION_ACCESS_LOG:
        append_quoted(out, access_log_names[config->access_log]);
        break;
    case KVS_OPTION_ACTIONS:
        append_actions(out, *(const uint64_t *)field);
        break;
    case KVS_OPTION_SECRET:
        append_quoted(out, mask && (*(char *const *)field)[0] != '\0' ? "********"
                                                                      : *(char *const *)field);
        break;
    default:
        if (is_text(option->kind))
            append_quoted(out, *(char *const *)field);
        else
            append_strings(out, field);
    }
}
