// SPDX-License-Identifier: Apache-2.0
// `kvs audit export` and `kvs audit prove`: what a running node says, as it says it.
#include "cmd/audit_cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "codec/json.h"

enum { ARENA_MAX = 512 << 20, TARGET_SIZE = 128, EXPORT_LIMIT = 10000, ROOTS_LIMIT = 1000 };

static int out_of_memory(void)
{
    kvs_cmd_error("out of memory");
    return KVS_EXIT_FAILED;
}

static int no_answer_of_kvs(void)
{
    kvs_cmd_error("the node's answer is none of an audit log");
    return KVS_EXIT_FAILED;
}

int kvs_audit_fetch(struct kvs_client *client, const char *target, struct kvs_arena *arena,
                    struct kvs_json **ret_root, struct kvs_client_response *ret_answer)
{
    struct kvs_client_error error;
    if (kvs_client_request(client, "GET", target, NULL, NULL, 0, ret_answer, &error) !=
        KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    if (kvs_json_parse(kvs_slice(ret_answer->body, ret_answer->body_size), KVS_JSON_UNIQUE_KEYS,
                       arena, ret_root, NULL) == 0)
        return KVS_EXIT_OK;
    kvs_client_response_done(ret_answer);
    return no_answer_of_kvs();
}

// ---- Export

// What the last line of a page says: where to go on, or that this was the end.
static bool read_last_line(const struct kvs_client_response *answer, uint64_t *ret_seq,
                           bool *ret_is_end)
{
    struct kvs_slice page = kvs_slice(answer->body, answer->body_size);
    if (!kvs_slice_ends_with(page, KVS_SLICE("\n")))
        return false;
    bool found = false;
    *ret_is_end = false;
    // Roots may stand behind the last entry.
    while (page.size > 0 && !found) {
        page.size--; // the newline
        const char *start = memrchr(page.data, '\n', page.size);
        start = start ? start + 1 : page.data;
        struct kvs_slice line = kvs_slice(start, (size_t)(page.data + page.size - start));
        page.size -= line.size;
        if (kvs_slice_starts_with(line, KVS_SLICE("{\"kind\":\"checkpoint\""))) {
            *ret_is_end = true;
            return true;
        }
        found = kvs_slice_starts_with(line, KVS_SLICE("{\"seq\":"));
        if (found)
            *ret_seq = strtoull(line.data + strlen("{\"seq\":"), NULL, 10);
    }
    return found;
}

int kvs_audit_fetch_export(struct kvs_client *client, uint64_t from, FILE *out)
{
    char target[TARGET_SIZE];
    (void)snprintf(target, sizeof(target), "/api/audit/export?limit=%d&from=%" PRIu64, EXPORT_LIMIT,
                   from);
    uint64_t last = 0;
    for (bool is_end = false; !is_end;) {
        struct kvs_client_response answer;
        struct kvs_client_error error;
        if (kvs_client_request(client, "GET", target, NULL, NULL, 0, &answer, &error) !=
            KVS_CLIENT_OK)
            return kvs_cmd_client_error(&error);
        uint64_t before = last;
        bool good = read_last_line(&answer, &last, &is_end) && (is_end || last > before);
        if (good)
            (void)fwrite(answer.body, 1, answer.body_size, out); // looked at below
        kvs_client_response_done(&answer);
        if (!good)
            return no_answer_of_kvs();
        (void)snprintf(target, sizeof(target), "/api/audit/export?limit=%d&since=%" PRIu64,
                       EXPORT_LIMIT, last);
        if (ferror(out)) {
            kvs_cmd_error("cannot write the export: %s", strerror(errno));
            return KVS_EXIT_FAILED;
        }
    }
    return KVS_EXIT_OK;
}

// The export is private and appears whole.
static int export_to_file(struct kvs_client *client, uint64_t from, const char *path)
{
    KVS_CLEANUP(kvs_freep) char *temporary = NULL;
    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        temporary = NULL;
        return out_of_memory();
    }
    (void)unlink(temporary); // of an export that was broken off
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file) {
        kvs_cmd_error("cannot create %s: %s", temporary, strerror(errno));
        kvs_closep(&fd);
        return KVS_EXIT_FAILED;
    }
    int code = kvs_audit_fetch_export(client, from, file);
    bool written = fflush(file) == 0 && fsync(fd) == 0;
    written = fclose(file) == 0 && written;
    if (code == KVS_EXIT_OK && (!written || rename(temporary, path) != 0)) {
        kvs_cmd_error("cannot write %s: %s", path, strerror(errno));
        code = KVS_EXIT_FAILED;
    }
    if (code != KVS_EXIT_OK)
        (void)unlink(temporary); // half an export is of no use
    return code;
}

