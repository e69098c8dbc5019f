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
// Link with `pkg-config --cflags --libs kvs`. docs/clients/c.md explains, examples/ shows.
//
// Threads: any number of them may use one client at once; each call takes a kept-alive connection
// from the client's pool. Iterators and feeds belong to one thread at a time. No function may be
// called from a signal handler, and a client is not carried over a fork().
//
// Memory: what a caller passes stays the caller's and is not needed after the call. What a call
// returns in a `ret_` structure is owned by that structure and lives until its `_done`; on failure
// there is nothing to release. Text is UTF-8, NUL-terminated, and passed on as it is: keys are
// percent-encoded here.
//
// Errors: every call returns a code and, where one is given, fills a struct kvs_client_error. The
// library writes nothing to any stream.
//
// Failover: a call goes to the node that answered last. Where that one cannot be connected to, or
// is too busy (429), the next one is asked, and after a round of all of them the call waits a
// little (50 ms, doubled each time up to 2 s, a random part of it; as long as Retry-After says) and
// goes round again, up to `attempts_max` tries within `timeout_ms`. After a connection that broke,
// or an answer 502 to 504 or 507, the outcome of a write is unknown, so only these are repeated:
// reads; writes with if_match or if_none_match, whose repetition can overwrite nothing that was not
// seen; and with `retry_writes` all others too, except for PATCH, whose repetition may apply it
// twice.
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
    KVS_CLIENT_CONFLICT,     // 409: what was sent does not fit the current state
    KVS_CLIENT_GONE,         // 410: the change feed does not go back that far any more
    KVS_CLIENT_NOT_MODIFIED, // kvs_client_get_if_changed: still that version
    KVS_CLIENT_TIMEOUT,      // kvs_client_feed_next: no change in that time
    KVS_CLIENT_END,          // kvs_client_iterator_next: that was all
};

// "not found"; static. For any int.
const char *kvs_client_code_text(int code);

// The library's own version, "0.1.0"; static.
const char *kvs_client_library_version(void);

// Filled by every call that fails; may be NULL where the caller does not want it.
struct kvs_client_error {
    enum kvs_client_code code;
    int http_status;        // 0: there was no answer
    char message[512];      // for people: what failed and why, the node's own words included
    char request_id[65];    // finds the request in the node's log; "" without an answer
    int64_t retry_after_ms; // what the node asked to wait; 0: it did not
    // The node's problem document (RFC 9457) as it came; "" where there was none, or one larger
    // than this.
    char problem[2048];
};

struct kvs_client_options {
    // "http://host:port" or "https://…" of one to 64 nodes; NULL: http://127.0.0.1:8080.
    const char *const *urls;
    size_t url_count;
    const char *token;           // NULL: none
    uint32_t connect_timeout_ms; // for each node; 0: 5 s. As long a read waits for one node's
                                 // answer while there are others to ask
    uint32_t timeout_ms;         // for each call, all its tries and waits included; 0: 30 s
    size_t answer_size_max;      // bytes; 0: 64 MiB
    uint32_t attempts_max;       // tries of a call, over all nodes; 0: three times each node
    bool retry_writes;           // see "Failover"; for those whose writes nobody else overwrites
    const char *const *headers;  // "Name: value", sent with every request; NULL: none
    size_t header_count;
    // For https://, PEM files. They are read at each connection, so that renewed ones are used.
    bool tls_skip_verify;      // accept any certificate: for tests only
    const char *tls_ca_file;   // what a node's certificate is checked against; NULL: the system's
    const char *tls_cert_file; // the client's own, where a node asks for one; NULL: none
    const char *tls_key_file;  // of that; NULL: it is in the same file
    uint64_t reserved[4];      // zero
};

struct kvs_client;

// NULL on failure: KVS_CLIENT_INVALID (a bad URL or token), _NOMEM. `options` may be NULL. Nothing
// is sent.
struct kvs_client *kvs_client_new(const struct kvs_client_options *options,
                                  struct kvs_client_error *ret_error);
// NULL is fine. No call may be under way, and iterators and feeds go first.
void kvs_client_free(struct kvs_client *client);

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

// ---- One record

// KVS_CLIENT_NOT_FOUND where there is nothing, or it has expired.
enum kvs_client_code kvs_client_get(struct kvs_client *client, const char *key,
                                    struct kvs_client_record *ret_record,
                                    struct kvs_client_error *ret_error);

// The same unless the current version is still `uuid`: then KVS_CLIENT_NOT_MODIFIED, and no value
// was sent.
enum kvs_client_code kvs_client_get_if_changed(struct kvs_client *client, const char *key,
                                               const char *uuid,
                                               struct kvs_client_record *ret_record,
                                               struct kvs_client_error *ret_error);

