// SPDX-License-Identifier: Apache-2.0
// What the files of net share: the server, its loops, their connections.
#ifndef KVS_NET_NET_INTERNAL_H
#define KVS_NET_NET_INTERNAL_H

#include "net/addresses.h"
#include "net/net.h"
#include "net/stream.h"
#include "net/workers.h"

#include <stdatomic.h>
#include <uv.h>

struct net_conn;

struct net_loop {
    struct kvs_net *net;
    uv_loop_t uv;
    uv_async_t wakeup;
    uv_timer_t tick;
    uv_prepare_t idle;            // called before the loop waits
    void (*idle_call)(void *ctx); // what then is to be called; NULL: nothing
    void *idle_ctx;
    bool idle_asked;    // for it, since the last look
    uv_thread_t thread; // not of the first loop
    bool ready;         // uv, wakeup and tick are initialised
    struct kvs_executor executor;
    _Atomic(struct kvs_task *) tasks; // newest first
    atomic_uint posting;              // threads inside post()
    struct kvs_http_server *http;
    struct net_tls *tls; // of connections to come; NULL: plain HTTP
    struct net_conn *conns;
    atomic_uint conn_count; // those on their way here included
    struct kvs_task stop_task;
    bool draining;
    bool closing; // its handles
    int64_t drain_until_ns;
    int64_t ticked_ns;       // the last tick's time
    bool lenient;            // it judged nobody
    char scratch[16 * 1024]; // what a lingering client still sends
};

struct net_listener {
    int fd;       // -1: not listening
    int spare_fd; // given up for a moment to accept and close when descriptors run out
    uint16_t port;
    bool polling; // the handle is open
    bool paused;  // by a lack of descriptors or memory, until the next tick
    uv_poll_t poll;
};

struct kvs_net {
    struct kvs_net_options options; // scalars and borrowed objects; lists and strings are not used
    char *address;
    struct net_listener listener;
    struct net_addresses *addresses;
    struct kvs_workers *workers;
    struct kvs_http_budget budget;
    atomic_uint conn_count;
    atomic_uint max_connections;
    atomic_uint max_connections_per_address;
    atomic_bool stopping;
    _Atomic int64_t grace_ms;
    unsigned loop_count;
    struct net_loop *loops;
};

static inline int64_t net_now_ns(const struct kvs_net *net)
{
    return kvs_clock_mono_ns(net->options.clock);
}

// ---- loop.c

KVS_MUST_CHECK int net_loop_init(struct net_loop *loop, struct kvs_net *net,
                                 struct kvs_http_settings *settings, struct net_tls *tls);
void net_loop_done(struct net_loop *loop); // after a failed init as well
// Until it has been stopped and everything on it has ended.
void net_loop_run(struct net_loop *loop);
// On the loop: begin to end. What is left after the grace time is cut off.
void net_loop_stop(struct net_loop *loop, int64_t grace_ms);
// On the loop: a connection has gone.
void net_loop_check_end(struct net_loop *loop);
// On the loop: one connection has had its turn. What is to be called when the loop is idle waits
// for more connections only as long as each of them asks for it, too.
void net_loop_look_up(struct net_loop *loop);

// ---- conn.c

// Hands an accepted socket to `loop`; the counters have been raised already, and are lowered when
// it closes. False when out of memory: then nothing has been taken.
bool net_conn_start(struct net_loop *loop, int fd, const struct kvs_http_address *peer,
                    bool refused);
// On the loop. `reset`: without delivering what is unsent.
void net_conn_close(struct net_conn *conn, bool reset);
// On the loop: look at each connection's deadline; while draining, close the idle ones.
void net_conns_tick(struct net_loop *loop, int64_t now_ns);
void net_conns_close_all(struct net_loop *loop);

// ---- listener.c

KVS_MUST_CHECK int net_listener_open(struct net_listener *listener, const char *address,
                                     uint16_t port, struct kvs_message *ret_message);
// On the first loop.
KVS_MUST_CHECK int net_listener_start(struct kvs_net *net);
// On the first loop, at each tick.
void net_listener_resume(struct net_listener *listener);
void net_listener_close(struct net_listener *listener);

#endif
