// SPDX-License-Identifier: Apache-2.0
// A TLS listener's certificate, key and rules, made from PEM files: immutable, shared by reference
// count, of any thread. A reload makes a new one; connections keep the one they began with.
// Never knows a socket: tls_stream.h does.
//
// The rules: TLS 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20 alone, no renegotiation, no
// compression, no resumption (each connection shows and proves its certificates anew), ALPN
// http/1.1 (RFC 9325, RFC 7301). docs/tls.md tells users, docs/decisions/0038 why.
#ifndef KVS_NET_TLS_H
#define KVS_NET_TLS_H

#include "net/net.h"

#include <openssl/ssl.h>

struct net_tls;

// Reads the files. KVS_ERR_INVALID or the error of reading; the message names the file, what is
// wrong with it and what to do.
KVS_MUST_CHECK int net_tls_new(const struct kvs_net_tls_options *options, struct net_tls **ret_tls,
                               struct kvs_message *ret_message);
struct net_tls *net_tls_ref(struct net_tls *tls);
void net_tls_unref(struct net_tls *tls); // NULL is fine
KVS_DEFINE_CLEANUP(struct net_tls, net_tls_unref)

SSL_CTX *net_tls_context(const struct net_tls *tls); // borrowed, as is the next
BIO_METHOD *net_tls_method(const struct net_tls *tls);
// Are clients asked for a certificate?
bool net_tls_asks_client(const struct net_tls *tls);
// Unix seconds until which the listener's certificate is valid.
int64_t net_tls_expires_s(const struct net_tls *tls);
// What is in use from now on, and what an operator should know about it.
void net_tls_log(const struct net_tls *tls, struct kvs_log *log, int64_t now_s);

#endif
