// SPDX-License-Identifier: Apache-2.0
#include "base/suggest.h"

enum { WORD_SIZE_MAX = 64 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment) between
// two words of at most WORD_SIZE_MAX bytes.
static size_t edit_distance(struct kvs_slice a, struct kvs_slice b)
{
    size_t rows[3][WORD_SIZE_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b.size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t *recycled = before;
        before = above;
        above = row;
        row = recycled;
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t cost = a.data[i - 1] != b.data[j - 1];
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
            bool swapped =
                i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1];
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    return row[b.size];
}

void kvs_suggest_init(struct kvs_suggest *suggest, struct kvs_slice word)
{
    *suggest = (struct kvs_suggest){.word = word};
}

void kvs_suggest_offer(struct kvs_suggest *suggest, const char *name)
{
    struct kvs_slice word = suggest->word;
    struct kvs_slice candidate = kvs_slice_from_str(name);
    if (word.size == 0 || word.size > WORD_SIZE_MAX || candidate.size > WORD_SIZE_MAX)
        return;
    size_t distance = edit_distance(word, candidate);
    // One slip in a short word, one more for every four letters.
    size_t allowed = 1 + (word.size > candidate.size ? word.size : candidate.size) / 4;
    bool typo = distance <= allowed && distance < candidate.size;
    bool shortened = word.size >= 3 && kvs_slice_starts_with(candidate, word);
    if (!typo && !shortened)
        return;
    if (!suggest->nearest || distance < suggest->distance) {
        suggest->nearest = name;
        suggest->distance = distance;
    }
}
