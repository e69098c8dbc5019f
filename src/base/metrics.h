// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms, declared in tables/metrics.def and rendered as Prometheus text
// exposition format 0.0.4. Updating is lock-free and may happen on any thread.
#ifndef KVS_BASE_METRICS_H
#define KVS_BASE_METRICS_H

#include "base/buf.h"

// KVS_COUNTER(id, name, labels, help), KVS_GAUGE(...), KVS_HISTOGRAM(id, name, labels, help,
// buckets). Rows that share a name form one family with different label sets and must stand next to
// each other.
enum kvs_metric {
#define KVS_COUNTER(id, name, labels, help) KVS_METRIC_##id,
#define KVS_GAUGE(id, name, labels, help) KVS_METRIC_##id,
#define KVS_HISTOGRAM(id, name, labels, help) KVS_METRIC_##id,
#include "tables/metrics.def"
#undef KVS_COUNTER
#undef KVS_GAUGE
#undef KVS_HISTOGRAM
    KVS_METRIC_COUNT
};

struct kvs_metrics;

KVS_MUST_CHECK int kvs_metrics_new(struct kvs_metrics **ret_metrics);
void kvs_metrics_free(struct kvs_metrics *metrics);

// All of these accept metrics == NULL and do nothing then.
void kvs_metrics_add(struct kvs_metrics *metrics, enum kvs_metric counter, uint64_t delta);
void kvs_metrics_set(struct kvs_metrics *metrics, enum kvs_metric gauge, double value);
// Histograms have one fixed set of buckets in seconds, 50 µs to 10 s, roughly 1-2.5-5 a decade.
void kvs_metrics_observe_ns(struct kvs_metrics *metrics, enum kvs_metric histogram, int64_t ns);
uint64_t kvs_metrics_counter(const struct kvs_metrics *metrics, enum kvs_metric counter);

// Appends everything; `promtool check metrics` finds nothing to complain about.
void kvs_metrics_render(const struct kvs_metrics *metrics, struct kvs_buf *out);

#endif
