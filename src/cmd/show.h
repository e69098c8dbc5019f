// SPDX-License-Identifier: Apache-2.0
// Stored data made fit for a terminal. What others stored must not steer it: control characters and
// those that turn the direction of text are shown as \uXXXX.
#ifndef KVS_CMD_SHOW_H
#define KVS_CMD_SHOW_H

#include "base/buf.h"

enum { KVS_SHOW_TIME_SIZE = 20 }; // "2026-11-23 04:27:46" and a NUL

// Local time; "?" when the machine cannot tell it.
void kvs_show_time(int64_t unix_ms, char ret_text[static KVS_SHOW_TIME_SIZE]);

// Any UTF-8 text.
void kvs_show_text(struct kvs_buf *out, struct kvs_slice text);

// Valid JSON, one member or element a line, two spaces a level; its tokens in colours if so wanted.
void kvs_show_json(struct kvs_buf *out, bool coloured, struct kvs_slice json);

// The beginning of a text that fits into `columns` columns, with "…" where something was cut off.
void kvs_show_start(struct kvs_buf *out, struct kvs_slice text, size_t columns);

#endif
