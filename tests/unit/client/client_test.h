// SPDX-License-Identifier: Apache-2.0
// What the tests of libkvs share: canned answers, and a client of a fake node.
#ifndef KVS_TESTS_UNIT_CLIENT_CLIENT_TEST_H
#define KVS_TESTS_UNIT_CLIENT_CLIENT_TEST_H

#include "tests/unit/test.h"

#include <stdbool.h>

#include "base/cleanup.h"

#include "kvs/kvs.h"
#include "tests/unit/client/fake_node.h"

#define UUID "11111111-2222-4333-8444-555555555555"
#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define RECORD_OF(data) "{\"uuid\":\"" UUID "\",\"timestamp\":1700000000123,\"data\":" data "}"
#define VERSION "{\"uuid\":\"" UUID "\",\"timestamp\":1700000000123}"

// An answer with its Content-Length; valid until the next 32 calls.
static inline const char *answer(const char *head, const char *body)
{
    static char texts[FAKE_ANSWERS_MAX][8192];
    static int next;
    char *text = texts[next++ % FAKE_ANSWERS_MAX];
    (void)snprintf(text, sizeof(texts[0]), "%sContent-Length: %zu\r\n\r\n%s", head, strlen(body),
                   body);
    return text;
}

static inline struct kvs_client *client_with(const struct kvs_client_options *options)
{
    struct kvs_client_error error;
    struct kvs_client *client = kvs_client_new(options, &error);
    if (!client)
        fail_msg("%s", error.message);
    return client;
}

// Asks once, whatever happens.
static inline struct kvs_client *client_of(const struct fake_node *node)
{
    const char *urls[] = {node->url};
    return client_with(
        &(struct kvs_client_options){.urls = urls, .url_count = 1, .attempts_max = 1});
}

static inline void stop(struct kvs_client *client, struct fake_node *node)
{
    kvs_client_free(client);
    fake_node_stop(node);
}

static inline bool sent(const struct fake_node *node, int index, const char *text)
{
    return index < node->request_count && strstr(node->requests[index], text) != NULL;
}

#endif
