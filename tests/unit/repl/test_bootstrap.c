// SPDX-License-Identifier: Apache-2.0
// How a bootstrapping node paces its questions and what peers push to it. Two cores under virtual
// time: `peer` has data, `joining` has none; messages arrive at once, reads take as long as a test
// says, commits no time at all.
#include "tests/unit/test.h"

#include "repl/message.h"
#include "repl/repl.h"

enum {
    ASKED_MAX = 64,
    MIB = 1 << 20,
    FETCH_DELAY_MS = 50,
    THROTTLE_DELAY_MS = 100,
    WALL_MS = 1000000,
};

struct host {
    struct kvs_repl *core;
    struct kvs_repl_actions actions;
    struct kvs_slice address;
};

struct question {
    enum kvs_repl_action_type type;
    int64_t asked_ms;
    int64_t answered_ms;
    uint32_t size_max;
    int64_t before_ms;
};

struct world {
    struct host peer, joining;
    int64_t now_ms;
    int64_t serve_ms;        // a read of the peer's takes so long
    size_t pages;            // of users' data, before the last one
    bool more;               // READ_LOG: the log has more than was read
    uint32_t own_count;      // writes of the peer's clients
    uint32_t joining_count;  // … and of the other one's
    bool refuses;            // the joining one: what it applies fails
    bool screened;           // … and is taken out of pages
    bool writes_when_joined; // its clients do, once
    bool compared_early;     // somebody compared with it before it had read its pages
    // What the peer was asked to read for the other, in order; and what it pushed, when.
    struct question asked[ASKED_MAX];
    size_t asked_count;
    int64_t pushed_ms[ASKED_MAX];
    size_t pushed_count;
    size_t listed; // keys that only the peer has
    // The read that the peer is at.
    struct kvs_repl_action reading;
    bool is_reading;
    bool empty;        // the peer, too
    bool elder;        // the peer's cluster, than all others
    bool cut;          // no message arrives
    int64_t gossip_ms; // 0: hardly ever
    int64_t read_ms;
};

static void step(struct world *w, struct host *host, struct kvs_repl_event *event);

static struct host *other(struct world *w, const struct host *host)
{
    return host == &w->peer ? &w->joining : &w->peer;
}

static struct kvs_repl_item item(const char *key, int64_t timestamp)
{
    return (struct kvs_repl_item){.key = kvs_slice_from_str(key),
                                  .version = {.timestamp = timestamp, .writer.node = {{7}}},
                                  .value = KVS_SLICE("1")};
}

// ---- What the peer reads

static void answer_read(struct world *w)
{
    const struct kvs_repl_action *action = &w->reading;
    struct kvs_repl_item items[ASKED_MAX];
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_READ};
    w->is_reading = false;
    w->asked[w->asked_count - 1].answered_ms = w->now_ms;
    if (action->type == KVS_REPL_ACTION_READ_PAGE) {
        bool data = action->read_page.family == KVS_REPL_TAG_DATA;
        items[0] = item("\x02k", WALL_MS - (int64_t)w->asked_count);
        event.read = (struct kvs_repl_read){.token = action->read_page.token,
                                            .more = data && w->pages > 0,
                                            .items = items,
                                            .item_count = data && !w->empty};
        w->pages -= data && w->pages > 0;
    } else {
        static char keys[ASKED_MAX][8];
        size_t count = action->read_keys.key_count < 4 ? action->read_keys.key_count : 4;
        for (size_t i = 0; i < count; i++) {
            struct kvs_slice key = action->read_keys.keys[i];
            memcpy(keys[i], key.data, key.size);
            keys[i][key.size] = '\0';
            items[i] = item(keys[i], WALL_MS - 100);
        }
        w->listed -= count;
        event.read = (struct kvs_repl_read){.token = action->read_keys.token,
                                            .to = (uint32_t)count,
                                            .items = items,
                                            .item_count = count};
    }
    step(w, &w->peer, &event);
}

