// SPDX-License-Identifier: Apache-2.0
// A command's arguments by its option table, on top of getopt_long. Uses getopt's globals: main
// thread only.
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/suggest.h"

enum { OPTION_HELP = 1000, OPTION_FIRST = 1001 };

static size_t count_options(const struct kvs_command *command)
{
    size_t count = 0;
    while (command->body->options && command->body->options[count].name)
        count++;
    kvs_assert(count <= KVS_CMD_OPTIONS_MAX);
    return count;
}

// Long options are numbered by position; short ones come back as their letter.
static void describe_options(const struct kvs_command *command, size_t count,
                             struct option *ret_long, char *ret_short)
{
    *ret_short++ = ':'; // a missing argument is reported as ':'
    *ret_short++ = 'h';
    ret_long[0] = (struct option){"help", no_argument, NULL, OPTION_HELP};
    for (size_t i = 0; i < count; i++) {
        const struct kvs_cmd_option *option = &command->body->options[i];
        int has_argument = option->argument ? required_argument : no_argument;
        ret_long[i + 1] = (struct option){option->name, has_argument, NULL, OPTION_FIRST + (int)i};
        if (option->letter) {
            *ret_short++ = option->letter;
            if (option->argument)
                *ret_short++ = ':';
        }
    }
    ret_long[count + 1] = (struct option){0};
    *ret_short = 0;
}

static int find_letter(const struct kvs_command *command, size_t count, int letter)
{
    for (size_t i = 0; i < count; i++) {
        if (command->body->options[i].letter == letter)
            return (int)i;
    }
    return -1;
}

static int unknown_option(const struct kvs_command *command, size_t count, const char *word)
{
    struct kvs_suggest suggest;
    struct kvs_slice name = kvs_slice_from_str(word);
    while (name.size > 0 && name.data[0] == '-') {
        name.data++;
        name.size--;
    }
    const char *equals = name.size > 0 ? memchr(name.data, '=', name.size) : NULL;
    if (equals)
        name.size = (size_t)(equals - name.data);
    kvs_suggest_init(&suggest, name);
    kvs_suggest_offer(&suggest, "help");
    for (size_t i = 0; i < count; i++)
        kvs_suggest_offer(&suggest, command->body->options[i].name);
    if (suggest.nearest && strncmp(word, "--", 2) == 0)
        return kvs_cmd_usage_error(command, "bad option '%s': did you mean --%s?", word,
                                   suggest.nearest);
    if (word[1] >= '0' && word[1] <= '9')
        return kvs_cmd_usage_error(command,
                                   "unknown option '%s': what begins with a dash and is none "
                                   "stands behind -- ('-- %s')",
                                   word, word);
    return kvs_cmd_usage_error(command, "unknown option '%s'", word);
}

static int check_operand_count(const struct kvs_args *args)
{
    const struct kvs_command *command = args->command;
    if (args->operand_count < command->operands_min)
        return kvs_cmd_usage_error(command, "%s is missing (usage: kvs %s %s)",
                                   args->operand_count == 0 ? "an argument" : "a further argument",
                                   command->name, command->operands);
    if (command->operands_max >= 0 && args->operand_count > command->operands_max)
        return kvs_cmd_usage_error(command, "'%s' is one argument too many",
                                   args->operands[command->operands_max]);
    return KVS_EXIT_OK;
}

int kvs_args_parse(const struct kvs_command *command, int argc, char **argv,
                   struct kvs_args *ret_args, bool *ret_help)
{
    struct option long_options[KVS_CMD_OPTIONS_MAX + 2];
    char short_options[2 * KVS_CMD_OPTIONS_MAX + 3];
    size_t count = count_options(command);
    describe_options(command, count, long_options, short_options);
    *ret_args = (struct kvs_args){.command = command};
    *ret_help = false;
    opterr = 0;
    optind = 0; // start over: tests parse more than once
    for (;;) {
        int word = optind > 0 ? optind : 1; // where getopt looks next, for the message
        int option = getopt_long(argc, argv, short_options, long_options, NULL);
        if (option == -1)
            break;
        if (option == 'h' || option == OPTION_HELP) {
            *ret_help = true;
            return KVS_EXIT_OK;
        }
        if (option == ':')
            return kvs_cmd_usage_error(command, "option '%s' needs a value", argv[optind - 1]);
        if (option == '?') // a bundle of letters stays the current word until it is used up
            return unknown_option(command, count, argv[optind > word ? optind - 1 : word]);
        int index =
            option >= OPTION_FIRST ? option - OPTION_FIRST : find_letter(command, count, option);
        kvs_assert(index >= 0);
        if (ret_args->given_count == KVS_CMD_GIVEN_MAX)
            return kvs_cmd_usage_error(command, "more than %d options", KVS_CMD_GIVEN_MAX);
        ret_args->values[index] = optarg ? optarg : "";
        ret_args->given[ret_args->given_count++] =
            (struct kvs_cmd_given){index, ret_args->values[index]};
    }
    ret_args->operands = argv + optind;
    ret_args->operand_count = argc - optind;
    return check_operand_count(ret_args);
}

static int find_option(const struct kvs_args *args, const char *name)
{
    const struct kvs_cmd_option *options = args->command->body->options;
    for (int i = 0; options && options[i].name; i++) {
        if (strcmp(options[i].name, name) == 0)
            return i;
    }
    kvs_assert(!"the command has that option");
    return -1;
}

const char *kvs_args_value(const struct kvs_args *args, const char *name)
{
    return args->values[find_option(args, name)];
}

const char *kvs_args_each(const struct kvs_args *args, const char *name, size_t *at)
{
    int option = find_option(args, name);
    while (*at < args->given_count) {
        const struct kvs_cmd_given *given = &args->given[(*at)++];
        if (given->option == option)
            return given->value;
    }
    return NULL;
}

bool kvs_args_flag(const struct kvs_args *args, const char *name)
{
    return kvs_args_value(args, name) != NULL;
}
