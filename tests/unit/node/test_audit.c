// SPDX-License-Identifier: Apache-2.0
// The audit log of a node: entries come with their commits, the chain survives whatever happens to
// the store, and whatever is done to a stopped node's log is found.
#include "tests/unit/node/faulty.h"
#include "tests/unit/node/fixture.h"

#include "audit/verify_store.h"
#include "node/audit.h"

#include <limits.h>
#include <unistd.h>

static int setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    assert_non_null(f);
    fixture_init(f);
    f->options.audit = true;
    f->options.audit_actions = kvs_audit_action_bit(KVS_AUDIT_data_write) |
                               kvs_audit_action_bit(KVS_AUDIT_data_delete) |
                               kvs_audit_action_bit(KVS_AUDIT_config_reload);
    f->options.wrap_store = wrap;
    fixture_open(f);
    *state = f;
    return 0;
}

static struct kvs_audit_event event_of(enum kvs_audit_action action, const char *resource)
{
    return (struct kvs_audit_event){.action = action,
                                    .resource = kvs_slice_from_str(resource),
                                    .request_id = KVS_SLICE("request-1")};
}

static int audited_put(struct fixture *f, const char *key, const char *json)
{
    struct kvs_audit_event event = event_of(KVS_AUDIT_data_write, key);
    struct kvs_write write = make_write(KVS_WRITE_PUT, key, json);
    write.audit = &event;
    int err = kvs_node_write_wait(f->node, &write);
    assert_int_equal(write.audited, err == 0);
    return err;
}

// ---- What the log says, as a line an entry

struct listing {
    char text[4096];
    uint64_t count;
};

static bool list_entry(void *ctx, const struct kvs_audit_entry *entry)
{
    struct listing *listing = ctx;
    size_t used = strlen(listing->text);
    (void)snprintf(listing->text + used, sizeof(listing->text) - used, "%u %.*s %.*s %.*s%s\n",
                   (unsigned)entry->seq, KVS_SLICE_FMT(entry->action),
                   KVS_SLICE_FMT(entry->resource), KVS_SLICE_FMT(entry->outcome),
                   entry->has_user ? " user" : "");
    listing->count++;
    return true;
}

static struct listing list(struct fixture *f)
{
    struct listing listing = {0};
    assert_int_equal(
        kvs_node_audit_visit(f->node, kvs_auth_open_grant(), 1, false, list_entry, &listing), 0);
    return listing;
}

static uint64_t entry_count(struct fixture *f)
{
    struct kvs_audit_seal checkpoint;
    struct kvs_audit_public key;
    assert_int_equal(kvs_node_audit_checkpoint(f->node, kvs_auth_open_grant(), &checkpoint, &key),
                     0);
    return checkpoint.size;
}

// ---- The stopped node's store

static struct kvs_store *open_stopped(struct fixture *f)
{
    const struct kvs_store_options options = {.path = f->dir.path, .compression = true};
    struct kvs_store *store = NULL;
    struct kvs_message message = {{0}};
    kvs_node_close(f->node);
    f->node = NULL;
    if (kvs_store_open(&options, &store, &message) != 0)
        fail_msg("%s", message.text);
    return store;
}

static const char *key_path(struct fixture *f)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", f->dir.path, KVS_AUDIT_KEY_FILE);
    return path;
}

static struct kvs_audit_report verify(struct fixture *f, struct kvs_store *store)
{
    struct kvs_audit_verify_options options = {0};
    struct kvs_audit_report report;
    struct kvs_message message = {{0}};
    if (kvs_audit_verify_store(store, key_path(f), &options, &report, &message) != 0)
        fail_msg("%s", message.text);
    return report;
}

// Stops the node, verifies, starts it again.
static struct kvs_audit_report verify_stopped(struct fixture *f)
{
    struct kvs_store *store = open_stopped(f);
    struct kvs_audit_report report = verify(f, store);
    kvs_store_close(store);
    fixture_open(f);
    return report;
}

