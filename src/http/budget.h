// SPDX-License-Identifier: Apache-2.0
// How much memory the buffers of all connections may hold together, on whatever loop they are. Each
// connection has a small base for nothing; only what it holds beyond that is taken from here, so
// that small requests never touch what the loops share.
#ifndef KVS_HTTP_BUDGET_H
#define KVS_HTTP_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct kvs_http_budget {
    size_t max;
    atomic_size_t held; // may pass max: responses are never held back
};

void kvs_http_budget_init(struct kvs_http_budget *budget, size_t max);

// Everything below may be called on any thread.
size_t kvs_http_budget_held(const struct kvs_http_budget *budget);
size_t kvs_http_budget_left(const struct kvs_http_budget *budget);
// False, taking nothing, where `size` bytes are more than is left.
bool kvs_http_budget_try_take(struct kvs_http_budget *budget, size_t size);
void kvs_http_budget_take(struct kvs_http_budget *budget, size_t size);
void kvs_http_budget_give_back(struct kvs_http_budget *budget, size_t size);

#endif
