// SPDX-License-Identifier: Apache-2.0
#include "daemon/resolve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/slice.h"

static bool has_yaml_ending(const char *word)
{
    return kvs_slice_ends_with(kvs_slice_from_str(word), KVS_SLICE(".yaml"));
}

bool kvs_config_path_is_explicit(const char *word)
{
    return has_yaml_ending(word);
}

static int check_word(const char *word, struct kvs_message *ret_message)
{
    const char *slash = strrchr(word, '/');
    const char *file = slash ? slash + 1 : word;
    if (file[0] == 0 || strcmp(file, ".yaml") == 0 || strcmp(file, ".") == 0 ||
        strcmp(file, "..") == 0)
        return kvs_fail(ret_message, KVS_ERR_INVALID, "'%s' is no config file", word);
    if (kvs_slice_ends_with(kvs_slice_from_str(file), KVS_SLICE(".yml")))
        return kvs_fail(ret_message, KVS_ERR_INVALID, "'%s': config files end in .yaml: rename it",
                        word);
    for (const char *p = word; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return kvs_fail(ret_message, KVS_ERR_INVALID,
                            "the path of a config must not hold control characters");
    }
    return 0;
}

// Absolute, the folder part without symbolic links, ".yaml" added.
static int absolute_path(const char *word, const char *folder, char **ret_path,
                         struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    if (asprintf(&path, "%s%s%s%s", word[0] == '/' ? "" : folder, word[0] == '/' ? "" : "/", word,
                 has_yaml_ending(word) ? "" : ".yaml") < 0) {
        path = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    char *file = strrchr(path, '/') + 1;
    KVS_CLEANUP(kvs_freep) char *name = strdup(file);
    *file = 0; // leaves the folder with its slash
    KVS_CLEANUP(kvs_freep) char *real = name ? realpath(path, NULL) : NULL;
    if (!real)
        return kvs_fail(ret_message, KVS_ERR_INVALID, "%s: the folder %s: %s", word, path,
                        strerror(errno));
    if (asprintf(ret_path, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name) < 0) {
        *ret_path = NULL;
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
    }
    return 0;
}

// Is `word` the instance's name, or its config's file name?
static bool goes_by(const struct kvs_instance *instance, const char *word)
{
    const char *file = strrchr(instance->config_path, '/') + 1;
    size_t size = strlen(word);
    return strcmp(instance->name, word) == 0 ||
           (strncmp(file, word, size) == 0 && strcmp(file + size, ".yaml") == 0);
}

static void append_path(struct kvs_message *message, const char *separator, const char *path)
{
    size_t used = strlen(message->text);
    (void)snprintf(message->text + used, sizeof(message->text) - used, "%s%s", separator, path);
}

int kvs_config_path_resolve(const char *word, const char *folder,
                            const struct kvs_instance_list *known, char **ret_path,
                            struct kvs_message *ret_note, struct kvs_message *ret_message)
{
    *ret_note = (struct kvs_message){{0}};
    int err = check_word(word, ret_message);
    if (err != 0)
        return err;
    KVS_CLEANUP(kvs_freep) char *here = NULL;
    err = absolute_path(word, folder, &here, ret_message);
    if (err != 0)
        return err;
    kvs_assert(here);
    struct kvs_message others = {{0}};
    const struct kvs_instance *other = NULL;
    size_t count = 0;
    bool bare = !strchr(word, '/') && !has_yaml_ending(word);
    for (size_t i = 0; bare && i < known->count; i++) {
        if (!goes_by(known->items[i], word) || strcmp(known->items[i]->config_path, here) == 0)
            continue;
        other = known->items[i];
        append_path(&others, count++ > 0 ? ", " : "", other->config_path);
    }
    if (count > 0 && access(here, F_OK) == 0) {
        (void)kvs_fail(ret_note, 0, "%s: taken as %s, not as %s", word, here, others.text);
        count = 0;
    }
    if (count > 1)
        return kvs_fail(ret_message, KVS_ERR_CONFLICT, "'%s' could mean several: %s: give the path",
                        word, others.text);
    *ret_path = count == 1 ? strdup(other->config_path) : KVS_TAKE(here);
    return *ret_path ? 0 : kvs_fail(ret_message, KVS_ERR_NOMEM, "out of memory");
}
