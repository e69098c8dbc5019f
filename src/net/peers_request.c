// SPDX-License-Identifier: Apache-2.0
// One request to a peer over libcurl, from its options to what came back. Only a hello may open a
// connection; everything else goes over the one on which a hello was answered right, so that a
// stranger on a peer's old address sees no message.
#include "net/peers_internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    BYTES_A_MS = 256, // what the slowest link may be for a large body to get through
    CONNECTION_IDLE_MAX_S =
        60, // below the peers' own limit of 75 s, so that ours is not the late one
};

// ---- What libcurl calls

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose; // there is only one
    struct peer *peer = context;
    if (peer->request != PEER_REQUEST_HELLO) {
        peer->denied = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *data, size_t one, size_t size, void *context)
{
    (void)one; // 1 by libcurl's contract
    struct peer *peer = context;
    kvs_buf_append(&peer->answer, data, size);
    return peer->answer.err ? 0 : size;
}

// Copies a header's value if it has the size it must have.
static void take_value(struct kvs_slice value, char *to, size_t size)
{
    while (value.size > 0 && strchr("\r\n \t", value.data[value.size - 1]))
        value.size--;
    value = kvs_slice_trim(value);
    if (value.size == size)
        memcpy(to, value.data, size);
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    (void)one;
    struct peer *peer = context;
    struct kvs_slice line = kvs_slice(data, size);
    const char *colon = memchr(data, ':', size);
    if (!colon)
        return size;
    struct kvs_slice name = kvs_slice(data, (size_t)(colon - data));
    struct kvs_slice value = kvs_slice(colon + 1, line.size - name.size - 1);
    if (kvs_slice_eq_nocase(name, KVS_SLICE(KVS_PEER_CHALLENGE_HEADER)))
        take_value(value, peer->challenge, sizeof(peer->challenge) - 1);
    else if (kvs_slice_eq_nocase(name, KVS_SLICE(KVS_PEER_SIGNATURE_HEADER)))
        take_value(value, peer->answer_signature, sizeof(peer->answer_signature) - 1);
    return size;
}

// ---- Options

static const char *file_or_null(const char *path)
{
    return path[0] != '\0' ? path : NULL;
}

// Copied by libcurl, under the lock because a reload replaces them.
static void set_tls(struct peer *peer)
{
    struct kvs_peers *peers = peer->peers;
    CURL *easy = peer->easy;
    if (!peers->options.tls)
        return;
    pthread_mutex_lock(&peers->lock);
    bool verify = !peers->options.tls_client.skip_verify;
    if (peers->tls_files[0][0] != '\0') {
        curl_easy_setopt(easy, CURLOPT_CAINFO, peers->tls_files[0]);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); // these and no others
    }
    curl_easy_setopt(easy, CURLOPT_SSLCERT, file_or_null(peers->tls_files[1]));
    curl_easy_setopt(easy, CURLOPT_SSLKEY, file_or_null(peers->tls_files[2]));
    curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); // never ask on the terminal
    pthread_mutex_unlock(&peers->lock);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L); // a reload reads them anew
}

static void set_lasting_options(struct peer *peer)
{
    CURL *easy = peer->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, peer);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, peer->peers->options.tls ? "https" : "http");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // whatever the environment says
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "kvs/" KVS_VERSION);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)CONNECTION_IDLE_MAX_S);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)peer->peers->options.connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, peer->error);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, peer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, peer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, peer);
    set_tls(peer);
}

static bool add_header(struct peer *peer, const char *line)
{
    struct curl_slist *longer = curl_slist_append(peer->headers, line);
    if (longer)
        peer->headers = longer;
    return longer;
}

static bool make_headers(struct peer *peer)
{
    // An empty "Expect:" keeps libcurl from asking before each larger body.
    return add_header(peer, peer->signature.header) && add_header(peer, "Expect:") &&
           add_header(peer, "Accept:") &&
           add_header(peer, "Content-Type: application/octet-stream");
}

static int prepare(struct peer *peer, struct kvs_slice body)
{
    static const char *const paths[] = {
        [PEER_REQUEST_HELLO] = "/peer/v1/hello", [PEER_REQUEST_MESSAGES] = "/peer/v1/messages"};
    if (!peer->easy) {
        peer->easy = curl_easy_init();
        if (!peer->easy)
            return KVS_ERR_NOMEM;
        set_lasting_options(peer);
    }
    int err = kvs_peer_sign(peer->peers->options.auth, &peer->stream, KVS_SLICE("POST"),
                            kvs_slice_from_str(paths[peer->request]), body, &peer->signature);
    if (err == 0 && !make_headers(peer))
        err = KVS_ERR_NOMEM;
    return err;
}

int peer_request_start(struct peer *peer, enum peer_request request)
{
    const struct kvs_peers *peers = peer->peers;
    bool is_hello = request == PEER_REQUEST_HELLO;
    struct kvs_slice body = is_hello ? KVS_SLICE("") : kvs_buf_slice(&peer->body);
    peer->request = request;
    peer->denied = false;
    peer->challenge[0] = '\0';
    peer->answer_signature[0] = '\0';
    peer->error[0] = '\0';
    kvs_buf_clear(&peer->answer);
    int err = prepare(peer, body);
    if (err == 0) {
        int64_t timeout_ms = peers->options.answer_timeout_ms + (int64_t)body.size / BYTES_A_MS;
        curl_easy_setopt(peer->easy, CURLOPT_URL, is_hello ? peer->hello_url : peer->messages_url);
        curl_easy_setopt(peer->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
        curl_easy_setopt(peer->easy, CURLOPT_HTTPHEADER, peer->headers);
        curl_easy_setopt(peer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
        curl_easy_setopt(peer->easy, CURLOPT_POSTFIELDS, body.data);
        if (curl_multi_add_handle(peers->multi, peer->easy) != CURLM_OK)
            err = KVS_ERR_NOMEM;
    }
    atomic_store(&peer->under_way, err == 0);
    if (err)
        peer_request_end(peer);
    return err;
}

void peer_request_end(struct peer *peer)
{
    if (peer->request != PEER_REQUEST_NONE)
        (void)curl_multi_remove_handle(peer->peers->multi, peer->easy); // ours, or not in there
    peer->request = PEER_REQUEST_NONE;
    atomic_store(&peer->under_way, false);
    curl_slist_free_all(peer->headers);
    peer->headers = NULL;
}

bool peer_answer_is_proven(struct peer *peer, int status)
{
    const struct kvs_peer_answer answer = {
        .status = status,
        .body = kvs_buf_slice(&peer->answer),
        .challenge = kvs_slice_from_str(peer->challenge),
        .signature = kvs_slice_from_str(peer->answer_signature),
    };
    return kvs_peer_accept_answer(peer->peers->options.auth, &peer->signature, &answer,
                                  &peer->stream);
}
