// SPDX-License-Identifier: Apache-2.0
// Both ends of the peer protocol's authentication. Every comparison of what a stranger sent with
// what only members know takes the same time whatever they differ in; both secrets are always
// tried. A request is held against the replay windows only after its signature and its body's
// digest have proven right.
#include "auth/peer.h"

#include "base/assert.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>

static const struct kvs_slice newline = {"\n", 1};

struct secret {
    bool is_set;
    unsigned char request_key[KVS_PEER_MAC_SIZE];
    unsigned char answer_key[KVS_PEER_MAC_SIZE];
    unsigned char likeness[KVS_PEER_MAC_SIZE]; // of the secret itself, to compare with
};

struct secrets {
    struct secret current;
    struct secret previous;
};

struct kvs_peer_auth {
    struct kvs_peer_macs *macs;
    struct kvs_random *random;
    char node_id[KVS_PEER_NODE_ID_MAX + 1];
    unsigned char likeness_key[KVS_PEER_MAC_SIZE];
    pthread_mutex_t lock; // everything below
    struct secrets secrets;
    struct kvs_peer_windows windows;
};

// ---- Making, secrets

static struct kvs_slice bytes(const unsigned char *data, size_t size)
{
    return kvs_slice(data, size);
}

static int derive(struct kvs_peer_auth *auth, const char *text, struct secret *ret_secret)
{
    static const struct kvs_slice request = {"kvs peer request v1", 19};
    static const struct kvs_slice answer = {"kvs peer answer v1", 18};
    struct kvs_slice secret = kvs_slice_from_str(text);
    *ret_secret = (struct secret){.is_set = secret.size > 0};
    if (!ret_secret->is_set)
        return 0;
    int err = kvs_peer_mac(auth->macs, secret, &request, 1, ret_secret->request_key);
    if (err == 0)
        err = kvs_peer_mac(auth->macs, secret, &answer, 1, ret_secret->answer_key);
    if (err == 0)
        err = kvs_peer_mac(auth->macs, bytes(auth->likeness_key, sizeof(auth->likeness_key)),
                           &secret, 1, ret_secret->likeness);
    return err;
}

int kvs_peer_auth_set_secrets(struct kvs_peer_auth *auth, const char *secret,
                              const char *previous_secret)
{
    kvs_assert(secret[0] != '\0');
    struct secrets secrets;
    int err = derive(auth, secret, &secrets.current);
    if (err == 0)
        err = derive(auth, previous_secret, &secrets.previous);
    if (err == 0) {
        pthread_mutex_lock(&auth->lock);
        auth->secrets = secrets;
        pthread_mutex_unlock(&auth->lock);
    }
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    return err;
}

static struct secrets secrets_of(struct kvs_peer_auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    struct secrets secrets = auth->secrets;
    pthread_mutex_unlock(&auth->lock);
    return secrets;
}

bool kvs_peer_auth_has_previous(struct kvs_peer_auth *auth)
{
    pthread_mutex_lock(&auth->lock);
    bool has = auth->secrets.previous.is_set;
    pthread_mutex_unlock(&auth->lock);
    return has;
}

bool kvs_peer_is_node_id(struct kvs_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    return text.size > 0 && text.size <= KVS_PEER_NODE_ID_MAX;
}

int kvs_peer_auth_new(const struct kvs_peer_auth_options *options, struct kvs_peer_auth **ret_auth)
{
    if (!kvs_peer_is_node_id(kvs_slice_from_str(options->node_id)))
        return KVS_ERR_INVALID;
    KVS_CLEANUP(kvs_peer_auth_freep) struct kvs_peer_auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return KVS_ERR_NOMEM;
    kvs_assert(pthread_mutex_init(&auth->lock, NULL) == 0);
    auth->random = options->random;
    (void)snprintf(auth->node_id, sizeof(auth->node_id), "%s", options->node_id);
    kvs_random_fill(auth->random, auth->likeness_key, sizeof(auth->likeness_key));
    kvs_peer_windows_init(&auth->windows, auth->random, options->stream_max);
    int err = kvs_peer_macs_new(&auth->macs);
    if (err == 0)
        err = kvs_peer_auth_set_secrets(auth, options->secret, options->previous_secret);
    if (err == 0)
        *ret_auth = KVS_TAKE(auth);
    return err;
}