static void begin_read(struct world *w, const struct kvs_repl_action *action)
{
    static char keys[64][8];
    static struct kvs_slice slices[64];
    assert_false(w->is_reading);
    assert_in_range(w->asked_count, 0, ASKED_MAX - 1);
    w->asked[w->asked_count++] = (struct question){
        action->type, w->now_ms, 0, action->read_page.size_max, action->read_page.before_ms};
    w->reading = *action;
    if (action->type == KVS_REPL_ACTION_READ_KEYS) { // the action is gone with the step
        for (size_t i = 0; i < action->read_keys.key_count; i++) {
            struct kvs_slice key = action->read_keys.keys[i];
            memcpy(keys[i], key.data, key.size);
            slices[i] = kvs_slice(keys[i], key.size);
        }
        w->reading.read_keys.keys = slices;
    }
    w->is_reading = true;
    w->read_ms = w->now_ms + w->serve_ms;
}

static void read_log(struct world *w, const struct kvs_repl_action *action)
{
    struct kvs_repl_item pushed = item("\x02pushed", WALL_MS + w->now_ms);
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_READ};
    event.read = (struct kvs_repl_read){.token = action->read_log.token,
                                        .to = action->read_log.run.from + 1,
                                        .more = w->more,
                                        .items = &pushed,
                                        .item_count = 1};
    assert_in_range(w->pushed_count, 0, ASKED_MAX - 1);
    w->pushed_ms[w->pushed_count++] = w->now_ms;
    step(w, &w->peer, &event);
}

// The peer lists what only it has; the other one has nothing.
static void compare(struct world *w, struct host *host, const struct kvs_repl_action *action)
{
    static char keys[ASKED_MAX][8];
    struct kvs_repl_stub stubs[ASKED_MAX];
    struct kvs_repl_compared answers[8] = {{0}};
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_COMPARED};
    struct kvs_repl_view view;
    size_t count = action->compare.range_count;
    assert_in_range(count, 1, 8);
    kvs_repl_view(host->core, &view);
    w->compared_early |= host == &w->joining && view.syncing;
    for (size_t i = 0; i < count; i++) {
        answers[i].kind = KVS_COMPARED_LISTED;
        answers[i].stubs = stubs;
        answers[i].stub_count = host == &w->peer ? w->listed : 0;
    }
    for (size_t i = 0; i < w->listed; i++) {
        keys[i][0] = KVS_REPL_TAG_DATA;
        keys[i][1] = (char)('a' + i);
        stubs[i].key = kvs_slice(keys[i], 2);
        stubs[i].version = (struct kvs_version){.timestamp = WALL_MS - 100, .writer.node = {{7}}};
    }
    if (host == &w->peer) {
        assert_in_range(w->asked_count, 0, ASKED_MAX - 1);
        w->asked[w->asked_count++] = (struct question){action->type, w->now_ms, w->now_ms, 0, 0};
        if (w->listed == 0)
            answers[0].kind = KVS_COMPARED_EQUAL;
    }
    event.compared = (struct kvs_repl_compare_done){action->compare.token, 0, answers, count};
    step(w, host, &event);
}

// ---- The world

static void commit(struct world *w, struct host *host, uint64_t token)
{
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_COMMIT};
    event.commit.token = token;
    event.commit.root.count = host == &w->peer && !w->empty;
    event.commit.own_count = host == &w->peer ? w->own_count : w->joining_count;
    event.commit.err = host == &w->joining && w->refuses ? KVS_ERR_CORRUPT : 0;
    event.commit.deferred_count = host == &w->joining; // these roots are nothing to conclude from
    step(w, host, &event);
}

// Without the items of a page, where the test says so, as a host gives it that cannot store them.
static void give(struct world *w, struct host *host, struct kvs_repl_event *event)
{
    struct kvs_repl_message message;
    struct kvs_arena arena;
    struct kvs_buf bytes = KVS_BUF_INIT(MIB);
    kvs_arena_init(&arena, MIB);
    assert_int_equal(kvs_repl_message_decode(event->message, &arena, &message), 0);
    if (w->screened && message.head.type == KVS_MESSAGE_PAGE_ANSWER &&
        message.page_answer.item_count > 0) {
        event->page_end = &message.page_answer.items[message.page_answer.item_count - 1];
        message.page_answer.item_count = 0;
        kvs_repl_message_encode(&message, &bytes);
        event->message = kvs_buf_slice(&bytes);
    }
    step(w, host, event);
    kvs_buf_done(&bytes);
    kvs_arena_done(&arena);
}

