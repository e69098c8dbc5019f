// SPDX-License-Identifier: Apache-2.0
// What a node says of itself: /, /health, /ready, /metrics, /openapi.json. Open to everyone, so
// nothing here may tell more than an operator's monitoring needs.
#include "api/api_internal.h"

#include "codec/json.h"
#include "node/cluster.h"

enum { METRICS_BYTES_MAX = 1024 * 1024 }; // far above what tables/metrics.def can render to

static struct kvs_buf *begin(struct kvs_api_call *call, const char *content_type)
{
    call->exchange->response.status = 200;
    call->exchange->response.content_type = content_type;
    return &call->exchange->response.body;
}

static void append_member(struct kvs_buf *out, const char *name, const char *value)
{
    kvs_json_write_string(out, kvs_slice_from_str(name));
    kvs_buf_append_char(out, ':');
    kvs_json_write_string(out, kvs_slice_from_str(value));
}

// ---- GET /

void kvs_api_index(struct kvs_api_call *call)
{
    const struct kvs_api_options *options = &call->api->options;
    int err = kvs_api_query(call, NULL, 0);
    if (err) {
        kvs_api_finish(call, err);
        return;
    }
    struct kvs_buf *body = begin(call, "application/json");
    kvs_buf_append_str(body, "{\"name\":\"kvs\",");
    append_member(body, "version", options->version);
    kvs_buf_append_str(body, ",\"links\":{\"data\":\"/kv/\",\"health\":\"/health\","
                             "\"ready\":\"/ready\",");
    if (options->metrics_enabled && options->metrics)
        kvs_buf_append_str(body, "\"metrics\":\"/metrics\",");
    kvs_buf_append_str(body, "\"openapi\":\"/openapi.json\"}}");
    kvs_api_finish(call, 0);
}

// ---- GET /health, GET /ready

static bool is_accepting(const struct kvs_api *api)
{
    return !api->options.accepting || api->options.accepting(api->options.accepting_ctx);
}

void kvs_api_health(struct kvs_api_call *call)
{
    const struct kvs_api *api = call->api;
    struct kvs_node_status status;
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = kvs_node_status(api->options.node, &status);
    if (err) {
        kvs_api_finish(call, err);
        return;
    }
    int64_t uptime_ms = kvs_clock_mono_ms(api->options.clock) - api->started_ms;
    struct kvs_buf *body = begin(call, "application/json");
    kvs_buf_append_char(body, '{');
    append_member(body, "status", status.writable ? "ok" : "degraded");
    kvs_buf_append_char(body, ',');
    append_member(body, "mode", kvs_node_mode_name(status.mode));
    kvs_buf_append_str(body, status.writable ? ",\"writable\":true," : ",\"writable\":false,");
    append_member(body, "node_id", api->options.node_id);
    kvs_buf_append_str(body, ",\"member_count\":");
    kvs_buf_append_u64(body, kvs_node_alive_count(api->options.node));
    kvs_buf_append_char(body, ',');
    append_member(body, "version", api->options.version);
    kvs_buf_append_str(body, ",\"uptime_seconds\":");
    kvs_buf_append_i64(body, uptime_ms / 1000);
    kvs_buf_append_char(body, '}');
    kvs_api_finish(call, 0);
}

static int readiness(struct kvs_api_call *call)
{
    struct kvs_node_status status;
    if (!is_accepting(call->api))
        return KVS_ERR_SHUTDOWN;
    int err = kvs_node_status(call->api->options.node, &status);
    if (err)
        return err;
    if (status.mode == KVS_NODE_SYNCING)
        return KVS_ERR_SYNCING;
    if (!status.writable)
        return kvs_api_fail(call, KVS_ERR_BUSY,
                            "The storage takes no writes (a full disk, or a failed one): see the "
                            "node's log.");
    return 0;
}

