// SPDX-License-Identifier: Apache-2.0
// What the configuration does with files: loading, the file of a first start, the shared secret.
#include "tests/unit/test.h"

#include "config/config.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

struct fixture {
    char dir[40];
    char path[80];
    char secret_path[80];
    char kvs_dir[60];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    strcpy(f->dir, "/tmp/kvs-test-config-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/n.yaml", f->dir);
    (void)snprintf(f->kvs_dir, sizeof(f->kvs_dir), "%s/.kvs", f->dir);
    (void)snprintf(f->secret_path, sizeof(f->secret_path), "%s/cluster_secret", f->kvs_dir);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)unlink(f->path); // only some tests make these
    (void)unlink(f->secret_path);
    (void)rmdir(f->kvs_dir);
    int err = rmdir(f->dir); // fails when a temporary file was left behind
    free(f);
    return err;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct kvs_config *load(const char *path)
{
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    if (kvs_config_load(path, NULL, &config, &message) < 0)
        fail_msg("%s", message.text);
    return config;
}

static void assert_mode(const char *path, mode_t mode)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, mode);
}

static char *read_file(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *file = fopen(path, "r");
    assert_non_null(text);
    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    (void)fclose(file); // only read
    return text;
}

static void loads_a_file_and_resolves_paths_from_its_folder(void **state)
{
    struct fixture *f = *state;
    write_file(f->path, "port: 9\ncluster_tls_ca_file: ca.pem\n");
    struct kvs_config *config = load(f->path);
    char expected[100];
    (void)snprintf(expected, sizeof(expected), "%s/ca.pem", f->dir);
    assert_int_equal(config->port, 9);
    assert_string_equal(config->cluster_tls_ca_file, expected);
    assert_string_equal(config->path, f->path);
    assert_string_equal(config->folder, f->dir);
    kvs_config_free(config);
}

static void a_relative_name_counts_from_the_current_folder(void **state)
{
    (void)state;
    KVS_CLEANUP(kvs_freep) char *current = getcwd(NULL, 0);
    KVS_CLEANUP(kvs_freep) char *expected = NULL;
    assert_true(asprintf(&expected, "%s/data", current) > 0);
    const char *const names[] = {"n.yaml", "./n.yaml", "././n.yaml"};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(names); i++) {
        struct kvs_config *config = NULL;
        assert_int_equal(kvs_config_parse(KVS_SLICE_EMPTY, names[i], NULL, &config, NULL), 0);
        assert_string_equal(config->data_dir, expected);
        kvs_config_free(config);
    }
    struct kvs_config *config = NULL;
    assert_int_equal(kvs_config_parse(KVS_SLICE_EMPTY, "/n.yaml", NULL, &config, NULL), 0);
    assert_string_equal(config->data_dir, "/data");
    kvs_config_free(config);
}

static void says_which_file_cannot_be_read(void **state)
{
    struct fixture *f = *state;
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_config_load(f->path, NULL, &config, &message), KVS_ERR_NOT_FOUND);
    assert_non_null(strstr(message.text, f->path));
    assert_int_equal(kvs_config_load(f->dir, NULL, &config, &message), KVS_ERR_IO);
    assert_non_null(strstr(message.text, "Is a directory"));
}

static void refuses_a_file_that_never_ends(void **state)
{
    (void)state;
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_config_load("/dev/zero", NULL, &config, &message), KVS_ERR_INVALID);
    assert_string_equal(message.text, "/dev/zero: larger than 1048576 bytes");
}

static void creates_a_private_default_file_that_means_the_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(kvs_config_write_default(f->path, "0123456789abcdef", NULL), 0);
    assert_mode(f->path, 0600);
    struct kvs_config *config = load(f->path);
    assert_string_equal(config->cluster_secret, "0123456789abcdef");
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++) {
        if (i != KVS_OPT_cluster_secret)
            assert_int_equal(config->origins[i].source, KVS_CONFIG_DEFAULT);
    }
    kvs_config_free(config);
}

static void count_change(void *context, const struct kvs_option *option, const char *old_text,
                         const char *new_text)
{
    (void)context;
    fail_msg("%s: %s, but %s in the default file", option->name, old_text, new_text);
}

