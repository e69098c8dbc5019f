// SPDX-License-Identifier: Apache-2.0
// A counter and nothing else: no memory is published through it, hence the relaxed order.
#include "http/budget.h"

#include "base/assert.h"

void kvs_http_budget_init(struct kvs_http_budget *budget, size_t max)
{
    budget->max = max;
    atomic_init(&budget->held, 0);
}

size_t kvs_http_budget_held(const struct kvs_http_budget *budget)
{
    return atomic_load_explicit(&budget->held, memory_order_relaxed);
}

static size_t left_of(const struct kvs_http_budget *budget, size_t held)
{
    return held < budget->max ? budget->max - held : 0;
}

size_t kvs_http_budget_left(const struct kvs_http_budget *budget)
{
    return left_of(budget, kvs_http_budget_held(budget));
}

bool kvs_http_budget_try_take(struct kvs_http_budget *budget, size_t size)
{
    size_t held = kvs_http_budget_held(budget);
    do {
        if (size > left_of(budget, held))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->held, &held, held + size,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void kvs_http_budget_take(struct kvs_http_budget *budget, size_t size)
{
    atomic_fetch_add_explicit(&budget->held, size, memory_order_relaxed);
}

void kvs_http_budget_give_back(struct kvs_http_budget *budget, size_t size)
{
    size_t held = atomic_fetch_sub_explicit(&budget->held, size, memory_order_relaxed);
    kvs_assert(held >= size);
}
