// SPDX-License-Identifier: Apache-2.0
// One value of the configuration: from text into its field, and back.
#ifndef KVS_CONFIG_VALUE_H
#define KVS_CONFIG_VALUE_H

#include "config/config.h"

enum kvs_value_form {
    KVS_VALUE_TEXT,   // from the environment or the table: the option's kind decides what it is
    KVS_VALUE_PLAIN,  // YAML without quotes
    KVS_VALUE_QUOTED, // YAML in quotes, or a block: always a text
    KVS_VALUE_LIST,   // YAML sequence
};

struct kvs_value {
    enum kvs_value_form form;
    const struct kvs_slice *items; // borrowed; one, unless form is KVS_VALUE_LIST
    size_t count;
};

// Checks the value and stores it in the option's field, in place of what is there. The message says
// what is wrong and what is allowed, never the value of a secret.
KVS_MUST_CHECK int kvs_value_set(struct kvs_config *config, enum kvs_option_id id,
                                 const struct kvs_value *value, struct kvs_message *ret_message);
// The same from one text: a list's items are separated by commas.
KVS_MUST_CHECK int kvs_value_set_text(struct kvs_config *config, enum kvs_option_id id,
                                      struct kvs_slice text, struct kvs_message *ret_message);
// The row's default.
KVS_MUST_CHECK int kvs_value_set_default(struct kvs_config *config, enum kvs_option_id id,
                                         struct kvs_message *ret_message);

// Gives `target` the value and origin that `source` has.
KVS_MUST_CHECK int kvs_value_copy(struct kvs_config *target, const struct kvs_config *source,
                                  enum kvs_option_id id);

void kvs_value_free(struct kvs_config *config, enum kvs_option_id id);

// Appends the value as JSON, which is YAML too; `mask` hides secrets.
void kvs_value_append(const struct kvs_config *config, enum kvs_option_id id, bool mask,
                      struct kvs_buf *out);

#endif
