// SPDX-License-Identifier: Apache-2.0
// A folder of backups: making one, listing, expiring, clearing up. Names are
// kvs-backup-YYYY-MM-DDTHHMMSSZ.zst; while one is written it is .kvs-backup-XXXXXXXX.tmp, locked by
// its writer, and its scratch store .kvs-backup-XXXXXXXX.tmp.scratch. Several nodes may share a
// folder: each leaves the others' files alone.
#include "node/backup_internal.h"

#include "base/assert.h"
#include "base/civil.h"
#include "base/durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMP_PREFIX ".kvs-backup-"
#define TEMP_SUFFIX ".tmp"
#define SCRATCH_SUFFIX ".scratch"

enum { NAME_ATTEMPTS = 60, NAME_DIGITS = 14, OPEN_FOLDERS_MAX = 16, FILES_MAX = 1 << 20 };

static const char name_format[] = "kvs-backup-%04d-%02d-%02dT%02d%02d%02dZ.zst";

// ---- Paths

char *kvs_backup_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

int kvs_backup_sync_folder(const char *path)
{
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) != 0 ? kvs_err_from_errno(errno) : 0;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat;
    (void)kind;
    (void)ftw;
    return remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

int kvs_backup_remove_tree(const char *path)
{
    int errnum = nftw(path, remove_one, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS);
    if (errnum < 0)
        errnum = errno;
    return errnum == 0 || errnum == ENOENT ? 0 : kvs_err_from_errno(errnum);
}

static int make_folder(const char *path, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *copy = strdup(path);
    if (!copy)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0700); // what fails here fails below
        *slash = '/';
    }
    struct stat stat_of;
    if ((mkdir(copy, 0700) != 0 && errno != EEXIST) || stat(copy, &stat_of) != 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "create the folder %s: %s", path,
                        strerror(errno));
    if (!S_ISDIR(stat_of.st_mode))
        return kvs_fail(ret_message, KVS_ERR_CONFLICT, "%s is a file: set backup_path to a folder",
                        path);
    if (kvs_sync_folders_above(path) != 0) // else a power failure takes it away, with all backups
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "create the folder %s: %s", path,
                        strerror(errno));
    return 0;
}

// ---- Names

static void format_name(int64_t unix_s, char ret_name[static KVS_BACKUP_NAME_SIZE + 1])
{
    struct kvs_civil civil = kvs_civil_from_unix(unix_s);
    (void)snprintf(ret_name, KVS_BACKUP_NAME_SIZE + 1, name_format, (int)civil.year, civil.month,
                   civil.day, civil.hour, civil.minute, civil.second);
}

// The digits of a name, in their order; false when it is not made like one.
static bool read_digits(const char *name, char ret_digits[static NAME_DIGITS])
{
    static const char pattern[] = "kvs-backup-####-##-##T######Z.zst";
    size_t count = 0;
    if (strlen(name) != KVS_BACKUP_NAME_SIZE)
        return false;
    for (size_t i = 0; i < KVS_BACKUP_NAME_SIZE; i++) {
        bool digit = name[i] >= '0' && name[i] <= '9';
        if (pattern[i] == '#' ? !digit : name[i] != pattern[i])
            return false;
        if (pattern[i] == '#')
            ret_digits[count++] = name[i];
    }
    return true;
}

static int number(const char *digits, size_t size)
{
    int value = 0;
    for (size_t i = 0; i < size; i++)
        value = value * 10 + (digits[i] - '0');
    return value;
}

// Only what format_name would write.
static bool parse_name(const char *name, int64_t *ret_unix_s)
{
    char digits[NAME_DIGITS];
    if (!read_digits(name, digits))
        return false;
    int64_t days = kvs_civil_days(number(digits, 4), number(digits + 4, 2), number(digits + 6, 2));
    int64_t hours = days * 24 + number(digits + 8, 2);
    *ret_unix_s = (hours * 60 + number(digits + 10, 2)) * 60 + number(digits + 12, 2);
    char again[KVS_BACKUP_NAME_SIZE + 1];
    format_name(*ret_unix_s, again);
    return strcmp(name, again) == 0;
}

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

// ---- Making one

