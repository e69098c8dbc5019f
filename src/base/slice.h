// SPDX-License-Identifier: Apache-2.0
// Borrowed byte ranges. A slice never owns memory and is never NUL-terminated by contract; whoever
// hands one out documents how long it stays valid.
#ifndef KVS_BASE_SLICE_H
#define KVS_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct kvs_slice {
    const char *data; // may be NULL when size is 0
    size_t size;      // bytes
};

// A slice over a string literal (not over a char pointer: sizeof would lie).
#define KVS_SLICE(literal) ((struct kvs_slice){("" literal), sizeof(literal) - 1})
#define KVS_SLICE_EMPTY ((struct kvs_slice){NULL, 0})
// For printf's "%.*s".
#define KVS_SLICE_FMT(slice) (int)(slice).size, (slice).data ? (slice).data : ""

static inline struct kvs_slice kvs_slice(const void *data, size_t size)
{
    return (struct kvs_slice){(const char *)data, size};
}

static inline struct kvs_slice kvs_slice_from_str(const char *str)
{
    return (struct kvs_slice){str, str ? strlen(str) : 0};
}

static inline bool kvs_slice_eq(struct kvs_slice a, struct kvs_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool kvs_slice_starts_with(struct kvs_slice s, struct kvs_slice prefix)
{
    return s.size >= prefix.size &&
           (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

static inline bool kvs_slice_ends_with(struct kvs_slice s, struct kvs_slice suffix)
{
    return s.size >= suffix.size && (suffix.size == 0 || memcmp(s.data + s.size - suffix.size,
                                                                suffix.data, suffix.size) == 0);
}

// Byte order (memcmp, then length): the order of keys everywhere in KVS.
static inline int kvs_slice_cmp(struct kvs_slice a, struct kvs_slice b)
{
    size_t n = a.size < b.size ? a.size : b.size;
    int r = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return r != 0 ? r : (a.size > b.size) - (a.size < b.size);
}

// ASCII case-insensitive equality, for header names and media types; locale-independent.
bool kvs_slice_eq_nocase(struct kvs_slice a, struct kvs_slice b);

// Without leading and trailing spaces and tabs.
struct kvs_slice kvs_slice_trim(struct kvs_slice s);

// Parses all of `s` as an unsigned decimal without sign; false on anything else or overflow.
bool kvs_slice_to_u64(struct kvs_slice s, uint64_t *ret_value);

#endif