void kvs_peer_auth_free(struct kvs_peer_auth *auth)
{
    if (!auth)
        return;
    kvs_peer_macs_free(auth->macs);
    kvs_peer_windows_done(&auth->windows);
    (void)pthread_mutex_destroy(&auth->lock); // nobody holds it
    OPENSSL_cleanse(auth, sizeof(*auth));
    free(auth);
}

// ---- What is signed

// The fields of a signed request's header, as texts.
struct claim {
    struct kvs_slice node_id;
    struct kvs_slice challenge;
    struct kvs_slice stream;
    struct kvs_slice counter;
    struct kvs_slice digest; // of the body
};

static int mac_request(struct kvs_peer_auth *auth, const struct secret *secret,
                       struct kvs_slice method, struct kvs_slice path, struct kvs_slice query_mark,
                       struct kvs_slice query, const struct claim *claim,
                       unsigned char ret_mac[static KVS_PEER_MAC_SIZE])
{
    const struct kvs_slice parts[] = {
        KVS_SLICE("kvs-peer-request-v1"),
        newline,
        method,
        newline,
        path,
        query_mark,
        query,
        newline,
        claim->node_id,
        newline,
        claim->challenge,
        newline,
        claim->stream,
        newline,
        claim->counter,
        newline,
        claim->digest,
    };
    return kvs_peer_mac(auth->macs, bytes(secret->request_key, KVS_PEER_MAC_SIZE), parts,
                        KVS_ARRAY_SIZE(parts), ret_mac);
}

static int mac_answer(struct kvs_peer_auth *auth, const unsigned char *answer_key,
                      const char *request_signature, const struct kvs_peer_answer *answer,
                      unsigned char ret_mac[static KVS_PEER_MAC_SIZE])
{
    unsigned char digest[KVS_PEER_MAC_SIZE];
    char digest_hex[KVS_PEER_MAC_HEX_SIZE];
    char status[16];
    int err = kvs_peer_hash(auth->macs, answer->body, digest);
    if (err)
        return err;
    kvs_peer_hex(digest, sizeof(digest), digest_hex);
    int status_size = snprintf(status, sizeof(status), "%d", answer->status);
    const struct kvs_slice parts[] = {
        KVS_SLICE("kvs-peer-answer-v1"),
        newline,
        kvs_slice(request_signature, KVS_PEER_MAC_HEX_SIZE),
        newline,
        kvs_slice(status, (size_t)status_size),
        newline,
        answer->challenge,
        newline,
        kvs_slice(digest_hex, sizeof(digest_hex)),
    };
    return kvs_peer_mac(auth->macs, bytes(answer_key, KVS_PEER_MAC_SIZE), parts,
                        KVS_ARRAY_SIZE(parts), ret_mac);
}

// ---- Receiving: signatures

static bool cut_field(struct kvs_slice *rest, struct kvs_slice *ret_field)
{
    const char *space = rest->size > 0 ? memchr(rest->data, ' ', rest->size) : NULL;
    size_t size = space ? (size_t)(space - rest->data) : rest->size;
    *ret_field = kvs_slice(rest->data, size);
    *rest = space ? kvs_slice(space + 1, rest->size - size - 1) : KVS_SLICE_EMPTY;
    return size > 0;
}

struct parsed {
    struct claim claim;
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE];
    unsigned char stream[KVS_PEER_STREAM_SIZE];
    unsigned char digest[KVS_PEER_MAC_SIZE];
    unsigned char mac[KVS_PEER_MAC_SIZE];
    struct kvs_slice signature;
    uint64_t counter;
};

