// SPDX-License-Identifier: Apache-2.0
#include "cmd/own_node.h"

#include <stdio.h>
#include <string.h>

#include "auth/peer.h"
#include "base/random.h"
#include "client/signer.h"
#include "cmd/client_args.h"

struct kvs_cmd_proof {
    struct kvs_client_signer signer;
    struct kvs_peer_auth *auth;
    struct kvs_peer_stream stream;
    struct kvs_peer_signed last; // request
};

static int fail_memory(void)
{
    kvs_cmd_error("out of memory");
    return KVS_EXIT_FAILED;
}

int kvs_cmd_config_open(const char *path, struct kvs_config **ret_config)
{
    struct kvs_message message;
    *ret_config = NULL;
    if (kvs_config_load(path, environ, ret_config, &message) != 0) {
        kvs_cmd_error("%s", message.text);
        return KVS_EXIT_USAGE;
    }
    if (kvs_config_cluster_secret_ensure(*ret_config, getenv("HOME"), kvs_random_system(),
                                         &message) == 0)
        return KVS_EXIT_OK;
    kvs_cmd_error("%s", message.text);
    kvs_config_free(*ret_config);
    *ret_config = NULL;
    return KVS_EXIT_FAILED;
}

// ---- Signing

static bool sign(void *ctx, const char *method, struct kvs_slice target, struct kvs_slice body,
                 char ret_line[static KVS_CLIENT_SIGNATURE_SIZE])
{
    struct kvs_cmd_proof *proof = ctx;
    if (kvs_slice_eq(target, KVS_SLICE("/health")) ||
        kvs_peer_sign(proof->auth, &proof->stream, kvs_slice_from_str(method), target, body,
                      &proof->last) != 0)
        return false;
    (void)snprintf(ret_line, KVS_CLIENT_SIGNATURE_SIZE, "%s", proof->last.header); // fits
    return true;
}

static enum kvs_client_verdict judge(void *ctx, int status, struct kvs_slice body,
                                     const char *challenge, const char *signature)
{
    struct kvs_cmd_proof *proof = ctx;
    const struct kvs_peer_answer answer = {.status = status,
                                           .body = body,
                                           .challenge = kvs_slice_from_str(challenge),
                                           .signature = kvs_slice_from_str(signature)};
    if (!kvs_peer_accept_answer(proof->auth, &proof->last, &answer, &proof->stream))
        return KVS_CLIENT_UNPROVEN;
    return status == 401 ? KVS_CLIENT_SIGN_AGAIN : KVS_CLIENT_BELIEVED;
}

void kvs_cmd_proof_free(struct kvs_cmd_proof *proof)
{
    if (!proof)
        return;
    kvs_peer_auth_free(proof->auth);
    explicit_bzero(proof, sizeof(*proof));
    free(proof);
}

// Asks for the challenge that what follows is signed for. Without it the first request would be
// refused, and the node would record a failure.
static int say_hello(struct kvs_client *client)
{
    struct kvs_client_response response;
    struct kvs_client_error error;
    if (kvs_client_request(client, "POST", "/peer/v1/hello", NULL, NULL, 0, &response, &error) !=
        KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    kvs_client_response_done(&response);
    return KVS_EXIT_OK;
}

int kvs_cmd_prove(struct kvs_client *client, const char *who, const char *secret,
                  struct kvs_cmd_proof **ret_proof)
{
    const struct kvs_peer_auth_options options = {
        .node_id = who, .secret = secret, .random = kvs_random_system()};
    struct kvs_cmd_proof *proof = calloc(1, sizeof(*proof));
    if (!proof || kvs_peer_auth_new(&options, &proof->auth) != 0) {
        free(proof);
        return fail_memory();
    }
    kvs_peer_stream_init(proof->auth, &proof->stream);
    proof->signer = (struct kvs_client_signer){.ctx = proof,
                                               .challenge_header = KVS_PEER_CHALLENGE_HEADER,
                                               .signature_header = KVS_PEER_SIGNATURE_HEADER,
                                               .sign = sign,
                                               .judge = judge};
    kvs_client_set_signer(client, &proof->signer);
    *ret_proof = proof;
    return say_hello(client);
}

// ---- The config's node

// Where this machine reaches it: a wildcard is no destination.
static char *url_of(const struct kvs_config *config)
{
    const char *host = config->bind_address;
    char *url = NULL;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    bool brackets = strchr(host, ':') != NULL;
    int size = asprintf(&url, "http%s://%s%s%s:%lld", config->cluster_tls_enabled ? "s" : "",
                        brackets ? "[" : "", host, brackets ? "]" : "", (long long)config->port);
    return size < 0 ? NULL : url;
}

static const char *file_or_null(const char *path)
{
    return path && path[0] ? path : NULL;
}

int kvs_cmd_own_node_open(const struct kvs_config *config, const char *who,
                          struct kvs_client **ret_client, struct kvs_cmd_proof **ret_proof)
{
    KVS_CLEANUP(kvs_freep) char *url = url_of(config);
    KVS_CLEANUP(kvs_freep) char *secret = NULL;
    KVS_CLEANUP(kvs_freep) char *name = NULL;
    *ret_client = NULL;
    *ret_proof = NULL;
    if (asprintf(&secret, "X-Cluster-Secret: %s", config->cluster_secret) < 0)
        secret = NULL;
    if (asprintf(&name, "X-Node-ID: %s", who) < 0)
        name = NULL;
    if (!url || !secret || !name)
        return fail_memory();
    const char *urls[] = {url};
    const char *headers[] = {secret, name};
    const struct kvs_client_options options = {
        .urls = urls,
        .url_count = 1,
        .headers = headers,
        .header_count = config->clustering_enabled ? 0 : KVS_ARRAY_SIZE(headers),
        // It never leaves this machine, certificates seldom name its own addresses, and the answer
        // is proven by its signature.
        .tls_skip_verify = true,
        .tls_cert_file = file_or_null(config->cluster_tls_cert_file),
        .tls_key_file = file_or_null(config->cluster_tls_key_file),
    };
    struct kvs_client_error error;
    *ret_client = kvs_client_new(&options, &error);
    explicit_bzero(secret, strlen(secret));
    if (!*ret_client)
        return kvs_cmd_client_error(&error);
    return config->clustering_enabled
               ? kvs_cmd_prove(*ret_client, who, config->cluster_secret, ret_proof)
               : KVS_EXIT_OK;
}
