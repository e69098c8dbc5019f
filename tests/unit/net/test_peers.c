// SPDX-License-Identifier: Apache-2.0
// Two ends of the peer network in one process, over real sockets: what arrives, what a bad peer
// costs, and what an attacker sees. Waits are for events; nothing is timed.
#include "tests/unit/test.h"

#include "peer_endpoint.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "a secret of the cluster"
#define NEW_SECRET "the secret that comes next"
#define TEXT "all that is written is read "

static uint64_t counter(const struct endpoint *end, enum kvs_metric metric)
{
    return kvs_metrics_counter(end->metrics, metric);
}

static uint64_t drops(const struct endpoint *end)
{
    return counter(end, KVS_METRIC_PEER_DROPS_QUEUE) +
           counter(end, KVS_METRIC_PEER_DROPS_UNREACHABLE) +
           counter(end, KVS_METRIC_PEER_DROPS_SIZE);
}

// ---- Logs

struct log_file {
    char path[64];
    struct kvs_log *log;
};

static void log_file_open(struct log_file *file)
{
    (void)snprintf(file->path, sizeof(file->path), "/tmp/kvs-peers-XXXXXX");
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    close(fd);
    struct kvs_message message;
    assert_int_equal(
        kvs_log_open(file->path, KVS_LOG_INFO, "n", kvs_clock_system(), &file->log, &message), 0);
}

static unsigned count_lines(const struct log_file *file, const char *part)
{
    char line[4096];
    unsigned count = 0;
    FILE *in = fopen(file->path, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in)) {
        assert_null(strstr(line, SECRET));
        assert_null(strstr(line, NEW_SECRET));
        count += strstr(line, part) != NULL;
    }
    (void)fclose(in);
    return count;
}

static bool is_last_line(const struct log_file *file, const char *part)
{
    char line[4096];
    bool found = false;
    FILE *in = fopen(file->path, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in))
        found = strstr(line, part) != NULL;
    (void)fclose(in);
    return found;
}

static void log_file_close(struct log_file *file)
{
    kvs_log_close(file->log);
    (void)unlink(file->path);
}

// ---- Deliveries

static void messages_arrive_in_order_and_once_both_ways(void **state)
{
    (void)state;
    enum { COUNT = 100000, SIZE = 100 };
    struct endpoint a = {.compression_level = 3};
    struct endpoint b = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    for (uint64_t i = 1; i <= COUNT; i++) {
        endpoint_send(&a, b.address, i, SIZE, TEXT);
        endpoint_send(&b, a.address, i, SIZE, TEXT);
    }
    AWAIT(atomic_load(&a.received) == COUNT && atomic_load(&b.received) == COUNT);
    assert_int_equal(a.out_of_order, 0);
    assert_int_equal(b.out_of_order, 0);
    assert_int_equal(a.bytes, (uint64_t)COUNT * SIZE);
    AWAIT(counter(&a, KVS_METRIC_PEER_MESSAGES_SENT) == COUNT);
    AWAIT(counter(&b, KVS_METRIC_PEER_MESSAGES_SENT) == COUNT);
    assert_int_equal(counter(&a, KVS_METRIC_PEER_MESSAGES_RECEIVED), COUNT);
    assert_int_equal(drops(&a) + drops(&b), 0);
    assert_true(counter(&a, KVS_METRIC_PEER_REQUESTS) < COUNT);                    // gathered
    assert_true(counter(&a, KVS_METRIC_PEER_BYTES_SENT) < (uint64_t)COUNT * SIZE); // compressed
    assert_true(counter(&b, KVS_METRIC_PEER_BYTES_SENT) > (uint64_t)COUNT * SIZE);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void a_message_may_be_as_large_as_a_value(void **state)
{
    (void)state;
    static const size_t sizes[] = {1 << 20, (64 << 20) + 5000, 8, KVS_FRAMES_MESSAGE_MAX};
    for (int level = 0; level <= 1; level++) {
        struct endpoint a = {.compression_level = level};
        struct endpoint b = {0};
        uint64_t bytes = 0;
        endpoint_start(&a, "a", SECRET);
        endpoint_start(&b, "b", SECRET);
        for (size_t i = 0; i < KVS_ARRAY_SIZE(sizes); i++) {
            endpoint_send(&a, b.address, i + 1, sizes[i], TEXT);
            bytes += sizes[i];
            AWAIT(atomic_load(&b.received) == i + 1);
        }
        assert_int_equal(b.bytes, bytes);
        endpoint_send(&a, b.address, 9, (size_t)KVS_FRAMES_MESSAGE_MAX + 1, TEXT);
        assert_int_equal(counter(&a, KVS_METRIC_PEER_DROPS_SIZE), 1);
        endpoint_stop(&a);
        endpoint_stop(&b);
    }
}

static atomic_bool large_are_held;

static void hold_large(void *ctx, struct kvs_slice message)
{
    if (message.size >= KVS_PEERS_LARGE)
        AWAIT(!atomic_load(&large_are_held));
    endpoint_count(ctx, message);
}

static void small_messages_do_not_wait_for_a_large_one(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.log = file.log};
    struct endpoint b = {.on_message = hold_large};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    atomic_store(&large_are_held, true);
    endpoint_send(&a, b.address, 1, KVS_PEERS_LARGE, TEXT);
    endpoint_send(&a, b.address, 2, 100, TEXT);
    AWAIT(atomic_load(&b.received) == 1);
    assert_int_equal(b.bytes, 100);
    atomic_store(&large_are_held, false);
    AWAIT(atomic_load(&b.received) == 2);
    AWAIT(counter(&a, KVS_METRIC_PEER_REQUESTS) == 2);
    assert_int_equal(count_lines(&file, "peer reachable"), 1); // once an address
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&file);
}

