// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 without sockets: bytes in, exchanges to a handler, bytes out. Whoever owns the socket
// (`net`, or a test) feeds what it read and writes what it is given; time comes in as an argument.
// What is ambiguous is refused, never repaired: docs/http.md lists the rules.
//
// Threading: a server and all its connections belong to one loop thread, and every function here is
// called on it. Settings are immutable and may be shared between threads.
//
// The owner's loop around a connection:
//     readable:  room = kvs_http_conn_input(conn, &size); read; kvs_http_conn_received(conn, n)
//     then:      kvs_http_conn_run(conn)
//                while ((count = kvs_http_conn_output(conn, iov)) > 0)
//                    write; kvs_http_conn_sent(conn, n); kvs_http_conn_run(conn)
//                if (kvs_http_conn_is_over(conn)) shut down, drain, close
//     woken:     the same without reading: a handler has finished
#ifndef KVS_HTTP_HTTP_H
#define KVS_HTTP_HTTP_H

#include "base/clock.h"
#include "base/metrics.h"
#include "base/random.h"
#include "codec/http.h"
#include "http/address.h"
#include "http/budget.h"

#include <sys/uio.h>

enum {
    KVS_HTTP_TARGET_MAX = 8192,
    KVS_HTTP_HEADERS_SIZE_MAX = 16384,
    KVS_HTTP_HEADERS_MAX = 100,
    KVS_HTTP_TRAILERS_SIZE_MAX = 2048,
    KVS_HTTP_OUTPUT_MAX = 64 * 1024, // unsent bytes beyond which no further request is read
    KVS_HTTP_OUTPUT_IOVECS = 2,
};

// What may change at run time. Zero means the default.
struct kvs_http_options {
    int64_t request_timeout_ms;       // a request's head and body; default 30 s
    int64_t idle_timeout_ms;          // between two requests; default 75 s
    int64_t write_timeout_ms;         // without the client taking a byte; default 30 s
    size_t body_max;                  // where the handler has no body_limit; default 1 MiB
    const char *const *allowed_hosts; // names without port; none = any
    size_t allowed_host_count;
    const char *const *trusted_proxies; // addresses or networks whose X-Forwarded-For is believed
    size_t trusted_proxy_count;
};

struct kvs_http_settings; // immutable, shared by reference count

// Copies the options. KVS_ERR_INVALID names the entry that is no address or network.
KVS_MUST_CHECK int kvs_http_settings_new(const struct kvs_http_options *options,
                                         struct kvs_http_settings **ret_settings,
                                         struct kvs_message *ret_message);
struct kvs_http_settings *kvs_http_settings_ref(struct kvs_http_settings *settings);
void kvs_http_settings_unref(struct kvs_http_settings *settings); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_http_settings, kvs_http_settings_unref)

// A request that has been answered; slices are valid during the call.
struct kvs_http_access {
    struct kvs_slice method; // as sent; empty when the request line was refused
    struct kvs_slice path;   // as sent, without the query; empty likewise
    struct kvs_slice client_address;
    const char *request_id;
    const struct kvs_http_tls *tls;
    int status;
    int64_t duration_ns; // first byte received to response ready
    uint64_t request_body_size;
    uint64_t response_body_size;
};

// All functions are called on the connection's loop thread; only `handle` must be set.
struct kvs_http_handler {
    void *ctx;
    void (*handle)(void *ctx, struct kvs_http_exchange *exchange);
    // Bytes of body that this request may have; asked after the head, before any of the body is
    // read. `body` is still empty.
    size_t (*body_limit)(void *ctx, const struct kvs_http_request *request);
    void (*finished)(void *ctx, const struct kvs_http_access *access);
};

// ---- One server a loop

struct kvs_http_server;

