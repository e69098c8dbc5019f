// SPDX-License-Identifier: Apache-2.0
#include "net/tls.h"

#include "base/timefmt.h"
#include "net/pem.h"
#include "net/tls_stream.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

enum { CLIENT_CHAIN_SIZE_MAX = 32 * 1024, EXPIRES_SOON_S = 14 * 24 * 3600 };

struct net_tls {
    atomic_uint refs;
    SSL_CTX *context;
    BIO_METHOD *method;
    bool asks_client;
    bool key_is_exposed; // others than its owner may read the key's file
    int64_t expires_s;
    char *cert_file;
    char *key_file;
    char subject[256];
    char fingerprint[2 * 32 + 1]; // SHA-256 of the certificate, as openssl x509 -fingerprint
};

static int fail_tls(struct kvs_message *message, const char *what)
{
    char reason[NET_PEM_REASON_SIZE];
    net_pem_reason(reason);
    return kvs_fail(message, KVS_ERR_INTERNAL, "TLS: %s: %s", what, reason);
}

// RFC 7301 §3.2: a client that offers protocols, but none of ours, is told so.
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)arg;
    unsigned char *selected = NULL;
    int found = SSL_select_next_proto(&selected, out_size, ours, sizeof(ours) - 1, in, in_size);
    *out = selected;
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// A bad client certificate does not end the handshake: the routes that demand one answer 401 with
// what is wrong, which an alert could not say, and the others need none.
static int judge_client(X509_STORE_CTX *chain, void *arg)
{
    (void)arg;
    if (X509_verify_cert(chain) <= 0 && X509_STORE_CTX_get_error(chain) == X509_V_OK)
        X509_STORE_CTX_set_error(chain, X509_V_ERR_UNSPECIFIED);
    ERR_clear_error(); // what verifying left there would read as the end of the handshake
    return 1;
}

static int set_rules(SSL_CTX *context, struct kvs_message *ret_message)
{
    static const char *const ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20";
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_NO_TICKET | SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
    SSL_CTX_set_max_cert_list(context, CLIENT_CHAIN_SIZE_MAX);
    SSL_CTX_set_security_level(context, 2); // RSA from 2048 bits, no SHA-1 signatures
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, 0) != 1 ||
        SSL_CTX_set_cipher_list(context, ciphers) != 1 || SSL_CTX_set_num_tickets(context, 0) != 1)
        return fail_tls(ret_message, "OpenSSL refuses the settings");
    return 0;
}

static void describe(struct net_tls *tls, X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    BIO *text = BIO_new(BIO_s_mem());
    if (text && X509_NAME_print_ex(text, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0) {
        int got = BIO_read(text, tls->subject, sizeof(tls->subject) - 1);
        tls->subject[got > 0 ? got : 0] = '\0';
    }
    BIO_free(text);
    if (X509_digest(cert, EVP_sha256(), digest, &size) == 1)
        for (unsigned i = 0; i < size && i < 32; i++)
            (void)snprintf(tls->fingerprint + 2 * (size_t)i, 3, "%02X", digest[i]); // two digits
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) == 1)
        tls->expires_s = timegm(&tm);
}

static int use_chain(struct net_tls *tls, STACK_OF(X509) * certs, const char *file,
                     struct kvs_message *ret_message)
{
    char reason[NET_PEM_REASON_SIZE];
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        ERR_clear_error();
        if ((i == 0 ? SSL_CTX_use_certificate(tls->context, cert)
                    : (int)SSL_CTX_add1_chain_cert(tls->context, cert)) == 1)
            continue;
        net_pem_reason(reason);
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "%s: OpenSSL refuses certificate %d in it: %s: make it with EC P-256 or an "
                        "RSA key of at least 2048 bits, and SHA-256",
                        file, i + 1, reason);
    }
    describe(tls, sk_X509_value(certs, 0));
    return 0;
}

static int use_key(struct net_tls *tls, X509 *cert, const struct kvs_net_tls_options *options,
                   struct kvs_message *ret_message)
{
    KVS_CLEANUP(net_pem_key_freep) EVP_PKEY *key = NULL;
    int err = net_pem_read_key(options->key_file, "cluster_tls_key_file", &key,
                               &tls->key_is_exposed, ret_message);
    if (err)
        return err;
    if (X509_check_private_key(cert, key) != 1)
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "%s: is not the key of the first certificate in %s: cluster_tls_cert_file "
                        "must hold this node's own certificate first, cluster_tls_key_file its key",
                        options->key_file, options->cert_file);
    ERR_clear_error();
    if (SSL_CTX_use_PrivateKey(tls->context, key) == 1)
        return 0;
    char reason[NET_PEM_REASON_SIZE];
    net_pem_reason(reason);
    return kvs_fail(ret_message, KVS_ERR_INVALID, "%s: OpenSSL refuses the key: %s",
                    options->key_file, reason);
}

