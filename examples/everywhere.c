// SPDX-License-Identifier: Apache-2.0
// Is it everywhere yet? Writes that are answered when NODES nodes have them on their disks, or
// after WAIT_MS. They are done either way; the receipt says how many have them by then. Exit code 3
// when that were too few. everywhere URL KEY NODES WAIT_MS
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kvs/kvs.h>

static int fail(const struct kvs_client_error *error)
{
    fprintf(stderr, "everywhere: %s\n", error->message);
    return 1;
}

// Reports it; 3 where too few have it, so that it can be the exit code.
static int tell(const char *what, const struct kvs_client_receipt *receipt)
{
    printf("%s: %" PRIu32 " of %" PRIu32 " nodes have it\n", what, receipt->nodes,
           receipt->nodes_wanted);
    return receipt->reached ? 0 : 3;
}

static int store(struct kvs_client *client, const char *key, struct kvs_client_receipt *receipt)
{
    static const char json[] = "{\"state\":\"paid\"}";
    static const char patch[] = "{\"state\":\"sent\"}";
    const struct kvs_client_put_options options = {.receipt = receipt};
    struct kvs_client_error error;
    if (kvs_client_put(client, key, json, sizeof(json) - 1, &options, NULL, NULL, &error))
        return fail(&error);
    int worst = tell("put", receipt);
    if (kvs_client_patch(client, key, KVS_CLIENT_MERGE_PATCH, patch, sizeof(patch) - 1, &options,
                         NULL, &error))
        return fail(&error);
    worst |= tell("patch", receipt);
    if (kvs_client_restore(client, key, 2, &options, NULL, &error))
        return fail(&error);
    return worst | tell("restore", receipt);
}

static int store_several(struct kvs_client *client, const char *key,
                         struct kvs_client_receipt *receipt)
{
    const struct kvs_client_operation operations[] = {
        {.kind = KVS_CLIENT_OPERATION_PUT, .key = key, .json = "1", .json_size = 1},
        {.kind = KVS_CLIENT_OPERATION_GET, .key = key},
    };
    struct kvs_client_results results;
    struct kvs_client_error error;
    if (kvs_client_batch_receipt(client, operations, 2, receipt, &results, &error))
        return fail(&error);
    kvs_client_results_done(&results);
    return tell("batch", receipt);
}

static int run(struct kvs_client *client, const char *key, struct kvs_client_receipt *receipt)
{
    struct kvs_client_error error;
    int worst = store(client, key, receipt);
    if (worst == 1)
        return worst;
    int code = store_several(client, key, receipt);
    if (code == 1)
        return code;
    worst |= code;
    if (kvs_client_delete_receipt(client, key, NULL, receipt, &error))
        return fail(&error);
    return worst | tell("delete", receipt);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: everywhere URL KEY NODES WAIT_MS\n");
        return 2;
    }
    const char *const urls[] = {argv[1]};
    const struct kvs_client_options options = {.urls = urls, .url_count = 1};
    struct kvs_client_receipt receipt = {.nodes_wanted = (uint32_t)strtoul(argv[3], NULL, 10),
                                         .wait_ms = (uint32_t)strtoul(argv[4], NULL, 10)};
    struct kvs_client_error error;
    struct kvs_client *client = kvs_client_new(&options, &error);
    if (!client)
        return fail(&error);
    int code = run(client, argv[2], &receipt);
    kvs_client_free(client);
    return code;
}
