// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "config/config.h"

#include <stdio.h>

// environ has no const; nothing is written to it.
static char *const *environment(const char *const *env)
{
    return (char *const *)(uintptr_t)env;
}

static struct kvs_config *parse_with(const char *text, const char *const *env)
{
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    if (kvs_config_parse(kvs_slice_from_str(text), "/etc/kvs/n.yaml", environment(env), &config,
                         &message) < 0)
        fail_msg("%s", message.text);
    return config;
}

static struct kvs_config *parse(const char *text)
{
    return parse_with(text, NULL);
}

static void assert_message(const char *text, const char *const *env, const char *expected)
{
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    int err =
        kvs_config_parse(kvs_slice_from_str(text), "n.yaml", environment(env), &config, &message);
    kvs_config_free(config);
    if (err != KVS_ERR_INVALID)
        fail_msg("not refused: %s", text);
    if (!strstr(message.text, expected))
        fail_msg("expected '%s' in '%s'", expected, message.text);
}

static void assert_refused(const char *text, const char *expected)
{
    assert_message(text, NULL, expected);
}

static void an_empty_file_means_all_defaults(void **state)
{
    (void)state;
    const char *const empty[] = {"", "\n", "# nothing\n", "---\n", "{}", "--- # x\n...\n"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(empty); i++) {
        struct kvs_config *config = parse(empty[i]);
        char host[256] = {0};
        assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
        assert_string_equal(config->node_id, host);
        assert_string_equal(config->bind_address, "127.0.0.1");
        assert_int_equal(config->port, 8080);
        assert_string_equal(config->data_dir, "/etc/kvs/data");
        assert_string_equal(config->backup_path, "/etc/kvs/backups");
        assert_string_equal(config->cluster_tls_cert_file, "");
        assert_string_equal(config->cluster_secret, "");
        assert_int_equal(config->default_ttl_ns, 0);
        assert_int_equal(config->rate_limit_window_ns, INT64_C(60000000000));
        assert_int_equal(config->request_timeout_ns, INT64_C(30000000000));
        assert_int_equal(config->log_level, KVS_LOG_INFO);
        assert_int_equal(config->durability, KVS_DURABILITY_SYNC);
        assert_int_equal(config->access_log, KVS_ACCESS_LOG_ERRORS);
        assert_int_equal(config->seed_nodes.count, 0);
        assert_true(config->tamper_log_actions == (kvs_audit_action_bit(KVS_AUDIT_data_write) |
                                                   kvs_audit_action_bit(KVS_AUDIT_user_create) |
                                                   kvs_audit_action_bit(KVS_AUDIT_auth_failure)));
        assert_true(config->auth_enabled);
        assert_false(config->read_only);
        for (size_t k = 0; k < KVS_OPTION_COUNT; k++)
            assert_int_equal(config->origins[k].source, KVS_CONFIG_DEFAULT);
        kvs_config_free(config);
    }
}

