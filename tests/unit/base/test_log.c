// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/test.h"

#include "base/buf.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

struct fixture {
    char dir[40];
    char path[60];
    char rotated[60];
    struct kvs_log *log;
};

static int64_t noon(const struct kvs_clock *clock)
{
    (void)clock;
    return 951825600123; // 2000-02-29T12:00:00.123Z
}

static const struct kvs_clock fixed_clock = {noon, noon, noon};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    strcpy(f->dir, "/tmp/kvs-test-log-XXXXXX");
    if (!f || !mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
    (void)snprintf(f->rotated, sizeof(f->rotated), "%s/log.1", f->dir);
    *state = f;
    return kvs_log_open(f->path, KVS_LOG_INFO, "n\"1", &fixed_clock, &f->log, NULL);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kvs_log_close(f->log);
    (void)unlink(f->path);
    (void)unlink(f->rotated); // only some tests make it
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

// All of a file, NUL-terminated; the caller frees it.
static char *read_file(const char *path)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(64 << 20);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char chunk[4096];
    size_t n = 0;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        kvs_buf_append(&buf, chunk, n);
    (void)fclose(file);
    kvs_buf_append_char(&buf, '\0');
    assert_int_equal(buf.err, 0);
    return KVS_TAKE(buf.data);
}

static void assert_file(const char *path, const char *expected)
{
    KVS_CLEANUP(kvs_freep) char *text = read_file(path);
    assert_string_equal(text, expected);
}

#define PREFIX "{\"time\":\"2000-02-29T12:00:00.123Z\",\"level\":\"info\",\"msg\":"
#define NODE ",\"node_id\":\"n\\\"1\""

static void writes_one_json_object_a_line_with_every_type(void **state)
{
    struct fixture *f = *state;
    kvs_log(f->log, KVS_LOG_INFO, "plain");
    kvs_log(f->log, KVS_LOG_INFO, "all", KVS_F_STR("s", "v"), KVS_F_INT("i", -1),
            KVS_F_UINT("u", UINT64_MAX), KVS_F_DOUBLE("d", 0.5), KVS_F_BOOL("b", true),
            KVS_F_DOUBLE("nan", __builtin_nan("")), KVS_F_JSON("j", KVS_SLICE("{\"k\":[]}")));
    assert_file(f->path, PREFIX "\"plain\"" NODE "}\n" PREFIX "\"all\"" NODE
                                ",\"s\":\"v\",\"i\":-1,\"u\":18446744073709551615,\"d\":0.5,"
                                "\"b\":true,\"nan\":null,\"j\":{\"k\":[]}}\n");
}

static void escapes_what_would_break_json_or_a_terminal(void **state)
{
    struct fixture *f = *state;
    kvs_log(f->log, KVS_LOG_INFO, "m",
            KVS_F_SLICE("s", KVS_SLICE("\"\\\n\t\x1b\x7f\xC2\x9B"
                                       "\0"
                                       "\xC3\xA4\xF0\x9F\x98\x80")));
    assert_file(f->path, PREFIX "\"m\"" NODE ",\"s\":\"\\\"\\\\\\n\\u0009\\u001b\\u007f\\u009b"
                                "\\u0000\xC3\xA4\xF0\x9F\x98\x80\"}\n");
}

static void replaces_bytes_that_are_no_utf8(void **state)
{
    struct fixture *f = *state;
#define R "\xEF\xBF\xBD"
    kvs_log(f->log, KVS_LOG_INFO, "m", KVS_F_STR("a", "\xFFz"), KVS_F_STR("b", "\xC0\x80"),
            KVS_F_STR("c", "\xED\xA0\x80"), KVS_F_STR("d", "\xF4\x90\x80\x80"),
            KVS_F_STR("e", "\xE2\x82"));
    assert_file(f->path, PREFIX "\"m\"" NODE ",\"a\":\"" R "z\",\"b\":\"" R R "\",\"c\":\"" R R R
                                "\",\"d\":\"" R R R R "\",\"e\":\"" R R "\"}\n");
}

static void cuts_long_strings_and_stays_json(void **state)
{
    struct fixture *f = *state;
    KVS_CLEANUP(kvs_freep) char *huge = malloc(5000000);
    assert_non_null(huge);
    memset(huge, 'x', 5000000);
    kvs_log(f->log, KVS_LOG_INFO, "m", KVS_F_SLICE("s", kvs_slice(huge, 5000000)));
    KVS_CLEANUP(kvs_freep) char *text = read_file(f->path);
    assert_true(strlen(text) < 20000);
    assert_non_null(strstr(text, "xxx\xE2\x80\xA6\"}\n"));
}

static void says_so_when_a_line_is_too_large(void **state)
{
    struct fixture *f = *state;
    KVS_CLEANUP(kvs_freep) char *huge = malloc(2000000);
    assert_non_null(huge);
    memset(huge, '1', 2000000);
    kvs_log(f->log, KVS_LOG_INFO, "m", KVS_F_JSON("j", kvs_slice(huge, 2000000)));
    KVS_CLEANUP(kvs_freep) char *text = read_file(f->path);
    assert_non_null(strstr(text, "a log line was lost"));
}

