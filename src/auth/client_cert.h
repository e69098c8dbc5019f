// SPDX-License-Identifier: Apache-2.0
// Mutual TLS on the routes for peers. Pure; any thread.
#ifndef KVS_AUTH_CLIENT_CERT_H
#define KVS_AUTH_CLIENT_CERT_H

#include "base/err.h"
#include "codec/http.h"

// 0, or KVS_ERR_UNAUTHORIZED with the detail for the answer: the listener asks for client
// certificates (cluster_tls_require_client_cert) and this request comes without a good one. Where
// it does not ask, none is demanded.
KVS_MUST_CHECK int kvs_client_cert_demand(const struct kvs_http_request *request,
                                          struct kvs_message *ret_detail);

#endif
