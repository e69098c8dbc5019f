// SPDX-License-Identifier: Apache-2.0
// One connection's socket: reads when there is room, writes at once what there is, waits for the
// socket only when it must. At the end it lingers: it shuts its side down and reads on for a
// moment, because closing with unread bytes would destroy the last response on its way.
// Threading: the loop's thread, except net_conn_start.
#include "net/net_internal.h"

#include <errno.h>

enum { LINGER_MS = 2000, DRAIN_LINGER_MS = 200, LINGER_BYTES_MAX = 4 * 1024 * 1024 };

struct net_conn {
    struct net_conn *prev;
    struct net_conn *next;
    struct net_loop *loop;
    struct net_stream stream;
    uv_poll_t poll;
    int events;      // polled for now
    bool introduced; // `http` knows what TLS says of the client
    struct kvs_http_address peer;
    bool refused;               // there are too many: it is told so and closed
    struct kvs_http_conn *http; // NULL: lingering
    bool input_ended;
    bool shut; // lingering: the client has been told that this was all
    int64_t linger_until_ns;
    size_t lingered;
    struct kvs_task open_task;
};

static void drive(struct net_conn *conn);

static void link_conn(struct net_conn *conn)
{
    struct net_loop *loop = conn->loop;
    conn->next = loop->conns;
    if (conn->next)
        conn->next->prev = conn;
    loop->conns = conn;
}

static void unlink_conn(struct net_conn *conn)
{
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        conn->loop->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
}

