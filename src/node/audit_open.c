// SPDX-License-Identifier: Apache-2.0
// The audit log's beginnings and its keys: making it, finding it again, and going from one epoch to
// the next. What a crash may leave behind:
//
//   key file           store                 then
//   current e          last root e - 1       epoch e goes on
//   current e, next    last root e - 1       epoch e goes on; `next` was never used
//   current e, next    last root e           epoch e + 1, with `next`
//   anything else      anything else         a break: a new key, and everybody can see it
//
// So the next key is in the file before the root that certifies it is in the store, and the old key
// leaves the file after that.
#include "node/audit_internal.h"

#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>

enum { SEAL_PERIOD_MS = 60 * 60 * 1000 };

// ---- Publishing

void kvs_node_audit_publish(struct kvs_node_audit *audit, const struct kvs_audit_key *secret,
                            struct kvs_audit_signer *signer)
{
    struct kvs_audit_signer old = {0};
    (void)pthread_mutex_lock(&audit->lock); // a plain mutex that we never lock twice
    audit->published = audit->state;
    if (signer) {
        old = audit->signer;
        audit->signer = *signer;
        *signer = (struct kvs_audit_signer){0};
        audit->secret = *secret;
    }
    (void)pthread_mutex_unlock(&audit->lock);
    kvs_audit_signer_done(&old);
}

// ---- What the store says

struct found {
    struct kvs_audit_state state;
    struct kvs_audit_public next_key; // of the epoch that must go on
    uint64_t epoch;
    bool head_good; // as far as can be told without the key
    struct kvs_slice head_signed;
    struct kvs_audit_hash head_mac;
};

static int find(struct kvs_node_audit *audit, struct kvs_buf *scratch, struct found *found)
{
    struct kvs_store *store = audit->node->store;
    struct kvs_audit_seal seal;
    *found = (struct found){.epoch = 1,
                            .next_key = audit->genesis.public_key,
                            .state = {.sealed_ms = audit->genesis.created}};
    int err = kvs_audit_log_last_seal(store, &seal);
    if (err && err != KVS_ERR_NOT_FOUND)
        return err;
    if (!err) {
        found->epoch = seal.epoch + 1;
        found->next_key = seal.next_key;
        found->state.sealed_size = seal.size;
        found->state.sealed_ms = seal.timestamp;
    }
    err = kvs_audit_log_head(store, scratch, &found->state.head, &found->head_signed,
                             &found->head_mac);
    if (err)
        return err == KVS_ERR_NOT_FOUND ? KVS_ERR_CORRUPT : err;
    found->head_good = found->state.head.epoch == found->epoch &&
                       found->state.head.tree.size >= found->state.sealed_size;
    return 0;
}

// Has the file the key of the epoch that must go on? Then hands it over.
static int fit(const struct kvs_audit_key *key, const struct found *found,
               struct kvs_audit_signer *ret_signer, bool *ret_fits)
{
    *ret_fits = false;
    if (key->epoch != found->epoch)
        return 0;
    int err = kvs_audit_signer_init(ret_signer, key);
    if (err)
        return err;
    *ret_fits = memcmp(ret_signer->public_key.bytes, found->next_key.bytes,
                       sizeof(found->next_key.bytes)) == 0;
    if (!*ret_fits)
        kvs_audit_signer_done(ret_signer);
    return 0;
}

static void take_over(struct kvs_node_audit *audit, const struct kvs_audit_state *state,
                      const struct kvs_audit_key *secret, struct kvs_audit_signer *signer)
{
    audit->state = *state;
    audit->pending = *state;
    audit->touched = false;
    kvs_audit_hasher_set_key(audit->hasher, &signer->mac_key);
    audit->keyed_epoch = signer->epoch;
    kvs_node_audit_publish(audit, secret, signer);
}

// ---- Writing by itself, outside of a group

static int write_batch(struct kvs_node_audit *audit, struct kvs_store_batch *batch)
{
    kvs_node_audit_put_head(audit, batch);
    int err = kvs_audit_hasher_error(audit->hasher);
    if (!err)
        err = kvs_store_write(audit->node->store, batch, KVS_DURABILITY_SYNC);
    kvs_store_batch_free(batch);
    return err;
}