static void perform(struct world *w, struct host *host, const struct kvs_repl_action *action)
{
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_MESSAGE};
    switch (action->type) {
    case KVS_REPL_ACTION_SEND:
        if (w->cut || kvs_slice_eq(action->send.address, host->address)) // whoever was there before
            break;
        assert_true(kvs_slice_eq(action->send.address, other(w, host)->address));
        event.message = action->send.bytes;
        give(w, other(w, host), &event);
        break;
    case KVS_REPL_ACTION_APPLY:
        commit(w, host, action->apply.token);
        break;
    case KVS_REPL_ACTION_ADOPT:
        commit(w, host, action->adopt.token);
        break;
    case KVS_REPL_ACTION_PURGE:
        commit(w, host, action->purge.token);
        break;
    case KVS_REPL_ACTION_PROMISE:
        commit(w, host, action->promise.token);
        break;
    case KVS_REPL_ACTION_READ_LOG:
        read_log(w, action);
        break;
    case KVS_REPL_ACTION_READ_KEYS:
    case KVS_REPL_ACTION_READ_PAGE:
        begin_read(w, action);
        break;
    case KVS_REPL_ACTION_COMPARE:
        compare(w, host, action);
        break;
    case KVS_REPL_ACTION_NOTICE:
        if (w->writes_when_joined && host == &w->joining &&
            action->notice.kind == KVS_REPL_NOTICE_JOINED) {
            w->writes_when_joined = false;
            w->joining_count = 1;
            commit(w, host, 0);
        }
        break;
    default:
        break;
    }
}

// What a step causes is performed before the next one of that core: its actions are taken over.
static void step(struct world *w, struct host *host, struct kvs_repl_event *event)
{
    struct kvs_repl_actions actions;
    kvs_repl_actions_init(&actions);
    event->now_ms = w->now_ms;
    event->wall_ms = WALL_MS + w->now_ms;
    assert_int_equal(kvs_repl_step(host->core, event, &actions), 0);
    host->actions.next_ms = actions.next_ms;
    for (size_t i = 0; i < actions.count; i++)
        perform(w, host, &actions.list[i]);
    kvs_repl_actions_done(&actions);
}

static void tick(struct world *w, struct host *host)
{
    struct kvs_repl_event event = {.type = KVS_REPL_EVENT_TICK};
    if (w->now_ms >= host->actions.next_ms)
        step(w, host, &event);
}

static void run_for(struct world *w, int64_t ms)
{
    for (int64_t end_ms = w->now_ms + ms; w->now_ms < end_ms; w->now_ms++) {
        if (w->is_reading && w->now_ms >= w->read_ms)
            answer_read(w);
        tick(w, &w->peer);
        if (w->joining.core)
            tick(w, &w->joining);
    }
}

static void start(struct world *w, struct host *host, uint8_t number, bool throttled)
{
    struct kvs_slice seed = KVS_SLICE("p");
    bool is_peer = host == &w->peer;
    host->address = is_peer ? KVS_SLICE("p") : KVS_SLICE("j");
    struct kvs_repl_options options = {
        .node = {{number}},
        .joined_timestamp = number,
        .life = number,
        .name = host->address,
        .address = host->address,
        .seeds = &seed,
        .seed_count = is_peer ? 0 : 1,
        .cluster = {{{number}}, w->elder && is_peer ? 0 : number, is_peer},
        .digest_key = {{number}},
        .root.count = is_peer && !w->empty,
        .now_ms = w->now_ms,
        .wall_ms = WALL_MS + w->now_ms,
        .probe_interval_ms = 1000,
        .suspect_timeout_ms = 5000,
        .gossip_min_ms = w->gossip_ms ? w->gossip_ms : 60000,
        .gossip_max_ms = w->gossip_ms ? w->gossip_ms : 120000,
        .status_interval_ms = 1000,
        .sync_interval_ms = 300000,
        .catchup_interval_ms = 120000,
        .promise_interval_ms = 3600000,
        .retention_ms = 3600000,
        .expire_after_ms = 3600000,
        .skew_max_ms = 60000,
        .bootstrap_max_age_ms = 3600000,
        .throttle_delay_ms = throttled ? THROTTLE_DELAY_MS : 0,
        .fetch_delay_ms = throttled ? FETCH_DELAY_MS : 0,
        .batch_size_max = MIB,
        .push = true,
    };
    assert_int_equal(kvs_repl_new(&options, &host->core), 0);
}