static void assert_holds(struct fixture *f, uint64_t entries, uint64_t breaks)
{
    struct kvs_audit_report report = verify_stopped(f);
    assert_string_equal(report.message.text, "");
    assert_true(report.good);
    assert_true(report.end_checked);
    assert_true(report.open_checked);
    assert_int_equal(report.last, entries);
    assert_int_equal(report.breaks, breaks);
}

// ---- What is recorded

static void writes_are_recorded_with_their_outcome(void **state)
{
    struct fixture *f = *state;
    struct kvs_uuid user = kvs_uuid_new(kvs_random_system());
    struct kvs_audit_event event = event_of(KVS_AUDIT_data_write, "a");
    event.user = &user;
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "1");
    write.audit = &event;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    write = make_write(KVS_WRITE_PUT, "a", "2");
    write.condition = KVS_CONDITION_NOT_EXISTS;
    write.audit = &event;
    assert_int_equal(kvs_node_write_wait(f->node, &write), KVS_ERR_PRECONDITION);
    assert_true(write.audited);
    struct kvs_audit_event deletion = event_of(KVS_AUDIT_data_delete, "b");
    write = make_write(KVS_WRITE_DELETE, "b", NULL);
    write.audit = &deletion;
    assert_int_equal(kvs_node_write_wait(f->node, &write), KVS_ERR_NOT_FOUND);
    put(f, "c", "3"); // without an event
    struct kvs_audit_event other = event_of(KVS_AUDIT_data_read, "d");
    write = make_write(KVS_WRITE_PUT, "d", "4");
    write.audit = &other; // not among the recorded actions
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_false(write.audited);
    assert_string_equal(list(f).text, "1 data_write a ok user\n"
                                      "2 data_write a precondition user\n"
                                      "3 data_delete b not_found\n");
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_ENTRIES), 3);
    assert_holds(f, 3, 0);
}

static void notes_are_recorded_by_themselves(void **state)
{
    struct fixture *f = *state;
    struct kvs_audit_event event = event_of(KVS_AUDIT_config_reload, "/etc/kvs.yaml");
    kvs_node_audit_note(f->node, &event, 0);
    kvs_node_audit_note(f->node, &event, KVS_ERR_INVALID);
    event.action = KVS_AUDIT_member_join; // not recorded
    kvs_node_audit_note(f->node, &event, 0);
    put(f, "a", "1"); // behind them in the queue
    assert_string_equal(list(f).text, "1 config_reload /etc/kvs.yaml ok\n"
                                      "2 config_reload /etc/kvs.yaml invalid\n");
}

static void too_many_notes_are_counted_and_confessed(void **state)
{
    struct fixture *f = *state;
    struct kvs_audit_event event = event_of(KVS_AUDIT_config_reload, "x");
    struct stall stall;
    struct kvs_write first = make_write(KVS_WRITE_PUT, "a", "1");
    stall_with(f, &stall, &first);
    for (int i = 0; i < KVS_AUDIT_NOTES_MAX + 7; i++)
        kvs_node_audit_note(f->node, &event, 0);
    let_go(&stall, 1);
    put(f, "a", "2");
    assert_int_equal(audited_put(f, "b", "1"), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_LOST), 7);
    uint64_t count = entry_count(f);
    assert_int_equal(count, KVS_AUDIT_NOTES_MAX + 2);
    bool confessed = false;
    for (uint64_t seq = 1; seq <= count && !confessed; seq++) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
        struct kvs_audit_proof proof;
        assert_int_equal(
            kvs_node_audit_prove(f->node, kvs_auth_open_grant(), seq, &scratch, &proof), 0);
        confessed = kvs_slice_eq(proof.entry.action, KVS_SLICE(KVS_AUDIT_GAP));
        if (confessed)
            assert_slice_equal(proof.entry.resource, "7 events were not recorded");
    }
    assert_true(confessed);
    assert_holds(f, count, 0);
}

