// SPDX-License-Identifier: Apache-2.0
// Keys of the family META that more than one file names; docs/formats/record.md lists them all. A
// name that ends in '/' is a prefix.
#ifndef KVS_NODE_META_KEYS_H
#define KVS_NODE_META_KEYS_H

#include "base/slice.h"

#define KVS_META_WRITER KVS_SLICE("writer/")
#define KVS_META_SEEN KVS_SLICE("seen")
#define KVS_META_DUE KVS_SLICE("due")
#define KVS_META_DEFERRED KVS_SLICE("deferred/")
#define KVS_META_DIGEST KVS_SLICE("digest")
#define KVS_META_REPLICA KVS_SLICE("replica")

#endif
