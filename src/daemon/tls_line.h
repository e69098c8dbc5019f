// SPDX-License-Identifier: Apache-2.0
// TLS over a blocking socket, towards a node of this user whose certificate lies on this disk. The
// certificate itself is compared, no chain and no name: that says more than a CA could, and works
// with self-signed ones and for addresses that stand in none. One thread.
#ifndef KVS_DAEMON_TLS_LINE_H
#define KVS_DAEMON_TLS_LINE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/err.h"

struct kvs_tls_line;

// Shakes hands on `fd`, which stays the caller's and whose timeouts hold. KVS_ERR_UNREACHABLE,
// KVS_ERR_TIMEOUT, KVS_ERR_NOMEM or the error of reading the file; the message says why.
KVS_MUST_CHECK int kvs_tls_line_open(int fd, const char *cert_file, struct kvs_tls_line **ret_line,
                                     struct kvs_message *ret_message);
void kvs_tls_line_free(struct kvs_tls_line *line); // NULL is fine
KVS_DEFINE_CLEANUP(struct kvs_tls_line, kvs_tls_line_free)

// As recv(2) and send(2): bytes (send: all of them), 0 at the end, -1 with errno.
ssize_t kvs_tls_line_recv(struct kvs_tls_line *line, void *data, size_t size);
ssize_t kvs_tls_line_send(struct kvs_tls_line *line, const void *data, size_t size);

#endif
