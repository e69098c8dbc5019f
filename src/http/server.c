// SPDX-License-Identifier: Apache-2.0
// The shared state of a loop's connections and the pool of workspaces. One thread.
#include "http/server_internal.h"

#include "base/assert.h"

enum {
    POOL_MAX = 256,
    ARENA_MAX = 64 * 1024 * 1024,
    RESPONSE_HEADERS_MAX = 16 * 1024,
    RESPONSE_BODY_MAX = 256 * 1024 * 1024,
    OUTPUT_TEXT_MAX = 256 * 1024,
};

int kvs_http_server_new(const struct kvs_http_server_options *options,
                        struct kvs_http_server **ret_server)
{
    struct kvs_http_server *server = calloc(1, sizeof(*server));
    if (!server)
        return KVS_ERR_NOMEM;
    server->options = *options;
    server->settings = kvs_http_settings_ref(options->settings);
    server->id_prefix = kvs_random_u64(options->random);
    kvs_http_server_tick(server);
    *ret_server = server;
    return 0;
}

static void free_workspace(struct http_workspace *workspace)
{
    free(workspace->input.data);
    kvs_buf_done(&workspace->body);
    kvs_buf_done(&workspace->output.text);
    kvs_buf_done(&workspace->output.large);
    kvs_buf_done(&workspace->exchange.response.headers);
    kvs_buf_done(&workspace->exchange.response.body);
    kvs_arena_done(&workspace->exchange.arena);
    free(workspace);
}

void kvs_http_server_free(struct kvs_http_server *server)
{
    if (!server)
        return;
    kvs_assert(server->in_flight == 0);
    while (server->pool) {
        struct http_workspace *workspace = server->pool;
        server->pool = workspace->next;
        free_workspace(workspace);
    }
    kvs_http_settings_unref(server->settings);
    free(server);
}

void kvs_http_server_tick(struct kvs_http_server *server)
{
    char *line = server->date_line;
    memcpy(line, "Date: ", 6);
    kvs_time_http_date(kvs_clock_wall_ms(server->options.clock), line + 6);
    memcpy(line + 6 + KVS_HTTP_DATE_SIZE, "\r\n", 2);
}

void kvs_http_server_configure(struct kvs_http_server *server, struct kvs_http_settings *settings)
{
    struct kvs_http_settings *old = server->settings;
    server->settings = kvs_http_settings_ref(settings);
    kvs_http_settings_unref(old);
}

void kvs_http_server_drain(struct kvs_http_server *server)
{
    server->draining = true;
}

size_t kvs_http_server_in_flight(const struct kvs_http_server *server)
{
    return server->in_flight;
}

static char *append_hex(char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--)
        *at++ = "0123456789abcdef"[(value >> (4 * (i - 1))) & 15];
    return at;
}

void http_server_make_id(struct kvs_http_server *server, char ret_id[static 65])
{
    char *at = append_hex(ret_id, server->id_prefix, 16);
    *at++ = '-';
    at = append_hex(at, ++server->id_count, 10);
    *at = '\0';
}

static struct http_workspace *new_workspace(void)
{
    struct http_workspace *workspace = calloc(1, sizeof(*workspace));
    if (!workspace)
        return NULL;
    kvs_buf_init(&workspace->output.text, OUTPUT_TEXT_MAX);
    kvs_buf_init(&workspace->output.large, RESPONSE_BODY_MAX);
    kvs_buf_init(&workspace->exchange.response.headers, RESPONSE_HEADERS_MAX);
    kvs_buf_init(&workspace->exchange.response.body, RESPONSE_BODY_MAX);
    kvs_arena_init(&workspace->exchange.arena, ARENA_MAX);
    return workspace;
}

struct http_workspace *http_workspace_acquire(struct kvs_http_server *server)
{
    struct http_workspace *workspace = server->pool;
    if (workspace) {
        server->pool = workspace->next;
        server->pool_size--;
    } else {
        workspace = new_workspace();
    }
    if (workspace)
        workspace->next = NULL;
    return workspace;
}

static size_t held(const struct http_workspace *workspace)
{
    return workspace->input.capacity + workspace->body.capacity + workspace->output.text.capacity +
           workspace->output.large.capacity + workspace->response_held;
}

static size_t beyond_base(size_t size)
{
    return size > HTTP_BASE_SIZE ? size - HTTP_BASE_SIZE : 0;
}

bool http_workspace_fits(const struct http_workspace *workspace,
                         const struct kvs_http_server *server, size_t more)
{
    const struct kvs_http_budget *budget = server->options.budget;
    size_t due = beyond_base(held(workspace) + more);
    return !budget || due <= workspace->charged ||
           due - workspace->charged <= kvs_http_budget_left(budget);
}

