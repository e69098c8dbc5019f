// SPDX-License-Identifier: Apache-2.0
// What a digest sync costs with the replication core's own messages: two machines of src/repl over
// two indexes of src/digest, all keys in memory, the messages handed over and counted.
//
//   sync_bench [KEYS [MAX]]    default: 1000000; differences up to MAX (default: all rows)
//
// The second machine has written some keys anew, in a life that the first has never heard of and
// that its log no longer holds; so the first compares. Counted is all that either says from the
// first COMPARE on: heads and `seen` included, HTTP and its signature not; values apart. With
// --check it fails when a target of docs/digest.md is missed.
#include "bench/measure.h"
#include "repl/repl.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEY_DIGITS = 10, KEY_SIZE = 6 + KEY_DIGITS, VALUE_SIZE = 100, QUEUE_MAX = 4096 };
#define WALL_MS INT64_C(1700000000000)

struct machine;

struct event {
    struct machine *to;
    struct kvs_repl_event event;
    struct kvs_arena arena; // what the event points to
};

struct machine {
    struct machine *other;
    struct kvs_uuid node;
    uint32_t *versions; // of key number i; 0: absent
    uint64_t count;
    struct kvs_digest *digest;
    struct kvs_digest_key prf;
    struct kvs_seen seen;
    struct kvs_repl *repl;
    struct kvs_repl_actions actions;
    int64_t next_ms, purged_ms;
};

struct bench {
    struct machine machines[2];
    struct event *queue[QUEUE_MAX];
    size_t queue_head, queue_count;
    int64_t now_ms;
    bool counting, done;
    uint64_t digest_bytes, value_bytes, values, rounds, fetched;
};

static void check(int err)
{
    if (err) {
        (void)fprintf(stderr, "sync_bench: %s\n", kvs_err_text(err));
        exit(1);
    }
}

// ---- Records

static struct kvs_slice key_of(uint64_t number, char buffer[static KEY_SIZE])
{
    memcpy(buffer, "\002user/", 6);
    for (int i = KEY_SIZE - 1; i >= 6; i--, number /= 10)
        buffer[i] = (char)('0' + number % 10);
    return kvs_slice(buffer, KEY_SIZE);
}

// The first number whose key is at or behind `key`, which is a prefix of one; or of them all.
static uint64_t number_of(struct kvs_slice key)
{
    uint64_t number = 0;
    for (size_t i = 6; i < KEY_SIZE; i++)
        number = number * 10 + (i < key.size ? (uint64_t)(key.data[i] - '0') : 0);
    return number;
}

// The first version of every key is the first machine's, the second one the second machine's.
static struct kvs_version version_of(const struct bench *bench, uint64_t number, uint32_t version)
{
    uint64_t random = MEASURE_RANDOM_SEED ^ (number << 8 | version);
    struct kvs_version v = {
        .timestamp = WALL_MS - 100000000 + (int64_t)(number * 7919 % 50000000) + version,
        .writer = {bench->machines[version - 1].node, WALL_MS - 200000000 + version},
        .writer_seq = kvs_dot_seq(5, (uint32_t)number + 1),
    };
    for (size_t i = 0; i < sizeof(v.uuid.bytes); i++)
        v.uuid.bytes[i] = (uint8_t)(measure_random(&random) >> 24);
    return v;
}

static struct kvs_digest_sum item_of(const struct bench *bench, const struct machine *m,
                                     struct kvs_slice key, uint64_t number)
{
    struct kvs_version v = version_of(bench, number, m->versions[number]);
    return kvs_digest_item(&m->prf, key, &v, m->versions[number]);
}

struct view {
    struct bench *bench;
    struct machine *m;
};

static int scan(void *ctx, struct kvs_slice first, struct kvs_slice end, kvs_digest_visit_fn *visit,
                void *visit_ctx)
{
    const struct view *view = ctx;
    char buffer[KEY_SIZE];
    uint64_t stop = end.size == 0 ? view->m->count : number_of(end);
    for (uint64_t i = number_of(first); i < stop && i < view->m->count; i++) {
        struct kvs_slice key = key_of(i, buffer);
        if (view->m->versions[i] && !visit(visit_ctx, key, item_of(view->bench, view->m, key, i)))
            break;
    }
    return 0;
}

static int range_fingerprint(void *ctx, struct kvs_slice first, struct kvs_slice end,
                             struct kvs_fingerprint *ret_fingerprint)
{
    const struct view *view = ctx;
    struct kvs_digest_source source = {ctx, scan};
    return kvs_digest_range(view->m->digest, &source, first, end, ret_fingerprint);
}

static int range_split(void *ctx, struct kvs_slice first, struct kvs_slice end, uint32_t parts,
                       kvs_digest_part_fn *visit, void *visit_ctx)
{
    const struct view *view = ctx;
    struct kvs_digest_source source = {ctx, scan};
    return kvs_digest_split(view->m->digest, &source, first, end, parts, visit, visit_ctx);
}