// An earlier version: 1 is the newest. KVS_CLIENT_NOT_FOUND also where that revision holds no
// value: a deletion, or one that has expired.
enum kvs_client_code kvs_client_get_revision(struct kvs_client *client, const char *key,
                                             uint32_t revision,
                                             struct kvs_client_record *ret_record,
                                             struct kvs_client_error *ret_error);

// "Is it everywhere yet?" A write is answered when it is on the asked node's disk; the others get
// it a moment later. With a receipt it is answered when so many nodes have it on their disks, or
// when the time is over. The write is done either way: the call's code is the write's own, and
// whether enough nodes have it is told here alone. Zero what is not set.
struct kvs_client_receipt {
    // In:
    uint32_t nodes_wanted; // the asked node included; 1 to 257; 0: nothing is asked
    uint32_t wait_ms; // at most so long; 0: 2 s. No node waits for more than a minute. The call
                      // may take so much longer than the client's timeout_ms
    // Out, zero where the call failed:
    uint32_t nodes; // have it; 0: the node does not say (an older one; a batch that wrote nothing)
    bool reached;   // as many as were wanted
    uint64_t reserved[2]; // zero
};

struct kvs_client_put_options {
    const char *ttl;      // "1h30m", "250ms", "0" (never); NULL: the node's default_ttl
    const char *if_match; // only over this version's UUID, or "*": over any; NULL: no condition
    bool if_none_match;   // only where nothing is
    uint64_t reserved[1]; // zero
    struct kvs_client_receipt *receipt; // wait for other nodes; NULL: do not
};

// Stores a JSON value. `options` may be NULL. Without a ttl the node unwraps an object with exactly
// the members "data" and "ttl"; with one, every value is stored as it is. *ret_created: there was
// nothing before. Both results may be NULL.
enum kvs_client_code kvs_client_put(struct kvs_client *client, const char *key, const char *json,
                                    size_t json_size, const struct kvs_client_put_options *options,
                                    struct kvs_client_version *ret_version, bool *ret_created,
                                    struct kvs_client_error *ret_error);

enum kvs_client_patch {
    KVS_CLIENT_MERGE_PATCH, // RFC 7396: an object whose members replace, null removes
    KVS_CLIENT_JSON_PATCH,  // RFC 6902: an array of operations
};

// Changes a part of a value, atomically on the node. KVS_CLIENT_CONFLICT or _INVALID where the
// patch does not fit the value; _NOT_FOUND where there is none. Options as for put, and may be
// NULL; without a ttl the record expires when it would have. Never repeated after it may have been
// sent, unless if_match is a UUID. ret_version may be NULL.
enum kvs_client_code
kvs_client_patch(struct kvs_client *client, const char *key, enum kvs_client_patch kind,
                 const char *json, size_t json_size, const struct kvs_client_put_options *options,
                 struct kvs_client_version *ret_version, struct kvs_client_error *ret_error);

// `if_match`: as for put. KVS_CLIENT_NOT_FOUND where there is nothing.
enum kvs_client_code kvs_client_delete(struct kvs_client *client, const char *key,
                                       const char *if_match, struct kvs_client_error *ret_error);

// The same with a receipt, which may be NULL. Since 0.2.
enum kvs_client_code kvs_client_delete_receipt(struct kvs_client *client, const char *key,
                                               const char *if_match,
                                               struct kvs_client_receipt *receipt,
                                               struct kvs_client_error *ret_error);

// ---- Listings

struct kvs_client_list_options {
    const char *prefix; // what the keys begin with, by bytes; "a/" for what lies under a; NULL: all
    bool children;      // roll up what lies deeper: "a/b/" stands for every key under it
    bool values;        // the data too
    uint32_t limit;     // entries and prefixes of one page, 1 to 1000; 0: the node's default
    const char *cursor; // `next` of the page before; NULL: from the start
    bool expiry;        // when each record expires, too
    uint64_t reserved[2]; // zero
};

struct kvs_client_entry {
    const char *key; // with `children` also a rolled-up prefix, which ends in '/'
    bool is_prefix;  // then there is no version and no value
    struct kvs_client_version version;
    const char *json; // NULL unless values were asked for
    size_t json_size;
    int64_t expires_ms; // Unix time; 0: never, or not asked for
};

struct kvs_client_listing {
    const struct kvs_client_entry *entries; // in byte order of their keys
    size_t entry_count;                     // may be 0 on a page that is not the last
    const char *next;                       // cursor of the next page; NULL: this was the last
    void *memory;                           // owns all of it
};
void kvs_client_listing_done(struct kvs_client_listing *listing);

// One page. `options` may be NULL.
enum kvs_client_code kvs_client_list(struct kvs_client *client,
                                     const struct kvs_client_list_options *options,
                                     struct kvs_client_listing *ret_listing,
                                     struct kvs_client_error *ret_error);

