// SPDX-License-Identifier: Apache-2.0
// Writes many records into a node: in batches, several of them at once. Records of one key keep
// their order, because one key always goes the same way. The caller's thread fills batches, workers
// send them; the caller's thread alone prints.
#ifndef KVS_CMD_IMPORTER_H
#define KVS_CMD_IMPORTER_H

#include "cmd/interrupt.h"
#include "cmd/progress.h"
#include "kvs/kvs.h"

struct kvs_importer;

struct kvs_importer_options {
    struct kvs_client *client;       // shared by the workers; with retry_writes
    const char *source;              // for messages: "FILE", "stdin"; borrowed
    size_t worker_count;             // 1 to 64
    bool dry_run;                    // nothing is sent
    bool verify;                     // what was stored is read back and compared
    struct kvs_interrupt *interrupt; // ends the waiting for workers; NULL: nothing does
};

struct kvs_import_record {
    uint64_t line; // where it stands in the source, from 1
    const char *key;
    const char *json;
    size_t json_size;
    const char *ttl; // "0": never
};

struct kvs_import_totals {
    uint64_t stored;
    uint64_t failed;       // refused or not verified, each with a message
    uint64_t verified;     // of those stored
    uint64_t stored_until; // every line up to this one has been dealt with
};

// NULL after saying why.
struct kvs_importer *kvs_importer_new(const struct kvs_importer_options *options,
                                      struct kvs_progress *progress);
void kvs_importer_free(struct kvs_importer *importer); // ends the workers; NULL is fine

// Copies the record. KVS_EXIT_OK, or the exit code of what keeps the import from going on, which
// has been said; interrupted: KVS_EXIT_FAILED, without a word.
int kvs_importer_add(struct kvs_importer *importer, const struct kvs_import_record *record);
// For what is refused before it is sent. Said at once, up to a limit.
void kvs_importer_refuse(struct kvs_importer *importer, uint64_t line, const char *reason);
// Sends what is left and waits for all of it. Interrupted: KVS_EXIT_FAILED, without a word.
int kvs_importer_finish(struct kvs_importer *importer);
// Waits for what is being sent and sends no more, so that the totals say what there is.
void kvs_importer_stop(struct kvs_importer *importer);

struct kvs_import_totals kvs_importer_totals(struct kvs_importer *importer);

#endif
