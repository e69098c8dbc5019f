// SPDX-License-Identifier: Apache-2.0
// What the files of src/cmd share: the command table, parsed arguments, exit codes. A new command
// is a row in tables/commands.def and a file that defines kvs_cmd_<id>; dispatch, option parsing
// and help follow from the two. Commands run on the main thread and print to stdout (results) and
// stderr (everything else).
#ifndef KVS_CMD_CMD_H
#define KVS_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>

enum kvs_exit_code {
#define KVS_EXIT(name, code, meaning) KVS_EXIT_##name = (code),
#include "tables/exit_codes.def"
#undef KVS_EXIT
};

enum { KVS_CMD_OPTIONS_MAX = 32, KVS_CMD_GIVEN_MAX = 128 };

// One option of a command. `--help` needs no row: every command has it.
struct kvs_cmd_option {
    const char *name;     // long name without dashes
    char letter;          // short form, 0 = none
    const char *argument; // placeholder in the help ("URL"); NULL = a flag
    const char *help;
};

// An option as it stood on the command line.
struct kvs_cmd_given {
    int option; // position in the command's options
    const char *value;
};

struct kvs_args {
    const struct kvs_command *command;
    const char *values[KVS_CMD_OPTIONS_MAX]; // by position in the command's options, the last one
                                             // given; NULL = not given
    struct kvs_cmd_given given[KVS_CMD_GIVEN_MAX]; // all of them, in order
    size_t given_count;
    char **operands;
    int operand_count; // within the command's bounds
};

struct kvs_command_body {
    int (*run)(const struct kvs_args *args); // returns an enum kvs_exit_code
    const struct kvs_cmd_option *options;    // ends with a row without name; NULL = none
    const char *details; // what `kvs help NAME` says below the summary: prose, examples
    const char *actions; // words that its first operand may be, for completion; NULL = none
};

enum kvs_command_group { KVS_GROUP_NODE, KVS_GROUP_DATA, KVS_GROUP_ADMIN, KVS_GROUP_ABOUT };

struct kvs_command {
    const char *name;
    enum kvs_command_group group;
    const char *operands;
    int operands_min;
    int operands_max; // -1 = any number
    const char *summary;
    const struct kvs_command_body *body;
};

#define KVS_COMMAND(id, name, group, operands, min, max, summary)                                  \
    extern const struct kvs_command_body kvs_cmd_##id;
#include "tables/commands.def"
#undef KVS_COMMAND

// The table, ended by a row without name.
extern const struct kvs_command kvs_commands[];
const struct kvs_command *kvs_command_find(const char *name); // NULL: no such command
// Says so, with the nearest command, on stderr; returns KVS_EXIT_USAGE.
int kvs_command_unknown(const char *word);

// What main does: runs the command that argv names and returns the process's exit code.
int kvs_cmd_main(int argc, char **argv);

// ---- Arguments (args.c)

// Sorts argv (argv[0] is the command's name) into options and operands. KVS_EXIT_OK; KVS_EXIT_USAGE
// after saying on stderr what is wrong. *ret_help: --help stands there, and nothing else counts.
int kvs_args_parse(const struct kvs_command *command, int argc, char **argv,
                   struct kvs_args *ret_args, bool *ret_help);
// The value of the command's option `name` (asserted to be one); NULL when it was not given.
const char *kvs_args_value(const struct kvs_args *args, const char *name);
bool kvs_args_flag(const struct kvs_args *args, const char *name);
// For options that may stand more than once: `for (size_t at = 0; (value = kvs_args_each(…,
// &at));)`.
const char *kvs_args_each(const struct kvs_args *args, const char *name, size_t *at);

// ---- Messages

// "kvs: …" on stderr, one line.
void kvs_cmd_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same, and where to read more; returns KVS_EXIT_USAGE. `command` NULL: the general help.
int kvs_cmd_usage_error(const struct kvs_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// ---- Help (cmd_help.c)

void kvs_help_print(void);                                      // the overview, to stdout
extern const char kvs_help_tasks[];                             // `kvs help tasks` (tasks.c)
void kvs_help_print_command(const struct kvs_command *command); // one command, to stdout

#endif
