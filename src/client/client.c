// SPDX-License-Identifier: Apache-2.0
// The life of a client handle: what it takes over from its options and refuses in them. It sends
// nothing. Any thread; the pool of idle calls is behind the client's lock.
#include "client/client_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    CONNECT_TIMEOUT_MS = 5000,
    TIMEOUT_MS = 30000,
    ANSWER_SIZE_MAX = 64 << 20,
    ATTEMPTS_PER_NODE = 3,
    KEPT_SIZE_MAX = 1 << 20, // memory that an idle call may hold for the next answer
};

static const char *const default_url = "http://127.0.0.1:8080";

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
        return kvs_client_fail_nomem(ret_error);
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
        return kvs_client_fail_nomem(ret_error);
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
        return kvs_client_fail_nomem(ret_error);
    }
    return KVS_CLIENT_OK;
}

// "Name: value" on one line; the name made of what RFC 9110 calls a token.
static bool is_header(const char *line)
{
    size_t size = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "!#$%&'*+-.^_`|~");
    if (size == 0 || line[size] != ':')
        return false;
    for (const char *p = line + size; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    return true;
}

static enum kvs_client_code add_headers(struct kvs_client *client,
                                        const struct kvs_client_options *options,
                                        struct kvs_client_error *ret_error)
{
    client->headers = calloc(options->header_count + 1, sizeof(*client->headers));
    if (!client->headers)
        return kvs_client_fail_nomem(ret_error);
    for (size_t i = 0; i < options->header_count; i++) {
        if (!is_header(options->headers[i])) // may hold a secret: not shown
            return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "header %zu is no 'Name: value'",
                                   i + 1);
        client->headers[i] = strdup(options->headers[i]);
        if (!client->headers[i])
            return kvs_client_fail_nomem(ret_error);
        client->header_count++;
    }
    return KVS_CLIENT_OK;
}

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static enum kvs_client_code take_options(struct kvs_client *client,
                                         const struct kvs_client_options *options,
                                         struct kvs_client_error *ret_error)
{
    client->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    client->answer_size_max = options->answer_size_max ? options->answer_size_max : ANSWER_SIZE_MAX;
    client->retry_writes = options->retry_writes;
    enum kvs_client_code code = add_nodes(client, options, ret_error);
    if (code == KVS_CLIENT_OK)
        code = set_token(client, options->token, ret_error);
    if (code == KVS_CLIENT_OK)
        code = kvs_client_tls_init(&client->tls, options, ret_error);
    if (code == KVS_CLIENT_OK)
        code = add_headers(client, options, ret_error);
    client->attempts_max = options->attempts_max ? options->attempts_max
                                                 : ATTEMPTS_PER_NODE * (uint32_t)client->node_count;
    return code;
}

struct kvs_client *kvs_client_new(const struct kvs_client_options *options,
                                  struct kvs_client_error *ret_error)
{
    static const struct kvs_client_options defaults;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) { // counted, undone in kvs_client_free
        kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "libcurl does not start");
        return NULL;
    }
    struct kvs_client *client = calloc(1, sizeof(*client));
    if (!client || pthread_mutex_init(&client->lock, NULL) != 0) {
        free(client);
        curl_global_cleanup();
        kvs_client_fail_nomem(ret_error);
        return NULL;
    }
    if (take_options(client, options ? options : &defaults, ret_error) == KVS_CLIENT_OK)
        return client;
    kvs_client_free(client);
    return NULL;
}

static void free_call(struct kvs_client_call *call)
{
    curl_easy_cleanup(call->easy);
    kvs_buf_done(&call->answer);
    free(call);
}

void kvs_client_set_signer(struct kvs_client *client, const struct kvs_client_signer *signer)
{
    client->signer = signer;
}

void kvs_client_free(struct kvs_client *client)
{
    if (!client)
        return;
    while (client->idle) {
        struct kvs_client_call *call = client->idle;
        client->idle = call->next_idle;
        free_call(call);
    }
    for (size_t i = 0; i < client->node_count; i++)
        free(client->nodes[i].url);
    free_secret(client->authorization);
    for (size_t i = 0; i < client->header_count; i++)
        free_secret(client->headers[i]);
    free(client->headers);
    kvs_client_tls_done(&client->tls);
    (void)pthread_mutex_destroy(&client->lock); // nobody holds it: the contract
    free(client);
    curl_global_cleanup();
}

const char *kvs_client_library_version(void)
{
    return KVS_VERSION;
}

// ---- The pool

static struct kvs_client_call *new_call(struct kvs_client *client)
{
    struct kvs_client_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->client = client;
    kvs_buf_init(&call->answer, client->answer_size_max);
    call->easy = curl_easy_init();
    if (!call->easy) {
        free(call);
        return NULL;
    }
    return call;
}

struct kvs_client_call *kvs_client_call_begin(struct kvs_client *client)
{
    (void)pthread_mutex_lock(&client->lock); // cannot fail for a mutex of this kind
    struct kvs_client_call *call = client->idle;
    if (call)
        client->idle = call->next_idle;
    (void)pthread_mutex_unlock(&client->lock);
    return call ? call : new_call(client);
}

void kvs_client_call_end(struct kvs_client_call *call)
{
    if (!call)
        return;
    if (call->answer.capacity > KEPT_SIZE_MAX)
        kvs_buf_done(&call->answer);
    struct kvs_client *client = call->client;
    (void)pthread_mutex_lock(&client->lock);
    call->next_idle = client->idle;
    client->idle = call;
    (void)pthread_mutex_unlock(&client->lock);
}