static void a_node_without_the_log_has_nothing_of_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(audited_put(f, "a", "1"), 0);
    kvs_node_close(f->node);
    f->options.audit = false;
    fixture_open(f);
    struct kvs_audit_event event = event_of(KVS_AUDIT_data_write, "a");
    struct kvs_write write = make_write(KVS_WRITE_PUT, "a", "2");
    write.audit = &event;
    assert_int_equal(kvs_node_write_wait(f->node, &write), 0);
    assert_false(write.audited);
    struct listing listing = {0};
    assert_false(kvs_node_has_audit(f->node));
    assert_int_equal(
        kvs_node_audit_visit(f->node, kvs_auth_open_grant(), 1, false, list_entry, &listing),
        KVS_ERR_NOT_FOUND);
    assert_int_equal(kvs_node_audit_seal(f->node), 0);
    kvs_node_close(f->node);
    f->options.audit = true;
    fixture_open(f); // and goes on where it was
    assert_int_equal(audited_put(f, "a", "3"), 0);
    assert_holds(f, 2, 0);
}

static void a_read_only_node_records_too(void **state)
{
    struct fixture *f = *state;
    kvs_node_close(f->node);
    f->options.read_only = true;
    fixture_open(f);
    struct kvs_audit_event event = event_of(KVS_AUDIT_data_write, "a");
    struct stall stall = {.executor = {.post = stall_post}, .let_go = true};
    struct kvs_write write = {
        .audit = &event, .err = KVS_ERR_READ_ONLY, .executor = &stall.executor};
    kvs_node_audit(f->node, &write);
    let_go(&stall, 1);
    assert_true(write.audited);
    assert_string_equal(list(f).text, "1 data_write a read_only\n");
}

// ---- Epochs

static void an_hour_with_entries_ends_with_a_root(void **state)
{
    struct fixture *f = *state;
    atomic_fetch_add(&f->clock.wall_ms, 3600 * 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_ROOTS), 0); // nothing new
    assert_int_equal(audited_put(f, "a", "1"), 0);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_ROOTS), 1);
    assert_int_equal(audited_put(f, "a", "1"), 0);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_ROOTS), 1); // too early
    atomic_fetch_add(&f->clock.wall_ms, 3600 * 1000);
    assert_int_equal(kvs_node_housekeep(f->node), 0);
    assert_int_equal(kvs_metrics_counter(f->metrics, KVS_METRIC_AUDIT_ROOTS), 2);
    assert_holds(f, 2, 0);
}

static void entries_and_growth_are_proven(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 700 }; // over the first stored level of the tree
    for (int i = 1; i <= COUNT; i++) {
        assert_int_equal(audited_put(f, "k", "1"), 0);
        if (i == 100 || i == 300)
            assert_int_equal(kvs_node_audit_seal(f->node), 0);
    }
    for (uint64_t seq = 1; seq <= COUNT; seq += seq < 10 || seq > 690 ? 1 : 23) {
        KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
        struct kvs_audit_proof proof;
        struct kvs_audit_verify_options options = {0};
        enum kvs_audit_trust trust;
        struct kvs_message message = {{0}};
        assert_int_equal(
            kvs_node_audit_prove(f->node, kvs_auth_open_grant(), seq, &scratch, &proof), 0);
        assert_int_equal(proof.seal.size, seq <= 100 ? 100 : seq <= 300 ? 300 : COUNT);
        assert_int_equal(kvs_audit_proof_check(&proof, &options, &trust, &message), 0);
        assert_int_equal(trust, seq <= 100 ? KVS_AUDIT_PROOF_GOOD : KVS_AUDIT_PROOF_KEY_UNKNOWN);
        assert_int_equal(kvs_node_audit_prove_growth(f->node, kvs_auth_open_grant(), seq, &proof),
                         0);
        assert_int_equal(kvs_audit_proof_check(&proof, &options, &trust, &message), 0);
        assert_int_not_equal(trust, KVS_AUDIT_PROOF_BAD);
        proof.from_root.bytes[0] ^= 1;
        assert_int_equal(kvs_audit_proof_check(&proof, &options, &trust, &message), 0);
        assert_int_equal(trust, KVS_AUDIT_PROOF_BAD);
    }
    struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_ENTRY_SIZE_MAX);
    struct kvs_audit_proof proof;
    assert_int_equal(
        kvs_node_audit_prove(f->node, kvs_auth_open_grant(), COUNT + 1, &scratch, &proof),
        KVS_ERR_NOT_FOUND);
    assert_int_equal(kvs_node_audit_prove(f->node, kvs_auth_open_grant(), 0, &scratch, &proof),
                     KVS_ERR_NOT_FOUND);
    kvs_buf_done(&scratch);
    assert_holds(f, COUNT, 0);
}

