// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/notify.h"

// What arrives at a socket of that name ('@': abstract) when the state is sent to it.
static void assert_arrives(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char got[32] = "";
    memcpy(address.sun_path, name, strlen(name));
    if (name[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    kvs_notify(name, "READY=1");
    assert_int_equal(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
    assert_string_equal(got, "READY=1");
    (void)close(fd);
}

static void reaches_a_socket_in_the_file_system(void **state)
{
    (void)state;
    char folder[] = "/tmp/kvs-test-XXXXXX", name[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(name, sizeof(name), "%s/notify", folder);
    assert_arrives(name);
    (void)unlink(name);
    (void)rmdir(folder);
}

static void reaches_an_abstract_socket(void **state)
{
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof(name), "@kvs-test-%ld", (long)getpid());
    assert_arrives(name);
}

static void does_nothing_without_a_usable_name(void **state)
{
    (void)state;
    char giant[500];
    memset(giant, '/', sizeof(giant) - 1);
    giant[sizeof(giant) - 1] = 0;
    kvs_notify(NULL, "READY=1");
    kvs_notify("", "READY=1");
    kvs_notify("/", "READY=1");
    kvs_notify("vsock:2:1234", "READY=1");
    kvs_notify("/nowhere/at/all", "READY=1");
    kvs_notify(giant, "READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reaches_a_socket_in_the_file_system),
        cmocka_unit_test(reaches_an_abstract_socket),
        cmocka_unit_test(does_nothing_without_a_usable_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