// "1 NODE_ID CHALLENGE STREAM COUNTER BODY_SHA256 SIGNATURE"
static const char *parse(struct kvs_slice rest, struct parsed *ret_parsed)
{
    static const char *const malformed = "Unauthorized: Malformed peer signature";
    struct claim *claim = &ret_parsed->claim;
    struct kvs_slice version;
    if (!cut_field(&rest, &version))
        return malformed;
    if (!kvs_slice_eq(version, KVS_SLICE("1")))
        return "Unauthorized: Unknown version of the peer signature";
    bool whole = cut_field(&rest, &claim->node_id) && cut_field(&rest, &claim->challenge) &&
                 cut_field(&rest, &claim->stream) && cut_field(&rest, &claim->counter) &&
                 cut_field(&rest, &claim->digest) && cut_field(&rest, &ret_parsed->signature) &&
                 rest.data == NULL;
    if (!whole || !kvs_peer_is_node_id(claim->node_id) ||
        !kvs_peer_unhex(claim->challenge, KVS_PEER_CHALLENGE_SIZE, ret_parsed->challenge) ||
        !kvs_peer_unhex(claim->stream, KVS_PEER_STREAM_SIZE, ret_parsed->stream) ||
        !kvs_slice_to_u64(claim->counter, &ret_parsed->counter) ||
        !kvs_peer_unhex(claim->digest, KVS_PEER_MAC_SIZE, ret_parsed->digest) ||
        !kvs_peer_unhex(ret_parsed->signature, KVS_PEER_MAC_SIZE, ret_parsed->mac))
        return malformed;
    return NULL;
}

static int refuse(struct kvs_peer_caller *caller, const char *detail)
{
    caller->detail = detail;
    return KVS_ERR_UNAUTHORIZED;
}

static int check_signature(struct kvs_peer_auth *auth, const struct kvs_http_request *request,
                           const struct parsed *parsed, struct kvs_peer_caller *caller)
{
    unsigned char current[KVS_PEER_MAC_SIZE];
    unsigned char previous[KVS_PEER_MAC_SIZE];
    struct secrets secrets = secrets_of(auth);
    struct kvs_slice method = kvs_slice_from_str(kvs_http_method_name(request->method));
    struct kvs_slice mark = request->has_query ? KVS_SLICE("?") : KVS_SLICE_EMPTY;
    int err = mac_request(auth, &secrets.current, method, request->path, mark, request->query,
                          &parsed->claim, current);
    if (err == 0)
        err = mac_request(auth, &secrets.previous, method, request->path, mark, request->query,
                          &parsed->claim, previous);
    bool is_current = CRYPTO_memcmp(current, parsed->mac, sizeof(current)) == 0;
    bool is_previous = CRYPTO_memcmp(previous, parsed->mac, sizeof(previous)) == 0;
    is_previous = is_previous && secrets.previous.is_set;
    if (err == 0 && method.size > 0 && (is_current || is_previous)) {
        const struct secret *used = is_current ? &secrets.current : &secrets.previous;
        memcpy(caller->answer_key, used->answer_key, sizeof(caller->answer_key));
        memcpy(caller->signature, parsed->signature.data, sizeof(caller->signature));
        caller->is_signed = true;
    } else if (err == 0) {
        err = refuse(caller, "Unauthorized: Invalid cluster secret");
    }
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    return err;
}

static int check_body(struct kvs_peer_auth *auth, struct kvs_slice body,
                      const struct parsed *parsed, struct kvs_peer_caller *caller)
{
    unsigned char digest[KVS_PEER_MAC_SIZE];
    int err = kvs_peer_hash(auth->macs, body, digest);
    if (err == 0 && CRYPTO_memcmp(digest, parsed->digest, sizeof(digest)) != 0)
        err = refuse(caller, "Unauthorized: The body is not the one that was signed");
    return err;
}

static int check_freshness(struct kvs_peer_auth *auth, enum kvs_peer_use use,
                           const struct parsed *parsed, struct kvs_peer_caller *caller)
{
    enum kvs_peer_admission admission = KVS_PEER_FRESH;
    pthread_mutex_lock(&auth->lock);
    if (use == KVS_PEER_ONCE)
        admission = kvs_peer_windows_admit(&auth->windows, parsed->challenge, parsed->stream,
                                           parsed->counter);
    kvs_peer_hex(auth->windows.challenge, KVS_PEER_CHALLENGE_SIZE, caller->challenge);
    pthread_mutex_unlock(&auth->lock);
    if (admission == KVS_PEER_FRESH)
        return 0;
    if (admission == KVS_PEER_REPLAYED)
        return refuse(caller, "Unauthorized: This request has been received before");
    caller->is_stale = true;
    return refuse(caller, "Unauthorized: Signed for another challenge than this node's");
}