void kvs_api_ready(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = readiness(call);
    if (!err)
        kvs_buf_append_str(begin(call, "application/json"), "{\"ready\":true}");
    kvs_api_finish(call, err);
}

// ---- GET /metrics

static void refresh_cluster_gauges(struct kvs_api_call *call, enum kvs_node_mode mode)
{
    struct kvs_metrics *metrics = call->api->options.metrics;
    int64_t now_ms = kvs_clock_wall_ms(call->api->options.clock);
    struct kvs_cluster_status cluster;
    kvs_node_cluster_status(call->api->options.node, &cluster);
    int64_t age_ms = cluster.watermark_ms > 0 ? now_ms - cluster.watermark_ms : 0;
    kvs_metrics_set(metrics, KVS_METRIC_MEMBERS_ALIVE, (double)cluster.alive);
    kvs_metrics_set(metrics, KVS_METRIC_MEMBERS_SUSPECT, (double)cluster.suspect);
    kvs_metrics_set(metrics, KVS_METRIC_MEMBERS_DEAD, (double)cluster.dead);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_LAG, (double)cluster.lag_max);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_OFFSET, (double)cluster.offset_max_ms / 1000);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_AGREEMENT,
                    cluster.synced_age_ms < 0 ? -1 : (double)cluster.synced_age_ms / 1000);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_BEHIND, cluster.behind ? 1 : 0);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_SYNCING, mode == KVS_NODE_SYNCING ? 1 : 0);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_DEFERRED, (double)cluster.deferred);
    kvs_metrics_set(metrics, KVS_METRIC_CLUSTER_WATERMARK_AGE, (double)age_ms / 1000);
}

static int refresh_gauges(struct kvs_api_call *call)
{
    struct kvs_metrics *metrics = call->api->options.metrics;
    struct kvs_node_status status;
    int err = kvs_node_status(call->api->options.node, &status);
    if (err)
        return err;
    bool ready = status.writable && status.mode != KVS_NODE_SYNCING && is_accepting(call->api);
    kvs_metrics_set(metrics, KVS_METRIC_BUILD_INFO, 1);
    kvs_metrics_set(metrics, KVS_METRIC_LOG_SEQ, (double)status.log_seq);
    kvs_metrics_set(metrics, KVS_METRIC_STORE_KEYS,
                    (double)status.store.keys_estimate[KVS_FAMILY_DATA]);
    kvs_metrics_set(metrics, KVS_METRIC_STORE_BYTES, (double)status.store.table_bytes);
    kvs_metrics_set(metrics, KVS_METRIC_STORE_MEMORY, (double)status.store.memory_bytes);
    kvs_metrics_set(metrics, KVS_METRIC_STORE_WRITABLE, status.writable ? 1 : 0);
    kvs_metrics_set(metrics, KVS_METRIC_READY, ready ? 1 : 0);
    struct kvs_backup_status backups;
    if (call->api->options.backups)
        kvs_backup_service_status(call->api->options.backups, &backups); // sets its gauges
    refresh_cluster_gauges(call, status.mode);
    return 0;
}

void kvs_api_metrics(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (!err)
        err = refresh_gauges(call);
    if (!err) {
        kvs_api_body_allow(call, METRICS_BYTES_MAX);
        kvs_metrics_render(call->api->options.metrics,
                           begin(call, "text/plain; version=0.0.4; charset=utf-8"));
        err = kvs_api_append_peer_metrics(call);
    }
    kvs_api_finish(call, err);
}

// ---- GET /openapi.json

void kvs_api_openapi(struct kvs_api_call *call)
{
    int err = kvs_api_query(call, NULL, 0);
    if (!err) {
        struct kvs_buf *body = begin(call, "application/json");
        kvs_api_body_reserve(call, kvs_api_openapi_json_size);
        kvs_buf_append(body, kvs_api_openapi_json, kvs_api_openapi_json_size);
    }
    kvs_api_finish(call, err);
}
