// SPDX-License-Identifier: Apache-2.0
// The server's sockets: one listener, one event loop a thread, connections spread over the loops,
// deadlines, a pool of workers for what may block, and an orderly end. What the bytes mean is
// `http`'s business.
//
// Threading: a connection and its exchanges stay on one loop's thread, where the handler is called.
// kvs_net_stop and kvs_net_reload may be called from any thread, the others from one.
#ifndef KVS_NET_NET_H
#define KVS_NET_NET_H

#include "base/log.h"
#include "http/http.h"

struct kvs_net;

// TLS on the listener. PEM files, relative to nothing: absolute. Reloadable are the files, not
// whether there is TLS.
struct kvs_net_tls_options {
    bool enabled;
    const char *cert_file; // this node's certificate, then those between it and its CA
    const char *key_file;  // of the first certificate
    const char *ca_file;   // what client certificates are verified against; NULL or "" = none
    bool ask_client_cert;  // a request tells whether one was presented and is good
};

struct kvs_net_options {
    const char *address;     // to bind: numeric or a name of this machine
    uint16_t port;           // 0 = any free one: kvs_net_port tells
    unsigned threads;        // event loops; 0 = one per core
    unsigned worker_threads; // for blocking work; 0 = 4
    size_t memory_max;       // what all connections' buffers hold together beyond 64 KiB each;
                             // 0 = 256 MiB. Then bodies are refused.
    // Reloadable: beyond max_connections a client is answered 503 or, far beyond, cut off.
    unsigned max_connections;             // 0 = 10000
    unsigned max_connections_per_address; // 0 = no limit
    struct kvs_http_options http;         // reloadable
    struct kvs_net_tls_options tls;       // see kvs_net_reload_tls
    // Everything below is borrowed until kvs_net_free.
    struct kvs_http_handler handler;
    const struct kvs_clock *clock;
    struct kvs_random *random;
    struct kvs_log *log;         // may be NULL
    struct kvs_metrics *metrics; // may be NULL
};

// Copies the options; does not bind yet. Owned by the caller.
KVS_MUST_CHECK int kvs_net_new(const struct kvs_net_options *options, struct kvs_net **ret_net,
                               struct kvs_message *ret_message);

// Binds and listens; connections wait in the backlog until kvs_net_run. KVS_ERR_BUSY when the port
// is taken, KVS_ERR_FORBIDDEN without the permission, KVS_ERR_INVALID for an address that is not
// this machine's; `ret_message` reads "127.0.0.1:8080: address already in use: …".
KVS_MUST_CHECK int kvs_net_listen(struct kvs_net *net, struct kvs_message *ret_message);
uint16_t kvs_net_port(const struct kvs_net *net); // as bound

// Serves until kvs_net_stop; the first loop runs on the calling thread. Returns when every
// connection is closed and every handler has finished.
KVS_MUST_CHECK int kvs_net_run(struct kvs_net *net, struct kvs_message *ret_message);

// Stops listening, closes idle connections, lets requests in flight finish for at most `grace_ms`,
// then closes all. Returns at once; only the first call counts. May come before kvs_net_run.
void kvs_net_stop(struct kvs_net *net, int64_t grace_ms);

// Takes over what is reloadable. On an error nothing changes.
KVS_MUST_CHECK int kvs_net_reload(struct kvs_net *net, const struct kvs_net_options *options,
                                  struct kvs_message *ret_message);

// Would a listener start with these files? Reads them and lets them go; says what is wrong.
KVS_MUST_CHECK int kvs_net_check_tls(const struct kvs_net_tls_options *options,
                                     struct kvs_message *ret_message);

// Reads the files anew, under the names in `options`, whose switches are ignored: connections to
// come use them, open ones keep what they have. On an error nothing changes, and the message names
// file, reason and remedy. Only where TLS is on.
KVS_MUST_CHECK int kvs_net_reload_tls(struct kvs_net *net,
                                      const struct kvs_net_tls_options *options,
                                      struct kvs_message *ret_message);

// Blocking work of others (a node's background jobs).
struct kvs_executor *kvs_net_workers(struct kvs_net *net);

// Not while kvs_net_run runs. NULL is fine.
void kvs_net_free(struct kvs_net *net);
KVS_DEFINE_CLEANUP(struct kvs_net, kvs_net_free)

#endif