static void what_waits_is_delivered_before_the_end(void **state)
{
    (void)state;
    struct endpoint a = {0};
    struct endpoint b = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    for (uint64_t i = 1; i <= 1000; i++)
        endpoint_send(&a, b.address, i, 1000, TEXT);
    kvs_peers_stop(a.peers, 60 * 1000);
    assert_int_equal(b.received, 1000);
    assert_string_equal(a.local_ip, "127.0.0.1");
    endpoint_send(&a, b.address, 1, 100, TEXT);
    assert_int_equal(counter(&a, KVS_METRIC_PEER_DROPS_QUEUE), 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

// ---- Bad peers

static void a_frozen_peer_costs_its_queue_and_nothing_else(void **state)
{
    (void)state;
    enum { COUNT = 1000, SIZE = 10000, QUEUE = 1 << 20 };
    struct endpoint a = {.queue_max = QUEUE};
    struct endpoint frozen = {0};
    struct endpoint well = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&frozen, "f", SECRET);
    endpoint_start(&well, "w", SECRET);
    atomic_store(&frozen.frozen, true);
    endpoint_send(&a, frozen.address, 1, SIZE, TEXT);
    for (uint64_t i = 1; i <= COUNT; i++) {
        endpoint_send(&a, frozen.address, i + 1, SIZE, TEXT);
        endpoint_send(&a, well.address, i, SIZE, TEXT);
        AWAIT(atomic_load(&well.received) == i);
    }
    uint64_t dropped = counter(&a, KVS_METRIC_PEER_DROPS_QUEUE);
    assert_true(dropped >= COUNT - 2 * QUEUE / SIZE - 2);
    assert_true(dropped < COUNT);
    atomic_store(&frozen.frozen, false);
    AWAIT(atomic_load(&frozen.received) + drops(&a) >= COUNT + 1);
    assert_int_equal(frozen.out_of_order, 0);
    endpoint_stop(&a);
    endpoint_stop(&frozen);
    endpoint_stop(&well);
}

// Sends one message again and again until one of them arrives.
static void send_until_received(struct endpoint *from, struct endpoint *to, uint64_t number)
{
    unsigned long before = atomic_load(&to->received);
    for (unsigned i = 0; atomic_load(&to->received) == before; i++) {
        if (i % 1000 == 0)
            endpoint_send(from, to->address, number, 64, TEXT);
        sched_yield();
    }
}

static void a_peer_that_never_answers_is_given_up_and_found_again(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.answer_timeout_ms = 200, .log = file.log};
    struct endpoint b = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    send_until_received(&a, &b, 1);
    atomic_store(&b.frozen, true);
    unsigned before = count_lines(&file, "peer unreachable"); // it may have been slow already
    while (count_lines(&file, "peer unreachable") == before)
        endpoint_send(&a, b.address, 2, 64, TEXT);
    atomic_store(&b.frozen, false);
    while (!is_last_line(&file, "peer reachable"))
        send_until_received(&a, &b, 3);
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&file);
}

