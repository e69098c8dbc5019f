// SPDX-License-Identifier: Apache-2.0
// `kvs status`: which nodes run.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/duration.h"
#include "cmd/nodes.h"
#include "cmd/table.h"
#include "codec/json.h"

enum { COLUMNS = 6 };

struct row {
    const char *name;
    const struct kvs_instance *instance; // NULL: not known
    char *word_path;                     // of a config named on the command line; owned
};

static bool is_running(const struct row *row)
{
    return row->instance && row->instance->running;
}

static int64_t uptime_s(const struct kvs_instance *instance)
{
    int64_t ms = kvs_clock_wall_ms(kvs_clock_system()) - instance->started_ms;
    return ms > 0 ? ms / 1000 : 0;
}

static void print_table(const struct row *rows, size_t count)
{
    static const char *const heading[COLUMNS] = {"NAME",    "STATE",  "PID",
                                                 "ADDRESS", "UPTIME", "LOG"};
    const char **cells = calloc((count + 1) * COLUMNS, sizeof(*cells));
    char(*texts)[2][KVS_DURATION_TEXT_MAX] = calloc(count + 1, sizeof(*texts));
    if (!cells || !texts) {
        free(cells);
        free(texts);
        kvs_cmd_error("out of memory");
        return;
    }
    memcpy(cells, heading, sizeof(heading));
    for (size_t i = 0; i < count; i++) {
        const struct kvs_instance *instance = rows[i].instance;
        const char **cell = cells + (i + 1) * COLUMNS;
        bool running = is_running(&rows[i]);
        (void)snprintf(texts[i][0], sizeof(texts[i][0]), "%ld", running ? (long)instance->pid : 0);
        if (running)
            (void)kvs_duration_format(uptime_s(instance) * 1000000000, texts[i][1]);
        cell[0] = rows[i].name;
        cell[1] = running ? "RUNNING" : "STOPPED";
        cell[2] = running ? texts[i][0] : "-";
        cell[3] = instance && instance->address[0] ? instance->address : "-";
        cell[4] = running ? texts[i][1] : "-";
        cell[5] = instance ? instance->log_path : "-";
    }
    kvs_table_print(cells, COLUMNS, count + 1);
    free(cells);
    free(texts);
}

static void write_member(struct kvs_buf *out, const char *name, const char *text)
{
    kvs_buf_printf(out, ",\"%s\":", name);
    if (text && text[0])
        kvs_json_write_string(out, kvs_slice_from_str(text));
    else
        kvs_buf_append_str(out, "null");
}

static int print_json(const struct row *rows, size_t count)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(64 << 20);
    kvs_buf_append_char(&out, '[');
    for (size_t i = 0; i < count; i++) {
        const struct kvs_instance *instance = rows[i].instance;
        bool running = is_running(&rows[i]);
        kvs_buf_append_str(&out, i > 0 ? ",\n{\"name\":" : "{\"name\":");
        kvs_json_write_string(&out, kvs_slice_from_str(rows[i].name));
        write_member(&out, "state", running ? "RUNNING" : "STOPPED");
        if (running)
            kvs_buf_printf(&out, ",\"pid\":%ld,\"uptime_seconds\":%" PRId64, (long)instance->pid,
                           uptime_s(instance));
        else
            kvs_buf_append_str(&out, ",\"pid\":null,\"uptime_seconds\":null");
        write_member(&out, "address", instance ? instance->address : NULL);
        write_member(&out, "config", instance ? instance->config_path : rows[i].word_path);
        write_member(&out, "log", instance ? instance->log_path : NULL);
        kvs_buf_append_char(&out, '}');
    }
    kvs_buf_append_str(&out, "]\n");
    if (out.err != 0) {
        kvs_cmd_error("%s", kvs_err_text(out.err));
        return KVS_EXIT_FAILED;
    }
    (void)fwrite(out.data, 1, out.size, stdout); // kvs_cmd_main checks stdout at the end
    return KVS_EXIT_OK;
}

// One row a word, or one an instance when there are no words.
static int fill_rows(const struct kvs_cmd_nodes *nodes, const struct kvs_args *args,
                     struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (args->operand_count == 0) {
            rows[i].instance = nodes->known.items[i];
        } else {
            rows[i].name = args->operands[i];
            int code = kvs_cmd_nodes_path(nodes, args->operands[i], &rows[i].word_path);
            if (code != KVS_EXIT_OK)
                return code;
            rows[i].instance = kvs_cmd_nodes_find(nodes, rows[i].word_path);
        }
        if (rows[i].instance)
            rows[i].name = rows[i].instance->name;
    }
    return KVS_EXIT_OK;
}

static int print_rows(const struct kvs_args *args, const struct row *rows, size_t count)
{
    if (kvs_args_flag(args, "json")) {
        int code = print_json(rows, count);
        if (code != KVS_EXIT_OK)
            return code;
    } else if (count == 0) {
        puts("no nodes yet: 'kvs start node1' makes one");
    } else {
        print_table(rows, count);
    }
    bool all_run = true;
    for (size_t i = 0; i < count; i++)
        all_run = all_run && is_running(&rows[i]);
    return all_run || args->operand_count == 0 ? KVS_EXIT_OK : KVS_EXIT_NOT_RUNNING;
}

static int run_status(const struct kvs_args *args)
{
    struct kvs_cmd_nodes nodes;
    int code = kvs_cmd_nodes_open(&nodes);
    if (code != KVS_EXIT_OK)
        return code;
    size_t count = args->operand_count > 0 ? (size_t)args->operand_count : nodes.known.count;
    struct row *rows = calloc(count + 1, sizeof(*rows));
    if (rows) {
        code = fill_rows(&nodes, args, rows, count);
        if (code == KVS_EXIT_OK)
            code = print_rows(args, rows, count);
        for (size_t i = 0; i < count; i++)
            free(rows[i].word_path);
        free(rows);
    } else {
        kvs_cmd_error("out of memory");
        code = KVS_EXIT_FAILED;
    }
    kvs_cmd_nodes_done(&nodes);
    return code;
}

static const struct kvs_cmd_option status_options[] = {
    {"json", 'j', NULL, "An array of objects: name, state, pid, uptime_seconds, address, …"},
    {0},
};

const struct kvs_command_body kvs_cmd_status = {
    .run = run_status,
    .options = status_options,
    .details = "Lists name, state (RUNNING or STOPPED), PID, address, uptime and log file of the\n"
               "nodes that are named, or of all that this user has run. A node counts as running\n"
               "while its process holds the lock on its PID file.\n"
               "\n"
               "Exit code 0; with names 0 if all of them run, 3 otherwise.\n"
               "\n"
               "Examples:\n"
               "  kvs status\n"
               "  kvs status node1 && echo it runs\n"
               "  kvs status --json\n",
};
