// SPDX-License-Identifier: Apache-2.0
// Colours, for people only: on a terminal that can show them, unless NO_COLOR
// (https://no-color.org) is set. Everything else sees plain text.
#ifndef KVS_CMD_STYLE_H
#define KVS_CMD_STYLE_H

#include "base/buf.h"

enum kvs_style {
    KVS_STYLE_PLAIN,
    KVS_STYLE_KEY,     // keys of records, and of JSON objects
    KVS_STYLE_PREFIX,  // what is no record: prefixes
    KVS_STYLE_STRING,  // JSON strings
    KVS_STYLE_LITERAL, // JSON numbers, true, false, null
    KVS_STYLE_FAINT,   // times, versions, lines of a tree
    KVS_STYLE_ADDED,
    KVS_STYLE_REMOVED,
    KVS_STYLE_HEADING,
    KVS_STYLE_COUNT,
};

// Does `fd` show colours? Looks at the environment.
bool kvs_style_is_wanted(int fd);

// The sequences that begin a style and end it; "" unless `coloured`.
const char *kvs_style_begin(bool coloured, enum kvs_style style);
const char *kvs_style_end(bool coloured, enum kvs_style style);

// Text (fit for a terminal: kvs_show_text) in a style.
void kvs_style_append(struct kvs_buf *out, bool coloured, enum kvs_style style,
                      struct kvs_slice text);

#endif
