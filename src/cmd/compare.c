// SPDX-License-Identifier: Apache-2.0
// The descent: a list of ranges in key order, each with the side that is to be asked about it next.
//
//     whole range: A's hash -> B compares -> B's parts -> A compares -> A's parts -> …
//                                                          -> versions of the one -> of the other
//
// The ranges nearest to the front that wait for one side go into one request, so that a level of
// the descent costs a request, however many ranges differ, and what is held at once stays bounded.
#include "cmd/compare_internal.h"

#include <string.h>

#include "base/assert.h"
#include "cmd/client_args.h"

enum { ASKED_MAX = 256 }; // ranges in one request; a node takes no more

struct range {
    struct range *next;               // behind it in key order
    char *key;                        // this one alone; NULL: [start, end)
    char *start, *end;                // "" = open
    char hash[KVS_COMPARE_HASH_SIZE]; // what the side that was asked before has; "" = nobody yet
    int side;                         // to ask next
    bool list;                        // … for its versions: the other side's are known
    bool known;                       // both sides' are
    struct kvs_compare_entries have[2];
};

struct walk {
    struct kvs_client *const *clients;
    const struct kvs_compare_scope *scope;
    kvs_compare_visit_fn *visit;
    void *context;
    struct range *first;
    char digests[2][KVS_COMPARE_HASH_SIZE]; // "" before the first answer
    struct kvs_client_error *error;
    int side; // that was asked last
    int code; // an exit code
};

static void range_free(struct range *range)
{
    free(range->key);
    free(range->start);
    free(range->end);
    kvs_compare_entries_done(&range->have[0]);
    kvs_compare_entries_done(&range->have[1]);
    free(range);
}

static struct range *range_new(const char *key, const char *start, const char *end, int side)
{
    struct range *range = calloc(1, sizeof(*range));
    if (!range)
        return NULL;
    range->key = key ? strdup(key) : NULL;
    range->start = strdup(start);
    range->end = strdup(end);
    range->side = side;
    if ((!key || range->key) && range->start && range->end)
        return range;
    range_free(range);
    return NULL;
}

static enum kvs_compare_outcome fail(struct walk *walk, const char *why)
{
    kvs_cmd_error("%s", why);
    walk->code = KVS_EXIT_FAILED;
    return KVS_COMPARE_FAILED;
}

static enum kvs_compare_outcome fail_memory(struct walk *walk)
{
    return fail(walk, "out of memory");
}

static enum kvs_compare_outcome fail_answer(struct walk *walk)
{
    return fail(walk, "a node's answers contradict each other");
}

// ---- What both have

static int key_order(const struct kvs_compare_entry *a, const struct kvs_compare_entry *b)
{
    return !a ? 1 : !b ? -1 : strcmp(a->key, b->key);
}

static int visit_range(const struct walk *walk, const struct range *range)
{
    size_t at[2] = {0, 0};
    int code = KVS_EXIT_OK;
    while (code == KVS_EXIT_OK) {
        const struct kvs_compare_entry *entry[2];
        for (int i = 0; i < 2; i++)
            entry[i] = at[i] < range->have[i].count ? &range->have[i].list[at[i]] : NULL;
        if (!entry[0] && !entry[1])
            break;
        int order = key_order(entry[0], entry[1]);
        at[0] += order <= 0;
        at[1] += order >= 0;
        code =
            walk->visit(walk->context, order <= 0 ? entry[0] : NULL, order >= 0 ? entry[1] : NULL);
    }
    return code;
}

static enum kvs_compare_outcome visit_known(struct walk *walk)
{
    while (walk->first && walk->first->known) {
        struct range *range = walk->first;
        walk->code = visit_range(walk, range);
        walk->first = range->next;
        range_free(range);
        if (walk->code != KVS_EXIT_OK)
            return KVS_COMPARE_FAILED;
    }
    return KVS_COMPARE_DONE;
}

// ---- Answers

static void take_entries(struct range *range, struct kvs_compare_answer *answer)
{
    kvs_compare_entries_done(&range->have[range->side]);
    range->have[range->side] = answer->entries;
    answer->entries = (struct kvs_compare_entries){0};
}

// The page ends before the range: the rest becomes a range of its own.
static bool cut_off_rest(struct range *range, const char *next_key)
{
    int other = !range->side;
    struct kvs_compare_entries *have = &range->have[other];
    struct range *rest = range_new(NULL, next_key, range->end, range->side);
    char *end = strdup(next_key);
    size_t keep = 0;
    bool good = rest && end;
    while (keep < have->count && strcmp(have->list[keep].key, next_key) < 0)
        keep++;
    for (size_t i = keep; good && i < have->count; i++)
        good = kvs_compare_entries_add(&rest->have[other], have->list[i].key, &have->list[i]);
    if (!good) {
        free(end);
        if (rest)
            range_free(rest);
        return false;
    }
    for (size_t i = keep; i < have->count; i++)
        free(have->list[i].key);
    have->count = keep;
    rest->list = true;
    rest->next = range->next;
    range->next = rest;
    free(range->end);
    range->end = end;
    return true;
}

static enum kvs_compare_outcome take_versions(struct walk *walk, struct range *range,
                                              struct kvs_compare_answer *answer)
{
    const char *next_key = answer->next_key;
    take_entries(range, answer);
    if (next_key && (range->key || strcmp(next_key, range->start) <= 0))
        return fail_answer(walk);
    if (!range->list) { // the other side's are wanted, of the whole range
        if (next_key && !cut_off_rest(range, next_key))
            return fail_memory(walk);
        if (next_key)
            range->next->list = false; // nobody's are known there: compared again
        range->side = !range->side;
        range->list = true;
        return KVS_COMPARE_DONE;
    }
    range->known = true;
    return next_key && !cut_off_rest(range, next_key) ? fail_memory(walk) : KVS_COMPARE_DONE;
}

