// SPDX-License-Identifier: Apache-2.0
// libkvs: a client of KVS, the clustered JSON key-value store, over its HTTP API.
//
//     struct kvs_client_error error;
//     struct kvs_client *client = kvs_client_new(NULL, &error); // http://127.0.0.1:8080
//     struct kvs_client_record record;
//     if (client && kvs_client_get(client, "greeting", &record, &error) == KVS_CLIENT_OK) {
//         puts(record.json);
//         kvs_client_record_done(&record);
//     } else {
//         fprintf(stderr, "%s\n", error.message);
//     }
//     kvs_client_free(client);
//
// A client keeps its connection open between calls. It belongs to one thread at a time; different
// clients are independent. What a caller passes stays the caller's and is not needed after the
// call. Text is UTF-8, NUL-terminated, and passed on as it is: keys are percent-encoded here.
#ifndef KVS_KVS_H
#define KVS_KVS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What became of a call.
enum kvs_client_code {
    KVS_CLIENT_OK = 0,
    KVS_CLIENT_INVALID,      // bad argument: nothing was sent, or the node refused it with 400
    KVS_CLIENT_NOMEM,        // out of memory
    KVS_CLIENT_UNREACHABLE,  // no node could be connected to: nothing was sent
    KVS_CLIENT_BROKEN,       // the connection broke or timed out: a write may have happened or not
    KVS_CLIENT_NOT_FOUND,    // 404
    KVS_CLIENT_PRECONDITION, // 412: if_match or if_none_match did not hold; nothing was written
    KVS_CLIENT_UNAUTHORIZED, // 401: a token is missing or no good
    KVS_CLIENT_FORBIDDEN,    // 403
    KVS_CLIENT_TOO_LARGE,    // 413, or an answer beyond answer_size_max
    KVS_CLIENT_RATE_LIMITED, // 429
    KVS_CLIENT_UNAVAILABLE,  // 503 or 507: later it may work
    KVS_CLIENT_UNEXPECTED,   // any other answer, or one that is not KVS's
};

// Filled by every call that fails; may be NULL where the caller does not want it.
struct kvs_client_error {
    enum kvs_client_code code;
    int http_status;     // 0: there was no answer
    char message[512];   // for people: what failed and why, the node's own words included
    char request_id[65]; // finds the request in the node's log; "" without an answer
};

struct kvs_client_options {
    // "http://host:port" or "https://…" of one or more nodes. The first that can be connected to
    // serves the call, and the next one begins there. NULL: http://127.0.0.1:8080.
    const char *const *urls;
    size_t url_count;
    const char *token;           // NULL: none
    uint32_t connect_timeout_ms; // for each node; 0: 5 s
    uint32_t timeout_ms;         // for each call, connecting included; 0: 30 s
    size_t answer_size_max;      // bytes; 0: 64 MiB
    // For https://, PEM files. They are read at each connection, so that renewed ones are used.
    bool tls_skip_verify;       // accept any certificate: for tests only
    const char *tls_ca_file;    // what a node's certificate is checked against; NULL: the system's
    const char *tls_cert_file;  // the client's own, where a node asks for one; NULL: none
    const char *tls_key_file;   // of that; NULL: it is in the same file
    const char *const *headers; // "Name: value", sent with every request; NULL: none
    size_t header_count;
};

struct kvs_client;

// NULL on failure. `options` may be NULL.
struct kvs_client *kvs_client_new(const struct kvs_client_options *options,
                                  struct kvs_client_error *ret_error);
void kvs_client_free(struct kvs_client *client); // NULL is fine

enum { KVS_CLIENT_UUID_SIZE = 37 }; // 36 characters and a NUL

struct kvs_client_version {
    char uuid[KVS_CLIENT_UUID_SIZE];
    int64_t timestamp_ms; // Unix time
};

struct kvs_client_record {
    struct kvs_client_version version;
    const char *json; // the value, byte for byte as stored; NUL behind it
    size_t json_size;
    void *memory; // owns `json`
};
void kvs_client_record_done(struct kvs_client_record *record);

enum kvs_client_code kvs_client_get(struct kvs_client *client, const char *key,
                                    struct kvs_client_record *ret_record,
                                    struct kvs_client_error *ret_error);

// An earlier version: 1 is the newest. KVS_CLIENT_NOT_FOUND also where that revision holds no
// value: a deletion, or one that has expired.
enum kvs_client_code kvs_client_get_revision(struct kvs_client *client, const char *key,
                                             uint32_t revision,
                                             struct kvs_client_record *ret_record,
                                             struct kvs_client_error *ret_error);

struct kvs_client_put_options {
    const char *ttl;      // "1h30m", "250ms", "0" (never); NULL: the node's default_ttl
    const char *if_match; // only over this version's UUID, or "*": over any; NULL: no condition
    bool if_none_match;   // only where nothing is
};

// Stores a JSON value. `options` may be NULL. Without a ttl the node unwraps an object with exactly
// the members "data" and "ttl"; with one, every value is stored as it is. *ret_created: there was
// nothing before. Both results may be NULL.
enum kvs_client_code kvs_client_put(struct kvs_client *client, const char *key, const char *json,
                                    size_t json_size, const struct kvs_client_put_options *options,
                                    struct kvs_client_version *ret_version, bool *ret_created,
                                    struct kvs_client_error *ret_error);

// `if_match`: as above.
enum kvs_client_code kvs_client_delete(struct kvs_client *client, const char *key,
                                       const char *if_match, struct kvs_client_error *ret_error);

struct kvs_client_list_options {
    const char *prefix; // what the keys begin with, by bytes; "a/" for what lies under a; NULL: all
    bool children;      // roll up what lies deeper: "a/b/" stands for every key under it
    bool values;        // the data too
    uint32_t limit;     // entries and prefixes of one page, 1 to 1000; 0: the node's default
    const char *cursor; // `next` of the page before; NULL: from the start
};

struct kvs_client_entry {
    const char *key; // with `children` also a rolled-up prefix, which ends in '/'
    bool is_prefix;  // then there is no version and no value
    struct kvs_client_version version;
    const char *json; // NULL unless values were asked for
    size_t json_size;
};

struct kvs_client_listing {
    const struct kvs_client_entry *entries; // in byte order of their keys
    size_t entry_count;
    const char *next; // cursor of the next page; NULL: this was the last
    void *memory;     // owns all of it
};
void kvs_client_listing_done(struct kvs_client_listing *listing);

// One page. `options` may be NULL.
enum kvs_client_code kvs_client_list(struct kvs_client *client,
                                     const struct kvs_client_list_options *options,
                                     struct kvs_client_listing *ret_listing,
                                     struct kvs_client_error *ret_error);

struct kvs_client_response {
    int http_status;
    const char *body; // NUL behind it
    size_t body_size;
    void *memory;
};
void kvs_client_response_done(struct kvs_client_response *response);

// Any request of the API that has no function of its own. `target` is path and query, encoded.
// `body` NULL: none; `content_type` NULL: application/json. An answer outside of 2xx is an error,
// as everywhere.
enum kvs_client_code kvs_client_request(struct kvs_client *client, const char *method,
                                        const char *target, const char *content_type,
                                        const char *body, size_t body_size,
                                        struct kvs_client_response *ret_response,
                                        struct kvs_client_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