static void begin(struct world *w, bool throttled)
{
    w->now_ms = 1000;
    start(w, &w->peer, 1, throttled);
    run_for(w, 5000); // it finds nobody to compare with, and does not look again soon
    start(w, &w->joining, 2, throttled);
}

static void end(struct world *w)
{
    kvs_repl_free(w->peer.core);
    kvs_repl_free(w->joining.core);
}

static bool is_syncing(const struct world *w)
{
    struct kvs_repl_view view;
    kvs_repl_view(w->joining.core, &view);
    return view.syncing;
}

static bool is_bootstrapping(const struct world *w)
{
    struct kvs_repl_view view;
    kvs_repl_view(w->joining.core, &view);
    return view.bootstrapping;
}

static void write_for(struct world *w, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++) {
        w->own_count++;
        commit(w, &w->peer, 0);
        run_for(w, 1);
    }
}

// Between the answer before it and the question.
static int64_t pause_before(const struct world *w, size_t index)
{
    return w->asked[index].asked_ms - w->asked[index - 1].answered_ms;
}

// ---- Pages

static void pages_are_small_and_apart(void **state)
{
    (void)state;
    struct world w = {.pages = 6};
    begin(&w, true);
    run_for(&w, 3000);
    assert_false(is_bootstrapping(&w));
    size_t pages = 0;
    for (; pages < w.asked_count && w.asked[pages].type == KVS_REPL_ACTION_READ_PAGE; pages++)
        assert_int_equal(w.asked[pages].size_max, 256 * 1024);
    assert_int_equal(pages, 1 + 7); // one of system records, which is empty
    assert_int_equal(pause_before(&w, 1), THROTTLE_DELAY_MS);
    for (size_t i = 2; i < pages; i++)
        assert_int_equal(pause_before(&w, i), FETCH_DELAY_MS);
    end(&w);
}

static void a_peer_at_work_is_left_alone_for_nine_times_as_long(void **state)
{
    (void)state;
    struct world w = {.pages = 4, .serve_ms = 30};
    begin(&w, true);
    run_for(&w, 5000);
    for (size_t i = 2; i < 6; i++)
        assert_int_equal(pause_before(&w, i), 9 * 30);
    end(&w);
}

static void however_slow_a_peer_is_the_bootstrap_goes_on(void **state)
{
    (void)state;
    struct world w = {.pages = 4, .serve_ms = 500};
    begin(&w, true);
    run_for(&w, 12000);
    assert_false(is_syncing(&w));
    for (size_t i = 2; i < 6; i++)
        assert_int_equal(pause_before(&w, i), 16 * FETCH_DELAY_MS);
    end(&w);
}

static void a_peer_that_goes_away_is_read_to_the_end_when_it_is_back(void **state)
{
    (void)state;
    struct world w = {.pages = 30};
    begin(&w, true);
    run_for(&w, 900);
    assert_true(is_syncing(&w));
    size_t asked = w.asked_count;
    w.cut = true;
    run_for(&w, 30000); // long enough to be taken for dead
    assert_false(is_syncing(&w));
    assert_true(is_bootstrapping(&w));
    assert_int_equal(w.asked_count, asked);
    w.cut = false;
    w.listed = 20;
    run_for(&w, 20000);
    assert_int_equal(w.listed, 0);
    assert_false(is_bootstrapping(&w));
    end(&w);
}

// A peer that is restarted says so, and is taken for dead at once: no reason to serve a part of the
// data.
static void a_peer_that_restarts_is_waited_for(void **state)
{
    (void)state;
    struct world w = {.pages = 30};
    struct kvs_repl_event pause = {.type = KVS_REPL_EVENT_PAUSE};
    begin(&w, true);
    run_for(&w, 900);
    assert_true(is_syncing(&w));
    step(&w, &w.peer, &pause);
    w.cut = true;
    for (int i = 0; i < 9000; i++) {
        run_for(&w, 1);
        assert_true(is_syncing(&w));
    }
    w.cut = false;
    for (int i = 0; i < 20000 && is_syncing(&w); i++)
        run_for(&w, 1);
    assert_int_equal(w.pages, 0);
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    end(&w);
}

