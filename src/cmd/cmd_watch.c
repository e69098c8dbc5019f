// SPDX-License-Identifier: Apache-2.0
// `kvs watch`: what changes, as it changes.
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/duration.h"
#include "cmd/client_args.h"
#include "cmd/show.h"
#include "cmd/style.h"
#include "codec/json.h"

enum { LINE_SIZE_MAX = 128 << 20, LOOK_EVERY_MS = 250 };

struct watch {
    const struct kvs_args *args;
    struct kvs_client *client; // for the values
    struct kvs_client_feed *feed;
    enum kvs_cmd_output output;
    bool coloured;
    bool values;
    bool troubled;       // and said so
    uint64_t count_max;  // 0: no end
    int64_t deadline_ms; // monotonic; INT64_MAX: none
};

static void append_value(struct kvs_buf *out, const struct kvs_client_record *record, bool json)
{
    kvs_buf_append_str(out, json ? ",\"data\":" : "  ");
    if (json)
        kvs_buf_append(out, record->json, record->json_size);
    else
        kvs_show_text(out, kvs_slice(record->json, record->json_size));
}

static void append_change(struct watch *watch, struct kvs_buf *out,
                          const struct kvs_client_change *change)
{
    char time[KVS_SHOW_TIME_SIZE];
    struct kvs_slice key = kvs_slice_from_str(change->key);
    const char *what = change->deleted ? "deleted" : "changed";
    kvs_show_time(change->version.timestamp_ms, time);
    switch (watch->output) {
    case KVS_CMD_OUTPUT_JSON:
        kvs_buf_append(out, change->json, change->json_size);
        if (out->size > 0 && out->data[out->size - 1] == '}')
            out->size--; // the value may follow
        break;
    case KVS_CMD_OUTPUT_HUMAN:
        kvs_buf_printf(
            out, "%s%s%s  %s%s%s  ", kvs_style_begin(watch->coloured, KVS_STYLE_FAINT), time,
            kvs_style_end(watch->coloured, KVS_STYLE_FAINT),
            kvs_style_begin(watch->coloured, change->deleted ? KVS_STYLE_REMOVED : KVS_STYLE_ADDED),
            what, kvs_style_end(watch->coloured, KVS_STYLE_ADDED));
        kvs_show_text(out, key);
        break;
    case KVS_CMD_OUTPUT_PLAIN:
        kvs_buf_printf(out, "%" PRIu64 "\t%s\t", change->seq, what);
        kvs_buf_append_slice(out, key);
        break;
    }
}

// The value as it is now, which may be newer than the change.
static int add_value(struct watch *watch, struct kvs_buf *out,
                     const struct kvs_client_change *change)
{
    struct kvs_client_record record;
    struct kvs_client_error error;
    enum kvs_client_code code = kvs_client_get(watch->client, change->key, &record, &error);
    if (code == KVS_CLIENT_NOT_FOUND) // deleted meanwhile: that change comes next
        return KVS_EXIT_OK;
    if (code != KVS_CLIENT_OK)
        return kvs_cmd_client_error(&error);
    if (watch->output == KVS_CMD_OUTPUT_PLAIN)
        kvs_buf_append_char(out, '\t');
    if (watch->output == KVS_CMD_OUTPUT_PLAIN)
        kvs_buf_append(out, record.json, record.json_size);
    else
        append_value(out, &record, watch->output == KVS_CMD_OUTPUT_JSON);
    kvs_client_record_done(&record);
    return KVS_EXIT_OK;
}

static int print_change(struct watch *watch, const struct kvs_client_change *change)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf out = KVS_BUF_INIT(LINE_SIZE_MAX);
    append_change(watch, &out, change);
    if (watch->values && !change->deleted) {
        int code = add_value(watch, &out, change);
        if (code != KVS_EXIT_OK)
            return code;
    }
    kvs_buf_append_str(&out, watch->output == KVS_CMD_OUTPUT_JSON ? "}\n" : "\n");
    int code = kvs_cmd_print(&out);
    return code == KVS_EXIT_OK && fflush(stdout) != 0 ? KVS_EXIT_FAILED : code;
}

static void say_trouble(struct watch *watch, const struct kvs_client_error *error)
{
    if (error->message[0] && !watch->troubled)
        kvs_cmd_error("%s; trying again", error->message);
    watch->troubled = error->message[0] != 0;
}

// On a terminal Ctrl-C is held back for a moment, to say where to go on.
static void hold_ctrl_c(const struct watch *watch)
{
    sigset_t set;
    (void)sigemptyset(&set); // cannot fail
    (void)sigaddset(&set, SIGINT);
    if (watch->output == KVS_CMD_OUTPUT_HUMAN)
        (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

// After Ctrl-C: says how to go on, and lets it have its way.
static void let_ctrl_c_end(const struct watch *watch)
{
    sigset_t set;
    if (watch->output != KVS_CMD_OUTPUT_HUMAN || sigpending(&set) != 0 ||
        sigismember(&set, SIGINT) != 1)
        return;
    fprintf(stderr, "\nto go on here: kvs watch%s%s --since %" PRIu64 "\n",
            watch->args->operand_count > 0 ? " " : "",
            watch->args->operand_count > 0 ? watch->args->operands[0] : "",
            kvs_client_feed_since(watch->feed));
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL); // does not return, unless it is ignored
}

// Nobody reads on: `kvs watch | head` ends when head has, not with the change after that.
static void end_with_reader(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};
    if (poll(&output, 1, 0) > 0 && (output.revents & POLLERR))
        (void)raise(SIGPIPE);
}