// ---- Damage to the store

enum { ENTRIES = 60, SEAL_EVERY = 20, UNSEALED = 10 };

static void fill(struct fixture *f)
{
    for (int i = 1; i <= ENTRIES; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key/%d", i);
        assert_int_equal(audited_put(f, key, "1"), 0);
        if (i % SEAL_EVERY == 0 && i <= ENTRIES - UNSEALED - SEAL_EVERY / 2)
            assert_int_equal(kvs_node_audit_seal(f->node), 0);
    }
}

// Copies the files of a running node, as after kill -9: the end is not sealed.
static struct kvs_store *open_copy(struct fixture *f, struct tempdir *dir)
{
    char command[512];
    tempdir_init(dir);
    (void)snprintf(command, sizeof(command), "cp -a %s/. %s", f->dir.path, dir->path);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a test's own folders
    const struct kvs_store_options options = {.path = dir->path, .compression = true};
    struct kvs_store *store = NULL;
    struct kvs_message message = {{0}};
    if (kvs_store_open(&options, &store, &message) != 0)
        fail_msg("%s", message.text);
    return store;
}

struct originals {
    struct kvs_buf values[ENTRIES + 2];
};

static struct kvs_slice store_key(uint64_t seq)
{
    static char memory[KVS_AUDIT_STORE_KEY_MAX];
    struct kvs_buf key = {.data = memory, .capacity = sizeof(memory), .size_max = sizeof(memory)};
    kvs_audit_entry_key(&key, seq);
    return kvs_buf_slice(&key);
}

