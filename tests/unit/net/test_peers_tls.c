// SPDX-License-Identifier: Apache-2.0
// The peer network over TLS: whom it trusts, mutual TLS, and certificates that change.
#include "tests/unit/test.h"

#include "certs.h"
#include "peer_endpoint.h"

#define SECRET "a secret of the cluster"
#define TEXT "all that is written is read "

struct files {
    struct tempdir dir;
    char ca[CERT_PATH_SIZE], other_ca[CERT_PATH_SIZE];
    char cert[CERT_PATH_SIZE], key[CERT_PATH_SIZE];
    char log[CERT_PATH_SIZE];
    struct kvs_log *logger;
};

// A CA, and a certificate of it for localhost, under the files' names.
static void issue(struct files *files, char ca_path[static CERT_PATH_SIZE], const char *ca_name,
                  bool with_cert)
{
    struct cert ca =
        cert_make(&(struct cert_options){.name = ca_name, .is_ca = true, .valid_s = 3600});
    cert_write(&ca, &files->dir, ca_name, "w", ca_path);
    if (with_cert) {
        struct cert cert =
            cert_make(&(struct cert_options){.name = "localhost", .issuer = &ca, .valid_s = 3600});
        cert_write(&cert, &files->dir, "cert", "w", files->cert);
        cert_write_key(&cert, &files->dir, "key", NULL, files->key);
        cert_done(&cert);
    }
    cert_done(&ca);
}

static int setup(void **state)
{
    struct files *files = calloc(1, sizeof(*files));
    assert_non_null(files);
    tempdir_init(&files->dir);
    issue(files, files->ca, "ca", true);
    issue(files, files->other_ca, "other-ca", false);
    (void)snprintf(files->log, sizeof(files->log), "%s/log", files->dir.path);
    struct kvs_message message;
    assert_int_equal(
        kvs_log_open(files->log, KVS_LOG_INFO, "n", kvs_clock_system(), &files->logger, &message),
        0);
    *state = files;
    return 0;
}

static int teardown(void **state)
{
    struct files *files = *state;
    kvs_log_close(files->logger);
    tempdir_done(&files->dir);
    free(files);
    return 0;
}

static unsigned count_lines(const struct files *files, const char *part)
{
    char line[4096];
    unsigned count = 0;
    FILE *in = fopen(files->log, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in))
        count += strstr(line, part) != NULL;
    (void)fclose(in);
    return count;
}

static void send_until_received(struct endpoint *from, struct endpoint *to, uint64_t number)
{
    unsigned long before = atomic_load(&to->received);
    for (unsigned i = 0; atomic_load(&to->received) == before; i++) {
        if (i % 1000 == 0)
            endpoint_send(from, to->address, number, 64, TEXT);
        sched_yield();
    }
}

static void send_until_logged(struct endpoint *from, const struct endpoint *to,
                              const struct files *files, const char *line)
{
    while (count_lines(files, line) == 0)
        endpoint_send(from, to->address, 1, 64, TEXT);
    assert_int_equal(to->received, 0);
}

static void messages_arrive_over_tls(void **state)
{
    struct files *files = *state;
    enum { COUNT = 10000 };
    const struct kvs_net_tls_options tls = {
        .enabled = true, .cert_file = files->cert, .key_file = files->key};
    struct endpoint a = {.tls = &tls, .tls_client = {.ca_file = files->ca}, .compression_level = 1};
    struct endpoint b = {.tls = &tls, .tls_client = {.ca_file = files->ca}};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    for (uint64_t i = 1; i <= COUNT; i++) {
        endpoint_send(&a, b.address, i, 100, TEXT);
        endpoint_send(&b, a.address, i, 100, TEXT);
    }
    endpoint_send(&a, b.address, COUNT + 1, 10 << 20, TEXT);
    AWAIT(atomic_load(&a.received) == COUNT && atomic_load(&b.received) == COUNT + 1);
    assert_int_equal(a.out_of_order, 0);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void an_unknown_ca_is_refused_unless_told_otherwise(void **state)
{
    struct files *files = *state;
    const struct kvs_net_tls_options tls = {
        .enabled = true, .cert_file = files->cert, .key_file = files->key};
    struct endpoint a = {
        .tls = &tls, .tls_client = {.ca_file = files->other_ca}, .log = files->logger};
    struct endpoint b = {.tls = &tls};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    send_until_logged(&a, &b, files, "certificate");
    const struct kvs_tls_client skip = {.ca_file = files->other_ca, .skip_verify = true};
    assert_int_equal(kvs_peers_reload(a.peers, &skip), 0);
    send_until_received(&a, &b, 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void mutual_tls_demands_a_certificate_besides_the_secret(void **state)
{
    struct files *files = *state;
    const struct kvs_net_tls_options tls = {.enabled = true,
                                            .cert_file = files->cert,
                                            .key_file = files->key,
                                            .ca_file = files->ca,
                                            .ask_client_cert = true};
    struct endpoint a = {.tls = &tls, .tls_client = {.ca_file = files->ca}, .log = files->logger};
    struct endpoint b = {.tls = &tls, .log = files->logger};
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    send_until_logged(&a, &b, files, "peer refuses this node, although");
    assert_int_equal(count_lines(files, "comes without a client certificate"), 1);
    const struct kvs_tls_client with_cert = {
        .ca_file = files->ca, .cert_file = files->cert, .key_file = files->key};
    assert_int_equal(kvs_peers_reload(a.peers, &with_cert), 0);
    send_until_received(&a, &b, 1);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void new_certificates_are_taken_over(void **state)
{
    struct files *files = *state;
    const struct kvs_net_tls_options tls = {
        .enabled = true, .cert_file = files->cert, .key_file = files->key};
    struct endpoint a = {.tls = &tls, .tls_client = {.ca_file = files->ca}};
    struct endpoint b = {.tls = &tls};
    struct kvs_message message;
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    for (uint64_t i = 1; i <= 3; i++) {
        send_until_received(&a, &b, i);
        issue(files, files->ca, "ca", true); // same names, all new
        assert_int_equal(kvs_net_reload_tls(b.net, &tls, &message), 0);
        assert_int_equal(kvs_peers_reload(a.peers, &a.tls_client), 0);
    }
    send_until_received(&a, &b, 9);
    endpoint_stop(&a);
    endpoint_stop(&b);
}

static void no_message_goes_out_in_the_clear(void **state)
{
    struct files *files = *state;
    const struct kvs_net_tls_options tls = {
        .enabled = true, .cert_file = files->cert, .key_file = files->key};
    struct endpoint a = {.tls = &tls, .tls_client = {.ca_file = files->ca}, .log = files->logger};
    struct endpoint b = {0}; // without TLS
    endpoint_start(&a, "a", SECRET);
    endpoint_start(&b, "b", SECRET);
    send_until_logged(&a, &b, files, "peer unreachable");
    endpoint_stop(&a);
    endpoint_stop(&b);
}

#define tls_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        tls_test(messages_arrive_over_tls),
        tls_test(an_unknown_ca_is_refused_unless_told_otherwise),
        tls_test(mutual_tls_demands_a_certificate_besides_the_secret),
        tls_test(new_certificates_are_taken_over),
        tls_test(no_message_goes_out_in_the_clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