// "#key: value" becomes "key: value"; comments have a space behind the #.
static void uncomment(char *text)
{
    char *out = text;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n') + 1;
        if (line[0] == '#' && line[1] >= 'a' && line[1] <= 'z')
            line++;
        memmove(out, line, (size_t)(end - line));
        out += end - line;
        line = end;
    }
    *out = '\0';
}

static void every_line_of_the_default_file_shows_the_true_default(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(kvs_config_write_default(f->path, "0123456789abcdef", NULL), 0);
    struct kvs_config *plain = load(f->path);
    KVS_CLEANUP(kvs_freep) char *text = read_file(f->path);
    uncomment(text);
    struct kvs_config *config = NULL;
    struct kvs_message message = {{0}};
    if (kvs_config_parse(kvs_slice_from_str(text), f->path, NULL, &config, &message) < 0)
        fail_msg("%s", message.text);
    for (size_t i = 0; i < KVS_OPTION_COUNT; i++)
        assert_int_equal(config->origins[i].source, KVS_CONFIG_FILE);
    assert_int_equal(kvs_config_reload_diff(plain, config, count_change, NULL), 0);
    kvs_config_free(config);
    kvs_config_free(plain);
}

static void no_line_of_the_default_file_is_too_wide(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(kvs_config_write_default(f->path, NULL, NULL), 0);
    KVS_CLEANUP(kvs_freep) char *text = read_file(f->path);
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        assert_true(strlen(line) <= 100);
        assert_int_equal(line[0], '#'); // nothing is set
    }
}

static void never_overwrites_a_file(void **state)
{
    struct fixture *f = *state;
    struct kvs_message message = {{0}};
    write_file(f->path, "port: 9\n");
    assert_int_equal(kvs_config_write_default(f->path, NULL, &message), KVS_ERR_CONFLICT);
    assert_non_null(strstr(message.text, "exists already"));
    KVS_CLEANUP(kvs_freep) char *text = read_file(f->path);
    assert_string_equal(text, "port: 9\n");
}

static void says_where_a_file_cannot_be_created(void **state)
{
    (void)state;
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_config_write_default("/nonexistent/n.yaml", NULL, &message),
                     KVS_ERR_NOT_FOUND);
    assert_string_equal(message.text,
                        "/nonexistent/n.yaml: cannot be created: No such file or directory");
}

static struct kvs_config *defaults(void)
{
    struct kvs_config *config = NULL;
    assert_int_equal(kvs_config_parse(KVS_SLICE_EMPTY, "n.yaml", NULL, &config, NULL), 0);
    return config;
}

static void ensure(struct kvs_config *config, const struct fixture *f)
{
    struct kvs_message message = {{0}};
    if (kvs_config_cluster_secret_ensure(config, f->dir, kvs_random_system(), &message) < 0)
        fail_msg("%s", message.text);
}

static void generates_one_secret_for_all_nodes_of_a_user_and_keeps_it(void **state)
{
    struct fixture *f = *state;
    struct kvs_config *first = defaults();
    struct kvs_config *second = defaults();
    ensure(first, f);
    ensure(second, f);
    assert_int_equal(strlen(first->cluster_secret), 44);
    assert_string_equal(first->cluster_secret, second->cluster_secret);
    assert_int_equal(first->origins[KVS_OPT_cluster_secret].source, KVS_CONFIG_SHARED_FILE);
    assert_mode(f->secret_path, 0600);
    assert_mode(f->kvs_dir, 0700);
    kvs_config_free(first);
    kvs_config_free(second);
}

static void a_generated_secret_is_no_change_on_reload(void **state)
{
    struct fixture *f = *state;
    struct kvs_config *running = defaults();
    struct kvs_config *fresh = defaults();
    ensure(running, f);
    assert_int_equal(kvs_config_reload_diff(running, fresh, count_change, NULL), 0);
    kvs_config_free(running);
    kvs_config_free(fresh);
}

static void a_configured_secret_touches_no_file(void **state)
{
    struct fixture *f = *state;
    struct kvs_config *config = NULL;
    assert_int_equal(kvs_config_parse(KVS_SLICE("cluster_secret: 0123456789abcdef\n"), "n.yaml",
                                      NULL, &config, NULL),
                     0);
    ensure(config, f);
    assert_string_equal(config->cluster_secret, "0123456789abcdef");
    assert_int_not_equal(access(f->kvs_dir, F_OK), 0);
    kvs_config_free(config);
}