static int range_list(void *ctx, struct kvs_slice first, struct kvs_slice end,
                      bool (*visit)(void *visit_ctx, struct kvs_slice key,
                                    const struct kvs_version *version),
                      void *visit_ctx)
{
    const struct view *view = ctx;
    char buffer[KEY_SIZE];
    uint64_t stop = end.size == 0 ? view->m->count : number_of(end);
    for (uint64_t i = number_of(first); i < stop && i < view->m->count; i++) {
        struct kvs_version version = {0};
        if (view->m->versions[i])
            version = version_of(view->bench, i, view->m->versions[i]);
        if (view->m->versions[i] && !visit(visit_ctx, key_of(i, buffer), &version))
            break;
    }
    return 0;
}

// ---- Events

static struct event *later(struct bench *bench, struct machine *to, enum kvs_repl_event_type type)
{
    struct event *event = calloc(1, sizeof(*event));
    check(event && bench->queue_count < QUEUE_MAX ? 0 : KVS_ERR_NOMEM);
    event->to = to;
    event->event.type = type;
    kvs_arena_init(&event->arena, 1 << 30);
    bench->queue[(bench->queue_head + bench->queue_count++) % QUEUE_MAX] = event;
    return event;
}

static struct kvs_repl_commit *commit_later(struct bench *bench, struct machine *m, uint64_t token)
{
    struct kvs_repl_commit *commit = &later(bench, m, KVS_REPL_EVENT_COMMIT)->event.commit;
    *commit = (struct kvs_repl_commit){
        .token = token, .root = kvs_digest_root(m->digest), .purged_ms = m->purged_ms};
    return commit;
}

static void count_message(struct bench *bench, struct kvs_slice bytes)
{
    struct kvs_arena arena;
    struct kvs_repl_message message;
    kvs_arena_init(&arena, 1 << 30);
    check(kvs_repl_message_decode(bytes, &arena, &message));
    bool first = message.head.type == KVS_MESSAGE_COMPARE;
    bench->counting = bench->counting || first;
    bool ours = message.head.type >= KVS_MESSAGE_COMPARE && message.head.type <= KVS_MESSAGE_ITEMS;
    uint64_t values = message.head.type == KVS_MESSAGE_ITEMS ? message.items.item_count : 0;
    kvs_arena_done(&arena);
    if (!ours || bench->done)
        return;
    bench->values += values;
    bench->value_bytes += values * VALUE_SIZE;
    bench->digest_bytes += bytes.size - values * VALUE_SIZE;
}

static void send(struct bench *bench, struct machine *from, struct kvs_slice bytes)
{
    count_message(bench, bytes);
    struct event *event = later(bench, from->other, KVS_REPL_EVENT_MESSAGE);
    event->event.message = kvs_arena_copy(&event->arena, bytes);
    check(event->event.message.data ? 0 : KVS_ERR_NOMEM);
}

static void apply(struct bench *bench, struct machine *m, const struct kvs_repl_apply *apply)
{
    for (size_t i = 0; i < apply->item_count; i++) {
        const struct kvs_repl_item *item = &apply->items[i];
        uint64_t number = number_of(item->key);
        uint32_t version =
            kvs_uuid_cmp(&item->version.writer.node, &bench->machines[1].node) == 0 ? 2 : 1;
        check(kvs_seen_note(&m->seen, &item->version));
        if (version <= m->versions[number])
            continue;
        struct kvs_digest_sum old = item_of(bench, m, item->key, number);
        m->versions[number] = version;
        struct kvs_digest_sum new = item_of(bench, m, item->key, number);
        check(kvs_digest_update(m->digest, item->key, &old, &new));
    }
    check(kvs_seen_advance(&m->seen, &apply->run));
    commit_later(bench, m, apply->token);
}

static void read_keys(struct bench *bench, struct machine *m, const struct kvs_repl_action *action)
{
    static const char value[VALUE_SIZE] = {'v'};
    size_t count = action->read_keys.key_count;
    struct event *event = later(bench, m, KVS_REPL_EVENT_READ);
    struct kvs_repl_item *items = kvs_arena_alloc(&event->arena, (count + 1) * sizeof(*items));
    check(items ? 0 : KVS_ERR_NOMEM);
    for (size_t i = 0; i < count; i++) {
        uint64_t number = number_of(action->read_keys.keys[i]);
        items[i] = (struct kvs_repl_item){
            .key = kvs_arena_copy(&event->arena, action->read_keys.keys[i]),
            .version = version_of(bench, number, m->versions[number]),
            .value = kvs_slice(value, VALUE_SIZE),
        };
    }
    event->event.read = (struct kvs_repl_read){.token = action->read_keys.token,
                                               .to = (uint32_t)count,
                                               .items = items,
                                               .item_count = count};
}

