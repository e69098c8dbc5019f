// SPDX-License-Identifier: Apache-2.0
// Locals that clean up after themselves:
//     KVS_CLEANUP(kvs_freep) char *path = NULL;
//     *ret_path = KVS_TAKE(path);
#ifndef KVS_BASE_CLEANUP_H
#define KVS_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#define KVS_CLEANUP(function) __attribute__((cleanup(function)))

// Hands the pointer over and leaves NULL behind.
#define KVS_TAKE(pointer)                                                                          \
    __extension__({                                                                                \
        __typeof__(pointer) kvs_taken_ = (pointer);                                                \
        (pointer) = NULL;                                                                          \
        kvs_taken_;                                                                                \
    })

// Defines `name##p(type **)` for a `void name(type *)` that accepts NULL.
#define KVS_DEFINE_CLEANUP(type, name)                                                             \
    static inline void name##p(type **pointer)                                                     \
    {                                                                                              \
        name(*pointer);                                                                            \
        *pointer = NULL;                                                                           \
    }

#define KVS_ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define KVS_CONTAINER_OF(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

static inline void kvs_freep(void *pointer)
{
    free(*(void **)pointer);
    *(void **)pointer = NULL;
}

static inline void kvs_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); // read-only or already synced: nothing left to report
    *fd = -1;
}

#endif
