// SPDX-License-Identifier: Apache-2.0
#include "cmd/receipt_args.h"

#include <inttypes.h>

#include "base/duration.h"

enum { NODES_MAX = 257, NS_PER_MS = 1000 * 1000 };

int kvs_cmd_receipt_read(const struct kvs_args *args, struct kvs_client_receipt *ret_receipt)
{
    const char *nodes = kvs_args_value(args, "nodes");
    const char *wait = kvs_args_value(args, "wait");
    uint64_t wanted = 0;
    int64_t wait_ns = 0;
    *ret_receipt = (struct kvs_client_receipt){0};
    if (!nodes && !wait)
        return KVS_EXIT_OK;
    if (!nodes)
        return kvs_cmd_usage_error(args->command, "--wait goes with --nodes");
    if (!kvs_slice_to_u64(kvs_slice_from_str(nodes), &wanted) || wanted == 0 || wanted > NODES_MAX)
        return kvs_cmd_usage_error(args->command, "--nodes '%s' is no number from 1 to %d", nodes,
                                   NODES_MAX);
    if (wait && (kvs_duration_parse(kvs_slice_from_str(wait), &wait_ns) != 0 || wait_ns < 0))
        return kvs_cmd_usage_error(args->command, "--wait '%s' is no duration such as 2s", wait);
    int64_t wait_ms = wait_ns / NS_PER_MS;
    if (wait && wait_ms == 0)
        wait_ms = 1; // 0 would be the default
    ret_receipt->nodes_wanted = (uint32_t)wanted;
    ret_receipt->wait_ms = wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
    return KVS_EXIT_OK;
}

int kvs_cmd_put_options_read(const struct kvs_args *args, struct kvs_client_receipt *ret_receipt,
                             struct kvs_client_put_options *ret_options)
{
    *ret_options = (struct kvs_client_put_options){
        .ttl = kvs_args_value(args, "ttl"),
        .if_match = kvs_args_value(args, "if-match"),
        .receipt = ret_receipt,
    };
    return kvs_cmd_receipt_read(args, ret_receipt);
}

void kvs_cmd_receipt_append(struct kvs_buf *out, const struct kvs_client_receipt *receipt)
{
    if (receipt->nodes_wanted > 0)
        kvs_buf_printf(out, ",\"nodes\":%" PRIu32, receipt->nodes);
}

int kvs_cmd_receipt_check(const struct kvs_client_receipt *receipt, const char *done)
{
    if (receipt->nodes_wanted == 0 || receipt->reached)
        return KVS_EXIT_OK;
    if (receipt->nodes == 0)
        kvs_cmd_error("%s, but how many nodes have it is not known: the node does not say", done);
    else
        kvs_cmd_error("%s, but so far %" PRIu32 " of %" PRIu32 " nodes have it", done,
                      receipt->nodes, receipt->nodes_wanted);
    return KVS_EXIT_PARTIAL;
}