static void store_put(struct kvs_store *store, uint64_t seq, struct kvs_slice value)
{
    struct kvs_store_batch *batch = kvs_store_batch_new(store);
    if (value.data)
        kvs_store_batch_put(batch, KVS_FAMILY_AUDIT, store_key(seq), value);
    else
        kvs_store_batch_delete(batch, KVS_FAMILY_AUDIT, store_key(seq));
    assert_int_equal(kvs_store_write(store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

static void remember(struct kvs_store *store, struct originals *originals)
{
    for (uint64_t seq = 1; seq <= ENTRIES; seq++) {
        kvs_buf_init(&originals->values[seq], 4096);
        assert_int_equal(kvs_store_get(store, KVS_FAMILY_AUDIT, store_key(seq), KVS_READ_DISK,
                                       &originals->values[seq]),
                         0);
    }
}

static void put_back(struct kvs_store *store, const struct originals *originals)
{
    for (uint64_t seq = 1; seq <= ENTRIES; seq++)
        store_put(store, seq, kvs_buf_slice(&originals->values[seq]));
    store_put(store, ENTRIES + 1, KVS_SLICE_EMPTY);
}

// One random damage; returns the first bad entry.
static uint64_t damage(struct kvs_store *store, const struct originals *originals,
                       struct kvs_random *random, int kind)
{
    uint64_t seq = 1 + kvs_random_below(random, ENTRIES);
    uint64_t other = 1 + kvs_random_below(random, ENTRIES - 1);
    other += other >= seq;
    struct kvs_slice value = kvs_buf_slice(&originals->values[seq]);
    switch (kind) {
    case 0: { // a bit
        char edited[4096];
        memcpy(edited, value.data, value.size);
        edited[kvs_random_below(random, value.size)] ^= (char)(1 << kvs_random_below(random, 8));
        store_put(store, seq, kvs_slice(edited, value.size));
        return seq;
    }
    case 1: // drop
        store_put(store, seq, KVS_SLICE_EMPTY);
        return seq;
    case 2: // swap
        store_put(store, seq, kvs_buf_slice(&originals->values[other]));
        store_put(store, other, value);
        return seq < other ? seq : other;
    case 3: // insert: all behind move up
        for (uint64_t i = seq; i <= ENTRIES; i++)
            store_put(store, i + 1, kvs_buf_slice(&originals->values[i]));
        store_put(store, seq, kvs_buf_slice(&originals->values[other]));
        return seq;
    case 4: // close the gap of a drop
        for (uint64_t i = seq; i < ENTRIES; i++)
            store_put(store, i, kvs_buf_slice(&originals->values[i + 1]));
        store_put(store, ENTRIES, KVS_SLICE_EMPTY);
        return seq;
    default: // cut the tail
        for (uint64_t i = seq; i <= ENTRIES; i++)
            store_put(store, i, KVS_SLICE_EMPTY);
        return seq;
    }
}

static void whatever_is_done_to_the_store_is_found(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct tempdir dir;
    struct kvs_store *store = open_copy(f, &dir);
    struct originals originals;
    remember(store, &originals);
    assert_true(verify(f, store).good);
    assert_true(verify(f, store).sealed < ENTRIES); // the open epoch is part of it
    struct kvs_random_seeded random;
    kvs_random_seeded_init(&random, 5);
    for (int i = 0; i < 600; i++) {
        uint64_t bad = damage(store, &originals, &random.base, i % 6);
        struct kvs_audit_report report = verify(f, store);
        if (report.good || report.bad_seq != bad)
            fail_msg("damage %d of entry %u; verify says: good %d, entry %u: %s", i % 6,
                     (unsigned)bad, report.good, (unsigned)report.bad_seq, report.message.text);
        put_back(store, &originals);
    }
    assert_true(verify(f, store).good);
    for (uint64_t seq = 1; seq <= ENTRIES; seq++)
        kvs_buf_done(&originals.values[seq]);
    kvs_store_close(store);
    tempdir_done(&dir);
}

static void store_raw(struct kvs_store *store, enum kvs_family family, struct kvs_slice key,
                      struct kvs_slice value)
{
    struct kvs_store_batch *batch = kvs_store_batch_new(store);
    if (value.data)
        kvs_store_batch_put(batch, family, key, value);
    else
        kvs_store_batch_delete(batch, family, key);
    assert_int_equal(kvs_store_write(store, batch, KVS_DURABILITY_ASYNC), 0);
    kvs_store_batch_free(batch);
}

static void damage_beside_the_entries_is_found(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct tempdir dir;
    struct kvs_store *store = open_copy(f, &dir);
    struct kvs_buf seal = KVS_BUF_INIT(4096);
    struct kvs_buf key = KVS_BUF_INIT(64);
    kvs_audit_seal_key(&key, 1);
    assert_int_equal(
        kvs_store_get(store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), KVS_READ_DISK, &seal), 0);
    store_raw(store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), KVS_SLICE_EMPTY);
    struct kvs_audit_report report = verify(f, store);
    assert_false(report.good);
    assert_int_equal(report.bad_seq, 1);
    for (size_t i = 0; i < seal.size; i++) {
        seal.data[i] ^= 16;
        store_raw(store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), kvs_buf_slice(&seal));
        assert_false(verify(f, store).good);
        seal.data[i] ^= 16;
    }
    store_raw(store, KVS_FAMILY_AUDIT, kvs_buf_slice(&key), kvs_buf_slice(&seal));
    assert_true(verify(f, store).good);
    // The head: gone, then damaged. Without it a cut tail would not show.
    struct kvs_buf head = KVS_BUF_INIT(4096);
    assert_int_equal(
        kvs_store_get(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, KVS_READ_DISK, &head), 0);
    store_raw(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, KVS_SLICE_EMPTY);
    assert_false(verify(f, store).good);
    for (size_t i = 0; i < head.size; i++) {
        head.data[i] ^= 16;
        store_raw(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, kvs_buf_slice(&head));
        assert_false(verify(f, store).good);
        head.data[i] ^= 16;
    }
    store_raw(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, kvs_buf_slice(&head));
    assert_true(verify(f, store).good);
    // An older key file, put back by somebody who kept it: epoch 1 has ended long since.
    struct kvs_audit_verify_options options = {0};
    struct kvs_message message = {{0}};
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/other.key", dir.path);
    struct kvs_audit_keys keys = {.current = kvs_audit_key_new(1, kvs_random_system())};
    assert_int_equal(kvs_audit_keys_save(path, &keys, &message), 0);
    assert_int_equal(kvs_audit_verify_store(store, path, &options, &report, &message), 0);
    assert_false(report.good);
    kvs_buf_done(&seal);
    kvs_buf_done(&key);
    kvs_buf_done(&head);
    kvs_store_close(store);
    tempdir_done(&dir);
}