static void drops_levels_below_the_chosen_one(void **state)
{
    struct fixture *f = *state;
    kvs_log(f->log, KVS_LOG_DEBUG, "no");
    kvs_log_set_level(f->log, KVS_LOG_ERROR);
    kvs_log(f->log, KVS_LOG_WARN, "no");
    assert_file(f->path, "");
    kvs_log_set_level(f->log, KVS_LOG_DEBUG);
    assert_true(kvs_log_enabled(f->log, KVS_LOG_DEBUG));
    kvs_log_write(NULL, KVS_LOG_ERROR, "nowhere", NULL, 0);
    assert_false(kvs_log_enabled(NULL, KVS_LOG_ERROR));
}

static void creates_the_file_private_and_appends(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    kvs_log(f->log, KVS_LOG_INFO, "one");
    struct kvs_log *second = NULL;
    assert_int_equal(kvs_log_open(f->path, KVS_LOG_INFO, NULL, &fixed_clock, &second, NULL), 0);
    kvs_log(second, KVS_LOG_INFO, "two");
    kvs_log_close(second);
    assert_file(f->path, PREFIX "\"one\"" NODE "}\n" PREFIX "\"two\"}\n");
}

static void goes_on_in_a_new_file_after_rotation(void **state)
{
    struct fixture *f = *state;
    kvs_log(f->log, KVS_LOG_INFO, "old");
    assert_int_equal(rename(f->path, f->rotated), 0);
    kvs_log(f->log, KVS_LOG_INFO, "still old");
    assert_int_equal(kvs_log_reopen(f->log), 0);
    kvs_log(f->log, KVS_LOG_INFO, "new");
    assert_file(f->rotated, PREFIX "\"old\"" NODE "}\n" PREFIX "\"still old\"" NODE "}\n");
    assert_file(f->path, PREFIX "\"new\"" NODE "}\n");
}

static void keeps_the_old_file_when_reopening_fails(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rename(f->path, f->rotated), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(kvs_log_reopen(f->log), KVS_ERR_IO);
    kvs_log(f->log, KVS_LOG_INFO, "kept");
    assert_file(f->rotated, PREFIX "\"kept\"" NODE "}\n");
    assert_int_equal(rmdir(f->path), 0);
}

static void names_the_file_that_cannot_be_opened(void **state)
{
    (void)state;
    struct kvs_log *log = NULL;
    struct kvs_message message = {{0}};
    assert_int_equal(
        kvs_log_open("/nonexistent/log", KVS_LOG_INFO, NULL, &fixed_clock, &log, &message),
        KVS_ERR_NOT_FOUND);
    assert_non_null(strstr(message.text, "/nonexistent/log"));
    assert_null(log);
}

static void leaves_errno_alone(void **state)
{
    struct fixture *f = *state;
    errno = EXDEV;
    kvs_log(f->log, KVS_LOG_INFO, "m");
    assert_int_equal(errno, EXDEV);
}

static void parses_its_own_level_names(void **state)
{
    (void)state;
    for (int i = KVS_LOG_DEBUG; i <= KVS_LOG_ERROR; i++) {
        enum kvs_log_level level = KVS_LOG_DEBUG;
        const char *name = kvs_log_level_name((enum kvs_log_level)i);
        assert_true(kvs_log_level_parse(kvs_slice_from_str(name), &level));
        assert_int_equal(level, i);
    }
    enum kvs_log_level level;
    assert_false(kvs_log_level_parse(KVS_SLICE("INFO"), &level));
    assert_false(kvs_log_level_parse(KVS_SLICE(""), &level));
}

enum { THREADS = 4, LINES = 500 };

static void *log_many(void *log)
{
    for (int i = 0; i < LINES; i++)
        kvs_log(log, KVS_LOG_INFO, "busy", KVS_F_INT("i", i));
    return NULL;
}

static size_t count_whole_lines(const char *path)
{
    KVS_CLEANUP(kvs_freep) char *text = read_file(path);
    size_t count = 0;
    for (char *save = NULL, *line = strtok_r(text, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        assert_true(strncmp(line, PREFIX, sizeof(PREFIX) - 1) == 0);
        assert_int_equal(line[strlen(line) - 1], '}');
        count++;
    }
    return count;
}

static void loses_and_mixes_no_line_of_any_thread_while_rotating(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, f->log), 0);
    assert_int_equal(rename(f->path, f->rotated), 0);
    assert_int_equal(kvs_log_reopen(f->log), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(count_whole_lines(f->path) + count_whole_lines(f->rotated), THREADS * LINES);
}

#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(writes_one_json_object_a_line_with_every_type),
        WITH_LOG(escapes_what_would_break_json_or_a_terminal),
        WITH_LOG(replaces_bytes_that_are_no_utf8),
        WITH_LOG(cuts_long_strings_and_stays_json),
        WITH_LOG(says_so_when_a_line_is_too_large),
        WITH_LOG(drops_levels_below_the_chosen_one),
        WITH_LOG(creates_the_file_private_and_appends),
        WITH_LOG(goes_on_in_a_new_file_after_rotation),
        WITH_LOG(keeps_the_old_file_when_reopening_fails),
        cmocka_unit_test(names_the_file_that_cannot_be_opened),
        WITH_LOG(leaves_errno_alone),
        cmocka_unit_test(parses_its_own_level_names),
        WITH_LOG(loses_and_mixes_no_line_of_any_thread_while_rotating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