static int follow(struct watch *watch)
{
    for (uint64_t count = 0;;) {
        struct kvs_client_change change;
        struct kvs_client_error error;
        int64_t left = watch->deadline_ms - kvs_clock_mono_ms(kvs_clock_system());
        if (left < 0)
            left = 0;
        enum kvs_client_code code = kvs_client_feed_next(
            watch->feed, left < LOOK_EVERY_MS ? left : LOOK_EVERY_MS, &change, &error);
        hold_ctrl_c(watch); // only now: finding the node may take its time
        if (code == KVS_CLIENT_TIMEOUT && left > 0) {
            let_ctrl_c_end(watch);
            end_with_reader();
            say_trouble(watch, &error);
            continue;
        }
        if (code == KVS_CLIENT_TIMEOUT)
            return KVS_EXIT_OK;
        if (code == KVS_CLIENT_GONE)
            kvs_cmd_error("changes were missed: start again from a listing ('kvs ls --all'), or "
                          "watch without --since");
        if (code != KVS_CLIENT_OK)
            return kvs_cmd_client_error(&error);
        watch->troubled = false;
        int printed = print_change(watch, &change);
        if (printed != KVS_EXIT_OK)
            return printed;
        let_ctrl_c_end(watch);
        if (++count == watch->count_max)
            return KVS_EXIT_OK;
    }
}

static int read_options(struct watch *watch, struct kvs_client_feed_options *options)
{
    const struct kvs_args *args = watch->args;
    const char *since = kvs_args_value(args, "since");
    const char *count = kvs_args_value(args, "count");
    const char *timeout = kvs_args_value(args, "for");
    int64_t ns;
    options->from_now = since == NULL;
    if (since && !kvs_slice_to_u64(kvs_slice_from_str(since), &options->since))
        return kvs_cmd_usage_error(args->command, "--since '%s' is no sequence number", since);
    if (count &&
        (!kvs_slice_to_u64(kvs_slice_from_str(count), &watch->count_max) || watch->count_max == 0))
        return kvs_cmd_usage_error(args->command, "--count '%s' is no number above 0", count);
    if (timeout && (kvs_duration_parse(kvs_slice_from_str(timeout), &ns) < 0 || ns < 0))
        return kvs_cmd_usage_error(args->command, "--for '%s' is no duration like 30s or 1h",
                                   timeout);
    if (timeout)
        watch->deadline_ms = kvs_clock_mono_ms(kvs_clock_system()) + ns / 1000000;
    return KVS_EXIT_OK;
}

static int run_watch(const struct kvs_args *args)
{
    struct kvs_client_feed_options options = {
        .prefix = args->operand_count > 0 && args->operands[0][0] ? args->operands[0] : NULL,
    };
    struct watch watch = {
        .args = args,
        .output = kvs_cmd_output(args),
        .coloured = kvs_style_is_wanted(STDOUT_FILENO),
        .values = kvs_args_flag(args, "values"),
        .deadline_ms = INT64_MAX,
    };
    int code = kvs_cmd_check_prefix(args, options.prefix ? options.prefix : "");
    if (code == KVS_EXIT_OK)
        code = read_options(&watch, &options);
    if (code == KVS_EXIT_OK)
        code = kvs_cmd_client_open(args, &watch.client);
    if (code != KVS_EXIT_OK)
        return code;
    watch.feed = kvs_client_feed_new(watch.client, &options);
    if (watch.feed) {
        code = follow(&watch);
    } else {
        kvs_cmd_error("out of memory");
        code = KVS_EXIT_FAILED;
    }
    kvs_client_feed_free(watch.feed);
    kvs_client_free(watch.client);
    return code;
}

static const struct kvs_cmd_option watch_options[] = {
    {"since", 's', "SEQ", "Changes behind this one, 0: from the first (from now on)"},
    {"values", 'v', NULL, "The values too, as they are by then"},
    {"count", 'n', "N", "End after N changes"},
    {"for", 0, "DURATION", "End after this time: 30s, 1h"},
    KVS_CMD_CLIENT_OPTIONS,
    {0},
};

const struct kvs_command_body kvs_cmd_watch = {
    .run = run_watch,
    .options = watch_options,
    .details =
        "Prints each change as it happens on the node, its own writes and replicated ones alike:\n"
        "of every key, or of those that begin with PREFIX (by bytes: end it with a slash to get\n"
        "what lies under it). Into a pipe one line each: sequence number, changed or deleted, "
        "key,\n"
        "divided by tabs; with --json the change as the node tells it. When the connection breaks\n"
        "it reconnects and goes on behind the last change, without a gap. Sequence numbers are a\n"
        "node's own. Ends with --count, --for or Ctrl-C, which on a terminal says how to go on.\n"
        "Exit code 10 when the node no longer keeps the changes after --since.\n"
        "\n" KVS_CMD_CLIENT_DETAILS "\n"
        "Examples:\n"
        "  kvs watch\n"
        "  kvs watch app/ --values\n"
        "  kvs watch --since 0 --count 10\n"
        "  kvs watch jobs/ --json | while read -r change; do ./handle \"$change\"; done\n",
};
