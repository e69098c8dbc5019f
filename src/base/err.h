// SPDX-License-Identifier: Apache-2.0
// Errors are negative ints from one table (tables/errors.def); 0 is success. Where a person reads
// the error, a `struct kvs_message` travels along: "what failed: why: what to do", wrapped on the
// way up.
#ifndef KVS_BASE_ERR_H
#define KVS_BASE_ERR_H

#include <stdbool.h>

// On everything that returns an error; a deliberate ignore says `(void)` and why.
#define KVS_MUST_CHECK __attribute__((warn_unused_result))

enum kvs_err_index {
    KVS_ERR_INDEX_NONE,
#define KVS_ERROR(name, text, http_status, retry) KVS_ERR_INDEX_##name,
#include "tables/errors.def"
#undef KVS_ERROR
    KVS_ERR_COUNT
};

enum kvs_err {
    KVS_OK = 0,
#define KVS_ERROR(name, text, http_status, retry) KVS_ERR_##name = -KVS_ERR_INDEX_##name,
#include "tables/errors.def"
#undef KVS_ERROR
};

// All of these accept any int; an unknown one reads as KVS_ERR_INTERNAL.
const char *kvs_err_name(int err); // "NOT_FOUND"; static
const char *kvs_err_text(int err); // "not found"; static
int kvs_err_http_status(int err);  // 404
bool kvs_err_retry(int err);       // may the same request succeed later?

// Maps errno to the table (ENOSPC/EDQUOT -> NO_SPACE, ENOMEM -> NOMEM, ENOENT -> NOT_FOUND, else
// IO).
int kvs_err_from_errno(int errnum);

// A message for people. Zero-initialise; truncates rather than fails.
struct kvs_message {
    char text[512];
};

// Sets the message; `message` may be NULL when the caller does not want one. Returns `err`, so that
// `return kvs_fail(message, KVS_ERR_IO, "open %s: %s", path, strerror(errno));` reads as one thing.
int kvs_fail(struct kvs_message *message, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Prefixes an existing message: "restore /x: " + "checksum mismatch". Returns `err`.
int kvs_fail_wrap(struct kvs_message *message, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