bool http_workspace_try_charge(struct http_workspace *workspace, struct kvs_http_server *server)
{
    struct kvs_http_budget *budget = server->options.budget;
    size_t due = beyond_base(held(workspace));
    if (!budget || due <= workspace->charged)
        return true;
    if (!kvs_http_budget_try_take(budget, due - workspace->charged))
        return false;
    workspace->charged = due;
    return true;
}

void http_workspace_settle(struct http_workspace *workspace, struct kvs_http_server *server)
{
    struct kvs_http_budget *budget = server->options.budget;
    size_t due = beyond_base(held(workspace));
    if (!budget || due == workspace->charged)
        return;
    if (due > workspace->charged)
        kvs_http_budget_take(budget, due - workspace->charged);
    else
        kvs_http_budget_give_back(budget, workspace->charged - due);
    workspace->charged = due;
}

// Below the base everything is kept, so that small requests never allocate.
static size_t keep_max(const struct http_workspace *workspace)
{
    return held(workspace) > HTTP_BASE_SIZE ? HTTP_KEEP_SIZE : SIZE_MAX;
}

static void clear_buf(struct kvs_buf *buf, size_t keep_max)
{
    if (buf->capacity > keep_max)
        kvs_buf_done(buf);
    else
        kvs_buf_clear(buf);
}

static void measure_response(struct http_workspace *workspace)
{
    const struct kvs_http_response *response = &workspace->exchange.response;
    workspace->response_held = response->headers.capacity + response->body.capacity;
}

void http_workspace_next_request(struct http_workspace *workspace)
{
    struct kvs_http_exchange *exchange = &workspace->exchange;
    workspace->scan = (struct http_scan){0};
    workspace->finished = false;
    measure_response(workspace);
    size_t keep = keep_max(workspace);
    clear_buf(&workspace->body, keep);
    clear_buf(&exchange->response.headers, keep);
    clear_buf(&exchange->response.body, keep);
    measure_response(workspace);
    exchange->response.status = 0;
    exchange->response.content_type = NULL;
    kvs_arena_reset(&exchange->arena);
    exchange->state = NULL;
    exchange->pull = NULL;
    exchange->notice = NULL;
    exchange->due_ns = 0;
    exchange->cut = false;
    workspace->stream = (struct http_stream){0};
}

void http_workspace_clear_output(struct http_workspace *workspace)
{
    struct http_output *output = &workspace->output;
    size_t keep = keep_max(workspace);
    clear_buf(&output->text, keep);
    clear_buf(&output->large, keep);
    output->text_sent = 0;
    output->large_sent = 0;
}

static void clear_input(struct http_input *input)
{
    if (input->capacity > HTTP_INPUT_SIZE) {
        free(input->data);
        *input = (struct http_input){0};
    }
    input->start = 0;
    input->end = 0;
}

void http_workspace_release(struct kvs_http_server *server, struct http_workspace *workspace)
{
    http_workspace_next_request(workspace);
    http_workspace_clear_output(workspace);
    clear_input(&workspace->input);
    http_workspace_settle(workspace, server);
    kvs_assert(workspace->charged == 0);
    if (server->pool_size == POOL_MAX) {
        free_workspace(workspace);
        return;
    }
    workspace->conn = NULL;
    workspace->next = server->pool;
    server->pool = workspace;
    server->pool_size++;
}

static void move_down(struct http_input *input, size_t to)
{
    size_t size = http_input_size(input);
    if (size > 0)
        memmove(input->data + to, input->data + input->start, size);
    input->start = to;
    input->end = to + size;
}

static bool grow(struct http_input *input)
{
    size_t capacity = input->capacity > 0 ? input->capacity * 2 : HTTP_INPUT_SIZE;
    if (capacity > HTTP_INPUT_SIZE_MAX)
        return false;
    char *data = realloc(input->data, capacity);
    if (!data)
        return false;
    input->data = data;
    input->capacity = capacity;
    return true;
}

bool http_input_reserve(struct http_input *input, size_t pinned)
{
    if (input->start == input->end || (input->end == input->capacity && input->start > pinned))
        move_down(input, pinned);
    if (input->end == input->capacity && pinned == 0 && !grow(input))
        return false;
    return input->end < input->capacity;
}

bool http_input_reserve_tail(struct http_input *input, size_t head_size)
{
    if (input->start + head_size + HTTP_TAIL_SIZE <= input->capacity)
        return true;
    move_down(input, 0);
    while (head_size + HTTP_TAIL_SIZE > input->capacity)
        if (!grow(input))
            return false;
    return true;
}
