// SPDX-License-Identifier: Apache-2.0
// The server as a whole: makes the loops, runs them, reloads and stops them. Stopping begins on the
// first loop, which closes the listener before the others are told: no connection is handed to a
// loop that has ended.
#include "net/net_internal.h"

#include "base/assert.h"

enum { WORKER_THREADS = 4, MAX_CONNECTIONS = 10000, MEMORY_MAX = 256 * 1024 * 1024 };

static void set_limits(struct kvs_net *net, const struct kvs_net_options *options)
{
    atomic_store(&net->max_connections,
                 options->max_connections ? options->max_connections : MAX_CONNECTIONS);
    atomic_store(&net->max_connections_per_address, options->max_connections_per_address);
}

static int init(struct kvs_net *net, struct kvs_http_settings *settings, struct net_tls *tls)
{
    const struct kvs_net_options *options = &net->options;
    net->address = strdup(options->address);
    net->loop_count = options->threads ? options->threads : uv_available_parallelism();
    net->loops = calloc(net->loop_count, sizeof(*net->loops));
    if (!net->address || !net->loops)
        return KVS_ERR_NOMEM;
    int err = net_addresses_new(kvs_random_u64(options->random), &net->addresses);
    if (!err)
        err = kvs_workers_new(options->worker_threads ? options->worker_threads : WORKER_THREADS,
                              &net->workers);
    for (unsigned i = 0; !err && i < net->loop_count; i++)
        err = net_loop_init(&net->loops[i], net, settings, tls);
    return err;
}

// Says which certificate is in use from now on.
static void announce_tls(struct kvs_net *net, const struct net_tls *tls)
{
    net_tls_log(tls, net->options.log, kvs_clock_wall_ms(net->options.clock) / 1000);
    kvs_metrics_set(net->options.metrics, KVS_METRIC_TLS_CERTIFICATE_EXPIRES,
                    (double)net_tls_expires_s(tls));
}

int kvs_net_new(const struct kvs_net_options *options, struct kvs_net **ret_net,
                struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_http_settings_unrefp) struct kvs_http_settings *settings = NULL;
    KVS_CLEANUP(net_tls_unrefp) struct net_tls *tls = NULL;
    int err = kvs_http_settings_new(&options->http, &settings, ret_message);
    if (!err && options->tls.enabled)
        err = net_tls_new(&options->tls, &tls, ret_message);
    if (err)
        return err;
    KVS_CLEANUP(kvs_net_freep) struct kvs_net *net = calloc(1, sizeof(*net));
    if (!net)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    net->options = *options;
    net->listener.fd = -1;
    net->listener.spare_fd = -1;
    kvs_http_budget_init(&net->budget, options->memory_max ? options->memory_max : MEMORY_MAX);
    set_limits(net, options);
    err = init(net, settings, tls);
    if (err)
        return kvs_fail(ret_message, err, "cannot create the event loops: %s", kvs_err_text(err));
    if (tls)
        announce_tls(net, tls);
    *ret_net = KVS_TAKE(net);
    return 0;
}

void kvs_net_free(struct kvs_net *net)
{
    if (!net)
        return;
    net_listener_close(&net->listener);
    for (unsigned i = 0; net->loops && i < net->loop_count; i++)
        net_loop_done(&net->loops[i]);
    kvs_assert(kvs_http_budget_held(&net->budget) == 0);
    kvs_workers_free(net->workers);
    net_addresses_free(net->addresses);
    free(net->loops);
    free(net->address);
    free(net);
}

int kvs_net_listen(struct kvs_net *net, struct kvs_message *ret_message)
{
    kvs_assert(net->listener.fd < 0);
    return net_listener_open(&net->listener, net->address, net->options.port, ret_message);
}

uint16_t kvs_net_port(const struct kvs_net *net)
{
    return net->listener.port;
}

struct kvs_executor *kvs_net_workers(struct kvs_net *net)
{
    return kvs_workers_executor(net->workers);
}

static void run_loop(void *arg)
{
    (void)pthread_setname_np(pthread_self(), "kvs-http"); // for people with a debugger only
    net_loop_run(arg);
}

static void stop_other_loop(struct kvs_task *task)
{
    struct net_loop *loop = KVS_CONTAINER_OF(task, struct net_loop, stop_task);
    net_loop_stop(loop, atomic_load(&loop->net->grace_ms));
}

