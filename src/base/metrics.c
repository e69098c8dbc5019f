// SPDX-License-Identifier: Apache-2.0
// One cell a metric, updated with relaxed atomics: a scrape may see one counter of an event and not
// yet the other, never a torn value. Cells have a cache line each, so that threads that count
// different things do not slow each other down.
#include "base/metrics.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

enum type { COUNTER, GAUGE, HISTOGRAM };

static const struct {
    enum type type;
    const char *name;
    const char *labels;
    const char *help;
} table[KVS_METRIC_COUNT] = {
#define KVS_COUNTER(id, name, labels, help) [KVS_METRIC_##id] = {COUNTER, name, labels, help},
#define KVS_GAUGE(id, name, labels, help) [KVS_METRIC_##id] = {GAUGE, name, labels, help},
#define KVS_HISTOGRAM(id, name, labels, help) [KVS_METRIC_##id] = {HISTOGRAM, name, labels, help},
#include "tables/metrics.def"
#undef KVS_COUNTER
#undef KVS_GAUGE
#undef KVS_HISTOGRAM
};

static const struct {
    int64_t max_ns;
    const char *text; // seconds
} buckets[] = {
    {50000, "5e-05"},    {100000, "0.0001"},  {250000, "0.00025"}, {500000, "0.0005"},
    {1000000, "0.001"},  {2500000, "0.0025"}, {5000000, "0.005"},  {10000000, "0.01"},
    {25000000, "0.025"}, {50000000, "0.05"},  {100000000, "0.1"},  {250000000, "0.25"},
    {500000000, "0.5"},  {1000000000, "1"},   {2500000000, "2.5"}, {5000000000, "5"},
    {10000000000, "10"},
};

enum { BUCKET_COUNT = KVS_ARRAY_SIZE(buckets) };

struct cell {
    // A counter's value, a gauge's double as bits, a histogram's sum in nanoseconds.
    _Alignas(64) _Atomic uint64_t value;
    _Atomic uint64_t in_bucket[BUCKET_COUNT + 1]; // histograms: not cumulative; the last is +Inf
};

struct kvs_metrics {
    struct cell cells[KVS_METRIC_COUNT];
};

int kvs_metrics_new(struct kvs_metrics **ret_metrics)
{
    struct kvs_metrics *metrics =
        aligned_alloc(_Alignof(struct kvs_metrics), sizeof(struct kvs_metrics));
    if (!metrics)
        return KVS_ERR_NOMEM;
    for (size_t i = 0; i < KVS_METRIC_COUNT; i++) {
        atomic_init(&metrics->cells[i].value, 0);
        for (size_t b = 0; b <= BUCKET_COUNT; b++)
            atomic_init(&metrics->cells[i].in_bucket[b], 0);
    }
    kvs_metrics_set(metrics, KVS_METRIC_BUILD_INFO, 1);
    *ret_metrics = metrics;
    return 0;
}

void kvs_metrics_free(struct kvs_metrics *metrics)
{
    free(metrics);
}

void kvs_metrics_add(struct kvs_metrics *metrics, enum kvs_metric counter, uint64_t delta)
{
    if (metrics)
        atomic_fetch_add_explicit(&metrics->cells[counter].value, delta, memory_order_relaxed);
}

void kvs_metrics_set(struct kvs_metrics *metrics, enum kvs_metric gauge, double value)
{
    if (!metrics)
        return;
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    atomic_store_explicit(&metrics->cells[gauge].value, bits, memory_order_relaxed);
}

void kvs_metrics_observe_ns(struct kvs_metrics *metrics, enum kvs_metric histogram, int64_t ns)
{
    if (!metrics)
        return;
    if (ns < 0) // a clock that stepped back
        ns = 0;
    size_t i = 0;
    while (i < BUCKET_COUNT && ns > buckets[i].max_ns)
        i++;
    struct cell *cell = &metrics->cells[histogram];
    atomic_fetch_add_explicit(&cell->in_bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cell->value, (uint64_t)ns, memory_order_relaxed);
}

uint64_t kvs_metrics_counter(const struct kvs_metrics *metrics, enum kvs_metric counter)
{
    return metrics ? atomic_load_explicit(&metrics->cells[counter].value, memory_order_relaxed) : 0;
}

// The shortest of two precisions that reads back as the same value.
static void append_double(struct kvs_buf *out, double value)
{
    if (isnan(value)) {
        kvs_buf_append_str(out, "NaN");
    } else if (isinf(value)) {
        kvs_buf_append_str(out, value > 0 ? "+Inf" : "-Inf");
    } else {
        char text[40];
        (void)snprintf(text, sizeof(text), "%.15g", value); // always fits
        if (strtod(text, NULL) != value)
            (void)snprintf(text, sizeof(text), "%.17g", value); // always fits
        kvs_buf_append_str(out, text);
    }
}

static void append_header(struct kvs_buf *out, size_t metric)
{
    static const char *const type_names[] = {"counter", "gauge", "histogram"};
    kvs_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", table[metric].name, table[metric].help,
                   table[metric].name, type_names[table[metric].type]);
}

// "name{labels} "
static void append_series(struct kvs_buf *out, size_t metric)
{
    kvs_buf_append_str(out, table[metric].name);
    if (table[metric].labels[0] != '\0')
        kvs_buf_printf(out, "{%s}", table[metric].labels);
    kvs_buf_append_char(out, ' ');
}

static void append_histogram(struct kvs_buf *out, size_t metric, const struct cell *cell)
{
    const char *name = table[metric].name;
    const char *labels = table[metric].labels;
    const char *comma = labels[0] != '\0' ? "," : "";
    uint64_t count = 0; // summed up here, so that +Inf and _count always agree
    for (size_t i = 0; i <= BUCKET_COUNT; i++) {
        count += atomic_load_explicit(&cell->in_bucket[i], memory_order_relaxed);
        kvs_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} ", name, labels, comma,
                       i < BUCKET_COUNT ? buckets[i].text : "+Inf");
        kvs_buf_append_u64(out, count);
        kvs_buf_append_char(out, '\n');
    }
    const char *open = labels[0] != '\0' ? "{" : "";
    const char *close = labels[0] != '\0' ? "}" : "";
    uint64_t sum_ns = atomic_load_explicit(&cell->value, memory_order_relaxed);
    kvs_buf_printf(out, "%s_sum%s%s%s ", name, open, labels, close);
    append_double(out, (double)sum_ns / 1e9);
    kvs_buf_printf(out, "\n%s_count%s%s%s ", name, open, labels, close);
    kvs_buf_append_u64(out, count);
    kvs_buf_append_char(out, '\n');
}

void kvs_metrics_render(const struct kvs_metrics *metrics, struct kvs_buf *out)
{
    for (size_t i = 0; i < KVS_METRIC_COUNT; i++) {
        const struct cell *cell = &metrics->cells[i];
        if (i == 0 || strcmp(table[i].name, table[i - 1].name) != 0)
            append_header(out, i);
        if (table[i].type == HISTOGRAM) {
            append_histogram(out, i, cell);
            continue;
        }
        append_series(out, i);
        uint64_t bits = atomic_load_explicit(&cell->value, memory_order_relaxed);
        double gauge = 0;
        memcpy(&gauge, &bits, sizeof(gauge));
        if (table[i].type == COUNTER)
            kvs_buf_append_u64(out, bits);
        else
            append_double(out, gauge);
        kvs_buf_append_char(out, '\n');
    }
}
