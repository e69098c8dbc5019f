// SPDX-License-Identifier: Apache-2.0
// What the files of libkvs share. The public contract is include/kvs/kvs.h.
//
// A call is one request under way: a connection out of the client's pool, and the answer. A public
// function makes a request, lets kvs_client_perform (retry.c) send it as often as it may, reads the
// answer into the result and gives the call back. The pool is all that threads share.
#ifndef KVS_CLIENT_CLIENT_INTERNAL_H
#define KVS_CLIENT_CLIENT_INTERNAL_H

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "client/signer.h"
#include "codec/json.h"
#include "kvs/kvs.h"

enum {
    KVS_CLIENT_URLS_MAX = 64,
    KVS_CLIENT_TARGET_SIZE_MAX = 64 << 10,
    KVS_CLIENT_CONDITION_SIZE = 64,
    KVS_CLIENT_PREFER_SIZE = 64,
    KVS_CLIENT_PROOF_SIZE = 80, // of an answer's headers, with a NUL
};

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

// One request under way; belongs to the thread that took it.
struct kvs_client_call {
    struct kvs_client *client;
    struct kvs_client_call *next_idle;
    CURL *easy; // keeps its connections
    char curl_text[CURL_ERROR_SIZE];
    const struct kvs_client_node *node; // that was asked last
    struct kvs_buf answer;              // the body, of whatever status
    int status;
    bool is_problem; // by its Content-Type
    int64_t retry_after_ms;
    char request_id[65];
    char location[KVS_CLIENT_URL_SIZE];
    uint32_t nodes; // of KVS-Nodes; 0: there was none
    // What the signer looks at; "" without such headers.
    char challenge[KVS_CLIENT_PROOF_SIZE];
    char signature[KVS_CLIENT_PROOF_SIZE];
};

struct kvs_client {
    struct kvs_client_node nodes[KVS_CLIENT_URLS_MAX];
    size_t node_count;
    _Atomic size_t current; // the node that answered last
    char *authorization;    // a complete header line; NULL: none
    char **headers;         // further ones
    size_t header_count;
    bool retry_writes;
    struct kvs_client_tls tls;
    uint32_t connect_timeout_ms;
    uint32_t timeout_ms;
    uint32_t attempts_max;
    size_t answer_size_max;
    const struct kvs_client_signer *signer; // NULL: none
    pthread_mutex_t lock;                   // held for a few instructions
    struct kvs_client_call *idle;
};

// When a request whose outcome is unknown may be sent once more.
enum kvs_client_repeat {
    KVS_CLIENT_REPEAT_ALWAYS,    // reads, and writes whose condition makes that harmless
    KVS_CLIENT_REPEAT_IF_WANTED, // with the client's retry_writes
    KVS_CLIENT_REPEAT_NEVER,
};

struct kvs_client_request {
    const char *method;
    struct kvs_slice target;  // encoded: "/kv/a?ttl=1h"
    struct kvs_slice body;    // data == NULL: none
    const char *content_type; // NULL: application/json
    const char *condition;    // a complete header line; NULL or "": none
    const char *prefer;       // likewise
    int64_t wait_ms;          // so long the node may hold the answer back
    enum kvs_client_repeat repeat;
    bool writes; // and so an unknown outcome matters
};

// ---- Calls (client.c)

struct kvs_client_call *kvs_client_call_begin(struct kvs_client *client); // NULL: out of memory
void kvs_client_call_end(struct kvs_client_call *call);                   // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_client_call, kvs_client_call_end)

// ---- tls.c

// Takes the options' files over, after a look at whether they can be read.
enum kvs_client_code kvs_client_tls_init(struct kvs_client_tls *tls,
                                         const struct kvs_client_options *options,
                                         struct kvs_client_error *ret_error);
void kvs_client_tls_done(struct kvs_client_tls *tls); // after a failed init as well
// Sets it for the next transfer.
void kvs_client_tls_apply(const struct kvs_client_tls *tls, CURL *easy);

// ---- Sending

// Forgets the last answer and sets what every transfer to call->node has in common: protocols, TLS,
// where the answer goes. Headers, URL and timeouts are the caller's (transport.c).
void kvs_client_prepare(struct kvs_client_call *call);
enum kvs_client_code kvs_client_set_url(struct kvs_client_call *call, struct kvs_slice target);
// Appends a header line; false (and the list freed) when out of memory. NULL and "" add nothing.
bool kvs_client_add_header(struct curl_slist **list, const char *line);
// The token and the client's own headers.
bool kvs_client_add_common_headers(const struct kvs_client *client, struct curl_slist **list);
// _UNREACHABLE where nothing can have reached the node, else _BROKEN, _TOO_LARGE, _NOMEM.
enum kvs_client_code kvs_client_fail_transfer(const struct kvs_client_call *call, CURLcode code,
                                              struct kvs_client_error *ret_error);