// ---- Failing stores

static bool is_writable(struct fixture *f)
{
    struct kvs_node_status status;
    assert_int_equal(kvs_node_status(f->node, &status), 0);
    return status.writable;
}

static void wait_until_writable(struct fixture *f)
{
    kvs_fault_clear(faulty);
    int err = 0;
    while (!is_writable(f) && err != KVS_ERR_SHUTDOWN)
        err = kvs_node_housekeep(f->node);
}

// A put whose commit fails at `point`; afterwards the store may have it (SYNC) or not (WRITE).
static void fail_put(struct fixture *f, enum kvs_fault_point point)
{
    kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
    kvs_fault_set(faulty, point, 0, 1, KVS_ERR_IO);
    assert_int_equal(audited_put(f, "b", "1"), KVS_ERR_IO);
    assert_int_equal(audited_put(f, "c", "1"), KVS_ERR_IO); // refused unseen
    wait_until_writable(f);
}

static void the_chain_goes_on_after_a_failed_commit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(audited_put(f, "a", "1"), 0);
    fail_put(f, KVS_FAULT_WRITE);
    assert_int_equal(audited_put(f, "a", "2"), 0);
    assert_holds(f, 2, 0);
    fail_put(f, KVS_FAULT_SYNC); // there all the same, with its entry
    assert_int_equal(audited_put(f, "a", "3"), 0);
    assert_holds(f, 4, 0);
}

static void a_seal_in_doubt_is_found_out(void **state)
{
    struct fixture *f = *state;
    static const enum kvs_fault_point points[] = {KVS_FAULT_WRITE, KVS_FAULT_SYNC};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(points); i++) {
        assert_int_equal(audited_put(f, "a", "1"), 0);
        kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
        kvs_fault_set(faulty, points[i], 0, 1, KVS_ERR_IO);
        assert_int_equal(kvs_node_audit_seal(f->node), KVS_ERR_IO);
        assert_int_equal(kvs_node_audit_seal(f->node), KVS_ERR_BUSY); // its key must stay
        wait_until_writable(f);
        assert_int_equal(audited_put(f, "a", "2"), 0);
        assert_int_equal(kvs_node_audit_seal(f->node), 0);
        assert_int_equal(audited_put(f, "a", "3"), 0);
    }
    assert_holds(f, 6, 0);
}

// Killed in the middle of a seal: between the key file and the commit, and behind the commit.
static void a_crash_while_sealing_loses_no_key(void **state)
{
    struct fixture *f = *state;
    static const enum kvs_fault_point points[] = {KVS_FAULT_WRITE, KVS_FAULT_SYNC};
    for (size_t i = 0; i < KVS_ARRAY_SIZE(points); i++) {
        assert_int_equal(audited_put(f, "a", "1"), 0);
        kvs_fault_set(faulty, KVS_FAULT_RESUME, 0, KVS_FAULT_FOREVER, KVS_ERR_IO);
        kvs_fault_set(faulty, points[i], 0, 1, KVS_ERR_IO);
        assert_int_equal(kvs_node_audit_seal(f->node), KVS_ERR_IO);
        fixture_restart(f);
        assert_int_equal(audited_put(f, "a", "2"), 0);
    }
    assert_holds(f, 4, 0);
}

