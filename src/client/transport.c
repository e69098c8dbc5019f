// SPDX-License-Identifier: Apache-2.0
// One request to one node over libcurl. On a kept connection that turns out to be closed libcurl
// sends once more by itself; a write that this could harm, a conditional one or one that is not
// idempotent, gets a new connection. Any thread, one a call.
#include "client/client_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/slice.h"

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one; // 1 by libcurl's contract
    struct kvs_client_call *call = context;
    kvs_buf_append(&call->answer, data, size);
    return call->answer.err ? 0 : size;
}

static bool keep_text(struct kvs_slice name, const char *wanted, struct kvs_slice value,
                      char text[static KVS_CLIENT_PROOF_SIZE])
{
    if (!kvs_slice_eq_nocase(name, kvs_slice_from_str(wanted)) ||
        value.size >= KVS_CLIENT_PROOF_SIZE)
        return false;
    (void)snprintf(text, KVS_CLIENT_PROOF_SIZE, "%.*s", KVS_SLICE_FMT(value));
    return true;
}

// What the signer of a request wants to see of the answer.
static bool keep_proof(struct kvs_client_call *call, struct kvs_slice name, struct kvs_slice value)
{
    const struct kvs_client_signer *signer = call->client->signer;
    return signer && (keep_text(name, signer->challenge_header, value, call->challenge) ||
                      keep_text(name, signer->signature_header, value, call->signature));
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    enum { RETRY_AFTER_MAX_S = 3600 };
    (void)one;
    struct kvs_client_call *call = context;
    struct kvs_slice line = kvs_slice(data, size);
    const char *colon = memchr(line.data, ':', line.size);
    if (!colon)
        return size;
    struct kvs_slice name = kvs_slice(line.data, (size_t)(colon - line.data));
    struct kvs_slice value = kvs_slice(colon + 1, line.size - name.size - 1);
    while (value.size > 0 &&
           (value.data[value.size - 1] == '\n' || value.data[value.size - 1] == '\r'))
        value.size--;
    value = kvs_slice_trim(value);
    uint64_t number;
    if (keep_proof(call, name, value))
        return size;
    if (kvs_slice_eq_nocase(name, KVS_SLICE("X-Request-ID")))
        (void)snprintf(call->request_id, sizeof(call->request_id), "%.*s", KVS_SLICE_FMT(value));
    else if (kvs_slice_eq_nocase(name, KVS_SLICE("Content-Type")))
        call->is_problem = kvs_slice_eq_nocase(value, KVS_SLICE("application/problem+json"));
    else if (kvs_slice_eq_nocase(name, KVS_SLICE("Location")) && value.size < KVS_CLIENT_URL_SIZE)
        (void)snprintf(call->location, sizeof(call->location), "%.*s", KVS_SLICE_FMT(value));
    else if (kvs_slice_eq_nocase(name, KVS_SLICE("KVS-Nodes")) &&
             kvs_slice_to_u64(value, &number) && number <= UINT32_MAX)
        call->nodes = (uint32_t)number;
    else if (kvs_slice_eq_nocase(name, KVS_SLICE("Retry-After")) &&
             kvs_slice_to_u64(value, &number))
        call->retry_after_ms =
            1000 * (int64_t)(number < RETRY_AFTER_MAX_S ? number : RETRY_AFTER_MAX_S);
    return size;
}

bool kvs_client_add_header(struct curl_slist **list, const char *line)
{
    if (!line || !*line)
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

bool kvs_client_add_common_headers(const struct kvs_client *client, struct curl_slist **list)
{
    bool good = kvs_client_add_header(list, client->authorization);
    for (size_t i = 0; good && i < client->header_count; i++)
        good = kvs_client_add_header(list, client->headers[i]);
    return good;
}

void kvs_client_prepare(struct kvs_client_call *call)
{
    CURL *easy = call->easy;
    kvs_buf_clear(&call->answer);
    call->status = 0;
    call->is_problem = false;
    call->retry_after_ms = 0;
    call->request_id[0] = 0;
    call->location[0] = 0;
    call->nodes = 0;
    call->challenge[0] = 0;
    call->signature[0] = 0;
    call->curl_text[0] = 0;
    curl_easy_reset(easy); // keeps the connection
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); // ".." is the node's to refuse
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "libkvs/" KVS_VERSION);
    curl_easy_setopt(easy, CURLOPT_PROXY, call->node->loopback ? "" : NULL);
    kvs_client_tls_apply(&call->client->tls, easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
}

enum kvs_client_code kvs_client_set_url(struct kvs_client_call *call, struct kvs_slice target)
{
    KVS_CLEANUP(kvs_freep) char *url = NULL;
    if (asprintf(&url, "%s%.*s", call->node->url, KVS_SLICE_FMT(target)) < 0) {
        url = NULL;
        return KVS_CLIENT_NOMEM;
    }
    return curl_easy_setopt(call->easy, CURLOPT_URL, url) == CURLE_OK ? KVS_CLIENT_OK
                                                                      : KVS_CLIENT_NOMEM;
}

