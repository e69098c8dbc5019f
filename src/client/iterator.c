// SPDX-License-Identifier: Apache-2.0
// Listings and ranges as one sequence. One thread at a time for each iterator.
#include <string.h>

#include "client/client_internal.h"

enum { PAGE_LIMIT = 1000 };

struct kvs_client_iterator {
    struct kvs_client *client;
    bool is_range;
    struct kvs_client_list_options list;
    struct kvs_client_range_options range;
    char *texts[3]; // copies that the options point to
    struct kvs_client_listing page;
    size_t index; // of the next entry in the page
    bool begun;
};

static const char *copy_text(struct kvs_client_iterator *iterator, int index, const char *text,
                             bool *good)
{
    if (!text)
        return NULL;
    iterator->texts[index] = strdup(text);
    *good = *good && iterator->texts[index];
    return iterator->texts[index];
}

void kvs_client_iterator_free(struct kvs_client_iterator *iterator)
{
    if (!iterator)
        return;
    kvs_client_listing_done(&iterator->page);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(iterator->texts); i++)
        free(iterator->texts[i]);
    free(iterator);
}

struct kvs_client_iterator *kvs_client_list_iterator(struct kvs_client *client,
                                                     const struct kvs_client_list_options *options)
{
    struct kvs_client_iterator *iterator = calloc(1, sizeof(*iterator));
    if (!iterator)
        return NULL;
    bool good = true;
    iterator->client = client;
    if (options)
        iterator->list = *options;
    iterator->list.prefix = copy_text(iterator, 0, iterator->list.prefix, &good);
    iterator->list.cursor = copy_text(iterator, 1, iterator->list.cursor, &good);
    if (iterator->list.limit == 0)
        iterator->list.limit = PAGE_LIMIT;
    if (!good) {
        kvs_client_iterator_free(iterator);
        return NULL;
    }
    return iterator;
}

struct kvs_client_iterator *
kvs_client_range_iterator(struct kvs_client *client, const struct kvs_client_range_options *options)
{
    struct kvs_client_iterator *iterator = calloc(1, sizeof(*iterator));
    if (!iterator)
        return NULL;
    bool good = true;
    iterator->client = client;
    iterator->is_range = true;
    if (options)
        iterator->range = *options;
    iterator->range.start_key = copy_text(iterator, 0, iterator->range.start_key, &good);
    iterator->range.end_key = copy_text(iterator, 1, iterator->range.end_key, &good);
    iterator->range.cursor = copy_text(iterator, 2, iterator->range.cursor, &good);
    if (iterator->range.limit == 0)
        iterator->range.limit = PAGE_LIMIT;
    if (!good) {
        kvs_client_iterator_free(iterator);
        return NULL;
    }
    return iterator;
}

static enum kvs_client_code next_page(struct kvs_client_iterator *iterator,
                                      struct kvs_client_error *ret_error)
{
    struct kvs_client_listing page;
    if (iterator->begun) {
        iterator->list.cursor = iterator->page.next;
        iterator->range.cursor = iterator->page.next;
    }
    enum kvs_client_code code =
        iterator->is_range ? kvs_client_range(iterator->client, &iterator->range, &page, ret_error)
                           : kvs_client_list(iterator->client, &iterator->list, &page, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    kvs_client_listing_done(&iterator->page); // only now: its cursor was in use
    iterator->page = page;
    iterator->index = 0;
    iterator->begun = true;
    return KVS_CLIENT_OK;
}

enum kvs_client_code kvs_client_iterator_next(struct kvs_client_iterator *iterator,
                                              const struct kvs_client_entry **ret_entry,
                                              struct kvs_client_error *ret_error)
{
    while (iterator->index == iterator->page.entry_count) {
        if (iterator->begun && !iterator->page.next)
            return KVS_CLIENT_END;
        enum kvs_client_code code = next_page(iterator, ret_error);
        if (code != KVS_CLIENT_OK)
            return code;
    }
    *ret_entry = &iterator->page.entries[iterator->index++];
    return KVS_CLIENT_OK;
}

const char *kvs_client_iterator_cursor(const struct kvs_client_iterator *iterator)
{
    return iterator->index == iterator->page.entry_count ? iterator->page.next : NULL;
}
