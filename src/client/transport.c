// SPDX-License-Identifier: Apache-2.0
// One request over libcurl, and what its answer or its failure means. The next node is tried only
// where nothing can have been sent. On a kept connection that turns out to be closed libcurl sends
// once more; a conditional write, whose repetition would fail its own condition, gets a new one.
#include "client/client_internal.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/slice.h"
#include "codec/http.h"
#include "codec/json.h"

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one; // 1 by libcurl's contract
    struct kvs_client *client = context;
    kvs_buf_append(&client->answer, data, size);
    return client->answer.err ? 0 : size;
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct kvs_client *client = context;
    struct kvs_slice line = kvs_slice(data, size);
    const char *colon = memchr(line.data, ':', line.size);
    if (!colon)
        return size;
    struct kvs_slice name = kvs_slice(line.data, (size_t)(colon - line.data));
    if (!kvs_slice_eq_nocase(name, KVS_SLICE("X-Request-ID")))
        return size;
    struct kvs_slice value = kvs_slice(colon + 1, line.size - name.size - 1);
    while (value.size > 0 &&
           (value.data[value.size - 1] == '\n' || value.data[value.size - 1] == '\r'))
        value.size--;
    value = kvs_slice_trim(value);
    (void)snprintf(client->request_id, sizeof(client->request_id), "%.*s", KVS_SLICE_FMT(value));
    return size;
}

// Appends a header line; false (and the list freed) when out of memory.
static bool add_header(struct curl_slist **list, const char *line)
{
    if (!line)
        return true;
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (!longer) {
        curl_slist_free_all(*list);
        *list = NULL;
        return false;
    }
    *list = longer;
    return true;
}

static bool add_headers(const struct kvs_client *client, const struct kvs_client_request *request,
                        struct curl_slist **list)
{
    KVS_CLEANUP(kvs_freep) char *type = NULL;
    if (request->body.data &&
        asprintf(&type, "Content-Type: %s",
                 request->content_type ? request->content_type : "application/json") < 0)
        type = NULL;
    // An empty "Expect:" keeps libcurl from asking before each larger body.
    bool good = (type || !request->body.data) && add_header(list, "Accept: application/json") &&
                add_header(list, "Expect:") && add_header(list, type) &&
                add_header(list, request->condition) && add_header(list, client->authorization);
    for (size_t i = 0; good && i < client->header_count; i++)
        good = add_header(list, client->headers[i]);
    return good;
}

static void set_options(struct kvs_client *client, const struct kvs_client_request *request,
                        struct curl_slist *headers)
{
    CURL *easy = client->easy;
    curl_easy_reset(easy); // keeps the connection
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); // ".." is the node's to refuse
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    kvs_client_tls_apply(&client->tls, easy);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "libkvs/" KVS_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)client->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, client->curl_text);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, client);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, client);
    if (request->body.data) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->condition ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 2L); // the fresh ones push the older out
}

static CURLcode send_to(struct kvs_client *client, const struct kvs_client_node *node,
                        struct kvs_slice target)
{
    KVS_CLEANUP(kvs_freep) char *url = NULL;
    if (asprintf(&url, "%s%.*s", node->url, KVS_SLICE_FMT(target)) < 0) {
        url = NULL;
        return CURLE_OUT_OF_MEMORY;
    }
    kvs_buf_clear(&client->answer);
    client->status = 0;
    client->request_id[0] = 0;
    client->curl_text[0] = 0;
    curl_easy_setopt(client->easy, CURLOPT_URL, url);
    curl_easy_setopt(client->easy, CURLOPT_PROXY, node->loopback ? "" : NULL);
    return curl_easy_perform(client->easy);
}

// Could the request, or a part of it, have reached the node?
static bool may_have_been_sent(CURL *easy, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return false;
    case CURLE_OPERATION_TIMEDOUT: {
        curl_off_t pretransfer_us = 0; // stays 0 until the connection stands
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &pretransfer_us);
        return pretransfer_us > 0;
    }
    default:
        return true;
    }
}

