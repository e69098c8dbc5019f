// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/temp_home.h"

#include "daemon/resolve.h"

// Resolves `word` seen from DIR/`folder`; *ret_path is relative to DIR.
static int resolve(const struct temp_home *temp, const char *word, const char *folder,
                   char ret_path[static PATH_MAX], struct kvs_message *ret_note)
{
    char cwd[2 * PATH_MAX];
    (void)snprintf(cwd, sizeof(cwd), "%s/%s", temp->dir, folder);
    struct kvs_instance_list list = {0};
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    char *path = NULL;
    struct kvs_message message = {{0}};
    int err = kvs_config_path_resolve(word, cwd, &list, &path, ret_note, &message);
    kvs_instance_list_done(&list);
    if (err != 0) {
        *ret_note = message;
        return err;
    }
    size_t prefix = strlen(temp->dir) + 1;
    assert_memory_equal(path, temp->dir, prefix - 1);
    (void)snprintf(ret_path, PATH_MAX, "%s", path + prefix);
    free(path);
    return 0;
}

static void know(const struct temp_home *temp, const char *folder, const char *file)
{
    struct kvs_instance *instance = NULL;
    assert_int_equal(
        kvs_instance_register(temp->home, temp_file(temp, folder, file, ""), &instance, NULL), 0);
    kvs_instance_free(instance);
}

static void takes_paths_with_and_without_the_ending(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    (void)temp_file(temp, "a", "node1.yaml", "");
    const char *const words[] = {"node1", "node1.yaml", "./node1", "../a/node1.yaml",
                                 "../a//node1"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(words); i++) {
        assert_int_equal(resolve(temp, words[i], "a", path, &note), 0);
        assert_string_equal(path, "a/node1.yaml");
        assert_string_equal(note.text, "");
    }
}

static void names_a_file_that_does_not_exist_yet(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    assert_int_equal(resolve(temp, "fresh", "home", path, &note), 0);
    assert_string_equal(path, "home/fresh.yaml");
    assert_int_equal(resolve(temp, "v1.2", "home", path, &note), 0);
    assert_string_equal(path, "home/v1.2.yaml");
    assert_int_equal(resolve(temp, "nowhere/fresh", "home", path, &note), KVS_ERR_INVALID);
}

static void finds_a_known_instance_from_anywhere(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    know(temp, "a", "node1.yaml");
    assert_int_equal(resolve(temp, "node1", "home", path, &note), 0);
    assert_string_equal(path, "a/node1.yaml");
    // With the ending it is a path, not a name.
    assert_int_equal(resolve(temp, "node1.yaml", "home", path, &note), 0);
    assert_string_equal(path, "home/node1.yaml");
}

static void says_which_when_the_current_folder_wins(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    know(temp, "a", "node1.yaml");
    (void)temp_file(temp, "b", "node1.yaml", "");
    assert_int_equal(resolve(temp, "node1", "b", path, &note), 0);
    assert_string_equal(path, "b/node1.yaml");
    assert_non_null(strstr(note.text, "/b/node1.yaml, not as "));
    assert_non_null(strstr(note.text, "/a/node1.yaml"));
}

static void refuses_to_guess_between_several(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    know(temp, "a", "node1.yaml");
    know(temp, "b", "node1.yaml");
    assert_int_equal(resolve(temp, "node1", "home", path, &note), KVS_ERR_CONFLICT);
    assert_non_null(strstr(note.text, "/a/node1.yaml"));
    assert_non_null(strstr(note.text, "/b/node1.yaml"));
}

static void takes_the_full_name_of_an_instance(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX], name[64] = "";
    know(temp, "a", "node1.yaml");
    know(temp, "b", "node1.yaml");
    struct kvs_instance_list list = {0};
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    assert_int_equal(list.count, 2);
    (void)snprintf(name, sizeof(name), "%s", list.items[1]->name);
    kvs_instance_list_done(&list);
    assert_int_equal(resolve(temp, name, "home", path, &note), 0);
    assert_string_equal(path, "b/node1.yaml");
}

static void follows_links_to_folders_but_not_to_the_file(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX], link[2 * PATH_MAX];
    (void)temp_file(temp, "a", "node1.yaml", "");
    (void)snprintf(link, sizeof(link), "%s/to-a", temp->dir);
    assert_int_equal(symlink("a", link), 0);
    (void)snprintf(link, sizeof(link), "%s/a/alias.yaml", temp->dir);
    assert_int_equal(symlink("node1.yaml", link), 0);
    assert_int_equal(resolve(temp, "../to-a/node1", "a", path, &note), 0);
    assert_string_equal(path, "a/node1.yaml");
    assert_int_equal(resolve(temp, "alias", "a", path, &note), 0);
    assert_string_equal(path, "a/alias.yaml");
}

static void refuses_what_is_no_config(void **state)
{
    const struct temp_home *temp = *state;
    struct kvs_message note;
    char path[PATH_MAX];
    const char *const words[] = {"",   ".yaml",     "a/",        ".",
                                 "..", "node1.yml", "a\nb.yaml", "../a/.yaml"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(words); i++)
        assert_int_equal(resolve(temp, words[i], "home", path, &note), KVS_ERR_INVALID);
}

static void only_the_ending_makes_a_first_word_a_config(void **state)
{
    (void)state;
    assert_true(kvs_config_path_is_explicit("node1.yaml"));
    assert_true(kvs_config_path_is_explicit("/srv/a/node1.yaml"));
    assert_false(kvs_config_path_is_explicit("node1"));
    assert_false(kvs_config_path_is_explicit("./node1"));
    assert_false(kvs_config_path_is_explicit("node1.yml"));
    assert_false(kvs_config_path_is_explicit("node1.yaml.bak"));
}

int main(void)
{
#define with_home(test) cmocka_unit_test_setup_teardown(test, temp_home_setup, temp_home_teardown)
    const struct CMUnitTest tests[] = {
        with_home(takes_paths_with_and_without_the_ending),
        with_home(names_a_file_that_does_not_exist_yet),
        with_home(finds_a_known_instance_from_anywhere),
        with_home(says_which_when_the_current_folder_wins),
        with_home(refuses_to_guess_between_several),
        with_home(takes_the_full_name_of_an_instance),
        with_home(follows_links_to_folders_but_not_to_the_file),
        with_home(refuses_what_is_no_config),
        cmocka_unit_test(only_the_ending_makes_a_first_word_a_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
