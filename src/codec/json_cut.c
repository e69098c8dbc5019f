// SPDX-License-Identifier: Apache-2.0
// Cutting compact, valid JSON apart without a tree: for bodies that hold values of any size, of
// which only the outermost members matter. Trusts its input (kvs_json_compact made it). Pure.
#include "codec/json.h"

// Of the string at the start, quotes included.
static size_t string_size(struct kvs_slice json)
{
    size_t at = 1;
    while (at < json.size && json.data[at] != '"')
        at += json.data[at] == '\\' ? 2 : 1;
    return at + 1;
}

// Of the value at the start: up to the ',', ':', '}' or ']' that ends it.
static size_t value_size(struct kvs_slice json)
{
    size_t depth = 0;
    size_t at = 0;
    while (at < json.size) {
        char c = json.data[at];
        if (depth == 0 && (c == ',' || c == ':' || c == '}' || c == ']'))
            break;
        if (c == '"') {
            at += string_size(kvs_slice(json.data + at, json.size - at));
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        at++;
    }
    return at;
}

static struct kvs_slice cut(struct kvs_slice *json, size_t size)
{
    struct kvs_slice head = kvs_slice(json->data, size);
    *json = kvs_slice(json->data + size, json->size - size);
    return head;
}

// Over the bracket or comma in front of the next value; false: there is none.
static bool step(struct kvs_slice *rest)
{
    if (rest->size < 2)
        return false;
    (void)cut(rest, 1);
    return rest->data[0] != '}' && rest->data[0] != ']';
}

bool kvs_json_cut_element(struct kvs_slice *rest, struct kvs_slice *ret_value)
{
    if (!step(rest))
        return false;
    *ret_value = cut(rest, value_size(*rest));
    return true;
}

bool kvs_json_cut_member(struct kvs_slice *rest, struct kvs_slice *ret_key,
                         struct kvs_slice *ret_value)
{
    if (!step(rest))
        return false;
    *ret_key = cut(rest, string_size(*rest));
    (void)cut(rest, 1); // the ':'
    *ret_value = cut(rest, value_size(*rest));
    return true;
}
