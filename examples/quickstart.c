// SPDX-License-Identifier: Apache-2.0
// Stores a value, reads it back, looks at its history and undoes a change: quickstart [URL…]
#include <stdio.h>
#include <string.h>

#include <kvs/kvs.h>

static int fail(const struct kvs_client_error *error)
{
    fprintf(stderr, "quickstart: %s\n", error->message);
    return 1;
}

static enum kvs_client_code put(struct kvs_client *client, const char *key, const char *json,
                                struct kvs_client_error *error)
{
    return kvs_client_put(client, key, json, strlen(json), NULL, NULL, NULL, error);
}

static int show(struct kvs_client *client, const char *key)
{
    struct kvs_client_record record;
    struct kvs_client_error error;
    if (kvs_client_get(client, key, &record, &error) != KVS_CLIENT_OK)
        return fail(&error);
    printf("%s = %s\n", key, record.json);
    kvs_client_record_done(&record);
    return 0;
}

static int play(struct kvs_client *client)
{
    static const char key[] = "example/quickstart";
    struct kvs_client_error error;
    if (put(client, key, "{\"theme\":\"light\",\"limit\":10.0}", &error) != KVS_CLIENT_OK ||
        put(client, key, "{\"theme\":\"dark\"}", &error) != KVS_CLIENT_OK)
        return fail(&error);
    if (show(client, key) != 0)
        return 1;
    struct kvs_client_history history;
    if (kvs_client_history(client, key, &history, &error) != KVS_CLIENT_OK)
        return fail(&error);
    for (size_t i = 0; i < history.revision_count; i++)
        printf("revision %u: %s\n", history.revisions[i].revision, history.revisions[i].json);
    kvs_client_history_done(&history);
    if (kvs_client_restore(client, key, 2, NULL, NULL, &error) != KVS_CLIENT_OK)
        return fail(&error);
    if (show(client, key) != 0)
        return 1;
    if (kvs_client_delete(client, key, NULL, &error) != KVS_CLIENT_OK)
        return fail(&error);
    return 0;
}

int main(int argc, char **argv)
{
    struct kvs_client_error error;
    struct kvs_client_options options = {
        .urls = (const char *const *)(argv + 1),
        .url_count = (size_t)(argc - 1),
    };
    struct kvs_client *client = kvs_client_new(argc > 1 ? &options : NULL, &error);
    if (!client)
        return fail(&error);
    int code = play(client);
    kvs_client_free(client);
    return code;
}