static void compare(struct bench *bench, struct machine *m, const struct kvs_repl_action *action)
{
    struct view view = {bench, m};
    struct kvs_repl_ranges ranges = {&view, range_fingerprint, range_split, range_list};
    struct event *event = later(bench, m, KVS_REPL_EVENT_COMPARED);
    struct kvs_repl_compared *answers = NULL;
    check(kvs_repl_compare(&ranges, action->compare.ranges, action->compare.range_count,
                           KVS_REPL_LIST_MAX, &event->arena, &answers));
    event->event.compared = (struct kvs_repl_compare_done){
        .token = action->compare.token,
        .answers = answers,
        .answer_count = action->compare.range_count,
    };
}

static void perform(struct bench *bench, struct machine *m, const struct kvs_repl_action *action)
{
    switch (action->type) {
    case KVS_REPL_ACTION_SEND:
        send(bench, m, action->send.bytes);
        break;
    case KVS_REPL_ACTION_APPLY:
        apply(bench, m, &action->apply);
        break;
    case KVS_REPL_ACTION_ADOPT:
        check(kvs_seen_adopt(&m->seen, action->adopt.seen));
        commit_later(bench, m, action->adopt.token);
        break;
    case KVS_REPL_ACTION_PURGE: // nothing is deleted here
        m->purged_ms = action->purge.watermark_ms;
        commit_later(bench, m, action->purge.token);
        break;
    case KVS_REPL_ACTION_READ_LOG: { // it no longer reaches back
        struct kvs_repl_event *event = &later(bench, m, KVS_REPL_EVENT_READ)->event;
        event->read = (struct kvs_repl_read){.token = action->read_log.token, .overrun = true};
        break;
    }
    case KVS_REPL_ACTION_READ_KEYS:
        read_keys(bench, m, action);
        break;
    case KVS_REPL_ACTION_COMPARE:
        compare(bench, m, action);
        break;
    case KVS_REPL_ACTION_NOTICE:
        if (action->notice.kind != KVS_REPL_NOTICE_SYNCED || m != &bench->machines[0])
            break;
        bench->done = true;
        bench->rounds = action->notice.rounds;
        bench->fetched = action->notice.fetched;
        break;
    default:
        break;
    }
}

static void step(struct bench *bench, struct machine *m, struct kvs_repl_event *event)
{
    event->now_ms = bench->now_ms;
    event->wall_ms = WALL_MS + bench->now_ms;
    check(kvs_repl_step(m->repl, event, &m->actions));
    for (size_t i = 0; i < m->actions.count; i++)
        perform(bench, m, &m->actions.list[i]);
    m->next_ms = m->actions.next_ms;
}

static void run(struct bench *bench)
{
    while (!bench->done) {
        if (bench->queue_count > 0) {
            struct event *event = bench->queue[bench->queue_head];
            bench->queue_head = (bench->queue_head + 1) % QUEUE_MAX;
            bench->queue_count--;
            step(bench, event->to, &event->event);
            kvs_arena_done(&event->arena);
            free(event);
            continue;
        }
        bench->now_ms++;
        for (int i = 0; i < 2; i++) {
            struct kvs_repl_event tick = {.type = KVS_REPL_EVENT_TICK};
            if (bench->now_ms >= bench->machines[i].next_ms)
                step(bench, &bench->machines[i], &tick);
        }
    }
}

// ---- One row

static void machine_start(struct bench *bench, struct machine *m, int index)
{
    static const char address[2][2] = {"a", "b"};
    struct kvs_slice seed = kvs_slice(address[1], 1);
    struct view view = {bench, m};
    struct kvs_digest_source source = {&view, scan};
    check(kvs_digest_rebuild(m->digest, &source));
    struct kvs_repl_options options = {
        .node = m->node,
        .joined_timestamp = WALL_MS - 200000000 + index,
        .life = 9,
        .name = kvs_slice(address[index], 1),
        .address = kvs_slice(address[index], 1),
        .seeds = &seed,
        .seed_count = index == 0,
        .cluster = {{{1}}, WALL_MS - 200000000, true},
        .seen = &m->seen,
        .root = kvs_digest_root(m->digest),
        .random_seed = 7,
        .wall_ms = WALL_MS,
        .probe_interval_ms = 1000,
        .suspect_timeout_ms = 5000,
        .gossip_min_ms = 60000,
        .gossip_max_ms = 120000,
        .status_interval_ms = index == 0 ? 1000 : INT64_C(1000000000), // the first one leads
        .sync_interval_ms = 300000,
        .catchup_interval_ms = 120000,
        .promise_interval_ms = INT64_C(1000000000),
        .retention_ms = INT64_C(1000000000),
        .expire_after_ms = INT64_C(1000000000),
        .skew_max_ms = 60000,
        .batch_size_max = 65536,
    };
    check(kvs_repl_new(&options, &m->repl));
    kvs_repl_actions_init(&m->actions);
}

