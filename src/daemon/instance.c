// SPDX-License-Identifier: Apache-2.0
// The registry is one note an instance; the lock of the home makes each operation one step. A name
// counts as taken while its note's config file exists or its node runs.
#include "daemon/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/slice.h"
#include "daemon/pidfile.h"
#include "daemon/textfile.h"

enum { NAME_MAX_SIZE = 200 };

void kvs_instance_free(struct kvs_instance *instance)
{
    if (!instance)
        return;
    kvs_closep(&instance->lock_fd);
    free(instance->name);
    free(instance->config_path);
    free(instance->pid_path);
    free(instance->log_path);
    free(instance->address);
    free(instance);
}

void kvs_instance_list_done(struct kvs_instance_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        kvs_instance_free(list->items[i]);
    free(list->items);
    *list = (struct kvs_instance_list){0};
}

static int instance_new(const struct kvs_home *home, const char *name, const char *config_path,
                        const char *log_name, const char *address,
                        struct kvs_instance **ret_instance)
{
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *instance = calloc(1, sizeof(*instance));
    if (!instance)
        return KVS_ERR_NOMEM;
    instance->lock_fd = -1;
    instance->name = strdup(name);
    instance->config_path = strdup(config_path);
    instance->pid_path = kvs_home_path(home, "pids", name, ".pid");
    instance->log_path = kvs_home_path(home, "logs", log_name, "");
    instance->address = strdup(address);
    if (!instance->name || !instance->config_path || !instance->pid_path || !instance->log_path ||
        !instance->address)
        return KVS_ERR_NOMEM;
    *ret_instance = KVS_TAKE(instance);
    return 0;
}

static int list_append(struct kvs_instance_list *list, struct kvs_instance *instance)
{
    struct kvs_instance **items =
        realloc(list->items, (list->count + 1) * sizeof(struct kvs_instance *));
    if (!items)
        return KVS_ERR_NOMEM;
    list->items = items;
    list->items[list->count++] = instance;
    return 0;
}

static const char *log_name_of(const struct kvs_instance *instance)
{
    return strrchr(instance->log_path, '/') + 1;
}

// ---- Names

static struct kvs_slice stem_of(const char *config_path)
{
    struct kvs_slice file = kvs_slice_from_str(strrchr(config_path, '/') + 1);
    const char *dot = memrchr(file.data, '.', file.size);
    if (dot && dot > file.data)
        file.size = (size_t)(dot - file.data);
    return file;
}

// "a_node1.yaml" for /srv/a/node1.yaml.
static char *log_stem_of(const char *config_path)
{
    const char *file = strrchr(config_path, '/') + 1;
    const char *folder = file - 1;
    while (folder > config_path && folder[-1] != '/')
        folder--;
    char *stem = NULL;
    return asprintf(&stem, "%.*s_%s", (int)(file - 1 - folder), folder, file) < 0 ? NULL : stem;
}

static bool is_taken(const struct kvs_instance_list *list, const char *name, const char *log_name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i]->name, name) == 0 ||
            strcmp(log_name_of(list->items[i]), log_name) == 0)
            return true;
    }
    return false;
}

// The instance that a config not yet in `list` becomes.
static int instance_name(const struct kvs_home *home, const struct kvs_instance_list *list,
                         const char *config_path, struct kvs_instance **ret_instance,
                         struct kvs_message *ret_message)
{
    struct kvs_slice stem = stem_of(config_path);
    KVS_CLEANUP(kvs_freep) char *log_stem = log_stem_of(config_path);
    if (!log_stem)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    if (stem.size > NAME_MAX_SIZE || strlen(log_stem) > NAME_MAX_SIZE)
        return kvs_fail(ret_message, KVS_ERR_INVALID,
                        "the names of file and folder are too long: together at most %d bytes",
                        NAME_MAX_SIZE);
    char name[NAME_MAX_SIZE + 16], log_name[NAME_MAX_SIZE + 16];
    (void)snprintf(name, sizeof(name), "%.*s", KVS_SLICE_FMT(stem));
    (void)snprintf(log_name, sizeof(log_name), "%s.log", log_stem);
    if (is_taken(list, name, log_name)) {
        unsigned hash = XXH32(config_path, strlen(config_path), 0);
        (void)snprintf(name, sizeof(name), "%.*s-%08x", KVS_SLICE_FMT(stem), hash);
        (void)snprintf(log_name, sizeof(log_name), "%s-%08x.log", log_stem, hash);
        if (is_taken(list, name, log_name))
            return kvs_fail(ret_message, KVS_ERR_CONFLICT,
                            "the name %s is taken by another config: rename the file", name);
    }
    int err = instance_new(home, name, config_path, log_name, "", ret_instance);
    return err == 0 ? 0 : kvs_fail(ret_message, err, "out of memory");
}

