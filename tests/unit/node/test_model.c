// SPDX-License-Identifier: Apache-2.0
// A node under random work against the model in model.h: writes alone and in groups, conditions,
// TTLs, restores, a clock that jumps, restarts with other settings, compactions, housekeeping,
// failing disks. After every step each key's record and history and the listing must be what the
// model says. KVS_TEST_SEED and KVS_TEST_STEPS choose another run; the seed and how far it came are
// printed.
#include "tests/unit/node/faulty.h"
#include "tests/unit/node/fixture.h"

#include "codec/index.h"
#include "tests/unit/node/model.h"

enum { STEPS = 2000, GROUP_MAX = 12, VALUE_SIZE_MAX = 70 * 1024 };

struct run {
    struct fixture f;
    struct kvs_random_seeded random;
    struct model model;
    int64_t peak_ms; // the latest the clock has shown since the last check
    uint32_t last_value;
    uint64_t steps; // done
    char buffer[VALUE_SIZE_MAX];
};

// One write and what the model expects of it.
struct attempt {
    struct kvs_write write;
    struct model_key *key;
    int expected;
    struct model_version version; // when it succeeds
    struct kvs_uuid condition_uuid;
    char value[VALUE_SIZE_MAX];
};

static uint64_t below(struct run *run, uint64_t bound)
{
    return kvs_random_below(&run->random.base, bound);
}

static bool one_in(struct run *run, uint64_t n)
{
    return below(run, n) == 0;
}

static void set_clock(struct run *run, int64_t now_ms)
{
    run->model.now_ms = now_ms;
    run->peak_ms = model_max(run->peak_ms, now_ms);
    atomic_store(&run->f.clock.wall_ms, now_ms);
}

// ---- Checks

struct history_check {
    struct run *run;
    struct model_key *key;
    size_t next; // model version that comes next
};

static bool check_revision(void *ctx, uint32_t number, const struct kvs_version *version,
                           struct kvs_slice json)
{
    (void)number;
    struct history_check *check = ctx;
    const struct model_version *expected = NULL;
    for (; check->next < check->key->count; check->next++) {
        expected = &check->key->versions[check->next];
        if (kvs_uuid_cmp(&expected->uuid, &version->uuid) == 0)
            break;
        assert_true(expected->droppable);
    }
    assert_true(check->next < check->key->count);
    check->next++;
    assert_int_equal(version->timestamp, expected->timestamp);
    assert_int_equal(version->expires_at, expected->expires_at);
    assert_int_equal(kvs_version_is_tombstone(version), expected->tombstone);
    bool visible = model_is_visible(&check->run->model, expected);
    assert_int_equal(kvs_version_is_visible(version, check->run->model.now_ms), visible);
    if (visible)
        assert_true(kvs_slice_eq(
            json, model_value(expected->value, check->run->buffer, sizeof(check->run->buffer))));
    return true;
}

static void check_history(struct run *run, struct model_key *key)
{
    struct history_check check = {run, key, 0};
    uint32_t count = 0;
    assert_int_equal(kvs_node_history(run->f.node, kvs_auth_open_grant(),
                                      kvs_slice_from_str(key->name), KVS_READ_DISK, check_revision,
                                      &check, &count),
                     0);
    if (count == 0 && model_is_removable(&run->model, key, run->peak_ms, false))
        key->count = 0; // housekeeping was here
    for (; count < run->model.revisions && check.next < key->count; check.next++)
        assert_true(key->versions[check.next].droppable);
}

static void check_record(struct run *run, const struct model_key *key)
{
    const struct model_version *expected = model_get(&run->model, key);
    struct kvs_record *record = NULL;
    int err = kvs_node_get(run->f.node, kvs_auth_open_grant(), kvs_slice_from_str(key->name),
                           KVS_READ_DISK, &record);
    assert_int_equal(err, expected ? 0 : KVS_ERR_NOT_FOUND);
    if (!expected)
        return;
    assert_int_equal(kvs_uuid_cmp(&record->version.uuid, &expected->uuid), 0);
    assert_true(kvs_slice_eq(kvs_record_json(record),
                             model_value(expected->value, run->buffer, sizeof(run->buffer))));
    kvs_record_unref(record);
}