static void machine_done(struct machine *m)
{
    kvs_repl_free(m->repl);
    kvs_repl_actions_done(&m->actions);
    kvs_digest_free(m->digest);
    kvs_seen_done(&m->seen);
    free(m->versions);
}

static void bench_init(struct bench *bench, uint64_t keys, uint64_t differences)
{
    for (int i = 0; i < 2; i++) {
        struct machine *m = &bench->machines[i];
        *m = (struct machine){
            .other = &bench->machines[1 - i], .count = keys, .purged_ms = INT64_MIN};
        m->node.bytes[0] = (uint8_t)(i + 1);
        m->versions = malloc(keys * sizeof(*m->versions));
        check(m->versions ? 0 : KVS_ERR_NOMEM);
        struct kvs_digest_options options = {.block_size = i == 0 ? 0 : 100}; // other blocks
        check(kvs_digest_new(&options, &m->digest));
        for (uint64_t k = 0; k < keys; k++)
            m->versions[k] = 1;
        struct kvs_seen_run run = {bench->machines[0].node, 5, 0, (uint32_t)keys};
        check(kvs_seen_advance(&m->seen, &run));
    }
    uint64_t random = MEASURE_RANDOM_SEED;
    for (uint64_t made = 0; made < differences;) {
        uint64_t at = differences == keys ? made : measure_random(&random) % keys;
        made += bench->machines[1].versions[at] == 1;
        bench->machines[1].versions[at] = 2;
    }
    struct kvs_seen_run run = {bench->machines[1].node, 5, 0, (uint32_t)keys};
    if (differences > 0)
        check(kvs_seen_advance(&bench->machines[1].seen, &run));
    for (int i = 0; i < 2; i++)
        machine_start(bench, &bench->machines[i], i);
}

// False: not equal afterwards, or a value went more than once.
static bool bench_row(struct bench *bench, uint64_t keys, uint64_t differences)
{
    *bench = (struct bench){0};
    bench_init(bench, keys, differences);
    double cpu = measure_cpu_seconds();
    run(bench);
    cpu = measure_cpu_seconds() - cpu;
    printf("%9llu differences: %10llu bytes without values, %5llu exchanges, %8llu values, "
           "%8.1f ms of both\n",
           (unsigned long long)differences, (unsigned long long)bench->digest_bytes,
           (unsigned long long)bench->rounds, (unsigned long long)bench->values, cpu * 1e3);
    bool good = bench->values == differences && bench->fetched == differences &&
                kvs_fingerprint_eq(kvs_digest_root(bench->machines[0].digest),
                                   kvs_digest_root(bench->machines[1].digest)) &&
                kvs_seen_covers_all(&bench->machines[0].seen, &bench->machines[1].seen);
    for (; bench->queue_count > 0; bench->queue_count--) {
        struct event *event = bench->queue[bench->queue_head];
        bench->queue_head = (bench->queue_head + 1) % QUEUE_MAX;
        kvs_arena_done(&event->arena);
        free(event);
    }
    for (int i = 0; i < 2; i++)
        machine_done(&bench->machines[i]);
    return good;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    static const struct {
        uint64_t differences, bytes_max, rounds_max;
    } rows[] = {{0, 1000, 1}, {1, 3000, 5}, {100, 130000, 0}, {10000, 5000000, 0}, {0, 0, 0}};
    bool checking = argc > 1 && strcmp(argv[1], "--check") == 0;
    uint64_t keys = argc > 1 + checking ? strtoull(argv[1 + checking], NULL, 10) : 1000000;
    uint64_t most = argc > 2 + checking ? strtoull(argv[2 + checking], NULL, 10) : keys;
    int missed = 0;
    printf("%llu keys; %u parts, lists of at most %u\n", (unsigned long long)keys,
           (unsigned)KVS_REPL_PARTS, (unsigned)KVS_REPL_LIST_MAX);
    for (size_t i = 0; i < KVS_ARRAY_SIZE(rows); i++) {
        bool last = i + 1 == KVS_ARRAY_SIZE(rows);
        uint64_t differences = last ? keys : rows[i].differences;
        if (differences > most)
            continue;
        bool good = bench_row(&bench, keys, differences);
        good = good && (rows[i].bytes_max == 0 || bench.digest_bytes <= rows[i].bytes_max);
        good = good && (rows[i].rounds_max == 0 || bench.rounds <= rows[i].rounds_max);
        if (!good)
            printf("           ^ misses its target\n");
        missed += !good;
    }
    return checking && missed > 0;
}
