// SPDX-License-Identifier: Apache-2.0
// What a client trusts and shows when a URL begins with https://. The files are looked at when the
// client is made, so that a wrong path is an error then and not a riddle at the first call.
#include "client/client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum kvs_client_code copy_file(const char *path, const char *what, char **ret_path,
                                      struct kvs_client_error *ret_error)
{
    if (!path || !path[0])
        return KVS_CLIENT_OK;
    if (access(path, R_OK) != 0)
        return kvs_client_fail(ret_error, KVS_CLIENT_INVALID, "cannot read the %s %s: %s", what,
                               path, strerror(errno));
    *ret_path = strdup(path);
    return *ret_path ? KVS_CLIENT_OK
                     : kvs_client_fail(ret_error, KVS_CLIENT_NOMEM, "out of memory");
}

enum kvs_client_code kvs_client_tls_init(struct kvs_client_tls *tls,
                                         const struct kvs_client_options *options,
                                         struct kvs_client_error *ret_error)
{
    tls->skip_verify = options->tls_skip_verify;
    enum kvs_client_code code =
        copy_file(options->tls_ca_file, "CA file", &tls->ca_file, ret_error);
    if (code == KVS_CLIENT_OK)
        code = copy_file(options->tls_cert_file, "client certificate", &tls->cert_file, ret_error);
    if (code == KVS_CLIENT_OK)
        code = copy_file(options->tls_key_file, "client key", &tls->key_file, ret_error);
    if (code == KVS_CLIENT_OK && tls->key_file && !tls->cert_file)
        code = kvs_client_fail(ret_error, KVS_CLIENT_INVALID,
                               "a client key is of no use without its certificate");
    return code;
}

void kvs_client_tls_done(struct kvs_client_tls *tls)
{
    free(tls->ca_file);
    free(tls->cert_file);
    free(tls->key_file);
}

void kvs_client_tls_apply(const struct kvs_client_tls *tls, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->skip_verify ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->skip_verify ? 0L : 2L);
    if (tls->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); // that file, and not the system's as well
    }
    if (!tls->cert_file)
        return;
    curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert_file);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key_file ? tls->key_file : tls->cert_file);
    curl_easy_setopt(easy, CURLOPT_KEYPASSWD, ""); // never ask on the terminal
}
