// SPDX-License-Identifier: Apache-2.0
// What the files of libkvs share. The public contract is include/kvs/kvs.h.
//
// One call is one kvs_client_perform: a request whose path is already encoded goes to the first
// node that can be connected to; its answer lies in `client->answer` until the next call.
#ifndef KVS_CLIENT_CLIENT_INTERNAL_H
#define KVS_CLIENT_CLIENT_INTERNAL_H

#include <curl/curl.h>

#include "base/arena.h"
#include "base/buf.h"
#include "kvs/kvs.h"

enum { KVS_CLIENT_URLS_MAX = 64 };

struct kvs_client_node {
    char *url;     // without a slash at its end
    bool loopback; // never reached through a proxy
};

// What is trusted and shown under https://; NULL: nothing of it.
struct kvs_client_tls {
    char *ca_file;
    char *cert_file;
    char *key_file;
    bool skip_verify;
};

struct kvs_client {
    CURL *easy; // one handle, so that the connection is reused
    struct kvs_client_node nodes[KVS_CLIENT_URLS_MAX];
    size_t node_count;
    size_t current;      // the node that answered last
    char *authorization; // a complete header line; NULL: none
    char **headers;      // further ones
    size_t header_count;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    struct kvs_client_tls tls;
    char curl_text[CURL_ERROR_SIZE];
    struct kvs_buf answer; // the body
    int status;
    char request_id[65];
};

struct kvs_client_request {
    const char *method;
    struct kvs_slice target;  // encoded: "/kv/a?ttl=1h"
    struct kvs_slice body;    // JSON; data == NULL: none
    const char *condition;    // a complete header line; NULL: none
    const char *content_type; // NULL: application/json
};

// Sends the request and receives the answer whatever its status. Every answer outside 2xx is an
// error with the problem's title and detail as its message.
enum kvs_client_code kvs_client_perform(struct kvs_client *client,
                                        const struct kvs_client_request *request,
                                        struct kvs_client_error *ret_error);

// ---- tls.c

// Takes the options' files over, after a look at whether they can be read.
enum kvs_client_code kvs_client_tls_init(struct kvs_client_tls *tls,
                                         const struct kvs_client_options *options,
                                         struct kvs_client_error *ret_error);
void kvs_client_tls_done(struct kvs_client_tls *tls); // after a failed init as well
// Sets it for the next transfer.
void kvs_client_tls_apply(const struct kvs_client_tls *tls, CURL *easy);

// Fills *ret_error, which may be NULL; returns `code`.
enum kvs_client_code kvs_client_fail(struct kvs_client_error *ret_error, enum kvs_client_code code,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

// The same for an answer: its status, request ID, title and detail.
enum kvs_client_code kvs_client_fail_answer(const struct kvs_client *client,
                                            struct kvs_client_error *ret_error);

#endif
