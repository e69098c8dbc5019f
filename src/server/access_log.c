// SPDX-License-Identifier: Apache-2.0
#include "server/access_log.h"

void kvs_access_log(struct kvs_log *log, enum kvs_access_log which,
                    const struct kvs_http_access *access)
{
    bool slow = access->duration_ns >= (int64_t)KVS_ACCESS_SLOW_MS * 1000000;
    bool failed = access->status >= 400;
    if (which == KVS_ACCESS_LOG_OFF || (which == KVS_ACCESS_LOG_ERRORS && !slow && !failed))
        return;
    enum kvs_log_level level = slow || access->status >= 500 ? KVS_LOG_WARN : KVS_LOG_INFO;
    const struct kvs_http_tls *tls = access->tls;
    const struct kvs_log_field fields[] = {
        KVS_F_SLICE("method", access->method), KVS_F_SLICE("path", access->path),
        KVS_F_INT("status", access->status), KVS_F_SLICE("client", access->client_address),
        KVS_F_DOUBLE("duration_ms", (double)access->duration_ns / 1e6),
        KVS_F_STR("request_id", access->request_id),
        KVS_F_UINT("request_bytes", access->request_body_size),
        KVS_F_UINT("response_bytes", access->response_body_size), KVS_F_BOOL("slow", slow),
        // Only where it matters, on a listener that asks for certificates.
        KVS_F_STR("client_cert",
                  tls->client_cert_verified ? "verified" : tls->client_cert_problem)};
    size_t count = KVS_ARRAY_SIZE(fields) - (tls->client_cert_asked ? 0 : 1);
    if (kvs_log_enabled(log, level))
        kvs_log_write(log, level, "request", fields, count);
}
