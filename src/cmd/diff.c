// SPDX-License-Identifier: Apache-2.0
// Myers' greedy algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986): the shortest
// script of removed and added lines, kept as one row of furthest points for each number of edits.
#include "cmd/diff.h"

#include "base/assert.h"
#include "cmd/style.h"

enum {
    EDITS_MAX = 2000, // beyond it the rows take 16 MB, and nobody reads the result
    CONTEXT = 3,
    LINE_SIZE_MAX = 1 << 20,
};

struct text {
    struct kvs_slice *lines;
    int count;
};

// One line of the result: ' ' both have it, '-' before has it, '+' after has it.
struct edit {
    char mark;
    struct kvs_slice line;
};

struct script {
    struct edit *edits; // in reverse while it is traced back
    size_t count;
};

static bool split(struct kvs_slice whole, struct text *ret_text)
{
    size_t count = 1;
    for (size_t i = 0; i < whole.size; i++)
        count += whole.data[i] == '\n';
    ret_text->lines = calloc(count, sizeof(*ret_text->lines));
    if (!ret_text->lines)
        return false;
    while (whole.size > 0) {
        const char *end = memchr(whole.data, '\n', whole.size);
        size_t size = end ? (size_t)(end - whole.data) : whole.size;
        ret_text->lines[ret_text->count++] = kvs_slice(whole.data, size);
        size_t used = end ? size + 1 : size;
        whole = kvs_slice(whole.data + used, whole.size - used);
    }
    return true;
}

static void push(struct script *script, char mark, struct kvs_slice line)
{
    script->edits[script->count++] = (struct edit){mark, line};
}

// Where diagonal `k` (x - y) is reached with `d` edits, from the row of d - 1.
static int start_of(const int *row, int d, int k)
{
    bool down = k == -d || (k != d && row[k - 1] < row[k + 1]);
    return down ? row[k + 1] : row[k - 1] + 1;
}

static void trace_back(const struct text *a, const struct text *b, int *const *rows, int edits,
                       struct script *script)
{
    int x = a->count;
    int y = b->count;
    for (int d = edits; d > 0; d--) {
        const int *row = rows[d - 1] + d; // its middle
        int k = x - y;
        bool down = k == -d || (k != d && row[k - 1] < row[k + 1]);
        int start_x = down ? row[k + 1] : row[k - 1] + 1;
        while (x > start_x) {
            push(script, ' ', a->lines[--x]);
            y--;
        }
        if (down)
            push(script, '+', b->lines[--y]);
        else
            push(script, '-', a->lines[--x]);
    }
    while (x > 0) {
        push(script, ' ', a->lines[--x]);
        y--;
    }
    kvs_assert(y == 0);
}

// The rows up to the one that reaches both ends. Returns the number of edits; -1: too many, or no
// memory. rows[d] has 2 d + 3 places, of which the middle one, rows[d][d + 1], is diagonal 0.
static int search(const struct text *a, const struct text *b, int **rows)
{
    int most = a->count + b->count < EDITS_MAX ? a->count + b->count : EDITS_MAX;
    for (int d = 0; d <= most; d++) {
        rows[d] = calloc(2 * (size_t)d + 3, sizeof(int));
        if (!rows[d])
            return -1;
        int *row = rows[d] + d + 1;
        for (int k = -d; k <= d; k += 2) {
            int x = d == 0 ? 0 : start_of(rows[d - 1] + d, d, k);
            while (x < a->count && x - k < b->count && kvs_slice_eq(a->lines[x], b->lines[x - k]))
                x++;
            row[k] = x;
            if (x >= a->count && x - k >= b->count)
                return d;
        }
    }
    return -1;
}

static void replace_all(const struct text *a, const struct text *b, struct script *script)
{
    for (int i = b->count; i > 0; i--)
        push(script, '+', b->lines[i - 1]);
    for (int i = a->count; i > 0; i--)
        push(script, '-', a->lines[i - 1]);
}

// ---- Printing

static void append_line(struct kvs_buf *out, bool coloured, const struct edit *edit)
{
    enum kvs_style style = edit->mark == '+'   ? KVS_STYLE_ADDED
                           : edit->mark == '-' ? KVS_STYLE_REMOVED
                                               : KVS_STYLE_PLAIN;
    kvs_buf_append_str(out, kvs_style_begin(coloured, style));
    kvs_buf_append_char(out, edit->mark);
    kvs_buf_append_slice(out, edit->line);
    kvs_buf_append_str(out, kvs_style_end(coloured, style));
    kvs_buf_append_char(out, '\n');
}

// The end of the hunk that begins at `from`: behind the context of its last change.
static size_t hunk_end(const struct script *script, size_t from)
{
    size_t end = from;
    for (size_t i = from; i < script->count && i <= end + 2 * (size_t)CONTEXT; i++)
        if (script->edits[i].mark != ' ')
            end = i + 1;
    return end + CONTEXT < script->count ? end + CONTEXT : script->count;
}

static void append_hunk(struct kvs_buf *out, bool coloured, const struct script *script,
                        size_t from, size_t to, int before_line, int after_line)
{
    int before = 0;
    int after = 0;
    for (size_t i = from; i < to; i++) {
        before += script->edits[i].mark != '+';
        after += script->edits[i].mark != '-';
    }
    kvs_buf_printf(out, "%s@@ -%d,%d +%d,%d @@%s\n", kvs_style_begin(coloured, KVS_STYLE_FAINT),
                   before_line + (before > 0), before, after_line + (after > 0), after,
                   kvs_style_end(coloured, KVS_STYLE_FAINT));
    for (size_t i = from; i < to; i++)
        append_line(out, coloured, &script->edits[i]);
}

static void append_hunks(struct kvs_buf *out, bool coloured, const struct script *script)
{
    int before_line = 0; // lines passed so far
    int after_line = 0;
    size_t printed = 0;
    for (size_t i = 0; i < script->count; i++) {
        if (script->edits[i].mark == ' ')
            continue;
        size_t from = i > printed + CONTEXT ? i - CONTEXT : printed;
        size_t to = hunk_end(script, i);
        before_line += (int)(from - printed); // what lies between is in both
        after_line += (int)(from - printed);
        append_hunk(out, coloured, script, from, to, before_line, after_line);
        for (size_t j = from; j < to; j++) {
            before_line += script->edits[j].mark != '+';
            after_line += script->edits[j].mark != '-';
        }
        printed = to;
        i = to - 1;
    }
}

static void reverse(struct script *script)
{
    for (size_t i = 0; i < script->count / 2; i++) {
        struct edit edit = script->edits[i];
        script->edits[i] = script->edits[script->count - 1 - i];
        script->edits[script->count - 1 - i] = edit;
    }
}

bool kvs_diff_append(struct kvs_buf *out, bool coloured, struct kvs_slice before,
                     struct kvs_slice after)
{
    struct text a = {0};
    struct text b = {0};
    struct script script = {0};
    int **rows = calloc(EDITS_MAX + 1, sizeof(*rows));
    bool good = rows && split(before, &a) && split(after, &b);
    if (good)
        script.edits = calloc((size_t)a.count + (size_t)b.count + 1, sizeof(*script.edits));
    good = good && script.edits;
    if (good) {
        int edits = search(&a, &b, rows);
        if (edits >= 0)
            trace_back(&a, &b, rows, edits, &script);
        else
            replace_all(&a, &b, &script);
        reverse(&script);
        append_hunks(out, coloured, &script);
    }
    for (int i = 0; rows && i <= EDITS_MAX; i++)
        free(rows[i]);
    free(rows);
    free(a.lines);
    free(b.lines);
    free(script.edits);
    return good;
}