static enum kvs_client_code fail_transfer(const struct kvs_client *client, CURLcode code,
                                          const char *url, struct kvs_client_error *ret_error)
{
    if (code == CURLE_OUT_OF_MEMORY || client->answer.err == KVS_ERR_NOMEM)
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    if (client->answer.err == KVS_ERR_TOO_LARGE)
        return kvs_client_fail(ret_error, KVS_CLIENT_TOO_LARGE,
                               "the answer of %s is larger than %zu bytes", url,
                               client->answer.size_max);
    const char *why = client->curl_text[0] ? client->curl_text : curl_easy_strerror(code);
    if (!may_have_been_sent(client->easy, code))
        return kvs_client_fail(ret_error, KVS_CLIENT_UNREACHABLE, "cannot connect to %s: %s", url,
                               why);
    return kvs_client_fail(ret_error, KVS_CLIENT_BROKEN, "no complete answer from %s: %s", url,
                           why);
}

static enum kvs_client_code send_to_any(struct kvs_client *client, struct kvs_slice target,
                                        struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = KVS_CLIENT_UNREACHABLE;
    for (size_t tried = 0; tried < client->node_count && code == KVS_CLIENT_UNREACHABLE; tried++) {
        const struct kvs_client_node *node = &client->nodes[client->current];
        CURLcode sent = send_to(client, node, target);
        if (sent == CURLE_OK)
            return KVS_CLIENT_OK;
        code = fail_transfer(client, sent, node->url, ret_error);
        client->current = (client->current + 1) % client->node_count;
    }
    return code;
}

enum kvs_client_code kvs_client_perform(struct kvs_client *client,
                                        const struct kvs_client_request *request,
                                        struct kvs_client_error *ret_error)
{
    struct curl_slist *headers = NULL;
    if (!add_headers(client, request, &headers))
        return kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
    set_options(client, request, headers);
    enum kvs_client_code code = send_to_any(client, request->target, ret_error);
    curl_slist_free_all(headers);
    if (code != KVS_CLIENT_OK)
        return code;
    long status = 0;
    curl_easy_getinfo(client->easy, CURLINFO_RESPONSE_CODE, &status);
    client->status = (int)status;
    if (status / 100 != 2)
        return kvs_client_fail_answer(client, ret_error);
    return KVS_CLIENT_OK;
}

static enum kvs_client_code code_of_status(int status)
{
    switch (status) {
    case 400:
        return KVS_CLIENT_INVALID;
    case 401:
        return KVS_CLIENT_UNAUTHORIZED;
    case 403:
        return KVS_CLIENT_FORBIDDEN;
    case 404:
        return KVS_CLIENT_NOT_FOUND;
    case 412:
        return KVS_CLIENT_PRECONDITION;
    case 413:
        return KVS_CLIENT_TOO_LARGE;
    case 429:
        return KVS_CLIENT_RATE_LIMITED;
    case 503:
    case 507:
        return KVS_CLIENT_UNAVAILABLE;
    default:
        return KVS_CLIENT_UNEXPECTED;
    }
}

// The problem's detail, else its title; empty where the answer is none of KVS's.
static struct kvs_slice problem_text(const struct kvs_client *client, struct kvs_arena *arena)
{
    static const char *const members[] = {"detail", "title"};
    struct kvs_json *problem = NULL;
    struct kvs_json_error error;
    if (kvs_json_parse(kvs_buf_slice(&client->answer), KVS_JSON_UNIQUE_KEYS, arena, &problem,
                       &error) < 0)
        return KVS_SLICE_EMPTY;
    for (size_t i = 0; i < KVS_ARRAY_SIZE(members); i++) {
        const struct kvs_json *member = kvs_json_member(problem, members[i]);
        struct kvs_slice text;
        if (member && member->type == KVS_JSON_STRING && kvs_json_string(member, arena, &text) == 0)
            return text;
    }
    return KVS_SLICE_EMPTY;
}

enum kvs_client_code kvs_client_fail_answer(const struct kvs_client *client,
                                            struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = code_of_status(client->status);
    if (!ret_error)
        return code;
    struct kvs_arena arena;
    kvs_arena_init(&arena, 1 << 20);
    struct kvs_slice text = problem_text(client, &arena);
    if (text.size > 0)
        kvs_client_fail(ret_error, code, "%.*s", KVS_SLICE_FMT(text));
    else
        kvs_client_fail(ret_error, code, "%s answered %d %s, which is no answer of KVS",
                        client->nodes[client->current].url, client->status,
                        kvs_http_reason(client->status));
    kvs_arena_done(&arena);
    for (char *p = ret_error->message; *p; p++) { // it goes to terminals and logs
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    }
    ret_error->http_status = client->status;
    (void)snprintf(ret_error->request_id, sizeof(ret_error->request_id), "%s", client->request_id);
    return code;
}
