// SPDX-License-Identifier: Apache-2.0
// `test_metrics --print` writes an exposition to stdout instead: what promtool checks.
#include "tests/unit/test.h"

#include "base/metrics.h"

#include <pthread.h>
#include <stdio.h>

struct row {
    const char *type;
    const char *name;
    const char *labels;
    const char *help;
};

static const struct row rows[] = {
#define KVS_COUNTER(id, name, labels, help) {"counter", name, labels, help},
#define KVS_GAUGE(id, name, labels, help) {"gauge", name, labels, help},
#define KVS_HISTOGRAM(id, name, labels, help) {"histogram", name, labels, help},
#include "tables/metrics.def"
#undef KVS_COUNTER
#undef KVS_GAUGE
#undef KVS_HISTOGRAM
};

static struct kvs_metrics *new_metrics(void)
{
    struct kvs_metrics *metrics = NULL;
    assert_int_equal(kvs_metrics_new(&metrics), 0);
    return metrics;
}

static void assert_rendered(const struct kvs_metrics *metrics, const char *line)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_buf_append_char(&out, '\n');
    kvs_metrics_render(metrics, &out);
    kvs_buf_append_char(&out, '\0');
    assert_int_equal(out.err, 0);
    KVS_CLEANUP(kvs_freep) char *framed = NULL;
    assert_true(asprintf(&framed, "\n%s\n", line) > 0);
    if (!strstr(out.data, framed))
        fail_msg("no line '%s' in:%s", line, out.data);
}

static void rows_of_one_family_stand_together_and_agree(void **state)
{
    (void)state;
    for (size_t i = 1; i < KVS_ARRAY_SIZE(rows); i++) {
        bool continues = strcmp(rows[i].name, rows[i - 1].name) == 0;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(rows[i].name, rows[j].name) != 0)
                continue;
            if (!continues)
                fail_msg("%s appears in two places of tables/metrics.def", rows[i].name);
            assert_string_equal(rows[i].type, rows[j].type);
            assert_string_equal(rows[i].help, rows[j].help);
            assert_string_not_equal(rows[i].labels, rows[j].labels);
        }
    }
}

static void counters_and_only_counters_end_in_total(void **state)
{
    (void)state;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        bool total = kvs_slice_ends_with(kvs_slice_from_str(rows[i].name), KVS_SLICE("_total"));
        if (total != (strcmp(rows[i].type, "counter") == 0))
            fail_msg("%s %s", rows[i].type, rows[i].name);
    }
}

static void counts_and_renders_with_labels(void **state)
{
    (void)state;
    struct kvs_metrics *metrics = new_metrics();
    kvs_metrics_add(metrics, KVS_METRIC_HTTP_REQUESTS_GET, 2);
    kvs_metrics_add(metrics, KVS_METRIC_HTTP_REQUESTS_GET, 3);
    assert_int_equal(kvs_metrics_counter(metrics, KVS_METRIC_HTTP_REQUESTS_GET), 5);
    assert_rendered(metrics, "kvs_http_requests_total{method=\"GET\"} 5");
    assert_rendered(metrics, "kvs_http_requests_total{method=\"PUT\"} 0");
    assert_rendered(metrics, "# TYPE kvs_http_requests_total counter");
    kvs_metrics_free(metrics);
}