// Sends it once, to call->node, within `timeout_ms`. Every answer outside of 2xx is an error.
enum kvs_client_code kvs_client_send_once(struct kvs_client_call *call,
                                          const struct kvs_client_request *request,
                                          int64_t timeout_ms, struct kvs_client_error *ret_error);

// Sends it as often as it may be (retry.c). *ret_call holds the answer; give it back.
enum kvs_client_code kvs_client_perform(struct kvs_client *client,
                                        const struct kvs_client_request *request,
                                        struct kvs_client_call **ret_call,
                                        struct kvs_client_error *ret_error);

// How long to wait before round `round` (from 0): a random part of 50 ms doubled each time.
int64_t kvs_client_backoff_ms(uint32_t round);
int64_t kvs_client_now_ms(void); // monotonic

// ---- Errors (problem.c)

// Fills *ret_error, which may be NULL; returns `code`.
enum kvs_client_code kvs_client_fail(struct kvs_client_error *ret_error, enum kvs_client_code code,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));
enum kvs_client_code kvs_client_fail_nomem(struct kvs_client_error *ret_error);
// The same for an answer: its status, request ID, title and detail.
enum kvs_client_code kvs_client_fail_answer(const struct kvs_client_call *call,
                                            struct kvs_client_error *ret_error);
// For a 2xx that cannot be read.
enum kvs_client_code kvs_client_fail_unexpected(const struct kvs_client_call *call,
                                                struct kvs_client_error *ret_error);
enum kvs_client_code kvs_client_code_of_status(int status);

// ---- Targets (target.c)

// `before` and the encoded key. A key that is none is refused here: "a/" would ask for a listing.
enum kvs_client_code kvs_client_target_begin(struct kvs_buf *target, const char *before,
                                             const char *key, struct kvs_client_error *ret_error);
void kvs_client_target_add(struct kvs_buf *target, const char *name, const char *value);
void kvs_client_target_add_number(struct kvs_buf *target, const char *name, uint64_t value);
// If-Match or If-None-Match as a header line; "" without a condition.
enum kvs_client_code kvs_client_condition(const char *if_match, bool if_none_match,
                                          char ret_line[static KVS_CLIENT_CONDITION_SIZE],
                                          struct kvs_client_error *ret_error);

// ---- Receipts (receipt.c); NULL: none is wanted

// Adds what the receipt asks for to the request; `line` must outlive it.
enum kvs_client_code kvs_client_receipt_begin(struct kvs_client_receipt *receipt,
                                              struct kvs_client_request *request,
                                              char line[static KVS_CLIENT_PREFER_SIZE],
                                              struct kvs_client_error *ret_error);
// What the answer says.
void kvs_client_receipt_end(struct kvs_client_receipt *receipt, const struct kvs_client_call *call);

// ---- Reading answers (answer.c)

// What a result owns: the answer's text, which its strings point into, and the rest.
struct kvs_client_memory {
    struct kvs_buf text;
    struct kvs_arena arena;
};

void kvs_client_memory_free(struct kvs_client_memory *memory); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_client_memory, kvs_client_memory_free)

// Takes the answer's body over and parses it. On failure *ret_error is set.
enum kvs_client_code kvs_client_answer_take(struct kvs_client_call *call,
                                            struct kvs_client_memory **ret_memory,
                                            struct kvs_json **ret_root,
                                            struct kvs_client_error *ret_error);

// These end texts with a NUL in the place of the delimiter behind them, so each value is read once.
// False where the value is absent or of another kind, or memory is out.
bool kvs_client_read_text(const struct kvs_json *value, struct kvs_client_memory *memory,
                          const char **ret_text);
bool kvs_client_read_json(const struct kvs_json *value, const char **ret_json, size_t *ret_size);
bool kvs_client_read_version(const struct kvs_json *object, struct kvs_client_memory *memory,
                             struct kvs_client_version *ret_version);
bool kvs_client_read_u64(const struct kvs_json *value, uint64_t *ret_number);
bool kvs_client_is_true(const struct kvs_json *value);

#endif
