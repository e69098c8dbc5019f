// SPDX-License-Identifier: Apache-2.0
// A server that answers every request at once, with the request's body or a fixed record: for
// replaying raw requests against http and net alone, and for measuring what they cost.
//     http_echo PORT [THREADS [CERT KEY]]     stops at end of input on stdin; with files it speaks
//     TLS
#include "net/net.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

static const char record[] =
    "{\"uuid\":\"00000000-0000-4000-8000-000000000000\",\"timestamp\":1700000000000,\"data\":"
    "{\"name\":\"a record of the usual size\",\"tags\":[\"one\",\"two\",\"three\"],\"count\":12345,"
    "\"text\":\"the quick brown fox jumps over the lazy dog, twice: the quick brown fox\"}}";

static void handle(void *ctx, struct kvs_http_exchange *exchange)
{
    (void)ctx;
    struct kvs_http_response *response = &exchange->response;
    response->status = 200;
    response->content_type = "application/json";
    kvs_http_response_header(response, "ETag",
                             KVS_SLICE("\"00000000-0000-4000-8000-000000000000\""));
    if (exchange->request.body.size > 0)
        kvs_buf_append_slice(&response->body, exchange->request.body);
    else
        kvs_buf_append_slice(&response->body, kvs_slice(record, sizeof(record) - 1));
    kvs_http_finish(exchange);
}

static void *stop_at_end_of_input(void *arg)
{
    while (getchar() != EOF)
        ;
    kvs_net_stop(arg, 1000);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: http_echo PORT [THREADS [CERT KEY]]\n");
        return 2;
    }
    struct kvs_net_options options = {
        .address = "127.0.0.1",
        .port = (uint16_t)atoi(argv[1]),
        .threads = argc > 2 ? (unsigned)atoi(argv[2]) : 1,
        .tls = {.enabled = argc > 4,
                .cert_file = argc > 4 ? argv[3] : NULL,
                .key_file = argc > 4 ? argv[4] : NULL},
        .handler.handle = handle,
        .clock = kvs_clock_system(),
        .random = kvs_random_system(),
    };
    struct kvs_message message = {0};
    KVS_CLEANUP(kvs_net_freep) struct kvs_net *net = NULL;
    if (kvs_net_new(&options, &net, &message) || kvs_net_listen(net, &message)) {
        fprintf(stderr, "http_echo: %s\n", message.text);
        return 1;
    }
    printf("%u\n", kvs_net_port(net));
    fflush(stdout);
    pthread_t stopper;
    if (pthread_create(&stopper, NULL, stop_at_end_of_input, net) != 0)
        return 1;
    int err = kvs_net_run(net, &message);
    pthread_join(stopper, NULL);
    return err ? 1 : 0;
}
