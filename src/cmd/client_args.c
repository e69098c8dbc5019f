// SPDX-License-Identifier: Apache-2.0
#include "cmd/client_args.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { URLS_MAX = 64, TOKEN_SIZE_MAX = 16 << 10 };

enum kvs_cmd_output kvs_cmd_output(const struct kvs_args *args)
{
    if (kvs_args_flag(args, "json"))
        return KVS_CMD_OUTPUT_JSON;
    return isatty(STDOUT_FILENO) ? KVS_CMD_OUTPUT_HUMAN : KVS_CMD_OUTPUT_PLAIN;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

// Cuts the text at its commas, in place.
static size_t split_urls(char *text, const char *ret_urls[static URLS_MAX])
{
    size_t count = 0;
    char *rest = NULL;
    for (char *url = strtok_r(text, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest)) {
        if (count == URLS_MAX)
            return URLS_MAX + 1;
        ret_urls[count++] = url;
    }
    return count;
}

static void close_file(FILE *file)
{
    if (file && file != stdin)
        (void)fclose(file); // only read from
}
KVS_DEFINE_CLEANUP(FILE, close_file)

static FILE *open_input(const char *path)
{
    if (strcmp(path, "-") == 0)
        return stdin;
    FILE *file = fopen(path, "re");
    if (!file)
        kvs_cmd_error("cannot open %s: %s", path, strerror(errno));
    return file;
}

int kvs_cmd_read_file(const char *path, struct kvs_buf *out)
{
    enum { STEP = 64 << 10 };
    KVS_CLEANUP(close_filep) FILE *file = open_input(path);
    if (!file)
        return KVS_EXIT_FAILED;
    char *room;
    while ((room = kvs_buf_reserve(out, STEP))) {
        size_t size = fread(room, 1, STEP, file);
        out->size += size;
        if (size < STEP)
            break;
    }
    if (out->err || ferror(file)) {
        kvs_cmd_error("cannot read %s: %s", path,
                      out->err ? kvs_err_text(out->err) : strerror(errno));
        return KVS_EXIT_FAILED;
    }
    return KVS_EXIT_OK;
}

// The token from wherever it is given; "" when there is none.
static int find_token(const struct kvs_args *args, struct kvs_buf *ret_token)
{
    const char *path = kvs_args_value(args, "token-file");
    const char *token = kvs_args_value(args, "token");
    if (path && token)
        return kvs_cmd_usage_error(args->command, "--token and --token-file exclude each other");
    if (path) {
        int code = kvs_cmd_read_file(path, ret_token);
        if (code != KVS_EXIT_OK)
            return code;
        const char *end = ret_token->size ? memchr(ret_token->data, '\n', ret_token->size) : NULL;
        if (end)
            ret_token->size = (size_t)(end - ret_token->data);
        if (ret_token->size == 0)
            return kvs_cmd_usage_error(args->command, "there is no token in %s", path);
    } else {
        const char *from_environment = environment("KVS_TOKEN");
        if (token || from_environment)
            kvs_buf_append_str(ret_token, token ? token : from_environment);
    }
    kvs_buf_append_char(ret_token, 0);
    return KVS_EXIT_OK;
}

// The option's value, else the variable's; NULL: neither.
static const char *value_or_environment(const struct kvs_args *args, const char *option,
                                        const char *variable)
{
    const char *value = kvs_args_value(args, option);
    return value ? value : environment(variable);
}

static void find_tls(const struct kvs_args *args, struct kvs_client_options *options)
{
    options->tls_ca_file = value_or_environment(args, "cacert", "KVS_CACERT");
    options->tls_cert_file = value_or_environment(args, "client-cert", "KVS_CLIENT_CERT");
    options->tls_key_file = value_or_environment(args, "client-key", "KVS_CLIENT_KEY");
    options->tls_skip_verify = kvs_args_flag(args, "insecure");
}

int kvs_cmd_client_open(const struct kvs_args *args, struct kvs_client **ret_client)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(TOKEN_SIZE_MAX + (64 << 10));
    const char *urls[URLS_MAX];
    struct kvs_client_options options = {.urls = urls};
    int code = find_token(args, &token);
    if (code != KVS_EXIT_OK)
        return code;
    options.token = token.data && token.data[0] ? token.data : NULL;
    find_tls(args, &options);
    const char *url = value_or_environment(args, "url", "KVS_URL");
    KVS_CLEANUP(kvs_freep) char *text = strdup(url ? url : "");
    if (!text) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    options.url_count = split_urls(text, urls);
    if (url && (options.url_count == 0 || options.url_count > URLS_MAX))
        return kvs_cmd_usage_error(args->command, "'%s' is no list of 1 to %d URLs", url, URLS_MAX);
    struct kvs_client_error error;
    *ret_client = kvs_client_new(&options, &error);
    return *ret_client ? KVS_EXIT_OK : kvs_cmd_client_error(&error);
}

static enum kvs_exit_code exit_code_of(enum kvs_client_code code)
{
    switch (code) {
    case KVS_CLIENT_OK:
        return KVS_EXIT_OK;
    case KVS_CLIENT_INVALID:
        return KVS_EXIT_USAGE;
    case KVS_CLIENT_NOT_FOUND:
        return KVS_EXIT_NOT_FOUND;
    case KVS_CLIENT_PRECONDITION:
        return KVS_EXIT_PRECONDITION;
    case KVS_CLIENT_UNREACHABLE:
        return KVS_EXIT_UNREACHABLE;
    case KVS_CLIENT_UNAUTHORIZED:
    case KVS_CLIENT_FORBIDDEN:
        return KVS_EXIT_DENIED;
    case KVS_CLIENT_RATE_LIMITED:
    case KVS_CLIENT_UNAVAILABLE:
        return KVS_EXIT_LATER;
    case KVS_CLIENT_NOMEM:
    case KVS_CLIENT_BROKEN:
    case KVS_CLIENT_TOO_LARGE:
    case KVS_CLIENT_UNEXPECTED:
        break;
    }
    return KVS_EXIT_FAILED;
}

// libcurl's own words tell what kind of trouble it was.
static const char *hint_unreachable(const char *message)
{
    if (strstr(message, "certificate"))
        return " (--cacert FILE or KVS_CACERT names the CA that has signed the node's certificate)";
    if (strstr(message, "wrong version number"))
        return " (that port does not speak TLS: write http://)";
    return " (does a node run there? 'kvs status' lists yours; --url or KVS_URL names another)";
}

int kvs_cmd_client_error(const struct kvs_client_error *error)
{
    const char *hint = "";
    if (error->code == KVS_CLIENT_UNREACHABLE)
        hint = hint_unreachable(error->message);
    else if (error->code == KVS_CLIENT_UNAUTHORIZED)
        hint = " (give a token with --token-file or KVS_TOKEN)";
    if (error->http_status >= 500 && error->request_id[0])
        kvs_cmd_error("%s (request %s)", error->message, error->request_id);
    else
        kvs_cmd_error("%s%s", error->message, hint);
    return exit_code_of(error->code);
}

int kvs_cmd_print(const struct kvs_buf *out)
{
    if (out->err) {
        kvs_cmd_error("cannot show the result: %s", kvs_err_text(out->err));
        return KVS_EXIT_FAILED;
    }
    (void)fwrite(out->data, 1, out->size, stdout); // kvs_cmd_main checks stdout at the end
    return KVS_EXIT_OK;
}
