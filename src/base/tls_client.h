// SPDX-License-Identifier: Apache-2.0
// How this program behaves as a client of TLS, whichever library does the talking.
#ifndef KVS_BASE_TLS_CLIENT_H
#define KVS_BASE_TLS_CLIENT_H

#include <stdbool.h>

// PEM files, borrowed; NULL or "" = none.
struct kvs_tls_client {
    const char *ca_file;   // what servers are verified against; none: the system's certificates
    const char *cert_file; // shown to servers that ask for one, with those between it and its CA
    const char *key_file;  // of cert_file
    bool skip_verify;      // take any certificate: for tests only
};

#endif
