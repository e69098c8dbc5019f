// SPDX-License-Identifier: Apache-2.0
// What parses is printed so that it parses to the same.
#include "base/assert.h"
#include "base/duration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t ns = 0;
    if (kvs_duration_parse(kvs_slice(data, size), &ns) < 0)
        return 0;
    char text[KVS_DURATION_TEXT_MAX];
    int64_t again = 0;
    size_t text_size = kvs_duration_format(ns, text);
    kvs_assert(kvs_duration_parse(kvs_slice(text, text_size), &again) == 0);
    kvs_assert(again == ns);
    return 0;
}
