// SPDX-License-Identifier: Apache-2.0
// The bytes of a backup file (docs/formats/backup.md). Pure: no file, no compression.
//
//   header   a skippable zstd frame: magic, format, checksum, the manifest's first half
//   content  one zstd frame: entries, each behind its size, ended by one of size 0
//   trailer  a skippable zstd frame of fixed size: magic, checksum, the manifest's second half, the
//            SHA-256 of everything before it
//
// Decoders believe nothing: any bytes may be given to them.
#ifndef KVS_NODE_BACKUP_FORMAT_H
#define KVS_NODE_BACKUP_FORMAT_H

#include "codec/record.h"
#include "node/backup.h"

enum {
    KVS_BACKUP_FRAME_HEAD_SIZE = 8, // zstd's: magic and size
    KVS_BACKUP_HEADER_SIZE_MAX = KVS_BACKUP_FRAME_HEAD_SIZE + 1024,
    KVS_BACKUP_TRAILER_SIZE = KVS_BACKUP_FRAME_HEAD_SIZE + 8 + 8 + 5 * 8 + 2 * 24 + 8 + 32,
    KVS_BACKUP_ENTRY_SIZE_MAX = 256 << 20,
};

void kvs_backup_header_encode(struct kvs_buf *out, const struct kvs_backup_info *info);
// The size of the header that begins with these 8 bytes; 0 when it is none.
size_t kvs_backup_header_size(struct kvs_slice head);
// The whole header. KVS_ERR_CORRUPT, KVS_ERR_VERSION (format is set then).
KVS_MUST_CHECK int kvs_backup_header_decode(struct kvs_slice header,
                                            struct kvs_backup_info *ret_info);

// `body_size`: bytes before the trailer.
void kvs_backup_trailer_encode(struct kvs_buf *out, const struct kvs_backup_info *info,
                               uint64_t body_size);
// Sets the second half of the manifest. KVS_ERR_CORRUPT.
KVS_MUST_CHECK int kvs_backup_trailer_decode(struct kvs_slice trailer, struct kvs_backup_info *info,
                                             uint64_t *ret_body_size);

// ---- Entries

enum kvs_backup_kind {
    KVS_BACKUP_END = 0,     // not an entry
    KVS_BACKUP_WRITER = 1,  // a number that stands for a writer in what follows
    KVS_BACKUP_PLAIN = 2,   // an entry of a family as it lies there
    KVS_BACKUP_VERSION = 3, // a version of DATA or SYSTEM
};

struct kvs_backup_entry {
    enum kvs_backup_kind kind;
    enum kvs_family family;     // PLAIN, VERSION
    uint32_t writer_id;         // WRITER, VERSION
    struct kvs_slice key;       // PLAIN: entry key; VERSION: the record's key
    struct kvs_slice value;     // PLAIN: entry value; VERSION: the JSON (a stub's hash)
    struct kvs_version version; // VERSION, with its writer set by whoever knows the table; WRITER:
                                // version.writer
};

// Appends the entry without its size.
void kvs_backup_entry_encode(struct kvs_buf *out, const struct kvs_backup_entry *entry);
// Borrows from `bytes`. KVS_ERR_CORRUPT.
KVS_MUST_CHECK int kvs_backup_entry_decode(struct kvs_slice bytes,
                                           struct kvs_backup_entry *ret_entry);

// ---- What they add up to

// Follows the entries of one backup or one store: checks their order, knows the writers, sums up.
struct kvs_backup_tally {
    struct kvs_digest_key prf;
    int64_t created_at_ms;
    struct kvs_backup_content content;
    int last_family; // -1: none
    struct kvs_buf last_key;
    struct kvs_buf key;   // scratch
    struct kvs_buf known; // struct kvs_writer, by number; nil where there is none
};
enum { KVS_BACKUP_WRITERS_MAX = 1 << 20 };
void kvs_backup_tally_init(struct kvs_backup_tally *tally, const struct kvs_digest_key *prf,
                           int64_t created_at_ms);
void kvs_backup_tally_done(struct kvs_backup_tally *tally);
// Completes the writer of a version. KVS_ERR_CORRUPT: out of order, twice, or of an unknown writer;
// KVS_ERR_NOMEM.
KVS_MUST_CHECK int kvs_backup_tally_add(struct kvs_backup_tally *tally,
                                        struct kvs_backup_entry *entry);
bool kvs_backup_content_eq(const struct kvs_backup_content *a, const struct kvs_backup_content *b);

#endif