static void reads_every_kind_of_value(void **state)
{
    (void)state;
    struct kvs_config *config = parse("node_id: n1\n"
                                      "bind_address: \"::1\"\n"
                                      "port: 1\n"
                                      "advertise_address: '[fd00::1]:80'\n"
                                      "data_dir: /srv/d\n"
                                      "backup_path: ./../b\n"
                                      "read_only: true\n"
                                      "log_level: error\n"
                                      "access_log: off\n"
                                      "durability: \"async\"\n"
                                      "default_ttl: 1h30m\n"
                                      "request_timeout: \"250ms\"\n"
                                      "cluster_secret: \"sixteen bytes ok\"\n"
                                      "backup_schedule: '@every 6h'\n"
                                      "seed_nodes: [a.b:1, \"10.0.0.1:65535\"]\n"
                                      "trusted_proxies:\n  - 10.0.0.0/8\n  - '::1'\n"
                                      "allowed_hosts: [kvs.example.org, 10.0.0.1]\n"
                                      "cors_allow_origins: [\"https://a.example:8443\"]\n"
                                      "tamper_log_actions: [all]\n");
    assert_string_equal(config->node_id, "n1");
    assert_string_equal(config->bind_address, "::1");
    assert_int_equal(config->port, 1);
    assert_string_equal(config->advertise_address, "[fd00::1]:80");
    assert_string_equal(config->data_dir, "/srv/d");
    assert_string_equal(config->backup_path, "/etc/kvs/../b");
    assert_true(config->read_only);
    assert_int_equal(config->log_level, KVS_LOG_ERROR);
    assert_int_equal(config->access_log, KVS_ACCESS_LOG_OFF);
    assert_int_equal(config->durability, KVS_DURABILITY_ASYNC);
    assert_int_equal(config->default_ttl_ns, INT64_C(5400000000000));
    assert_int_equal(config->request_timeout_ns, 250000000);
    assert_string_equal(config->cluster_secret, "sixteen bytes ok");
    assert_string_equal(config->backup_schedule, "@every 6h");
    assert_int_equal(config->seed_nodes.count, 2);
    assert_string_equal(config->seed_nodes.items[0], "a.b:1");
    assert_string_equal(config->seed_nodes.items[1], "10.0.0.1:65535");
    assert_int_equal(config->trusted_proxies.count, 2);
    assert_string_equal(config->trusted_proxies.items[1], "::1");
    assert_int_equal(config->allowed_hosts.count, 2);
    assert_string_equal(config->cors_allow_origins.items[0], "https://a.example:8443");
    assert_true(config->tamper_log_actions == (UINT64_C(1) << KVS_AUDIT_ACTION_COUNT) - 1);
    assert_int_equal(config->origins[KVS_OPT_port].source, KVS_CONFIG_FILE);
    assert_int_equal(config->origins[KVS_OPT_port].line, 3);
    kvs_config_free(config);
}

static void names_unknown_keys_and_the_likely_one(void **state)
{
    (void)state;
    assert_refused("port: 1\nprot: 2\n", "n.yaml:2:1: prot: unknown key; did you mean port?");
    assert_refused("bind-address: x\n", "did you mean bind_address?");
    assert_refused("PORT: 1\n", "n.yaml:1:1: PORT: unknown key");
    assert_refused("qqqqqqqqqqqqqq: 1\n", "unknown key");
    assert_refused("<<: 1\n", "unknown key");
    assert_refused("\"\": 1\n", "unknown key");
}

static void refuses_a_key_given_twice(void **state)
{
    (void)state;
    assert_refused("port: 1\nread_only: true\nport: 1\n",
                   "n.yaml:3:1: port: given twice; the first time in line 1");
}

static void refuses_wrong_types_and_says_what_is_allowed(void **state)
{
    (void)state;
    assert_refused("port: \"8080\"\n",
                   "n.yaml:1:7: port: a text in quotes is not allowed; use a whole number from 1 "
                   "to 65535");
    assert_refused("port: [1]\n", "port: a list is not allowed; use a whole number");
    assert_refused("port: {a: b}\n", "n.yaml:1:7: port: keys below a key are not allowed");
    assert_refused("port: true\n", "\"true\" is not allowed; use a whole number");
    assert_refused("read_only: 1\n", "use true or false");
    assert_refused("read_only: \"true\"\n", "use true or false");
    assert_refused("node_id: [a]\n", "a list is not allowed");
    assert_refused("node_id: true\n", "a truth value is not allowed");
    assert_refused("seed_nodes: a:1\n", "a single value is not allowed; use a list of host:port");
    assert_refused("seed_nodes: [[a:1]]\n", "a list may hold only single values");
    assert_refused("seed_nodes: [{a: 1}]\n", "a list may hold only single values");
}

static void takes_no_truth_values_but_true_and_false(void **state)
{
    (void)state;
    const char *const others[] = {"yes", "no", "on", "off", "True", "TRUE", "y", "0"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(others); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "read_only: %s\n", others[i]);
        assert_refused(text, "is not allowed; use true or false");
    }
}

