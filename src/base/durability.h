// SPDX-License-Identifier: Apache-2.0
// What "acknowledged" promises about a write: chosen in the configuration, kept by the store.
#ifndef KVS_BASE_DURABILITY_H
#define KVS_BASE_DURABILITY_H

enum kvs_durability {
    KVS_DURABILITY_SYNC,  // the log is on the device
    KVS_DURABILITY_ASYNC, // the log is with the operating system
};

#endif
