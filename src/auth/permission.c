// SPDX-License-Identifier: Apache-2.0
#include "auth/permission.h"

enum { BITS_A_CLASS = 4 };

bool kvs_permission_allows(uint16_t permissions, enum kvs_class class, enum kvs_access access)
{
    static const uint8_t bit_of[] = {
        [KVS_ACCESS_READ] = 0,
        [KVS_ACCESS_WRITE] = 1,
        [KVS_ACCESS_DELETE] = 2,
        [KVS_ACCESS_CREATE] = 3,
    };
    return (permissions >> (BITS_A_CLASS * (int)class + bit_of[access]) & 1) != 0;
}

bool kvs_permission_parent(struct kvs_slice *path)
{
    for (size_t at = path->size; at-- > 0;) {
        if (path->data[at] != '/')
            continue;
        path->size = at;
        return true;
    }
    return false;
}
