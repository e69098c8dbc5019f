// SPDX-License-Identifier: Apache-2.0
// The life of a client handle: what it takes over from its options and refuses in them. It sends
// nothing. One thread at a time for each handle.
#include "client/client_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TIMEOUT_MS = 30000,
    ANSWER_SIZE_MAX = 64 << 20,
};

static const char *const default_url = "http://127.0.0.1:8080";

enum kvs_client_code kvs_client_fail(struct kvs_client_error *ret_error, enum kvs_client_code code,
                                     const char *format, ...)
{
    if (!ret_error)
        return code;
    *ret_error = (struct kvs_client_error){.code = code};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(ret_error->message, sizeof(ret_error->message), format, args); // may truncate
    va_end(args);
    return code;
}

static bool is_loopback(const char *host)
{
    return strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
           strcmp(host, "[::1]") == 0;
}

// What the URL may hold besides scheme, host and port: a path (a gateway's), nothing more. User and
// password would end up in messages.
static bool is_base_url(CURLU *url, bool *ret_loopback)
{
    static const CURLUPart excluded[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
                                         CURLUPART_FRAGMENT};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(excluded); i++) {
        char *part = NULL;
        CURLUcode code = curl_url_get(url, excluded[i], &part, 0);
        curl_free(part);
        if (code == CURLUE_OK)
            return false;
    }
    char *scheme = NULL;
    char *host = NULL;
    bool good = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && *host;
    *ret_loopback = good && is_loopback(host);
    curl_free(scheme);
    curl_free(host);
    return good;
}

static enum kvs_client_code add_node(struct kvs_client *client, const char *text,
                                     struct kvs_client_error *ret_error)
{
    CURLU *url = curl_url();
    if (!url)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    bool loopback = false;
    bool good =
        curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK && is_base_url(url, &loopback);
    curl_url_cleanup(url);
    if (!good)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "'%s' is no URL of a node: write it like %s", text, default_url);
    size_t size = strlen(text);
    while (text[size - 1] == '/')
        size--;
    char *copy = strndup(text, size);
    if (!copy)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    client->nodes[client->node_count++] = (struct kvs_client_node){copy, loopback};
    return KVS_CLIENT_OK;
}

static enum kvs_client_code add_nodes(struct kvs_client *client,
                                      const struct kvs_client_options *options,
                                      struct kvs_client_error *ret_error)
{
    if (!options->urls || options->url_count == 0)
        return add_node(client, default_url, ret_error);
    if (options->url_count > KVS_CLIENT_URLS_MAX)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "more than %d URLs",
                               KVS_CLIENT_URLS_MAX);
    for (size_t i = 0; i < options->url_count; i++) {
        enum kvs_client_code code = add_node(client, options->urls[i], ret_error);
        if (code != KVS_CLIENT_OK)
            return code;
    }
    return KVS_CLIENT_OK;
}

// A token that held a line break would be a header of its own.
static enum kvs_client_code set_token(struct kvs_client *client, const char *token,
                                      struct kvs_client_error *ret_error)
{
    if (!token)
        return KVS_CLIENT_OK;
    for (const char *p = token; *p; p++) {
        if (*p <= ' ' || *p > '~')
            return kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                                   "the token holds a character that no token has");
    }
    if (!*token)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "the token is empty");
    if (asprintf(&client->authorization, "Authorization: Bearer %s", token) < 0) {
        client->authorization = NULL;
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    }
    return KVS_CLIENT_OK;
}

static enum kvs_client_code set_headers(struct kvs_client *client,
                                        const struct kvs_client_options *options,
                                        struct kvs_client_error *ret_error)
{
    if (options->header_count == 0)
        return KVS_CLIENT_OK;
    client->headers = calloc(options->header_count, sizeof(*client->headers));
    for (size_t i = 0; client->headers && i < options->header_count; i++) {
        if (strpbrk(options->headers[i], "\r\n"))
            return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "a header holds a line break");
        client->headers[i] = strdup(options->headers[i]);
        if (!client->headers[i])
            break;
        client->header_count++;
    }
    if (client->header_count < options->header_count)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    return KVS_CLIENT_OK;
}

struct kvs_client *kvs_client_new(const struct kvs_client_options *options,
                                  struct kvs_client_error *ret_error)
{
    static const struct kvs_client_options defaults;
    if (!options)
        options = &defaults;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { // counted, undone in kvs_client_free
        kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "libcurl does not start");
        return NULL;
    }
    struct kvs_client *client = calloc(1, sizeof(*client));
    if (!client) {
        curl_global_cleanup();
        kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
        return NULL;
    }
    client->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    kvs_buf_init(&client->answer,
                 options->answer_size_max ? options->answer_size_max : ANSWER_SIZE_MAX);
    client->easy = curl_easy_init();
    if (!client->easy)
        kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    else if (add_nodes(client, options, ret_error) == KVS_CLIENT_OK &&
             set_token(client, options->token, ret_error) == KVS_CLIENT_OK &&
             kvs_client_tls_init(&client->tls, options, ret_error) == KVS_CLIENT_OK &&
             set_headers(client, options, ret_error) == KVS_CLIENT_OK)
        return client;
    kvs_client_free(client);
    return NULL;
}

void kvs_client_free(struct kvs_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->easy);
    for (size_t i = 0; i < client->node_count; i++)
        free(client->nodes[i].url);
    if (client->authorization)
        explicit_bzero(client->authorization, strlen(client->authorization));
    free(client->authorization);
    kvs_client_tls_done(&client->tls);
    for (size_t i = 0; i < client->header_count; i++) {
        explicit_bzero(client->headers[i], strlen(client->headers[i])); // may be a secret
        free(client->headers[i]);
    }
    free(client->headers);
    kvs_buf_done(&client->answer);
    free(client);
    curl_global_cleanup();
}
