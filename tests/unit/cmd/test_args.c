// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "cmd/cmd.h"

static const struct kvs_cmd_option options[] = {
    {"url", 'u', "URL", "where"},
    {"force", 0, NULL, "really"},
    {"json", 'j', NULL, "for scripts"},
    {0},
};
static const struct kvs_command_body body = {.options = options};
static const struct kvs_command command = {
    .name = "probe", .operands = "A [B]", .operands_min = 1, .operands_max = 2, .body = &body};

static int parse_of(const struct kvs_command *of, struct kvs_args *ret_args, bool *ret_help,
                    int count, const char **words)
{
    static char *argv[KVS_CMD_GIVEN_MAX + 8];
    argv[0] = (char *)"probe";
    for (int i = 0; i < count; i++)
        argv[i + 1] = (char *)words[i];
    argv[count + 1] = NULL;
    return kvs_args_parse(of, count + 1, argv, ret_args, ret_help);
}

#define parse(args, help, ...)                                                                     \
    parse_of(&command, (args), (help),                                                             \
             (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *)),                  \
             (const char *[]){__VA_ARGS__})

static void sorts_options_and_operands_in_any_order(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "a", "--force", "b", "--url", "http://x"), KVS_EXIT_OK);
    assert_false(help);
    assert_int_equal(args.operand_count, 2);
    assert_string_equal(args.operands[0], "a");
    assert_string_equal(args.operands[1], "b");
    assert_string_equal(kvs_args_value(&args, "url"), "http://x");
    assert_true(kvs_args_flag(&args, "force"));
    assert_false(kvs_args_flag(&args, "json"));
}

static void takes_short_options_and_equals_signs(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "-jux", "a"), KVS_EXIT_OK);
    assert_true(kvs_args_flag(&args, "json"));
    assert_string_equal(kvs_args_value(&args, "url"), "x");
    assert_int_equal(parse(&args, &help, "--url=y", "a"), KVS_EXIT_OK);
    assert_string_equal(kvs_args_value(&args, "url"), "y");
    assert_false(kvs_args_flag(&args, "json"));
}

static void an_option_may_stand_more_than_once(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    size_t at = 0;
    assert_int_equal(parse(&args, &help, "-u", "x", "a", "--force", "--url=y", "b"), KVS_EXIT_OK);
    assert_string_equal(kvs_args_value(&args, "url"), "y"); // the last one
    assert_string_equal(kvs_args_each(&args, "url", &at), "x");
    assert_string_equal(kvs_args_each(&args, "url", &at), "y");
    assert_null(kvs_args_each(&args, "url", &at));
    const char *many[KVS_CMD_GIVEN_MAX + 2];
    for (size_t i = 0; i < KVS_ARRAY_SIZE(many); i++)
        many[i] = "-j";
    assert_int_equal(parse_of(&command, &args, &help, (int)KVS_ARRAY_SIZE(many), many),
                     KVS_EXIT_USAGE);
}

static void leaves_everything_behind_two_dashes_alone(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "--", "--force", "-5"), KVS_EXIT_OK);
    assert_int_equal(args.operand_count, 2);
    assert_string_equal(args.operands[0], "--force");
    assert_string_equal(args.operands[1], "-5");
    assert_false(kvs_args_flag(&args, "force"));
}

static void refuses_what_it_does_not_know(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "a", "--forse"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "-x"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "-jx"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "--force=1"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "--url"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "-u"), KVS_EXIT_USAGE);
}

static void counts_the_operands(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "--force"), KVS_EXIT_USAGE);
    assert_int_equal(parse(&args, &help, "a", "b", "c"), KVS_EXIT_USAGE);
    struct kvs_command any = command;
    any.operands_max = -1;
    const char *words[] = {"a", "b", "c", "d"};
    assert_int_equal(parse_of(&any, &args, &help, 4, words), KVS_EXIT_OK);
    assert_int_equal(args.operand_count, 4);
}

static void help_wins_over_missing_operands(void **state)
{
    (void)state;
    struct kvs_args args;
    bool help;
    assert_int_equal(parse(&args, &help, "--help"), KVS_EXIT_OK);
    assert_true(help);
    assert_int_equal(parse(&args, &help, "-h"), KVS_EXIT_OK);
    assert_true(help);
}

static void every_command_is_found_and_documented(void **state)
{
    (void)state;
    for (const struct kvs_command *each = kvs_commands; each->name; each++) {
        assert_ptr_equal(kvs_command_find(each->name), each);
        assert_non_null(each->body->run);
        assert_true(strlen(each->summary) > 0);
        for (const struct kvs_cmd_option *o = each->body->options; o && o->name; o++)
            assert_non_null(o->help);
    }
    assert_null(kvs_command_find("strat"));
    assert_null(kvs_command_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_options_and_operands_in_any_order),
        cmocka_unit_test(takes_short_options_and_equals_signs),
        cmocka_unit_test(an_option_may_stand_more_than_once),
        cmocka_unit_test(leaves_everything_behind_two_dashes_alone),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(counts_the_operands),
        cmocka_unit_test(help_wins_over_missing_operands),
        cmocka_unit_test(every_command_is_found_and_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
