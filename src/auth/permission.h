// SPDX-License-Identifier: Apache-2.0
// The 12 permission bits of a key. Pure.
//
//   bit    11 10 9 8    7 6 5 4    3 2 1 0
//          owner        group      others       each: create, delete, write, read
//
// A caller is the owner, else in the group, else other, and only the bits of that one class count.
#ifndef KVS_AUTH_PERMISSION_H
#define KVS_AUTH_PERMISSION_H

#include "base/slice.h"

enum kvs_access { KVS_ACCESS_READ, KVS_ACCESS_WRITE, KVS_ACCESS_CREATE, KVS_ACCESS_DELETE };

enum kvs_class { KVS_CLASS_OTHER, KVS_CLASS_GROUP, KVS_CLASS_OWNER };

enum {
    KVS_PERMISSIONS_MAX = 0xfff,
    KVS_PERMISSIONS_DEFAULT = 3889, // owner all, group write and read, others read
};

bool kvs_permission_allows(uint16_t permissions, enum kvs_class class, enum kvs_access access);

// The path above `path` ("a/b" of "a/b/c"); false at the top.
bool kvs_permission_parent(struct kvs_slice *path);

#endif
