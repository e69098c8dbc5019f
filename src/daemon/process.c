// SPDX-License-Identifier: Apache-2.0
#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/clock.h"
#include "daemon/pidfile.h"
#include "daemon/ready.h"

// Where this program lies, so that the node shows as "kvs" and not as "exe"; when the file has been
// replaced or removed meanwhile, /proc/self/exe still is the running one.
static const char *own_path(char *buffer, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", buffer, size - 1);
    if (length > 0 && (size_t)length < size - 1) {
        buffer[length] = 0;
        if (access(buffer, X_OK) == 0)
            return buffer;
    }
    return "/proc/self/exe";
}

// All of these return an errno value, as posix_spawn does.
static int set_files(posix_spawn_file_actions_t *actions, const char *log_path, int ready_fd)
{
    int errnum = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (errnum == 0)
        errnum = posix_spawn_file_actions_addopen(actions, 1, log_path,
                                                  O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (errnum == 0)
        errnum = posix_spawn_file_actions_adddup2(actions, 1, 2);
    if (errnum == 0)
        errnum = posix_spawn_file_actions_adddup2(actions, ready_fd, KVS_READY_FD);
    if (errnum == 0)
        errnum = posix_spawn_file_actions_addclosefrom_np(actions, KVS_READY_FD + 1);
    return errnum;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int errnum = posix_spawnattr_setsigmask(attributes, &none);
    if (errnum == 0)
        errnum = posix_spawnattr_setsigdefault(attributes, &all);
    if (errnum == 0)
        errnum = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                          POSIX_SPAWN_SETSIGDEF);
    return errnum;
}

static int spawn(const struct kvs_instance *instance, int ready_fd, pid_t *ret_pid)
{
    char buffer[4096];
    const char *program = own_path(buffer, sizeof(buffer));
    char *argv[] = {(char *)"kvs", (char *)"--daemon", instance->config_path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int errnum = posix_spawn_file_actions_init(&actions);
    if (errnum != 0)
        return errnum;
    errnum = posix_spawnattr_init(&attributes);
    if (errnum == 0) {
        errnum = set_files(&actions, instance->log_path, ready_fd);
        if (errnum == 0)
            errnum = set_attributes(&attributes);
        if (errnum == 0)
            errnum = posix_spawn(ret_pid, program, &actions, &attributes, argv, environ);
        (void)posix_spawnattr_destroy(&attributes); // always succeeds in glibc
    }
    (void)posix_spawn_file_actions_destroy(&actions); // likewise
    return errnum;
}

int kvs_process_spawn(const struct kvs_instance *instance, pid_t *ret_pid, int *ret_ready_fd,
                      struct kvs_message *ret_message)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot make a pipe: %s",
                        strerror(errno));
    KVS_CLEANUP(kvs_closep) int read_fd = pipe_fds[0];
    KVS_CLEANUP(kvs_closep) int write_fd = pipe_fds[1];
    int errnum = spawn(instance, write_fd, ret_pid);
    if (errnum != 0)
        return kvs_fail(ret_message, kvs_err_from_errno(errnum),
                        "cannot start a process that logs to %s: %s", instance->log_path,
                        strerror(errnum));
    *ret_ready_fd = read_fd;
    read_fd = -1;
    return 0;
}

// Does the PID file still name that process, and does it hold the lock?
static bool still_runs(struct kvs_home *home, const struct kvs_instance *instance)
{
    if (kvs_home_lock(home, NULL) != 0)
        return false;
    struct kvs_pidfile pidfile;
    bool runs = kvs_pidfile_read(instance->pid_path, &pidfile) == 0 && pidfile.locked &&
                pidfile.pid == instance->pid;
    kvs_pidfile_done(&pidfile);
    kvs_home_unlock(home);
    return runs;
}

int kvs_process_signal(struct kvs_home *home, const struct kvs_instance *instance, int signal,
                       int *ret_pidfd, struct kvs_message *ret_message)
{
    *ret_pidfd = -1;
    if (!instance->running)
        return KVS_ERR_NOT_FOUND;
    if (instance->pid <= 0)
        return kvs_fail(ret_message, KVS_ERR_CORRUPT, "%s is damaged: end the process by hand",
                        instance->pid_path);
    KVS_CLEANUP(kvs_closep) int pidfd = pidfd_open(instance->pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return KVS_ERR_NOT_FOUND;
    // Asked after the pidfd was opened: the process that we hold is the one with the lock.
    if (pidfd >= 0 && !still_runs(home, instance))
        return KVS_ERR_NOT_FOUND;
    if (pidfd < 0 || pidfd_send_signal(pidfd, signal, NULL, 0) != 0) {
        if (pidfd >= 0 && errno == ESRCH)
            return KVS_ERR_NOT_FOUND;
        return kvs_fail(ret_message, kvs_err_from_errno(errno), "cannot signal process %ld: %s",
                        (long)instance->pid, strerror(errno));
    }
    *ret_pidfd = pidfd;
    pidfd = -1;
    return 0;
}

int kvs_process_wait(int pidfd, int64_t deadline_ms)
{
    const struct kvs_clock *clock = kvs_clock_system();
    for (;;) {
        int64_t left_ms = deadline_ms - kvs_clock_mono_ms(clock);
        struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
        int ready = poll(&pollfd, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return kvs_err_from_errno(errno);
        if (left_ms <= 0)
            return KVS_ERR_TIMEOUT;
    }
}
