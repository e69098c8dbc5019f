// SPDX-License-Identifier: Apache-2.0
// What may change at run time: one immutable object, replaced as a whole.
#include "http/settings_internal.h"

enum {
    REQUEST_TIMEOUT_MS = 30 * 1000,
    IDLE_TIMEOUT_MS = 75 * 1000,
    WRITE_TIMEOUT_MS = 30 * 1000,
    BODY_MAX = 1024 * 1024,
};

static int64_t or_default_ns(int64_t ms, int64_t default_ms)
{
    return (ms > 0 ? ms : default_ms) * 1000 * 1000;
}

static int copy_hosts(struct kvs_http_settings *settings, const struct kvs_http_options *options)
{
    if (options->allowed_host_count == 0)
        return 0;
    settings->allowed_hosts = calloc(options->allowed_host_count, sizeof(char *));
    if (!settings->allowed_hosts)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < options->allowed_host_count; i++) {
        settings->allowed_hosts[i] = strdup(options->allowed_hosts[i]);
        if (!settings->allowed_hosts[i])
            return KVS_ERR_NOMEM;
        settings->allowed_host_count++;
    }
    return 0;
}

static int parse_proxies(struct kvs_http_settings *settings, const struct kvs_http_options *options,
                         struct kvs_message *ret_message)
{
    if (options->trusted_proxy_count == 0)
        return 0;
    settings->trusted_proxies =
        calloc(options->trusted_proxy_count, sizeof(*settings->trusted_proxies));
    if (!settings->trusted_proxies)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < options->trusted_proxy_count; i++) {
        const char *text = options->trusted_proxies[i];
        if (!kvs_http_network_parse(kvs_slice_from_str(text), &settings->trusted_proxies[i]))
            return kvs_fail(ret_message, KVS_ERR_INVALID,
                            "trusted_proxies: '%s' is neither an IP address nor a network like "
                            "10.0.0.0/8",
                            text);
        settings->trusted_proxy_count++;
    }
    return 0;
}

int kvs_http_settings_new(const struct kvs_http_options *options,
                          struct kvs_http_settings **ret_settings, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_http_settings_unrefp)
    struct kvs_http_settings *settings = calloc(1, sizeof(*settings));
    if (!settings)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    atomic_init(&settings->refs, 1);
    settings->request_timeout_ns = or_default_ns(options->request_timeout_ms, REQUEST_TIMEOUT_MS);
    settings->idle_timeout_ns = or_default_ns(options->idle_timeout_ms, IDLE_TIMEOUT_MS);
    settings->write_timeout_ns = or_default_ns(options->write_timeout_ms, WRITE_TIMEOUT_MS);
    settings->body_max = options->body_max > 0 ? options->body_max : BODY_MAX;
    int err = copy_hosts(settings, options);
    if (err)
        return kvs_fail(ret_message, err, "out of memory");
    err = parse_proxies(settings, options, ret_message);
    if (err == KVS_ERR_NOMEM)
        return kvs_fail(ret_message, err, "out of memory");
    if (err)
        return err;
    *ret_settings = KVS_TAKE(settings);
    return 0;
}

struct kvs_http_settings *kvs_http_settings_ref(struct kvs_http_settings *settings)
{
    atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
    return settings;
}

void kvs_http_settings_unref(struct kvs_http_settings *settings)
{
    if (!settings || atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < settings->allowed_host_count; i++)
        free(settings->allowed_hosts[i]);
    free(settings->allowed_hosts);
    free(settings->trusted_proxies);
    free(settings);
}

bool http_settings_allow_host(const struct kvs_http_settings *settings, struct kvs_slice host)
{
    for (size_t i = 0; i < settings->allowed_host_count; i++)
        if (kvs_slice_eq_nocase(host, kvs_slice_from_str(settings->allowed_hosts[i])))
            return true;
    return settings->allowed_host_count == 0;
}

bool http_settings_trust(const struct kvs_http_settings *settings,
                         const struct kvs_http_address *address)
{
    for (size_t i = 0; i < settings->trusted_proxy_count; i++)
        if (kvs_http_network_contains(&settings->trusted_proxies[i], address))
            return true;
    return false;
}