// ---- Lost keys, forged heads

static void a_lost_key_is_a_break_that_shows(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(audited_put(f, "a", "1"), 0);
    assert_int_equal(kvs_node_audit_seal(f->node), 0);
    assert_int_equal(audited_put(f, "a", "2"), 0);
    kvs_node_close(f->node);
    assert_int_equal(unlink(key_path(f)), 0);
    fixture_open(f);
    assert_int_equal(audited_put(f, "a", "3"), 0);
    assert_holds(f, 3, 1);
}

static void another_nodes_key_is_a_break_too(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(audited_put(f, "a", "1"), 0);
    kvs_node_close(f->node);
    struct kvs_message message = {{0}};
    struct kvs_audit_keys keys = {.current = kvs_audit_key_new(2, kvs_random_system())};
    assert_int_equal(kvs_audit_keys_save(key_path(f), &keys, &message), 0);
    fixture_open(f);
    assert_int_equal(audited_put(f, "a", "2"), 0);
    assert_holds(f, 2, 1);
}

static void an_old_head_is_a_break_at_the_next_start(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(audited_put(f, "a", "1"), 0);
    struct kvs_store *store = open_stopped(f);
    struct kvs_buf head = KVS_BUF_INIT(4096);
    assert_int_equal(
        kvs_store_get(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, KVS_READ_DISK, &head), 0);
    head.data[head.size - 1] ^= 1;
    store_raw(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, kvs_buf_slice(&head));
    kvs_buf_done(&head);
    kvs_store_close(store);
    fixture_open(f);
    assert_int_equal(audited_put(f, "a", "2"), 0);
    assert_holds(f, 2, 1);
}

// The node goes on behind a cut tail where it knows it was: the gap stays for ever.
static void a_cut_tail_is_not_grown_over(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(audited_put(f, "a", "1"), 0);
    struct kvs_store *store = open_stopped(f);
    store_put(store, 4, KVS_SLICE_EMPTY);
    store_put(store, 5, KVS_SLICE_EMPTY);
    kvs_store_close(store);
    fixture_open(f);
    assert_int_equal(audited_put(f, "a", "2"), 0);
    struct kvs_audit_report report = verify_stopped(f);
    assert_false(report.good);
    assert_int_equal(report.bad_seq, 4);
}

static void a_log_without_its_head_refuses_to_start(void **state)
{
    struct fixture *f = *state;
    struct kvs_store *store = open_stopped(f);
    store_raw(store, KVS_FAMILY_META, KVS_AUDIT_HEAD_KEY, KVS_SLICE_EMPTY);
    kvs_store_close(store);
    struct kvs_message message = {{0}};
    assert_int_equal(kvs_node_open(&f->options, &f->node, &message), KVS_ERR_CORRUPT);
    assert_non_null(strstr(message.text, "tamper_logging_enabled"));
    f->options.audit = false;
    fixture_open(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(writes_are_recorded_with_their_outcome),
        TEST(notes_are_recorded_by_themselves),
        TEST(too_many_notes_are_counted_and_confessed),
        TEST(a_node_without_the_log_has_nothing_of_it),
        TEST(a_read_only_node_records_too),
        TEST(an_hour_with_entries_ends_with_a_root),
        TEST(entries_and_growth_are_proven),
        TEST(whatever_is_done_to_the_store_is_found),
        TEST(damage_beside_the_entries_is_found),
        TEST(the_chain_goes_on_after_a_failed_commit),
        TEST(a_seal_in_doubt_is_found_out),
        TEST(a_crash_while_sealing_loses_no_key),
        TEST(a_lost_key_is_a_break_that_shows),
        TEST(another_nodes_key_is_a_break_too),
        TEST(an_old_head_is_a_break_at_the_next_start),
        TEST(a_cut_tail_is_not_grown_over),
        TEST(a_log_without_its_head_refuses_to_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