static void takes_only_plain_decimal_numbers_in_range(void **state)
{
    (void)state;
    const char *const others[] = {"0",
                                  "65536",
                                  "-1",
                                  "010",
                                  "0x50",
                                  "8e3",
                                  "8080.0",
                                  "8_080",
                                  "+80",
                                  "1:30",
                                  "99999999999999999999999",
                                  "-0",
                                  "٣"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(others); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "port: %s\n", others[i]);
        assert_refused(text, "use a whole number from 1 to 65535");
    }
}

static void refuses_keys_without_a_value(void **state)
{
    (void)state;
    assert_refused("port:\n", "n.yaml:1:6: port: no value is not allowed");
    assert_refused("node_id: ~\n", "no value is not allowed");
    assert_refused("data_dir: null\n", "no value is not allowed");
    assert_refused("seed_nodes:\n", "no value is not allowed");
    assert_refused("seed_nodes: [\"a:1\", ]\nport: NULL\n", "port: no value");
    assert_refused("seed_nodes:\n  -\n", "an item without a value");
}

static void refuses_impossible_values(void **state)
{
    (void)state;
    assert_refused("log_level: trace\n", "use debug, info, warn or error");
    assert_refused("durability: never\n", "use sync or async");
    assert_refused("access_log: some\n", "use errors, all or off");
    assert_refused("default_ttl: -1s\n", "use a duration");
    assert_refused("default_ttl: 5\n", "use a duration");
    assert_refused("request_timeout: \"0\"\n", "use a duration");
    assert_refused("rate_limit_window: 1d\n", "use a duration");
    assert_refused("compression_level: 20\n", "from 1 to 19");
    assert_refused("bind_address: 10.0.0.300\n", "an IP address or host name");
    assert_refused("bind_address: \"\"\n", "an IP address or host name");
    assert_refused("node_id: \"a b\"\n", "visible ASCII");
    assert_refused("node_id: \"a\\0b\"\n", "visible ASCII");
    assert_refused("advertise_address: host\n", "host:port");
    assert_refused("advertise_address: 0.0.0.0:80\n", "peers cannot connect to all addresses");
    assert_refused("seed_nodes: [\"http://a:1\"]\n", "\"http://a:1\" is not allowed");
    assert_refused("seed_nodes: [\"a:0\"]\n", "host:port");
    assert_refused("seed_nodes: [\"::1:80\"]\n", "host:port");
    assert_refused("trusted_proxies: [10.0.0.0/33]\n", "networks");
    assert_refused("trusted_proxies: [proxy.example.org]\n", "networks");
    assert_refused("allowed_hosts: [\"a b\"]\n", "host names");
    assert_refused("cors_allow_origins: [\"https://a.b/\"]\n", "origins");
    assert_refused("cors_allow_origins: [\"ftp://a.b\"]\n", "origins");
    assert_refused("tamper_log_actions: [data_wirte]\n", "\"data_wirte\" is not allowed");
    assert_refused("tamper_log_actions: [nothing_*]\n", "\"nothing_*\" is not allowed");
    assert_refused("data_dir: ~/data\n", "~ is not expanded");
    assert_refused("data_dir: \"\"\n", "a path");
}

static void refuses_schedules_that_are_wrong_or_never_fire(void **state)
{
    (void)state;
    assert_refused("backup_schedule: 0 0 * *\n", "a schedule has 5 fields, this one 4");
    assert_refused("backup_schedule: 61 0 * * *\n", "the field for the minute");
    assert_refused("backup_schedule: 0 0 30 2 *\n", "no date in the next five years");
    assert_refused("backup_schedule: \"CRON_TZ=No/Where 0 0 * * *\"\n", "No/Where");
    assert_refused("backup_schedule: \"\"\n", "five cron fields");
}

