// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/temp_home.h"

#include "base/slice.h"
#include "daemon/instance.h"

static struct kvs_instance *registered(const struct temp_home *temp, const char *config_path)
{
    struct kvs_instance *instance = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_instance_register(temp->home, config_path, &instance, &message), 0);
    return instance;
}

static void assert_ends_with(const char *text, const char *end)
{
    if (!kvs_slice_ends_with(kvs_slice_from_str(text), kvs_slice_from_str(end)))
        fail_msg("'%s' does not end in '%s'", text, end);
}

static int mode_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_mode & 07777;
}

static void needs_an_absolute_home(void **state)
{
    (void)state;
    struct kvs_home *home = NULL;
    struct kvs_message message;
    assert_int_equal(kvs_home_open(NULL, &home, &message), KVS_ERR_INVALID);
    assert_non_null(strstr(message.text, "HOME is not set"));
    assert_int_equal(kvs_home_open("", &home, &message), KVS_ERR_INVALID);
    assert_int_equal(kvs_home_open("relative", &home, &message), KVS_ERR_INVALID);
    assert_int_equal(kvs_home_open("/nowhere/at/all", &home, &message), KVS_ERR_NOT_FOUND);
    assert_null(home);
}

static void makes_private_folders(void **state)
{
    struct temp_home *temp = *state;
    assert_int_equal(mode_of(temp->home->root), 0700);
    KVS_CLEANUP(kvs_freep) char *pids = kvs_home_path(temp->home, "pids", NULL, "");
    assert_int_equal(mode_of(pids), 0700);
}

static void is_named_after_its_config(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    assert_string_equal(node->name, "node1");
    assert_ends_with(node->pid_path, "/home/.kvs/pids/node1.pid");
    assert_ends_with(node->log_path, "/home/.kvs/logs/a_node1.yaml.log");
    assert_false(node->running);
}

static void gives_the_later_of_two_alike_names_a_suffix_that_it_keeps(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *a = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *b = registered(temp, temp_file(temp, "b", "node1.yaml", ""));
    assert_string_equal(a->name, "node1");
    assert_int_equal(strlen(b->name), strlen("node1-") + 8);
    assert_memory_equal(b->name, "node1-", 6);
    assert_int_equal(strspn(b->name + 6, "0123456789abcdef"), 8);
    char log[64];
    (void)snprintf(log, sizeof(log), "/b_node1.yaml%s.log", b->name + 5);
    assert_ends_with(b->log_path, log);

    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *again = registered(temp, b->config_path);
    assert_string_equal(again->name, b->name);
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *first = registered(temp, a->config_path);
    assert_string_equal(first->name, "node1");
}

static void never_shares_a_log_between_two_names(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *a = registered(temp, temp_file(temp, "a", "b_c.yaml", ""));
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *b = registered(temp, temp_file(temp, "a_b", "c.yaml", ""));
    assert_string_not_equal(a->log_path, b->log_path);
    assert_string_not_equal(a->name, b->name);
}

static void frees_a_name_when_the_config_is_gone(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *a = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    assert_int_equal(unlink(a->config_path), 0);
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *b = registered(temp, temp_file(temp, "b", "node1.yaml", ""));
    assert_string_equal(b->name, "node1");
}

static void runs_while_a_process_holds_the_lock_and_no_longer(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    assert_int_equal(kvs_instance_enter(temp->home, node, NULL), 0);
    assert_int_equal(mode_of(node->pid_path), 0600);

    struct kvs_instance_list list = {0};
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    assert_int_equal(list.count, 1);
    assert_true(list.items[0]->running);
    assert_int_equal(list.items[0]->pid, getpid());
    assert_true(list.items[0]->started_ms > 0);
    assert_string_equal(list.items[0]->config_path, node->config_path);
    assert_string_equal(list.items[0]->address, "");
    kvs_instance_list_done(&list);

    assert_int_equal(kvs_instance_set_address(temp->home, node, "[::1]:8080", NULL), 0);
    kvs_instance_leave(temp->home, node);
    assert_int_equal(access(node->pid_path, F_OK), -1);
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    assert_int_equal(list.count, 1);
    assert_false(list.items[0]->running);
    assert_string_equal(list.items[0]->address, "[::1]:8080");
    assert_int_equal(list.items[0]->pid, 0);
    kvs_instance_list_done(&list);
}