struct work {
    char *temp;    // path
    char *scratch; // path
    int fd;        // locked
};

static void work_done(struct work *work)
{
    if (work->temp && work->fd >= 0)
        (void)unlink(work->temp); // gone already when it got its name
    kvs_closep(&work->fd);
    free(work->temp);
    free(work->scratch);
}

static int work_begin(const struct kvs_backup_options *options, struct work *work,
                      struct kvs_message *ret_message)
{
    *work = (struct work){.fd = -1};
    char name[64];
    (void)snprintf(name, sizeof(name), TEMP_PREFIX "%08x" TEMP_SUFFIX,
                   (unsigned)(uint32_t)kvs_random_u64(options->random)); // always fits
    work->temp = join(options->folder, name);
    (void)snprintf(name + strlen(name), sizeof(name) - strlen(name), SCRATCH_SUFFIX);
    work->scratch = join(options->folder, name);
    if (!work->temp || !work->scratch)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    int fd = open(work->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "create %s: %s", work->temp,
                        strerror(errno));
    work->fd = fd;
    // A cleaner that came between the two calls has removed it: then naming it fails.
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return kvs_fail(ret_message, KVS_ERR_IO, "lock %s: %s", work->temp, strerror(errno));
    return 0;
}

// Restores it to scratch and looks at what comes out.
static int prove(const struct kvs_backup_options *options, const struct work *work,
                 const struct kvs_backup_info *info, struct kvs_message *ret_message)
{
    kvs_assert(work->scratch);
    struct kvs_backup_info restored;
    int err = kvs_backup_load(work->temp, work->scratch, options->watch, &restored, ret_message);
    if (!err && !kvs_backup_content_eq(&restored.content, &info->content))
        err = kvs_fail(ret_message, KVS_ERR_CORRUPT, "%s: another fingerprint after reading it",
                       work->temp);
    int removed = kvs_backup_remove_tree(work->scratch);
    if (err)
        return err == KVS_ERR_SHUTDOWN ? err
                                       : kvs_fail_wrap(ret_message, err, "verify by restoring");
    return removed ? kvs_fail(ret_message, removed, "remove %s: %s", work->scratch,
                              kvs_err_text(removed))
                   : 0;
}