static void a_restarted_peer_is_found_again(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.log = file.log};
    struct endpoint b = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start_on(&b, "b", SECRET, endpoint_lasting_port());
    unsigned port = kvs_net_port(b.net);
    for (unsigned round = 1; round <= 3; round++) {
        send_until_received(&a, &b, round);
        endpoint_hang_up(&b);
        kvs_peer_auth_free(b.auth);
        while (count_lines(&file, "peer unreachable") < round)
            endpoint_send(&a, b.address, 7, 64, TEXT);
        endpoint_new_auth(&b, SECRET, NULL); // another challenge
        endpoint_listen(&b, (uint16_t)port);
    }
    send_until_received(&a, &b, 9);
    AWAIT(count_lines(&file, "peer reachable") == 4);
    assert_int_equal(count_lines(&file, "peer unreachable"), 3);
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&file);
}

static void an_unreachable_peer_drops_what_has_grown_old(void **state)
{
    (void)state;
    struct endpoint a = {0};
    endpoint_start(&a, "a", SECRET);
    for (uint64_t i = 0; i < 100; i++)
        endpoint_send(&a, "127.0.0.1:1", i, 64, TEXT);
    AWAIT(counter(&a, KVS_METRIC_PEER_DROPS_UNREACHABLE) == 100);
    assert_true(counter(&a, KVS_METRIC_PEER_REQUEST_ERRORS) > 1);
    endpoint_stop(&a);
}

static void forgets_unused_addresses_where_there_is_no_room(void **state)
{
    (void)state;
    struct endpoint a = {.connection_max = 2};
    struct endpoint others[4] = {0};
    endpoint_start(&a, "a", SECRET);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(others); i++)
        endpoint_start(&others[i], "o", SECRET);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < KVS_ARRAY_SIZE(others); i++)
            send_until_received(&a, &others[i], 1 + round);
    }
    endpoint_stop(&a);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(others); i++)
        endpoint_stop(&others[i]);
}

// ---- Secrets

static void set_secrets(struct endpoint *end, const char *secret, const char *previous)
{
    const struct kvs_tls_client none = {0};
    assert_int_equal(kvs_peer_auth_set_secrets(end->auth, secret, previous), 0);
    assert_int_equal(kvs_peers_reload(end->peers, &none), 0);
}

static void secrets_rotate_without_a_gap(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.log = file.log};
    struct endpoint b = {0};
    uint64_t number = 0;
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    const struct {
        struct endpoint *end;
        const char *secret, *previous;
    } steps[] = {
        {&a, SECRET, NULL},     {&a, NEW_SECRET, SECRET}, {&b, NEW_SECRET, SECRET},
        {&a, NEW_SECRET, NULL}, {&b, NEW_SECRET, NULL},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(steps); i++) {
        set_secrets(steps[i].end, steps[i].secret, steps[i].previous);
        for (int k = 0; k < 100; k++) {
            number++;
            endpoint_send(&a, b.address, number, 64, TEXT);
            endpoint_send(&b, a.address, number, 64, TEXT);
        }
        AWAIT(atomic_load(&a.last) == number && atomic_load(&b.last) == number);
    }
    assert_int_equal(drops(&a) + drops(&b), 0);
    assert_int_equal(count_lines(&file, "refuses this node"), 0);
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&file);
}

