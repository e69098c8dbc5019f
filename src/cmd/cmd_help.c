// SPDX-License-Identifier: Apache-2.0
// `kvs help [COMMAND]` and `kvs version`: texts made from the tables.
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/table.h"

static const char *const group_titles[] = {
    [KVS_GROUP_NODE] = "Run nodes",
    [KVS_GROUP_DATA] = "Read and write data",
    [KVS_GROUP_ADMIN] = "Administer",
    [KVS_GROUP_ABOUT] = "Learn more",
};

static void print_padded(const char *text, size_t width)
{
    size_t columns = kvs_table_width(text); // operands hold "…"
    printf("%s%*s", text, width > columns ? (int)(width - columns) : 0, "");
}

static void print_group(enum kvs_command_group group)
{
    bool first = true;
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        if (command->group != group)
            continue;
        if (first)
            printf("\n%s:\n", group_titles[group]);
        first = false;
        char usage[128];
        (void)snprintf(usage, sizeof(usage), "%s %s", command->name, command->operands);
        fputs("  ", stdout);
        print_padded(usage, 26);
        if (kvs_table_width(usage) > 26)
            printf("\n%*s", 28, "");
        printf("  %s\n", command->summary);
    }
}

static void print_exit_codes(void)
{
    fputs("\nExit codes:\n", stdout);
#define KVS_EXIT(name, code, meaning) printf("  %d  %s\n", (code), (meaning));
#include "tables/exit_codes.def"
#undef KVS_EXIT
}

void kvs_help_print(void)
{
    fputs("kvs " KVS_VERSION " - a clustered, local-first JSON key-value store\n"
          "\n"
          "Usage:\n"
          "  kvs [CONFIG.yaml]           Run a node in this terminal (default: config.yaml)\n"
          "  kvs COMMAND [ARGUMENTS]     See 'kvs help COMMAND' for each\n",
          stdout);
    for (size_t group = 0; group < KVS_ARRAY_SIZE(group_titles); group++)
        print_group((enum kvs_command_group)group);
    fputs("\n"
          "Start here:\n"
          "  kvs start node1             Run a node in the background; creates node1.yaml\n"
          "  export KVS_TOKEN=$(kvs token create node1 --bare)\n"
          "  kvs put greeting '{\"hello\":\"world\"}'\n"
          "  kvs get greeting\n"
          "  curl -H \"Authorization: Bearer $KVS_TOKEN\" http://127.0.0.1:8080/kv/greeting\n"
          "  kvs stop node1\n"
          "  kvs help tasks              Find a key, undo a bad write, move data, and so on\n"
          "\n"
          "CONFIG is the path of a YAML file, with or without '.yaml', or the name of a node that\n"
          "'kvs status' lists. A file that does not exist is created with commented defaults.\n",
          stdout);
    print_exit_codes();
}

void kvs_help_print_command(const struct kvs_command *command)
{
    const struct kvs_cmd_option *options = command->body->options;
    printf("Usage: kvs %s%s%s%s\n\n%s.\n", command->name, options ? " [OPTIONS]" : "",
           command->operands[0] ? " " : "", command->operands, command->summary);
    if (command->body->details)
        printf("\n%s", command->body->details);
    fputs("\nOptions:\n", stdout);
    for (; options && options->name; options++) {
        char usage[64];
        (void)snprintf(usage, sizeof(usage), "%c%c%s--%s%s%s", options->letter ? '-' : ' ',
                       options->letter ? options->letter : ' ', options->letter ? ", " : "  ",
                       options->name, options->argument ? " " : "",
                       options->argument ? options->argument : "");
        fputs("  ", stdout);
        print_padded(usage, 26);
        printf("  %s\n", options->help);
    }
    fputs("  ", stdout);
    print_padded("-h, --help", 26);
    fputs("  Show this text\n", stdout);
}

static int run_help(const struct kvs_args *args)
{
    if (args->operand_count == 0) {
        kvs_help_print();
        return KVS_EXIT_OK;
    }
    if (strcmp(args->operands[0], "tasks") == 0) {
        fputs(kvs_help_tasks, stdout);
        return KVS_EXIT_OK;
    }
    const struct kvs_command *command = kvs_command_find(args->operands[0]);
    if (!command)
        return kvs_command_unknown(args->operands[0]);
    kvs_help_print_command(command);
    return KVS_EXIT_OK;
}

const struct kvs_command_body kvs_cmd_help = {
    .run = run_help,
    .details =
        "Without COMMAND it lists all commands and the exit codes; 'kvs help tasks' shows how\n"
        "everyday tasks are done.\n",
};

static int run_version(const struct kvs_args *args)
{
    (void)args;
    puts("kvs " KVS_VERSION);
    return KVS_EXIT_OK;
}

const struct kvs_command_body kvs_cmd_version = {
    .run = run_version,
};