// Never over another one's file: where the name is taken, a second later.
static int give_name(const struct kvs_backup_options *options, const struct work *work,
                     int64_t unix_s, char **ret_path, struct kvs_message *ret_message)
{
    char name[KVS_BACKUP_NAME_SIZE + 1];
    for (int i = 0; i < NAME_ATTEMPTS; i++) {
        format_name(unix_s + i, name);
        KVS_CLEANUP(kvs_freep) char *path = join(options->folder, name);
        if (!path)
            return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
        if (renameat2(AT_FDCWD, work->temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
            int err = kvs_backup_sync_folder(options->folder);
            if (err) // not known to be there after a power failure: not a backup
                (void)unlink(path);
            else
                *ret_path = KVS_TAKE(path);
            return err ? kvs_fail(ret_message, err, "sync the folder %s: %s", options->folder,
                                  kvs_err_text(err))
                       : 0;
        }
        if (errno != EEXIST)
            return kvs_fail(ret_message, kvs_err_from_errno(errno), "rename %s to %s: %s",
                            work->temp, path, strerror(errno));
    }
    return kvs_fail(ret_message, KVS_ERR_CONFLICT, "too many backups of one minute in %s",
                    options->folder);
}

static int create(const struct kvs_backup_options *options, struct kvs_backup_view *view,
                  struct kvs_backup_info *info, char **ret_path, struct kvs_message *ret_message)
{
    struct work work;
    int err = work_begin(options, &work, ret_message);
    if (!err)
        err = kvs_backup_write_file(work.fd, work.temp, options->compression_level, view,
                                    options->watch, info, ret_message);
    if (!err)
        err = prove(options, &work, info, ret_message);
    if (!err)
        err = give_name(options, &work, info->created_at_ms / 1000, ret_path, ret_message);
    work_done(&work);
    return err;
}

int kvs_backup_create(const struct kvs_backup_options *options, struct kvs_backup_view *view,
                      struct kvs_backup_info *ret_info, char **ret_path,
                      struct kvs_message *ret_message)
{
    *ret_info = (struct kvs_backup_info){.format = KVS_BACKUP_FORMAT};
    ret_info->created_at_ms = kvs_clock_wall_ms(options->clock);
    (void)snprintf(ret_info->node_id, sizeof(ret_info->node_id), "%s",
                   options->node_id ? options->node_id : "");
    (void)snprintf(ret_info->release, sizeof(ret_info->release), "%s", KVS_VERSION);
    kvs_random_fill(options->random, ret_info->prf.bytes, sizeof(ret_info->prf.bytes));
    int err = make_folder(options->folder, ret_message);
    if (!err)
        err = kvs_backup_view_identify(view, ret_info, ret_message);
    if (!err) {
        kvs_backup_clean(options->folder);
        err = create(options, view, ret_info, ret_path, ret_message);
    }
    kvs_backup_view_done(view);
    return err;
}

// ---- Clearing up

static void clean_one(const char *folder, const char *name)
{
    bool scratch = kvs_slice_ends_with(kvs_slice_from_str(name), KVS_SLICE(SCRATCH_SUFFIX));
    KVS_CLEANUP(kvs_freep) char *path = join(folder, name);
    if (!path)
        return;
    KVS_CLEANUP(kvs_freep)
    char *temp = scratch ? strndup(path, strlen(path) - strlen(SCRATCH_SUFFIX)) : strdup(path);
    if (!temp)
        return;
    KVS_CLEANUP(kvs_closep) int fd = open(temp, O_RDONLY | O_CLOEXEC);
    if (fd < 0 ? errno != ENOENT : flock(fd, LOCK_EX | LOCK_NB) != 0)
        return; // somebody is writing it, or it is not ours to judge
    if (scratch)
        (void)kvs_backup_remove_tree(path); // a later cleaner will try again
    else
        (void)unlink(path);
}

void kvs_backup_clean(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        struct kvs_slice name = kvs_slice_from_str(entry->d_name);
        if (kvs_slice_starts_with(name, KVS_SLICE(TEMP_PREFIX)) &&
            (kvs_slice_ends_with(name, KVS_SLICE(TEMP_SUFFIX)) ||
             kvs_slice_ends_with(name, KVS_SLICE(TEMP_SUFFIX SCRATCH_SUFFIX))))
            clean_one(folder, entry->d_name);
    }
    (void)closedir(dir); // only read
}

// ---- Listing

void kvs_backup_list_done(struct kvs_backup_list *list)
{
    free(list->files);
    *list = (struct kvs_backup_list){0};
}

static int newest_first(const void *a, const void *b)
{
    const struct kvs_backup_file *x = a;
    const struct kvs_backup_file *y = b;
    return (x->named_s < y->named_s) - (x->named_s > y->named_s);
}

static int add_file(const char *folder, const char *name, int64_t named_s,
                    struct kvs_backup_list *list, size_t *capacity)
{
    if (list->count == *capacity) {
        size_t larger = *capacity > 0 ? 2 * *capacity : 16;
        struct kvs_backup_file *files =
            larger <= FILES_MAX ? reallocarray(list->files, larger, sizeof(*files)) : NULL;
        if (!files)
            return KVS_ERR_NOMEM;
        list->files = files;
        *capacity = larger;
    }
    KVS_CLEANUP(kvs_freep) char *path = join(folder, name);
    struct stat stat_of;
    if (!path)
        return KVS_ERR_NOMEM;
    if (stat(path, &stat_of) != 0 || !S_ISREG(stat_of.st_mode))
        return 0; // gone meanwhile, or no file
    struct kvs_backup_file *file = &list->files[list->count];
    *file = (struct kvs_backup_file){.named_s = named_s, .size = (uint64_t)stat_of.st_size};
    memcpy(file->name, name, sizeof(file->name));
    file->err = kvs_backup_peek(path, &file->info, NULL);
    list->count += file->err != KVS_ERR_NOT_FOUND;
    return 0;
}