int kvs_audit_run_export(const struct kvs_args *args)
{
    uint64_t from = 1;
    const char *path = kvs_args_value(args, "output");
    struct kvs_client *client = NULL;
    if (args->operand_count > 1)
        return kvs_cmd_usage_error(args->command,
                                   "export takes no argument: --output names a file");
    int code = kvs_audit_number_option(args, "from", &from);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = path ? export_to_file(client, from, path)
                    : kvs_audit_fetch_export(client, from, stdout);
    kvs_client_free(client);
    return code;
}

// ---- Proofs

// Appends ,"chain":[…]} with the roots of all epochs before `epoch`.
static int append_chain(struct kvs_client *client, uint64_t epoch, struct kvs_buf *out)
{
    uint64_t since = 0;
    kvs_buf_append_str(out, ",\"chain\":[");
    while (since + 1 < epoch) {
        char target[TARGET_SIZE];
        uint64_t left = epoch - 1 - since;
        (void)snprintf(target, sizeof(target), "/api/audit/roots?since=%" PRIu64 "&limit=%" PRIu64,
                       since, left < ROOTS_LIMIT ? left : ROOTS_LIMIT);
        struct kvs_arena arena;
        kvs_arena_init(&arena, ARENA_MAX);
        struct kvs_json *root = NULL;
        struct kvs_client_response answer;
        int code = kvs_audit_fetch(client, target, &arena, &root, &answer);
        if (code == KVS_EXIT_OK) {
            uint64_t before = since;
            const struct kvs_json *roots = kvs_json_member(root, "roots");
            for (const struct kvs_json *seal = roots ? roots->child : NULL; seal;
                 seal = seal->next) {
                if (since++ > 0)
                    kvs_buf_append_char(out, ',');
                kvs_buf_append_slice(out, seal->source);
            }
            if (since == before)
                code = no_answer_of_kvs();
            kvs_client_response_done(&answer);
        }
        kvs_arena_done(&arena);
        if (code != KVS_EXIT_OK)
            return code;
    }
    kvs_buf_append_str(out, "]}\n");
    return KVS_EXIT_OK;
}

static int prove(struct kvs_client *client, const char *target)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(KVS_AUDIT_PROOF_SIZE_MAX);
    struct kvs_arena arena;
    kvs_arena_init(&arena, ARENA_MAX);
    struct kvs_json *root = NULL;
    struct kvs_client_response answer = {0};
    int code = kvs_audit_fetch(client, target, &arena, &root, &answer);
    if (code == KVS_EXIT_OK) {
        int64_t epoch = 0;
        const struct kvs_json *seal = kvs_json_member(root, "seal");
        bool good = seal && kvs_json_member(seal, "epoch") &&
                    kvs_json_to_i64(kvs_json_member(seal, "epoch"), &epoch) && epoch > 0;
        kvs_buf_append(&out, answer.body, answer.body_size - 1); // but for the closing brace
        code = good ? append_chain(client, (uint64_t)epoch, &out) : no_answer_of_kvs();
    }
    kvs_client_response_done(&answer);
    kvs_arena_done(&arena);
    return code == KVS_EXIT_OK ? kvs_cmd_print(&out) : code;
}

int kvs_audit_run_prove(const struct kvs_args *args)
{
    char target[TARGET_SIZE];
    uint64_t number = 0;
    int code = kvs_audit_number_option(args, "from", &number);
    if (code != KVS_EXIT_OK)
        return code;
    if ((args->operand_count == 2) == (number > 0))
        return kvs_cmd_usage_error(args->command,
                                   "prove takes the number of an entry, or --from SIZE");
    if (number > 0)
        (void)snprintf(target, sizeof(target), "/api/audit/growth?from=%" PRIu64, number);
    else if (kvs_slice_to_u64(kvs_slice_from_str(args->operands[1]), &number) && number > 0)
        (void)snprintf(target, sizeof(target), "/api/audit/%" PRIu64 "/proof", number);
    else
        return kvs_cmd_usage_error(args->command, "'%s' is no number of an entry",
                                   args->operands[1]);
    struct kvs_client *client = NULL;
    code = kvs_cmd_client_open(args, &client);
    if (code == KVS_EXIT_OK)
        code = prove(client, target);
    kvs_client_free(client);
    return code;
}
