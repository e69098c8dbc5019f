// SPDX-License-Identifier: Apache-2.0
#include "cmd/style.h"

#include <string.h>

#include "cmd/show.h"

bool kvs_style_is_wanted(int fd)
{
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    return isatty(fd) && !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
}

const char *kvs_style_begin(bool coloured, enum kvs_style style)
{
    // The eight colours that every theme defines, and none that vanishes on white or black.
    static const char *const sequences[KVS_STYLE_COUNT] = {
        [KVS_STYLE_PLAIN] = "",
        [KVS_STYLE_KEY] = "\033[36m",
        [KVS_STYLE_PREFIX] = "\033[1;34m",
        [KVS_STYLE_STRING] = "\033[32m",
        [KVS_STYLE_LITERAL] = "\033[35m",
        [KVS_STYLE_FAINT] = "\033[2m",
        [KVS_STYLE_ADDED] = "\033[32m",
        [KVS_STYLE_REMOVED] = "\033[31m",
        [KVS_STYLE_HEADING] = "\033[1m",
    };
    return coloured ? sequences[style] : "";
}

const char *kvs_style_end(bool coloured, enum kvs_style style)
{
    return coloured && style != KVS_STYLE_PLAIN ? "\033[0m" : "";
}

void kvs_style_append(struct kvs_buf *out, bool coloured, enum kvs_style style,
                      struct kvs_slice text)
{
    kvs_buf_append_str(out, kvs_style_begin(coloured, style));
    kvs_show_text(out, text);
    kvs_buf_append_str(out, kvs_style_end(coloured, style));
}
