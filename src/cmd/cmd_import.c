// SPDX-License-Identifier: Apache-2.0
// `kvs import`: records from lines of JSON, or from another node, into this one.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/client_args.h"
#include "cmd/foreign.h"
#include "cmd/importer.h"
#include "cmd/progress.h"
#include "cmd/record_line.h"
#include "cmd/show.h"
#include "codec/record.h"

enum {
    WORKERS = 8,
    WORKERS_MAX = 64,
    LINE_SIZE_MAX = 1 << 30,
    READ_SIZE = 1 << 20,
    ARENA_BASE = 1 << 20,
    ARENA_PER_BYTE = 48,
    SECRET_SIZE_MAX = 64 << 10,
    FOREIGN_ANSWER_MAX = 1 << 30,
};

struct import {
    const struct kvs_args *args;
    struct kvs_client *client;
    struct kvs_importer *importer;
    struct kvs_progress progress;
    struct kvs_interrupt interrupt;
    struct kvs_buf key; // "under" and the record's own
    const char *under;  // what comes before every key; "": nothing
    const char *source; // for messages
    uint64_t from_line;
    uint64_t line;    // read so far
    uint64_t skipped; // before from_line
    uint64_t expired;
    uint64_t read_bytes;
    uint64_t size_bytes; // of the file; 0: not known
    bool never_begun;    // its source could not be opened: there is nothing to sum up
};

// ---- One record

static int add(struct import *import, const char *key, struct kvs_slice json, const char *ttl)
{
    const char *reason = NULL;
    kvs_buf_clear(&import->key);
    kvs_buf_append_str(&import->key, import->under);
    kvs_buf_append_str(&import->key, key);
    kvs_buf_append_char(&import->key, 0);
    if (import->key.err) {
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    if (!kvs_key_is_valid(kvs_slice(import->key.data, import->key.size - 1), &reason)) {
        kvs_importer_refuse(import->importer, import->line, reason);
        return KVS_EXIT_OK;
    }
    const struct kvs_import_record record = {
        .line = import->line,
        .key = import->key.data,
        .json = json.data,
        .json_size = json.size,
        .ttl = ttl,
    };
    return kvs_importer_add(import->importer, &record);
}

static void update_progress(struct import *import)
{
    if ((import->line & 0xff) == 0)
        kvs_progress_update(&import->progress, import->line - import->skipped, import->read_bytes,
                            import->size_bytes);
}

// ---- Lines

static int take_line(struct import *import, struct kvs_slice line, struct kvs_arena *arena)
{
    struct kvs_record_line record;
    struct kvs_message message;
    char ttl[32];
    import->line++;
    update_progress(import);
    if (import->line < import->from_line) {
        import->skipped++;
        return KVS_EXIT_OK;
    }
    if (line.size > 0 && line.data[line.size - 1] == '\r')
        line.size--;
    if (kvs_slice_trim(line).size == 0)
        return KVS_EXIT_OK;
    arena->total_max = ARENA_BASE + ARENA_PER_BYTE * line.size;
    if (kvs_record_line_parse(line, arena, &record, &message) < 0) {
        kvs_importer_refuse(import->importer, import->line, message.text);
        return KVS_EXIT_OK;
    }
    if (record.expires_ms) {
        record.ttl = ttl;
        if (!kvs_record_line_ttl(record.expires_ms, kvs_clock_wall_ms(kvs_clock_system()), ttl)) {
            import->expired++;
            return KVS_EXIT_OK;
        }
    }
    // Without a ttl a node would take its default_ttl, and unwrap what looks like an envelope.
    return add(import, record.key, record.json, record.ttl && *record.ttl ? record.ttl : "0");
}

// The complete lines of the buffer; what is left begins the next one.
static int take_lines(struct import *import, struct kvs_buf *buf, bool at_end)
{
    struct kvs_arena arena;
    size_t at = 0;
    int code = KVS_EXIT_OK;
    kvs_arena_init(&arena, ARENA_BASE);
    while (code == KVS_EXIT_OK && at < buf->size) {
        const char *start = buf->data + at;
        const char *end = memchr(start, '\n', buf->size - at);
        if (!end && !at_end)
            break;
        size_t size = end ? (size_t)(end - start) : buf->size - at;
        import->read_bytes += size + (end != NULL);
        code = take_line(import, kvs_slice(start, size), &arena);
        kvs_arena_reset(&arena);
        at += size + (end != NULL);
    }
    kvs_arena_done(&arena);
    kvs_buf_consume(buf, at < buf->size ? at : buf->size);
    return code;
}

// KVS_EXIT_OK, or why not to go on, which has been said; interrupted: without a word.
static int read_some(struct import *import, int fd, struct kvs_buf *buf, bool *ret_at_end)
{
    char *room = kvs_buf_reserve(buf, READ_SIZE);
    if (!kvs_interrupt_wait_readable(&import->interrupt, fd))
        return KVS_EXIT_FAILED;
    ssize_t size = room ? TEMP_FAILURE_RETRY(read(fd, room, READ_SIZE)) : -1;
    if (size < 0) {
        kvs_progress_clear(&import->progress);
        kvs_cmd_error("cannot read %s: %s", import->source,
                      room ? strerror(errno) : kvs_err_text(buf->err));
        return KVS_EXIT_FAILED;
    }
    buf->size += (size_t)size;
    *ret_at_end = size == 0;
    return KVS_EXIT_OK;
}

// Its lines would all be refused, one by one.
static int refuse_compressed(const struct import *import, const struct kvs_buf *buf)
{
    static const struct {
        struct kvs_slice magic;
        const char *tool;
    } formats[] = {{KVS_SLICE("\x28\xb5\x2f\xfd"), "zstdcat"},
                   {KVS_SLICE("\x1f\x8b"), "zcat"},
                   {KVS_SLICE("\xfd"
                              "7zXZ"),
                    "xzcat"}};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(formats); i++)
        if (kvs_slice_starts_with(kvs_buf_slice(buf), formats[i].magic)) {
            kvs_cmd_error("%s is compressed: %s FILE | kvs import -", import->source,
                          formats[i].tool);
            return KVS_EXIT_FAILED;
        }
    return KVS_EXIT_OK;
}

