// SPDX-License-Identifier: Apache-2.0
// One request of a comparison and its answers (compare_ask.c), for compare.c.
#ifndef KVS_CMD_COMPARE_INTERNAL_H
#define KVS_CMD_COMPARE_INTERNAL_H

#include "base/arena.h"
#include "cmd/compare.h"

enum { KVS_COMPARE_HASH_SIZE = 64 }; // with its NUL; opaque

struct kvs_compare_question {
    const char *key; // this one alone; NULL: the range
    const char *start_key, *end_key;
    const char *hash; // of the other node; "" = none
    bool list;
};

struct kvs_compare_part {
    const char *start_key;
    char hash[KVS_COMPARE_HASH_SIZE];
};

struct kvs_compare_answer {
    enum {
        KVS_COMPARE_SAME,
        KVS_COMPARE_HASH,
        KVS_COMPARE_PARTS,
        KVS_COMPARE_VERSIONS,
    } kind;
    char hash[KVS_COMPARE_HASH_SIZE];
    struct kvs_compare_part *parts;
    size_t part_count;
    struct kvs_compare_entries entries; // take it over, or leave it
    const char *next_key;               // of VERSIONS; NULL: those were all
};

// Answers to the first questions; at least one.
struct kvs_compare_answers {
    char digest[KVS_COMPARE_HASH_SIZE];
    struct kvs_compare_answer *list;
    size_t count;
    struct kvs_arena arena; // owns all but the entries
};

enum kvs_client_code kvs_compare_ask(struct kvs_client *client, const char *prefix,
                                     const struct kvs_compare_question *questions, size_t count,
                                     struct kvs_compare_answers *ret_answers,
                                     struct kvs_client_error *ret_error);
void kvs_compare_answers_done(struct kvs_compare_answers *answers);

#endif