struct scan_check {
    struct run *run;
    struct kvs_slice prefix;
    struct kvs_slice delimiter;
    size_t next;
};

// The next thing that the listing must show, as a key or a rolled-up prefix; empty at the end.
static struct kvs_slice next_listed(struct scan_check *check, const struct model_version **ret_seen)
{
    for (; check->next < MODEL_KEYS; check->next++) {
        struct model_key *key = &check->run->model.keys[check->next];
        struct kvs_slice name = kvs_slice_from_str(key->name);
        *ret_seen = model_get(&check->run->model, key);
        if (!*ret_seen || !kvs_slice_starts_with(name, check->prefix))
            continue;
        const char *slash = strchr(name.data + check->prefix.size, '/');
        if (check->delimiter.size == 0 || !slash) {
            check->next++;
            return name;
        }
        struct kvs_slice group = kvs_slice(name.data, (size_t)(slash - name.data) + 1);
        while (check->next < MODEL_KEYS &&
               kvs_slice_starts_with(kvs_slice_from_str(check->run->model.keys[check->next].name),
                                     group))
            check->next++;
        *ret_seen = NULL;
        return group;
    }
    return KVS_SLICE_EMPTY;
}

static bool check_listed(void *ctx, struct kvs_slice key, const struct kvs_version *version,
                         struct kvs_slice json)
{
    struct scan_check *check = ctx;
    const struct model_version *expected = NULL;
    assert_true(kvs_slice_eq(key, next_listed(check, &expected)));
    assert_non_null(expected);
    assert_int_equal(kvs_uuid_cmp(&version->uuid, &expected->uuid), 0);
    assert_true(kvs_slice_eq(
        json, model_value(expected->value, check->run->buffer, sizeof(check->run->buffer))));
    return true;
}

static bool check_listed_prefix(void *ctx, struct kvs_slice prefix)
{
    const struct model_version *none = NULL;
    assert_true(kvs_slice_eq(prefix, next_listed(ctx, &none)));
    assert_null(none);
    return true;
}

static void check_scan(struct run *run)
{
    static const char *const prefixes[] = {"", "", "a", "a/", "a/b", "ab", "b/", "zz"};
    struct scan_check check = {.run = run};
    check.prefix = kvs_slice_from_str(prefixes[below(run, KVS_ARRAY_SIZE(prefixes))]);
    check.delimiter = one_in(run, 2) ? KVS_SLICE("/") : KVS_SLICE_EMPTY;
    const struct kvs_node_scan scan = {.prefix = check.prefix,
                                       .delimiter = check.delimiter,
                                       .visit = check_listed,
                                       .visit_prefix = check_listed_prefix,
                                       .ctx = &check};
    assert_int_equal(kvs_node_scan(run->f.node, kvs_auth_open_grant(), &scan, KVS_READ_DISK), 0);
    const struct model_version *none = NULL;
    assert_int_equal(next_listed(&check, &none).size, 0);
}

// The indexes beside the records: where a current version is in time, and when it is due.
static void check_indexes(struct run *run)
{
    bool timed[MODEL_KEYS] = {false};
    bool due[MODEL_KEYS] = {false};
    const enum kvs_family families[] = {KVS_FAMILY_BY_TIME, KVS_FAMILY_DUE};
    for (int i = 0; i < 2; i++) {
        const struct kvs_store_iter_options options = {.mode = KVS_READ_DISK};
        struct kvs_store_iter *iter = kvs_store_iter_new(faulty, families[i], &options);
        for (kvs_store_iter_seek(iter, KVS_SLICE_EMPTY); kvs_store_iter_valid(iter);
             kvs_store_iter_next(iter)) {
            int64_t time_ms = 0;
            struct kvs_slice name;
            assert_true(kvs_time_key_decode(kvs_store_iter_key(iter), &time_ms, &name));
            for (size_t k = 0; k < MODEL_KEYS; k++) {
                struct model_key *key = &run->model.keys[k];
                if (!kvs_slice_eq(name, kvs_slice_from_str(key->name)))
                    continue;
                due[k] |= i == 1;
                timed[k] |= i == 0 && key->count > 0 && key->versions[0].timestamp == time_ms;
            }
        }
        kvs_store_iter_free(iter);
    }
    for (size_t k = 0; k < MODEL_KEYS; k++) {
        const struct model_key *key = &run->model.keys[k];
        assert_true(key->count == 0 || timed[k]);
        bool ends = key->count > 0 && (key->versions[0].tombstone || key->versions[0].expires_at);
        assert_true(!ends || due[k]);
    }
}

