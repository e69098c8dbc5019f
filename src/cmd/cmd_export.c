// SPDX-License-Identifier: Apache-2.0
// `kvs export`: records as lines of JSON, page after page in key order. Into a file it writes under
// another name until all of it is there, and goes on there when it is called again with --resume.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/client_args.h"
#include "cmd/progress.h"
#include "cmd/record_line.h"

enum { WRITE_SIZE = 1 << 20, LINE_SIZE_MAX = 1 << 30, TAIL_STEP = 64 << 10 };

struct export
{
    const struct kvs_args *args;
    struct kvs_client *client;
    const char *key;  // a record of its own, exported first; NULL: none
    char *prefix;     // what else: "app/", or "" for everything
    const char *path; // of the file; "-": stdout
    char *part_path;  // where it is written meanwhile
    FILE *file;
    char *resume_key; // the last key that is there already; NULL: from the start
    bool relative;
    bool versions;
    struct kvs_buf out;
    struct kvs_progress progress;
    uint64_t count;         // records written now
    uint64_t resumed_count; // and before
    _Atomic uint64_t total; // found by the counting thread; 0: not known yet
    atomic_bool ending;
};

// ---- Counting, for the bar, while a person watches

static void *count_records(void *context)
{
    struct export *export = context;
    struct kvs_client_iterator *iterator = kvs_client_list_iterator(
        export->client, &(struct kvs_client_list_options){.prefix = export->prefix});
    const struct kvs_client_entry *entry;
    uint64_t count = export->key ? 1 : 0;
    enum kvs_client_code code = iterator ? KVS_CLIENT_OK : KVS_CLIENT_NOMEM;
    while (code == KVS_CLIENT_OK && !atomic_load(&export->ending)) {
        code = kvs_client_iterator_next(iterator, &entry, NULL);
        count += code == KVS_CLIENT_OK;
    }
    if (code == KVS_CLIENT_END)
        atomic_store(&export->total, count);
    kvs_client_iterator_free(iterator);
    return NULL;
}

// ---- Writing

static int write_out(struct export *export)
{
    struct kvs_buf *out = &export->out;
    bool written =
        !out->err && (out->size == 0 || fwrite(out->data, 1, out->size, export->file) == out->size);
    if (!written) {
        kvs_progress_clear(&export->progress);
        kvs_cmd_error("cannot write %s: %s", export->path,
                      out->err ? kvs_err_text(out->err) : strerror(errno));
        return KVS_EXIT_FAILED;
    }
    kvs_buf_clear(out);
    return KVS_EXIT_OK;
}

static int write_entry(struct export *export, const struct kvs_client_entry *entry)
{
    const char *key = entry->key + (export->relative ? strlen(export->prefix) : 0);
    kvs_record_line_append(&export->out, key, kvs_slice(entry->json, entry->json_size),
                           entry->expires_ms, export->versions ? &entry->version : NULL);
    export->count++;
    return export->out.size >= WRITE_SIZE ? write_out(export) : KVS_EXIT_OK;
}

static int write_page(struct export *export, const struct kvs_client_listing *page, bool *ret_end)
{
    size_t prefix_size = strlen(export->prefix);
    for (size_t i = 0; i < page->entry_count; i++) {
        const struct kvs_client_entry *entry = &page->entries[i];
        if (strncmp(entry->key, export->prefix, prefix_size) != 0) {
            *ret_end = true; // the range is open above
            break;
        }
        if (export->resume_key && strcmp(entry->key, export->resume_key) == 0)
            continue;
        int code = write_entry(export, entry);
        if (code != KVS_EXIT_OK)
            return code;
    }
    uint64_t done = export->count + export->resumed_count;
    kvs_progress_update(&export->progress, export->count, done, atomic_load(&export->total));
    return KVS_EXIT_OK;
}

static int fail_reading(struct export *export, const struct kvs_client_error *error)
{
    kvs_progress_clear(&export->progress);
    int code = kvs_cmd_client_error(error);
    if (export->part_path && write_out(export) == KVS_EXIT_OK)
        kvs_cmd_error("what has come is in %s: go on with --resume", export->part_path);
    return code;
}

