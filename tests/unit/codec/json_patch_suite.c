// SPDX-License-Identifier: Apache-2.0
// Runs json-patch-test-suite over kvs_json_patch: `json_patch_suite DIRECTORY`, where DIRECTORY
// holds its tests.json and spec_tests.json. Exit code 77, a skip, without the directory:
// scripts/fetch-vectors.sh fetches it.
#include "codec/json_patch.h"

#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_SKIP = 77, FILE_MAX = 4 << 20, ARENA_MAX = 256 << 20, CASES = 91 };

struct tally {
    unsigned total, right, disabled;
};

static int read_file(const char *path, struct kvs_buf *out)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return KVS_ERR_IO;
    char *room = kvs_buf_reserve(out, FILE_MAX);
    if (room)
        out->size = fread(room, 1, FILE_MAX, file);
    bool complete = !ferror(file) && feof(file);
    (void)fclose(file); // only read from
    return room && complete ? 0 : KVS_ERR_IO;
}

static bool is_right(const struct kvs_json *test, struct kvs_arena *arena, const char **ret_why)
{
    const struct kvs_json *doc = kvs_json_member(test, "doc");
    const struct kvs_json *patch = kvs_json_member(test, "patch");
    const struct kvs_json *expected = kvs_json_member(test, "expected");
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(FILE_MAX);
    struct kvs_json_patch_error error = {0};
    error.reason = "duplicate names";
    int err = kvs_json_patch(doc->source, patch->source, arena, &out, &error);
    *ret_why = err ? error.reason : "applied";
    if (kvs_json_member(test, "error"))
        return err == KVS_ERR_SYNTAX || err == KVS_ERR_INVALID || err == KVS_ERR_CONFLICT;
    if (err || !expected)
        return !err; // some only say that it applies
    struct kvs_json *result = NULL;
    bool equal = false;
    err = kvs_json_parse(kvs_buf_slice(&out), 0, arena, &result, NULL);
    if (!err)
        err = kvs_json_equal(result, expected, arena, UINT64_MAX, &equal);
    *ret_why = "another result";
    return !err && equal;
}

static void run_case(const struct kvs_json *test, struct kvs_arena *arena, struct tally *tally)
{
    const struct kvs_json *disabled = kvs_json_member(test, "disabled");
    if (!kvs_json_member(test, "doc") || !kvs_json_member(test, "patch"))
        return; // a comment
    if (disabled && disabled->type == KVS_JSON_TRUE) {
        tally->disabled++;
        return;
    }
    tally->total++;
    const char *why = NULL;
    if (is_right(test, arena, &why))
        tally->right++;
    else
        printf("%s: %.*s\n", why, KVS_SLICE_FMT(test->source));
}

static bool run_file(const char *directory, const char *name, struct tally *tally)
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(FILE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf compact = KVS_BUF_INIT(FILE_MAX);
    if (asprintf(&path, "%s/%s", directory, name) < 0) {
        path = NULL;
        return false;
    }
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *root = NULL;
    int err = read_file(path, &text);
    if (!err)
        err = kvs_json_compact(kvs_buf_slice(&text), &compact, NULL);
    if (!err)
        err = kvs_json_parse(kvs_buf_slice(&compact), 0, &arena, &root, NULL);
    if (err)
        printf("%s: %s\n", path, kvs_err_text(err));
    for (const struct kvs_json *test = err ? NULL : root->child; test; test = test->next)
        run_case(test, &arena, tally);
    kvs_arena_done(&arena);
    return !err;
}

int main(int argc, char **argv)
{
    struct stat status;
    if (argc != 2 || stat(argv[1], &status) != 0) {
        printf("no test suite at %s: run scripts/fetch-vectors.sh\n", argc > 1 ? argv[1] : "?");
        return EXIT_SKIP;
    }
    struct tally tally = {0};
    bool read = run_file(argv[1], "tests.json", &tally);
    read &= run_file(argv[1], "spec_tests.json", &tally);
    printf("%u of %u right, %u disabled by the suite\n", tally.right, tally.total, tally.disabled);
    return read && tally.total == CASES && tally.right == tally.total ? EXIT_SUCCESS : EXIT_FAILURE;
}
