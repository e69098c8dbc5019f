// SPDX-License-Identifier: Apache-2.0
// See verify.h. `seals` holds those roots and breaks whose signatures lead back to the first public
// key; what comes behind the first that does not is believed in nothing.
#include "audit/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { SEALS_MAX = 16 << 20 };

struct kvs_audit_verifier {
    struct kvs_audit_verify_options options;
    struct kvs_audit_hasher *hasher;
    struct kvs_audit_hash id;
    struct kvs_audit_seal *seals;
    size_t seal_count, seal_capacity;
    struct kvs_audit_public key; // of the epoch behind the seals
    uint64_t epoch;
    struct kvs_message seal_fault; // why the seals end where they do; "" = they are all there
    struct kvs_message end_fault;  // the same for the end
    // How the log ends. `claimed_size` is what the end says, whether or not it can be believed.
    uint64_t claimed_size;
    bool has_end;
    uint64_t end_size;
    struct kvs_audit_hash end_root;
    bool has_open_key;
    struct kvs_audit_hash open_key;
    // Second pass.
    size_t at;           // the seal that ends the epoch of the next entry
    bool keyed;          // the hasher has that epoch's key
    bool must_key;       // the epoch has begun: set the key first
    bool previous_keyed; // the entry before was checked by its HMAC, or needs no check
    struct kvs_audit_tree tree;
    struct kvs_audit_tree before; // the tree without the newest entry, while not keyed
    struct kvs_audit_hash leaf;   // of the newest entry
    bool torn;                    // the newest entry and the one before do not fit: which is bad?
    struct kvs_audit_hash torn_prev;
    struct kvs_audit_tree torn_before; // the tree without both
    bool failed;
    int err; // out of memory
    struct kvs_audit_report report;
};

// ---- Verdicts

static void judge_v(struct kvs_audit_verifier *v, uint64_t seq, const char *format, va_list args)
{
    if (v->failed || v->err)
        return;
    v->failed = true;
    v->report.bad_seq = seq;
    (void)vsnprintf(v->report.message.text, sizeof(v->report.message.text), format, args);
}

