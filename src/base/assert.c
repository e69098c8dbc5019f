// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void kvs_assert_fail(const char *condition, const char *file, int line, const char *function)
{
    (void)fprintf(stderr, "kvs: assertion failed: %s (%s:%d, %s)\n", condition, file, line,
                  function);
    abort();
}
