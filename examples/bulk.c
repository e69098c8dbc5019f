// SPDX-License-Identifier: Apache-2.0
// Writes and reads many records in one request and one commit of the node: bulk URL PREFIX
#include <stdio.h>
#include <string.h>

#include <kvs/kvs.h>

enum { COUNT = 10 };

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bulk URL PREFIX\n");
        return 2;
    }
    const char *urls[] = {argv[1]};
    struct kvs_client_options options = {.urls = urls, .url_count = 1};
    struct kvs_client_error error = {0};
    struct kvs_client *client = kvs_client_new(&options, &error);
    struct kvs_client_operation operations[2 * COUNT];
    char keys[COUNT][256];
    char values[COUNT][32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%s/%02d", argv[2], i);
        int size = snprintf(values[i], sizeof(values[i]), "{\"n\":%d}", i);
        operations[i] = (struct kvs_client_operation){.kind = KVS_CLIENT_OPERATION_PUT,
                                                      .key = keys[i],
                                                      .json = values[i],
                                                      .json_size = (size_t)size,
                                                      .ttl = "1h"};
        operations[COUNT + i] =
            (struct kvs_client_operation){.kind = KVS_CLIENT_OPERATION_GET, .key = keys[i]};
    }
    struct kvs_client_results results;
    int code = 1;
    if (client &&
        kvs_client_batch(client, operations, 2 * COUNT, &results, &error) == KVS_CLIENT_OK) {
        code = 0;
        for (size_t i = 0; i < results.result_count; i++) {
            const struct kvs_client_result *result = &results.results[i];
            if (result->code != KVS_CLIENT_OK)
                code = 1;
            if (result->json)
                printf("%s = %s\n", operations[i].key, result->json);
            else if (result->code != KVS_CLIENT_OK)
                fprintf(stderr, "bulk: %s: %s\n", operations[i].key, result->message);
        }
        kvs_client_results_done(&results);
    } else {
        fprintf(stderr, "bulk: %s\n", error.message);
    }
    kvs_client_free(client);
    return code;
}
