// SPDX-License-Identifier: Apache-2.0
// The cluster secret where none is configured: one file that all nodes of a user on one machine
// share.
#include "config/config.h"
#include "config/private_file.h"
#include "config/value.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SECRET_BYTES = 32, SECRET_TEXT_MAX = 1024 };

_Static_assert(KVS_CLUSTER_SECRET_TEXT_SIZE == (SECRET_BYTES + 2) / 3 * 4 + 1, "base64 and NUL");

void kvs_config_cluster_secret_new(struct kvs_random *random,
                                   char ret_secret[static KVS_CLUSTER_SECRET_TEXT_SIZE])
{
    unsigned char bytes[SECRET_BYTES];
    kvs_random_fill(random, bytes, sizeof(bytes));
    (void)EVP_EncodeBlock((unsigned char *)ret_secret, bytes, sizeof(bytes)); // its size is known
    OPENSSL_cleanse(bytes, sizeof(bytes));
}

static int create(const char *path, struct kvs_random *random, struct kvs_message *ret_message)
{
    char text[KVS_CLUSTER_SECRET_TEXT_SIZE + 1];
    kvs_config_cluster_secret_new(random, text);
    text[KVS_CLUSTER_SECRET_TEXT_SIZE - 1] = '\n';
    int err =
        kvs_private_file_create(path, kvs_slice(text, KVS_CLUSTER_SECRET_TEXT_SIZE), ret_message);
    OPENSSL_cleanse(text, sizeof(text));
    return err == KVS_ERR_CONFLICT ? 0 : err; // another node was faster: its secret is ours
}

// The file's content without the newline at its end.
static int take(struct kvs_config *config, const char *path, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char text[SECRET_TEXT_MAX + 2];
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text));
    if (size < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "%s: cannot be read: %s", path,
                        strerror(errno));
    if (size > 0 && text[size - 1] == '\n')
        size--;
    int err = kvs_value_set_text(config, KVS_OPT_cluster_secret, kvs_slice(text, (size_t)size),
                                 ret_message);
    OPENSSL_cleanse(text, sizeof(text));
    if (err < 0)
        return kvs_fail_wrap(ret_message, err, "%s", path);
    config->origins[KVS_OPT_cluster_secret].source = KVS_CONFIG_SHARED_FILE;
    return 0;
}

static char *join(const char *folder, const char *rest)
{
    char *path = NULL;
    return asprintf(&path, "%s%s", folder, rest) < 0 ? NULL : path;
}

int kvs_config_cluster_secret_ensure(struct kvs_config *config, const char *home,
                                     struct kvs_random *random, struct kvs_message *ret_message)
{
    if (config->cluster_secret[0] != '\0')
        return 0;
    KVS_CLEANUP(kvs_freep) char *folder = join(home, "/.kvs");
    KVS_CLEANUP(kvs_freep) char *path = join(home, "/.kvs/cluster_secret");
    if (!folder || !path)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "cluster secret: out of memory");
    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "%s: cannot be created: %s", folder,
                        strerror(errno));
    if (access(path, F_OK) < 0) {
        int err = create(path, random, ret_message);
        if (err < 0)
            return err;
    }
    return take(config, path, ret_message);
}