// Everything from `start` (NULL: the first key) to `end_key` (NULL: the prefix's end).
static int export_range(struct export *export, const char *start, const char *end_key)
{
    char *cursor = NULL;
    int code = KVS_EXIT_OK;
    bool end = false;
    while (code == KVS_EXIT_OK && !end) {
        const struct kvs_client_range_options options = {
            .start_key = start,
            .end_key = end_key,
            .limit = 1000,
            .cursor = cursor,
            .expiry = true,
        };
        struct kvs_client_listing page;
        struct kvs_client_error error;
        if (kvs_client_range(export->client, &options, &page, &error) != KVS_CLIENT_OK) {
            code = fail_reading(export, &error);
            break;
        }
        code = write_page(export, &page, &end);
        free(cursor);
        cursor = page.next ? strdup(page.next) : NULL;
        end = end || !cursor;
        kvs_client_listing_done(&page);
    }
    free(cursor);
    return code;
}

static int export_all(struct export *export)
{
    int code = KVS_EXIT_OK;
    if (export->key && !export->resume_key) {
        // One record, whose key does not begin with the prefix.
        char *prefix = export->prefix;
        export->prefix = (char *)"";
        code = export_range(export, export->key, export->key);
        export->prefix = prefix;
    }
    const char *start = *export->prefix ? export->prefix : NULL;
    if (export->resume_key &&
        strncmp(export->resume_key, export->prefix, strlen(export->prefix)) == 0)
        start = export->resume_key;
    if (code == KVS_EXIT_OK)
        code = export_range(export, start, NULL);
    return code == KVS_EXIT_OK ? write_out(export) : code;
}

// ---- The file

// Cuts a half line off the end of the file and remembers the last key.
static int take_up(struct export *export)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf line = KVS_BUF_INIT(LINE_SIZE_MAX);
    struct kvs_arena arena;
    uint64_t good_size = 0;
    int c;
    kvs_arena_init(&arena, LINE_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf last = KVS_BUF_INIT(LINE_SIZE_MAX);
    while ((c = getc_unlocked(export->file)) != EOF && !line.err) {
        if (c != '\n') {
            kvs_buf_append_char(&line, (char)c);
            continue;
        }
        good_size += line.size + 1;
        export->resumed_count++;
        struct kvs_buf swap = last;
        last = line;
        line = swap;
        kvs_buf_clear(&line);
    }
    struct kvs_record_line record = {0};
    struct kvs_message message = {""};
    int err = line.err;
    if (!err && good_size > 0)
        err = kvs_record_line_parse(kvs_buf_slice(&last), &arena, &record, &message);
    if (!err && record.key &&
        asprintf(&export->resume_key, "%s%s", export->relative ? export->prefix : "", record.key) <
            0)
        err = KVS_ERR_NOMEM;
    kvs_arena_done(&arena);
    if (err || ferror(export->file)) {
        kvs_cmd_error("cannot resume %s: %s", export->part_path,
                      err ? message.text[0] ? message.text : kvs_err_text(err) : strerror(errno));
        return KVS_EXIT_FAILED;
    }
    if (ftruncate(fileno(export->file), (off_t)good_size) != 0 ||
        fseeko(export->file, 0, SEEK_END) != 0) {
        kvs_cmd_error("cannot resume %s: %s", export->part_path, strerror(errno));
        return KVS_EXIT_FAILED;
    }
    return KVS_EXIT_OK;
}