static void set_options(struct kvs_client_call *call, const struct kvs_client_request *request,
                        struct curl_slist *headers, int64_t timeout_ms)
{
    CURL *easy = call->easy;
    const struct kvs_client *client = call->client;
    bool fragile = (request->condition && *request->condition) ||
                   (request->writes && request->repeat == KVS_CLIENT_REPEAT_NEVER) ||
                   strcmp(request->method, "POST") == 0;
    int64_t connect_ms =
        client->connect_timeout_ms < timeout_ms ? client->connect_timeout_ms : timeout_ms;
    kvs_client_prepare(call);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    if (request->body.data) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data);
    }
    if (strcmp(request->method, "HEAD") == 0)
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, fragile ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 2L); // the fresh ones push the older out
}

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

enum kvs_client_code kvs_client_fail_transfer(const struct kvs_client_call *call, CURLcode code,
                                              struct kvs_client_error *ret_error)
{
    const char *url = call->node->url;
    if (code == CURLE_OUT_OF_MEMORY || call->answer.err == KVS_ERR_NOMEM)
        return kvs_client_fail_nomem(ret_error);
    if (call->answer.err == KVS_ERR_TOO_LARGE)
        return kvs_client_fail(ret_error, KVS_CLIENT_TOO_LARGE,
                               "the answer of %s is larger than %zu bytes", url,
                               call->answer.size_max);
    const char *why = call->curl_text[0] ? call->curl_text : curl_easy_strerror(code);
    if (!may_have_been_sent(call->easy, code))
        return kvs_client_fail(ret_error, KVS_CLIENT_UNREACHABLE, "cannot connect to %s: %s", url,
                               why);
    return kvs_client_fail(ret_error, KVS_CLIENT_BROKEN, "no complete answer from %s: %s", url,
                           why);
}

static bool make_headers(const struct kvs_client_call *call,
                         const struct kvs_client_request *request, const char *proof,
                         struct curl_slist **ret_headers)
{
    char type[128] = "";
    if (request->body.data)
        (void)snprintf(type, sizeof(type), "Content-Type: %s",
                       request->content_type ? request->content_type : "application/json");
    // An empty "Expect:" keeps libcurl from asking before each larger body.
    return kvs_client_add_header(ret_headers, "Accept: application/json") &&
           kvs_client_add_header(ret_headers, "Expect:") &&
           kvs_client_add_header(ret_headers, type) &&
           kvs_client_add_header(ret_headers, request->condition) &&
           kvs_client_add_header(ret_headers, request->prefer) &&
           kvs_client_add_header(ret_headers, proof) &&
           kvs_client_add_common_headers(call->client, ret_headers);
}

// OK when there is an answer, whatever it says.
static enum kvs_client_code transfer(struct kvs_client_call *call,
                                     const struct kvs_client_request *request, const char *proof,
                                     int64_t timeout_ms, struct kvs_client_error *ret_error)
{
    struct curl_slist *headers = NULL;
    if (!make_headers(call, request, proof, &headers))
        return kvs_client_fail_nomem(ret_error);
    set_options(call, request, headers, timeout_ms);
    CURLcode sent = CURLE_OUT_OF_MEMORY;
    if (kvs_client_set_url(call, request->target) == KVS_CLIENT_OK)
        sent = curl_easy_perform(call->easy);
    curl_slist_free_all(headers);
    if (sent != CURLE_OK)
        return kvs_client_fail_transfer(call, sent, ret_error);
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    call->status = (int)status;
    return KVS_CLIENT_OK;
}

static enum kvs_client_verdict judge(const struct kvs_client_call *call)
{
    const struct kvs_client_signer *signer = call->client->signer;
    return signer->judge(signer->ctx, call->status, kvs_buf_slice(&call->answer), call->challenge,
                         call->signature);
}

static enum kvs_client_code transfer_signed(struct kvs_client_call *call,
                                            const struct kvs_client_request *request,
                                            int64_t timeout_ms, struct kvs_client_error *ret_error)
{
    const struct kvs_client_signer *signer = call->client->signer;
    char proof[KVS_CLIENT_SIGNATURE_SIZE];
    enum kvs_client_verdict verdict = KVS_CLIENT_SIGN_AGAIN;
    for (int attempt = 0; attempt < 2 && verdict == KVS_CLIENT_SIGN_AGAIN; attempt++) {
        if (!signer->sign(signer->ctx, request->method, request->target, request->body, proof))
            return transfer(call, request, NULL, timeout_ms, ret_error);
        enum kvs_client_code code = transfer(call, request, proof, timeout_ms, ret_error);
        if (code != KVS_CLIENT_OK)
            return code;
        verdict = judge(call);
    }
    if (verdict == KVS_CLIENT_UNPROVEN && call->status / 100 == 2)
        return kvs_client_fail(ret_error, KVS_CLIENT_UNEXPECTED,
                               "the answer of %s does not prove that it comes from the cluster",
                               call->node->url);
    return KVS_CLIENT_OK;
}

enum kvs_client_code kvs_client_send_once(struct kvs_client_call *call,
                                          const struct kvs_client_request *request,
                                          int64_t timeout_ms, struct kvs_client_error *ret_error)
{
    enum kvs_client_code code = call->client->signer
                                    ? transfer_signed(call, request, timeout_ms, ret_error)
                                    : transfer(call, request, NULL, timeout_ms, ret_error);
    if (code != KVS_CLIENT_OK)
        return code;
    return call->status / 100 == 2 ? KVS_CLIENT_OK : kvs_client_fail_answer(call, ret_error);
}