static int verify_signed(struct kvs_peer_auth *auth, const struct kvs_http_request *request,
                         struct kvs_slice header, enum kvs_peer_use use,
                         struct kvs_peer_caller *caller)
{
    struct parsed parsed = {0};
    const char *detail = parse(header, &parsed);
    if (detail)
        return refuse(caller, detail);
    caller->node_id = parsed.claim.node_id;
    int err = check_signature(auth, request, &parsed, caller);
    if (err == 0)
        err = check_body(auth, request->body, &parsed, caller);
    if (err != 0)
        caller->is_signed = false; // of this body it is not
    return err == 0 ? check_freshness(auth, use, &parsed, caller) : err;
}

// ---- Receiving: the documented headers

static int check_secret(struct kvs_peer_auth *auth, struct kvs_slice presented,
                        struct kvs_peer_caller *caller)
{
    unsigned char likeness[KVS_PEER_MAC_SIZE];
    struct secrets secrets = secrets_of(auth);
    int err = kvs_peer_mac(auth->macs, bytes(auth->likeness_key, sizeof(auth->likeness_key)),
                           &presented, 1, likeness);
    bool is_current = CRYPTO_memcmp(likeness, secrets.current.likeness, sizeof(likeness)) == 0;
    bool is_previous = CRYPTO_memcmp(likeness, secrets.previous.likeness, sizeof(likeness)) == 0;
    is_previous = is_previous && secrets.previous.is_set;
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    if (err == 0 && !is_current && !is_previous)
        err = refuse(caller, "Unauthorized: Invalid cluster secret");
    return err;
}

static int verify_secret(struct kvs_peer_auth *auth, const struct kvs_http_request *request,
                         struct kvs_peer_caller *caller)
{
    struct kvs_slice secret = kvs_http_header_get(request, "X-Cluster-Secret");
    struct kvs_slice node_id = kvs_http_header_get(request, "X-Node-ID");
    if (secret.size == 0)
        return refuse(caller, "Unauthorized: Missing cluster secret");
    int err = check_secret(auth, secret, caller);
    if (err != 0)
        return err;
    if (node_id.size == 0)
        return refuse(caller, "Unauthorized: Missing node ID");
    if (!kvs_peer_is_node_id(node_id))
        return refuse(caller, "Unauthorized: Invalid node ID");
    caller->node_id = node_id;
    return 0;
}

bool kvs_peer_has_credentials(const struct kvs_http_request *request)
{
    return kvs_http_header_get(request, KVS_PEER_HEADER).data ||
           kvs_http_header_get(request, "X-Cluster-Secret").data;
}

bool kvs_peer_verify_head(struct kvs_peer_auth *auth, const struct kvs_http_request *request)
{
    struct kvs_peer_caller caller = {0};
    struct parsed parsed = {0};
    struct kvs_slice header = kvs_http_header_get(request, KVS_PEER_HEADER);
    if (!header.data)
        return verify_secret(auth, request, &caller) == 0;
    return !parse(header, &parsed) && check_signature(auth, request, &parsed, &caller) == 0;
}

int kvs_peer_verify(struct kvs_peer_auth *auth, const struct kvs_http_request *request,
                    enum kvs_peer_use use, struct kvs_peer_caller *ret_caller)
{
    *ret_caller = (struct kvs_peer_caller){0};
    struct kvs_slice header = kvs_http_header_get(request, KVS_PEER_HEADER);
    return header.data ? verify_signed(auth, request, header, use, ret_caller)
                       : verify_secret(auth, request, ret_caller);
}

void kvs_peer_sign_answer(struct kvs_peer_auth *auth, const struct kvs_peer_caller *caller,
                          struct kvs_http_response *response)
{
    if (!caller->is_signed)
        return;
    const struct kvs_peer_answer answer = {
        .status = response->status,
        .body = kvs_buf_slice(&response->body),
        .challenge = kvs_slice(caller->challenge, sizeof(caller->challenge)),
    };
    unsigned char mac[KVS_PEER_MAC_SIZE];
    char hex[KVS_PEER_MAC_HEX_SIZE];
    if (mac_answer(auth, caller->answer_key, caller->signature, &answer, mac) != 0)
        return;
    kvs_peer_hex(mac, sizeof(mac), hex);
    kvs_http_response_header(response, KVS_PEER_CHALLENGE_HEADER, answer.challenge);
    kvs_http_response_header(response, KVS_PEER_SIGNATURE_HEADER, kvs_slice(hex, sizeof(hex)));
}