static int read_lines(struct import *import, int fd)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf buf = KVS_BUF_INIT(LINE_SIZE_MAX);
    bool at_end = false;
    int code = read_some(import, fd, &buf, &at_end);
    if (code == KVS_EXIT_OK)
        code = refuse_compressed(import, &buf);
    while (code == KVS_EXIT_OK) {
        code = take_lines(import, &buf, at_end);
        if (at_end || code != KVS_EXIT_OK)
            break;
        code = read_some(import, fd, &buf, &at_end);
    }
    return code;
}

static int import_file(struct import *import, const char *path)
{
    bool from_stdin = strcmp(path, "-") == 0;
    struct stat status;
    int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        import->never_begun = true;
        kvs_cmd_error("cannot open %s: %s", path, strerror(errno));
        return KVS_EXIT_FAILED;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0)
        import->size_bytes = (uint64_t)status.st_size;
    int code = read_lines(import, fd);
    if (!from_stdin)
        (void)close(fd); // only read from
    return code;
}

// ---- Another node

static int visit_foreign(void *context, const char *key, struct kvs_slice json)
{
    struct import *import = context;
    import->line++;
    update_progress(import);
    return add(import, key, json, "0");
}

// The first line of a file.
static int read_secret(const struct kvs_args *args, const char *option, struct kvs_buf *ret_secret)
{
    const char *path = kvs_args_value(args, option);
    if (!path)
        return KVS_EXIT_OK;
    int code = kvs_cmd_read_file(path, ret_secret);
    if (code != KVS_EXIT_OK)
        return code;
    const char *end = ret_secret->size ? memchr(ret_secret->data, '\n', ret_secret->size) : NULL;
    if (end)
        ret_secret->size = (size_t)(end - ret_secret->data);
    if (ret_secret->size == 0)
        return kvs_cmd_usage_error(args->command, "there is nothing in %s", path);
    kvs_buf_append_char(ret_secret, 0);
    return KVS_EXIT_OK;
}

static int open_foreign(const struct kvs_args *args, const char *url,
                        struct kvs_client **ret_client)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf secret = KVS_BUF_INIT(SECRET_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf token = KVS_BUF_INIT(SECRET_SIZE_MAX);
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf header = KVS_BUF_INIT(SECRET_SIZE_MAX + 64);
    int code = read_secret(args, "from-secret-file", &secret);
    if (code == KVS_EXIT_OK)
        code = read_secret(args, "from-token-file", &token);
    if (code != KVS_EXIT_OK)
        return code;
    kvs_buf_append_str(&header, "X-Cluster-Secret: ");
    kvs_buf_append_slice(&header, kvs_buf_slice(&secret));
    const char *headers[] = {header.data, "X-Node-ID: kvs-import"};
    const struct kvs_client_options options = {
        .urls = &url,
        .url_count = 1,
        .token = token.data,
        .timeout_ms = 300000,
        .answer_size_max = FOREIGN_ANSWER_MAX,
        .retry_writes = true, // POST /kv_range reads
        .headers = headers,
        .header_count = secret.data ? KVS_ARRAY_SIZE(headers) : 0,
    };
    struct kvs_client_error error;
    *ret_client = header.err ? NULL : kvs_client_new(&options, &error);
    if (secret.data)
        explicit_bzero(secret.data, secret.size);
    explicit_bzero(header.data, header.size);
    return *ret_client ? KVS_EXIT_OK : kvs_cmd_client_error(&error);
}

