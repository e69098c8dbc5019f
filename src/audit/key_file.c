// SPDX-License-Identifier: Apache-2.0
// The key file: read whole, replaced whole (a new file renamed over it), so that a crash leaves the
// one or the other. Mode 0600 from the start.
#include "audit/key.h"
#include "base/cleanup.h"
#include "base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/stat.h>

enum { FILE_SIZE_MAX = 1024 };

#define MAGIC "kvs audit key "

static int fail_errno(struct kvs_message *ret_message, const char *path, const char *what)
{
    int errnum = errno;
    return kvs_fail(ret_message, kvs_err_from_errno(errnum), "audit key %s: cannot be %s: %s", path,
                    what, strerror(errnum));
}

// ---- Reading

static bool take(struct kvs_slice *rest, char separator, struct kvs_slice *ret_word)
{
    const char *at = rest->size > 0 ? memchr(rest->data, separator, rest->size) : NULL;
    if (!at)
        return false;
    size_t size = (size_t)(at - rest->data);
    *ret_word = kvs_slice(rest->data, size);
    *rest = kvs_slice(at + 1, rest->size - size - 1);
    return true;
}

// "current 3 0f…\n"
static bool take_key(struct kvs_slice *rest, struct kvs_slice name, struct kvs_audit_key *ret_key)
{
    struct kvs_slice word;
    struct kvs_slice epoch;
    struct kvs_slice seed;
    return take(rest, ' ', &word) && kvs_slice_eq(word, name) && take(rest, ' ', &epoch) &&
           kvs_slice_to_u64(epoch, &ret_key->epoch) && ret_key->epoch > 0 &&
           take(rest, '\n', &seed) &&
           kvs_audit_hex_parse(seed, ret_key->seed, sizeof(ret_key->seed));
}

static int parse(struct kvs_slice text, struct kvs_audit_keys *ret_keys)
{
    struct kvs_slice line;
    if (!take(&text, '\n', &line) || !kvs_slice_starts_with(line, KVS_SLICE(MAGIC)))
        return KVS_ERR_CORRUPT;
    if (!kvs_slice_eq(line, KVS_SLICE(MAGIC "1")))
        return KVS_ERR_VERSION;
    if (!take_key(&text, KVS_SLICE("current"), &ret_keys->current))
        return KVS_ERR_CORRUPT;
    if (text.size > 0 && !take_key(&text, KVS_SLICE("next"), &ret_keys->next))
        return KVS_ERR_CORRUPT;
    return text.size == 0 ? 0 : KVS_ERR_CORRUPT;
}

int kvs_audit_keys_load(const char *path, struct kvs_audit_keys *ret_keys,
                        struct kvs_message *ret_message)
{
    *ret_keys = (struct kvs_audit_keys){0};
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(ret_message, path, "opened");
    char text[FILE_SIZE_MAX];
    ssize_t size = read(fd, text, sizeof(text));
    if (size < 0)
        return fail_errno(ret_message, path, "read");
    int err = parse(kvs_slice(text, (size_t)size), ret_keys);
    OPENSSL_cleanse(text, sizeof(text));
    if (err) {
        kvs_audit_keys_done(ret_keys);
        return kvs_fail(ret_message, err, "audit key %s: %s", path, kvs_err_text(err));
    }
    return 0;
}

// ---- Writing

static void render_key(struct kvs_buf *out, const char *name, const struct kvs_audit_key *key)
{
    kvs_buf_printf(out, "%s %" PRIu64 " ", name, key->epoch);
    kvs_audit_hex_append(out, key->seed, sizeof(key->seed));
    kvs_buf_append_char(out, '\n');
}

// The replaced file, which only our descriptor still names. A file system that writes elsewhere
// (copy on write, flash) keeps the old blocks for a while all the same: the record says so.
static void scrub(int fd)
{
    static const char zeros[FILE_SIZE_MAX];
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_nlink != 0)
        return;
    size_t size = (size_t)status.st_size < sizeof(zeros) ? (size_t)status.st_size : sizeof(zeros);
    if (pwrite(fd, zeros, size, 0) > 0)
        (void)fsync(fd); // best effort, as all of this
}

static int replace(const char *path, const char *temporary, struct kvs_slice content)
{
    (void)unlink(temporary); // of a crash
    KVS_CLEANUP(kvs_closep) int old_fd = open(path, O_WRONLY | O_CLOEXEC);
    KVS_CLEANUP(kvs_closep)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (kvs_write_durably(fd, content) != 0 || rename(temporary, path) != 0 ||
        kvs_sync_folder_of(path) != 0)
        return -1;
    scrub(old_fd);
    return 0;
}

int kvs_audit_keys_save(const char *path, const struct kvs_audit_keys *keys,
                        struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *temporary = NULL;
    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        temporary = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "audit key %s: out of memory", path);
    }
    struct kvs_buf text = KVS_BUF_INIT(FILE_SIZE_MAX);
    (void)kvs_buf_reserve(&text, FILE_SIZE_MAX / 2); // so that it is never moved and left behind
    kvs_buf_append_str(&text, MAGIC "1\n");
    render_key(&text, "current", &keys->current);
    if (keys->next.epoch)
        render_key(&text, "next", &keys->next);
    int err = text.err;
    if (err)
        (void)kvs_fail(ret_message, err, "audit key %s: %s", path, kvs_err_text(err));
    else if (replace(path, temporary, kvs_buf_slice(&text)) != 0)
        err = fail_errno(ret_message, path, "written");
    if (text.data)
        OPENSSL_cleanse(text.data, text.capacity);
    kvs_buf_done(&text);
    return err;
}
