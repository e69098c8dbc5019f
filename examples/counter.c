// SPDX-License-Identifier: Apache-2.0
// Counts up from several threads without losing one: read, write on condition that nobody else has
// written, else again. One client serves all of the threads. On one node this is exact; across a
// cluster conditions are no lock. counter URL KEY
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kvs/kvs.h>

enum { THREADS = 4, ROUNDS = 25 };

struct job {
    struct kvs_client *client;
    const char *key;
    int failed;
};

// One more; KVS_CLIENT_PRECONDITION when somebody else was faster.
static enum kvs_client_code try_increment(const struct job *job, struct kvs_client_error *error)
{
    struct kvs_client_record record;
    struct kvs_client_put_options options = {0};
    long value = 0;
    enum kvs_client_code code = kvs_client_get(job->client, job->key, &record, error);
    if (code != KVS_CLIENT_OK && code != KVS_CLIENT_NOT_FOUND)
        return code;
    char uuid[KVS_CLIENT_UUID_SIZE];
    if (code == KVS_CLIENT_OK) {
        value = strtol(record.json, NULL, 10);
        memcpy(uuid, record.version.uuid, sizeof(uuid));
        options.if_match = uuid;
        kvs_client_record_done(&record);
    } else {
        options.if_none_match = true;
    }
    char json[32];
    int size = snprintf(json, sizeof(json), "%ld", value + 1);
    return kvs_client_put(job->client, job->key, json, (size_t)size, &options, NULL, NULL, error);
}

static void *count(void *context)
{
    struct job *job = context;
    for (int i = 0; i < ROUNDS;) {
        struct kvs_client_error error;
        enum kvs_client_code code = try_increment(job, &error);
        if (code == KVS_CLIENT_OK) {
            i++;
        } else if (code != KVS_CLIENT_PRECONDITION) {
            fprintf(stderr, "counter: %s\n", error.message);
            job->failed = 1;
            break;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: counter URL KEY\n");
        return 2;
    }
    const char *urls[] = {argv[1]};
    struct kvs_client_options options = {.urls = urls, .url_count = 1};
    struct kvs_client_error error;
    struct kvs_client *client = kvs_client_new(&options, &error);
    if (!client) {
        fprintf(stderr, "counter: %s\n", error.message);
        return 1;
    }
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    int started = 0;
    int failed = 0;
    for (; started < THREADS; started++) {
        jobs[started] = (struct job){client, argv[2], 0};
        if (pthread_create(&threads[started], NULL, count, &jobs[started]) != 0)
            break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        failed |= jobs[i].failed;
    }
    struct kvs_client_record record;
    if (!failed && kvs_client_get(client, argv[2], &record, &error) == KVS_CLIENT_OK) {
        printf("%s\n", record.json);
        kvs_client_record_done(&record);
    }
    kvs_client_free(client);
    return failed;
}