static int import_foreign(struct import *import, const char *url)
{
    struct kvs_foreign foreign = {
        .as_peer = kvs_args_value(import->args, "from-secret-file") != NULL,
    };
    int code = open_foreign(import->args, url, &foreign.client);
    import->never_begun = code != KVS_EXIT_OK;
    if (code == KVS_EXIT_OK)
        code = kvs_foreign_read(&foreign, NULL, visit_foreign, import);
    kvs_client_free(foreign.client);
    return code;
}

// ---- The command

static void say_json(const struct import *import, const struct kvs_import_totals *totals)
{
    printf("{\"imported\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"expired\":%" PRIu64
           ",\"done_until_line\":%" PRIu64,
           totals->stored, totals->failed, import->expired, totals->stored_until);
    if (kvs_args_flag(import->args, "verify"))
        printf(",\"verified\":%" PRIu64, totals->verified);
    printf("}\n");
}

static void say_totals(const struct import *import, const struct kvs_import_totals *totals)
{
    char count[KVS_PROGRESS_NUMBER_SIZE];
    bool dry_run = kvs_args_flag(import->args, "dry-run");
    fprintf(stderr, "%s %s record%s in %.1f s; ", dry_run ? "would import" : "imported",
            kvs_progress_number(totals->stored, count), totals->stored == 1 ? "" : "s",
            (double)kvs_progress_elapsed_ms(&import->progress) / 1000.0);
    if (kvs_args_flag(import->args, "verify"))
        fprintf(stderr, "%s read back and the same; ",
                kvs_progress_number(totals->verified, count));
    fprintf(stderr, "%" PRIu64 " refused, %" PRIu64 " expired\n", totals->failed, import->expired);
}

static void say_interrupted(struct import *import)
{
    if (!kvs_interrupt_caught(&import->interrupt))
        return;
    kvs_progress_clear(&import->progress);
    kvs_cmd_error("interrupted; waiting for what is under way (once more: end at once)");
}

static int finish(struct import *import, int code)
{
    int finished = code == KVS_EXIT_OK ? kvs_importer_finish(import->importer) : code;
    if (import->never_begun)
        return finished;
    if (finished != KVS_EXIT_OK) {
        say_interrupted(import);
        kvs_importer_stop(import->importer);
    }
    struct kvs_import_totals totals = kvs_importer_totals(import->importer);
    kvs_progress_clear(&import->progress);
    if (kvs_cmd_output(import->args) == KVS_CMD_OUTPUT_JSON)
        say_json(import, &totals);
    if (!kvs_args_flag(import->args, "quiet"))
        say_totals(import, &totals);
    if (finished != KVS_EXIT_OK) {
        if (kvs_args_value(import->args, "from"))
            kvs_cmd_error("start it again: what is there already does no harm");
        else
            kvs_cmd_error("%s is stored up to line %" PRIu64 ": go on with --from-line %" PRIu64,
                          import->source, totals.stored_until, totals.stored_until + 1);
        return finished;
    }
    return totals.failed > 0 ? KVS_EXIT_PARTIAL : KVS_EXIT_OK;
}

static int read_number(const struct kvs_args *args, const char *name, uint64_t max, uint64_t *value)
{
    const char *text = kvs_args_value(args, name);
    if (text && (!kvs_slice_to_u64(kvs_slice_from_str(text), value) || *value == 0 || *value > max))
        return kvs_cmd_usage_error(args->command, "--%s '%s' is no number from 1 to %" PRIu64, name,
                                   text, max);
    return KVS_EXIT_OK;
}

static int check_operands(const struct kvs_args *args)
{
    static const char *const from_only[] = {"from-secret-file", "from-token-file"};
    bool from = kvs_args_value(args, "from") != NULL;
    if (from == (args->operand_count > 0))
        return kvs_cmd_usage_error(args->command, "give a FILE (- is stdin) or --from URL");
    for (size_t i = 0; !from && i < KVS_ARRAY_SIZE(from_only); i++)
        if (kvs_args_value(args, from_only[i]))
            return kvs_cmd_usage_error(args->command, "--%s goes with --from", from_only[i]);
    if (from && kvs_args_value(args, "from-line"))
        return kvs_cmd_usage_error(args->command, "--from-line goes with a FILE");
    return KVS_EXIT_OK;
}

// Said once, and not of every line.
static int check_under(const struct kvs_args *args, struct kvs_slice under)
{
    const char *reason = NULL;
    if (under.data[under.size - 1] == '/')
        under.size--;
    if (!kvs_key_is_valid(under, &reason))
        return kvs_cmd_usage_error(args->command, "--under '%.*s' is no prefix of keys: %s",
                                   KVS_SLICE_FMT(under), reason);
    return KVS_EXIT_OK;
}