// Data requests wait for accounts and permissions, even where nobody is left to read them from.
static void without_all_system_records_it_says_so_even_when_it_opens(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .serve_ms = 1000000};
    struct kvs_repl_view view;
    begin(&w, true);
    run_for(&w, 900);
    assert_int_equal(w.asked_count, 1); // the page of system records
    w.cut = true;
    w.is_reading = false;
    run_for(&w, 60000);
    assert_false(is_syncing(&w));
    kvs_repl_view(w.joining.core, &view);
    assert_true(view.lacks_system);
    w.cut = false;
    w.serve_ms = 0;
    run_for(&w, 20000);
    assert_false(is_bootstrapping(&w));
    kvs_repl_view(w.joining.core, &view);
    assert_false(view.lacks_system);
    end(&w);
}

// Both were stopped, or their machine slept: neither takes the other for gone.
static void a_standstill_is_nobodys_death(void **state)
{
    (void)state;
    struct world w = {.pages = 30};
    begin(&w, true);
    run_for(&w, 900);
    size_t asked = w.asked_count;
    w.now_ms += 60000;
    for (int i = 0; i < 20000 && is_syncing(&w); i++) {
        run_for(&w, 1);
        struct kvs_repl_member_view member;
        kvs_repl_member(w.joining.core, 0, &member);
        assert_int_equal(member.record.state, KVS_MEMBER_ALIVE);
    }
    assert_true(w.asked_count > asked);
    assert_int_equal(w.pages, 0);
    end(&w);
}

// Nobody was there, so it opened. Whoever writes to it then is not refused when somebody comes, not
// even by a write between the meeting and the first page.
static void a_node_that_has_opened_stays_open(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .listed = 12, .cut = true, .writes_when_joined = true};
    size_t pages = 0;
    begin(&w, true);
    assert_true(is_syncing(&w));
    run_for(&w, 11000);
    assert_false(is_syncing(&w));
    w.cut = false;
    for (int i = 0; i < 20000; i++) {
        run_for(&w, 1);
        assert_false(is_syncing(&w));
    }
    assert_int_equal(w.joining_count, 1);
    assert_false(is_bootstrapping(&w));
    assert_int_equal(w.listed, 0);
    for (size_t i = 0; i < w.asked_count; i++)
        pages += w.asked[i].type == KVS_REPL_ACTION_READ_PAGE;
    assert_int_equal(pages, 1 + 31);
    end(&w);
}

// It has no use for fewer, larger batches: somebody may read it.
static void writes_arrive_at_once_at_a_node_that_is_open(void **state)
{
    (void)state;
    struct world w = {.pages = 60, .cut = true};
    begin(&w, true);
    run_for(&w, 11000);
    w.cut = false;
    for (int i = 0; i < 20000 && w.asked_count < 3; i++)
        run_for(&w, 1);
    write_for(&w, 20);
    assert_true(is_bootstrapping(&w));
    assert_false(is_syncing(&w));
    assert_int_equal(w.pushed_count, 20);
    end(&w);
}

// A comparison that the peer begins would bring everything at once.
static void nobody_compares_with_a_node_that_reads_pages(void **state)
{
    (void)state;
    struct world w = {.pages = 40, .now_ms = 1000};
    start(&w, &w.peer, 1, true);
    start(&w, &w.joining, 2, true);
    run_for(&w, 1900); // the peer looks for somebody to compare with a second after its start
    assert_true(is_syncing(&w));
    for (int i = 0; i < 20000 && is_bootstrapping(&w); i++)
        run_for(&w, 1);
    assert_int_equal(w.pages, 0);
    assert_false(w.compared_early);
    end(&w);
}

// Nobody can give it what it lacks: it is not to wait for a promise, which comes every few minutes.
static void whose_source_was_removed_is_done(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .serve_ms = 1000000};
    struct kvs_repl_view view;
    begin(&w, true);
    run_for(&w, 900);
    w.cut = true;
    w.is_reading = false;
    run_for(&w, 60000);
    kvs_repl_view(w.joining.core, &view);
    assert_true(view.lacks_system);
    struct kvs_repl_event removal = {.type = KVS_REPL_EVENT_REMOVE, .remove = {{1}}};
    step(&w, &w.joining, &removal);
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    kvs_repl_view(w.joining.core, &view);
    assert_false(view.lacks_system);
    end(&w);
}

