// SPDX-License-Identifier: Apache-2.0
// Random valid JSON documents from a seeded generator, written twice: with white space strewn in,
// and as the compact form that must come out of it. For property tests and fuzz targets.
#ifndef KVS_TESTS_UNIT_CODEC_JSON_GENERATOR_H
#define KVS_TESTS_UNIT_CODEC_JSON_GENERATOR_H

#include "base/buf.h"
#include "base/random.h"

struct json_generator {
    struct kvs_random *random;
    struct kvs_buf *loose; // with white space
    struct kvs_buf *tight; // without
    unsigned values_left;  // containers stay empty from 0 on
};

static inline const char *json_generator_pick(struct json_generator *g, const char *const *choices,
                                              size_t count)
{
    return choices[kvs_random_below(g->random, count)];
}

static inline void json_generator_emit(struct json_generator *g, const char *text)
{
    kvs_buf_append_str(g->loose, text);
    kvs_buf_append_str(g->tight, text);
}

static inline void json_generator_space(struct json_generator *g)
{
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t", "\r\n", "\n    ", " \t \r "};
    kvs_buf_append_str(g->loose, json_generator_pick(g, spaces, KVS_ARRAY_SIZE(spaces)));
}

static inline void json_generator_string(struct json_generator *g, unsigned pieces)
{
    static const char *const choices[] = {
        "a",
        "b",
        " ",
        "\\n",
        "\\\\",
        "\\\"",
        "\\/",
        "\\t",
        "\x7f",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\\u0061",
        "\\u00e9",
        "\\u0000",
        "\\ud83d\\uDE00",
        "\\uFFFF",
        "{[,:]}",
        "a longer run of plain characters, over several blocks of sixteen"};
    json_generator_emit(g, "\"");
    for (; pieces > 0; pieces--)
        json_generator_emit(g, json_generator_pick(g, choices, KVS_ARRAY_SIZE(choices)));
    json_generator_emit(g, "\"");
}

static inline void json_generator_number(struct json_generator *g)
{
    static const char *const signs[] = {"", "-"};
    static const char *const integers[] = {"0",
                                           "1",
                                           "7",
                                           "10",
                                           "120000",
                                           "9223372036854775807",
                                           "9223372036854775808",
                                           "98765432109876543210987654321"};
    static const char *const fractions[] = {"", "", ".0", ".5", ".000", ".00100", ".1e0"};
    static const char *const exponents[] = {"",    "",    "e0",   "E1",   "e+2",
                                            "e-3", "e18", "e999", "E-999"};
    json_generator_emit(g, json_generator_pick(g, signs, KVS_ARRAY_SIZE(signs)));
    json_generator_emit(g, json_generator_pick(g, integers, KVS_ARRAY_SIZE(integers)));
    const char *fraction = json_generator_pick(g, fractions, KVS_ARRAY_SIZE(fractions));
    json_generator_emit(g, fraction);
    if (!strchr(fraction, 'e'))
        json_generator_emit(g, json_generator_pick(g, exponents, KVS_ARRAY_SIZE(exponents)));
}

static inline void json_generator_value(struct json_generator *g, unsigned depth_left);

static inline void json_generator_container(struct json_generator *g, unsigned depth_left,
                                            bool is_object)
{
    uint64_t children = kvs_random_below(g->random, 6);
    json_generator_emit(g, is_object ? "{" : "[");
    for (uint64_t i = 0; i < children && g->values_left > 0; i++) {
        json_generator_space(g);
        if (i > 0) {
            json_generator_emit(g, ",");
            json_generator_space(g);
        }
        if (is_object) {
            json_generator_string(g, (unsigned)kvs_random_below(g->random, 3)); // often repeated
            json_generator_space(g);
            json_generator_emit(g, ":");
            json_generator_space(g);
        }
        json_generator_value(g, depth_left - 1);
    }
    json_generator_space(g);
    json_generator_emit(g, is_object ? "}" : "]");
}

static inline void json_generator_value(struct json_generator *g, unsigned depth_left)
{
    static const char *const words[] = {"null", "false", "true"};
    if (g->values_left > 0)
        g->values_left--;
    switch (kvs_random_below(g->random, depth_left > 0 ? 6 : 3)) {
    case 0:
        json_generator_emit(g, json_generator_pick(g, words, KVS_ARRAY_SIZE(words)));
        break;
    case 1:
        json_generator_number(g);
        break;
    case 2:
        json_generator_string(g, (unsigned)kvs_random_below(g->random, 8));
        break;
    case 3:
        json_generator_container(g, depth_left, false);
        break;
    default:
        json_generator_container(g, depth_left, true);
    }
}

// Appends one document of at most `values_max` values and `depth_max` levels to both buffers.
static inline void json_generate(struct kvs_random *random, unsigned values_max, unsigned depth_max,
                                 struct kvs_buf *loose, struct kvs_buf *tight)
{
    struct json_generator g = {random, loose, tight, values_max};
    json_generator_space(&g);
    json_generator_value(&g, depth_max);
    json_generator_space(&g);
}

#endif
