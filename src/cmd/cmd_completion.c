// SPDX-License-Identifier: Apache-2.0
// `kvs completion`: scripts that let a shell complete commands, options, files and keys, made from
// the command table.
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cmd/cmd.h"

// What the first operand of a command is, or what stands behind its action, by the table's own
// words.
static const char *operand_kind(const struct kvs_command *command)
{
    static const struct {
        const char *word;
        const char *kind;
    } kinds[] = {
        {"KEY", "key"},         {"PREFIX", "key"},  {"CONFIG", "config"}, {"ARGUMENT", "file"},
        {"COMMAND", "command"}, {"SHELL", "shell"}, {"FILE", "file"},     {"DIR", "file"},
    };
    const char *first = NULL;
    const char *kind = "none";
    for (size_t i = 0; i < KVS_ARRAY_SIZE(kinds); i++) {
        const char *at = strstr(command->operands, kinds[i].word);
        if (at && (!first || at < first)) {
            first = at;
            kind = kinds[i].kind;
        }
    }
    return kind;
}

// ' ends a quoted word of a shell; '\'' stands for it inside.
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
    putchar('\'');
}

static const struct kvs_cmd_option *options_of(const struct kvs_command *command)
{
    static const struct kvs_cmd_option none[] = {{0}};
    return command->body->options ? command->body->options : none;
}

static void print_command_words(void)
{
    for (const struct kvs_command *command = kvs_commands; command->name; command++)
        printf("%s%s", command == kvs_commands ? "" : " ", command->name);
}

// "    get) echo …;;" for what `print` says of each command.
static void print_cases(void (*print)(const struct kvs_command *command))
{
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        printf("    %s) echo '", command->name);
        print(command);
        puts("' ;;");
    }
}

static void print_kind(const struct kvs_command *command)
{
    fputs(operand_kind(command), stdout);
}

static void print_actions(const struct kvs_command *command)
{
    fputs(command->body->actions ? command->body->actions : "", stdout);
}

static void print_options(const struct kvs_command *command)
{
    for (const struct kvs_cmd_option *option = options_of(command); option->name; option++)
        printf("--%s ", option->name);
    fputs("--help", stdout);
}

// The options that take a value, so that it is not taken for an operand; those of files with "=f".
static void print_valued(const struct kvs_command *command)
{
    for (const struct kvs_cmd_option *option = options_of(command); option->name; option++) {
        if (!option->argument)
            continue;
        const char *mark = strcmp(option->argument, "FILE") == 0 ? "=f" : "=";
        printf("--%s%s ", option->name, mark);
        if (option->letter)
            printf("-%c%s ", option->letter, mark);
    }
}

// ---- bash