static void never_shows_a_secret_that_it_refuses(void **state)
{
    (void)state;
    const char *text = "cluster_secret: hunter2\n";
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_config_parse(kvs_slice_from_str(text), "n.yaml", NULL, &config, &message),
                     KVS_ERR_INVALID);
    assert_null(strstr(message.text, "hunter2"));
    assert_non_null(strstr(message.text, "7 bytes are not allowed; use a text of 16"));
    assert_refused("cluster_secret: \"\"\n", "or remove the line");
    assert_refused("cluster_secret: \"with a NUL \\0 inside\"\n", "this value is not allowed");
    assert_refused("cluster_secret_previous: short\n", "5 bytes are not allowed");
}

static void refuses_what_contradicts_itself(void **state)
{
    (void)state;
    assert_refused("gossip_interval_min: 10\ngossip_interval_max: 9\n",
                   "n.yaml:1:22: gossip_interval_min: must not be greater than "
                   "gossip_interval_max");
    assert_refused("gossip_interval_max: 59\n", "must not be greater");
    assert_refused("probe_interval_ms: 5000\n", "suspect_timeout_ms: must be greater");
    assert_refused("cluster_tls_enabled: true\n", "TLS needs cluster_tls_cert_file");
    assert_refused("cluster_tls_enabled: true\ncluster_tls_cert_file: c.pem\n",
                   "TLS needs cluster_tls_key_file");
    assert_refused("cluster_tls_require_client_cert: true\n", "need cluster_tls_enabled");
    assert_refused("cluster_tls_require_client_cert: true\ncluster_tls_enabled: true\n"
                   "cluster_tls_cert_file: c.pem\ncluster_tls_key_file: k.pem\n",
                   "need a cluster_tls_ca_file");
    assert_refused("backup_path: ./data\n", "must not be the same as data_dir");
}

static void refuses_yaml_beyond_a_flat_mapping(void **state)
{
    (void)state;
    assert_refused("- a\n", "expected lines of `key: value`");
    assert_refused("text\n", "expected lines of `key: value`");
    assert_refused("port: &a 1\n", "anchors (&name) are not supported");
    assert_refused("seed_nodes: &a [x:1]\n", "anchors");
    assert_refused("port: *a\n", "aliases (*name) are not supported");
    assert_refused("port: !!int 1\n", "tags (!type) are not supported");
    assert_refused("? [a]\n: 1\n", "a key must be a single word");
    assert_refused("port: 1\n---\nport: 2\n", "a second document");
    assert_refused("node_id: b: c\n", "not valid YAML");
    assert_refused("\tport: 1\n", "n.yaml:1:1: not valid YAML");
    assert_refused("backup_schedule: @daily\n", "begins with one of @ * & ! % needs quotes");
    assert_refused("backup_schedule: */5 * * * *\n", "needs quotes");
    assert_refused("port: \"1\n", "not valid YAML");
    assert_refused("node_id: \xff\n", "not YAML");
    assert_refused("node_id: \x01\n", "not YAML");
}

static void refuses_files_and_lists_beyond_their_limits(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(4 << 20);
    kvs_buf_append_str(&text, "seed_nodes: [");
    for (int i = 0; i < 257; i++)
        kvs_buf_append_str(&text, "a:1,");
    kvs_buf_append_str(&text, "]\n");
    kvs_buf_append_char(&text, '\0');
    assert_refused(text.data, "257 items are too many; 256 are allowed");
    text.size -= 3;
    for (int i = 0; i < 2000; i++)
        kvs_buf_append_str(&text, "a:1,");
    kvs_buf_append_str(&text, "]\n");
    kvs_buf_append_char(&text, '\0');
    assert_refused(text.data, "too many items");
    kvs_buf_clear(&text);
    for (int i = 0; i < KVS_CONFIG_FILE_MAX / 2 + 1; i++)
        kvs_buf_append_str(&text, "#\n");
    kvs_buf_append_char(&text, '\0');
    assert_refused(text.data, "larger than 1048576 bytes");
    kvs_buf_clear(&text);
    for (int i = 0; i < 500000; i++)
        kvs_buf_append_char(&text, '[');
    kvs_buf_append_char(&text, '\0');
    assert_refused(text.data, "expected lines");
}