static void renders_gauges_as_they_were_set(void **state)
{
    (void)state;
    struct kvs_metrics *metrics = new_metrics();
    const struct {
        double value;
        const char *line;
    } cases[] = {
        {0.1, "kvs_ready 0.1"},
        {1, "kvs_ready 1"},
        {-2.5, "kvs_ready -2.5"},
        {1e15 + 1, "kvs_ready 1000000000000001"},
        {9007199254740991.0, "kvs_ready 9007199254740991"},
        {__builtin_inf(), "kvs_ready +Inf"},
        {__builtin_nan(""), "kvs_ready NaN"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        kvs_metrics_set(metrics, KVS_METRIC_READY, cases[i].value);
        assert_rendered(metrics, cases[i].line);
    }
    kvs_metrics_free(metrics);
}

static void histogram_buckets_include_their_bound_and_accumulate(void **state)
{
    (void)state;
    struct kvs_metrics *metrics = new_metrics();
    kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, 50000);
    kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, 50001);
    kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, INT64_C(10000000001));
    kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, -5);
    assert_rendered(metrics, "kvs_commit_duration_seconds_bucket{le=\"5e-05\"} 2");
    assert_rendered(metrics, "kvs_commit_duration_seconds_bucket{le=\"0.0001\"} 3");
    assert_rendered(metrics, "kvs_commit_duration_seconds_bucket{le=\"10\"} 3");
    assert_rendered(metrics, "kvs_commit_duration_seconds_bucket{le=\"+Inf\"} 4");
    assert_rendered(metrics, "kvs_commit_duration_seconds_count 4");
    assert_rendered(metrics, "kvs_commit_duration_seconds_sum 10.000100002");
    kvs_metrics_free(metrics);
}

static void writes_help_and_type_once_a_family(void **state)
{
    (void)state;
    struct kvs_metrics *metrics = new_metrics();
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    kvs_metrics_render(metrics, &out);
    kvs_buf_append_char(&out, '\0');
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        char help[200];
        assert_true(snprintf(help, sizeof(help), "# HELP %s ", rows[i].name) < (int)sizeof(help));
        const char *first = strstr(out.data, help);
        assert_non_null(first);
        assert_null(strstr(first + 1, help));
    }
    kvs_metrics_free(metrics);
}

static void accepts_a_missing_registry(void **state)
{
    (void)state;
    kvs_metrics_add(NULL, KVS_METRIC_COMMITS, 1);
    kvs_metrics_set(NULL, KVS_METRIC_READY, 1);
    kvs_metrics_observe_ns(NULL, KVS_METRIC_COMMIT_DURATION, 1);
    assert_int_equal(kvs_metrics_counter(NULL, KVS_METRIC_COMMITS), 0);
    kvs_metrics_free(NULL);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *count_many(void *metrics)
{
    for (int i = 0; i < ROUNDS; i++) {
        kvs_metrics_add(metrics, KVS_METRIC_COMMITS, 1);
        kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, i);
    }
    return NULL;
}

static void loses_no_update_of_any_thread(void **state)
{
    (void)state;
    struct kvs_metrics *metrics = new_metrics();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, metrics), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(kvs_metrics_counter(metrics, KVS_METRIC_COMMITS), THREADS * ROUNDS);
    assert_rendered(metrics, "kvs_commit_duration_seconds_count 20000");
    kvs_metrics_free(metrics);
}

static int print_exposition(void)
{
    struct kvs_metrics *metrics = NULL;
    struct kvs_buf out = KVS_BUF_INIT(1 << 20);
    if (kvs_metrics_new(&metrics) < 0)
        return 1;
    kvs_metrics_set(metrics, KVS_METRIC_READY, 0.1);
    kvs_metrics_observe_ns(metrics, KVS_METRIC_COMMIT_DURATION, 123456);
    kvs_metrics_render(metrics, &out);
    bool ok = out.err == 0 && fwrite(out.data, 1, out.size, stdout) == out.size;
    kvs_buf_done(&out);
    kvs_metrics_free(metrics);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--print") == 0)
        return print_exposition();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_one_family_stand_together_and_agree),
        cmocka_unit_test(counters_and_only_counters_end_in_total),
        cmocka_unit_test(counts_and_renders_with_labels),
        cmocka_unit_test(renders_gauges_as_they_were_set),
        cmocka_unit_test(histogram_buckets_include_their_bound_and_accumulate),
        cmocka_unit_test(writes_help_and_type_once_a_family),
        cmocka_unit_test(accepts_a_missing_registry),
        cmocka_unit_test(loses_no_update_of_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