static void check_all(struct run *run)
{
    for (size_t k = 0; k < MODEL_KEYS; k++) {
        check_history(run, &run->model.keys[k]);
        check_record(run, &run->model.keys[k]);
    }
    check_scan(run);
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(run->f.node, &status), 0);
    assert_int_equal(status.log_seq, run->model.changes);
    run->peak_ms = run->model.now_ms;
}

// ---- Writes

static int64_t random_ttl(struct run *run)
{
    static const int64_t ttls_ms[] = {1, 5, 100, 5000, TEST_RETENTION_MS, INT64_MAX - 1, INT64_MAX};
    return one_in(run, 2) ? KVS_TTL_NONE : ttls_ms[below(run, KVS_ARRAY_SIZE(ttls_ms))];
}

// In a group the uuids of the versions before it are not known yet and make no conditions.
static int judge_condition(struct run *run, struct attempt *a, const struct model_version *seen,
                           bool alone)
{
    unsigned conditions = alone ? KVS_CONDITION_NOT_UUIDS + 1 : KVS_CONDITION_UUIDS;
    if (one_in(run, 3))
        a->write.condition = (enum kvs_condition)below(run, conditions);
    bool match = one_in(run, 2) && a->key->count > 0;
    a->condition_uuid = match ? a->key->versions[0].uuid : kvs_uuid_new(&run->random.base);
    a->write.condition_uuids = &a->condition_uuid;
    a->write.condition_uuid_count = 1;
    const bool holds[] = {
        [KVS_CONDITION_NONE] = true,
        [KVS_CONDITION_EXISTS] = seen != NULL,
        [KVS_CONDITION_NOT_EXISTS] = seen == NULL,
        [KVS_CONDITION_UUIDS] = seen && match,
        [KVS_CONDITION_NOT_UUIDS] = !(seen && match),
    };
    return holds[a->write.condition] ? 0 : KVS_ERR_PRECONDITION;
}

// Makes up a write and foretells its outcome. `alone`: restores look at what is committed, which
// inside a group the model does not know.
static void make_attempt(struct run *run, struct attempt *a, bool alone)
{
    struct model *model = &run->model;
    memset(a, 0, offsetof(struct attempt, value));
    a->key = &model->keys[below(run, one_in(run, 2) ? 4 : MODEL_KEYS)];
    const struct model_version *seen = model_get(model, a->key);
    const struct model_version *restored = NULL;
    uint32_t revision = 1 + (uint32_t)below(run, 3);
    enum kvs_write_op op = one_in(run, 4) ? KVS_WRITE_DELETE : KVS_WRITE_PUT;
    if (alone && one_in(run, 6)) {
        restored = model_revision(a->key, revision);
        op = restored ? KVS_WRITE_RESTORE : op;
    }
    a->write = make_write(op, a->key->name, NULL);
    a->write.revision = revision;
    a->expected = judge_condition(run, a, seen, alone);
    bool nothing = op == KVS_WRITE_DELETE ? seen == NULL
                                          : restored && (revision > model->revisions ||
                                                         !model_is_visible(model, restored));
    if (!a->expected && nothing)
        a->expected = KVS_ERR_NOT_FOUND;
    a->version.timestamp = model_next_timestamp(model, a->key);
    a->version.tombstone = op == KVS_WRITE_DELETE;
    if (op == KVS_WRITE_DELETE)
        return;
    a->version.value = restored ? restored->value : ++run->last_value;
    if (op == KVS_WRITE_PUT)
        a->write.json = model_value(a->version.value, a->value, sizeof(a->value));
    a->write.ttl_ms = random_ttl(run);
    if (a->write.ttl_ms > 0 &&
        __builtin_add_overflow(model->now_ms, a->write.ttl_ms, &a->version.expires_at))
        a->version.expires_at = INT64_MAX;
}

