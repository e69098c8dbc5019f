// SPDX-License-Identifier: Apache-2.0
// The queues and the thread. The lock is held for moments only: never while libcurl works, a body
// is packed or something is logged. Peers are added by whoever sends and removed by the thread
// alone, so that the thread walks over the list without the lock once it has its head.
#include "net/peers_internal.h"

#include "base/assert.h"

#include <signal.h>
#include <stdio.h>

enum {
    QUEUE_MAX = 16 << 20,
    QUEUE_TOTAL_MAX = 256 << 20,
    CONNECTION_MAX = 1024,
    ADDRESS_SIZE_MAX = 300,
    CONNECT_TIMEOUT_MS = 2000,
    ANSWER_TIMEOUT_MS = 5000,
    MESSAGE_AGE_MAX_MS = 3000,
    IDLE_MAX_MS = 5 * 60 * 1000,
    BATCH_MAX = 2 << 20, // payload bytes that one request gathers, unless a message is larger
    TEND_MS = 5000,      // between two looks for unused addresses
};

// ---- Giving messages

static void drop(struct kvs_peers *peers, enum kvs_metric reason, uint64_t count)
{
    kvs_metrics_add(peers->options.metrics, reason, count);
}

static void wake(struct kvs_peers *peers)
{
    if (peers->woken)
        return;
    peers->woken = true;
    (void)curl_multi_wakeup(peers->multi); // fails only when a wake-up is pending already
}

static struct peer *find(const struct kvs_peers *peers, struct kvs_slice address, bool large)
{
    for (struct peer *peer = peers->list; peer; peer = peer->next) {
        if (peer->large == large && kvs_slice_eq(kvs_slice_from_str(peer->address), address))
            return peer;
    }
    return NULL;
}

static void free_messages(struct peer_message *message)
{
    while (message) {
        struct peer_message *next = message->next;
        free(message);
        message = next;
    }
}

static void free_peer(struct peer *peer)
{
    if (!peer)
        return;
    free_messages(peer->first);
    peer_request_end(peer);
    curl_easy_cleanup(peer->easy);
    kvs_buf_done(&peer->body);
    kvs_buf_done(&peer->answer);
    free(peer->messages_url);
    free(peer->hello_url);
    free(peer->address);
    free(peer);
}

KVS_DEFINE_CLEANUP(struct peer, free_peer)

static char *make_url(const struct kvs_peers *peers, struct kvs_slice address, const char *path)
{
    char *url = NULL;
    if (asprintf(&url, "%s://%.*s%s", peers->options.tls ? "https" : "http", KVS_SLICE_FMT(address),
                 path) < 0)
        return NULL;
    return url;
}

static struct peer *add(struct kvs_peers *peers, struct kvs_slice address, bool large)
{
    if (peers->peer_count >= peers->options.connection_max) {
        peers->crowded = true;
        wake(peers);
        return NULL;
    }
    KVS_CLEANUP(free_peerp) struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer)
        return NULL;
    peer->peers = peers;
    peer->large = large;
    peer->last = &peer->first;
    peer->used_at_ms = peers_now_ms(peers);
    kvs_buf_init(&peer->body, KVS_FRAMES_BODY_MAX);
    kvs_buf_init(&peer->answer, 64 * 1024);
    kvs_peer_stream_init(peers->options.auth, &peer->stream);
    peer->address = strndup(address.data, address.size);
    peer->hello_url = make_url(peers, address, "/peer/v1/hello");
    peer->messages_url = make_url(peers, address, "/peer/v1/messages");
    if (!peer->address || !peer->hello_url || !peer->messages_url)
        return NULL;
    peer->next = peers->list;
    peers->list = peer;
    peers->peer_count++;
    return KVS_TAKE(peer);
}

static void set_queue_gauge(struct kvs_peers *peers)
{
    kvs_metrics_set(peers->options.metrics, KVS_METRIC_PEER_QUEUE_BYTES,
                    (double)peers->queue_bytes);
}

static bool enqueue(struct kvs_peers *peers, struct kvs_slice address, struct peer_message *message)
{
    if (peers->stopping)
        return false;
    bool large = message->size >= KVS_PEERS_LARGE;
    struct peer *peer = find(peers, address, large);
    if (!peer)
        peer = add(peers, address, large);
    if (!peer || (peer->first && peer->queue_bytes + message->size > peers->options.queue_max) ||
        peers->queue_bytes + message->size > peers->options.queue_total_max)
        return false;
    *peer->last = message;
    peer->last = &message->next;
    peer->queue_bytes += message->size;
    peers->queue_bytes += message->size;
    set_queue_gauge(peers);
    if (!atomic_load(&peer->under_way)) // else the thread looks here when that has ended
        wake(peers);
    return true;
}