static enum kvs_compare_outcome take_parts(struct walk *walk, struct range *range,
                                           const struct kvs_compare_answer *answer)
{
    struct range **at = &range->next;
    const char *last = range->start;
    if (range->key || range->list)
        return fail_answer(walk);
    for (size_t i = 0; i < answer->part_count; i++) {
        bool is_last = i + 1 == answer->part_count;
        const char *start = i == 0 ? range->start : answer->parts[i].start_key;
        const char *end = is_last ? range->end : answer->parts[i + 1].start_key;
        if (i > 0 && strcmp(start, last) <= 0)
            return fail_answer(walk);
        struct range *part = range_new(NULL, start, end, !range->side);
        if (!part)
            return fail_memory(walk);
        memcpy(part->hash, answer->parts[i].hash, sizeof(part->hash));
        part->next = *at;
        *at = part;
        at = &part->next;
        last = start;
    }
    range->known = true; // nothing is left in it itself
    return KVS_COMPARE_DONE;
}

static enum kvs_compare_outcome take_answer(struct walk *walk, struct range *range,
                                            struct kvs_compare_answer *answer)
{
    switch (answer->kind) {
    case KVS_COMPARE_SAME:
        range->known = true;
        return KVS_COMPARE_DONE;
    case KVS_COMPARE_HASH:
        if (range->hash[0] || range->list)
            return fail_answer(walk);
        memcpy(range->hash, answer->hash, sizeof(range->hash));
        range->side = !range->side;
        return KVS_COMPARE_DONE;
    case KVS_COMPARE_PARTS:
        return take_parts(walk, range, answer);
    case KVS_COMPARE_VERSIONS:
        break;
    }
    return take_versions(walk, range, answer);
}

// ---- Questions

static size_t gather(const struct walk *walk, struct range *asked[static ASKED_MAX])
{
    size_t count = 0;
    for (struct range *range = walk->first; range && count < ASKED_MAX; range = range->next)
        if (!range->known && (count == 0 || range->side == asked[0]->side))
            asked[count++] = range;
    return count;
}

// Does the node not know such questions, or not answer them to this caller?
static bool is_unsupported(const struct kvs_client_error *error)
{
    return error->http_status == 401 || error->http_status == 403 || error->http_status == 404 ||
           error->http_status == 405;
}

static enum kvs_compare_outcome check_digest(struct walk *walk, int side, const char *digest)
{
    bool first = !walk->digests[side][0];
    if (first)
        memcpy(walk->digests[side], digest, sizeof(walk->digests[side]));
    if (strcmp(walk->digests[side], digest) != 0)
        return fail(walk, "a node has joined another cluster meanwhile: compare again");
    bool other = walk->digests[!side][0] && strcmp(walk->digests[!side], digest) != 0;
    return other ? KVS_COMPARE_OTHER_CLUSTER : KVS_COMPARE_DONE;
}

static enum kvs_compare_outcome ask(struct walk *walk, struct range *const *asked, size_t count)
{
    struct kvs_compare_question questions[ASKED_MAX];
    struct kvs_compare_answers answers;
    int side = asked[0]->side;
    for (size_t i = 0; i < count; i++)
        questions[i] = (struct kvs_compare_question){.key = asked[i]->key,
                                                     .start_key = asked[i]->start,
                                                     .end_key = asked[i]->end,
                                                     .hash = asked[i]->hash,
                                                     .list = asked[i]->list};
    walk->side = side;
    if (kvs_compare_ask(walk->clients[side], walk->scope->prefix, questions, count, &answers,
                        walk->error) != KVS_CLIENT_OK) {
        if (!walk->digests[side][0] && is_unsupported(walk->error))
            return KVS_COMPARE_UNSUPPORTED;
        walk->code = kvs_cmd_client_error(walk->error);
        return KVS_COMPARE_FAILED;
    }
    enum kvs_compare_outcome outcome = check_digest(walk, side, answers.digest);
    for (size_t i = 0; i < count && i < answers.count && outcome == KVS_COMPARE_DONE; i++)
        outcome = take_answer(walk, asked[i], &answers.list[i]);
    kvs_compare_answers_done(&answers);
    return outcome;
}

static bool begin(struct walk *walk)
{
    struct range *below = range_new(NULL, "", "", KVS_COMPARE_A);
    struct range *key =
        walk->scope->key ? range_new(walk->scope->key, "", "", KVS_COMPARE_A) : NULL;
    walk->first = key ? key : below;
    if (key)
        key->next = below;
    return below && (key || !walk->scope->key);
}

enum kvs_compare_outcome kvs_compare_run(struct kvs_client *const clients[static 2],
                                         const struct kvs_compare_scope *scope,
                                         kvs_compare_visit_fn *visit, void *context, int *ret_side,
                                         struct kvs_client_error *ret_error, int *ret_code)
{
    struct walk walk = {
        .clients = clients, .scope = scope, .visit = visit, .context = context, .error = ret_error};
    struct range *asked[ASKED_MAX];
    enum kvs_compare_outcome outcome = begin(&walk) ? KVS_COMPARE_DONE : fail_memory(&walk);
    while (outcome == KVS_COMPARE_DONE && walk.first) {
        size_t count = gather(&walk, asked);
        if (count > 0)
            outcome = ask(&walk, asked, count);
        if (outcome == KVS_COMPARE_DONE)
            outcome = visit_known(&walk);
    }
    while (walk.first) {
        struct range *range = walk.first;
        walk.first = range->next;
        range_free(range);
    }
    *ret_side = walk.side;
    *ret_code = walk.code;
    return outcome;
}
