// SPDX-License-Identifier: Apache-2.0
#include "net/pem.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_SIZE_MAX = 1024 * 1024, STEP = 4096 };

void net_pem_reason(char ret_reason[static NET_PEM_REASON_SIZE])
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    if (text)
        (void)snprintf(ret_reason, NET_PEM_REASON_SIZE, "%s", text);
    else if (ERR_SYSTEM_ERROR(code))
        (void)snprintf(ret_reason, NET_PEM_REASON_SIZE, "%s", strerror(ERR_GET_REASON(code)));
    else
        (void)snprintf(ret_reason, NET_PEM_REASON_SIZE, "unknown error");
    ERR_clear_error();
}

void net_pem_certs_freep(STACK_OF(X509) * *certs)
{
    sk_X509_pop_free(*certs, X509_free);
    *certs = NULL;
}

static int fail_file(struct kvs_message *message, const char *path, const char *option, int errnum)
{
    return kvs_fail(message, kvs_err_from_errno(errnum),
                    "%s: cannot be read: %s: %s must name a PEM file that the node's user may read",
                    path, strerror(errnum), option);
}

static int read_whole(int fd, struct kvs_buf *text)
{
    for (;;) {
        char *room = kvs_buf_reserve(text, STEP);
        if (!room)
            return text->err == KVS_ERR_NOMEM ? ENOMEM : EFBIG;
        ssize_t got = read(fd, room, STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : 0;
        text->size += (size_t)got;
    }
}

static int read_file(const char *path, const char *option, struct kvs_buf *text, mode_t *ret_mode,
                     struct kvs_message *ret_message)
{
    // O_NONBLOCK: a FIFO must not hang the node.
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return fail_file(ret_message, path, option, errno);
    if (!S_ISREG(status.st_mode))
        return fail_file(ret_message, path, option, S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
    // All the room at once, so that growing leaves no copies of a key behind.
    bool fits = status.st_size <= FILE_SIZE_MAX &&
                kvs_buf_reserve(text, (size_t)status.st_size + STEP) != NULL;
    int errnum = fits ? read_whole(fd, text) : EFBIG;
    if (errnum)
        return fail_file(ret_message, path, option, errnum);
    *ret_mode = status.st_mode;
    return 0;
}

static void wipe_buf(struct kvs_buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->capacity);
    kvs_buf_done(buf);
}

static bool is_end(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

// Appends what the file holds; the sticky end is OpenSSL's "no start line".
static int parse_certs(BIO *bio, const char *path, STACK_OF(X509) * certs,
                       struct kvs_message *ret_message)
{
    for (;;) {
        ERR_clear_error();
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, (void *)"");
        if (cert) {
            if (sk_X509_push(certs, cert) > 0)
                continue;
            X509_free(cert);
            return kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", path);
        }
        if (is_end())
            return 0;
        char reason[NET_PEM_REASON_SIZE];
        net_pem_reason(reason);
        return kvs_fail(
            ret_message, KVS_ERR_INVALID,
            "%s: certificate %d in it is damaged: %s: put a whole PEM file in its place", path,
            sk_X509_num(certs) + 1, reason);
    }
}

int net_pem_read_certs(const char *path, const char *option, STACK_OF(X509) * *ret_certs,
                       struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(FILE_SIZE_MAX + STEP);
    KVS_CLEANUP(net_pem_certs_freep) STACK_OF(X509) *certs = NULL;
    mode_t mode = 0;
    int err = read_file(path, option, &text, &mode, ret_message);
    if (err)
        return err;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    certs = sk_X509_new_null();
    err = bio && certs ? parse_certs(bio, path, certs, ret_message)
                       : kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", path);
    BIO_free(bio);
    ERR_clear_error();
    if (!err && sk_X509_num(certs) == 0)
        err = kvs_fail(ret_message, KVS_ERR_INVALID,
                       "%s: holds no certificate: %s must name a PEM file with '-----BEGIN "
                       "CERTIFICATE-----' in it",
                       path, option);
    if (!err)
        *ret_certs = KVS_TAKE(certs);
    return err;
}

// Nobody is there to be asked for a passphrase; `asked` tells that one would be needed.
static int refuse_passphrase(char *buf, int size, int rwflag, void *asked)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

int net_pem_read_key(const char *path, const char *option, EVP_PKEY **ret_key, bool *ret_exposed,
                     struct kvs_message *ret_message)
{
    KVS_CLEANUP(wipe_buf) struct kvs_buf text = KVS_BUF_INIT(FILE_SIZE_MAX + STEP);
    mode_t mode = 0;
    int err = read_file(path, option, &text, &mode, ret_message);
    if (err)
        return err;
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.size);
    if (!bio)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "%s: out of memory", path);
    static const char end_mark[] = "PRIVATE KEY-----";
    bool asked = false;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
    BIO_free(bio);
    char reason[NET_PEM_REASON_SIZE];
    bool none = text.size == 0 || !memmem(text.data, text.size, end_mark, sizeof(end_mark) - 1);
    net_pem_reason(reason);
    *ret_exposed = (mode & S_IROTH) != 0;
    *ret_key = key;
    if (key)
        return 0;
    if (asked)
        return kvs_fail(
            ret_message, KVS_ERR_INVALID,
            "%s: the key is encrypted, and a node cannot ask for the passphrase: "
            "decrypt it with 'openssl pkey -in FILE -out NEW' and guard it by mode 0600",
            path);
    return kvs_fail(
        ret_message, KVS_ERR_INVALID,
        "%s: %s%s: %s must name a PEM file with '-----BEGIN PRIVATE KEY-----' in it", path,
        none ? "holds no private key" : "the key is damaged: ", none ? "" : reason, option);
}
