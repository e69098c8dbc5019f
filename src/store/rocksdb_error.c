// SPDX-License-Identifier: Apache-2.0
// What RocksDB's error texts mean. Its C API returns nothing else: "CLASS: [SUBCLASS: ]details",
// where class and subclass are fixed strings of RocksDB and only the details may be localised.
#include "store/rocksdb_internal.h"

static const struct {
    const char *text;
    bool anywhere; // else only at the beginning
    int err;
} meanings[] = {
    // A full disk is an "IO error" too, and damage found while reading a block may carry any
    // details: so the order matters.
    {"Corruption: ", false, KVS_ERR_CORRUPT},
    {"No space left on device", true, KVS_ERR_NO_SPACE},
    {"Space limit reached", true, KVS_ERR_NO_SPACE},
    {"Disk quota exceeded", true, KVS_ERR_NO_SPACE},
    {"File too large", true, KVS_ERR_NO_SPACE},
    {"IO error: ", false, KVS_ERR_IO},
    {"Result incomplete: ", false, KVS_ERR_AGAIN},
    {"NotFound: ", false, KVS_ERR_NOT_FOUND},
    {"Invalid argument: ", false, KVS_ERR_INVALID},
    {"Resource busy: ", false, KVS_ERR_BUSY},
    {"Operation timed out: ", false, KVS_ERR_TIMEOUT},
    {"Shutdown in progress: ", false, KVS_ERR_SHUTDOWN},
};

static int meaning(const char *text)
{
    for (size_t i = 0; i < KVS_ARRAY_SIZE(meanings); i++) {
        const char *found = strstr(text, meanings[i].text);
        if (found && (meanings[i].anywhere || found == text))
            return meanings[i].err;
    }
    return KVS_ERR_IO;
}

int kvs_rocksdb_error(char *text, struct kvs_message *ret_message)
{
    if (!text)
        return 0;
    int err = kvs_fail(ret_message, meaning(text), "%s", text);
    rocksdb_free(text);
    return err;
}