// What client certificates are verified against, and the names of it that clients choose by.
static int ask_clients(struct net_tls *tls, STACK_OF(X509) * cas, struct kvs_message *ret_message)
{
    X509_STORE *store = SSL_CTX_get_cert_store(tls->context);
    for (int i = 0; i < sk_X509_num(cas); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(cas, i)) != 1 ||
            SSL_CTX_add_client_CA(tls->context, sk_X509_value(cas, i)) != 1)
            return fail_tls(ret_message, "a certificate of the CA file cannot be used");
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(tls->context, judge_client, NULL);
    tls->asks_client = true;
    return 0;
}

static bool is_set(const char *file)
{
    return file && file[0];
}

static int load(struct net_tls *tls, const struct kvs_net_tls_options *options,
                struct kvs_message *ret_message)
{
    KVS_CLEANUP(net_pem_certs_freep) STACK_OF(X509) *certs = NULL;
    KVS_CLEANUP(net_pem_certs_freep) STACK_OF(X509) *cas = NULL;
    if (!is_set(options->cert_file) || !is_set(options->key_file))
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%s: not set: TLS needs it",
                        is_set(options->cert_file) ? "cluster_tls_key_file"
                                                   : "cluster_tls_cert_file");
    if (options->ask_client_cert && !is_set(options->ca_file))
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "cluster_tls_ca_file: not set: client certificates are verified against "
                        "it");
    int err = net_pem_read_certs(options->cert_file, "cluster_tls_cert_file", &certs, ret_message);
    if (!err)
        err = use_chain(tls, certs, options->cert_file, ret_message);
    if (!err)
        err = use_key(tls, sk_X509_value(certs, 0), options, ret_message);
    // Looked at even where only the connections to peers use it: a mistake shows at once.
    if (!err && is_set(options->ca_file))
        err = net_pem_read_certs(options->ca_file, "cluster_tls_ca_file", &cas, ret_message);
    if (!err && options->ask_client_cert)
        err = ask_clients(tls, cas, ret_message);
    return err;
}

int net_tls_new(const struct kvs_net_tls_options *options, struct net_tls **ret_tls,
                struct kvs_message *ret_message)
{
    KVS_CLEANUP(net_tls_unrefp) struct net_tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    atomic_init(&tls->refs, 1);
    ERR_clear_error();
    tls->context = SSL_CTX_new(TLS_server_method());
    tls->method = net_tls_stream_method_new();
    if (!tls->context || !tls->method)
        return fail_tls(ret_message, "OpenSSL does not start");
    int err = set_rules(tls->context, ret_message);
    if (!err)
        err = load(tls, options, ret_message);
    ERR_clear_error();
    if (err)
        return err;
    tls->cert_file = strdup(options->cert_file);
    tls->key_file = strdup(options->key_file);
    if (!tls->cert_file || !tls->key_file)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    *ret_tls = KVS_TAKE(tls);
    return 0;
}

struct net_tls *net_tls_ref(struct net_tls *tls)
{
    atomic_fetch_add_explicit(&tls->refs, 1, memory_order_relaxed);
    return tls;
}

void net_tls_unref(struct net_tls *tls)
{
    if (!tls || atomic_fetch_sub_explicit(&tls->refs, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    free(tls->cert_file);
    free(tls->key_file);
    free(tls);
}

SSL_CTX *net_tls_context(const struct net_tls *tls)
{
    return tls->context;
}

BIO_METHOD *net_tls_method(const struct net_tls *tls)
{
    return tls->method;
}

bool net_tls_asks_client(const struct net_tls *tls)
{
    return tls->asks_client;
}

int64_t net_tls_expires_s(const struct net_tls *tls)
{
    return tls->expires_s;
}

void net_tls_log(const struct net_tls *tls, struct kvs_log *log, int64_t now_s)
{
    char expires[KVS_RFC3339_SIZE + 1] = {0};
    kvs_time_rfc3339(tls->expires_s * 1000, expires);
    kvs_log(log, KVS_LOG_INFO, "TLS certificate in use", KVS_F_STR("file", tls->cert_file),
            KVS_F_STR("subject", tls->subject), KVS_F_STR("expires", expires),
            KVS_F_STR("sha256", tls->fingerprint),
            KVS_F_BOOL("asks_client_certificates", tls->asks_client));
    if (tls->expires_s <= now_s)
        kvs_log(log, KVS_LOG_ERROR,
                "TLS certificate has expired: clients and peers that verify it refuse this node; "
                "put a new one in place and send SIGHUP",
                KVS_F_STR("file", tls->cert_file), KVS_F_STR("expires", expires));
    else if (tls->expires_s - now_s < EXPIRES_SOON_S)
        kvs_log(log, KVS_LOG_WARN,
                "TLS certificate expires soon: put a new one in place and send SIGHUP",
                KVS_F_STR("file", tls->cert_file), KVS_F_STR("expires", expires));
    if (tls->key_is_exposed)
        kvs_log(log, KVS_LOG_WARN, "every user of this machine may read the TLS key: chmod 600 it",
                KVS_F_STR("file", tls->key_file));
}