static int run(struct import *import, uint64_t workers)
{
    const struct kvs_args *args = import->args;
    const char *from = kvs_args_value(args, "from");
    import->source = from                                  ? from
                     : strcmp(args->operands[0], "-") == 0 ? "stdin"
                                                           : args->operands[0];
    kvs_progress_begin(&import->progress, "imported", kvs_args_flag(args, "quiet"));
    const struct kvs_importer_options options = {
        .client = import->client,
        .source = import->source,
        .worker_count = (size_t)workers,
        .dry_run = kvs_args_flag(args, "dry-run"),
        .verify = kvs_args_flag(args, "verify"),
        .interrupt = &import->interrupt,
    };
    // While the other node is read from, a signal ends us: there is no line to go on from.
    if (!from)
        kvs_interrupt_begin(&import->interrupt);
    import->importer = kvs_importer_new(&options, &import->progress);
    if (!import->importer)
        return KVS_EXIT_FAILED;
    int code = from ? import_foreign(import, from) : import_file(import, args->operands[0]);
    code = finish(import, code);
    kvs_importer_free(import->importer);
    kvs_interrupt_end(&import->interrupt);
    return code;
}

static int run_import(const struct kvs_args *args)
{
    struct import import = {
        .args = args, .key = KVS_BUF_INIT(1 << 20), .from_line = 1, .interrupt.fd = -1};
    // A node that restarts meanwhile must not end an import of hours.
    const struct kvs_client_options options = {
        .timeout_ms = 120000, .attempts_max = 1000, .retry_writes = true};
    uint64_t workers = WORKERS;
    KVS_CLEANUP(kvs_freep) char *under = NULL;
    const char *word = kvs_args_value(args, "under");
    size_t size = word ? strlen(word) : 0;
    int code = check_operands(args);
    if (code == KVS_EXIT_OK)
        code = read_number(args, "parallel", WORKERS_MAX, &workers);
    if (code == KVS_EXIT_OK)
        code = read_number(args, "from-line", UINT64_MAX, &import.from_line);
    if (code == KVS_EXIT_OK && size > 0)
        code = check_under(args, kvs_slice(word, size));
    if (code != KVS_EXIT_OK)
        return code;
    if (asprintf(&under, "%s%s", word ? word : "", size > 0 && word[size - 1] != '/' ? "/" : "") <
        0) {
        under = NULL;
        kvs_cmd_error("out of memory");
        return KVS_EXIT_FAILED;
    }
    import.under = under;
    code = kvs_cmd_client_open_with(args, &options, &import.client);
    if (code == KVS_EXIT_OK)
        code = run(&import, workers);
    kvs_client_free(import.client);
    kvs_buf_done(&import.key);
    return code;
}

static const struct kvs_cmd_option import_options[] = {
    {"under", 0, "PREFIX", "Put every record under PREFIX/"},
    {"from-line", 0, "N", "Begin at this line: where an import broke off"},
    {"dry-run", 'n', NULL, "Only check every line"},
    {"verify", 0, NULL, "Read back what was stored and compare"},
    {"parallel", 'p', "N", "Requests at once (default: 8)"},
    {"from", 0, "URL", "Copy a running node instead of a FILE"},
    {"from-secret-file", 0, "FILE", "Read from it as a peer, with the cluster secret in FILE"},
    {"from-token-file", 0, "FILE", "Read from it with the token in FILE"},
    {"quiet", 'q', NULL, "No progress bar, no summary"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_import = {
    .run = run_import,
    .options = import_options,
    .details =
        "Stores each line of FILE (stdin as -), as 'kvs export' writes them: an object of path,\n"
        "data, and ttl (a duration from now) or expires_timestamp (Unix ms). What has expired\n"
        "meanwhile is left out; without either a record never expires. 'kvs ls --all --values\n"
        "--json' makes such lines, too. A bad line is said with its number, and the others go on;\n"
        "when the node cannot be reached for two minutes the import stops and says how to go on, "
        "and\n"
        "so it does on Ctrl-C. --verify reads every record back once it is stored and counts one "
        "that\n"
        "differs as refused.\n"
        "Storing the same again does no harm but new versions.\n"
        "--from copies a running node of the original Go system, or of this one, over its own\n"
        "routes: as a peer with its cluster secret, else as a client.\n"
        "Exit code 9 when some lines were refused.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs import all.ndjson\n"
        "  zstdcat all.ndjson.zst | kvs import -\n"
        "  echo '{\"path\":\"session/1\",\"data\":{\"user\":\"ann\"},\"ttl\":\"30m\"}' | kvs "
        "import -\n"
        "  kvs import --from http://old:8080 --from-secret-file secret.txt\n",
};