void kvs_peers_send(struct kvs_peers *peers, struct kvs_slice address, struct kvs_slice message)
{
    if (message.size == 0 || message.size > KVS_FRAMES_MESSAGE_MAX || address.size == 0 ||
        address.size > ADDRESS_SIZE_MAX) {
        drop(peers, KVS_METRIC_PEER_DROPS_SIZE, 1);
        return;
    }
    struct peer_message *copy = malloc(sizeof(*copy) + message.size);
    if (!copy) {
        drop(peers, KVS_METRIC_PEER_DROPS_QUEUE, 1);
        return;
    }
    *copy = (struct peer_message){.at_ns = kvs_clock_mono_ns(peers->options.clock),
                                  .size = message.size};
    memcpy(copy->bytes, message.data, message.size);
    pthread_mutex_lock(&peers->lock);
    bool taken = enqueue(peers, address, copy);
    pthread_mutex_unlock(&peers->lock);
    if (taken)
        return;
    free(copy);
    drop(peers, KVS_METRIC_PEER_DROPS_QUEUE, 1);
}

// ---- Taking them, on the thread

// Cuts off the queue's front: what is too old for a peer that does not answer.
static struct peer_message *cut_old(struct peer *peer)
{
    const struct kvs_peers *peers = peer->peers;
    int64_t before_ns = kvs_clock_mono_ns(peers->options.clock) -
                        peers->options.message_age_max_ms * INT64_C(1000000);
    struct peer_message *old = NULL;
    struct peer_message **last = &old;
    while (peer->failures > 0 && peer->first && peer->first->at_ns < before_ns) {
        *last = peer->first;
        last = &peer->first->next;
        peer->queue_bytes -= peer->first->size;
        peer->peers->queue_bytes -= peer->first->size;
        peer->first = peer->first->next;
    }
    *last = NULL;
    return old;
}

static struct peer_message *cut_batch(struct peer *peer)
{
    struct peer_message *batch = peer->first;
    struct peer_message **last = &batch;
    size_t size = 0;
    while (*last && (size == 0 || size + (*last)->size <= BATCH_MAX)) {
        size += (*last)->size;
        last = &(*last)->next;
    }
    peer->first = *last;
    *last = NULL;
    peer->queue_bytes -= size;
    peer->peers->queue_bytes -= size;
    return batch;
}

static struct peer_message *take_batch(struct peer *peer)
{
    struct kvs_peers *peers = peer->peers;
    pthread_mutex_lock(&peers->lock);
    struct peer_message *old = cut_old(peer);
    struct peer_message *batch = cut_batch(peer);
    if (!peer->first)
        peer->last = &peer->first;
    set_queue_gauge(peers);
    pthread_mutex_unlock(&peers->lock);
    uint64_t dropped = 0;
    for (const struct peer_message *message = old; message; message = message->next)
        dropped++;
    free_messages(old);
    if (dropped > 0)
        drop(peers, KVS_METRIC_PEER_DROPS_UNREACHABLE, dropped);
    return batch;
}

bool peer_pack(struct peer *peer)
{
    struct kvs_peers *peers = peer->peers;
    struct peer_message *batch = take_batch(peer);
    if (!batch)
        return false;
    peer->body_at_ns = batch->at_ns;
    peer->body_count = 0;
    peer->body_failed = false;
    peer->signed_again = false;
    for (const struct peer_message *message = batch; message; message = message->next) {
        kvs_frames_add(peers->packer, kvs_slice(message->bytes, message->size));
        peer->body_count++;
    }
    free_messages(batch);
    if (kvs_frames_pack(peers->packer, &peer->body) == 0)
        return true;
    peer_drop_body(peer, KVS_METRIC_PEER_DROPS_QUEUE);
    return false;
}

// ---- The thread

static struct peer *list_of(struct kvs_peers *peers)
{
    pthread_mutex_lock(&peers->lock);
    peers->woken = false;
    struct peer *list = peers->list;
    pthread_mutex_unlock(&peers->lock);
    return list;
}

static bool has_work(struct peer *peer)
{
    pthread_mutex_lock(&peer->peers->lock);
    bool waits = peer->first;
    pthread_mutex_unlock(&peer->peers->lock);
    return waits || peer->body.size > 0 || peer->request != PEER_REQUEST_NONE;
}

static void unlink_peer(struct kvs_peers *peers, struct peer *peer)
{
    pthread_mutex_lock(&peers->lock);
    struct peer **at = &peers->list;
    while (*at != peer)
        at = &(*at)->next;
    bool waits = peer->first; // somebody has just sent
    if (!waits) {
        *at = peer->next;
        peers->peer_count--;
    }
    pthread_mutex_unlock(&peers->lock);
    if (!waits)
        free_peer(peer);
}