// ---- The registry, with the home's lock held

// Looks at the PID file: does the node run? A running node's PID file also says which config it
// runs, should the note about it be gone.
static int instance_refresh(struct kvs_instance *instance)
{
    struct kvs_pidfile pidfile;
    int err = kvs_pidfile_read(instance->pid_path, &pidfile);
    instance->running = err == 0 && pidfile.locked;
    instance->pid = instance->running ? pidfile.pid : 0;
    instance->started_ms = instance->running ? pidfile.started_ms : 0;
    kvs_pidfile_done(&pidfile);
    if (err == 0 && !instance->running)
        (void)unlink(instance->pid_path); // left by a crash; if it cannot go it does no harm
    return err == KVS_ERR_NOMEM ? err : 0;
}

static int load_note(struct kvs_home *home, const char *name, struct kvs_instance_list *list)
{
    KVS_CLEANUP(kvs_freep) char *path = kvs_home_path(home, "instances", name, "");
    if (!path)
        return KVS_ERR_NOMEM;
    KVS_CLEANUP(kvs_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    char *lines[3];
    KVS_CLEANUP(kvs_freep) char *text = NULL;
    int err = fd >= 0 ? kvs_textfile_read(fd, 3, lines, &text) : KVS_ERR_SYNTAX;
    if (err == KVS_ERR_NOMEM)
        return err;
    if (err != 0 || lines[0][0] != '/' || lines[1][0] == 0 || strchr(lines[1], '/')) {
        (void)unlink(path); // damaged: the instance is registered anew when it starts next
        return 0;
    }
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *instance = NULL;
    err = instance_new(home, name, lines[0], lines[1], lines[2], &instance);
    if (err == 0)
        err = instance_refresh(instance);
    if (err != 0)
        return err;
    if (!instance->running && access(instance->config_path, F_OK) != 0 && errno == ENOENT) {
        (void)unlink(path); // the config is gone: nothing is left to start
        return 0;
    }
    err = list_append(list, instance);
    if (err == 0)
        (void)KVS_TAKE(instance); // the list's now
    return err;
}

static bool list_has(const struct kvs_instance_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i]->name, name) == 0)
            return true;
    }
    return false;
}

// A PID file without a note: a node that runs is an instance all the same, anything else is stale.
static int load_pidfile(struct kvs_home *home, const char *file, struct kvs_instance_list *list)
{
    char name[NAME_MAX_SIZE + 16];
    size_t size = strlen(file);
    if (size <= 4 || size >= sizeof(name) || strcmp(file + size - 4, ".pid") != 0)
        return 0;
    (void)snprintf(name, sizeof(name), "%.*s", (int)(size - 4), file);
    if (list_has(list, name))
        return 0;
    KVS_CLEANUP(kvs_freep) char *path = kvs_home_path(home, "pids", name, ".pid");
    if (!path)
        return KVS_ERR_NOMEM;
    struct kvs_pidfile pidfile;
    int err = kvs_pidfile_read(path, &pidfile);
    KVS_CLEANUP(kvs_freep) char *config_path = KVS_TAKE(pidfile.config_path);
    KVS_CLEANUP(kvs_freep) char *log_stem = NULL;
    bool known = err == 0 && pidfile.locked && config_path[0] == '/';
    kvs_pidfile_done(&pidfile);
    if (err == KVS_ERR_NOMEM || (known && !(log_stem = log_stem_of(config_path))))
        return KVS_ERR_NOMEM;
    if (!known) {
        (void)unlink(path); // stale
        return 0;
    }
    char log_name[NAME_MAX_SIZE + 300];
    (void)snprintf(log_name, sizeof(log_name), "%s%s.log", log_stem,
                   strlen(name) > stem_of(config_path).size ? name + stem_of(config_path).size
                                                            : "");
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *instance = NULL;
    err = instance_new(home, name, config_path, log_name, "", &instance);
    if (err == 0)
        err = instance_refresh(instance);
    if (err == 0)
        err = list_append(list, instance);
    if (err == 0)
        (void)KVS_TAKE(instance); // the list's now
    return err;
}

