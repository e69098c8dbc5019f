// SPDX-License-Identifier: Apache-2.0
#include "http/refusal_internal.h"

#include "base/assert.h"
#include "base/cleanup.h"

static const struct {
    int status;
    const char *detail;
} refusals[] = {
    [HTTP_REFUSE_NONE] = {0, ""},
#define HTTP_REFUSAL(name, status, detail) [HTTP_REFUSE_##name] = {status, detail},
#include "http/refusals.def"
#undef HTTP_REFUSAL
};

int http_refusal_status(enum http_refusal refusal)
{
    kvs_assert((size_t)refusal < KVS_ARRAY_SIZE(refusals));
    return refusals[refusal].status;
}

const char *http_refusal_detail(enum http_refusal refusal)
{
    kvs_assert((size_t)refusal < KVS_ARRAY_SIZE(refusals));
    return refusals[refusal].detail;
}