static void takes_a_secret_file_made_by_hand(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->kvs_dir, 0700), 0);
    write_file(f->secret_path, "made by hand, with spaces\n");
    struct kvs_config *config = defaults();
    ensure(config, f);
    assert_string_equal(config->cluster_secret, "made by hand, with spaces");
    kvs_config_free(config);
}

static void refuses_a_damaged_secret_file_and_names_it(void **state)
{
    struct fixture *f = *state;
    const char *const contents[] = {"", "\n", "short\n"};
    assert_int_equal(mkdir(f->kvs_dir, 0700), 0);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(contents); i++) {
        struct kvs_message message = {{0}};
        struct kvs_config *config = defaults();
        write_file(f->secret_path, contents[i]);
        assert_int_equal(
            kvs_config_cluster_secret_ensure(config, f->dir, kvs_random_system(), &message),
            KVS_ERR_INVALID);
        assert_non_null(strstr(message.text, f->secret_path));
        assert_null(strstr(message.text, "short"));
        kvs_config_free(config);
    }
}

static void generated_secrets_are_256_random_bits_in_base64(void **state)
{
    (void)state;
    struct kvs_random_seeded random;
    char first[KVS_CLUSTER_SECRET_TEXT_SIZE];
    char second[KVS_CLUSTER_SECRET_TEXT_SIZE];
    kvs_random_seeded_init(&random, 1);
    kvs_config_cluster_secret_new(&random.base, first);
    kvs_config_cluster_secret_new(&random.base, second);
    assert_int_equal(strlen(first), 44);
    assert_int_equal(first[43], '=');
    assert_string_not_equal(first, second);
}

enum { THREADS = 8 };

struct starter {
    pthread_barrier_t *barrier;
    const struct fixture *fixture;
    struct kvs_config *config;
    int err;
};

static void *start_node(void *context)
{
    struct starter *starter = context;
    (void)pthread_barrier_wait(starter->barrier); // which one is told apart does not matter
    starter->err = kvs_config_cluster_secret_ensure(starter->config, starter->fixture->dir,
                                                    kvs_random_system(), NULL);
    return NULL;
}

static void nodes_that_start_at_once_agree_on_one_secret(void **state)
{
    struct fixture *f = *state;
    pthread_barrier_t barrier;
    pthread_t threads[THREADS];
    struct starter starters[THREADS];
    assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++) {
        starters[i] = (struct starter){&barrier, f, defaults(), 0};
        assert_int_equal(pthread_create(&threads[i], NULL, start_node, &starters[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(starters[i].err, 0);
        assert_string_equal(starters[i].config->cluster_secret, starters[0].config->cluster_secret);
    }
    for (int i = 0; i < THREADS; i++)
        kvs_config_free(starters[i].config);
    (void)pthread_barrier_destroy(&barrier); // no one waits any more
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(loads_a_file_and_resolves_paths_from_its_folder),
        cmocka_unit_test(a_relative_name_counts_from_the_current_folder),
        WITH_FOLDER(says_which_file_cannot_be_read),
        cmocka_unit_test(refuses_a_file_that_never_ends),
        WITH_FOLDER(creates_a_private_default_file_that_means_the_defaults),
        WITH_FOLDER(every_line_of_the_default_file_shows_the_true_default),
        WITH_FOLDER(no_line_of_the_default_file_is_too_wide),
        WITH_FOLDER(never_overwrites_a_file),
        cmocka_unit_test(says_where_a_file_cannot_be_created),
        WITH_FOLDER(generates_one_secret_for_all_nodes_of_a_user_and_keeps_it),
        WITH_FOLDER(a_generated_secret_is_no_change_on_reload),
        WITH_FOLDER(a_configured_secret_touches_no_file),
        WITH_FOLDER(takes_a_secret_file_made_by_hand),
        WITH_FOLDER(refuses_a_damaged_secret_file_and_names_it),
        cmocka_unit_test(generated_secrets_are_256_random_bits_in_base64),
        WITH_FOLDER(nodes_that_start_at_once_agree_on_one_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
