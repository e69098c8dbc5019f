// SPDX-License-Identifier: Apache-2.0
// Eight bytes of time, then a schedule: each activation lies behind the one before, and the one
// after the second before an activation is that activation.
#include "base/assert.h"
#include "base/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t at = 0;
    if (size < sizeof(at) || size > 256)
        return 0;
    memcpy(&at, data, sizeof(at));
    struct kvs_cron *cron = NULL;
    struct kvs_message message = {{0}};
    if (kvs_cron_parse(kvs_slice(data + sizeof(at), size - sizeof(at)), &cron, &message) < 0) {
        kvs_assert(message.text[0] != '\0');
        return 0;
    }
    for (int i = 0; i < 3; i++) {
        int64_t next = 0;
        if (!kvs_cron_next(cron, at, &next))
            break;
        kvs_assert(next > at);
        at = next;
    }
    kvs_cron_free(cron);
    return 0;
}
