// SPDX-License-Identifier: Apache-2.0
#include "daemon/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

bool kvs_ready_adopt(void)
{
    struct stat status;
    return fstat(KVS_READY_FD, &status) == 0 && S_ISFIFO(status.st_mode) &&
           fcntl(KVS_READY_FD, F_SETFD, FD_CLOEXEC) == 0;
}

static void report(const char *word, const char *text)
{
    struct kvs_message line;
    (void)kvs_fail(&line, 0, "%s %s", word, text);
    for (char *p = line.text; *p; p++) {
        if (*p == '\n')
            *p = ' ';
    }
    (void)dprintf(KVS_READY_FD, "%s\n", line.text); // nobody may listen any more
    (void)close(KVS_READY_FD);
}

void kvs_ready_report(const char *address)
{
    report("ready", address);
}

void kvs_ready_report_failure(const char *reason)
{
    report("failed", reason);
}

// Reads up to the newline, the end or the deadline.
static int read_line(int fd, int timeout_ms, char *line, size_t size)
{
    const struct kvs_clock *clock = kvs_clock_system();
    int64_t deadline_ms = kvs_clock_mono_ms(clock) + timeout_ms;
    size_t used = 0;
    line[0] = 0;
    while (used + 1 < size && !strchr(line, '\n')) {
        int64_t left_ms = deadline_ms - kvs_clock_mono_ms(clock);
        if (left_ms <= 0)
            return KVS_ERR_TIMEOUT;
        struct pollfd pollfd = {.fd = fd, .events = POLLIN};
        int ready = poll(&pollfd, 1, (int)left_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR))
            continue;
        ssize_t got = ready > 0 ? read(fd, line + used, size - used - 1) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return KVS_ERR_IO;
        if (got == 0)
            break;
        used += (size_t)got;
        line[used] = 0;
    }
    line[strcspn(line, "\n")] = 0;
    return 0;
}

int kvs_ready_wait(int fd, int timeout_ms, struct kvs_message *ret_address,
                   struct kvs_message *ret_message)
{
    struct kvs_message line;
    int err = read_line(fd, timeout_ms, line.text, sizeof(line.text));
    if (err != 0)
        return kvs_fail(ret_message, err, "%s", kvs_err_text(err));
    if (strncmp(line.text, "ready ", 6) == 0)
        return kvs_fail(ret_address, 0, "%s", line.text + 6);
    bool said = strncmp(line.text, "failed ", 7) == 0;
    return kvs_fail(ret_message, KVS_ERR_UNREACHABLE, "%s", said ? line.text + 7 : "");
}
