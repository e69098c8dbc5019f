// SPDX-License-Identifier: Apache-2.0
// Follows the changes under a prefix and remembers in a file how far it has come, so that the next
// run misses nothing and repeats nothing: follow URL PREFIX STATEFILE COUNT
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <kvs/kvs.h>

static uint64_t load(const char *path)
{
    char line[32] = "";
    FILE *file = fopen(path, "r");
    if (file) {
        if (!fgets(line, sizeof(line), file))
            line[0] = 0;
        fclose(file);
    }
    return strtoull(line, NULL, 10); // 0 where there is nothing yet: from the beginning
}

static int save(const char *path, uint64_t since)
{
    FILE *file = fopen(path, "w");
    if (!file)
        return 1;
    int written = fprintf(file, "%" PRIu64 "\n", since);
    return fclose(file) != 0 || written < 0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: follow URL PREFIX STATEFILE COUNT\n");
        return 2;
    }
    const char *urls[] = {argv[1]};
    struct kvs_client_options options = {.urls = urls, .url_count = 1};
    struct kvs_client_feed_options from = {.prefix = argv[2], .since = load(argv[3])};
    struct kvs_client_error error = {0};
    struct kvs_client *client = kvs_client_new(&options, &error);
    struct kvs_client_feed *feed = client ? kvs_client_feed_new(client, &from) : NULL;
    enum kvs_client_code code = feed ? KVS_CLIENT_OK : KVS_CLIENT_NOMEM;
    for (long left = strtol(argv[4], NULL, 10); code == KVS_CLIENT_OK && left > 0; left--) {
        struct kvs_client_change change;
        code = kvs_client_feed_next(feed, 60000, &change, &error);
        if (code != KVS_CLIENT_OK)
            break;
        printf("%" PRIu64 " %s %s\n", change.seq, change.deleted ? "deleted" : "changed",
               change.key);
        if (save(argv[3], kvs_client_feed_since(feed)) != 0)
            break;
    }
    if (code != KVS_CLIENT_OK)
        fprintf(stderr, "follow: %s\n", error.message);
    kvs_client_feed_free(feed);
    kvs_client_free(client);
    return code == KVS_CLIENT_OK ? 0 : 1;
}
