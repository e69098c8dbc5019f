// SPDX-License-Identifier: Apache-2.0
// What changed between two texts, line by line, in unified form (three lines of context).
#ifndef KVS_CMD_DIFF_H
#define KVS_CMD_DIFF_H

#include "base/buf.h"

// Appends the hunks, nothing when the texts are the same. The texts are fit for a terminal already;
// removed and added lines are coloured if so wanted. Texts that differ in very many lines are shown
// as replaced as a whole. False: out of memory.
bool kvs_diff_append(struct kvs_buf *out, bool coloured, struct kvs_slice before,
                     struct kvs_slice after);

#endif
