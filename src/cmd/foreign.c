// SPDX-License-Identifier: Apache-2.0
// A foreign node knows no cursors: a page begins at the last key of the one before, which is
// skipped. Where a page is too large for memory it is asked for again with fewer records. Keys that
// do not rise end the reading: paging through them would leave some out, or never end.
#include "cmd/foreign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "cmd/client_args.h"
#include "codec/http.h"
#include "codec/json.h"

enum {
    LIMIT = 500,
    TARGET_SIZE_MAX = 64 << 10,
    ARENA_PER_BYTE = 48,
    PATIENCE_MS = 300000, // with a node that has answered before; the client itself tries thrice
    PAUSE_MS = 500,
};

struct reader {
    const struct kvs_foreign *foreign;
    kvs_foreign_visit_fn *visit;
    void *context;
    uint32_t limit;
    char *last; // the last key seen; NULL: none
    const char *start;
    uint64_t fresh;  // records of this page that were new
    int64_t page_ms; // when the last page came, monotonic
};

static int fail(const char *why)
{
    kvs_cmd_error("the other node's answer cannot be understood: %s", why);
    return KVS_EXIT_FAILED;
}

// {"path","stored_value":{"data",…}}
static int read_pair(struct reader *reader, const struct kvs_json *pair, struct kvs_arena *arena)
{
    const struct kvs_json *path = kvs_json_member(pair, "path");
    const struct kvs_json *data = kvs_json_member(kvs_json_member(pair, "stored_value"), "data");
    struct kvs_slice text;
    if (!path || path->type != KVS_JSON_STRING || !data)
        return fail("a record without path or stored_value.data");
    if (kvs_json_string(path, arena, &text) < 0)
        return fail("out of memory");
    struct kvs_slice key = kvs_arena_copy(arena, text);
    if (!key.data || memchr(key.data, 0, key.size))
        return fail("a path that holds a NUL");
    int order = reader->last ? strcmp(key.data, reader->last) : 1;
    if (order == 0)
        return KVS_EXIT_OK;
    if (order < 0)
        return fail("its keys are not in order, so that one cannot page through them");
    free(reader->last);
    reader->last = strdup(key.data);
    if (!reader->last)
        return fail("out of memory");
    reader->fresh++;
    const char *shown = key.data[0] == '/' ? key.data + 1 : key.data; // as some write their paths
    return reader->visit(reader->context, shown, data->source);
}

static int read_page(struct reader *reader, struct kvs_slice body)
{
    struct kvs_arena arena;
    struct kvs_json *root = NULL;
    struct kvs_json_error error;
    int code = KVS_EXIT_OK;
    kvs_arena_init(&arena, (1 << 20) + ARENA_PER_BYTE * body.size);
    int err = kvs_json_parse(body, 0, &arena, &root, &error);
    const struct kvs_json *pairs = err ? NULL : kvs_json_member(root, "pairs");
    if (err)
        code = fail(err == KVS_ERR_NOMEM ? "out of memory" : error.reason);
    else if (pairs && pairs->type == KVS_JSON_NULL)
        pairs = NULL; // how Go writes an empty list
    else if (!pairs || pairs->type != KVS_JSON_ARRAY)
        code = fail("there are no pairs in it");
    for (const struct kvs_json *pair = pairs ? pairs->child : NULL; pair && code == KVS_EXIT_OK;
         pair = pair->next)
        code = read_pair(reader, pair, &arena);
    kvs_arena_done(&arena);
    return code;
}

static enum kvs_client_code request_page(struct reader *reader,
                                         struct kvs_client_response *ret_response,
                                         struct kvs_client_error *ret_error)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf text = KVS_BUF_INIT(TARGET_SIZE_MAX);
    const char *first = reader->last ? reader->last : reader->start ? reader->start : "";
    struct kvs_client *client = reader->foreign->client;
    if (reader->foreign->as_peer) {
        kvs_buf_append_str(&text, "{\"start_key\":");
        kvs_json_write_string(&text, kvs_slice_from_str(first));
        kvs_buf_printf(&text, ",\"end_key\":\"\",\"limit\":%" PRIu32 "}", reader->limit);
        return kvs_client_request(client, "POST", "/kv_range", NULL, text.data, text.size,
                                  ret_response, ret_error);
    }
    kvs_buf_append_str(&text, "/kv/_range?start_key=");
    kvs_percent_encode(&text, kvs_slice_from_str(first), false);
    kvs_buf_printf(&text, "&end_key=&limit=%" PRIu32, reader->limit);
    kvs_buf_append_char(&text, 0);
    return kvs_client_request(client, "GET", text.data, NULL, NULL, 0, ret_response, ret_error);
}

static int64_t now_ms(void)
{
    return kvs_clock_mono_ms(kvs_clock_system());
}

// A wrong address is told at once; an hour's copying does not end because its source restarts.
static bool may_ask_again(const struct reader *reader, enum kvs_client_code code)
{
    const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
    bool passing = code == KVS_CLIENT_UNREACHABLE || code == KVS_CLIENT_BROKEN ||
                   code == KVS_CLIENT_UNAVAILABLE;
    if (!passing || !reader->last || now_ms() - reader->page_ms >= PATIENCE_MS)
        return false;
    (void)nanosleep(&pause, NULL); // shorter does no harm
    return true;
}

static int read_all(struct reader *reader)
{
    int code = KVS_EXIT_OK;
    do {
        struct kvs_client_response response;
        struct kvs_client_error error;
        enum kvs_client_code got = request_page(reader, &response, &error);
        if (got == KVS_CLIENT_TOO_LARGE && reader->limit > 2) {
            reader->limit /= 2;
            reader->fresh = 1; // try again
            continue;
        }
        if (got != KVS_CLIENT_OK && may_ask_again(reader, got)) {
            reader->fresh = 1;
            continue;
        }
        if (got != KVS_CLIENT_OK)
            return kvs_cmd_client_error(&error);
        reader->fresh = 0;
        reader->page_ms = now_ms();
        code = read_page(reader, kvs_slice(response.body, response.body_size));
        kvs_client_response_done(&response);
    } while (code == KVS_EXIT_OK && reader->fresh > 0);
    return code;
}

int kvs_foreign_read(const struct kvs_foreign *foreign, const char *start,
                     kvs_foreign_visit_fn *visit, void *context)
{
    struct reader reader = {
        .foreign = foreign,
        .visit = visit,
        .context = context,
        .limit = foreign->limit ? foreign->limit : LIMIT,
        .start = start,
    };
    int code = read_all(&reader);
    free(reader.last);
    return code;
}
