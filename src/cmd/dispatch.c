// SPDX-License-Identifier: Apache-2.0
// From argv to a command. A first word that is neither a command nor ends in ".yaml" is an error: a
// typo must never create a file.
#include "cmd/cmd.h"

#include <fcntl.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/suggest.h"
#include "cmd/nodes.h"
#include "daemon/resolve.h"

const struct kvs_command kvs_commands[] = {
#define KVS_COMMAND(id, name, group, operands, min, max, summary)                                  \
    {name, KVS_GROUP_##group, operands, min, max, summary, &kvs_cmd_##id},
#include "tables/commands.def"
#undef KVS_COMMAND
    {0},
};

const struct kvs_command *kvs_command_find(const char *name)
{
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

void kvs_cmd_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("kvs: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

int kvs_cmd_usage_error(const struct kvs_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "kvs%s%s: ", command ? " " : "", command ? command->name : "");
    vfprintf(stderr, format, args);
    fprintf(stderr, "; see 'kvs help%s%s'\n", command ? " " : "", command ? command->name : "");
    va_end(args);
    return KVS_EXIT_USAGE;
}

// What others call it.
static const char *other_word(const char *word)
{
    static const struct {
        const char *theirs;
        const char *ours;
    } words[] = {
        {"set", "put"},          {"write", "put"},       {"read", "get"},
        {"cat", "get"},          {"show", "get"},        {"ttl", "get"},
        {"list", "ls"},          {"keys", "ls"},         {"find", "ls --find"},
        {"search", "ls --find"}, {"grep", "ls --find"},  {"del", "delete"},
        {"rm", "delete"},        {"remove", "delete"},   {"edit", "patch"},
        {"undo", "restore"},     {"revert", "restore"},  {"log", "history"},
        {"dump", "export"},      {"load", "import"},     {"login", "token"},
        {"logs", "status"},      {"ps", "status"},       {"ping", "health"},
        {"nodes", "members"},    {"cluster", "members"}, {"join", "help start"},
        {"run", "start"},        {"up", "start"},        {"down", "stop"},
        {"acl", "metadata"},     {"chmod", "metadata"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(words); i++)
        if (strcmp(words[i].theirs, word) == 0)
            return words[i].ours;
    return NULL;
}

int kvs_command_unknown(const char *word)
{
    const char *other = other_word(word);
    if (other)
        return kvs_cmd_usage_error(NULL, "unknown command '%s': did you mean 'kvs %s'?", word,
                                   other);
    struct kvs_suggest suggest;
    kvs_suggest_init(&suggest, kvs_slice_from_str(word));
    for (const struct kvs_command *command = kvs_commands; command->name; command++)
        kvs_suggest_offer(&suggest, command->name);
    if (suggest.nearest)
        return kvs_cmd_usage_error(NULL, "unknown command '%s': did you mean %s?", word,
                                   suggest.nearest);
    return kvs_cmd_usage_error(NULL, "unknown command '%s'", word);
}

static int run_command(const struct kvs_command *command, int argc, char **argv)
{
    struct kvs_args args;
    bool help;
    int code = kvs_args_parse(command, argc, argv, &args, &help);
    if (code != KVS_EXIT_OK)
        return code;
    if (help) {
        kvs_help_print_command(command);
        return KVS_EXIT_OK;
    }
    return command->body->run(&args);
}

// `kvs node1` starts nothing, but its author may have meant `kvs node1.yaml`.
static bool is_config_without_ending(const char *word)
{
    char path[4096];
    int size = snprintf(path, sizeof(path), "%s.yaml", word);
    return size > 0 && (size_t)size < sizeof(path) && access(path, F_OK) == 0;
}

static int dispatch(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "config.yaml";
    if (kvs_config_path_is_explicit(word)) {
        if (argc > 2)
            return kvs_cmd_usage_error(NULL,
                                       "'%s' is one argument too many: 'kvs start' runs "
                                       "several nodes",
                                       argv[2]);
        return kvs_cmd_run_foreground(word);
    }
    if (strcmp(word, "--daemon") == 0 && argc == 3)
        return kvs_cmd_run_daemon(argv[2]);
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        word = "version";
    const struct kvs_command *command = kvs_command_find(word);
    if (command)
        return run_command(command, argc - 1, argv + 1);
    if (word[0] == '-')
        return kvs_cmd_usage_error(NULL, "unknown option '%s'", word);
    if (is_config_without_ending(word))
        return kvs_cmd_usage_error(NULL, "unknown command '%s': did you mean 'kvs %s.yaml'?", word,
                                   word);
    return kvs_command_unknown(word);
}

// With a standard stream closed, the next file opened would take its number and its output.
static bool open_standard_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd); // /dev/null: nothing to lose
    return fd >= 0;
}

int kvs_cmd_main(int argc, char **argv)
{
    if (!open_standard_streams())
        return KVS_EXIT_FAILED;
    (void)setlocale(LC_CTYPE, "C.UTF-8"); // for the widths of characters; without it all count 1
    int code = dispatch(argc, argv);
    // A full disk or a closed pipe must not look like success.
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    kvs_cmd_error("cannot write the output");
    return code == KVS_EXIT_OK ? KVS_EXIT_FAILED : code;
}