static int open_file(struct export *export)
{
    bool resume = kvs_args_flag(export->args, "resume");
    if (strcmp(export->path, "-") == 0) {
        if (resume)
            return kvs_cmd_usage_error(export->args->command, "only a file can be resumed");
        export->file = stdout;
        return KVS_EXIT_OK;
    }
    if (!kvs_args_flag(export->args, "force") && access(export->path, F_OK) == 0) {
        kvs_cmd_error("%s exists; --force replaces it", export->path);
        return KVS_EXIT_FAILED;
    }
    if (asprintf(&export->part_path, "%s.part", export->path) < 0) {
        export->part_path = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    int fd = open(export->part_path, O_RDWR | O_CREAT | O_CLOEXEC | (resume ? 0 : O_TRUNC), 0600);
    export->file = fd >= 0 ? fdopen(fd, "r+") : NULL;
    if (!export->file) {
        kvs_cmd_error("cannot write %s: %s", export->part_path, strerror(errno));
        if (fd >= 0)
            (void)close(fd); // nothing was written
        return KVS_EXIT_FAILED;
    }
    return resume ? take_up(export) : KVS_EXIT_OK;
}

// Under its name only when it is whole and on the disk.
static int close_file(struct export *export, int code)
{
    if (!export->part_path)
        return code; // kvs_cmd_main flushes stdout
    bool synced =
        code != KVS_EXIT_OK || (fflush(export->file) == 0 && fsync(fileno(export->file)) == 0);
    if (fclose(export->file) != 0 || !synced ||
        (code == KVS_EXIT_OK && rename(export->part_path, export->path) != 0)) {
        kvs_cmd_error("cannot write %s: %s", export->path, strerror(errno));
        return code == KVS_EXIT_OK ? KVS_EXIT_FAILED : code;
    }
    return code;
}

// ---- The command

static void say_done(struct export *export)
{
    char count[KVS_PROGRESS_NUMBER_SIZE];
    kvs_progress_clear(&export->progress);
    if (kvs_args_flag(export->args, "quiet") || !export->part_path)
        return;
    fprintf(stderr, "exported %s record%s to %s in %.1f s\n",
            kvs_progress_number(export->count, count), export->count == 1 ? "" : "s", export->path,
            (double)kvs_progress_elapsed_ms(&export->progress) / 1000.0);
}

static int run_counted(struct export *export)
{
    pthread_t counter;
    kvs_progress_begin(&export->progress, "exported", kvs_args_flag(export->args, "quiet"));
    bool counting =
        export->progress.shown && pthread_create(&counter, NULL, count_records, export) == 0;
    int code = export_all(export);
    atomic_store(&export->ending, true);
    if (counting)
        (void)pthread_join(counter, NULL); // it is ours and joined once
    return code;
}

// "app": the key, and what lies under it; "app/": only that.
static int read_operands(struct export *export)
{
    const struct kvs_args *args = export->args;
    const char *word = args->operand_count > 1 ? args->operands[0] : "";
    const char *format = kvs_args_value(args, "format");
    if (format && strcmp(format, "ndjson") != 0)
        return kvs_cmd_usage_error(args->command, "--format can only be ndjson");
    export->path = args->operands[args->operand_count - 1];
    export->relative = kvs_args_flag(args, "relative");
    export->versions = kvs_args_flag(args, "versions");
    size_t size = strlen(word);
    bool slash = size > 0 && word[size - 1] == '/';
    if (asprintf(&export->prefix, "%s%s", word, size > 0 && !slash ? "/" : "") < 0) {
        export->prefix = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    export->key = size > 0 && !slash && !export->relative ? word : NULL;
    return KVS_EXIT_OK;
}

static int run_export(const struct kvs_args *args)
{
    struct export export = {.args = args, .out = KVS_BUF_INIT(LINE_SIZE_MAX)};
    const struct kvs_client_options options = {.timeout_ms = 120000, .attempts_max = 1000};
    int code = read_operands(&export);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open_with(args, &options, &export.client);
    if (code == KVS_EXIT_OK)
        code = open_file(&export);
    if (code == KVS_EXIT_OK)
        code = run_counted(&export);
    if (export.file)
        code = close_file(&export, code);
    if (code == KVS_EXIT_OK)
        say_done(&export);
    kvs_client_free(export.client);
    kvs_buf_done(&export.out);
    free(export.prefix);
    free(export.part_path);
    free(export.resume_key);
    return code;
}

static const struct kvs_cmd_option export_options[] = {
    {"format", 0, "FORMAT", "ndjson: one record a line (the only one, and the default)"},
    {"relative", 0, NULL, "Leave PREFIX out of the paths, to import them under another one"},
    {"versions", 0, NULL, "Each version's uuid and timestamp too"},
    {"force", 'f', NULL, "Replace FILE"},
    {"resume", 0, NULL, "Go on where an export into FILE broke off"},
    {"quiet", 'q', NULL, "No progress bar, no summary"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_export = {
    .run = run_export,
    .options = export_options,
    .details =
        "Writes every record under PREFIX (all without one, and PREFIX itself unless it ends in a\n"
        "slash) into FILE, or to stdout as -, one line of JSON each: path, data, and\n"
        "expires_timestamp where it has a TTL. The same data always gives the same file, so that\n"
        "two nodes can be compared. The file is written as FILE.part and renamed when it is\n"
        "whole; after a failure --resume goes on there. Writes that come meanwhile may or may\n"
        "not be in it: for a point in time use 'kvs backup'.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs export all.ndjson\n"
        "  kvs export app/ app.ndjson --force\n"
        "  kvs export - | zstd > all.ndjson.zst\n"
        "  kvs export app/ - --relative | kvs import - --under app-copy/\n"
        "  diff <(kvs export - --url http://a:8080) <(kvs export - --url http://b:8080)\n",
};
