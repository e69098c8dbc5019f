// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/daemon/temp_home.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "daemon/instance.h"
#include "daemon/process.h"
#include "daemon/ready.h"

// A child that holds the instance's lock until it is signalled.
static pid_t child_node(struct temp_home *temp, struct kvs_instance *instance)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool entered = kvs_instance_enter(temp->home, instance, NULL) == 0;
        if (!entered || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static struct kvs_instance *look(struct temp_home *temp, const char *config_path)
{
    struct kvs_instance *instance = NULL;
    assert_int_equal(kvs_instance_register(temp->home, config_path, &instance, NULL), 0);
    return instance;
}

static int64_t in_ms(int64_t ms)
{
    return kvs_clock_mono_ms(kvs_clock_system()) + ms;
}

static void signals_the_process_that_holds_the_lock(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *before = look(temp, temp_file(temp, "a", "node1.yaml", ""));
    pid_t pid = child_node(temp, before);
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *node = look(temp, before->config_path);
    assert_int_equal(node->pid, pid);
    KVS_CLEANUP(kvs_closep) int pidfd = -1;
    assert_int_equal(kvs_process_signal(temp->home, node, 0, &pidfd, NULL), 0);
    assert_int_equal(kvs_process_wait(pidfd, in_ms(0)), KVS_ERR_TIMEOUT);
    kvs_closep(&pidfd);
    assert_int_equal(kvs_process_signal(temp->home, node, SIGTERM, &pidfd, NULL), 0);
    assert_int_equal(kvs_process_wait(pidfd, in_ms(60000)), 0);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    // What was known of it is out of date now.
    assert_int_equal(kvs_process_signal(temp->home, node, SIGTERM, &pidfd, NULL),
                     KVS_ERR_NOT_FOUND);
}

static void never_signals_a_pid_without_the_lock(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *node = look(temp, temp_file(temp, "a", "node1.yaml", ""));
    // As if the PID had been reused by this process after the node's end.
    char text[PATH_MAX + 64];
    (void)snprintf(text, sizeof(text), "%ld\n%s\n", (long)getpid(), node->config_path);
    (void)temp_file(temp, "home/.kvs/pids", "node1.pid", text);
    node->running = true;
    node->pid = getpid();
    int pidfd = -1;
    assert_int_equal(kvs_process_signal(temp->home, node, SIGKILL, &pidfd, NULL),
                     KVS_ERR_NOT_FOUND);
    assert_int_equal(pidfd, -1);
}

static void never_signals_another_node_that_took_the_instance_over(void **state)
{
    struct temp_home *temp = *state;
    KVS_CLEANUP(kvs_instance_freep)
    struct kvs_instance *before = look(temp, temp_file(temp, "a", "node1.yaml", ""));
    pid_t pid = child_node(temp, before);
    KVS_CLEANUP(kvs_instance_freep) struct kvs_instance *node = look(temp, before->config_path);
    node->pid = getpid(); // what an older look had found
    int pidfd = -1;
    assert_int_equal(kvs_process_signal(temp->home, node, SIGKILL, &pidfd, NULL),
                     KVS_ERR_NOT_FOUND);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

// ---- Reports

static int wait_for_report(const char *text, struct kvs_message *ret_address,
                           struct kvs_message *ret_message)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    (void)close(fds[1]);
    *ret_address = *ret_message = (struct kvs_message){{0}};
    int err = kvs_ready_wait(fds[0], 60000, ret_address, ret_message);
    (void)close(fds[0]);
    return err;
}

static void reads_where_a_node_serves_or_why_it_does_not(void **state)
{
    (void)state;
    struct kvs_message address, message;
    assert_int_equal(wait_for_report("ready 127.0.0.1:8080\n", &address, &message), 0);
    assert_string_equal(address.text, "127.0.0.1:8080");
    assert_int_equal(wait_for_report("failed port taken\n", &address, &message),
                     KVS_ERR_UNREACHABLE);
    assert_string_equal(message.text, "port taken");
    assert_int_equal(wait_for_report("", &address, &message), KVS_ERR_UNREACHABLE);
    assert_string_equal(message.text, "");
    assert_int_equal(wait_for_report("nonsense\n", &address, &message), KVS_ERR_UNREACHABLE);
    assert_string_equal(message.text, "");
}

static void gives_up_on_a_report_that_does_not_come(void **state)
{
    (void)state;
    int fds[2];
    struct kvs_message address, message;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(kvs_ready_wait(fds[0], 0, &address, &message), KVS_ERR_TIMEOUT);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
#define with_home(test) cmocka_unit_test_setup_teardown(test, temp_home_setup, temp_home_teardown)
    const struct CMUnitTest tests[] = {
        with_home(signals_the_process_that_holds_the_lock),
        with_home(never_signals_a_pid_without_the_lock),
        with_home(never_signals_another_node_that_took_the_instance_over),
        cmocka_unit_test(reads_where_a_node_serves_or_why_it_does_not),
        cmocka_unit_test(gives_up_on_a_report_that_does_not_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