static void put(struct kvs_node_audit *audit, struct kvs_store_batch *batch, struct kvs_slice key)
{
    kvs_store_batch_put(batch, KVS_FAMILY_AUDIT, key, kvs_buf_slice(&audit->value));
    kvs_buf_clear(&audit->value);
}

static int create(struct kvs_node_audit *audit, struct kvs_message *ret_message)
{
    const struct kvs_node_options *options = &audit->node->options;
    struct kvs_audit_keys keys = {.current = kvs_audit_key_new(1, options->random)};
    struct kvs_audit_signer signer;
    int err = kvs_audit_signer_init(&signer, &keys.current);
    if (!err)
        err = kvs_audit_keys_save(audit->key_path, &keys, ret_message);
    if (err) {
        kvs_audit_signer_done(&signer);
        return err;
    }
    audit->genesis = (struct kvs_audit_genesis){.node = audit->node->identity.self.node,
                                                .created = kvs_clock_wall_ms(options->clock),
                                                .public_key = signer.public_key};
    audit->id = kvs_audit_genesis_id(&audit->genesis, audit->hasher);
    const struct kvs_audit_state state = {.head = {.epoch = 1, .leaf = audit->id},
                                          .sealed_ms = audit->genesis.created};
    take_over(audit, &state, &keys.current, &signer);
    kvs_audit_keys_done(&keys);
    struct kvs_store_batch *batch = kvs_store_batch_new(audit->node->store);
    if (!batch)
        return KVS_ERR_NOMEM;
    kvs_audit_genesis_encode(&audit->value, &audit->genesis);
    put(audit, batch, KVS_AUDIT_GENESIS_KEY);
    return write_batch(audit, batch);
}

// The log goes on with a key that nothing certifies, and says so for good.
static int make_break(struct kvs_node_audit *audit, const struct found *found, const char *why,
                      struct kvs_message *ret_message)
{
    const struct kvs_node_options *options = &audit->node->options;
    kvs_log(options->log, KVS_LOG_ERROR, "audit log: broken, goes on with a new key",
            KVS_F_STR("reason", why), KVS_F_UINT("entries", found->state.head.tree.size),
            KVS_F_UINT("sealed", found->state.sealed_size), KVS_F_STR("key", audit->key_path));
    struct kvs_audit_keys keys = {.current = kvs_audit_key_new(found->epoch + 1, options->random)};
    struct kvs_audit_signer signer;
    int err = kvs_audit_signer_init(&signer, &keys.current);
    struct kvs_audit_seal seal = {
        .kind = KVS_AUDIT_BREAK,
        .epoch = found->epoch,
        .size = found->state.head.tree.size,
        .timestamp = kvs_clock_wall_ms(options->clock),
        .root = kvs_audit_tree_root(&found->state.head.tree, audit->hasher),
        .next_key = signer.public_key,
    };
    if (!err)
        err = kvs_audit_seal_sign(&seal, &audit->id, &signer);
    if (!err)
        err = kvs_audit_keys_save(audit->key_path, &keys, ret_message);
    struct kvs_store_batch *batch = err ? NULL : kvs_store_batch_new(audit->node->store);
    if (!batch) {
        kvs_audit_signer_done(&signer);
        return err ? err : KVS_ERR_NOMEM;
    }
    struct kvs_audit_state state = found->state;
    state.head.epoch = signer.epoch;
    state.sealed_size = seal.size;
    state.sealed_ms = seal.timestamp;
    take_over(audit, &state, &keys.current, &signer);
    kvs_audit_keys_done(&keys);
    kvs_audit_seal_key(&audit->key, seal.epoch);
    kvs_audit_seal_encode(&audit->value, &seal);
    put(audit, batch, kvs_buf_slice(&audit->key));
    kvs_buf_clear(&audit->key);
    return write_batch(audit, batch);
}

// ---- Going on

static const char *check_head(struct kvs_node_audit *audit, const struct found *found,
                              const struct kvs_audit_signer *signer)
{
    kvs_audit_hasher_set_key(audit->hasher, &signer->mac_key);
    audit->keyed_epoch = signer->epoch;
    struct kvs_audit_hash mac = kvs_audit_mac(audit->hasher, found->head_signed);
    return found->head_good && kvs_audit_hash_eq(&mac, &found->head_mac)
               ? NULL
               : "the head is not the one that this node wrote";
}