static void forget(struct net_conn *conn)
{
    struct kvs_net *net = conn->loop->net;
    net_addresses_remove(net->addresses, &conn->peer);
    atomic_fetch_sub(&conn->loop->conn_count, 1);
    unsigned left = atomic_fetch_sub(&net->conn_count, 1) - 1;
    kvs_metrics_set(net->options.metrics, KVS_METRIC_HTTP_CONNECTIONS, left);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void net_conn_close(struct net_conn *conn, bool reset)
{
    kvs_http_conn_close(conn->http);
    conn->http = NULL;
    // Before the descriptor: it takes it out of epoll, and its number may be another's afterwards.
    uv_close((uv_handle_t *)&conn->poll, on_closed); // which comes later
    net_stream_close(&conn->stream, reset);
    unlink_conn(conn);
    forget(conn);
}

static void linger_read(struct net_conn *conn)
{
    struct net_loop *loop = conn->loop;
    ssize_t size = net_stream_discard(&conn->stream, loop->scratch, sizeof(loop->scratch));
    if (size == -EAGAIN)
        return;
    conn->lingered += size > 0 ? (size_t)size : 0;
    if (size <= 0 || conn->lingered > LINGER_BYTES_MAX)
        net_conn_close(conn, false);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void poll_for(struct net_conn *conn, int events)
{
    if (events == conn->events)
        return;
    conn->events = events;
    if (events)
        (void)uv_poll_start(&conn->poll, events, on_ready); // only fails on a closing handle
    else
        (void)uv_poll_stop(&conn->poll); // always 0
}

static void linger(struct net_conn *conn, int events)
{
    if (!conn->shut) {
        conn->shut = net_stream_shutdown(&conn->stream) == 0;
        poll_for(conn, UV_READABLE | (conn->shut ? 0 : UV_WRITABLE));
    }
    if (events & UV_READABLE)
        linger_read(conn);
}

static void begin_lingering(struct net_conn *conn)
{
    kvs_http_conn_close(conn->http);
    conn->http = NULL;
    if (conn->input_ended) {
        net_conn_close(conn, false);
        return;
    }
    int64_t linger_ms = conn->loop->draining ? DRAIN_LINGER_MS : LINGER_MS;
    conn->linger_until_ns = net_now_ns(conn->loop->net) + linger_ms * 1000 * 1000;
    linger(conn, 0);
}

// A read or write cannot go on. Who broke the rules of TLS has been sent an alert, which closing at
// once might destroy.
static void fail(struct net_conn *conn, ssize_t err)
{
    if (err == -EPROTO) {
        if (!conn->introduced)
            kvs_metrics_add(conn->loop->net->options.metrics, KVS_METRIC_TLS_HANDSHAKES_FAILED, 1);
        begin_lingering(conn);
    } else {
        net_conn_close(conn, true);
    }
}

// The handshake is over: before the first request.
static void introduce(struct net_conn *conn)
{
    struct kvs_http_tls tls = net_tls_stream_peer(conn->stream.tls);
    kvs_http_conn_set_tls(conn->http, &tls);
    conn->introduced = true;
    kvs_metrics_add(conn->loop->net->options.metrics, KVS_METRIC_TLS_HANDSHAKES_OK, 1);
}

// Reads once. False: the connection has ended or lingers.
static bool read_some(struct net_conn *conn)
{
    size_t room = 0;
    char *input = kvs_http_conn_input(conn->http, &room);
    ssize_t size = input ? net_stream_recv(&conn->stream, input, room) : -EAGAIN;
    if (size > 0) {
        if (conn->stream.tls && !conn->introduced)
            introduce(conn);
        kvs_http_conn_received(conn->http, (size_t)size);
    } else if (size == 0) {
        conn->input_ended = true;
        kvs_http_conn_end_input(conn->http);
    } else if (size == -EPROTONOSUPPORT) {
        kvs_metrics_add(conn->loop->net->options.metrics, KVS_METRIC_TLS_HANDSHAKES_FAILED, 1);
        kvs_http_conn_refuse_plain(conn->http);
    } else if (size != -EAGAIN) {
        fail(conn, size);
        return false;
    }
    return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct net_conn *conn = poll->data;
    struct net_loop *loop = conn->loop;
    if (status < 0)
        net_conn_close(conn, true);
    else if (!conn->http)
        linger(conn, events);
    else if (!((events & UV_READABLE) || net_stream_recv_waits_for_room(&conn->stream)) ||
             read_some(conn))
        drive(conn);
    net_loop_look_up(loop);
    net_loop_check_end(loop);
}

// Runs the exchange machinery and writes, for as long as the socket takes it. False: the connection
// has ended or lingers.
static bool write_out(struct net_conn *conn, bool *ret_blocked)
{
    struct iovec iovecs[KVS_HTTP_OUTPUT_IOVECS];
    bool blocked = false;
    kvs_http_conn_run(conn->http);
    size_t count;
    while (!blocked && (count = kvs_http_conn_output(conn->http, iovecs)) > 0) {
        ssize_t size = net_stream_send(&conn->stream, iovecs, count);
        blocked = size == -EAGAIN;
        if (size < 0 && !blocked) {
            fail(conn, size);
            return false;
        }
        if (!blocked) {
            kvs_http_conn_sent(conn->http, (size_t)size);
            kvs_http_conn_run(conn->http);
        }
    }
    *ret_blocked = blocked;
    return true;
}

// What the socket must be for the connection to go on.
static int events_for(const struct net_conn *conn, bool blocked)
{
    int read_event = net_stream_recv_waits_for_room(&conn->stream) ? UV_WRITABLE : UV_READABLE;
    int write_event = net_stream_send_waits_for_data(&conn->stream) ? UV_READABLE : UV_WRITABLE;
    return (kvs_http_conn_wants_input(conn->http) ? read_event : 0) | (blocked ? write_event : 0);
}

static void drive(struct net_conn *conn)
{
    bool blocked = false;
    do {
        if (!write_out(conn, &blocked))
            return;
        // At most the rest of one record: other connections have their turn soon.
        if (!net_stream_has_more(&conn->stream) || !kvs_http_conn_wants_input(conn->http))
            break;
    } while (read_some(conn));
    if (!conn->http)
        return; // it lingers
    if (kvs_http_conn_is_over(conn->http))
        begin_lingering(conn);
    else
        poll_for(conn, events_for(conn, blocked));
}

// A handler has finished outside of drive().
static void on_wake(void *ctx)
{
    struct net_conn *conn = ctx;
    drive(conn);
}

static void open_conn(struct kvs_task *task)
{
    struct net_conn *conn = KVS_CONTAINER_OF(task, struct net_conn, open_task);
    struct net_loop *loop = conn->loop;
    if (net_stream_init(&conn->stream, conn->stream.fd, loop->tls) != 0 ||
        kvs_http_conn_new(loop->http, &conn->peer, on_wake, conn, &conn->http) != 0 ||
        uv_poll_init(&loop->uv, &conn->poll, conn->stream.fd) != 0) {
        kvs_http_conn_close(conn->http);
        net_stream_close(&conn->stream, true);
        forget(conn);
        free(conn);
        return;
    }
    conn->poll.data = conn;
    link_conn(conn);
    if (conn->refused)
        kvs_http_conn_refuse(conn->http);
    drive(conn);
}

bool net_conn_start(struct net_loop *loop, int fd, const struct kvs_http_address *peer,
                    bool refused)
{
    struct net_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return false;
    conn->loop = loop;
    conn->stream.fd = fd;
    conn->peer = *peer;
    conn->refused = refused;
    conn->open_task.run = open_conn;
    kvs_executor_post(&loop->executor, &conn->open_task);
    return true;
}

static void tick(struct net_conn *conn, int64_t now_ns)
{
    if (!conn->http) {
        if (now_ns >= conn->linger_until_ns)
            net_conn_close(conn, true);
        return;
    }
    switch (kvs_http_conn_check_deadline(conn->http, now_ns)) {
    case KVS_HTTP_RESET:
        net_conn_close(conn, true);
        return;
    case KVS_HTTP_LATE:
        drive(conn);
        return;
    case KVS_HTTP_IN_TIME:
        if (conn->loop->draining && kvs_http_conn_is_idle(conn->http))
            net_conn_close(conn, false);
        return;
    }
}

void net_conns_tick(struct net_loop *loop, int64_t now_ns)
{
    struct net_conn *next = NULL;
    for (struct net_conn *conn = loop->conns; conn; conn = next) {
        next = conn->next; // a tick unlinks no connection but its own
        tick(conn, now_ns);
    }
}

void net_conns_close_all(struct net_loop *loop)
{
    while (loop->conns)
        net_conn_close(loop->conns, true);
}
