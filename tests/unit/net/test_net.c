// SPDX-License-Identifier: Apache-2.0
// The server on loopback sockets: what only shows with real connections, threads and time. Every
// wait is for an event; the timeouts of the server under test are short.
#include "tests/unit/test.h"

#include "base/assert.h"
#include "net/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { PATIENCE_MS = 120 * 1000, BIG = 64 * 1024 * 1024 };

struct server {
    struct kvs_net_options options;
    struct kvs_net *net;
    pthread_t thread;
    int run_result;
    _Atomic(struct kvs_http_exchange *) held;
    _Atomic(struct kvs_executor *) loops_seen[16];
    atomic_uint handled;
    atomic_uint finished;
    atomic_ulong handler_thread;
    atomic_ulong worker_thread;
    atomic_bool stalled; // the loop of whoever asked for /stall
    struct kvs_task release_task;
    atomic_uint idle_calls;
};

static void answer(struct kvs_http_exchange *exchange, const char *text)
{
    exchange->response.status = 200;
    kvs_buf_append_str(&exchange->response.body, text);
    kvs_http_finish(exchange);
}

static void finish_on_loop(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct server *server = exchange->state;
    bool same = atomic_load(&server->handler_thread) == (unsigned long)pthread_self();
    bool other = atomic_load(&server->worker_thread) != (unsigned long)pthread_self();
    answer(exchange, same && other ? "worked" : "wrong thread");
}

static void work(struct kvs_task *task)
{
    struct kvs_http_exchange *exchange = KVS_CONTAINER_OF(task, struct kvs_http_exchange, task);
    struct server *server = exchange->state;
    atomic_store(&server->worker_thread, (unsigned long)pthread_self());
    task->run = finish_on_loop;
    kvs_executor_post(exchange->loop, task);
}

// Until `flag` is set by the server: the one event that has no descriptor.
#define AWAIT(condition)                                                                           \
    do {                                                                                           \
        while (!(condition))                                                                       \
            sched_yield();                                                                         \
    } while (0)

// Answers when the loop has dealt with all that is ready, on its thread.
static void answer_idle(void *ctx)
{
    struct server *server = ctx;
    atomic_fetch_add(&server->idle_calls, 1);
    bool same = atomic_load(&server->handler_thread) == (unsigned long)pthread_self();
    answer(atomic_exchange(&server->held, NULL), same ? "idle" : "wrong thread");
}

static void wait_for_idle(struct server *server, struct kvs_http_exchange *exchange)
{
    atomic_store(&server->handler_thread, (unsigned long)pthread_self());
    atomic_store(&server->held, exchange);
    bool asked = exchange->loop->call_idle(exchange->loop, answer_idle, server);
    bool again = exchange->loop->call_idle(exchange->loop, answer_idle, server);
    kvs_assert(asked && again && atomic_load(&server->held) == exchange);
}

static void handle(void *ctx, struct kvs_http_exchange *exchange)
{
    struct server *server = ctx;
    unsigned count = atomic_fetch_add(&server->handled, 1);
    if (count < KVS_ARRAY_SIZE(server->loops_seen))
        atomic_store(&server->loops_seen[count], exchange->loop);
    struct kvs_slice path = exchange->request.path;
    if (kvs_slice_eq(path, KVS_SLICE("/work"))) {
        atomic_store(&server->handler_thread, (unsigned long)pthread_self());
        exchange->state = server;
        exchange->task.run = work;
        kvs_executor_post(exchange->workers, &exchange->task);
    } else if (kvs_slice_eq(path, KVS_SLICE("/idle"))) {
        wait_for_idle(server, exchange);
    } else if (kvs_slice_eq(path, KVS_SLICE("/hold"))) {
        atomic_store(&server->held, exchange);
    } else if (kvs_slice_eq(path, KVS_SLICE("/big"))) {
        exchange->response.status = 200;
        char *room = kvs_buf_reserve(&exchange->response.body, BIG);
        kvs_assert(room != NULL);
        memset(room, 'b', BIG);
        exchange->response.body.size += BIG;
        kvs_http_finish(exchange);
    } else if (kvs_slice_eq(path, KVS_SLICE("/stall"))) {
        atomic_store(&server->stalled, true);
        AWAIT(!atomic_load(&server->stalled));
        answer(exchange, "stalled");
    } else {
        answer(exchange, "hello");
    }
}

