// SPDX-License-Identifier: Apache-2.0
// Comparing two nodes by their fingerprints (POST /kv_compare, docs/decisions/0063): ranges of keys
// are cut where the nodes differ, by turns, until one of them holds so few keys there that it names
// their versions. What both hold alike is never transferred. One thread.
#ifndef KVS_CMD_COMPARE_H
#define KVS_CMD_COMPARE_H

#include "codec/version.h"
#include "kvs/kvs.h"

// A key's current version on one node.
struct kvs_compare_entry {
    char *key;
    struct kvs_version version;
    bool has_writer; // version.writer is known
    bool expired;
};

struct kvs_compare_entries {
    struct kvs_compare_entry *list;
    size_t count, capacity;
};
// False: out of memory. The key is copied.
bool kvs_compare_entries_add(struct kvs_compare_entries *entries, const char *key,
                             const struct kvs_compare_entry *entry);
void kvs_compare_entries_done(struct kvs_compare_entries *entries);

enum { KVS_COMPARE_A, KVS_COMPARE_B };

// What is compared: a key, or what begins with a prefix.
struct kvs_compare_scope {
    const char *key;    // NULL: none
    const char *prefix; // "" = everything
};

// Called for each key in which they may differ, in key order; NULL: the node has never heard of it,
// or forgot it. Returns an exit code; other than KVS_EXIT_OK ends the comparison.
typedef int kvs_compare_visit_fn(void *context, const struct kvs_compare_entry *a,
                                 const struct kvs_compare_entry *b);

enum kvs_compare_outcome {
    KVS_COMPARE_DONE,
    KVS_COMPARE_FAILED,        // *ret_code says how; it has been said on stderr
    KVS_COMPARE_UNSUPPORTED,   // a node does not answer such questions, to this caller: *ret_error
    KVS_COMPARE_OTHER_CLUSTER, // they do, but not under the same key
};

// `clients`: of A and of B; writes are repeated there (kvs_client_options, retry_writes), for a
// comparison is a POST that writes nothing. *ret_side: whose error it is.
enum kvs_compare_outcome kvs_compare_run(struct kvs_client *const clients[static 2],
                                         const struct kvs_compare_scope *scope,
                                         kvs_compare_visit_fn *visit, void *context, int *ret_side,
                                         struct kvs_client_error *ret_error, int *ret_code);

// One page of all versions from `start_key` on ("" = from the first), the scope's own key with the
// first page. *ret_next: where the next page begins, to be freed; NULL: that was the last.
enum kvs_client_code kvs_compare_list(struct kvs_client *client,
                                      const struct kvs_compare_scope *scope, const char *start_key,
                                      struct kvs_compare_entries *ret_entries, char **ret_next,
                                      struct kvs_client_error *ret_error);

#endif
