// SPDX-License-Identifier: Apache-2.0
// Why `http` answers a request itself (refusals.def).
#ifndef KVS_HTTP_REFUSAL_INTERNAL_H
#define KVS_HTTP_REFUSAL_INTERNAL_H

#include "base/err.h"

enum http_refusal {
    HTTP_REFUSE_NONE,
#define HTTP_REFUSAL(name, status, detail) HTTP_REFUSE_##name,
#include "http/refusals.def"
#undef HTTP_REFUSAL
};

int http_refusal_status(enum http_refusal refusal);
const char *http_refusal_detail(enum http_refusal refusal); // static

#endif