static void the_environment_overrides_the_file(void **state)
{
    (void)state;
    const char *const env[] = {"KVS_PORT=tcp://10.0.0.1:80",
                               "PATH=/bin",
                               "KVS_CFG_PORT=9000",
                               "KVS_CFG_SEED_NODES=a:1, b:2",
                               "KVS_CFG_READ_ONLY=true",
                               "KVS_CFG_TAMPER_LOG_ACTIONS=group_*,backup",
                               "KVS_CFG_ALLOWED_HOSTS=",
                               "KVS_CFG_DATA_DIR=./elsewhere",
                               NULL};
    struct kvs_config *config = parse_with("port: 1\nallowed_hosts: [a]\n", env);
    assert_int_equal(config->port, 9000);
    assert_int_equal(config->seed_nodes.count, 2);
    assert_string_equal(config->seed_nodes.items[1], "b:2");
    assert_true(config->read_only);
    assert_int_equal(config->allowed_hosts.count, 0);
    assert_string_equal(config->data_dir, "/etc/kvs/elsewhere");
    assert_true(config->tamper_log_actions == (kvs_audit_action_bit(KVS_AUDIT_group_create) |
                                               kvs_audit_action_bit(KVS_AUDIT_group_update) |
                                               kvs_audit_action_bit(KVS_AUDIT_group_delete) |
                                               kvs_audit_action_bit(KVS_AUDIT_backup)));
    assert_int_equal(config->origins[KVS_OPT_port].source, KVS_CONFIG_ENVIRONMENT);
    kvs_config_free(config);
}

static void errors_of_the_environment_name_the_variable(void **state)
{
    (void)state;
    const char *const unknown[] = {"KVS_CFG_PROT=1", NULL};
    assert_message("", unknown,
                   "KVS_CFG_PROT: this variable of the environment overrides no key; "
                   "did you mean KVS_CFG_PORT?");
    const char *const lower[] = {"KVS_CFG_port=1", NULL};
    assert_message("", lower, "did you mean KVS_CFG_PORT?");
    const char *const nothing[] = {"KVS_CFG_=1", NULL};
    assert_message("", nothing, "overrides no key");
    const char *const wrong[] = {"KVS_CFG_PORT=", NULL};
    assert_message("", wrong, "KVS_CFG_PORT: \"\" is not allowed; use a whole number");
    const char *const item[] = {"KVS_CFG_SEED_NODES=a:1,,b:2", NULL};
    assert_message("", item, "KVS_CFG_SEED_NODES: \"\" is not allowed");
    const char *const bytes[] = {"KVS_CFG_DATA_DIR=\xff", NULL};
    assert_message("", bytes, "KVS_CFG_DATA_DIR: ");
    const char *const together[] = {"KVS_CFG_GOSSIP_INTERVAL_MIN=121", NULL};
    assert_message("", together, "KVS_CFG_GOSSIP_INTERVAL_MIN: must not be greater");
    const char *const secret[] = {"KVS_CFG_CLUSTER_SECRET=hunter2", NULL};
    assert_message("", secret, "KVS_CFG_CLUSTER_SECRET: 7 bytes are not allowed");
}

static void assert_printed(const struct kvs_buf *out, const char *expected)
{
    if (!memmem(out->data, out->size, expected, strlen(expected)))
        fail_msg("no '%s' in %.*s", expected, (int)out->size, out->data);
}

static void prints_where_each_value_came_from_and_masks_secrets(void **state)
{
    (void)state;
    const char *const env[] = {"KVS_CFG_PORT=9000", NULL};
    struct kvs_config *config = parse_with("\ncluster_secret: correct horse battery\n", env);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_config_print(config, &out);
    assert_int_equal(out.err, 0);
    assert_printed(&out, "cluster_secret: \"********\"");
    assert_printed(&out, "# file, line 2\n");
    assert_printed(&out, "port: 9000 ");
    assert_printed(&out, "# environment\n");
    assert_printed(&out, "rate_limit_window: \"1m0s\" ");
    assert_printed(&out, "cluster_secret_previous: \"\"");
    assert_null(memmem(out.data, out.size, "horse", 5));
    kvs_config_free(config);
}