static void adopt(struct run *run, struct attempt *a)
{
    assert_int_equal(a->write.version.timestamp, a->version.timestamp);
    assert_int_equal(a->write.version.expires_at, a->version.expires_at);
    a->version.uuid = a->write.version.uuid;
    model_add(&run->model, a->key, &a->version);
}

static void write_alone(struct run *run)
{
    static struct attempt a;
    make_attempt(run, &a, true);
    bool created = model_get(&run->model, a.key) == NULL;
    assert_int_equal(kvs_node_write_wait(run->f.node, &a.write), a.expected);
    if (a.expected)
        return;
    assert_int_equal(a.write.created, created);
    adopt(run, &a);
}

// The model judges each attempt as if those before it had happened, as the group must.
static void write_group(struct run *run)
{
    static struct attempt attempts[GROUP_MAX];
    size_t count = 2 + below(run, GROUP_MAX - 1);
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_DELETE, "never/written", NULL);
    stall_with(&run->f, &stall, &first);
    struct model before = run->model;
    for (size_t i = 0; i < count; i++) {
        make_attempt(run, &attempts[i], false);
        submit(&run->f, &stall, &attempts[i].write);
        if (!attempts[i].expected)
            model_add(&run->model, attempts[i].key, &attempts[i].version);
    }
    let_go(&stall, (int)count + 1);
    run->model = before; // once more, with what only the node knows: the uuids
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(attempts[i].write.err, attempts[i].expected);
        if (!attempts[i].expected)
            adopt(run, &attempts[i]);
    }
}

// ---- Other steps

static void restart(struct run *run)
{
    static const uint32_t revisions[] = {3, 5, 1};
    run->f.options.revisions = revisions[below(run, 3)];
    run->f.options.durability = one_in(run, 2) ? KVS_DURABILITY_ASYNC : KVS_DURABILITY_SYNC;
    fixture_restart(&run->f);
    model_set_revisions(&run->model, run->f.options.revisions);
}

static void wait_until_writable(struct run *run)
{
    struct kvs_node_status status;
    do {
        int err = kvs_node_housekeep(run->f.node);
        assert_true(err == 0 || err == KVS_ERR_IO || err == KVS_ERR_NO_SPACE);
        assert_int_equal(kvs_node_status(run->f.node, &status), 0);
    } while (!status.writable);
}

// A write that fails: either nothing of it is there or, after a failed sync, all of it, and in
// neither case was it acknowledged.
static void fail_write(struct run *run)
{
    static struct attempt a;
    make_attempt(run, &a, true);
    bool synced = one_in(run, 2);
    kvs_fault_set(faulty, synced ? KVS_FAULT_SYNC : KVS_FAULT_WRITE, 0, KVS_FAULT_FOREVER,
                  KVS_ERR_NO_SPACE);
    int err = kvs_node_write_wait(run->f.node, &a.write);
    kvs_fault_clear(faulty);
    assert_int_equal(err, a.expected ? a.expected : KVS_ERR_NO_SPACE);
    if (!a.expected && synced)
        adopt(run, &a);
    if (one_in(run, 2))
        restart(run);
    else
        wait_until_writable(run);
}

// A write that cannot read what it replaces fails alone, or does without.
static void fail_reads(struct run *run)
{
    static struct attempt a;
    make_attempt(run, &a, true);
    kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, (int64_t)below(run, 4), 1, KVS_ERR_IO);
    int err = kvs_node_write_wait(run->f.node, &a.write);
    kvs_fault_clear(faulty);
    if (err == KVS_ERR_IO)
        return;
    assert_int_equal(err, a.expected);
    if (!err)
        adopt(run, &a);
}

static void housekeep(struct run *run)
{
    bool failing = one_in(run, 3);
    if (failing)
        kvs_fault_set(faulty, KVS_FAULT_ITER_MOVE, (int64_t)below(run, 12), 1, KVS_ERR_IO);
    int err = kvs_node_housekeep(run->f.node);
    kvs_fault_clear(faulty);
    assert_true(err == 0 || (failing && err == KVS_ERR_IO));
    if (err)
        return;
    for (size_t k = 0; k < MODEL_KEYS; k++)
        if (model_is_removable(&run->model, &run->model.keys[k], run->model.now_ms, true))
            run->model.keys[k].count = 0;
}

