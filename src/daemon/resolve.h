// SPDX-License-Identifier: Apache-2.0
// From the word that a person typed for CONFIG to the absolute path of a config file.
//
// A word with a '/' or with the ending ".yaml" is a path; ".yaml" is added where it is missing. A
// bare name is a config in the current folder if there is one, else the known instance of that
// name, else a config of the current folder that does not exist yet. Symbolic links are followed in
// the folder part only: the file's own name gives the instance its name.
#ifndef KVS_DAEMON_RESOLVE_H
#define KVS_DAEMON_RESOLVE_H

#include "daemon/instance.h"

// Does a first argument without command mean a config to run in the foreground?
bool kvs_config_path_is_explicit(const char *word);

// `folder` is the current folder, absolute. *ret_path is owned by the caller; *ret_note ("" mostly)
// says which config was taken where the name could mean several. KVS_ERR_INVALID: no config path;
// KVS_ERR_CONFLICT: a name of several instances, the message lists them.
KVS_MUST_CHECK int kvs_config_path_resolve(const char *word, const char *folder,
                                           const struct kvs_instance_list *known, char **ret_path,
                                           struct kvs_message *ret_note,
                                           struct kvs_message *ret_message);

#endif