static void what_it_prints_is_a_configuration_again(void **state)
{
    (void)state;
    struct kvs_config *config = parse("cluster_secret: correct horse battery\n"
                                      "seed_nodes: [a:1, 'b:2']\naccess_log: off\n"
                                      "default_ttl: 1.5h\nnode_id: \"q\\\"\\\\\"\n");
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf second = KVS_BUF_INIT(1 << 20);
    kvs_config_print(config, &out);
    const char *masked = memmem(out.data, out.size, "********", 8);
    assert_non_null(masked);
    memcpy((char *)(uintptr_t)masked, "\\x41\\x42", 8); // two bytes are no secret
    kvs_buf_append_char(&out, '\0');
    assert_refused(out.data, "2 bytes are not allowed");
    KVS_CLEANUP(kvs_freep) char *text = NULL;
    assert_true(asprintf(&text, "%.*sthe same sixteen bytes%s", (int)(masked - out.data), out.data,
                         masked + 8) > 0);
    struct kvs_config *again = parse(text);
    kvs_config_json(config, &second);
    kvs_buf_append_char(&second, '\0');
    kvs_buf_clear(&out);
    kvs_config_json(again, &out);
    kvs_buf_append_char(&out, '\0');
    assert_string_equal(out.data, second.data);
    kvs_config_free(again);
    kvs_config_free(config);
}

static void the_log_gets_one_line_of_json_without_secrets(void **state)
{
    (void)state;
    struct kvs_config *config = parse("cluster_secret: correct horse battery\n"
                                      "cluster_secret_previous: \"staple staple staple\"\n");
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_config_json(config, &out);
    assert_int_equal(out.data[0], '{');
    assert_int_equal(out.data[out.size - 1], '}');
    assert_null(memchr(out.data, '\n', out.size));
    assert_printed(&out, ",\"port\":8080,");
    assert_printed(&out,
                   "\"cluster_secret\":\"********\",\"cluster_secret_previous\":\"********\"");
    kvs_config_free(config);
}

struct changes {
    char text[2000];
};

static void note_change(void *context, const struct kvs_option *option, const char *old_text,
                        const char *new_text)
{
    struct changes *changes = context;
    size_t used = strlen(changes->text);
    (void)snprintf(changes->text + used, sizeof(changes->text) - used, "%s%s:%s>%s;", option->name,
                   option->reloadable ? "" : "!", old_text, new_text);
}

static void lists_what_a_reload_changes_and_what_needs_a_restart(void **state)
{
    (void)state;
    struct kvs_config *old_config = parse("log_level: info\nseed_nodes: [a:1]\n"
                                          "cluster_secret: correct horse battery\n");
    struct kvs_config *new_config = parse("log_level: warn\nport: 8081\nseed_nodes: [\"a:1\"]\n"
                                          "rate_limit_window: 60s\n"
                                          "cluster_secret: incorrect horse battery\n");
    struct changes changes = {{0}};
    assert_int_equal(kvs_config_reload_diff(old_config, new_config, note_change, &changes), 0);
    assert_string_equal(changes.text, "port!:8080>8081;log_level:\"info\">\"warn\";"
                                      "cluster_secret!:\"********\">\"********\";");
    changes.text[0] = '\0';
    assert_int_equal(kvs_config_reload_diff(old_config, old_config, note_change, &changes), 0);
    assert_string_equal(changes.text, "");
    kvs_config_free(old_config);
    kvs_config_free(new_config);
}