// Forgets addresses that nobody has sent to for long; where there is no room, the one unused for
// longest.
static void tend(struct kvs_peers *peers, int64_t now_ms)
{
    pthread_mutex_lock(&peers->lock);
    bool crowded = peers->crowded;
    peers->crowded = false;
    pthread_mutex_unlock(&peers->lock);
    if (!crowded && now_ms - peers->tended_ms < TEND_MS)
        return;
    peers->tended_ms = now_ms;
    struct peer *next = NULL;
    struct peer *oldest = NULL;
    for (struct peer *peer = list_of(peers); peer; peer = next) {
        next = peer->next;
        if (has_work(peer))
            continue;
        if (now_ms - peer->used_at_ms >= peers->options.idle_max_ms)
            unlink_peer(peers, peer);
        else if (!oldest || peer->used_at_ms < oldest->used_at_ms)
            oldest = peer;
    }
    if (crowded && oldest)
        unlink_peer(peers, oldest);
}

static void read_ends(struct kvs_peers *peers)
{
    int left = 0;
    for (CURLMsg *info; (info = curl_multi_info_read(peers->multi, &left));) {
        struct peer *peer = NULL;
        CURLcode code = info->data.result;
        curl_easy_getinfo(info->easy_handle, CURLINFO_PRIVATE, (char **)&peer);
        kvs_assert(peer);
        peer_request_ended(peer, code);
    }
}

static CURLM *new_multi(const struct kvs_peers *peers)
{
    CURLM *multi = curl_multi_init();
    if (multi)
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)peers->options.connection_max + 8);
    return multi;
}

// Closes all connections by closing what holds them. Packed messages go over the next ones.
static void renew(struct kvs_peers *peers)
{
    CURLM *fresh = new_multi(peers);
    if (!fresh)
        return; // the next connections are new some time anyway
    for (struct peer *peer = list_of(peers); peer; peer = peer->next) {
        peer_request_end(peer);
        curl_easy_cleanup(peer->easy); // with its TLS sessions
        peer->easy = NULL;
        peer->proven = false;
        peer->stream.with_previous = false;
        peer->retry_at_ms = 0;
    }
    pthread_mutex_lock(&peers->lock);
    CURLM *old = peers->multi;
    peers->multi = fresh;
    pthread_mutex_unlock(&peers->lock);
    curl_multi_cleanup(old);
}

// Milliseconds until there is something to do that nobody will wake us for.
static int64_t time_left(struct kvs_peers *peers, int64_t now_ms)
{
    int64_t left_ms = TEND_MS;
    for (struct peer *peer = list_of(peers); peer; peer = peer->next) {
        if (peer->request != PEER_REQUEST_NONE || !has_work(peer))
            continue;
        if (peer->retry_at_ms - now_ms < left_ms)
            left_ms = peer->retry_at_ms - now_ms;
    }
    return left_ms > 0 ? left_ms : 0;
}

// Is there still something that may be delivered?
static bool is_busy(struct kvs_peers *peers)
{
    bool busy = false;
    for (struct peer *peer = list_of(peers); peer; peer = peer->next)
        busy = busy || (has_work(peer) && peer->failures == 0);
    return busy;
}

// False when it is time to end.
static bool check_orders(struct kvs_peers *peers, int64_t now_ms)
{
    pthread_mutex_lock(&peers->lock);
    bool reload = peers->reload;
    bool stopping = peers->stopping;
    int64_t stop_at_ms = peers->stop_at_ms;
    peers->reload = false;
    pthread_mutex_unlock(&peers->lock);
    if (reload)
        renew(peers);
    return !stopping || (is_busy(peers) && now_ms < stop_at_ms);
}

static int64_t poll_ms(struct kvs_peers *peers, int64_t now_ms)
{
    pthread_mutex_lock(&peers->lock);
    bool stopping = peers->stopping;
    pthread_mutex_unlock(&peers->lock);
    if (stopping && !is_busy(peers)) // the last answers have just come
        return 0;
    int64_t left_ms = time_left(peers, now_ms);
    pthread_mutex_lock(&peers->lock);
    if (peers->woken) // between looking at the list and now
        left_ms = 0;
    if (peers->stopping && peers->stop_at_ms - now_ms < left_ms)
        left_ms = peers->stop_at_ms - now_ms;
    pthread_mutex_unlock(&peers->lock);
    return left_ms > 0 ? left_ms : 0;
}