// Everything pointed to must outlive the server; the settings are referenced.
struct kvs_http_server_options {
    struct kvs_http_settings *settings;
    struct kvs_http_handler handler;
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_metrics *metrics;    // may be NULL
    struct kvs_http_budget *budget; // shared by the loops; NULL = no limit
    struct kvs_executor *loop;
    struct kvs_executor *workers;
};

KVS_MUST_CHECK int kvs_http_server_new(const struct kvs_http_server_options *options,
                                       struct kvs_http_server **ret_server);
// All connections must have been closed and all exchanges finished. NULL is fine.
void kvs_http_server_free(struct kvs_http_server *server);
KVS_DEFINE_CLEANUP(struct kvs_http_server, kvs_http_server_free)

// Refreshes the Date header: about once a second.
void kvs_http_server_tick(struct kvs_http_server *server);
// Requests that begin from now on see the new settings.
void kvs_http_server_configure(struct kvs_http_server *server, struct kvs_http_settings *settings);
// From now on every response says Connection: close.
void kvs_http_server_drain(struct kvs_http_server *server);
// Exchanges that their handlers have not finished, those of closed connections included.
size_t kvs_http_server_in_flight(const struct kvs_http_server *server);

// ---- Connections

struct kvs_http_conn;

// `wake(wake_ctx)` is called when a handler has finished outside kvs_http_conn_run: the owner then
// runs the connection and writes. Never called after kvs_http_conn_close.
KVS_MUST_CHECK int kvs_http_conn_new(struct kvs_http_server *server,
                                     const struct kvs_http_address *peer, void (*wake)(void *ctx),
                                     void *wake_ctx, struct kvs_http_conn **ret_conn);

// The owner has done with it. Where a handler is still at work, the exchange lives on until it has
// finished and its response is thrown away. NULL is fine.
void kvs_http_conn_close(struct kvs_http_conn *conn);

// Where to read to; NULL when nothing is to be read now (too much is waiting, or out of memory).
// Valid until the next call on this connection.
char *kvs_http_conn_input(struct kvs_http_conn *conn, size_t *ret_size);
// `size` bytes have been read there.
void kvs_http_conn_received(struct kvs_http_conn *conn, size_t size);
// The client will send nothing more.
void kvs_http_conn_end_input(struct kvs_http_conn *conn);
// Is reading of use now? False while there is enough to do with what has been read.
bool kvs_http_conn_wants_input(const struct kvs_http_conn *conn);

// Parses, calls the handler, gathers responses, as far as it gets.
void kvs_http_conn_run(struct kvs_http_conn *conn);

// What is to be written; 0 = nothing. Valid until the next call on this connection.
size_t kvs_http_conn_output(const struct kvs_http_conn *conn,
                            struct iovec ret_iovecs[static KVS_HTTP_OUTPUT_IOVECS]);
void kvs_http_conn_sent(struct kvs_http_conn *conn, size_t size);

// Nothing more will be written: shut down, drain what the client still sends, close.
bool kvs_http_conn_is_over(const struct kvs_http_conn *conn);
// Is nothing of a request there, nothing being handled and nothing to be written?
bool kvs_http_conn_is_idle(const struct kvs_http_conn *conn);

// What the requests from now on say of it; before the first byte is received, or never: plain TCP.
void kvs_http_conn_set_tls(struct kvs_http_conn *conn, const struct kvs_http_tls *tls);

// Answers 503 and is over: there are too many connections.
void kvs_http_conn_refuse(struct kvs_http_conn *conn);
// Answers 400 and is over: the client does not speak TLS, and this port does. Before the first byte
// is received.
void kvs_http_conn_refuse_plain(struct kvs_http_conn *conn);

enum kvs_http_deadline {
    KVS_HTTP_IN_TIME,
    KVS_HTTP_LATE,  // answered 408, idle for too long, or a handler must be told: run it, write
    KVS_HTTP_RESET, // the client does not take the response: reset at once
};
enum kvs_http_deadline kvs_http_conn_check_deadline(struct kvs_http_conn *conn, int64_t now_ns);

#endif