struct kvs_client_range_options {
    const char *start_key; // the first key wanted; NULL or "": from the first
    const char *end_key;   // the last one, itself included; NULL or "": to the last
    uint32_t limit;        // of one page, 1 to 1000; 0: the node's default
    const char *cursor;
    bool expiry;
    uint64_t reserved[2]; // zero
};

// One page of the records between two keys, with their values. `options` may be NULL.
enum kvs_client_code kvs_client_range(struct kvs_client *client,
                                      const struct kvs_client_range_options *options,
                                      struct kvs_client_listing *ret_listing,
                                      struct kvs_client_error *ret_error);

// Page after page as one sequence. What stays in place while it runs is seen exactly once. After an
// error the next call tries again where it stopped.
struct kvs_client_iterator;

// The options are copied; their limit is the size of a page (0: 1000). NULL: out of memory. Free it
// before its client.
struct kvs_client_iterator *kvs_client_list_iterator(struct kvs_client *client,
                                                     const struct kvs_client_list_options *options);
struct kvs_client_iterator *
kvs_client_range_iterator(struct kvs_client *client,
                          const struct kvs_client_range_options *options);
void kvs_client_iterator_free(struct kvs_client_iterator *iterator); // NULL is fine

// *ret_entry is valid until the next call or the iterator's end. KVS_CLIENT_END when that was all.
enum kvs_client_code kvs_client_iterator_next(struct kvs_client_iterator *iterator,
                                              const struct kvs_client_entry **ret_entry,
                                              struct kvs_client_error *ret_error);

// Where to go on later, in another process too: the cursor of the page that begins behind the
// entries returned so far; NULL in the middle of a page, and at the end. Valid until the next call.
const char *kvs_client_iterator_cursor(const struct kvs_client_iterator *iterator);

// ---- History

struct kvs_client_revision {
    uint32_t revision; // 1 is the newest
    struct kvs_client_version version;
    const char *json; // "null" where there is no value
    size_t json_size;
    bool deleted; // a deletion
    bool expired;
    bool conflict_loser; // lost against a concurrent write
};

struct kvs_client_history {
    const struct kvs_client_revision *revisions; // newest first
    size_t revision_count;
    void *memory;
};
void kvs_client_history_done(struct kvs_client_history *history);

enum kvs_client_code kvs_client_history(struct kvs_client *client, const char *key,
                                        struct kvs_client_history *ret_history,
                                        struct kvs_client_error *ret_error);

// Writes an earlier revision as a new version. Options and results as for put; a ttl of NULL gives
// the node's default, not what the revision had. KVS_CLIENT_NOT_FOUND also where the revision holds
// no value.
enum kvs_client_code kvs_client_restore(struct kvs_client *client, const char *key,
                                        uint32_t revision,
                                        const struct kvs_client_put_options *options,
                                        struct kvs_client_version *ret_version,
                                        struct kvs_client_error *ret_error);

// ---- Batches

enum { KVS_CLIENT_BATCH_MAX = 1000 };

enum kvs_client_operation_kind {
    KVS_CLIENT_OPERATION_GET,
    KVS_CLIENT_OPERATION_PUT,
    KVS_CLIENT_OPERATION_DELETE,
};

struct kvs_client_operation {
    enum kvs_client_operation_kind kind;
    const char *key;
    const char *json; // PUT: the value
    size_t json_size;
    const char *ttl;      // PUT: as in kvs_client_put_options
    const char *if_match; // PUT, DELETE: a UUID or "*"; NULL: no condition
    uint64_t reserved[2]; // zero
};

struct kvs_client_result {
    enum kvs_client_code code; // of this operation
    int http_status;
    struct kvs_client_version version; // GET, PUT
    const char *json;                  // GET: the value
    size_t json_size;
    const char *message; // why it failed; "" otherwise
};

struct kvs_client_results {
    const struct kvs_client_result *results; // one for each operation, in their order
    size_t result_count;
    void *memory;
};
void kvs_client_results_done(struct kvs_client_results *results);

// Up to KVS_CLIENT_BATCH_MAX operations in one request and one commit of the node. KVS_CLIENT_OK
// says that the batch was carried out: each operation has its own code. KVS_CLIENT_INVALID says
// that nothing was.
enum kvs_client_code kvs_client_batch(struct kvs_client *client,
                                      const struct kvs_client_operation *operations, size_t count,
                                      struct kvs_client_results *ret_results,
                                      struct kvs_client_error *ret_error);

// The same with a receipt for all that the batch has written, which may be NULL. Since 0.2.
enum kvs_client_code kvs_client_batch_receipt(struct kvs_client *client,
                                              const struct kvs_client_operation *operations,
                                              size_t count, struct kvs_client_receipt *receipt,
                                              struct kvs_client_results *ret_results,
                                              struct kvs_client_error *ret_error);

