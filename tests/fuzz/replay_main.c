// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over its corpus, as an ordinary test: arguments are files and directories
// (read recursively, in order of name). Fails when an argument is missing or holds no file: a test
// over an empty corpus would pass for ever.
#include <fts.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1); // exact: a sanitizer sees reads beyond the end
    int err = -1;
    if (file && data && fread(data, 1, size, file) == size) {
        printf("%s\n", path);
        (void)fflush(stdout); // so that a crash leaves the name of its input behind
        err = LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    if (file)
        (void)fclose(file); // only read from
    if (err)
        perror(path);
    return err;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

// Returns the number of files run, or -1.
static long replay_tree(char *path)
{
    FTS *tree = fts_open((char *[]){path, NULL}, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    if (!tree)
        return -1;
    long count = 0;
    for (FTSENT *entry = fts_read(tree); entry && count >= 0; entry = fts_read(tree)) {
        if (entry->fts_info == FTS_F)
            count = replay(entry->fts_path, (size_t)entry->fts_statp->st_size) ? -1 : count + 1;
        else if (entry->fts_info != FTS_D && entry->fts_info != FTS_DP)
            count = -1;
    }
    (void)fts_close(tree); // only read from
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        long count = replay_tree(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: %s\n", argv[i], count < 0 ? "cannot be replayed" : "is empty");
            return EXIT_FAILURE;
        }
        printf("%ld inputs\n", count);
    }
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