static void compact(struct run *run)
{
    assert_int_equal(kvs_store_flush(faulty), 0);
    if (one_in(run, 3))
        assert_int_equal(kvs_store_compact(faulty, KVS_FAMILY_DATA), 0);
    if (one_in(run, 3))
        assert_int_equal(kvs_store_compact(faulty, KVS_FAMILY_BY_TIME), 0);
    if (one_in(run, 3))
        assert_int_equal(kvs_store_compact(faulty, KVS_FAMILY_DUE), 0);
}

// Back by up to a minute, but to before no expiry: what has expired may have lost its payload.
static void jump_back(struct run *run)
{
    int64_t to_ms = run->model.now_ms - (int64_t)below(run, 60000);
    for (size_t k = 0; k < MODEL_KEYS; k++)
        for (size_t i = 0; i < run->model.keys[k].count; i++) {
            int64_t expires_at = run->model.keys[k].versions[i].expires_at;
            if (expires_at <= run->model.now_ms)
                to_ms = model_max(to_ms, expires_at);
        }
    set_clock(run, to_ms);
}

static void move_clock(struct run *run)
{
    static const int64_t forward_ms[] = {1, 1, 2, 10, 3000, 3000, TEST_RETENTION_MS};
    if (one_in(run, 8))
        jump_back(run);
    else if (one_in(run, 150))
        set_clock(run, run->model.now_ms + 10 * 365 * (int64_t)86400000);
    else
        set_clock(run, run->model.now_ms + forward_ms[below(run, KVS_ARRAY_SIZE(forward_ms))]);
}

static void step(struct run *run)
{
    uint64_t die = below(run, 1000);
    if (die < 550)
        write_alone(run);
    else if (die < 650)
        write_group(run);
    else if (die < 850)
        move_clock(run);
    else if (die < 930)
        housekeep(run);
    else if (die < 960)
        fail_reads(run);
    else if (die < 980)
        compact(run);
    else if (die < 990)
        fail_write(run);
    else
        restart(run);
}

// ---- The run

static const char *const key_names[MODEL_KEYS] = {
    "a",   "a!", "a/b", "a/b/c", "a/b/d", "a/bc", "a/c", "a/c/d", "a/~", "a0",  "ab",  "ab/c",
    "abc", "b",  "b/c", "b/c/d", "b/d",   "c",    "c c", "d/e",   "zz",  "zz/", "zz0", "\xc3\xa4",
};

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    uint64_t value = otherwise;
    if (text && !kvs_slice_to_u64(kvs_slice_from_str(text), &value))
        fail_msg("%s is no number", name);
    return value;
}

static int setup(void **state)
{
    struct run *run = calloc(1, sizeof(*run));
    fixture_init(&run->f);
    run->f.options.wrap_store = wrap;
    run->f.options.record_cache_size = 64 << 10; // so small that it evicts
    fixture_open(&run->f);
    run->model.retention_ms = TEST_RETENTION_MS;
    run->model.revisions = run->f.options.revisions;
    for (size_t k = 0; k < MODEL_KEYS; k++)
        (void)snprintf(run->model.keys[k].name, sizeof(run->model.keys[k].name), "%s",
                       key_names[k]);
    set_clock(run, TEST_START_MS);
    *state = run;
    return 0;
}

static int teardown(void **state)
{
    struct run *run = *state;
    print_message("%llu steps done\n", (unsigned long long)run->steps);
    fixture_done(&run->f);
    free(run);
    return 0;
}

static void a_node_does_what_the_model_says(void **state)
{
    struct run *run = *state;
    uint64_t seed = from_environment("KVS_TEST_SEED", 1);
    uint64_t steps = from_environment("KVS_TEST_STEPS", STEPS);
    kvs_random_seeded_init(&run->random, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (; run->steps < steps; run->steps++) {
        step(run);
        check_all(run);
        if (run->steps % 64 == 0)
            check_indexes(run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_node_does_what_the_model_says, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
