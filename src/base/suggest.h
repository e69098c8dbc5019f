// SPDX-License-Identifier: Apache-2.0
// "did you mean …?": the known name nearest to what a person typed. Offer every name, then ask.
#ifndef KVS_BASE_SUGGEST_H
#define KVS_BASE_SUGGEST_H

#include "base/slice.h"

struct kvs_suggest {
    struct kvs_slice word; // borrowed: what was typed
    const char *nearest;   // borrowed from kvs_suggest_offer; NULL: nothing is near enough
    size_t distance;       // of `nearest`
};

void kvs_suggest_init(struct kvs_suggest *suggest, struct kvs_slice word);
// Keeps `name` if it is a likely typo of the word and nearer than what was kept before.
void kvs_suggest_offer(struct kvs_suggest *suggest, const char *name);

#endif
