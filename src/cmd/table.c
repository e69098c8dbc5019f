// SPDX-License-Identifier: Apache-2.0
#include "cmd/table.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/assert.h"

size_t kvs_table_width(const char *text)
{
    mbstate_t state = {0};
    size_t width = 0;
    for (const char *end = text + strlen(text); text < end;) {
        wchar_t character;
        size_t size = mbrtowc(&character, text, (size_t)(end - text), &state);
        if (size == 0 || size > (size_t)(end - text)) {     // no UTF-8, or no locale that knows it
            width += ((unsigned char)*text & 0xc0) != 0x80; // counts first bytes of characters
            text++;
            state = (mbstate_t){0};
            continue;
        }
        int columns = wcwidth(character);
        width += columns >= 0 ? (size_t)columns : 1;
        text += size;
    }
    return width;
}

void kvs_table_print(const char *const *cells, size_t columns, size_t rows)
{
    size_t widths[KVS_TABLE_COLUMNS_MAX] = {0};
    kvs_assert(columns > 0);
    kvs_assert(columns <= KVS_TABLE_COLUMNS_MAX);
    for (size_t i = 0; i < columns * rows; i++) {
        size_t width = kvs_table_width(cells[i]);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    for (size_t i = 0; i < columns * rows; i++) {
        bool last = i % columns == columns - 1;
        size_t padding = last ? 0 : widths[i % columns] - kvs_table_width(cells[i]) + 2;
        printf("%s%*s%s", cells[i], (int)padding, "", last ? "\n" : "");
    }
}
