// SPDX-License-Identifier: Apache-2.0
// RocksDB's texts in our terms.
#include "tests/unit/test.h"

#include "store/rocksdb_internal.h"

static int error_of(const char *text)
{
    struct kvs_message message = {0};
    int err = kvs_rocksdb_error(strdup(text), &message);
    assert_string_equal(message.text, text);
    return err;
}

static void no_text_is_success(void **state)
{
    (void)state;
    assert_int_equal(kvs_rocksdb_error(NULL, NULL), 0);
}

static void texts_are_told_apart(void **state)
{
    (void)state;
    assert_int_equal(error_of("Corruption: block checksum mismatch: stored = 1, computed = 2"),
                     KVS_ERR_CORRUPT);
    assert_int_equal(error_of("IO error: No space left on device: While appending to file: x.log: "
                              "No space left on device"),
                     KVS_ERR_NO_SPACE);
    assert_int_equal(error_of("IO error: While appending to file: x.log: File too large"),
                     KVS_ERR_NO_SPACE);
    assert_int_equal(error_of("IO error: While appending to file: x.log: Disk quota exceeded"),
                     KVS_ERR_NO_SPACE);
    assert_int_equal(error_of("IO error: While fdatasync: x.log: Input/output error"), KVS_ERR_IO);
    assert_int_equal(error_of("Result incomplete: "), KVS_ERR_AGAIN);
    assert_int_equal(error_of("Invalid argument: Directory exists"), KVS_ERR_INVALID);
    assert_int_equal(error_of("Resource busy: "), KVS_ERR_BUSY);
    assert_int_equal(error_of("NotFound: "), KVS_ERR_NOT_FOUND);
    assert_int_equal(error_of("Shutdown in progress: "), KVS_ERR_SHUTDOWN);
    assert_int_equal(error_of("Operation timed out: "), KVS_ERR_TIMEOUT);
    assert_int_equal(error_of("something that no release says yet"), KVS_ERR_IO);
}

// Names of files are part of the texts and may contain anything.
static void only_the_beginning_names_the_class(void **state)
{
    (void)state;
    assert_int_equal(error_of("IO error: While open: /tmp/Corruption: x/000001.log: Too many open "
                              "files"),
                     KVS_ERR_IO);
    assert_int_equal(error_of("Corruption: /tmp/No space left on device/000001.sst"),
                     KVS_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_text_is_success),
        cmocka_unit_test(texts_are_told_apart),
        cmocka_unit_test(only_the_beginning_names_the_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
