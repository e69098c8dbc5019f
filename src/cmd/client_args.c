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

struct urls {
    const char *items[URLS_MAX];
    size_t count; // URLS_MAX + 1: more than there is room for
    char *texts[KVS_CMD_GIVEN_MAX];
    size_t text_count;
};

static void urls_donep(struct urls *urls)
{
    for (size_t i = 0; i < urls->text_count; i++)
        free(urls->texts[i]);
}

// Adds what stands between the commas of the text. False: out of memory.
static bool add_urls(struct urls *urls, const char *list)
{
    char *text = strdup(list);
    char *rest = NULL;
    if (!text)
        return false;
    urls->texts[urls->text_count++] = text;
    for (char *url = strtok_r(text, ", ", &rest); url; url = strtok_r(NULL, ", ", &rest)) {
        if (urls->count >= URLS_MAX)
            urls->count = URLS_MAX + 1;
        else
            urls->items[urls->count++] = url;
    }
    return true;
}

// Every --url, else KVS_URL.
static int find_urls(const struct kvs_args *args, struct urls *ret_urls)
{
    const char *from_environment = environment("KVS_URL");
    const char *list;
    bool given = false;
    bool good = true;
    for (size_t at = 0; good && (list = kvs_args_each(args, "url", &at));) {
        given = true;
        good = add_urls(ret_urls, list);
    }
    if (!given && from_environment) {
        given = true;
        good = add_urls(ret_urls, from_environment);
    }
    if (!good) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    if (given && (ret_urls->count == 0 || ret_urls->count > URLS_MAX))
        return kvs_cmd_usage_error(args->command, "%s names no URL, or more than %d of them",
                                   kvs_args_value(args, "url") ? "--url" : "KVS_URL", URLS_MAX);
    return KVS_EXIT_OK;
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
    const char *ca_file = value_or_environment(args, "cacert", "KVS_CACERT");
    const char *cert_file = value_or_environment(args, "client-cert", "KVS_CLIENT_CERT");
    const char *key_file = value_or_environment(args, "client-key", "KVS_CLIENT_KEY");
    if (ca_file)
        options->tls_ca_file = ca_file;
    if (cert_file || key_file) {
        options->tls_cert_file = cert_file;
        options->tls_key_file = key_file;
    }
    options->tls_skip_verify = options->tls_skip_verify || kvs_args_flag(args, "insecure");
}

int kvs_cmd_client_open_with(const struct kvs_args *args, const struct kvs_client_options *options,
                             struct kvs_client **ret_client)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(TOKEN_SIZE_MAX + (64 << 10));
    KVS_CLEANUP(urls_donep) struct urls urls = {.count = 0};
    int code = find_token(args, &token);
    if (code == KVS_EXIT_OK && !options->urls)
        code = find_urls(args, &urls);
    if (code != KVS_EXIT_OK)
        return code;
    struct kvs_client_options all = *options;
    all.token = token.data && token.data[0] ? token.data : NULL;
    find_tls(args, &all);
    if (!all.urls) {
        all.urls = urls.items;
        all.url_count = urls.count;
    }
    struct kvs_client_error error;
    *ret_client = kvs_client_new(&all, &error);
    return *ret_client ? KVS_EXIT_OK : kvs_cmd_client_error(&error);
}

int kvs_cmd_client_open(const struct kvs_args *args, struct kvs_client **ret_client)
{
    const struct kvs_client_options options = {0};
    return kvs_cmd_client_open_with(args, &options, ret_client);
}

int kvs_cmd_each_url(const struct kvs_args *args, int (*visit)(void *context, const char *url),
                     void *context)
{
    KVS_CLEANUP(urls_donep) struct urls urls = {.count = 0};
    int code = find_urls(args, &urls);
    if (code == KVS_EXIT_OK && urls.count == 0)
        return visit(context, NULL);
    int worst = code;
    for (size_t i = 0; code == KVS_EXIT_OK && i < urls.count; i++) {
        int one = visit(context, urls.items[i]);
        worst = one > worst ? one : worst;
    }
    return worst;
}

enum kvs_exit_code kvs_cmd_exit_code(enum kvs_client_code code)
{
    switch (code) {
    case KVS_CLIENT_OK:
    case KVS_CLIENT_END:
    case KVS_CLIENT_NOT_MODIFIED:
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
    case KVS_CLIENT_GONE:
        return KVS_EXIT_GONE;
    case KVS_CLIENT_NOMEM:
    case KVS_CLIENT_BROKEN:
    case KVS_CLIENT_TOO_LARGE:
    case KVS_CLIENT_UNEXPECTED:
    case KVS_CLIENT_CONFLICT:
    case KVS_CLIENT_TIMEOUT:
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
        hint = " (--token-file or KVS_TOKEN gives it; 'kvs token create CONFIG' makes one)";
    else if (error->code == KVS_CLIENT_INVALID && strstr(error->message, "begins with a slash"))
        hint = ": write it without"; // libkvs's own words
    if (error->http_status >= 500 && error->request_id[0])
        kvs_cmd_error("%s (request %s)", error->message, error->request_id);
    else
        kvs_cmd_error("%s%s", error->message, hint);
    return kvs_cmd_exit_code(error->code);
}

int kvs_cmd_read_operand(const struct kvs_args *args, const char *what, const char *name,
                         struct kvs_buf *out)
{
    const char *operand = args->operand_count > 1 ? args->operands[1] : NULL;
    if (!operand && isatty(STDIN_FILENO))
        return kvs_cmd_usage_error(
            args->command, "%s is missing: give it as %s, as @FILE or on stdin", what, name);
    if (!operand || strcmp(operand, "-") == 0)
        return kvs_cmd_read_file("-", out);
    if (operand[0] == '@')
        return kvs_cmd_read_file(operand + 1, out);
    kvs_buf_append_str(out, operand);
    return KVS_EXIT_OK;
}

bool kvs_cmd_is_prefix(struct kvs_client *client, const char *key)
{
    KVS_CLEANUP(kvs_freep) char *prefix = NULL;
    if (asprintf(&prefix, "%s/", key) < 0) {
        prefix = NULL;
        return false;
    }
    const struct kvs_client_list_options options = {.prefix = prefix, .limit = 1};
    struct kvs_client_listing page;
    if (kvs_client_list(client, &options, &page, NULL) != KVS_CLIENT_OK)
        return false;
    bool found = page.entry_count > 0;
    kvs_client_listing_done(&page);
    return found;
}

int kvs_cmd_check_prefix(const struct kvs_args *args, const char *prefix)
{
    if (prefix[0] != '/')
        return KVS_EXIT_OK;
    return kvs_cmd_usage_error(args->command, "no key begins with a slash: write '%s' without",
                               prefix);
}

int kvs_cmd_print(const struct kvs_buf *out)
{
    if (out->err) {
        kvs_cmd_error("cannot show the result: %s", kvs_err_text(out->err));
        return KVS_EXIT_FAILED;
    }
    if (out->size > 0)
        (void)fwrite(out->data, 1, out->size, stdout); // kvs_cmd_main checks stdout at the end
    return KVS_EXIT_OK;
}