int kvs_backup_list(const char *folder, struct kvs_backup_list *ret_list,
                    struct kvs_message *ret_message)
{
    *ret_list = (struct kvs_backup_list){0};
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT)
        return 0;
    if (!dir)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "open the folder %s: %s", folder,
                        strerror(errno));
    size_t capacity = 0;
    int err = 0;
    for (const struct dirent *entry; !err && (entry = readdir(dir));) {
        int64_t named_s = 0;
        if (parse_name(entry->d_name, &named_s))
            err = add_file(folder, entry->d_name, named_s, ret_list, &capacity);
    }
    (void)closedir(dir); // only read
    if (err) {
        kvs_backup_list_done(ret_list);
        return kvs_fail(ret_message, err, "list %s: %s", folder, kvs_err_text(err));
    }
    if (ret_list->count > 0)
        qsort(ret_list->files, ret_list->count, sizeof(*ret_list->files), newest_first);
    return 0;
}

// ---- Expiring

static bool is_of(const struct kvs_backup_file *file, const struct kvs_uuid *node)
{
    return file->err == 0 && kvs_uuid_cmp(&file->info.node.node, node) == 0;
}

// Damaged files are never ours to delete: a person should look at them.
static int find_good(const char *folder, const struct kvs_backup_list *list,
                     const struct kvs_uuid *node, const char *good,
                     const struct kvs_backup_watch *watch, size_t *ret_index,
                     struct kvs_message *ret_message)
{
    *ret_index = list->count;
    for (size_t i = 0; i < list->count; i++) {
        const struct kvs_backup_file *file = &list->files[i];
        if (!is_of(file, node))
            continue;
        if (good && strcmp(file->name, good) == 0) {
            *ret_index = i;
            return 0;
        }
        if (good)
            continue;
        KVS_CLEANUP(kvs_freep) char *path = join(folder, file->name);
        struct kvs_backup_info info;
        int err = path ? kvs_backup_verify(path, watch, &info, ret_message) : KVS_ERR_NOMEM;
        if (err == 0)
            *ret_index = i;
        if (err != KVS_ERR_CORRUPT && err != KVS_ERR_IO)
            return err;
    }
    return 0;
}

static bool any_expired(const struct kvs_backup_list *list, const struct kvs_uuid *node,
                        int64_t before_s)
{
    for (size_t i = 0; i < list->count; i++)
        if (is_of(&list->files[i], node) && list->files[i].named_s < before_s)
            return true;
    return false;
}

static int expire(const char *folder, const struct kvs_backup_list *list,
                  const struct kvs_uuid *node, int64_t before_s, size_t keep, size_t *ret_deleted,
                  struct kvs_message *ret_message)
{
    int first_err = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (i == keep || !is_of(&list->files[i], node) || list->files[i].named_s >= before_s)
            continue;
        KVS_CLEANUP(kvs_freep) char *path = join(folder, list->files[i].name);
        if (path && (unlink(path) == 0 || errno == ENOENT)) {
            ++*ret_deleted;
            continue;
        }
        int err = path ? kvs_err_from_errno(errno) : KVS_ERR_NOMEM;
        if (!first_err)
            first_err = kvs_fail(ret_message, err, "delete %s/%s: %s", folder, list->files[i].name,
                                 path ? strerror(errno) : "out of memory");
    }
    return first_err;
}

int kvs_backup_expire(const char *folder, const struct kvs_uuid *node, int64_t now_s, int64_t days,
                      const char *good, const struct kvs_backup_watch *watch, size_t *ret_deleted,
                      struct kvs_message *ret_message)
{
    *ret_deleted = 0;
    struct kvs_backup_list list;
    int err = kvs_backup_list(folder, &list, ret_message);
    if (err)
        return err;
    int64_t before_s = now_s - days * KVS_BACKUP_RETENTION_DAY_S;
    size_t keep = list.count;
    if (any_expired(&list, node, before_s)) {
        err = find_good(folder, &list, node, good, watch, &keep, ret_message);
        // Where none is good, none goes: a damaged one may be better than nothing.
        if (!err && keep < list.count)
            err = expire(folder, &list, node, before_s, keep, ret_deleted, ret_message);
    }
    kvs_backup_list_done(&list);
    return err;
}
