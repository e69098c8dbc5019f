// SPDX-License-Identifier: Apache-2.0
// What becomes known of an answered request: metrics and the access hook.
#include "http/conn_internal.h"

static enum kvs_metric method_metric(enum kvs_http_method method)
{
    switch (method) {
    case KVS_HTTP_GET:
        return KVS_METRIC_HTTP_REQUESTS_GET;
    case KVS_HTTP_PUT:
        return KVS_METRIC_HTTP_REQUESTS_PUT;
    case KVS_HTTP_DELETE:
        return KVS_METRIC_HTTP_REQUESTS_DELETE;
    default:
        return KVS_METRIC_HTTP_REQUESTS_OTHER;
    }
}

void http_conn_name_request(const struct http_workspace *workspace, struct kvs_slice *ret_method,
                            struct kvs_slice *ret_path)
{
    const struct http_scan *scan = &workspace->scan;
    const char *head = workspace->input.data + workspace->head_at;
    *ret_method = KVS_SLICE_EMPTY;
    *ret_path = KVS_SLICE_EMPTY;
    if (scan->method_size == 0)
        return;
    *ret_method = kvs_slice(head, scan->method_size);
    *ret_path = kvs_slice(head + scan->target, scan->target_size);
    const char *mark = memchr(ret_path->data, '?', ret_path->size);
    if (mark)
        ret_path->size = (size_t)(mark - ret_path->data);
}

bool http_conn_is_head_request(const struct http_workspace *workspace)
{
    struct kvs_slice method;
    struct kvs_slice path;
    http_conn_name_request(workspace, &method, &path);
    return kvs_slice_eq(method, KVS_SLICE("HEAD"));
}

void http_conn_report(struct kvs_http_conn *conn, int64_t duration_ns, uint64_t response_body_size)
{
    struct kvs_slice method;
    struct kvs_slice path;
    http_conn_name_request(conn->workspace, &method, &path);
    const struct kvs_http_server_options *options = &conn->server->options;
    const struct kvs_http_exchange *exchange = &conn->workspace->exchange;
    int status = exchange->response.status;
    kvs_metrics_add(options->metrics, method_metric(exchange->request.method), 1);
    kvs_metrics_add(options->metrics,
                    (enum kvs_metric)(KVS_METRIC_HTTP_RESPONSES_2XX + status / 100 - 2), 1);
    kvs_metrics_observe_ns(options->metrics, KVS_METRIC_HTTP_REQUEST_DURATION, duration_ns);
    if (!options->handler.finished)
        return;
    const struct kvs_http_access access = {
        .method = method,
        .path = path,
        .client_address = exchange->request.client_address,
        .request_id = exchange->request.id,
        .tls = &exchange->request.tls,
        .status = status,
        .duration_ns = duration_ns,
        .request_body_size = exchange->request.body.size,
        .response_body_size = response_body_size,
    };
    options->handler.finished(options->handler.ctx, &access);
}