static void *run(void *arg)
{
    struct kvs_peers *peers = arg;
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL); // SIGPIPE too: a broken connection is an error
    (void)pthread_setname_np(pthread_self(), "kvs-peers"); // for people with a debugger only
    for (;;) {
        int64_t now_ms = peers_now_ms(peers);
        int running = 0;
        int ready = 0;
        if (!check_orders(peers, now_ms))
            return NULL;
        (void)curl_multi_perform(peers->multi, &running); // each transfer tells its own error
        read_ends(peers);
        bool started = false;
        for (struct peer *peer = list_of(peers); peer; peer = peer->next)
            started = peer_go_on(peer) || started;
        if (started)
            continue; // to get it on its way
        tend(peers, now_ms);
        (void)curl_multi_poll(peers->multi, NULL, 0, (int)poll_ms(peers, now_ms), &ready);
    }
}

// ---- Making and ending

static void set_defaults(struct kvs_peers_options *options)
{
    if (options->queue_max == 0)
        options->queue_max = QUEUE_MAX;
    if (options->queue_total_max == 0)
        options->queue_total_max = QUEUE_TOTAL_MAX;
    if (options->connection_max == 0)
        options->connection_max = CONNECTION_MAX;
    if (options->connect_timeout_ms == 0)
        options->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    if (options->answer_timeout_ms == 0)
        options->answer_timeout_ms = ANSWER_TIMEOUT_MS;
    if (options->message_age_max_ms == 0)
        options->message_age_max_ms = MESSAGE_AGE_MAX_MS;
    if (options->idle_max_ms == 0)
        options->idle_max_ms = IDLE_MAX_MS;
}

static int copy_files(const struct kvs_tls_client *tls_client, char *ret_files[static 3])
{
    const char *const files[] = {tls_client->ca_file, tls_client->cert_file, tls_client->key_file};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(files); i++) {
        ret_files[i] = strdup(files[i] ? files[i] : "");
        if (ret_files[i])
            continue;
        while (i-- > 0)
            free(ret_files[i]);
        return KVS_ERR_NOMEM;
    }
    return 0;
}

int kvs_peers_new(const struct kvs_peers_options *options, struct kvs_peers **ret_peers)
{
    kvs_assert(options->auth);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) // counted, undone in kvs_peers_free
        return KVS_ERR_INTERNAL;
    struct kvs_peers *made = calloc(1, sizeof(*made));
    if (!made) {
        curl_global_cleanup();
        return KVS_ERR_NOMEM;
    }
    kvs_assert(pthread_mutex_init(&made->lock, NULL) == 0);
    KVS_CLEANUP(kvs_peers_freep) struct kvs_peers *peers = made;
    peers->options = *options;
    set_defaults(&peers->options);
    peers->tended_ms = peers_now_ms(peers);
    int err = copy_files(&options->tls_client, peers->tls_files);
    if (err == 0)
        err = kvs_frames_packer_new(options->compression_level, &peers->packer);
    peers->multi = err == 0 ? new_multi(peers) : NULL;
    if (!peers->multi)
        return KVS_ERR_NOMEM;
    peers->has_thread = pthread_create(&peers->thread, NULL, run, peers) == 0;
    if (!peers->has_thread)
        return KVS_ERR_NOMEM;
    *ret_peers = KVS_TAKE(peers);
    return 0;
}

int kvs_peers_reload(struct kvs_peers *peers, const struct kvs_tls_client *tls_client)
{
    char *files[3] = {0};
    char *old[3] = {0};
    int err = copy_files(tls_client, files);
    if (err)
        return err;
    pthread_mutex_lock(&peers->lock);
    memcpy(old, peers->tls_files, sizeof(old));
    memcpy(peers->tls_files, files, sizeof(files));
    peers->options.tls_client.skip_verify = tls_client->skip_verify;
    peers->reload = true;
    wake(peers);
    pthread_mutex_unlock(&peers->lock);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(old); i++)
        free(old[i]);
    return 0;
}

void kvs_peers_stop(struct kvs_peers *peers, int64_t grace_ms)
{
    if (!peers->has_thread)
        return;
    pthread_mutex_lock(&peers->lock);
    peers->stopping = true;
    peers->stop_at_ms = peers_now_ms(peers) + grace_ms;
    wake(peers);
    pthread_mutex_unlock(&peers->lock);
    kvs_assert(pthread_join(peers->thread, NULL) == 0);
    peers->has_thread = false;
}

void kvs_peers_free(struct kvs_peers *peers)
{
    if (!peers)
        return;
    kvs_peers_stop(peers, 0);
    while (peers->list) {
        struct peer *peer = peers->list;
        peers->list = peer->next;
        free_peer(peer);
    }
    curl_multi_cleanup(peers->multi);
    kvs_frames_packer_free(peers->packer);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(peers->tls_files); i++)
        free(peers->tls_files[i]);
    (void)pthread_mutex_destroy(&peers->lock); // nobody is left to hold it
    free(peers);
    curl_global_cleanup();
}