static void writes_the_pid_then_the_config_path(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    assert_int_equal(kvs_instance_enter(temp->home, node, NULL), 0);
    char text[PATH_MAX] = {0}, expected[2 * PATH_MAX];
    int fd = open(node->pid_path, O_RDONLY);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    (void)close(fd);
    (void)snprintf(expected, sizeof(expected), "%ld\n%s\n", (long)getpid(), node->config_path);
    assert_string_equal(text, expected);
    kvs_instance_leave(temp->home, node);
}

static void only_one_can_enter(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *twin = registered(temp, node->config_path);
    struct kvs_message message;
    assert_int_equal(kvs_instance_enter(temp->home, node, NULL), 0);
    assert_int_equal(kvs_instance_enter(temp->home, twin, &message), KVS_ERR_BUSY);
    assert_string_equal(message.text, "instance is already running");
    kvs_instance_leave(temp->home, twin); // not its own: removes nothing
    assert_int_equal(access(node->pid_path, F_OK), 0);
    kvs_instance_leave(temp->home, node);
    assert_int_equal(kvs_instance_enter(temp->home, twin, NULL), 0);
    kvs_instance_leave(temp->home, twin);
}

static void removes_pid_files_that_nobody_holds(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    char text[PATH_MAX + 64];
    // A live PID that is somebody else's, a damaged file, one of an unknown config.
    (void)snprintf(text, sizeof(text), "1\n%s\n", node->config_path);
    (void)temp_file(temp, "home/.kvs/pids", "node1.pid", text);
    (void)temp_file(temp, "home/.kvs/pids", "torn.pid", "12");
    (void)temp_file(temp, "home/.kvs/pids", "other.pid", "1\n/nowhere/other.yaml\n");
    struct kvs_instance_list list = {0};
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    assert_int_equal(list.count, 1);
    assert_false(list.items[0]->running);
    kvs_instance_list_done(&list);
    KVS_CLEANUP(kvs_freep) char *pids = kvs_home_path(temp->home, "pids", NULL, "");
    assert_int_equal(rmdir(pids), 0); // empty
}

static void knows_a_running_node_without_its_note(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = registered(temp, temp_file(temp, "a", "node1.yaml", ""));
    assert_int_equal(kvs_instance_enter(temp->home, node, NULL), 0);
    KVS_CLEANUP(kvs_freep) char *note = kvs_home_path(temp->home, "instances", "node1", "");
    assert_int_equal(unlink(note), 0);
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *again = registered(temp, node->config_path);
    assert_string_equal(again->name, "node1");
    assert_string_equal(again->log_path, node->log_path);
    assert_true(again->running);
    kvs_instance_leave(temp->home, node);
}

static void forgets_damaged_notes(void **state)
{
    struct temp_home *temp = *state;
    (void)temp_file(temp, "home/.kvs/instances", "torn", "/srv/a/no");
    (void)temp_file(temp, "home/.kvs/instances", "odd", "relative\nlog\n\n");
    (void)temp_file(temp, "home/.kvs/instances", "sly", "/srv/a.yaml\n../../x\n\n");
    struct kvs_instance_list list = {0};
    assert_int_equal(kvs_instance_list(temp->home, &list, NULL), 0);
    assert_int_equal(list.count, 0);
    kvs_instance_list_done(&list);
}

int main(void)
{
#define with_home(test) cmocka_unit_test_setup_teardown(test, temp_home_setup, temp_home_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_an_absolute_home),
        with_home(makes_private_folders),
        with_home(is_named_after_its_config),
        with_home(gives_the_later_of_two_alike_names_a_suffix_that_it_keeps),
        with_home(never_shares_a_log_between_two_names),
        with_home(frees_a_name_when_the_config_is_gone),
        with_home(runs_while_a_process_holds_the_lock_and_no_longer),
        with_home(writes_the_pid_then_the_config_path),
        with_home(only_one_can_enter),
        with_home(removes_pid_files_that_nobody_holds),
        with_home(knows_a_running_node_without_its_note),
        with_home(forgets_damaged_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
