// SPDX-License-Identifier: Apache-2.0
// One event loop and its executor: a lock-free stack of tasks that any thread pushes to, an async
// handle that wakes the loop, and one timer for the deadlines of all its connections.
// Threading: everything but post() runs on the loop's thread.
#include "base/assert.h"
#include "net/net_internal.h"

enum { TICK_MS = 250, DRAIN_TICK_MS = 20, HELD_UP_MS = 2 * TICK_MS };

static void post_list(struct kvs_executor *executor, struct kvs_task *last, struct kvs_task *first)
{
    struct net_loop *loop = KVS_CONTAINER_OF(executor, struct net_loop, executor);
    // The loop may run the task, and end, before this thread has woken it: `posting` makes it wait.
    atomic_fetch_add(&loop->posting, 1);
    struct kvs_task *head = atomic_load_explicit(&loop->tasks, memory_order_relaxed);
    do
        first->next = head;
    while (!atomic_compare_exchange_weak(&loop->tasks, &head, last));
    if (!head)
        (void)uv_async_send(&loop->wakeup); // only fails on a closing handle
    atomic_fetch_sub(&loop->posting, 1);
}

static void post(struct kvs_executor *executor, struct kvs_task *task)
{
    post_list(executor, task, task);
}

// The loop that this thread runs.
static _Thread_local struct net_loop *running;

static void run_idle(struct net_loop *loop)
{
    void (*call)(void *ctx) = loop->idle_call;
    loop->idle_call = NULL;
    if (call)
        call(loop->idle_ctx);
}

static bool call_idle(struct kvs_executor *executor, void (*call)(void *ctx), void *ctx)
{
    struct net_loop *loop = KVS_CONTAINER_OF(executor, struct net_loop, executor);
    if (loop != running)
        return false;
    if (loop->idle_call != call || loop->idle_ctx != ctx)
        run_idle(loop); // there is one place: what was asked for before is called early
    loop->idle_call = call;
    loop->idle_ctx = ctx;
    loop->idle_asked = true;
    return true;
}

void net_loop_look_up(struct net_loop *loop)
{
    if (!loop->idle_asked)
        run_idle(loop);
    loop->idle_asked = false;
}

static void on_idle(uv_prepare_t *idle)
{
    run_idle(idle->data);
}

static void run_tasks(struct net_loop *loop)
{
    struct kvs_task *newest = atomic_exchange(&loop->tasks, NULL);
    struct kvs_task *oldest = NULL;
    while (newest) {
        struct kvs_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct kvs_task *task = oldest;
        oldest = task->next; // before the task is run: it may be gone afterwards
        task->run(task);
    }
}

static void on_wakeup(uv_async_t *wakeup)
{
    struct net_loop *loop = wakeup->data;
    run_tasks(loop);
    net_loop_check_end(loop);
}

// Timers come before sockets. A loop that was held up, by a handler or a machine that is too busy,
// would cut off clients whose bytes came in time and lie there unread: it looks at the sockets
// first.
static bool was_held_up(struct net_loop *loop, int64_t now_ns)
{
    int64_t gap_ns = now_ns - loop->ticked_ns;
    loop->ticked_ns = now_ns;
    loop->lenient = !loop->lenient && gap_ns > (int64_t)HELD_UP_MS * 1000 * 1000;
    return loop->lenient;
}

static void on_tick(uv_timer_t *tick)
{
    struct net_loop *loop = tick->data;
    int64_t now_ns = net_now_ns(loop->net);
    kvs_http_server_tick(loop->http);
    if (loop == &loop->net->loops[0])
        net_listener_resume(&loop->net->listener);
    if (!was_held_up(loop, now_ns))
        net_conns_tick(loop, now_ns);
    if (loop->draining && now_ns >= loop->drain_until_ns)
        net_conns_close_all(loop);
    net_loop_check_end(loop);
}

int net_loop_init(struct net_loop *loop, struct kvs_net *net, struct kvs_http_settings *settings,
                  struct net_tls *tls)
{
    loop->net = net;
    loop->tls = tls ? net_tls_ref(tls) : NULL;
    loop->executor.post = post;
    loop->executor.post_list = post_list;
    loop->executor.call_idle = call_idle;
    if (uv_loop_init(&loop->uv) != 0)
        return KVS_ERR_NOMEM;
    if (uv_async_init(&loop->uv, &loop->wakeup, on_wakeup) != 0) {
        (void)uv_loop_close(&loop->uv); // has no handles
        return KVS_ERR_NOMEM;
    }
    (void)uv_timer_init(&loop->uv, &loop->tick); // none of these can fail
    (void)uv_prepare_init(&loop->uv, &loop->idle);
    (void)uv_prepare_start(&loop->idle, on_idle);
    loop->wakeup.data = loop;
    loop->tick.data = loop;
    loop->idle.data = loop;
    loop->ready = true;
    const struct kvs_http_server_options options = {
        .settings = settings,
        .handler = net->options.handler,
        .clock = net->options.clock,
        .random = net->options.random,
        .metrics = net->options.metrics,
        .budget = &net->budget,
        .loop = &loop->executor,
        .workers = kvs_workers_executor(net->workers),
    };
    return kvs_http_server_new(&options, &loop->http);
}

static void close_handles(struct net_loop *loop)
{
    if (loop->closing)
        return;
    loop->closing = true;
    // Whoever posted last may still be about to wake us; it is a matter of instructions.
    while (atomic_load(&loop->posting) > 0)
        sched_yield();
    uv_close((uv_handle_t *)&loop->wakeup, NULL);
    uv_close((uv_handle_t *)&loop->tick, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
}

void net_loop_done(struct net_loop *loop)
{
    if (loop->ready) {
        run_tasks(loop); // connections that were handed over and never opened, reloads
        net_conns_close_all(loop);
        close_handles(loop);
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT); // delivers the close callbacks
        int err = uv_loop_close(&loop->uv);
        kvs_assert(err == 0);
        loop->ready = false;
    }
    kvs_http_server_free(loop->http);
    loop->http = NULL;
    net_tls_unref(loop->tls);
    loop->tls = NULL;
}

void net_loop_run(struct net_loop *loop)
{
    running = loop;
    (void)uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS); // only fails on a closing handle
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);                      // 0: no handles are left
    run_idle(loop);
    running = NULL;
}

void net_loop_stop(struct net_loop *loop, int64_t grace_ms)
{
    loop->draining = true;
    loop->drain_until_ns = net_now_ns(loop->net) + grace_ms * 1000 * 1000;
    kvs_http_server_drain(loop->http);
    (void)uv_timer_start(&loop->tick, on_tick, 0, DRAIN_TICK_MS); // as above
}

void net_loop_check_end(struct net_loop *loop)
{
    if (loop->draining && atomic_load(&loop->conn_count) == 0 &&
        kvs_http_server_in_flight(loop->http) == 0)
        close_handles(loop);
}