static void whoever_waits_for_the_rest_does_so_asleep(void **state)
{
    (void)state;
    struct world w = {.pages = 30};
    size_t steps = 0;
    begin(&w, true);
    run_for(&w, 900);
    w.cut = true;
    run_for(&w, 60000);
    assert_false(is_syncing(&w));
    assert_true(is_bootstrapping(&w));
    for (int i = 0; i < 10000; i++) {
        steps += w.now_ms >= w.joining.actions.next_ms;
        run_for(&w, 1);
    }
    assert_in_range(steps, 1, 200);
    end(&w);
}

// However late each step is, and however soon the next one is due.
static void time_goes_on_where_every_step_is_late(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .gossip_ms = 10};
    struct kvs_repl_member_view member;
    begin(&w, true);
    run_for(&w, 5000);
    w.cut = true;
    for (int64_t end_ms = w.now_ms + 600000; w.now_ms < end_ms;) {
        struct kvs_repl_event event = {.type = KVS_REPL_EVENT_TICK};
        w.now_ms = w.joining.actions.next_ms + 150;
        step(&w, &w.joining, &event);
    }
    kvs_repl_member(w.joining.core, 0, &member);
    assert_int_equal(member.record.state, KVS_MEMBER_DEAD);
    end(&w);
}

// Of the cluster that it leaves it had read all there was, which was nothing.
static void in_an_elder_cluster_it_begins_anew_with_system_records(void **state)
{
    (void)state;
    struct world w = {.pages = 0, .empty = true};
    begin(&w, true);
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    assert_int_equal(w.asked[0].type, KVS_REPL_ACTION_READ_PAGE);
    kvs_repl_free(w.peer.core);
    size_t asked = w.asked_count;
    w.empty = false;
    w.elder = true;
    w.pages = 3;
    w.is_reading = false;
    start(&w, &w.peer, 3, true);
    for (int i = 0; i < 60000 && w.asked_count == asked; i++)
        run_for(&w, 1);
    assert_int_equal(w.asked[asked].type, KVS_REPL_ACTION_READ_PAGE);
    assert_int_equal(w.reading.read_page.family, KVS_REPL_TAG_SYSTEM);
    assert_true(w.asked[asked].before_ms == INT64_MAX);
    end(&w);
}

static void without_throttling_there_is_no_pause_and_pages_are_large(void **state)
{
    (void)state;
    struct world w = {.pages = 6, .serve_ms = 30};
    begin(&w, false);
    run_for(&w, 3000);
    assert_false(is_bootstrapping(&w));
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(w.asked[i].type, KVS_REPL_ACTION_READ_PAGE);
        assert_int_equal(w.asked[i].size_max, MIB);
        assert_true(i == 0 || pause_before(&w, i) <= 1); // a tick
    }
    end(&w);
}

static void a_page_that_was_not_applied_is_asked_for_again(void **state)
{
    (void)state;
    struct world w = {.pages = 3, .refuses = true};
    begin(&w, true);
    run_for(&w, 5000);
    assert_true(is_syncing(&w));
    assert_in_range(w.asked_count, 4, 10); // with a pause
    for (size_t i = 2; i < w.asked_count; i++)
        assert_int_equal(w.asked[i].before_ms, w.asked[1].before_ms);
    w.refuses = false;
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    end(&w);
}

// A page that is empty because all in it has been taken out is not the last one.
static void pages_go_on_behind_one_that_was_emptied(void **state)
{
    (void)state;
    struct world w = {.pages = 4, .screened = true};
    begin(&w, true);
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    size_t pages = 0;
    for (; pages < w.asked_count && w.asked[pages].type == KVS_REPL_ACTION_READ_PAGE; pages++)
        if (pages > 1)
            assert_true(w.asked[pages].before_ms < w.asked[pages - 1].before_ms);
    assert_int_equal(pages, 1 + 5);
    end(&w);
}

// ---- The digest sync behind them

