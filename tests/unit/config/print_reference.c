// SPDX-License-Identifier: Apache-2.0
// Prints docs/configuration.md, for tests/tools/check_generated.py.
#include "config/config.h"

#include <stdio.h>

int main(void)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_config_reference(&out);
    bool ok = out.err == 0 && fwrite(out.data, 1, out.size, stdout) == out.size;
    return ok && fflush(stdout) == 0 ? 0 : 1;
}
