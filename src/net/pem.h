// SPDX-License-Identifier: Apache-2.0
// PEM files of certificates and keys, read whole and judged so that the message helps. `option` is
// the key of the configuration that named the file. Any thread.
#ifndef KVS_NET_PEM_H
#define KVS_NET_PEM_H

#include "base/cleanup.h"
#include "base/err.h"

#include <openssl/x509.h>

enum { NET_PEM_REASON_SIZE = 128 };

// At least one certificate, in the file's order. Free with net_pem_certs_free.
KVS_MUST_CHECK int net_pem_read_certs(const char *path, const char *option,
                                      STACK_OF(X509) * *ret_certs, struct kvs_message *ret_message);
// *ret_exposed: others than owner and group may read the file.
KVS_MUST_CHECK int net_pem_read_key(const char *path, const char *option, EVP_PKEY **ret_key,
                                    bool *ret_exposed, struct kvs_message *ret_message);

// Takes OpenSSL's last error off this thread's queue, as text: "ee key too small".
void net_pem_reason(char ret_reason[static NET_PEM_REASON_SIZE]);

void net_pem_certs_freep(STACK_OF(X509) * *certs);

static inline void net_pem_key_freep(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

#endif
