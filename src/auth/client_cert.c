// SPDX-License-Identifier: Apache-2.0
#include "auth/client_cert.h"

int kvs_client_cert_demand(const struct kvs_http_request *request, struct kvs_message *ret_detail)
{
    const struct kvs_http_tls *tls = &request->tls;
    if (!tls->client_cert_asked || tls->client_cert_verified)
        return 0;
    return kvs_fail(ret_detail, KVS_ERR_UNAUTHORIZED,
                    "Unauthorized: this route demands a client certificate of the cluster's CA: %s",
                    tls->client_cert_problem);
}