static void count_finished(void *ctx, const struct kvs_http_access *access)
{
    struct server *server = ctx;
    kvs_assert(access->status >= 200);
    atomic_fetch_add(&server->finished, 1);
}

static void *run(void *arg)
{
    struct server *server = arg;
    server->run_result = kvs_net_run(server->net, NULL);
    return NULL;
}

static void prepare(struct server *server)
{
    *server = (struct server){0};
    server->options = (struct kvs_net_options){
        .address = "127.0.0.1",
        .threads = 2,
        .handler = {.ctx = server, .handle = handle, .finished = count_finished},
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
    };
}

static void start(struct server *server)
{
    struct kvs_message message = {0};
    if (kvs_net_new(&server->options, &server->net, &message) ||
        kvs_net_listen(server->net, &message))
        fail_msg("%s", message.text);
    assert_int_not_equal(kvs_net_port(server->net), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

static void join(struct server *server)
{
    pthread_join(server->thread, NULL);
    assert_int_equal(server->run_result, 0);
    kvs_net_free(server->net);
}

static void stop(struct server *server)
{
    kvs_net_stop(server->net, PATIENCE_MS);
    join(server);
}

static void release_held(struct kvs_task *task)
{
    struct server *server = KVS_CONTAINER_OF(task, struct server, release_task);
    answer(atomic_exchange(&server->held, NULL), "released");
}

static void release(struct server *server)
{
    server->release_task.run = release_held;
    kvs_executor_post(atomic_load(&server->held)->loop, &server->release_task);
}

static struct sockaddr_in address_of(const struct server *server)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(kvs_net_port(server->net)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int try_connect(const struct server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    const struct sockaddr_in address = address_of(server);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial(const struct server *server)
{
    int fd = try_connect(server);
    assert_true(fd >= 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), size);
}

// Bytes, 0 at the end, -errno.
static ssize_t receive(int fd, char *data, size_t size)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    ssize_t received = recv(fd, data, size, 0);
    return received < 0 ? -errno : received;
}

// Reads until `text` has come; false when the connection ends before.
static bool expect(int fd, const char *text)
{
    char data[64 * 1024];
    size_t size = 0;
    while (size < sizeof(data)) {
        ssize_t received = receive(fd, data + size, sizeof(data) - size);
        if (received <= 0)
            return false;
        size += (size_t)received;
        if (memmem(data, size, text, strlen(text)))
            return true;
    }
    return false;
}

static bool expect_end(int fd)
{
    char data[4096];
    ssize_t received;
    while ((received = receive(fd, data, sizeof(data))) > 0)
        ;
    return received == 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void serves_requests_one_after_the_other_and_pipelined(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    for (int i = 0; i < 3; i++) {
        send_text(fd, GET("/"));
        assert_true(expect(fd, "\r\n\r\nhello"));
    }
    send_text(fd,
              GET("/") GET("/work") "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_true(expect(fd, "Connection: close\r\n"));
    assert_true(expect_end(fd));
    close(fd);
    stop(&server);
    assert_int_equal(server.handled, 6);
    assert_int_equal(server.finished, 6);
}

static void spreads_connections_over_the_loops(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int first = dial(&server);
    send_text(first, GET("/"));
    assert_true(expect(first, "hello"));
    int second = dial(&server);
    send_text(second, GET("/"));
    assert_true(expect(second, "hello"));
    assert_ptr_not_equal(server.loops_seen[0], server.loops_seen[1]);
    close(first);
    close(second);
    stop(&server);
}

static void calls_what_waits_until_a_loop_is_idle_once_and_there(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    for (unsigned i = 1; i <= 3; i++) {
        send_text(fd, GET("/idle"));
        assert_true(expect(fd, "\r\n\r\nidle"));
        assert_int_equal(atomic_load(&server.idle_calls), i);
    }
    struct kvs_executor *loop = atomic_load(&server.loops_seen[0]);
    assert_false(loop->call_idle(loop, answer_idle, &server)); // from another thread
    send_text(fd, GET("/"));
    assert_true(expect(fd, "\r\n\r\nhello"));
    assert_int_equal(atomic_load(&server.idle_calls), 3);
    close(fd);
    stop(&server);
}

static void runs_blocking_work_elsewhere_and_comes_back(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    for (int i = 0; i < 100; i++) {
        send_text(fd, GET("/work"));
        assert_true(expect(fd, "worked"));
    }
    close(fd);
    stop(&server);
}

// The second connection goes to the less busy loop, which is not the holder's.
static void bounds_what_the_connections_of_all_loops_hold(void **state)
{
    (void)state;
    enum { BODY = 900 * 1024 };
    struct server server;
    prepare(&server);
    server.options.memory_max = 1024 * 1024;
    start(&server);
    KVS_CLEANUP(kvs_freep) char *body = calloc(1, BODY + 1);
    assert_non_null(body);
    memset(body, 'b', BODY);
    int holder = dial(&server);
    send_text(holder, "PUT /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 921600\r\n\r\n");
    send_text(holder, body);
    AWAIT(atomic_load(&server.held));
    int fd = dial(&server);
    send_text(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 921600\r\n\r\n");
    assert_true(expect(fd, "503 Service Unavailable"));
    close(fd);
    fd = dial(&server);
    send_text(fd, GET("/"));
    assert_true(expect(fd, "hello"));
    close(fd);
    release(&server);
    assert_true(expect(holder, "released"));
    close(holder);
    stop(&server); // kvs_net_free asserts that nothing is held
}

static void explains_why_it_cannot_listen(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    struct kvs_net_options options = server.options;
    options.port = kvs_net_port(server.net);
    struct kvs_net *net = NULL;
    struct kvs_message message = {0};
    assert_int_equal(kvs_net_new(&options, &net, &message), 0);
    assert_int_equal(kvs_net_listen(net, &message), KVS_ERR_BUSY);
    char expected[128];
    (void)snprintf(expected, sizeof(expected),
                   "127.0.0.1:%u: address already in use: another program listens there, choose "
                   "another port",
                   options.port);
    assert_string_equal(message.text, expected);
    kvs_net_free(net);

    options.address = "192.0.2.1"; // of nobody (RFC 5737)
    assert_int_equal(kvs_net_new(&options, &net, &message), 0);
    assert_int_equal(kvs_net_listen(net, &message), KVS_ERR_INVALID);
    assert_non_null(strstr(message.text, "not an address of this machine"));
    kvs_net_free(net);

    options.address = "not an address";
    assert_int_equal(kvs_net_new(&options, &net, &message), 0);
    assert_int_equal(kvs_net_listen(net, &message), KVS_ERR_INVALID);
    assert_non_null(strstr(message.text, "bind_address 'not an address'"));
    kvs_net_free(net);
    stop(&server);
}

static void cuts_off_slow_and_idle_clients_but_serves_others(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    server.options.http.request_timeout_ms = 300;
    server.options.http.idle_timeout_ms = 300;
    start(&server);
    int slow[50];
    for (size_t i = 0; i < KVS_ARRAY_SIZE(slow); i++) {
        slow[i] = dial(&server);
        send_text(slow[i], i % 2 ? "GET / HTTP/1.1\r\n"
                                 : "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    }
    int idle = dial(&server);
    send_text(idle, GET("/"));
    assert_true(expect(idle, "hello"));
    for (size_t i = 0; i < KVS_ARRAY_SIZE(slow); i++) {
        assert_true(expect(slow[i], "HTTP/1.1 408 Request Timeout\r\n"));
        assert_true(expect_end(slow[i]));
        close(slow[i]);
    }
    char byte;
    assert_int_equal(receive(idle, &byte, 1), 0);
    close(idle);
    stop(&server);
}

static atomic_llong passed_ns; // beside the real time

static int64_t ahead_ns(const struct kvs_clock *clock)
{
    (void)clock;
    return kvs_clock_mono_ns(kvs_clock_system()) + atomic_load(&passed_ns);
}

// What was sent in time counts as such, however late the loop comes to read it.
static void a_loop_that_was_held_up_reads_before_it_cuts_off(void **state)
{
    (void)state;
    enum { TICKS_MS = 600 }; // a timer is due by then
    struct kvs_clock clock = *kvs_clock_system();
    clock.mono_ns = ahead_ns;
    struct server server;
    prepare(&server);
    server.options.threads = 1;
    server.options.clock = &clock;
    start(&server);
    int late = dial(&server);
    send_text(late, "GET / HTTP/1.1\r\n");
    int busy = dial(&server);
    send_text(busy, GET("/")); // the one before has been read, too, when this is answered
    assert_true(expect(busy, "hello"));
    send_text(busy, GET("/stall"));
    AWAIT(atomic_load(&server.stalled));
    send_text(late, "Host: a\r\n\r\n");
    atomic_fetch_add(&passed_ns, INT64_C(3600) * 1000 * 1000 * 1000); // far more than it may take
    int64_t due_ms = kvs_clock_mono_ms(kvs_clock_system()) + TICKS_MS;
    AWAIT(kvs_clock_mono_ms(kvs_clock_system()) >= due_ms);
    atomic_store(&server.stalled, false);
    assert_true(expect(late, "hello"));
    close(late);
    close(busy);
    stop(&server);
}

static void resets_clients_that_do_not_read(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    server.options.http.write_timeout_ms = 200;
    start(&server);
    int fd = dial(&server);
    send_text(fd, GET("/big"));
    struct pollfd poll_fd = {.fd = fd}; // errors only
    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    assert_true((poll_fd.revents & (POLLERR | POLLHUP)) != 0);
    close(fd);
    stop(&server);
}

static void delivers_large_responses_to_slow_readers(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    send_text(fd, GET("/big") "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    size_t size = 0;
    ssize_t received;
    char data[64 * 1024];
    while ((received = receive(fd, data, sizeof(data))) > 0)
        size += (size_t)received;
    assert_int_equal(received, 0);
    assert_true(size > BIG);
    close(fd);
    stop(&server);
}

static void tells_the_client_why_although_it_is_still_sending(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    server.options.http.body_max = 1000;
    start(&server);
    int fd = dial(&server);
    send_text(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    static char body[2000000];
    size_t at = 0;
    while (at < sizeof(body)) { // closing at once would reset the connection under this
        ssize_t sent = send(fd, body + at, sizeof(body) - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
    assert_true(expect(fd, "HTTP/1.1 413 "));
    assert_true(expect_end(fd));
    close(fd);
    stop(&server);
}

static void refuses_connections_beyond_the_limits(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    server.options.max_connections = 2;
    start(&server);
    int kept[2];
    for (int i = 0; i < 2; i++) {
        kept[i] = dial(&server);
        send_text(kept[i], GET("/"));
        assert_true(expect(kept[i], "hello"));
    }
    int refused = dial(&server);
    assert_true(expect(refused, "HTTP/1.1 503 Service Unavailable\r\n"));
    close(refused);

    struct kvs_net_options options = server.options;
    options.max_connections = 100;
    options.max_connections_per_address = 2;
    assert_int_equal(kvs_net_reload(server.net, &options, NULL), 0);
    char byte;
    int third;
    do { // the refused one counts until the server has seen it go
        third = dial(&server);
        ssize_t received = receive(third, &byte, 1);
        close(third);
        if (received <= 0)
            break;
    } while (true);
    close(kept[0]);
    bool served = false;
    while (!served) { // so does this one
        int fourth = dial(&server);
        (void)send(fourth, GET("/"), strlen(GET("/")), MSG_NOSIGNAL); // may be cut off already
        served = expect(fourth, "hello");
        close(fourth);
    }
    close(kept[1]);
    stop(&server);
}

static void survives_running_out_of_descriptors(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    send_text(fd, GET("/"));
    assert_true(expect(fd, "hello"));
    int unlucky = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {.rlim_cur = 256, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int fillers[256];
    size_t filler_count = 0;
    int filler;
    while (filler_count < KVS_ARRAY_SIZE(fillers) && (filler = dup(0)) >= 0)
        fillers[filler_count++] = filler;
    const struct sockaddr_in address = address_of(&server);
    assert_int_equal(connect(unlucky, (const struct sockaddr *)&address, sizeof(address)), 0);
    char byte;
    assert_in_range(-receive(unlucky, &byte, 1), 0, ECONNRESET); // the end or a reset, at once
    send_text(fd, GET("/"));
    assert_true(expect(fd, "hello"));
    while (filler_count > 0)
        close(fillers[--filler_count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    int lucky = dial(&server);
    send_text(lucky, GET("/"));
    assert_true(expect(lucky, "hello"));
    close(lucky);
    close(unlucky);
    close(fd);
    stop(&server);
}

static void takes_over_new_settings_while_running(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int fd = dial(&server);
    send_text(fd, GET("/"));
    assert_true(expect(fd, "200 OK"));
    struct kvs_net_options options = server.options;
    static const char *const hosts[] = {"b"};
    options.http.allowed_hosts = hosts;
    options.http.allowed_host_count = 1;
    assert_int_equal(kvs_net_reload(server.net, &options, NULL), 0);
    close(fd);
    bool refused = false;
    while (!refused) { // as soon as the loops have got to it
        fd = dial(&server);
        send_text(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        refused = expect(fd, "HTTP/1.1 421 ");
        close(fd);
    }
    static const char *const proxies[] = {"nonsense"};
    options.http.trusted_proxies = proxies;
    options.http.trusted_proxy_count = 1;
    struct kvs_message message = {0};
    assert_int_equal(kvs_net_reload(server.net, &options, &message), KVS_ERR_INVALID);
    assert_non_null(strstr(message.text, "nonsense"));
    stop(&server);
}

static void finishes_requests_in_flight_before_it_stops(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int idle = dial(&server);
    send_text(idle, GET("/"));
    assert_true(expect(idle, "hello"));
    int busy = dial(&server);
    send_text(busy, GET("/hold"));
    AWAIT(atomic_load(&server.held) != NULL);
    kvs_net_stop(server.net, PATIENCE_MS);
    assert_true(expect_end(idle));
    assert_int_equal(try_connect(&server), -1);
    release(&server);
    assert_true(expect(busy, "Connection: close\r\n"));
    assert_true(expect_end(busy));
    close(busy);
    close(idle);
    join(&server);
}

static void cuts_off_what_is_left_after_the_grace_time(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    int slow = dial(&server);
    send_text(slow, "GET / HTTP/1.1\r\n");
    int busy = dial(&server);
    send_text(busy, GET("/hold"));
    AWAIT(atomic_load(&server.held) != NULL);
    kvs_net_stop(server.net, 50);
    char byte;
    assert_int_equal(receive(slow, &byte, 1), -ECONNRESET);
    assert_int_equal(receive(busy, &byte, 1), -ECONNRESET);
    release(&server); // the server waits for its handler all the same
    close(busy);
    close(slow);
    join(&server);
}

static void stops_at_once_when_nothing_is_going_on(void **state)
{
    (void)state;
    struct server server;
    prepare(&server);
    start(&server);
    stop(&server);
    prepare(&server); // and when it was never run
    assert_int_equal(kvs_net_new(&server.options, &server.net, NULL), 0);
    assert_int_equal(kvs_net_listen(server.net, NULL), 0);
    kvs_net_free(server.net);
    prepare(&server); // and when it was stopped before
    assert_int_equal(kvs_net_new(&server.options, &server.net, NULL), 0);
    assert_int_equal(kvs_net_listen(server.net, NULL), 0);
    kvs_net_stop(server.net, 1000);
    assert_int_equal(kvs_net_run(server.net, NULL), 0);
    kvs_net_free(server.net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_requests_one_after_the_other_and_pipelined),
        cmocka_unit_test(spreads_connections_over_the_loops),
        cmocka_unit_test(calls_what_waits_until_a_loop_is_idle_once_and_there),
        cmocka_unit_test(runs_blocking_work_elsewhere_and_comes_back),
        cmocka_unit_test(bounds_what_the_connections_of_all_loops_hold),
        cmocka_unit_test(explains_why_it_cannot_listen),
        cmocka_unit_test(cuts_off_slow_and_idle_clients_but_serves_others),
        cmocka_unit_test(a_loop_that_was_held_up_reads_before_it_cuts_off),
        cmocka_unit_test(resets_clients_that_do_not_read),
        cmocka_unit_test(delivers_large_responses_to_slow_readers),
        cmocka_unit_test(tells_the_client_why_although_it_is_still_sending),
        cmocka_unit_test(refuses_connections_beyond_the_limits),
        cmocka_unit_test(survives_running_out_of_descriptors),
        cmocka_unit_test(takes_over_new_settings_while_running),
        cmocka_unit_test(finishes_requests_in_flight_before_it_stops),
        cmocka_unit_test(cuts_off_what_is_left_after_the_grace_time),
        cmocka_unit_test(stops_at_once_when_nothing_is_going_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