// ---- Sending

void kvs_peer_stream_init(struct kvs_peer_auth *auth, struct kvs_peer_stream *stream)
{
    *stream = (struct kvs_peer_stream){0};
    kvs_random_fill(auth->random, stream->id, sizeof(stream->id));
}

int kvs_peer_sign(struct kvs_peer_auth *auth, struct kvs_peer_stream *stream,
                  struct kvs_slice method, struct kvs_slice target, struct kvs_slice body,
                  struct kvs_peer_signed *ret_signed)
{
    unsigned char digest[KVS_PEER_MAC_SIZE];
    unsigned char mac[KVS_PEER_MAC_SIZE];
    char digest_hex[KVS_PEER_MAC_HEX_SIZE];
    char challenge[2 * KVS_PEER_CHALLENGE_SIZE];
    char stream_id[2 * KVS_PEER_STREAM_SIZE];
    char counter[24];
    struct secrets secrets = secrets_of(auth);
    stream->with_previous = stream->with_previous && secrets.previous.is_set;
    const struct secret *secret = stream->with_previous ? &secrets.previous : &secrets.current;
    int err = kvs_peer_hash(auth->macs, body, digest);
    kvs_peer_hex(digest, sizeof(digest), digest_hex);
    kvs_peer_hex(stream->challenge, sizeof(stream->challenge), challenge);
    kvs_peer_hex(stream->id, sizeof(stream->id), stream_id);
    int counter_size =
        snprintf(counter, sizeof(counter), "%llu", (unsigned long long)++stream->counter);
    const struct claim claim = {
        .node_id = kvs_slice_from_str(auth->node_id),
        .challenge = kvs_slice(challenge, sizeof(challenge)),
        .stream = kvs_slice(stream_id, sizeof(stream_id)),
        .counter = kvs_slice(counter, (size_t)counter_size),
        .digest = kvs_slice(digest_hex, sizeof(digest_hex)),
    };
    if (err == 0)
        err = mac_request(auth, secret, method, target, KVS_SLICE_EMPTY, KVS_SLICE_EMPTY, &claim,
                          mac);
    if (err == 0) {
        kvs_peer_hex(mac, sizeof(mac), ret_signed->signature);
        memcpy(ret_signed->answer_key, secret->answer_key, sizeof(ret_signed->answer_key));
        (void)snprintf(ret_signed->header, sizeof(ret_signed->header),
                       KVS_PEER_HEADER ": 1 %s %.*s %.*s %s %.*s %.*s", auth->node_id,
                       KVS_SLICE_FMT(claim.challenge), KVS_SLICE_FMT(claim.stream), counter,
                       KVS_SLICE_FMT(claim.digest), KVS_PEER_MAC_HEX_SIZE,
                       ret_signed->signature); // always fits
    }
    OPENSSL_cleanse(&secrets, sizeof(secrets));
    return err;
}

bool kvs_peer_accept_answer(struct kvs_peer_auth *auth, const struct kvs_peer_signed *request,
                            const struct kvs_peer_answer *answer, struct kvs_peer_stream *stream)
{
    unsigned char expected[KVS_PEER_MAC_SIZE];
    unsigned char signature[KVS_PEER_MAC_SIZE];
    unsigned char challenge[KVS_PEER_CHALLENGE_SIZE];
    if (!kvs_peer_unhex(answer->signature, sizeof(signature), signature) ||
        !kvs_peer_unhex(answer->challenge, sizeof(challenge), challenge) ||
        mac_answer(auth, request->answer_key, request->signature, answer, expected) != 0 ||
        CRYPTO_memcmp(expected, signature, sizeof(expected)) != 0)
        return false;
    memcpy(stream->challenge, challenge, sizeof(challenge));
    return true;
}

bool kvs_peer_is_own(struct kvs_peer_auth *auth, const struct kvs_peer_stream *stream)
{
    pthread_mutex_lock(&auth->lock);
    bool own =
        CRYPTO_memcmp(auth->windows.challenge, stream->challenge, sizeof(stream->challenge)) == 0;
    pthread_mutex_unlock(&auth->lock);
    return own;
}
