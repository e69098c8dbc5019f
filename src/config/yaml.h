// SPDX-License-Identifier: Apache-2.0
// The subset of YAML that a configuration needs: one document, one mapping, whose values are
// scalars or lists of scalars. Anchors, aliases, tags and further nesting are refused where they
// stand, so that no file can grow in memory beyond its own size.
#ifndef KVS_CONFIG_YAML_H
#define KVS_CONFIG_YAML_H

#include "config/value.h"

struct kvs_yaml_pair {
    struct kvs_slice key; // borrowed during the call, as everything here
    uint32_t key_line;    // from 1
    uint32_t key_column;
    struct kvs_value value;
    uint32_t value_line;
    uint32_t value_column;
};

// Called for each pair in order; an error ends the reading.
typedef int kvs_yaml_visitor(void *context, const struct kvs_yaml_pair *pair,
                             struct kvs_message *ret_message);

// `name` is what messages call the file.
KVS_MUST_CHECK int kvs_yaml_read(struct kvs_slice text, const char *name, kvs_yaml_visitor *visit,
                                 void *context, struct kvs_message *ret_message);

#endif
