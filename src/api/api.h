// SPDX-License-Identifier: Apache-2.0
// The meaning of the HTTP API: a request in, a response out (routes: tables/routes.def; reference:
// docs/api.md). Knows no sockets and no bytes on the wire.
//
// Thread-safe: immutable after kvs_api_new, so that every loop thread calls the same object.
#ifndef KVS_API_API_H
#define KVS_API_API_H

#include "auth/auth.h"
#include "auth/peer.h"
#include "codec/http.h"
#include "node/backup_service.h"
#include "node/node.h"

struct kvs_api;

// Everything is borrowed and outlives the API.
struct kvs_api_options {
    struct kvs_node *node;
    struct kvs_backup_service *backups; // NULL: the routes of backups do not exist
    struct kvs_metrics *metrics;        // NULL: as with metrics_enabled off
    struct kvs_log *log;                // may be NULL
    const struct kvs_clock *clock;      // the node's
    struct kvs_random *random;
    struct kvs_auth *auth;               // NULL: as with auth_enabled off
    const char *cluster_secret;          // what peers prove themselves with
    const char *cluster_secret_previous; // "" = none
    const char *node_id;
    const char *version;
    size_t max_json_size;          // bytes of one stored value, without insignificant white space
    uint32_t revisions;            // versions a key keeps: what a revision's number is held against
    bool revision_history_enabled; // off: the history routes do not exist
    bool metrics_enabled;          // off: /metrics does not exist
    bool audit;                    // the node keeps an audit log; off: its routes do not exist
    // Does the server accept work? False while it shuts down: /ready then says so. Called on any
    // thread; NULL = always.
    bool (*accepting)(void *ctx);
    void *accepting_ctx;
    struct kvs_peer_auth
        *peer_auth; // NULL: clustering is off and the routes for peers do not exist
    // A message of a verified peer, borrowed during the call. Called on any thread, several at a
    // time; must not block for long. NULL = messages are verified, counted and thrown away.
    void (*peer_message)(void *ctx, struct kvs_slice message);
    void *peer_message_ctx;
};

KVS_MUST_CHECK int kvs_api_new(const struct kvs_api_options *options, struct kvs_api **ret_api);
// All exchanges must have finished. NULL is fine.
void kvs_api_free(struct kvs_api *api);
KVS_DEFINE_CLEANUP(struct kvs_api, kvs_api_free)

// Answers the exchange: calls kvs_http_finish exactly once, on the loop thread, now or later.
void kvs_api_handle(struct kvs_api *api, struct kvs_http_exchange *exchange);

// The greatest body that the request's route reads, for refusing a longer one before reading it.
// Needs method, path and headers only.
size_t kvs_api_body_limit(const struct kvs_api *api, const struct kvs_http_request *request);

#endif