// The entries behind the head would be overwritten, those missing before it stay missing: neither
// is ours to mend, but it must be said.
static int warn_about_end(struct kvs_node_audit *audit)
{
    struct kvs_audit_hash leaf = audit->id;
    uint64_t size = audit->state.head.tree.size;
    int err = size > 0 ? kvs_audit_log_leaf(audit->node->store, audit->hasher, size, &leaf) : 0;
    if (err && err != KVS_ERR_NOT_FOUND)
        return err;
    if (err || !kvs_audit_hash_eq(&leaf, &audit->state.head.leaf))
        kvs_log(audit->node->options.log, KVS_LOG_ERROR,
                "audit log: the newest entry is not the one that this node wrote: run kvs audit "
                "verify",
                KVS_F_UINT("entry", size));
    return 0;
}

static int go_on(struct kvs_node_audit *audit, struct kvs_message *ret_message)
{
    KVS_CLEANUP(kvs_buf_donep) struct kvs_buf scratch = KVS_BUF_INIT(KVS_AUDIT_HEAD_SIZE_MAX);
    struct found found;
    int err = find(audit, &scratch, &found);
    if (err)
        return kvs_fail(ret_message, err,
                        "audit log: %s: keep a copy of the data directory, and set "
                        "tamper_logging_enabled: false to start without",
                        kvs_err_text(err));
    struct kvs_audit_keys keys;
    err = kvs_audit_keys_load(audit->key_path, &keys, ret_message);
    if (err == KVS_ERR_NOT_FOUND)
        return make_break(audit, &found, "there is no key file", ret_message);
    if (err == KVS_ERR_CORRUPT)
        return make_break(audit, &found, "the key file is damaged", ret_message);
    if (err)
        return err;
    struct kvs_audit_signer signer;
    const struct kvs_audit_key *key = &keys.current;
    bool fits = false;
    err = fit(key, &found, &signer, &fits);
    if (!err && !fits) {
        key = &keys.next;
        err = fit(key, &found, &signer, &fits);
    }
    const char *fault = fits ? check_head(audit, &found, &signer)
                             : "the key file belongs to another state of the log";
    if (!err && !fault)
        take_over(audit, &found.state, key, &signer);
    else if (!err) {
        if (fits)
            kvs_audit_signer_done(&signer);
        err = make_break(audit, &found, fault, ret_message);
    }
    kvs_audit_keys_done(&keys);
    return err ? err : warn_about_end(audit);
}

int kvs_node_audit_reload(struct kvs_node_audit *audit)
{
    struct kvs_message message = {{0}};
    if (!audit)
        return 0;
    kvs_audit_hasher_clear(audit->hasher);
    kvs_buf_clear(&audit->key);
    kvs_buf_clear(&audit->value);
    return go_on(audit, &message);
}

// ---- Life

static int open_log(struct kvs_node_audit *audit, struct kvs_message *ret_message)
{
    int err = kvs_audit_hasher_new(&audit->hasher);
    if (err)
        return err;
    kvs_buf_init(&audit->key, KVS_AUDIT_STORE_KEY_MAX);
    kvs_buf_init(&audit->value, KVS_AUDIT_ENTRY_SIZE_MAX + KVS_AUDIT_HEAD_SIZE_MAX);
    // Once and for all: the entries of a group cannot fail for want of memory.
    if (!kvs_buf_reserve(&audit->key, KVS_AUDIT_STORE_KEY_MAX) ||
        !kvs_buf_reserve(&audit->value, KVS_AUDIT_ENTRY_SIZE_MAX + KVS_AUDIT_HEAD_SIZE_MAX) ||
        asprintf(&audit->key_path, "%s/%s", audit->node->data_dir, KVS_AUDIT_KEY_FILE) < 0) {
        audit->key_path = NULL;
        return KVS_ERR_NOMEM;
    }
    err = kvs_audit_log_genesis(audit->node->store, &audit->genesis);
    if (err == KVS_ERR_NOT_FOUND)
        return create(audit, ret_message);
    if (err)
        return err;
    audit->id = kvs_audit_genesis_id(&audit->genesis, audit->hasher);
    return go_on(audit, ret_message);
}

