// SPDX-License-Identifier: Apache-2.0
// A node for the tests of libkvs: one thread that answers each request with the next canned answer
// and remembers what it was sent. It knows no HTTP beyond where a request ends.
#ifndef KVS_TESTS_UNIT_CLIENT_FAKE_NODE_H
#define KVS_TESTS_UNIT_CLIENT_FAKE_NODE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAKE_ANSWERS_MAX = 32, FAKE_REQUEST_SIZE_MAX = 1 << 16 };

struct fake_node {
    int listener;
    char url[64];
    pthread_t thread;
    const char *const *answers; // ended by NULL; "" closes the connection instead
    int delay_ms;               // before each answer
    // Read them after fake_node_stop.
    char requests[FAKE_ANSWERS_MAX][FAKE_REQUEST_SIZE_MAX];
    int request_count;
    int connection_count;
};

// A whole request, or false at the connection's end.
static bool fake_read_request(int connection, char *request)
{
    size_t size = 0;
    for (;;) {
        request[size] = 0;
        const char *end = strstr(request, "\r\n\r\n");
        if (end) {
            const char *length = strcasestr(request, "\r\ncontent-length: ");
            size_t body = length && length < end ? strtoul(length + 18, NULL, 10) : 0;
            if (size >= (size_t)(end - request) + 4 + body)
                return true;
        }
        ssize_t got = recv(connection, request + size, FAKE_REQUEST_SIZE_MAX - 1 - size, 0);
        if (got <= 0)
            return false;
        size += (size_t)got;
    }
}

// One request and its answer; false when the connection is to be closed.
static bool fake_serve(struct fake_node *node, int connection)
{
    if (!fake_read_request(connection, node->requests[node->request_count]))
        return false;
    const char *answer = node->answers[node->request_count++];
    (void)poll(NULL, 0, node->delay_ms);
    return answer && *answer && send(connection, answer, strlen(answer), MSG_NOSIGNAL) > 0 &&
           !strstr(answer, "Connection: close");
}

static void *fake_run(void *context)
{
    struct fake_node *node = context;
    struct pollfd fds[1 + FAKE_ANSWERS_MAX] = {{.fd = node->listener, .events = POLLIN}};
    nfds_t count = 1;
    while (poll(fds, count, -1) > 0) {
        for (nfds_t i = 1; i < count; i++) {
            if (fds[i].revents && !fake_serve(node, fds[i].fd)) {
                close(fds[i].fd);
                fds[i].fd = -1; // poll skips it
            }
        }
        if (fds[0].revents) {
            int connection = accept(node->listener, NULL, NULL);
            if (connection < 0 || count == 1 + FAKE_ANSWERS_MAX)
                break;
            node->connection_count++;
            fds[count++] = (struct pollfd){.fd = connection, .events = POLLIN};
        }
    }
    for (nfds_t i = 1; i < count; i++)
        close(fds[i].fd);
    return NULL;
}

static struct fake_node *fake_node_start_slow(const char *const *answers, int delay_ms)
{
    struct fake_node *node = calloc(1, sizeof(*node));
    assert_non_null(node);
    node->answers = answers;
    node->delay_ms = delay_ms;
    node->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(bind(node->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(node->listener, 8), 0);
    assert_int_equal(getsockname(node->listener, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(node->url, sizeof(node->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&node->thread, NULL, fake_run, node), 0);
    return node;
}

static inline struct fake_node *fake_node_start(const char *const *answers)
{
    return fake_node_start_slow(answers, 0);
}

static void fake_node_stop(struct fake_node *node)
{
    shutdown(node->listener, SHUT_RDWR);
    pthread_join(node->thread, NULL);
    close(node->listener);
}

#endif
