// SPDX-License-Identifier: Apache-2.0
// Which node is asked, and whether once more: the rules under "Failover" in kvs/kvs.h, and why in
// docs/decisions/0056. Any thread.
#include "client/client_internal.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 2000, BACKOFF_ROUNDS = 6 };

struct effort {
    struct kvs_client_call *call;
    const struct kvs_client_request *request;
    int64_t deadline_ms;
    uint32_t attempts; // made
    bool unsure;       // an attempt that failed may have been carried out all the same
};

int64_t kvs_client_now_ms(void)
{
    return kvs_clock_mono_ms(kvs_clock_system());
}

int64_t kvs_client_backoff_ms(uint32_t round)
{
    int64_t most = round < BACKOFF_ROUNDS ? (int64_t)BACKOFF_FIRST_MS << round : BACKOFF_MAX_MS;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    return most / 2 + (int64_t)kvs_random_below(kvs_random_system(), (uint64_t)most / 2 + 1);
}

static void sleep_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        continue;
}

// Nothing was sent, or the node says that it did nothing.
static bool surely_not_done(enum kvs_client_code code)
{
    return code == KVS_CLIENT_UNREACHABLE || code == KVS_CLIENT_RATE_LIMITED;
}

// Did it fail in a way that another node, or time, may mend?
static bool is_transient(enum kvs_client_code code, int status)
{
    switch (code) {
    case KVS_CLIENT_UNREACHABLE:
    case KVS_CLIENT_BROKEN:
    case KVS_CLIENT_RATE_LIMITED:
    case KVS_CLIENT_UNAVAILABLE:
        return true;
    default:
        return status == 502 || status == 504;
    }
}

static bool may_repeat(const struct effort *effort, enum kvs_client_code code)
{
    const struct kvs_client *client = effort->call->client;
    int status = effort->call->status;
    if (!is_transient(code, status) || effort->attempts >= client->attempts_max)
        return false;
    if (surely_not_done(code))
        return true;
    return effort->request->repeat == KVS_CLIENT_REPEAT_ALWAYS ||
           (effort->request->repeat == KVS_CLIENT_REPEAT_IF_WANTED && client->retry_writes);
}

// Before each further round over the nodes. False when the time would be over.
static bool wait_for_round(const struct effort *effort)
{
    const struct kvs_client_call *call = effort->call;
    if (effort->attempts % call->client->node_count != 0)
        return true;
    int64_t ms = kvs_client_backoff_ms(effort->attempts / (uint32_t)call->client->node_count - 1);
    if (ms < call->retry_after_ms)
        ms = call->retry_after_ms;
    if (kvs_client_now_ms() + ms >= effort->deadline_ms)
        return false;
    sleep_ms(ms);
    return true;
}

// A node that hangs must leave time for the next one, where asking that is allowed.
static int64_t attempt_timeout_ms(const struct effort *effort)
{
    int64_t left = effort->deadline_ms - kvs_client_now_ms();
    bool others = effort->request->repeat == KVS_CLIENT_REPEAT_ALWAYS &&
                  effort->call->client->node_count > 1 &&
                  effort->attempts + 1 < effort->call->client->node_count;
    int64_t most = effort->call->client->connect_timeout_ms + effort->request->wait_ms;
    if (others && left > most)
        left = most;
    return left > 0 ? left : 1;
}

static enum kvs_client_code attempt(struct effort *effort, struct kvs_client_error *ret_error)
{
    struct kvs_client_call *call = effort->call;
    struct kvs_client *client = call->client;
    size_t index = atomic_load(&client->current) % client->node_count;
    call->node = &client->nodes[index];
    enum kvs_client_code code =
        kvs_client_send_once(call, effort->request, attempt_timeout_ms(effort), ret_error);
    effort->attempts++;
    if (is_transient(code, call->status)) {
        effort->unsure = effort->unsure || !surely_not_done(code);
        // Unless another thread has moved on already.
        (void)atomic_compare_exchange_strong(&client->current, &index,
                                             (index + 1) % client->node_count);
    }
    return code;
}

// A condition that fails after an attempt of unknown outcome may have been failed by that attempt.
static enum kvs_client_code judge(const struct effort *effort, enum kvs_client_code code,
                                  struct kvs_client_error *ret_error)
{
    if (code == KVS_CLIENT_PRECONDITION && effort->unsure && effort->request->writes)
        return kvs_client_fail(ret_error, KVS_CLIENT_BROKEN,
                               "the connection broke, and the condition does not hold any more: "
                               "read the key to see whether the write was done");
    return code;
}

enum kvs_client_code kvs_client_perform(struct kvs_client *client,
                                        const struct kvs_client_request *request,
                                        struct kvs_client_call **ret_call,
                                        struct kvs_client_error *ret_error)
{
    struct effort effort = {
        .call = kvs_client_call_begin(client),
        .request = request,
        .deadline_ms = kvs_client_now_ms() + client->timeout_ms + request->wait_ms,
    };
    if (!effort.call)
        return kvs_client_fail_nomem(ret_error);
    enum kvs_client_code code;
    do
        code = attempt(&effort, ret_error);
    while (code != KVS_CLIENT_OK && may_repeat(&effort, code) && wait_for_round(&effort) &&
           kvs_client_now_ms() < effort.deadline_ms);
    code = judge(&effort, code, ret_error);
    if (code == KVS_CLIENT_OK)
        *ret_call = effort.call;
    else
        kvs_client_call_end(effort.call);
    return code;
}