int kvs_node_audit_open(struct kvs_node *node, struct kvs_message *ret_message)
{
    if (!node->options.audit)
        return 0;
    struct kvs_node_audit *audit = calloc(1, sizeof(*audit));
    if (!audit)
        return kvs_fail(ret_message, KVS_ERR_NOMEM, "audit log: out of memory");
    audit->node = node;
    (void)pthread_mutex_init(&audit->lock, NULL); // neither fails with default attributes
    (void)pthread_mutex_init(&audit->seal_lock, NULL);
    struct kvs_message message = {{0}};
    int err = open_log(audit, &message);
    if (err) {
        kvs_node_audit_close(audit);
        return kvs_fail(ret_message, err, "%s%s", message.text[0] ? "" : "audit log: ",
                        message.text[0] ? message.text : kvs_err_text(err));
    }
    node->audit = audit;
    return 0;
}

void kvs_node_audit_close(struct kvs_node_audit *audit)
{
    if (!audit)
        return;
    kvs_assert(atomic_load(&audit->notes) == 0); // the commit thread has answered all
    kvs_audit_signer_done(&audit->signer);
    kvs_audit_key_done(&audit->secret);
    kvs_audit_hasher_free(audit->hasher);
    kvs_buf_done(&audit->key);
    kvs_buf_done(&audit->value);
    (void)pthread_mutex_destroy(&audit->lock); // nobody holds them
    (void)pthread_mutex_destroy(&audit->seal_lock);
    free(audit->key_path);
    free(audit);
}

// ---- From one epoch to the next

static bool has_news(struct kvs_node_audit *audit, struct kvs_audit_key *ret_secret,
                     int64_t *ret_sealed_ms)
{
    (void)pthread_mutex_lock(&audit->lock);
    bool news = audit->published.head.tree.size > audit->published.sealed_size;
    *ret_secret = audit->secret;
    *ret_sealed_ms = audit->published.sealed_ms;
    (void)pthread_mutex_unlock(&audit->lock);
    return news;
}

static int seal(struct kvs_node_audit *audit, const struct kvs_audit_key *secret)
{
    struct kvs_node *node = audit->node;
    struct kvs_message message = {{0}};
    struct kvs_audit_seal_op op = {
        .write = {.op = KVS_WRITE_AUDIT_SEAL},
        .keys = {.current = *secret,
                 .next = kvs_audit_key_new(secret->epoch + 1, node->options.random)},
    };
    int err = kvs_audit_signer_init(&op.next_signer, &op.keys.next);
    if (!err)
        err = kvs_audit_keys_save(audit->key_path, &op.keys, &message);
    if (!err)
        err = kvs_node_write_wait(node, &op.write);
    bool sealed = op.next_signer.pkey == NULL;
    if (!err && sealed) {
        struct kvs_audit_keys keys = {.current = op.keys.next};
        err = kvs_audit_keys_save(audit->key_path, &keys, &message);
        kvs_audit_keys_done(&keys);
    }
    if (message.text[0])
        kvs_log(node->options.log, KVS_LOG_ERROR, "audit log: not sealed",
                KVS_F_STR("error", message.text));
    kvs_audit_signer_done(&op.next_signer);
    kvs_audit_keys_done(&op.keys);
    return err;
}

static int seal_when(struct kvs_node *node, bool due_only)
{
    struct kvs_node_audit *audit = node->audit;
    if (!audit)
        return 0;
    struct kvs_audit_key secret;
    int64_t sealed_ms = 0;
    int err = 0;
    (void)pthread_mutex_lock(&audit->seal_lock);
    if (!atomic_load(&node->writable)) {
        // A seal may have failed and be there all the same: its next key must stay in the file
        // until the store has been asked.
        (void)pthread_mutex_unlock(&audit->seal_lock);
        return KVS_ERR_BUSY;
    }
    bool news = has_news(audit, &secret, &sealed_ms);
    int64_t now_ms = kvs_clock_wall_ms(node->options.clock);
    // A clock that was set back must not put a root off for long.
    bool due = now_ms >= sealed_ms + SEAL_PERIOD_MS || now_ms < sealed_ms;
    if (news && (due || !due_only))
        err = seal(audit, &secret);
    (void)pthread_mutex_unlock(&audit->seal_lock);
    kvs_audit_key_done(&secret);
    return err;
}

int kvs_node_audit_seal(struct kvs_node *node)
{
    return seal_when(node, false);
}

int kvs_node_audit_seal_if_due(struct kvs_node *node)
{
    return seal_when(node, true);
}
