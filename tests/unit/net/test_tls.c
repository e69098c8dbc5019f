// SPDX-License-Identifier: Apache-2.0
// A listener's TLS files: what is taken, and how each mistake is named.
#include "tests/unit/net/certs.h"

#include "net/tls.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_S = 24 * 3600 };

struct fixture {
    struct tempdir dir;
    struct cert ca;
    struct cert node;
    char cert_file[CERT_PATH_SIZE];
    char key_file[CERT_PATH_SIZE];
    char ca_file[CERT_PATH_SIZE];
    struct kvs_net_tls_options options;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    tempdir_init(&f->dir);
    f->ca = cert_make(&(struct cert_options){.name = "test CA", .is_ca = true, .valid_s = DAY_S});
    f->node = cert_make(
        &(struct cert_options){.name = "node1", .issuer = &f->ca, .valid_s = 100L * DAY_S});
    cert_write(&f->node, &f->dir, "cert.pem", "w", f->cert_file);
    cert_write_key(&f->node, &f->dir, "key.pem", NULL, f->key_file);
    cert_write(&f->ca, &f->dir, "ca.pem", "w", f->ca_file);
    f->options = (struct kvs_net_tls_options){
        .enabled = true, .cert_file = f->cert_file, .key_file = f->key_file};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cert_done(&f->node);
    cert_done(&f->ca);
    tempdir_done(&f->dir);
    free(f);
    return 0;
}

static void assert_taken(const struct fixture *f)
{
    struct net_tls *tls = NULL;
    struct kvs_message message = {{0}};
    if (net_tls_new(&f->options, &tls, &message) != 0)
        fail_msg("%s", message.text);
    net_tls_unref(tls);
}

// Every part must stand in the message.
static void assert_refused(const struct fixture *f, const char *const *parts, size_t count)
{
    struct net_tls *tls = NULL;
    struct kvs_message message = {{0}};
    int err = net_tls_new(&f->options, &tls, &message);
    assert_true(err < 0);
    assert_null(tls);
    for (size_t i = 0; i < count; i++)
        if (!strstr(message.text, parts[i]))
            fail_msg("'%s' is not in '%s'", parts[i], message.text);
}

#define ASSERT_REFUSED(f, ...)                                                                     \
    assert_refused(f, (const char *const[]){__VA_ARGS__},                                          \
                   KVS_ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static void takes_a_certificate_with_its_key(void **state)
{
    struct fixture *f = *state;
    assert_taken(f);
    f->options.ca_file = f->ca_file;
    assert_taken(f);
    f->options.ask_client_cert = true;
    assert_taken(f);
    cert_write(&f->ca, &f->dir, "cert.pem", "a", f->cert_file); // a chain
    assert_taken(f);
}

static void knows_until_when_it_is_valid(void **state)
{
    struct fixture *f = *state;
    struct net_tls *tls = NULL;
    int64_t now_s = time(NULL);
    assert_int_equal(net_tls_new(&f->options, &tls, NULL), 0);
    assert_in_range(net_tls_expires_s(tls), now_s + 99L * DAY_S, now_s + 101L * DAY_S);
    net_tls_unref(tls);
}

// The log lines that a certificate which is valid for so long brings forth.
static size_t log_lines(struct fixture *f, long valid_s, mode_t key_mode, char *text, size_t size)
{
    struct cert cert =
        cert_make(&(struct cert_options){.name = "node1", .issuer = &f->ca, .valid_s = valid_s});
    cert_write(&cert, &f->dir, "cert.pem", "w", f->cert_file);
    cert_write_key(&cert, &f->dir, "key.pem", NULL, f->key_file);
    assert_int_equal(chmod(f->key_file, key_mode), 0);
    cert_done(&cert);
    char path[CERT_PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/log", f->dir.path);
    (void)unlink(path); // of the time before
    struct kvs_log *log = NULL;
    struct net_tls *tls = NULL;
    assert_int_equal(kvs_log_open(path, KVS_LOG_INFO, "n1", kvs_clock_system(), &log, NULL), 0);
    assert_int_equal(net_tls_new(&f->options, &tls, NULL), 0);
    net_tls_log(tls, log, time(NULL));
    net_tls_unref(tls);
    kvs_log_close(log);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t got = fread(text, 1, size - 1, file);
    text[got] = '\0';
    assert_int_equal(fclose(file), 0);
    size_t lines = 0;
    for (size_t i = 0; i < got; i++)
        lines += text[i] == '\n';
    return lines;
}

static void warns_of_what_an_operator_should_see(void **state)
{
    struct fixture *f = *state;
    char text[4096];
    assert_int_equal(log_lines(f, 100L * DAY_S, 0600, text, sizeof(text)), 1);
    assert_non_null(strstr(text, "\"subject\":\"CN=node1\""));
    assert_int_equal(log_lines(f, 5L * DAY_S, 0600, text, sizeof(text)), 2);
    assert_non_null(strstr(text, "expires soon"));
    assert_int_equal(log_lines(f, -60, 0600, text, sizeof(text)), 2);
    assert_non_null(strstr(text, "has expired"));
    assert_int_equal(log_lines(f, 100L * DAY_S, 0644, text, sizeof(text)), 2);
    assert_non_null(strstr(text, "chmod 600"));
    assert_int_equal(log_lines(f, 100L * DAY_S, 0640, text, sizeof(text)), 1);
}

static void names_a_file_that_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    f->options.cert_file = "/nonexistent/cert.pem";
    ASSERT_REFUSED(f, "/nonexistent/cert.pem: cannot be read: No such file or directory",
                   "cluster_tls_cert_file must name");
    f->options.cert_file = f->dir.path;
    ASSERT_REFUSED(f, f->dir.path, "Is a directory");
    f->options.cert_file = f->cert_file;
    f->options.key_file = "/nonexistent/key.pem";
    ASSERT_REFUSED(f, "/nonexistent/key.pem: cannot be read", "cluster_tls_key_file must name");
    f->options.key_file = f->key_file;
    f->options.ca_file = "/nonexistent/ca.pem";
    ASSERT_REFUSED(f, "/nonexistent/ca.pem: cannot be read", "cluster_tls_ca_file must name");
    if (geteuid() == 0)
        return; // who may read everything
    assert_int_equal(chmod(f->key_file, 0), 0);
    f->options.ca_file = NULL;
    ASSERT_REFUSED(f, f->key_file, "Permission denied");
}

static void does_not_wait_for_a_fifo(void **state)
{
    struct fixture *f = *state;
    char path[CERT_PATH_SIZE];
    (void)snprintf(path, sizeof(path), "%s/fifo", f->dir.path);
    assert_int_equal(mkfifo(path, 0600), 0);
    f->options.key_file = path;
    ASSERT_REFUSED(f, path, "cannot be read");
}

static void names_a_file_that_holds_something_else(void **state)
{
    struct fixture *f = *state;
    char path[CERT_PATH_SIZE];
    cert_write_text("", &f->dir, "empty", path);
    f->options.cert_file = path;
    ASSERT_REFUSED(f, path, "holds no certificate");
    f->options.cert_file = f->key_file;
    ASSERT_REFUSED(f, f->key_file, "holds no certificate");
    f->options.cert_file = f->cert_file;
    f->options.key_file = f->cert_file;
    ASSERT_REFUSED(f, f->cert_file, "holds no private key", "cluster_tls_key_file");
    f->options.key_file = f->key_file;
    cert_write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &f->dir,
                    "damaged", path);
    f->options.ca_file = path;
    ASSERT_REFUSED(f, path, "certificate 1 in it is damaged");
    cert_write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &f->dir,
                    "damaged", path);
    f->options.ca_file = NULL;
    f->options.key_file = path;
    ASSERT_REFUSED(f, path, "the key is damaged");
}

