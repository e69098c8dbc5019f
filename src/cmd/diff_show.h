// SPDX-License-Identifier: Apache-2.0
// What `kvs diff` prints of each key that differs, and in the end. One thread.
#ifndef KVS_CMD_DIFF_SHOW_H
#define KVS_CMD_DIFF_SHOW_H

#include "base/arena.h"
#include "cmd/client_args.h"
#include "cmd/compare.h"

enum kvs_difference {
    KVS_DIFF_ONLY_A,
    KVS_DIFF_ONLY_B,
    KVS_DIFF_NEWER_A,
    KVS_DIFF_NEWER_B,
    KVS_DIFF_DELETED_A,
    KVS_DIFF_DELETED_B,
    KVS_DIFF_DIFFERENT, // and nobody knows which one wins
    KVS_DIFF_KINDS,
};

struct kvs_diff_show {
    const struct kvs_args *args;
    const char *names[2];
    struct kvs_client *clients[2]; // borrowed; asked for the writers' names
    uint64_t counts[KVS_DIFF_KINDS];
    bool begun;
    struct kvs_arena arena; // of the writers' names
    struct {
        struct kvs_uuid uuid;
        const char *name;
    } * writers;
    size_t writer_count;
};

void kvs_diff_show_init(struct kvs_diff_show *show, const struct kvs_args *args, const char *name_a,
                        struct kvs_client *client_a, const char *name_b,
                        struct kvs_client *client_b);
void kvs_diff_show_done(struct kvs_diff_show *show);

// One of the two may be NULL; nothing is printed of equal versions. Returns an exit code.
int kvs_diff_show_key(struct kvs_diff_show *show, const struct kvs_compare_entry *a,
                      const struct kvs_compare_entry *b);

// The sums, for people. True: something differs.
bool kvs_diff_show_end(const struct kvs_diff_show *show);

#endif
