// SPDX-License-Identifier: Apache-2.0
// Certificates and keys made by a test, in its temporary folder.
#ifndef KVS_TESTS_UNIT_NET_CERTS_H
#define KVS_TESTS_UNIT_NET_CERTS_H

#include "tests/unit/test.h"

#include "tests/unit/tempdir.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

enum { CERT_PATH_SIZE = 128 };

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

struct cert_options {
    const char *name;
    const struct cert *issuer; // NULL: signed by itself
    bool is_ca;
    long valid_s;      // from now; negative: it has expired
    EVP_PKEY *key;     // NULL: a new EC P-256 one
    const char *usage; // extendedKeyUsage, NULL = none
};

static inline void cert_add_extension(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static inline struct cert cert_make(const struct cert_options *options)
{
    static long serial = 1000;
    struct cert cert = {.x509 = X509_new(), .key = options->key};
    if (!cert.key)
        cert.key = EVP_EC_gen("P-256");
    assert_non_null(cert.key);
    const struct cert *issuer = options->issuer ? options->issuer : &cert;
    X509_NAME *name = X509_get_subject_name(cert.x509);
    assert_int_equal(X509_set_version(cert.x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert.x509), serial++), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert.x509), -7L * 24 * 3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert.x509), options->valid_s));
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                                (const unsigned char *)options->name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(cert.x509, X509_get_subject_name(issuer->x509)), 1);
    assert_int_equal(X509_set_pubkey(cert.x509, cert.key), 1);
    cert_add_extension(cert.x509, NID_basic_constraints,
                       options->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (options->usage)
        cert_add_extension(cert.x509, NID_ext_key_usage, options->usage);
    assert_true(X509_sign(cert.x509, issuer->key, EVP_sha256()) > 0);
    return cert;
}

static inline void cert_done(struct cert *cert)
{
    X509_free(cert->x509);
    EVP_PKEY_free(cert->key);
}

// Writes FOLDER/NAME and returns its path in `ret_path`.
static inline FILE *cert_open(const struct tempdir *dir, const char *name, const char *mode,
                              char ret_path[static CERT_PATH_SIZE])
{
    (void)snprintf(ret_path, CERT_PATH_SIZE, "%s/%s", dir->path, name);
    FILE *file = fopen(ret_path, mode);
    assert_non_null(file);
    return file;
}

// `mode` "a" appends: a chain.
static inline void cert_write(const struct cert *cert, const struct tempdir *dir, const char *name,
                              const char *mode, char ret_path[static CERT_PATH_SIZE])
{
    FILE *file = cert_open(dir, name, mode, ret_path);
    assert_int_equal(PEM_write_X509(file, cert->x509), 1);
    assert_int_equal(fclose(file), 0);
}

static inline void cert_write_key(const struct cert *cert, const struct tempdir *dir,
                                  const char *name, const char *passphrase,
                                  char ret_path[static CERT_PATH_SIZE])
{
    FILE *file = cert_open(dir, name, "w", ret_path);
    assert_int_equal(PEM_write_PKCS8PrivateKey(file, cert->key,
                                               passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                               (void *)passphrase),
                     1);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(ret_path, 0600), 0);
}

static inline void cert_write_text(const char *text, const struct tempdir *dir, const char *name,
                                   char ret_path[static CERT_PATH_SIZE])
{
    FILE *file = cert_open(dir, name, "w", ret_path);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

#endif