static void the_comparison_behind_the_pages_pauses_too(void **state)
{
    (void)state;
    struct world w = {.listed = 12};
    size_t fetches = 0;
    begin(&w, true);
    run_for(&w, 5000);
    assert_false(is_bootstrapping(&w));
    for (size_t i = 1; i < w.asked_count; i++) {
        bool is_second = w.asked[i - 1].type != KVS_REPL_ACTION_READ_PAGE;
        if (w.asked[i].type == KVS_REPL_ACTION_READ_KEYS)
            assert_true(pause_before(&w, i) >= FETCH_DELAY_MS);
        else if (is_second && w.asked[i].type == KVS_REPL_ACTION_COMPARE)
            assert_true(pause_before(&w, i) >= THROTTLE_DELAY_MS);
        fetches += w.asked[i].type == KVS_REPL_ACTION_READ_KEYS;
    }
    assert_int_equal(fetches, 3);
    end(&w);
}

static void without_throttling_the_comparison_does_not_pause(void **state)
{
    (void)state;
    struct world w = {.listed = 12};
    size_t fetches = 0;
    begin(&w, false);
    run_for(&w, 5000);
    for (size_t i = 1; i < w.asked_count; i++) {
        if (w.asked[i].type != KVS_REPL_ACTION_READ_KEYS)
            continue;
        assert_true(pause_before(&w, i) <= 1);
        fetches++;
    }
    assert_int_equal(fetches, 3);
    end(&w);
}

// ---- What is written meanwhile

static void writes_gather_while_pages_are_read(void **state)
{
    (void)state;
    struct world w = {.pages = 30};
    begin(&w, true);
    run_for(&w, 500);
    assert_true(is_syncing(&w));
    write_for(&w, 450);
    assert_true(is_syncing(&w));
    assert_in_range(w.pushed_count, 2, 3); // at once, then one every 200 ms
    end(&w);
}

static void a_sender_that_falls_behind_goes_on_at_once(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .more = true};
    begin(&w, true);
    run_for(&w, 500);
    write_for(&w, 20);
    assert_true(is_syncing(&w));
    assert_int_equal(w.pushed_count, 20);
    end(&w);
}

static void writes_arrive_at_once_when_the_node_has_opened(void **state)
{
    (void)state;
    struct world w = {.pages = 1};
    begin(&w, true);
    run_for(&w, 3000);
    assert_false(is_bootstrapping(&w));
    write_for(&w, 20);
    assert_int_equal(w.pushed_count, 20);
    end(&w);
}

static void writes_arrive_at_once_without_throttling(void **state)
{
    (void)state;
    struct world w = {.pages = 30, .serve_ms = 30};
    begin(&w, false);
    run_for(&w, 300);
    assert_true(is_syncing(&w));
    write_for(&w, 20);
    assert_true(is_syncing(&w));
    assert_int_equal(w.pushed_count, 20);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_small_and_apart),
        cmocka_unit_test(a_peer_at_work_is_left_alone_for_nine_times_as_long),
        cmocka_unit_test(however_slow_a_peer_is_the_bootstrap_goes_on),
        cmocka_unit_test(a_peer_that_goes_away_is_read_to_the_end_when_it_is_back),
        cmocka_unit_test(a_node_that_has_opened_stays_open),
        cmocka_unit_test(writes_arrive_at_once_at_a_node_that_is_open),
        cmocka_unit_test(a_peer_that_restarts_is_waited_for),
        cmocka_unit_test(without_all_system_records_it_says_so_even_when_it_opens),
        cmocka_unit_test(a_standstill_is_nobodys_death),
        cmocka_unit_test(nobody_compares_with_a_node_that_reads_pages),
        cmocka_unit_test(whose_source_was_removed_is_done),
        cmocka_unit_test(whoever_waits_for_the_rest_does_so_asleep),
        cmocka_unit_test(time_goes_on_where_every_step_is_late),
        cmocka_unit_test(in_an_elder_cluster_it_begins_anew_with_system_records),
        cmocka_unit_test(without_throttling_there_is_no_pause_and_pages_are_large),
        cmocka_unit_test(a_page_that_was_not_applied_is_asked_for_again),
        cmocka_unit_test(pages_go_on_behind_one_that_was_emptied),
        cmocka_unit_test(the_comparison_behind_the_pages_pauses_too),
        cmocka_unit_test(without_throttling_the_comparison_does_not_pause),
        cmocka_unit_test(writes_gather_while_pages_are_read),
        cmocka_unit_test(a_sender_that_falls_behind_goes_on_at_once),
        cmocka_unit_test(writes_arrive_at_once_when_the_node_has_opened),
        cmocka_unit_test(writes_arrive_at_once_without_throttling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