static void judge(struct kvs_audit_verifier *v, uint64_t seq, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void judge(struct kvs_audit_verifier *v, uint64_t seq, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    judge_v(v, seq, format, args);
    va_end(args);
}

void kvs_audit_verifier_fail(struct kvs_audit_verifier *verifier, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    judge_v(verifier, verifier->tree.size + 1, format, args);
    va_end(args);
}

// ---- Life

int kvs_audit_verifier_new(const struct kvs_audit_header *header,
                           const struct kvs_audit_verify_options *options,
                           struct kvs_audit_verifier **ret_verifier)
{
    KVS_CLEANUP(kvs_audit_verifier_freep)
    struct kvs_audit_verifier *v = calloc(1, sizeof(*v));
    if (!v)
        return KVS_ERR_NOMEM;
    int err = kvs_audit_hasher_new(&v->hasher);
    if (err)
        return err;
    v->options = *options;
    v->id = kvs_audit_genesis_id(&header->genesis, v->hasher);
    v->key = header->genesis.public_key;
    v->epoch = 1;
    v->tree = header->before;
    v->leaf = header->prev;
    v->previous_keyed = true;
    v->must_key = true;
    v->report.first = header->before.size + 1;
    v->report.last = header->before.size;
    if (options->key && memcmp(options->key->bytes, v->key.bytes, sizeof(v->key.bytes)) != 0)
        judge(v, 0, "this is another log: its key is not the expected one");
    else if (header->before.size == 0 && !kvs_audit_hash_eq(&header->prev, &v->id))
        judge(v, 0, "the header's prev is not the log's id");
    *ret_verifier = KVS_TAKE(v);
    return 0;
}

void kvs_audit_verifier_free(struct kvs_audit_verifier *verifier)
{
    if (!verifier)
        return;
    kvs_audit_hasher_free(verifier->hasher);
    free(verifier->seals);
    free(verifier);
}

// ---- First pass

bool kvs_audit_chain_step(const struct kvs_audit_seal *seal, const struct kvs_audit_hash *id,
                          uint64_t epoch, struct kvs_audit_public *key)
{
    if (seal->epoch != epoch || seal->kind == KVS_AUDIT_CHECKPOINT)
        return false;
    // A break is signed by the key that it brings: all it proves is that somebody made it.
    const struct kvs_audit_public *signed_by =
        seal->kind == KVS_AUDIT_BREAK ? &seal->next_key : key;
    if (!kvs_audit_seal_holds(seal, id, signed_by))
        return false;
    *key = seal->next_key;
    return true;
}

static uint64_t seals_end(const struct kvs_audit_verifier *v)
{
    return v->seal_count > 0 ? v->seals[v->seal_count - 1].size : 0;
}

static bool make_room(struct kvs_audit_verifier *v)
{
    if (v->seal_count < v->seal_capacity)
        return true;
    size_t capacity = v->seal_capacity ? v->seal_capacity * 2 : 16;
    struct kvs_audit_seal *seals =
        capacity <= SEALS_MAX ? realloc(v->seals, capacity * sizeof(*seals)) : NULL;
    if (!seals) {
        v->err = KVS_ERR_NOMEM;
        return false;
    }
    v->seals = seals;
    v->seal_capacity = capacity;
    return true;
}

static void set_seal_fault(struct kvs_audit_verifier *v, const char *fault)
{
    (void)snprintf(v->seal_fault.text, sizeof(v->seal_fault.text),
                   "the signed root of epoch %" PRIu64 " %s: nothing vouches for the entries from "
                   "here on",
                   v->epoch, fault);
}

// Whoever speaks of an epoch knows of a root before it.
static void expect_roots_before(struct kvs_audit_verifier *v, uint64_t epoch)
{
    if (epoch > v->epoch && !v->seal_fault.text[0])
        set_seal_fault(v, "is missing");
}

void kvs_audit_verifier_seal(struct kvs_audit_verifier *v, const struct kvs_audit_seal *seal)
{
    if (v->failed || v->err || v->seal_fault.text[0] || !make_room(v))
        return;
    const char *fault = NULL;
    if (!seal)
        fault = "cannot be read";
    else if (seal->epoch != v->epoch)
        fault = "is missing";
    else if (seal->size < seals_end(v) ||
             (seal->kind == KVS_AUDIT_ROOT && seal->size == seals_end(v)))
        fault = "covers no more than the one before";
    else if (!kvs_audit_chain_step(seal, &v->id, v->epoch, &v->key))
        fault = "is not signed by the key it must be signed by";
    if (fault) {
        set_seal_fault(v, fault);
        return;
    }
    v->seals[v->seal_count++] = *seal;
    v->epoch++;
}

void kvs_audit_verifier_checkpoint(struct kvs_audit_verifier *v,
                                   const struct kvs_audit_seal *checkpoint)
{
    v->claimed_size = checkpoint->size;
    expect_roots_before(v, checkpoint->epoch);
    if (v->seal_fault.text[0])
        return; // the key is not known
    if (checkpoint->kind != KVS_AUDIT_CHECKPOINT || checkpoint->epoch != v->epoch ||
        !kvs_audit_seal_holds(checkpoint, &v->id, &v->key) || checkpoint->size < seals_end(v)) {
        (void)snprintf(v->end_fault.text, sizeof(v->end_fault.text),
                       "the checkpoint at the end is not signed by the key of epoch %" PRIu64,
                       v->epoch);
        return;
    }
    v->has_end = true;
    v->end_size = checkpoint->size;
    v->end_root = checkpoint->root;
}

static const char *head_fault(struct kvs_audit_verifier *v, const struct kvs_audit_head *head,
                              struct kvs_slice head_signed, const struct kvs_audit_hash *head_mac,
                              const struct kvs_audit_signer *signer)
{
    if (signer && (signer->epoch != v->epoch ||
                   memcmp(signer->public_key.bytes, v->key.bytes, sizeof(v->key.bytes)) != 0))
        return "the key file does not belong to the epoch behind the last signed root";
    if (!head)
        return "the head, which says where the log ends, is missing or damaged";
    if (head->epoch != v->epoch || head->tree.size < seals_end(v))
        return "the head, which says where the log ends, is not behind the last signed root";
    if (!signer)
        return NULL;
    struct kvs_audit_hash mac = kvs_audit_mac(v->hasher, head_signed);
    return kvs_audit_hash_eq(&mac, head_mac) ? NULL
                                             : "the head, which says where the log ends, is forged";
}

void kvs_audit_verifier_head(struct kvs_audit_verifier *v, const struct kvs_audit_head *head,
                             struct kvs_slice head_signed, const struct kvs_audit_hash *head_mac,
                             const struct kvs_audit_signer *signer)
{
    v->claimed_size = head ? head->tree.size : 0;
    expect_roots_before(v, head ? head->epoch : 0);
    expect_roots_before(v, signer ? signer->epoch : 0);
    if (v->seal_fault.text[0])
        return;
    if (signer)
        kvs_audit_hasher_set_key(v->hasher, &signer->mac_key);
    const char *fault = head_fault(v, head, head_signed, head_mac, signer);
    if (signer && signer->epoch == v->epoch) {
        v->has_open_key = true;
        v->open_key = signer->mac_key;
    }
    if (fault) {
        (void)snprintf(v->end_fault.text, sizeof(v->end_fault.text), "%s", fault);
        return;
    }
    v->has_end = true;
    v->end_size = head->tree.size;
    v->end_root = kvs_audit_tree_root(&head->tree, v->hasher);
}

// ---- Second pass: epochs

static bool is_open_epoch(const struct kvs_audit_verifier *v)
{
    return v->at == v->seal_count;
}

static void begin_epoch(struct kvs_audit_verifier *v)
{
    if (!v->must_key)
        return;
    v->must_key = false;
    const struct kvs_audit_seal *seal = is_open_epoch(v) ? NULL : &v->seals[v->at];
    const struct kvs_audit_hash *key = NULL;
    if (seal && seal->kind == KVS_AUDIT_ROOT)
        key = &seal->mac_key;
    else if (!seal && v->has_open_key && !v->seal_fault.text[0])
        key = &v->open_key;
    v->keyed = key != NULL;
    if (key)
        kvs_audit_hasher_set_key(v->hasher, key);
}

// The two newest entries do not fit each other. With the earlier one's hash taken from the later
// one, is the root right?
static uint64_t torn_seq(struct kvs_audit_verifier *v, const struct kvs_audit_hash *root)
{
    struct kvs_audit_tree tree = v->torn_before;
    kvs_audit_tree_append(&tree, v->hasher, &v->torn_prev, NULL, NULL);
    kvs_audit_tree_append(&tree, v->hasher, &v->leaf, NULL, NULL);
    struct kvs_audit_hash other = kvs_audit_tree_root(&tree, v->hasher);
    return kvs_audit_hash_eq(&other, root) ? v->tree.size - 1 : v->tree.size;
}

static const char torn_text[] = "was changed: its hash is not the one that the next entry names";

static void check_root(struct kvs_audit_verifier *v, const struct kvs_audit_hash *root,
                       uint64_t epoch_start, const char *what)
{
    struct kvs_audit_hash own = kvs_audit_tree_root(&v->tree, v->hasher);
    if (v->torn) {
        uint64_t seq = torn_seq(v, root);
        judge(v, seq, "entry %" PRIu64 " %s", seq, torn_text);
    } else if (kvs_audit_hash_eq(&own, root)) {
        return;
    } else if (v->keyed || v->tree.size == epoch_start) {
        judge(v, epoch_start + 1,
              "the entries from %" PRIu64 " to %" PRIu64 " do not give the root that %s names",
              epoch_start + 1, v->tree.size, what);
    } else {
        judge(v, v->tree.size,
              "entry %" PRIu64 " was changed, or all from one behind %" PRIu64
              " up to it were rewritten: %s names another root",
              v->tree.size, epoch_start, what);
    }
}

static void check_pins(struct kvs_audit_verifier *v)
{
    for (size_t i = 0; i < v->options.pin_count; i++) {
        const struct kvs_audit_pin *pin = &v->options.pins[i];
        if (pin->size != v->tree.size)
            continue;
        struct kvs_audit_hash root = kvs_audit_tree_root(&v->tree, v->hasher);
        if (!kvs_audit_hash_eq(&root, &pin->root))
            judge(v, v->report.sealed + 1,
                  "the first %" PRIu64 " entries do not give the root that was expected: the log "
                  "was rewritten",
                  pin->size);
    }
}

// Everything that is to be checked once the tree has its present size.
static void check_size(struct kvs_audit_verifier *v)
{
    uint64_t start = v->at > 0 ? v->seals[v->at - 1].size : v->report.first - 1;
    while (!v->failed && v->at < v->seal_count && v->seals[v->at].size <= v->tree.size) {
        const struct kvs_audit_seal *seal = &v->seals[v->at];
        if (seal->size == v->tree.size)
            check_root(v, &seal->root, start, "the signed root");
        if (v->failed)
            return;
        if (seal->kind == KVS_AUDIT_ROOT) {
            v->report.roots++;
            v->report.sealed = seal->size;
        } else {
            v->report.breaks++;
            v->report.break_size = seal->size;
        }
        start = seal->size;
        v->at++;
        v->must_key = true;
    }
    if (!v->failed)
        check_pins(v);
}

// ---- Second pass: entries

static bool check_keyed(struct kvs_audit_verifier *v, const struct kvs_audit_entry *entry,
                        struct kvs_slice encoded)
{
    struct kvs_audit_hash mac = kvs_audit_mac(v->hasher, kvs_audit_entry_signed_part(encoded));
    if (!kvs_audit_hash_eq(&mac, &entry->signature))
        judge(v, entry->seq, "entry %" PRIu64 " was changed: its signature does not fit",
              entry->seq);
    else if (!kvs_audit_hash_eq(&entry->prev, &v->leaf))
        judge(v, v->previous_keyed ? entry->seq : entry->seq - 1, "entry %" PRIu64 " %s",
              v->previous_keyed ? entry->seq : entry->seq - 1, torn_text);
    return !v->failed;
}

static bool check_chained(struct kvs_audit_verifier *v, const struct kvs_audit_entry *entry,
                          const struct kvs_audit_hash *leaf)
{
    bool fits = kvs_audit_hash_eq(&entry->prev, &v->leaf);
    (void)leaf;
    if (v->torn) {
        uint64_t seq = fits ? entry->seq - 2 : entry->seq - 1;
        judge(v, seq, "entry %" PRIu64 " %s", seq, torn_text);
    } else if (!fits && v->previous_keyed) {
        judge(v, entry->seq, "entry %" PRIu64 " was changed: it does not follow the one before",
              entry->seq);
    } else if (!fits) {
        v->torn = true;
        v->torn_prev = entry->prev;
        v->torn_before = v->before;
    }
    return !v->failed;
}

// Is it the entry whose turn it is?
static bool check_place(struct kvs_audit_verifier *v, uint64_t seq, struct kvs_slice encoded,
                        struct kvs_audit_entry *ret_entry)
{
    uint64_t expected = v->tree.size + 1;
    if (v->has_end && expected > v->end_size)
        judge(v, expected, "entry %" PRIu64 " stands behind the end of the log", seq);
    else if (seq > expected)
        judge(v, expected, "entry %" PRIu64 " is missing: %" PRIu64 " follows", expected, seq);
    else if (seq < expected)
        judge(v, expected, "where entry %" PRIu64 " belongs stands %" PRIu64, expected, seq);
    else if (!encoded.data || kvs_audit_entry_decode(encoded, ret_entry) != 0)
        judge(v, expected, "entry %" PRIu64 " cannot be read", expected);
    else if (ret_entry->seq != seq)
        judge(v, expected, "where entry %" PRIu64 " belongs stands %" PRIu64, expected,
              ret_entry->seq);
    return !v->failed;
}

// What comes next is bad by itself; but if the two before do not fit each other, one of those is
// the first bad one. Which, nothing tells any more: the earlier one is named.
static bool settle_torn(struct kvs_audit_verifier *v, bool next_is_good)
{
    if (v->torn && !next_is_good)
        judge(v, v->tree.size - 1, "entry %" PRIu64 " %s", v->tree.size - 1, torn_text);
    return !v->failed;
}

void kvs_audit_verifier_entry(struct kvs_audit_verifier *v, uint64_t seq, struct kvs_slice encoded)
{
    struct kvs_audit_entry entry = {0};
    if (v->failed || v->err)
        return;
    if (v->tree.size + 1 == v->report.first)
        check_size(v); // seals and pins of what came before
    bool readable = seq == v->tree.size + 1 && encoded.data &&
                    kvs_audit_entry_decode(encoded, &entry) == 0 && entry.seq == seq;
    if (!settle_torn(v, readable) || !check_place(v, seq, encoded, &entry))
        return;
    begin_epoch(v);
    struct kvs_audit_hash leaf = kvs_audit_hash_leaf(v->hasher, encoded);
    if (v->keyed ? !check_keyed(v, &entry, encoded) : !check_chained(v, &entry, &leaf))
        return;
    if (!v->keyed)
        v->before = v->tree;
    v->previous_keyed = v->keyed;
    v->leaf = leaf;
    kvs_audit_tree_append(&v->tree, v->hasher, &leaf, NULL, NULL);
    v->report.last = v->tree.size;
    check_size(v);
    if (!v->failed && v->has_end && v->tree.size == v->end_size)
        check_root(v, &v->end_root, v->at > 0 ? v->seals[v->at - 1].size : 0, "the end");
}

void kvs_audit_verifier_place(struct kvs_audit_verifier *v, const struct kvs_audit_seal *seal)
{
    if (seal->size > v->tree.size)
        judge(v, v->tree.size + 1, "entry %" PRIu64 " is missing: a root over %" PRIu64 " follows",
              v->tree.size + 1, seal->size);
    else if (seal->size < v->tree.size && seal->size + 1 >= v->report.first)
        judge(v, seal->size + 1, "the root over %" PRIu64 " entries stands behind entry %" PRIu64,
              seal->size, v->tree.size);
}

// ---- The end

static void check_end(struct kvs_audit_verifier *v)
{
    if (v->tree.size + 1 == v->report.first)
        check_size(v); // there was no entry to do it
    if (v->at < v->seal_count)
        judge(v, v->tree.size + 1, "entry %" PRIu64 " is missing: a root over %" PRIu64 " exists",
              v->tree.size + 1, v->seals[v->at].size);
    if (v->torn)
        judge(v, v->tree.size - 1, "entry %" PRIu64 " %s", v->tree.size - 1, torn_text);
    if (v->tree.size < v->claimed_size)
        judge(v, v->tree.size + 1, "entry %" PRIu64 " is missing: the log has %" PRIu64 " entries",
              v->tree.size + 1, v->claimed_size);
    if (v->seal_fault.text[0])
        judge(v, seals_end(v) + 1, "%s", v->seal_fault.text);
    for (size_t i = 0; i < v->options.pin_count; i++) {
        uint64_t size = v->options.pins[i].size;
        if (size > v->tree.size)
            judge(v, v->tree.size + 1,
                  "entry %" PRIu64 " is missing: the log once had %" PRIu64 " entries",
                  v->tree.size + 1, size);
        else if (size + 1 < v->report.first)
            judge(v, 0,
                  "a root over %" PRIu64 " entries cannot be checked: this begins at %" PRIu64,
                  size, v->report.first);
    }
    if (v->end_fault.text[0])
        judge(v, v->tree.size + 1, "%s", v->end_fault.text);
    else if (!v->has_end)
        judge(v, v->tree.size + 1, "the log has no end: entries may be missing behind %" PRIu64,
              v->tree.size);
}

int kvs_audit_verifier_finish(struct kvs_audit_verifier *v, struct kvs_audit_report *ret_report)
{
    if (!v->failed)
        check_end(v);
    int err = v->err ? v->err : kvs_audit_hasher_error(v->hasher);
    v->report.good = !v->failed && !err;
    v->report.end_checked = v->has_end;
    v->report.open_checked = v->has_open_key;
    *ret_report = v->report;
    return err;
}