static void a_reload_takes_over_only_what_can_change_at_run_time(void **state)
{
    (void)state;
    struct kvs_config *running = parse("log_level: info\nport: 1\nseed_nodes: [a:1, b:2]\n"
                                       "read_only: true\ndurability: async\nnode_id: n\n");
    struct kvs_config *fresh = parse("log_level: warn\nport: 2\nseed_nodes: [c:3]\n"
                                     "backup_retention: 9\nnode_id: m\n");
    assert_int_equal(kvs_config_reload_merge(running, fresh, NULL), 0);
    assert_int_equal(fresh->log_level, KVS_LOG_WARN);
    assert_int_equal(fresh->backup_retention, 9);
    assert_int_equal(fresh->port, 1);
    assert_string_equal(fresh->node_id, "n");
    assert_true(fresh->read_only);
    assert_int_equal(fresh->durability, KVS_DURABILITY_ASYNC);
    assert_int_equal(fresh->seed_nodes.count, 2);
    assert_string_equal(fresh->seed_nodes.items[1], "b:2");
    struct changes changes = {{0}};
    assert_int_equal(kvs_config_reload_diff(running, fresh, note_change, &changes), 0);
    assert_string_equal(changes.text, "log_level:\"info\">\"warn\";backup_retention:7>9;");
    kvs_config_free(running);
    kvs_config_free(fresh);
}

static void a_reload_that_would_contradict_the_running_node_is_refused(void **state)
{
    (void)state;
    struct kvs_config *running = parse("cluster_tls_enabled: true\ncluster_tls_cert_file: c\n"
                                       "cluster_tls_key_file: k\n");
    struct kvs_config *fresh = parse("log_level: warn\n");
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_config_reload_merge(running, fresh, &message), KVS_ERR_INVALID);
    assert_non_null(strstr(message.text, "TLS needs cluster_tls_cert_file"));
    kvs_config_free(running);
    kvs_config_free(fresh);
}

static void the_spec_says_what_can_be_reloaded(void **state)
{
    (void)state;
    const char *const reloadable[] = {"log_level",
                                      "rate_limit_requests",
                                      "rate_limit_window",
                                      "cluster_tls_cert_file",
                                      "cluster_tls_key_file",
                                      "backup_enabled",
                                      "backup_schedule",
                                      "backup_path",
                                      "backup_retention",
                                      "allow_anonymous_read",
                                      "allow_anonymous_write"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(reloadable); i++) {
        enum kvs_option_id id = KVS_OPTION_COUNT;
        assert_true(kvs_option_find(kvs_slice_from_str(reloadable[i]), &id));
        assert_true(kvs_options[id].reloadable);
    }
    assert_false(kvs_options[KVS_OPT_port].reloadable);
    assert_false(kvs_options[KVS_OPT_data_dir].reloadable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_file_means_all_defaults),
        cmocka_unit_test(reads_every_kind_of_value),
        cmocka_unit_test(names_unknown_keys_and_the_likely_one),
        cmocka_unit_test(refuses_a_key_given_twice),
        cmocka_unit_test(refuses_wrong_types_and_says_what_is_allowed),
        cmocka_unit_test(takes_no_truth_values_but_true_and_false),
        cmocka_unit_test(takes_only_plain_decimal_numbers_in_range),
        cmocka_unit_test(refuses_keys_without_a_value),
        cmocka_unit_test(refuses_impossible_values),
        cmocka_unit_test(refuses_schedules_that_are_wrong_or_never_fire),
        cmocka_unit_test(never_shows_a_secret_that_it_refuses),
        cmocka_unit_test(refuses_what_contradicts_itself),
        cmocka_unit_test(refuses_yaml_beyond_a_flat_mapping),
        cmocka_unit_test(refuses_files_and_lists_beyond_their_limits),
        cmocka_unit_test(the_environment_overrides_the_file),
        cmocka_unit_test(errors_of_the_environment_name_the_variable),
        cmocka_unit_test(prints_where_each_value_came_from_and_masks_secrets),
        cmocka_unit_test(what_it_prints_is_a_configuration_again),
        cmocka_unit_test(the_log_gets_one_line_of_json_without_secrets),
        cmocka_unit_test(lists_what_a_reload_changes_and_what_needs_a_restart),
        cmocka_unit_test(a_reload_takes_over_only_what_can_change_at_run_time),
        cmocka_unit_test(a_reload_that_would_contradict_the_running_node_is_refused),
        cmocka_unit_test(the_spec_says_what_can_be_reloaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
