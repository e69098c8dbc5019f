// SPDX-License-Identifier: Apache-2.0
// Aligned columns for people.
#ifndef KVS_CMD_TABLE_H
#define KVS_CMD_TABLE_H

#include <stddef.h>

enum { KVS_TABLE_COLUMNS_MAX = 16 };

// Prints `rows` rows of `columns` cells each, row by row in `cells`, to stdout; the first row is
// the heading. Cells are UTF-8 without control characters.
void kvs_table_print(const char *const *cells, size_t columns, size_t rows);

// Characters, not bytes.
size_t kvs_table_width(const char *text);

#endif