static void stop_first_loop(struct kvs_task *task)
{
    struct net_loop *first = KVS_CONTAINER_OF(task, struct net_loop, stop_task);
    struct kvs_net *net = first->net;
    net_listener_close(&net->listener);
    net_loop_stop(first, atomic_load(&net->grace_ms));
    for (unsigned i = 1; i < net->loop_count; i++) {
        struct net_loop *loop = &net->loops[i];
        loop->stop_task.run = stop_other_loop;
        kvs_executor_post(&loop->executor, &loop->stop_task);
    }
}

void kvs_net_stop(struct kvs_net *net, int64_t grace_ms)
{
    if (atomic_exchange(&net->stopping, true))
        return;
    atomic_store(&net->grace_ms, grace_ms);
    struct net_loop *first = &net->loops[0];
    first->stop_task.run = stop_first_loop;
    kvs_executor_post(&first->executor, &first->stop_task);
}

int kvs_net_run(struct kvs_net *net, struct kvs_message *ret_message)
{
    kvs_assert(net->listener.fd >= 0);
    int err = net_listener_start(net);
    if (err)
        return kvs_fail(ret_message, err, "cannot watch the listening socket");
    unsigned started = 1;
    while (started < net->loop_count &&
           uv_thread_create(&net->loops[started].thread, run_loop, &net->loops[started]) == 0)
        started++;
    if (started < net->loop_count) {
        err = kvs_fail(ret_message, KVS_ERR_NOMEM,
                       "cannot start %u HTTP threads: lower http_threads", net->loop_count);
        kvs_net_stop(net, 0);
    }
    net_loop_run(&net->loops[0]);
    for (unsigned i = 1; i < net->loop_count; i++) {
        if (i < started)
            (void)uv_thread_join(&net->loops[i].thread); // ours, and joined once
        else
            net_loop_run(&net->loops[i]); // has been told to stop
    }
    return err;
}

// What a loop takes over; NULL: keeps.
struct reload {
    struct kvs_task task;
    struct net_loop *loop;
    struct kvs_http_settings *settings;
    struct net_tls *tls;
};

static void reload_loop(struct kvs_task *task)
{
    struct reload *reload = KVS_CONTAINER_OF(task, struct reload, task);
    struct net_loop *loop = reload->loop;
    if (reload->settings)
        kvs_http_server_configure(loop->http, reload->settings);
    kvs_http_settings_unref(reload->settings);
    if (reload->tls) {
        net_tls_unref(loop->tls);
        loop->tls = reload->tls; // and its reference
    }
    free(reload);
}

// All loops take over or, out of memory, none.
static int reload_loops(struct kvs_net *net, struct kvs_http_settings *settings,
                        struct net_tls *tls, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) struct reload **reloads = calloc(net->loop_count, sizeof(*reloads));
    if (!reloads)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    for (unsigned i = 0; i < net->loop_count; i++) {
        reloads[i] = malloc(sizeof(*reloads[i]));
        if (reloads[i])
            continue;
        while (i-- > 0)
            free(reloads[i]);
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    for (unsigned i = 0; i < net->loop_count; i++) {
        kvs_assert(reloads[i]);
        *reloads[i] = (struct reload){
            .task.run = reload_loop,
            .loop = &net->loops[i],
            .settings = settings ? kvs_http_settings_ref(settings) : NULL,
            .tls = tls ? net_tls_ref(tls) : NULL,
        };
        kvs_executor_post(&net->loops[i].executor, &reloads[i]->task);
    }
    return 0;
}

int kvs_net_reload(struct kvs_net *net, const struct kvs_net_options *options,
                   struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_http_settings_unrefp) struct kvs_http_settings *settings = NULL;
    int err = kvs_http_settings_new(&options->http, &settings, ret_message);
    if (!err)
        err = reload_loops(net, settings, NULL, ret_message);
    if (!err)
        set_limits(net, options);
    return err;
}

int kvs_net_check_tls(const struct kvs_net_tls_options *options, struct kvs_message *ret_message)
{
    KVS_CLEANUP(net_tls_unrefp) struct net_tls *tls = NULL;
    return options->enabled ? net_tls_new(options, &tls, ret_message) : 0;
}

int kvs_net_reload_tls(struct kvs_net *net, const struct kvs_net_tls_options *options,
                       struct kvs_message *ret_message)
{
    KVS_CLEANUP(net_tls_unrefp) struct net_tls *tls = NULL;
    kvs_assert(net->options.tls.enabled);
    struct kvs_net_tls_options files = *options;
    files.ask_client_cert = net->options.tls.ask_client_cert;
    int err = net_tls_new(&files, &tls, ret_message);
    if (!err)
        err = reload_loops(net, NULL, tls, ret_message);
    if (!err)
        announce_tls(net, tls);
    return err;
}
