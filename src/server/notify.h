// SPDX-License-Identifier: Apache-2.0
// Tells systemd how the service is (sd_notify(3)), without its library: one datagram to the socket
// that $NOTIFY_SOCKET names. Without one nothing happens.
#ifndef KVS_SERVER_NOTIFY_H
#define KVS_SERVER_NOTIFY_H

// `socket_name` is $NOTIFY_SOCKET, NULL when unset; `state` for example "READY=1". Whoever listens
// there is not our business: errors are ignored.
void kvs_notify(const char *socket_name, const char *state);

#endif
