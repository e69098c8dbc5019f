// SPDX-License-Identifier: Apache-2.0
#include "server/notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/cleanup.h"

void kvs_notify(const char *socket_name, const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = socket_name ? strlen(socket_name) : 0;
    if (size < 2 || size >= sizeof(address.sun_path))
        return;
    if (socket_name[0] != '/' && socket_name[0] != '@')
        return; // vsock and the like: not for us
    memcpy(address.sun_path, socket_name, size);
    if (socket_name[0] == '@')
        address.sun_path[0] = 0; // the abstract name space
    KVS_CLEANUP(kvs_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)); // see above
}