static void refuses_a_file_that_is_too_large(void **state)
{
    struct fixture *f = *state;
    char path[CERT_PATH_SIZE];
    cert_write_text("", &f->dir, "large", path);
    assert_int_equal(truncate(path, 2L * 1024 * 1024), 0);
    f->options.ca_file = path;
    ASSERT_REFUSED(f, path, "File too large");
}

static void refuses_a_key_of_another_certificate(void **state)
{
    struct fixture *f = *state;
    cert_write_key(&f->ca, &f->dir, "key.pem", NULL, f->key_file);
    ASSERT_REFUSED(f, f->key_file, f->cert_file, "is not the key of the first certificate");
    cert_write_key(&f->node, &f->dir, "key.pem", NULL, f->key_file);
    cert_write(&f->ca, &f->dir, "cert.pem", "w", f->cert_file); // a chain the wrong way round
    cert_write(&f->node, &f->dir, "cert.pem", "a", f->cert_file);
    ASSERT_REFUSED(f, f->cert_file, "this node's own certificate first");
}

static void does_not_ask_for_a_passphrase(void **state)
{
    struct fixture *f = *state;
    cert_write_key(&f->node, &f->dir, "key.pem", "secret", f->key_file);
    ASSERT_REFUSED(f, f->key_file, "encrypted", "openssl pkey");
}

static void refuses_keys_that_are_too_weak(void **state)
{
    struct fixture *f = *state;
    struct cert weak = cert_make(&(struct cert_options){
        .name = "weak", .issuer = &f->ca, .valid_s = DAY_S, .key = EVP_RSA_gen(1024)});
    cert_write(&weak, &f->dir, "cert.pem", "w", f->cert_file);
    cert_write_key(&weak, &f->dir, "key.pem", NULL, f->key_file);
    ASSERT_REFUSED(f, f->cert_file, "key too small", "2048");
    cert_done(&weak);
}

static void wants_all_files_that_it_needs(void **state)
{
    struct fixture *f = *state;
    f->options.ask_client_cert = true;
    ASSERT_REFUSED(f, "cluster_tls_ca_file: not set");
    f->options.key_file = "";
    ASSERT_REFUSED(f, "cluster_tls_key_file: not set");
    f->options.cert_file = NULL;
    ASSERT_REFUSED(f, "cluster_tls_cert_file: not set");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takes_a_certificate_with_its_key),
        TEST(knows_until_when_it_is_valid),
        TEST(warns_of_what_an_operator_should_see),
        TEST(names_a_file_that_cannot_be_read),
        TEST(does_not_wait_for_a_fifo),
        TEST(names_a_file_that_holds_something_else),
        TEST(refuses_a_file_that_is_too_large),
        TEST(refuses_a_key_of_another_certificate),
        TEST(does_not_ask_for_a_passphrase),
        TEST(refuses_keys_that_are_too_weak),
        TEST(wants_all_files_that_it_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
