// SPDX-License-Identifier: Apache-2.0
// Writes that wait for other nodes: `Prefer: nodes=N, wait=T` and KVS-Nodes. Any thread.
#include <inttypes.h>
#include <stdio.h>

#include "client/client_internal.h"

enum { NODES_MAX = 257, WAIT_DEFAULT_MS = 2000, WAIT_MAX_MS = 60000 };

enum kvs_client_code kvs_client_receipt_begin(struct kvs_client_receipt *receipt,
                                              struct kvs_client_request *request,
                                              char line[static KVS_CLIENT_PREFER_SIZE],
                                              struct kvs_client_error *ret_error)
{
    if (!receipt)
        return KVS_CLIENT_OK;
    receipt->nodes = 0;
    receipt->reached = false;
    if (receipt->nodes_wanted == 0)
        return KVS_CLIENT_OK;
    if (receipt->nodes_wanted > NODES_MAX)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "a write waits for 1 to %d nodes, not %" PRIu32, NODES_MAX,
                               receipt->nodes_wanted);
    uint32_t wait_ms = receipt->wait_ms ? receipt->wait_ms : WAIT_DEFAULT_MS;
    if (wait_ms > WAIT_MAX_MS)
        wait_ms = WAIT_MAX_MS;
    (void)snprintf(line, KVS_CLIENT_PREFER_SIZE, "Prefer: nodes=%" PRIu32 ", wait=%" PRIu32 "ms",
                   receipt->nodes_wanted,
                   wait_ms); // fits
    request->prefer = line;
    request->wait_ms = wait_ms;
    return KVS_CLIENT_OK;
}

void kvs_client_receipt_end(struct kvs_client_receipt *receipt, const struct kvs_client_call *call)
{
    if (!receipt)
        return;
    receipt->nodes = receipt->nodes_wanted > 0 ? call->nodes : 0;
    receipt->reached = receipt->nodes >= receipt->nodes_wanted;
}