static void a_wrong_secret_is_logged_once_on_both_sides(void **state)
{
    (void)state;
    struct log_file ours;
    struct log_file theirs;
    log_file_open(&ours);
    log_file_open(&theirs);
    struct endpoint a = {.log = ours.log};
    struct endpoint b = {.log = theirs.log};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", NEW_SECRET);
    while (counter(&a, KVS_METRIC_PEER_REQUEST_ERRORS) < 3)
        endpoint_send(&a, b.address, 1, 64, TEXT);
    assert_int_equal(b.received, 0);
    assert_int_equal(count_lines(&ours, "give both nodes the same cluster_secret"), 1);
    assert_int_equal(count_lines(&theirs, "give both nodes the same cluster_secret"), 1);
    assert_true(counter(&b, KVS_METRIC_PEER_REFUSED) >= 3);
    set_secrets(&a, NEW_SECRET, NULL);
    send_until_received(&a, &b, 2);
    AWAIT(count_lines(&ours, "peer reachable") == 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&ours);
    log_file_close(&theirs);
}

static void a_full_table_of_streams_only_costs_a_signature(void **state)
{
    (void)state;
    struct endpoint a = {0};
    struct endpoint b = {0};
    struct endpoint both = {.stream_max = 1};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    endpoint_start(&both, "c", SECRET);
    for (unsigned i = 1; i <= 50; i++) {
        endpoint_send(&a, both.address, i, 64, TEXT);
        AWAIT(atomic_load(&both.received) == 2 * i - 1);
        endpoint_send(&b, both.address, i, 64, TEXT);
        AWAIT(atomic_load(&both.received) == 2 * i);
    }
    assert_int_equal(drops(&a) + drops(&b), 0);
    assert_true(counter(&both, KVS_METRIC_PEER_REFUSED) >= 90);
    endpoint_stop(&a);
    endpoint_stop(&b);
    endpoint_stop(&both);
}

// ---- A stranger on a peer's address: answers every request with the same text, keeps what it got

struct stranger {
    int fd;
    const char *answer;
    char address[32];
    pthread_t thread;
    atomic_bool stopping;
    atomic_uint requests;
    char got[1 << 16];
    size_t got_size;
};

static void serve_one(struct stranger *stranger, int fd)
{
    size_t begin = stranger->got_size;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    while (poll(&poll_fd, 1, -1) == 1) {
        size_t room = sizeof(stranger->got) - stranger->got_size - 1;
        ssize_t size = recv(fd, stranger->got + stranger->got_size, room, 0);
        if (size <= 0)
            return;
        stranger->got_size += (size_t)size;
        stranger->got[stranger->got_size] = '\0';
        if (strstr(stranger->got + begin, "\r\n\r\n"))
            break;
    }
    (void)send(fd, stranger->answer, strlen(stranger->answer), MSG_NOSIGNAL);
    if (stranger->got_size > sizeof(stranger->got) / 2)
        stranger->got_size = 0; // what matters is checked before
    atomic_fetch_add(&stranger->requests, 1);
}

static void *stranger_run(void *arg)
{
    struct stranger *stranger = arg;
    while (!atomic_load(&stranger->stopping)) {
        struct pollfd poll_fd = {.fd = stranger->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 50) != 1)
            continue;
        int fd = accept(stranger->fd, NULL, NULL);
        if (fd < 0)
            continue;
        serve_one(stranger, fd);
        close(fd);
    }
    return NULL;
}

