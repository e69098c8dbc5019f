// SPDX-License-Identifier: Apache-2.0
// Walks over everything under a prefix, however much it is, and says when it expires: walk URL
// PREFIX
#include <inttypes.h>
#include <stdio.h>

#include <kvs/kvs.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: walk URL PREFIX\n");
        return 2;
    }
    const char *urls[] = {argv[1]};
    struct kvs_client_options options = {.urls = urls, .url_count = 1};
    struct kvs_client_list_options list = {
        .prefix = argv[2], .values = true, .expiry = true, .limit = 2};
    struct kvs_client_error error = {0};
    struct kvs_client *client = kvs_client_new(&options, &error);
    struct kvs_client_iterator *iterator = client ? kvs_client_list_iterator(client, &list) : NULL;
    const struct kvs_client_entry *entry;
    enum kvs_client_code code = KVS_CLIENT_NOMEM;
    while (iterator &&
           (code = kvs_client_iterator_next(iterator, &entry, &error)) == KVS_CLIENT_OK) {
        printf("%s = %s", entry->key, entry->json);
        if (entry->expires_ms)
            printf("  (until %" PRId64 ")", entry->expires_ms);
        putchar('\n');
    }
    if (code != KVS_CLIENT_END)
        fprintf(stderr, "walk: %s\n", error.message);
    kvs_client_iterator_free(iterator);
    kvs_client_free(client);
    return code == KVS_CLIENT_END ? 0 : 1;
}