// Calls `load` for every file of a folder.
static int load_folder(struct kvs_home *home, const char *folder,
                       int (*load)(struct kvs_home *, const char *, struct kvs_instance_list *),
                       struct kvs_instance_list *list)
{
    KVS_CLEANUP(kvs_freep) char *path = kvs_home_path(home, folder, NULL, "");
    DIR *dir = path ? opendir(path) : NULL;
    if (!dir)
        return path ? kvs_err_from_errno(errno) : KVS_ERR_NOMEM;
    int err = 0;
    const struct dirent *entry;
    while (err == 0 && list->count < KVS_INSTANCES_MAX && (entry = readdir(dir))) {
        bool itself = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!itself && strlen(entry->d_name) < NAME_MAX_SIZE + 16)
            err = load(home, entry->d_name, list);
    }
    (void)closedir(dir); // only read
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct kvs_instance *const *)a)->name,
                  (*(struct kvs_instance *const *)b)->name);
}

static int list_locked(struct kvs_home *home, struct kvs_instance_list *ret_list,
                       struct kvs_message *ret_message)
{
    struct kvs_instance_list list = {0};
    int err = load_folder(home, "instances", load_note, &list);
    if (err == 0)
        err = load_folder(home, "pids", load_pidfile, &list);
    if (err != 0) {
        kvs_instance_list_done(&list);
        return kvs_fail(ret_message, err, "cannot read %s: %s", home->root, kvs_err_text(err));
    }
    if (list.count > 1)
        qsort(list.items, list.count, sizeof(struct kvs_instance *), by_name);
    *ret_list = list;
    return 0;
}

int kvs_instance_list(struct kvs_home *home, struct kvs_instance_list *ret_list,
                      struct kvs_message *ret_message)
{
    int err = kvs_home_lock(home, ret_message);
    if (err != 0)
        return err;
    err = list_locked(home, ret_list, ret_message);
    kvs_home_unlock(home);
    return err;
}

static int save_note(const struct kvs_home *home, const struct kvs_instance *instance,
                     struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *note = kvs_home_path(home, "instances", instance->name, "");
    KVS_CLEANUP(kvs_freep) char *temporary = kvs_home_path(home, "note.new", NULL, "");
    if (!note || !temporary)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    const char *lines[] = {instance->config_path, log_name_of(instance), instance->address};
    return kvs_textfile_write(note, temporary, KVS_ARRAY_SIZE(lines), lines, ret_message);
}

static int register_locked(struct kvs_home *home, const char *config_path,
                           struct kvs_instance **ret_instance, struct kvs_message *ret_message)
{
    struct kvs_instance_list list = {0};
    int err = list_locked(home, &list, ret_message);
    if (err != 0)
        return err;
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *instance = NULL;
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.items[i]->config_path, config_path) == 0)
            instance = KVS_TAKE(list.items[i]); // list_done accepts the hole
        if (instance)
            break;
    }
    if (!instance)
        err = instance_name(home, &list, config_path, &instance, ret_message);
    kvs_instance_list_done(&list);
    if (err != 0)
        return err;
    kvs_assert(instance);
    err = save_note(home, instance, ret_message);
    if (err == 0)
        *ret_instance = KVS_TAKE(instance);
    return err;
}

int kvs_instance_register(struct kvs_home *home, const char *config_path,
                          struct kvs_instance **ret_instance, struct kvs_message *ret_message)
{
    kvs_assert(config_path[0] == '/');
    int err = kvs_home_lock(home, ret_message);
    if (err != 0)
        return err;
    err = register_locked(home, config_path, ret_instance, ret_message);
    kvs_home_unlock(home);
    return err;
}

int kvs_instance_enter(struct kvs_home *home, struct kvs_instance *instance,
                       struct kvs_message *ret_message)
{
    kvs_assert(instance->lock_fd < 0);
    int err = kvs_home_lock(home, ret_message);
    if (err != 0)
        return err;
    err = kvs_pidfile_take(instance->pid_path, instance->config_path, &instance->lock_fd,
                           ret_message);
    kvs_home_unlock(home);
    return err;
}

int kvs_instance_set_address(struct kvs_home *home, struct kvs_instance *instance,
                             const char *address, struct kvs_message *ret_message)
{
    kvs_assert(instance->lock_fd >= 0);
    char *copy = strdup(address);
    if (!copy)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    free(instance->address);
    instance->address = copy;
    int err = kvs_home_lock(home, ret_message);
    if (err != 0)
        return err;
    err = save_note(home, instance, ret_message);
    kvs_home_unlock(home);
    return err;
}

void kvs_instance_leave(struct kvs_home *home, struct kvs_instance *instance)
{
    if (instance->lock_fd < 0)
        return;
    bool locked = kvs_home_lock(home, NULL) == 0;
    if (locked)
        (void)unlink(instance->pid_path); // if it stays it is recognised as stale
    kvs_closep(&instance->lock_fd);
    if (locked)
        kvs_home_unlock(home);
}