static void print_bash(void)
{
    fputs("# bash completion for kvs: source it, or put it where bash-completion looks.\n"
          "_kvs_kind() {\n  case $1 in\n",
          stdout);
    print_cases(print_kind);
    fputs("  esac\n}\n_kvs_actions() {\n  case $1 in\n", stdout);
    print_cases(print_actions);
    fputs("  esac\n}\n_kvs_options() {\n  case $1 in\n", stdout);
    print_cases(print_options);
    fputs("  esac\n}\n_kvs_valued() {\n  case $1 in\n", stdout);
    print_cases(print_valued);
    // What the words of other people are (keys, file names) is never expanded: `compgen -W` would
    // run a key named $(…).
    fputs("  esac\n}\n"
          "_kvs_offer() {\n"
          "  local line\n"
          "  while IFS= read -r line; do\n"
          "    [[ $line == \"$1\"* ]] && COMPREPLY+=(\"$line\")\n"
          "  done\n"
          "}\n"
          "_kvs() {\n"
          "  local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} i mark= url=()\n"
          "  local word=${cur//\\\\/}\n" // as it will be without the shell's quotes
          "  word=${word#[\\'\\\"]}\n"
          "  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "    COMPREPLY=($(compgen -W '",
          stdout);
    print_command_words();
    fputs("' -- \"$cur\"))\n"
          "    _kvs_offer '' < <(compgen -f -X '!*.yaml' -- \"$word\")\n"
          "    return\n"
          "  fi\n"
          "  for ((i = 2; i < COMP_CWORD; i++)); do\n"
          "    case ${COMP_WORDS[i]} in -u | --url) url=(--url \"${COMP_WORDS[i+1]}\") ;; esac\n"
          "  done\n"
          "  case \" $(_kvs_valued \"$command\") \" in\n"
          "    *\" ${COMP_WORDS[COMP_CWORD-1]}=f \"*) mark=file ;;\n"
          "    *\" ${COMP_WORDS[COMP_CWORD-1]}= \"*) return ;;\n"
          "  esac\n"
          "  if [ -z \"$mark\" ]; then\n"
          "    case $cur in\n"
          "      -*) COMPREPLY=($(compgen -W \"$(_kvs_options \"$command\")\" -- \"$cur\")); "
          "return ;;\n"
          "    esac\n"
          "    mark=$(_kvs_kind \"$command\")\n"
          "    [ \"$COMP_CWORD\" -eq 2 ] &&\n"
          "      COMPREPLY=($(compgen -W \"$(_kvs_actions \"$command\")\" -- \"$cur\"))\n"
          "    [ \"$COMP_CWORD$command\" = 2metadata ] && mark=none\n"
          "  fi\n"
          "  case $mark in\n"
          "    command) COMPREPLY=($(compgen -W '",
          stdout);
    print_command_words();
    fputs(" tasks' -- \"$cur\")) ;;\n"
          "    shell) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$cur\")) ;;\n"
          "    config) _kvs_offer '' < <(compgen -f -X '!*.yaml' -- \"$word\"; "
          "compgen -d -- \"$word\") ;;\n"
          "    key)\n"
          "      case $word in */*) i=${word%/*}/ ;; *) i= ;; esac\n"
          "      _kvs_offer \"$word\" < <(kvs ls \"${url[@]}\" --limit 1000 -- \"$i\" "
          "2>/dev/null)\n"
          "      [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace\n"
          "      [ \"$command\" = export ] && _kvs_offer '' < <(compgen -f -- \"$word\")\n"
          "      ;;\n"
          "    file) _kvs_offer '' < <(compgen -f -- \"$word\") ;;\n"
          "  esac\n"
          "}\n"
          "complete -o filenames -F _kvs kvs\n",
          stdout);
}

// ---- zsh

static void print_zsh_text(const char *text) // inside '…[…]'
{
    for (; *text; text++) {
        if (strchr("[]:\\", *text))
            putchar('\\');
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
}

static void print_zsh_option(const struct kvs_cmd_option *option)
{
    const char *action = !option->argument                       ? ""
                         : strcmp(option->argument, "FILE") == 0 ? ":file:_files"
                                                                 : ":value: ";
    if (option->letter) {
        printf("        '*-%c[", option->letter);
        print_zsh_text(option->help);
        printf("]%s' \\\n", action);
    }
    printf("        '*--%s[", option->name);
    print_zsh_text(option->help);
    printf("]%s' \\\n", action);
}

static void print_zsh(void)
{
    fputs("#compdef kvs\n"
          "# zsh completion for kvs: put it into a folder of $fpath as _kvs.\n"
          "_kvs_keys() {\n"
          "  local parent=\n"
          "  [[ $PREFIX == */* ]] && parent=${PREFIX%/*}/\n"
          "  local -a keys\n"
          "  keys=(${(f)\"$(kvs ls --limit 1000 -- \"$parent\" 2>/dev/null)\"})\n"
          "  compadd -S '' -- $keys\n"
          "}\n"
          "_kvs() {\n"
          "  local state\n"
          "  local -a commands\n"
          "  commands=(\n",
          stdout);
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        printf("    '%s:", command->name);
        print_zsh_text(command->summary);
        puts("'");
    }
    fputs("  )\n"
          "  if (( CURRENT == 2 )); then\n"
          "    _describe command commands\n"
          "    _files -g '*.yaml'\n"
          "    return\n"
          "  fi\n"
          "  local command=$words[2]\n"
          "  shift words\n"
          "  (( CURRENT-- ))\n"
          "  case $command in\n",
          stdout);
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        static const char *const kinds[][2] = {
            {"key", "key:_kvs_keys"},         {"config", "config:_files -g \"*.yaml\""},
            {"command", "command:->command"}, {"shell", "shell:(bash zsh fish)"},
            {"file", "file:_files"},
        };
        printf("    %s)\n      _arguments -s \\\n", command->name);
        for (const struct kvs_cmd_option *option = options_of(command); option->name; option++)
            print_zsh_option(option);
        fputs("        '--help[Show how it is used]'", stdout);
        if (command->body->actions)
            printf(" \\\n        '1:action:(%s)'", command->body->actions);
        for (size_t i = 0; i < KVS_ARRAY_SIZE(kinds); i++)
            if (strcmp(kinds[i][0], operand_kind(command)) == 0)
                printf(" \\\n        '*:%s'", kinds[i][1]);
        if (strcmp(operand_kind(command), "command") == 0)
            fputs("\n      [[ $state == command ]] && _describe command commands", stdout);
        puts("\n      ;;");
    }
    fputs("  esac\n"
          "}\n"
          "_kvs \"$@\"\n",
          stdout);
}

// ---- fish

static void print_fish_command(const struct kvs_command *command)
{
    const char *kind = operand_kind(command);
    for (const struct kvs_cmd_option *option = options_of(command); option->name; option++) {
        printf("complete -c kvs -n '__fish_seen_subcommand_from %s' -l %s", command->name,
               option->name);
        if (option->letter)
            printf(" -s %c", option->letter);
        if (option->argument)
            fputs(strcmp(option->argument, "FILE") == 0 ? " -r -F" : " -x", stdout);
        fputs(" -d ", stdout);
        print_quoted(option->help);
        putchar('\n');
    }
    if (command->body->actions)
        printf("complete -c kvs -n '__fish_seen_subcommand_from %s' -a '%s'\n", command->name,
               command->body->actions);
    const char *action = strcmp(kind, "key") == 0      ? "-a '(__kvs_keys)'"
                         : strcmp(kind, "shell") == 0  ? "-a 'bash zsh fish'"
                         : strcmp(kind, "file") == 0   ? "-F"
                         : strcmp(kind, "config") == 0 ? "-F"
                                                       : NULL;
    if (action)
        printf("complete -c kvs -n '__fish_seen_subcommand_from %s' %s\n", command->name, action);
}

static void print_fish(void)
{
    fputs("# fish completion for kvs: put it into a folder of $fish_complete_path as kvs.fish.\n"
          "function __kvs_keys\n"
          "  set -l parent (string match -r '.*/' -- (commandline -ct))\n"
          "  kvs ls --limit 1000 -- \"$parent\" 2>/dev/null\n"
          "end\n"
          "complete -c kvs -f\n",
          stdout);
    for (const struct kvs_command *command = kvs_commands; command->name; command++) {
        printf("complete -c kvs -n __fish_use_subcommand -a %s -d ", command->name);
        print_quoted(command->summary);
        putchar('\n');
    }
    for (const struct kvs_command *command = kvs_commands; command->name; command++)
        print_fish_command(command);
    fputs("complete -c kvs -n '__fish_seen_subcommand_from help' -a '", stdout);
    print_command_words();
    puts(" tasks'");
}

static int run_completion(const struct kvs_args *args)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(shells); i++) {
        if (strcmp(args->operands[0], shells[i].shell) == 0) {
            shells[i].print();
            return KVS_EXIT_OK;
        }
    }
    return kvs_cmd_usage_error(args->command, "there is none for '%s': bash, zsh and fish",
                               args->operands[0]);
}

const struct kvs_command_body kvs_cmd_completion = {
    .run = run_completion,
    .details =
        "Prints a script that lets the shell (bash, zsh or fish) complete commands, options,\n"
        "files, and keys, which it asks the node at $KVS_URL for. 'make install' puts them\n"
        "where the shells look.\n"
        "\n"
        "Examples:\n"
        "  source <(kvs completion bash)\n"
        "  kvs completion fish > ~/.config/fish/completions/kvs.fish\n",
};