static void stranger_start(struct stranger *stranger, uint16_t port, const char *answer)
{
    *stranger = (struct stranger){.answer = answer};
    stranger->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    assert_int_equal(setsockopt(stranger->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(stranger->fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(stranger->fd, 16), 0);
    assert_int_equal(getsockname(stranger->fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(stranger->address, sizeof(stranger->address), "127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    assert_int_equal(pthread_create(&stranger->thread, NULL, stranger_run, stranger), 0);
}

static void stranger_stop(struct stranger *stranger)
{
    atomic_store(&stranger->stopping, true);
    pthread_join(stranger->thread, NULL);
    close(stranger->fd);
}

#define FALSE_PROOF                                                                                \
    KVS_PEER_CHALLENGE_HEADER ": 00112233445566778899aabbccddeeff\r\n" KVS_PEER_SIGNATURE_HEADER   \
                              ": 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" \
                              "\r\n"

static void a_stranger_on_a_peers_address_learns_nothing(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.log = file.log};
    struct endpoint b = {0};
    endpoint_start(&a, "a", SECRET);
    endpoint_start_on(&b, "b", SECRET, endpoint_lasting_port());
    send_until_received(&a, &b, 1);
    unsigned port = kvs_net_port(b.net);
    endpoint_hang_up(&b);
    static struct stranger stranger;
    stranger_start(&stranger, (uint16_t)port, "HTTP/1.1 204 No Content\r\n" FALSE_PROOF "\r\n");
    while (atomic_load(&stranger.requests) < 5)
        endpoint_send(&a, stranger.address, 2, 64, TEXT);
    stranger_stop(&stranger);
    assert_non_null(strstr(stranger.got, "POST /peer/v1/hello HTTP/1.1\r\n"));
    assert_null(strstr(stranger.got, "/peer/v1/messages"));
    assert_null(strstr(stranger.got, "written is read"));
    assert_null(strstr(stranger.got, SECRET));
    assert_int_equal(count_lines(&file, "does not answer as a member"), 1);
    endpoint_listen(&b, (uint16_t)port);
    send_until_received(&a, &b, 3);
    endpoint_stop(&a);
    endpoint_stop(&b);
    log_file_close(&file);
}

// What a stranger gets by handing a hello back to the one it came from.
static void a_node_does_not_talk_to_itself(void **state)
{
    (void)state;
    struct log_file file;
    log_file_open(&file);
    struct endpoint a = {.log = file.log};
    endpoint_start(&a, "a", SECRET);
    while (counter(&a, KVS_METRIC_PEER_REQUEST_ERRORS) < 3)
        endpoint_send(&a, a.address, 1, 64, TEXT);
    assert_int_equal(a.received, 0);
    assert_int_equal(count_lines(&file, "this node's own"), 1);
    endpoint_stop(&a);
    log_file_close(&file);
}

static void says_what_to_do_about_other_answers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        const char *line;
    } cases[] = {
        {"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n", "run the same release"},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "clustering_enabled"},
        {"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "same cluster_secret"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "clustering_enabled"},
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "at the moment"},
        {"SSH-2.0-OpenSSH\r\n", "unreachable"},
    };
    for (size_t i = 0; i < KVS_ARRAY_SIZE(cases); i++) {
        struct log_file file;
        log_file_open(&file);
        struct endpoint a = {.log = file.log};
        static struct stranger stranger;
        endpoint_start(&a, "a", SECRET);
        stranger_start(&stranger, 0, cases[i].answer);
        while (counter(&a, KVS_METRIC_PEER_REQUEST_ERRORS) < 3)
            endpoint_send(&a, stranger.address, 2, 64, TEXT);
        endpoint_stop(&a); // before the stranger: that he is gone is news
        stranger_stop(&stranger);
        assert_int_equal(count_lines(&file, cases[i].line), 1);
        assert_int_equal(count_lines(&file, stranger.address), 1);

        log_file_close(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_in_order_and_once_both_ways),
        cmocka_unit_test(a_message_may_be_as_large_as_a_value),
        cmocka_unit_test(small_messages_do_not_wait_for_a_large_one),
        cmocka_unit_test(what_waits_is_delivered_before_the_end),
        cmocka_unit_test(a_frozen_peer_costs_its_queue_and_nothing_else),
        cmocka_unit_test(a_peer_that_never_answers_is_given_up_and_found_again),
        cmocka_unit_test(a_restarted_peer_is_found_again),
        cmocka_unit_test(an_unreachable_peer_drops_what_has_grown_old),
        cmocka_unit_test(forgets_unused_addresses_where_there_is_no_room),
        cmocka_unit_test(secrets_rotate_without_a_gap),
        cmocka_unit_test(a_wrong_secret_is_logged_once_on_both_sides),
        cmocka_unit_test(a_full_table_of_streams_only_costs_a_signature),
        cmocka_unit_test(a_stranger_on_a_peers_address_learns_nothing),
        cmocka_unit_test(a_node_does_not_talk_to_itself),
        cmocka_unit_test(says_what_to_do_about_other_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