// ---- Deleting what lies under a prefix

enum { KVS_CLIENT_URL_SIZE = 512 };

enum kvs_client_job_state {
    KVS_CLIENT_JOB_RUNNING,
    KVS_CLIENT_JOB_DONE,
    KVS_CLIENT_JOB_FAILED,
};

struct kvs_client_job {
    char url[KVS_CLIENT_URL_SIZE]; // the node and the job; "" for a dry run
    enum kvs_client_job_state state;
    uint64_t done;     // records deleted so far; dry run: that would be
    uint64_t total;    // 0: not known yet
    char message[256]; // FAILED: why
};

// Deletes every record under `prefix` ("app" and "app/" both mean what lies under app, never app2):
// the node does it in the background and takes it up again after a restart. `dry_run` only counts.
enum kvs_client_code kvs_client_delete_tree(struct kvs_client *client, const char *prefix,
                                            bool dry_run, struct kvs_client_job *ret_job,
                                            struct kvs_client_error *ret_error);

// Asks how far job->url has come and updates the rest of *job.
enum kvs_client_code kvs_client_job_refresh(struct kvs_client *client, struct kvs_client_job *job,
                                            struct kvs_client_error *ret_error);

// ---- What changes

struct kvs_client_feed_options {
    const char *prefix;   // by bytes; NULL: everything
    uint64_t since;       // changes after this one; 0: from the oldest that the node still knows
    bool from_now;        // instead: only what changes from now on
    uint64_t reserved[2]; // zero
};

struct kvs_client_change {
    uint64_t seq; // this node's own count
    const char *key;
    struct kvs_client_version version;
    bool deleted;
    const char *json; // the whole change as the node sent it
    size_t json_size;
};

// Follows a node's changes and reconnects by itself, without a gap and without repetition. Sequence
// numbers are a node's own, so a feed stays with the node that it first reached: one client with
// several URLs is fine, but a `since` of an earlier run belongs to the node that gave it.
struct kvs_client_feed;

// NULL: out of memory. `options` may be NULL. Connects with the first kvs_client_feed_next. Free it
// before its client.
struct kvs_client_feed *kvs_client_feed_new(struct kvs_client *client,
                                            const struct kvs_client_feed_options *options);
void kvs_client_feed_free(struct kvs_client_feed *feed); // NULL is fine

// The next change; *ret_change is valid until the next call. KVS_CLIENT_TIMEOUT after `timeout_ms`
// (negative: wait for ever). While the node cannot be reached it tries again and again and returns
// KVS_CLIENT_TIMEOUT with the reason in *ret_error; only the first connection, and what trying
// again does not mend (_GONE, _UNAUTHORIZED, _FORBIDDEN, _INVALID, _NOT_FOUND), are errors at once.
enum kvs_client_code kvs_client_feed_next(struct kvs_client_feed *feed, int64_t timeout_ms,
                                          struct kvs_client_change *ret_change,
                                          struct kvs_client_error *ret_error);

// What `since` of a later feed must be to go on behind the last change returned.
uint64_t kvs_client_feed_since(const struct kvs_client_feed *feed);
// The node that it follows; "" before it has reached one. Valid until the feed's end.
const char *kvs_client_feed_url(const struct kvs_client_feed *feed);

// ---- The node, and anything else

struct kvs_client_health {
    const char *url;    // the node that answered
    const char *status; // "ok", "degraded"
    const char *mode;   // "normal", "read-only", "syncing"
    const char *node_id;
    const char *version;
    bool writable; // its storage works; a read-only node refuses writes all the same
    uint32_t member_count;
    const char *json; // the whole answer
    size_t json_size;
    void *memory;
};
void kvs_client_health_done(struct kvs_client_health *health);

enum kvs_client_code kvs_client_health(struct kvs_client *client,
                                       struct kvs_client_health *ret_health,
                                       struct kvs_client_error *ret_error);

struct kvs_client_response {
    int http_status;
    const char *body; // NUL behind it
    size_t body_size;
    void *memory;
};
void kvs_client_response_done(struct kvs_client_response *response);

// Any request of the API that has no function of its own. `target` is path and query, encoded.
// `body` NULL: none; `content_type` NULL: application/json. Repeated like a read if the method is
// GET or HEAD, else like an unconditional write. An answer outside of 2xx is an error, as
// everywhere.
enum kvs_client_code kvs_client_request(struct kvs_client *client, const char *method,
                                        const char *target, const char *content_type,
                                        const char *body, size_t body_size,
                                        struct kvs_client_response *ret_response,
                                        struct kvs_client_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
