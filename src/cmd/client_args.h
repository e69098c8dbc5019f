// SPDX-License-Identifier: Apache-2.0
// What the client commands share: the options that say which node and which output, the open
// client, and how an error becomes a message and an exit code.
#ifndef KVS_CMD_CLIENT_ARGS_H
#define KVS_CMD_CLIENT_ARGS_H

#include "base/buf.h"
#include "cmd/cmd.h"
#include "kvs/kvs.h"

// Rows for the option table of every client command.
#define KVS_CMD_CLIENT_OPTIONS                                                                     \
    {"url", 'u', "URL[,URL]", "The node; with several of them one that can be reached"},           \
        {"token", 't', "TOKEN", "Shows in the process list: prefer --token-file or KVS_TOKEN"},    \
        {"token-file", 0, "FILE", "Take the token from the first line of FILE"},                   \
        {"cacert", 0, "FILE", "https: trust the certificates in FILE, not the system's"},          \
        {"client-cert", 0, "FILE", "https: the certificate to show to a node that asks"},          \
        {"client-key", 0, "FILE", "https: its key, if that is in another file"},                   \
        {"insecure", 0, NULL, "https: do not verify the node's certificate; for tests only"},      \
    {                                                                                              \
        "json", 'j', NULL, "JSON for scripts"                                                      \
    }

// What their help says below everything else.
#define KVS_CMD_CLIENT_DETAILS                                                                     \
    "Without --url the node is $KVS_URL, else http://127.0.0.1:8080; without a token it is\n"      \
    "$KVS_TOKEN, and $KVS_CACERT, $KVS_CLIENT_CERT and $KVS_CLIENT_KEY stand for the options of\n" \
    "https. On a terminal the output is made for people (NO_COLOR turns colours off), into a "     \
    "pipe\n"                                                                                       \
    "it is the bare result.\n"

enum kvs_cmd_output {
    KVS_CMD_OUTPUT_HUMAN, // stdout is a terminal
    KVS_CMD_OUTPUT_PLAIN, // a pipe or a file: nothing but the result
    KVS_CMD_OUTPUT_JSON,  // --json
};
enum kvs_cmd_output kvs_cmd_output(const struct kvs_args *args);

// A client for the node that the options or the environment name. KVS_EXIT_OK, or another code
// after saying why on stderr. Free *ret_client with kvs_client_free.
int kvs_cmd_client_open(const struct kvs_args *args, struct kvs_client **ret_client);

// The same with options of the command's own: the token is added, and the URLs unless it has some.
int kvs_cmd_client_open_with(const struct kvs_args *args, const struct kvs_client_options *options,
                             struct kvs_client **ret_client);

// Calls `visit` for each URL that the options or the environment name (NULL: none, so the default);
// it returns an exit code, and the greatest of them is returned.
int kvs_cmd_each_url(const struct kvs_args *args, int (*visit)(void *context, const char *url),
                     void *context);

enum kvs_exit_code kvs_cmd_exit_code(enum kvs_client_code code);

// "kvs: …" on stderr; returns the exit code for it.
int kvs_cmd_client_error(const struct kvs_client_error *error);

// Appends a whole file ("-": stdin) to `out`. KVS_EXIT_OK, or another code after saying why.
int kvs_cmd_read_file(const char *path, struct kvs_buf *out);

// What the command takes behind its key: the operand itself, the file in "@FILE", or stdin ("-", or
// no operand). `what` and `name` are for the message where there is none: "a value", "VALUE".
// KVS_EXIT_OK, or another code after saying why.
int kvs_cmd_read_operand(const struct kvs_args *args, const char *what, const char *name,
                         struct kvs_buf *out);

// After KVS_CLIENT_NOT_FOUND: whether keys lie under `key`, so that it was a prefix that was meant.
bool kvs_cmd_is_prefix(struct kvs_client *client, const char *key);

// Refuses a prefix that begins with a slash: no key does, so nothing would ever be found there.
int kvs_cmd_check_prefix(const struct kvs_args *args, const char *prefix);

// Writes it to stdout; KVS_EXIT_OK, or KVS_EXIT_FAILED (said on stderr) when `out` has an error.
int kvs_cmd_print(const struct kvs_buf *out);

#endif
